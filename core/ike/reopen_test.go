package ike

import (
	"fmt"
	"testing"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// reopenWorld is one whose ends ask anew for Child SAs that end.
func reopenWorld(t *testing.T, adjust func(a, b *Config)) *world {
	cfgA, cfgB := pskConfig("a"), pskConfig("b")
	cfgA.Reopen, cfgB.Reopen = true, true
	if adjust != nil {
		adjust(cfgA, cfgB)
	}
	return newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
}

// stays fails unless each end has the IKE SA that it had, and want Child SAs that
// agree.
func (w *world) stays(a, b *SA, want int) {
	w.t.Helper()
	w.agree()
	if w.a.one() != a || w.b.one() != b {
		w.t.Error("the IKE SA is another")
	}
	if len(w.a.children) != want || len(w.b.children) != want {
		w.t.Errorf("%d and %d Child SAs, want %d", len(w.a.children), len(w.b.children), want)
	}
	if n := count[ChildFailed](w.a) + count[Closed](w.a); n != 0 {
		w.t.Errorf("%d failures", n)
	}
}

// TestReopen: the only Child SA is asked for anew at once in the same IKE SA, whoever
// ended it and whoever rekeyed the IKE SA before.
func TestReopen(t *testing.T) {
	for _, rekeyed := range []string{"", "a", "b"} {
		for _, how := range []string{"deleted by the peer", "expired", "expired at the peer", "expired at both"} {
			t.Run(how+rekeyed, func(t *testing.T) {
				w := reopenWorld(t, nil)
				w.up()
				switch rekeyed {
				case "a":
					w.a.do(w.a.one().Rekey(w.now))
				case "b":
					w.b.do(w.b.one().Rekey(w.now))
				}
				w.flush()
				a, b, old := w.a.one(), w.b.one(), w.a.child().in
				closed := count[Closed](w.a)
				w.a.effects = nil
				expire := func(p *peer) { p.do(p.e.ExpireChild(p.child().in, w.now)) }
				switch how {
				case "deleted by the peer":
					w.b.do(w.b.e.CloseChild(w.b.child().in, w.now))
				case "expired":
					expire(w.a)
				case "expired at the peer":
					expire(w.b)
				default:
					expire(w.a)
					expire(w.b)
				}
				w.flush()
				w.stays(a, b, 1)
				if w.a.child().in == old {
					t.Error("the Child SA is the old one")
				}
				if x, ok := effect[RemoveChild](w.a); !ok || !x.Reopens || x.Err == nil {
					t.Errorf("removed with %+v after %d closed", x, closed)
				}
				w.advance(10 * time.Minute)
				w.stays(a, b, 1)
			})
		}
	}
}

// TestReopenNot: what nobody wants stays away.
func TestReopenNot(t *testing.T) {
	tests := map[string]func(w *world){
		"we closed it":            func(w *world) { w.a.do(w.a.e.CloseChild(w.a.child().in, w.now)) },
		"another takes its place": func(w *world) { w.a.one().StopRenewing(w.now); w.b.do(w.b.e.CloseChild(w.b.child().in, w.now)) },
		"nor after a rekey then": func(w *world) {
			w.a.one().StopRenewing(w.now)
			w.b.do(w.b.one().Rekey(w.now))
			w.flush()
			w.b.do(w.b.e.CloseChild(w.b.child().in, w.now))
		},
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			// The responder is never the one who asks.
			w := reopenWorld(t, nil)
			w.up()
			end(w)
			w.advance(5 * time.Minute)
			if len(w.a.children) != 0 || len(w.b.children) != 0 || len(w.a.one().queue) != 0 {
				t.Errorf("%d and %d Child SAs", len(w.a.children), len(w.b.children))
			}
			if x, _ := effect[RemoveChild](w.a); x.Reopens {
				t.Error("said to be opened again")
			}
		})
	}
}

// TestReopenSecond: of several Child SAs the one that is gone comes back, and the
// other knows nothing of it.
func TestReopenSecond(t *testing.T) {
	second := func(a, b *Config) {
		for i, c := range []*Config{a, b} {
			x := c.Children[0]
			x.Name, x.Local, x.Remote = "second", nets(fmt.Sprintf("10.%d.0.0/16", 11+i)), nets(fmt.Sprintf("10.%d.0.0/16", 12-i))
			c.Children = append(c.Children, x)
		}
	}
	for i, name := range []string{"net", "second"} {
		w := reopenWorld(t, second)
		w.up()
		a, b := w.sas()
		stay := a.children[1-i].in
		w.b.do(w.b.e.CloseChild(b.children[i].in, w.now))
		w.flush()
		w.stays(a, b, 2)
		if a.children[0].in != stay || a.children[1].cfg.Name != name {
			t.Errorf("%q: not what was lost", name)
		}
	}
}

