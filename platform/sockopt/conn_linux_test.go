package sockopt

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/core/host"
	"sallyport/platform/internal/roottest"
)

// A link is two sockets at the ends of a veth.
type link struct {
	a, b         *Conn
	aAddr, bAddr netip.Addr
}

// to returns the address of b's socket.
func (l *link) to() netip.AddrPort { return netip.AddrPortFrom(l.bAddr, l.b.LocalPort()) }

// connect makes two namespaces joined by a veth of 1500 bytes.
func connect(t *testing.T) (v4, v6 *link) {
	t.Helper()
	for _, c := range []string{
		"ip netns add fpeer",
		"ip link add va type veth peer name vb netns fpeer",
		"ip addr add 10.8.0.1/24 dev va",
		"ip addr add 10.8.0.3/24 dev va",
		"ip addr add fd08::1/64 dev va nodad",
		"ip addr add fd08::3/64 dev va nodad",
		"ip addr add fe80::a/64 dev va nodad",
		"ip link set va up",
		"ip -n fpeer addr add 10.8.0.2/24 dev vb",
		"ip -n fpeer addr add fd08::2/64 dev vb nodad",
		"ip -n fpeer addr add fe80::b/64 dev vb nodad",
		"ip -n fpeer link set vb up",
	} {
		roottest.Run(t, c)
	}
	open := func(v6 bool) *Conn {
		c, err := Listen(Config{V6: v6, Port: 4500, Mark: 0x5a11})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	v4 = &link{a: open(false), aAddr: netip.MustParseAddr("10.8.0.1"), bAddr: netip.MustParseAddr("10.8.0.2")}
	v6 = &link{a: open(true), aAddr: netip.MustParseAddr("fd08::1"), bAddr: netip.MustParseAddr("fd08::2")}
	roottest.In(t, "fpeer", func() { v4.b, v6.b = open(false), open(true) })
	return v4, v6
}

// collect receives at c until it has total bytes, and returns the datagrams.
func collect(t *testing.T, c *Conn, total int) (datagrams [][]byte, calls int) {
	t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	for total > 0 {
		b := make([]byte, MaxRecv)
		n, segment, _, _, _, err := c.Recv(b)
		if err != nil {
			t.Fatalf("receive with %d bytes missing: %v", total, err)
		}
		calls++
		total -= n
		if segment == 0 {
			segment = n
		}
		for b = b[:n]; len(b) > segment; b = b[segment:] {
			datagrams = append(datagrams, b[:segment])
		}
		datagrams = append(datagrams, b)
	}
	return datagrams, calls
}

func TestConn(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	v4, v6 := connect(t)
	for _, tt := range []struct {
		name  string
		l     *link
		other netip.Addr // the second address of a
	}{
		{"IPv4", v4, netip.MustParseAddr("10.8.0.3")},
		{"IPv6", v6, netip.MustParseAddr("fd08::3")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Run("addresses and TOS", func(t *testing.T) { testAddresses(t, tt.l, tt.other) })
			t.Run("segments", func(t *testing.T) { testSegments(t, tt.l) })
			t.Run("concurrent", func(t *testing.T) { testConcurrent(t, tt.l) })
			t.Run("allocations", func(t *testing.T) { testAllocations(t, tt.l) })
			t.Run("too big", func(t *testing.T) { testTooBig(t, tt.l) })
			t.Run("close", func(t *testing.T) { testClose(t, tt.l.b) })
		})
	}

	mark, err := 0, error(nil)
	v4.a.raw.Control(func(fd uintptr) { mark, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK) })
	if mark != 0x5a11 || err != nil {
		t.Errorf("mark %#x, %v", mark, err)
	}
	if _, err := Listen(Config{Port: 4500}); !errors.Is(err, host.ErrPortInUse) {
		t.Errorf("second Listen = %v, want %v", err, host.ErrPortInUse)
	}
	if err := v4.a.Send([]byte("x"), 0, v6.to(), netip.Addr{}, 0); !errors.Is(err, unix.EAFNOSUPPORT) {
		t.Errorf("IPv6 address on an IPv4 socket: %v", err)
	}
	if err := v4.a.Send([]byte("x"), 0, v4.to(), v6.aAddr, 0); !errors.Is(err, unix.EAFNOSUPPORT) {
		t.Errorf("IPv6 source on an IPv4 socket: %v", err)
	}
	if err := v4.a.Send([]byte("x"), 0, v4.to(), netip.MustParseAddr("10.99.0.1"), 0); err == nil {
		t.Error("a source that the machine does not have was accepted")
	}
}

