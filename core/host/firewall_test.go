package host

import (
	"net/netip"
	"testing"

	"sallyport/core/ts"
)

func TestLANPrefix(t *testing.T) {
	for text, want := range map[string]bool{
		"192.168.1.0/24": true, "10.0.0.0/8": true, "172.16.0.0/12": true, "172.31.255.0/24": true, "169.254.0.0/16": true,
		"fd00::/8": true, "fe80::/64": true, "fc00::/7": true,
		"172.32.0.0/16": false, "172.16.0.0/11": false, "10.0.0.0/7": false, "0.0.0.0/0": false, "8.8.8.0/24": false, "100.64.0.0/10": false,
		"2001:db8::/32": false, "::/0": false, "fe00::/7": false, "::ffff:10.0.0.0/104": false, "224.0.0.0/4": false, "127.0.0.0/8": false,
	} {
		if got := LANPrefix(netip.MustParsePrefix(text)); got != want {
			t.Errorf("LANPrefix(%s) = %v", text, got)
		}
	}
	if LANPrefix(netip.Prefix{}) {
		t.Error("the zero prefix is a LAN")
	}
}

func TestNamesPrivate(t *testing.T) {
	for text, want := range map[string]bool{
		"10.10.0.0/16": true, "10.0.0.0-10.255.255.255": true, "fd00::/64[tcp/22]": true, "224.0.0.0/4": true, "ff02::/16": true,
		"0.0.0.0/0": false, "9.255.255.255-10.0.0.1": false, "10.0.0.0-192.168.255.255": false, "::/0": false, "203.0.113.1": false,
	} {
		s, err := ts.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := NamesPrivate(s); got != want {
			t.Errorf("NamesPrivate(%s) = %v", text, got)
		}
	}
}

func TestFirewallIntentCheck(t *testing.T) {
	every := ts.Any()[0]
	good := func() FirewallIntent {
		return FirewallIntent{
			Device: "sallyport0", Inner: []netip.Addr{netip.MustParseAddr("10.9.0.1")},
			Rules:   []FirewallRule{{Local: every, Remote: every, Action: FirewallTunnelOnly}},
			Default: FirewallClear,
		}
	}
	i := good()
	if err := i.Check(); err != nil {
		t.Error(err)
	}
	if err := new(FirewallIntent).Check(); err != nil || !new(FirewallIntent).IsZero() {
		t.Errorf("the zero intent: %v", err)
	}
	for name, spoil := range map[string]func(*FirewallIntent){
		"only an exemption":   func(i *FirewallIntent) { *i = FirewallIntent{Exempt: FirewallExempt{NDP: true}} },
		"only DNS":            func(i *FirewallIntent) { *i = FirewallIntent{DNSInside: true} },
		"no default":          func(i *FirewallIntent) { i.Default = 0 },
		"unknown default":     func(i *FirewallIntent) { i.Default = 4 },
		"malformed selector":  func(i *FirewallIntent) { i.Rules[0].Remote = ts.Selector{} },
		"too many rules":      func(i *FirewallIntent) { i.Rules = make([]FirewallRule, MaxFirewallRules+1) },
		"too many ports":      func(i *FirewallIntent) { i.Exempt.IKE = make([]uint16, maxFirewallList+1) },
		"inner multicast":     func(i *FirewallIntent) { i.Inner[0] = netip.MustParseAddr("224.0.0.1") },
		"inner with zone":     func(i *FirewallIntent) { i.Inner[0] = netip.MustParseAddr("fe80::1%eth0") },
		"public range as LAN": func(i *FirewallIntent) { i.Exempt.LAN = []netip.Prefix{netip.MustParsePrefix("8.8.8.0/24")} },
	} {
		i := good()
		spoil(&i)
		if i.IsZero() || i.Check() == nil {
			t.Errorf("%s: nothing is wrong", name)
		}
	}
}
