//go:build !linux

package sockopt

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"sallyport/core/host"
)

// A Conn is a UDP socket bound to every address of one family. The system
// chooses the local address of what it sends and does not tell to which one a
// datagram came.
type Conn struct {
	conn *net.UDPConn
	port uint16
}

// Listen binds a socket. The errors are host.ErrPortInUse and
// host.ErrPrivilege.
func Listen(c Config) (*Conn, error) {
	network := "udp4"
	if c.V6 {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, &net.UDPAddr{Port: int(c.Port)})
	switch {
	case err == nil:
		return &Conn{conn: conn, port: uint16(conn.LocalAddr().(*net.UDPAddr).Port)}, nil
	case errors.Is(err, errInUse):
		return nil, fmt.Errorf("bind %s port %d: %w: another IPsec service on this machine? (%w)", network, c.Port, host.ErrPortInUse, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("bind %s port %d: %w: run the service as administrator (%w)", network, c.Port, host.ErrPrivilege, err)
	}
	return nil, fmt.Errorf("bind %s port %d: %w", network, c.Port, err)
}

// LocalPort returns the port that the socket is bound to.
func (c *Conn) LocalPort() uint16 { return c.port }

// Offload reports false.
func (c *Conn) Offload() bool { return false }

// Recv implements host.UDPConn. It tells neither local nor tos.
func (c *Conn) Recv(b []byte) (n, segment int, remote netip.AddrPort, local netip.Addr, tos uint8, err error) {
	n, remote, err = c.conn.ReadFromUDPAddrPort(b)
	return n, 0, netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()), netip.Addr{}, 0, err
}

// Send implements host.UDPConn. It ignores local and tos.
func (c *Conn) Send(b []byte, segment int, remote netip.AddrPort, _ netip.Addr, _ uint8) error {
	if segment <= 0 {
		segment = max(len(b), 1)
	}
	for {
		n := min(segment, len(b))
		if _, err := c.conn.WriteToUDPAddrPort(b[:n], remote); err != nil {
			if errors.Is(err, errTooBig) {
				return &host.TooBigError{}
			}
			return err
		}
		if b = b[n:]; len(b) == 0 {
			return nil
		}
	}
}

// Close closes the socket and unblocks Recv, which returns net.ErrClosed.
func (c *Conn) Close() error {
	if err := c.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
