package engine

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/internal/hosttest"
	"sallyport/core/internal/simnet"
)

// action returns what a machine's firewall does with packets to a remote
// address, on interfaces other than the tunnel device.
func action(m *hosttest.Machine, remote string) host.FirewallAction {
	i := m.Intent()
	if i.IsZero() {
		return host.FirewallClear
	}
	a := netip.MustParseAddr(remote)
	for _, r := range i.Rules {
		if r.Remote.Contains(a, 17, 5000) {
			return r.Action
		}
	}
	return i.Default
}

func expect(t *testing.T, e *Engine, state api.TunnelState, p api.Protection) api.Connection {
	t.Helper()
	c := connection(t, e)
	if c.State != state || c.Protection != p {
		t.Fatalf("state %s, %s; want %s, %s (%v)", c.State, c.Protection, state, p, c.Problem)
	}
	return c
}

// Under require the firewall stands before the first packet of IKE, through
// failure, loss, and the end of the service; only the user takes it away.
func TestRequireNeverOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requireProfile, gatewayProfile)
		defer w.stop()
		sent := 0
		w.net.SetTap(func(p simnet.Packet) bool {
			if p.From.Addr() == clientAddr {
				sent++
				if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
					t.Errorf("packet %d of IKE leaves while the firewall says %v", sent, a)
				}
			}
			return false // the gateway is silent
		})
		err := connect(t, w.client, time.Minute)
		if ae := api.AsError(err); ae == nil || ae.Code != api.CodeGatewaySilent {
			t.Fatalf("got %v", err)
		}
		if sent == 0 {
			t.Fatal("nothing was sent")
		}
		if c := connection(t, w.client); c.Protection != api.Stopped {
			t.Fatalf("after a failed attempt: %s", c.Protection)
		}
		w.net.SetTap(nil)
		time.Sleep(2 * time.Minute) // it tries again by itself
		expect(t, w.client, api.Connected, api.Protected)
		w.carries(t, connection(t, w.client).Addresses[0].String())

		w.net.SetTap(func(simnet.Packet) bool { return false })
		time.Sleep(5 * time.Minute)
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
			t.Errorf("the gateway is gone, and the firewall says %v", a)
		}
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallClear {
			t.Errorf("after the user disconnected the firewall says %v", a)
		}
	})
}

// What is required outlives the service: the firewall stays when it stops, and
// a new one connects again by itself.
func TestRequireOutlivesTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requireProfile, gatewayProfile)
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		w.stop()
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
			t.Fatalf("the service stopped, and the firewall says %v", a)
		}
		if !KeepsGuard(w.cm.State) {
			t.Error("a clean-up would take the firewall away")
		}
		w.cm.Calls()
		ctx, cancel := context.WithCancel(context.Background())
		again := New(Options{Host: w.cm.System(), Version: "test"})
		end := make(chan error, 1)
		go func() { end <- again.Run(ctx) }()
		synctest.Wait()
		if first, _, _ := strings.Cut(w.cm.Calls(), "\n"); !strings.HasPrefix(first, "firewall sallyport0") || !strings.Contains(first, "tunnel only") {
			t.Errorf("the first thing a new service does is %q", first)
		}
		if c := connection(t, again); c.State == api.Disconnected {
			t.Error("the new service does not connect again")
		}
		if err := again.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
		if KeepsGuard(w.cm.State) {
			t.Error("disconnected, and the firewall would still be kept")
		}
	})
}

// Where clear text is allowed in the end, a service that stops leaves the
// machine as it was before.
func TestRequestEndsWithTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requestProfile, gatewayProfile)
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
			t.Fatalf("connected, and the firewall says %v", a)
		}
		w.stop()
		if i := w.cm.Intent(); !i.IsZero() {
			t.Errorf("the service stopped, and the firewall still holds %+v", i)
		}
	})
}

// Without a firewall nothing is connected that must be protected.
func TestRequireNeedsAFirewall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requireProfile, gatewayProfile)
		defer w.stop()
		w.cm.Fail = func(call string) error {
			if strings.Contains(call, "tunnel only") {
				return errors.New("no nftables")
			}
			return nil
		}
		err := connect(t, w.client, time.Minute)
		if ae := api.AsError(err); ae == nil || ae.Code != api.CodeFirewall {
			t.Fatalf("got %v, want firewall", err)
		}
		if c := connection(t, w.client); c.State != api.Disconnected || c.Problem == nil || c.Problem.Code != api.CodeFirewall {
			t.Errorf("state %s, problem %v", c.State, c.Problem)
		}
	})
}

