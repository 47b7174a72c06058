// Package decidetest holds the model of what firewall rules mean, and makes
// random rules and packets, for the tests of what they are compiled into.
package decidetest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"sallyport/core/host"
	"sallyport/core/ts"
)

// IP protocols that matter to the rules.
const (
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoICMPv6   = 58
	protoMobility = 135
)

// Every matches each packet of a family.
func Every(v6 bool) ts.Selector {
	a := netip.IPv4Unspecified()
	if v6 {
		a = netip.IPv6Unspecified()
	}
	return ts.FromPrefix(netip.PrefixFrom(a, 0))
}

// A Packet as rules see it.
type Packet struct {
	Local, Remote         netip.Addr
	Protocol              uint8
	LocalPort, RemotePort uint16
	Unseen                bool // ports cannot be seen
}

// String describes the packet.
func (p Packet) String() string {
	return fmt.Sprintf("local %v:%d remote %v:%d protocol %d unseen %v", p.Local, p.LocalPort, p.Remote, p.RemotePort, p.Protocol, p.Unseen)
}

// Judge is the model: what the documentation of host.FirewallIntent says, rule
// after rule.
func Judge(rules []host.FirewallRule, p Packet) host.FirewallAction {
	return Decider(rules, p).Action
}

// Decider returns the rule that decides, the zero rule when none does.
func Decider(rules []host.FirewallRule, p Packet) host.FirewallRule {
	if !p.Unseen || !ts.HasPorts(p.Protocol) {
		for _, r := range rules {
			if r.Local.Contains(p.Local, p.Protocol, p.LocalPort) && r.Remote.Contains(p.Remote, p.Protocol, p.RemotePort) {
				return r
			}
		}
		return host.FirewallRule{}
	}
	strictness := map[host.FirewallAction]int{host.FirewallClear: 1, host.FirewallTunnelOnly: 2, host.FirewallDrop: 3}
	var worst host.FirewallRule
	for _, r := range rules {
		anyPort := func(s ts.Selector) ts.Selector { s.FromPort, s.ToPort = 0, 65535; return s }
		if !anyPort(r.Local).ContainsOpaque(p.Local, p.Protocol) || !anyPort(r.Remote).ContainsOpaque(p.Remote, p.Protocol) {
			continue
		}
		sure := r.Local.ContainsOpaque(p.Local, p.Protocol) && r.Remote.ContainsOpaque(p.Remote, p.Protocol)
		if strictness[r.Action] > strictness[worst.Action] || sure && worst.Action == host.FirewallClear && r.Action == host.FirewallClear {
			worst = r
		}
		if sure {
			return worst
		}
	}
	return worst
}

// A World holds few values, so that random rules and packets meet.
type World struct {
	Rand *rand.Rand
	V6   bool
}

func (w World) addr() netip.Addr {
	n := byte(w.Rand.IntN(8))
	if w.V6 {
		return netip.AddrFrom16([16]byte{0xfd, 15: n})
	}
	return netip.AddrFrom4([4]byte{10, 0, 0, n})
}

func (w World) port() uint16 {
	return [...]uint16{0, 1, 22, 53, 443, 0x0800, 65534, 65535}[w.Rand.IntN(8)]
}

func (w World) protocol() uint8 {
	return [...]uint8{protoICMP, protoTCP, protoUDP, protoICMPv6, protoMobility, 50, 0, 255}[w.Rand.IntN(8)]
}

func (w World) selector() ts.Selector {
	s := Every(w.V6)
	if w.Rand.IntN(4) > 0 {
		s.From, s.To = w.addr(), w.addr()
		if s.To.Less(s.From) {
			s.From, s.To = s.To, s.From
		}
	}
	if w.Rand.IntN(2) == 0 {
		s.Protocol = w.protocol()
	}
	switch w.Rand.IntN(6) {
	case 0, 1:
		s.FromPort, s.ToPort = w.port(), w.port()
		if s.ToPort < s.FromPort {
			s.FromPort, s.ToPort = s.ToPort, s.FromPort
		}
	case 2:
		s.FromPort, s.ToPort = 65535, 0
	}
	return s
}

func (w World) label() string { return [...]string{"", "a", "b", "c"}[w.Rand.IntN(4)] }

// Rules makes n rules and one for every packet.
func (w World) Rules(n int) []host.FirewallRule {
	var rules []host.FirewallRule
	for len(rules) < n {
		r := host.FirewallRule{Local: w.selector(), Remote: w.selector(), Action: host.FirewallAction(1 + w.Rand.IntN(3)), Label: w.label()}
		if r.Local.Protocol != 0 && r.Remote.Protocol != 0 {
			r.Local.Protocol = r.Remote.Protocol
		}
		rules = append(rules, r)
	}
	every := Every(w.V6)
	return append(rules, host.FirewallRule{Local: every, Remote: every, Action: host.FirewallAction(1 + w.Rand.IntN(3))})
}

// Packet makes a packet.
func (w World) Packet() Packet {
	p := Packet{Local: w.addr(), Remote: w.addr(), Protocol: w.protocol()}
	switch {
	case !ts.HasPorts(p.Protocol):
		p.Unseen = w.Rand.IntN(2) == 0
		return p
	case w.Rand.IntN(3) == 0:
		p.Unseen = true
		return p
	}
	p.LocalPort, p.RemotePort = w.port(), w.port()
	switch p.Protocol {
	case protoICMP, protoICMPv6:
		p.LocalPort = p.RemotePort
	case protoMobility:
		p.RemotePort &= 0xff00
		p.LocalPort = p.RemotePort
	}
	return p
}