func testAddresses(t *testing.T, l *link, other netip.Addr) {
	b := make([]byte, MaxRecv)
	if n, _, _, _, _, err := l.b.TryRecv(b); n != -1 || err != nil {
		t.Errorf("TryRecv of an idle socket = %d, %v, want -1", n, err)
	}
	for _, tt := range []struct {
		from    netip.Addr
		want    netip.Addr
		tos     uint8
		payload string
	}{
		{netip.Addr{}, netip.Addr{}, 0, "hello"}, // from whichever the kernel chooses
		{l.aAddr, l.aAddr, 0b1, "ECT(1)"},
		{other, other, 0xb8 | 0b11, "EF, CE"},
		{other, other, 0, ""},
	} {
		if err := l.a.Send([]byte(tt.payload), 0, l.to(), tt.from, tt.tos); err != nil {
			t.Fatal(err)
		}
		n, segment, remote, local, tos, err := l.b.Recv(b)
		if err != nil {
			t.Fatal(err)
		}
		if !tt.want.IsValid() {
			tt.want = remote.Addr()
		}
		if string(b[:n]) != tt.payload || segment != 0 || remote != netip.AddrPortFrom(tt.want, 4500) || local != l.bAddr || tos != tt.tos {
			t.Errorf("sent %q from %v with TOS %#x, received %q (segment %d) from %v to %v with TOS %#x",
				tt.payload, tt.from, tt.tos, b[:n], segment, remote, local, tos)
		}
	}
	if l.a.v6 { // link-local peers carry their zone back and forth
		zoned := netip.MustParseAddrPort("[fe80::b%va]:4500")
		if err := l.a.Send([]byte("ping"), 0, zoned, netip.Addr{}, 0); err != nil {
			t.Fatal(err)
		}
		_, _, remote, _, _, err := l.b.Recv(b)
		if err != nil || remote.Addr().Zone() == "" {
			t.Fatalf("received from %v, %v, want a link-local address with a zone", remote, err)
		}
		if err := l.b.Send([]byte("reply"), 0, remote, netip.Addr{}, 0); err != nil {
			t.Fatal(err)
		}
		if n, _, _, local, _, err := l.a.Recv(b); err != nil || string(b[:n]) != "reply" || local.Zone() == "" {
			t.Errorf("received %q at %v, %v", b[:n], local, err)
		}
	}
}

func testSegments(t *testing.T, l *link) {
	for _, tt := range []struct {
		name    string
		gso     bool
		size    int
		segment int
	}{
		{"offload, last one shorter", true, 1400*40 + 100, 1400},
		{"offload, 64 equal ones", true, 1000 * 64, 1000},
		{"offload, one", true, 900, 1000},
		{"no offload", false, 1400*10 + 1, 1400},
	} {
		l.a.gso.Store(tt.gso)
		sent := make([]byte, tt.size)
		for i := range sent {
			sent[i] = byte(rand.Uint32())
		}
		if err := l.a.Send(sent, tt.segment, l.to(), l.aAddr, 0); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if l.a.Offload() != tt.gso {
			t.Errorf("%s: the socket gave up segmentation", tt.name)
		}
		got, calls := collect(t, l.b, tt.size)
		if want := (tt.size + tt.segment - 1) / tt.segment; len(got) != want {
			t.Errorf("%s: %d datagrams, want %d", tt.name, len(got), want)
		}
		if !bytes.Equal(bytes.Join(got, nil), sent) {
			t.Errorf("%s: content differs", tt.name)
		}
		if tt.gso && len(got) > 1 && calls == len(got) {
			t.Errorf("%s: no receive offload: %d calls for %d datagrams", tt.name, calls, len(got))
		}
	}
	// The kernel refuses more than 128 segments with EINVAL: the socket sends
	// them all the same, and stays away from segmentation from then on.
	l.a.gso.Store(true)
	if err := l.a.Send(make([]byte, 200*10), 10, l.to(), l.aAddr, 0); err != nil {
		t.Fatal(err)
	}
	if got, _ := collect(t, l.b, 200*10); len(got) != 200 {
		t.Errorf("fallback: %d datagrams, want 200", len(got))
	}
	if l.a.Offload() {
		t.Error("fallback: the socket still claims segmentation")
	}
	l.a.gso.Store(true)
}

