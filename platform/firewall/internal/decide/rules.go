package decide

import (
	"net/netip"

	"sallyport/core/host"
	"sallyport/core/ts"
)

// Lists returns what decides about the packets of one address family and
// direction: the rules of i, with Exempt.LAN among them and Default at the end.
// opaque says that packets whose ports cannot be seen need the lists of Opaque.
func Lists(i *host.FirewallIntent, v6 bool, d host.FirewallDirection) (rules []host.FirewallRule, opaque bool) {
	lan := localNetworks(i, v6)
	for _, r := range i.Rules {
		if r.Remote.Is4() == v6 || r.Direction != host.FirewallBoth && r.Direction != d {
			continue
		}
		if r.Action == host.FirewallTunnelOnly && !host.NamesPrivate(r.Remote) {
			rules = appendLAN(rules, lan, r)
		}
		rules = append(rules, r)
	}
	every := ts.FromPrefix(everything(v6))
	rest := host.FirewallRule{Local: every, Remote: every, Action: i.Default}
	if i.Default != host.FirewallClear {
		rules = appendLAN(rules, lan, rest)
	}
	rules = append(rules, rest)
	for _, r := range rules {
		opaque = opaque || !r.Local.AnyPort() || !r.Remote.AnyPort()
	}
	return rules, opaque
}

// localNetworks returns what Exempt.LAN and LANDiscovery let pass.
func localNetworks(i *host.FirewallIntent, v6 bool) ts.List {
	var l ts.List
	for _, p := range i.Exempt.LAN {
		if p.Addr().Is6() == v6 {
			l = append(l, ts.FromPrefix(p))
		}
	}
	if !i.Exempt.LANDiscovery {
		return l
	}
	for _, d := range []struct {
		group string
		port  uint16
	}{
		{"224.0.0.251", 5353}, {"224.0.0.252", 5355}, {"239.255.255.250", 1900},
		{"ff02::fb", 5353}, {"ff02::1:3", 5355}, {"ff02::c", 1900},
	} {
		if a := netip.MustParseAddr(d.group); a.Is6() == v6 {
			l = append(l, ts.Selector{From: a, To: a, Protocol: protoUDP, FromPort: d.port, ToPort: d.port})
		}
	}
	return l
}

// appendLAN appends what goes before r so that it leaves the local networks
// alone. DNS stays with r: the resolver of a LAN is not part of the exemption.
func appendLAN(rules []host.FirewallRule, lan ts.List, r host.FirewallRule) []host.FirewallRule {
	for _, l := range lan {
		s, ok := r.Remote.Intersect(l)
		if !ok || s.Protocol != 0 && r.Local.Protocol != 0 && s.Protocol != r.Local.Protocol {
			continue
		}
		for _, protocol := range [...]uint8{protoTCP, protoUDP} {
			for _, port := range [...]uint16{53, 853} {
				d, ok := s.Intersect(ts.Selector{From: s.From, To: s.To, Protocol: protocol, FromPort: port, ToPort: port})
				if ok && (r.Local.Protocol == 0 || r.Local.Protocol == protocol) {
					rules = append(rules, host.FirewallRule{Local: r.Local, Remote: d, Action: r.Action, Label: r.Label})
				}
			}
		}
		rules = append(rules, host.FirewallRule{Local: r.Local, Remote: s, Action: host.FirewallClear})
	}
	return rules
}

func everything(v6 bool) netip.Prefix {
	if v6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// isOpaque reports whether s is for packets without visible ports.
func isOpaque(s ts.Selector) bool { return s.FromPort == 65535 && s.ToPort == 0 }

// seesNoPort reports whether s matches packets without visible ports.
func seesNoPort(s ts.Selector) bool { return s.AnyPort() || isOpaque(s) }

// Stop is the verdict of the first list of Opaque for a packet that no rule may
// drop: the second list decides.
const Stop host.FirewallAction = 100

// Opaque turns rules into two lists that judge a packet by addresses and
// protocol alone, and together find the strictest of the actions that it might
// get if its ports could be seen: any rule that would match with the right
// ports counts, down to the first that matches with any. The first list finds
// Drop, the second the rest. Of several rules with that action the first is the
// one that decides, but where it is Clear the one that matches with any ports.
func Opaque(rules []host.FirewallRule) (first, second []host.FirewallRule) {
	for _, r := range rules {
		sure := seesNoPort(r.Local) && seesNoPort(r.Remote)
		var scopes []host.FirewallRule
		if sure {
			scopes = []host.FirewallRule{withoutPorts(r, 0)}
		} else {
			for _, p := range portProtocols {
				if matchesProtocol(r.Local, p) && matchesProtocol(r.Remote, p) {
					scopes = append(scopes, withoutPorts(r, p))
				}
			}
		}
		for _, s := range scopes {
			switch {
			case s.Action == host.FirewallDrop:
				first = append(first, s)
				continue // the second list is not asked
			case sure:
				stop := s
				stop.Action, stop.Label = Stop, ""
				first = append(first, stop)
				second = append(second, s)
			case s.Action == host.FirewallTunnelOnly:
				second = append(second, s)
			}
		}
	}
	return first, second
}

func matchesProtocol(s ts.Selector, p uint8) bool { return s.Protocol == 0 || s.Protocol == p }

// withoutPorts widens r to every port, and narrows it to a protocol unless 0.
func withoutPorts(r host.FirewallRule, protocol uint8) host.FirewallRule {
	r.Local.FromPort, r.Local.ToPort = 0, 65535
	r.Remote.FromPort, r.Remote.ToPort = 0, 65535
	if protocol != 0 {
		r.Local.Protocol, r.Remote.Protocol = protocol, protocol
	}
	return r
}
