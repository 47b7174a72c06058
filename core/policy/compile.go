package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sallyport/core/host"
	"sallyport/core/ts"
)

// maxEntries bounds what a policy may become.
const maxEntries = 100_000

// Compile makes p ready for the machine. A policy that Validate finds errors in
// is refused with these errors; what it warns of is compiled as it stands.
func Compile(p *Policy, env Env) (*Compiled, error) {
	c, found := Examine(p, env)
	if err := found.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// compile compiles a policy whose fields have been checked.
func compile(p *Policy, env Env) (*Compiled, Findings) {
	b := compiler{policy: p, env: env, Compiled: &Compiled{Policy: p.Name, Response: -1, pins: p.PinnedPeers()}}
	for _, i := range env.Interfaces {
		for _, p := range i.Prefixes {
			b.locals = append(b.locals, netip.PrefixFrom(p.Addr().WithZone("").Unmap(), p.Bits()))
		}
	}
	for i := range p.Rules {
		if p.Rules[i].Enabled {
			b.rule(i)
		}
	}
	b.response()
	b.fragments()
	if len(b.findings) == 0 && len(b.entries) > maxEntries {
		b.bad("rules", "the filters stand for %d entries on this machine (limit %d)", len(b.entries), maxEntries)
	}
	if len(b.findings) > 0 {
		return nil, b.findings
	}
	b.sort()
	b.exemptLAN()
	b.finish()
	return b.Compiled, nil
}

// A compiler makes one Compiled.
type compiler struct {
	*Compiled
	policy   *Policy
	env      Env
	entries  []sortable
	findings Findings
}

type sortable struct {
	Entry
	rank  rank
	order int // in the policy
}

func (b *compiler) bad(field, format string, args ...any) {
	b.findings = append(b.findings, b.policy.finding(SeverityError, field, format, args...))
}

func (b *compiler) rule(index int) {
	r := &b.policy.Rules[index]
	list, okList := b.policy.List(r.FilterList)
	action, okAction := b.policy.Action(r.FilterAction)
	field := at("rules", index)
	if !okList || !okAction {
		b.bad(field, "names a filter list or action that does not exist")
		return
	}
	base := Entry{Rule: r.Name, RuleIndex: index, List: list.Name}
	var gateway []netip.Addr
	switch action.Action {
	case ActionPermit:
		base.Action = Permit
	case ActionBlock:
		base.Action = Block
	default:
		base.Action = Negotiate
		base.Negotiation = action.negotiation()
	}
	base.Endpoint, base.Connection, base.Gateway, gateway = b.endpoint(r)
	if base.Action == Negotiate {
		base.Negotiation.Peer = len(b.Peers)
	} else {
		base.Endpoint, base.Connection, base.Gateway = EndpointNone, "", netip.Addr{}
	}
	first := len(b.entries)
	for i := range list.Filters {
		f := &list.Filters[i]
		pattern, faults := f.parse()
		if len(faults) > 0 {
			b.bad(field, "filter %d of %s: %s: %v", i, shown(list.Name), faults[0].field, faults[0].err)
			return
		}
		for _, m := range pattern.expand(f.Mirrored, gateway) {
			for _, local := range b.onType(m.local, r.ConnectionType, base.MustProtect()) {
				e := base
				e.Filter, e.Direction, e.LocalMe = i, m.direction, m.localMe
				e.Local, e.Remote = ts.List{local}, ts.List{m.remote}
				b.add(e)
			}
		}
		if len(b.entries) > 2*maxEntries {
			return // compile says that it is too much
		}
	}
	if base.Action == Negotiate {
		b.Peers = append(b.Peers, b.peer(r, &base, b.entries[first:]))
	}
}

func (b *compiler) add(e Entry) {
	e.ID = e.identity()
	b.entries = append(b.entries, sortable{e, rankOf(&e), len(b.entries)})
}

// identity makes the ID.
func (e *Entry) identity() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %d %d %v %v", e.Rule, e.Kind, e.Direction, e.Local[0], e.Remote[0]))
	return hex.EncodeToString(sum[:8])
}

// endpoint returns where the tunnel of a rule ends, and the addresses there.
func (b *compiler) endpoint(r *Rule) (kind EndpointKind, connection string, gateway netip.Addr, addrs []netip.Addr) {
	if r.Tunnel == "" {
		return EndpointHost, "", netip.Addr{}, nil
	}
	if a, err := netip.ParseAddr(r.Tunnel); err == nil {
		return EndpointGateway, "", a, []netip.Addr{a}
	}
	for _, c := range b.env.Connections {
		if c.Name == r.Tunnel {
			for _, e := range c.Endpoints {
				addrs = append(addrs, e.Addr().Unmap())
			}
		}
	}
	return EndpointConnection, r.Tunnel, netip.Addr{}, addrs
}

