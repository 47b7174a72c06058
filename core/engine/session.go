package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sallyport/core/api"
	"sallyport/core/datapath"
	"sallyport/core/esp"
	"sallyport/core/ike"
	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/profile"
	"sallyport/core/sad"
	"sallyport/core/ts"
)

// pollInterval is how often the loop looks at what the data path carried, to
// spare liveness checks and keepalives on busy SAs.
const pollInterval = 5 * time.Second

// A session is one line of IKE SAs with one peer, across rekeys.
type session struct {
	conn   *conn
	sa     *ike.SA // the newest
	est    *ike.Established
	since  time.Time
	kids   map[uint32]*childSA // by inbound SPI
	rekeys int
	roam   roam
	depth  depth
	// bare is since when it has no Child SA, because of bareFor, and asks for one; zero
	// when it has, or when that is shown.
	bare    time.Time
	bareFor error
	spoken  bool // the peer has sent something on a Child SA
	way     transport
	redials int // TCP connections that took the place of one that was closed amid the first exchange
	// How it began, as one of an attempt's ways, and whether with a ticket.
	rung     rung
	resuming bool
	// elsewhere says that the peer is a gateway that another sent us to.
	elsewhere bool
}

// A childSA is an installed pair of ESP SAs.
type childSA struct {
	session *session
	sa      ike.ChildSA // without its keys
	group   uint32
	since   time.Time
	retired bool // receives only, until its grace is over
	waits   bool // sends when the peer has, or when the pair that still does is gone: see follows
	rests   bool // does not send: a later IKE SA of the same peer does
	seen    sad.Counters
}

// A protects is the traffic that the SA of a group protects.
type protects struct{ local, remote ts.List }

// A grace is the time until a retired pair stops receiving.
type grace struct {
	until time.Time
	inSPI uint32
}

// deliverIKE and deliverEvent bring news from the data path's goroutines to
// the loop. They never block.
func (e *Engine) deliverIKE(d datapath.Datagram) {
	if message.FromStranger(d.Data) {
		if !e.strangers.add(d) {
			e.strangersFull.Add(1)
		}
		return
	}
	select {
	case e.ikeIn <- d:
	default: // the peer retransmits
		e.ikeFull.Add(1)
	}
}

func (e *Engine) deliverEvent(ev datapath.Event) {
	select {
	case e.events <- ev:
	default: // what matters is reported again, or seen by pollTraffic
		e.eventFull.Add(1)
	}
}

func (e *Engine) newSession(c *conn, sa *ike.SA) *session {
	s := &session{conn: c, sa: sa, since: time.Now(), kids: make(map[uint32]*childSA)}
	e.sas[sa] = s
	return s
}

// sessions returns every session once.
func (e *Engine) sessions() []*session {
	var out []*session
	for sa, s := range e.sas {
		if s.sa == sa {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *session) int {
		if d := a.since.Compare(b.since); d != 0 {
			return d
		}
		return strings.Compare(a.conn.name, b.conn.name)
	})
	return out
}

// handleIKE gives a datagram to the IKE engine.
func (e *Engine) handleIKE(d datapath.Datagram) {
	if e.ep == nil {
		return // it was on its way when the sockets closed
	}
	local := d.Local
	if !local.Addr().IsValid() {
		local, _ = e.localFor(d.Remote)
	}
	e.perform(e.ep.HandleDatagram(ike.Datagram{Data: d.Data, Local: local, Remote: d.Remote, NATT: d.NATT, TCP: d.TCP}, time.Now()))
}

