package sockopt

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"sallyport/core/host"
)

var _ host.Sounder = (*Conn)(nil)

// SendWhole implements host.Sounder. While it runs, other datagrams of the socket
// wait.
func (c *Conn) SendWhole(b []byte, segment int, remote netip.AddrPort, local netip.Addr, tos uint8) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.setDiscoverLocked(unix.IP_PMTUDISC_PROBE, unix.IPV6_PMTUDISC_PROBE); err != nil {
		return err
	}
	err := c.sendLocked(b, segment, remote, local, tos)
	if err == unix.EMSGSIZE {
		err = &host.TooBigError{MTU: c.LinkMTU(local)}
	}
	return errors.Join(err, c.setDiscoverLocked(unix.IP_PMTUDISC_DO, unix.IPV6_PMTUDISC_DO))
}

// LinkMTU implements host.Sounder.
func (c *Conn) LinkMTU(local netip.Addr) int {
	interfaces, err := net.Interfaces()
	if err != nil {
		return 0
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(local.Unmap().AsSlice()) {
				return i.MTU
			}
		}
	}
	return 0
}
