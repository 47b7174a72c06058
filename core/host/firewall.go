package host

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"sallyport/core/ts"
)

// ErrRulesChanged means that the packet filter of the machine does not hold
// what was set: another program has changed or removed it.
var ErrRulesChanged = errors.New("the firewall rules were changed by another program")

// A Firewall keeps packets from leaving the machine unprotected, and from
// entering it so, while the service runs and after it died.
type Firewall interface {
	// Set replaces the whole intent in one transaction: each packet is judged
	// by the old intent or by the new one, never by neither. What Set puts in
	// place stays when the process ends. The zero intent removes everything.
	// Set is idempotent; on error the old intent is in force.
	Set(FirewallIntent) error
	// Cleanup removes what an earlier process of ours left behind.
	Cleanup() error
}

// A FirewallWatcher is a Firewall that can tell whether its rules are still in
// force. The engine asks for it by type assertion.
type FirewallWatcher interface {
	// Verify compares what the machine holds with what was last set. It is an
	// ErrRulesChanged when they differ.
	Verify() error
	// Changes delivers a value after somebody else changed our rules, or may
	// have; it is closed by Close.
	Changes() <-chan struct{}
	Close() error
}

// A FirewallAction says what happens to packets. The zero value is not one, so
// that nothing passes by omission.
type FirewallAction uint8

// The actions.
const (
	// FirewallClear lets packets pass as they are.
	FirewallClear FirewallAction = iota + 1
	// FirewallDrop lets them pass nowhere, not through the tunnel device either.
	FirewallDrop
	// FirewallTunnelOnly lets them leave and arrive through the tunnel device
	// alone, and drops them on every other interface, also while the device
	// does not exist.
	FirewallTunnelOnly
)

// String names the action.
func (a FirewallAction) String() string {
	switch a {
	case FirewallClear:
		return "clear"
	case FirewallDrop:
		return "drop"
	case FirewallTunnelOnly:
		return "tunnel only"
	}
	return "FirewallAction(" + strconv.Itoa(int(a)) + ")"
}

// A FirewallDirection says which packets a rule concerns. The zero value is
// both.
type FirewallDirection uint8

// The directions.
const (
	FirewallBoth FirewallDirection = 0
	FirewallOut  FirewallDirection = 1
	FirewallIn   FirewallDirection = 2
)

// A FirewallIntent is the whole desired state of the packet filter, in plain
// data. A packet is judged in this order; the first that applies decides:
//
//  1. Loopback passes.
//  2. A packet to an address of Inner that arrives on another interface than
//     Device is dropped (CVE-2019-14899).
//  3. ICMP redirects that arrive are dropped.
//  4. Exempt.IKE, TCP, TCPPorts, Lookup, Fetch, DHCP and NDP pass.
//  5. With DNSInside, DNS passes through Device alone.
//  6. Rules, in their order, and with them Exempt.LAN.
//  7. Default.
//
// Rules judge a packet that leaves by its source as Local and its destination
// as Remote, a packet that arrives by the reverse, and a packet that the
// machine forwards both ways unless it came from Device or goes there. Existing
// connections have no privilege.
//
// A packet whose ports cannot be seen (a fragment but the first, a header cut
// short) gets the strictest of the actions that it might get if they could:
// drop before tunnel only before clear.
type FirewallIntent struct {
	Device string // of the tunnel; it need not exist
	// Inner are the addresses of Device.
	Inner []netip.Addr

	Rules   []FirewallRule // the first that matches decides
	Default FirewallAction // what no rule matches

	Exempt FirewallExempt

	// Beside are networks that routes lead into Device although some traffic to
	// them is clear. What Rules and Default let pass in clear to them leaves by
	// the other interfaces, where the service's own sockets would go.
	Beside []netip.Prefix

	// DNSInside says that the tunnel carries DNS: ports 53 and 853 of TCP and
	// UDP are reached through Device alone, whatever Rules and Exempt.LAN say.
	DNSInside bool
}

// A FirewallRule says what happens to packets between two ends.
type FirewallRule struct {
	// Local and Remote are of one address family and of one protocol, or at
	// least one of them of any. For ICMP both see type<<8|code as the port.
	Local, Remote ts.Selector
	Action        FirewallAction
	Direction     FirewallDirection
	// Label is the account that a FirewallCounter keeps of what the rule does.
	// Rules with the same label share it; those without one have none.
	Label string
}

// A FirewallExempt lists all that passes whatever Rules and Default say. There
// are no others but loopback.
type FirewallExempt struct {
	// IKE are the local UDP ports of the service, normally 500 and 4500. From
	// them, or to port 500 or 4500 of a peer, the service's own sockets send,
	// which are known by their mark and user; to them, anybody may. ICMP errors
	// that quote a packet from these ports arrive too: path MTU discovery.
	IKE []uint16
	// Lookup lets the service's own sockets, known likewise, ask name servers
	// (UDP and TCP to port 53), and be answered.
	Lookup bool
	// TCP are gateways (address and TCP port) that the service's own sockets, known
	// likewise, may connect to, and be answered by; TCPPorts are local ports of the
	// service where peers may.
	TCP      []netip.AddrPort
	TCPPorts []uint16
	// Fetch are servers (address and TCP port) that the service's own sockets,
	// known likewise, may ask, and be answered by: where the state of a peer's
	// certificate is told, for as long as that takes.
	Fetch []netip.AddrPort
	// DHCP lets this machine be a client of DHCPv4 and DHCPv6.
	DHCP bool
	// NDP lets it find routers and neighbours on the link (ICMPv6 133 to 136
	// with hop limit 255).
	NDP bool
	// LAN are the networks of the physical interfaces that stay reachable. Only
	// prefixes that LANPrefix accepts are. They pass where a FirewallTunnelOnly
	// rule that reaches beyond private addresses, or Default, would have
	// decided. A rule that names private addresses is meant for those, and wins
	// (NamesPrivate); so does FirewallDrop. DNS (ports 53 and 853) is not exempt.
	LAN []netip.Prefix
	// LANDiscovery adds multicast DNS, LLMNR and SSDP, on the link.
	LANDiscovery bool
}

