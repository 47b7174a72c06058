package datapath

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"sallyport/core/esp"
	"sallyport/core/host"
	"sallyport/core/internal/hosttest"
	"sallyport/core/ippkt"
	"sallyport/core/sad"
	"sallyport/core/spd"
	"sallyport/core/transform"
	"sallyport/core/ts"
)

var (
	addrA, addrB   = netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.1")
	addrA6, addrB6 = netip.MustParseAddr("fd00:1::1"), netip.MustParseAddr("fd00:2::1")
	outerA, outerB = netip.MustParseAddrPort("192.0.2.1:4500"), netip.MustParseAddrPort("192.0.2.2:4500")

	netA = ts.List{rangeOf("10.1.0.0", "10.1.255.255"), rangeOf("fd00:1::", "fd00:1::ffff")}
	netB = ts.List{rangeOf("10.2.0.0", "10.2.255.255"), rangeOf("fd00:2::", "fd00:2::ffff")}
)

func rangeOf(from, to string) ts.Selector {
	return ts.Selector{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to), ToPort: 65535}
}

var gcm = transform.Suite{Protocol: transform.ProtoESP, Encr: transform.Transform{Type: transform.TypeEncr, ID: transform.EncrAESGCM16, KeyBits: 128}}

// keysOf returns keys for s, different for each seed.
func keysOf(s transform.Suite, seed byte) esp.Keys {
	n := int(s.Encr.KeyBits) / 8
	switch s.Encr.ID {
	case transform.EncrChaCha20Poly:
		n = 32 + 4
	case transform.EncrAESGCM16:
		n += 4
	case transform.Encr3DES:
		n = 24
	}
	k := esp.Keys{Encr: bytes.Repeat([]byte{seed}, n)}
	for i := range k.Encr {
		k.Encr[i] += byte(i)
	}
	switch s.Integ.ID {
	case transform.IntegHMACSHA1_96:
		k.Integ = bytes.Repeat([]byte{seed}, 20)
	case transform.IntegHMACSHA256128:
		k.Integ = bytes.Repeat([]byte{seed}, 32)
	case transform.IntegHMACSHA384192:
		k.Integ = bytes.Repeat([]byte{seed}, 48)
	case transform.IntegHMACSHA512256:
		k.Integ = bytes.Repeat([]byte{seed}, 64)
	}
	return k
}

// An end is one datapath with its fakes.
type end struct {
	*Datapath
	tun    *hosttest.TUN
	conn   *hosttest.UDPConn
	events chan Event
	ike    chan Datagram
}

// offloads says what the machine of both ends can do.
type offloads struct {
	tcp, udp, socket bool
	lanes            int // that read the TUN
}

var allOn = offloads{true, true, true, 1}

func newEnd(t testing.TB, tun *hosttest.TUN, conn *hosttest.UDPConn, now func() time.Time) *end {
	t.Helper()
	return newEndWith(t, tun, conn, now, 1)
}

