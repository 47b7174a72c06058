package datapath

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"sallyport/core/host"
	"sallyport/core/internal/hosttest"
	"sallyport/core/ippkt"
	"sallyport/core/sad"
	"sallyport/core/spd"
	"sallyport/core/ts"
)

// A sink counts what a TUN and a socket are given, and swallows it.
type sink struct{ wrote, sent int }

type sinkTUN struct {
	*hosttest.TUN
	*sink
}

func (s sinkTUN) Write(b []byte) (int, error) { s.wrote += len(b); return len(b), nil }

type sinkConn struct {
	*hosttest.UDPConn
	*sink
}

func (s sinkConn) Send(b []byte, segment int, remote netip.AddrPort, local netip.Addr, tos uint8) error {
	s.sent += len(b)
	return nil
}

// newSink returns a datapath with an SA of A whose output goes nowhere.
func newSink(t testing.TB, p func(a, b sad.Params) sad.Params) (*Datapath, *device, *sink) {
	t.Helper()
	ca, _ := hosttest.NewUDPPair(outerA, outerB, true)
	s := &sink{}
	d, err := New(Config{TUN: sinkTUN{hosttest.NewTUN(true, true), s}, Sockets: []Socket{{Conn: sinkConn{ca, s}, NATT: true}}, IKE: func(Datagram) {}, Notify: func(Event) {}})
	if err != nil {
		t.Fatal(err)
	}
	d.SetPolicy([]spd.Entry{{Local: netA, Remote: netB, Action: spd.Protect, Group: 1}})
	if err := d.Install(p(paramsFor(gcm, 0))); err != nil {
		t.Fatal(err)
	}
	return d, d.tun.Load(), s
}

func first(a, b sad.Params) sad.Params  { return a }
func second(a, b sad.Params) sad.Params { return b }

// withSlack returns b with the capacity that the TUN's reader leaves.
func withSlack(b []byte) []byte { return append(make([]byte, 0, len(b)+64), b...) }

func (d *Datapath) outOne(t *device, b []byte) {
	o := d.out.lanes[0]
	o.packet(t, b)
	o.flush()
	o.tell()
}

// An opening is a supply of sealed packets for B.
type opening struct {
	*Datapath
	*sink
	packets [][]byte // one stream, to be opened in order
	next    int
}

func newOpening(t testing.TB, n, size int) *opening {
	t.Helper()
	d, _, s := newSink(t, second)
	pa, _ := paramsFor(gcm, 0)
	var peer sad.Table
	sa, err := peer.Install(pa)
	if err != nil {
		t.Fatal(err)
	}
	o := &opening{Datapath: d, sink: s}
	dir := &direct{sa: sa}
	for i := range n {
		p := spec{proto: ippkt.ProtoTCP, seq: uint32(i * size), flags: ippkt.ACK, id: uint16(i), payload: random(size, byte(i))}
		o.packets = append(o.packets, dir.seal(p.packet()))
	}
	d.in[0].from = arrival{remote: outerA, local: outerB.Addr()}
	return o
}

// again begins at the first packet, with a replay window that has not seen it.
func (o *opening) again(t testing.TB) {
	t.Helper()
	o.next = 0
	if _, err := o.Remove(0x2000); err != nil {
		t.Fatal(err)
	}
	_, pb := paramsFor(gcm, 0)
	if err := o.Install(pb); err != nil {
		t.Fatal(err)
	}
}

// open opens the next n packets as one receive gives them.
func (o *opening) open(n int) {
	in := o.in[0]
	for range n {
		in.datagram(o.packets[o.next])
		o.next++
	}
	in.flush()
	in.leave()
}

