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
