package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/internal/hosttest"
	"sallyport/core/internal/simnet"
)

const clientProfile = `
version = 1
name = "office"
gateways = ["198.51.100.1"]
virtual_ips = ["0.0.0.0", "::"]

[local]
method = "psk"
id = "alice@vpn.test"
secret = "office+psk"

[remote]
method = "psk"
id = "gw.vpn.test"

[[children]]
name = "net"
remote_ts = ["10.10.0.0/16", "fd00:10::/64"]
`

var (
	requireProfile = strings.Replace(clientProfile, "gateways", "profile = \"require\"\ngateways", 1)
	requestProfile = strings.Replace(clientProfile, "gateways", "profile = \"request\"\ngateways", 1)
)

const gatewayProfile = `
version = 1
name = "workers"
role = "responder"

[local]
method = "psk"
id = "gw.vpn.test"
secret = "workers+psk"

[remote]
method = "psk"

[[children]]
name = "net"
local_ts = ["10.10.0.0/16", "fd00:10::/64"]

[[pools]]
name = "v4"
addresses = "10.20.0.0/24"
dns = ["10.10.0.10"]

[[pools]]
name = "v6"
addresses = "fd00:20::/120"
`

var (
	clientAddr  = netip.MustParseAddr("198.51.100.100")
	gatewayAddr = netip.MustParseAddr("198.51.100.1")
)

// A world is a client and a gateway, each a whole engine, on a simulated
// network.
type world struct {
	net             *simnet.Net
	client, gateway *Engine
	cm, gm          *hosttest.Machine
	stop            func()
}

// newWorld starts both engines. It must run in a synctest bubble.
func newWorld(t *testing.T, client, gateway string, prepare ...func(client *hosttest.Machine, h *simnet.Host)) *world {
	t.Helper()
	w := &world{net: simnet.New(1)}
	w.net.SetFaults(simnet.Faults{Delay: 5 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	var ends []chan error
	start := func(addr netip.Addr, name, text, psk string) (*Engine, *hosttest.Machine) {
		h := w.net.Host(addr, netip.Addr{})
		m := hosttest.NewMachine(h.OpenUDP, h.Source)
		m.DialTCP, m.ListenTCP = h.DialTCP, h.ListenTCP
		if text != "" {
			m.Profiles.Write(name+".toml", []byte(text))
			m.Secrets.Write(name+"+psk", []byte(psk))
		}
		for _, f := range prepare {
			if addr == clientAddr {
				f(m, h)
			}
		}
		e := New(Options{Host: m.System(), Version: "test"})
		end := make(chan error, 1)
		ends = append(ends, end)
		go func() { end <- e.Run(ctx) }()
		return e, m
	}
	w.gateway, w.gm = start(gatewayAddr, "workers", gateway, "correct horse battery staple")
	w.client, w.cm = start(clientAddr, "office", client, "correct horse battery staple")
	w.stop = func() {
		cancel()
		for _, end := range ends {
			if err := <-end; err != nil {
				t.Errorf("engine: %v", err)
			}
		}
	}
	synctest.Wait()
	return w
}

// connection returns the only connection of an engine.
func connection(t *testing.T, e *Engine) api.Connection {
	t.Helper()
	s, err := e.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Connections) != 1 {
		t.Fatalf("%d connections, want 1", len(s.Connections))
	}
	return s.Connections[0]
}

func connect(t *testing.T, e *Engine, wait time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	return e.Connect(ctx, api.ConnectRequest{Name: "office", Wait: true})
}

// udp4 returns an IPv4 UDP packet.
func udp4(src, dst string, payload string) []byte {
	b := make([]byte, 28, 28+len(payload))
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(payload)))
	s, d := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(b[20:], 4000)
	binary.BigEndian.PutUint16(b[22:], 5000)
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(payload)))
	return append(b, payload...)
}

