package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/internal/hosttest"
	"sallyport/core/internal/simnet"
)

var (
	tcpGateway = strings.Replace(gatewayProfile, "role =", "tcp_ports = [\"4500\", \"443\"]\nrole =", 1)
	tcpClient  = strings.Replace(clientProfile, "gateways", "transport = \"tcp\"\ngateways", 1)
	tlsClient  = strings.Replace(clientProfile, "gateways", "transport = \"tcp\"\ntcp_ports = [\"443/tls\"]\ngateways", 1)
)

// blockUDP lets no datagram through.
func (w *world) blockUDP(block bool) {
	w.net.SetTap(func(simnet.Packet) bool { return !block })
}

// mustCarry sends a packet each way.
func (w *world) mustCarry(t *testing.T, tag string) {
	t.Helper()
	inside := connection(t, w.client).Addresses[0].String()
	for _, x := range []struct {
		from, to *hosttest.Machine
		packet   []byte
	}{{w.cm, w.gm, udp4(inside, "10.10.0.10", "out "+tag)}, {w.gm, w.cm, udp4("10.10.0.10", inside, "back "+tag)}} {
		x.from.TUN().InjectPacket(x.packet)
		select {
		case <-x.to.TUN().Out:
		case <-time.After(3 * time.Second):
			t.Fatalf("%s: the packet does not arrive; drops %v at the client, %v at the gateway", tag, drops(t, w.client), drops(t, w.gateway))
		}
	}
}

func drops(t *testing.T, e *Engine) map[string]uint64 {
	t.Helper()
	d, err := e.Dynamic(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d.Drops
}

func TestUDPBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, tcpGateway)
		defer w.stop()
		w.blockUDP(true)
		began := time.Now()
		if err := connect(t, w.client, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
		w.mustCarry(t, "over TCP")
		c := connection(t, w.client)
		if !strings.Contains(c.Path, "(TCP)") || c.Transport == nil || *c.Transport != (api.Transport{TCP: 4500, Why: api.TransportUDPSilent}) {
			t.Errorf("path %s, transport %+v", c.Path, c.Transport)
		}
	})
}

// TestUDPFirst: a gateway that answers on UDP sees no TCP, however slow it is.
func TestUDPFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, tcpGateway)
		defer w.stop()
		w.net.SetFaults(simnet.Faults{Delay: 500 * time.Millisecond})
		w.net.RefuseTCP(func(from, to netip.AddrPort) error {
			t.Errorf("a connection from %v to %v", from, to)
			return errors.New("refused")
		})
		if err := connect(t, w.client, 20*time.Second); err != nil {
			t.Fatal(err)
		}
		if c := connection(t, w.client); c.Transport == nil || c.Transport.TCP != 0 {
			t.Errorf("transport %+v", c.Transport)
		}
	})
}

// TestOnlyPort500: the network lets IKE_SA_INIT through, and not port 4500.
func TestOnlyPort500(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, tcpGateway)
		defer w.stop()
		w.net.SetTap(func(p simnet.Packet) bool { return p.To.Port() == 500 || p.From.Port() == 500 })
		if err := connect(t, w.client, 6*time.Second); err != nil {
			t.Fatal(err)
		}
		w.mustCarry(t, "over TCP")
		if d, err := w.gateway.Dynamic(t.Context()); err != nil || len(d.IKESAs) != 1 {
			t.Errorf("the gateway has %+v, %v", d.IKESAs, err)
		}
	})
}

// TestNarrowPathIsNotBlocked: on port 4500 the first request is lost, and the first
// answer to it, because they are too large to pass whole. What is repeated passes,
// and nobody goes to TCP for it.
func TestNarrowPathIsNotBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, tcpGateway)
		defer w.stop()
		w.net.SetFaults(simnet.Faults{Delay: 100 * time.Millisecond})
		seen := map[netip.AddrPort]bool{}
		var mu sync.Mutex // guards seen
		w.net.SetTap(func(p simnet.Packet) bool {
			mu.Lock()
			defer mu.Unlock()
			passes := p.From.Port() != 4500 || seen[p.From]
			seen[p.From] = true
			return passes
		})
		w.net.RefuseTCP(func(from, to netip.AddrPort) error {
			t.Errorf("a connection from %v to %v", from, to)
			return errors.New("refused")
		})
		if err := connect(t, w.client, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		w.mustCarry(t, "over UDP")
	})
}

