package sockopt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"time"

	"sallyport/core/host"
)

// keepalive keeps the mapping of a NAT or a firewall for an idle connection, and
// finds out that the other end is gone.
const keepalive = 25 * time.Second

var aliveness = net.KeepAliveConfig{Enable: true, Idle: keepalive, Interval: keepalive / 5, Count: 4}

// DialTCP connects to a peer that is spoken to over TCP (RFC 9329). The socket
// carries the mark.
func DialTCP(ctx context.Context, remote netip.AddrPort, mark uint32) (net.Conn, error) {
	d := net.Dialer{Control: tcpControl(mark), KeepAliveConfig: aliveness}
	return d.DialContext(ctx, "tcp", remote.String())
}

// ListenTCP waits for such peers on every address of one family. The sockets
// carry the mark. The errors are host.ErrPortInUse and host.ErrPrivilege.
func ListenTCP(v6 bool, port uint16, mark uint32) (net.Listener, error) {
	network := "tcp4"
	if v6 {
		network = "tcp6"
	}
	lc := net.ListenConfig{Control: tcpControl(mark), KeepAliveConfig: aliveness}
	l, err := lc.Listen(context.Background(), network, net.JoinHostPort("", fmt.Sprint(port)))
	switch {
	case err == nil:
		return listener{l}, nil
	case errors.Is(err, errInUse):
		return nil, fmt.Errorf("bind %s port %d: %w (%w)", network, port, host.ErrPortInUse, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("bind %s port %d: %w (%w)", network, port, host.ErrPrivilege, err)
	}
	return nil, fmt.Errorf("bind %s port %d: %w", network, port, err)
}

// A listener prepares what it accepts.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		accepted(tcp)
	}
	return c, err
}
