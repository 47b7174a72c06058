package firewall

import (
	"errors"
	"testing"
	"time"

	"sallyport/core/host"
	"sallyport/platform/internal/roottest"
)

// TestOthersChanges are other programs that touch our rules, or theirs.
func TestOthersChanges(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	roottest.Command(t, "nft")
	f := network(t)
	s, w := newSender(t), tap(t)
	if err := f.Verify(); err != nil {
		t.Errorf("before anything is set: %v", err)
	}
	i := allExempt(t)
	mustSet(t, f, i)
	quiet := func(what string) {
		t.Helper()
		select {
		case <-f.Changes():
			t.Errorf("%s: reported as a change", what)
		case <-time.After(100 * time.Millisecond):
		}
		if err := f.Verify(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	quiet("our own Set")
	for _, c := range []string{"nft add table inet other", "nft add chain inet other c", "nft add rule inet other c accept", "nft delete table inet other", "nft add table ip sallyport"} {
		roottest.Run(t, c)
	}
	quiet("other tables")
	for _, c := range []struct {
		command string
		blocks  bool // what remains still lets nothing pass
	}{
		{"nft insert rule inet sallyport output accept", false},
		{"nft flush table inet sallyport", true},
		{"nft flush chain inet sallyport out4", true},
		{"nft add chain inet sallyport output { policy accept ; }", true},
		{"nft delete table inet sallyport", false},
		{"nft flush ruleset", false},
	} {
		roottest.Run(t, c.command)
		select {
		case <-f.Changes():
		case <-time.After(2 * time.Second):
			t.Errorf("%s: not reported", c.command)
		}
		if err := f.Verify(); !errors.Is(err, host.ErrRulesChanged) {
			t.Errorf("%s: Verify = %v", c.command, err)
		}
		if c.blocks && s.passes(udp4(our4, far4, 40000, 443)) {
			t.Errorf("%s: packets pass", c.command)
		}
		w.settle()
		select {
		case <-f.Changes(): // a command may take several messages
		default:
		}
		mustSet(t, f, i) // the same intent as before
		blocked(t, s, w, "after "+c.command+" and Set", everything(our4, far4))
		quiet("setting it right")
	}
	mustSet(t, f, host.FirewallIntent{})
	quiet("removing it")
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	for range f.Changes() { // ends
	}
}

// TestRefused are intents that are not set, after which the one before is in
// force.
func TestRefused(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	s := newSender(t)
	mustSet(t, f, require(t))
	for name, spoil := range map[string]func(*host.FirewallIntent){
		"no default":       func(i *host.FirewallIntent) { i.Default = 0 },
		"no device":        func(i *host.FirewallIntent) { i.Device = "" },
		"long device name": func(i *host.FirewallIntent) { i.Device = "sallyport-device" },
		"no action":        func(i *host.FirewallIntent) { i.Rules[0].Action = 0 },
		"two families":     func(i *host.FirewallIntent) { i.Rules[0].Remote = sel(t, "::/0") },
		"two protocols": func(i *host.FirewallIntent) {
			i.Rules[0].Local, i.Rules[0].Remote = sel(t, "0.0.0.0/0[tcp]"), sel(t, "0.0.0.0/0[udp]")
		},
		"port 0": func(i *host.FirewallIntent) { i.Exempt.IKE = []uint16{0} },
	} {
		i := require(t)
		spoil(&i)
		if err := f.Set(i); err == nil {
			t.Errorf("%s: set", name)
		}
		if s.passes(udp4(our4, far4, 40000, 443)) {
			t.Errorf("%s: packets pass", name)
		}
	}
}
