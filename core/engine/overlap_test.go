package engine

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
)

// A connection opens nothing that another one requires to be protected, though
// its own rule is the more specific.
func TestConnectionOpensNothingOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.NewReplacer("10.10.0.0/16", "10.0.0.0/8", "fd00:10::/64", "fd00:10::/48").Replace(requireProfile), gatewayProfile)
		defer w.stop()
		w.cm.Profiles.Write("branch.toml", []byte(strings.Replace(clientProfile, `name = "office"`, `name = "branch"`, 1)))
		w.net.SetTap(dropAll)
		if err := w.client.Connect(t.Context(), api.ConnectRequest{Name: "office"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for _, profile := range []api.Profile{api.Respond, api.Request} {
			if err := w.client.Connect(t.Context(), api.ConnectRequest{Name: "branch", Profile: profile}); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				time.Sleep(time.Second)
				if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
					t.Fatalf("%s: the firewall says %v", profile, a)
				}
			}
			s, err := w.client.State(t.Context())
			if err != nil || s.Connections[0].Name != "branch" || s.Connections[0].Protection != api.Stopped || s.Connections[0].Question != "" {
				t.Errorf("%s: %+v, %v", profile, s.Connections, err)
			}
			if err := w.client.AllowClear(t.Context(), "branch", time.Minute); api.AsError(err) == nil {
				t.Errorf("%s: clear text was allowed", profile)
			}
			if err := w.client.Disconnect(t.Context(), "branch"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

const tunnelPolicy = `
version = 1
name = "site"

[[filter_lists]]
name = "behind"
[[filter_lists.filters]]
source = "me"
destination = "10.10.0.0/16"
mirrored = true

[[rules]]
name = "site"
filter_list = "behind"
filter_action = "ACTION"
tunnel = "office"
`

// What the assigned policy says of a connection holds whether the user
// connects it or not, and whatever profile the user names.
func TestPolicyDecidesAboutItsConnection(t *testing.T) {
	for act, want := range map[string]struct {
		away   api.Protection
		action host.FirewallAction
	}{
		"Respond only":     {api.Clear, host.FirewallClear},
		"Request security": {api.Stopped, host.FirewallTunnelOnly},
		"Require security": {api.Stopped, host.FirewallTunnelOnly},
	} {
		t.Run(act, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, clientProfile, gatewayProfile)
				defer w.stop()
				if err := connect(t, w.client, time.Minute); err != nil {
					t.Fatal(err)
				}
				if _, err := w.client.StorePolicy(t.Context(), api.PolicyFile{Text: []byte(strings.Replace(tunnelPolicy, "ACTION", act, 1))}); err != nil {
					t.Fatal(err)
				}
				if _, err := w.client.Assign(t.Context(), "site", false); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				profile := expect(t, w.client, api.Connected, api.Protected).Profile
				if err := w.client.Disconnect(t.Context(), "office"); err != nil {
					t.Fatal(err)
				}
				expect(t, w.client, api.Disconnected, want.away)
				if a := action(w.cm, "10.10.0.10"); a != want.action {
					t.Errorf("disconnected, and the firewall says %v", a)
				}
				for _, p := range []api.Profile{api.Respond, api.Request, api.Require} {
					err := w.client.Connect(t.Context(), api.ConnectRequest{Name: "office", Profile: p, Wait: true})
					if ae := api.AsError(err); p != profile && (ae == nil || ae.Code != api.CodeNotAllowed) {
						t.Errorf("with --profile %s: %v", p, err)
					}
				}
				if err := connect(t, w.client, time.Minute); err != nil {
					t.Fatal(err)
				}
				if c := expect(t, w.client, api.Connected, api.Protected); c.Profile != profile {
					t.Errorf("profile %s, want %s", c.Profile, profile)
				}
				if err := w.client.Unassign(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				expect(t, w.client, api.Disconnected, "")
			})
		})
	}
}

// Each change of protection is an event, also one that only time brings.
func TestProtectionChangesAreEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", "")
		defer w.stop()
		w.assignHost(t, "Request security", "Request security")
		w.cm.TUN().InjectPacket(udp4("198.51.100.100", "198.51.100.1", "hello"))
		<-w.gm.TUN().Out
		w.net.SetTap(dropAll)
		time.Sleep(3 * time.Minute)
		const name = "neighbours @ 198.51.100.1"
		if err := w.client.AllowClear(t.Context(), name, time.Minute); err != nil {
			t.Fatal(err)
		}
		if a := action(w.cm, "198.51.100.1"); a != host.FirewallClear {
			t.Errorf("it was allowed, and the firewall says %v", a)
		}
		time.Sleep(time.Second)
		w.cm.Calls()
		time.Sleep(2 * time.Minute)
		if a := action(w.cm, "198.51.100.1"); a != host.FirewallTunnelOnly {
			t.Errorf("the leave is over, and the firewall says %v", a)
		}
		if calls := w.cm.Calls(); !strings.Contains(calls, "198.51.100.0/24") {
			t.Errorf("the peer's traffic does not lead into the device again:\n%s", calls)
		}
		batch, _ := w.client.journal.after(0)
		var seen []api.Protection
		for _, ev := range batch {
			if ev.Kind == api.EventConnection && ev.Name == name && (len(seen) == 0 || seen[len(seen)-1] != ev.Connection.Protection) {
				seen = append(seen, ev.Connection.Protection)
			}
		}
		want := []api.Protection{api.Held, api.Protected, api.Stopped, api.Clear, api.Stopped}
		if len(seen) < len(want) || !slices.Equal(seen[len(seen)-len(want):], want) {
			t.Errorf("events said %v, want %v", seen, want)
		}
	})
}

// An edited policy applies when it is assigned again: to the gateway that a
// rule names, and to whom a rule lets in.
func TestEditedPolicyApplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", gatewayProfile)
		defer w.stop()
		w.cm.Secrets.Write("lan-psk", []byte("correct horse battery staple"))
		w.cm.Secrets.Write("new-psk", []byte("another"))
		assign := func(text string) {
			t.Helper()
			if _, err := w.client.StorePolicy(t.Context(), api.PolicyFile{Text: []byte(text), Replace: true}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.client.Assign(t.Context(), "site", false); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		peers := strings.Replace(strings.Replace(hostPolicy, "ACTION", "Respond only", 1), "version = 1\nname = \"lan\"\n", "", 1)
		peers = strings.ReplaceAll(peers, "the lan", "lan")
		text := gatewayPolicy + peers
		assign(text)
		find := func(name string) *conn {
			var c *conn
			w.client.call(t.Context(), func() { c = w.client.conns[name] })
			if c == nil {
				t.Fatalf("no %s", name)
			}
			return c
		}
		listener := func() *conn {
			var c *conn
			w.client.call(t.Context(), func() {
				for _, o := range w.client.sortedConns() {
					if o.rule == "neighbours" && o.responder() {
						c = o
					}
				}
			})
			return c
		}
		if c := listener(); c == nil || !c.listening || c.profile.Local.Secret != "lan-psk" {
			t.Fatalf("listener %+v", c)
		}
		assign(strings.ReplaceAll(text, "lan-psk", "new-psk"))
		if c := listener(); !c.listening || c.profile.Local.Secret != "new-psk" || string(c.cfg.Local.PSK) != "another" {
			t.Errorf("the old secret still lets peers in: %+v", c.profile.Local)
		}
		if c := find("site @ 198.51.100.1"); c.profile.Local.Secret != "new-psk" {
			t.Errorf("the gateway is still spoken to with %q", c.profile.Local.Secret)
		}
	})
}
