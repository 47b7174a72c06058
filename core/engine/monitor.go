package engine

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"sallyport/core/api"
	"sallyport/core/explain"
	"sallyport/core/host"
	"sallyport/core/ike"
	"sallyport/core/policy"
)

// state builds the whole truth for a front end.
func (e *Engine) state() api.State {
	s := api.State{
		Service: api.Service{Version: e.opt.Version, APIVersion: api.APIVersion, Started: e.started, TokenModules: e.tokenModules()},
		Seq:     e.journal.seq(), Assignment: e.guard.wishes.Assignment, Prompts: e.prompted(),
	}
	if e.net != nil {
		s.Service.Ports = e.net.addresses()
		for _, p := range e.streams.listened {
			s.Service.Ports = append(s.Service.Ports, fmt.Sprintf("tcp/%d", p))
		}
		if !e.net.wellKnown {
			s.Service.Warnings = append(s.Service.Warnings, "Another program has UDP port 500 or 4500: peers cannot reach this machine.")
		}
	}
	for _, c := range e.sortedConns() {
		s.Connections = append(s.Connections, e.view(c))
	}
	return s
}

// view is a connection as front ends see it.
func (e *Engine) view(c *conn) api.Connection {
	v := api.Connection{Name: c.name, Role: "initiator", Profile: c.mode, Problem: c.problem, Warnings: c.warnings}
	v.State, v.Since = c.state()
	now := time.Now()
	v.Rule = c.rule
	if !c.responder() {
		v.Protection = e.protection(c, now)
		switch {
		case v.Protection == api.Clear && c.allowClear.After(now):
			v.ClearUntil = c.allowClear
		case v.Protection == api.Clear:
			v.ClearUntil = c.clearUntil
		case v.Protection == api.Stopped && c.mode == api.Request && c.wanted && c.profile != nil && !e.guard.shut[c.shutName()]:
			v.Question = fmt.Sprintf("%s does not answer, and traffic with it was protected here before. Let it leave in clear?", c.peerName())
		}
	}
	if c.profile != nil {
		v.Gateway = c.profile.Gateways
		if c.responder() {
			v.Role = "responder"
		}
	}
	if v.State == api.Connected {
		v.Problem = nil
	}
	v.Counters = c.carried
	for k := range c.kids {
		if !k.retired {
			v.SAs++
		}
		if counters, err := e.net.dp.Counters(k.sa.InSPI); err == nil {
			addCounters(&v.Counters, counters)
		}
	}
	if s := c.current; s != nil && s.est != nil {
		if w := weakAuth(s.est); w != "" {
			v.Warnings = append(slices.Clip(v.Warnings), w)
		}
		for _, w := range s.est.Weak {
			v.Warnings = append(slices.Clip(v.Warnings), fmt.Sprintf("Weak: %s; only the profile's weak_certificates lets it pass.", w))
		}
		v.Path = s.sa.Path().String()
		v.Transport = s.way.shown(c.mending != nil)
		v.PeerID = s.est.PeerID.String()
		v.Addresses = s.est.Addresses
		if v.DNS, v.Domains = c.nameServers(); len(v.DNS) > 0 {
			v.Warnings = append(slices.Clip(v.Warnings), e.dnsNotes...)
		}
		v.Routes = c.protected()
		v.PathMTU = shownDepth(&s.depth)
		quantumOf(&v, s.sa.Info())
	}
	return v
}

// quantumOf says whether who records the traffic can read it one day.
func quantumOf(v *api.Connection, i ike.Snapshot) {
	switch {
	case i.QuantumSafe:
		v.QuantumSafe = true
	case i.QuantumRefused:
		v.QuantumWhy = api.QuantumRefused
	case i.QuantumOffered:
		v.QuantumWhy = api.QuantumNotSupported
	default:
		v.QuantumWhy = api.QuantumNotOffered
	}
}

