package engine

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/ike"
	"sallyport/core/internal/hosttest"
	"sallyport/core/internal/simnet"
)

// roamWorld is a world whose client can move, and sleep.
type roamWorld struct {
	*world
	host  *simnet.Host
	slept time.Duration
}

func newRoamWorld(t *testing.T, client, gateway string) *roamWorld {
	t.Helper()
	r := &roamWorld{}
	r.world = newWorld(t, client, gateway, func(m *hosttest.Machine, h *simnet.Host) {
		r.host, m.Slept = h, func() time.Duration { return r.slept }
	})
	return r
}

// within waits until the connection is in a state, and returns how long it took.
func (r *roamWorld) within(t *testing.T, limit time.Duration, want func(api.Connection) bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for {
		c := connection(t, r.client)
		if want(c) {
			return time.Since(begun)
		}
		if time.Since(begun) > limit {
			t.Fatalf("after %v still %s, %v, %s", limit, c.State, c.Problem, c.Path)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func spi(t *testing.T, e *Engine) string {
	t.Helper()
	d, err := e.Dynamic(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(d.IKESAs) != 1 {
		t.Fatalf("%d IKE SAs, want 1: %+v", len(d.IKESAs), d.IKESAs)
	}
	return d.IKESAs[0].LocalSPI
}

var elsewhere = netip.MustParseAddr("203.0.113.9")

// TestRoam moves the client, under each profile: to another address, and through
// a time without any network. The IKE SA stays, and nothing but the tunnel is
// ever open.
func TestRoam(t *testing.T) {
	for _, profile := range []string{clientProfile, requestProfile, requireProfile} {
		synctest.Test(t, func(t *testing.T) {
			r := newRoamWorld(t, profile, gatewayProfile)
			defer r.stop()
			if err := connect(t, r.client, time.Minute); err != nil {
				t.Fatal(err)
			}
			first := spi(t, r.client)
			r.host.Readdress(elsewhere, netip.Addr{})
			r.cm.NetworkChanged()
			time.Sleep(100 * time.Millisecond)
			r.carries(t, "10.20.0.1")
			if c := connection(t, r.client); !strings.HasPrefix(c.Path, elsewhere.String()) || c.State != api.Connected {
				t.Errorf("%s over %s", c.State, c.Path)
			}

			r.host.Readdress(netip.Addr{}, netip.Addr{})
			r.cm.NetworkChanged()
			time.Sleep(20 * time.Second)
			c := connection(t, r.client)
			if c.State != api.Reconnecting || c.Problem == nil || c.Problem.Code != api.CodeNoNetwork || c.Protection != api.Protected {
				t.Errorf("without a network: %s, %s, %v", c.State, c.Protection, c.Problem)
			}
			r.host.Readdress(clientAddr, netip.Addr{})
			r.cm.NetworkChanged()
			if took := r.within(t, time.Second, func(c api.Connection) bool { return c.State == api.Connected }); took > 100*time.Millisecond {
				t.Errorf("back after %v", took)
			}
			r.carries(t, "10.20.0.1")
			if now := spi(t, r.client); now != first {
				t.Error("the IKE SA was made anew")
			}
		})
	}
}

// TestRoamWhileConnecting moves the client between the messages of its handshake:
// while it waits for the answer to IKE_AUTH, which then begins again from where the
// client is, and when that answer is there before anybody tells of the move.
func TestRoamWhileConnecting(t *testing.T) {
	for _, told := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRoamWorld(t, requireProfile, gatewayProfile)
			defer r.stop()
			var moved time.Time
			r.net.SetTap(func(p simnet.Packet) bool {
				if moved.IsZero() && p.From.Addr() == clientAddr && p.To.Port() == 4500 { // the first IKE_AUTH
					moved = time.Now()
					if told {
						go func() {
							r.host.Readdress(elsewhere, netip.Addr{})
							r.cm.NetworkChanged()
						}()
						return false
					}
				}
				return true
			})
			if !told {
				source := r.cm.Source
				r.cm.Source = func(dst netip.Addr) (netip.Addr, error) {
					if !moved.IsZero() && time.Since(moved) > 5*time.Millisecond {
						r.host.Readdress(elsewhere, netip.Addr{})
					}
					return source(dst)
				}
			}
			if err := connect(t, r.client, time.Minute); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond) // for the gateway to follow
			if took := time.Since(moved); took > 200*time.Millisecond {
				t.Errorf("told %v: up after %v", told, took)
			}
			for _, x := range []struct{ from, to *hosttest.Machine }{{r.gm, r.cm}, {r.cm, r.gm}} { // the gateway begins
				src, dst := "10.10.0.10", "10.20.0.1"
				if x.from == r.cm {
					src, dst = dst, src
				}
				x.from.TUN().InjectPacket(udp4(src, dst, "hello"))
				select {
				case <-x.to.TUN().Out:
				case <-time.After(time.Second):
					t.Errorf("told %v: a packet from %s does not arrive", told, src)
				}
			}
			spi(t, r.client)
		})
	}
}