// TestReopenBacksOff: a peer that deletes what it has just made is asked at growing
// intervals, and at once again when a Child SA has lasted.
func TestReopenBacksOff(t *testing.T) {
	w := reopenWorld(t, nil)
	w.up()
	a, b := w.sas()
	var asked []time.Duration
	last := w.now
	w.run(10*time.Minute, func() {
		w.flush()
		for len(w.b.children) == 1 && len(asked) < 12 {
			asked = append(asked, w.now.Sub(last))
			last = w.now
			w.b.do(w.b.e.CloseChild(w.b.child().in, w.now))
			w.flush()
		}
	})
	if len(asked) != 12 || asked[1] != 0 {
		t.Errorf("asked after %v", asked)
	}
	for i, got := range asked[2:] {
		if want := min(250*time.Millisecond<<i, time.Minute); got != want {
			t.Errorf("asked %v after the last time, want %v", got, want)
		}
	}
	w.advance(2 * time.Minute)
	w.stays(a, b, 1)
	w.b.do(w.b.e.CloseChild(w.b.child().in, w.now))
	w.flush()
	w.stays(a, b, 1)
}

// TestReopenKeyExchange: the peer may want another key exchange than the one guessed,
// and more than one of them.
func TestReopenKeyExchange(t *testing.T) {
	for ours, theirs := range map[string]string{
		"aes128gcm16-x25519-ecp256-esn":     "aes128gcm16-ecp256-esn",
		"aes128gcm16-x25519-ke1_ecp256-esn": "aes128gcm16-x25519-ke1_ecp256-esn",
	} {
		w := reopenWorld(t, func(a, b *Config) {
			a.Children[0].Proposals = mustProposals(transform.ProtoESP, ours)
			b.Children[0].Proposals = mustProposals(transform.ProtoESP, theirs)
		})
		w.up()
		a, b := w.sas()
		w.b.do(w.b.e.CloseChild(w.b.child().in, w.now))
		w.flush()
		w.stays(a, b, 1)
		if w.a.child().suite.KE.ID == 0 {
			t.Error("without a key exchange")
		}
	}
}

// TestReopenRefused: what the peer refuses is told, and not asked for again; what it
// refuses for now is asked for again later.
func TestReopenRefused(t *testing.T) {
	for _, kind := range []message.NotifyType{message.NotifyNoAdditionalSAs, message.NotifyTSUnacceptable,
		message.NotifyNoProposalChosen, message.NotifyTemporaryFailure, 12345} {
		w := reopenWorld(t, nil)
		w.up()
		a, b := w.sas()
		w.b.do(w.b.e.CloseChild(w.b.child().in, w.now))
		for a.flight == nil {
			w.deliver(0)
		}
		request := w.wire[len(w.wire)-1]
		h, err := message.ParseHeader(request.data)
		if err != nil || h.Exchange != message.CreateChildSA {
			t.Fatalf("%v, %v", h.Exchange, err)
		}
		w.wire = w.wire[:len(w.wire)-1]
		w.flush()
		b.respond(h, []message.Payload{status(kind)}, w.now)
		w.b.do(w.b.e.HandleTimeout(w.now))
		w.flush()
		if kind == message.NotifyTemporaryFailure {
			w.advance(10 * time.Second)
			w.stays(a, b, 1)
			continue
		}
		w.advance(10 * time.Minute)
		x, ok := effect[ChildFailed](w.a)
		if n := count[ChildFailed](w.a); !ok || !x.Lost || n != 1 || len(w.a.children) != 0 || a.state != StateUp {
			t.Errorf("%v: %d failures, the last %+v; %d Child SAs", kind, n, x, len(w.a.children))
		}
	}
}

