package engine

import (
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/profile"
)

// A network that goes away and comes back is no way round the downgrade
// memory: nothing is opened while there is none.
func TestNoFallbackWithoutANetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requestProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		var away atomic.Bool
		source := w.cm.Source
		w.client.call(t.Context(), func() {
			w.cm.Source = func(a netip.Addr) (netip.Addr, error) {
				if away.Load() {
					return netip.Addr{}, errors.New("network is unreachable")
				}
				return source(a)
			}
		})
		away.Store(true)
		w.cm.NetworkChanged()
		w.net.SetTap(dropAll)
		for range 600 {
			time.Sleep(time.Second)
			if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
				t.Fatalf("without a network the firewall says %v", a)
			}
		}
		away.Store(false)
		w.cm.NetworkChanged()
		for range 60 {
			time.Sleep(time.Second)
			if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
				t.Fatalf("back in the network the firewall says %v", a)
			}
		}
		w.net.SetTap(nil)
		time.Sleep(2 * time.Minute)
		expect(t, w.client, api.Connected, api.Protected)
	})
}

// The memory's time to live counts from when protection last worked, not from
// when it began to.
func TestMemoryIsRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requestProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(48 * time.Hour)
		m, err := w.client.Memories(t.Context())
		if err != nil || len(m) != 1 || time.Since(m[0].Worked) > 3*time.Hour {
			t.Errorf("after two days: %+v, %v", m, err)
		}
	})
}

// A loss where protection is not known to have worked is held and then falls
// back, as at the start.
func TestLossFallsBackAfterAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requestProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		m, err := w.client.Memories(t.Context())
		if err != nil || len(m) != 1 {
			t.Fatal(m, err)
		}
		if err := w.client.Forget(t.Context(), m[0]); err != nil {
			t.Fatal(err)
		}
		w.net.SetTap(dropAll)
		var held time.Duration
		for range 3000 {
			time.Sleep(100 * time.Millisecond)
			switch c := connection(t, w.client); {
			case c.State == api.Connected:
			case c.Protection == api.Held:
				held += 100 * time.Millisecond
			case c.Protection == api.Clear:
				if held < 500*time.Millisecond || held > 2*time.Second {
					t.Errorf("held for %v", held)
				}
				return
			}
		}
		t.Errorf("no fallback; held for %v", held)
	})
}

func TestPins(t *testing.T) {
	for _, tt := range []struct {
		gateway, pin string
		want         bool
	}{
		{"198.51.100.1", "198.51.100.1", true},
		{"198.51.100.1:4500", "198.51.100.1", true},
		{"198.51.100.1:4500", "198.51.100.0/24", true},
		{"[2001:db8::1]:4500", "2001:db8::/32", true},
		{"198.51.100.1", "198.51.100.0 - 198.51.100.9", true},
		{"vpn.example", "vpn.example", true},
		{"vpn.example:4500", "vpn.example", true},
		{"198.51.100.1", "203.0.113.0/24", false},
		{"vpn.example", "other.example", false},
	} {
		c := &conn{profile: &profile.Connection{Gateways: []string{tt.gateway}}}
		if got := c.reaches(tt.pin); got != tt.want {
			t.Errorf("pin %q of gateway %q: %v", tt.pin, tt.gateway, got)
		}
	}
}

const gatewayPolicy = `
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
filter_action = "Request security"
tunnel = "198.51.100.1"
[[rules.auth]]
method = "psk"
secret = "lan-psk"
local_id = "alice@vpn.test"
remote_id = "gw.vpn.test"
`

// A gateway that a rule names is tried for as long as the rule is in force, and
// the fallback is announced again when its time is over.
func TestGatewayOfARuleIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", strings.Replace(gatewayProfile, "\n[[pools]]\nname = \"v6\"", "\n[[children]]\nname = \"host\"\nlocal_ts = [\"10.10.0.0/16\"]\nremote_ts = [\"198.51.100.0/24\"]\n\n[[pools]]\nname = \"v6\"", 1))
		defer w.stop()
		w.cm.Secrets.Write("lan-psk", []byte("correct horse battery staple"))
		w.net.SetTap(dropAll)
		if _, err := w.client.StorePolicy(t.Context(), api.PolicyFile{Text: []byte(gatewayPolicy)}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.client.Assign(t.Context(), "site", false); err != nil {
			t.Fatal(err)
		}
		gateway := func() api.Connection {
			t.Helper()
			s, err := w.client.State(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range s.Connections {
				if c.Name == "site @ 198.51.100.1" {
					return c
				}
			}
			t.Fatalf("it is gone: %+v", s.Connections)
			return api.Connection{}
		}
		time.Sleep(8 * time.Minute)
		if c := gateway(); c.Protection != api.Clear {
			t.Fatalf("%s, %s", c.State, c.Protection)
		}
		if s, _ := w.client.Security(t.Context()); s.Fallbacks != 2 {
			t.Errorf("%d fallbacks, want 2", s.Fallbacks)
		}
		w.net.SetTap(nil)
		time.Sleep(2 * time.Minute)
		if c := gateway(); c.State != api.Connected {
			t.Errorf("%s: %v", c.State, c.Problem)
		}
	})
}
