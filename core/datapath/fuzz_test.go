package datapath

import (
	"testing"

	"sallyport/core/host"
	"sallyport/core/internal/hosttest"
	"sallyport/core/ippkt"
	"sallyport/core/sad"
)

// FuzzInbound feeds whole receives to the inbound way: bytes from the network
// as they are, and then as the content of an authentic ESP packet.
func FuzzInbound(f *testing.F) {
	dir := newDirect(f, allOn)
	f.Add(dir.seal(ping(1).packet()), uint16(0), uint8(4), uint8(0))
	f.Add(ping(1).packet(), uint16(0), uint8(4), uint8(3))
	f.Add(spec{v6: true, proto: ippkt.ProtoTCP, flags: ippkt.ACK, payload: random(300, 1)}.packet(), uint16(0), uint8(41), uint8(1))
	f.Add(spec{proto: ippkt.ProtoTCP, flags: ippkt.SYN, options: []byte{2, 4, 9, 9}}.packet(), uint16(20), uint8(4), uint8(1))
	f.Add([]byte{0xff}, uint16(1), uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, segment uint16, next, tos uint8) {
		if len(b) > recvLen-100 {
			return
		}
		d, _, _ := newSink(t, second)
		pa, _ := paramsFor(gcm, 0)
		var peer sad.Table
		sa, err := peer.Install(pa)
		if err != nil {
			t.Fatal(err)
		}
		in := d.in[0]
		in.from = arrival{remote: outerA, local: outerB.Addr(), tos: tos}
		in.datagrams(append([]byte(nil), b...), int(segment))
		// Twice each, so that there is something to merge with.
		dir := &direct{sa: sa}
		good := spec{proto: ippkt.ProtoTCP, flags: ippkt.ACK, payload: random(200, 1)}.packet()
		for _, inner := range [][]byte{b, good, b, b, good} {
			out := make([]byte, sa.Out.Sealer.Len(len(inner)))
			buf := append(append([]byte(nil), inner...), make([]byte, 32)...)
			if _, err := sa.Out.Sealer.Seal(out, buf, 0, len(inner), next); err != nil {
				t.Fatal(err)
			}
			in.datagram(out)
		}
		in.datagram(dir.seal(good))
		in.flush()
		in.leave()
		if d.SAs().Lookup(0x2000).In.Opener.Highest() == 0 {
			t.Error("nothing was authenticated")
		}
	})
}

// FuzzOutbound feeds what a TUN might give.
func FuzzOutbound(f *testing.F) {
	f.Add(spec{proto: ippkt.ProtoTCP, flags: ippkt.ACK, payload: random(3000, 1)}.super(1300))
	f.Add(spec{v6: true, proto: ippkt.ProtoUDP, payload: random(3000, 1)}.super(1300))
	f.Add(spec{proto: ippkt.ProtoUDP, noDF: true, payload: random(3000, 1)}.super(2000))
	f.Add(append(make([]byte, host.VNetLen), ping(1).packet()...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > tunRead {
			return
		}
		d, dev, s := newSink(t, first)
		d.outOne(dev, withSlack(b))
		if s.sent == 0 && len(d.Stats().Drops) == 0 {
			t.Errorf("%x vanished", b)
		}
	})
}

// FuzzMerge checks that what the receiver merges, the kernel cuts up into the
// packets that came.
func FuzzMerge(f *testing.F) {
	f.Add(uint16(500), uint16(500), uint8(16), uint8(24), true, false)
	f.Add(uint16(64), uint16(10), uint8(16), uint8(16), false, true)
	f.Add(uint16(1301), uint16(1300), uint8(16), uint8(16), true, true)
	f.Fuzz(func(t *testing.T, size1, size2 uint16, flags1, flags2 uint8, tcp, v6 bool) {
		_, cb := hosttest.NewUDPPair(outerA, outerB, true)
		e := newEnd(t, hosttest.NewTUN(true, true), cb, nil)
		pa, pb := paramsFor(gcm, 0)
		if err := e.Install(pb); err != nil {
			t.Fatal(err)
		}
		var peer sad.Table
		sa, err := peer.Install(pa)
		if err != nil {
			t.Fatal(err)
		}
		d := &direct{e.in[0], e, sa}
		proto := ippkt.ProtoUDP
		if tcp {
			proto = ippkt.ProtoTCP
		}
		var want [][]byte
		seq := uint32(0)
		for i := range 6 {
			s := spec{v6: v6, proto: proto, seq: seq, flags: flags1, id: uint16(i), payload: random(int(size1%1400), byte(i))}
			if i%3 == 2 {
				s.flags, s.payload = flags2, random(int(size2%1400), byte(i))
			}
			seq += uint32(len(s.payload))
			want = append(want, s.packet())
			d.datagram(d.seal(want[i]))
		}
		d.flush()
		var got [][]byte
		for len(e.tun.Out) > 0 {
			got = append(got, unpack(t, <-e.tun.Out)...)
		}
		equalPackets(t, got, want)
	})
}
