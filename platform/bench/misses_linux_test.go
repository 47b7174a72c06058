package bench_test

import (
	"slices"
	"strings"
	"testing"
)

// TestMisses shows that a promise that was not kept is told, and one that could
// not be measured too: a benchmark that measures nothing must not pass.
func TestMisses(t *testing.T) {
	pairs := []*pair{{name: "ours"}, {name: "wireguard-go"}, {name: "libipsec"}, {name: "plain"}}
	kept := func() *results {
		r := newResults(pairs)
		for f, line := range lines {
			f := figure(f)
			// The medians are 8 to 2, 0.25 and, where less is better, 1 to 4.
			for _, v := range []float64{1000, 8, 0.001} {
				if line.less {
					v /= 8
				}
				r.note(pairs[ours], f, v)
			}
			r.note(pairs[theWireGuard], f, map[bool]float64{false: 1, true: 4}[line.less])
			r.note(pairs[theLibipsec], f, 0.25)
		}
		r.samples[memoryLoad][pairs[ours]] = []float64{40, 20}
		r.samples[memoryIdle][pairs[ours]] = []float64{25}
		return r
	}
	for _, c := range []struct {
		name   string
		change func(r *results)
		want   []string
	}{
		{name: "all kept", change: func(*results) {}},
		{name: "slower than promised", change: func(r *results) { r.samples[tcp1Up][pairs[theWireGuard]] = []float64{3.3} },
			want: []string{"TCP 1 stream, Gbit/s: 2.42 × wireguard-go, promised was 2.5"}},
		{name: "slower than libipsec times 15", change: func(r *results) { r.samples[tcp4Down][pairs[theLibipsec]] = []float64{0.6} },
			want: []string{"TCP 4 streams back, Gbit/s: 13.33 × libipsec, promised was 15"}},
		{name: "dearer than promised", change: func(r *results) { r.samples[cpu4Up][pairs[theWireGuard]] = []float64{2} },
			want: []string{"CPU of both ends, 4 streams, s/GB: 0.50 × wireguard-go, promised was 0.35"}},
		{name: "once too large", change: func(r *results) { r.note(pairs[ours], memoryLoad, 40.5) },
			want: []string{"Resident memory, most under load, MiB: 40.50, promised was 40"}},
		{name: "not measured", change: func(r *results) { clear(r.samples[rttIdle]) },
			want: []string{"Round trip, idle, µs: not measured"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := kept()
			c.change(r)
			if got := r.misses(); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if table := kept().table(); !strings.Contains(table, "| TCP 1 stream, Gbit/s | 8.00 | 1.00 | 0.25 | – | 8.00 | 32.00 | ≥ 2.5 × wireguard-go, ≥ 15 × libipsec |\n") {
		t.Errorf("table:\n%s", table)
	}
}
