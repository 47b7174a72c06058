// Package ts holds traffic selectors: ranges of addresses, ports and a
// protocol, their matching and narrowing (RFC 7296, sections 2.9 and 3.13).
package ts

import "net/netip"

// A Selector matches packets of one address family by one end: address range,
// port range and protocol. Both bounds are inclusive.
type Selector struct {
	From, To         netip.Addr // same family, From ≤ To
	Protocol         uint8      // 0: any
	FromPort, ToPort uint16     // 0..65535: any. ICMP: type<<8|code. OPAQUE: From 65535, To 0
}

// A List matches what any of its selectors matches.
type List []Selector
