package engine

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/internal/hosttest"
)

// another starts one more client, which connects as who.
func (w *world) another(t *testing.T, addr netip.Addr, who string) (*Engine, *hosttest.Machine, func()) {
	t.Helper()
	h := w.net.Host(addr, netip.Addr{})
	m := hosttest.NewMachine(h.OpenUDP, h.Source)
	m.Profiles.Write("office.toml", []byte(strings.Replace(clientProfile, "alice@vpn.test", who, 1)))
	m.Secrets.Write("office+psk", []byte("correct horse battery staple"))
	e := New(Options{Host: m.System(), Version: "test"})
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- e.Run(ctx) }()
	if err := connect(t, e, time.Minute); err != nil {
		t.Fatalf("%s: %v", who, err)
	}
	return e, m, func() {
		cancel()
		if err := <-end; err != nil {
			t.Errorf("%s: %v", who, err)
		}
	}
}

// TestPeersComeAndGo: what the first client of a gateway with pools brings about at
// the machine serves all of them, so that the next ones cost nothing there; each
// has its own SA all the same, and the last one leaves nothing.
func TestPeersComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		if a := action(w.gm, "10.20.0.77"); a != host.FirewallClear {
			t.Errorf("before anyone comes the firewall says %v", a)
		}
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		w.carries(t, "10.20.0.1")
		if a := action(w.gm, "10.20.0.77"); a != host.FirewallTunnelOnly {
			t.Errorf("addresses of the pool leave beside the tunnel: %v", a)
		}
		if a := action(w.gm, "10.21.0.77"); a != host.FirewallClear {
			t.Errorf("other addresses do not leave: %v", a)
		}
		w.gm.Calls()
		const peers = 12
		var stops []func()
		for i := range peers {
			who := fmt.Sprintf("bob%d@vpn.test", i)
			e, m, stop := w.another(t, netip.AddrFrom4([4]byte{198, 51, 100, byte(101 + i)}), who)
			stops = append(stops, stop)
			c := connection(t, e)
			if want := fmt.Sprintf("10.20.0.%d", i+2); c.Addresses[0].String() != want {
				t.Errorf("%s has %v, want %s", who, c.Addresses, want)
			}
			w.gm.TUN().InjectPacket(udp4("10.10.0.10", c.Addresses[0].String(), who))
			if got := string(<-m.TUN().Out); !strings.HasSuffix(got, who) {
				t.Errorf("%s received %q", who, got)
			}
		}
		if calls := w.gm.Calls(); calls != "" {
			t.Errorf("%d more peers changed the machine:\n%s", peers, calls)
		}
		if c := connection(t, w.gateway); c.SAs != peers+1 {
			t.Errorf("%d SAs, want %d", c.SAs, peers+1)
		}
		for _, stop := range stops {
			stop()
		}
		w.carries(t, "10.20.0.1")
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if a := action(w.gm, "10.20.0.77"); a != host.FirewallClear {
			t.Errorf("after the last has gone the firewall says %v", a)
		}
		if c := connection(t, w.gateway); c.SAs != 0 || c.State != api.Listening {
			t.Errorf("%d SAs, %s", c.SAs, c.State)
		}
		err := w.gateway.call(t.Context(), func() {
			e := w.gateway
			if n := len(e.kids.bySPI) + len(e.kids.byGroup) + len(e.peers) + len(e.sas) + len(e.conns["workers"].lending.groups) + len(e.conns["workers"].kids); n != 0 {
				t.Errorf("the gateway remembers %d things of them", n)
			}
			for name, p := range e.pools {
				if p.Leased() != 0 {
					t.Errorf("%d addresses of %s are leased", p.Leased(), name)
				}
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestIdlePeersAreNotSounded: a gateway looks how large packets may be on the way to
// a client when that has sent something, and not before.
func TestIdlePeersAreNotSounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		sounded := func() (out bool) {
			if err := w.gateway.call(t.Context(), func() {
				for _, s := range w.gateway.sas {
					out = out || s.depth.path.Remote.IsValid()
				}
			}); err != nil {
				t.Fatal(err)
			}
			return out
		}
		time.Sleep(time.Minute)
		if sounded() {
			t.Error("the path to a client that has sent nothing is searched")
		}
		w.carries(t, "10.20.0.1")
		synctest.Wait()
		if !sounded() {
			t.Error("the path to a client that sends is not searched")
		}
	})
}

// TestPeerWithANetwork: what lies behind a peer is no address of a pool, and the
// machine follows it.
func TestPeerWithANetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := strings.NewReplacer(`virtual_ips = ["0.0.0.0", "::"]`, "", `remote_ts = ["10.10.0.0/16", "fd00:10::/64"]`,
			"local_ts = [\"172.16.5.0/24\"]\nremote_ts = [\"10.10.0.0/16\"]").Replace(clientProfile)
		w := newWorld(t, site, strings.Replace(gatewayProfile, `local_ts`, "remote_ts = [\"172.16.0.0/16\"]\nlocal_ts", 1))
		defer w.stop()
		w.gm.Calls()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		if a, b := action(w.gm, "172.16.5.5"), action(w.gm, "172.16.6.5"); a != host.FirewallTunnelOnly || b != host.FirewallClear {
			t.Errorf("the firewall says %v of the peer's network and %v of another", a, b)
		}
		if calls := w.gm.Calls(); !strings.Contains(calls, "172.16.5.0/24") {
			t.Errorf("no route to the peer's network:\n%s", calls)
		}
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if a := action(w.gm, "172.16.5.5"); a != host.FirewallClear {
			t.Errorf("after it has gone the firewall says %v", a)
		}
	})
}
