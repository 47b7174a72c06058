package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sallyport/core/api"
	"sallyport/core/explain"
	"sallyport/core/ike"
	"sallyport/core/profile"
)

// How the ways to a gateway are tried, each a while after the one before, without
// waiting for that one to fail (RFC 8305).
const (
	pace = 250 * time.Millisecond
	// tcpPatience is how long nobody has answered on UDP when TCP is tried too, and
	// udpPatience how long TCP has a lead where only TCP worked before.
	tcpPatience = 1200 * time.Millisecond
	udpPatience = 500 * time.Millisecond
	// authPatience is how long the first IKE_AUTH request has no answer, on another
	// port than IKE_SA_INIT and larger, when TCP is tried after all. On a narrow path
	// of which nobody tells, the request passes when it is repeated, and its answer
	// when it is repeated once more, for only then may routers cut them: that is
	// 2.8 s later, and TCP is no help there.
	authPatience = 3500 * time.Millisecond
)

// A rung is one way to the gateway.
type rung struct {
	due    time.Time
	remote netip.AddrPort
	tcp    profile.TCPPort // zero: UDP
}

func (r rung) isTCP() bool { return r.tcp.Port != 0 }

// ladder lists the ways to a gateway in the order in which they are tried:
// addresses of both families in turn, UDP before TCP, unless the profile or what
// worked here before says otherwise.
func (e *Engine) ladder(c *conn, addrs []netip.AddrPort, now time.Time) []rung {
	addrs = inTurn(addrs)
	var udp, tcp []rung
	for i, a := range addrs {
		udp = append(udp, rung{due: now.Add(time.Duration(i) * pace), remote: a})
	}
	for _, p := range c.profile.TCP() {
		for _, a := range addrs {
			tcp = append(tcp, rung{due: now.Add(time.Duration(len(tcp)) * pace), remote: netip.AddrPortFrom(a.Addr(), p.Port), tcp: p})
		}
	}
	later := func(list []rung, d time.Duration) {
		for i := range list {
			list[i].due = list[i].due.Add(d)
		}
	}
	switch known, ok := e.knownWay(c, now); {
	case c.profile.Transport == profile.TransportTCP:
		udp = nil
	case ok && slices.Contains(c.profile.TCP(), known):
		slices.SortStableFunc(tcp, func(a, b rung) int {
			if (a.tcp == known) == (b.tcp == known) {
				return 0
			} else if a.tcp == known {
				return -1
			}
			return 1
		})
		for i := range tcp {
			tcp[i].due = now.Add(time.Duration(i) * pace)
		}
		later(udp, udpPatience)
	default:
		later(tcp, tcpPatience)
	}
	all := append(udp, tcp...)
	slices.SortStableFunc(all, func(a, b rung) int { return a.due.Compare(b.due) })
	return all
}

// inTurn orders addresses so that the families take turns, beginning with that of
// the first (RFC 8305, section 4).
func inTurn(addrs []netip.AddrPort) []netip.AddrPort {
	var families [2][]netip.AddrPort
	for _, a := range addrs {
		i := 0
		if a.Addr().Is4() != addrs[0].Addr().Is4() {
			i = 1
		}
		families[i] = append(families[i], a)
	}
	var out []netip.AddrPort
	for i := range max(len(families[0]), len(families[1])) {
		for _, f := range families {
			if i < len(f) {
				out = append(out, f[i])
			}
		}
	}
	return out
}

// nextRung is when the attempt goes on by itself; zero: not before something
// happens.
func (a *attempt) nextRung() time.Time {
	if len(a.rungs) == 0 {
		return time.Time{}
	}
	return a.rungs[0].due
}

// idle reports whether nothing is under way.
func (a *attempt) idle() bool { return a.session == nil && len(a.racing) == 0 && a.dials == 0 }

// answered reports whether somebody has answered.
func (a *attempt) answered() bool {
	if a.session != nil && !a.session.sa.Silent() {
		return true
	}
	return slices.ContainsFunc(a.racing, func(s *session) bool { return !s.sa.Silent() })
}

// climb begins the ways whose time has come, and the next one when nothing else is
// under way. Where somebody answers on UDP, nobody is asked over TCP.
func (e *Engine) climb(c *conn, now time.Time) {
	a := c.attempt
	if a == nil || !a.climbing {
		return
	}
	for c.attempt == a && len(a.rungs) > 0 {
		r := a.rungs[0]
		if !a.idle() {
			if r.due.After(now) {
				return
			}
			if a.answered() {
				if a.session != nil {
					a.rungs = nil // it goes on there
					return
				}
				a.rungs[0].due = now.Add(pace) // perhaps a refusal; see how it ends
				return
			}
		}
		a.rungs = a.rungs[1:]
		if r.isTCP() {
			e.beginTCP(c, a, r)
		} else if err := e.beginUDP(c, a, r, now); err != nil {
			a.fail(err)
		}
	}
	if c.attempt == a && a.idle() {
		e.attemptFailed(c, a.problem(c))
	}
}

// fail notes why a way led nowhere. What tells more than silence stays.
func (a *attempt) fail(err error) {
	if a.last == nil || !tryElsewhere(err) || tryElsewhere(a.last) {
		a.last = err
	}
}

