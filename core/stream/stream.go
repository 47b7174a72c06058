// Package stream carries IKE and ESP over a TCP connection, bare or within TLS
// (RFC 9329, and its appendix A). What TLS proves is not relied on: IKE
// authenticates, and ESP protects.
package stream

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"sallyport/core/encap"
)

// Bounds of what waits to be sent. Beyond queueESP the connection is congested:
// ESP packets are dropped then, as a router would, so that neither memory nor
// delay grows. IKE messages have some room of their own.
const (
	queueESP = 256 << 10
	queueIKE = queueESP + 64<<10
)

const (
	// writeTime is how long the other end may take nothing before it counts as
	// gone.
	writeTime = 30 * time.Second
	// closeTime is how long what waits may take to leave when we close.
	closeTime = 2 * time.Second
)

// A Conn is one such connection. Next is for one goroutine; everything else may
// be called from several.
type Conn struct {
	conn          net.Conn
	local, remote netip.AddrPort
	tls           bool
	in            encap.Deframer

	mu      sync.Mutex // guards what follows
	wake    *sync.Cond
	out     []byte // frames that wait
	spare   []byte // the buffer that out becomes next
	writing int    // bytes that the writer has taken
	closing bool
	ended   bool
}

func newConn(c net.Conn, tls bool, first string) *Conn {
	s := &Conn{conn: c, tls: tls, out: []byte(first)}
	s.local, s.remote = addrPort(c.LocalAddr()), addrPort(c.RemoteAddr())
	s.wake = sync.NewCond(&s.mu)
	go s.write()
	return s
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := t.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// Local and Remote are the ends of the TCP connection.
func (c *Conn) Local() netip.AddrPort  { return c.local }
func (c *Conn) Remote() netip.AddrPort { return c.remote }

// TLS reports whether the connection is one of TLS.
func (c *Conn) TLS() bool { return c.tls }

// Next returns the next frame: an IKE message behind its marker, or an ESP
// packet. It is borrowed until the next call. more says that another one is there
// already.
func (c *Conn) Next() (frame []byte, more bool, err error) {
	for {
		f, ok, err := c.in.Next()
		switch {
		case err != nil:
			c.end()
			return nil, false, err
		case ok:
			return f, c.in.Ready(), nil
		}
		n, err := c.conn.Read(c.in.Space())
		c.in.Filled(n)
		if err != nil && n == 0 {
			c.end()
			return nil, false, err
		}
	}
}

// Send queues ESP packets of segment bytes back to back, the last one maybe
// shorter (0: a single one). It never blocks: it returns how many of them were
// dropped because the connection is congested. The error is net.ErrClosed.
func (c *Conn) Send(b []byte, segment int) (dropped int, err error) {
	if segment <= 0 {
		segment = max(len(b), 1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.ended {
		return 0, net.ErrClosed
	}
	for len(b) > 0 {
		one := b[:min(segment, len(b))]
		b = b[len(one):]
		if !c.queueLocked(one, nil, queueESP) {
			dropped++
		}
	}
	return dropped, nil
}

// errCongested says that IKE messages find no room any more.
var errCongested = errors.New("the TCP connection is congested")

// SendIKE queues an IKE message, without its marker.
func (c *Conn) SendIKE(msg []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closing || c.ended:
		return net.ErrClosed
	case !c.queueLocked(marker[:], msg, queueIKE):
		return errCongested
	}
	return nil
}

var marker [encap.MarkerLen]byte

// queueLocked adds one frame of two parts, if there is room.
func (c *Conn) queueLocked(head, rest []byte, room int) bool {
	n := len(head) + len(rest)
	if n > encap.MaxFrame || len(c.out)+c.writing+encap.FrameHeader+n > room {
		return false
	}
	if len(c.out) == 0 {
		c.wake.Signal()
	}
	size := encap.FrameHeader + n
	c.out = append(c.out, byte(size>>8), byte(size))
	c.out = append(append(c.out, head...), rest...)
	return true
}

// write sends what waits, all of it with one call, until the connection ends.
func (c *Conn) write() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(c.out) == 0 && !c.closing && !c.ended {
			c.wake.Wait()
		}
		if c.ended || len(c.out) == 0 {
			break
		}
		b := c.out
		c.out, c.spare, c.writing = c.spare[:0], nil, len(b)
		closing := c.closing
		c.mu.Unlock()
		if !closing { // else the deadline stands already
			_ = c.conn.SetWriteDeadline(time.Now().Add(writeTime))
		}
		_, err := c.conn.Write(b)
		c.mu.Lock()
		c.spare, c.writing = b[:0], 0
		if err != nil {
			break
		}
	}
	c.ended = true
	_ = c.conn.Close()
}

// Close ends the connection once what waits has left, and unblocks Next then. It
// does not wait for that.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.closing = true
		_ = c.conn.SetDeadline(time.Now().Add(closeTime))
		c.wake.Signal()
	}
	return nil
}

// end ends the connection at once.
func (c *Conn) end() {
	c.mu.Lock()
	c.ended = true
	c.out = nil
	c.wake.Signal()
	c.mu.Unlock()
	_ = c.conn.Close()
}
