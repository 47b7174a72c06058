package sockopt

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A receiver holds what recvmsg fills in, and the closures that call it, so
// that a call allocates nothing. (unix.Recvmsg allocates the address.)
type receiver struct {
	v6      bool
	msg     unix.Msghdr
	iov     unix.Iovec
	from    [32]byte // holds either sockaddr; its size keeps control aligned
	control [256]byte

	n     int
	errno error
	wait  func(fd uintptr) bool // recvmsg; false when nothing is there
	try   func(fd uintptr) bool // recvmsg; always true

	zoneID uint32 // the last one seen, and
	zone   string // its name
}

func (r *receiver) init(v6 bool) {
	r.v6 = v6
	r.msg.Name = &r.from[0]
	r.msg.Iov = &r.iov
	r.msg.Iovlen = 1
	r.msg.Control = &r.control[0]
	r.wait = func(fd uintptr) bool {
		r.recvmsg(fd)
		return r.errno != unix.EAGAIN
	}
	r.try = func(fd uintptr) bool {
		r.recvmsg(fd)
		return true
	}
}

func (r *receiver) recvmsg(fd uintptr) {
	for {
		r.msg.Namelen = unix.SizeofSockaddrInet6
		r.msg.SetControllen(len(r.control))
		n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&r.msg)), 0)
		if errno == unix.EINTR {
			continue
		}
		r.n, r.errno = int(n), nil
		if errno != 0 {
			r.n, r.errno = 0, errno
		}
		return
	}
}

// Recv implements host.UDPConn; b should hold MaxRecv bytes.
func (c *Conn) Recv(b []byte) (n, segment int, remote netip.AddrPort, local netip.Addr, tos uint8, err error) {
	return c.receive(b, c.rx.wait)
}

// TryRecv implements host.TryReceiver.
func (c *Conn) TryRecv(b []byte) (n, segment int, remote netip.AddrPort, local netip.Addr, tos uint8, err error) {
	n, segment, remote, local, tos, err = c.receive(b, c.rx.try)
	if err == unix.EAGAIN {
		return -1, 0, netip.AddrPort{}, netip.Addr{}, 0, nil
	}
	return n, segment, remote, local, tos, err
}

func (c *Conn) receive(b []byte, recvmsg func(uintptr) bool) (n, segment int, remote netip.AddrPort, local netip.Addr, tos uint8, err error) {
	r := &c.rx
	if len(b) == 0 {
		return 0, 0, remote, local, 0, fmt.Errorf("receive into no buffer")
	}
	r.iov.Base = &b[0]
	r.iov.SetLen(len(b))
	err = c.raw.Read(recvmsg)
	r.iov.Base = nil
	if err == nil {
		err = r.errno
	}
	if err != nil {
		return 0, 0, remote, local, 0, err
	}
	remote = r.remote()
	segment, local, tos = r.parseControl(r.control[:min(int(r.msg.Controllen), len(r.control))])
	if segment >= r.n {
		segment = 0
	}
	return r.n, segment, remote, local, tos, nil
}

// remote reads the sender's address.
func (r *receiver) remote() netip.AddrPort {
	port := binary.BigEndian.Uint16(r.from[2:]) // both families
	if r.v6 {
		a := netip.AddrFrom16([16]byte(r.from[8:24]))
		return netip.AddrPortFrom(r.withZone(a, binary.NativeEndian.Uint32(r.from[24:])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(r.from[4:8])), port)
}

// withZone gives link-local addresses their zone, as a number.
func (r *receiver) withZone(a netip.Addr, id uint32) netip.Addr {
	if id == 0 || !a.IsLinkLocalUnicast() {
		return a
	}
	if id != r.zoneID {
		r.zoneID, r.zone = id, strconv.FormatUint(uint64(id), 10)
	}
	return a.WithZone(r.zone)
}

// parseControl reads the control messages of the kernel (cmsg(3)).
func (r *receiver) parseControl(b []byte) (segment int, local netip.Addr, tos uint8) {
	const header = unix.SizeofCmsghdr
	for len(b) >= header {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		if int(h.Len) < header || int(h.Len) > len(b) {
			return
		}
		data := b[unix.CmsgLen(0):h.Len]
		switch {
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			segment = int(binary.NativeEndian.Uint32(data))
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			// ipi_spec_dst, not ipi_addr: usable as a source also when the
			// datagram went to a broadcast address.
			local = netip.AddrFrom4([4]byte(data[4:8]))
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TOS && len(data) >= 1:
			tos = data[0]
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			local = r.withZone(netip.AddrFrom16([16]byte(data[:16])), binary.NativeEndian.Uint32(data[16:]))
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS && len(data) >= 4:
			tos = uint8(binary.NativeEndian.Uint32(data))
		}
		b = b[min(unix.CmsgSpace(int(h.Len)-unix.CmsgLen(0)), len(b)):]
	}
	return
}
