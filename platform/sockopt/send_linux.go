package sockopt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"sallyport/core/host"
)

// A sender holds what sendmsg reads, and the closure that calls it, so that a
// call allocates nothing.
type sender struct {
	msg     unix.Msghdr
	iov     unix.Iovec
	to      [32]byte // holds either sockaddr; its size keeps control aligned
	control [128]byte

	errno   error
	sendmsg func(fd uintptr) bool

	zone   string // the last one used, and
	zoneID uint32 // its number
}

func (s *sender) init() {
	s.msg.Name = &s.to[0]
	s.msg.Iov = &s.iov
	s.msg.Iovlen = 1
	s.sendmsg = func(fd uintptr) bool {
		for {
			_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&s.msg)), 0)
			switch errno {
			case 0:
				s.errno = nil
				return true
			case unix.EINTR:
			case unix.EAGAIN:
				s.errno = errno
				return false // wait until the kernel has room
			default:
				s.errno = errno
				return true
			}
		}
	}
}

// Send implements host.UDPConn. A group that the kernel or the device cannot
// segment is sent segment by segment, and when that works the socket stops
// asking for segmentation.
func (c *Conn) Send(b []byte, segment int, remote netip.AddrPort, local netip.Addr, tos uint8) error {
	c.mu.Lock()
	err := c.sendLocked(b, segment, remote, local, tos)
	c.mu.Unlock()
	if err == unix.EMSGSIZE {
		return &host.TooBigError{MTU: c.pathMTU(remote, local)}
	}
	return err
}

// SendFragmented implements host.Fragmenter. While it runs, other datagrams of
// the socket leave without DF too, which does them no harm.
func (c *Conn) SendFragmented(b []byte, remote netip.AddrPort, local netip.Addr) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.setDiscoverLocked(unix.IP_PMTUDISC_DONT, unix.IPV6_PMTUDISC_DONT); err != nil {
		return err
	}
	err := c.setCutLocked(minMTU6)
	if err == nil {
		err = c.sendLocked(b, 0, remote, local, 0)
	}
	return errors.Join(err, c.setCutLocked(0), c.setDiscoverLocked(unix.IP_PMTUDISC_DO, unix.IPV6_PMTUDISC_DO))
}

// minMTU6 is what every IPv6 link carries (RFC 8200, section 5).
const minMTU6 = 1280

// setCutLocked sets how long the fragments of IPv6 are, which routers do not make:
// 0 is what the kernel takes the path's MTU to be. Those of IPv4 any router makes.
func (c *Conn) setCutLocked(mtu int) error {
	if !c.v6 {
		return nil
	}
	var err error
	if e := c.raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU, mtu) }); e != nil {
		return e
	}
	return err
}

func (c *Conn) setDiscoverLocked(v4, v6 int) error {
	level, name, value := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, v4
	if c.v6 {
		level, name, value = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, v6
	}
	var err error
	if e := c.raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, name, value) }); e != nil {
		return e
	}
	return err
}

func (c *Conn) sendLocked(b []byte, segment int, remote netip.AddrPort, local netip.Addr, tos uint8) error {
	if err := c.tx.address(c.v6, remote); err != nil {
		return err
	}
	if segment <= 0 || segment >= len(b) {
		return c.write(b, 0, local, tos)
	}
	refused := false
	if c.gso.Load() {
		// EIO: the device cannot checksum (before Linux 6.11). EINVAL: too many
		// segments, or one larger than the MTU (EMSGSIZE from Linux 6.14 on).
		err := c.write(b, segment, local, tos)
		if err != unix.EIO && err != unix.EINVAL && err != unix.EOPNOTSUPP {
			return err
		}
		refused = true
	}
	for len(b) > 0 {
		n := min(segment, len(b))
		if err := c.write(b[:n], 0, local, tos); err != nil {
			return err
		}
		b = b[n:]
	}
	if refused {
		c.gso.Store(false)
	}
	return nil
}

