package ike

import (
	"testing"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// requestsOfOurs make an SA send each kind of protected request.
var requestsOfOurs = []struct {
	name string
	send func(w *world, a *SA)
}{
	{"IKE_AUTH", nil}, // where asking stops before the answer
	{"child rekey", func(w *world, a *SA) { w.a.do(w.a.e.RekeyChild(a.children[0].in, w.now)) }},
	{"child create", func(w *world, a *SA) {
		a.wanted++
		a.enqueue(&createTask{cfg: &a.cfg.Children[0]}, w.now)
		w.a.e.settle(a, w.now)
		w.a.do(w.a.e.take())
	}},
	{"IKE rekey", func(w *world, a *SA) { w.a.do(a.Rekey(w.now)) }},
	{"child delete", func(w *world, a *SA) { w.a.do(w.a.e.CloseChild(a.children[0].in, w.now)) }},
	{"liveness", func(w *world, a *SA) { w.a.do(a.CheckLiveness(w.now)) }},
	{"IKE delete", func(w *world, a *SA) { w.a.do(a.Close(w.now)) }},
}

// asking brings a to where its request is unanswered, and returns the true
// answer of b, which is not delivered.
func asking(t testing.TB, which int) (w *world, a *SA, answer packet) {
	cfgA, cfgB, _ := roadwarrior()
	return askingIn(newWorld(t, testOptions{cfgA: cfgA, cfgB: cfgB}), which)
}

func askingIn(w *world, which int) (_ *world, a *SA, answer packet) {
	if r := requestsOfOurs[which]; r.send == nil {
		a = w.connect()
		w.deliver(0)
		w.deliver(0)
	} else {
		a, _ = w.up()
		r.send(w, a)
	}
	w.deliver(0)
	answer = w.wire[len(w.wire)-1]
	w.lose()
	return w, a, answer
}

// reply hands a an answer to its request, with payloads of our choice.
func reply(t testing.TB, w *world, a *SA, answer packet, first uint8, plain []byte) {
	h, err := message.ParseHeader(answer.data)
	if err != nil {
		t.Fatal(err)
	}
	peer := &SA{keys: keys{seal: a.keys.open}} // what opens its messages seals them
	answer.data = sealRaw(t, peer, h, first, plain)
	w.hand(answer)
}

func encode(t testing.TB, list []message.Payload) (uint8, []byte) {
	m := message.Message{Header: message.Header{InitiatorSPI: 1}, Payloads: list}
	b, err := m.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b[16], b[message.HeaderLen:]
}

// answered checks that nothing is left over of an exchange.
func answered(t testing.TB, w *world, a *SA) {
	w.lose()
	w.run(10*time.Minute, w.lose)
	if n := len(w.a.e.reserved); n != 0 {
		t.Errorf("%d SPIs are still reserved", n)
	}
	if len(w.a.e.children) != len(w.a.children) {
		t.Errorf("%d children, %d in the data path", len(w.a.e.children), len(w.a.children))
	}
	for _, c := range w.a.children {
		if len(c.Local) == 0 || len(c.Remote) == 0 || c.OutSPI == 0 || len(c.KeyIn) == 0 {
			t.Errorf("installed %+v", c.ChildSA)
		}
	}
	if len(w.a.e.sas) != len(w.a.e.timers) {
		t.Errorf("%d SAs, %d timers", len(w.a.e.sas), len(w.a.e.timers))
	}
}

// FuzzAnswer lets an authenticated peer answer our requests with anything.
func FuzzAnswer(f *testing.F) {
	for i := range requestsOfOurs {
		_, a, answer := asking(f, i)
		m, err := message.Open(answer.data, a.keys.open)
		if err != nil {
			f.Fatal(err)
		}
		first, plain := encode(f, m.Payloads)
		f.Add(uint8(i), first, plain)
		for _, n := range []message.NotifyType{message.NotifyTemporaryFailure, message.NotifyChildSANotFound, message.NotifyInvalidSyntax} {
			first, plain = encode(f, []message.Payload{&message.Notify{Kind: n}})
			f.Add(uint8(i), first, plain)
		}
		f.Add(uint8(i), uint8(0), []byte{})
		f.Add(uint8(i), uint8(200), []byte{0, 0x80, 0, 4})
	}
	f.Fuzz(func(t *testing.T, which, first uint8, plain []byte) {
		if len(plain) > 20000 {
			return
		}
		w, a, answer := asking(t, int(which)%len(requestsOfOurs))
		reply(t, w, a, answer, first, plain)
		answered(t, w, a)
	})
}

// TestHostileAnswers changes one thing in a true answer.
func TestHostileAnswers(t *testing.T) {
	sa := func(change func(*message.Proposal)) func([]message.Payload) []message.Payload {
		return func(list []message.Payload) []message.Payload {
			p, _ := message.Find[*message.SA](list)
			change(&p.Proposals[0])
			return list
		}
	}
	without := func(kind message.PayloadType) func([]message.Payload) []message.Payload {
		return func(list []message.Payload) (out []message.Payload) {
			for _, p := range list {
				if p.Type() != kind {
					out = append(out, p)
				}
			}
			return out
		}
	}
	changes := []struct {
		name   string
		change func([]message.Payload) []message.Payload
	}{
		{"other selectors", func(list []message.Payload) []message.Payload {
			for _, p := range list {
				if x, ok := p.(*message.TS); ok && !x.Responder {
					x.Selectors = nets("172.16.0.0/12")
				}
			}
			return list
		}},
		{"no selectors", without(message.PayloadTSi)},
		{"no nonce", without(message.PayloadNonce)},
		{"no key exchange", without(message.PayloadKE)},
		{"no SA", without(message.PayloadSA)},
		{"SPI of zero", sa(func(p *message.Proposal) { p.SPI = make([]byte, len(p.SPI)) })},
		{"short SPI", sa(func(p *message.Proposal) { p.SPI = p.SPI[1:] })},
		{"proposal that was not offered", sa(func(p *message.Proposal) { p.Number += 9 })},
		{"weaker cipher", sa(func(p *message.Proposal) { p.Transforms[0].ID = transform.Encr3DES })},
		{"shorter key", sa(func(p *message.Proposal) { p.Transforms[0].KeyBits = 192 })},
		{"two proposals", func(list []message.Payload) []message.Payload {
			p, _ := message.Find[*message.SA](list)
			p.Proposals = append(p.Proposals, p.Proposals[0])
			return list
		}},
		{"invalid public value", func(list []message.Payload) []message.Payload {
			p, ok := message.Find[*message.KE](list)
			if !ok {
				return nil
			}
			p.Data = make([]byte, len(p.Data))
			return list
		}},
		{"key exchange of another method", func(list []message.Payload) []message.Payload {
			p, ok := message.Find[*message.KE](list)
			if !ok {
				return nil
			}
			p.Method = transform.KEECP256
			return list
		}},
		{"everything twice", func(list []message.Payload) []message.Payload { return append(list, list...) }},
		{"critical payload", func(list []message.Payload) []message.Payload {
			return append(list, &message.Unknown{PayloadType: 200, Critical: true})
		}},
	}
	for which, r := range requestsOfOurs[1:4] { // those that negotiate
		for _, tt := range changes {
			t.Run(r.name+"/"+tt.name, func(t *testing.T) {
				w, a, answer := asking(t, which+1)
				m, err := message.Open(answer.data, a.keys.open)
				if err != nil {
					t.Fatal(err)
				}
				before, heirs := count[InstallChild](w.a), count[Replaced](w.a)
				_, original := encode(t, m.Payloads)
				first, plain := encode(t, tt.change(m.Payloads))
				if len(plain) == 0 || string(plain) == string(original) {
					return // it does not apply to this exchange
				}
				reply(t, w, a, answer, first, plain)
				if count[InstallChild](w.a) != before || count[Replaced](w.a) != heirs {
					t.Error("accepted")
				}
				answered(t, w, a)
			})
		}
	}
}