// perform carries out what the IKE engine wants, in its order.
func (e *Engine) perform(effects []ike.Effect) {
	answering := false
	var late *ike.SA // was answered when another one had been
	for _, x := range effects {
		if e.probed(x) {
			continue
		}
		switch x := x.(type) {
		case *ike.Trace:
			e.trace(x)
		case ike.Send:
			if late != nil && x.SA == late {
				continue
			}
			if answering {
				e.afterHost(func() { e.sendIKE(x) })
			} else {
				e.sendIKE(x)
			}
		case ike.Established:
			e.established(x)
		case ike.InstallChild:
			// The peer hears that the SA is up when our answers to what it
			// sends through it have a way back that is not the clear one.
			if e.installChild(x) {
				answering = true
				e.enforce()
			}
		case ike.TicketIssued:
			e.keepTicket(x)
		case ike.ActivateChild:
			k := e.kids.bySPI[x.InSPI]
			switch {
			case k == nil:
			case e.superseded(k.session, k.group):
				k.rests = !k.waits
			default:
				k.waits = false
				e.activateChild(x.InSPI)
			}
		case ike.RemoveChild:
			e.removeChild(x)
		case ike.ChildFailed:
			e.logf(api.LogWarn, "ike", e.nameOf(x.SA), "child %q: %v", x.Name, x.Err)
			e.childFailed(x)
		case ike.Replaced:
			s := e.sas[x.Old]
			if s != nil {
				s.sa = x.New
				s.rekeys++
				e.sas[x.New] = s
			}
		case ike.Ask:
			e.askUser(x)
		case ike.Sign:
			e.sign(x)
		case ike.RelayEAP:
			e.relay(x)
		case ike.CheckRevocation:
			e.checkRevocation(x)
		case ike.Answered:
			if c := e.knocks[x.SA]; c != nil {
				e.udpAnswers(c)
			} else if !e.won(x.SA) {
				late = x.SA
			}
		case ike.PathChanged:
			e.pathChanged(x)
		case ike.Moved:
			e.moved(x)
		case ike.Redirected:
			e.redirectedUp(x)
		case ike.Sounded:
			e.sounded(x)
		case ike.PathSilent:
			e.pathSilent(x)
		case ike.Reauthenticate:
			e.reauthenticate(x)
		case ike.Closed:
			e.closed(x)
		case ike.Log:
			e.logf(logLevel(x.Level), "ike", e.nameOf(x.SA), "%s", x.Text)
		}
	}
}

func (e *Engine) sendIKE(x ike.Send) {
	if e.net == nil {
		return // closed since
	}
	send := e.net.send
	if x.Path.TCP {
		send = e.sendStream
	}
	if err := send(x); err != nil {
		e.logf(api.LogDebug, "ike", e.nameOf(x.SA), "%v", err)
	}
}

func logLevel(l ike.Level) api.LogLevel {
	switch l {
	case ike.Info:
		return api.LogInfo
	case ike.Warn:
		return api.LogWarn
	}
	return api.LogDebug
}

func (e *Engine) nameOf(sa *ike.SA) string {
	if s := e.sas[sa]; s != nil {
		return s.conn.name
	}
	if p := e.probes[sa]; p != nil {
		return p.name
	}
	return ""
}

// established notes who the peer is. The peers of a responder appear here for
// the first time.
func (e *Engine) established(x ike.Established) {
	s := e.sas[x.SA]
	if s == nil {
		c := e.conns[x.SA.Info().Name]
		if c == nil || !c.listening {
			e.perform(x.SA.Close(time.Now()))
			return
		}
		s = e.newSession(c, x.SA)
		e.exchanges.claim(c.name, fmt.Sprintf("%016x", x.SA.Info().RemoteSPI)) // it was a stranger's so far
	}
	s.est = &x
	if s.conn.responder() {
		e.knowPeer(s)
	}
	how := x.PeerAuth
	if x.Resumed {
		how = "resumed, " + how + " before"
	}
	e.logf(api.LogInfo, "ike", s.conn.name, "IKE SA established with %v (%s)", x.PeerID, how)
	if a := s.conn.attempt; a != nil && a.session == s {
		if x.Resumed {
			s.conn.resumed()
		}
	}
	if w := weakAuth(s.est); w != "" {
		e.logf(api.LogWarn, "ike", s.conn.name, "%s", w)
	}
	if a := s.conn.attempt; a != nil && a.session == s && x.Childless {
		return // ChildFailed tells why
	}
	e.peerChanged(s.conn)
}

// weakAuth warns of signatures over SHA-1: what a peer without RFC 7427 speaks,
// or what a profile names.
func weakAuth(x *ike.Established) string {
	for _, name := range []string{x.LocalAuth, x.PeerAuth} {
		name, _, _ = strings.Cut(name, ike.ThenEAP)
		if s, err := auth.ParseScheme(name); err == nil && s.Weak() {
			return fmt.Sprintf("The two ends proved who they are with a weak signature (%s); the gateway should learn signature authentication (RFC 7427).", name)
		}
	}
	return ""
}

