package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"sallyport/core/api"
	"sallyport/core/config"
	"sallyport/core/explain"
	"sallyport/core/policy"
	"sallyport/core/profile"
)

// resume puts in force what was wanted before the service ended: first the
// firewall, then the tunnels.
func (e *Engine) resume() {
	var err error
	if e.guard.memory, err = loadMemory(e.opt.Host.State); err != nil {
		e.logf(api.LogError, "policy", "", "%v; it starts empty", err)
	}
	if e.guard.wishes, err = loadWishes(e.opt.Host.State); err != nil {
		e.guard.unread = err
		e.logf(api.LogError, "service", "", "%v; nothing is connected by itself, and the firewall stays as it is until somebody connects, disconnects or assigns", err)
	}
	w := &e.guard.wishes
	if w.Assignment != nil {
		if e.guard.assigned, err = policy.Parse(w.Assignment.Policy+profileSuffix, w.PolicyText); err != nil {
			e.logf(api.LogError, "policy", "", "the assigned policy cannot be read: %v", err)
		}
	}
	for name, mode := range w.Connections {
		c := e.conns[name]
		if c == nil { // the user must be able to disconnect it
			c = &conn{name: name, since: time.Now()}
			c.problem = e.explain(c, fmt.Errorf("%w: %s", profile.ErrNotFound, name))
			e.conns[name] = c
		}
		if !c.responder() {
			c.mode, c.wanted = mode, true
		}
	}
	e.guard.stale = true
	if err := e.enforce(); err == nil && e.guard.intent.IsZero() && e.opt.Host.Firewall != nil {
		if err := e.opt.Host.Firewall.Cleanup(); err != nil {
			e.logf(api.LogWarn, "policy", "", "%v", err)
		}
	}
	for _, c := range e.sortedConns() {
		if c.wanted {
			e.logf(api.LogInfo, "service", c.name, "connecting as before the restart (%s)", c.mode)
			if err := e.connect(c, c.mode); err != nil {
				e.logf(api.LogWarn, "service", c.name, "%v", err)
			}
		}
	}
	if e.guard.assigned != nil {
		e.followPolicy()
	}
}

// noteAgain is how often the downgrade memory hears that protection still works.
const noteAgain = time.Hour

// followAll looks after fallbacks, the downgrade memory and the connections
// that wait to be forgotten, and then enforces what follows.
func (e *Engine) followAll() {
	now := time.Now()
	e.guard.looked = now
	for _, c := range e.sortedConns() {
		if c.profile == nil {
			continue
		}
		if !e.stopping {
			e.follow(c, now)
			if c.idle(now) {
				e.forgetPeer(c)
			}
		}
		state, _ := c.state()
		switch {
		case state != api.Connected:
			c.noted = time.Time{}
		case !c.responder() && now.Sub(c.noted) >= noteAgain:
			e.note(c, now)
		}
		if c.leaving && state == api.Disconnected && c.awaits == 0 {
			c.leaving = false
			e.forgetPeer(c)
		}
	}
	e.enforce()
	for _, c := range e.conns {
		if p := e.protection(c, now); p != c.shown {
			c.shown, e.dirty[c] = p, true
		}
	}
}

// note tells the downgrade memory that protection works here.
func (e *Engine) note(c *conn, now time.Time) {
	network := e.networkOf(c)
	if !network.IsValid() {
		return
	}
	c.noted = now
	if err := e.guard.memory.worked(network, c.peerName(), c.ruleName(), now); err != nil {
		e.logf(api.LogError, "policy", c.name, "%v", err)
	}
}

// nextFallback is when follow has something to do: the next moment that it has
// not seen yet, be it past, for anything may have kept the loop busy.
func (c *conn) nextFallback(looked time.Time) time.Time {
	state, _ := c.state()
	switch {
	case state == api.Connected:
		return time.Time{}
	case c.clear:
		return c.clearUntil
	case c.allowClear.After(looked):
		return c.allowClear
	case c.holdUntil.After(looked):
		return c.holdUntil
	}
	return time.Time{}
}