func TestTransportTCP(t *testing.T) {
	for name, profile := range map[string]string{"bare": tcpClient, "tls": tlsClient} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, profile, tcpGateway)
				defer w.stop()
				w.net.SetTap(func(p simnet.Packet) bool {
					t.Errorf("a datagram to %v", p.To)
					return true
				})
				began := time.Now()
				if err := connect(t, w.client, 10*time.Second); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("took %v", took)
				}
				w.mustCarry(t, name)
				if c := connection(t, w.client); c.Transport == nil || c.Transport.TLS != (name == "tls") || c.Transport.Why != api.TransportWanted {
					t.Errorf("transport %+v", c.Transport)
				}
				time.Sleep(5 * time.Minute) // liveness checks, and whoever looks for connections that nobody uses
				w.mustCarry(t, "later")
			})
		})
	}
}

// TestConnectionBreaks: the tunnel outlives its TCP connection (RFC 9329,
// section 6.1).
func TestConnectionBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, tcpClient, tcpGateway)
		defer w.stop()
		if err := connect(t, w.client, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if n := w.net.BreakTCP(); n != 1 {
				t.Errorf("%d connections", n)
			}
			time.Sleep(100 * time.Millisecond)
			w.mustCarry(t, fmt.Sprint("after break ", i))
		}
		w.net.RefuseTCP(func(_, _ netip.AddrPort) error { return errors.New("no way") })
		w.net.BreakTCP()
		time.Sleep(10 * time.Second)
		w.net.RefuseTCP(nil)
		time.Sleep(5 * time.Second)
		w.mustCarry(t, "after ten seconds")
		d, err := w.client.Dynamic(t.Context())
		if err != nil || len(d.IKESAs) != 1 || time.Since(d.IKESAs[0].Established) < 15*time.Second {
			t.Errorf("it is another IKE SA: %+v, %v", d.IKESAs, err)
		}
	})
}

// TestUDPHeals: the tunnel goes back to UDP when that works again, and nothing that
// travels meanwhile is lost.
func TestUDPHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, tcpGateway)
		defer w.stop()
		w.blockUDP(true)
		if err := connect(t, w.client, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second) // one knock in vain
		w.blockUDP(false)
		for i := range 400 {
			w.mustCarry(t, fmt.Sprint("packet ", i))
			time.Sleep(50 * time.Millisecond)
		}
		if c := connection(t, w.client); strings.Contains(c.Path, "TCP") || c.Transport.TCP != 0 {
			t.Errorf("path %s, transport %+v", c.Path, c.Transport)
		}
		d, err := w.gateway.Dynamic(t.Context())
		if err != nil || len(d.IKESAs) != 1 || !strings.HasSuffix(d.IKESAs[0].Remote, ":4500") {
			t.Errorf("the gateway has %+v, %v", d.IKESAs, err)
		}
		time.Sleep(proveTime + 2*pollInterval)
		if n := w.net.BreakTCP(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		w.mustCarry(t, "at last")
		if b, err := w.cm.State.Read(waysFile); err != nil || strings.Contains(string(b), "4500") {
			t.Errorf("still remembered: %s, %v", b, err)
		}
	})
}

// TestUDPHealsNot: UDP carries the first messages only. The tunnel is back on TCP
// soon, and stays there.
func TestUDPHealsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, tcpGateway)
		defer w.stop()
		w.blockUDP(true)
		if err := connect(t, w.client, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		w.net.SetTap(func(p simnet.Packet) bool { // IKE_SA_INIT behind the marker, and nothing else
			return len(p.Data) > 22 && p.Data[4+18] == 34
		})
		time.Sleep(20 * time.Second)
		w.mustCarry(t, "back on TCP")
		if c := connection(t, w.client); c.Transport.TCP == 0 || c.State != api.Connected {
			t.Errorf("%s, transport %+v", c.State, c.Transport)
		}
	})
}

// TestFirewallLetsTCPThrough: under require the way to the gateway's TCP port is
// open while it is wanted, and no longer.
func TestFirewallLetsTCPThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(requireProfile, "gateways", "transport = \"tcp\"\ngateways", 1), tcpGateway)
		defer w.stop()
		if err := connect(t, w.client, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		open := "TCP [198.51.100.1:4500]"
		if calls := w.cm.Calls(); !strings.Contains(calls, open) {
			t.Errorf("the firewall lets none through:\n%s", calls)
		}
		w.net.RefuseTCP(func(_, _ netip.AddrPort) error { return errors.New("no way") })
		w.net.BreakTCP()
		time.Sleep(2 * time.Minute)
		calls := strings.Split(strings.TrimSpace(w.cm.Calls()), "\n")
		if last := calls[len(calls)-1]; strings.Contains(last, open) {
			t.Errorf("the firewall lets TCP through for nothing:\n%s", strings.Join(calls, "\n"))
		}
	})
}