// groupFor returns the group of a new Child SA: that of the one it replaces, or
// the child's own across reconnections; each peer of a responder has its own.
func (e *Engine) groupFor(s *session, x ike.InstallChild) uint32 {
	if old := e.kids.bySPI[x.Replaces]; old != nil {
		return old.group
	}
	if g := s.conn.groups[x.Child.Name]; g != 0 && !s.conn.responder() {
		return g
	}
	e.group++
	if !s.conn.responder() {
		s.conn.groups[x.Child.Name] = e.group
	}
	return e.group
}

// installChild puts a new Child SA in force. It reports whether the peer of a
// responder has to wait until the host has followed.
func (e *Engine) installChild(x ike.InstallChild) bool {
	s := e.sas[x.SA]
	if s == nil {
		e.perform(e.ep.CloseChild(x.Child.InSPI, time.Now()))
		return false
	}
	c := s.conn
	k := &childSA{session: s, sa: x.Child, since: time.Now()}
	beside := s.beside(x)
	if beside != nil {
		k.group, k.waits = beside.group, beside.waits
	} else if before := e.follows(s, x); before != nil {
		k.group, k.waits = before.group, true
	} else {
		k.group = e.groupFor(s, x)
	}
	var soft sad.Limits
	if p := childProfile(c, x.Child.Name); p != nil {
		soft = sad.Limits{Bytes: e.spread(p.RekeyBytes), Packets: e.spread(p.RekeyPackets)}
	}
	k.rests = !k.waits && e.superseded(s, k.group)
	active := x.Child.OutboundNow && !k.waits && !k.rests
	err := e.net.dp.Install(sad.Params{
		Group: k.group, InSPI: k.sa.InSPI, OutSPI: k.sa.OutSPI, Resource: k.sa.Resource,
		Suite: k.sa.Suite,
		KeyIn: splitKey(&x.Child, x.Child.KeyIn), KeyOut: splitKey(&x.Child, x.Child.KeyOut),
		Local: k.sa.Local, Remote: k.sa.Remote,
		Path: e.pathFor(s, x.Child.Path),
		Soft: soft, Active: active,
	})
	clear(x.Child.KeyIn)
	clear(x.Child.KeyOut)
	k.sa.KeyIn, k.sa.KeyOut = nil, nil
	if err != nil {
		e.logf(api.LogError, "esp", c.name, "cannot install the Child SA: %v", err)
		e.perform(e.ep.CloseChild(x.Child.InSPI, time.Now()))
		return false
	}
	e.addKid(k)
	if active {
		e.supersede(k)
	}
	follow := beside == nil && e.protect(c, k.group, protects{k.sa.Local, k.sa.Remote})
	e.logf(api.LogInfo, "esp", c.name, "Child SA %s %08x/%08x, %v === %v, %v", k.title(), k.sa.InSPI, k.sa.OutSPI, k.sa.Local, k.sa.Remote, k.sa.Suite)
	e.fathomUsed(s)
	if c.responder() {
		if follow {
			e.wishHost()
		}
		e.peerChanged(c)
		return follow && x.Replaces == 0
	}
	if x.Replaces == 0 && beside == nil {
		e.negotiated(c, s)
	}
	return false
}

// spread takes a random part of up to a tenth off a limit, as lifetimes in time have
// it: two ends with the same limit would else rekey at the same moment each time.
func (e *Engine) spread(limit uint64) uint64 {
	var b [8]byte
	if _, err := io.ReadFull(e.opt.Rand, b[:]); err != nil || limit < 10 {
		return limit
	}
	return limit - binary.BigEndian.Uint64(b[:])%(limit/10)
}

// splitKey cuts keying material into the cipher's and the integrity key.
func splitKey(c *ike.ChildSA, key []byte) esp.Keys {
	n := c.Suite.EncrKeyLen()
	if n > len(key) {
		n = len(key)
	}
	return esp.Keys{Encr: key[:n], Integ: key[n:]}
}

