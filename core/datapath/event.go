package datapath

import (
	"net/netip"
	"strconv"

	"sallyport/core/ippkt"
)

// An EventKind says what an Event reports.
type EventKind uint8

// The kinds of events.
const (
	// FirstInbound: the first authenticated packet arrived on a pair of SAs.
	FirstInbound EventKind = 1
	// SoftLifetime: a direction of a pair reached its soft limit, or has few
	// sequence numbers left. Reported once per direction.
	SoftLifetime EventKind = 2
	// HardLifetime: a direction reached its hard limit, or used its last
	// sequence number, and drops packets from now on.
	HardLifetime EventKind = 3
	// PeerMoved: an authenticated packet came from another address than the
	// last one. The datapath goes on sending to the pair's Path.
	PeerMoved EventKind = 4
	// Acquire: a packet needs an SA of a group that has none to send on. It
	// waits for a while. Raised again at most every AcquireInterval.
	Acquire EventKind = 5
	// PathMTU: the system refused a datagram as too big for the path, and the
	// pair's Path has a smaller MTU now.
	PathMTU EventKind = 6
	// Lost: a packet came for an SPI that no pair has. Raised at most every
	// LostInterval, whoever sends.
	Lost EventKind = 7
	// StreamEnded: a stream is over. Paths that lead to it lead nowhere now.
	StreamEnded EventKind = 8
)

// String returns the kind's name.
func (k EventKind) String() string {
	names := [...]string{FirstInbound: "first-inbound", SoftLifetime: "soft-lifetime",
		HardLifetime: "hard-lifetime", PeerMoved: "peer-moved", Acquire: "acquire", PathMTU: "path-mtu", Lost: "lost", StreamEnded: "stream-ended"}
	if int(k) < len(names) && names[k] != "" {
		return names[k]
	}
	return "EventKind(" + strconv.Itoa(int(k)) + ")"
}

// An Event is something that the owner of the SAs may want to act on.
type Event struct {
	Kind  EventKind
	Group uint32
	InSPI uint32 // of the pair, or for Lost of none; 0 for Acquire

	// Set for FirstInbound, PeerMoved and Lost: where the packet came from and to; for
	// StreamEnded, the ends of the stream.
	Remote netip.AddrPort
	Local  netip.Addr
	Socket int
	TCP    bool // Socket is a stream's number

	Flow     ippkt.Flow // of the packet, for Acquire
	Outbound bool       // direction, for the lifetimes
	MTU      int        // of outer packets, for PathMTU
}
