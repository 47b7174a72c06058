package ike

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// hybrid are configurations with further key exchanges.
func hybrid(ke string) (a, b *Config) {
	a, b = pskConfig("a"), pskConfig("b")
	for _, c := range []*Config{a, b} {
		c.Proposals = mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-x25519-ecp256-"+ke, "aes256gcm16-prfsha256-x25519-ecp256")
	}
	return a, b
}

func TestAdditionalKeyExchange(t *testing.T) {
	for ke, exchanges := range map[string]int{
		"ke1_mlkem768": 1, "ke1_mlkem1024": 1, "ke3_mlkem768": 1, "ke1_mlkem768-ke2_mlkem1024-ke7_modp2048": 3,
		"ke1_mlkem768-ke2_none-ke2_modp3072": 1,
	} {
		t.Run(ke, func(t *testing.T) {
			cfgA, cfgB := hybrid(ke)
			w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
			w.connect()
			seen := map[uint32]bool{}
			for len(w.wire) > 0 {
				h, err := message.ParseHeader(w.wire[0].data)
				if err != nil {
					t.Fatal(err)
				}
				if h.Exchange == message.IKEIntermediate {
					seen[h.MessageID] = true
				}
				if len(w.wire[0].data) > 1280-32 {
					t.Errorf("%v of %d bytes is not fragmented", h.Exchange, len(w.wire[0].data))
				}
				w.deliver(0)
			}
			w.agree()
			if len(seen) != exchanges {
				t.Errorf("%d exchanges, want %d", len(seen), exchanges)
			}
			for _, p := range []*peer{w.a, w.b} {
				if s := p.one().Info().Suite; !s.QuantumSafe() || len(s.AdditionalKEs()) != exchanges {
					t.Errorf("%s: %v", p.name, s)
				}
			}
		})
	}
}

// Messages that come again, in any number, do no harm: the request of an exchange
// that was answered is answered with the same, under the keys of its time.
func TestIntermediateRepeats(t *testing.T) {
	cfgA, cfgB := hybrid("ke1_mlkem768-ke2_mlkem1024")
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	w.connect()
	var answers [][]byte
	for n := 0; len(w.wire) > 0 && n < 200; n++ {
		k := w.wire[0]
		h, err := message.ParseHeader(k.data)
		if err != nil {
			t.Fatal(err)
		}
		w.deliver(0)
		if h.Exchange == message.IKEIntermediate {
			if h.Response() {
				answers = append(answers, k.data)
			}
			before := len(w.wire)
			w.hand(k)
			again := w.wire[before:]
			for _, x := range again {
				if !slices.ContainsFunc(w.wire[:before], func(y packet) bool { return bytes.Equal(x.data, y.data) }) {
					t.Errorf("a repeated %v %d got another answer", h.Exchange, h.MessageID)
				}
			}
			w.wire = w.wire[:before]
		}
	}
	w.agree()
	if len(answers) == 0 {
		t.Error("no answers seen")
	}
}

func TestIntermediateLost(t *testing.T) {
	cfgA, cfgB := hybrid("ke1_mlkem768-ke2_mlkem1024")
	for drop := range 16 {
		w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB, seed: uint64(drop)})
		w.connect()
		n := 0
		step := func() {
			for len(w.wire) > 0 {
				if n++; n == drop+1 {
					w.wire = w.wire[1:]
					continue
				}
				w.deliver(0)
			}
		}
		step()
		w.run(30*time.Second, step)
		w.agree()
	}
}

