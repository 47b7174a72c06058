package ike

import (
	"testing"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// both runs a test with the rekeying side once the initiator of the IKE SA,
// once the responder.
func both(t *testing.T, run func(t *testing.T, w *world, p, q *peer)) {
	for _, name := range []string{"initiator", "responder"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, testOptions{})
			w.up()
			if name == "initiator" {
				run(t, w, w.a, w.b)
			} else {
				run(t, w, w.b, w.a)
			}
		})
	}
}

func (p *peer) child() *child {
	p.w.t.Helper()
	sa := p.one()
	if len(sa.children) != 1 {
		p.w.t.Fatalf("%s: %d children", p.name, len(sa.children))
	}
	return sa.children[0]
}

func TestRekeyChild(t *testing.T) {
	both(t, func(t *testing.T, w *world, p, q *peer) {
		old, oldPeer := p.child().in, p.child().out
		p.do(p.e.RekeyChild(old, w.now))
		w.deliver(0) // request
		if len(q.children) != 2 {
			t.Fatalf("%d children at the responder", len(q.children))
		}
		if !q.children[oldPeer].active {
			t.Error("the responder stopped sending on the old child before the peer had the new one")
		}
		w.deliver(0) // response
		fresh := p.one().children[1].in
		if p.children[old].active || !p.children[fresh].active {
			t.Error("the initiator does not send on the new child")
		}
		// The first packet on it tells the responder.
		q.do(q.e.NoteInbound(p.children[fresh].OutSPI, w.now))
		if q.children[oldPeer].OutSPI != old || !q.children[p.children[fresh].OutSPI].active {
			t.Error("the responder does not follow")
		}
		w.flush()
		w.agree()
		if len(p.children) != 1 {
			t.Errorf("%d children", len(p.children))
		}
		r, ok := effect[RemoveChild](p)
		if !ok || r.Grace != keepOldChild || r.Err != nil {
			t.Errorf("removed with %+v", r)
		}
		if s := p.child().suite; s.KE.ID != transform.KEX25519 {
			t.Errorf("no PFS: %v", s)
		}
	})
}

func TestRekeyIKE(t *testing.T) {
	both(t, func(t *testing.T, w *world, p, q *peer) {
		old := p.one()
		p.do(old.Rekey(w.now))
		w.flush()
		w.agree()
		if p.one() == old || old.state != StateClosed || old.keys.d != nil {
			t.Error("the old SA is still there")
		}
		if p.one().Info().Rekeys != 1 || !p.one().initiator || q.one().initiator {
			t.Errorf("wrong heir: %+v", p.one().Info())
		}
		if w.a.one().keepaliveAt().IsZero() || !w.b.one().keepaliveAt().IsZero() {
			t.Error("a rekey has changed who keeps the way open")
		}
		if n := len(p.e.SAs()) + len(q.e.SAs()); n != 2 {
			t.Errorf("%d SAs", n)
		}
		// The heir works in both directions.
		p.do(p.e.RekeyChild(p.child().in, w.now))
		w.flush()
		q.do(q.one().Rekey(w.now))
		w.flush()
		q.do(q.e.RekeyChild(q.child().in, w.now))
		w.flush()
		w.agree()
	})
}

func TestRekeyByTime(t *testing.T) {
	a, b := pskConfig("a"), pskConfig("b")
	a.RekeyTime, b.RekeyTime = 60*time.Second, 70*time.Second
	a.HardLifetime, b.HardLifetime = 0, 0
	for _, c := range []*ChildConfig{&a.Children[0], &b.Children[0]} {
		c.RekeyTime = 20 * time.Second
	}
	w := newWorld(t, testOptions{cfgA: a, cfgB: b})
	w.up()
	for range 100 {
		w.advance(7 * time.Second)
		w.agree()
	}
	if n := count[Replaced](w.a); n < 8 {
		t.Errorf("%d IKE SA rekeys in 700 s", n)
	}
	if n := count[InstallChild](w.a); n < 30 {
		t.Errorf("%d children in 700 s", n)
	}
	if n := count[Closed](w.a) - count[Replaced](w.a); n != 0 {
		t.Errorf("%d SAs closed that were not rekeyed", n)
	}
}

func TestSimultaneousChildRekey(t *testing.T) {
	for seed := range uint64(12) { // either side wins
		w := newWorld(t, testOptions{seed: seed})
		w.up()
		w.a.do(w.a.e.RekeyChild(w.a.child().in, w.now))
		w.b.do(w.b.e.RekeyChild(w.b.child().in, w.now))
		w.flush()
		w.agree()
		if len(w.a.children) != 1 {
			t.Fatalf("seed %d: %d children", seed, len(w.a.children))
		}
		if n := count[InstallChild](w.a); n != 3 {
			t.Errorf("seed %d: %d children installed", seed, n)
		}
	}
}

