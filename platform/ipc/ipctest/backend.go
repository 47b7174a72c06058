// Package ipctest holds a Backend in memory and a service around it, for the
// tests of everything that talks to the service.
package ipctest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/core/api"
)

// A Backend is a service in memory. It keeps the promises of api.Backend about
// names, order and events, and records the commands it gets. The On functions,
// when set, decide a command's outcome; set them before use. The zero value is
// a service without connections.
type Backend struct {
	OnState      func(context.Context) error
	OnImport     func(context.Context, api.ImportRequest) (api.ImportResult, error)
	OnConnect    func(context.Context, api.ConnectRequest) error
	OnDisconnect func(ctx context.Context, name string) error
	OnRemove     func(ctx context.Context, name string) error
	OnAnswer     func(context.Context, api.Answer) error
	OnExport     func(ctx context.Context, name string) (api.Export, error)
	OnSetProfile func(ctx context.Context, name string, p api.Profile) error
	OnTest       func(context.Context, api.ImportRequest) (api.TestResult, error)
	OnStore      func(context.Context, api.PolicyFile) (api.Policy, error)
	OnDiff       func(ctx context.Context, a, b string) ([]string, error)
	OnAssign     func(ctx context.Context, name string, dryRun bool) (api.AssignResult, error)
	OnExplain    func(ctx context.Context, flow string) (api.FlowAnswer, error)
	OnSimulate   func(context.Context, api.SimulateRequest) (api.Simulation, error)
	OnAllowClear func(ctx context.Context, name string, d time.Duration) error
	Now          func() time.Time // nil: time.Now
	Ring         int              // events kept for slow followers; 0: 256

	mu      sync.Mutex // guards what follows
	service api.Service
	conns   []api.Connection // sorted by name
	dynamic api.Dynamic
	log     []api.LogEntry
	tokens  api.Tokens
	seq     uint64
	ring    []api.Event
	wake    chan struct{} // closed at the next event; nil when nobody waits
	calls   []string

	policies   []policy // sorted by name
	assignment *api.Assignment
	security   api.Security
	memories   []api.Memory
	prompts    []api.Prompt // oldest first
	messages   []api.Message
}

var _ api.Backend = (*Backend)(nil)

// SetService sets what State says of the service.
func (b *Backend) SetService(s api.Service) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.service = s
}

// SetDynamic sets what Dynamic answers.
func (b *Backend) SetDynamic(d api.Dynamic) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dynamic = d
}

// SetConnection adds or changes a connection and raises the event.
func (b *Backend) SetConnection(c api.Connection) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setLocked(c)
}

func (b *Backend) setLocked(c api.Connection) {
	i, found := b.findLocked(c.Name)
	if found {
		b.conns[i] = c
	} else {
		b.conns = slices.Insert(b.conns, i, c)
	}
	b.emitLocked(api.Event{Kind: api.EventConnection, Name: c.Name, Connection: &c})
}

// Write adds a line to the log and raises the event.
func (b *Backend) Write(e api.LogEntry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = b.now()
	}
	b.log = append(b.log, e)
	b.emitLocked(api.Event{Kind: api.EventLog, Name: e.Connection, Log: &e})
}

// Calls returns the commands so far, as text.
func (b *Backend) Calls() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

func (b *Backend) now() time.Time {
	if b.Now != nil {
		return b.Now()
	}
	return time.Now()
}

func (b *Backend) findLocked(name string) (int, bool) {
	return slices.BinarySearchFunc(b.conns, name, func(c api.Connection, n string) int { return strings.Compare(c.Name, n) })
}

func (b *Backend) emitLocked(e api.Event) {
	b.seq++
	e.Seq, e.Time = b.seq, b.now()
	size := b.Ring
	if size == 0 {
		size = 256
	}
	if b.ring = append(b.ring, e); len(b.ring) > size {
		b.ring = slices.Clone(b.ring[len(b.ring)-size:])
	}
	if b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
}

