package policy

import (
	"math"
	"net/netip"
	"slices"

	"sallyport/core/host"
	"sallyport/core/ippkt"
	"sallyport/core/spd"
	"sallyport/core/ts"
)

// A Clear tells which remote networks an entry lets pass in clear text for the
// moment: those it fell back for, or with RespondOnly those that nobody asked
// to secure. It is never asked about entries that must protect, and what it says of pinned peers (see
// Downgrade) is ignored. A nil Clear says none.
type Clear func(*Entry) []netip.Prefix

// A Line is a part of an entry with what happens to it at the moment: the
// entries that may pass in clear text are cut into what does and what not.
type Line struct {
	Local, Remote ts.Selector
	Action        Action // Permit where Clear says so
	Entry         *Entry
}

// Lines returns the entries as they stand, in the order of decision.
func (c *Compiled) Lines(clear Clear) []Line {
	out := make([]Line, 0, len(c.Entries))
	for i := range c.Entries {
		e := &c.Entries[i]
		if clear != nil && e.Action == Negotiate && !e.MustProtect() {
			for _, pin := range c.pins {
				if remote, ok := e.Remote[0].Intersect(pin); ok {
					out = append(out, Line{e.Local[0], remote, Negotiate, e})
				}
			}
			for _, p := range clear(e) {
				if !p.IsValid() {
					continue
				}
				s := ts.FromPrefix(p)
				if remote, ok := e.Remote[0].Intersect(s); ok {
					out = append(out, Line{e.Local[0], remote, Permit, e})
				}
			}
		}
		out = append(out, Line{e.Local[0], e.Remote[0], e.Action, e})
	}
	return out
}

// SPD returns lines as entries of the security policy database for packets
// that leave, with the group of each entry whose action is Negotiate. What no
// line matches passes.
func SPD(lines []Line, group func(*Entry) uint32) []spd.Entry {
	out := make([]spd.Entry, 0, len(lines)+2)
	for _, l := range lines {
		if l.Entry.Direction == In {
			continue
		}
		e := spd.Entry{Local: ts.List{l.Local}, Remote: ts.List{l.Remote}}
		switch l.Action {
		case Permit:
			e.Action = spd.Bypass
		case Negotiate:
			e.Action, e.Group = spd.Protect, group(l.Entry)
		default:
			e.Action = spd.Discard
		}
		out = append(out, e)
	}
	for _, s := range ts.Any() {
		out = append(out, spd.Entry{Local: ts.List{s}, Remote: ts.List{s}, Action: spd.Bypass})
	}
	return out
}

// A matcher finds the entry of a flow in one direction.
type matcher struct {
	spd   *spd.Policy
	index []int // of its entries in Compiled.Entries
}

func newMatcher(entries []Entry, d Direction) *matcher {
	m := new(matcher)
	var list []spd.Entry
	for i := range entries {
		if e := &entries[i]; e.Direction == Both || e.Direction == d {
			list = append(list, spd.Entry{Local: e.Local, Remote: e.Remote})
			m.index = append(m.index, i)
		}
	}
	m.spd = spd.NewPolicy(list)
	return m
}

// lookup returns the entry's index or -1.
func (m *matcher) lookup(f *ippkt.Flow) int {
	_, i := m.spd.Lookup(f)
	if i < 0 {
		return -1
	}
	return m.index[i]
}

// Lookup returns the entry that decides about a packet that leaves; nil when
// none does, and the packet passes. It does not allocate, and its cost hardly
// grows with the number of entries.
func (c *Compiled) Lookup(f *ippkt.Flow) *Entry {
	if i := c.out.lookup(f); i >= 0 {
		return &c.Entries[i]
	}
	return nil
}

// LookupIn returns the entry that decides about a packet that arrives.
func (c *Compiled) LookupIn(f *ippkt.Flow) *Entry {
	r := f.Reverse()
	if i := c.in.lookup(&r); i >= 0 {
		return &c.Entries[i]
	}
	return nil
}

// A FirewallState is what the firewall intent depends on beside the policy.
type FirewallState struct {
	Device    string       // the tunnel device
	Inner     []netip.Addr // its addresses
	IKE       []uint16     // local UDP ports of the service
	Lookup    bool         // the service must ask name servers for its gateways
	DNSInside bool         // the tunnel carries DNS
	Clear     Clear
	// Secured are what SAs of a rule protect at the moment: it must not travel
	// otherwise, though the rule would let it. More specific rules still decide
	// before.
	Secured func(rule string) []host.FirewallRule
}

// Firewall returns the intent of the firewall in a state of the machine. What
// must be protected is never clear in it, in no state.
func (c *Compiled) Firewall(s FirewallState) host.FirewallIntent {
	intent := host.FirewallIntent{
		Device:    s.Device,
		Inner:     slices.Clone(s.Inner),
		Default:   host.FirewallClear,
		DNSInside: s.DNSInside,
		Exempt: host.FirewallExempt{
			IKE: slices.Clone(s.IKE), Lookup: s.Lookup, DHCP: true, NDP: true,
			LAN: slices.Clone(c.lan), LANDiscovery: c.discovery,
		},
	}
	var last *Entry
	for _, l := range c.Lines(s.Clear) {
		if l.Entry.Kind == FromLAN || l.Entry.Kind == FromLANDNS {
			continue // the intent has the exemption as such, and knows of DNS
		}
		if l.Entry != last && l.Entry.Action == Negotiate && s.Secured != nil {
			for _, r := range s.Secured(l.Entry.Rule) {
				local, ok1 := r.Local.Intersect(l.Entry.Local[0])
				remote, ok2 := r.Remote.Intersect(l.Entry.Remote[0])
				if ok1 && ok2 {
					intent.Rules = append(intent.Rules, host.FirewallRule{Local: local, Remote: remote, Action: r.Action, Direction: l.Entry.Direction.firewall(), Label: l.Entry.Rule})
				}
			}
		}
		last = l.Entry
		r := host.FirewallRule{Local: l.Local, Remote: l.Remote, Direction: l.Entry.Direction.firewall(), Label: l.Entry.Rule}
		switch l.Action {
		case Permit:
			r.Action = host.FirewallClear
		case Negotiate:
			r.Action = host.FirewallTunnelOnly
		default:
			r.Action = host.FirewallDrop
		}
		intent.Rules = append(intent.Rules, r)
	}
	intent.Beside = c.beside(s.Clear)
	return intent
}