func TestSimultaneousIKERekey(t *testing.T) {
	for seed := range uint64(12) {
		w := newWorld(t, testOptions{seed: seed})
		a, b := w.up()
		w.a.do(a.Rekey(w.now))
		w.b.do(b.Rekey(w.now))
		w.flush()
		w.agree()
		w.advance(2 * rekeyedPatience)
		if n := len(w.a.e.SAs()) + len(w.b.e.SAs()); n != 2 {
			t.Fatalf("seed %d: %d SAs", seed, n)
		}
		w.agree()
	}
}

// RFC 7296, section 2.8.1: one request is lost, and the peer's rekey is over
// before it comes again.
func TestSimultaneousRekeyWithLoss(t *testing.T) {
	for _, what := range []string{"child", "IKE"} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, testOptions{})
			a, b := w.up()
			if what == "child" {
				w.a.do(w.a.e.RekeyChild(w.a.child().in, w.now))
				w.lose()
				w.b.do(w.b.e.RekeyChild(w.b.child().in, w.now))
			} else {
				w.a.do(a.Rekey(w.now))
				w.lose()
				w.b.do(b.Rekey(w.now))
			}
			w.flush()
			w.advance(time.Minute)
			w.agree()
			if len(w.a.children) != 1 || len(w.a.e.SAs()) != 1 || len(w.b.e.SAs()) != 1 {
				t.Errorf("%d children, %d and %d SAs", len(w.a.children), len(w.a.e.SAs()), len(w.b.e.SAs()))
			}
		})
	}
}

func TestRekeyAgainstDelete(t *testing.T) {
	t.Run("child rekey, child delete", func(t *testing.T) {
		w := newWorld(t, testOptions{})
		w.up()
		w.a.do(w.a.e.RekeyChild(w.a.child().in, w.now))
		w.b.do(w.b.e.CloseChild(w.b.child().in, w.now))
		w.flush()
		w.advance(time.Minute)
		if len(w.a.children) != len(w.b.children) {
			t.Errorf("%d and %d children", len(w.a.children), len(w.b.children))
		}
		w.mirrorOnly()
	})
	t.Run("both delete the child", func(t *testing.T) {
		w := newWorld(t, testOptions{})
		w.up()
		w.a.do(w.a.e.CloseChild(w.a.child().in, w.now))
		w.b.do(w.b.e.CloseChild(w.b.child().in, w.now))
		w.flush()
		if len(w.a.children)+len(w.b.children) != 0 {
			t.Errorf("%d and %d children", len(w.a.children), len(w.b.children))
		}
		w.agree()
	})
	t.Run("IKE rekey, child rekey", func(t *testing.T) {
		w := newWorld(t, testOptions{})
		a, _ := w.up()
		w.a.do(a.Rekey(w.now))
		w.b.do(w.b.e.RekeyChild(w.b.child().in, w.now))
		w.flush()
		w.advance(time.Minute)
		w.agree()
		if count[Replaced](w.a) != 1 || count[InstallChild](w.a) < 2 {
			t.Error("one of the rekeys was forgotten")
		}
	})
	t.Run("IKE rekey, IKE delete", func(t *testing.T) {
		w := newWorld(t, testOptions{})
		a, b := w.up()
		w.a.do(a.Rekey(w.now))
		w.b.do(b.Close(w.now))
		w.flush()
		w.advance(time.Minute)
		if n := len(w.a.e.SAs()) + len(w.b.e.SAs()); n != 0 {
			t.Errorf("%d SAs left", n)
		}
	})
	t.Run("both delete the IKE SA", func(t *testing.T) {
		w := newWorld(t, testOptions{})
		a, b := w.up()
		w.a.do(a.Close(w.now))
		w.b.do(b.Close(w.now))
		w.flush()
		if n := len(w.a.e.SAs()) + len(w.b.e.SAs()); n != 0 {
			t.Errorf("%d SAs left", n)
		}
	})
}

func (w *world) mirrorOnly() {
	w.t.Helper()
	for _, c := range w.a.children {
		if w.b.children[c.OutSPI] == nil {
			w.t.Errorf("child %08x %08x has no mirror", c.InSPI, c.OutSPI)
		}
	}
}

func TestChildUnknownToThePeer(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.up()
	// b loses its child without a word.
	c := w.b.child()
	c.sa.dropChild(c, 0, nil)
	w.b.do(w.b.e.take())
	w.a.do(w.a.e.RekeyChild(w.a.child().in, w.now))
	w.flush()
	w.agree()
	if len(w.a.children) != 1 {
		t.Errorf("%d children", len(w.a.children))
	}
}

