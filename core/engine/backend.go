package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"sallyport/core/api"
	"sallyport/core/explain"
	"sallyport/core/profile"
)

// State implements api.Backend.
func (e *Engine) State(ctx context.Context) (api.State, error) {
	var s api.State
	err := e.call(ctx, func() {
		e.reload()
		s = e.state()
	})
	return s, err
}

// Dynamic implements api.Backend.
func (e *Engine) Dynamic(ctx context.Context) (api.Dynamic, error) {
	var d api.Dynamic
	err := e.call(ctx, func() { d = e.dynamic() })
	return d, err
}

// Log implements api.Backend.
func (e *Engine) Log(_ context.Context, limit int) ([]api.LogEntry, error) {
	return e.journal.lastLog(limit), nil
}

// Events implements api.Backend.
func (e *Engine) Events(ctx context.Context, after uint64, yield func(api.Event) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-e.stopped:
			cancel()
		case <-ctx.Done():
		}
	}()
	return e.journal.follow(ctx, after, yield)
}

// Import implements api.Backend. Parsing is done on the caller's goroutine:
// a large import does not hold up the tunnels.
func (e *Engine) Import(ctx context.Context, r api.ImportRequest) (api.ImportResult, error) {
	res, err := profile.Import(r)
	if err != nil {
		return api.ImportResult{}, explain.Explain(err, explain.Context{})
	}
	if len(res.Missing) > 0 {
		return api.ImportResult{Format: res.Format, Missing: res.Missing}, nil
	}
	callErr := e.call(ctx, func() {
		// What would be stored may have the name of what is there: with a preview
		// the user still chooses.
		if !r.DryRun {
			err = e.mayStore(res.Bundles, r.Replace)
		}
		for i := range res.Bundles {
			if err == nil {
				err = e.store.Complete(&res.Bundles[i])
			}
		}
		if err != nil || r.DryRun {
			return
		}
		for _, b := range res.Bundles {
			if err = e.store.Save(b, r.Replace); err != nil {
				break // what is stored already, stays
			}
		}
		e.reload()
		e.listen()
	})
	out := api.ImportResult{Format: res.Format, Refused: res.Refused}
	for _, b := range res.Bundles {
		out.Imported = append(out.Imported, b.Imported())
		for _, s := range b.Secrets {
			clear(s)
		}
	}
	if callErr != nil {
		return api.ImportResult{}, callErr
	}
	if err != nil {
		return api.ImportResult{}, explain.Explain(err, explain.Context{})
	}
	for _, c := range out.Imported {
		if r.DryRun {
			break
		}
		e.logf(api.LogInfo, "config", c.Name, "imported (%s)", out.Format)
	}
	return out, nil
}

// mayStore refuses an import that would change a tunnel under its feet, before
// anything is stored.
func (e *Engine) mayStore(bundles []profile.Bundle, replace bool) error {
	for _, b := range bundles {
		c := e.conns[b.Connection.Name]
		if c == nil {
			continue
		}
		if !replace {
			return fmt.Errorf("%w: %s", profile.ErrExists, c.name)
		}
		if state, _ := c.state(); state != api.Disconnected && state != api.Listening || c.wanted && c.profile != nil {
			return &api.Error{Code: api.CodeBusy, What: fmt.Sprintf("%q is in use.", c.name),
				Next: fmt.Sprintf("Disconnect it first: sallyport disconnect %s", c.name)}
		}
		if c.listening {
			e.stopListening(c)
		}
	}
	return nil
}