func TestNoAllocations(t *testing.T) {
	d, dev, s := newSink(t, first)
	tso := spec{proto: ippkt.ProtoTCP, flags: ippkt.ACK, payload: random(40000, 1)}.super(1300)
	plain := append(make([]byte, host.VNetLen), ping(1).packet()...)
	scratch := make([]byte, len(tso)+64)
	for name, b := range map[string][]byte{"super-packet": tso, "packet": plain} {
		if n := testing.AllocsPerRun(100, func() { d.outOne(dev, scratch[:copy(scratch, b)]) }); n != 0 {
			t.Errorf("sealing a %s allocates %v times", name, n)
		}
	}
	if s.sent == 0 || len(d.Stats().Drops) != 0 {
		t.Errorf("sent %d bytes, drops %v", s.sent, d.Stats().Drops)
	}
	o := newOpening(t, 3100, 1300)
	o.open(30) // the first packet is an event
	if n := testing.AllocsPerRun(100, func() { o.open(30) }); n != 0 {
		t.Errorf("opening allocates %v times", n)
	}
	if o.wrote == 0 || len(o.Stats().Drops) != 0 {
		t.Errorf("wrote %d bytes, drops %v", o.wrote, o.Stats().Drops)
	}
}

func BenchmarkRawAESGCM(b *testing.B) {
	block, _ := aes.NewCipher(make([]byte, 16))
	g, _ := cipher.NewGCM(block)
	nonce, aad := make([]byte, 12), make([]byte, 8)
	plain, out := make([]byte, 1400), make([]byte, 0, 1500)
	sealed := g.Seal(nil, nonce, plain, aad)
	b.Run("seal", func(b *testing.B) {
		b.SetBytes(1400)
		for b.Loop() {
			g.Seal(out, nonce, plain, aad)
		}
	})
	b.Run("open", func(b *testing.B) {
		b.SetBytes(1400)
		for b.Loop() {
			g.Open(out, nonce, sealed, aad)
		}
	})
}

// BenchmarkOut counts packets of 1,400 bytes: alone, and as super-packets.
func BenchmarkOut(b *testing.B) {
	d, dev, _ := newSink(b, first)
	b.Run("packet", func(b *testing.B) {
		pkt := withSlack(append(make([]byte, host.VNetLen), spec{proto: ippkt.ProtoUDP, payload: random(1372, 1)}.packet()...))
		b.SetBytes(1400)
		b.ReportAllocs()
		for b.Loop() {
			d.outOne(dev, pkt)
		}
	})
	b.Run("super", func(b *testing.B) {
		const n = 45
		tso := spec{proto: ippkt.ProtoTCP, flags: ippkt.ACK, payload: random(n*1360, 1)}.super(1360)
		buf := make([]byte, len(tso)+64)
		head := append([]byte(nil), tso[:host.VNetLen+40]...)
		copy(buf, tso)
		b.SetBytes(1400)
		b.ReportAllocs()
		for i := 0; i < b.N; i += n {
			copy(buf, head)
			d.outOne(dev, buf[:len(tso)])
		}
	})
}

// BenchmarkIn counts packets of 1,400 bytes that come 45 at a time.
func BenchmarkIn(b *testing.B) {
	const n = 45
	o := newOpening(b, 20*n, 1360)
	sealed := make([][]byte, len(o.packets))
	for i, p := range o.packets {
		sealed[i] = append([]byte(nil), p...)
	}
	b.SetBytes(1400)
	b.ReportAllocs()
	for i := 0; i < b.N; i += n {
		if o.next == len(o.packets) {
			b.StopTimer()
			o.again(b)
			b.StartTimer()
		}
		o.open(n)
	}
	if d := o.Stats().Drops; len(d) != 0 {
		b.Fatal(d)
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 10, 10000} {
		entries := make([]spd.Entry, n)
		for i := range entries {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], 20<<24|uint32(i)<<8)
			p := netip.PrefixFrom(netip.AddrFrom4(a), 24)
			entries[i] = spd.Entry{Local: netA, Remote: ts.List{ts.FromPrefix(p)}, Action: spd.Protect, Group: 1}
		}
		entries[n-1].Remote = netB
		d, _, _ := newSink(b, first)
		d.SetPolicy(entries)
		var p ippkt.Packet
		if err := p.Parse(ping(1).packet()); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%d rules/cached", n), func(b *testing.B) {
			for b.Loop() {
				d.out.lanes[0].lookup(&p.Flow)
			}
		})
		b.Run(fmt.Sprintf("%d rules/uncached", n), func(b *testing.B) {
			policy := d.policy.Load()
			for b.Loop() {
				policy.Lookup(&p.Flow)
			}
		})
	}
}
