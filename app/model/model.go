// Package model follows the service and folds what it says into one immutable
// Snapshot, and turns what the user does into calls of the service. It knows
// neither a toolkit nor a language.
package model

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/core/api"
)

// A Vault keeps what the user asked us to remember, in the secret store of the
// user's own session. Its methods may wait for the user to unlock it.
type Vault interface {
	// Get returns nil and no error when nothing is kept. The secret is the
	// caller's.
	Get(connection string, kind api.PromptKind) ([]byte, error)
	// Set keeps a copy of secret; an empty secret forgets the one of that kind.
	Set(connection string, kind api.PromptKind, secret []byte) error
	// Forget removes everything that is kept for a connection.
	Forget(connection string) error
}

// Options are what a Model is made of.
type Options struct {
	Backend api.Backend
	Now     func() time.Time // nil: time.Now
	Vault   Vault            // nil: nothing can be remembered
	// Probe says why the service does not answer: Missing, Stopped or Lost. Nil:
	// Lost. It is called beside the user interface, and not often.
	Probe func() Link
}

// A Model is safe for use by several goroutines. Its verbs block until they
// are done: call them beside the user interface's goroutine.
type Model struct {
	opt     Options
	backend api.Backend
	now     func() time.Time

	snap  atomic.Pointer[Snapshot]
	lines atomic.Pointer[Log]

	mu       sync.Mutex // guards what follows, for short blocks without calls of others
	world    world
	book     book
	traffic  map[string]*history
	bell     bell
	desk     desk
	watchers map[*watcher]struct{}
	hearers  map[*hearer]struct{}
	running  context.Context // of Run; nil before
	asides   sync.WaitGroup  // goroutines beside Run, which waits for them
}

// New returns a Model that knows nothing before Run.
func New(opt Options) *Model {
	m := &Model{opt: opt, now: opt.Now, traffic: map[string]*history{}, bell: newBell(), desk: newDesk(),
		watchers: map[*watcher]struct{}{}, hearers: map[*hearer]struct{}{}}
	if m.now == nil {
		m.now = time.Now
	}
	m.world.pending = map[string]*Verb{}
	m.backend = noting{Backend: opt.Backend, m: m}
	m.lines.Store(&Log{})
	m.snap.Store(m.world.snapshot())
	return m
}

// Backend is the service, for what a view asks of it beyond the Snapshot. What
// the user changes through it is known to be the user's own doing: see Notice.
func (m *Model) Backend() api.Backend { return m.backend }

// Snapshot returns the newest snapshot, never nil.
func (m *Model) Snapshot() *Snapshot { return m.snap.Load() }

// Log returns the log as far as it is known here: the newest 100,000 entries
// since the model follows the service, and fewer only when they are very long.
func (m *Model) Log() *Log { return m.lines.Load() }

// change runs do, which may change everything that mu guards, and shows
// everybody the world that it leaves.
func (m *Model) change(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	do()
	m.publishLocked()
}

// publishLocked replaces the snapshot, tells the watchers, and the hearers of
// what has become worth a notice.
func (m *Model) publishLocked() {
	s := m.world.snapshot()
	m.snap.Store(s)
	m.tellLocked(m.bell.see(s, m.now()))
	for w := range m.watchers {
		w.poke()
	}
}

// advanceLocked shows the same world at a later event. A log can grow by
// thousands of lines a second, over hundreds of connections that stay as they are.
func (m *Model) advanceLocked(seq uint64) {
	s := *m.snap.Load()
	s.Seq = seq
	m.snap.Store(&s)
	for w := range m.watchers {
		w.poke()
	}
}

func (m *Model) tellLocked(notices []Notice) {
	for h := range m.hearers {
		h.add(notices)
	}
}

// besideLocked runs f on a goroutine that Run waits for. Its context ends with Run.
func (m *Model) besideLocked(f func(ctx context.Context)) {
	ctx := m.running
	if ctx == nil || ctx.Err() != nil {
		return
	}
	m.asides.Go(func() { f(ctx) })
}