// Request falls back within a second, says so, goes on trying, and moves back
// to protected by itself.
func TestRequestFallsBackLoudly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requestProfile, gatewayProfile)
		defer w.stop()
		var fallbacks []time.Duration
		begin := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.client.Events(ctx, 0, func(ev api.Event) bool {
				if ev.Kind == api.EventFallback {
					fallbacks = append(fallbacks, ev.Time.Sub(begin))
				}
				return true
			})
		}()
		w.net.SetTap(func(simnet.Packet) bool { return false })
		if err := w.client.Connect(t.Context(), api.ConnectRequest{Name: "office"}); err != nil {
			t.Fatal(err)
		}
		expect(t, w.client, api.Connecting, api.Held)
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
			t.Errorf("while it waits the firewall says %v", a)
		}
		time.Sleep(2 * time.Second)
		c := expect(t, w.client, api.Connecting, api.Clear)
		if left := time.Until(c.ClearUntil); left < 4*time.Minute || left > 5*time.Minute {
			t.Errorf("clear for %v more", left)
		}
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallClear {
			t.Errorf("in clear, and the firewall says %v", a)
		}
		time.Sleep(6 * time.Minute) // the fallback is announced again when its time is over
		w.net.SetTap(nil)
		time.Sleep(2 * time.Minute)
		expect(t, w.client, api.Connected, api.Protected)
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
			t.Errorf("protected, and the firewall says %v", a)
		}
		cancel()
		<-done
		if len(fallbacks) != 2 || fallbacks[0] > time.Second {
			t.Errorf("fallbacks after %v, want one within a second and one five minutes later", fallbacks)
		}
		if s, _ := w.client.Security(t.Context()); s.Fallbacks != 2 || s.Warning != "" {
			t.Errorf("monitor: %d fallbacks, warning %q", s.Fallbacks, s.Warning)
		}
	})
}

// The user's leave ends in time, however busy the service is at that moment.
func TestLeaveEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requestProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		w.net.SetTap(func(simnet.Packet) bool { return false })
		time.Sleep(5 * time.Minute)
		if err := w.client.AllowClear(t.Context(), "office", time.Second); err != nil {
			t.Fatal(err)
		}
		if err := w.client.call(t.Context(), func() { time.Sleep(1500 * time.Millisecond) }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
			t.Errorf("the leave is over, and the firewall says %v", a)
		}
	})
}

// Where protection has worked once, a later failure blocks and asks.
func TestDowngradeMemoryBlocksAndAsks(t *testing.T) {
	for name, attack := range map[string]func(w *world){
		"IKE is dropped": func(w *world) { w.net.SetTap(func(simnet.Packet) bool { return false }) },
		"NO_PROPOSAL_CHOSEN is forged": func(w *world) {
			w.net.SetTap(func(p simnet.Packet) bool {
				if p.From.Addr() == clientAddr && p.To.Port() == 500 && len(p.Data) > 28 {
					w.net.Inject(simnet.Packet{From: p.To, To: p.From, Data: forgedRefusal(p.Data)})
				}
				return false
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, requestProfile, gatewayProfile)
				defer w.stop()
				if err := connect(t, w.client, time.Minute); err != nil {
					t.Fatal(err)
				}
				if err := w.client.Disconnect(t.Context(), "office"); err != nil {
					t.Fatal(err)
				}
				attack(w)
				if err := w.client.Connect(t.Context(), api.ConnectRequest{Name: "office"}); err != nil {
					t.Fatal(err)
				}
				for range 100 {
					time.Sleep(time.Second)
					if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
						t.Fatalf("the firewall says %v", a)
					}
				}
				c := connection(t, w.client)
				if c.Protection != api.Stopped || c.Question == "" {
					t.Errorf("%s, question %q", c.Protection, c.Question)
				}
				if err := w.client.AllowClear(t.Context(), "office", time.Minute); err != nil {
					t.Fatal(err)
				}
				if a := action(w.cm, "10.10.0.10"); a != host.FirewallClear {
					t.Errorf("the user allowed it, and the firewall says %v", a)
				}
				time.Sleep(2 * time.Minute)
				if a := action(w.cm, "10.10.0.10"); a != host.FirewallTunnelOnly {
					t.Errorf("the leave is over, and the firewall says %v", a)
				}
				m, err := w.client.Memories(t.Context())
				if err != nil || len(m) != 1 || m[0].Rule != "office" {
					t.Fatalf("memory %v, %v", m, err)
				}
				if err := w.client.Forget(t.Context(), m[0]); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				expect(t, w.client, connection(t, w.client).State, api.Clear)
			})
		})
	}
}

