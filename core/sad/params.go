// Package sad is the security association database (RFC 4301, section 4.4.2):
// pairs of ESP SAs, found by inbound SPI, and groups that point at the pair
// that outbound packets take at the moment. Lookups take no lock; changes may
// be made at any time from any goroutine.
package sad

import (
	"net/netip"

	"sallyport/core/esp"
	"sallyport/core/transform"
	"sallyport/core/ts"
)

// Params are what a pair of SAs is made of: one negotiated Child SA.
type Params struct {
	// Group names the child across rekeys. The SPD points at the group, so that
	// a rekey changes no policy.
	Group         uint32
	InSPI, OutSPI uint32
	// Resource is what the pair is for: the group sends on one pair of each resource
	// (RFC 9611). 0: for none.
	Resource      int
	Suite         transform.Suite
	KeyIn, KeyOut esp.Keys
	// Local and Remote are the traffic selectors of our side and the peer's.
	Local, Remote ts.List
	Path          Path
	// Soft limits are reported once when either direction reaches them; at
	// the Hard ones the SA drops packets.
	Soft, Hard Limits
	// Active says to send on the pair at once; otherwise it only receives
	// until Activate.
	Active bool
}

// A Path is where the packets of an SA travel.
type Path struct {
	Socket int        // index of the socket to send from
	Local  netip.Addr // our address; may be invalid: the system chooses
	Remote netip.AddrPort
	MTU    int // of the path, for outer IP packets; 0 means 1500
	// Firm says that packets of MTU bytes pass, whatever the system believes: they
	// were answered after it had been told otherwise.
	Firm bool
	// Sure is what certainly passes, as long as MTU is only assumed: TCP agrees on
	// segments that fit into it. 0: MTU is no guess.
	Sure int
}

// DefaultMTU is the outer MTU of a Path that states none.
const DefaultMTU = 1500

// OuterMTU returns the path's MTU.
func (p Path) OuterMTU() int {
	if p.MTU == 0 {
		return DefaultMTU
	}
	return p.MTU
}

// SegmentMTU returns the MTU that TCP segments are to fit into.
func (p Path) SegmentMTU() int {
	if p.Sure != 0 {
		return min(p.Sure, p.OuterMTU())
	}
	return p.OuterMTU()
}

// V6 reports whether the outer packets are IPv6.
func (p Path) V6() bool { a := p.Remote.Addr(); return a.Is6() && !a.Is4In6() }

// Limits bound the use of one direction of a pair. Zero means no limit. Bytes
// are those of inner packets.
type Limits struct {
	Bytes, Packets uint64
}

// reached reports whether packets and bytes reach a limit.
func (l Limits) reached(packets, bytes uint64) bool {
	return l.Bytes != 0 && bytes >= l.Bytes || l.Packets != 0 && packets >= l.Packets
}

// Counters count inner packets and bytes of a pair, and what its own checks
// refused.
type Counters struct {
	InPackets, InBytes   uint64
	OutPackets, OutBytes uint64
	InRefused            uint64 // replayed, forged or outside of the selectors
}
