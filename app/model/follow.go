package model

import (
	"context"
	"errors"
	"time"

	"sallyport/core/api"
)

// How Run comes back after the service has gone.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 2 * time.Second
	// steady is how long a stream must have stood for its end to be a new one,
	// and not one of a row.
	steady = 2 * time.Second
	// probeEvery is how often Probe is asked, which may start a process.
	probeEvery = 6 * time.Second
	// logWanted is how much of the log is read from a service that we meet.
	logWanted = 10000
)

// Run follows the service until ctx ends, and returns its error; it comes back
// by itself whenever the service goes away and returns. It is called once.
func (m *Model) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	m.mu.Lock()
	m.running = ctx
	m.besideLocked(m.ticks)
	m.besideLocked(m.lookForVault)
	m.mu.Unlock()
	defer m.asides.Wait()
	defer cancel()

	f := follower{m: m}
	for ctx.Err() == nil {
		if f.wait(ctx) {
			f.follow(ctx)
		}
	}
	return ctx.Err()
}

// A follower follows the service from one meeting to the next.
type follower struct {
	m       *Model
	retry   time.Duration // before the next meeting; 0: at once
	probed  time.Time
	probe   Link
	resyncs int
	began   time.Time // when the resyncs are counted from
}

// wait waits before the next meeting and reports whether there is to be one.
func (f *follower) wait(ctx context.Context) bool {
	if f.retry == 0 {
		return true
	}
	t := time.NewTimer(f.retry)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// later lets the next meeting wait, longer each time.
func (f *follower) later() { f.retry = min(max(firstRetry, 2*f.retry), lastRetry) }

// follow meets the service and stays with it for as long as it can.
func (f *follower) follow(ctx context.Context) {
	met := time.Now()
	st, err := f.m.opt.Backend.State(ctx)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		err = checkVersion(st.Service.APIVersion)
	}
	if err != nil {
		f.later()
		f.lost(api.AsError(err))
		return
	}
	f.m.meet(st)
	f.m.readLog(ctx)

	sctx, cancel := context.WithCancel(ctx)
	life := st.Service.Started
	check := time.AfterFunc(steady, func() {
		// The service can have been restarted between our two questions: the
		// events would then be those of another life.
		if again, err := f.m.opt.Backend.State(sctx); err == nil && !again.Service.Started.Equal(life) {
			cancel()
		}
	})
	resync := false
	// Whatever ends the stream, State is asked next and says what is the matter.
	_ = f.m.opt.Backend.Events(sctx, st.Seq, func(e api.Event) bool {
		resync = !f.m.fold(&e)
		return !resync
	})
	another := sctx.Err() != nil && ctx.Err() == nil
	if !check.Stop() {
		cancel()
	}
	cancel()
	switch {
	case resync || another:
		f.retry = 0
		if f.tooOften(time.Now()) {
			f.retry = firstRetry
		}
	case time.Since(met) >= steady:
		f.retry = 0 // State tells at once whether it is gone for good
	default:
		f.later()
	}
}

// tooOften reports whether events are lost so often that reading the whole
// state each time would be all that we do.
func (f *follower) tooOften(now time.Time) bool {
	if now.Sub(f.began) > time.Second {
		f.began, f.resyncs = now, 0
	}
	f.resyncs++
	return f.resyncs > 5
}

// lost notes why there is no answer.
func (f *follower) lost(e *api.Error) {
	l := Lost
	switch e.Code {
	case api.CodeNotAllowed:
		l = Refused
	case api.CodeUnsupported:
		switch e.Params[ParamService] {
		case "older":
			l = Older
		case "newer":
			l = Newer
		default:
			l = Missing // there is none for this system
		}
	case api.CodeUnreachable:
		if f.m.opt.Probe != nil {
			if f.probed.IsZero() || time.Since(f.probed) >= probeEvery {
				f.probed, f.probe = time.Now(), f.m.opt.Probe()
			}
			l = f.probe
			if l != Missing && l != Stopped {
				l = Lost
			}
		}
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if w := &f.m.world; w.link == l && w.problem != nil && w.problem.Code == e.Code && w.problem.Error() == e.Error() {
		return // nothing new
	}
	f.m.world.part(l, e)
	f.m.desk.clear()
	f.m.publishLocked()
}

// ParamService is set to "older" or "newer" in an error that says that the
// service speaks another version of the API.
const ParamService = "service"

// checkVersion holds the version that a service says it speaks against ours. A
// service that says nothing speaks ours: it got as far as here.
func checkVersion(v int) error {
	switch {
	case v == 0 || v == api.APIVersion:
		return nil
	case v < api.APIVersion:
		return &api.Error{Code: api.CodeUnsupported, What: "The service is older than this program.",
			Params: map[string]string{ParamService: "older"}}
	}
	return &api.Error{Code: api.CodeUnsupported, What: "The service is newer than this program.",
		Params: map[string]string{ParamService: "newer"}}
}

// meet shows a State.
func (m *Model) meet(st api.State) {
	m.change(func() {
		m.world.load(st)
		for i := range m.world.conns {
			m.desk.see(m, &m.world.conns[i].Connection)
		}
		prompts := m.world.prompts
		m.world.prompts = nil
		for _, p := range prompts {
			m.promptLocked(p)
		}
		m.desk.keepOnly(st.Prompts)
	})
}

// fold folds an event in and reports whether it fits.
func (m *Model) fold(e *api.Event) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Kind == api.EventPrompt && e.Prompt != nil && e.Seq == m.world.seq+1 {
		m.world.seq = e.Seq
		m.promptLocked(*e.Prompt)
		m.publishLocked()
		return true
	}
	if !m.world.apply(e) {
		return false
	}
	switch {
	case e.Kind == api.EventLog:
		if e.Log != nil {
			m.lines.Store(m.book.add(*e.Log))
		}
		m.advanceLocked(e.Seq)
		return true
	case e.Kind == api.EventAnswered:
		m.desk.answered(e.Name)
	case e.Connection != nil:
		m.desk.see(m, e.Connection)
	}
	m.publishLocked()
	return true
}

// readLog reads the log of a service that we meet, as far as we do not know it.
func (m *Model) readLog(ctx context.Context) {
	entries, err := m.opt.Backend.Log(ctx, logWanted)
	if err != nil {
		return // what comes by events is shown all the same
	}
	m.change(func() { m.lines.Store(m.book.merge(entries)) })
}

// ticks does once a second what no event tells of: it asks for the traffic, and
// rings for what has lasted long enough to be worth it.
func (m *Model) ticks(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		m.mu.Lock()
		m.tellLocked(m.bell.tick(m.now()))
		up := m.world.anyUp()
		m.mu.Unlock()
		if !up {
			continue
		}
		if counters, err := m.opt.Backend.Traffic(ctx); err == nil {
			m.change(func() {
				m.sampleLocked(counters)
				m.world.count(counters)
			})
		} else if errors.Is(err, context.Canceled) {
			return
		}
	}
}

// anyUp reports whether a tunnel can carry traffic.
func (w *world) anyUp() bool {
	if w.link != Linked {
		return false
	}
	for i := range w.conns {
		switch w.conns[i].State {
		case api.Connected, api.Reconnecting, api.Listening:
			return true
		}
	}
	return false
}
