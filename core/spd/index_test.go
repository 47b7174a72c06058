package spd

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"sallyport/core/ippkt"
	"sallyport/core/ts"
)

// scan is what Lookup must equal: the entries one by one.
func (p *Policy) scan(f *ippkt.Flow) int {
	for i := range p.entries {
		if p.entries[i].Match(f) {
			return i
		}
	}
	return -1
}

type universe struct{ *rand.Rand }

func (u universe) addr(v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0xfd, 14: byte(u.IntN(2)), 15: byte(u.IntN(256))})
	}
	return netip.AddrFrom4([4]byte{10, 0, byte(u.IntN(2)), byte(u.IntN(256))})
}

func (u universe) selector(v6 bool) ts.Selector {
	a, b := u.addr(v6), u.addr(v6)
	switch u.IntN(4) {
	case 0: // every address
		s := ts.Any()[0]
		if v6 {
			s = ts.Any()[1]
		}
		a, b = s.From, s.To
	case 1:
		b = a
	}
	if b.Less(a) {
		a, b = b, a
	}
	s := ts.Selector{From: a, To: b, Protocol: []uint8{0, 0, 1, 6, 17, 47}[u.IntN(6)], ToPort: 65535}
	switch u.IntN(5) {
	case 0:
		s.FromPort = uint16(u.IntN(50))
		s.ToPort = s.FromPort + uint16(u.IntN(10))
	case 1:
		s.FromPort, s.ToPort = 65535, 0
	}
	return s
}

func (u universe) list(v6 bool) (l ts.List) {
	for n := 1 + u.IntN(8)/7*u.IntN(3); n > 0; n-- {
		l = append(l, u.selector(v6 != (u.IntN(10) == 0)))
	}
	return l
}

func (u universe) flow(v6 bool) ippkt.Flow {
	f := ippkt.Flow{Src: ippkt.AddrFrom(u.addr(v6)), Dst: ippkt.AddrFrom(u.addr(v6)), V6: v6,
		Proto: []uint8{1, 6, 17, 47}[u.IntN(4)], SrcPort: uint16(u.IntN(60)), DstPort: uint16(u.IntN(60))}
	if f.Proto == 47 || u.IntN(5) == 0 {
		f.Opaque, f.SrcPort, f.DstPort = true, 0, 0
	}
	return f
}

func TestIndexEqualsScan(t *testing.T) {
	u := universe{rand.New(rand.NewPCG(1, 2))}
	for _, n := range []int{0, 1, 5, 17, 40, 200, 1500} {
		entries := make([]Entry, n)
		for i := range entries {
			v6 := u.IntN(3) == 0
			entries[i] = Entry{Local: u.list(v6), Remote: u.list(v6), Action: []Action{Discard, Bypass, Protect}[i%3], Group: uint32(i)}
			if u.IntN(4) == 0 {
				entries[i].Local = ts.Any()
			}
		}
		// The widest last, as policies have it: first matches are then spread.
		p := NewPolicy(entries)
		if refs := len(p.index.refs4) + len(p.index.refs6); refs > 20*(n+20) {
			t.Errorf("%d entries take %d refs", n, refs)
		}
		hits := map[int]bool{}
		for range 20000 {
			f := u.flow(u.IntN(3) == 0)
			want := p.scan(&f)
			action, got := p.Lookup(&f)
			if got != want {
				t.Fatalf("%d entries, %v: entry %d, scan finds %d", n, f, got, want)
			}
			if got >= 0 && action != entries[got].Action || got < 0 && action != Discard {
				t.Fatalf("%d entries, %v: %v of entry %d", n, f, action, got)
			}
			hits[want] = true
		}
		if n > 1 && len(hits) < 3 {
			t.Errorf("%d entries: only %d decide", n, len(hits))
		}
	}
}

