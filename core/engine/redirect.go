package engine

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"sallyport/core/api"
	"sallyport/core/ike"
	"sallyport/core/ike/message"
)

// Redirections that are followed within a time (RFC 5685, section 11): gateways
// that send us to each other do not keep us busy for ever.
const (
	maxSent    = 5
	sentPeriod = 300 * time.Second
)

// mayRedirect reports whether a gateway may send us elsewhere once more.
func (c *conn) mayRedirect(now time.Time) bool {
	c.redirects = slices.DeleteFunc(c.redirects, func(t time.Time) bool { return now.Sub(t) >= sentPeriod })
	return len(c.redirects) < maxSent
}

// redirected goes on with the gateway to which one of an attempt's sends us; with
// the profile's again when nobody is there. It proves the same identity as the
// one before. It reports whether that is the case.
func (e *Engine) redirected(c *conn, s *session, err error) bool {
	var to *ike.Redirect
	a := c.attempt
	if !errors.As(err, &to) || !c.mayRedirect(time.Now()) || a.session != nil { // that goes on: whom it speaks with knows the keys
		return false
	}
	a.cancel()
	e.withdraw(a)
	for _, other := range a.racing {
		e.abandon(other)
	}
	next := &attempt{reauth: a.reauth, doubt: a.doubt, asked: a.asked, card: a.card}
	e.sendElsewhere(c, next, s.sa.Path().Remote.Addr(), to.Gateway)
	return true
}

// redirectedUp connects with the gateway to which that of an established session
// sends us, beside it.
func (e *Engine) redirectedUp(x ike.Redirected) {
	s := e.sas[x.SA]
	if s == nil || s.conn.responder() || s.conn.current != s || s.conn.attempt != nil || !s.conn.mayRedirect(time.Now()) {
		return
	}
	e.sendElsewhere(s.conn, &attempt{reauth: true}, x.SA.Path().Remote.Addr(), x.Gateway)
}

// sendElsewhere begins an attempt with the gateway to which another sends us. A
// ticket is of the one that gave it.
func (e *Engine) sendElsewhere(c *conn, a *attempt, from netip.Addr, gateway string) {
	e.logf(api.LogInfo, "ike", c.name, "%v sends us to %s", from, gateway)
	c.redirects = append(c.redirects, time.Now())
	if addr, err := netip.ParseAddr(gateway); err == nil && addr.Is6() {
		gateway = "[" + gateway + "]"
	}
	a.anew, a.from = true, message.Redirect{Addr: from}
	a.gateways = append([]string{gateway}, c.profile.Gateways...)
	a.ctx, a.cancel = context.WithCancel(context.Background())
	c.attempt = a
	e.negotiate(c, a)
}
