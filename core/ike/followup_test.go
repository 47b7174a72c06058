package ike

import (
	"fmt"
	"testing"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// hybridRekeys are configurations with several key exchanges in each rekey.
func hybridRekeys() (a, b *Config) {
	a, b = hybrid("ke1_mlkem768-ke2_ecp384")
	for _, c := range []*Config{a, b} {
		c.Children[0].Proposals = mustProposals(transform.ProtoESP, "aes128gcm16-x25519-ke1_mlkem1024-ke3_ecp256-esn", "aes128gcm16-x25519-esn")
	}
	return a, b
}

// exchanges delivers what is on the wire, and counts the requests of an exchange.
func (w *world) exchanges(x message.ExchangeType) int {
	w.t.Helper()
	seen := map[uint32]bool{}
	for len(w.wire) > 0 {
		h, err := message.ParseHeader(w.wire[0].data)
		if err != nil {
			w.t.Fatal(err)
		}
		if h.Exchange == x && !h.Response() {
			seen[h.MessageID] = true
		}
		w.deliver(0)
	}
	return len(seen)
}

func TestFollowupRekeys(t *testing.T) {
	cfgA, cfgB := hybridRekeys()
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	w.up()
	for round, by := range []*peer{w.a, w.b, w.a} {
		keys := fmt.Sprintf("%x", w.a.child().suite)
		by.do(by.e.RekeyChild(by.child().in, w.now))
		if n := w.exchanges(message.IKEFollowupKE); n != 2 {
			t.Errorf("round %d: %d further key exchanges for a Child SA, want 2", round, n)
		}
		w.agree()
		if s := w.a.child().suite; !s.QuantumSafe() || len(s.AdditionalKEs()) != 2 {
			t.Errorf("round %d: the Child SA has %v after %s", round, s, keys)
		}
		by.do(by.one().Rekey(w.now))
		if n := w.exchanges(message.IKEFollowupKE); n != 2 {
			t.Errorf("round %d: %d further key exchanges for the IKE SA, want 2", round, n)
		}
		w.agree()
		if i := w.b.one().Info(); !i.QuantumSafe || i.Rekeys != round+1 {
			t.Errorf("round %d: %+v", round, i)
		}
	}
}

// A peer that has agreed on one key exchange alone is not asked for several later.
func TestNoFollowupForClassicalPeers(t *testing.T) {
	cfgA, cfgB := hybridRekeys()
	cfgB.Proposals, cfgB.Children[0].Proposals = transform.Classical(cfgB.Proposals), transform.Classical(cfgB.Children[0].Proposals)
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	a, _ := w.up()
	if got := a.known(cfgA.Children[0].Proposals); len(got) != 1 || got[0].HasAdditional() {
		t.Errorf("offers %v", got)
	}
	w.a.do(w.a.e.RekeyChild(w.a.child().in, w.now))
	w.flush()
	w.a.do(w.a.one().Rekey(w.now))
	w.flush()
	w.agree()
	if i := w.a.one().Info(); i.QuantumSafe || !i.QuantumOffered {
		t.Errorf("quantum-safe %v, offered %v", i.QuantumSafe, i.QuantumOffered)
	}
}

func TestFollowupCollisions(t *testing.T) {
	for _, what := range []string{"child", "IKE"} {
		for order := range 64 {
			t.Run(fmt.Sprintf("%s %d", what, order), func(t *testing.T) {
				cfgA, cfgB := hybridRekeys()
				w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB, seed: uint64(order)})
				w.up()
				for _, p := range []*peer{w.a, w.b} {
					if what == "child" {
						p.do(p.e.RekeyChild(p.child().in, w.now))
					} else {
						p.do(p.one().Rekey(w.now))
					}
				}
				// Each bit says which end hears next.
				for bits := order; bits > 0 && len(w.wire) > 0; bits >>= 1 {
					to := w.a.addr
					if bits&1 == 1 {
						to = w.b.addr
					}
					for i := range w.wire {
						if w.wire[i].to.Addr() == to {
							w.deliver(i)
							break
						}
					}
				}
				w.advance(time.Minute)
				w.agree()
				if len(w.a.children) != 1 || len(w.a.e.sas) != 1 || len(w.b.e.sas) != 1 {
					t.Errorf("%d children, %d and %d IKE SAs", len(w.a.children), len(w.a.e.sas), len(w.b.e.sas))
				}
				for _, p := range []*peer{w.a, w.b} {
					if sa := p.one(); sa.unfinished != nil {
						t.Errorf("%s keeps an exchange", p.name)
					}
				}
			})
		}
	}
}

