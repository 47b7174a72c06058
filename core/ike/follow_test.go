package ike

import (
	"net/netip"
	"testing"
	"time"
)

// crossed is a world without MOBIKE whose ends are on different paths: a has gone to
// the second address of b's, which b does not know.
func crossed(t *testing.T) (w *world, a, b *SA) {
	t.Helper()
	w = newWorld(t, testOptions{})
	w.b.more = []netip.Addr{addrB2}
	a, b = w.up()
	a.path = between(addrA, addrB2)
	return w, a, b
}

// TestCrossedRequestsMeet: both ends ask at the same time, over different paths. Each
// follows the other (RFC 7296, section 2.23), but they do not change places for ever.
func TestCrossedRequestsMeet(t *testing.T) {
	for _, first := range []string{"a", "b"} {
		w, a, b := crossed(t)
		ask := func(p *peer, sa *SA) { p.do(sa.CheckLiveness(w.now)) }
		if first == "a" {
			ask(w.a, a)
			ask(w.b, b)
		} else {
			ask(w.b, b)
			ask(w.a, a)
		}
		if len(w.wire) != 2 || a.path == b.path.reversed() {
			t.Fatalf("%d messages cross between %v and %v", len(w.wire), a.path, b.path)
		}
		w.flush()
		if a.flight != nil || b.flight != nil || a.path != b.path.reversed() {
			t.Errorf("%s first: a is on %v, b on %v", first, a.path, b.path)
		}
	}
}

// TestCrossedPacketsMeet: so it is with packets of the data path, of which thousands
// cross each second.
func TestCrossedPacketsMeet(t *testing.T) {
	w, a, b := crossed(t)
	toA, toB := a.path, b.path // as the packets travel that are on their way
	w.a.do(w.a.e.PeerMoved(a.children[0].in, toB.reversed(), w.now))
	w.b.do(w.b.e.PeerMoved(b.children[0].in, toA.reversed(), w.now))
	if want := between(addrA, addrB); a.path != want || b.path != want.reversed() {
		t.Errorf("a is on %v, b on %v", a.path, b.path)
	}
	nat := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.99"), 1024)
	w.b.do(w.b.e.PeerMoved(b.children[0].in, Path{Local: b.path.Local, Remote: nat}, w.now))
	if b.path.Remote != nat {
		t.Errorf("b is on %v, and the NAT of its peer at %v", b.path, nat)
	}
	v6 := between(addrB6, addrA6)
	w.b.do(w.b.e.PeerMoved(b.children[0].in, v6, w.now))
	if b.path != v6 {
		t.Errorf("b is on %v, and its peer has come with the other IP", b.path)
	}
}

// TestFollowingOutlivesRekeys: who follows whom is a matter of who began the line of
// IKE SAs, whichever end has rekeyed it.
func TestFollowingOutlivesRekeys(t *testing.T) {
	nat := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.99"), 1024)
	for _, rekeys := range []string{"a", "b"} {
		w := newWorld(t, testOptions{})
		w.up()
		p := map[string]*peer{"a": w.a, "b": w.b}[rekeys]
		p.do(p.one().Rekey(w.now))
		w.flush()
		a, b := w.a.one(), w.b.one()

		// The client goes elsewhere, and what was on its way reaches where it was.
		w.b.do(b.CheckLiveness(w.now))
		late := w.wire[0]
		w.lose()
		w.a.do(a.Move([]Path{between(addrA2, addrB)}, w.now))
		w.hand(late)
		if a.path.Local.Addr() != addrA2 {
			t.Errorf("%s rekeyed: a packet of before draws the client back to %v", rekeys, a.path)
		}
		w.flush()
		w.advance(time.Minute)

		// An answer goes where it was asked for, whoever sends a copy of it.
		w.a.do(a.CheckLiveness(w.now))
		w.deliver(0)
		answer := w.wire[0]
		w.lose()
		answer.from = netip.AddrPortFrom(addrThief, 4500)
		w.hand(answer)
		if a.path.Remote.Addr() != addrB {
			t.Errorf("%s rekeyed: an answer draws the client to %v", rekeys, a.path)
		}

		// A NAT in front of the client, and one in front of the gateway.
		a.natLocal, b.natLocal = true, true
		w.a.nat = func(k packet) packet { k.from = nat; return k }
		w.a.do(a.CheckLiveness(w.now))
		w.hand(w.wire[0])
		w.lose()
		if b.path.Remote != nat {
			t.Errorf("%s rekeyed: the gateway is on %v, and its client's NAT at %v", rekeys, b.path, nat)
		}
		w.b.do(b.CheckLiveness(w.now))
		stolen := w.wire[0]
		w.lose()
		stolen.from = netip.AddrPortFrom(addrThief, 4500)
		w.hand(stolen)
		if a.path.Remote.Addr() != addrB {
			t.Errorf("%s rekeyed: a client behind a NAT follows to %v", rekeys, a.path)
		}
	}
}