// write makes the system call. The address is set already.
func (c *Conn) write(b []byte, segment int, local netip.Addr, tos uint8) error {
	s := &c.tx
	s.iov.Base = unsafe.SliceData(b) // whatever it is when b is empty
	s.iov.SetLen(len(b))
	n, err := s.appendControl(c.v6, segment, local, tos)
	if err != nil {
		return err
	}
	s.msg.Control = nil
	if n > 0 {
		s.msg.Control = &s.control[0]
	}
	s.msg.SetControllen(n)
	err = c.raw.Write(s.sendmsg)
	s.iov.Base = nil
	if err != nil {
		return err
	}
	return s.errno
}

// address fills in the receiver's address.
func (s *sender) address(v6 bool, remote netip.AddrPort) error {
	a := remote.Addr()
	switch {
	case !v6 && (a.Is4() || a.Is4In6()):
		binary.NativeEndian.PutUint16(s.to[:], unix.AF_INET)
		binary.BigEndian.PutUint16(s.to[2:], remote.Port())
		a4 := a.Unmap().As4()
		copy(s.to[4:8], a4[:])
		clear(s.to[8:16])
		s.msg.Namelen = unix.SizeofSockaddrInet4
	case v6 && a.Is6() && !a.Is4In6():
		binary.NativeEndian.PutUint16(s.to[:], unix.AF_INET6)
		binary.BigEndian.PutUint16(s.to[2:], remote.Port())
		clear(s.to[4:8])
		a16 := a.As16()
		copy(s.to[8:24], a16[:])
		id, err := s.scope(a.Zone())
		if err != nil {
			return err
		}
		binary.NativeEndian.PutUint32(s.to[24:], id)
		s.msg.Namelen = unix.SizeofSockaddrInet6
	default:
		return fmt.Errorf("send to %v: %w", remote, unix.EAFNOSUPPORT)
	}
	return nil
}

// scope finds the number of a zone, which is a number or an interface's name.
func (s *sender) scope(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if zone == s.zone {
		return s.zoneID, nil
	}
	id, err := strconv.ParseUint(zone, 10, 32)
	if err != nil {
		ifc, err := net.InterfaceByName(zone)
		if err != nil {
			return 0, fmt.Errorf("zone %q: %w", zone, err)
		}
		return uint32(ifc.Index), nil // not kept: a name may come to mean another one
	}
	s.zone, s.zoneID = zone, uint32(id)
	return s.zoneID, nil
}

// appendControl writes the control messages and returns their length.
func (s *sender) appendControl(v6 bool, segment int, local netip.Addr, tos uint8) (int, error) {
	n := 0
	if segment > 0 {
		binary.NativeEndian.PutUint16(s.cmsg(&n, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2), uint16(segment))
	}
	switch {
	case !local.IsValid() || local.IsUnspecified():
	case !v6 && (local.Is4() || local.Is4In6()):
		a := local.Unmap().As4()
		copy(s.cmsg(&n, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)[4:8], a[:])
	case v6 && local.Is6() && !local.Is4In6():
		a := local.As16()
		d := s.cmsg(&n, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
		copy(d, a[:])
		id, err := s.scope(local.Zone())
		if err != nil {
			return 0, err
		}
		binary.NativeEndian.PutUint32(d[16:], id)
	default:
		return 0, fmt.Errorf("send from %v: %w", local, unix.EAFNOSUPPORT)
	}
	if tos != 0 {
		level, name := int32(unix.IPPROTO_IP), int32(unix.IP_TOS)
		if v6 {
			level, name = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
		}
		binary.NativeEndian.PutUint32(s.cmsg(&n, level, name, 4), uint32(tos))
	}
	return n, nil
}

// cmsg adds a zeroed control message at *n and returns its data.
func (s *sender) cmsg(n *int, level, name int32, size int) []byte {
	b := s.control[*n : *n+unix.CmsgSpace(size)]
	clear(b)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, name
	h.SetLen(unix.CmsgLen(size))
	*n += len(b)
	return b[unix.CmsgLen(0):][:size]
}