// testConcurrent has several goroutines send at once, some of them fragmented.
func testConcurrent(t *testing.T, l *link) {
	var wg sync.WaitGroup
	const senders, rounds = 4, 20
	for range senders {
		wg.Go(func() {
			for range rounds {
				if err := errors.Join(
					l.a.Send(make([]byte, 3000), 1000, l.to(), l.aAddr, 0),
					l.a.SendFragmented(make([]byte, 2000), l.to(), netip.Addr{}),
				); err != nil {
					t.Error(err)
				}
			}
		})
	}
	got, _ := collect(t, l.b, senders*rounds*5000)
	wg.Wait()
	if len(got) != senders*rounds*4 {
		t.Errorf("%d datagrams, want %d", len(got), senders*rounds*4)
	}
}

func testAllocations(t *testing.T, l *link) {
	sent, b := make([]byte, 14_000), make([]byte, MaxRecv)
	to := l.to()
	if got := testing.AllocsPerRun(200, func() {
		if err := l.a.Send(sent, 1400, to, l.aAddr, 1); err != nil {
			t.Fatal(err)
		}
		for total := 0; total < len(sent); {
			n, _, _, _, _, err := l.b.Recv(b)
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
		if n, _, _, _, _, err := l.b.TryRecv(b); n != -1 || err != nil {
			t.Fatalf("TryRecv = %d, %v", n, err)
		}
	}); got != 0 {
		t.Errorf("Send, Recv and TryRecv allocate %v times", got)
	}
}

func testTooBig(t *testing.T, l *link) {
	for _, tt := range []struct{ size, segment int }{{1600, 0}, {1600 * 3, 1600}} {
		err := l.a.Send(make([]byte, tt.size), tt.segment, l.to(), l.aAddr, 0)
		var big *host.TooBigError
		if !errors.As(err, &big) || !errors.Is(err, host.ErrTooBig) || big.MTU != 1500 {
			t.Errorf("Send of %d bytes = %v, want a TooBigError of MTU 1500", tt.size, err)
		}
	}
	if !l.a.Offload() {
		t.Error("a group beyond the MTU turned segmentation off")
	}
	if err := l.a.SendFragmented(make([]byte, 5000), l.to(), l.aAddr); err != nil {
		t.Fatal(err)
	}
	if got, _ := collect(t, l.b, 5000); len(got) != 1 || len(got[0]) != 5000 {
		t.Errorf("SendFragmented delivered %d datagrams", len(got))
	}
	if err := l.a.Send(make([]byte, 1600), 0, l.to(), l.aAddr, 0); !errors.Is(err, host.ErrTooBig) {
		t.Errorf("Send after SendFragmented = %v, want %v", err, host.ErrTooBig)
	}
}

func testClose(t *testing.T, c *Conn) {
	_ = c.conn.SetReadDeadline(time.Time{})
	done := make(chan error)
	go func() {
		_, _, _, _, _, err := c.Recv(make([]byte, MaxRecv))
		done <- err
	}()
	time.Sleep(20 * time.Millisecond) // let it park in the poller
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Recv after Close = %v, want %v", err, net.ErrClosed)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	if err := c.Send([]byte("x"), 0, netip.MustParseAddrPort("127.0.0.1:9"), netip.Addr{}, 0); err == nil {
		t.Error("Send after Close succeeded")
	}
}

