package engine

import (
	"context"
	"time"

	"sallyport/core/api"
)

// nap is the shortest sleep of the machine that is worth asking peers for.
const nap = 2 * time.Second

// sleep returns how long the machine has slept so far.
func (e *Engine) sleep() time.Duration {
	if e.opt.Host.Slept == nil {
		return 0
	}
	return e.opt.Host.Slept()
}

// watchSleep notices that the machine has slept: timers stood still, and peers
// may have given us up. Each is asked at once.
func (e *Engine) watchSleep() {
	total := e.sleep()
	d := total - e.slept
	if d > -nap && d < nap {
		return
	}
	e.slept = total
	if d < 0 {
		return // only the time of day was set back
	}
	now := time.Now()
	e.logf(api.LogInfo, "net", "", "the machine has slept for %v", d.Round(time.Second))
	if e.ep != nil {
		e.perform(e.ep.Slept(d, now))
	}
	for _, c := range e.sortedConns() {
		if s := c.current; s != nil && c.machine != nil {
			s.roam.moving, s.roam.since, s.roam.doubt = true, now, true
		}
	}
	e.handleNetworkChange()
}

// doubt begins a new IKE SA beside one that is silent after a sleep, or a long
// time without a network, so that the user does not wait until it is known to be
// dead; where that takes no question to the user.
func (e *Engine) doubt(c *conn, s *session, now time.Time) {
	if !s.roam.doubt || c.attempt != nil || !e.asksNobody(c, now) {
		return
	}
	s.roam.doubt = false
	e.logf(api.LogInfo, "ike", c.name, "no answer yet; connecting anew beside it")
	c.attempt = &attempt{reauth: true, doubt: true}
	c.attempt.ctx, c.attempt.cancel = context.WithCancel(context.Background())
	e.negotiate(c, c.attempt)
}

// asksNobody reports whether c can be connected without the user: with a ticket,
// or with what is stored or still held.
func (e *Engine) asksNobody(c *conn, now time.Time) bool {
	l := &c.profile.Local
	switch {
	case c.held != nil:
		return true
	case l.Ask, l.OnToken():
		return false
	}
	return !l.UsesEAP() || l.Secret != "" || c.ticket != nil && now.Before(c.ticket.Until())
}

// dispelled ends the doubt: the peer of the IKE SA has answered.
func (e *Engine) dispelled(c *conn, s *session) {
	s.roam.doubt = false
	a := c.attempt
	if a == nil || !a.doubt {
		return
	}
	e.endAttempt(c)
	if a.session != nil {
		e.closeSession(a.session)
	}
}
