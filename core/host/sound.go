package host

import "net/netip"

// A Sounder is a UDPConn through which it can be found out how large packets may
// be, whatever the system believes of a path.
type Sounder interface {
	// SendWhole is Send of datagrams that nobody may cut, and that the system does
	// not refuse for what it was told of the path: only those that are too large
	// for the first link fail, with a *TooBigError.
	SendWhole(b []byte, segment int, remote netip.AddrPort, local netip.Addr, tos uint8) error
	// LinkMTU returns the MTU of the link that has the address local; 0: not known.
	LinkMTU(local netip.Addr) int
}
