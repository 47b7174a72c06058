package model

import (
	"time"

	"sallyport/core/api"
)

// A Span is how far back a graph reaches.
type Span int

// The spans.
const (
	Minute     Span = iota // 60 samples of a second
	TenMinutes             // 120 samples of 5 seconds
	Hour                   // 120 samples of 30 seconds
)

// A Sample is the mean rate over one step of a span, in bytes a second.
type Sample struct {
	Time    time.Time // its end
	In, Out float64
}

// steps are the number and the length, in seconds, of the samples of each span.
var steps = [...]struct {
	n      int
	length int64
}{Minute: {60, 1}, TenMinutes: {120, 5}, Hour: {120, 30}}

// Step returns the time between two samples of a span.
func (s Span) Step() time.Duration { return time.Duration(steps[s].length) * time.Second }

// Traffic returns the samples of a connection, oldest first, always the whole
// span: before the tunnel was up they are zero. The service is asked for its
// counters once a second while any tunnel is up.
func (m *Model) Traffic(name string, s Span) []Sample {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.traffic[name].samples(s, m.now())
}

// sampleLocked takes new counters in, and forgets connections that are no more.
func (m *Model) sampleLocked(counters map[string]api.Counters) {
	now := m.now()
	for name, c := range counters {
		if _, ok := m.world.find(name); !ok {
			continue
		}
		h := m.traffic[name]
		if h == nil {
			h = &history{}
			m.traffic[name] = h
		}
		h.add(now, c)
	}
	for name := range m.traffic {
		if _, ok := m.world.find(name); !ok {
			delete(m.traffic, name)
		}
	}
}

// A history is what went through a tunnel in the last hour.
type history struct {
	last  time.Time // when the counters were last read; zero: never
	seen  api.Counters
	rings [len(steps)]ring
}

// A ring keeps the newest buckets of a span by their number: the time of their
// begin in units of their length.
type ring []bucket

type bucket struct {
	number  int64
	in, out float32 // bytes
}

// add takes the counters of this moment. What was counted since the last time
// is spread evenly over the time between. Counters that are smaller than they
// were began again with a new tunnel.
func (h *history) add(now time.Time, c api.Counters) {
	last, seen := h.last, h.seen
	h.last, h.seen = now, c
	if last.IsZero() || !now.After(last) {
		return
	}
	in, out := grown(seen.InBytes, c.InBytes), grown(seen.OutBytes, c.OutBytes)
	for s := range h.rings {
		if h.rings[s] == nil {
			h.rings[s] = make(ring, steps[s].n+1) // one more is in the making
		}
		h.rings[s].spread(steps[s].length, last, now, in, out)
	}
}

func grown(old, new uint64) float64 {
	if new < old {
		return float64(new)
	}
	return float64(new - old)
}

// spread adds bytes evenly over the time between from and to.
func (r ring) spread(length int64, from, to time.Time, in, out float64) {
	whole := to.Sub(from).Seconds()
	step := time.Duration(length) * time.Second
	first := max(from.Unix()/length, to.Unix()/length-int64(len(r))+1)
	for n := first; n <= to.Unix()/length; n++ {
		begin := time.Unix(n*length, 0)
		end := begin.Add(step)
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		share := end.Sub(begin).Seconds() / whole
		if share <= 0 {
			continue
		}
		b := &r[n%int64(len(r))]
		if b.number != n {
			*b = bucket{number: n}
		}
		b.in += float32(in * share)
		b.out += float32(out * share)
	}
}

// samples returns the whole span that ends at now, or a moment before it when
// the counters of this moment are still to come.
func (h *history) samples(s Span, now time.Time) []Sample {
	length := steps[s].length
	end := now.Unix() / length // the bucket that is in the making
	if h != nil && now.Sub(h.last) < 2*time.Second && !h.last.After(now) {
		end = h.last.Unix() / length
	}
	out := make([]Sample, steps[s].n)
	for i := range out {
		n := end - int64(len(out)-i)
		out[i].Time = time.Unix((n+1)*length, 0)
		if h == nil || h.rings[s] == nil || n < 0 {
			continue
		}
		if b := h.rings[s][n%int64(len(h.rings[s]))]; b.number == n {
			out[i].In, out[i].Out = float64(b.in)/float64(length), float64(b.out)/float64(length)
		}
	}
	return out
}