// TestUDPFallsSilent: a tunnel on UDP goes on over TCP when its network stops
// letting UDP through, with the same IKE SA.
func TestUDPFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, tcpGateway)
		defer w.stop()
		if err := connect(t, w.client, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		time.Sleep(10 * time.Second)
		w.blockUDP(true)
		w.cm.NetworkChanged()
		time.Sleep(5 * time.Second)
		w.mustCarry(t, "over TCP")
		if c := connection(t, w.client); c.Transport.TCP != 4500 || c.Transport.Why != api.TransportUDPSilent {
			t.Errorf("transport %+v", c.Transport)
		}
		w.blockUDP(false)
		time.Sleep(30 * time.Second)
		w.mustCarry(t, "back on UDP")
		if c := connection(t, w.client); c.Transport.TCP != 0 {
			t.Errorf("transport %+v", c.Transport)
		}
		if d, err := w.client.Dynamic(t.Context()); err != nil || len(d.IKESAs) != 1 || d.IKESAs[0].Established.After(began.Add(time.Second)) {
			t.Errorf("IKE SAs: %+v, %v", d.IKESAs, err)
		}
	})
}

// TestProbeOverTCP: a test of a connection takes TCP where UDP leads nowhere.
func TestProbeOverTCP(t *testing.T) {
	for name, profile := range map[string]string{"asked for": tlsClient, "udp silent": strings.Replace(clientProfile, "gateways", "tcp_ports = [\"4500\"]\ngateways", 1)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "", tcpGateway)
				defer w.stop()
				w.blockUDP(true)
				r, err := w.client.Test(t.Context(), api.ImportRequest{Files: []api.File{
					{Path: "office.toml", Data: []byte(strings.Replace(profile, "office+psk", "own.psk", 1))},
					{Path: "own.psk", Data: []byte("correct horse battery staple")},
				}})
				if err != nil || r.Problem != nil || len(r.Steps) != 5 {
					t.Fatalf("%+v, %v", r, err)
				}
				w.net.RefuseTCP(func(_, _ netip.AddrPort) error { return errors.New("connection refused") })
				r, err = w.client.Test(t.Context(), api.ImportRequest{Files: []api.File{
					{Path: "office.toml", Data: []byte(strings.Replace(profile, "office+psk", "own.psk", 1))},
					{Path: "own.psk", Data: []byte("correct horse battery staple")},
				}})
				if err != nil || r.Problem == nil || r.Problem.Code != api.CodeNoTransport {
					t.Errorf("%+v, %v", r.Problem, err)
				}
			})
		})
	}
}

// TestGatewayHangsUp: what waits at the TCP port is not a gateway, and the
// explanation does not blame UDP.
func TestGatewayHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, tcpClient, "")
		defer w.stop()
		l, err := w.net.Host(gatewayAddr, netip.Addr{}).ListenTCP(false, 4500)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Read(make([]byte, 10))
				c.Close()
			}
		}()
		err = connect(t, w.client, 20*time.Second)
		var e *api.Error
		if !errors.As(err, &e) || e.Code != api.CodeNoTransport || !strings.Contains(e.Why, "closed the TCP connection") {
			t.Errorf("got %v", err)
		}
	})
}

// TestNoTransport: neither UDP nor TCP reaches the gateway, and the explanation
// says so.
func TestNoTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strings.Replace(clientProfile, "gateways", "tcp_ports = [\"4500\"]\ngateways", 1), tcpGateway)
		defer w.stop()
		w.blockUDP(true)
		w.net.RefuseTCP(func(_, _ netip.AddrPort) error { return errors.New("connection refused") })
		err := connect(t, w.client, time.Minute)
		var e *api.Error
		if !errors.As(err, &e) || e.Code != api.CodeNoTransport || !strings.Contains(e.Error(), "onnection refused") {
			t.Errorf("got %v", err)
		}
	})
}

// TestWayIsRemembered: the next time in this network TCP comes first.
func TestWayIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, clientProfile, tcpGateway)
		defer w.stop()
		w.blockUDP(true)
		for i, most := range []time.Duration{3 * time.Second, 300 * time.Millisecond} {
			began := time.Now()
			if err := connect(t, w.client, 10*time.Second); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > most {
				t.Errorf("connection %d took %v", i, took)
			}
			if err := w.client.Disconnect(t.Context(), "office"); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := w.cm.State.Read(waysFile); err != nil || !strings.Contains(string(b), "198.51.100.0/24") {
			t.Errorf("remembered %s, %v", b, err)
		}
	})
}

