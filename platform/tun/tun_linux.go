package tun

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"sallyport/core/host"
)

const clonePath = "/dev/net/tun"

// addrGenModeNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const addrGenModeNone = 1

const (
	tcpOffloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	udpOffloads = unix.TUN_F_USO4 | unix.TUN_F_USO6 // Linux 6.2
)

// A Device is a TUN device. It vanishes with its addresses and routes when it
// is closed, or when the process dies.
//
// wireguard/tun sets it up, unmonitored: its monitor would write to the device
// once a second to learn whether it is up. Packets do not pass through its
// batches: the data path reads and writes whole super-packets, so Read and
// Write go to the library's file.
type Device struct {
	file *os.File // non-blocking, waits in the runtime's poller
	raw  syscall.RawConn
	name string
	tcp  bool
	udp  bool

	in      call // of the goroutine that calls Read and TryRead
	writing sync.Mutex
	out     call // guarded by writing
}

// A call is a read or write of the device. Its closures are made once, so that a
// call allocates nothing.
//
// It is made with RawSyscall, which does not tell Go's scheduler. It never blocks,
// and what telling costs is much for a call that moves one packet: after a pause it
// wakes the thread that watches over system calls, and under load that thread takes
// the processor away from whoever is in a long call, and wakes another for it.
type call struct {
	number uintptr // SYS_READ or SYS_WRITE
	buf    []byte
	n      int
	errno  syscall.Errno

	wait func(fd uintptr) bool // false when the call is to be made again later
	try  func(fd uintptr) bool // always true
}

func (c *call) init(number uintptr) {
	c.number = number
	c.try = func(fd uintptr) bool {
		c.do(fd)
		return true
	}
	c.wait = func(fd uintptr) bool {
		c.do(fd)
		return c.errno != unix.EAGAIN
	}
}

func (c *call) do(fd uintptr) {
	for {
		n, _, errno := unix.RawSyscall(c.number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(c.buf))), uintptr(len(c.buf)))
		if errno == unix.EINTR {
			continue
		}
		c.n, c.errno = int(n), errno
		return
	}
}

// result returns what came of the call; err is of the file, which has no other
// than that it is closed.
func (c *call) result(err error) (int, error) {
	c.buf = nil
	if err != nil {
		return 0, fmt.Errorf("%w (%w)", os.ErrClosed, err)
	}
	if c.errno != 0 {
		return 0, c.errno
	}
	return c.n, nil
}

// Open creates the device, down and without addresses. A %d in name is replaced
// by the first number that is free. The errors are host.ErrNoTUN,
// host.ErrPrivilege and host.ErrInUse, wrapped with what to do about them.
func Open(name string, mtu int) (*Device, error) {
	if err := checkMTU(mtu); err != nil {
		return nil, fmt.Errorf("open TUN device %s: %w", name, err)
	}
	if strings.ContainsAny(name, "/ :") {
		return nil, fmt.Errorf("open TUN device %q: not a device name", name)
	}
	fd, err := unix.Open(clonePath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, openError(name, err)
	}
	d, err := attach(fd, name)
	if err != nil {
		return nil, openError(name, err)
	}
	if err := d.setUp(mtu); err != nil {
		d.Close()
		return nil, openError(name, err)
	}
	return d, nil
}

// attach makes fd a device. It takes ownership of fd.
func attach(fd int, name string) (*Device, error) {
	if err := configure(fd, name); err != nil {
		unix.Close(fd)
		return nil, err
	}
	dev, actual, err := tun.CreateUnmonitoredTUNFromFD(fd)
	if err != nil {
		return nil, err // fd belongs to a file of the library by now, which closes it when collected
	}
	d := &Device{file: dev.File(), name: actual, tcp: true}
	// The library does not tell whether the kernel took the UDP offloads.
	d.udp = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcpOffloads|udpOffloads) == nil
	if d.raw, err = d.file.SyscallConn(); err != nil {
		d.file.Close()
		return nil, err
	}
	d.in.init(unix.SYS_READ)
	d.out.init(unix.SYS_WRITE)
	return d, nil
}

// configure names the device and gives its packets the header that core expects.
func configure(fd int, name string) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("not a device name")
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return err
	}
	// A persistent device may have been left with another header size.
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, host.VNetLen); err != nil {
		return fmt.Errorf("set size of packet header: %w", err)
	}
	return nil
}

