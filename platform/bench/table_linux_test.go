package bench_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A figure is a line of the table.
type figure int

const (
	tcp1Up figure = iota
	tcp1Down
	tcp4Up
	tcp4Down
	cpu1Up
	cpu1Down
	cpu4Up
	cpu4Down
	udp64
	udp1200
	udp1400
	bulk64
	bulk1200
	rttIdle
	rttNext
	rttLoad
	memoryIdle
	memoryLoad
	figures
)

// lines say what a figure is, and what was promised: a ratio of ours to the one of
// wireguard-go or of libipsec, or a value. A promise of 0 is none.
var lines = [figures]struct {
	name string
	less bool // less is better
	// The promises.
	wireGuard, libipsec, most float64
}{
	tcp1Up:     {name: "TCP 1 stream, Gbit/s", wireGuard: 2.5, libipsec: 15},
	tcp1Down:   {name: "TCP 1 stream back, Gbit/s", wireGuard: 2.5, libipsec: 15},
	tcp4Up:     {name: "TCP 4 streams, Gbit/s", wireGuard: 2.5, libipsec: 15},
	tcp4Down:   {name: "TCP 4 streams back, Gbit/s", wireGuard: 2.5, libipsec: 15},
	cpu1Up:     {name: "CPU of both ends, 1 stream, s/GB", less: true, wireGuard: 0.35},
	cpu1Down:   {name: "CPU of both ends, 1 stream back, s/GB", less: true, wireGuard: 0.35},
	cpu4Up:     {name: "CPU of both ends, 4 streams, s/GB", less: true, wireGuard: 0.35},
	cpu4Down:   {name: "CPU of both ends, 4 streams back, s/GB", less: true, wireGuard: 0.35},
	udp64:      {name: "UDP 64 bytes, thousand packets/s", wireGuard: 5},
	udp1200:    {name: "UDP 1,200 bytes, thousand packets/s", wireGuard: 5},
	udp1400:    {name: "UDP 1,372 bytes (packets of 1,400), thousand packets/s"},
	bulk64:     {name: "UDP 64 bytes, sent in bulk, thousand packets/s"},
	bulk1200:   {name: "UDP 1,200 bytes, sent in bulk, thousand packets/s"},
	rttIdle:    {name: "Round trip, idle, µs", less: true, wireGuard: 0.5},
	rttNext:    {name: "Round trip, one after the other, µs", less: true},
	rttLoad:    {name: "Round trip beside a TCP stream, µs", less: true, wireGuard: 0.4},
	memoryIdle: {name: "Resident memory, one idle tunnel, MiB", less: true, most: 25},
	memoryLoad: {name: "Resident memory, most under load, MiB", less: true, most: 40},
}

// The places of the systems in a line.
const (
	ours = iota
	theWireGuard
	theLibipsec
)

// results are the samples of each figure and pair.
type results struct {
	pairs   []*pair
	samples [figures]map[*pair][]float64
}

func newResults(pairs []*pair) *results {
	r := &results{pairs: pairs}
	for f := range r.samples {
		r.samples[f] = make(map[*pair][]float64)
	}
	return r
}

func (r *results) note(p *pair, f figure, v float64) {
	r.samples[f][p] = append(r.samples[f][p], v)
}

const mebi = 1 << 20

// idleMemory notes what a pair takes before it has carried anything.
func (r *results) idleMemory(p *pair) error {
	u, err := p.usage()
	if err == nil && len(p.daemons) > 0 {
		r.note(p, memoryIdle, float64(u.rss)/mebi)
	}
	return err
}

// measure makes one step with one pair, and watches its memory meanwhile.
func (r *results) measure(p *pair, s step) error {
	stop, most := make(chan struct{}), make(chan int64)
	go func() {
		var rss int64
		for {
			u, _ := p.usage() // an error comes to light in the step
			rss = max(rss, u.rss)
			select {
			case <-stop:
				most <- rss
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	err := s.run(p, func(f figure, v float64) {
		if math.IsInf(v, 0) || math.IsNaN(v) || len(p.daemons) == 0 && f >= cpu1Up && f <= cpu4Down {
			return
		}
		r.note(p, f, v)
	})
	close(stop)
	if rss := <-most; rss > 0 {
		r.note(p, memoryLoad, float64(rss)/mebi)
	}
	return err
}

// value returns the figure of the i-th pair: the median, but of memory the most.
func (r *results) value(f figure, i int) (float64, bool) {
	s := slices.Sorted(slices.Values(r.samples[f][r.pairs[i]]))
	switch {
	case len(s) == 0:
		return 0, false
	case f == memoryLoad:
		return s[len(s)-1], true
	}
	return s[len(s)/2], true
}

// ratio returns how the figure of ours relates to that of the i-th pair.
func (r *results) ratio(f figure, i int) (float64, bool) {
	a, ok1 := r.value(f, ours)
	b, ok2 := r.value(f, i)
	return a / b, ok1 && ok2 && b > 0
}

// table renders the results in Markdown.
func (r *results) table() string {
	var out strings.Builder
	out.WriteString("\n|")
	for _, p := range r.pairs {
		out.WriteString(" | " + p.name)
	}
	out.WriteString(" | ÷ wireguard-go | ÷ libipsec | must be |\n|---|" + strings.Repeat("---:|", len(r.pairs)+2) + "---|\n")
	for f, line := range lines {
		f := figure(f)
		if _, ok := r.value(f, ours); !ok {
			continue
		}
		fmt.Fprintf(&out, "| %s |", line.name)
		for i := range r.pairs {
			if v, ok := r.value(f, i); ok {
				fmt.Fprintf(&out, " %s |", digits(v))
			} else {
				out.WriteString(" – |")
			}
		}
		for _, i := range []int{theWireGuard, theLibipsec} {
			if v, ok := r.ratio(f, i); ok {
				fmt.Fprintf(&out, " %.2f |", v)
			} else {
				out.WriteString(" – |")
			}
		}
		out.WriteString(" " + strings.Join(promises(f), ", ") + " |\n")
	}
	return out.String()
}

// digits writes a number with three digits that count.
func digits(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func promises(f figure) (out []string) {
	line, sign := lines[f], "≥"
	if line.less {
		sign = "≤"
	}
	if line.wireGuard > 0 {
		out = append(out, fmt.Sprintf("%s %g × wireguard-go", sign, line.wireGuard))
	}
	if line.libipsec > 0 {
		out = append(out, fmt.Sprintf("%s %g × libipsec", sign, line.libipsec))
	}
	if line.most > 0 {
		out = append(out, fmt.Sprintf("≤ %g", line.most))
	}
	return out
}

// misses lists the promises that were not kept.
func (r *results) misses() (out []string) {
	for f, line := range lines {
		f := figure(f)
		for _, c := range []struct {
			promise float64
			got     func() (float64, bool)
			of      string
		}{
			{line.wireGuard, func() (float64, bool) { return r.ratio(f, theWireGuard) }, " × wireguard-go"},
			{line.libipsec, func() (float64, bool) { return r.ratio(f, theLibipsec) }, " × libipsec"},
			{line.most, func() (float64, bool) { return r.value(f, ours) }, ""},
		} {
			if c.promise == 0 {
				continue
			}
			v, ok := c.got()
			switch {
			case !ok:
				out = append(out, fmt.Sprintf("%s: not measured", line.name))
			case line.less && v > c.promise, !line.less && v < c.promise:
				out = append(out, fmt.Sprintf("%s: %.2f%s, promised was %g", line.name, v, c.of, c.promise))
			}
		}
	}
	return out
}
