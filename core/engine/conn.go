package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sallyport/core/api"
	"sallyport/core/eap"
	"sallyport/core/explain"
	"sallyport/core/ike"
	"sallyport/core/ike/message"
	"sallyport/core/policy"
	"sallyport/core/profile"
	"sallyport/core/tunnel"
)

// resolveTimeout bounds the look-up of a gateway's names.
const resolveTimeout = 10 * time.Second

// profileSuffix ends the name of each profile file.
const profileSuffix = ".toml"

// maxAddresses bounds how many addresses of a gateway are tried.
const maxAddresses = 8

// A conn is a stored connection and its tunnel.
type conn struct {
	name     string
	text     []byte              // of the profile file
	profile  *profile.Connection // nil when the file is invalid
	warnings []string
	problem  *api.Error

	mode    api.Profile     // of the running tunnel
	machine *tunnel.Machine // nil for a responder
	// wanted says that the user or the assigned policy wants the tunnel, in
	// whatever state it is; byPolicy that the policy does.
	wanted, byPolicy bool

	// Set when a rule of the assigned policy made the connection; peer is valid
	// for one that traffic to a host started.
	rule        string
	peer        netip.Addr
	negotiation *policy.Negotiation
	masterPFS   bool // a new IKE SA for each Child SA
	lastUsed    time.Time
	leaving     bool // goes when it is at rest

	// Fallback, under request: traffic waits until holdUntil, then leaves in
	// clear until clearUntil. allowClear is the user's leave to do so although
	// it was protected here before.
	holdUntil, clearUntil, allowClear time.Time
	clear, failed                     bool
	noted                             time.Time // when the downgrade memory heard that it works here

	// What the user gave for a connection that asks, and how often in a row it
	// was wrong.
	held  *held
	wrong int
	// ticket resumes the tunnel when it is lost; nil: the gateway gives none.
	ticket *ike.Ticket
	// redirects are when gateways sent us elsewhere, of late.
	redirects []time.Time

	// Set while the tunnel is wanted.
	cfg      *ike.Config // a responder's, or the attempt's
	attempt  *attempt
	current  *session            // carries the tunnel
	groups   map[string]uint32   // of each child by name, across IKE SAs
	policies map[uint32]protects // of each group, across losses
	lending  *lending            // of a listening responder with pools
	kids     map[*childSA]struct{}
	holds    bool         // the host is to hold what follows
	addrs    []netip.Addr // virtual addresses
	dns      []netip.Addr
	domains  []string
	awaits   uint64   // the wish that the machine waits for
	mending  *mending // the TCP connection of current, when it broke
	healing  healing

	staples map[string]*staple // the state of our own certificates, by certificate

	listening bool         // responder
	since     time.Time    // of listening, or its end
	carried   api.Counters // by Child SAs that are gone
	waiters   []waiter
	published *api.Connection // what the last event said
	publishAt time.Time       // not before; see publish
	shown     api.Protection  // when followAll last looked
}

// A waiter is a call that returns when the tunnel is up, or at rest.
type waiter struct {
	up   bool
	done chan error // capacity 1
}

// An attempt tries the addresses of the gateway, one after the other.
type attempt struct {
	ctx     context.Context // of the name look-up, and of TCP connections that are made
	cancel  context.CancelFunc
	session *session // was answered, and goes on
	reauth  bool     // beside a session that still works
	doubt   bool     // or may not
	anew    bool     // the ticket did not serve
	again   bool     // and was tried once more
	asked   int      // questions to the user
	card    *card    // whose PIN is asked for

	addrs    []netip.AddrPort
	climbing bool // the addresses are known, and tried
	rungs    []rung
	racing   []*session // IKE SAs that nobody has answered yet
	dials    int        // TCP connections that are made
	last     error      // why a way led nowhere
	tcp      error      // why no TCP connection was made

	// gateways are tried in place of the profile's: where one of those sent us.
	gateways []string
	from     message.Redirect // who did
}

func (c *conn) responder() bool { return c.profile != nil && c.profile.IsResponder() }

// state returns what to show.
func (c *conn) state() (api.TunnelState, time.Time) {
	switch {
	case c.machine != nil:
		return c.machine.State()
	case c.listening:
		return api.Listening, c.since
	}
	return api.Disconnected, c.since
}