// onType limits the local addresses to those of a connection type. What must
// be protected is limited by leaving out the addresses known to be of the other
// type, so that an address that is new for a moment is within.
func (b *compiler) onType(local ts.Selector, connectionType string, strict bool) []ts.Selector {
	var ours, others InterfaceKind
	switch connectionType {
	case TypeLAN:
		ours, others = KindLAN, KindRemote
	case TypeRemote:
		ours, others = KindRemote, KindLAN
	default:
		return []ts.Selector{local}
	}
	kind := ours
	if strict {
		kind = others
	}
	var addrs []netip.Addr
	for _, i := range b.env.Interfaces {
		if i.Kind != kind {
			continue
		}
		for _, p := range i.Prefixes {
			if a := p.Addr().WithZone("").Unmap(); a.Is4() == local.Is4() && local.From.Compare(a) <= 0 && a.Compare(local.To) <= 0 {
				addrs = append(addrs, a)
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	var out []ts.Selector
	if !strict {
		for _, a := range addrs {
			s := local
			s.From, s.To = a, a
			out = append(out, s)
		}
		return out
	}
	rest := local
	for _, a := range addrs {
		if before := a.Prev(); before.IsValid() && rest.From.Compare(before) <= 0 {
			s := rest
			s.To = before
			out = append(out, s)
		}
		next := a.Next()
		if !next.IsValid() || next.Compare(rest.To) > 0 {
			return out
		}
		rest.From = next
	}
	return append(out, rest)
}

// negotiation returns the settings with their defaults.
func (a *FilterAction) negotiation() *Negotiation {
	n := &Negotiation{
		Methods:             slices.Clone(a.Methods),
		AcceptUnsecured:     a.AcceptUnsecured,
		FallbackToUnsecured: a.FallbackToUnsecured,
		FallbackTime:        a.FallbackTime.Duration,
		RespondOnly:         a.RespondOnly,
		SessionKeyPFS:       a.SessionKeyPFS,
		RekeyTime:           time.Duration(a.RekeySeconds) * time.Second,
		RekeyBytes:          a.RekeyKilobytes * 1024,
	}
	if n.FallbackTime == 0 {
		n.FallbackTime = defaultFallbackTime
	}
	if n.RekeyTime == 0 {
		n.RekeyTime = defaultRekeySeconds * time.Second
	}
	return n
}

func (k *KeyExchange) settings() KeyExchangeSettings {
	s := KeyExchangeSettings{Methods: slices.Clone(k.Methods), MasterKeyPFS: k.MasterKeyPFS, Lifetime: k.Lifetime.Duration}
	if s.Lifetime == 0 {
		s.Lifetime = defaultMainLifetime
	}
	return s
}

// peer returns the peer entry of a rule that negotiates.
func (b *compiler) peer(r *Rule, base *Entry, entries []sortable) Peer {
	p := Peer{
		Rule:     r.Name,
		Initiate: !base.Negotiation.RespondOnly,
		IKE:      b.policy.KeyExchange.settings(),
		ESP:      slices.Clone(base.Negotiation.Methods),
	}
	switch base.Endpoint {
	case EndpointConnection:
		p.Connection = base.Connection
		return p
	case EndpointGateway:
		p.Addresses = ts.List{ts.FromPrefix(netip.PrefixFrom(base.Gateway, base.Gateway.BitLen()))}
	default:
		seen := map[ts.Selector]bool{}
		for i := range entries {
			s := entries[i].Remote[0]
			s.Protocol, s.FromPort, s.ToPort = 0, 0, 65535
			if !seen[s] {
				seen[s] = true
				p.Addresses = append(p.Addresses, s)
			}
		}
	}
	p.Auth = cloneAuth(r.Auth)
	for i := range entries {
		p.Allowed = append(p.Allowed, Pair{entries[i].Local[0], entries[i].Remote[0]})
	}
	return p
}

// response adds the peer entry of the default response rule: anybody who
// authenticates may secure what no rule decides otherwise.
func (b *compiler) response() {
	d := &b.policy.DefaultResponse
	if !d.Enabled {
		return
	}
	b.Response = len(b.Peers)
	p := Peer{Addresses: ts.Any(), Auth: cloneAuth(d.Auth), IKE: b.policy.KeyExchange.settings(), ESP: slices.Clone(d.Methods)}
	for _, s := range ts.Any() {
		p.Allowed = append(p.Allowed, Pair{s, s})
	}
	b.Peers = append(b.Peers, p)
}

// dnsPorts are those of DNS, and of DNS over TLS and over QUIC (RFC 7858, RFC
// 9250).
var dnsPorts = []uint16{53, 853}

// exemptLAN lets the local network pass just before each entry that would
// secure it, unless that entry names private addresses and is thereby meant
// for them. Name servers are no part of the exemption.
func (b *compiler) exemptLAN() {
	if !b.policy.Exemptions.LAN {
		return
	}
	for _, i := range b.env.Interfaces {
		for _, p := range i.Prefixes {
			p = netip.PrefixFrom(p.Addr().WithZone("").Unmap(), p.Bits())
			if i.Kind == KindLAN && p.IsValid() && host.LANPrefix(p) && !slices.Contains(b.lan, p.Masked()) {
				b.lan = append(b.lan, p.Masked())
			}
		}
	}
	slices.SortFunc(b.lan, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var exempt ts.List
	for _, p := range b.lan {
		exempt = append(exempt, ts.FromPrefix(p))
	}
	if b.discovery = b.policy.Exemptions.LANDiscovery && len(b.lan) > 0; b.discovery {
		exempt = append(exempt, discovered()...)
	}
	rules := b.entries
	b.entries = nil
	for i := range rules {
		if e := &rules[i]; e.Action == Negotiate && !host.NamesPrivate(e.Remote[0]) {
			for _, s := range exempt {
				b.exempt(e, s)
			}
		}
		b.entries = append(b.entries, rules[i])
	}
}

// discovered returns where a local network is asked for names and services:
// multicast DNS (RFC 6762), LLMNR (RFC 4795) and SSDP.
func discovered() ts.List {
	var out ts.List
	for _, text := range []string{
		"224.0.0.251[udp/5353]", "224.0.0.252[udp/5355]", "239.255.255.250[udp/1900]",
		"ff02::fb[udp/5353]", "ff02::1:3[udp/5355]", "ff02::c[udp/1900]",
	} {
		s, err := ts.Parse(text)
		if err != nil {
			panic(err) // the table is above
		}
		out = append(out, s)
	}
	return out
}

// exempt adds the entry that takes s out of e, after those for name servers
// there, which remain e's.
func (b *compiler) exempt(e *sortable, s ts.Selector) {
	part, ok := cut(e.Entry, s)
	if !ok {
		return
	}
	if s.Protocol == 0 {
		for _, dns := range nameServers(s) {
			if d, ok := cut(e.Entry, dns); ok {
				d.Kind = FromLANDNS
				b.add(d)
			}
		}
	}
	part.Rule, part.RuleIndex, part.List, part.Filter = "", -1, "", 0
	part.Kind, part.Action, part.Direction = FromLAN, Permit, e.Direction
	part.Endpoint, part.Connection, part.Gateway, part.Negotiation = EndpointNone, "", netip.Addr{}, nil
	b.add(part)
}

// nameServers returns the selectors of DNS in s, with the fragments that could
// hide some.
func nameServers(s ts.Selector) ts.List {
	var out ts.List
	for _, s.Protocol = range []uint8{6, 17} {
		for _, port := range dnsPorts {
			s.FromPort, s.ToPort = port, port
			out = append(out, s)
		}
		s.FromPort, s.ToPort = 65535, 0
		out = append(out, s)
	}
	return out
}

// cut returns the part of e with remote ends in s.
func cut(e Entry, s ts.Selector) (Entry, bool) {
	remote, ok := e.Remote[0].Intersect(s)
	if !ok {
		return e, false
	}
	local := e.Local[0]
	local.Protocol = remote.Protocol
	if remote.FromPort > remote.ToPort && !local.AnyPort() {
		// Packets show both ports or neither.
		if local.FromPort <= local.ToPort {
			return e, false
		}
	}
	e.Local, e.Remote = ts.List{local}, ts.List{remote}
	return e, true
}

// fragments adds, for each entry that looks at ports and does not permit, one
// for the packets that hide theirs: fragments but the first. They might belong
// to it, so they do not pass as something else (RFC 4301, section 7).
func (b *compiler) fragments() {
	seen := map[string]bool{}
	for i := range b.entries {
		e := b.entries[i].Entry
		if e.Action == Permit || e.Local[0].AnyPort() && e.Remote[0].AnyPort() {
			continue
		}
		local, remote := e.Local[0], e.Remote[0]
		for _, s := range []*ts.Selector{&local, &remote} {
			if !s.AnyPort() {
				s.FromPort, s.ToPort = 65535, 0
			}
		}
		e.Local, e.Remote = ts.List{local}, ts.List{remote}
		kind := e.Kind
		if kind == FromRule {
			e.Kind = FromFragments
		}
		if id := e.identity(); !seen[id] {
			seen[id] = true
			b.add(e)
		}
	}
}

// sort puts the entries in the order of decision.
func (b *compiler) sort() {
	slices.SortStableFunc(b.entries, func(x, y sortable) int {
		if c := x.rank.compare(y.rank); c != 0 {
			return c
		}
		if c := x.strictness() - y.strictness(); c != 0 {
			return c
		}
		if c := x.RuleIndex - y.RuleIndex; c != 0 {
			return c
		}
		return x.order - y.order
	})
}

// finish makes what is looked up.
func (b *compiler) finish() {
	b.Entries = make([]Entry, len(b.entries))
	b.boxes = make([]box, len(b.entries))
	for i := range b.entries {
		b.Entries[i] = b.entries[i].Entry
		b.boxes[i] = boxOf(b.Entries[i].Local[0], b.Entries[i].Remote[0])
	}
	b.out, b.in = newMatcher(b.Entries, Out), newMatcher(b.Entries, In)
	b.Routes = b.RoutesFor(nil)
}

// at writes the path of a list's element.
func at(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// quoted writes names for a message.
func quoted(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = shown(n)
	}
	return strings.Join(q, ", ")
}
