//go:build !linux

package sockopt

import (
	"net"
	"syscall"
)

// tcpControl prepares a TCP socket. This system has no marks.
func tcpControl(mark uint32) func(network, address string, c syscall.RawConn) error {
	return Marked(mark)
}

// accepted prepares a socket that a listener has accepted: there is nothing to do.
func accepted(*net.TCPConn) {}
