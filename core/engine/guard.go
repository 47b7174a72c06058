package engine

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"sallyport/core/api"
	"sallyport/core/explain"
	"sallyport/core/host"
	"sallyport/core/policy"
	"sallyport/core/profile"
	"sallyport/core/spd"
	"sallyport/core/ts"
)

// A guard decides what may travel: the assigned policy and the profiles of the
// wanted connections, compiled together, and the firewall that enforces it.
type guard struct {
	assigned *policy.Policy // nil: none
	wishes   wishes
	unread   error // why the wishes could not be read; what is in force stays
	memory   *memory

	compiled *policy.Compiled
	traps    map[string]uint32 // group of each entry that negotiates host to host, by entry id

	shut map[string]bool // who may let nothing pass in clear; see shutNames

	fetches   []netip.AddrPort    // servers that are being asked about certificates
	intent    host.FirewallIntent // in force
	deaf      bool                // the data path failed; open again what listens to it
	err       error               // why it is not what it should be; tried again
	stale     bool                // compile again
	ready     *policy.Compiled    // the policy that is being assigned, compiled for the machine as it is
	mute      bool                // the firewall no longer tells of changes
	look      bool                // a connection changed, or a time has come
	looked    time.Time           // when that was followed
	fallbacks uint64
	failures  map[string]uint64
	carried   map[string]uint64 // protected bytes of SAs that are gone, by rule
}

// guardError says that the packet filter could not be set.
func (e *Engine) guardError(err error) error { return &explain.FirewallError{Err: err} }

// recompile makes the rules that are in force of the assigned policy and of
// every wanted connection's profile.
func (e *Engine) recompile() error {
	g := &e.guard
	switch {
	case g.unread != nil:
		return g.unread
	case g.wishes.Assignment != nil && g.assigned == nil:
		return fmt.Errorf("the assigned policy %q cannot be read", g.wishes.Assignment.Policy)
	}
	p := policy.New("in force")
	if g.assigned != nil {
		p = g.assigned.Duplicate("in force")
	}
	owners := make([]string, len(p.Rules)) // of each rule; empty: the assigned policy
	alone := true                          // the assigned policy is all
	for _, c := range e.sortedConns() {
		if c.responder() || !c.ruling() || !c.wanted || names(g.assigned, c) {
			continue
		}
		alone = false
		if c.profile == nil {
			if c.mode == api.Require {
				return fmt.Errorf("what %q requires to be protected cannot be read from its profile", c.name)
			}
			continue
		}
		own, err := e.policyOf(c)
		if err != nil {
			return err
		}
		for _, l := range own.FilterLists {
			l.Name = c.name + ": " + l.Name
			p.FilterLists = append(p.FilterLists, l)
		}
		p.FilterActions = append(p.FilterActions, own.FilterActions...)
		for _, r := range own.Rules {
			owners = append(owners, c.name)
			if _, stock := policy.New("").List(r.FilterList); !stock {
				r.FilterList = c.name + ": " + r.FilterList
			}
			if r.Name != c.name {
				r.Name = c.name + ": " + r.Name
			}
			if slices.ContainsFunc(p.Rules, func(o policy.Rule) bool { return o.Name == r.Name }) {
				r.Name += " (connection)" // a rule of the assigned policy is called so
			}
			p.Rules = append(p.Rules, r)
		}
	}
	compiled := g.ready
	if g.ready = nil; compiled == nil || !alone {
		var err error
		if compiled, err = policy.Compile(p, e.env()); err != nil {
			return err
		}
	}
	traps := make(map[string]uint32)
	for i := range compiled.Entries {
		x := &compiled.Entries[i]
		if x.Action != policy.Negotiate || x.Endpoint != policy.EndpointHost || traps[x.ID] != 0 {
			continue
		}
		if traps[x.ID] = g.traps[x.ID]; traps[x.ID] == 0 {
			e.group++
			traps[x.ID] = e.group
		}
	}
	g.compiled, g.traps, g.shut = compiled, traps, shutNames(compiled, owners)
	return nil
}

