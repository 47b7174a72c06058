package sockopt

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent bounds what the kernel holds that has not left yet. The rest waits with
// us, where what does not fit is dropped, so that the tunnel's delay stays that of
// the path.
const unsent = 128 << 10

// gone is how many milliseconds what was sent may stay unacknowledged.
const gone = 20_000

// passes is how long packets may be that pass nearly everywhere, and everywhere
// with IPv6 (RFC 8200, section 5).
const passes = 1280

const errInUse = unix.EADDRINUSE

// tcpControl prepares a TCP socket before it is bound or connected. Sockets that a
// listener accepts inherit what it has.
func tcpControl(mark uint32) func(network, address string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
				return
			}
			// The rest is for speed, and missing in old kernels.
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, gone)
			short(int(fd), network)
		}); e != nil {
			return e
		}
		return err
	}
}

// short has both ends make segments that pass a narrow path of which nobody tells:
// Linux sends one that does not pass again as it is, unless net.ipv4.tcp_mtu_probing
// says otherwise, and a whole tunnel would hang there.
func short(fd int, network string) {
	const tcp, ipv4, ipv6 = 20, 20, 40
	if network == "tcp6" {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, passes-ipv6-tcp)
		return
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, passes-ipv4-tcp)
	letCut(fd)
}

// letCut lets routers cut segments over IPv4, on a path that is narrower still.
func letCut(fd int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
}

// accepted prepares a socket that a listener has accepted. Of what the listener has,
// it has not inherited whether routers may cut (seen with Linux 6.18).
func accepted(c *net.TCPConn) {
	if a, ok := c.LocalAddr().(*net.TCPAddr); !ok || a.IP.To4() == nil {
		return
	}
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { letCut(int(fd)) })
	}
}