func TestRekeyWithOtherGroup(t *testing.T) {
	a, b := pskConfig("a"), pskConfig("b")
	a.Proposals = mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-x25519-ecp256")
	b.Proposals = mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-ecp256")
	a.Children[0].Proposals = mustProposals(transform.ProtoESP, "aes128gcm16-x25519-ecp384")
	b.Children[0].Proposals = mustProposals(transform.ProtoESP, "aes128gcm16-ecp384")
	w := newWorld(t, testOptions{cfgA: a, cfgB: b})
	sa, _ := w.up()
	w.a.do(w.a.e.RekeyChild(w.a.child().in, w.now))
	w.flush()
	w.agree()
	if got := w.a.child().suite.KE.ID; got != transform.KEECP384 {
		t.Errorf("key exchange %v", got)
	}
	w.a.do(sa.Rekey(w.now))
	w.flush()
	w.agree()
	if got := w.a.one().keys.suite.KE.ID; got != transform.KEECP256 {
		t.Errorf("key exchange %v", got)
	}
}

// TestGuessIsWhatThePeerChose lets A prefer a method that B chooses neither for the
// IKE SA nor for Child SAs. Once A knows so it guesses right, and no exchange is
// refused: libreswan would not tell which method it wants.
func TestGuessIsWhatThePeerChose(t *testing.T) {
	a, b := pskConfig("a"), pskConfig("b")
	a.Proposals = mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-x25519-modp2048")
	b.Proposals = mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-modp2048")
	a.Children[0].Proposals = mustProposals(transform.ProtoESP, "aes128gcm16-x25519-modp2048")
	b.Children[0].Proposals = mustProposals(transform.ProtoESP, "aes128gcm16-modp2048")
	more := a.Children[0]
	more.Name, more.Local, more.Remote = "more", nets("10.3.0.0/16"), nets("10.4.0.0/16")
	a.Children = append(a.Children, more)
	more.Local, more.Remote = more.Remote, more.Local
	more.Proposals = b.Children[0].Proposals
	b.Children = append(b.Children, more)
	w := newWorld(t, testOptions{cfgA: a, cfgB: b})
	sa, _ := w.up() // makes the second Child SA in an exchange of its own
	w.agree()
	if len(w.a.children) != 2 {
		t.Fatalf("%d children", len(w.a.children))
	}
	exchanges := sa.nextID
	for _, c := range sa.children {
		w.a.do(w.a.e.RekeyChild(c.in, w.now))
		w.flush()
	}
	w.agree()
	if n := sa.nextID - exchanges; n != 4 { // a rekey and a deletion each
		t.Errorf("%d exchanges for two rekeys", n)
	}
}

func TestTemporaryFailureThenRetry(t *testing.T) {
	w := newWorld(t, testOptions{})
	_, b := w.up()
	w.b.do(b.Rekey(w.now)) // in flight, not delivered
	held := w.wire
	w.wire = nil
	w.a.do(w.a.e.RekeyChild(w.a.child().in, w.now))
	w.flush()
	if count[InstallChild](w.a) != 1 {
		t.Error("a child was made while the IKE SA was being rekeyed")
	}
	w.wire = held
	w.flush()
	w.advance(10 * time.Second)
	w.agree()
	if count[InstallChild](w.a) != 2 {
		t.Error("the rekey was not tried again")
	}
}

func TestCriticalPayloadIsRefused(t *testing.T) {
	w := newWorld(t, testOptions{})
	a, b := w.up()
	datagrams, err := a.seal(message.Informational, a.nextID, false, []message.Payload{
		&message.Unknown{PayloadType: 200, Critical: true, Body: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	a.nextID++
	a.send(datagrams, w.now)
	w.a.do(w.a.e.take())
	w.deliver(0)
	m, err := message.Open(w.wire[0].data, a.keys.open)
	if err != nil {
		t.Fatal(err)
	}
	n := message.FindNotify(m.Payloads, message.NotifyUnsupportedCriticalPayload)
	if n == nil || len(n.Data) != 1 || n.Data[0] != 200 {
		t.Errorf("answered with %+v", n)
	}
	if b.state != StateUp {
		t.Error("the SA did not survive")
	}
	w.lose()

	// Not critical: passed over.
	datagrams, _ = a.seal(message.Informational, a.nextID, false, []message.Payload{
		&message.Unknown{PayloadType: 200, Body: []byte("x")}})
	a.nextID++
	a.send(datagrams, w.now)
	w.a.do(w.a.e.take())
	w.deliver(0)
	if m, err = message.Open(w.wire[0].data, a.keys.open); err != nil || len(m.Payloads) != 0 {
		t.Errorf("answered with %v, %v", m.Payloads, err)
	}
}

// TestReauthenticationAfterPeerRekeys: whoever rekeyed last, the IKE SA that is to
// be authenticated anew is ours, and the peer is not told to forget it.
func TestReauthenticationAfterPeerRekeys(t *testing.T) {
	w := newWorld(t, testOptions{})
	w.up()
	w.b.do(w.b.one().Rekey(w.now))
	w.flush()
	w.agree()
	w.connect()
	w.flush()
	if len(w.a.e.SAs()) < 2 || len(w.b.e.SAs()) < 2 {
		t.Errorf("%d and %d IKE SAs: the old one was dropped", len(w.a.e.SAs()), len(w.b.e.SAs()))
	}
}