// predefined returns the predefined policy of that name, or nil.
func predefined(name string) *policy.Policy {
	for _, p := range policy.Presets() {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// storedPolicy reads a stored or predefined policy.
func (e *Engine) storedPolicy(name string) (*policy.Policy, []byte, error) {
	text, err := e.opt.Host.Policies.Read(policyFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		if p := predefined(name); p != nil {
			return p, policy.Marshal(p), nil
		}
		return nil, nil, &api.Error{Code: api.CodeNotFound, What: fmt.Sprintf("There is no policy called %q.", name),
			Next: "\"sallyport policy list\" shows the policies."}
	}
	if err != nil {
		return nil, nil, explain.Explain(fmt.Errorf("read policy %q: %w", name, err), explain.Context{})
	}
	p, err := policy.Parse(name+profileSuffix, text)
	if err != nil {
		return nil, text, policyFault(err)
	}
	return p, text, nil
}

// policyFile is the file of a policy: its name holds what file names may not.
func policyFile(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '_'
	}, name) + profileSuffix
}

func policyFault(err error) *api.Error {
	e := explain.Explain(err, explain.Context{})
	if e.Code == api.CodeProfileInvalid {
		e.Code = api.CodePolicyInvalid
	}
	return e
}

// onLoop runs f on the loop and explains its error.
func (e *Engine) onLoop(ctx context.Context, f func() error) error {
	var err error
	if callErr := e.call(ctx, func() { err = f() }); callErr != nil {
		return callErr
	}
	if err != nil {
		return explain.Explain(err, explain.Context{})
	}
	return nil
}

// Policies implements api.Backend.
func (e *Engine) Policies(ctx context.Context) ([]api.Policy, error) {
	var out []api.Policy
	err := e.onLoop(ctx, func() error {
		for _, p := range policy.Presets() {
			out = append(out, e.policyView(p, true))
		}
		names, err := e.opt.Host.Policies.List()
		if err != nil {
			return err
		}
		for _, n := range names {
			name, ok := strings.CutSuffix(n, profileSuffix)
			if !ok {
				continue
			}
			text, err := e.opt.Host.Policies.Read(n)
			var p *policy.Policy
			if err == nil {
				p, err = policy.Parse(n, text)
			}
			if err != nil {
				out = append(out, api.Policy{Name: name, Problem: policyFault(err)})
				continue
			}
			out = append(out, e.policyView(p, false))
		}
		return nil
	})
	return out, err
}

func (e *Engine) policyView(p *policy.Policy, predefined bool) api.Policy {
	a := e.guard.wishes.Assignment
	return api.Policy{Name: p.Name, Description: p.Description, Predefined: predefined, Rules: len(p.Rules),
		Assigned: a != nil && a.Policy == p.Name}
}

// Policy implements api.Backend.
func (e *Engine) Policy(ctx context.Context, name string) (api.PolicyFile, error) {
	var f api.PolicyFile
	err := e.onLoop(ctx, func() error {
		_, text, err := e.storedPolicy(name)
		if text == nil {
			return err
		}
		f = api.PolicyFile{Name: name, Text: text}
		return nil
	})
	return f, err
}

// StorePolicy implements api.Backend.
func (e *Engine) StorePolicy(ctx context.Context, f api.PolicyFile) (api.Policy, error) {
	p, err := policy.Parse(cmp.Or(f.Name, "policy")+profileSuffix, f.Text)
	if err != nil && f.Check {
		return api.Policy{Name: f.Name, Problem: policyFault(err), Findings: faults(err)}, nil
	}
	if err != nil {
		return api.Policy{}, policyFault(err)
	}
	if f.Check {
		return e.checkPolicy(ctx, p)
	}
	asWritten := p
	if f.Name != "" {
		p = p.Duplicate(f.Name)
	}
	// The text stays as it was written, with its comments and the lines that
	// messages name, unless the name in it is another.
	text := f.Text
	if named, err := policy.Parse(p.Name+profileSuffix, text); err != nil || named.Name != p.Name {
		text = policy.Marshal(p)
	}
	if predefined(p.Name) != nil {
		return api.Policy{}, &api.Error{Code: api.CodeExists, What: fmt.Sprintf("%q is a predefined policy.", p.Name), Next: "Store yours under another name (--name)."}
	}
	var view api.Policy
	err = e.onLoop(ctx, func() error {
		names, err := e.opt.Host.Policies.List()
		if err != nil {
			return err
		}
		if slices.Contains(names, policyFile(p.Name)) && !f.Replace {
			return &api.Error{Code: api.CodeExists, What: fmt.Sprintf("There is a policy called %q already.", p.Name), Next: "Use another name (--name), or replace it (--replace)."}
		}
		if err := e.opt.Host.Policies.Write(policyFile(p.Name), text); err != nil {
			return err
		}
		view = e.policyView(p, false)
		found := policy.Validate(asWritten, e.env()) // with the lines of the text
		view.Warnings, view.Findings = texts(found), places(found)
		return nil
	})
	return view, err
}