// ruling reports whether the profile of a connection is in force when it is
// wanted; what a policy wants has its rules there.
func (c *conn) ruling() bool { return c.rule == "" && !c.byPolicy }

// names reports whether p decides itself about the traffic of a stored connection.
func names(p *policy.Policy, c *conn) bool {
	return p != nil && slices.ContainsFunc(p.Rules, func(r policy.Rule) bool { return r.Enabled && r.Tunnel == c.name })
}

// policyOf returns the profile of a connection, written as a policy.
func (e *Engine) policyOf(c *conn) (*policy.Policy, error) {
	pc, err := policy.FromProfile(c.profile)
	if err != nil {
		return nil, err
	}
	return policy.ForConnection(pc, c.mode)
}

// env tells the policy compiler about the machine.
func (e *Engine) env() policy.Env {
	var env policy.Env
	for _, c := range e.sortedConns() {
		if c.profile == nil || c.rule != "" {
			continue
		}
		if pc, err := policy.FromProfile(c.profile); err == nil {
			pc.Profile = c.mode
			env.Connections = append(env.Connections, pc)
		}
	}
	env.Certificates, _ = e.opt.Host.Certs.List()
	env.Secrets, _ = e.opt.Host.Secrets.List()
	env.Interfaces = e.interfaces()
	return env
}

// interfaces lists the physical interfaces, where the host can tell.
func (e *Engine) interfaces() []policy.Interface {
	l, ok := e.opt.Host.NetMonitor.(host.InterfaceLister)
	if !ok {
		return nil
	}
	list, err := l.Interfaces()
	if err != nil {
		e.logf(api.LogWarn, "net", "", "cannot list the interfaces: %v", err)
	}
	var out []policy.Interface
	for _, i := range list {
		if i.Name == e.deviceName() {
			continue
		}
		kind := policy.KindLAN
		switch {
		case i.Loopback:
			kind = policy.KindLoopback
		case i.PointToPoint:
			kind = policy.KindRemote
		}
		out = append(out, policy.Interface{Name: i.Name, Kind: kind, Prefixes: i.Prefixes})
	}
	return out
}

// protection says what becomes of the traffic of a connection at this moment.
func (e *Engine) protection(c *conn, now time.Time) api.Protection {
	state, _ := c.state()
	switch {
	case !c.wanted && !c.byPolicy:
		return ""
	case state == api.Connected, c.machine != nil && c.machine.Waiting():
		return api.Protected // its SAs are in force, even when nobody hears what they send
	case c.mode == api.Require, c.profile == nil, e.guard.shut[c.shutName()]:
		return api.Stopped
	case c.mode == api.Respond:
		return api.Clear
	case !c.wanted:
		return api.Stopped // the user disconnected what the policy asks for
	case c.allowClear.After(now):
		return api.Clear
	case e.remembers(c, now):
		return api.Stopped
	case c.clear:
		return api.Clear
	}
	return api.Held
}

// holdTime is how long traffic waits for a peer before it falls back to clear
// text: short enough that the first retransmission of a TCP connection passes.
const holdTime = 900 * time.Millisecond

// remembers reports whether protection has worked here, with this peer, under
// this rule: then clear text is not an answer to a failure.
func (e *Engine) remembers(c *conn, now time.Time) bool {
	ttl := policy.New("").DowngradeTTL().Duration
	if e.guard.assigned != nil {
		ttl = e.guard.assigned.DowngradeTTL().Duration
		if slices.ContainsFunc(e.guard.assigned.Downgrade.Pins, func(pin string) bool { return c.reaches(pin) }) {
			return true
		}
	}
	return e.guard.memory.knows(e.networkOf(c), c.peerName(), c.ruleName(), ttl, now)
}