// forgedRefusal answers an IKE_SA_INIT request with NO_PROPOSAL_CHOSEN, as
// anybody who sees the request can.
func forgedRefusal(request []byte) []byte {
	b := append([]byte(nil), request[:28]...)
	b[16], b[19] = 41, 0x20 // first payload: Notify; a response of the responder
	b = append(b, 0, 0, 0, 8, 0, 0, 0, 14)
	b[27], b[26], b[25], b[24] = byte(len(b)), 0, 0, 0
	return b
}

const hostPolicy = `
version = 1
name = "lan"

[[filter_lists]]
name = "the lan"
[[filter_lists.filters]]
source = "me"
destination = "198.51.100.0/24"

[[rules]]
name = "neighbours"
filter_list = "the lan"
filter_action = "ACTION"
[[rules.auth]]
method = "psk"
secret = "lan-psk"
`

// assign stores and assigns a policy for host-to-host protection on both ends.
func (w *world) assignHost(t *testing.T, client, gateway string) {
	t.Helper()
	for e, act := range map[*Engine]string{w.client: client, w.gateway: gateway} {
		if act == "" {
			continue
		}
		e.opt.Host.Secrets.Write("lan-psk", []byte("a secret between neighbours"))
		if _, err := e.StorePolicy(t.Context(), api.PolicyFile{Text: []byte(strings.Replace(hostPolicy, "ACTION", act, 1))}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Assign(api.WithCaller(t.Context(), "the test"), "lan", false); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second)
}

// Two machines on a LAN protect each other; the packet that started it arrives.
func TestHostToHost(t *testing.T) {
	for _, ends := range [][2]string{{"Require security", "Require security"}, {"Request security", "Respond only"}, {"Request security", "Request security"}} {
		t.Run(ends[0]+" with "+ends[1], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "", "")
				defer w.stop()
				w.assignHost(t, ends[0], ends[1])
				pkt := udp4("198.51.100.100", "198.51.100.1", "hello")
				w.cm.TUN().InjectPacket(pkt)
				select {
				case got := <-w.gm.TUN().Out:
					if string(got[host.VNetLen:]) != string(pkt) {
						t.Fatalf("got %x", got)
					}
				case <-time.After(5 * time.Second):
					d, _ := w.client.Dynamic(t.Context())
					l, _ := w.client.Log(t.Context(), 20)
					t.Fatalf("the packet did not arrive; client %+v; log %v", d, l)
				}
				back := udp4("198.51.100.1", "198.51.100.100", "hello yourself")
				w.gm.TUN().InjectPacket(back)
				if got := <-w.cm.TUN().Out; string(got[host.VNetLen:]) != string(back) {
					t.Errorf("back came %x", got)
				}
				if p := ruleNow(t, w.client, "neighbours"); p != api.Protected {
					t.Errorf("the only peer is protected, and the rule is shown as %s", p)
				}
				for name, m := range map[string]*hosttest.Machine{"client": w.cm, "gateway": w.gm} {
					peer := map[string]string{"client": "198.51.100.1", "gateway": "198.51.100.100"}[name]
					if a := action(m, peer); a != host.FirewallTunnelOnly {
						t.Errorf("%s: protected, and the firewall says %v", name, a)
					}
				}
			})
		})
	}
}