// checkPolicy judges a policy on this machine.
func (e *Engine) checkPolicy(ctx context.Context, p *policy.Policy) (api.Policy, error) {
	var view api.Policy
	err := e.onLoop(ctx, func() error {
		view = e.policyView(p, predefined(p.Name) != nil)
		found := policy.Validate(p, e.env())
		view.Warnings, view.Findings = texts(found), places(found)
		if err := found.Err(); err != nil {
			view.Problem = policyFault(err)
		}
		return nil
	})
	return view, err
}

// places are findings as a front end shows them at what they are about.
func places(l policy.Findings) []api.Finding {
	out := make([]api.Finding, 0, len(l))
	for _, f := range l {
		out = append(out, api.Finding{Error: f.Severity == policy.SeverityError, Text: f.Text,
			Position: api.Position{File: f.File, Line: f.Line, Field: f.Field}})
	}
	return out
}

// faults are what keeps a text from being a policy.
func faults(err error) []api.Finding {
	var out []api.Finding
	for _, f := range config.AllErrors(err) {
		out = append(out, api.Finding{Error: true, Text: f.Msg, Position: api.Position{File: f.File, Line: f.Line, Field: f.Field}})
	}
	return out
}

// RemovePolicy implements api.Backend.
func (e *Engine) RemovePolicy(ctx context.Context, name string) error {
	return e.onLoop(ctx, func() error {
		if a := e.guard.wishes.Assignment; a != nil && a.Policy == name {
			return &api.Error{Code: api.CodeBusy, What: fmt.Sprintf("%q is assigned.", name), Next: "Unassign it first: sallyport policy unassign"}
		}
		if _, _, err := e.storedPolicy(name); err != nil && api.AsError(err).Code == api.CodeNotFound {
			return err
		}
		return e.opt.Host.Policies.Remove(policyFile(name))
	})
}

// Assign implements api.Backend.
func (e *Engine) Assign(ctx context.Context, name string, dryRun bool) (api.AssignResult, error) {
	var out api.AssignResult
	err := e.onLoop(ctx, func() error {
		p, text, err := e.storedPolicy(name)
		if err != nil {
			return err
		}
		compiled, findings := policy.Examine(p, e.env())
		if err := findings.Err(); err != nil {
			return policyFault(err)
		}
		out.Warnings = texts(findings)
		if err := policy.Prove(compiled); err != nil {
			return policyFault(err)
		}
		out.Order = orderOf(compiled)
		out.Changes = policy.Diff(cmp.Or(e.guard.assigned, policy.New("")), p)
		if dryRun {
			return nil
		}
		e.guard.ready = compiled
		return e.assign(p, text, &api.Assignment{Policy: name, By: cmp.Or(api.Caller(ctx), "the service"), Since: time.Now()})
	})
	if err == nil && !dryRun {
		err = e.hostReady(ctx)
	}
	return out, err
}

// hostReady waits until the host has followed what it was asked for, so that
// the next packet finds it so.
func (e *Engine) hostReady(ctx context.Context) error {
	done := make(chan struct{})
	if err := e.call(ctx, func() { e.afterHost(func() { close(done) }) }); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	case <-e.stopped:
		return errStopping
	}
}

// orderOf writes down the filters as they decide.
func orderOf(c *policy.Compiled) []string {
	out := make([]string, 0, len(c.Entries))
	for i := range c.Entries {
		x := &c.Entries[i]
		out = append(out, fmt.Sprintf("%v ↔ %v: %v (%s)", x.Local, x.Remote, x.Action, cmp.Or(x.Rule, "local network")))
	}
	return out
}