// What a peer has begun and does not end is forgotten after a while, and what
// it begins anew takes its place. A link that leads nowhere is answered so.
func TestFollowupIsBounded(t *testing.T) {
	cfgA, cfgB := hybridRekeys()
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	a, b := w.up()
	send := func(x message.ExchangeType, payloads ...message.Payload) message.Message {
		t.Helper()
		datagrams, err := a.seal(x, a.nextID, false, payloads)
		if err != nil {
			t.Fatal(err)
		}
		a.nextID++
		for _, d := range datagrams {
			w.hand(packet{from: a.path.Local, to: a.path.Remote, natt: true, data: d})
		}
		var parts message.Reassembler
		for _, k := range w.wire {
			if m, done, err := parts.Open(k.data, a.keys.open); err == nil && done {
				w.lose()
				return m
			}
		}
		t.Fatal("no answer")
		return message.Message{}
	}
	var link *message.Notify
	for range 5 {
		o, err := a.newExchange(&cfgA.Children[0], 0)
		if err != nil {
			t.Fatal(err)
		}
		m := send(message.CreateChildSA, o.payloads()...)
		a.e.freeChildSPI(o.spi)
		if link = message.FindNotify(m.Payloads, message.NotifyAdditionalKeyExchange); link == nil {
			t.Fatalf("answered with %v", m.Payloads)
		}
		if n := len(b.e.reserved); n != 1 || b.unfinished == nil {
			t.Errorf("%d SPIs reserved", n)
		}
	}
	ke, err := transform.NewKeyExchange(transform.KEMLKEM1024, newSeeded(1, "x"))
	if err != nil {
		t.Fatal(err)
	}
	value := &message.KE{Method: ke.ID(), Data: ke.Public()}
	other := *link
	other.Data = append([]byte{1}, link.Data...)
	if m := send(message.IKEFollowupKE, value, &other); message.FindNotify(m.Payloads, message.NotifyStateNotFound) == nil {
		t.Errorf("another link is answered with %v", m.Payloads)
	}
	w.now = w.now.Add(followupPatience)
	w.b.do(w.b.e.HandleTimeout(w.now))
	if b.unfinished != nil || len(b.e.reserved) != 0 {
		t.Error("kept for ever")
	}
	if m := send(message.IKEFollowupKE, value, link); message.FindNotify(m.Payloads, message.NotifyStateNotFound) == nil {
		t.Errorf("a link of the past is answered with %v", m.Payloads)
	}
	if b.state != StateUp || len(b.children) != 1 {
		t.Errorf("state %v, %d children", b.state, len(b.children))
	}
}

// A peer that has forgotten where a rekey stood is asked again.
func TestFollowupForgotten(t *testing.T) {
	cfgA, cfgB := hybridRekeys()
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	_, b := w.up()
	old := w.a.child().in
	w.a.do(w.a.e.RekeyChild(old, w.now))
	w.deliver(0)
	for b.unfinished == nil && len(w.wire) > 0 {
		w.deliver(0)
	}
	b.dropUnfinished()
	w.flush()
	if w.a.child().in != old {
		t.Fatal("rekeyed without the peer")
	}
	w.advance(time.Minute)
	w.agree()
	if w.a.child().in == old {
		t.Error("not rekeyed in the end")
	}
}