func (e *Engine) sadPath(p ike.Path) sad.Path {
	return sad.Path{Socket: e.socketOf(p), Local: p.Local.Addr(), Remote: p.Remote}
}

// negotiated follows the first Child SA of an attempt, and each further one.
func (e *Engine) negotiated(c *conn, s *session) {
	if a := c.attempt; a != nil && a.session == s {
		e.endAttempt(c)
		s.elsewhere = a.gateways != nil
		c.wrong = 0
		e.rememberChoice(c)
		old := c.current
		c.current = s
		e.tookWay(c, s)
		if old != nil && old != s {
			e.retireSession(old)
		}
	}
	if c.current == s && s.est != nil {
		// The device comes with the first SA, so that a failed attempt leaves
		// no trace on the machine.
		if err := e.openNetwork(true); err != nil {
			c.current = nil
			c.problem = e.explain(c, err)
			e.logf(api.LogError, "net", c.name, "%s", c.problem.Error())
			e.closeSession(s)
			e.act(c, c.machine.Failed(time.Now(), err, true))
			return
		}
		c.problem = nil
		c.addrs, c.dns, c.domains = s.est.Addresses, s.est.DNS, s.est.Domains
		e.act(c, c.machine.Negotiated(time.Now()))
		e.reconcile(c, s)
	}
}

func (e *Engine) activateChild(inSPI uint32) {
	if err := e.net.dp.Activate(inSPI); err != nil {
		e.logf(api.LogDebug, "esp", "", "activate %08x: %v", inSPI, err)
		return
	}
	if k := e.kids.bySPI[inSPI]; k != nil {
		k.rests = false
		e.supersede(k)
	}
}

// removeChild retires a Child SA: it stops sending at once, and receives what
// is still on the way.
func (e *Engine) removeChild(x ike.RemoveChild) {
	k := e.kids.bySPI[x.InSPI]
	if k == nil || k.retired {
		return
	}
	k.retired = true
	if x.Grace > 0 {
		if err := e.net.dp.Retire(x.InSPI); err == nil {
			e.graces = append(e.graces, grace{time.Now().Add(x.Grace), x.InSPI})
		}
	} else {
		e.dropChild(k)
	}
	s, c := k.session, k.session.conn
	e.relieve(k.group)
	if !e.uses(k.group) {
		if c.responder() {
			if e.unprotect(c, k.group) {
				e.guard.look = true
				e.wishHost()
			}
		} else if c.current == s && !s.carries() {
			switch {
			case x.Reopens:
				s.bare, s.bareFor = time.Now(), x.Err
			case x.Err != nil:
				e.useless(s, x.Err)
			}
		}
	}
	e.peerChanged(c)
}

// useless ends the session that carries a tunnel when the peer has ended what it is
// for, and gives it no more of it; a new IKE SA asks again.
func (e *Engine) useless(s *session, err error) {
	c := s.conn
	c.current = nil
	c.problem = e.explain(c, err)
	e.logf(api.LogWarn, "ike", c.name, "%s", c.problem.Error())
	e.closeSession(s)
	if c.attempt == nil {
		e.act(c, c.machine.Failed(time.Now(), err, false))
	} else {
		c.attempt.reauth = false // it is all we have now
	}
}

// bareTime is for how long a tunnel may be without a Child SA, while another is asked
// for, before that is shown: where the gateway gives it at once nobody needs to know.
const bareTime = time.Second

// bareUntil is when it is to be shown that the session carries nothing; zero: it
// carries, or that is shown already.
func (s *session) bareUntil() time.Time {
	if s.bare.IsZero() {
		return time.Time{}
	}
	return s.bare.Add(bareTime)
}

// showBare shows that a tunnel waits for its next Child SA.
func (e *Engine) showBare(c *conn, now time.Time) {
	s := c.current
	if s == nil || s.bare.IsZero() || s.bareUntil().After(now) {
		return
	}
	s.bare = time.Time{}
	if !s.carries() {
		e.logf(api.LogWarn, "esp", c.name, "the tunnel waits for another Child SA of the gateway")
		e.stall(c, now, s.bareFor)
	}
}

