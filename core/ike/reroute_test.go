package ike

import (
	"net/netip"
	"testing"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// tcpPath is a TCP connection of a's from a port to b.
func tcpPath(w *world, port uint16) Path {
	return Path{Local: netip.AddrPortFrom(w.a.addr, port), Remote: netip.AddrPortFrom(w.b.addr, 4500), TCP: true}
}

// overTCP brings up an IKE SA through a TCP connection.
func overTCP(t *testing.T, w *world) (a, b *SA) {
	t.Helper()
	a, fx := w.a.e.Initiate(w.a.cfg, tcpPath(w, 40001), w.now)
	w.a.do(fx)
	w.flush()
	if a.State() != StateUp || len(w.b.sas) != 1 {
		t.Fatalf("state %v, %d SAs at the responder", a.State(), len(w.b.sas))
	}
	for sa := range w.b.sas {
		b = sa
	}
	return a, b
}

// TestOverTCP: nothing is said twice, in fragments or to keep a mapping open
// where TCP carries the IKE SA, and both ends stay with their connection
// (RFC 9329, sections 6.2, 6.6 and 7.5).
func TestOverTCP(t *testing.T) {
	cfg := pskConfig("a")
	cfg.Retransmit = Retransmit{Timeout: time.Second, Tries: 3}
	w := newWorld(t, testOptions{cfgA: cfg})
	a, b := overTCP(t, w)
	if a.path != tcpPath(w, 40001) || b.path.Remote != a.path.Local || !b.path.TCP || !a.natt || !b.natt {
		t.Fatalf("paths %v and %v", a.path, b.path)
	}
	if !a.frag || !b.frag {
		t.Error("fragmentation is not agreed on for when UDP takes over")
	}
	for _, c := range []*fakeChild{w.a.child1(t), w.b.child1(t)} {
		if !c.Path.TCP {
			t.Errorf("a Child SA takes %v", c.Path)
		}
	}
	if !a.keepaliveAt().IsZero() || !b.keepaliveAt().IsZero() {
		t.Error("NAT keepalives on TCP")
	}
	w.run(10*time.Minute, func() {})
	if len(w.wire) != 0 {
		t.Errorf("%d messages without a reason", len(w.wire))
	}
	w.a.do(a.CheckLiveness(w.now))
	sent := len(w.wire)
	w.lose()
	w.run(30*time.Second, func() {
		sent += len(w.wire)
		w.lose()
	})
	if sent != 1 {
		t.Errorf("a request was sent %d times", sent)
	}
	if x, ok := effect[Closed](w.a); !ok || x.Err == nil {
		t.Errorf("the peer is silent, and got %+v", x)
	}
}

// child1 returns the only Child SA.
func (p *peer) child1(t *testing.T) *fakeChild {
	t.Helper()
	if len(p.children) != 1 {
		t.Fatalf("%s has %d Child SAs", p.name, len(p.children))
	}
	for _, c := range p.children {
		return c
	}
	return nil
}

// TestReroute: the connection breaks with a request in flight. The request goes
// out once more through the next connection, or by UDP, and the peer follows.
func TestReroute(t *testing.T) {
	udp := Path{Local: netip.AddrPortFrom(addrA, 4500), Remote: netip.AddrPortFrom(addrB, 4500)}
	for name, next := range map[string]func(*world) Path{
		"another connection": func(w *world) Path { return tcpPath(w, 40002) },
		"udp":                func(*world) Path { return udp },
	} {
		for _, flying := range []bool{true, false} {
			w := newWorld(t, testOptions{})
			a, b := overTCP(t, w)
			if flying {
				w.a.do(a.Rekey(w.now))
				w.lose()
			}
			p := next(w)
			w.a.do(a.Reroute(p, w.now))
			if len(w.wire) != 1 || w.wire[0].tcp != p.TCP {
				t.Fatalf("%s: %d messages on the way", name, len(w.wire))
			}
			w.flush()
			if b.path.Remote != p.Local || b.path.TCP != p.TCP || a.path != p {
				t.Errorf("%s: paths %v and %v", name, a.path, b.path)
			}
			for _, end := range []*peer{w.a, w.b} {
				if x, ok := effect[PathChanged](end); !ok || x.Path.TCP != p.TCP {
					t.Errorf("%s: %s was told %+v", name, end.name, x)
				}
			}
			if flying && count[Replaced](w.a) != 1 {
				t.Errorf("%s: what was in flight is lost", name)
			}
		}
	}
}

// TestRerouteIsTheInitiators: who answers opens no connection, and one that has
// begun the line of IKE SAs follows nobody out of the connection that it chose.
func TestRerouteIsTheInitiators(t *testing.T) {
	w := newWorld(t, testOptions{})
	a, b := overTCP(t, w)
	w.b.do(b.Reroute(Path{Local: b.path.Local, Remote: netip.AddrPortFrom(addrA, 4500)}, w.now))
	if len(w.wire) != 0 || !b.path.TCP {
		t.Errorf("the responder went on its own: %v", b.path)
	}
	w.a.do(w.a.e.PeerMoved(w.a.child1(t).InSPI, Path{Remote: netip.AddrPortFrom(addrB, 4500)}, w.now))
	if a.path != tcpPath(w, 40001) {
		t.Errorf("the initiator followed to %v", a.path)
	}
	w.b.do(w.b.e.PeerMoved(w.b.child1(t).InSPI, Path{Local: b.path.Local, Remote: netip.AddrPortFrom(addrA, 40009), TCP: true}, w.now))
	if b.path.Remote.Port() != 40009 {
		t.Errorf("the responder stays at %v", b.path)
	}
}

// TestLateOnTCP: who has gone on from TCP to UDP stays there, though what it said
// before still comes out of the connection: the answer to a request, and with
// MOBIKE anything.
func TestLateOnTCP(t *testing.T) {
	for _, mobile := range []bool{false, true} {
		cfgA, cfgB := pskConfig("a"), pskConfig("b")
		cfgA.MOBIKE, cfgB.MOBIKE = mobile, mobile
		w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
		a, b := overTCP(t, w)
		w.b.do(b.CheckLiveness(w.now))
		w.deliver(0)
		late := w.wire[0] // a's answer
		w.lose()
		udp := Path{Local: netip.AddrPortFrom(addrA, 4500), Remote: netip.AddrPortFrom(addrB, 4500)}
		w.a.do(a.Reroute(udp, w.now))
		w.deliver(0)
		if b.path != udp.reversed() {
			t.Fatalf("mobile %v: the responder is on %v", mobile, b.path)
		}
		w.hand(late)
		if mobile {
			w.b.do(w.b.e.PeerMoved(w.b.child1(t).InSPI, tcpPath(w, 40001).reversed(), w.now))
		}
		if b.path != udp.reversed() || mobile && b.flight != nil {
			t.Errorf("mobile %v: the responder is back on %v, in flight %+v", mobile, b.path, b.flight)
		}
	}
}

// TestAnsweredBeforeAuth: who races several IKE SAs hears of the first answer
// before a proof is on its way.
func TestAnsweredBeforeAuth(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.connect()
	w.deliver(0)
	d := w.wire[0]
	w.lose()
	fx := w.a.e.HandleDatagram(Datagram{Data: d.data, Local: d.to, Remote: d.from, NATT: d.natt}, w.now)
	told := false
	for _, x := range fx {
		switch x := x.(type) {
		case Answered:
			told = true
		case Send:
			if h, err := message.ParseHeader(x.Data); err != nil || h.Exchange != message.IKEAuth || !told {
				t.Errorf("sends %v (%v) and has told: %v", h.Exchange, err, told)
			}
		}
	}
	if !told {
		t.Error("nobody was told")
	}
}

// TestSilent: whoever looks for another way knows whether this one is answered.
func TestSilent(t *testing.T) {
	w := newWorld(t, testOptions{})
	a := w.connect()
	if !a.Silent() {
		t.Error("not silent before anything was delivered")
	}
	w.deliver(0)
	w.deliver(0)
	if a.State() != StateAuthSent || !a.Silent() {
		t.Errorf("%v: IKE_AUTH is answered before it was delivered", a.State())
	}
	w.flush()
	if a.Silent() {
		t.Error("silent when it is up")
	}

	w = newWorld(t, testOptions{optB: Options{CookieThreshold: -1}})
	a = w.connect()
	w.deliver(0)
	w.deliver(0)
	if a.Silent() {
		t.Error("silent after the peer asked for a cookie")
	}
}

// TestKnock finds out whether the peer answers, and tells it nothing more.
func TestKnock(t *testing.T) {
	for name, o := range map[string]testOptions{"answer": {}, "cookie": {optB: Options{CookieThreshold: -1}}, "refusal": {termsB: mustProposals(transform.ProtoIKE, "aes128-sha256-modp2048")}} {
		w := newWorld(t, o)
		cfg := *w.a.cfg
		cfg.Local, cfg.Peer = LocalAuth{}, PeerAuth{} // secrets are wiped when a handshake is over
		_, fx := w.a.e.Knock(&cfg, w.path(), w.now)
		w.a.do(fx)
		w.flush()
		if x, ok := effect[Closed](w.a); count[Answered](w.a) != 1 || !ok || x.Err != nil || len(w.b.sas) != 0 {
			t.Errorf("%s: %d answers, closed %+v, %d SAs", name, count[Answered](w.a), x, len(w.b.sas))
		}
		if len(w.a.e.SAs()) != 0 {
			t.Errorf("%s: the IKE SA lives on", name)
		}
	}
	w := newWorld(t, testOptions{})
	_, fx := w.a.e.Knock(w.a.cfg, w.path(), w.now)
	w.a.do(fx)
	w.lose()
	w.run(10*time.Second, w.lose)
	if x, ok := effect[Closed](w.a); !ok || x.Err == nil || count[Answered](w.a) != 0 {
		t.Errorf("silence: %+v", x)
	}
}

// TestRerouteAsksAgain: what the peer asked for once more, with a cookie, another key
// exchange or both, goes through another TCP connection when it has closed the one
// before (RFC 9329, section 6); and nothing else does.
func TestRerouteAsksAgain(t *testing.T) {
	for _, cookie := range []bool{false, true} {
		for _, group := range []bool{false, true} {
			o := testOptions{}
			if cookie {
				o.optB.CookieThreshold = -1
			}
			if group {
				o.termsB = mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-ecp256")
			}
			w := newWorld(t, o)
			port := uint16(40001)
			a, fx := w.a.e.Initiate(w.a.cfg, tcpPath(w, port), w.now)
			w.a.do(fx)
			w.a.do(a.Reroute(tcpPath(w, 40009), w.now)) // nobody has answered
			if a.path != tcpPath(w, port) || len(w.wire) != 1 {
				t.Fatalf("on %v before an answer", a.path)
			}
			closed := 0
			for a.state == StateInitSent && closed < 5 {
				w.deliver(0)
				w.deliver(0)
				if !a.AsksAgain() {
					break
				}
				w.lose() // with the connection
				closed++
				port++
				w.a.do(a.Reroute(tcpPath(w, port), w.now))
			}
			w.flush()
			if a.State() != StateUp || closed == 0 && (cookie || group) || a.path != tcpPath(w, port) {
				t.Errorf("cookie %v, group %v: %v on %v after %d connections", cookie, group, a.State(), a.path, closed+1)
			}
			w.agree()
		}
	}
}

// TestRerouteAsksAgainToResume: so it is with a ticket.
func TestRerouteAsksAgainToResume(t *testing.T) {
	w := newWorld(t, testOptions{optB: Options{CookieThreshold: -1}})
	w.up()
	x, ok := effect[TicketIssued](w.a)
	if !ok {
		t.Fatal("no ticket")
	}
	w.a.do(w.a.one().Abandon(w.now))
	a, fx := w.a.e.Resume(w.a.cfg, x.Ticket, tcpPath(w, 40001), w.now)
	w.a.do(fx)
	w.deliver(0)
	w.deliver(0)
	if !a.AsksAgain() {
		t.Fatal("no cookie was asked for")
	}
	w.lose()
	w.a.do(a.Reroute(tcpPath(w, 40002), w.now))
	w.flush()
	if a.State() != StateUp || !a.Info().Resumed || a.path != tcpPath(w, 40002) {
		t.Errorf("%v on %v", a.State(), a.path)
	}
}

// TestHeirOfARerouted: both ends rekey the IKE SA, and the way changes while the heir
// that the peer has made waits for the outcome. It goes on where its predecessor is, and
// not where that was when it was made.
func TestHeirOfARerouted(t *testing.T) {
	for seed := range uint64(8) { // either end's nonce may be the lowest
		w := newWorld(t, testOptions{seed: seed})
		a, b := overTCP(t, w)
		w.a.do(a.Rekey(w.now))
		w.b.do(b.Rekey(w.now))
		w.deliver(1)
		w.lose()
		udp := Path{Local: netip.AddrPortFrom(addrA, 4500), Remote: netip.AddrPortFrom(addrB, 4500)}
		w.a.do(a.Reroute(udp, w.now))
		w.run(10*time.Second, w.flush)
		heirA, heirB := w.a.one(), w.b.one()
		if heirA == a || heirB == b {
			t.Errorf("seed %d: not rekeyed", seed)
		}
		if heirA.path != udp || heirB.path != udp.reversed() {
			t.Errorf("seed %d: paths %v and %v, want %v", seed, heirA.path, heirB.path, udp)
		}
	}
}
