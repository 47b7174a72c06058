package ike

import (
	"net/netip"
	"testing"
	"time"

	"sallyport/core/ike/message"
)

// TestCheckPathBehindARequest: a request of the responder's is under way over a path
// that leads nowhere any more when the peer says, or its packets show, that it is
// elsewhere. The peer hears the request there, and the check can follow, before
// anybody counts as dead.
func TestCheckPathBehindARequest(t *testing.T) {
	for what, shows := range map[string]func(w *world, a, b *SA){
		"it says so": func(w *world, a, _ *SA) {
			w.a.do(a.Move([]Path{between(addrA2, addrB)}, w.now))
		},
		"its packets show it": func(w *world, _, b *SA) {
			w.b.do(w.b.e.PeerMoved(b.children[0].in, between(addrB, addrA2), w.now))
		},
	} {
		w, a, b := mobileWorld(t, func(a, b *Config) { b.CheckPath = true })
		w.b.do(b.CheckLiveness(w.now))
		w.lose()
		deliver := w.only(between(addrA2, addrB))
		w.a.nat = func(k packet) packet { // which it has, whatever it knows
			k.from = between(addrA2, addrB).Local
			return k
		}
		begun := w.now
		shows(w, a, b)
		deliver()
		if b.path.Remote.Addr() != addrA2 || b.state != StateUp || b.flight != nil || w.now != begun {
			t.Errorf("%s: path %v, state %v, in flight %+v", what, b.path, b.state, b.flight)
		}
	}
}

// TestCheckPathIsRepeated: a check whose first message is lost finds the peer with
// the next one, whether it is where it was thought to be or back at the other path.
func TestCheckPathIsRepeated(t *testing.T) {
	for _, at := range []netip.Addr{addrA, addrA2} {
		w, _, b := mobileWorld(t)
		w.b.do(w.b.e.PeerMoved(b.children[0].in, between(addrB, addrA2), w.now))
		w.lose()
		w.a.nat = func(k packet) packet {
			k.from = between(at, addrB).Local
			return k
		}
		w.run(2500*time.Millisecond, w.only(between(at, addrB))) // the first repetition
		if b.flight != nil || b.path.Remote.Addr() != at || b.state != StateUp {
			t.Errorf("path %v, state %v, in flight %+v", b.path, b.state, b.flight)
		}
	}
}

// TestAnswersLostOneWay: nothing reaches the responder for a while, and its request
// stays without an answer; then the peer is heard again. It is not dead.
func TestAnswersLostOneWay(t *testing.T) {
	w := newWorld(t, testOptions{})
	a, b := w.up()
	w.b.do(b.CheckLiveness(w.now))
	w.lose()
	for b.flight.sends <= b.flight.ladder.tries() {
		w.run(b.flight.deadline.Sub(w.now), w.lose)
	}
	w.run(b.flight.deadline.Sub(w.now)-time.Second, w.lose)
	w.a.do(a.CheckLiveness(w.now))
	w.flush()
	w.advance(time.Second)
	if b.state != StateUp || b.flight != nil {
		t.Errorf("state %v, in flight %+v", b.state, b.flight)
	}
	w.agree()
}

// TestDeafPeerIsGivenUp: a peer that is heard, and never answers one of our
// requests, is given up all the same: nothing can be agreed on with it.
func TestDeafPeerIsGivenUp(t *testing.T) {
	w := newWorld(t, testOptions{})
	a, b := w.up()
	w.b.do(b.CheckLiveness(w.now))
	w.lose()
	begun := w.now
	for b.state == StateUp {
		if w.now.Sub(begun) > 10*time.Minute {
			t.Fatal("it is waited for without end")
		}
		w.a.do(a.CheckLiveness(w.now))
		for len(w.wire) > 0 {
			k := w.wire[0]
			w.wire = w.wire[1:]
			if h, err := message.ParseHeader(k.data); err != nil || w.at(k.to.Addr()) == w.b || h.Flags&message.FlagResponse != 0 {
				w.hand(k)
			}
		}
		w.run(time.Second, w.lose)
	}
	if f := w.b.closed(); f.Code != FailPeerDead {
		t.Errorf("%v", f)
	}
}

// TestRequestFollowsTheConnection: what went into a TCP connection that is gone
// goes out again through the next one (RFC 9329, section 6.2), of the end that
// waits for connections too.
func TestRequestFollowsTheConnection(t *testing.T) {
	w := newWorld(t, testOptions{})
	a, b := overTCP(t, w)
	w.b.do(b.CheckLiveness(w.now))
	w.lose()
	begun := w.now
	w.a.do(a.Reroute(tcpPath(w, 40002), w.now))
	w.flush()
	if b.path.Remote.Port() != 40002 || b.flight != nil || w.now != begun {
		t.Errorf("path %v, in flight %+v", b.path, b.flight)
	}
}