// TestOvertakenUpdate: somebody sends a copy of the client's word that it has moved
// from an address of its own, and the copy comes first. A responder that checks
// paths stays. Another follows, as the IP header is all that it has to go by (RFC
// 4555, section 5.1), and is where its peer is as soon as that has heard from it.
func TestOvertakenUpdate(t *testing.T) {
	for _, checks := range []bool{false, true} {
		w, a, b := mobileWorld(t, func(_, b *Config) { b.CheckPath = checks })
		before, to := b.path, between(addrA2, addrB)
		w.a.do(a.Move([]Path{to}, w.now))
		stolen := w.wire[0]
		stolen.from = netip.AddrPortFrom(addrThief, 4500)
		w.hand(stolen)
		if checks && b.path != before {
			t.Errorf("moved to %v unchecked", b.path)
		}
		for range 30 { // the thief hears what is sent to it, and has no keys to answer with
			if len(w.wire) == 0 {
				break
			}
			k := w.wire[0]
			if w.wire = w.wire[1:]; k.to.Addr() != addrThief {
				w.hand(k)
			}
		}
		w.follows(a, b, to)
		if len(w.wire) != 0 || a.flight != nil || b.flight != nil {
			t.Errorf("checks %v: %d messages more, in flight %+v and %+v", checks, len(w.wire), a.flight, b.flight)
		}
		if w.hand(stolen); b.path != to.reversed() {
			t.Errorf("checks %v: a copy that came late moved the SA to %v", checks, b.path)
		}
	}
}

// TestOvertakenAuthentication: somebody sends a copy of a message of IKE_AUTH from an
// address of its own, and the copy comes first. A client asked its gateway, and stays
// with it: with MOBIKE nothing would draw it back. A gateway follows, but answers its
// client too, and is with it as soon as a packet comes from there.
func TestOvertakenAuthentication(t *testing.T) {
	for _, mobike := range []bool{false, true} {
		for _, copied := range []string{"request", "response"} {
			cfgA, cfgB := pskConfig("a"), pskConfig("b")
			cfgA.MOBIKE, cfgB.MOBIKE = mobike, mobike
			w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
			w.connect()
			w.deliver(0)
			w.deliver(0)
			if copied == "response" {
				w.deliver(0)
			}
			stolen := w.wire[0]
			stolen.from = netip.AddrPortFrom(addrThief, 4500)
			w.hand(stolen)
			arrives := func() {
				for len(w.wire) > 0 {
					k := w.wire[0]
					if w.wire = w.wire[1:]; k.to.Addr() != addrThief {
						w.hand(k)
					}
				}
			}
			arrives()
			w.run(10*time.Second, arrives)
			w.agree()
			a, b := w.a.one(), w.b.one()
			w.b.do(w.b.e.PeerMoved(b.children[0].in, between(addrA, addrB).reversed(), w.now))
			arrives()
			if want := between(addrA, addrB); a.path != want || b.path != want.reversed() || a.mob.on != mobike {
				t.Errorf("MOBIKE %v, copy of the %s: the client is on %v, the gateway on %v", a.mob.on, copied, a.path, b.path)
			}
		}
	}
}

// TestRelayIsLeftBehind: somebody on the way passes every packet on as a NAT does,
// faster than it comes itself. No check of the path tells the two apart (RFC 4555,
// section 5.1); who leaves the way is forgotten with the next liveness check.
func TestRelayIsLeftBehind(t *testing.T) {
	for _, checks := range []bool{false, true} {
		w, a, b := mobileWorld(t, func(a, b *Config) { a.LivenessDelay, b.CheckPath = 30*time.Second, checks })
		relay, to := netip.AddrPortFrom(addrThief, 4500), between(addrA2, addrB)
		w.a.do(a.Move([]Path{to}, w.now))
		for n := 0; len(w.wire) > 0; n++ {
			if n > 100 {
				t.Fatal("the peers talk without end")
			}
			k := w.wire[0]
			w.wire = w.wire[1:]
			other := k
			switch other.from = relay; {
			case k.to != relay:
				w.hand(other)
			case k.from == to.Local:
				k.from, k.to = relay, to.Remote
			default:
				k.from, k.to = relay, to.Local
			}
			w.hand(k)
		}
		if b.path.Remote != relay {
			t.Fatalf("checks %v: the relay is not on the way, the gateway is on %v", checks, b.path)
		}
		w.advance(time.Minute)
		w.follows(a, b, to)
	}
}

// TestFickleNAT: a NAT that gives each packet another port is asked about once for
// each move, not for ever.
func TestFickleNAT(t *testing.T) {
	w, a, _ := mobileWorld(t)
	port := uint16(2000)
	w.a.nat = func(k packet) packet {
		port++
		k.from = netip.AddrPortFrom(addrNAT, port)
		return k
	}
	w.b.nat = func(k packet) packet {
		if k.to.Addr() == addrNAT {
			k.to = netip.AddrPortFrom(addrInside, 4500)
		}
		return k
	}
	w.a.do(a.Move([]Path{between(addrInside, addrB)}, w.now))
	w.flush() // which fails when it has no end
	if port > 2010 {
		t.Errorf("%d messages for one move", port-2000)
	}
}