// TestPathMTU has a router whose next network is narrower than ours: its ICMP
// makes the socket refuse what was fine before.
func TestPathMTU(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	for _, c := range []string{
		"ip netns add frouter",
		"ip netns add ffar",
		"ip link add va type veth peer name vb netns frouter",
		"ip -n frouter link add vc mtu 1300 type veth peer name vd mtu 1300 netns ffar",
		"ip addr add 10.8.0.1/24 dev va",
		"ip addr add fd08::1/64 dev va nodad",
		"ip link set va up",
		"ip -n frouter addr add 10.8.0.2/24 dev vb",
		"ip -n frouter addr add fd08::2/64 dev vb nodad",
		"ip -n frouter addr add 10.9.0.2/24 dev vc",
		"ip -n frouter addr add fd09::2/64 dev vc nodad",
		"ip -n frouter link set vb up",
		"ip -n frouter link set vc up",
		"ip netns exec frouter sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
		"ip -n ffar addr add 10.9.0.1/24 dev vd",
		"ip -n ffar addr add fd09::1/64 dev vd nodad",
		"ip -n ffar link set vd up",
		"ip -n ffar route add default via 10.9.0.2",
		"ip -n ffar -6 route add default via fd09::2",
		"ip route add default via 10.8.0.2",
		"ip -6 route add default via fd08::2",
	} {
		roottest.Run(t, c)
	}
	for _, tt := range []struct {
		v6  bool
		far string
	}{{false, "10.9.0.1"}, {true, "fd09::1"}} {
		var far *Conn
		var err error
		roottest.In(t, "ffar", func() { far, err = Listen(Config{V6: tt.v6}) })
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		near, err := Listen(Config{V6: tt.v6, Mark: 0x5a11})
		if err != nil {
			t.Fatal(err)
		}
		defer near.Close()
		to := netip.AddrPortFrom(netip.MustParseAddr(tt.far), far.LocalPort())
		if err := near.Send(make([]byte, 1400*3), 1400, to, netip.Addr{}, 0); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(3 * time.Second); err == nil && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond) // for the ICMP message
			err = near.Send(make([]byte, 1400*3), 1400, to, netip.Addr{}, 0)
		}
		var big *host.TooBigError
		if !errors.As(err, &big) || big.MTU != 1300 {
			t.Errorf("to %s: %v, want a TooBigError of MTU 1300", tt.far, err)
		}
		if err := near.SendFragmented(make([]byte, 4000), to, netip.Addr{}); err != nil {
			t.Fatal(err)
		}
		if err := near.Send(make([]byte, 1200*3), 1200, to, netip.Addr{}, 0); err != nil {
			t.Fatal(err)
		}
		if got, _ := collect(t, far, 4000+3600); len(got) != 4 {
			t.Errorf("to %s: %d datagrams arrived, want the fragmented one and three", tt.far, len(got))
		}
	}
}

// FuzzControl feeds the reader of control messages, which trusts the kernel
// but must stay within its buffer.
func FuzzControl(f *testing.F) {
	var s sender
	n, _ := s.appendControl(false, 1400, netip.MustParseAddr("10.0.0.1"), 3)
	f.Add(s.control[:n])
	n, _ = s.appendControl(true, 1400, netip.MustParseAddr("fe80::1%3"), 3)
	f.Add(s.control[:n])
	f.Fuzz(func(t *testing.T, b []byte) {
		r := receiver{}
		aligned := r.control[:copy(r.control[:], b)]
		segment, local, _ := r.parseControl(aligned)
		if segment == 0 && local.IsValid() && len(b) < unix.SizeofCmsghdr {
			t.Errorf("an address from %d bytes", len(b))
		}
	})
}

func TestControlRoundTrip(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		local := netip.MustParseAddr("192.0.2.1")
		if v6 {
			local = netip.MustParseAddr("fe80::1%7")
		}
		var s sender
		n, err := s.appendControl(v6, 0, local, 0x2e)
		if err != nil {
			t.Fatal(err)
		}
		var r receiver
		_, got, tos := r.parseControl(r.control[:copy(r.control[:], s.control[:n])])
		want := local
		if !v6 { // what is sent as ipi_spec_dst comes back as that
			want = netip.MustParseAddr("192.0.2.1")
		}
		if got != want || tos != 0x2e {
			t.Errorf("v6=%v: got %v, TOS %#x", v6, got, tos)
		}
	}
}

func BenchmarkSendRecv(b *testing.B) {
	a, err := Listen(Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	z, err := Listen(Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer z.Close()
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), z.LocalPort())
	out, in := make([]byte, 1400*40), make([]byte, MaxRecv)
	b.SetBytes(int64(len(out)))
	for b.Loop() {
		if err := a.Send(out, 1400, to, netip.Addr{}, 0); err != nil {
			b.Fatal(err)
		}
		for total := 0; total < len(out); {
			n, _, _, _, _, err := z.Recv(in)
			if err != nil {
				b.Fatal(err)
			}
			total += n
		}
	}
}
