package sockopt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sallyport/core/host"
)

// Buffers of the kernel. The receive buffer holds about 20 ms at 1 Gbit/s, long
// enough for a garbage collection or a busy processor.
const (
	recvBuffer = 4 << 20
	sendBuffer = 2 << 20
)

// A Conn is a UDP socket bound to every address of one family.
type Conn struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	v6   bool
	port uint16
	mark uint32
	gso  atomic.Bool // UDP_SEGMENT works

	noSegments, noMerging bool // as Config has it

	rx receiver // of the goroutine that calls Recv

	mu sync.Mutex // guards tx
	tx sender
}

var (
	_ host.TryReceiver = (*Conn)(nil)
	_ host.Fragmenter  = (*Conn)(nil)
	_ host.Overflower  = (*Conn)(nil)
)

// Listen binds a socket. The errors are host.ErrPortInUse and
// host.ErrPrivilege, wrapped with what to do about them.
func Listen(c Config) (*Conn, error) {
	network, address := "udp4", netip.IPv4Unspecified()
	if c.V6 {
		network, address = "udp6", netip.IPv6Unspecified()
	}
	l := &Conn{v6: c.V6, mark: c.Mark, noSegments: c.NoSegments, noMerging: c.NoMerging}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) { err = l.setOptions(int(fd)) }); e != nil {
			return e
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), network, netip.AddrPortFrom(address, c.Port).String())
	if err != nil {
		return nil, listenError(network, c.Port, err)
	}
	l.conn = pc.(*net.UDPConn)
	l.port = uint16(l.conn.LocalAddr().(*net.UDPAddr).Port)
	if l.raw, err = l.conn.SyscallConn(); err != nil {
		l.conn.Close()
		return nil, listenError(network, c.Port, err)
	}
	l.rx.init(c.V6)
	l.tx.init()
	return l, nil
}

func listenError(network string, port uint16, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("bind %s port %d: %w: another IPsec service on this machine? (%w)", network, port, host.ErrPortInUse, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("bind %s port %d: %w: run the service as root or with CAP_NET_ADMIN and CAP_NET_BIND_SERVICE (%w)",
			network, port, host.ErrPrivilege, err)
	}
	return fmt.Errorf("bind %s port %d: %w", network, port, err)
}

// setOptions runs before bind.
func (c *Conn) setOptions(fd int) error {
	level, options := unix.IPPROTO_IP, [][2]int{
		{unix.IP_PKTINFO, 1},
		{unix.IP_RECVTOS, 1},
		{unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO},
	}
	if c.v6 {
		level, options = unix.IPPROTO_IPV6, [][2]int{
			{unix.IPV6_V6ONLY, 1},
			{unix.IPV6_RECVPKTINFO, 1},
			{unix.IPV6_RECVTCLASS, 1},
			{unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO},
		}
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, level, o[0], o[1]); err != nil {
			return fmt.Errorf("socket option %d of level %d: %w", o[0], level, err)
		}
	}
	if c.mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(c.mark)); err != nil {
			return fmt.Errorf("mark the socket: %w", err)
		}
	}
	// The rest is for speed, and missing in old kernels or without privilege.
	for _, o := range [][3]int{
		{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, recvBuffer},
		{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, sendBuffer},
	} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], o[2]) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[1], o[2])
		}
	}
	if !c.noMerging {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	}
	_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	c.gso.Store(err == nil && !c.noSegments)
	return nil
}

// LocalPort returns the port that the socket is bound to.
func (c *Conn) LocalPort() uint16 { return c.port }

// Offload reports whether the kernel segments what Send is given. Send takes
// groups in any case; without offload it makes one system call per segment.
func (c *Conn) Offload() bool { return c.gso.Load() }

// Overflowed counts the datagrams that the kernel has thrown away, for the receive
// buffer was full or their checksum wrong (SO_MEMINFO: nine numbers, of which
// drops are the last). What UDP_GRO has joined counts once.
func (c *Conn) Overflowed() uint64 {
	const drops = 8
	var info [drops + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	var errno syscall.Errno
	if c.raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	}) != nil || errno != 0 || size != uint32(unsafe.Sizeof(info)) {
		return 0 // closed, or a kernel before 4.12
	}
	return uint64(info[drops])
}

// Close closes the socket and unblocks Recv, which returns net.ErrClosed.
func (c *Conn) Close() error {
	if err := c.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// pathMTU asks the kernel for the MTU that it knows of the path to remote.
// 0 means that it would not say.
func (c *Conn) pathMTU(remote netip.AddrPort, local netip.Addr) int {
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) {
			if c.mark != 0 {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(c.mark))
			}
		}); e != nil {
			return e
		}
		return err
	}}
	if local.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
	}
	conn, err := d.Dial("udp", remote.String())
	if err != nil {
		return 0
	}
	defer conn.Close()
	raw, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		return 0
	}
	level, name := unix.IPPROTO_IP, unix.IP_MTU
	if c.v6 {
		level, name = unix.IPPROTO_IPV6, unix.IPV6_MTU
	}
	mtu := 0
	if err := raw.Control(func(fd uintptr) { mtu, err = unix.GetsockoptInt(int(fd), level, name) }); err != nil {
		return 0
	}
	return mtu
}
