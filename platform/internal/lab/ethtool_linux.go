package lab

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolSet does an ethtool command that takes one value (struct
// ethtool_value of linux/ethtool.h).
func ethtoolSet(fd int, ifr *unix.Ifreq, command, value uint32) error {
	arg := struct{ command, value uint32 }{command, value}
	req := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte // the union of struct ifreq is at least as long
	}{data: unsafe.Pointer(&arg)}
	copy(req.name[:], ifr.Name())
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	if errno != 0 {
		return errno
	}
	return nil
}