// sortedConns returns the connections by name.
func (e *Engine) sortedConns() []*conn {
	return slices.SortedFunc(maps.Values(e.conns), func(a, b *conn) int { return cmp.Compare(a.name, b.name) })
}

// connect starts the tunnel of an initiator, or lets a responder listen.
func (e *Engine) connect(c *conn, mode api.Profile) error {
	switch {
	case e.stopping:
		return errStopping
	case c.profile == nil:
		return nilIfNone(c.problem)
	case c.responder():
		if !c.listening {
			e.startListening(c)
		}
		if c.problem != nil && !c.listening {
			return c.problem
		}
		return nil
	case c.byPolicy && mode != "" && mode != modeOf(c.negotiation):
		return &api.Error{Code: api.CodeNotAllowed, What: fmt.Sprintf("%q connects as the assigned policy says.", c.name),
			Why: fmt.Sprintf("The policy asks for the profile %q.", modeOf(c.negotiation)), Next: "Leave --profile out, or assign another policy."}
	case c.byPolicy:
		mode = modeOf(c.negotiation)
	}
	state, _ := c.machine.State()
	switch state {
	case api.Disconnecting:
		return &api.Error{Code: api.CodeBusy, What: fmt.Sprintf("%q is being disconnected.", c.name), Next: "Try again in a moment."}
	case api.Disconnected, api.Blocked:
		mode = cmp.Or(mode, c.profile.PolicyProfile())
	default:
		return e.changeMode(c, cmp.Or(mode, c.mode))
	}
	now := time.Now()
	before := *c
	if state == api.Disconnected {
		c.machine = tunnel.New(mode, now)
	}
	c.machine.SetProfile(mode)
	c.mode, c.wanted, c.problem, c.carried = mode, true, nil, api.Counters{}
	c.policies = make(map[uint32]protects)
	if c.groups == nil {
		c.groups = make(map[string]uint32)
	}
	c.addrs, c.dns, c.domains = nil, nil, nil
	c.clear, c.failed, c.noted, c.holdUntil = false, false, time.Time{}, now.Add(holdTime)
	// The firewall comes before anything else. Who was protected before stays
	// so, and tries again (startAttempt).
	if err := e.enforceWish(c); err != nil && !before.wanted {
		*c = before
		e.guard.stale = true
		c.problem = err
		e.changed(c)
		return err
	}
	e.remember(c)
	actions, _ := c.machine.Connect(now)
	e.act(c, actions)
	return nil
}

// changeMode gives a tunnel that is up, or on its way, another profile.
func (e *Engine) changeMode(c *conn, mode api.Profile) error {
	if mode == c.mode && c.wanted {
		return nil
	}
	before := *c
	c.mode, c.wanted = mode, true
	c.machine.SetProfile(mode)
	if err := e.enforceWish(c); err != nil {
		*c = before
		c.machine.SetProfile(c.mode)
		e.guard.stale = true
		e.changed(c)
		return err
	}
	e.logf(api.LogInfo, "policy", c.name, "the profile is %s from now on", mode)
	e.remember(c)
	e.changed(c)
	return nil
}

// enforceWish puts in force that c is wanted. It fails when its rules
// contradict what is in force, or when the firewall that it requires cannot
// be set.
func (e *Engine) enforceWish(c *conn) *api.Error {
	e.heard()
	e.guard.stale = e.guard.stale || c.ruling()
	err := e.enforce()
	switch {
	case err == nil:
	case e.guard.stale:
		return e.besideError(c, err)
	case c.mode == api.Require:
		return e.explain(c, e.guardError(err))
	}
	return nil
}

// disconnect ends the tunnel, or the listening and every peer's session.
func (e *Engine) disconnect(c *conn) {
	if !e.stopping {
		c.wanted = false
		e.heard()
		e.guard.stale = e.guard.stale || c.ruling()
		e.remember(c)
		e.changed(c)
		if c.rule == "" {
			_ = e.enforce() // it says itself what fails
		}
		c.leaving = c.leaving || c.peer.IsValid() // a packet starts anew
	}
	c.release()
	if c.machine != nil {
		e.act(c, c.machine.Disconnect(time.Now()))
		return
	}
	if c.listening {
		e.stopListening(c)
	}
}

