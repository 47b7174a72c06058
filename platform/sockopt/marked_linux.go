package sockopt

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Marked returns a control function for net.Dialer that gives a socket the mark
// of our own.
func Marked(mark uint32) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
		}); e != nil {
			return e
		}
		return err
	}
}
