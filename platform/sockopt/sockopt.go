// Package sockopt opens the UDP sockets that carry IKE and ESP.
//
// On Linux a socket has a mark that the routing rules of platform/route know,
// chooses and learns the local address of each datagram, and moves up to 64
// datagrams with one system call (UDP_SEGMENT, UDP_GRO).
//
// Fragmentation: datagrams leave with DF set (IP_PMTUDISC_DO). One that exceeds
// the path's MTU, as far as the kernel has learned it from ICMP, is refused with
// a *host.TooBigError, and the data path answers by making inner packets
// smaller. Silent fragments (IP_PMTUDISC_WANT, the kernel's default) would work
// but halve throughput unseen, and middleboxes drop them; without DF
// (IP_PMTUDISC_DONT) the path MTU would never be learned; IP_PMTUDISC_PROBE
// ignores what ICMP says, and large transfers would hang. IKE messages to peers
// that cannot fragment them themselves go out by SendFragmented.
package sockopt

import "sallyport/core/host"

// A Config says how to bind a socket.
type Config struct {
	V6   bool   // IPv6 only; otherwise IPv4 only
	Port uint16 // 0: any
	Mark uint32 // SO_MARK on Linux; 0: none
	// NoSegments and NoMerging leave out UDP_SEGMENT and UDP_GRO.
	NoSegments, NoMerging bool
}

// MaxRecv is the size of the buffer that Recv never overflows.
const MaxRecv = 65535

var _ host.UDPConn = (*Conn)(nil)
