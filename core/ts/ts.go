// Package ts holds traffic selectors: ranges of addresses, ports and a
// protocol, their matching and narrowing (RFC 7296, sections 2.9 and 3.13).
package ts

import (
	"cmp"
	"net/netip"
)

// A Selector matches packets of one address family by one end: address range,
// port range and protocol. Both bounds are inclusive.
type Selector struct {
	From, To         netip.Addr // same family, From ≤ To
	Protocol         uint8      // 0: any
	FromPort, ToPort uint16     // 0..65535: any. ICMP: type<<8|code. OPAQUE: From 65535, To 0
}

// A List matches what any of its selectors matches.
type List []Selector

// MaxSelectors is how many selectors a list may have on the wire.
const MaxSelectors = 255

// FromPrefix returns the selector of every packet from or to an address in p,
// whose host bits are ignored. p must be valid.
func FromPrefix(p netip.Prefix) Selector {
	p = p.Masked()
	return Selector{From: p.Addr(), To: lastOf(p), ToPort: 65535}
}

// Any returns the selectors of every IPv4 and every IPv6 packet.
func Any() List {
	return List{
		FromPrefix(netip.PrefixFrom(netip.IPv4Unspecified(), 0)),
		FromPrefix(netip.PrefixFrom(netip.IPv6Unspecified(), 0)),
	}
}

// Valid reports whether s keeps what the fields promise.
func (s Selector) Valid() bool {
	return s.From.IsValid() && s.From.BitLen() == s.To.BitLen() &&
		s.From.Zone() == "" && s.To.Zone() == "" && s.From.Compare(s.To) <= 0 &&
		(s.FromPort <= s.ToPort || s.opaque())
}

// Is4 reports whether s is for IPv4.
func (s Selector) Is4() bool { return s.From.Is4() }

// AnyPort reports whether s matches every port, and packets without ports.
func (s Selector) AnyPort() bool { return s.FromPort == 0 && s.ToPort == 65535 }

func (s Selector) opaque() bool { return s.FromPort == 65535 && s.ToPort == 0 }

// The ports of a selector are a range of 0 to 65535 and opaquePort, which
// stands for packets whose ports cannot be seen: "any" has them all, OPAQUE has
// the last alone (RFC 4301, section 4.4.1.1).
const opaquePort = 65536

func (s Selector) ports() (from, to uint32) {
	switch {
	case s.opaque():
		return opaquePort, opaquePort
	case s.AnyPort():
		return 0, opaquePort
	}
	return uint32(s.FromPort), uint32(s.ToPort)
}

// HasPorts reports whether packets of an IP protocol carry ports or, in their
// place, a type and code, that selectors match.
func HasPorts(protocol uint8) bool {
	switch protocol {
	case protoICMP, protoTCP, protoUDP, protoDCCP, protoICMPv6, protoSCTP, protoMobility, protoUDPLite:
		return true
	}
	return false
}

// Contains reports whether s matches a packet with this address at the
// selector's end. port is type<<8|code for ICMP, and ignored for protocols
// without ports, which any ports and OPAQUE match.
func (s Selector) Contains(addr netip.Addr, protocol uint8, port uint16) bool {
	if !HasPorts(protocol) {
		return s.ContainsOpaque(addr, protocol)
	}
	return s.containsHost(addr, protocol) && s.FromPort <= port && port <= s.ToPort
}

// ContainsOpaque reports whether s matches a packet whose ports cannot be
// seen: a fragment but the first, or a protocol without ports.
func (s Selector) ContainsOpaque(addr netip.Addr, protocol uint8) bool {
	return s.containsHost(addr, protocol) && (s.AnyPort() || s.opaque())
}

// containsHost relies on netip ordering addresses by family first.
func (s Selector) containsHost(addr netip.Addr, protocol uint8) bool {
	return (s.Protocol == 0 || s.Protocol == protocol) && s.From.Compare(addr) <= 0 && addr.Compare(s.To) <= 0
}

// Contains reports whether a selector of l contains the packet.
func (l List) Contains(addr netip.Addr, protocol uint8, port uint16) bool {
	for i := range l {
		if l[i].Contains(addr, protocol, port) {
			return true
		}
	}
	return false
}

// ContainsOpaque reports whether a selector of l contains the packet.
func (l List) ContainsOpaque(addr netip.Addr, protocol uint8) bool {
	for i := range l {
		if l[i].ContainsOpaque(addr, protocol) {
			return true
		}
	}
	return false
}

// Compare orders selectors by family, addresses, protocol and ports.
func (s Selector) Compare(o Selector) int {
	return cmp.Or(
		s.From.Compare(o.From), s.To.Compare(o.To), cmp.Compare(s.Protocol, o.Protocol),
		cmp.Compare(s.FromPort, o.FromPort), cmp.Compare(s.ToPort, o.ToPort),
	)
}
