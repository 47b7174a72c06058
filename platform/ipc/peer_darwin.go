package ipc

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// DefaultPath is where the system's own service listens.
const DefaultPath = "/var/run/sallyport/sallyport.sock"

// PeerOf asks the kernel who is at the other end. It tells the first 16 groups
// (XU_NGROUPS); a process with more is known by those alone.
func PeerOf(c net.Conn) (Peer, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return Peer{}, ErrNoPeer
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *unix.Xucred
	var pid int
	var inner error
	err = raw.Control(func(fd uintptr) {
		if cred, inner = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED); inner == nil {
			pid, inner = unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID)
		}
	})
	if err == nil {
		err = inner
	}
	if err != nil {
		return Peer{}, fmt.Errorf("ask for the peer's credentials: %w", err)
	}
	n := max(0, min(int(cred.Ngroups), len(cred.Groups)))
	return Peer{UID: cred.Uid, GIDs: cred.Groups[:n], PID: int32(pid)}, nil
}
