package engine

import (
	"context"
	"sync"
	"time"

	"sallyport/core/api"
)

// Sizes of what the service remembers for front ends.
const (
	maxEvents = 4096
	maxLog    = 8192
)

// A journal is the ordered stream of events and the log. The loop writes, any
// number of followers read; a slow follower never holds the loop up, it loses
// events and is told so.
type journal struct {
	now func() time.Time

	mu     sync.Mutex // guards what follows
	events ring[api.Event]
	log    ring[api.LogEntry]
	more   chan struct{} // closed and replaced by each event
}

func newJournal(now func() time.Time) *journal {
	return &journal{now: now, events: ring[api.Event]{max: maxEvents}, log: ring[api.LogEntry]{max: maxLog}, more: make(chan struct{})}
}

// add numbers ev, dates it and shows it to the followers.
func (j *journal) add(ev api.Event) {
	ev.Time = j.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	ev.Seq = j.events.total + 1
	j.events.add(ev)
	close(j.more)
	j.more = make(chan struct{})
}

// logEntry adds a line to the log and to the events. Debug lines are kept in the
// log only.
func (j *journal) logEntry(le api.LogEntry) {
	le.Time = j.now()
	j.mu.Lock()
	j.log.add(le)
	j.mu.Unlock()
	if le.Level != api.LogDebug {
		j.add(api.Event{Kind: api.EventLog, Name: le.Connection, Log: &le})
	}
}

// seq returns the number of the newest event.
func (j *journal) seq() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.events.total
}

// lastLog returns up to limit of the newest lines, oldest first.
func (j *journal) lastLog(limit int) []api.LogEntry {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(j.log.items)
	if limit <= 0 || limit > n {
		limit = n
	}
	out := make([]api.LogEntry, 0, limit)
	for i := n - limit; i < n; i++ {
		out = append(out, j.log.at(i))
	}
	return out
}

// follow calls yield with each event after seq until ctx ends or yield
// returns false.
func (j *journal) follow(ctx context.Context, seq uint64, yield func(api.Event) bool) error {
	for {
		batch, more := j.after(seq)
		for _, ev := range batch {
			if !yield(ev) {
				return nil
			}
			seq = ev.Seq
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		}
	}
}

// after returns a batch of the events that follow seq and a channel that is
// closed when there are more. What is no longer remembered, or was never
// said by this process, becomes one EventLost.
func (j *journal) after(seq uint64) ([]api.Event, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	total, kept := j.events.total, uint64(len(j.events.items))
	if seq > total || total-seq > kept {
		return []api.Event{{Seq: total, Time: j.now(), Kind: api.EventLost}}, j.more
	}
	n := min(total-seq, 256)
	out := make([]api.Event, 0, n)
	for i := range n {
		out = append(out, j.events.at(int(kept-(total-seq)+i)))
	}
	return out, j.more
}

// A ring keeps the newest max items.
type ring[T any] struct {
	max   int
	items []T
	start int    // of the oldest item, once full
	total uint64 // ever added
}

func (r *ring[T]) add(v T) {
	r.total++
	if len(r.items) < r.max {
		r.items = append(r.items, v)
		return
	}
	r.items[r.start] = v
	r.start = (r.start + 1) % r.max
}

// at returns the i-th oldest item.
func (r *ring[T]) at(i int) T { return r.items[(r.start+i)%len(r.items)] }