func newEndWith(t testing.TB, tun *hosttest.TUN, conn host.UDPConn, now func() time.Time, lanes int) *end {
	t.Helper()
	e := &end{tun: tun, events: make(chan Event, 1024), ike: make(chan Datagram, 16)}
	d, err := New(Config{
		TUN:     tun,
		Sockets: []Socket{{Conn: conn, NATT: true}},
		IKE:     func(d Datagram) { e.ike <- d },
		Notify:  func(ev Event) { e.events <- ev },
		Now:     now,
		Lanes:   lanes,
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Datapath = d
	e.conn, _ = conn.(*hosttest.UDPConn)
	return e
}

// run runs e until the test ends.
func (e *end) run(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// newEnds returns two connected ends, running, without SAs.
func newEnds(t testing.TB, o offloads) (a, b *end) {
	t.Helper()
	ca, cb := hosttest.NewUDPPair(outerA, outerB, o.socket)
	a = newEndWith(t, hosttest.NewTUN(o.tcp, o.udp), ca, nil, o.lanes)
	b = newEndWith(t, hosttest.NewTUN(o.tcp, o.udp), cb, nil, o.lanes)
	a.SetPolicy([]spd.Entry{{Local: netA, Remote: netB, Action: spd.Protect, Group: 1}})
	b.SetPolicy([]spd.Entry{{Local: netB, Remote: netA, Action: spd.Protect, Group: 1}})
	a.run(t)
	b.run(t)
	return a, b
}

// paramsFor returns both ends' parameters of the i-th pair of SAs.
func paramsFor(s transform.Suite, i uint32) (a, b sad.Params) {
	ka, kb := keysOf(s, byte(2*i)), keysOf(s, byte(2*i+1))
	spiA, spiB := 0x1000+i, 0x2000+i
	a = sad.Params{Group: 1, InSPI: spiA, OutSPI: spiB, Suite: s, KeyIn: ka, KeyOut: kb,
		Local: netA, Remote: netB, Path: sad.Path{Remote: outerB}, Active: true}
	b = sad.Params{Group: 1, InSPI: spiB, OutSPI: spiA, Suite: s, KeyIn: kb, KeyOut: ka,
		Local: netB, Remote: netA, Path: sad.Path{Remote: outerA}, Active: true}
	return a, b
}

func install(t testing.TB, a, b *end, s transform.Suite, i uint32) {
	t.Helper()
	pa, pb := paramsFor(s, i)
	if err := b.Install(pb); err != nil {
		t.Fatal(err)
	}
	if err := a.Install(pa); err != nil {
		t.Fatal(err)
	}
}

// newTunnel returns two ends with an SA between them.
func newTunnel(t testing.TB, o offloads, s transform.Suite) (a, b *end) {
	a, b = newEnds(t, o)
	install(t, a, b, s, 0)
	return a, b
}

// sum16 is the Internet checksum the slow and obvious way: the checker of what
// ippkt computes.
func sum16(parts ...[]byte) uint16 {
	var sum uint32
	for _, b := range parts {
		for i := 0; i < len(b); i++ {
			v := uint32(b[i])
			if i%2 == 0 {
				v <<= 8
			}
			sum += v
			sum = sum&0xffff + sum>>16
		}
	}
	return uint16(sum)
}

// pseudo is the pseudo header of an IP packet, written out.
func pseudo(pkt []byte, proto byte, l4 int) []byte {
	n := len(pkt) - l4
	if pkt[0]>>4 == 4 {
		return append(append([]byte(nil), pkt[12:20]...), 0, proto, byte(n>>8), byte(n))
	}
	return append(append([]byte(nil), pkt[8:40]...), 0, 0, byte(n>>8), byte(n), 0, 0, 0, proto)
}

// A spec describes a packet to build.
type spec struct {
	v6       bool
	proto    byte
	sport    uint16
	seq, ack uint32
	flags    byte
	options  []byte // TCP
	tos      byte
	noDF     bool
	id       uint16
	payload  []byte
}

// build returns the packet from a to b with right checksums.
func (s spec) build(a, b netip.Addr) []byte {
	var l4 []byte
	switch s.proto {
	case ippkt.ProtoTCP:
		l4 = make([]byte, 20)
		binary.BigEndian.PutUint32(l4[4:], s.seq)
		binary.BigEndian.PutUint32(l4[8:], s.ack)
		l4[12] = byte(20+len(s.options)) << 2
		l4[13] = s.flags
		binary.BigEndian.PutUint16(l4[14:], 0x7fff)
		l4 = append(l4, s.options...)
	default:
		l4 = make([]byte, 8)
		binary.BigEndian.PutUint16(l4[4:], uint16(8+len(s.payload)))
	}
	binary.BigEndian.PutUint16(l4, s.sport)
	binary.BigEndian.PutUint16(l4[2:], 5001)
	l4 = append(l4, s.payload...)
	var pkt []byte
	if s.v6 {
		pkt = append([]byte{0x60 | s.tos>>4, s.tos << 4, 0, 0, byte(len(l4) >> 8), byte(len(l4)), s.proto, 64}, a.AsSlice()...)
		pkt = append(pkt, b.AsSlice()...)
	} else {
		n := 20 + len(l4)
		frag := byte(0x40)
		if s.noDF {
			frag = 0
		}
		pkt = append([]byte{0x45, s.tos, byte(n >> 8), byte(n), byte(s.id >> 8), byte(s.id), frag, 0, 64, s.proto, 0, 0}, a.AsSlice()...)
		pkt = append(pkt, b.AsSlice()...)
		binary.BigEndian.PutUint16(pkt[10:], ^sum16(pkt))
	}
	at := len(pkt)
	pkt = append(pkt, l4...)
	sum := ^sum16(pseudo(pkt, s.proto, at), l4)
	if s.proto == ippkt.ProtoUDP && sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(pkt[at+sumAt(s.proto):], sum)
	return pkt
}

func sumAt(proto byte) int {
	if proto == ippkt.ProtoTCP {
		return 16
	}
	return 6
}

func (s spec) addrs() (src, dst netip.Addr) {
	if s.v6 {
		return addrA6, addrB6
	}
	return addrA, addrB
}

func (s spec) header() int {
	n := 28
	if s.proto == ippkt.ProtoTCP {
		n = 40 + len(s.options)
	}
	if s.v6 {
		n += 20
	}
	return n
}

// super returns the super-packet from A to B that the kernel would make of s
// with segments of size bytes: its checksum is that of the pseudo header.
func (s spec) super(size int) []byte {
	pkt := s.build(s.addrs())
	l4 := 20
	if s.v6 {
		l4 = 40
	}
	at := l4 + sumAt(s.proto)
	binary.BigEndian.PutUint16(pkt[at:], sum16(pseudo(pkt, s.proto, l4)))
	h := vnet{flags: vnetNeedsChecksum, gso: gsoTCPv4, hdrLen: uint16(s.header()), gsoSize: uint16(size),
		csumStart: uint16(l4), csumOffset: uint16(at - l4)}
	switch {
	case s.proto == ippkt.ProtoUDP:
		h.gso = gsoUDP
	case s.v6:
		h.gso = gsoTCPv6
	}
	if size == 0 {
		h.gso, h.gsoSize = gsoNone, 0
	}
	b := make([]byte, host.VNetLen, host.VNetLen+len(pkt))
	h.put(b)
	return append(b, pkt...)
}

// wantSegments returns the packets that s cut into segments of size bytes makes.
func (s spec) wantSegments(size int) [][]byte {
	src, dst := s.addrs()
	var out [][]byte
	for at := 0; at == 0 || at < len(s.payload); at += size {
		one := s
		end := min(at+size, len(s.payload))
		one.payload = s.payload[at:end]
		one.seq += uint32(at)
		one.id += uint16(at / size)
		if end < len(s.payload) {
			one.flags &^= ippkt.FIN | ippkt.PSH
		}
		if at > 0 {
			one.flags &^= ippkt.CWR
		}
		out = append(out, one.build(src, dst))
	}
	return out
}

// unpack returns the packets that a write to a TUN stands for, checking what
// the kernel would.
func unpack(t testing.TB, b []byte) [][]byte {
	t.Helper()
	h := parseVNet(b)
	pkt := b[host.VNetLen:]
	if h.gso == gsoNone {
		if h != (vnet{}) {
			t.Fatalf("plain packet with header %+v", h)
		}
		return [][]byte{pkt}
	}
	v6 := pkt[0]>>4 == 6
	l4, proto := 20, pkt[9]
	total := int(binary.BigEndian.Uint16(pkt[2:]))
	if v6 {
		l4, proto = 40, pkt[6]
		total = 40 + int(binary.BigEndian.Uint16(pkt[4:]))
	} else if sum16(pkt[:20]) != 0xffff {
		t.Fatalf("super-packet: bad IPv4 checksum")
	}
	if total != len(pkt) {
		t.Fatalf("super-packet of %d bytes says %d", len(pkt), total)
	}
	if h.flags != vnetNeedsChecksum || int(h.csumStart) != l4 || int(h.csumOffset) != sumAt(proto) {
		t.Fatalf("super-packet: header %+v", h)
	}
	at := l4 + sumAt(proto)
	if got, want := binary.BigEndian.Uint16(pkt[at:]), sum16(pseudo(pkt, proto, l4)); got != want {
		t.Fatalf("super-packet: partial checksum %#x, want %#x", got, want)
	}
	s := spec{v6: v6, proto: proto, sport: binary.BigEndian.Uint16(pkt[l4:]), tos: pkt[1]}
	src, dst := netip.AddrFrom4([4]byte(pkt[12:16])), netip.AddrFrom4([4]byte(pkt[16:20]))
	if v6 {
		s.tos = pkt[0]<<4 | pkt[1]>>4
		src, dst = netip.AddrFrom16([16]byte(pkt[8:24])), netip.AddrFrom16([16]byte(pkt[24:40]))
	} else {
		s.id = binary.BigEndian.Uint16(pkt[4:])
		s.noDF = pkt[6]&0x40 == 0
	}
	hlen := l4 + 8
	if proto == ippkt.ProtoTCP {
		if (h.gso == gsoTCPv6) != v6 || h.gso == gsoUDP {
			t.Fatalf("super-packet: TCP with GSO type %d", h.gso)
		}
		hlen = l4 + int(pkt[l4+12]>>4)*4
		s.seq, s.ack = binary.BigEndian.Uint32(pkt[l4+4:]), binary.BigEndian.Uint32(pkt[l4+8:])
		s.flags = pkt[l4+13]
		s.options = pkt[l4+20 : hlen]
	} else if h.gso != gsoUDP || int(binary.BigEndian.Uint16(pkt[l4+4:])) != len(pkt)-l4 {
		t.Fatalf("super-packet: bad UDP")
	}
	if int(h.hdrLen) != hlen {
		t.Fatalf("super-packet: hdr_len %d, want %d", h.hdrLen, hlen)
	}
	s.payload = pkt[hlen:]
	var out [][]byte
	for i, at := 0, 0; at < len(s.payload); i, at = i+1, at+int(h.gsoSize) {
		one := s
		end := min(at+int(h.gsoSize), len(s.payload))
		one.payload = s.payload[at:end]
		one.seq += uint32(at)
		one.id += uint16(i)
		if end < len(s.payload) {
			one.flags &^= ippkt.PSH | ippkt.FIN
		}
		out = append(out, one.build(src, dst))
	}
	return out
}

// receive returns the next n packets that e delivers.
func (e *end) receive(t testing.TB, n int) [][]byte {
	t.Helper()
	var out [][]byte
	for len(out) < n {
		select {
		case b := <-e.tun.Out:
			out = append(out, unpack(t, b)...)
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of %d packets arrived; drops: %v", len(out), n, e.Stats().Drops)
		}
	}
	return out
}

func (e *end) event(t testing.TB, kind EventKind) Event {
	t.Helper()
	for {
		select {
		case ev := <-e.events:
			if ev.Kind == kind {
				return ev
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no event %v", kind)
		}
	}
}

func equalPackets(t testing.TB, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d packets, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			n := min(len(got[i]), len(want[i]), 80)
			t.Fatalf("packet %d of %d: got %d bytes %x, want %d bytes %x", i, len(got), len(got[i]), got[i][:n], len(want[i]), want[i][:n])
		}
	}
}

func random(n int, seed byte) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 12345
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// A direct is B's inbound way, driven by the test's own goroutine.
type direct struct {
	*inbound
	*end
	sa *sad.SA // A's
}

func newDirect(t testing.TB, o offloads) *direct {
	t.Helper()
	_, cb := hosttest.NewUDPPair(outerA, outerB, o.socket)
	e := newEnd(t, hosttest.NewTUN(o.tcp, o.udp), cb, nil)
	pa, pb := paramsFor(gcm, 0)
	if err := e.Install(pb); err != nil {
		t.Fatal(err)
	}
	var peer sad.Table
	sa, err := peer.Install(pa)
	if err != nil {
		t.Fatal(err)
	}
	e.in[0].from = arrival{remote: outerA, local: outerB.Addr()}
	return &direct{e.in[0], e, sa}
}

// seal returns the datagram in which A sends pkt.
func (d *direct) seal(pkt []byte) []byte {
	next := ippkt.ProtoIPv4
	if len(pkt) > 0 && pkt[0]>>4 == 6 {
		next = ippkt.ProtoIPv6
	}
	return d.sealAs(pkt, next)
}

// sealAs does so with a next header of choice.
func (d *direct) sealAs(pkt []byte, next uint8) []byte {
	out := make([]byte, d.sa.Out.Sealer.Len(len(pkt)))
	if _, err := d.sa.Out.Sealer.Seal(out, append(append([]byte(nil), pkt...), make([]byte, esp.MaxTrailer)...), 0, len(pkt), next); err != nil {
		panic(err)
	}
	return out
}
