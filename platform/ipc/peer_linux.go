package ipc

import (
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DefaultPath is where the system's own service listens.
const DefaultPath = "/run/sallyport/sallyport.sock"

// maxGroups is the most supplementary groups a process can have (NGROUPS_MAX).
const maxGroups = 65536

// PeerOf asks the kernel who is at the other end: the credentials of the
// process at the moment of connect, or of listen. A uid from outside the
// service's user namespace shows as the overflow uid (65534).
func PeerOf(c net.Conn) (Peer, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return Peer{}, ErrNoPeer
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *unix.Ucred
	var groups []uint32
	var inner error
	err = raw.Control(func(fd uintptr) {
		if cred, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); inner == nil {
			groups, inner = peerGroups(fd)
		}
	})
	if err == nil {
		err = inner
	}
	if err != nil {
		return Peer{}, fmt.Errorf("ask for the peer's credentials: %w", err)
	}
	return Peer{UID: cred.Uid, GIDs: append([]uint32{cred.Gid}, groups...), PID: cred.Pid}, nil
}

// peerGroups reads the supplementary groups. x/sys has no getter for an array
// of numbers (Linux 4.13's SO_PEERGROUPS).
func peerGroups(fd uintptr) ([]uint32, error) {
	n := 64
	for {
		buf := make([]uint32, n)
		size := uint32(n * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == unix.ERANGE && int(size/4) > n && size/4 <= maxGroups:
			n = int(size / 4)
		case errno == unix.ENOPROTOOPT:
			return nil, nil
		case errno != 0:
			return nil, errno
		default:
			return buf[:min(int(size/4), n)], nil
		}
	}
}
