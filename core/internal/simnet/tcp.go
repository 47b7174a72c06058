package simnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"sallyport/core/host"
)

// tcp is the TCP side of a network. Its connections lose nothing: while the way is
// cut what is sent waits, as does the news that an end has closed. Whole
// connections can break, and be refused. One whose end has moved to another
// address, or whose NAT has forgotten it, leads nowhere, and nobody says so.
type tcp struct {
	listeners map[netip.AddrPort]*listener
	open      map[*tcpConn]bool
	next      uint16 // port
	refuse    func(from, to netip.AddrPort) error
	tap       func([]byte)
	changed   chan struct{} // closed, and replaced, when a way may be open again
	closing   []*tcpConn    // closed while the way was cut
}

// RefuseTCP lets f judge each new connection; nil lets all through.
func (n *Net) RefuseTCP(f func(from, to netip.AddrPort) error) {
	n.mu.Lock()
	n.tcp.refuse = f
	n.mu.Unlock()
}

// TapTCP shows f all that is written to connections.
func (n *Net) TapTCP(f func([]byte)) {
	n.mu.Lock()
	n.tcp.tap = f
	n.mu.Unlock()
}

// BreakTCP breaks all connections, and returns how many there were.
func (n *Net) BreakTCP() int {
	n.mu.Lock()
	var all []*tcpConn
	for c := range n.tcp.open {
		all = append(all, c)
	}
	n.mu.Unlock()
	for _, c := range all {
		c.Close()
	}
	return len(all) / 2
}

// changedLocked lets everything that waits for a way look again.
func (n *Net) changedLocked() {
	close(n.tcp.changed)
	n.tcp.changed = make(chan struct{})
	var still []*tcpConn
	for _, c := range n.tcp.closing {
		if c.passesLocked() {
			c.Conn.Close()
		} else if !c.way.lost() {
			still = append(still, c)
		}
	}
	n.tcp.closing = still
}

// DialTCP fulfils host.System.
func (h *Host) DialTCP(ctx context.Context, remote netip.AddrPort) (net.Conn, error) {
	local, err := h.Source(remote.Addr())
	if err != nil {
		return nil, err
	}
	n := h.net
	n.mu.Lock()
	n.tcp.next++
	w := &way{client: h, inside: netip.AddrPortFrom(local, 50000+n.tcp.next), remote: remote, nat: h.nat}
	w.outside = w.inside
	if w.nat != nil {
		w.outside, w.age = netip.AddrPortFrom(w.nat.addr, w.inside.Port()), w.nat.age
	}
	refuse := n.tcp.refuse
	n.mu.Unlock()
	if refuse != nil {
		if err := refuse(w.outside, remote); err != nil {
			return nil, err
		}
	}
	l, err := w.reach(ctx, n)
	if err != nil {
		return nil, err
	}
	a, b := net.Pipe()
	ca := &tcpConn{Conn: a, net: n, way: w, local: w.inside, remote: remote, closed: make(chan struct{})}
	cb := &tcpConn{Conn: b, net: n, way: w, local: remote, remote: w.outside, closed: make(chan struct{})}
	select {
	case l.in <- cb:
	case <-l.closed:
		return nil, fmt.Errorf("simnet: %v refuses", remote)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	n.tcp.open[ca], n.tcp.open[cb] = true, true
	n.mu.Unlock()
	return ca, nil
}

// A way is what a connection goes over.
type way struct {
	client                  *Host
	nat                     *NAT
	age                     int // of the NAT
	inside, outside, remote netip.AddrPort
	server                  *Host
}

// lost reports that nothing will ever pass again.
func (w *way) lost() bool { return w.nat != nil && w.nat.age != w.age }

// reach waits for the way to who listens at its end.
func (w *way) reach(ctx context.Context, n *Net) (*listener, error) {
	for {
		n.mu.Lock()
		open, changed := w.openLocked(n), n.tcp.changed
		l := n.tcp.listeners[w.remote]
		if l != nil && l.host.down {
			open = false
		}
		n.mu.Unlock()
		switch {
		case open && l == nil:
			return nil, fmt.Errorf("simnet: %v refuses", w.remote)
		case open:
			w.server = l.host
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// openLocked reports whether the way is open, in both directions.
func (w *way) openLocked(n *Net) bool {
	h := w.client
	at := h.v4
	if w.inside.Addr().Is6() {
		at = h.v6
	}
	if w.lost() || h.down || h.nat != w.nat || at != w.inside.Addr() || w.server != nil && w.server.down {
		return false
	}
	return n.cut == nil || !n.cut(w.outside, w.remote, true) && !n.cut(w.remote, w.outside, true)
}

// ListenTCP fulfils host.System.
func (h *Host) ListenTCP(v6 bool, port uint16) (net.Listener, error) {
	addr := h.v4
	if v6 {
		addr = h.v6
	}
	if !addr.IsValid() {
		return nil, fmt.Errorf("simnet: no address of that family")
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	at := netip.AddrPortFrom(addr, port)
	if h.net.tcp.listeners[at] != nil {
		return nil, fmt.Errorf("simnet: %v: %w", at, host.ErrPortInUse)
	}
	l := &listener{net: h.net, host: h, at: at, in: make(chan net.Conn), closed: make(chan struct{})}
	h.net.tcp.listeners[at] = l
	return l, nil
}

type listener struct {
	net    *Net
	host   *Host
	at     netip.AddrPort
	in     chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.in:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.net.mu.Lock()
		delete(l.net.tcp.listeners, l.at)
		l.net.mu.Unlock()
	})
	return nil
}

// A tcpConn is one end of a connection.
type tcpConn struct {
	net.Conn
	net           *Net
	way           *way
	local, remote netip.AddrPort
	once          sync.Once
	closed        chan struct{}
	deadline      time.Time // of writing; guarded by net.mu
}

func (c *tcpConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *tcpConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *tcpConn) passesLocked() bool { return c.way.openLocked(c.net) }

// Write waits while the way is cut: TCP repeats what does not arrive.
func (c *tcpConn) Write(b []byte) (int, error) {
	for {
		c.net.mu.Lock()
		open, changed, deadline, tap := c.passesLocked(), c.net.tcp.changed, c.deadline, c.net.tcp.tap
		c.net.mu.Unlock()
		if open {
			if tap != nil {
				tap(b)
			}
			return c.Conn.Write(b)
		}
		var late <-chan time.Time
		if !deadline.IsZero() {
			t := time.NewTimer(time.Until(deadline))
			defer t.Stop()
			late = t.C
		}
		select {
		case <-changed:
		case <-c.closed:
			return 0, net.ErrClosed
		case <-late:
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// SetDeadline fulfils net.Conn.
func (c *tcpConn) SetDeadline(t time.Time) error {
	c.setWrite(t)
	return c.Conn.SetDeadline(t)
}

// SetWriteDeadline fulfils net.Conn.
func (c *tcpConn) SetWriteDeadline(t time.Time) error {
	c.setWrite(t)
	return c.Conn.SetWriteDeadline(t)
}

func (c *tcpConn) setWrite(t time.Time) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.deadline = t
	if !c.passesLocked() {
		c.net.changedLocked() // a Write that waits has another deadline
	}
}

// Close ends the connection. The other end hears of it when the way is open.
func (c *tcpConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.net.mu.Lock()
		defer c.net.mu.Unlock()
		delete(c.net.tcp.open, c)
		if c.passesLocked() {
			c.Conn.Close()
			return
		}
		_ = c.Conn.SetDeadline(time.Unix(1, 0)) // wakes those who read and write here
		c.net.tcp.closing = append(c.net.tcp.closing, c)
	})
	return nil
}
