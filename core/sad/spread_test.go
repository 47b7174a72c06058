package sad

import (
	"math/rand/v2"
	"testing"
)

// TestSpread: flows are spread evenly over the pairs of resources, and each stays
// with its own, whatever comes, goes and is rekeyed beside it.
func TestSpread(t *testing.T) {
	var table Table
	g := table.Group(7)
	rng := rand.New(rand.NewPCG(1, 2))
	hashes := make([]uint64, 4000)
	for i := range hashes {
		hashes[i] = rng.Uint64()
	}
	hashes[0], hashes[1] = 0, 1<<64-1
	now := func() []*SA {
		list := make([]*SA, len(hashes))
		for i, h := range hashes {
			list[i] = g.Active(h)
		}
		return list
	}
	spi := uint32(1000)
	install := func(resource int, active bool) *SA {
		t.Helper()
		spi++
		p := params(7, spi, active)
		p.Resource = resource
		sa, err := table.Install(p)
		if err != nil {
			t.Fatal(err)
		}
		return sa
	}
	// check compares the pairs of the flows with those before: only those of from
	// may have moved, and only to one of to.
	before := now()
	check := func(what string, lines int, may func(from, to *SA) bool) {
		t.Helper()
		after, counts := now(), map[*SA]int{}
		for i := range after {
			if after[i] != before[i] && !may(before[i], after[i]) {
				t.Fatalf("%s: a flow moved from %+v to %+v", what, before[i], after[i])
			}
			counts[after[i]]++
		}
		if len(counts) != lines {
			t.Fatalf("%s: %d pairs carry the flows, want %d", what, len(counts), lines)
		}
		for sa, n := range counts {
			if sa == nil && lines > 0 && len(counts) > 1 || n < len(hashes)/lines/2 || n > len(hashes)*2/lines {
				t.Fatalf("%s: %d of %d flows on %+v", what, n, len(hashes), sa)
			}
		}
		before = after
	}
	first := install(0, true)
	check("the first", 1, func(_, to *SA) bool { return to == first })
	var pairs []*SA
	for r := 1; r <= 5; r++ {
		sa := install(r, false)
		check("one that only receives", max(1, r-1), func(_, _ *SA) bool { return false })
		if _, err := table.Activate(sa.InSPI); err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, sa)
		check("a further one", r, func(_, to *SA) bool { return to == sa })
	}
	fresh := install(3, true)
	check("a rekeyed one", 5, func(from, to *SA) bool { return from == pairs[2] && to == fresh })
	table.Retire(pairs[2].InSPI)
	table.Remove(pairs[2].InSPI)
	check("what it replaced is gone", 5, func(_, _ *SA) bool { return false })
	again := install(0, true)
	check("the first rekeyed", 5, func(_, _ *SA) bool { return false })
	table.Retire(fresh.InSPI)
	check("one retired", 4, func(from, _ *SA) bool { return from == fresh })
	table.Rest(pairs[0].InSPI)
	check("one rests", 3, func(from, _ *SA) bool { return from == pairs[0] })
	table.Activate(pairs[0].InSPI)
	check("it sends again", 4, func(_, to *SA) bool { return to == pairs[0] })
	table.Remove(again.InSPI)
	table.Remove(first.InSPI)
	check("the first gone", 4, func(_, _ *SA) bool { return false })
	for i, r := range []int{1, 2, 4} {
		sa := pairs[r-1]
		table.Remove(sa.InSPI)
		check("another gone", 3-i, func(from, _ *SA) bool { return from == sa })
	}
	rest := install(0, true)
	table.Remove(pairs[4].InSPI)
	check("only the first is left", 1, func(_, to *SA) bool { return to == rest })
	table.Remove(rest.InSPI)
	check("none is left", 1, func(_, to *SA) bool { return to == nil })
}