// protected lists the networks that the tunnel protects.
func (c *conn) protected() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range c.policies {
		out = append(out, p.remote.Prefixes()...)
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// sameView reports whether two views differ in counters only: those do not
// make an event.
func sameView(a, b *api.Connection) bool {
	x, y := *a, *b
	x.Counters, y.Counters = api.Counters{}, api.Counters{}
	return reflect.DeepEqual(x, y)
}

// dynamic lists the SAs as they stand.
func (e *Engine) dynamic() api.Dynamic {
	d := api.Dynamic{IKESAs: []api.IKESA{}, ChildSAs: []api.ChildSA{}, Drops: e.drops()}
	if e.ep == nil {
		return d
	}
	for _, sa := range e.ep.SAs() {
		if e.probes[sa] != nil {
			continue // it protects nothing
		}
		i := sa.Info()
		d.IKESAs = append(d.IKESAs, api.IKESA{
			Connection: i.Name, Initiator: i.Initiator, State: i.State.String(),
			LocalSPI: fmt.Sprintf("%016x", i.LocalSPI), RemoteSPI: fmt.Sprintf("%016x", i.RemoteSPI),
			Local: i.Path.Local.String(), Remote: i.Path.Remote.String(),
			LocalID: i.LocalID.String(), RemoteID: i.PeerID.String(),
			Proposal: i.Suite.String(), LocalAuth: i.LocalAuth, RemoteAuth: i.PeerAuth,
			NATLocal: i.NATLocal, NATRemote: i.NATRemote,
			Established: i.Established, RekeyAt: i.RekeyAt, Rekeys: i.Rekeys, ReauthAt: i.ReauthAt, Resumed: i.Resumed, Mobile: i.Mobile, Moves: i.Moves,
		})
		for _, c := range sa.Children() {
			d.ChildSAs = append(d.ChildSAs, e.childView(i.Name, c.InSPI, c.RekeyAt))
		}
	}
	for _, g := range e.graces {
		if k := e.kids.bySPI[g.inSPI]; k != nil {
			d.ChildSAs = append(d.ChildSAs, e.childView(k.session.conn.name, g.inSPI, time.Time{}))
		}
	}
	d.ChildSAs = slices.DeleteFunc(d.ChildSAs, func(c api.ChildSA) bool { return c.InSPI == "" })
	return d
}

// childView describes an installed Child SA; empty when it is not installed.
func (e *Engine) childView(name string, inSPI uint32, rekeyAt time.Time) api.ChildSA {
	k := e.kids.bySPI[inSPI]
	if k == nil {
		return api.ChildSA{}
	}
	v := api.ChildSA{
		Connection: name, Child: k.sa.Name, Resource: k.sa.Resource, State: "installed",
		InSPI: fmt.Sprintf("%08x", k.sa.InSPI), OutSPI: fmt.Sprintf("%08x", k.sa.OutSPI),
		Proposal: k.sa.Suite.String(), LocalTS: texts(k.sa.Local), RemoteTS: texts(k.sa.Remote),
		Established: k.since, RekeyAt: rekeyAt,
	}
	if k.retired {
		v.State = "rekeyed"
	}
	if counters, err := e.net.dp.Counters(inSPI); err == nil {
		addCounters(&v.Counters, counters)
	}
	return v
}

func texts[L ~[]T, T fmt.Stringer](l L) []string {
	out := make([]string, 0, len(l))
	for _, s := range l {
		out = append(out, s.String())
	}
	return out
}

// Security implements api.Backend.
func (e *Engine) Security(ctx context.Context) (api.Security, error) {
	var s api.Security
	err := e.call(ctx, func() { s = e.security() })
	return s, err
}

func (e *Engine) security() api.Security {
	g := &e.guard
	s := api.Security{Assignment: g.wishes.Assignment, Coverage: []api.Coverage{}, Failures: maps.Clone(g.failures), Fallbacks: g.fallbacks}
	switch {
	case g.err != nil:
		s.Firewall = "not in force: " + g.err.Error()
	case g.intent.IsZero():
		s.Firewall = "not needed"
	default:
		s.Firewall = fmt.Sprintf("in force, %d rules", len(g.intent.Rules))
		s.Exempt = exemptions(&g.intent)
	}
	protected := maps.Clone(g.carried)
	sas := 0
	for _, k := range e.kids.bySPI {
		if counters, err := e.net.dp.Counters(k.sa.InSPI); err == nil {
			protected[k.session.conn.ruleName()] += counters.InBytes + counters.OutBytes
		}
		if !k.retired {
			sas++
		}
	}
	if sas == 0 {
		s.Warning = "No security associations: nothing is protected."
	}
	counts := e.firewallCounts()
	for _, r := range e.rulesInForce() {
		c := api.Coverage{Rule: r.name, Action: r.action, Protection: r.protection, Protected: protected[r.carrier]}
		c.Clear, c.Blocked = counts[r.name].Clear, counts[r.name].Dropped
		c.Percent = 100
		if all := c.Protected + c.Clear; all > 0 {
			c.Percent = 100 * float64(c.Protected) / float64(all)
		}
		s.Coverage = append(s.Coverage, c)
	}
	if n, ok := counts[host.OtherRules]; ok {
		s.Coverage = append(s.Coverage, api.Coverage{Rule: host.OtherRules, Clear: n.Clear, Blocked: n.Dropped})
	}
	return s
}

// A ruleInForce is a rule of the compiled policy.
type ruleInForce struct {
	name, action string
	carrier      string // who protects its traffic: the connection, or the rule itself
	protection   api.Protection
}

// rulesInForce lists the rules in the order of their first filter.
func (e *Engine) rulesInForce() []ruleInForce {
	if e.guard.compiled == nil {
		return nil
	}
	now := time.Now()
	var out []ruleInForce
	seen := map[string]bool{}
	for i := range e.guard.compiled.Entries {
		x := &e.guard.compiled.Entries[i]
		if x.RuleIndex < 0 {
			continue
		}
		if seen[x.Rule] {
			continue
		}
		seen[x.Rule] = true
		r := ruleInForce{name: x.Rule, action: x.Action.String(), carrier: x.Rule, protection: e.ruleProtection(x, now)}
		if x.Endpoint == policy.EndpointHost && r.protection == api.Held {
			r.protection = e.peersProtection(x.Rule, now)
		}
		if c := e.endpointOf(x); c != nil {
			r.carrier = c.ruleName()
		}
		out = append(out, r)
	}
	return out
}

// peersProtection says what becomes of the traffic of a rule host to host, whose
// peers fare each in their own way: in clear when that of one of them is, for who
// looks at the rule alone must not miss it.
func (e *Engine) peersProtection(rule string, now time.Time) api.Protection {
	all := api.Held // as that of the next peer
	for _, c := range e.conns {
		if c.rule != rule || !c.peer.IsValid() || c.responder() {
			continue
		}
		switch e.protection(c, now) {
		case api.Clear:
			return api.Clear
		case api.Protected:
			all = api.Protected
		}
	}
	return all
}

// ruleProtection says what becomes of the traffic of an entry, as a whole.
func (e *Engine) ruleProtection(x *policy.Entry, now time.Time) api.Protection {
	switch x.Action {
	case policy.Permit:
		return api.Clear
	case policy.Block:
		return api.Stopped
	}
	if c := e.endpointOf(x); c != nil {
		return e.protection(c, now)
	}
	if x.Negotiation.RespondOnly && !e.guard.shut[shutName(x)] {
		return api.Clear
	}
	return api.Held
}

// firewallCounts returns the bytes that each rule let pass or dropped, where
// the firewall counts.
func (e *Engine) firewallCounts() map[string]host.FirewallCount {
	c, ok := e.opt.Host.Firewall.(host.FirewallCounter)
	if !ok || e.guard.intent.IsZero() {
		return nil
	}
	counts, err := c.Counts()
	if err != nil {
		e.logf(api.LogDebug, "policy", "", "count what the firewall did: %v", err)
	}
	return counts
}

// exemptions says in words what passes whatever the rules say.
func exemptions(i *host.FirewallIntent) []string {
	out := []string{"loopback", fmt.Sprintf("IKE and ESP of the service itself (UDP %v)", i.Exempt.IKE)}
	for _, s := range i.Exempt.TCP {
		out = append(out, fmt.Sprintf("the service's own connection to the gateway %v (TCP)", s))
	}
	if len(i.Exempt.TCPPorts) > 0 {
		out = append(out, fmt.Sprintf("peers of the service itself (TCP %v)", i.Exempt.TCPPorts))
	}
	if i.Exempt.Lookup {
		out = append(out, "the service's own look-ups of gateway names (DNS)")
	}
	for _, s := range i.Exempt.Fetch {
		out = append(out, fmt.Sprintf("the service's own question to %v (TCP) whether a certificate was revoked", s))
	}
	if i.Exempt.DHCP {
		out = append(out, "DHCP of this machine")
	}
	if i.Exempt.NDP {
		out = append(out, "IPv6 neighbour discovery on the link")
	}
	for _, p := range i.Exempt.LAN {
		out = append(out, fmt.Sprintf("the local network %v", p))
	}
	if i.Exempt.LANDiscovery {
		out = append(out, "discovery on the local network (mDNS, LLMNR, SSDP)")
	}
	return out
}

// ExplainFlow implements api.Backend.
func (e *Engine) ExplainFlow(ctx context.Context, text string) (api.FlowAnswer, error) {
	var a api.FlowAnswer
	err := e.onLoop(ctx, func() error {
		if e.guard.compiled == nil {
			a = api.FlowAnswer{Flow: text, Action: "none", Protection: api.Clear,
				Why: []string{"No rule is in force: everything travels as it would without us."}}
			return nil
		}
		now := time.Now()
		x, err := e.guard.compiled.Explain(text, e.clearNow(now))
		if err != nil {
			return &api.Error{Code: api.CodeUsage, What: fmt.Sprintf("%q is not a flow.", text), Why: err.Error(),
				Next: "Write it as 10.1.2.3:443/tcp, or 192.0.2.7 -> 10.1.2.3:443/tcp."}
		}
		a = e.answer(&x, now)
		return nil
	})
	return a, err
}

// answer adds to the policy's explanation what the tunnels say.
func (e *Engine) answer(x *policy.Explanation, now time.Time) api.FlowAnswer {
	a := api.FlowAnswer{Flow: x.Flow, Rule: x.Rule, Action: x.Action, Protection: api.Clear, Connection: x.Connection,
		Assignment: e.guard.wishes.Assignment, Why: []string{x.Why, "The firewall: " + x.Firewall + "."}}
	for _, c := range x.Candidates {
		a.Why = append(a.Why, fmt.Sprintf("%s, %s: %s", cmp.Or(c.Rule, "local network"), c.Selectors, c.Why))
	}
	if x.Decider == nil {
		return a
	}
	if x.FilterList != "" {
		a.Filter = fmt.Sprintf("%s, filter %d: %s", x.FilterList, x.Filter, x.Selectors)
	}
	a.Protection = e.ruleProtection(x.Decider, now)
	dst := x.Packet.Dst.IP(x.Packet.V6)
	if c := e.endpointOf(x.Decider); c != nil {
		a.Connection = c.name
	} else if c := e.conns[peerName(x.Decider.Rule, dst)]; c != nil {
		a.Connection, a.Protection = c.name, e.protection(c, now)
	}
	if x.Decider.Action != policy.Negotiate {
		return a
	}
	for _, s := range e.sessions() {
		for _, k := range s.kids {
			if !k.retired && k.sa.Remote.Contains(dst, x.Packet.Proto, x.Packet.DstPort) {
				a.SA = fmt.Sprintf("%08x in, %08x out", k.sa.InSPI, k.sa.OutSPI)
				a.Since, a.Connection, a.Protection = k.since, s.conn.name, api.Protected
			}
		}
	}
	return a
}

// Simulate implements api.Backend. It works on the caller's goroutine; only
// the look at the machine is the loop's.
func (e *Engine) Simulate(ctx context.Context, r api.SimulateRequest) (api.Simulation, error) {
	p, err := policy.Parse(cmp.Or(r.Policy.Name, "policy")+profileSuffix, r.Policy.Text)
	if err != nil {
		return api.Simulation{}, policyFault(err)
	}
	var env policy.Env
	if err := e.call(ctx, func() { env = e.env() }); err != nil {
		return api.Simulation{}, err
	}
	var local []netip.Prefix
	for _, i := range env.Interfaces {
		local = append(local, i.Prefixes...)
	}
	sim, err := policy.Simulate(p, env, bytes.NewReader(r.Capture), local)
	if err != nil {
		return api.Simulation{}, policyFault(err)
	}
	out := api.Simulation{Flows: []api.SimulatedFlow{}, Skipped: sim.NotIP + sim.Bad + sim.Unlisted}
	for _, f := range sim.Flows {
		out.Flows = append(out.Flows, api.SimulatedFlow{Flow: f.Flow, Packets: f.Packets, Bytes: f.Bytes, Rule: f.Rule, Verdict: verdictWord(f.Verdict)})
	}
	return out, nil
}

func verdictWord(v policy.Verdict) string {
	if v == policy.VerdictRequested {
		return "protected or clear"
	}
	return string(v)
}

// drops returns what was dropped since the service started, by reason.
func (e *Engine) drops() map[string]uint64 {
	out := maps.Clone(e.lost)
	if e.net == nil {
		return out
	}
	for reason, n := range map[string]uint64{"ike: queue full": e.ikeFull.Swap(0), "events: queue full": e.eventFull.Swap(0), "ike: too many strangers": e.strangersFull.Swap(0)} {
		if n > 0 {
			e.lost[reason] += n
			out[reason] += n
		}
	}
	for reason, n := range e.ep.Drops() {
		out["ike: "+reason] += n
	}
	for reason, n := range e.net.dp.Stats().Drops {
		out["esp: "+reason] += n
	}
	if d := e.streams.door; d != nil {
		if n := d.turnedAway(); n > 0 {
			out["tcp: no room"] += n
		}
	}
	return out
}

// addDrops keeps the counts of a network that is about to close.
func (e *Engine) addDrops() { e.lost = e.drops() }

// explain makes a failure of a connection an api.Error.
func (e *Engine) explain(c *conn, err error) *api.Error {
	x := explain.Context{Connection: c.name}
	if c.profile != nil {
		x.Gateway = c.profile.Gateways
		x.Profile = c.mode
	}
	return explain.Explain(err, x)
}

// maxLogText bounds a line of the log in bytes: thousands of them are kept, and
// some quote strangers.
const maxLogText = 8 << 10

func logEntry(level api.LogLevel, topic, connection, format string, args ...any) api.LogEntry {
	text := fmt.Sprintf(format, args...)
	if len(text) > maxLogText {
		text = strings.ToValidUTF8(text[:maxLogText], "") + "…"
	}
	return api.LogEntry{Level: level, Topic: topic, Connection: connection, Text: text}
}
