package simnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"sallyport/core/host"
)

// tcp is the TCP side of a network. Its connections lose nothing; whole connections
// can break, and be refused.
type tcp struct {
	listeners map[netip.AddrPort]*listener
	open      map[*tcpConn]bool
	next      uint16 // port
	refuse    func(from, to netip.AddrPort) error
}

// RefuseTCP lets f judge each new connection; nil lets all through.
func (n *Net) RefuseTCP(f func(from, to netip.AddrPort) error) {
	n.mu.Lock()
	n.tcp.refuse = f
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

// DialTCP fulfils host.System.
func (h *Host) DialTCP(ctx context.Context, remote netip.AddrPort) (net.Conn, error) {
	local, err := h.Source(remote.Addr())
	if err != nil {
		return nil, err
	}
	n := h.net
	n.mu.Lock()
	n.tcp.next++
	from := netip.AddrPortFrom(local, 50000+n.tcp.next)
	refuse := n.tcp.refuse
	n.mu.Unlock()
	if refuse != nil {
		if err := refuse(from, remote); err != nil {
			return nil, err
		}
	}
	n.mu.Lock()
	l := n.tcp.listeners[remote]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("simnet: %v refuses", remote)
	}
	a, b := net.Pipe()
	ca, cb := &tcpConn{Conn: a, net: n, local: from, remote: remote}, &tcpConn{Conn: b, net: n, local: remote, remote: from}
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
	l := &listener{net: h.net, at: at, in: make(chan net.Conn), closed: make(chan struct{})}
	h.net.tcp.listeners[at] = l
	return l, nil
}

type listener struct {
	net    *Net
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
	local, remote netip.AddrPort
}

func (c *tcpConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *tcpConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *tcpConn) Close() error {
	c.net.mu.Lock()
	delete(c.net.tcp.open, c)
	c.net.mu.Unlock()
	return c.Conn.Close()
}
