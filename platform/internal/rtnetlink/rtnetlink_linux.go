package rtnetlink

import (
	"encoding/binary"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen returns a socket that hears the multicast groups (unix.RTNLGRP_...). It
// belongs to the caller; Close unblocks Read.
func Listen(groups ...int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, g := range groups {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g)
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), nil
}

// Table returns the table of a message about a route or a rule, and false when it
// cannot be read. Both begin alike: struct rtmsg and fib_rule_hdr have 12 bytes,
// RTA_TABLE and FRA_TABLE are one number.
func Table(m syscall.NetlinkMessage) (table uint32, ok bool) {
	b := m.Data
	if len(b) < unix.SizeofRtMsg {
		return 0, false
	}
	table = uint32(b[4])
	for b = b[unix.SizeofRtMsg:]; len(b) >= unix.SizeofRtAttr; {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return 0, false
		}
		if binary.NativeEndian.Uint16(b[2:]) == unix.RTA_TABLE && size >= unix.SizeofRtAttr+4 {
			table = binary.NativeEndian.Uint32(b[unix.SizeofRtAttr:])
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return table, true
}
