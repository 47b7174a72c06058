package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sallyport/core/api"
	"sallyport/core/explain"
	"sallyport/core/host"
	"sallyport/core/ike"
)

// A roam is what a change of network does to a session.
type roam struct {
	moving bool      // the peer has not answered since
	doubt  bool      // it was silent for so long that the peer may have forgotten us
	since  time.Time // of the change, or of the wake-up
	asked  time.Time // when the peer was last asked for a sign of life
}

// askAgain is the least time between two liveness checks for changes of the
// network that leave the session's path as it is.
const askAgain = 5 * time.Second

// forgets is for how long without a network a peer may be trusted to know us.
const forgets = 30 * time.Second

// maxRemotes bounds the addresses of a peer that are tried.
const maxRemotes = 8

// handleNetworkChange looks which tunnels must go on from another address, wait
// for a way, or ask whether their peer is still there.
func (e *Engine) handleNetworkChange() {
	now := time.Now()
	if e.guard.assigned != nil {
		e.guard.stale = true // what is local, and which connection types there are, may differ
	}
	e.guard.look = true // so may the network that the downgrade memory knows
	e.tellAddresses(now)
	for _, c := range e.sortedConns() {
		if c.machine == nil {
			continue
		}
		c.noted = time.Time{} // it may work in another network now
		c.machine.RetryNow(now)
		e.beginAgain(c)
		if s := c.current; s != nil {
			e.roam(c, s, now)
		}
	}
}

// roam decides what a change of network means for the session that carries a
// tunnel.
func (e *Engine) roam(c *conn, s *session, now time.Time) {
	if s.sa.Path().TCP {
		e.roamTCP(c, s, now)
		return
	}
	path, paths, stranded := s.sa.Path(), e.pathsFor(c, s), s.sa.Info().Stranded
	switch {
	case len(paths) == 0:
		if !stranded {
			s.roam.since = now
			e.logf(api.LogInfo, "net", c.name, "there is no way to %v any more; waiting for one", path.Remote.Addr())
		}
		s.roam.moving = true
		e.perform(s.sa.Move(nil, now))
		_, err := e.opt.Host.NetMonitor.Source(path.Remote.Addr())
		e.stall(c, now, &explain.RouteError{Remote: path.Remote.Addr().String(), Err: err})
	case paths[0] == path && !s.roam.moving:
		// The same address may belong to another network, behind another NAT.
		e.perform(s.sa.Move(paths, now))
		if now.Sub(s.roam.asked) >= askAgain {
			s.roam.asked = now
			e.perform(s.sa.CheckLiveness(now))
		}
	case paths[0] == path && !stranded:
		e.perform(s.sa.Move(paths, now))
		e.perform(s.sa.Hurry(now))
	default:
		e.logf(api.LogInfo, "net", c.name, "the network has changed: going on from %v to %v", paths[0].Local.Addr(), paths[0].Remote.Addr())
		again := paths[0] != path && !s.sa.Mobile()
		if stranded && now.Sub(s.roam.since) > forgets {
			s.roam.doubt = true
		}
		s.roam.moving, s.roam.since = true, now
		e.perform(s.sa.Move(paths, now))
		if c.holds {
			e.wishHost() // what is on the link differs
		}
		if again && c.current == s && c.attempt == nil {
			e.startAttempt(c, true) // the peer cannot be told
		}
	}
}

// reconcile lets a session that has just begun to carry a tunnel follow what has
// become of the network since its handshake began.
func (e *Engine) reconcile(c *conn, s *session) {
	if path := s.sa.Path(); c.current == s && !path.TCP {
		if source, err := e.opt.Host.NetMonitor.Source(path.Remote.Addr()); err != nil || source != path.Local.Addr() {
			e.roam(c, s, time.Now())
		}
	}
}

