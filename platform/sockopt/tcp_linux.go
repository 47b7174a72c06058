package sockopt

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent bounds what the kernel holds that has not left yet. The rest waits with
// us, where what does not fit is dropped, so that the tunnel's delay stays that of
// the path.
const unsent = 128 << 10

// gone is how many milliseconds what was sent may stay unacknowledged.
const gone = 20_000

const errInUse = unix.EADDRINUSE

// tcpControl prepares a TCP socket before it is bound or connected. Sockets that a
// listener accepts inherit what it has.
func tcpControl(mark uint32) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
				return
			}
			// The rest is for speed, and missing in old kernels.
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, gone)
		}); e != nil {
			return e
		}
		return err
	}
}
