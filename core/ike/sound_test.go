package ike

import (
	"slices"
	"testing"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// narrow is a black hole: it loses what is longer than mtu as an IP packet, but
// for what may be cut where IP fragments pass.
type narrow struct {
	mtu       int
	fragments bool
	rules     map[*byte]SizeRule // of the datagrams on the wire
}

// through delivers everything that passes the narrow path.
func (n *narrow) through(w *world) {
	for i := 0; len(w.wire) > 0; i++ {
		if i > 2000 {
			w.t.Fatal("the peers talk without end")
		}
		k := w.wire[0]
		long := len(k.data)+20+8+4 > n.mtu
		if long && !(n.fragments && n.rules[&k.data[0]] == CutAnywhere) {
			w.wire = w.wire[1:]
			continue
		}
		w.deliver(0)
	}
}

// sound asks a's peer and lets a black hole decide.
func (w *world) sound(t *testing.T, sa *SA, n *narrow, size, try int) Sounded {
	t.Helper()
	was := count[Sounded](w.a)
	n.rules = map[*byte]SizeRule{}
	note := func(fx []Effect) []Effect {
		for _, x := range fx {
			if s, ok := x.(Send); ok && !s.Keepalive {
				n.rules[&s.Data[0]] = s.Size
			}
		}
		return fx
	}
	fx, ok := sa.Sound(size, try, size, w.now)
	if !ok {
		t.Fatal("the path cannot be looked into")
	}
	w.a.do(note(fx))
	n.through(w)
	for end := w.now.Add(20 * time.Second); count[Sounded](w.a) == was; {
		if w.now = w.a.timeout(); w.now.After(end) || w.now.IsZero() {
			t.Fatalf("no result for %d bytes: %s", size, w.a.story())
		}
		w.a.do(note(w.a.e.HandleTimeout(w.now)))
		n.through(w)
	}
	x, _ := effect[Sounded](w.a)
	if x.Tag != size {
		t.Fatalf("result for %v", x.Tag)
	}
	return x
}

// soundable is a world whose ends share a port with ESP and take fragments.
func soundable(t *testing.T) (*world, *SA, *SA) {
	w, a, b := mobileWorld(t)
	for _, sa := range []*SA{a, b} {
		sa.natt = true
	}
	w.wire = nil
	return w, a, b
}

// TestSoundingFindsBlackHole: what passes is answered, what does not is found out,
// whether or not IP fragments pass, and the window is free again each time.
func TestSoundingFindsBlackHole(t *testing.T) {
	for _, fragments := range []bool{true, false} {
		w, a, b := soundable(t)
		n := &narrow{mtu: 1400, fragments: fragments}
		for _, c := range []struct {
			size int
			fits bool
		}{{1500, false}, {1400, true}, {1401, false}, {9000, false}, {576, true}} {
			x := w.sound(t, a, n, c.size, 0)
			if x.Fits != c.fits || x.Sent > c.size || x.Sent < c.size-15 {
				t.Errorf("fragments %v: %d bytes: %+v", fragments, c.size, x)
			}
			if a.flight != nil || a.state != StateUp || b.state != StateUp {
				t.Fatalf("fragments %v: after %d bytes the IKE SA is %v, in flight %v", fragments, c.size, a.state, a.flight)
			}
		}
		w.agree()
	}
}

// TestSoundingLength: the packet is as long as it was asked for.
func TestSoundingLength(t *testing.T) {
	for _, suite := range []string{"aes256gcm16-prfsha256-x25519", "aes256-sha256-x25519", "chacha20poly1305-prfsha256-x25519"} {
		cfgA, cfgB := pskConfig("a"), pskConfig("b")
		cfgA.Proposals = mustProposals(transform.ProtoIKE, suite)
		cfgB.Proposals = cfgA.Proposals
		w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
		a, _ := w.up()
		a.natt = true
		for size := 576; size < 1600; size += 7 {
			fx, _ := a.Sound(size, 0, nil, w.now)
			at := slices.IndexFunc(fx, func(x Effect) bool { s, ok := x.(Send); return ok && !s.Keepalive })
			s := fx[at].(Send)
			if got := len(s.Data) + 20 + 8 + 4; s.Size != NeverCut || got > size || got <= size-16 {
				t.Fatalf("%s: %d bytes asked for, %d sent, %v", suite, size, got, s.Size)
			}
			w.a.do(fx)
			w.flush()
			if x, ok := effect[Sounded](w.a); !ok || !x.Fits || x.Sent != len(s.Data)+32 {
				t.Fatalf("%s: %+v", suite, x)
			}
		}
	}
}

// TestLateAnswerProvesNothing: an answer that comes after the packet was repeated
// in pieces may be to those.
func TestLateAnswerProvesNothing(t *testing.T) {
	w, a, _ := soundable(t)
	fx, _ := a.Sound(1500, 0, nil, w.now)
	w.a.do(fx)
	whole := slices.Clone(w.wire)
	w.lose()
	w.now = w.a.timeout()
	w.a.do(w.a.e.HandleTimeout(w.now))
	w.wire = whole
	w.flush()
	if x, ok := effect[Sounded](w.a); !ok || x.Fits {
		t.Errorf("%+v, %v", x, ok)
	}
	if a.state != StateUp || a.flight != nil {
		t.Errorf("the IKE SA is %v", a.state)
	}
}

// TestForgedAnswerProvesNothing: only who has the keys answers.
func TestForgedAnswerProvesNothing(t *testing.T) {
	w, a, b := soundable(t)
	fx, _ := a.Sound(1500, 0, nil, w.now)
	w.a.do(fx)
	w.lose()
	h := b.header(message.Informational, a.flight.id, true)
	forged, err := (&message.Message{Header: h}).AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(w.a.e.HandleDatagram(Datagram{Data: forged, Local: a.path.Local, Remote: a.path.Remote, NATT: true}, w.now))
	if _, ok := effect[Sounded](w.a); ok || a.flight == nil {
		t.Error("an answer without integrity counts")
	}
}

// TestSoundingAfterAMove is of no path any more, and its message passes on the new
// one whatever that carries.
func TestSoundingAfterAMove(t *testing.T) {
	w, a, b := soundable(t)
	fx, _ := a.Sound(1500, 0, nil, w.now)
	w.a.do(fx)
	w.lose()
	p := between(addrA, addrB2)
	w.a.do(a.Move([]Path{p}, w.now))
	for _, k := range w.wire {
		if len(k.data) > 1300 {
			w.wire = slices.DeleteFunc(w.wire, func(k packet) bool { return len(k.data) > 1300 })
			break
		}
	}
	w.flush()
	w.advance(time.Second)
	if x, ok := effect[Sounded](w.a); !ok || x.Fits || x.Path == p {
		t.Errorf("%+v, %v", x, ok)
	}
	w.follows(a, b, p)
}

// TestSoundingNeedsTheWayOfESP: what passes elsewhere proves nothing.
func TestSoundingNeedsTheWayOfESP(t *testing.T) {
	w, a, _ := soundable(t)
	for _, c := range []func(){func() { a.natt = false }, func() { a.natt, a.path.TCP = true, true }} {
		c()
		if fx, ok := a.Sound(1500, 0, nil, w.now); ok || len(fx) != 0 {
			t.Errorf("natt %v, %v: %v", a.natt, a.path, fx)
		}
	}
}

// TestSoundingThatArrivedAndWasNotAnswered ends whichever of its forms the peer
// has read first.
func TestSoundingThatArrivedAndWasNotAnswered(t *testing.T) {
	w, a, b := soundable(t)
	fx, _ := a.Sound(1500, 0, nil, w.now)
	w.a.do(fx)
	w.deliver(0)
	w.lose() // the answer
	n := &narrow{mtu: 1500}
	for range 4 {
		w.now = w.a.timeout()
		w.a.do(w.a.e.HandleTimeout(w.now))
		n.rules = map[*byte]SizeRule{}
		n.through(w)
	}
	if x, ok := effect[Sounded](w.a); !ok || x.Fits {
		t.Errorf("%+v, %v", x, ok)
	}
	if a.state != StateUp || b.state != StateUp || a.flight != nil {
		t.Errorf("%v and %v", a.state, b.state)
	}
	w.advance(time.Minute)
	w.agree()
}

// TestMessagesFitThePath: what is known of the path is the size of fragments, and
// forgotten with the path.
func TestMessagesFitThePath(t *testing.T) {
	_, a, _ := soundable(t)
	a.SetMTU(600)
	long := []message.Payload{&message.Notify{Kind: message.NotifyPadding, Data: make([]byte, 1000)}}
	datagrams, err := a.seal(message.Informational, a.nextID, false, long)
	if err != nil || len(datagrams) < 2 {
		t.Fatalf("%d datagrams, %v", len(datagrams), err)
	}
	for _, d := range datagrams {
		if len(d)+32 > 600 {
			t.Errorf("a fragment of %d bytes", len(d))
		}
	}
	a.path = between(addrA, addrB2)
	if datagrams, _ = a.seal(message.Informational, a.nextID, false, long); len(datagrams) != 1 {
		t.Errorf("%d datagrams on another path", len(datagrams))
	}
}

// TestLostRequestsMayBeCut: where nobody says that a message was too large, the
// next try gets through; the answer too.
func TestLostRequestsMayBeCut(t *testing.T) {
	w := newWorld(t, testOptions{})
	rule := func(fx []Effect) SizeRule {
		for _, x := range fx {
			if s, ok := x.(Send); ok {
				return s.Size
			}
		}
		t.Fatal("nothing is sent")
		return 0
	}
	sa, fx := w.a.e.Initiate(w.a.cfg, w.path(), w.now)
	if rule(fx) != CutIfRefused || sa == nil {
		t.Error("the first try is cut")
	}
	w.now = w.a.timeout()
	if rule(w.a.e.HandleTimeout(w.now)) != CutAnywhere {
		t.Error("the second try is not cut")
	}
}

// TestLostMessagesBecomeSmaller: an exchange that had to be repeated makes the
// fragments of the next one small, at both ends.
func TestLostMessagesBecomeSmaller(t *testing.T) {
	w, a, b := soundable(t)
	fx, _ := a.Sound(1000, 0, nil, w.now)
	w.a.do(fx)
	w.hand(w.wire[0])
	w.lose()
	b.lastResponse = [][]byte{slices.Clone(b.lastResponse[0]), make([]byte, 1000)} // as if it were long
	w.now = w.a.timeout()
	w.a.do(w.a.e.HandleTimeout(w.now))
	w.flush()
	if a.maxDatagram() != 576-32 || b.maxDatagram() != 576-32 {
		t.Errorf("datagrams of up to %d and %d bytes", a.maxDatagram(), b.maxDatagram())
	}
}