// problem is why no way led to the gateway.
func (a *attempt) problem(c *conn) error {
	switch {
	case a.tcp == nil, a.last != nil && !tryElsewhere(a.last):
		return a.last
	case c.profile.Transport != profile.TransportTCP && len(c.profile.TCPPorts) == 0 && a.last != nil:
		return a.last // nobody said that the gateway speaks TCP
	}
	return &explain.TransportError{UDP: c.profile.Transport != profile.TransportTCP, Err: a.tcp}
}

func (e *Engine) beginUDP(c *conn, a *attempt, r rung, now time.Time) error {
	local, err := e.localFor(r.remote)
	if err != nil {
		return err
	}
	e.initiate(c, a, r, ike.Path{Local: local, Remote: r.remote}, now)
	return nil
}

func (e *Engine) beginTCP(c *conn, a *attempt, r rung) {
	e.logf(api.LogInfo, "net", c.name, "trying %v over TCP%s", r.remote, inTLS(r.tcp))
	a.dials++
	e.dial(a.ctx, r.remote, r.tcp, tlsName(c.profile), func() bool { return c.attempt == a }, func(k *carrier, err error) {
		a.dials--
		switch {
		case err != nil:
			e.logf(api.LogInfo, "net", c.name, "%v over TCP%s: %v", r.remote, inTLS(r.tcp), err)
			a.tcp = err
		case a.answered():
			e.drop(k) // meanwhile
		default:
			e.initiate(c, a, r, k.path, time.Now())
		}
		e.climb(c, time.Now())
	})
}

func inTLS(p profile.TCPPort) string {
	if p.TLS {
		return " within TLS"
	}
	return ""
}

// tlsName returns the server name to ask for within TLS: that of the profile, or
// of the only gateway when that has a name.
func tlsName(c *profile.Connection) string {
	if c.TLSName != "" || len(c.Gateways) != 1 {
		return c.TLSName
	}
	name, _, err := profile.SplitGateway(c.Gateways[0])
	if _, bad := netip.ParseAddr(name); err != nil || bad == nil {
		return ""
	}
	return name
}

// won makes an IKE SA that was answered the attempt's, and ends the others before
// any of them proves who we are. It reports false for one that comes too late,
// which is ended instead.
func (e *Engine) won(sa *ike.SA) bool {
	s := e.sas[sa]
	if s == nil || s.conn.attempt == nil {
		return true // none of an attempt
	}
	a := s.conn.attempt
	i := slices.Index(a.racing, s)
	if i < 0 {
		return true
	}
	a.racing = slices.Delete(a.racing, i, i+1)
	if old := a.session; old != nil && !old.sa.Silent() {
		e.abandon(s)
		return false
	} else if old != nil {
		e.abandon(old)
	}
	for _, other := range a.racing {
		e.abandon(other)
	}
	a.session, a.racing = s, nil
	if k := e.streams.byPath[sa.Path()]; k != nil {
		s.way = transport{TCP: k.port, Fallback: s.conn.profile.Transport != profile.TransportTCP}
	}
	// What is left are other ways, for when IKE_AUTH is not answered. Those over
	// UDP would be the same.
	now := time.Now()
	a.rungs = slices.DeleteFunc(a.rungs, func(r rung) bool { return !r.isTCP() || sa.Path().TCP })
	for i := range a.rungs {
		a.rungs[i].due = now.Add(authPatience + time.Duration(i)*pace)
	}
	return true
}

// abandon ends an IKE SA of a race without a word.
func (e *Engine) abandon(s *session) {
	delete(e.sas, s.sa)
	path := s.sa.Path()
	e.perform(s.sa.Abandon(time.Now()))
	if k := e.streams.byPath[path]; k != nil {
		e.drop(k)
	}
}

// runnerEnded follows the end of an IKE SA of an attempt. It reports false for
// one that was none.
func (e *Engine) runnerEnded(c *conn, s *session, err error) bool {
	a := c.attempt
	if a == nil {
		return false
	}
	i := slices.Index(a.racing, s)
	switch {
	case a.session == s:
		a.session = nil
	case i >= 0:
		a.racing = slices.Delete(a.racing, i, i+1)
	default:
		return false
	}
	if k := e.streams.byPath[s.sa.Path()]; k != nil {
		e.drop(k)
	}
	if e.redirected(c, s, err) || e.notResumed(c, s, err) {
		return true
	}
	a.fail(err)
	if !tryElsewhere(err) {
		a.rungs = nil // who refuses here refuses elsewhere
		if i < 0 {
			a.climbing = false
			if !e.askCertificate(c, a, err) && !e.askServer(c, a, err) {
				e.attemptFailed(c, err)
			}
			return true
		}
	}
	e.climb(c, time.Now())
	return true
}

// A transport says how a session reaches the gateway.
type transport struct {
	TCP profile.TCPPort // zero: UDP
	// Fallback says that nobody answered on UDP.
	Fallback bool
}

// shown is the transport as front ends see it.
func (t transport) shown(broken bool) *api.Transport {
	out := &api.Transport{TCP: t.TCP.Port, TLS: t.TCP.TLS}
	switch {
	case out.TCP == 0:
		return out
	case t.Fallback:
		out.Why = api.TransportUDPSilent
	default:
		out.Why = api.TransportWanted
	}
	out.Broken = broken
	return out
}

func (t transport) String() string {
	switch {
	case t.TCP.Port == 0:
		return "UDP"
	case t.TCP.TLS:
		return fmt.Sprintf("TCP %d within TLS", t.TCP.Port)
	}
	return fmt.Sprintf("TCP %d", t.TCP.Port)
}
