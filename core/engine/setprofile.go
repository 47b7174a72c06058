package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/core/api"
	"sallyport/core/explain"
	"sallyport/core/profile"
)

// SetProfile implements api.Backend.
func (e *Engine) SetProfile(ctx context.Context, name string, p api.Profile) error {
	if strictness(p) == 0 {
		return &api.Error{Code: api.CodeUsage, What: fmt.Sprintf("%q is not a profile.", p), Next: "Use respond, request or require."}
	}
	return e.onLoop(ctx, func() error {
		e.reload()
		c := e.conns[name]
		if c == nil {
			return explain.Explain(fmt.Errorf("%w: %s", profile.ErrNotFound, name), explain.Context{Connection: name})
		}
		return e.setProfile(c, p)
	})
}

// strictness orders the profiles; 0 is none of them.
func strictness(p api.Profile) int {
	switch p {
	case api.Respond:
		return 1
	case api.Request:
		return 2
	case api.Require:
		return 3
	}
	return 0
}

// setProfile stores another profile and puts it in force where c is in use. A
// stricter one is in force before it is stored, a laxer one after: whatever
// fails or crashes between leaves the stricter of the two.
func (e *Engine) setProfile(c *conn, p api.Profile) error {
	state, _ := c.state()
	switch {
	case e.stopping:
		return errStopping
	case c.rule != "" || c.byPolicy:
		return &api.Error{Code: api.CodeNotAllowed, What: fmt.Sprintf("%q connects as the assigned policy says.", c.name),
			Next: "Change the policy, or unassign it: sallyport policy unassign"}
	case c.profile == nil:
		return nilIfNone(c.problem)
	case c.responder():
		return &api.Error{Code: api.CodeUsage, What: fmt.Sprintf("%q waits for peers, and has no profile.", c.name),
			Why: "The profiles are for connections to a gateway."}
	case state == api.Disconnecting:
		return &api.Error{Code: api.CodeBusy, What: fmt.Sprintf("%q is being disconnected.", c.name), Next: "Try again in a moment."}
	}
	before := c.mode
	raise := c.wanted && strictness(p) > strictness(before)
	if raise {
		if err := e.changeMode(c, p); err != nil {
			return err
		}
	}
	if err := e.storeProfile(c, p); err != nil {
		if raise {
			if back := e.changeMode(c, before); back != nil {
				e.logf(api.LogError, "policy", c.name, "the profile stays %s: %v", p, back)
			}
		}
		return err
	}
	switch {
	case raise:
	case c.wanted:
		if err := e.changeMode(c, p); err != nil {
			return err
		}
		if state == api.Blocked && p != api.Require {
			// It waits for the user, who has just spoken.
			actions, _ := c.machine.Connect(time.Now())
			e.act(c, actions)
		}
	default:
		c.mode = p
		c.machine.SetProfile(p)
		e.guard.stale = e.guard.stale || names(e.guard.assigned, c)
	}
	e.changed(c)
	return nil
}

// storeProfile writes the profile into the connection's file, unless it stands
// there already.
func (e *Engine) storeProfile(c *conn, p api.Profile) error {
	if c.profile.Profile == string(p) {
		return nil
	}
	stored, text, err := e.store.SetProfile(c.profile, c.text, string(p))
	if err != nil {
		return notStored(c, "The profile", err)
	}
	c.profile, c.text, c.warnings = stored, text, profile.Warnings(stored)
	e.logf(api.LogInfo, "config", c.name, "the profile is stored as %s", p)
	return nil
}

// notStored says that a change of a connection's file could not be stored.
func notStored(c *conn, what string, err error) *api.Error {
	if errors.Is(err, profile.ErrChanged) {
		return &api.Error{Code: api.CodeBusy, What: fmt.Sprintf("%s of %q could not be stored.", what, c.name),
			Why: "Its file has been changed by hand while the connection is in use.", Next: fmt.Sprintf("Disconnect it first: sallyport disconnect %s", c.name)}
	}
	return explain.Explain(err, explain.Context{Connection: c.name})
}
