package firewall

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"sallyport/core/host"
	"sallyport/core/ts"
	"sallyport/platform/internal/roottest"
	"sallyport/platform/tun"
)

// The network of the tests:
//
//	this machine                               qpeer, router and everybody else
//	q0 192.168.1.2/24, 2001:db8:1::2/64  ----  q1 192.168.1.1/24, 2001:db8:1::1/64
//	sp0, the tunnel device: 10.9.0.1, fd09::1
const (
	mark = 0x5a11
	our4 = "192.168.1.2"
	our6 = "2001:db8:1::2"
	lan4 = "192.168.1.1"
	lan6 = "2001:db8:1::1"
	far4 = "203.0.113.9"
	far6 = "2001:db8:99::9"
)

var ourMAC, peerMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}

// network builds the network, and returns a Firewall that ends with the test.
func network(t *testing.T) *Firewall {
	t.Helper()
	roottest.Command(t, "ip")
	for _, c := range []string{
		"ip netns add qpeer",
		"ip link add q0 address " + ourMAC.String() + " type veth peer name q1 address " + peerMAC.String() + " netns qpeer",
		"ip addr add 192.168.1.2/24 brd + dev q0",
		"ip addr add 2001:db8:1::2/64 dev q0 nodad",
		"ip -n qpeer addr add 192.168.1.1/24 dev q1",
		"ip -n qpeer addr add 2001:db8:1::1/64 dev q1 nodad",
		"ip link set q0 up",
		"ip -n qpeer link set q1 up",
		"ip -n qpeer link set lo up",
		"ip neigh add 192.168.1.1 lladdr " + peerMAC.String() + " dev q0 nud permanent",
		"ip neigh add 2001:db8:1::1 lladdr " + peerMAC.String() + " dev q0 nud permanent",
		"ip -n qpeer neigh add 192.168.1.2 lladdr " + ourMAC.String() + " dev q1 nud permanent",
		"ip -n qpeer neigh add 2001:db8:1::2 lladdr " + ourMAC.String() + " dev q1 nud permanent",
		"ip route add default via 192.168.1.1",
		"ip -6 route add default via 2001:db8:1::1",
	} {
		roottest.Run(t, c)
	}
	dev, err := tun.Open("sp0", 1400)
	if err != nil {
		t.Fatal(err)
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		b := make([]byte, 1<<17)
		for {
			if _, err := dev.Read(b); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		dev.Close()
		<-drained
	})
	for _, c := range []string{
		"ip addr add 10.9.0.1/32 dev sp0",
		"ip addr add fd09::1/128 dev sp0 nodad",
		"ip link set sp0 up",
		"ip route add default dev sp0 metric 5000",
		"ip -6 route add default dev sp0 metric 5000",
	} {
		roottest.Run(t, c)
	}
	f := New(Config{Mark: mark})
	t.Cleanup(func() { f.Close() })
	return f
}

func sel(t testing.TB, s string) ts.Selector {
	t.Helper()
	x, err := ts.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func rule(t testing.TB, remote string, a host.FirewallAction) host.FirewallRule {
	t.Helper()
	r := sel(t, remote)
	local := "0.0.0.0/0"
	if r.From.Is6() {
		local = "::/0"
	}
	return host.FirewallRule{Local: sel(t, local), Remote: r, Action: a}
}

// require is the intent of a tunnel for everything.
func require(t testing.TB) host.FirewallIntent {
	return host.FirewallIntent{
		Device:  "sp0",
		Inner:   []netip.Addr{netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd09::1")},
		Rules:   []host.FirewallRule{rule(t, "0.0.0.0/0", host.FirewallTunnelOnly), rule(t, "::/0", host.FirewallTunnelOnly)},
		Default: host.FirewallTunnelOnly,
	}
}

func mustSet(t testing.TB, f *Firewall, i host.FirewallIntent) {
	t.Helper()
	if err := f.Set(i); err != nil {
		t.Fatal(err)
	}
}

// A datagram is an IP packet to be sent, and from what socket.
type datagram struct {
	src, dst string
	protocol uint8
	l4       []byte
	hops     uint8  // 0: 64
	next     []byte // extension headers, the first of which is of type ext
	ext      uint8
	fragment uint16 // of IPv4: offset and flags
	device   string // to send through; empty: as routed
	mark     int
	user     int
}

const marker = "clear-text-marker"

func ports(from, to uint16) []byte {
	b := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, from), to)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(marker)))
	return append(append(b, 0, 0), marker...)
}

func (d *datagram) bytes() []byte {
	src, dst := netip.MustParseAddr(d.src), netip.MustParseAddr(d.dst)
	hops := d.hops
	if hops == 0 {
		hops = 64
	}
	if src.Is4() {
		b := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, hops, d.protocol, 0, 0}
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(d.l4)))
		binary.BigEndian.PutUint16(b[6:], d.fragment)
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
		binary.BigEndian.PutUint16(b[10:], ^sum(b))
		return append(b, d.l4...)
	}
	first, body := d.protocol, d.l4
	if d.next != nil {
		first, body = d.ext, append(bytes.Clone(d.next), d.l4...)
	}
	b := []byte{0x60, 0, 0, 0, 0, 0, first, hops}
	binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	return append(b, body...)
}