// State implements api.Backend.
func (b *Backend) State(ctx context.Context) (api.State, error) {
	if b.OnState != nil {
		if err := b.OnState(ctx); err != nil {
			return api.State{}, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return api.State{Service: b.service, Connections: slices.Clone(b.conns), Assignment: b.assignment,
		Prompts: slices.Clone(b.prompts), Seq: b.seq}, nil
}

// Dynamic implements api.Backend.
func (b *Backend) Dynamic(context.Context) (api.Dynamic, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dynamic, nil
}

// Log implements api.Backend.
func (b *Backend) Log(_ context.Context, limit int) ([]api.LogEntry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.log[max(0, len(b.log)-limit):]), nil
}

// Events implements api.Backend. A follower that is further behind than the
// ring gets EventLost with the number of the newest event, and goes on from there.
func (b *Backend) Events(ctx context.Context, after uint64, yield func(api.Event) bool) error {
	for {
		batch, wake := b.next(after)
		for _, e := range batch {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !yield(e) {
				return nil
			}
			after = e.Seq
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		}
	}
}

// next returns one event after seq, or what to wait for.
func (b *Backend) next(seq uint64) ([]api.Event, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	oldest := b.seq - uint64(len(b.ring)) // the last event that is gone
	switch {
	case seq > b.seq, seq < oldest: // from another life of the service, or too slow
		return []api.Event{{Seq: b.seq, Time: b.now(), Kind: api.EventLost}}, nil
	case seq < b.seq:
		return []api.Event{b.ring[seq-oldest]}, nil
	}
	if b.wake == nil {
		b.wake = make(chan struct{})
	}
	return nil, b.wake
}

func (b *Backend) record(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, fmt.Sprintf(format, args...))
}

func (b *Backend) must(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.findLocked(name); !ok {
		return &api.Error{Code: api.CodeNotFound, What: fmt.Sprintf("There is no connection %q.", name),
			Next: "`sallyport list` shows the connections."}
	}
	return nil
}

// Import implements api.Backend: without OnImport, each file's first line is
// the name of a connection.
func (b *Backend) Import(ctx context.Context, r api.ImportRequest) (api.ImportResult, error) {
	paths := make([]string, len(r.Files))
	for i, f := range r.Files {
		paths[i] = fmt.Sprintf("%s (%d bytes)", f.Path, len(f.Data))
	}
	b.record("import %s name=%q asked=%q password=%t replace=%t",
		strings.Join(paths, ", "), r.Name, r.Asked, len(r.Password) > 0, r.Replace)
	if b.OnImport != nil {
		return b.OnImport(ctx, r)
	}
	name, _, _ := strings.Cut(string(r.Files[0].Data), "\n")
	if r.Name != "" {
		name = r.Name
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.findLocked(name); ok && !r.Replace {
		return api.ImportResult{}, &api.Error{Code: api.CodeExists, What: fmt.Sprintf("There is a connection %q already.", name),
			Next: "Choose another name with --name, or overwrite it with --replace."}
	}
	b.setLocked(api.Connection{Name: name, Role: "initiator", Profile: api.Require, State: api.Disconnected, Since: b.now()})
	return api.ImportResult{Format: "sallyport", Imported: []api.ImportedConnection{{Name: name, Auth: "PSK"}}}, nil
}

// Remove implements api.Backend.
func (b *Backend) Remove(ctx context.Context, name string) error {
	b.record("remove %q", name)
	if err := b.must(name); err != nil {
		return err
	}
	if b.OnRemove != nil {
		if err := b.OnRemove(ctx, name); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i, ok := b.findLocked(name); ok {
		b.conns = slices.Delete(b.conns, i, i+1)
		b.emitLocked(api.Event{Kind: api.EventRemoved, Name: name})
	}
	return nil
}

// Connect implements api.Backend: without OnConnect the tunnel is up at once,
// and with it in whatever state that sets.
func (b *Backend) Connect(ctx context.Context, r api.ConnectRequest) error {
	b.record("connect %q wait=%t profile=%q", r.Name, r.Wait, r.Profile)
	if err := b.must(r.Name); err != nil {
		return err
	}
	if b.OnConnect != nil {
		return b.OnConnect(ctx, r)
	}
	b.change(r.Name, api.Connected)
	return nil
}

// Disconnect implements api.Backend.
func (b *Backend) Disconnect(ctx context.Context, name string) error {
	b.record("disconnect %q", name)
	if err := b.must(name); err != nil {
		return err
	}
	if b.OnDisconnect != nil {
		if err := b.OnDisconnect(ctx, name); err != nil {
			return err
		}
	}
	b.change(name, api.Disconnected)
	return nil
}

func (b *Backend) change(name string, s api.TunnelState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i, ok := b.findLocked(name); ok && b.conns[i].State != s {
		c := b.conns[i]
		c.State, c.Since = s, b.now()
		c.Protection, c.ClearUntil = "", time.Time{}
		if s == api.Connected {
			c.Protection = api.Protected
		}
		b.setLocked(c)
	}
}