// setUp sets the MTU, and keeps the kernel from giving the device a link-local
// address, whose router solicitations would travel into the tunnel.
func (d *Device) setUp(mtu int) error {
	link, err := netlink.LinkByName(d.name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMTU(link, mtu); err != nil {
		return fmt.Errorf("set MTU %d: %w", mtu, err)
	}
	// Without IPv6 in the kernel there is nothing to keep it from.
	if h, err := netlink.NewHandle(unix.NETLINK_ROUTE); err == nil {
		_ = h.LinkSetIP6AddrGenMode(link, addrGenModeNone)
		h.Close()
	}
	return nil
}

// openError says in plain words what a failure to open means.
func openError(name string, err error) error {
	cause, advice := error(nil), ""
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		cause, advice = host.ErrNoTUN, "load it with \"modprobe tun\", and in a container pass "+clonePath+" through"
	case errors.Is(err, fs.ErrPermission): // EPERM and EACCES
		cause, advice = host.ErrPrivilege, "run the service as root or with CAP_NET_ADMIN"
	case errors.Is(err, unix.EBUSY):
		cause, advice = host.ErrInUse, "another program has a device of that name"
	default:
		return fmt.Errorf("open TUN device %s: %w", name, err)
	}
	return fmt.Errorf("open TUN device %s: %w: %s (%w)", name, cause, advice, err)
}

// Name returns the name that the kernel gave the device.
func (d *Device) Name() string { return d.name }

// Offload implements host.TUN: super-packets of TCP always, of UDP from Linux
// 6.2 on.
func (d *Device) Offload() (tcp, udp bool) { return d.tcp, d.udp }

// SetOffload takes offloads away from the device, before it is read: without that of
// TCP there is none, and the kernel makes whole packets with whole checksums.
func (d *Device) SetOffload(tcp, udp bool) error {
	flags := 0
	switch {
	case tcp && udp:
		flags = tcpOffloads | udpOffloads
	case tcp:
		flags = tcpOffloads
	}
	var err error
	if e := d.raw.Control(func(fd uintptr) { err = unix.IoctlSetInt(int(fd), unix.TUNSETOFFLOAD, flags) }); e != nil {
		return e
	}
	if err != nil {
		return fmt.Errorf("set offloads of TUN device %s: %w", d.name, err)
	}
	d.tcp, d.udp = tcp, tcp && udp
	return nil
}

// Read implements host.TUN; b should hold MaxRead bytes. The error is
// os.ErrClosed after Close, and also when someone else has removed the device.
func (d *Device) Read(b []byte) (int, error) {
	d.in.buf = b
	n, err := d.in.result(d.raw.Read(d.in.wait))
	if err != nil {
		return 0, d.ioError(err)
	}
	return n, nil
}

// TryRead implements host.TryReader.
func (d *Device) TryRead(b []byte) (int, error) {
	d.in.buf = b
	n, err := d.in.result(d.raw.Read(d.in.try))
	switch {
	case err == nil:
		return n, nil
	case err == unix.EAGAIN:
		return 0, nil
	}
	return 0, d.ioError(err)
}

// Write implements host.TUN. A device that is down refuses packets with EIO,
// and the kernel refuses headers that do not fit the packet with EINVAL.
func (d *Device) Write(b []byte) (int, error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.out.buf = b
	n, err := d.out.result(d.raw.Write(d.out.wait))
	if err != nil {
		return 0, d.ioError(err)
	}
	return n, nil
}

func (d *Device) ioError(err error) error {
	if errors.Is(err, unix.EBADFD) {
		return fmt.Errorf("TUN device %s was removed: %w", d.name, os.ErrClosed)
	}
	return err
}

// SetMTU implements host.TUN.
func (d *Device) SetMTU(mtu int) error {
	err := checkMTU(mtu)
	var link netlink.Link
	if err == nil {
		link, err = netlink.LinkByName(d.name)
	}
	if err == nil {
		err = netlink.LinkSetMTU(link, mtu)
	}
	if err != nil {
		return fmt.Errorf("set MTU %d of TUN device %s: %w", mtu, d.name, err)
	}
	return nil
}

// Overflowed implements host.Overflower: the packets that found the device's queue
// full. What is queued as one super-packet counts once.
func (d *Device) Overflowed() uint64 {
	link, err := netlink.LinkByName(d.name)
	if err != nil || link.Attrs().Statistics == nil {
		return 0 // removed
	}
	return link.Attrs().Statistics.TxDropped
}

// Close removes the device and unblocks Read. A second Close does nothing.
func (d *Device) Close() error {
	if err := d.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