// pathsFor returns the paths over which a session may go on, the best first: to
// the address of the peer that it speaks with, then to the peer's others.
func (e *Engine) pathsFor(c *conn, s *session) []ike.Path {
	path := s.sa.Path()
	remotes := []netip.Addr{path.Remote.Addr()}
	add := func(list []netip.Addr) {
		for _, a := range list {
			if !slices.Contains(remotes, a) && len(remotes) < maxRemotes {
				remotes = append(remotes, a)
			}
		}
	}
	if s.sa.Mobile() {
		if !s.elsewhere {
			add(gatewayAddresses(e, c))
		}
		others := s.sa.PeerAddresses()
		slices.SortStableFunc(others, func(a, b netip.Addr) int { return private(a) - private(b) })
		add(others)
	}
	var out []ike.Path
	for _, a := range remotes {
		source, err := e.opt.Host.NetMonitor.Source(a)
		if err != nil {
			continue
		}
		if local, err := e.net.local(source, true); err == nil {
			out = append(out, ike.Path{Local: local, Remote: netip.AddrPortFrom(a, path.Remote.Port()), TCP: path.TCP})
		}
	}
	return out
}

// private orders addresses of private networks, which are seldom the one that we
// are in, last.
func private(a netip.Addr) int {
	if a.IsPrivate() {
		return 1
	}
	return 0
}

// gatewayAddresses are those that the profile names, or that its names had last.
func gatewayAddresses(e *Engine, c *conn) []netip.Addr {
	list, ok := literal(c.profile.Gateways)
	if !ok {
		list = e.lastAddresses(c.profile.Gateways)
	}
	var out []netip.Addr
	for _, a := range list {
		out = append(out, a.Addr().Unmap())
	}
	return out
}

// stall shows that a tunnel that stands has no way to its gateway.
func (e *Engine) stall(c *conn, now time.Time, why error) {
	c.machine.Waits(now, why)
	if c.machine.Waiting() {
		c.problem = e.explain(c, why)
	}
	e.changed(c)
}

// moved follows a peer that has answered after a change of network.
func (e *Engine) moved(x ike.Moved) {
	s := e.sas[x.SA]
	if s == nil {
		return
	}
	c := s.conn
	if x.Behind && c.current == s && c.attempt == nil {
		e.startAttempt(c, true) // as without MOBIKE
	}
	if !s.roam.moving {
		return
	}
	now := time.Now()
	s.roam.moving = false
	e.dispelled(c, s)
	e.logf(api.LogInfo, "net", c.name, "the peer answers over %v, %v after the change", x.Path, now.Sub(s.roam.since).Round(time.Millisecond))
	if c.current != s {
		return
	}
	if c.machine.Waiting() && s.carries() {
		c.problem = nil
		c.machine.Back(now)
	}
	e.changed(c)
}

// pathSilent looks for other ways to a peer that does not answer.
func (e *Engine) pathSilent(x ike.PathSilent) {
	s := e.sas[x.SA]
	if s == nil || s.conn.current != s || s.sa != x.SA {
		return
	}
	now := time.Now()
	if s.sa.Path().TCP {
		return // TCP repeats what is lost, and tells when it ends
	}
	if paths := e.pathsFor(s.conn, s); len(paths) > 0 {
		e.perform(s.sa.Move(paths, now))
	}
	e.seekTCP(s.conn, s)
	if s.roam.moving {
		e.doubt(s.conn, s, now)
		e.stall(s.conn, now, &ike.Failure{Code: ike.FailPeerDead, Err: fmt.Errorf("%v does not answer since the network has changed", s.sa.Path().Remote.Addr())})
	}
}

// tellAddresses tells peers that came to us at which other addresses we are.
func (e *Engine) tellAddresses(now time.Time) {
	l, ok := e.opt.Host.NetMonitor.(host.InterfaceLister)
	if e.ep == nil || !ok || !slices.ContainsFunc(e.sortedConns(), func(c *conn) bool { return c.listening }) {
		return
	}
	interfaces, err := l.Interfaces()
	if err != nil {
		e.logf(api.LogDebug, "net", "", "%v", err)
		return
	}
	var list []netip.Addr
	for _, i := range interfaces {
		if i.Loopback || i.Name == e.deviceName() {
			continue
		}
		for _, p := range i.Prefixes {
			if p.Addr().IsGlobalUnicast() {
				list = append(list, p.Addr())
			}
		}
	}
	e.perform(e.ep.SetAddresses(list, now))
}