// TestCheckFromTCPIsRepeated: a peer on TCP says that it is on UDP now, and the first
// message that asks it there is lost. TCP does not repeat that one.
func TestCheckFromTCPIsRepeated(t *testing.T) {
	cfgA, cfgB := pskConfig("a"), pskConfig("b")
	cfgA.MOBIKE, cfgB.MOBIKE, cfgB.CheckPath = true, true, true
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	a, b := overTCP(t, w)
	udp := Path{Local: netip.AddrPortFrom(addrA, 4500), Remote: netip.AddrPortFrom(addrB, 4500)}
	w.a.do(a.Reroute(udp, w.now))
	w.deliver(0)
	w.lose() // the check, and the answer to a
	w.run(5*time.Second, w.flush)
	if b.path != udp.reversed() || b.flight != nil {
		t.Errorf("path %v, in flight %+v", b.path, b.flight)
	}
}

// TestCheckBehindAStuckStream: beside that, a request of the responder's own went into
// the TCP connection, which is forgotten, and the first copy of it to where the peer is
// now is lost as well.
func TestCheckBehindAStuckStream(t *testing.T) {
	cfgA, cfgB := pskConfig("a"), pskConfig("b")
	cfgA.MOBIKE, cfgB.MOBIKE, cfgB.CheckPath = true, true, true
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	a, b := overTCP(t, w)
	w.b.do(b.CheckLiveness(w.now))
	w.lose()
	udp := Path{Local: netip.AddrPortFrom(addrA, 4500), Remote: netip.AddrPortFrom(addrB, 4500)}
	w.a.do(a.Reroute(udp, w.now))
	w.deliver(0)
	w.lose() // the copy, and the answer to a
	w.run(5*time.Second, w.only(udp.reversed()))
	if b.path != udp.reversed() || b.flight != nil {
		t.Errorf("path %v, in flight %+v", b.path, b.flight)
	}
}

// TestDeadOnEveryWay: a peer that has lost the IKE SA counts as dead in the end, even
// when something, such as what it answers to others, makes its SA change between UDP
// and TCP again and again.
func TestDeadOnEveryWay(t *testing.T) {
	for what, on := range map[string]bool{"with MOBIKE": true, "without": false} {
		cfgA, cfgB := pskConfig("a"), pskConfig("b")
		cfgA.MOBIKE, cfgB.MOBIKE = on, on
		w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
		a, _ := overTCP(t, w)
		udp := Path{Local: netip.AddrPortFrom(addrA, 4500), Remote: netip.AddrPortFrom(addrB, 4500)}
		begun := w.now
		for i := uint16(0); a.state == StateUp && w.now.Sub(begun) < 5*time.Minute; i++ {
			p := udp
			if i%2 == 1 {
				p = tcpPath(w, 40010+i)
			}
			if on {
				w.a.do(a.Move([]Path{p}, w.now))
			} else {
				w.a.do(a.Reroute(p, w.now))
			}
			w.run(2*time.Second, w.lose)
		}
		if took := w.now.Sub(begun); a.state != StateClosed || w.a.closed().Code != FailPeerDead || took > 2*time.Minute {
			t.Errorf("%s: state %v after %v", what, a.state, took)
		}
	}
}

// TestLostDeleteLeavesNothing: without liveness checks, too, a responder finds out
// that its peer has gone (RFC 7296, section 2.4), and gives back what it had.
func TestLostDeleteLeavesNothing(t *testing.T) {
	cfgA, cfgB, pool := roadwarrior()
	for _, c := range []*Config{cfgA, cfgB} {
		c.LivenessDelay, c.Children[0].RekeyTime, c.Children[0].HardLifetime = -1, -1, -1
	}
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	a, b := w.up()
	w.a.do(a.Abandon(w.now))
	w.lose()
	w.run(maxSilence-time.Minute, w.lose)
	if b.state != StateUp {
		t.Fatalf("state %v", b.state)
	}
	w.run(5*time.Minute, w.lose)
	if b.state != StateClosed || pool.leases != 0 || len(w.b.e.sas)+len(w.b.e.children) != 0 {
		t.Errorf("state %v, %d leases, %d IKE SAs", b.state, pool.leases, len(w.b.e.sas))
	}
}

// TestSuccessorBeyondTheHardLifetime: the answer to a rekey of a Child SA is lost, and
// at its responder the time of the old one is over. The responder sends on the new one,
// which is agreed on, and the old keys are not used any longer; once the answer has
// come, nothing is missing.
func TestSuccessorBeyondTheHardLifetime(t *testing.T) {
	cfgA, cfgB := pskConfig("a"), pskConfig("b")
	cfgB.Children[0].RekeyTime, cfgB.Children[0].HardLifetime = -1, time.Minute
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	w.up()
	old := w.a.child()
	w.run(55*time.Second, w.flush)
	w.a.do(w.a.e.RekeyChild(old.in, w.now))
	w.deliver(0)
	w.lose() // the answer
	next := w.b.children[w.b.one().children[1].in]
	if next.active {
		t.Error("used before there is a sign that the peer has it")
	}
	w.run(6*time.Second, w.lose)
	if len(w.b.children) != 1 || !next.active {
		t.Errorf("after the hard lifetime there are %d Child SAs, the new one in use: %v", len(w.b.children), next.active)
	}
	if _, offered := w.a.e.reserved[next.OutSPI]; !offered || w.a.e.children[old.in] == nil {
		t.Error("the peer has forgotten what it offers")
	}
	w.advance(20 * time.Second)
	w.agree()
	if w.b.child().in != next.InSPI {
		t.Error("the new Child SA is not the one that was agreed on")
	}
}