// TestGridsEqualScan has policies of pairs of networks, of which some are missing,
// where nodes take two coordinates at once, and flows in and around them.
func TestGridsEqualScan(t *testing.T) {
	grids := map[bool]int{}
	for seed := range uint64(60) {
		u := universe{rand.New(rand.NewPCG(seed, 3))}
		v6 := seed%2 == 1
		network := func(base byte, i, step, width int) ts.Selector {
			at := i * step
			from := [16]byte{0xfd, base, 14: byte(at >> 8), 15: byte(at)}
			to := from
			to[14], to[15] = byte((at+width-1)>>8), byte(at+width-1)
			s := ts.Selector{From: netip.AddrFrom16(from), To: netip.AddrFrom16(to), ToPort: 65535}
			if !v6 {
				s.From, s.To = netip.AddrFrom4([4]byte{10, base, from[14], from[15]}), netip.AddrFrom4([4]byte{10, base, to[14], to[15]})
			}
			return s
		}
		step := 1 << u.IntN(4)
		width := 1 + u.IntN(step+1) // they may overlap
		rows, columns := 2+u.IntN(20), 2+u.IntN(20)
		var entries []Entry
		for i := range rows {
			for k := range columns {
				e := protect(network(1, i, step, width), network(2, k, step, width))
				switch u.IntN(100) {
				case 0:
					continue
				case 1:
					e.Local, e.Action = ts.Any(), Discard
				case 2:
					e.Remote[0].Protocol, e.Remote[0].FromPort, e.Remote[0].ToPort = 6, 80, 90
				}
				entries = append(entries, e)
			}
		}
		p := NewPolicy(entries)
		for _, n := range p.index.nodes {
			if n.columns.n > 0 {
				grids[v6]++
			}
		}
		near := func(base byte, count int) ippkt.Addr {
			return ippkt.AddrFrom(network(base, u.IntN(count+1), step, 1).From)
		}
		for range 3000 {
			f := ippkt.Flow{Src: near(1, rows), Dst: near(2, columns), V6: v6, Proto: 6, SrcPort: 7, DstPort: uint16(79 + u.IntN(3))}
			if u.IntN(4) == 0 {
				f.Src = f.Src.Prev()
			}
			if u.IntN(4) == 0 {
				f.Dst = f.Dst.Prev()
			}
			if _, got := p.Lookup(&f); got != p.scan(&f) {
				t.Fatalf("seed %d, %v: entry %d, scan finds %d", seed, f, got, p.scan(&f))
			}
		}
	}
	if grids[false] < 10 || grids[true] < 10 {
		t.Errorf("%d grids of IPv4, %d of IPv6: the test hardly tests them", grids[false], grids[true])
	}
}

// FuzzIndex lets the fuzzer choose the policy and the flows.
func FuzzIndex(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint16(30))
	f.Add(uint64(3), uint64(4), uint16(300))
	f.Fuzz(func(t *testing.T, a, b uint64, n uint16) {
		u := universe{rand.New(rand.NewPCG(a, b))}
		entries := make([]Entry, n%500)
		for i := range entries {
			entries[i] = Entry{Local: u.list(i%2 == 0), Remote: u.list(i%2 == 0)}
		}
		p := NewPolicy(entries)
		for range 200 {
			f := u.flow(u.IntN(2) == 0)
			if _, got := p.Lookup(&f); got != p.scan(&f) {
				t.Fatalf("%v: entry %d, scan finds %d", f, got, p.scan(&f))
			}
		}
	})
}

func TestLookupAllocatesNothing(t *testing.T) {
	p := NewPolicy(manyEntries(1000))
	f := flow("10.9.9.9", "172.16.3.4", 6, 1, 443)
	if n := testing.AllocsPerRun(100, func() { p.Lookup(&f) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// manyEntries resembles a large policy: hosts and services, then networks,
// then everything.
func manyEntries(n int) []Entry {
	local := ts.Any()[:1]
	var entries []Entry
	for i := range n - 2 {
		a := netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)})
		s := ts.Selector{From: a, To: a, ToPort: 65535}
		switch i % 3 {
		case 0:
			s.Protocol, s.FromPort, s.ToPort = 6, 443, 443
		case 1:
			s.Protocol, s.FromPort, s.ToPort = 17, 5000, 5010
		}
		entries = append(entries, Entry{Local: local, Remote: ts.List{s}, Action: Protect, Group: uint32(i)})
	}
	return append(entries,
		Entry{Local: local, Remote: ts.List{ts.FromPrefix(netip.MustParsePrefix("172.16.0.0/12"))}, Action: Discard},
		Entry{Local: local, Remote: local, Action: Bypass})
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := NewPolicy(manyEntries(n))
			r := rand.New(rand.NewPCG(1, 2))
			flows := make([]ippkt.Flow, 1024)
			for i := range flows {
				k := r.IntN(n)
				flows[i] = flow("10.9.9.9", netip.AddrFrom4([4]byte{172, 16, byte(k >> 8), byte(k)}).String(), 6, 1, 443)
			}
			b.ResetTimer()
			for i := range b.N {
				p.Lookup(&flows[i%len(flows)])
			}
		})
	}
}

func BenchmarkNewPolicy(b *testing.B) {
	entries := manyEntries(10000)
	for range b.N {
		NewPolicy(entries)
	}
}