// heard ends that the wishes from before the start could not be read: what is
// wanted now the user says.
func (e *Engine) heard() {
	if e.guard.unread == nil {
		return
	}
	e.guard.unread = nil
	if err := e.guard.wishes.save(e.opt.Host.State); err != nil {
		e.logf(api.LogError, "service", "", "cannot write down what is connected: %v", err)
	}
}

// remember writes down that a stored connection is wanted, or no longer.
func (e *Engine) remember(c *conn) {
	if c.rule != "" || c.byPolicy || c.responder() {
		return
	}
	w := &e.guard.wishes
	before := maps.Clone(w.Connections)
	if c.wanted && c.mode != api.Respond {
		if w.Connections == nil {
			w.Connections = make(map[string]api.Profile)
		}
		w.Connections[c.name] = c.mode
	} else {
		delete(w.Connections, c.name)
	}
	if maps.Equal(before, w.Connections) {
		return
	}
	if err := w.save(e.opt.Host.State); err != nil {
		e.logf(api.LogError, "service", c.name, "cannot write down what is connected: %v", err)
	}
}

// disconnectAll ends every tunnel because the service stops. What the user
// wants, and the firewall that goes with it, stays.
func (e *Engine) disconnectAll() {
	for _, c := range e.sortedConns() {
		e.disconnect(c)
	}
	e.stopProbes()
	if e.trapping() {
		e.wishHost() // traffic need not be watched any more
	}
}

// act performs what a tunnel machine asks for.
func (e *Engine) act(c *conn, actions []tunnel.Action) {
	for _, a := range actions {
		switch a {
		case tunnel.StartAttempt:
			e.startAttempt(c, false)
		case tunnel.StopIKE:
			e.stopIKE(c)
		case tunnel.ApplyHost:
			c.holds = true
			c.awaits = e.wishHost()
		case tunnel.UndoHost:
			c.holds = false
			c.awaits = e.wishHost()
		}
	}
	if state, _ := c.state(); state == api.Disconnected {
		if len(c.policies) > 0 {
			clear(c.policies)
			e.setPolicy()
		}
		if c.wanted && c.mode == api.Respond && !c.byPolicy {
			c.wanted, e.guard.stale = false, true // it failed, and nothing tries again
			c.release()
		}
	}
	e.changed(c)
	e.settle()
}

// startAttempt begins to connect: with what only the user knows, where the
// connection does not store it, then with the gateway.
func (e *Engine) startAttempt(c *conn, reauth bool) {
	if a := c.attempt; a != nil { // a reauthentication beside what is lost now
		e.endAttempt(c)
		if a.session != nil {
			e.closeSession(a.session)
		}
	}
	c.attempt = &attempt{reauth: reauth}
	c.attempt.ctx, c.attempt.cancel = context.WithCancel(context.Background())
	if c.profile.Local.OnToken() {
		e.askToken(c, c.attempt)
		return
	}
	if c.profile.Local.Ask && (c.held == nil || c.held.psk == nil && c.held.key == nil) {
		e.askCredential(c, c.attempt)
		return
	}
	e.negotiate(c, c.attempt)
}

// negotiate begins, or begins again, to negotiate with the gateway.
func (e *Engine) negotiate(c *conn, a *attempt) {
	cfg, err := e.configFor(c.profile, nil, c.held)
	if err != nil {
		e.attemptFailed(c, err)
		return
	}
	c.secure(cfg)
	e.bring(c, cfg)
	askForSame(cfg, c.addrs)
	cfg.Local.AskWhich = !a.reauth
	if c.mode == api.Require {
		if err := e.enforce(); err != nil {
			wipe(cfg)
			e.attemptFailed(c, e.guardError(err))
			return
		}
	}
	if err := e.openNetwork(false); err != nil {
		wipe(cfg)
		e.attemptFailed(c, err)
		return
	}
	wipe(c.cfg)
	c.cfg = cfg
	gateways := slices.Clone(c.profile.Gateways)
	if a.gateways != nil {
		gateways = a.gateways
	}
	cfg.Redirects, cfg.RedirectedFrom = c.mayRedirect(time.Now()), a.from
	e.logf(api.LogInfo, "ike", c.name, "connecting to %s", gateways)
	if addrs, ok := literal(gateways); ok {
		e.startClimbing(c, a, addrs)
		return
	}
	ctx, cancel := context.WithTimeout(a.ctx, resolveTimeout)
	go func() {
		defer cancel()
		addrs, err := resolve(ctx, e.opt.Resolve, gateways)
		e.post(func() { e.resolved(c, a, addrs, err) })
	}()
}

