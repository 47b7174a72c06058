package ike

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"sallyport/core/ike/message"
)

// crashWorld is a world whose ends make tokens.
func crashWorld(t testing.TB, o testOptions) *world {
	o.optB.CrashSecret = []byte("secret of b, which outlives it..")
	w := newWorld(t, o)
	w.a.e.opt.CrashSecret = []byte("secret of a, which outlives it..")
	return w
}

// crash starts a peer anew, with nothing but its secret.
func (p *peer) crash() {
	o := p.e.opt
	o.Rand = newSeeded(9, p.name)
	p.e = NewEndpoint(o)
	p.sas, p.children = map[*SA]bool{}, map[uint32]*fakeChild{}
}

// TestCrashIsLearnedAtOnce restarts either end, also after rekeys of either: the
// other one learns it with its first message.
func TestCrashIsLearnedAtOnce(t *testing.T) {
	for _, rekeys := range []string{"", "a", "b", "ab"} {
		for _, who := range []string{"a", "b"} {
			t.Run(who+" after rekeys by "+rekeys, func(t *testing.T) {
				w := crashWorld(t, testOptions{})
				w.up()
				for _, r := range rekeys {
					p := map[rune]*peer{'a': w.a, 'b': w.b}[r]
					p.do(p.one().Rekey(w.now))
					w.flush()
					w.agree()
				}
				lost, left := w.a, w.b
				if who == "b" {
					lost, left = w.b, w.a
				}
				lost.crash()
				begun := w.now
				left.do(left.one().CheckLiveness(w.now))
				w.flush()
				if f := left.closed(); f.Code != FailPeerDead || f.Notify != message.NotifyInvalidIKESPI || w.now != begun {
					t.Errorf("%v", f)
				}
				if len(left.children) != 0 {
					t.Error("children are left")
				}
			})
		}
	}
}

// TestLostTrafficRaisesDoubt: what comes in on a Child SA that a restarted gateway
// does not know makes it say so, and the client ask.
func TestLostTrafficRaisesDoubt(t *testing.T) {
	w := crashWorld(t, testOptions{})
	a, _ := w.up()
	spi := a.children[0].out
	back := Path{Local: a.path.Remote, Remote: a.path.Local}
	w.b.crash()
	w.now = w.now.Add(time.Second)
	w.b.do(w.b.e.NoteLost(spi, back, w.now))
	w.flush()
	if f := w.a.closed(); f.Code != FailPeerDead {
		t.Errorf("%v", f)
	}
}

// TestDoubtRepeatsWhatWasLost: a request that was lost while the peer was away is
// repeated when the peer says that it has lost the Child SA, not when its time has
// come; forged doubts bring its end no closer.
func TestDoubtRepeatsWhatWasLost(t *testing.T) {
	w := crashWorld(t, testOptions{})
	a, _ := w.up()
	spi := a.children[0].out
	back := Path{Local: a.path.Remote, Remote: a.path.Local}
	w.a.do(a.CheckLiveness(w.now))
	w.lose()
	sends := a.flight.sends
	w.b.crash()
	doubt := func() {
		w.b.do(w.b.e.NoteLost(spi, back, w.now))
		k := w.wire[len(w.wire)-1]
		w.lose()
		w.hand(k)
	}
	for range 3 {
		w.now = w.now.Add(crashDoubt)
		doubt()
		w.lose()
	}
	if a.flight.sends != sends {
		t.Errorf("doubts count as %d tries", a.flight.sends-sends)
	}
	w.now = w.now.Add(crashDoubt / 2)
	doubt()
	if len(w.wire) != 0 {
		t.Error("asked again at once")
	}
	w.now = w.now.Add(crashDoubt / 2)
	begun := w.now
	doubt()
	w.flush()
	if f := w.a.closed(); f.Code != FailPeerDead || w.now != begun {
		t.Errorf("%v", f)
	}
}

