package ike

import (
	"slices"
	"time"
)

// A Child SA that was to stay may end without a successor: the peer deletes it, or
// its lifetime is over before a rekey came through. The end that began the IKE SA
// asks for it anew there (RFC 7296, section 1.3.1), so that nobody has to prove who
// they are once more:
//
//	INFORMATIONAL:   D(ESP)                →
//	                                       ←  D(ESP)
//	CREATE_CHILD_SA:                       ←  SA, Ni, [KEi], TSi, TSr
//	                 SA, Nr, [KEr], TSi, TSr →
//
// A peer that deletes what it has just made is asked at growing intervals.

// Waits before a Child SA is asked for anew: none for one that has lasted, and from
// firstReopen on for those that have not.
const (
	firstReopen = 250 * time.Millisecond
	maxReopen   = time.Minute
)

// A reopening is how a configured Child SA was asked for anew of late.
type reopening struct {
	at time.Time // of the last time
	n  int       // how often in a row what came of it did not last
}

// after returns how long to wait before the next time, and notes it.
func (r *reopening) after(now time.Time) time.Duration {
	if now.Sub(r.at) >= maxReopen {
		r.n = 0
	}
	var wait time.Duration
	if r.n > 0 {
		wait = min(firstReopen<<min(r.n-1, 8), maxReopen)
	}
	r.n++
	r.at = now.Add(wait)
	return wait
}

// loseChild forgets a Child SA that has ended though it was to stay, and asks for it
// anew where that is ours to do. That of a resource is not missed (RFC 9611).
func (sa *SA) loseChild(c *child, err error, now time.Time) {
	again := sa.cfg.Reopen && sa.line && !sa.fading && sa.state == StateUp && c.resource == 0
	if !sa.forgetChild(c, RemoveChild{Err: err, Reopens: again}) || !again || sa.requests(c.cfg) {
		return
	}
	if sa.reopenings == nil {
		sa.reopenings = make(map[*ChildConfig]*reopening)
	}
	r := sa.reopenings[c.cfg]
	if r == nil {
		r = &reopening{}
		sa.reopenings[c.cfg] = r
	}
	wait := r.after(now)
	sa.enqueue(&createTask{cfg: c.cfg, lost: c}, now.Add(wait))
	sa.log(Info, "%s: child %q is gone (%v); asking for it anew in %v", sa.name(), c.cfg.Name, err, wait)
}

// requests reports whether a Child SA of the configuration, for no resource, is being
// asked for, or waits for its turn.
func (sa *SA) requests(cfg *ChildConfig) bool {
	is := func(t task) bool {
		if f, ok := t.(*followTask); ok {
			t = f.base
		}
		c, ok := t.(*createTask)
		return ok && c.cfg == cfg && c.resource == 0
	}
	return sa.flight != nil && is(sa.flight.task) ||
		slices.ContainsFunc(sa.queue, func(q queued) bool { return is(q.task) })
}

// regained reports whether another Child SA of the same configuration carries all
// that a lost one did: a rekey that was under way has brought it, or the peer.
func (sa *SA) regained(lost *child) bool {
	return slices.ContainsFunc(sa.children, func(c *child) bool {
		return c.cfg == lost.cfg && c.resource == lost.resource && c.successor == nil && c.deletion == nil && !c.outdone() &&
			c.local.Covers(lost.local) && c.remote.Covers(lost.remote)
	})
}

// reopened takes a Child SA into use that was asked for anew. Where others of its
// traffic have stayed, those that the peer has deleted beside it are not opened again.
func (sa *SA) reopened(n *negotiated, now time.Time) {
	c := sa.install(n, true, nil, now)
	c.full = slices.ContainsFunc(sa.children, func(o *child) bool { return o.cfg == c.cfg && o.resource != 0 })
}