// uses reports whether a Child SA sends for the group.
func (e *Engine) uses(group uint32) bool {
	return slices.ContainsFunc(e.kids.byGroup[group], func(k *childSA) bool { return !k.retired })
}

// carries reports whether the session has a Child SA that sends.
func (s *session) carries() bool {
	for _, k := range s.kids {
		if !k.retired {
			return true
		}
	}
	return false
}

// dropChild removes a pair from the data path.
func (e *Engine) dropChild(k *childSA) {
	if counters, err := e.net.dp.Remove(k.sa.InSPI); err == nil {
		addCounters(&k.session.conn.carried, counters)
		e.guard.carried[k.session.conn.ruleName()] += counters.InBytes + counters.OutBytes
	}
	e.removeKid(k)
}

// endGraces removes the retired pairs whose time is over.
func (e *Engine) endGraces(now time.Time) {
	e.graces = slices.DeleteFunc(e.graces, func(g grace) bool {
		if g.until.After(now) {
			return false
		}
		if k := e.kids.bySPI[g.inSPI]; k != nil {
			e.dropChild(k)
		}
		return true
	})
}

// childFailed ends an attempt that brought an IKE SA and nothing to carry, and a
// session that has lost what it carried and does not get it again.
func (e *Engine) childFailed(x ike.ChildFailed) {
	s := e.sas[x.SA]
	if s == nil {
		return
	}
	e.changed(s.conn) // who waits for every child waits for this one no more
	if s.carries() {
		return
	}
	if a := s.conn.attempt; a != nil && a.session == s {
		a.session = nil
		e.closeSession(s)
		e.attemptFailed(s.conn, x.Err)
	} else if x.Lost && s.conn.current == s {
		e.useless(s, x.Err)
	}
}

func (e *Engine) pathChanged(x ike.PathChanged) {
	s := e.sas[x.SA]
	if s == nil {
		return
	}
	for _, k := range s.kids {
		k.sa.Path = x.Path
		if err := e.net.dp.SetPath(k.sa.InSPI, e.pathFor(s, x.Path)); err != nil {
			e.logf(api.LogWarn, "esp", s.conn.name, "new path %v: %v", x.Path, err)
		}
	}
	if len(s.kids) > 0 {
		e.fathomUsed(s)
	}
	e.wayChanged(s, x.Path)
	e.peerChanged(s.conn)
}

// reauthenticate starts a new IKE SA beside the old one, which closes when the
// new one carries traffic.
func (e *Engine) reauthenticate(x ike.Reauthenticate) {
	s := e.sas[x.SA]
	if s == nil || s.conn.responder() || s.conn.current != s || s.conn.attempt != nil {
		return
	}
	e.logf(api.LogInfo, "ike", s.conn.name, "reauthenticating before %s", x.By.Format(time.TimeOnly))
	e.startAttempt(s.conn, true)
}

// closeSession ends a session and tells the peer.
func (e *Engine) closeSession(s *session) {
	e.perform(s.sa.Close(time.Now()))
}

// closed follows the end of an IKE SA.
func (e *Engine) closed(x ike.Closed) {
	s := e.sas[x.SA]
	delete(e.sas, x.SA)
	delete(e.knocks, x.SA)
	if r := e.relays[x.SA]; r != nil {
		delete(e.relays, x.SA)
		r.end()
	}
	e.stopCheck(x.SA)
	if s == nil || s.sa != x.SA {
		return // rekeyed: the session lives on
	}
	e.forgetSession(s)
	for _, k := range slices.Collect(maps.Values(s.kids)) {
		e.removeChild(ike.RemoveChild{SA: x.SA, InSPI: k.sa.InSPI})
	}
	c := s.conn
	switch {
	case c.responder():
		if x.Err != nil {
			e.logf(api.LogInfo, "ike", c.name, "IKE SA closed: %v", x.Err)
		}
	case e.runnerEnded(c, s, x.Err):
	case c.current == s:
		c.current = nil
		err := x.Err
		if err == nil {
			err = &ike.Failure{Code: ike.FailExpired}
		}
		c.problem = e.explain(c, err)
		e.logf(api.LogWarn, "ike", c.name, "%s", c.problem.Error())
		if c.attempt == nil {
			e.act(c, c.machine.Failed(time.Now(), err, false))
		} else {
			c.attempt.reauth = false // it is all we have now
		}
	}
	e.peerChanged(c)
	e.settle()
}