func (d Direction) firewall() host.FirewallDirection {
	switch d {
	case Out:
		return host.FirewallOut
	case In:
		return host.FirewallIn
	}
	return host.FirewallBoth
}

// beside returns the networks in which traffic is negotiated, and those that are
// permitted, which may lie within what is routed into the device. What is not
// clear there the rules keep from leaving beside it.
func (c *Compiled) beside(clear Clear) []netip.Prefix {
	routes := c.RoutesFor(clear)
	if len(routes) == 0 {
		return nil
	}
	var all ts.List
	for _, p := range routes {
		all = append(all, ts.FromPrefix(p))
	}
	for i := range c.Entries {
		if e := &c.Entries[i]; e.Action == Permit && e.Direction != In {
			all = append(all, ts.Selector{From: e.Remote[0].From, To: e.Remote[0].To, ToPort: math.MaxUint16})
		}
	}
	return all.Prefixes()
}

// RoutesFor returns the networks that lead into the tunnel device: to each of
// their addresses some traffic is negotiated that is not clear at the moment.
func (c *Compiled) RoutesFor(clear Clear) []netip.Prefix {
	routes, _ := c.routes(clear)
	return routes
}

// Shared returns those of the routes to whose addresses some traffic is also
// permitted. It enters the tunnel device, and must leave it unsecured.
func (c *Compiled) Shared(clear Clear) []netip.Prefix {
	_, shared := c.routes(clear)
	return shared
}

func (c *Compiled) routes(clear Clear) (routes, shared []netip.Prefix) {
	lines := c.Lines(clear)
	var toTunnel, both ts.List
	for _, v6 := range []bool{false, true} {
		t, b := sweep(lines, v6)
		toTunnel, both = append(toTunnel, t...), append(both, b...)
	}
	return toTunnel.Prefixes(), both.Prefixes()
}

var multicast4 = ts.FromPrefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{224}), 4))

// sweep goes through the remote addresses of a family from boundary to
// boundary, with the lines that concern them.
func sweep(lines []Line, v6 bool) (negotiated, shared ts.List) {
	type boundary struct {
		at   ippkt.Addr
		line int
		open bool
	}
	var bounds []boundary
	var last ippkt.Addr
	for i := range lines {
		l := &lines[i]
		// DNS to a name server on an exempt local network does not draw that
		// network into the tunnel; the firewall keeps it from leaving.
		if l.Remote.Is4() == v6 || l.Entry.Direction == In || l.Entry.Kind == FromLANDNS {
			continue
		}
		// Packets of one link are sent to an interface, not by routes.
		if l.Entry.Kind == FromLAN && v6 && (l.Remote.From.IsLinkLocalUnicast() || l.Remote.From.IsMulticast()) {
			continue
		}
		remote := l.Remote
		if l.Entry.Kind == FromLAN && remote.From.IsMulticast() {
			remote = multicast4 // in one piece, rather than in two dozens around a few groups
		}
		bounds = append(bounds, boundary{ippkt.AddrFrom(remote.From), i, true})
		if to := ippkt.AddrFrom(remote.To); !remote.To.Next().IsValid() {
			last = to
		} else {
			bounds = append(bounds, boundary{to.Next(), i, false})
		}
	}
	slices.SortFunc(bounds, func(a, b boundary) int { return a.at.Compare(b.at) })
	var active []int // lines, in order
	for k := 0; k < len(bounds); {
		at := bounds[k].at
		for ; k < len(bounds) && bounds[k].at == at; k++ {
			i, found := slices.BinarySearch(active, bounds[k].line)
			switch {
			case bounds[k].open && !found:
				active = slices.Insert(active, i, bounds[k].line)
			case !bounds[k].open && found:
				active = slices.Delete(active, i, i+1)
			}
		}
		end := last
		if k < len(bounds) {
			end = bounds[k].at.Prev()
		}
		tunnel, clear, rest := false, false, true
		for _, i := range active {
			switch lines[i].Action {
			case Negotiate:
				tunnel = true
			case Permit:
				clear = true
			}
			if lines[i].Entry.Kind == FromLAN || lines[i].whole() {
				rest = false
				break
			}
		}
		if !tunnel {
			continue
		}
		s := ts.Selector{From: at.IP(v6), To: end.IP(v6), ToPort: math.MaxUint16}
		negotiated = append(negotiated, s)
		if clear || rest {
			shared = append(shared, s)
		}
	}
	return negotiated, shared
}

// whole reports whether a line matches everything to its remote addresses.
func (l *Line) whole() bool {
	any := ts.Any()[0]
	if !l.Local.Is4() {
		any = ts.Any()[1]
	}
	return l.Local == any && l.Remote.Protocol == 0 && l.Remote.AnyPort()
}
