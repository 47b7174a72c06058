package hosttest

import (
	"net"
	"net/netip"
	"sync"

	"sallyport/core/host"
)

// Datagrams are what one Send or Recv carries.
type Datagrams struct {
	Data       []byte
	Segment    int // 0: Data is one datagram
	From, To   netip.AddrPort
	TOS        uint8
	Fragmented bool // sent with SendFragmented
}

// Split returns the datagrams one by one. They alias d.Data.
func (d Datagrams) Split() [][]byte {
	if d.Segment <= 0 || len(d.Data) <= d.Segment {
		return [][]byte{d.Data}
	}
	var out [][]byte
	for b := d.Data; len(b) > 0; {
		n := min(d.Segment, len(b))
		out = append(out, b[:n:n])
		b = b[n:]
	}
	return out
}

// A UDPConn is one end of an in-memory path.
type UDPConn struct {
	addr    netip.AddrPort
	offload bool
	in      chan Datagrams
	peer    *UDPConn
	once    sync.Once
	closed  chan struct{}

	mu  sync.Mutex // guards all below
	mtu int
	tap func(Datagrams) []Datagrams
}

// NewUDPPair returns two connected ends. With offload they carry groups of
// datagrams whole, otherwise Send takes one at a time.
func NewUDPPair(a, b netip.AddrPort, offload bool) (*UDPConn, *UDPConn) {
	x := &UDPConn{addr: a, offload: offload, in: make(chan Datagrams, 4096), closed: make(chan struct{})}
	y := &UDPConn{addr: b, offload: offload, in: make(chan Datagrams, 4096), closed: make(chan struct{})}
	x.peer, y.peer = y, x
	return x, y
}

// SetMTU makes Send refuse datagrams whose outer packet would be longer; 0
// means no limit.
func (c *UDPConn) SetMTU(mtu int) { c.mu.Lock(); c.mtu = mtu; c.mu.Unlock() }

// SetTap makes f decide what becomes of what c sends: it returns what arrives.
func (c *UDPConn) SetTap(f func(Datagrams) []Datagrams) { c.mu.Lock(); c.tap = f; c.mu.Unlock() }

// Deliver makes Recv of c return d. It takes ownership of d.
func (c *UDPConn) Deliver(d Datagrams) {
	select {
	case c.in <- d:
	case <-c.closed:
	}
}

// Waiting returns how many sends wait to be received.
func (c *UDPConn) Waiting() int { return len(c.in) }

// Recv implements host.UDPConn.
func (c *UDPConn) Recv(b []byte) (n, segment int, remote netip.AddrPort, local netip.Addr, tos uint8, err error) {
	select {
	case d := <-c.in:
		return copy(b, d.Data), d.Segment, d.From, d.To.Addr(), d.TOS, nil
	case <-c.closed:
		return 0, 0, remote, local, 0, net.ErrClosed
	}
}

// TryRecv implements host.TryReceiver.
func (c *UDPConn) TryRecv(b []byte) (n, segment int, remote netip.AddrPort, local netip.Addr, tos uint8, err error) {
	select {
	case d := <-c.in:
		return copy(b, d.Data), d.Segment, d.From, d.To.Addr(), d.TOS, nil
	default:
		return -1, 0, remote, local, 0, nil
	}
}

// Send implements host.UDPConn.
func (c *UDPConn) Send(b []byte, segment int, remote netip.AddrPort, local netip.Addr, tos uint8) error {
	return c.send(b, segment, remote, tos, false)
}

// SendFragmented implements host.Fragmenter.
func (c *UDPConn) SendFragmented(b []byte, remote netip.AddrPort, local netip.Addr) error {
	return c.send(b, 0, remote, 0, true)
}

func (c *UDPConn) send(b []byte, segment int, remote netip.AddrPort, tos uint8, fragment bool) error {
	c.mu.Lock()
	mtu, tap := c.mtu, c.tap
	c.mu.Unlock()
	size := len(b)
	if segment > 0 {
		size = min(segment, len(b))
		if !c.offload || (len(b)+segment-1)/segment > 64 || len(b) > 65507 {
			return net.ErrWriteToConnected // not what the contract allows
		}
	}
	header := 28
	if c.addr.Addr().Is6() {
		header = 48
	}
	if mtu != 0 && !fragment && size+header > mtu {
		return &host.TooBigError{MTU: mtu}
	}
	d := Datagrams{append([]byte(nil), b...), segment, c.addr, remote, tos, fragment}
	out := []Datagrams{d}
	if tap != nil {
		out = tap(d)
	}
	for _, d := range out {
		c.peer.Deliver(d)
	}
	return nil
}

// Offload implements host.UDPConn.
func (c *UDPConn) Offload() bool { return c.offload }

// LocalPort implements host.UDPConn.
func (c *UDPConn) LocalPort() uint16 { return c.addr.Port() }

// Close implements host.UDPConn.
func (c *UDPConn) Close() error { c.once.Do(func() { close(c.closed) }); return nil }
