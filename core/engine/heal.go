package engine

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"sallyport/core/api"
	"sallyport/core/explain"
	"sallyport/core/ike"
	"sallyport/core/profile"
)

// How often it is looked whether UDP works again while a tunnel is on TCP: soon,
// and then less and less often.
const (
	firstKnock = 3 * time.Second
	lastKnock  = 2 * time.Minute
)

// healing is the way back from TCP to UDP.
type healing struct {
	at  time.Time // of the next knock; zero: none
	gap time.Duration
	// back is the connection that a move to UDP has left, until the peer has followed
	// or trial is over.
	back  ike.Path
	trial time.Time
	was   transport
}

// mending is the connection that takes the place of a broken one (RFC 9329,
// section 6.1). It lasts until the IKE SA itself counts as dead.
type mending struct {
	session *session
	remote  netip.AddrPort
	port    profile.TCPPort
	at      time.Time // of the next try; zero: one is under way
	tries   int
	seeks   bool // there was none: UDP has fallen silent
	cancel  context.CancelFunc
}

// nextStep is when the connection's ways to its gateway want attention.
func (c *conn) nextStep() time.Time {
	var next time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if c.attempt != nil {
		earlier(c.attempt.nextRung())
	}
	if c.mending != nil {
		earlier(c.mending.at)
	}
	if c.current != nil {
		earlier(c.healing.at)
		earlier(c.healing.trial)
		earlier(c.current.bareUntil())
	}
	return next
}

// step does what is due on the ways to the gateway.
func (e *Engine) step(c *conn, now time.Time) {
	e.climb(c, now)
	if m := c.mending; m != nil && !m.at.IsZero() && !m.at.After(now) {
		e.mend(c, m)
	}
	if h := &c.healing; !h.trial.IsZero() && !h.trial.After(now) {
		e.judgeTrial(c, now)
	}
	e.showBare(c, now)
	if h := &c.healing; !h.at.IsZero() && !h.at.After(now) {
		e.knock(c, now)
	}
}

// lostStream follows a TCP connection that broke under an IKE SA that we began.
// The SA lives on through the next one, unless it has not been established: see
// lostRunner.
func (e *Engine) lostStream(s *session, k *carrier) {
	c := s.conn
	if c.current != s {
		if c.attempt != nil {
			e.lostRunner(c, c.attempt, s, k)
		}
		return
	}
	if c.mending != nil {
		return
	}
	e.logf(api.LogWarn, "net", c.name, "the TCP connection to %v broke; connecting again", k.path.Remote)
	c.mending = &mending{session: s, remote: k.path.Remote, port: k.port, cancel: func() {}}
	now := time.Now()
	e.perform(s.sa.CheckLiveness(now)) // from now on its patience runs
	if m := c.mending; m != nil {
		e.mend(c, m)
	}
	if c.healing.gap != 0 {
		c.healing = healing{at: now, gap: firstKnock} // perhaps that is why
	}
	e.changed(c)
}

// maxRedials bounds how often one IKE SA of an attempt goes on through another TCP
// connection.
const maxRedials = 2

// lostRunner follows a TCP connection that broke under an IKE SA of an attempt. A
// gateway that keeps no state yet may close it once it has asked for a cookie or
// another key exchange (RFC 9329, section 6): what it asked for goes through another
// one. Anything else that was under way is over.
func (e *Engine) lostRunner(c *conn, a *attempt, s *session, k *carrier) {
	over := func(why error) {
		e.abandon(s)
		e.runnerEnded(c, s, &explain.TransportError{Err: &ike.Failure{Code: ike.FailSilent, Err: why}})
	}
	if !s.sa.AsksAgain() || s.redials == maxRedials {
		over(errStreamClosed)
		return
	}
	s.redials++
	e.logf(api.LogInfo, "net", c.name, "%v has closed the TCP connection after its answer; connecting again", k.path.Remote)
	still := func() bool { return c.attempt == a && e.sas[s.sa] == s && s.sa.AsksAgain() }
	e.dial(a.ctx, k.path.Remote, k.port, tlsName(c.profile), still, func(next *carrier, err error) {
		if err != nil {
			over(err)
			return
		}
		e.perform(s.sa.Reroute(next.path, time.Now()))
	})
}

// roamTCP follows a change of network under a tunnel on TCP. A connection does not
// survive another address of ours: another one is made, while it is looked whether
// UDP works in this network (RFC 9329, section 7.1).
func (e *Engine) roamTCP(c *conn, s *session, now time.Time) {
	if c.healing.gap != 0 {
		c.healing.at, c.healing.gap = now, firstKnock
	}
	path := s.sa.Path()
	source, err := e.opt.Host.NetMonitor.Source(path.Remote.Addr())
	switch m := c.mending; {
	case m != nil && !m.at.IsZero():
		m.at = now
	case m != nil:
	case err == nil && source == path.Local.Addr() && !s.roam.moving:
		if now.Sub(s.roam.asked) >= askAgain {
			s.roam.asked = now
			e.perform(s.sa.CheckLiveness(now))
		}
	default:
		s.roam.moving, s.roam.since = true, now
		if k := e.streams.byPath[path]; k != nil {
			e.lostStream(s, k)
			e.drop(k)
		}
	}
}

// seekTCP connects over TCP when the peer of a session is silent on UDP, as in
// another network that lets no UDP out.
func (e *Engine) seekTCP(c *conn, s *session) {
	ports := c.profile.TCP()
	if len(ports) == 0 || c.mending != nil {
		return
	}
	port := ports[0]
	if known, ok := e.knownWay(c, time.Now()); ok {
		port = known
	}
	c.mending = &mending{session: s, remote: netip.AddrPortFrom(s.sa.Path().Remote.Addr(), port.Port), port: port, seeks: true, cancel: func() {}}
	e.mend(c, c.mending)
}