// ruleNow returns what becomes of the traffic of a rule.
func ruleNow(t *testing.T, e *Engine, rule string) api.Protection {
	t.Helper()
	s, err := e.Security(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(s.Coverage, func(c api.Coverage) bool { return c.Rule == rule })
	if i < 0 {
		t.Fatalf("no rule %q in %+v", rule, s.Coverage)
	}
	return s.Coverage[i].Protection
}

// A peer that speaks no IPsec is reached in clear in a second, and asked again
// when the fallback is over.
func TestHostToHostFallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "", "")
		defer w.stop()
		w.assignHost(t, "Request security", "")
		w.cm.Calls()
		w.cm.TUN().InjectPacket(udp4("198.51.100.100", "198.51.100.7", "anybody?"))
		time.Sleep(time.Second)
		if a := action(w.cm, "198.51.100.7"); a != host.FirewallClear {
			t.Errorf("a second later the firewall says %v", a)
		}
		if a := action(w.cm, "198.51.100.8"); a != host.FirewallTunnelOnly {
			t.Errorf("for another host the firewall says %v", a)
		}
		if calls := w.cm.Calls(); !strings.Contains(calls, "198.51.100.6/32 src") {
			t.Errorf("the peer's route still leads into the device:\n%s", calls)
		}
		if p := ruleNow(t, w.client, "neighbours"); p != api.Clear {
			t.Errorf("a peer is in clear, and the rule is shown as %s", p)
		}
		time.Sleep(6 * time.Minute)
		if a := action(w.cm, "198.51.100.7"); a != host.FirewallTunnelOnly {
			t.Errorf("the fallback is over, and the firewall says %v", a)
		}
		if err := w.client.Unassign(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if i := w.cm.Intent(); !i.IsZero() {
			t.Error("unassigned, and the firewall is still there")
		}
		s, err := w.client.State(t.Context())
		if err != nil || len(s.Connections) != 0 {
			t.Errorf("left over: %+v, %v", s.Connections, err)
		}
	})
}

// Where the firewall or a bad network keeps the name servers away, the
// addresses that the gateway had last still lead there.
func TestNamesAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		named := strings.Replace(requireProfile, `"198.51.100.1"`, `"vpn.example"`, 1)
		w := newWorld(t, named, gatewayProfile)
		defer w.stop()
		fail := errors.New("no name server")
		answers := []error{nil, fail, fail, fail, fail, fail, fail, fail, fail, fail}
		w.client.opt.Resolve = func(_ context.Context, name string) ([]netip.Addr, error) {
			err := answers[0]
			answers = answers[1:]
			if err != nil {
				return nil, err
			}
			return []netip.Addr{gatewayAddr}, nil
		}
		for range 2 {
			if err := connect(t, w.client, time.Minute); err != nil {
				t.Fatal(err)
			}
			if err := w.client.Disconnect(t.Context(), "office"); err != nil {
				t.Fatal(err)
			}
		}
		w.cm.State.Remove(namesFile)
		err := connect(t, w.client, time.Minute)
		if ae := api.AsError(err); ae == nil || ae.Code != api.CodeResolve {
			t.Errorf("without a name server or a memory: %v", err)
		}
	})
}

// An exempt local network stays out of a full tunnel, and in one that is meant
// for its addresses.
func TestLANStaysOutOfTheTunnel(t *testing.T) {
	route := func(s string, bypass bool) host.Route {
		return host.Route{Dst: netip.MustParsePrefix(s), Bypass: bypass}
	}
	lan := []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix("fd00:7::/64")}
	for _, tt := range []struct {
		name       string
		have, want []host.Route
	}{
		{"full tunnel", []host.Route{route("0.0.0.0/0", false), route("::/0", false)},
			[]host.Route{route("0.0.0.0/0", false), route("::/0", false), route("192.168.7.0/24", true), route("fd00:7::/64", true)}},
		{"IPv4 only", []host.Route{route("0.0.0.0/0", false)}, []host.Route{route("0.0.0.0/0", false), route("192.168.7.0/24", true)}},
		{"the office's own addresses", []host.Route{route("192.168.0.0/16", false)}, []host.Route{route("192.168.0.0/16", false)}},
		{"another network", []host.Route{route("203.0.113.0/24", false)}, []host.Route{route("203.0.113.0/24", false)}},
	} {
		r := host.RouteConfig{Routes: slices.Clone(tt.have)}
		wantLAN(&r, lan)
		if !slices.Equal(r.Routes, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, r.Routes, tt.want)
		}
	}
}

// A downgrade memory that cannot be read is kept aside for the admin.
func TestDamagedMemoryIsKeptAside(t *testing.T) {
	files := hosttest.NewFiles()
	files.Write(memoryFile, []byte("{not json"))
	m, err := loadMemory(files)
	if err == nil || m == nil || len(m.entries) != 0 {
		t.Fatalf("got %+v, %v", m, err)
	}
	if err := m.worked(netip.MustParsePrefix("198.51.100.0/24"), "198.51.100.1", "office", time.Now()); err != nil {
		t.Fatal(err)
	}
	if b, err := files.Read(damagedMemory); err != nil || string(b) != "{not json" {
		t.Errorf("aside lies %q, %v", b, err)
	}
}