// literal returns the addresses of gateways that need no look-up.
func literal(gateways []string) ([]netip.AddrPort, bool) {
	var out []netip.AddrPort
	for _, g := range gateways {
		name, port, err := profile.SplitGateway(g)
		if err != nil {
			return nil, false
		}
		addr, err := netip.ParseAddr(name)
		if err != nil {
			return nil, false
		}
		out = append(out, netip.AddrPortFrom(addr, cmp.Or(port, portIKE)))
	}
	return out, true
}

// resolve returns every address of the gateways, in their order.
func resolve(ctx context.Context, lookup func(context.Context, string) ([]netip.Addr, error), gateways []string) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	var errs []error
	for _, g := range gateways {
		name, port, err := profile.SplitGateway(g)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		addrs := []netip.Addr{}
		if a, err := netip.ParseAddr(name); err == nil {
			addrs = append(addrs, a)
		} else if addrs, err = lookup(ctx, name); err != nil {
			errs = append(errs, err)
		}
		for _, a := range addrs {
			if ap := netip.AddrPortFrom(a.Unmap(), cmp.Or(port, portIKE)); !slices.Contains(out, ap) && len(out) < maxAddresses {
				out = append(out, ap)
			}
		}
	}
	if len(out) == 0 {
		return nil, &explain.ResolveError{Err: errors.Join(errs...)}
	}
	return out, nil
}

// resolved goes on with the addresses of the gateway.
func (e *Engine) resolved(c *conn, a *attempt, addrs []netip.AddrPort, err error) {
	if c.attempt != a {
		return // given up meanwhile
	}
	if err != nil {
		if addrs = e.lastAddresses(c.profile.Gateways); len(addrs) == 0 {
			e.attemptFailed(c, err)
			return
		}
		e.logf(api.LogWarn, "net", c.name, "%v; trying the addresses that the name had last: %v", err, addrs)
	} else if a.gateways == nil {
		e.rememberAddresses(c.profile.Gateways, addrs)
	}
	e.startClimbing(c, a, addrs)
}

// startClimbing tries the addresses of the gateway.
func (e *Engine) startClimbing(c *conn, a *attempt, addrs []netip.AddrPort) {
	now := time.Now()
	a.addrs, a.climbing, a.last, a.tcp = addrs, true, nil, nil
	a.rungs = e.ladder(c, addrs, now)
	e.climb(c, now)
}

// localFor returns the local address and port for IKE with remote.
func (e *Engine) localFor(remote netip.AddrPort) (netip.AddrPort, error) {
	source, err := e.opt.Host.NetMonitor.Source(remote.Addr())
	if err != nil {
		return netip.AddrPort{}, &explain.RouteError{Remote: remote.Addr().String(), Err: err}
	}
	local, err := e.net.local(source, remote.Port() != portIKE)
	if err != nil {
		return netip.AddrPort{}, &explain.RouteError{Remote: remote.Addr().String(), Err: err}
	}
	return local, nil
}

// attemptFailed ends the attempt, and tells the machine.
func (e *Engine) attemptFailed(c *conn, err error) {
	reauth := c.attempt != nil && c.attempt.reauth
	e.endAttempt(c)
	c.problem = e.explain(c, err)
	c.refusedCredential(c.problem.Code)
	if silentToUser(err) {
		c.release() // it may have been wrong: the next connect asks
	}
	e.guard.failures[string(c.problem.Code)]++
	e.logf(api.LogWarn, "ike", c.name, "%s", c.problem.Error())
	c.failed = true
	if reauth {
		return // the old session goes on until its end
	}
	e.act(c, c.machine.Failed(time.Now(), err, !worthRetrying(c.problem.Code) || brokeOff(err)))
}

// endAttempt ends the attempt, if there is one: its look-up, its questions, and
// the secrets that it proved itself with.
func (e *Engine) endAttempt(c *conn) {
	a := c.attempt
	if a == nil {
		return
	}
	a.cancel()
	e.withdraw(a)
	if a.card != nil {
		a.card.session.Close()
		a.card = nil
	}
	if c.held != nil && c.held.token != nil {
		c.held.token.forgetPIN()
	}
	c.attempt = nil
	for _, s := range a.racing {
		e.abandon(s)
	}
	wipe(c.cfg)
	c.cfg = nil
}

