package pmtu

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// A world is a path with a real MTU.
type world struct {
	mtu   int
	block int // packets can only be multiples of it, and 12; 0: any size
	now   time.Time
	sent  []int
}

// run lets the search go on until it has nothing to ask.
func (w *world) run(t *testing.T, s *Search, used, heard bool) {
	t.Helper()
	for p, ok := s.Next(w.now, used, heard); ok; p, ok = s.Next(w.now, used, heard) {
		for again := true; again; {
			size := p.Size
			if w.block > 0 {
				size = 12 + (size-12)/w.block*w.block
			}
			w.sent = append(w.sent, size)
			w.now = w.now.Add(time.Second)
			p, again = s.Result(p, size, size <= w.mtu, w.now)
		}
		if len(w.sent) > 60 {
			t.Fatalf("no end after %v", w.sent)
		}
	}
}

// TestFindsEveryMTU has black holes of every size.
func TestFindsEveryMTU(t *testing.T) {
	for _, link := range []int{1500, 9000, 1492, 65536} {
		for _, v6 := range []bool{false, true} {
			for _, block := range []int{0, 16} {
				most := 0
				for mtu := Floor4; mtu <= max(link, Usual); mtu += 1 + mtu/1501*13 {
					if v6 && mtu < Floor6 {
						continue
					}
					var s Search
					s.Start(v6, link, false)
					w := world{mtu: mtu, block: block, now: t0}
					w.run(t, &s, false, false)
					most = max(most, len(w.sent))
					got, best := s.MTU(), min(mtu, max(s.link, s.floor))
					slack := max(16, best/64) + block
					if got > mtu || got < best-slack {
						t.Fatalf("link %d, v6 %v, block %d: MTU %d found as %d after %v", link, v6, block, mtu, got, w.sent)
					}
				}
				if most > 30 {
					t.Errorf("link %d, v6 %v: up to %d packets", link, v6, most)
				}
			}
		}
	}
}

// TestUsualPathTakesOnePacket: on most paths there is nothing to search for.
func TestUsualPathTakesOnePacket(t *testing.T) {
	var s Search
	s.Start(false, 1500, false)
	if s.MTU() != 1500 || s.How() != Assumed {
		t.Errorf("begins with %d, %v", s.MTU(), s.How())
	}
	w := world{mtu: 1500, now: t0}
	w.run(t, &s, true, true)
	if fmt.Sprint(w.sent) != "[1500]" || s.MTU() != 1500 || s.How() != Proved {
		t.Errorf("sent %v, MTU %d, %v", w.sent, s.MTU(), s.How())
	}
}

// TestForgedClaimIsHealed: a forged ICMP message costs a round trip.
func TestForgedClaimIsHealed(t *testing.T) {
	var s Search
	s.Start(false, 1500, false)
	w := world{mtu: 1500, now: t0}
	w.run(t, &s, true, true)
	if !s.Claim(68) || s.MTU() != Floor4 || s.How() != Told {
		t.Errorf("a claim of 68 leads to %d, %v", s.MTU(), s.How())
	}
	w.sent = nil
	w.run(t, &s, true, true)
	if s.MTU() != 1500 || !s.Firm() || len(w.sent) != 1 {
		t.Errorf("MTU %d, firm %v after %v", s.MTU(), s.Firm(), w.sent)
	}
	if s.Claim(9000) || s.Claim(1500) {
		t.Error("a claim raises the MTU")
	}
}

// TestAnswerFromBeforeAClaimProvesNothing: the path may have shrunk since.
func TestAnswerFromBeforeAClaimProvesNothing(t *testing.T) {
	var s Search
	s.Start(false, 1500, false)
	p, _ := s.Next(t0, true, true)
	s.Claim(1400)
	q, ok := s.Next(t0, true, true)
	if !ok || q.Size != p.Size {
		t.Fatalf("after the claim %+v is asked", q)
	}
	s.Result(p, p.Size, true, t0)
	if s.MTU() != 1400 || s.Firm() {
		t.Errorf("MTU %d, firm %v", s.MTU(), s.Firm())
	}
	s.Result(q, q.Size, true, t0)
	if s.MTU() != 1500 || !s.Firm() {
		t.Errorf("MTU %d, firm %v", s.MTU(), s.Firm())
	}
}

// TestTrueClaimEndsTheSearch: what a router says is not searched for again.
func TestTrueClaimEndsTheSearch(t *testing.T) {
	var s Search
	s.Start(false, 1500, false)
	w := world{mtu: 1403, now: t0}
	s.Claim(1403)
	w.run(t, &s, true, true)
	if fmt.Sprint(w.sent) != "[1500 1500 1403]" || s.MTU() != 1403 || s.How() != Proved || s.Firm() {
		t.Errorf("sent %v, MTU %d, %v, firm %v", w.sent, s.MTU(), s.How(), s.Firm())
	}
}

