package host

import "net/netip"

// The interfaces below are what a TUN or UDPConn may offer beside its own
// contract. The data path asks for them by type assertion and does without
// them where they are missing.

// A TryReader is a TUN that can be asked without waiting.
type TryReader interface {
	// TryRead is Read, except that it returns 0 when no packet waits. It is for
	// the goroutine that calls Read.
	TryRead(b []byte) (int, error)
}

// A TryReceiver is a UDPConn that can be asked without waiting, so that the
// receiver knows when the socket is drained.
type TryReceiver interface {
	// TryRecv is Recv, except that n is -1 when no datagram waits. It is for
	// the goroutine that calls Recv.
	TryRecv(b []byte) (n, segment int, remote netip.AddrPort, local netip.Addr, tos uint8, err error)
}

// An Overflower is a UDPConn or TUN that knows what never came as far as Recv or
// Read.
type Overflower interface {
	// Overflowed counts what the system has thrown away since the socket or device
	// was opened: nobody had taken what came before in time, or the checksum of a
	// datagram was wrong. It may be called by any goroutine.
	Overflowed() uint64
}

// A Fragmenter is a UDPConn whose Send never lets IP fragment a datagram (it
// returns a *TooBigError instead), and that has another way for those that
// must arrive all the same: IKE messages to a peer without RFC 7383.
type Fragmenter interface {
	// SendFragmented sends b as one datagram that the machine and the routers
	// on the path may fragment.
	SendFragmented(b []byte, remote netip.AddrPort, local netip.Addr) error
}

// A Warner can tell what the last Set could not do as asked, in sentences for
// the user: a DNS on a machine that cannot ask several servers by domain.
type Warner interface {
	Warnings() []string
}

// An InterfaceLister is a NetMonitor that knows the interfaces of the machine.
type InterfaceLister interface {
	// Interfaces returns the interfaces that are up, with their addresses.
	Interfaces() ([]Interface, error)
}

// An Interface is one interface of the machine.
type Interface struct {
	Name         string
	Loopback     bool
	PointToPoint bool           // dialled, cellular, tunnels
	Prefixes     []netip.Prefix // its addresses with their prefix lengths
}

// A RouteWatcher is a Router that notices when another program takes away what
// it has set.
type RouteWatcher interface {
	// Lost delivers a value when something is missing: Set brings it back.
	Lost() <-chan struct{}
}

// A FirewallCounter is a Firewall that counts.
type FirewallCounter interface {
	// Counts returns what happened to packets by the label of the rule that
	// decided, for the rules in force. It counts on when the intent is replaced,
	// and begins anew in a new process and after Cleanup. Labels that are too
	// many to be counted each are counted together as OtherRules.
	Counts() (map[string]FirewallCount, error)
}

// OtherRules stands for the labels that are not counted by themselves.
const OtherRules = "other rules"

// A FirewallCount counts the bytes of packets that left or arrived in clear
// text, and of those that were not let. What took the tunnel is in neither.
type FirewallCount struct{ Clear, Dropped uint64 }
