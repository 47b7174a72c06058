package sad

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestTableEqualsMap installs and removes pairs at random.
func TestTableEqualsMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var table *spis
	want := map[uint32]*SA{}
	var known []uint32
	for step := range 3000 {
		if len(known) > 0 && (r.IntN(3) == 0 || step > 2000) {
			k := r.IntN(len(known))
			table = table.without(known[k])
			delete(want, known[k])
			known = slices.Delete(known, k, k+1)
		} else {
			// Few bits, so that many share a home.
			spi := minSPI + uint32(r.IntN(1<<12))<<r.IntN(20)
			if want[spi] != nil {
				continue
			}
			sa := &SA{InSPI: spi}
			table = table.with(sa)
			want[spi], known = sa, append(known, spi)
		}
		if table.n != len(want) || len(table.all()) != len(want) || 2*table.used > len(table.slots) || len(table.slots) > max(minSlots, 8*len(want)+8) {
			t.Fatalf("step %d: %d pairs in %d slots, want %d", step, table.n, len(table.slots), len(want))
		}
		for range 20 {
			spi := minSPI + uint32(r.IntN(1<<12))<<r.IntN(20)
			if len(known) > 0 && r.IntN(2) == 0 {
				spi = known[r.IntN(len(known))]
			}
			if got := table.lookup(spi); got != want[spi] {
				t.Fatalf("step %d: SPI %#x: %p, want %p", step, spi, got, want[spi])
			}
		}
	}
}

// mostGrowth is how much more a lookup may cost with 10,000 pairs than with 10.
// The goal is 1.5; the rest is for machines where other things run.
const mostGrowth = 2

// BenchmarkFlat looks up pairs at random, among few and among many in turns, and
// fails when many cost much more.
func BenchmarkFlat(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var tables [2]Table
	var draws [2][]uint32
	for k, n := range []int{10, 10000} {
		var all []uint32
		var t *spis
		for range n {
			spi := minSPI + r.Uint32N(1<<31)
			t, all = t.with(&SA{InSPI: spi}), append(all, spi)
		}
		tables[k].sas.Store(t)
		for range 1000 {
			draws[k] = append(draws[k], all[r.IntN(n)])
		}
	}
	var times [2][]time.Duration
	for range max(b.N, 1000) {
		for k := range tables {
			start := time.Now()
			for _, spi := range draws[k] {
				if tables[k].Lookup(spi) == nil {
					b.Fatal("lost")
				}
			}
			times[k] = append(times[k], time.Since(start))
		}
	}
	fast := func(l []time.Duration) float64 {
		slices.Sort(l)
		return float64(l[len(l)/20].Nanoseconds()) / 1000
	}
	few, many := fast(times[0]), fast(times[1])
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(few, "ns/10")
	b.ReportMetric(many, "ns/10000")
	b.ReportMetric(many/few, "ratio")
	if many > mostGrowth*few {
		b.Errorf("%.1f ns with 10,000 pairs, %.1f ns with 10", many, few)
	}
}