// sum is the Internet checksum before it is turned round.
func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		s += uint32(b[len(b)-1]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// A sender sends datagrams from raw sockets, which say so when a packet may not
// pass.
type sender struct {
	t       testing.TB
	sockets map[[2]any]int
}

func newSender(t testing.TB) *sender {
	s := &sender{t, map[[2]any]int{}}
	t.Cleanup(func() {
		for _, fd := range s.sockets {
			unix.Close(fd)
		}
	})
	return s
}

type socketKind struct {
	v6     bool
	device string
	mark   int
}

func (s *sender) socket(d *datagram) int {
	s.t.Helper()
	v6 := netip.MustParseAddr(d.dst).Is6()
	key := [2]any{socketKind{v6, d.device, d.mark}, d.user}
	if fd, ok := s.sockets[key]; ok {
		return fd
	}
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	// The user of a socket is the file system user of the thread that makes it.
	if d.user != 0 {
		_ = unix.Setfsuid(d.user)
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if d.user != 0 {
		_ = unix.Setfsuid(0)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.sockets[key] = fd
	if v6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_HDRINCL, 1)
	} else {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
	}
	if err == nil && d.mark != 0 {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, d.mark)
	}
	if err == nil && d.device != "" {
		err = unix.BindToDevice(fd, d.device)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return fd
}

// passes reports whether the filter lets d leave.
func (s *sender) passes(d datagram) bool {
	s.t.Helper()
	var to unix.Sockaddr
	if a := netip.MustParseAddr(d.dst); a.Is4() {
		to = &unix.SockaddrInet4{Addr: a.As4()}
	} else {
		sa := &unix.SockaddrInet6{Addr: a.As16()}
		if a.IsLinkLocalUnicast() || a.IsMulticast() {
			sa.ZoneId = index(s.t, "q0")
		}
		to = sa
	}
	b := d.bytes()
	for {
		err := unix.Sendto(s.socket(&d), b, 0, to)
		switch err {
		case nil:
			return true
		case unix.EPERM:
			return false
		case unix.ENOBUFS:
			continue
		}
		s.t.Fatalf("send %+v: %v", d, err)
	}
}

func index(t testing.TB, device string) uint32 {
	t.Helper()
	i, err := net.InterfaceByName(device)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(i.Index)
}

// A wire captures at the peer's end, and sends from there.
type wire struct {
	t    testing.TB
	fd   int
	mu   sync.Mutex // guards seen
	seen [][]byte   // IP packets from this machine, but for neighbour discovery
}

func tap(t testing.TB) *wire {
	t.Helper()
	w := &wire{t: t}
	var err error
	roottest.In(t, "qpeer", func() {
		w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return
		}
		_ = unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
		err = unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: 0x0300, Ifindex: int(index(t, "q1"))}) // ETH_P_ALL, network order
	})
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(w.fd), "q1")
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1<<16)
		for {
			n, err := f.Read(b)
			if err != nil {
				return
			}
			if n > 14 && bytes.Equal(b[6:12], ourMAC) && !infrastructure(b[:n]) {
				w.mu.Lock()
				w.seen = append(w.seen, bytes.Clone(b[14:n]))
				w.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		f.Close()
		<-done
	})
	return w
}

// infrastructure reports whether a frame is one that needs no exemption (ARP)
// or has it (neighbour discovery).
func infrastructure(b []byte) bool {
	switch binary.BigEndian.Uint16(b[12:]) {
	case unix.ETH_P_IP:
		return false
	case unix.ETH_P_IPV6:
		return len(b) > 54 && b[20] == icmpv6 && b[21] == 255 && b[54] >= routerSolicitation && b[54] <= neighbourAdvertisement
	}
	return true
}

// inject puts an IP packet on the wire towards this machine.
func (w *wire) inject(d datagram) {
	w.t.Helper()
	b := d.bytes()
	kind := []byte{0x08, 0x00}
	to := ourMAC
	dst := netip.MustParseAddr(d.dst)
	if dst.Is6() {
		kind = []byte{0x86, 0xdd}
		if dst.IsMulticast() {
			a := dst.As16()
			to = net.HardwareAddr{0x33, 0x33, a[12], a[13], a[14], a[15]}
		}
	}
	frame := append(append(append(bytes.Clone(to), peerMAC...), kind...), b...)
	if _, err := unix.Write(w.fd, frame); err != nil {
		w.t.Fatal(err)
	}
}

// settle waits until what is under way has arrived, and returns what did.
func (w *wire) settle() [][]byte {
	time.Sleep(30 * time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

// arrived waits until n packets have arrived, two seconds at most, and returns
// them and what came with them.
func (w *wire) arrived(n int) [][]byte {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		w.mu.Lock()
		seen := len(w.seen)
		w.mu.Unlock()
		if seen >= n {
			break
		}
	}
	return w.settle()
}

// nothing fails the test if anything has left since the last look.
func (w *wire) nothing(what string) {
	w.t.Helper()
	for _, p := range w.settle() {
		w.t.Errorf("%s: clear text left: % x", what, p[:min(len(p), 64)])
	}
}

// counter reads one of ours.
func counter(t testing.TB, name string) uint64 {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	o, err := c.GetObject(&nftables.CounterObj{Table: &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return o.(*nftables.CounterObj).Packets
}

// die runs the test again in a process that sets rules and kills itself.
func die(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "Q_SET_AND_DIE=1")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the process was not killed: %v\n%s", err, out)
	}
	return string(out)
}
