package engine

import (
	"net/netip"
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
func (e *Engine) initiate(c *conn, a *attempt, path ike.Path) (*ike.SA, []ike.Effect) {
	now := time.Now()
	if a.reauth && !a.doubt || a.anew || c.ticket == nil || !now.Before(c.ticket.Until()) {
		return e.ep.Initiate(c.cfg, path, now)
	}
	a.resuming = path.Remote
	return e.ep.Resume(c.cfg, c.ticket, path, now)
}

// resumed notes that the ticket has served.
func (c *conn) resumed(a *attempt) {
	a.resuming = netip.AddrPort{}
	c.ticket.Wipe()
	c.ticket = nil
}

// notResumed goes on from the beginning where a ticket did not serve, with the
// same address first: nothing failed that a user has to know of. It reports
// whether that is the case.
func (e *Engine) notResumed(c *conn, err error) bool {
	a := c.attempt
	if !a.resuming.IsValid() {
		return false
	}
	e.logf(api.LogInfo, "ike", c.name, "not resumed (%v); connecting from the beginning", err)
	a.addrs, a.anew = slices.Insert(a.addrs, 0, a.resuming), true
	if !tryElsewhere(err) { // somebody answered: it is worth nothing
		c.resumed(a)
	}
	a.resuming = netip.AddrPort{}
	e.tryNext(c, nil)
	return true
}

// resumeRather tries the ticket once more instead of asking the user: the
// gateway, which was silent to it before, is there after all. It reports whether
// it does.
func (e *Engine) resumeRather(c *conn, a *attempt) bool {
	s := a.session
	if !a.anew || a.again || a.reauth && !a.doubt || c.ticket == nil || !time.Now().Before(c.ticket.Until()) {
		return false
	}
	e.logf(api.LogInfo, "ike", c.name, "the gateway answers again; resuming rather than asking the user")
	a.anew, a.again, a.session = false, true, nil
	a.addrs = slices.Insert(a.addrs, 0, s.sa.Path().Remote)
	e.closeSession(s)
	e.tryNext(c, nil)
	return true
}

// beginAgain starts an attempt anew that nobody has answered yet: in another
// network, or in the same one now that it is back, what waits for the next
// retransmission waits for nothing, and the ticket may serve.
func (e *Engine) beginAgain(c *conn) {
	a := c.attempt
	if a != nil && !a.reauth && a.session != nil && a.session.sa.State() == ike.StateInitSent {
		e.startAttempt(c, false)
	}
}