// worthRetrying reports whether the same attempt may succeed later without the
// user. Trying refused credentials again would lock accounts.
func worthRetrying(code api.ErrorCode) bool {
	switch code {
	case api.CodeGatewaySilent, api.CodeNoTransport, api.CodePeerDead, api.CodePeerClosed, api.CodeNoNetwork, api.CodeResolve, api.CodeNetworkSetup, api.CodeFirewall,
		api.CodeNoProposal, api.CodeTSUnacceptable, api.CodeNoAddress, api.CodePeerRefused, api.CodeProtocol:
		return true
	}
	return false
}

// brokeOff reports whether an attempt ended in the midst of EAP because of what
// the gateway sent: the password may have counted as a wrong one.
func brokeOff(err error) bool {
	return errors.Is(err, eap.ErrProtocol) || errors.Is(err, eap.ErrMalformed)
}

// stopIKE ends the attempt and the session, and tells the peer.
func (e *Engine) stopIKE(c *conn) {
	if a := c.attempt; a != nil {
		e.endAttempt(c)
		if a.session != nil {
			e.closeSession(a.session)
		}
	}
	if s := c.current; s != nil {
		c.current = nil
		e.closeSession(s)
	}
	for _, s := range e.sessions() {
		if s.conn == c {
			e.closeSession(s) // one whose place another has taken
		}
	}
}

// reload reads the profile files again: people write them by hand too.
func (e *Engine) reload() {
	files, err := e.opt.Host.Profiles.List()
	if err != nil {
		e.logf(api.LogError, "config", "", "cannot list the connection profiles: %v", err)
		return
	}
	var names []string
	for _, f := range files {
		if name, ok := strings.CutSuffix(f, profileSuffix); ok {
			names = append(names, name)
		}
	}
	for name, c := range e.conns {
		if state, _ := c.state(); c.rule == "" && !c.wanted && !slices.Contains(names, name) && state == api.Disconnected {
			delete(e.conns, name)
			delete(e.dirty, c)
			e.exchanges.forget(name)
			e.journal.add(api.Event{Kind: api.EventRemoved, Name: name})
		}
	}
	for _, name := range names {
		e.reloadConn(name)
	}
}

// reloadConn reads the profile of one connection. A running tunnel keeps what
// it was started with.
func (e *Engine) reloadConn(name string) {
	c := e.conns[name]
	if c != nil {
		if state, _ := c.state(); state != api.Disconnected || c.wanted && c.profile != nil {
			return
		}
	}
	text, err := e.opt.Host.Profiles.Read(name + profileSuffix)
	if c != nil && err == nil && slices.Equal(text, c.text) {
		return
	}
	if c == nil {
		c = &conn{name: name, since: time.Now()}
		e.conns[name] = c
	}
	c.text, c.profile, c.machine, c.problem, c.warnings, c.wrong = text, nil, nil, nil, nil, 0
	var p *profile.Connection
	if err == nil {
		p, err = e.store.Load(name)
	}
	if err != nil {
		c.problem = e.explain(c, err)
		e.logf(api.LogError, "config", name, "%s", c.problem.Error())
	} else {
		c.profile, c.warnings = p, profile.Warnings(p)
		if c.wanted = c.wanted && !p.IsResponder(); c.wanted {
			e.guard.stale = true // at last it is known what it protects
		} else if !c.byPolicy {
			c.mode = p.PolicyProfile()
		}
		if !p.IsResponder() {
			c.machine = tunnel.New(c.mode, time.Now())
		}
	}
	e.changed(c)
}

// openNetwork opens the sockets, and with tun the TUN device, unless they are
// open.
func (e *Engine) openNetwork(tun bool) error {
	if e.net == nil {
		n, err := openNetwork(e.opt.Host, portsWellKnown, e.deliverIKE, e.deliverEvent)
		if err != nil {
			return fmt.Errorf("open the IKE ports: %w", err)
		}
		e.net = n
		e.ep = ike.NewEndpoint(ike.Options{Rand: e.opt.Rand, Resolver: resolver{e}, NATTPort: n.nattPort(), CrashSecret: e.crashSecret(), Trace: true})
		if !n.wellKnown {
			e.logf(api.LogWarn, "net", "", "another program has UDP port 500 or 4500; connecting from other ports, and no peer can reach us")
		}
	}
	if !tun {
		return nil
	}
	if err := e.net.openTUN(e.opt.Host, e.opt.TUNName); err != nil {
		return fmt.Errorf("open the TUN device: %w", err)
	}
	return nil
}

