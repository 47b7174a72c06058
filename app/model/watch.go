package model

import (
	"sync"
	"time"
)

// calm is the least time between two calls of a watcher: more often than a
// screen is drawn nobody needs to know.
const calm = 20 * time.Millisecond

// maxNotices bounds what waits for a hearer that is too slow.
const maxNotices = 32

// Watch calls f with the newest snapshot, now and after each change, one call
// at a time and not on the caller's goroutine. A slow f misses snapshots, and
// never the last; the log's growth and each new traffic sample are changes too.
// stop ends it and waits for a call under way, so f must not call it.
func (m *Model) Watch(f func(*Snapshot)) (stop func()) {
	w := &watcher{wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	m.mu.Lock()
	m.watchers[w] = struct{}{}
	m.mu.Unlock()
	w.poke()
	go w.run(func() { f(m.snap.Load()) })
	return sync.OnceFunc(func() {
		m.mu.Lock()
		delete(m.watchers, w)
		m.mu.Unlock()
		close(w.quit)
		<-w.done
	})
}

// A watcher calls a function after it was poked, however often.
type watcher struct {
	wake       chan struct{}
	quit, done chan struct{}
}

func (w *watcher) poke() {
	select {
	case w.wake <- struct{}{}:
	default: // it is awake already
	}
}

func (w *watcher) run(f func()) {
	defer close(w.done)
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-w.quit:
			return
		case <-w.wake:
		}
		select {
		case <-w.quit:
			return
		case <-rest.C:
		}
		f()
		rest.Reset(calm)
	}
}

// Notices calls f with each change that is worth a notification, without spam:
// see Notice. The calls come one at a time and not on the caller's goroutine;
// stop ends them and waits for one under way.
func (m *Model) Notices(f func(Notice)) (stop func()) {
	h := &hearer{watcher: watcher{wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}}
	m.mu.Lock()
	m.hearers[h] = struct{}{}
	m.mu.Unlock()
	go h.run(func() {
		for _, n := range h.take() {
			f(n)
		}
	})
	return sync.OnceFunc(func() {
		m.mu.Lock()
		delete(m.hearers, h)
		m.mu.Unlock()
		close(h.quit)
		<-h.done
	})
}

// A hearer keeps the notices for one who listens, the newest when too many wait.
type hearer struct {
	watcher
	mu    sync.Mutex // guards queue
	queue []Notice
}

func (h *hearer) add(notices []Notice) {
	if len(notices) == 0 {
		return
	}
	h.mu.Lock()
	h.queue = append(h.queue, notices...)
	h.queue = h.queue[max(0, len(h.queue)-maxNotices):]
	h.mu.Unlock()
	h.poke()
}

func (h *hearer) take() []Notice {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.queue
	h.queue = nil
	return q
}