// A man in the middle changes what travels before IKE_AUTH under keys that he
// has, having broken the first key exchange: the AUTH of every method covers it,
// in both directions.
func TestIntermediateIsAuthenticated(t *testing.T) {
	ca := newCA(t, "CA")
	for _, method := range []string{"PSK", "certificate", "EAP", "EAP alone"} {
		for _, tamper := range []string{"", "request", "response"} {
			t.Run(method+" "+tamper, func(t *testing.T) {
				cfgA, cfgB := pskConfig("a"), pskConfig("b")
				switch method {
				case "certificate":
					cfgA, cfgB = certConfigs(t, ca, "ecdsa", 0)
				case "EAP", "EAP alone":
					l := newEAPLab(t, eap.TypeTLS)
					cfgA, cfgB = l.user, l.gw
					cfgA.Local.EAP.Only, cfgB.Peer.EAP.Alone = method != "EAP", method != "EAP"
				}
				for _, c := range []*Config{cfgA, cfgB} {
					c.Proposals = transform.Hybrid(mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-x25519"))
				}
				w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
				w.connect()
				w.deliver(0)
				w.deliver(0)
				w.tamper(tamper == "response", tamper != "")
				w.flush()
				if tamper == "" {
					w.agree()
					if s := w.a.one().keys.suite; !s.QuantumSafe() {
						t.Errorf("agreed on %v", s)
					}
					return
				}
				if f := w.a.closed(); f == nil || f.Code != FailAuthRefused && f.Code != FailPSKMismatch && f.Code != FailPeerAuth {
					t.Errorf("closed with %v", f)
				}
				if len(w.a.children)+len(w.b.children) != 0 {
					t.Error("a Child SA came up")
				}
			})
		}
	}
}

// tamper opens the next message in one direction and seals it anew, with one
// payload more when it is to be changed.
func (w *world) tamper(response, change bool) {
	w.t.Helper()
	var parts message.Reassembler
	for n := 0; n < 100 && len(w.wire) > 0; n++ {
		k := w.wire[0]
		w.wire = w.wire[1:]
		h, err := message.ParseHeader(k.data)
		if err != nil {
			w.t.Fatal(err)
		}
		if h.Response() != response {
			w.hand(k)
			continue
		}
		a, b := w.sas()
		opens := b.keys.open
		if response {
			opens = a.keys.open
		}
		m, done, err := parts.Open(k.data, opens)
		if err != nil {
			w.t.Fatal(err)
		}
		if !done {
			continue
		}
		if change {
			m.Payloads = append(m.Payloads, &message.VendorID{Data: []byte("Mallory")})
		}
		list, err := message.SealFragments(m.Header, m.Payloads, opens, 1200, newSeeded(1, "m"))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, d := range list {
			w.hand(packet{from: k.from, to: k.to, natt: k.natt, data: d})
		}
		return
	}
	w.t.Fatal("no message to change")
}

// sas are the only SAs of both ends.
func (w *world) sas() (a, b *SA) {
	for _, a = range w.a.e.sas {
	}
	for _, b = range w.b.e.sas {
	}
	return a, b
}

// A peer may not go on to IKE_AUTH before all that was agreed on is exchanged,
// nor to more exchanges than that.
func TestIntermediateOrder(t *testing.T) {
	cfgA, cfgB := hybrid("ke1_mlkem768")
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	w.connect()
	w.deliver(0)
	w.deliver(0)
	w.lose()
	a, b := w.sas()
	a.flight = nil
	a.nextID = 1
	a.hs.between.more = nil
	a.enqueue(&authTask{}, w.now)
	w.a.e.settle(a, w.now)
	w.a.do(w.a.e.take())
	w.flush()
	if b.state != StateInitAnswered || w.b.e.Drops()["request before authentication"] == 0 {
		t.Errorf("state %v, drops %v", b.state, w.b.e.Drops())
	}

	w = newWorld(t, testOptions{})
	w.connect()
	w.deliver(0)
	w.deliver(0)
	w.lose()
	a, b = w.sas()
	a.flight, a.nextID = nil, 1
	a.queue = nil
	a.hs.between.more = []transform.ID{transform.KEMLKEM768}
	a.afterInit(w.now)
	w.a.e.settle(a, w.now)
	w.a.do(w.a.e.take())
	w.flush()
	if b.state != StateInitAnswered || b.hs.between.done != 0 {
		t.Errorf("state %v", b.state)
	}
}

// Values that are none end the handshake, on either side.
func TestAdditionalKeyExchangeRefuses(t *testing.T) {
	for name, value := range map[string]*message.KE{
		"empty":        {Method: transform.KEMLKEM768},
		"short":        {Method: transform.KEMLKEM768, Data: make([]byte, 1087)},
		"long":         {Method: transform.KEMLKEM768, Data: make([]byte, 1185)},
		"out of range": {Method: transform.KEMLKEM768, Data: bytes.Repeat([]byte{0xff}, 1184)},
		"other method": {Method: transform.KEMLKEM1024, Data: make([]byte, 1568)},
		"low order":    {Method: transform.KEX25519, Data: make([]byte, 32)},
	} {
		t.Run(name, func(t *testing.T) {
			// As initiator's value, to us as responder.
			cfgA, cfgB := hybrid("ke1_mlkem768")
			w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
			w.connect()
			w.deliver(0)
			w.deliver(0)
			w.lose()
			a, _ := w.sas()
			datagrams, err := a.seal(message.IKEIntermediate, 1, false, []message.Payload{value})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range datagrams {
				w.hand(packet{from: a.path.Local, to: a.path.Remote, natt: true, data: d})
			}
			if len(w.b.e.sas) != 0 {
				t.Error("the responder goes on")
			}
			// As responder's value, to us as initiator.
			w = newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
			w.connect()
			w.deliver(0)
			w.deliver(0)
			w.lose()
			_, b := w.sas()
			b.frag = true
			if datagrams, err = b.seal(message.IKEIntermediate, 1, true, []message.Payload{value}); err != nil {
				t.Fatal(err)
			}
			a, _ = w.sas()
			for _, d := range datagrams {
				w.hand(packet{from: a.path.Remote, to: a.path.Local, natt: true, data: d})
			}
			if f := w.a.closed(); f == nil || f.Code != FailProtocol {
				t.Errorf("the initiator ends with %v", f)
			}
		})
	}
}

// TestIntermediateOnlyWhereNeeded connects an initiator that has the exchange to
// a responder that agrees to one key exchange: it does not announce the exchange,
// for which there is nothing to do. libreswan would begin it all the same.
func TestIntermediateOnlyWhereNeeded(t *testing.T) {
	for _, ke := range []string{"ke1_mlkem768", ""} {
		cfgA, cfgB := hybrid("ke1_mlkem768")
		if ke == "" {
			cfgB.Proposals = mustProposals(transform.ProtoIKE, "aes256gcm16-prfsha256-x25519")
		}
		w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
		w.connect()
		says := func() bool {
			return slices.ContainsFunc(w.parse(0).Payloads, func(p message.Payload) bool {
				n, ok := p.(*message.Notify)
				return ok && n.Kind == message.NotifyIntermediateExchangeSupported
			})
		}
		if !says() {
			t.Errorf("%q: the initiator does not announce the exchange", ke)
		}
		w.deliver(0)
		if says() != (ke != "") {
			t.Errorf("%q: the responder announces the exchange: %v", ke, says())
		}
		w.flush()
		w.agree()
	}
}

// An offer with several key exchanges and without the exchange that they take
// is as if it were not there.
func TestAdditionalWithoutIntermediate(t *testing.T) {
	cfgA, cfgB := hybrid("ke1_mlkem768")
	w := newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB})
	w.connect()
	m := w.parse(0)
	m.Payloads = slices.DeleteFunc(m.Payloads, func(p message.Payload) bool {
		n, ok := p.(*message.Notify)
		return ok && n.Kind == message.NotifyIntermediateExchangeSupported
	})
	b, err := m.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.wire[0].data = b
	w.deliver(0)
	answer := w.parse(0)
	sa, _ := message.Find[*message.SA](answer.Payloads)
	if got := sa.Offers()[0]; got.HasAdditional() || got.Number != 2 {
		t.Errorf("answers %v", got)
	}
}