// IsZero reports whether i asks for nothing, so that Set removes everything.
func (i *FirewallIntent) IsZero() bool {
	return i.Device == "" && len(i.Inner) == 0 && len(i.Rules) == 0 && i.Default == 0 && i.Exempt.isZero() && len(i.Beside) == 0 && !i.DNSInside
}

func (e *FirewallExempt) isZero() bool {
	return len(e.IKE) == 0 && len(e.TCP) == 0 && len(e.TCPPorts) == 0 && !e.Lookup && len(e.Fetch) == 0 && !e.DHCP && !e.NDP && len(e.LAN) == 0 && !e.LANDiscovery
}

// Limits of an intent.
const (
	MaxFirewallRules = 100_000
	maxFirewallList  = 256 // each of the other lists
)

// Check reports what is wrong with an intent, which every Firewall refuses
// then. Rules are named by their index.
func (i *FirewallIntent) Check() error {
	if i.IsZero() {
		return nil
	}
	if i.Device == "" || len(i.Device) > 15 {
		return fmt.Errorf("device name %q is not one of 1 to 15 bytes", i.Device)
	}
	if len(i.Rules) > MaxFirewallRules {
		return fmt.Errorf("%d rules, more than %d", len(i.Rules), MaxFirewallRules)
	}
	if max(len(i.Inner), len(i.Exempt.IKE), len(i.Exempt.LAN), len(i.Exempt.Fetch), len(i.Exempt.TCP), len(i.Exempt.TCPPorts)) > maxFirewallList {
		return fmt.Errorf("more than %d inner addresses, ports or local networks", maxFirewallList)
	}
	for _, a := range i.Inner {
		if !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
			return fmt.Errorf("inner address %v is not one of a host", a)
		}
	}
	for n := range i.Rules {
		if err := i.Rules[n].check(); err != nil {
			return fmt.Errorf("rule %d: %w", n, err)
		}
	}
	for _, p := range i.Beside {
		if !p.IsValid() || p.Addr().Zone() != "" || p.Addr().Is4In6() || p.Masked() != p {
			return fmt.Errorf("%v is no network", p)
		}
	}
	if !i.Default.valid() {
		return fmt.Errorf("default: %v is no action", i.Default)
	}
	for _, port := range slices.Concat(i.Exempt.IKE, i.Exempt.TCPPorts) {
		if port == 0 {
			return errors.New("port 0 cannot be exempt")
		}
	}
	for _, s := range slices.Concat(i.Exempt.Fetch, i.Exempt.TCP) {
		if !s.IsValid() || s.Port() == 0 || s.Addr().Zone() != "" || s.Addr().Is4In6() || s.Addr().IsUnspecified() || s.Addr().IsMulticast() {
			return fmt.Errorf("%v is no server", s)
		}
	}
	for _, p := range i.Exempt.LAN {
		if !LANPrefix(p) {
			return fmt.Errorf("%v is not a local network: only private and link-local addresses can be exempt", p)
		}
	}
	return nil
}

func (r *FirewallRule) check() error {
	switch {
	case !r.Local.Valid() || !r.Remote.Valid():
		return errors.New("malformed selector")
	case r.Local.Is4() != r.Remote.Is4():
		return fmt.Errorf("local %v and remote %v are of different families", r.Local, r.Remote)
	case r.Local.Protocol != 0 && r.Remote.Protocol != 0 && r.Local.Protocol != r.Remote.Protocol:
		return fmt.Errorf("local %v and remote %v are of different protocols", r.Local, r.Remote)
	case !r.Action.valid():
		return fmt.Errorf("%v is no action", r.Action)
	case r.Direction > FirewallIn:
		return fmt.Errorf("FirewallDirection(%d) is no direction", r.Direction)
	}
	return nil
}

func (a FirewallAction) valid() bool { return a >= FirewallClear && a <= FirewallTunnelOnly }

// Private are the networks that a LAN may be numbered from (RFC 1918, RFC 3927,
// RFC 4193, RFC 4291).
var private = [...]netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/10"),
}

// LANPrefix reports whether p can be exempt as a local network: whether it lies
// in a private or link-local range. A network that hands out addresses of the
// public internet to draw traffic to itself (TunnelCrack LocalNet,
// CVE-2023-36672 and 35838) is none.
func LANPrefix(p netip.Prefix) bool {
	if !p.IsValid() || p.Addr().Zone() != "" {
		return false
	}
	for _, net := range private {
		if p.Bits() >= net.Bits() && net.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// NamesPrivate reports whether all addresses of s lie in one private,
// link-local or multicast range, so that a rule for it is stronger than
// Exempt.LAN and LANDiscovery.
func NamesPrivate(s ts.Selector) bool {
	for _, net := range private {
		if net.Contains(s.From) && net.Contains(s.To) {
			return true
		}
	}
	return s.From.IsMulticast() && s.To.IsMulticast()
}
