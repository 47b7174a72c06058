package model

import (
	"context"
	"sync/atomic"
	"time"

	"sallyport/core/api"
)

// giveUpTime is how long the service may take to end an attempt that the user
// gave up.
const giveUpTime = 30 * time.Second

// Connect starts a tunnel and returns when it carries traffic or has failed;
// the prompts on the way stand in the Snapshot. Its ctx is the user's cancel
// button: when it ends, so does the attempt, unless the whole program ends. It
// also returns, without an error, when the attempt goes on behind something
// that the user has to know of: traffic that leaves in clear meanwhile, or a
// question. The Snapshot tells.
func (m *Model) Connect(ctx context.Context, name string) error {
	done := m.begin(name, Connect)
	defer done()
	wctx, stop := context.WithCancel(ctx)
	defer stop()
	// What stood at the beginning is no news of this attempt.
	old := undecided(m.Snapshot(), name)
	var news atomic.Bool
	unwatch := m.Watch(func(s *Snapshot) {
		switch now := undecided(s, name); {
		case !now:
			old = false
		case !old && !news.Swap(true):
			stop()
		}
	})
	defer unwatch()
	err := m.opt.Backend.Connect(wctx, api.ConnectRequest{Name: name, Wait: true})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		m.giveUp(ctx, name)
		return api.AsError(ctx.Err())
	case news.Load():
		return nil
	}
	return err
}

// undecided reports whether a connection has come to something that its user
// has to know of while the service goes on trying.
func undecided(s *Snapshot, name string) bool {
	c := s.Find(name)
	return s.Link == Linked && c != nil && (c.Question != "" || c.Protection == api.Clear && !c.ClearUntil.IsZero())
}

// giveUp ends an attempt whose user has gone. When the whole program ends, the
// service goes on with what it was asked for.
func (m *Model) giveUp(ctx context.Context, name string) {
	m.mu.Lock()
	ends := m.running != nil && m.running.Err() != nil
	m.mu.Unlock()
	if ends {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTime)
	defer cancel()
	_ = m.opt.Backend.Disconnect(ctx, name) // the Snapshot tells how it stands
}

// Disconnect ends a tunnel or the attempt at one.
func (m *Model) Disconnect(ctx context.Context, name string) error {
	defer m.begin(name, Disconnect)()
	return m.opt.Backend.Disconnect(ctx, name)
}

// Cancel ends the attempt that is under way, whoever began it: a Connect that
// waits for it returns api.CodeCancelled.
func (m *Model) Cancel(ctx context.Context, name string) error {
	defer m.begin(name, Cancel)()
	return m.opt.Backend.Disconnect(ctx, name)
}

// begin notes that the user has asked for a verb, until done is called. The
// newest verb is the one that is shown.
func (m *Model) begin(name string, v Verb) (done func()) {
	m.change(func() {
		m.world.pending[name] = &v
		m.world.redescribe(name)
		m.bell.acted(name, m.now())
	})
	return func() {
		m.change(func() {
			if m.world.pending[name] == &v {
				delete(m.world.pending, name)
				m.world.redescribe(name)
			}
			m.bell.acted(name, m.now())
		})
	}
}

// acted notes that the user has just changed something: of that connection, or
// with no name of the machine.
func (m *Model) acted(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bell.acted(name, m.now())
}

// A noting Backend notes what the user does.
type noting struct {
	api.Backend
	m *Model
}

// Connect implements api.Backend.
func (n noting) Connect(ctx context.Context, r api.ConnectRequest) error {
	n.m.acted(r.Name)
	defer n.m.acted(r.Name)
	return n.Backend.Connect(ctx, r)
}

// Disconnect implements api.Backend.
func (n noting) Disconnect(ctx context.Context, name string) error {
	n.m.acted(name)
	defer n.m.acted(name)
	return n.Backend.Disconnect(ctx, name)
}

// Remove implements api.Backend. A connection that is no more leaves no secret
// behind, neither with the service nor with us.
func (n noting) Remove(ctx context.Context, name string) error {
	n.m.acted(name)
	err := n.Backend.Remove(ctx, name)
	if err == nil && n.m.opt.Vault != nil {
		_ = n.m.opt.Vault.Forget(name) // without a vault there is nothing to forget
	}
	return err
}

// SetProfile implements api.Backend.
func (n noting) SetProfile(ctx context.Context, name string, p api.Profile) error {
	n.m.acted(name)
	defer n.m.acted(name)
	return n.Backend.SetProfile(ctx, name, p)
}

// AllowClear implements api.Backend.
func (n noting) AllowClear(ctx context.Context, name string, d time.Duration) error {
	n.m.allowed(name)
	return n.Backend.AllowClear(ctx, name, d)
}

// Assign implements api.Backend.
func (n noting) Assign(ctx context.Context, name string, dryRun bool) (api.AssignResult, error) {
	if !dryRun {
		n.m.acted("")
		defer n.m.acted("")
	}
	return n.Backend.Assign(ctx, name, dryRun)
}

// Unassign implements api.Backend.
func (n noting) Unassign(ctx context.Context) error {
	n.m.acted("")
	defer n.m.acted("")
	return n.Backend.Unassign(ctx)
}

// allowed notes that the user lets the traffic of a connection leave in clear.
func (m *Model) allowed(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bell.allowed(name, m.now())
}