// TestRoamWithoutMOBIKE makes the tunnel anew from the new address, beside the
// old one, and lets go of that.
func TestRoamWithoutMOBIKE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := strings.Replace(gatewayProfile, "[local]", "[ike]\nmobike = \"never\"\n\n[local]", 1)
		r := newRoamWorld(t, requireProfile, never)
		defer r.stop()
		if err := connect(t, r.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		first := spi(t, r.client)
		r.host.Readdress(elsewhere, netip.Addr{})
		r.cm.NetworkChanged()
		time.Sleep(time.Second)
		r.carries(t, "10.20.0.1")
		time.Sleep(time.Minute) // until the old one has gone
		if now := spi(t, r.client); now == first {
			t.Error("the IKE SA was not made anew")
		}
		spi(t, r.gateway) // has but one
	})
}

// TestPeerStaysBehind has a gateway that answers after a move and does not follow:
// the connection is made anew, with the tunnel standing until it is there.
func TestPeerStaysBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoamWorld(t, requireProfile, gatewayProfile)
		defer r.stop()
		if err := connect(t, r.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		first := spi(t, r.client)
		if err := r.client.call(t.Context(), func() {
			for sa := range r.client.sas {
				r.client.moved(ike.Moved{SA: sa, Path: sa.Path(), Behind: true})
			}
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		r.carries(t, "10.20.0.1")
		time.Sleep(time.Minute) // until the old one has gone
		if now := spi(t, r.client); now == first {
			t.Error("the IKE SA was not made anew")
		}
	})
}

// TestWake puts the machine to sleep for half an hour: with a gateway that still
// knows it, and with one that has given it up. There is no question, and traffic
// within half a second.
func TestWake(t *testing.T) {
	for _, forgotten := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRoamWorld(t, requireProfile, gatewayProfile)
			defer r.stop()
			if err := connect(t, r.client, time.Minute); err != nil {
				t.Fatal(err)
			}
			first := spi(t, r.client)
			r.host.Readdress(netip.Addr{}, netip.Addr{})
			if forgotten {
				if err := r.gateway.call(t.Context(), func() {
					for sa := range r.gateway.sas {
						r.gateway.perform(sa.Abandon(time.Now()))
					}
				}); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.client.call(t.Context(), func() { r.slept += 30 * time.Minute }); err != nil {
				t.Fatal(err)
			}
			r.host.Readdress(elsewhere, netip.Addr{})
			r.cm.NetworkChanged()
			time.Sleep(10 * time.Millisecond)
			took := r.within(t, 5*time.Second, func(c api.Connection) bool {
				d, err := r.client.Dynamic(t.Context())
				newest := d.IKESAs[len(d.IKESAs)-1]
				return err == nil && c.State == api.Connected && newest.LocalSPI != first == forgotten && newest.Resumed == forgotten
			})
			if took > 500*time.Millisecond {
				t.Errorf("forgotten %v: back after %v", forgotten, took)
			}
			r.carries(t, "10.20.0.1")
			if st, err := r.client.State(t.Context()); err != nil || len(st.Prompts) > 0 {
				t.Errorf("asked: %+v, %v", st.Prompts, err)
			}
		})
	}
}

// TestRedirectLoop has a gateway that sends its peers to itself: it is followed
// five times (RFC 5685, section 11), and then asked to serve.
func TestRedirectLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requireProfile, strings.Replace(gatewayProfile, "[local]", "[ike]\nredirect = \"198.51.100.1\"\n\n[local]", 1))
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		w.carries(t, "10.20.0.1")
		if n := len(w.client.conns["office"].redirects); n != maxSent {
			t.Errorf("%d redirections", n)
		}
		time.Sleep(sentPeriod) // then it may be sent anew
		if err := w.client.call(t.Context(), func() {
			if !w.client.conns["office"].mayRedirect(time.Now()) {
				t.Error("never again redirected")
			}
		}); err != nil {
			t.Fatal(err)
		}
	})
}