// mend connects again.
func (e *Engine) mend(c *conn, m *mending) {
	if c.current != m.session || e.net == nil {
		c.endMending()
		return
	}
	m.at = time.Time{}
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	e.dial(ctx, m.remote, m.port, tlsName(c.profile), func() bool { return c.mending == m }, func(k *carrier, err error) {
		cancel()
		now := time.Now()
		if err != nil {
			e.logf(api.LogInfo, "net", c.name, "%v over TCP%s: %v", m.remote, inTLS(m.port), err)
			if m.seeks && m.tries == 3 {
				c.endMending() // nobody said that there is one
				return
			}
			m.at = now.Add(min(firstRetryTCP<<min(m.tries, 4), lastRetryTCP))
			m.tries++
			return
		}
		s := m.session
		c.endMending()
		if c.current != s || s.sa.Path().TCP == m.seeks || m.seeks && !s.sa.Asking() {
			e.drop(k) // it found another way meanwhile
			return
		}
		e.logf(api.LogInfo, "net", c.name, "connected to %v over TCP%s", m.remote, inTLS(m.port))
		if m.seeks {
			c.healing.was = transport{TCP: m.port, Fallback: c.profile.Transport != profile.TransportTCP}
		}
		if s.sa.Mobile() {
			e.perform(s.sa.Move([]ike.Path{k.path}, now))
		} else {
			e.perform(s.sa.Reroute(k.path, now))
		}
		if m.seeks && c.current == s {
			e.tookWay(c, s)
		}
	})
}

// errStreamClosed says that a TCP connection ended before there was an IKE SA.
var errStreamClosed = errors.New("the gateway closed the TCP connection")

// Retries of a TCP connection that broke.
const (
	firstRetryTCP = 250 * time.Millisecond
	lastRetryTCP  = 4 * time.Second
)

func (c *conn) endMending() {
	if c.mending != nil {
		c.mending.cancel()
		c.mending = nil
	}
}

// tookWay notes how an IKE SA that carries the tunnel from now on reaches the
// gateway.
func (e *Engine) tookWay(c *conn, s *session) {
	now := time.Now()
	e.rememberWay(c, s.way, now)
	e.startHealing(c, s, now)
	if s.way.TCP.Port != 0 {
		e.logf(api.LogInfo, "net", c.name, "the tunnel goes through %s", s.way)
	}
}

// startHealing looks from time to time whether UDP works, where TCP was only what
// was left.
func (e *Engine) startHealing(c *conn, s *session, now time.Time) {
	c.healing = healing{}
	if s.way.Fallback && s.sa.Path().TCP {
		c.healing = healing{at: now.Add(firstKnock), gap: firstKnock}
	}
}

// knock asks the gateway by UDP, on the port that ESP takes, whether it is there.
// The question is the start of another IKE SA that says nothing about us; what
// answers is not believed, but makes the tunnel try.
func (e *Engine) knock(c *conn, now time.Time) {
	h := &c.healing
	s := c.current
	if s == nil || s.sa.Config() == nil {
		*h = healing{}
		return
	}
	h.gap = min(2*h.gap, lastKnock)
	h.at = now.Add(h.gap)
	for _, other := range e.knocks {
		if other == c {
			return
		}
	}
	path, err := e.udpPath(s)
	if err != nil {
		return
	}
	sa, effects := e.ep.Knock(s.sa.Config(), path, now)
	e.knocks[sa] = c
	e.perform(effects)
}

// udpPath is the path of a session by UDP.
func (e *Engine) udpPath(s *session) (ike.Path, error) {
	remote := netip.AddrPortFrom(s.sa.Path().Remote.Addr(), portNATT)
	local, err := e.localFor(remote)
	return ike.Path{Local: local, Remote: remote}, err
}

// udpTrial is how long the peer may take to follow to UDP.
const udpTrial = 2 * time.Second

// udpAnswers moves the tunnel to UDP, for a trial first.
func (e *Engine) udpAnswers(c *conn) {
	s := c.current
	if s == nil || !s.sa.Path().TCP || s.sa.State() != ike.StateUp {
		return
	}
	path, err := e.udpPath(s)
	if err != nil {
		return
	}
	e.logf(api.LogInfo, "net", c.name, "UDP is answered again: moving there from %s", s.way)
	now := time.Now()
	c.healing.back, c.healing.trial = s.sa.Path(), now.Add(udpTrial)
	e.perform(s.sa.Reroute(path, now))
}

// judgeTrial goes back to TCP when the peer has not followed to UDP, and does not
// try again: it is not one that moves.
func (e *Engine) judgeTrial(c *conn, now time.Time) {
	back := c.healing.back
	c.healing.trial = time.Time{}
	s := c.current
	if s == nil || s.sa.Path().TCP || !s.sa.Asking() {
		return
	}
	c.healing.at = time.Time{}
	if e.streams.byPath[back] == nil {
		return // there is no way back; liveness checks find out how this ends
	}
	e.logf(api.LogInfo, "net", c.name, "the gateway does not follow to UDP: staying on TCP")
	e.perform(s.sa.Reroute(back, now))
}

// wayChanged notes how a session reaches the gateway after it moved.
func (e *Engine) wayChanged(s *session, p ike.Path) {
	c := s.conn
	if c.responder() || s.est == nil || p.TCP == (s.way.TCP.Port != 0) {
		return
	}
	if !p.TCP {
		c.healing.was, c.healing.at = s.way, time.Time{}
		s.way = transport{}
		e.rememberWay(c, s.way, time.Now())
		c.endMending()
		return
	}
	s.way = c.healing.was // back again
}
