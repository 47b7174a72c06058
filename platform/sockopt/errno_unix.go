//go:build unix && !linux

package sockopt

import "golang.org/x/sys/unix"

const (
	errInUse  = unix.EADDRINUSE
	errTooBig = unix.EMSGSIZE
)