// Remove implements api.Backend.
func (e *Engine) Remove(ctx context.Context, name string) error {
	if err := e.onLoop(ctx, func() error {
		if c := e.conns[name]; c != nil && c.byPolicy {
			return &api.Error{Code: api.CodeBusy, What: fmt.Sprintf("The assigned policy uses %q.", name),
				Next: "Unassign it first: sallyport policy unassign"}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := e.Disconnect(ctx, name); err != nil {
		return err
	}
	var err error
	callErr := e.call(ctx, func() {
		if err = e.store.Remove(name); err == nil {
			e.logf(api.LogInfo, "config", name, "removed")
			e.reload()
		}
	})
	if callErr != nil {
		return callErr
	}
	if err != nil {
		return explain.Explain(err, explain.Context{Connection: name})
	}
	return nil
}

// Connect implements api.Backend.
func (e *Engine) Connect(ctx context.Context, r api.ConnectRequest) error {
	switch r.Profile {
	case "", api.Respond, api.Request, api.Require:
	default:
		return &api.Error{Code: api.CodeUsage, What: fmt.Sprintf("%q is not a profile.", r.Profile),
			Next: "Use respond, request or require."}
	}
	return e.await(ctx, r.Name, r.Wait, true, func(c *conn) error { return e.connect(c, r.Profile) })
}

// Disconnect implements api.Backend.
func (e *Engine) Disconnect(ctx context.Context, name string) error {
	return e.await(ctx, name, true, false, func(c *conn) error {
		e.disconnect(c)
		return nil
	})
}

// await runs do for a connection on the loop and, with wait, waits until the
// tunnel is up or has failed, or is at rest.
func (e *Engine) await(ctx context.Context, name string, wait, up bool, do func(*conn) error) error {
	w := waiter{up: up, done: make(chan error, 1)}
	var err error
	var target *conn
	callErr := e.call(ctx, func() {
		if e.conns[name] == nil || up {
			e.reload()
		}
		c := e.conns[name]
		if c == nil {
			err = explain.Explain(fmt.Errorf("%w: %s", profile.ErrNotFound, name), explain.Context{Connection: name})
			return
		}
		if err = do(c); err == nil && wait {
			target = c
			c.waiters = append(c.waiters, w)
			e.changed(c)
		}
	})
	switch {
	case callErr != nil:
		return callErr
	case err != nil || target == nil:
		return err
	}
	select {
	case err := <-w.done:
		return err
	case <-e.stopped:
		return errStopping
	case <-ctx.Done():
	}
	state := api.TunnelState("")
	_ = e.call(context.Background(), func() {
		target.waiters = slices.DeleteFunc(target.waiters, func(o waiter) bool { return o.done == w.done })
		state, _ = target.state()
		err = nilIfNone(target.problem)
	})
	timeout := &api.Error{Code: api.CodeTimeout, What: fmt.Sprintf("%q is still %s.", name, state),
		Next:   "It goes on trying. Look at \"sallyport log\", or give it longer with --wait.",
		Params: map[string]string{"state": string(state)}}
	if err != nil {
		timeout.Why = err.Error()
	}
	return timeout
}

// nilIfNone avoids an error that holds a nil *api.Error.
func nilIfNone(p *api.Error) error {
	if p == nil {
		return nil
	}
	return p
}

// changed notes that a connection is to be published.
func (e *Engine) changed(c *conn) { e.dirty[c], e.guard.look = true, true }

// peerChanged is changed for what one of the peers of a responder does, which
// changes nothing for the others: installChild and removeChild say when it does.
func (e *Engine) peerChanged(c *conn) {
	if c.responder() {
		e.dirty[c] = true
		return
	}
	e.changed(c)
}

// A responder with more than crowded Child SAs is published every publishPause:
// to count what they have carried takes its time.
const (
	crowded      = 64
	publishPause = 250 * time.Millisecond
)

// publish tells front ends and waiting calls of the connections that changed.
func (e *Engine) publish() {
	if len(e.dirty) == 0 {
		return
	}
	now := time.Now()
	for _, c := range e.sortedConns() {
		if !e.dirty[c] {
			continue
		}
		c.answerWaiters()
		if c.listening && now.Before(c.publishAt) {
			continue
		}
		delete(e.dirty, c)
		if len(c.kids) > crowded {
			c.publishAt = now.Add(publishPause)
		}
		view := e.view(c)
		if c.published != nil && sameView(c.published, &view) {
			continue
		}
		c.published = &view
		e.journal.add(api.Event{Kind: api.EventConnection, Name: c.name, Connection: &view})
	}
	maps.DeleteFunc(e.dirty, func(c *conn, _ bool) bool { return e.conns[c.name] != c })
}

// answerWaiters answers the calls whose wait is over.
func (c *conn) answerWaiters() {
	state, _ := c.state()
	c.waiters = slices.DeleteFunc(c.waiters, func(w waiter) bool {
		switch {
		case w.up && (state == api.Connected && c.complete() || state == api.Listening):
			w.done <- nil
		case w.up && (state == api.Disconnected && c.awaits == 0 || state == api.Blocked):
			w.done <- c.whyNot()
		case !w.up && state == api.Disconnected && c.awaits == 0:
			w.done <- nil
		default:
			return false
		}
		return true
	})
}

// complete reports whether every child of the profile has its Child SA and its
// routes, or will not have any: until then what follows a connect could take the
// wrong way.
func (c *conn) complete() bool {
	return c.awaits == 0 && (c.current == nil || c.current.sa.Awaited() == 0)
}

// whyNot says why the tunnel is not up: something failed, or someone else
// disconnected it meanwhile.
func (c *conn) whyNot() error {
	if c.problem != nil {
		return c.problem
	}
	return &api.Error{Code: api.CodeCancelled, What: fmt.Sprintf("%q was disconnected before it was up.", c.name)}
}
