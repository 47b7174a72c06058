package ike

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// quantumConfigs offer ML-KEM first.
func quantumConfigs() (a, b *Config) {
	a, b = pskConfig("a"), pskConfig("b")
	for _, c := range []*Config{a, b} {
		c.Proposals = transform.Hybrid(mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-x25519-ecp256"))
	}
	return a, b
}

// asksForMore reports whether a datagram is an IKE_SA_INIT request with several
// key exchanges.
func (w *world) asksForMore(k packet) bool {
	w.t.Helper()
	m, err := message.Parse(k.data)
	if err != nil || m.Exchange != message.IKESAInit || m.Response() {
		return false
	}
	sa, _ := message.Find[*message.SA](m.Payloads)
	return slices.ContainsFunc(sa.Offers(), transform.Proposal.HasAdditional)
}

// old is a gateway that cannot take such requests: what it says in place of an
// answer is up to say, which may be nil for nothing. It counts them.
func (w *world) old(say func(packet) []packet) (asked *int) {
	asked = new(int)
	w.b.nat = nil
	step := func() {
		for i := 0; len(w.wire) > 0 && i < 1000; i++ {
			k := w.wire[0]
			if !w.asksForMore(k) {
				w.deliver(0)
				continue
			}
			*asked++
			w.wire = w.wire[1:]
			if say != nil {
				w.wire = append(w.wire, say(k)...)
			}
		}
	}
	step()
	w.run(30*time.Second, step)
	return asked
}

func TestFallsBackToClassical(t *testing.T) {
	notify := func(kind message.NotifyType) func(w *world) func(packet) []packet {
		return func(w *world) func(packet) []packet {
			return func(k packet) []packet { return []packet{w.forge(k, &message.Notify{Kind: kind})} }
		}
	}
	for name, say := range map[string]func(w *world) func(packet) []packet{
		"silence":              func(*world) func(packet) []packet { return nil },
		"NO_PROPOSAL_CHOSEN":   notify(message.NotifyNoProposalChosen),
		"INVALID_SYNTAX":       notify(message.NotifyInvalidSyntax),
		"critical":             notify(message.NotifyUnsupportedCriticalPayload),
		"a choice that is not": func(w *world) func(packet) []packet { return w.choosesBadly },
	} {
		t.Run(name, func(t *testing.T) {
			cfgA, cfgB := quantumConfigs()
			cfgB.Proposals = transform.Classical(cfgB.Proposals)
			w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
			w.connect()
			before := w.now
			asked := w.old(say(w))
			w.agree()
			i := w.a.one().Info()
			if i.QuantumSafe || !i.QuantumOffered || !i.QuantumRefused {
				t.Errorf("quantum-safe %v, offered %v, refused %v", i.QuantumSafe, i.QuantumOffered, i.QuantumRefused)
			}
			if took := i.Established.Sub(before); took > 15*time.Second || *asked == 0 || *asked > 4 {
				t.Errorf("took %v, asked %d times", took, *asked)
			}
			if n := len(w.a.e.sas); n != 1 {
				t.Errorf("%d SAs", n)
			}

			// The next time it is not asked again, until a day has gone.
			w.a.do(w.a.one().Close(w.now))
			w.flush()
			w.connect()
			if w.asksForMore(w.wire[0]) {
				t.Error("asked again at once")
			}
			w.old(say(w))
			if !w.a.one().Info().QuantumRefused {
				t.Error("it is not said why")
			}
			w.a.do(w.a.one().Close(w.now))
			w.flush()
			w.now = w.now.Add(plainTime)
			w.connect()
			if !w.asksForMore(w.wire[0]) {
				t.Error("not asked again after a day")
			}
		})
	}
}

// choosesBadly answers the first proposal and leaves out what it does not know.
func (w *world) choosesBadly(k packet) []packet {
	m, err := message.Parse(k.data)
	if err != nil {
		w.t.Fatal(err)
	}
	sa, _ := message.Find[*message.SA](m.Payloads)
	ke, _ := message.Find[*message.KE](m.Payloads)
	p := sa.Offers()[0]
	p.Transforms = slices.DeleteFunc(p.Transforms, func(t transform.Transform) bool {
		return t.Type > transform.TypeESN || t.Type == transform.TypeKE && t.ID != ke.Method
	})
	mine, err := transform.NewKeyExchange(ke.Method, newSeeded(1, "old"))
	if err != nil {
		w.t.Fatal(err)
	}
	m.Header.ResponderSPI = 77
	m.Flags = message.FlagResponse
	m.Payloads = []message.Payload{message.NewSA(p), &message.KE{Method: ke.Method, Data: mine.Public()}, &message.Nonce{Data: make([]byte, 32)}}
	b, err := m.AppendTo(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return []packet{{from: k.to, to: k.from, natt: k.natt, data: b}}
}

// Packets get lost without anybody refusing anything: that is not taken for a
// peer that cannot.
func TestLossIsNoDowngrade(t *testing.T) {
	for lost := range 5 {
		cfgA, cfgB := quantumConfigs()
		w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB, seed: uint64(lost)})
		w.connect()
		n := 0
		step := func() {
			for len(w.wire) > 0 {
				if n++; n <= lost {
					w.wire = w.wire[1:]
					continue
				}
				w.deliver(0)
			}
		}
		step()
		w.run(time.Minute, step)
		if i := w.a.one().Info(); !i.QuantumSafe || i.QuantumRefused {
			t.Errorf("%d packets lost: quantum-safe %v, refused %v", lost, i.QuantumSafe, i.QuantumRefused)
		}
		w.agree()
	}
}

