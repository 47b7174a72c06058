package tun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/core/host"
	"sallyport/platform/internal/roottest"
)

func TestOpenErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want error
	}{
		{unix.ENOENT, host.ErrNoTUN},
		{unix.ENODEV, host.ErrNoTUN},
		{unix.ENXIO, host.ErrNoTUN},
		{unix.EPERM, host.ErrPrivilege},
		{unix.EACCES, host.ErrPrivilege},
		{unix.EBUSY, host.ErrInUse},
		{unix.ENOMEM, unix.ENOMEM},
	} {
		err := openError("t0", tt.err)
		if !errors.Is(err, tt.want) || !errors.Is(err, tt.err) {
			t.Errorf("openError(%v) = %v, want %v", tt.err, err, tt.want)
		}
	}
	for _, tt := range []struct {
		name string
		mtu  int
	}{{"a/b", 1400}, {"a:b", 1400}, {"sixteen-letters-x", 1400}, {"ok", 67}, {"ok", 65536}} {
		d, err := Open(tt.name, tt.mtu)
		if err == nil {
			d.Close()
			t.Errorf("Open(%q, %d) succeeded", tt.name, tt.mtu)
		}
	}
}

func openUp(t *testing.T, prefix string) *Device {
	t.Helper()
	d, err := Open("ftun%d", 1400)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	roottest.Run(t, "ip addr add "+prefix+" dev "+d.Name())
	roottest.Run(t, "ip link set up dev "+d.Name())
	return d
}

func TestDevice(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	d := openUp(t, "10.9.0.1/24")
	if d.Name() != "ftun0" {
		t.Errorf("Name() = %q, want ftun0", d.Name())
	}
	if tcp, _ := d.Offload(); !tcp {
		t.Error("no TCP offload")
	}
	out := roottest.Run(t, "ip -d link show dev ftun0") + roottest.Run(t, "ip addr show dev ftun0")
	for _, want := range []string{"mtu 1400", "addrgenmode none"} {
		if !strings.Contains(out, want) {
			t.Errorf("device lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "fe80") {
		t.Errorf("device has a link-local address:\n%s", out)
	}
	if err := d.SetMTU(1280); err != nil {
		t.Error(err)
	}
	if out := roottest.Run(t, "ip link show dev ftun0"); !strings.Contains(out, "mtu 1280") {
		t.Errorf("MTU not set:\n%s", out)
	}
	if _, err := Open("ftun0", 1400); !errors.Is(err, host.ErrInUse) {
		t.Errorf("second Open = %v, want %v", err, host.ErrInUse)
	}

	// A reader that waits learns of Close.
	done := make(chan error)
	go func() {
		_, err := d.Read(make([]byte, MaxRead))
		done <- err
	}()
	time.Sleep(20 * time.Millisecond) // let it park in the poller
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read after Close = %v, want %v", err, os.ErrClosed)
	}
	if err := d.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	if _, err := net.InterfaceByName("ftun0"); err == nil {
		t.Error("the device outlives Close")
	}
}

func TestRemovedDevice(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	d := openUp(t, "10.9.0.1/24")
	done := make(chan error)
	go func() {
		_, err := d.Read(make([]byte, MaxRead))
		done <- err
	}()
	time.Sleep(20 * time.Millisecond)
	roottest.Run(t, "ip link del ftun0")
	select {
	case err := <-done:
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read = %v, want %v", err, os.ErrClosed)
		}
	case <-time.After(5 * time.Second):
		t.Error("Read did not notice that the device is gone")
	}
}

// reflect answers what arrives at d by swapping the IPv4 addresses, which
// keeps every checksum right, and turns echo requests into replies.
func reflect(d *Device) error {
	b := make([]byte, MaxRead)
	for {
		n, err := d.Read(b)
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		p := b[host.VNetLen:n]
		if len(p) < 28 || p[0]>>4 != 4 {
			continue
		}
		for i := 12; i < 16; i++ {
			p[i], p[i+4] = p[i+4], p[i]
		}
		if p[9] == 1 && p[20] == 8 { // echo request; its checksum grows by 0x0800
			p[20] = 0
			sum := uint32(binary.BigEndian.Uint16(p[22:])) + 0x0800
			binary.BigEndian.PutUint16(p[22:], uint16(sum+sum>>16))
		}
		if _, err := d.Write(b[:n]); err != nil {
			return fmt.Errorf("write %d bytes: %w", n, err)
		}
	}
}