// carries sends a packet through the tunnel each way and expects it.
func (w *world) carries(t *testing.T, inner string) {
	t.Helper()
	pass := func(from, to *hosttest.Machine, pkt []byte) {
		t.Helper()
		from.TUN().InjectPacket(pkt)
		select {
		case got := <-to.TUN().Out:
			if string(got[host.VNetLen:]) != string(pkt) {
				t.Fatalf("got packet %x, want %x", got[host.VNetLen:], pkt)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the packet did not arrive")
		}
	}
	pass(w.cm, w.gm, udp4(inner, "10.10.0.10", "ping"))
	pass(w.gm, w.cm, udp4("10.10.0.10", inner, "pong"))
}

func TestConnectCarryDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		if got := connection(t, w.gateway).State; got != api.Listening {
			t.Fatalf("gateway is %s, want listening", got)
		}
		if err := connect(t, w.client, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		c := connection(t, w.client)
		if c.State != api.Connected || fmt.Sprint(c.Addresses) != "[10.20.0.1 fd00:20::1]" || fmt.Sprint(c.DNS) != "[10.10.0.10]" {
			t.Errorf("connected as %+v", c)
		}
		w.carries(t, "10.20.0.1")
		want := `firewall clean-up
open tun sallyport0
routes fake0 addresses [10.20.0.1/32 fd00:20::1/128] 10.10.0.0/16 src 10.20.0.1 fd00:10::/64 src fd00:20::1
dns [10.10.0.10] search [] only []
firewall fake0 inner [10.20.0.1 fd00:20::1] {0.0.0.0/0 > 10.10.0.0/16 tunnel only} {::/0 > fd00:10::/64 tunnel only} default clear IKE [500 4500] lookup DHCP NDP DNS inside`
		if got := w.cm.Calls(); got != want {
			t.Errorf("the client's host:\n%s\nwant\n%s", got, want)
		}
		d, err := w.gateway.Dynamic(t.Context())
		if err != nil || len(d.IKESAs) != 1 || len(d.ChildSAs) != 1 || d.ChildSAs[0].Counters.InPackets != 1 {
			t.Errorf("gateway's SAs: %+v, %v", d, err)
		}
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		if got, want := w.cm.Calls(), "firewall none\ndns none\nroutes none"; got != want {
			t.Errorf("after disconnecting:\n%s\nwant\n%s", got, want)
		}
		time.Sleep(time.Minute)
		if d, err := w.gateway.Dynamic(t.Context()); err != nil || len(d.IKESAs) != 0 || len(d.ChildSAs) != 0 {
			t.Errorf("the gateway still has %+v, %v", d, err)
		}
		if d, err := w.client.Dynamic(t.Context()); err != nil || len(d.IKESAs) != 0 {
			t.Errorf("the client still has %+v, %v", d, err)
		}
	})
}

// Nothing is lost and nothing needs the user when SAs are rekeyed, over days.
func TestLongLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		for range 96 {
			time.Sleep(30 * time.Minute)
			w.carries(t, "10.20.0.1")
		}
		d, err := w.client.Dynamic(t.Context())
		if err != nil || len(d.IKESAs) != 1 {
			t.Fatalf("after two days: %+v, %v", d, err)
		}
		if d.IKESAs[0].Rekeys < 5 {
			t.Errorf("the IKE SA was rekeyed %d times in two days", d.IKESAs[0].Rekeys)
		}
	})
}

func TestSilentGatewayIsExplainedAndNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, "")
		defer w.stop()
		begin := time.Now()
		err := connect(t, w.client, time.Minute)
		var ae *api.Error
		if !errors.As(err, &ae) || ae.Code != api.CodeGatewaySilent {
			t.Fatalf("got %v, want gateway_silent", err)
		}
		if took := time.Since(begin); took > 30*time.Second {
			t.Errorf("took %v", took)
		}
		if c := connection(t, w.client); c.State != api.Disconnected || c.Problem == nil {
			t.Errorf("state %s, problem %v", c.State, c.Problem)
		}
		if got := w.cm.Calls(); got != "firewall clean-up" {
			t.Errorf("the host was asked for something:\n%s", got)
		}
	})
}

func TestWrongPSK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		w.cm.Secrets.Write("office+psk", []byte("another horse"))
		err := connect(t, w.client, time.Minute)
		var ae *api.Error
		if !errors.As(err, &ae) || ae.Code != api.CodeAuthRefused {
			t.Fatalf("got %v, want auth_refused", err)
		}
		if strings.Contains(ae.Error(), "horse") {
			t.Errorf("the error quotes the secret: %v", ae)
		}
		d, _ := w.gateway.Dynamic(t.Context())
		if len(d.IKESAs) != 0 {
			t.Errorf("the gateway keeps %+v", d.IKESAs)
		}
	})
}

// A gateway that dies is noticed, and found again when it is back, while the
// protected networks stay routed into the tunnel.
func TestGatewayDiesAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(requireProfile, "gateways", "transport = \"udp\"\ngateways", 1), gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		w.cm.Calls()
		w.net.SetTap(func(simnet.Packet) bool { return false })
		time.Sleep(2 * time.Minute)
		if c := connection(t, w.client); c.State != api.Reconnecting && c.State != api.Blocked || c.Protection != api.Stopped {
			t.Fatalf("two minutes after the gateway vanished: %s, %s", c.State, c.Protection)
		}
		if got := w.cm.Calls(); got != "" {
			t.Errorf("the host was changed while reconnecting:\n%s", got)
		}
		w.net.SetTap(nil)
		time.Sleep(90 * time.Second)
		c := connection(t, w.client)
		if c.State != api.Connected {
			t.Fatalf("after the gateway came back: %s, %v", c.State, c.Problem)
		}
		w.carries(t, c.Addresses[0].String())
	})
}

