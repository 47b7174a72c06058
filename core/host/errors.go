package host

import (
	"errors"
	"fmt"
)

// Conditions that callers of a System test for with errors.Is. Their text is
// the cause in plain words; the error that wraps them says what was attempted.
var (
	// ErrUnsupported marks what this operating system's part cannot do yet.
	ErrUnsupported = errors.New("not available on this system yet")
	// ErrNoTUN means that the machine has no TUN driver: /dev/net/tun is
	// missing on Linux, wintun.dll on Windows.
	ErrNoTUN = errors.New("the TUN driver is missing")
	// ErrPrivilege means that the process lacks a right that the operating
	// system demands (root or CAP_NET_ADMIN; administrator).
	ErrPrivilege = errors.New("no privilege")
	// ErrPortInUse means that another program has the UDP port.
	ErrPortInUse = errors.New("the port is in use by another program")
	// ErrInUse means that another process has the device or the state folder.
	ErrInUse = errors.New("in use by another process")
	// ErrTooBig is what a TooBigError is.
	ErrTooBig = errors.New("larger than the path allows")
	// ErrUnsafe means that others than the owner could read or change a file
	// that must be private, so that it was not used.
	ErrUnsafe = errors.New("accessible to other users")
)

// A TooBigError is what Send returns when a datagram exceeds the MTU of the
// path to its destination. It is an ErrTooBig.
type TooBigError struct {
	MTU int // of the path, for the whole outer IP packet; 0 when unknown
}

// Error implements error.
func (e *TooBigError) Error() string {
	if e.MTU == 0 {
		return ErrTooBig.Error()
	}
	return fmt.Sprintf("%v (MTU %d)", ErrTooBig, e.MTU)
}

// Unwrap makes errors.Is(err, ErrTooBig) true.
func (e *TooBigError) Unwrap() error { return ErrTooBig }
