//go:build !linux

package sockopt

import "syscall"

// tcpControl prepares a TCP socket. This system has no marks.
func tcpControl(mark uint32) func(network, address string, c syscall.RawConn) error {
	return Marked(mark)
}