// TestGatewayStopsInTheHandshake stops the gateway when it has answered
// IKE_SA_INIT: that refuses nobody, and the client is there again when the gateway is.
func TestGatewayStopsInTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, requireProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		stopped := false
		w.net.SetTap(func(p simnet.Packet) bool {
			if !stopped && p.From.Addr() == clientAddr && p.To.Port() == 4500 {
				stopped = true
				go func() {
					for _, f := range []func() error{
						func() error { return w.gateway.Disconnect(t.Context(), "workers") },
						func() error { time.Sleep(time.Minute); return nil },
						func() error { return w.gateway.Connect(t.Context(), api.ConnectRequest{Name: "workers"}) },
					} {
						if err := f(); err != nil {
							t.Error(err)
						}
					}
				}()
			}
			// The Delete of the old IKE SA does not arrive: no answer to it either.
			isIKE := len(p.Data) >= 32 && binary.BigEndian.Uint32(p.Data) == 0
			return p.From != netip.AddrPortFrom(gatewayAddr, 4500) || !isIKE || p.Data[4+19]&0x20 != 0
		})
		if err := w.client.call(t.Context(), func() { // it begins anew, and the gateway still has the old one
			c := w.client.conns["office"]
			c.ticket = nil
			w.client.perform(c.current.sa.Abandon(time.Now()))
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		if c := connection(t, w.client); c.State != api.Connected || !stopped {
			t.Fatalf("%s: %v", c.State, c.Problem)
		}
		w.carries(t, "10.20.0.1")
	})
}

func TestHostRefusesRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		w.cm.Fail = func(call string) error {
			if strings.HasPrefix(call, "routes fake0") {
				return errors.New("no buffer space")
			}
			return nil
		}
		err := connect(t, w.client, time.Minute)
		var ae *api.Error
		if !errors.As(err, &ae) || ae.Code != api.CodeNetworkSetup {
			t.Fatalf("got %v, want network_setup", err)
		}
		if c := connection(t, w.client); c.State != api.Disconnected {
			t.Errorf("state %s", c.State)
		}
		if calls := w.cm.Calls(); !strings.HasSuffix(calls, "routes none") {
			t.Errorf("the last thing asked of the host was not to undo:\n%s", calls)
		}
	})
}

func TestRoutesRemovedByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		w.cm.Calls()
		w.cm.LoseRoutes()
		synctest.Wait()
		if calls := w.cm.Calls(); !strings.Contains(calls, "routes fake0 addresses") {
			t.Errorf("routes that were removed were not set again:\n%s", calls)
		}
	})
}

func TestCancelWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, "")
		defer w.stop()
		if err := w.client.Connect(t.Context(), api.ConnectRequest{Name: "office"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		if c := connection(t, w.client); c.State != api.Disconnected {
			t.Errorf("state %s", c.State)
		}
	})
}

func TestConnectOnALossyNetwork(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, clientProfile, gatewayProfile)
				defer w.stop()
				w.net.Reseed(seed)
				w.net.SetFaults(simnet.Faults{Loss: .2, Repeat: .2, Delay: 20 * time.Millisecond, Jitter: 300 * time.Millisecond})
				if err := connect(t, w.client, 2*time.Minute); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestUnknownConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, "")
		defer w.stop()
		for name, err := range map[string]error{
			"connect":    w.client.Connect(t.Context(), api.ConnectRequest{Name: "nowhere"}),
			"disconnect": w.client.Disconnect(t.Context(), "nowhere"),
			"remove":     w.client.Remove(t.Context(), "nowhere"),
		} {
			var ae *api.Error
			if !errors.As(err, &ae) || ae.Code != api.CodeNotFound {
				t.Errorf("%s: %v, want not_found", name, err)
			}
		}
	})
}

// The events tell the same story as the states.
func TestEventsTellTheStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, gatewayProfile)
		defer w.stop()
		s, err := w.client.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var states []api.TunnelState
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.client.Events(ctx, s.Seq, func(ev api.Event) bool {
				if ev.Kind == api.EventConnection && (len(states) == 0 || states[len(states)-1] != ev.Connection.State) {
					states = append(states, ev.Connection.State)
				}
				return true
			})
		}()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := w.client.Disconnect(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		<-done
		if got, want := fmt.Sprint(states), "[connecting connected disconnecting disconnected]"; got != want {
			t.Errorf("states %s, want %s", got, want)
		}
	})
}