// assign puts p in force, or ends what is with a nil p. On error the old one
// is in force.
func (e *Engine) assign(p *policy.Policy, text []byte, a *api.Assignment) error {
	g := &e.guard
	oldPolicy, oldWishes := g.assigned, g.wishes
	oldUnread := g.unread
	g.assigned, g.wishes.Assignment, g.wishes.PolicyText, g.unread = p, a, text, nil
	undo := func(err error) error {
		g.ready = nil
		g.assigned, g.wishes, g.unread = oldPolicy, oldWishes, oldUnread
		g.stale = true
		e.enforce()
		return err
	}
	if err := g.wishes.save(e.opt.Host.State); err != nil {
		return undo(fmt.Errorf("write down the assignment: %w", err))
	}
	g.stale = true
	if err := e.enforce(); err != nil {
		_ = oldWishes.save(e.opt.Host.State)
		return undo(e.guardError(err))
	}
	e.followPolicy()
	e.journal.add(api.Event{Kind: api.EventAssignment, Assignment: a})
	if a != nil {
		e.logf(api.LogInfo, "policy", "", "policy %q is assigned, by %s", a.Policy, a.By)
	} else {
		e.logf(api.LogInfo, "policy", "", "no policy is assigned")
	}
	return nil
}

// Unassign implements api.Backend.
func (e *Engine) Unassign(ctx context.Context) error {
	err := e.onLoop(ctx, func() error {
		if e.guard.wishes.Assignment == nil {
			return &api.Error{Code: api.CodeNotFound, What: "No policy is assigned."}
		}
		return e.assign(nil, nil, nil)
	})
	if err != nil {
		return err
	}
	return e.hostReady(ctx)
}

// DiffPolicies implements api.Backend.
func (e *Engine) DiffPolicies(ctx context.Context, a, b string) ([]string, error) {
	var lines []string
	err := e.onLoop(ctx, func() error {
		pa, _, err := e.storedPolicy(a)
		if err != nil {
			return err
		}
		pb, _, err := e.storedPolicy(b)
		if err != nil {
			return err
		}
		lines = policy.Diff(pa, pb)
		return nil
	})
	return lines, err
}

// AllowClear implements api.Backend.
func (e *Engine) AllowClear(ctx context.Context, name string, d time.Duration) error {
	return e.onLoop(ctx, func() error {
		c := e.conns[name]
		switch {
		case c == nil:
			return &api.Error{Code: api.CodeNotFound, What: fmt.Sprintf("There is no connection called %q.", name)}
		case c.mode != api.Request:
			return &api.Error{Code: api.CodeNotAllowed, What: fmt.Sprintf("%q does not allow clear text.", name),
				Why: "Its profile is not \"request security\".", Next: "Disconnect it, or connect it with another profile."}
		case !c.wanted:
			return &api.Error{Code: api.CodeUsage, What: fmt.Sprintf("%q is not connected.", name), Next: "Nothing of it is held back. Connect it first."}
		case e.guard.shut[c.shutName()]:
			return &api.Error{Code: api.CodeNotAllowed, What: fmt.Sprintf("%q does not allow clear text.", name),
				Why: "Something else that is in force requires the same traffic to be protected.", Next: "Disconnect or unassign that first."}
		case d <= 0 || d > 24*time.Hour:
			return &api.Error{Code: api.CodeUsage, What: "The time must be between a moment and a day."}
		}
		c.allowClear = time.Now().Add(d)
		c.clear, c.clearUntil = false, time.Time{}
		e.guard.fallbacks++
		e.logf(api.LogWarn, "policy", name, "traffic may leave in CLEAR until %s, as %s decided", c.allowClear.Format(time.TimeOnly), cmp.Or(api.Caller(ctx), "the user"))
		e.enforce()
		view := e.view(c)
		e.journal.add(api.Event{Kind: api.EventFallback, Name: name, Connection: &view})
		e.changed(c)
		return nil
	})
}

// Memories implements api.Backend.
func (e *Engine) Memories(ctx context.Context) ([]api.Memory, error) {
	var out []api.Memory
	err := e.onLoop(ctx, func() error {
		out = slices.Clone(e.guard.memory.entries)
		return nil
	})
	return out, err
}

// Pin implements api.Backend.
func (e *Engine) Pin(ctx context.Context, m api.Memory) error {
	return e.onLoop(ctx, func() error {
		e.guard.look = true
		return e.guard.memory.pin(m)
	})
}

// Forget implements api.Backend.
func (e *Engine) Forget(ctx context.Context, m api.Memory) error {
	return e.onLoop(ctx, func() error {
		e.guard.look = true
		return e.guard.memory.forget(m)
	})
}