// tryElsewhere reports whether another address of the gateway may do better.
// What may have been a wrong password is not tried there too.
func tryElsewhere(err error) bool {
	var f *ike.Failure
	return errors.As(err, &f) && f.Code == ike.FailSilent && !silentToUser(err)
}

// silentToUser reports whether the gateway has let the user down without a word.
func silentToUser(err error) bool {
	_, ok := errors.AsType[*ike.SilentToUser](err)
	return ok
}

// handleDatapathEvent gives the IKE engine the news that concern it.
func (e *Engine) handleDatapathEvent(ev datapath.Event) {
	if e.ep == nil {
		return
	}
	now := time.Now()
	switch ev.Kind {
	case datapath.FirstInbound:
		if k := e.kids.bySPI[ev.InSPI]; k != nil {
			if k.waits {
				k.waits = false
				e.activateChild(ev.InSPI)
			}
			e.spoke(k.session)
		}
		e.perform(e.ep.NoteInbound(ev.InSPI, now))
	case datapath.PeerMoved:
		e.perform(e.ep.PeerMoved(ev.InSPI, e.pathOf(ev), now))
	case datapath.SoftLifetime:
		switch k := e.kids.bySPI[ev.InSPI]; {
		case k == nil || k.retired:
		case k.session.conn.masterPFS && !k.session.conn.responder():
			e.reauthenticate(ike.Reauthenticate{SA: k.session.sa, By: now})
		default:
			e.perform(e.ep.RekeyChild(ev.InSPI, now))
		}
	case datapath.HardLifetime:
		e.logf(api.LogWarn, "esp", "", "Child SA %08x has reached the end of its lifetime", ev.InSPI)
		e.perform(e.ep.ExpireChild(ev.InSPI, now))
	case datapath.Lost:
		if !e.listens() {
			break // a gateway says so when it was started again; others begin anew by themselves
		}
		path := e.pathOf(ev)
		switch {
		case path.Local.IsValid():
		case ev.Local.IsValid():
			path.Local = netip.AddrPortFrom(ev.Local, e.net.nattPort())
		default:
			path.Local, _ = e.localFor(ev.Remote)
		}
		e.perform(e.ep.NoteLost(ev.InSPI, path, now))
	case datapath.PathMTU:
		e.claimed(ev.InSPI, ev.MTU)
	case datapath.Acquire:
		e.acquire(ev)
	case datapath.StreamEnded:
		for range len(e.ikeIn) { // what came through it before it ended
			e.handleIKE(<-e.ikeIn)
		}
		e.streamEnded(ev.Socket)
	}
}

// pollTraffic tells the IKE engine which SAs are alive by their traffic.
func (e *Engine) pollTraffic() {
	if e.ep == nil {
		return
	}
	now := time.Now()
	for _, k := range e.kids.bySPI {
		counters, err := e.net.dp.Counters(k.sa.InSPI)
		if err != nil {
			continue
		}
		if counters.OutPackets != k.seen.OutPackets || counters.InPackets != k.seen.InPackets {
			k.session.conn.lastUsed = now
		}
		if counters.OutPackets != k.seen.OutPackets {
			e.ep.NoteOutbound(k.sa.InSPI, now)
		}
		if counters.InPackets != k.seen.InPackets {
			e.spoke(k.session)
			e.perform(e.ep.NoteInbound(k.sa.InSPI, now))
		}
		k.seen = counters
	}
	e.watchDepths(now)
}

func addCounters(to *api.Counters, c sad.Counters) {
	to.InPackets += c.InPackets
	to.InBytes += c.InBytes
	to.OutPackets += c.OutPackets
	to.OutBytes += c.OutBytes
}

// childProfile returns what the profile says of a child.
func childProfile(c *conn, name string) *profile.Child {
	for i := range c.profile.Children {
		if c.profile.Children[i].Name == name {
			return &c.profile.Children[i]
		}
	}
	return nil
}
