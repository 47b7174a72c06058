package policy

import (
	"fmt"
	"net/netip"

	"sallyport/core/api"
	"sallyport/core/pool"
	"sallyport/core/profile"
	"sallyport/core/ts"
)

func fromProfile(p *profile.Connection) (Connection, error) {
	c := Connection{Name: p.Name, Responder: p.IsResponder(), Profile: p.PolicyProfile()}
	for _, g := range p.Gateways {
		name, port, err := profile.SplitGateway(g)
		if err != nil {
			return c, fmt.Errorf("policy: connection %q: %w", p.Name, err)
		}
		c.Gateways = append(c.Gateways, name)
		if a, err := netip.ParseAddr(name); err == nil {
			if port == 0 {
				port = 500
			}
			c.Endpoints = append(c.Endpoints, netip.AddrPortFrom(a.Unmap(), port))
		}
	}
	for i := range p.Children {
		ch, err := fromChild(p, &p.Children[i])
		if err != nil {
			return c, fmt.Errorf("policy: connection %q: child %q: %w", p.Name, p.Children[i].Name, err)
		}
		c.Children = append(c.Children, ch)
	}
	for _, pl := range p.Pools {
		from, to, err := pool.ParseRange(pl.Addresses)
		if err != nil {
			return c, fmt.Errorf("policy: connection %q: pool %q: %w", p.Name, pl.Name, err)
		}
		c.Pools = append(c.Pools, ts.Selector{From: from, To: to, ToPort: 65535})
	}
	return c, nil
}

func fromChild(p *profile.Connection, ch *profile.Child) (Child, error) {
	out := Child{Name: ch.Name}
	for _, side := range []struct {
		texts         []string
		list, dynamic *ts.List
		everything    bool // when nothing is said; else the end's own address
	}{
		{ch.LocalTS, &out.Local, &out.LocalDynamic, p.IsResponder()},
		{ch.RemoteTS, &out.Remote, &out.RemoteDynamic, !p.IsResponder()},
	} {
		switch {
		case len(side.texts) > 0:
		case side.everything:
			*side.list = ts.Any()
		default:
			*side.dynamic = ts.List{{ToPort: 65535}}
		}
		for _, text := range side.texts {
			s, dynamic, err := profile.ParseSelector(text)
			switch {
			case err != nil:
				return out, err
			case dynamic:
				*side.dynamic = append(*side.dynamic, s)
			default:
				*side.list = append(*side.list, s)
			}
		}
	}
	return out, nil
}

func forConnection(c Connection, profile api.Profile) (*Policy, error) {
	p := New(c.Name + " - " + PresetName(profile))
	list := FilterList{Name: "Protected networks", Description: fmt.Sprintf("What the connection %q protects.", c.Name)}
	for i := range c.Children {
		filters, err := c.filters(&c.Children[i])
		if err != nil {
			return nil, err
		}
		list.Filters = append(list.Filters, filters...)
	}
	action := ""
	switch profile {
	case api.Respond:
		p.Description, action = "Secures the protected networks once the user or the peer asks.", StockRespond
	case api.Request:
		p.Description, action = "Asks for security towards the protected networks; falls back to clear text, and shows it.", StockRequest
	case api.Require:
		p.Description, action = "Reaches the protected networks secured or not at all.", StockRequire
	default:
		return nil, fmt.Errorf("policy: unknown profile %q", profile)
	}
	p.FilterLists = []FilterList{list}
	p.Rules = []Rule{{Name: c.Name, FilterList: list.Name, FilterAction: action, Tunnel: c.Name, Enabled: true}}
	if profile == api.Require {
		c.blockOtherFamily(p)
	}
	return p, nil
}