// settle gives back what no connection needs any more: first the host's
// settings, then the TUN device, then, after the last goodbye to a peer, the
// sockets.
func (e *Engine) settle() {
	if e.net == nil || e.stopping && e.granted < e.wish {
		return
	}
	for _, c := range e.conns {
		if state, _ := c.state(); state != api.Disconnected && state != api.Blocked || c.holds || c.awaits != 0 {
			return
		}
	}
	if e.trapping() && !e.stopping {
		return
	}
	if e.net.tun != nil {
		e.net.dp.SetTUN(nil)
		e.net.tun = nil
	}
	if len(e.sas)+len(e.probes)+len(e.knocks) > 0 {
		return
	}
	e.closeNetwork()
}

func (e *Engine) closeNetwork() {
	n := e.net
	e.addDrops()
	e.ep.Close(time.Now())
	for sa, r := range e.relays {
		delete(e.relays, sa)
		r.end()
	}
	e.net, e.ep, e.graces, e.drains = nil, nil, nil, nil
	e.forgetKids()
	clear(e.knocks)
	e.closeStreams()
	if err := n.close(); err != nil {
		e.logf(api.LogDebug, "net", "", "data path: %v", err)
	}
}

// atRest reports whether nothing is left to end.
func (e *Engine) atRest() bool {
	e.settle()
	return e.net == nil && e.granted >= e.wish
}

// handleNetworkEnd follows a data path that failed by itself, as when someone
// deletes the TUN device.
func (e *Engine) handleNetworkEnd(err error) {
	e.net.done <- err // for close
	e.logf(api.LogError, "net", "", "the data path failed: %v", err)
	clear(e.sas)
	clear(e.knocks)
	e.loseProbes(err)
	e.closeNetwork()
	e.guard.deaf = true
	err = fmt.Errorf("the TUN device or a socket failed: %w", err)
	for _, c := range e.sortedConns() {
		e.endAttempt(c)
		c.current = nil
		if c.machine != nil {
			if state, _ := c.machine.State(); state != api.Disconnected {
				c.problem = e.explain(c, err)
				e.act(c, c.machine.Failed(time.Now(), err, false))
			}
		} else if c.listening {
			e.stopListening(c)
			clear(c.policies)
			c.lending = nil
			c.problem = e.explain(c, err)
		}
	}
}

// wishHost asks the applier for what all connections together want, and
// returns the wish's number.
func (e *Engine) wishHost() uint64 {
	e.wish++
	state := e.wantedHost()
	e.shownMTU = state.routes.MTU
	e.applier.wish(e.wish, state)
	return e.wish
}

// An afterWish runs when the host has followed a wish.
type afterWish struct {
	wish uint64
	f    func()
}

// afterHost runs f once the host has followed what it was asked for so far.
func (e *Engine) afterHost(f func()) {
	if e.granted >= e.wish {
		f()
		return
	}
	e.ready = append(e.ready, afterWish{e.wish, f})
}

// handleHostResult tells the machines that waited for the host.
func (e *Engine) handleHostResult(r hostResult) {
	e.granted = max(e.granted, r.wish)
	for len(e.ready) > 0 && e.ready[0].wish <= e.granted {
		f := e.ready[0].f
		e.ready = e.ready[1:]
		f()
	}
	if r.err != nil {
		e.logf(api.LogError, "net", "", "setting addresses, routes or DNS failed: %v", r.err)
	}
	e.warnOfDNS(r.warnings)
	for _, c := range e.sortedConns() {
		if c.awaits == 0 || c.awaits > r.wish {
			continue
		}
		c.awaits = 0
		err := r.err
		if err != nil {
			err = &explain.HostError{Err: err}
			c.problem = e.explain(c, err)
		}
		if c.machine != nil {
			e.act(c, c.machine.HostDone(time.Now(), err))
		}
		e.changed(c)
	}
	e.settle()
}