// TestStrangersAtTheDoor: connections that say nothing are few, and let go; those
// who are in are not disturbed, and the next ones get in again.
func TestStrangersAtTheDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, tcpClient, tcpGateway)
		defer w.stop()
		if err := connect(t, w.client, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pollInterval + time.Second) // who is in counts no more
		stranger := w.net.Host(netip.MustParseAddr("203.0.113.66"), netip.Addr{})
		at := netip.AddrPortFrom(gatewayAddr, 443)
		var flood []net.Conn
		for range 100 {
			c, err := stranger.DialTCP(context.Background(), at)
			if err != nil {
				t.Fatal(err)
			}
			flood = append(flood, c)
		}
		kept := 0
		for _, c := range flood {
			if waits(c) {
				kept++
			}
		}
		if n := drops(t, w.gateway)["tcp: no room"]; n != 100-maxStrangersOne {
			t.Errorf("%d were counted as turned away", n)
		}
		if kept != maxStrangersOne {
			t.Errorf("%d of 100 connections are kept", kept)
		}
		w.mustCarry(t, "meanwhile")
		time.Sleep(greetTime + time.Second)
		c, err := stranger.DialTCP(context.Background(), at)
		if err != nil {
			t.Fatal(err)
		}
		if !waits(c) {
			t.Error("there is no room after the flood")
		}
		c.Close()
		for _, c := range flood {
			c.Close()
		}
	})
}

// waits reports whether the other end keeps a connection.
func waits(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// A closingConn is a TCP connection to a gateway that closes it after its first
// answer, when that is no more than a notify.
type closingConn struct {
	net.Conn
	answered bool
}

func (c *closingConn) Read(b []byte) (int, error) {
	if c.answered {
		c.Close()
		return 0, io.EOF
	}
	n, err := c.Conn.Read(b)
	c.answered = n > 0 && n < 100
	return n, err
}

// closing lets the gateway close TCP connections after answers that keep nothing,
// limit times at most, and counts the connections.
func closing(limit int, dialled *int) func(*hosttest.Machine, *simnet.Host) {
	return func(m *hosttest.Machine, h *simnet.Host) {
		m.DialTCP = func(ctx context.Context, at netip.AddrPort) (net.Conn, error) {
			*dialled++
			c, err := h.DialTCP(ctx, at)
			if err != nil || *dialled > limit {
				return c, err
			}
			return &closingConn{Conn: c}, nil
		}
	}
}

// withGroups gives a profile key exchanges for the IKE SA.
func withGroups(profile, groups string) string {
	return strings.Replace(profile, "[local]", "[ike]\nquantum = \"off\"\nproposals = [\"aes256gcm16-prfsha256-"+groups+"\"]\n\n[local]", 1)
}

// TestGatewayClosesAfterAnswer: a gateway that asks for another key exchange, and
// closes the connection with that, is asked through another one at once.
func TestGatewayClosesAfterAnswer(t *testing.T) {
	for name, profile := range map[string]string{"bare": tcpClient, "tls": tlsClient} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dialled := 0
				w := newWorld(t, withGroups(profile, "x25519-ecp256"), withGroups(tcpGateway, "ecp256"), closing(1, &dialled))
				defer w.stop()
				began := time.Now()
				if err := connect(t, w.client, 10*time.Second); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > time.Second || dialled != 2 {
					t.Errorf("took %v and %d connections", took, dialled)
				}
				w.mustCarry(t, name)
				if c := connection(t, w.client); c.Transport == nil || c.Transport.TCP == 0 {
					t.Errorf("transport %+v", c.Transport)
				}
				time.Sleep(proveTime + 2*pollInterval)
				w.mustCarry(t, "later")
				if n := w.net.BreakTCP(); n != 1 {
					t.Errorf("%d connections", n)
				}
			})
		})
	}
}

// TestGatewayClosesForever: the attempt is bounded, also when there is no other
// connection to be had, and says what happened.
func TestGatewayClosesForever(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			dialled := 0
			// Whatever is asked again is answered with the end of the connection.
			w := newWorld(t, withGroups(tcpClient, "x25519-ecp256"), withGroups(tcpGateway, "ecp256"), func(m *hosttest.Machine, h *simnet.Host) {
				m.DialTCP = func(ctx context.Context, at netip.AddrPort) (net.Conn, error) {
					if dialled++; dialled > 1 && refuses {
						return nil, errors.New("refused")
					}
					c, err := h.DialTCP(ctx, at)
					if err != nil {
						return nil, err
					}
					return &closingConn{Conn: c, answered: dialled > 1}, nil
				}
			})
			defer w.stop()
			wantCode(t, connect(t, w.client, time.Minute), api.CodeNoTransport)
			want := 1 + maxRedials
			if refuses {
				want = 2
			}
			if dialled != want {
				t.Errorf("%d connections, want %d", dialled, want)
			}
			time.Sleep(time.Minute)
			if n := w.net.BreakTCP(); n != 0 || connection(t, w.client).State != api.Disconnected {
				t.Errorf("%d connections are left", n)
			}
		})
	}
}
