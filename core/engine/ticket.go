package engine

import (
	"slices"
	"time"

	"sallyport/core/api"
	"sallyport/core/ike"
)

// keepTicket keeps what brings a tunnel back after a sleep or a break without a
// question to the user (RFC 5723): in memory, while the tunnel is wanted. One
// ticket at a time, the newest: it is of the keys that count now.
func (e *Engine) keepTicket(x ike.TicketIssued) {
	s := e.sas[x.SA]
	if s == nil || s.conn.responder() || !s.conn.wanted {
		x.Ticket.Wipe()
		return
	}
	s.conn.ticket.Wipe()
	s.conn.ticket = x.Ticket
}

// initiate begins an IKE SA with the gateway of an attempt: with the ticket, when
// there is one that may serve, and from the beginning otherwise. A
// reauthentication is no use with a ticket, which proves nothing.
func (e *Engine) initiate(c *conn, a *attempt, r rung, path ike.Path, now time.Time) {
	var sa *ike.SA
	var effects []ike.Effect
	resuming := (!a.reauth || a.doubt) && !a.anew && c.ticket != nil && now.Before(c.ticket.Until())
	if resuming {
		sa, effects = e.ep.Resume(c.cfg, c.ticket, path, now)
	} else {
		sa, effects = e.ep.Initiate(c.cfg, path, now)
	}
	s := e.newSession(c, sa)
	s.rung, s.resuming = r, resuming
	a.racing = append(a.racing, s)
	e.perform(effects)
}

// resumed notes that the ticket has served, or never will.
func (c *conn) resumed() {
	c.ticket.Wipe()
	c.ticket = nil
}

// notResumed goes on from the beginning where a ticket did not serve: nothing
// failed that a user has to know of. It reports whether that is the case. s has
// left the attempt.
func (e *Engine) notResumed(c *conn, s *session, err error) bool {
	a := c.attempt
	switch {
	case !s.resuming || a.anew && tryElsewhere(err):
		return false
	case !tryElsewhere(err): // somebody answered: it is worth nothing
		c.resumed()
		s.rung.due = time.Now()
		a.rungs = slices.Insert(a.rungs, 0, s.rung)
	case !a.idle() || len(a.rungs) > 0:
		return false // another way may still lead there
	}
	e.logf(api.LogInfo, "ike", c.name, "not resumed (%v); connecting from the beginning", err)
	a.anew = true
	if len(a.rungs) == 0 {
		e.startClimbing(c, a, a.addrs)
	} else {
		e.climb(c, time.Now())
	}
	return true
}

// resumeRather tries the ticket once more instead of asking the user: the
// gateway, which was silent to it before, is there after all. It reports whether
// it does.
func (e *Engine) resumeRather(c *conn, a *attempt) bool {
	s := a.session
	now := time.Now()
	if !a.anew || a.again || a.reauth && !a.doubt || c.ticket == nil || !now.Before(c.ticket.Until()) {
		return false
	}
	e.logf(api.LogInfo, "ike", c.name, "the gateway answers again; resuming rather than asking the user")
	a.anew, a.again, a.session = false, true, nil
	s.rung.due = now
	a.rungs = slices.Insert(a.rungs, 0, s.rung)
	e.closeSession(s)
	e.climb(c, now)
	return true
}

// beginAgain starts an attempt over after a change of the network: one that nobody
// has answered, or that began at an address which is not ours any more.
func (e *Engine) beginAgain(c *conn) {
	a := c.attempt
	if a == nil || !a.climbing {
		return
	}
	if s := a.session; s != nil {
		path := s.sa.Path()
		if source, err := e.opt.Host.NetMonitor.Source(path.Remote.Addr()); err != nil || source == path.Local.Addr() {
			return
		}
	} else if a.answered() {
		return
	}
	e.startAttempt(c, a.reauth)
	if b := c.attempt; b != nil {
		b.doubt = a.doubt
	}
}
