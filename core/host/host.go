// Package host is what core needs of a machine: interfaces and plain configs
// that platform implements and tests fake. Setters take the whole desired
// state and may be called twice.
package host

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"time"
)

// A System is one machine, assembled by platform/host.
type System struct {
	OpenTUN func(name string, mtu int) (TUN, error)
	// OpenUDP binds a UDP socket for IKE and ESP on every address of one family
	// (v6: IPv6 only). Port 0 picks one. The socket carries the mark that keeps
	// its packets out of the tunnel (see Router).
	OpenUDP func(v6 bool, port uint16) (UDPConn, error)

	// DialTCP connects to a gateway that is spoken to over TCP, and ListenTCP waits
	// for peers who do so, on every address of one family (RFC 9329). The sockets
	// carry the mark of OpenUDP's, send at once what they are given and hold little
	// that has not left yet. nil: there is no TCP.
	DialTCP   func(ctx context.Context, remote netip.AddrPort) (net.Conn, error)
	ListenTCP func(v6 bool, port uint16) (net.Listener, error)

	// Resolve looks up a name outside of every tunnel of ours, through sockets
	// that carry the mark of OpenUDP's. nil: the machine's resolver.
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)

	// Dial connects a UDP socket to another server than a peer: one that knows the
	// users of a responder. nil: there is none.
	Dial func(ctx context.Context, server netip.AddrPort) (net.Conn, error)

	// Fetch makes one exchange of HTTP, outside of every tunnel of ours, through a
	// socket that carries the mark of OpenUDP's. It takes what it is told and
	// decides nothing: redirects are not followed. nil: there is none.
	Fetch func(ctx context.Context, r FetchRequest) (FetchResponse, error)

	// Roots returns the certificate authorities that the system trusts. nil: it
	// knows none.
	Roots func() (*x509.CertPool, error)

	// Tokens are the smart cards and tokens of the machine. nil: it has none.
	Tokens Tokens

	// Slept returns for how long the machine has slept since it started: a time in
	// which clocks for waits stand still. It may be called at any time, and is
	// cheap. nil: it cannot tell.
	Slept func() time.Duration

	Router     Router
	DNS        DNS
	Firewall   Firewall
	NetMonitor NetMonitor

	Profiles Files // connection profiles: NAME.toml
	Certs    Files // certificates (public): NAME.pem
	Secrets  Files // PSKs, passwords, private keys; 0600
	Policies Files // IPsec policies: NAME.toml
	State    Files // what the service remembers across restarts; 0600
}

// A FetchRequest is one exchange of HTTP.
type FetchRequest struct {
	URL    string         // "http://..."
	Server netip.AddrPort // whom to ask: nobody else
	Body   []byte         // to POST; nil: GET
	Type   string         // of Body
	Max    int            // bytes of the answer; a larger one is an error
}

// A FetchResponse is what the server says.
type FetchResponse struct {
	Status   int
	Location string // where a redirect leads
	Body     []byte // of status 200
}

// A TUN is a layer-3 device. Read is for one goroutine, Write for one other.
type TUN interface {
	Name() string
	// Read reads one packet, or with Offload one super-packet of up to 64 KiB,
	// into b and returns its length. The packet is preceded by a virtio-net
	// header of VNetLen bytes, zero when the packet is a plain one; the length
	// counts it.
	Read(b []byte) (int, error)
	// Write writes one packet or super-packet, preceded by the same header.
	Write(b []byte) (int, error)
	// Offload reports whether super-packets (TCP and UDP segmentation) may be
	// read and written; without it each packet stands alone.
	Offload() (tcp, udp bool)
	SetMTU(mtu int) error
	Close() error // unblocks Read
}

// VNetLen is the length of the virtio-net header before each TUN packet:
// flags, gso_type (1 byte each), hdr_len, gso_size, csum_start, csum_offset
// (2 bytes each, host order).
const VNetLen = 10

// A UDPConn is the socket that IKE and ESP share. Recv is for one goroutine;
// Send may be called from several.
type UDPConn interface {
	// Recv reads into b one datagram, or with receive offload several of one
	// sender back to back, each segment bytes long but the last.
	// segment is 0 for a single datagram. local is the address it was sent to;
	// tos is the TOS or traffic class byte of the outer packet (IP_RECVTOS,
	// IPV6_RECVTCLASS; receive offload merges only equal ones), 0 where the
	// system does not tell: RFC 6040 needs its two ECN bits.
	Recv(b []byte) (n, segment int, remote netip.AddrPort, local netip.Addr, tos uint8, err error)
	// Send sends b as datagrams of segment bytes, the last one maybe shorter
	// (0: as one). The caller keeps groups to at most 64 segments and 65,507
	// bytes. local chooses the source address when valid. tos, where the system
	// can set it per datagram, becomes the outer TOS or traffic class byte.
	// Send fails with a *TooBigError, nothing sent, when the system refuses a
	// datagram or group because a segment exceeds the path's MTU (Linux:
	// EMSGSIZE, or EINVAL for a group); the caller then sends the segments one
	// by one, or through a Fragmenter.
	Send(b []byte, segment int, remote netip.AddrPort, local netip.Addr, tos uint8) error
	// Offload reports whether segment may be nonzero in Send.
	Offload() bool
	LocalPort() uint16
	Close() error // unblocks Recv
}

// A Router sets addresses and routes of tunnel devices. The packets of OpenUDP
// sockets always follow the routes that the machine had without us.
type Router interface {
	// Set makes the host match c. The zero RouteConfig removes everything we
	// added. Set is idempotent; on error the host is left as before.
	Set(c RouteConfig) error
	// Cleanup removes what an earlier process of ours left behind.
	Cleanup() error
}

// A RouteConfig is the whole desired state of the tunnel device.
type RouteConfig struct {
	Device    string
	MTU       int
	Addresses []netip.Prefix // of the device
	Routes    []Route        // through the device
	// Forward asks that the machine forwards packets between the device and
	// its other interfaces (we are a gateway).
	Forward bool
}

// A Route sends Dst through the tunnel device.
type Route struct {
	Dst netip.Prefix
	Src netip.Addr // preferred source; zero: none
	// Bypass takes Dst out of a wider route: its packets go the way that they
	// would go without us.
	Bypass bool
}

// A DNS sets the name servers that the machine asks.
type DNS interface {
	Set(c DNSConfig) error // idempotent; the zero config restores what was
	Cleanup() error        // restores what an earlier process of ours changed
}

// A DNSConfig is the whole desired DNS state.
type DNSConfig struct {
	Device  string // of the tunnel
	Servers []netip.Addr
	Search  []string
	// Only lists the domains that Servers answer for; empty: every name.
	Only []string
}

// A NetMonitor tells when addresses, links or routes of the machine change.
type NetMonitor interface {
	// Changes delivers a value after each burst of changes; it never blocks
	// the monitor, and it is closed by Close.
	Changes() <-chan struct{}
	// Source returns the local address that the machine would use to reach dst,
	// outside of every tunnel of ours.
	Source(dst netip.Addr) (netip.Addr, error)
	Close() error
}

// Files is a flat folder of small files. Names are plain file names.
type Files interface {
	List() ([]string, error) // sorted
	Read(name string) ([]byte, error)
	Write(name string, data []byte) error // atomic: either old or new content
	Remove(name string) error             // no error when absent
}