// TestPathThatShrinks is found by looking again, and one that grows after a while.
func TestPathThatShrinks(t *testing.T) {
	var s Search
	s.Start(false, 1500, false)
	w := world{mtu: 1500, now: t0}
	w.run(t, &s, true, true)
	w.sent, w.mtu = nil, 1400
	w.now = w.now.Add(doubtAfter - time.Second)
	if w.run(t, &s, true, false); len(w.sent) != 0 {
		t.Errorf("asked %v at once", w.sent)
	}
	w.now = w.now.Add(time.Second)
	if w.run(t, &s, false, false); len(w.sent) != 0 {
		t.Errorf("asked %v while nothing was sent", w.sent)
	}
	w.run(t, &s, true, false)
	if s.MTU() != 1400 {
		t.Errorf("MTU %d after %v", s.MTU(), w.sent)
	}
	w.sent, w.mtu = nil, 1500
	w.now = w.now.Add(RaiseAfter)
	w.run(t, &s, true, true)
	if s.MTU() != 1500 {
		t.Errorf("MTU %d after %v", s.MTU(), w.sent)
	}
}

// TestLossIsNoBlackHole: a lost packet alone changes nothing.
func TestLossIsNoBlackHole(t *testing.T) {
	var s Search
	s.Start(false, 1500, false)
	p, _ := s.Next(t0, true, true)
	p, again := s.Result(p, p.Size, false, t0)
	if !again || p.Try != 1 || s.MTU() != 1500 {
		t.Fatalf("again %v, %+v, MTU %d", again, p, s.MTU())
	}
	s.Result(p, p.Size, true, t0)
	for try := range triesAgain - 1 {
		now := t0.Add(time.Duration(try+1) * time.Hour)
		if p, again = s.Next(now, true, true); !again {
			t.Fatal("no confirmation is due")
		}
		for range try + 1 {
			if p, again = s.Result(p, p.Size, false, now); !again {
				t.Fatal("given up")
			}
		}
		s.Result(p, p.Size, true, now)
	}
	if s.MTU() != 1500 {
		t.Errorf("MTU %d", s.MTU())
	}
}

// TestAnswerThatNeverComes: the IKE SA that was to ask may be gone.
func TestAnswerThatNeverComes(t *testing.T) {
	var s Search
	s.Start(false, 1500, false)
	s.Next(t0, true, true)
	if _, ok := s.Next(t0.Add(lostAfter-1), true, true); ok {
		t.Error("asked twice")
	}
	if _, ok := s.Next(t0.Add(lostAfter), true, true); !ok {
		t.Error("never asked again")
	}
}

// TestAnything holds the bounds whatever happens.
func TestAnything(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		var s Search
		v6 := r.IntN(2) == 0
		s.Start(v6, 1+r.IntN(10000), false)
		now := t0
		var p Probe
		for range 200 {
			now = now.Add(time.Duration(r.IntN(30)) * time.Second)
			switch r.IntN(6) {
			case 0:
				s.Claim(r.IntN(2000))
			case 1:
				if r.IntN(10) == 0 {
					s.Start(v6, 1+r.IntN(10000), false)
				}
			case 2, 3:
				if q, ok := s.Next(now, r.IntN(2) == 0, r.IntN(2) == 0); ok {
					p = q
				}
			default:
				if q, ok := s.Result(p, p.Size-r.IntN(16), r.IntN(2) == 0, now); ok {
					p = q
				}
			}
			floor := Floor4
			if v6 {
				floor = Floor6
			}
			if m := s.MTU(); m < floor || m > Max || p.Size > Max || p.Size < 0 {
				t.Fatalf("seed %d: MTU %d, asked %d", seed, m, p.Size)
			}
		}
	}
}

// TestSure is what new flows of TCP are made for until an answer has come.
func TestSure(t *testing.T) {
	var s Search
	for _, c := range []struct {
		v6      bool
		link    int
		doubted bool
		want    int
	}{{false, 1500, false, Floor4}, {false, 9000, true, Floor4}, {true, 9000, true, Floor6}} {
		if s.Start(c.v6, c.link, c.doubted); s.Sure() != c.want {
			t.Errorf("%+v: %d", c, s.Sure())
		}
	}
	s.Start(false, 1500, true)
	p, _ := s.Next(t0, true, true)
	if s.Result(p, p.Size, true, t0); s.Sure() != 1500 {
		t.Errorf("%d after an answer", s.Sure())
	}
}