func TestPing(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	d := openUp(t, "10.9.0.1/24")
	done := make(chan error)
	go func() { done <- reflect(d) }()

	// A raw ICMP socket instead of ping(8), which is not on every machine.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
	for _, size := range []int{8, 64, 1372} {
		msg := make([]byte, size)
		msg[0] = 8
		binary.BigEndian.PutUint16(msg[2:], checksum(msg))
		if err := unix.Sendto(fd, msg, 0, &unix.SockaddrInet4{Addr: [4]byte{10, 9, 0, 7}}); err != nil {
			t.Fatal(err)
		}
		reply := make([]byte, 2000)
		n, _, err := unix.Recvfrom(fd, reply, 0)
		if err != nil {
			t.Fatalf("no echo reply of %d bytes: %v", size, err)
		}
		if n != size+20 {
			t.Errorf("reply of %d bytes, want %d", n, size+20)
		}
	}
	d.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// TestSuperPacket shows that a large UDP_SEGMENT send crosses the device as one
// read, that writing it back delivers every segment, and that neither direction
// allocates.
func TestSuperPacket(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	d := openUp(t, "10.9.0.1/24")
	if _, udp := d.Offload(); !udp {
		t.Skip("not run: this kernel has no UDP offload for TUN (Linux 6.2 has)")
	}
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 9, 0, 1), Port: 7000})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, _ := c.SyscallConn()
	if err := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, 1000)
	}); err != nil {
		t.Fatal(err)
	}

	b := make([]byte, MaxRead)
	payload := make([]byte, 20_000)
	dst := &net.UDPAddr{IP: net.IPv4(10, 9, 0, 7), Port: 7000}
	if n, err := d.TryRead(b); n != 0 || err != nil {
		t.Fatalf("TryRead of an idle device = %d, %v", n, err)
	}
	if _, err := c.WriteTo(payload, dst); err != nil {
		t.Fatal(err)
	}
	n, err := d.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	if n != host.VNetLen+28+len(payload) {
		t.Fatalf("read %d bytes, want one super-packet of %d", n, host.VNetLen+28+len(payload))
	}
	if b[1] != unix.VIRTIO_NET_HDR_GSO_UDP_L4 || binary.NativeEndian.Uint16(b[4:]) != 1000 {
		t.Errorf("header % x, want UDP segments of 1000", b[:host.VNetLen])
	}
	for i := host.VNetLen + 12; i < host.VNetLen+16; i++ {
		b[i], b[i+4] = b[i+4], b[i]
	}
	if _, err := d.Write(b[:n]); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	for i := range 20 {
		if n, _, err := c.ReadFrom(b); err != nil || n != 1000 {
			t.Fatalf("segment %d: %d bytes, %v", i, n, err)
		}
	}

	to := netip.MustParseAddrPort("10.9.0.7:7000")
	for name, f := range map[string]func(){
		"Read+Write": func() {
			if _, err := c.WriteToUDPAddrPort(payload, to); err != nil {
				t.Fatal(err)
			}
			n, err := d.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Write(b[:n]); err != nil { // addressed to 10.9.0.7: dropped by the kernel
				t.Fatal(err)
			}
		},
		"TryRead": func() { d.TryRead(b) },
	} {
		if got := testing.AllocsPerRun(100, f); got != 0 {
			t.Errorf("%s allocates %v times", name, got)
		}
	}
}

func openBench(b *testing.B) *Device {
	b.Helper()
	roottest.Require(b)
	d, err := Open("fbench%d", 1400)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	roottest.Run(b, "ip link set up dev "+d.Name())
	return d
}

// BenchmarkTryRead is the price of asking an idle device.
func BenchmarkTryRead(b *testing.B) {
	d, buf := openBench(b), make([]byte, MaxRead)
	for b.Loop() {
		if _, err := d.TryRead(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWrite is the price of a packet that the kernel drops at once, since
// the device has no address: system call, copy and socket buffer.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{64, 1400, 60_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			d, p := openBench(b), make([]byte, host.VNetLen+size)
			ip := p[host.VNetLen:]
			ip[0], ip[8], ip[9], ip[12], ip[16] = 0x45, 64, 17, 10, 10
			binary.BigEndian.PutUint16(ip[2:], uint16(size))
			binary.BigEndian.PutUint16(ip[10:], checksum(ip[:20]))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Write(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestOverflowed: what can be read and what found the queue full is together what was
// sent.
func TestOverflowed(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	d := openUp(t, "10.9.0.1/24")
	c, err := net.Dial("udp4", "10.9.0.2:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const sent = 2000
	for range sent {
		// What finds the queue full is said to have been sent, or not (ENOBUFS).
		if _, err := c.Write([]byte("packet")); err != nil && !errors.Is(err, unix.ENOBUFS) {
			t.Fatal(err)
		}
	}
	lost := int(d.Overflowed())
	read := 0
	for buf := make([]byte, MaxRead); ; read++ {
		n, err := d.TryRead(buf)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if lost == 0 || read == 0 || lost+read != sent {
		t.Errorf("of %d packets %d were read and %d lost", sent, read, lost)
	}
	d.Close()
	if n := d.Overflowed(); n != 0 {
		t.Errorf("a closed device says %d", n)
	}
}