// Whoever can forge answers, and not hold back the right ones, downgrades nobody.
func TestForgedRefusalIsNoDowngrade(t *testing.T) {
	for _, n := range []*message.Notify{
		{Kind: message.NotifyNoProposalChosen}, {Kind: message.NotifyInvalidSyntax},
		invalidKE(transform.KEECP256), invalidKE(transform.KEMODP1024), invalidKE(transform.KEMLKEM768), {Kind: message.NotifyInvalidKEPayload},
	} {
		cfgA, cfgB := quantumConfigs()
		w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
		w.connect()
		w.hand(w.forge(w.wire[0], n))
		w.run(fallbackGrace/2, func() {})
		w.flush()
		w.agree()
		if !w.a.one().Info().QuantumSafe {
			t.Errorf("%v brought about %v", n.Kind, w.a.one().Info().Suite)
		}
	}
}

// A man in the middle takes the further key exchanges out of the offer, or out of
// the offer and the answer: AUTH covers what was really sent.
func TestStrippedOfferIsNoDowngrade(t *testing.T) {
	cfgA, cfgB := quantumConfigs()
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	w.connect()
	m := w.parse(0)
	for i, p := range m.Payloads {
		if sa, ok := p.(*message.SA); ok {
			m.Payloads[i] = message.NewSA(sa.Offers()[1]) // under its own number
		}
	}
	b, err := m.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.wire[0].data = b
	w.flush()
	w.advance(time.Minute)
	if len(w.a.e.SAs())+len(w.b.e.SAs())+len(w.a.children)+len(w.b.children) != 0 {
		t.Error("an SA came up")
	}
	if f := w.a.closed(); f == nil || f.Code != FailAuthRefused {
		t.Errorf("ended with %v", f)
	}
}

// Who insists takes nothing else, as initiator and as responder.
func TestQuantumRequired(t *testing.T) {
	for _, side := range []string{"initiator", "responder"} {
		cfgA, cfgB := quantumConfigs()
		if side == "initiator" {
			cfgA.Proposals, cfgB.Proposals = transform.QuantumSafe(cfgA.Proposals), transform.Classical(cfgB.Proposals)
		} else {
			cfgA.Proposals, cfgB.Proposals = transform.Classical(cfgA.Proposals), transform.QuantumSafe(cfgB.Proposals)
		}
		w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
		w.connect()
		w.advance(5 * time.Minute)
		if f := w.a.closed(); f == nil || f.Code != FailNoProposal {
			t.Errorf("%s: ended with %v", side, f)
		}
		if len(w.b.e.SAs()) != 0 {
			t.Errorf("%s: an SA came up", side)
		}
	}
	cfgA, cfgB := quantumConfigs()
	cfgA.Proposals = transform.QuantumSafe(cfgA.Proposals)
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	w.connect()
	asked := w.old(nil)
	w.run(2*time.Minute, w.lose)
	if f := w.a.closed(); *asked < 4 || len(w.a.children) != 0 || f == nil || f.Code != FailSilent {
		t.Errorf("asked %d times, ended with %v", *asked, f)
	}
}

// What is remembered of peers is bounded.
func TestPlainTableIsBounded(t *testing.T) {
	cfgA, cfgB := quantumConfigs()
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	a, _ := w.up()
	a.hs = &handshake{fallback: offersClassical}
	table := w.a.e.plain
	addr := w.b.addr
	for range 3 * maxPlain {
		addr = addr.Next()
		a.path.Remote = netip.AddrPortFrom(addr, 500)
		table.note(a, w.now)
		if len(table) > maxPlain || !table.knows(addr, w.now) {
			t.Fatalf("%d entries", len(table))
		}
	}
	a.hs.fallback = offersAll
	if table.note(a, w.now); table.knows(addr, w.now) {
		t.Error("remembers a peer that has learned")
	}
}