// networkOf names the network that the machine is in, as seen from the way to
// the connection's peer.
func (e *Engine) networkOf(c *conn) netip.Prefix {
	for _, g := range c.profile.Gateways {
		ways := beyond[:]
		if a, ok := gatewayIP(g); ok {
			ways = []netip.Addr{a}
		}
		for _, a := range ways {
			source, err := e.opt.Host.NetMonitor.Source(a)
			if err != nil {
				continue
			}
			bits := 64
			if source.Is4() {
				bits = 24
			}
			return netip.PrefixFrom(source, bits).Masked()
		}
	}
	return netip.Prefix{}
}

// beyond are addresses that only a default route leads to, of either family.
var beyond = [...]netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.MustParseAddr("2001:db8::1")}

// gatewayIP returns the address of a gateway that is written as one.
func gatewayIP(gateway string) (netip.Addr, bool) {
	host, _, err := profile.SplitGateway(gateway)
	if err != nil {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(host)
	return a.Unmap(), err == nil
}

// follow looks after fallback: traffic that has waited long enough leaves in
// clear, loudly, and a fallback that has lasted long enough is announced again
// or, host to host, ends with the connection.
func (e *Engine) follow(c *conn, now time.Time) {
	if c.mode != api.Request || !c.wanted || c.responder() {
		return
	}
	state, _ := c.state()
	switch {
	case state == api.Connected, c.machine.Waiting():
		c.clear, c.failed, c.clearUntil, c.holdUntil = false, false, time.Time{}, time.Time{}
		return
	case !e.networkOf(c).IsValid(), e.remembers(c, now):
		// Without a network nothing leaves; in the next one protection may be
		// known to work.
		c.clear, c.clearUntil = false, time.Time{}
		return
	}
	if c.holdUntil.IsZero() {
		c.holdUntil = now.Add(holdTime) // what was protected is lost
	}
	switch {
	case !c.clear && (state == api.Disconnected || c.failed || !now.Before(c.holdUntil)):
		e.fallBack(c, now)
	case c.clear && !now.Before(c.clearUntil):
		if c.peer.IsValid() {
			e.forgetPeer(c) // the next packet asks again
			return
		}
		e.fallBack(c, now)
	}
}

// fallBack lets traffic leave in clear for a while.
func (e *Engine) fallBack(c *conn, now time.Time) {
	c.clear, c.clearUntil = true, now.Add(c.fallbackTime())
	e.guard.fallbacks++
	why := "it has not answered in time"
	if c.problem != nil {
		why = c.problem.Error()
	}
	e.logf(api.LogWarn, "policy", c.name, "traffic leaves in CLEAR until %s: %s", c.clearUntil.Format(time.TimeOnly), why)
	e.enforce()
	view := e.view(c)
	e.journal.add(api.Event{Kind: api.EventFallback, Name: c.name, Connection: &view})
	e.changed(c)
}

// enforce brings the firewall and the SPD to what the rules and the states of
// the tunnels demand. It returns why the firewall could not be set.
func (e *Engine) enforce() error {
	if e.stopping {
		return nil // what is in force stays
	}
	if e.guard.stale {
		if err := e.recompile(); err != nil {
			// What is in force stays, until it is known what should be.
			return e.unenforced(err)
		}
		e.guard.stale = false
	}
	want := e.firewallIntent(time.Now())
	if reflect.DeepEqual(want, e.guard.intent) && e.guard.err == nil {
		return nil
	}
	err := e.prove(&want)
	if err == nil {
		err = e.setFirewall(want)
	}
	if err != nil {
		return e.unenforced(err)
	}
	lan := !slices.Equal(want.Exempt.LAN, e.guard.intent.Exempt.LAN)
	e.guard.intent, e.guard.err = want, nil
	if e.trapping() || lan { // what is clear stays out of the device
		e.setPolicy()
		e.wishHost()
	}
	return nil
}

// unenforced notes why the firewall is not what it should be.
func (e *Engine) unenforced(err error) error {
	if e.guard.err == nil || e.guard.err.Error() != err.Error() {
		e.logf(api.LogError, "policy", "", "the firewall could not be set: %v", err)
	}
	e.guard.err = err
	return err
}

// prove checks that an intent opens nothing that the rules want protected,
// whatever led to it.
func (e *Engine) prove(want *host.FirewallIntent) error {
	if want.IsZero() || e.guard.compiled == nil || slices.Equal(want.Rules, e.guard.intent.Rules) {
		return nil
	}
	return e.guard.compiled.ProveFirewall(want)
}

// openFirewall removes the firewall when the service ends, unless traffic must
// stay protected while it is down.
func (e *Engine) openFirewall() {
	if e.guard.intent.IsZero() || e.guard.wishes.strict() {
		return
	}
	if err := e.setFirewall(host.FirewallIntent{}); err != nil {
		e.logf(api.LogError, "policy", "", "the firewall could not be removed: %v", err)
	}
}

func (e *Engine) setFirewall(want host.FirewallIntent) error {
	if e.opt.Host.Firewall == nil {
		if want.IsZero() {
			return nil
		}
		return fmt.Errorf("firewall: %w", host.ErrUnsupported)
	}
	return e.opt.Host.Firewall.Set(want)
}

// clearNow tells the compiled policy what may pass in clear text at the moment.
func (e *Engine) clearNow(now time.Time) policy.Clear {
	everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	open := make(map[*conn]bool)
	peers := make(map[string][]netip.Prefix) // by rule
	for _, c := range e.sortedConns() {
		if c.responder() || e.protection(c, now) != api.Clear {
			continue
		}
		open[c] = true
		if c.peer.IsValid() {
			peers[c.rule] = append(peers[c.rule], netip.PrefixFrom(c.peer, c.peer.BitLen()))
		}
	}
	for _, l := range peers {
		slices.SortFunc(l, netip.Prefix.Compare)
	}
	return func(x *policy.Entry) []netip.Prefix {
		c := e.endpointOf(x)
		switch {
		case e.guard.shut[shutName(x)]:
			return nil
		case x.Endpoint == policy.EndpointHost && !x.Negotiation.RespondOnly:
			return peers[x.Rule]
		case c == nil && x.Negotiation.RespondOnly, open[c]:
			return everything
		}
		return nil
	}
}

// shutNames finds who may not let anything pass in clear, because somebody
// else requires part of it to be protected: of two rules of one policy the more
// specific decides, but a connection opens nothing that another connection, or
// the assigned policy, requires. owners are those of each rule.
func shutNames(compiled *policy.Compiled, owners []string) map[string]bool {
	shut := make(map[string]bool)
	var weak []*policy.Entry // those before the entry at hand
	for i := range compiled.Entries {
		x := &compiled.Entries[i]
		switch {
		case x.RuleIndex < 0:
		case x.Action == policy.Negotiate && !x.MustProtect():
			weak = append(weak, x)
		case x.MustProtect():
			for _, w := range weak {
				if owners[w.RuleIndex] != owners[x.RuleIndex] && !shut[shutName(w)] && meet(w, x) {
					shut[shutName(w)] = true
				}
			}
		}
	}
	return shut
}

// meet reports whether two entries can match the same packet.
func meet(a, b *policy.Entry) bool {
	_, local := a.Local[0].Intersect(b.Local[0])
	_, remote := a.Remote[0].Intersect(b.Remote[0])
	return local && remote
}

// shutName names who shutNames shuts: the connection of an entry, or, host to
// host, its rule.
func shutName(x *policy.Entry) string {
	switch x.Endpoint {
	case policy.EndpointConnection:
		return x.Connection
	case policy.EndpointGateway:
		return gatewayName(x)
	}
	return x.Rule
}

func (c *conn) shutName() string {
	if c.peer.IsValid() {
		return c.rule
	}
	return c.name
}

// firewallIntent says which packets may pass beside the tunnel.
func (e *Engine) firewallIntent(now time.Time) host.FirewallIntent {
	if e.guard.compiled == nil {
		return host.FirewallIntent{}
	}
	s := policy.FirewallState{Device: e.deviceName(), IKE: []uint16{portIKE, portNATT}, Lookup: true, Clear: e.clearNow(now)}
	// What an SA protects now must not travel otherwise: that of a rule unless
	// a more specific rule decides, that of a peer of a stored connection in any
	// case, for its address lies behind the tunnel.
	secured, peers := map[string][]host.FirewallRule{}, []host.FirewallRule(nil)
	for _, c := range e.sortedConns() {
		if c.holds {
			s.Inner = append(s.Inner, c.addrs...)
		}
		if c.holds && c.rule == "" && !c.responder() {
			servers, only := c.nameServers()
			s.DNSInside = s.DNSInside || len(servers) > 0 && len(only) == 0
		}
		if c.rule == "" && !c.responder() || c.machine != nil && e.protection(c, now) == api.Clear {
			continue
		}
		for _, p := range c.inForce() {
			for _, l := range p.local {
				for _, r := range p.remote {
					if l.Is4() != r.Is4() {
						continue
					}
					rule := host.FirewallRule{Local: l, Remote: r, Action: host.FirewallTunnelOnly, Label: c.rule}
					if c.rule == "" {
						peers = append(peers, rule)
					} else {
						secured[c.rule] = append(secured[c.rule], rule)
					}
				}
			}
		}
	}
	s.Secured = func(rule string) []host.FirewallRule { return secured[rule] }
	slices.SortFunc(s.Inner, netip.Addr.Compare)
	s.Inner = slices.Compact(s.Inner)
	if e.net != nil {
		for _, sock := range e.net.sockets {
			if p := sock.Conn.LocalPort(); !slices.Contains(s.IKE, p) {
				s.IKE = append(s.IKE, p)
			}
		}
	}
	intent := e.guard.compiled.Firewall(s)
	intent.Exempt.TCP = slices.Compact(slices.SortedFunc(slices.Values(e.streams.gateways), netip.AddrPort.Compare))
	intent.Exempt.TCPPorts = slices.Sorted(slices.Values(e.streams.listened))
	intent.Exempt.Fetch = slices.Compact(slices.SortedFunc(slices.Values(e.guard.fetches), netip.AddrPort.Compare))
	intent.Rules = append(peers, intent.Rules...)
	intent.Rules = idle(decisive(append(intent.Rules, secured[defaultResponse]...))) // last: what no rule decides
	if !slices.ContainsFunc(intent.Rules, func(r host.FirewallRule) bool { return r.Action != host.FirewallClear }) &&
		!slices.ContainsFunc(e.guard.compiled.Entries, tries) {
		return host.FirewallIntent{}
	}
	return intent
}

// inForce returns what SAs of the connection protect.
func (c *conn) inForce() []protects {
	var out []protects
	for _, g := range slices.Sorted(maps.Keys(c.policies)) {
		out = append(out, c.policies[g])
	}
	return append(out, c.lending.lent())
}

// tries reports whether an entry is for traffic that is to be protected, so that
// what leaves in clear all the same is counted.
func tries(x policy.Entry) bool { return x.Action == policy.Negotiate && !x.Negotiation.RespondOnly }

// decisive drops the rules that one before them leaves nothing to decide for.
func decisive(rules []host.FirewallRule) []host.FirewallRule {
	type scope struct {
		local, remote ts.Selector
		direction     host.FirewallDirection
	}
	seen := make(map[scope]bool, len(rules))
	return slices.DeleteFunc(rules, func(r host.FirewallRule) bool {
		s := scope{r.Local, r.Remote, r.Direction}
		if seen[s] || seen[scope{r.Local, r.Remote, host.FirewallBoth}] {
			return true
		}
		seen[s] = true
		return false
	})
}

// ahead is how many rules idle looks at.
const ahead = 4

// idle drops the rules that change nothing because one that soon follows says
// the same of more packets. A peer that gets an SA where its rule demands one
// already then needs no new firewall, and none of its first packets meets the
// moment in which one is replaced.
func idle(rules []host.FirewallRule) []host.FirewallRule {
	out := rules[:0]
	for i, r := range rules {
		if !overruled(r, rules[i+1:min(len(rules), i+1+ahead)]) {
			out = append(out, r)
		}
	}
	return out
}

// overruled reports whether one of the next rules decides alike for all of r's
// packets, and none before it otherwise for some.
func overruled(r host.FirewallRule, next []host.FirewallRule) bool {
	for _, o := range next {
		_, local := o.Local.Intersect(r.Local)
		_, remote := o.Remote.Intersect(r.Remote)
		switch {
		case !local || !remote:
		case o.Action != r.Action || o.Label != r.Label || o.Direction != r.Direction:
			return false
		case (ts.List{o.Local}).Covers(ts.List{r.Local}) && (ts.List{o.Remote}).Covers(ts.List{r.Remote}):
			return true
		}
	}
	return false
}

// endpointOf returns the connection that an entry's traffic goes through.
func (e *Engine) endpointOf(x *policy.Entry) *conn {
	switch x.Endpoint {
	case policy.EndpointConnection:
		return e.conns[x.Connection]
	case policy.EndpointGateway:
		return e.conns[gatewayName(x)]
	}
	return nil
}

// waiting returns the entries for what waits for the Child SAs of a peer that
// are still to come.
func (e *Engine) waiting(c *conn) []spd.Entry {
	var out []spd.Entry
	for i := range c.profile.Children {
		child := &c.profile.Children[i]
		g := e.childGroup(c, child.Name)
		if _, there := c.policies[g]; there {
			continue
		}
		local, _, err1 := profile.ParseSelector(child.LocalTS[0])
		remote, _, err2 := profile.ParseSelector(child.RemoteTS[0])
		if err1 != nil || err2 != nil {
			continue // as nothing that we wrote ourselves is
		}
		all := anyOf(c.peer)[0]
		local.From, local.To, remote.From, remote.To = all.From, all.To, c.peer, c.peer
		out = append(out, spd.Entry{Local: ts.List{local}, Remote: ts.List{remote}, Action: spd.Protect, Group: g})
	}
	return out
}

// anyOf returns every address of a's family.
func anyOf(a netip.Addr) ts.List {
	if a.Is4() {
		return ts.Any()[:1]
	}
	return ts.Any()[1:]
}

// setPolicy gives the data path the SPD: first what SAs protect, in the order of
// the connections' names, then, in the order of decision, what has none yet.
func (e *Engine) setPolicy() {
	if e.net == nil {
		return
	}
	var entries []spd.Entry
	for _, c := range e.sortedConns() {
		for _, g := range slices.Sorted(maps.Keys(c.policies)) {
			p := c.policies[g]
			entries = append(entries, spd.Entry{Local: p.local, Remote: p.remote, Action: spd.Protect, Group: g})
		}
		if c.peer.IsValid() && !c.responder() {
			entries = append(entries, e.waiting(c)...)
		}
	}
	if e.guard.compiled != nil {
		entries = append(entries, policy.SPD(e.guard.compiled.Lines(e.clearNow(time.Now())), func(x *policy.Entry) uint32 { return e.guard.traps[x.ID] })...)
	}
	e.net.dp.SetPolicy(entries)
}

// watchFirewall puts the rules back when another program changed them.
func (e *Engine) watchFirewall() {
	w, ok := e.opt.Host.Firewall.(host.FirewallWatcher)
	if !ok || e.guard.intent.IsZero() {
		return
	}
	err := w.Verify()
	if err == nil {
		return
	}
	if errors.Is(err, host.ErrRulesChanged) {
		e.logf(api.LogError, "policy", "", "another program changed the firewall rules; setting them again")
	}
	if err := e.opt.Host.Firewall.Set(e.guard.intent); err != nil {
		e.guard.err = err
		e.logf(api.LogError, "policy", "", "the firewall could not be set again: %v", err)
	}
}

func (e *Engine) firewallChanges() <-chan struct{} {
	if w, ok := e.opt.Host.Firewall.(host.FirewallWatcher); ok && !e.guard.mute {
		return w.Changes()
	}
	return nil
}