// TestForgedDoubt: an INVALID_SPI of anybody makes us ask at most, and not a peer
// that has just been heard, nor for another's address, nor for an SPI not ours.
func TestForgedDoubt(t *testing.T) {
	w := crashWorld(t, testOptions{})
	a, _ := w.up()
	spi := a.children[0].out
	back := Path{Local: a.path.Remote, Remote: a.path.Local}
	forge := func(spi uint32, from netip.AddrPort) {
		w.b.do(w.b.e.NoteLost(spi, back, w.now))
		k := w.wire[len(w.wire)-1]
		w.lose()
		k.from = from
		w.hand(k)
	}
	forge(spi, a.path.Remote)
	if len(w.wire) != 0 {
		t.Error("asked a peer that was heard just now")
	}
	w.now = w.now.Add(time.Minute)
	forge(spi+1, a.path.Remote)
	forge(spi, netip.MustParseAddrPort("203.0.113.9:4500"))
	if len(w.wire) != 0 {
		t.Error("asked without a reason")
	}
	forge(spi, a.path.Remote)
	forged := len(w.wire)
	w.flush()
	w.agree()
	if forged != 1 || a.State() != StateUp {
		t.Errorf("%d messages, %v", forged, a.State())
	}
}

// TestTokenIsKeptFromStrangers asks for the token of an SA that is up, in every
// way to name it, and presents wrong ones.
func TestTokenIsKeptFromStrangers(t *testing.T) {
	w := crashWorld(t, testOptions{})
	a, b := w.up()
	for _, flagsOf := range []message.Flags{0, message.FlagInitiator} {
		for _, swap := range []bool{false, true} {
			for _, to := range []*peer{w.a, w.b} {
				h := message.Header{InitiatorSPI: a.spiLocal, ResponderSPI: a.spiRemote, Exchange: message.Informational, Flags: flagsOf, MessageID: 2}
				if swap {
					h.InitiatorSPI, h.ResponderSPI = h.ResponderSPI, h.InitiatorSPI
				}
				m := message.Message{Header: h}
				data, err := m.AppendTo(nil)
				if err != nil {
					t.Fatal(err)
				}
				k := packet{from: netip.MustParseAddrPort("203.0.113.9:4500"), to: a.path.Local, natt: true, data: data}
				if to == w.b {
					k.to = b.path.Local
				}
				w.hand(k)
				for _, k := range w.wire {
					if bytes.Contains(k.data, a.token) || bytes.Contains(k.data, b.token) {
						t.Errorf("flags %x, swapped %v: the token is told", flagsOf, swap)
					}
				}
				w.lose()
			}
		}
	}
	if len(a.token) == 0 || len(b.token) == 0 || bytes.Equal(a.token, b.token) {
		t.Fatalf("tokens %x and %x", a.token, b.token)
	}
	w.a.do(a.CheckLiveness(w.now))
	request := w.wire[0]
	for _, token := range [][]byte{nil, {0}, b.token, bytes.Repeat([]byte{1}, tokenLen), append(bytes.Clone(a.token), 0)} {
		w.hand(w.forge(request, status(message.NotifyInvalidIKESPI), &message.Notify{Kind: message.NotifyQuickCrashDetection, Data: token}))
		if a.State() != StateUp {
			t.Fatalf("ended by token %x", token)
		}
	}
	w.flush()
	w.agree()
}

// TestLostAnswersAreBounded floods an endpoint with requests to SAs that are gone.
func TestLostAnswersAreBounded(t *testing.T) {
	w := crashWorld(t, testOptions{})
	for i := range 10_000 {
		m := message.Message{Header: message.Header{InitiatorSPI: uint64(i + 1), ResponderSPI: uint64(i + 7), Exchange: message.Informational, Flags: message.FlagInitiator}}
		data, err := m.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		w.hand(packet{from: netip.AddrPortFrom(addrA, 4500), to: netip.AddrPortFrom(addrB, 4500), natt: true, data: data})
	}
	if n := len(w.wire); n > bucketSize {
		t.Errorf("%d answers", n)
	}
	w.lose()
}

// TestEarlyRequestIsNoCrash lets the first request on a rekeyed SA overtake the
// answer that makes it: whoever asked for the SA has not lost it.
func TestEarlyRequestIsNoCrash(t *testing.T) {
	w := crashWorld(t, testOptions{})
	a, _ := w.up()
	w.a.do(a.Rekey(w.now))
	w.deliver(0) // b has the heir
	w.b.do(w.b.one().CheckLiveness(w.now))
	if len(w.wire) != 2 {
		t.Fatalf("%d on the wire", len(w.wire))
	}
	w.deliver(1)
	if len(w.wire) != 1 {
		t.Error("a answers what it does not know yet")
	}
	w.advance(time.Minute)
	w.agree()
}
