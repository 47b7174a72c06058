// Package model follows the service and folds what it says into one immutable
// Snapshot, and turns what the user does into calls of the service. It knows
// neither a toolkit nor a language.
package model

import (
	"context"
	"time"

	"sallyport/core/api"
)

// A Vault keeps what the user asked us to remember, in the secret store of the
// user's own session. Its methods may wait for the user to unlock it.
type Vault interface {
	// Get returns nil and no error when nothing is kept.
	Get(connection string, kind api.PromptKind) ([]byte, error)
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
	// Lost.
	Probe func() Link
}

// A Model is safe for use by several goroutines. Its verbs block until they
// are done: call them beside the user interface's goroutine.
type Model struct {
	opt Options
}

// New returns a Model that knows nothing before Run.
func New(opt Options) *Model { return &Model{opt: opt} }

// Backend is the service, for what a view asks of it beyond the Snapshot.
func (m *Model) Backend() api.Backend { return m.opt.Backend }

// Run follows the service until ctx ends; it comes back by itself whenever the
// service goes away and returns.
func (m *Model) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Snapshot returns the newest snapshot, never nil.
func (m *Model) Snapshot() *Snapshot { return &Snapshot{} }

// Watch calls f with the newest snapshot, now and after each change, one call
// at a time and not on the caller's goroutine. A slow f misses snapshots, and
// never the last. stop ends it and waits for a call under way.
func (m *Model) Watch(f func(*Snapshot)) (stop func()) { return func() {} }

// Notices calls f with each change that is worth a notification, without spam:
// see Notice.
func (m *Model) Notices(f func(Notice)) (stop func()) { return func() {} }

// A Notice is a change of state that matters to a user who looks elsewhere.
type Notice struct {
	Connection string
	Mark       Mark
	Title      Text
	Body       Text
}

// Connect starts a tunnel and returns when it carries traffic or has failed;
// the prompts on the way stand in the Snapshot. Its ctx is the user's cancel
// button: when it ends, so does the attempt.
func (m *Model) Connect(ctx context.Context, name string) error { return nil }

// Disconnect ends a tunnel or the attempt at one.
func (m *Model) Disconnect(ctx context.Context, name string) error { return nil }

// Answer answers a prompt. With remember, and if the prompt allows it, the
// answer is kept in the vault once it has proved right. secret is wiped.
func (m *Model) Answer(ctx context.Context, a api.Answer, remember bool) error { return nil }

// A Span is how far back a graph reaches.
type Span int

// The spans.
const (
	Minute Span = iota // 60 samples of a second
	TenMinutes
	Hour
)

// A Sample is the mean rate over one step of a span, in bytes a second.
type Sample struct {
	Time    time.Time // its end
	In, Out float64
}

// Traffic returns the samples of a connection, oldest first, always the whole
// span: before the tunnel was up they are zero. The service is asked for its
// counters once a second while any tunnel is up.
func (m *Model) Traffic(name string, s Span) []Sample { return nil }

// Log returns the log as far as it is known here: at least the newest 100,000
// entries since the model follows the service.
func (m *Model) Log() *Log { return &Log{} }

// A Log is an immutable view of the log.
type Log struct{ entries []api.LogEntry }

// Len returns the number of entries.
func (l *Log) Len() int { return len(l.entries) }

// At returns entry i; 0 is the oldest.
func (l *Log) At(i int) api.LogEntry { return l.entries[i] }