// filters returns the filters of a child.
func (c *Connection) filters(ch *Child) ([]Filter, error) {
	var locals, remotes []side
	for _, s := range ch.LocalDynamic {
		locals = append(locals, side{WordMe, s})
	}
	for _, s := range ch.Local {
		// Our side of a tunnel is this machine, and the networks behind it only
		// where we are the gateway of them.
		word := ""
		if whole(s) {
			word = WordMe
		}
		locals = append(locals, side{word, s})
	}
	for _, s := range ch.RemoteDynamic {
		if !c.Responder {
			remotes = append(remotes, side{WordGateway, s})
			continue
		}
		// A peer of a responder without pools keeps its own address, which is
		// not known before it comes: no traffic of ours is matched.
		for _, pool := range c.Pools {
			pool.Protocol, pool.FromPort, pool.ToPort = s.Protocol, s.FromPort, s.ToPort
			remotes = append(remotes, side{"", pool})
		}
	}
	for _, s := range ch.Remote {
		remotes = append(remotes, side{"", s})
	}
	var out []Filter
	for _, l := range locals {
		for _, r := range remotes {
			f, ok, err := makeFilter(l, r)
			if err != nil {
				return nil, fmt.Errorf("policy: connection %q: child %q: %w", c.Name, ch.Name, err)
			}
			if ok && !contains(out, f) {
				out = append(out, f)
			}
		}
	}
	return out, nil
}

func contains(l []Filter, f Filter) bool {
	for _, o := range l {
		if o == f {
			return true
		}
	}
	return false
}

// makeFilter writes a pair of selectors as a filter; false when they are of
// two families or protocols. What a filter cannot say (types of ICMP, packets
// without ports) becomes wider: more is protected, not less.
func makeFilter(l, r side) (Filter, bool, error) {
	if l.word == "" && r.word == "" && l.sel.Is4() != r.sel.Is4() {
		return Filter{}, false, nil
	}
	protocol := r.sel.Protocol
	if protocol == 0 {
		protocol = l.sel.Protocol
	} else if l.sel.Protocol != 0 && l.sel.Protocol != protocol {
		return Filter{}, false, nil
	}
	f := Filter{Source: l.address(), Destination: r.address(), Mirrored: true}
	if protocol == 0 {
		return f, true, nil
	}
	f.Protocol = protocolText(protocol)
	f.SourcePort, f.DestinationPort = portText(protocol, l.sel), portText(protocol, r.sel)
	if _, faults := f.parse(); len(faults) > 0 {
		return f, false, faults[0].err
	}
	return f, true, nil
}

func (s *side) address() string {
	if s.word != "" {
		return s.word
	}
	plain := s.sel
	plain.Protocol, plain.FromPort, plain.ToPort = 0, 0, 65535
	return plain.String()
}

func protocolText(p uint8) string {
	switch p {
	case 6:
		return "tcp"
	case 17:
		return "udp"
	}
	return fmt.Sprint(p)
}

func portText(protocol uint8, s ts.Selector) string {
	switch {
	case s.AnyPort() || s.FromPort > s.ToPort || protocol == 1 || protocol == 58 || protocol == 135 || !ts.HasPorts(protocol):
		return ""
	case s.FromPort == s.ToPort:
		return fmt.Sprint(s.FromPort)
	}
	return fmt.Sprintf("%d-%d", s.FromPort, s.ToPort)
}

func whole(s ts.Selector) bool {
	for _, a := range ts.Any() {
		if a.From == s.From && a.To == s.To {
			return true
		}
	}
	return false
}

// blockOtherFamily closes the way around a tunnel for everything of one
// address family: the other family, where nothing of it is protected.
func (c *Connection) blockOtherFamily(p *Policy) {
	var everything, something [2]bool
	for _, ch := range c.Children {
		for _, s := range ch.Remote {
			family := 1
			if s.Is4() {
				family = 0
			}
			something[family] = true
			if whole(s) && s.Protocol == 0 && s.AnyPort() {
				everything[family] = true
			}
		}
	}
	for family, other := range []int{1, 0} {
		if !everything[family] || something[other] {
			continue
		}
		all, name := "0.0.0.0/0", "IPv4"
		if other == 1 {
			all, name = "::/0", "IPv6"
		}
		list := "All " + name + " Traffic"
		p.FilterLists = append(p.FilterLists, FilterList{Name: list, Filters: []Filter{{Source: WordMe, Destination: all, Mirrored: true}}})
		p.Rules = append(p.Rules, Rule{Name: "No " + name + " around the tunnel", FilterList: list, FilterAction: StockBlock, Enabled: true})
	}
}
