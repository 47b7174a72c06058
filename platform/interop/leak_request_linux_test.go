package interop_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// inClear is how soon a peer without IPsec must be reached.
const inClear = 3 * time.Second

// fallbackEvents collects the fallback events of a service until the test's end.
func fallbackEvents(t *testing.T, s *lab.Service) <-chan api.Event {
	t.Helper()
	st, err := s.Client.State(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan api.Event, 100)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Client.Events(ctx, st.Seq, func(ev api.Event) bool {
			if ev.Kind == api.EventFallback {
				out <- ev
			}
			return true
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return out
}

// mustBeLoud checks that the fallback of a connection is shown everywhere.
func mustBeLoud(t *testing.T, s *lab.Service, name string, events <-chan api.Event) {
	t.Helper()
	var shown api.Connection
	if err := json.Unmarshal([]byte(s.Must("status", name, "--json")), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Protection != api.Clear || time.Until(shown.ClearUntil) <= 0 {
		t.Errorf("status --json says %q until %v", shown.Protection, shown.ClearUntil)
	}
	if text := s.Must("status", name); !strings.Contains(strings.ToLower(text), "clear") {
		t.Errorf("status does not speak of clear text:\n%s", text)
	}
	select {
	case ev := <-events:
		if ev.Name != name || ev.Connection == nil || ev.Connection.Protection != api.Clear {
			t.Errorf("the event of the fallback is %+v", ev)
		}
	case <-time.After(time.Second):
		t.Error("no event tells of the fallback")
	}
	sec, err := s.Client.Security(context.Background())
	if err != nil || sec.Fallbacks == 0 {
		t.Errorf("%d fallbacks are counted, %v", sec.Fallbacks, err)
	}
}

// TestRequestPeerWithoutIPsec reaches a peer that speaks no IPsec: one that is
// silent, and one that says so by ICMP. Its traffic passes in clear in time,
// and it is shown.
func TestRequestPeerWithoutIPsec(t *testing.T) {
	t.Parallel()
	silent := func(h *lab.Host) {
		h.Script("add table inet mute\nadd chain inet mute in { type filter hook prerouting priority -500; }\n"+
			"add rule inet mute in udp dport { 500, 4500 } drop\n", "nft", "-f", "-")
	}
	for _, how := range []string{"silent", "unreachable"} {
		t.Run("gateway "+how, func(t *testing.T) {
			t.Parallel()
			b := newLeakBench(t, api.Request, leakScopes[0])
			b.gw.Stop()
			if how == "silent" {
				silent(b.l.Gateway)
			}
			events := fallbackEvents(t, b.s)
			begun := time.Now()
			b.connect()
			for _, server := range []netip.Addr{lab.InternetV4, lab.InternetV6} {
				page, err := b.l.Client.Get(server, "/ip", inClear-time.Since(begun))
				if err != nil || !strings.Contains(page, map[netip.Addr]netip.Addr{lab.InternetV4: lab.ClientV4, lab.InternetV6: lab.ClientV6}[server].String()) {
					t.Errorf("get a page from %v: %q, %v", server, page, err)
				}
			}
			t.Logf("reached after %v", time.Since(begun).Round(time.Millisecond))
			mustBeLoud(t, b.s, "office", events)
			b.once("fallen back", fateClear)
			b.disconnect()
			if c := b.s.Connection("office"); c.Protection != "" {
				t.Errorf("disconnected, and the protection is %q", c.Protection)
			}
		})
		t.Run("host "+how, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			l.NAT.HTTP("bystander", netip.AddrPortFrom(bystander, 8000).String())
			if how == "silent" {
				silent(l.NAT)
			}
			a := newStation(t, l, l.Client, lab.ClientV4, "psk")
			a.assign(t, l, "lan", a.lanPolicy(actRequest, "198.51.100.0/24"))
			events := fallbackEvents(t, a.Service)
			page, took, err := seenBy(l.Client, bystander, inClear)
			if err != nil || page != lab.ClientV4.String() {
				t.Errorf("get a page from the neighbour: %q, %v", page, err)
			}
			t.Logf("reached after %v", took.Round(time.Millisecond))
			mustBeLoud(t, a.Service, "neighbours @ "+bystander.String(), events)
		})
	}
}

// forgeRefusals answers, from the local network, every IKE_SA_INIT of the
// client in the gateway's name with NO_PROPOSAL_CHOSEN. It returns the count.
func forgeRefusals(t *testing.T, l *lab.Lab) *atomic.Int64 {
	t.Helper()
	tap, to := l.Wan.Tap("client"), l.Client.MAC("eth0")
	var forged atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for seen := 0; ; {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			frames := tap.Frames()
			for _, f := range frames[seen:] {
				src, dst, proto, ok := f.Ends()
				if !ok || src != lab.ClientV4 || dst != lab.GatewayV4 || proto != unix.IPPROTO_UDP || len(f.Data) < 14+20+8+28 {
					continue
				}
				udp := f.Data[14+20:]
				const saInit, response = 34, 0x20
				if binary.BigEndian.Uint16(udp[2:]) != 500 || udp[8+18] != saInit || udp[8+19]&response != 0 {
					continue
				}
				l.Wan.Inject("client", to, refusalOf(udp))
				forged.Add(1)
			}
			seen = len(frames)
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return &forged
}

// refusalOf returns the forged answer to an IKE_SA_INIT in UDP: a header and
// the notification NO_PROPOSAL_CHOSEN (RFC 7296, section 3.10.1).
func refusalOf(udp []byte) []byte {
	const notify, version, saInit, response, noProposal = 41, 0x20, 34, 0x20, 14
	m := append([]byte(nil), udp[8:8+8]...)                                  // the client's SPI
	m = append(m, 1, 2, 3, 4, 5, 6, 7, 8, notify, version, saInit, response) // ours
	m = append(m, 0, 0, 0, 0, 0, 0, 0, 28+8)
	m = append(m, 0, 0, 0, 8, 0, 0, 0, noProposal)
	from := binary.BigEndian.Uint16(udp)
	return lab.IPPacket(lab.GatewayV4, lab.ClientV4, unix.IPPROTO_UDP, 64, lab.UDPMessage(500, from, m))
}

// TestRequestDowngrade tries to bring a client under request back into clear
// text where protection has worked once: by silence, by a forged refusal, and
// by its gateway's ICMP. Only the user's leave opens it, for a while.
func TestRequestDowngrade(t *testing.T) {
	t.Parallel()
	b := newLeakBench(t, api.Request, leakScopes[0])
	b.connect()
	b.up()
	b.once("connected", fateTunnel)

	// attack reconnects while somebody prevents it, with packets under way all the time.
	attack := func(how string, code api.ErrorCode) {
		t.Helper()
		b.disconnect()
		b.connect()
		b.during(how, false, fateNothing, func() {
			b.until("it fails and asks", func(c api.Connection) bool {
				return c.Problem != nil && c.Problem.Code == code && c.Protection == api.Stopped && c.Question != ""
			})
			time.Sleep(1500 * time.Millisecond) // longer than traffic would be held
		})
		b.once(how, fateNothing)
	}
	b.cut(true)
	attack("UDP 500 and 4500 dropped", api.CodeGatewaySilent)

	forged := forgeRefusals(t, b.l)
	attack("NO_PROPOSAL_CHOSEN forged", api.CodeNoProposal)
	if forged.Load() == 0 {
		t.Error("no refusal was forged")
	}
	sec, err := b.s.Client.Security(context.Background())
	if err != nil || sec.Fallbacks > 0 {
		t.Errorf("%d fallbacks, %v", sec.Fallbacks, err)
	}

	// The user opens it, and it closes by itself.
	events := fallbackEvents(t, b.s)
	b.s.Must("allow-clear", "office", "--for", "2s", "--yes")
	b.once("clear text allowed", fateClear)
	mustBeLoud(t, b.s, "office", events)
	b.until("the leave ends", func(c api.Connection) bool { return c.Protection == api.Stopped })
	time.Sleep(100 * time.Millisecond)
	b.once("the leave has ended", fateNothing)

	// A restart forgets nothing.
	b.s.Stop()
	b.s.Start()
	b.during("after a restart", false, fateNothing, func() { time.Sleep(1500 * time.Millisecond) })
	b.once("after a restart", fateNothing)
	b.settle()
}

// TestRequestReturnsToProtection falls back with a neighbour under a running
// TCP connection, until the neighbour speaks IPsec: the connection goes on,
// protected.
func TestRequestReturnsToProtection(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Gateway.HTTP("neighbour", net.JoinHostPort(lab.GatewayV4.String(), "80"))
	a := newStation(t, l, l.Client, lab.ClientV4, "psk")
	b := newStation(t, l, l.Gateway, lab.GatewayV4, "psk")
	b.Stop()
	policy := strings.Replace(a.lanPolicy("brief fallback", "198.51.100.0/24"), "[[rules]]", `[[filter_actions]]
name = "brief fallback"
action = "negotiate"
fallback_to_unsecured = true
accept_unsecured = true
fallback_time = "10s"

[[rules]]`, 1)
	a.assign(t, l, "lan", policy)

	const seconds = 10
	tap := l.Wan.Tap("client")
	type outcome struct {
		lab.Transfer
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		tr, err := l.Client.Stream(lab.GatewayV4, seconds)
		done <- outcome{tr, err}
	}()
	name := "neighbours @ " + lab.GatewayV4.String()
	state := func() api.Protection {
		st, err := a.Client.State(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range st.Connections {
			if c.Name == name {
				return c.Protection
			}
		}
		return ""
	}
	waitFor(t, "the fallback", func() bool { return state() == api.Clear })
	b.Start()
	b.assign(t, l, "lan", b.lanPolicy(actRespond, "198.51.100.0/24"))
	begun := time.Now()
	for state() != api.Protected && time.Since(begun) < seconds*time.Second {
		time.Sleep(20 * time.Millisecond)
	}
	protected := time.Now()
	if s := state(); s != api.Protected {
		t.Fatalf("the connection with the neighbour is %q", s)
	}
	t.Logf("protected %v after the neighbour learnt IPsec", protected.Sub(begun).Round(time.Millisecond))
	result := <-done
	if result.err != nil {
		t.Errorf("the TCP connection broke: %v", result.err)
	}
	if result.Stall > 2*time.Second {
		t.Errorf("the TCP connection stood still for %v", result.Stall)
	}
	t.Logf("transfer: %v", result.Transfer)
	var before, after []lab.Frame
	for _, f := range between(tap.Stop(), lab.ClientV4, lab.GatewayV4) {
		if f.At.After(protected.Add(200 * time.Millisecond)) {
			after = append(after, f)
		} else if f.At.Before(begun) {
			before = append(before, f)
		}
	}
	if s := lab.Sort(before); len(s.Other) == 0 {
		t.Errorf("nothing was in clear before: %v", s)
	}
	if s := lab.Sort(after); len(s.Other) > 0 || s.ESP < 1000 {
		t.Errorf("once protected: %v", s)
	}
}
