//go:build !linux

package sockopt

import "syscall"

// Marked returns a control function for net.Dialer. This system has no marks.
func Marked(uint32) func(network, address string, c syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error { return nil }
}