// TestReopenAmidRekey: whoever was rekeying the Child SA that the peer deletes, and
// whatever of it comes through, in the end there is one.
func TestReopenAmidRekey(t *testing.T) {
	for _, kind := range []string{"", "-ke1_ecp256"} {
		for by := range 4 { // bit 0: a rekeys, bit 1: b does
			for order := range 24 {
				w := reopenWorld(t, func(a, b *Config) {
					for _, c := range []*Config{a, b} {
						c.Children[0].Proposals = mustProposals(transform.ProtoESP, "aes128gcm16-x25519"+kind+"-esn")
					}
				})
				w.up()
				a, b := w.sas()
				if by&1 != 0 {
					w.a.do(w.a.e.RekeyChild(w.a.child().in, w.now))
				}
				if by&2 != 0 {
					w.b.do(w.b.e.RekeyChild(w.b.child().in, w.now))
				}
				w.b.do(w.b.e.CloseChild(b.children[0].in, w.now))
				for n := order; len(w.wire) > 0; n /= 2 {
					w.deliver(n % len(w.wire))
				}
				w.advance(time.Minute)
				w.stays(a, b, 1)
				if t.Failed() {
					t.Fatalf("kind %q, by %d, order %d", kind, by, order)
				}
			}
		}
	}
}

// TestReopenReplacedByPeer: a peer that has made another Child SA for the same traffic
// before it deletes the old one gets no third.
func TestReopenReplacedByPeer(t *testing.T) {
	w := reopenWorld(t, nil)
	w.up()
	a, b := w.sas()
	old := w.b.child().in
	b.enqueue(&createTask{cfg: &w.b.cfg.Children[0]}, w.now)
	w.b.do(w.b.e.HandleTimeout(w.now))
	w.b.e.settle(b, w.now)
	w.b.do(w.b.e.take())
	w.flush()
	w.b.do(w.b.e.CloseChild(old, w.now))
	w.flush()
	w.stays(a, b, 1)
	if n := count[InstallChild](w.a); n != 2 {
		t.Errorf("%d Child SAs were made", n)
	}
}

// TestReopenBounded: a peer that makes and deletes Child SAs without end leaves one
// request to wait, and no more.
func TestReopenBounded(t *testing.T) {
	w := reopenWorld(t, nil)
	w.up()
	a, b := w.sas()
	for range 200 {
		for spi := range w.b.children {
			w.b.do(w.b.e.CloseChild(spi, w.now))
		}
		w.flush()
		b.enqueue(&createTask{cfg: &w.b.cfg.Children[0]}, w.now)
		w.b.e.settle(b, w.now)
		w.b.do(w.b.e.take())
		w.flush()
		if len(a.queue) > 2 || len(a.reopenings) > 1 {
			t.Fatalf("%d requests wait, %d were lost", len(a.queue), len(a.reopenings))
		}
	}
}

// TestReopenUnanswered: a peer that is dead when it is asked ends the IKE SA, and one
// that has closed it is asked for nothing.
func TestReopenUnanswered(t *testing.T) {
	w := reopenWorld(t, nil)
	w.up()
	w.b.do(w.b.e.CloseChild(w.b.child().in, w.now))
	w.deliver(0)
	w.lose()
	w.run(10*time.Minute, w.lose)
	x, _ := effect[Closed](w.a)
	if f, ok := x.Err.(*Failure); !ok || f.Code != FailPeerDead {
		t.Errorf("closed with %v", x.Err)
	}
	w = reopenWorld(t, nil)
	w.up()
	w.b.do(w.b.e.CloseChild(w.b.child().in, w.now))
	w.b.do(w.b.one().Close(w.now))
	w.advance(10 * time.Minute)
	if len(w.a.e.sas)+len(w.b.e.sas)+len(w.a.children) != 0 {
		t.Errorf("%d and %d IKE SAs", len(w.a.e.sas), len(w.b.e.sas))
	}
}

// TestReopenResources: that which is for no resource comes back beside the others,
// or with all of them when none has stayed.
func TestReopenResources(t *testing.T) {
	w := resourceWorld(t, 2, 2)
	w.a.cfg.Reopen = true
	w.up()
	a, b := w.sas()
	for i, gone := range []int{2, 0} {
		w.b.do(w.b.e.CloseChild(w.b.of(gone).in, w.now))
		w.advance(time.Minute)
		w.stays(a, b, 2)
		if got := fmt.Sprint(w.a.resources()); got != "[0 1]" {
			t.Errorf("%d: %s", i, got)
		}
	}
	for _, gone := range []int{1, 0} {
		w.b.do(w.b.e.CloseChild(w.b.of(gone).in, w.now))
		w.flush()
	}
	w.advance(2 * time.Minute)
	w.stays(a, b, 3)
}
