// Package firewall sets the packet filter that keeps the promises of the
// policies: what may leave or enter the machine unprotected, and what never.
//
// On Linux it is one nftables table, "inet sallyport", replaced by one netlink
// transaction. The hooks are output, input and forward, after what others do
// there, so that nobody changes a packet once it is judged, and prerouting,
// before everybody else. Two more, after the one of output and of postrouting,
// see to it that a packet leaves by an interface that the judgement was about.
// There is no shortcut for established connections, and none for marks of
// others.
//
// What does not pass these hooks is not filtered: frames that a privileged
// process writes to a device itself (packet sockets, XDP), and flows that an
// administrator has offloaded from the forwarding path (flow tables).
package firewall

import "sallyport/core/host"

// A Config says how the packets of the service's own sockets are known.
type Config struct {
	Mark uint32 // SO_MARK of host.System's UDP sockets
}

var (
	_ host.Firewall        = (*Firewall)(nil)
	_ host.FirewallWatcher = (*Firewall)(nil)
	_ host.FirewallCounter = (*Firewall)(nil)
)
