package datapath

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"sallyport/core/encap"
	"sallyport/core/esp"
	"sallyport/core/host"
	"sallyport/core/internal/hosttest"
	"sallyport/core/ippkt"
	"sallyport/core/sad"
	"sallyport/core/spd"
	"sallyport/core/ts"
)

// ping is a small packet from A to B, told apart by n.
func ping(n int) spec {
	return spec{proto: ippkt.ProtoUDP, sport: uint16(n), payload: random(64, byte(n))}
}

func (s spec) packet() []byte { return s.build(s.addrs()) }

func wantDrops(t testing.TB, e *end, name string, n uint64) {
	t.Helper()
	if got := e.Stats().Drops; got[name] != n {
		t.Errorf("drops %v, want %d of %s", got, n, name)
	}
}

// TestRekeyUnderLoad replaces the SA again and again, in the order of RFC 7296,
// section 2.8, while packets flow both ways: nothing may be lost.
func TestRekeyUnderLoad(t *testing.T) {
	a, b := newTunnel(t, allOn, gcm)
	const rekeys, each = 50, 200
	var got, want [][]byte
	for i := range uint32(rekeys) {
		var burst [][]byte
		for k := range each {
			p := spec{proto: ippkt.ProtoUDP, sport: uint16(i), id: uint16(k), payload: random(100+k, byte(k))}
			burst = append(burst, p.packet())
		}
		want = append(want, burst...)
		go func() {
			for _, p := range burst {
				a.tun.InjectPacket(p)
			}
		}()
		pa, pb := paramsFor(gcm, i+1)
		pa.Active, pb.Active = false, false
		for _, err := range []error{
			b.Install(pb), a.Install(pa), // both can receive
			a.Activate(pa.InSPI), b.Activate(pb.InSPI), a.Retire(0x1000 + i), b.Retire(0x2000 + i),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, b.receive(t, each)...)
		// What was sent on the old pair has arrived.
		if _, err := b.Remove(0x2000 + i); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Remove(0x1000 + i); err != nil {
			t.Fatal(err)
		}
	}
	equalPackets(t, got, want)
	if d := b.Stats().Drops; len(d) != 0 {
		t.Errorf("drops: %v", d)
	}
}

// TestRefused sends what B must refuse, each followed by a good packet.
func TestRefused(t *testing.T) {
	var last hosttest.Datagrams
	copyOf := func(d hosttest.Datagrams) hosttest.Datagrams {
		d.Data = append([]byte(nil), d.Data...)
		return d
	}
	for _, tt := range []struct {
		name string
		tap  func(d hosttest.Datagrams) []hosttest.Datagrams // what arrives in place of d
		drop string
	}{
		{"replayed", func(d hosttest.Datagrams) []hosttest.Datagrams { return []hosttest.Datagrams{copyOf(last), d} }, "in-replay"},
		{"twice", func(d hosttest.Datagrams) []hosttest.Datagrams { return []hosttest.Datagrams{d, copyOf(d)} }, "in-replay"},
		{"forged payload", func(d hosttest.Datagrams) []hosttest.Datagrams {
			f := copyOf(d)
			f.Data[20] ^= 1
			return []hosttest.Datagrams{f, d}
		}, "in-bad-icv"},
		{"forged sequence number", func(d hosttest.Datagrams) []hosttest.Datagrams {
			f := copyOf(d)
			f.Data[4] = 0x7f // would push the window far ahead
			return []hosttest.Datagrams{f, d}
		}, "in-bad-icv"},
		{"truncated", func(d hosttest.Datagrams) []hosttest.Datagrams {
			f := copyOf(d)
			f.Data = f.Data[:21]
			return []hosttest.Datagrams{f, d}
		}, "in-short"},
		{"misaligned", func(d hosttest.Datagrams) []hosttest.Datagrams {
			f := copyOf(d)
			f.Data = f.Data[:len(f.Data)-1]
			return []hosttest.Datagrams{f, d}
		}, "in-short"},
		{"unknown SPI", func(d hosttest.Datagrams) []hosttest.Datagrams {
			f := copyOf(d)
			f.Data[0] = 9
			return []hosttest.Datagrams{f, d}
		}, "in-unknown-spi"},
		{"two bytes", func(d hosttest.Datagrams) []hosttest.Datagrams {
			f := copyOf(d)
			f.Data = f.Data[:2]
			return []hosttest.Datagrams{f, d}
		}, "in-malformed"},
		{"bare marker", func(d hosttest.Datagrams) []hosttest.Datagrams {
			f := copyOf(d)
			f.Data = []byte{0, 0, 0, 0, 1}
			return []hosttest.Datagrams{f, d}
		}, "in-malformed"},
		{"empty", func(d hosttest.Datagrams) []hosttest.Datagrams {
			f := copyOf(d)
			f.Data = nil
			return []hosttest.Datagrams{f, d}
		}, "in-malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newTunnel(t, allOn, gcm)
			a.conn.SetTap(func(d hosttest.Datagrams) []hosttest.Datagrams {
				last = copyOf(d)
				return []hosttest.Datagrams{d}
			})
			a.tun.InjectPacket(ping(1).packet())
			b.receive(t, 1)
			a.conn.SetTap(tt.tap)
			a.tun.InjectPacket(ping(2).packet())
			equalPackets(t, b.receive(t, 1), [][]byte{ping(2).packet()})
			a.conn.SetTap(nil)
			a.tun.InjectPacket(ping(3).packet())
			equalPackets(t, b.receive(t, 1), [][]byte{ping(3).packet()})
			wantDrops(t, b, tt.drop, 1)
		})
	}
}

func TestReordered(t *testing.T) {
	a, b := newTunnel(t, offloads{}, gcm)
	var held []hosttest.Datagrams
	const n = 500
	a.conn.SetTap(func(d hosttest.Datagrams) []hosttest.Datagrams {
		if held = append(held, d); len(held) < n {
			return nil
		}
		for i, j := 0, n-1; i < j; i, j = i+1, j-1 {
			held[i], held[j] = held[j], held[i]
		}
		return held
	})
	for i := range n {
		a.tun.InjectPacket(ping(i).packet())
	}
	got := b.receive(t, n)
	for i := range n {
		if !bytes.Equal(got[n-1-i], ping(i).packet()) {
			t.Fatalf("packet %d differs", i)
		}
	}
}

// TestBadInner seals what an authentic but misbehaving peer might send.
func TestBadInner(t *testing.T) {
	_, b := newTunnel(t, allOn, gcm)
	pa, _ := paramsFor(gcm, 0)
	var peer sad.Table
	sa, err := peer.Install(pa)
	if err != nil {
		t.Fatal(err)
	}
	inject := func(inner []byte, next uint8, tos uint8) {
		buf := append(append([]byte(nil), inner...), make([]byte, 64)...)
		out := make([]byte, 70000)
		n, err := sa.Out.Sealer.Seal(out, buf, 0, len(inner), next)
		if err != nil {
			t.Fatal(err)
		}
		b.conn.Deliver(hosttest.Datagrams{Data: out[:n], From: outerA, To: outerB, TOS: tos})
	}
	good, other := ping(1).packet(), ping(2).packet()
	elsewhere := ping(1).build(netip.MustParseAddr("10.9.0.1"), addrB)
	inside := ping(1).build(addrA, netip.MustParseAddr("10.9.0.1"))
	padded := append(append([]byte(nil), good...), make([]byte, 100)...)
	for _, tt := range []struct {
		name  string
		inner []byte
		next  uint8
		tos   uint8
		drop  string // "": delivered as good
	}{
		{"good", good, 4, 0, ""},
		{"TFC padding", padded, 4, 0, ""},
		{"dummy", []byte{1, 2, 3, 4}, 59, 0, "in-dummy"},
		{"wrong next header", good, 41, 0, "in-bad-inner"},
		{"transport mode", good, 17, 0, "in-bad-inner"},
		{"no packet", nil, 4, 0, "in-bad-inner"},
		{"length beyond", good[:len(good)-1], 4, 0, "in-bad-inner"},
		{"source outside of selectors", elsewhere, 4, 0, "in-selectors"},
		{"destination outside of selectors", inside, 4, 0, "in-selectors"},
		{"congestion without ECT", good, 4, 3, "in-ecn"},
	} {
		before := b.Stats().Drops[tt.drop]
		inject(tt.inner, tt.next, tt.tos)
		want := 1
		if tt.drop == "" {
			want = 2
		}
		inject(other, 4, 0)
		got := b.receive(t, want)
		for _, p := range got {
			if !bytes.Equal(p, good) && !bytes.Equal(p, other) {
				t.Errorf("%s: delivered %x", tt.name, p)
			}
		}
		if tt.drop != "" && b.Stats().Drops[tt.drop] != before+1 {
			t.Errorf("%s: drops %v", tt.name, b.Stats().Drops)
		}
	}
}

func TestPolicy(t *testing.T) {
	a, b := newTunnel(t, allOn, gcm)
	one := func(s string) ts.List { return ts.List{rangeOf(s, s)} }
	a.SetPolicy([]spd.Entry{
		{Local: netA, Remote: one("10.2.0.66"), Action: spd.Discard},
		{Local: netA, Remote: one("10.2.0.67"), Action: spd.Bypass},
		{Local: netA, Remote: append(append(ts.List(nil), netB...), one("10.3.0.1")...), Action: spd.Protect, Group: 1},
	})
	to := func(s string) { a.tun.InjectPacket(ping(5).build(addrA, netip.MustParseAddr(s))) }
	for range 2 { // the second time from the cache
		to("10.2.0.66")
		to("10.2.0.67")
		to("10.3.0.1")
		to("10.4.0.1")
		a.tun.InjectPacket([]byte{0x45, 1, 2})
		a.tun.Inject([]byte{1, 2})
	}
	a.tun.InjectPacket(ping(5).packet())
	b.receive(t, 1)
	for name, n := range map[string]uint64{"out-discard": 2, "out-bypass": 2, "out-selectors": 2, "out-no-policy": 2, "out-malformed": 4} {
		wantDrops(t, a, name, n)
	}
}

func TestAcquire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, allOn)
		var want [][]byte
		for i := range stagePackets + 4 {
			a.tun.InjectPacket(ping(i).packet())
			want = append(want, ping(i).packet())
		}
		ev := a.event(t, Acquire)
		if ev.Group != 1 || ev.Flow.Src.IP(false) != addrA || ev.Flow.Dst.IP(false) != addrB {
			t.Errorf("event %+v", ev)
		}
		synctest.Wait()
		wantDrops(t, a, "out-stage-full", 4)
		install(t, a, b, gcm, 0)
		equalPackets(t, b.receive(t, stagePackets), want[4:])
		if n := len(a.events); n != 0 {
			t.Errorf("%d more events", n)
		}
		if a.out.staged != 0 {
			t.Errorf("%d bytes still staged", a.out.staged)
		}
	})
}

// What several groups waited with stays bounded when one takes their place.
func TestMergedGroupsStayBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := newEnds(t, allOn)
		low, high := slices.Clone(netA), slices.Clone(netA)
		low[0].Protocol, low[0].ToPort = ippkt.ProtoUDP, 99
		high[0].Protocol, high[0].FromPort = ippkt.ProtoUDP, 100
		a.SetPolicy([]spd.Entry{{Local: low, Remote: netB, Action: spd.Protect, Group: 1}, {Local: high, Remote: netB, Action: spd.Protect, Group: 2}})
		for i := range stagePackets {
			a.tun.InjectPacket(ping(i).packet())
			a.tun.InjectPacket(ping(100 + i).packet())
		}
		synctest.Wait()
		a.SetPolicy([]spd.Entry{{Local: netA, Remote: netB, Action: spd.Protect, Group: 2}})
		a.tun.InjectPacket(ping(50).packet())
		synctest.Wait()
		if n := len(a.out.groups[2].waiting); n > stagePackets {
			t.Errorf("%d packets wait", n)
		}
	})
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, allOn)
		pa, pb := paramsFor(gcm, 0)
		pa.Soft, pa.Hard = sad.Limits{Packets: 3}, sad.Limits{Packets: 5}
		pb.Soft = sad.Limits{Bytes: 200}
		for _, err := range []error{b.Install(pb), a.Install(pa)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range 7 {
			a.tun.InjectPacket(ping(i).packet())
		}
		b.receive(t, 5)
		if ev := a.event(t, SoftLifetime); !ev.Outbound || ev.InSPI != pa.InSPI {
			t.Errorf("event %+v", ev)
		}
		a.event(t, HardLifetime)
		if ev := b.event(t, FirstInbound); ev.InSPI != pb.InSPI || ev.Remote != outerA || ev.Local != outerB.Addr() {
			t.Errorf("event %+v", ev)
		}
		b.event(t, SoftLifetime)
		synctest.Wait()
		wantDrops(t, a, "out-hard-limit", 2)
		if len(a.events)+len(b.events) != 0 {
			t.Error("more events")
		}
	})
}

func TestPeerMoved(t *testing.T) {
	a, b := newTunnel(t, allOn, gcm)
	moved := netip.MustParseAddrPort("198.51.100.9:1024")
	a.tun.InjectPacket(ping(1).packet())
	b.receive(t, 1)
	held := make(chan hosttest.Datagrams, 1)
	a.conn.SetTap(func(d hosttest.Datagrams) []hosttest.Datagrams {
		held <- d
		return nil
	})
	a.tun.InjectPacket(ping(2).packet())
	old := <-held
	forged := false
	a.conn.SetTap(func(d hosttest.Datagrams) []hosttest.Datagrams {
		d.From = moved
		if !forged {
			forged = true
			f := d
			f.Data = append([]byte(nil), d.Data...)
			f.Data[30] ^= 1
			f.From = netip.MustParseAddrPort("198.51.100.66:1024")
			return []hosttest.Datagrams{f, d, old} // old is late, from where A was
		}
		return []hosttest.Datagrams{d}
	})
	a.tun.InjectPacket(ping(3).packet())
	b.receive(t, 2)
	ev := b.event(t, PeerMoved)
	if ev.Remote != moved {
		t.Errorf("moved to %v", ev.Remote)
	}
	if len(b.events) != 0 {
		t.Errorf("another event: %+v", <-b.events)
	}
	if got := b.SAs().Lookup(0x2000).Path().Remote; got != outerA {
		t.Errorf("the datapath changed the path to %v", got)
	}
	p := sad.Path{Remote: moved, MTU: 1400}
	if err := b.SetPath(0x2000, p); err != nil || *b.SAs().Lookup(0x2000).Path() != p {
		t.Errorf("SetPath: %v", err)
	}
}

// TestPeerMovedBeforeItsFirstPacket: a peer that moved while its SAs were made is
// seen elsewhere with its first packet on them.
func TestPeerMovedBeforeItsFirstPacket(t *testing.T) {
	a, b := newTunnel(t, allOn, gcm)
	moved := netip.MustParseAddrPort("198.51.100.9:1024")
	a.conn.SetTap(func(d hosttest.Datagrams) []hosttest.Datagrams {
		d.From = moved
		return []hosttest.Datagrams{d}
	})
	for i := range 3 {
		a.tun.InjectPacket(ping(i).packet())
	}
	b.receive(t, 3)
	if ev := b.event(t, PeerMoved); ev.Remote != moved {
		t.Errorf("moved to %v", ev.Remote)
	}
	if len(b.events) != 0 {
		t.Errorf("another event: %+v", <-b.events)
	}
}

func TestIKE(t *testing.T) {
	a, b := newTunnel(t, allOn, gcm)
	msg := random(200, 1)
	if err := a.conn.Send(encap.AppendIKE(nil, msg), 0, outerB, netip.Addr{}, 0); err != nil {
		t.Fatal(err)
	}
	got := <-b.ike
	if !bytes.Equal(got.Data, msg) || got.Remote != outerA || got.Local != outerB || !got.NATT {
		t.Errorf("got %+v", got)
	}
	for _, d := range [][]byte{{0xff}, make([]byte, 31)} {
		a.conn.Send(d, 0, outerB, netip.Addr{}, 0)
	}
	a.tun.InjectPacket(ping(1).packet())
	b.receive(t, 1)
	wantDrops(t, b, "in-malformed", 1)
	if len(b.ike) != 0 {
		t.Error("a keepalive or a short message was handed over")
	}
}

// TestPlainSocket checks that port 500 passes IKE only, without a marker.
func TestPlainSocket(t *testing.T) {
	ca, cb := hosttest.NewUDPPair(netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("192.0.2.2:500"), false)
	got := make(chan Datagram, 4)
	d, err := New(Config{Sockets: []Socket{{Conn: cb}}, IKE: func(d Datagram) { got <- d }, Notify: func(Event) {}})
	if err != nil {
		t.Fatal(err)
	}
	(&end{Datapath: d}).run(t)
	msg := random(100, 7)
	ca.Send([]byte{0xff}, 0, outerB, netip.Addr{}, 0)
	ca.Send(msg, 0, outerB, netip.Addr{}, 0)
	if m := <-got; !bytes.Equal(m.Data, msg) || m.NATT {
		t.Errorf("got %+v", m)
	}
	if p, _ := paramsFor(gcm, 0); d.Install(p) == nil {
		t.Error("an SA was installed on a socket without NAT-T")
	}
}

func TestTooBig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := newTunnel(t, offloads{}, gcm)
		mtu := InnerMTU(1500, false, gcm)
		for _, v6 := range []bool{false, true} {
			p := spec{v6: v6, proto: ippkt.ProtoUDP, payload: random(1472, 1)}
			pkt := p.packet()
			a.tun.InjectPacket(pkt)
			answer := unpack(t, <-a.tun.Out)[0]
			at := 20
			if v6 {
				at = 40
				if answer[6] != ippkt.ProtoICMPv6 || answer[40] != 2 || int(binary.BigEndian.Uint32(answer[44:])) != mtu {
					t.Errorf("answer %x", answer[:60])
				}
				if sum16(pseudo(answer, ippkt.ProtoICMPv6, 40), answer[40:]) != 0xffff || !bytes.Equal(answer[8:24], pkt[24:40]) || !bytes.Equal(answer[24:40], pkt[8:24]) {
					t.Errorf("answer %x", answer[:60])
				}
			} else {
				if answer[9] != ippkt.ProtoICMP || answer[20] != 3 || answer[21] != 4 || int(binary.BigEndian.Uint16(answer[26:])) != mtu {
					t.Errorf("answer %x", answer[:40])
				}
				if sum16(answer[20:]) != 0xffff || sum16(answer[:20]) != 0xffff || !bytes.Equal(answer[12:16], pkt[16:20]) || !bytes.Equal(answer[16:20], pkt[12:16]) {
					t.Errorf("answer %x", answer[:40])
				}
			}
			if !bytes.HasPrefix(pkt, answer[at+8:]) {
				t.Error("the answer quotes something else")
			}
		}
		// No storm of answers.
		for range 4 * icmpBurst {
			a.tun.InjectPacket(spec{proto: ippkt.ProtoUDP, payload: random(1472, 1)}.packet())
		}
		synctest.Wait()
		wantDrops(t, a, "out-too-big", 4*icmpBurst+2)
		if n := len(a.tun.Out); n != icmpBurst-2 {
			t.Errorf("%d answers", n)
		}
	})
}

// reassemble puts IPv4 fragments in order together.
func reassemble(t testing.TB, frags [][]byte) []byte {
	t.Helper()
	var out []byte
	for i, f := range frags {
		hlen := int(f[0]&15) * 4
		word := binary.BigEndian.Uint16(f[6:])
		if int(word&0x1fff)*8 != max(len(out)-20, 0) || (word&0x2000 != 0) != (i < len(frags)-1) || sum16(f[:hlen]) != 0xffff {
			t.Fatalf("fragment %d: header %x", i, f[:hlen])
		}
		if i == 0 {
			out = append(out, f...)
		} else {
			out = append(out, f[hlen:]...)
		}
	}
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)))
	out[6] &^= 0x20
	out[10], out[11] = 0, 0
	binary.BigEndian.PutUint16(out[10:], ^sum16(out[:20]))
	return out
}

func TestFragments(t *testing.T) {
	a, b := newTunnel(t, allOn, gcm)
	mtu := InnerMTU(1500, false, gcm)
	p := spec{proto: ippkt.ProtoUDP, noDF: true, id: 7, payload: random(5000, 1)}
	a.tun.InjectPacket(p.packet())
	frags := b.receive(t, 4)
	for _, f := range frags {
		if len(f) > mtu {
			t.Errorf("fragment of %d bytes", len(f))
		}
	}
	if !bytes.Equal(reassemble(t, frags), p.packet()) {
		t.Error("fragments do not add up")
	}
	// Datagrams of a super-packet that are too long each.
	p = spec{proto: ippkt.ProtoUDP, noDF: true, id: 9, payload: random(8000, 2)}
	a.tun.Inject(p.super(2000))
	frags = b.receive(t, 8)
	var got [][]byte
	for i := 0; i < 8; i += 2 {
		got = append(got, reassemble(t, frags[i:i+2]))
	}
	equalPackets(t, got, p.wantSegments(2000))
	wantDrops(t, a, "out-too-big", 0)
}

// TestPathShrinks lets the system refuse big datagrams: nothing is lost, and
// later super-packets are cut smaller.
func TestPathShrinks(t *testing.T) {
	a, b := newTunnel(t, allOn, gcm)
	a.conn.SetMTU(1300)
	p := spec{proto: ippkt.ProtoTCP, flags: ippkt.ACK, payload: random(13000, 1)}
	a.tun.Inject(p.super(1380))
	equalPackets(t, b.receive(t, 10), p.wantSegments(1380))
	if ev := a.event(t, PathMTU); ev.MTU != 1300 || ev.InSPI != 0x1000 {
		t.Errorf("event %+v", ev)
	}
	var fragmented bool
	a.conn.SetTap(func(d hosttest.Datagrams) []hosttest.Datagrams {
		fragmented = fragmented || d.Fragmented
		return []hosttest.Datagrams{d}
	})
	a.tun.Inject(p.super(1380))
	size := InnerMTU(1300, false, gcm) - 40
	equalPackets(t, b.receive(t, (13000+size-1)/size), p.wantSegments(size))
	if fragmented {
		t.Error("the outer packets were fragmented")
	}
	if d := a.Stats().Drops; len(d) != 0 {
		t.Errorf("drops: %v", d)
	}
}

// TestNarrowPath carries 1280 bytes of IPv6 over a path too narrow for that: in
// outer fragments, which TCP avoids.
func TestNarrowPath(t *testing.T) {
	a, b := newTunnel(t, allOn, gcm)
	fragmented := make(chan bool, 100)
	a.conn.SetMTU(1000)
	a.conn.SetTap(func(d hosttest.Datagrams) []hosttest.Datagrams {
		fragmented <- d.Fragmented
		return []hosttest.Datagrams{d}
	})
	if err := a.SetPath(0x1000, sad.Path{Remote: outerB, MTU: 1000}); err != nil {
		t.Fatal(err)
	}
	p := spec{v6: true, proto: ippkt.ProtoUDP, payload: random(1232, 1)}
	a.tun.InjectPacket(p.packet())
	equalPackets(t, b.receive(t, 1), [][]byte{p.packet()})
	if !<-fragmented {
		t.Error("a UDP packet of 1280 bytes was not fragmented")
	}
	p = spec{v6: true, proto: ippkt.ProtoTCP, flags: ippkt.ACK, payload: random(5000, 1)}
	a.tun.Inject(p.super(1220))
	size := InnerMTU(1000, false, gcm) - 60
	equalPackets(t, b.receive(t, (5000+size-1)/size), p.wantSegments(size))
	if <-fragmented {
		t.Error("TCP was fragmented")
	}
	if len(a.events) != 0 || len(a.Stats().Drops) != 0 {
		t.Errorf("%d events, drops %v", len(a.events), a.Stats().Drops)
	}
}

func TestClampMSS(t *testing.T) {
	a, b := newTunnel(t, allOn, gcm)
	for _, v6 := range []bool{false, true} {
		for _, options := range [][]byte{
			{2, 4, 9, 0, 1, 1, 1, 0},
			{1, 2, 4, 9, 0, 1, 1, 0}, // odd offset
			{1, 2, 4, 0, 9, 1, 1, 0}, // small already
			{1, 2, 4, 9},             // cut short
			{3, 0, 2, 4, 9, 9, 0, 0}, // bad length
		} {
			p := spec{v6: v6, proto: ippkt.ProtoTCP, flags: ippkt.SYN, options: options}
			want := p
			want.options = append([]byte(nil), options...)
			mss := InnerMTU(1500, false, gcm) - 40
			if v6 {
				mss -= 20
			}
			for _, at := range []int{2, 3} {
				if len(options) == 8 && options[at-2] == 2 && options[at] == 9 {
					binary.BigEndian.PutUint16(want.options[at:], uint16(mss))
				}
			}
			a.tun.InjectPacket(p.packet())
			equalPackets(t, b.receive(t, 1), [][]byte{want.packet()})
		}
	}
	// Inbound: a peer that clamps less than our path needs.
	if err := b.SetPath(0x2000, sad.Path{Remote: outerA, MTU: 1000}); err != nil {
		t.Fatal(err)
	}
	p := spec{proto: ippkt.ProtoTCP, flags: ippkt.SYN | ippkt.ACK, options: []byte{2, 4, 5, 0}}
	a.tun.InjectPacket(p.packet())
	binary.BigEndian.PutUint16(p.options[2:], uint16(InnerMTU(1000, false, gcm)-40))
	equalPackets(t, b.receive(t, 1), [][]byte{p.packet()})
}

// TestECN holds decapsulation against RFC 6040, figure 4.
func TestECN(t *testing.T) {
	table := [4][4]int{ // [inner][outer]; -1: drop
		0: {0, 0, 0, -1},
		1: {1, 1, 1, 3},
		2: {2, 1, 2, 3},
		3: {3, 3, 3, 3},
	}
	for _, v6 := range []bool{false, true} {
		for inner, row := range table {
			for outer, want := range row {
				s := spec{v6: v6, proto: ippkt.ProtoUDP, tos: 0xb8 | byte(inner)}
				pkt := s.packet()
				var p ippkt.Packet
				if err := p.Parse(pkt); err != nil {
					t.Fatal(err)
				}
				if ok := decapsulateECN(&p, pkt, byte(outer)); ok != (want >= 0) {
					t.Errorf("inner %d, outer %d: %v", inner, outer, ok)
				} else if ok {
					s.tos = 0xb8 | byte(want)
					if !bytes.Equal(pkt, s.packet()) {
						t.Errorf("inner %d, outer %d: %x", inner, outer, pkt)
					}
				}
			}
		}
	}
}

func TestOuterTOS(t *testing.T) {
	for _, hide := range []bool{false, true} {
		a, b := newTunnel(t, allOn, gcm)
		a.cfg.HideDSCP = hide
		tos := make(chan uint8, 1)
		a.conn.SetTap(func(d hosttest.Datagrams) []hosttest.Datagrams {
			tos <- d.TOS
			return []hosttest.Datagrams{d}
		})
		p := ping(1)
		p.tos = 0xb9
		a.tun.InjectPacket(p.packet())
		b.receive(t, 1)
		want := uint8(0xb9)
		if hide {
			want = 1
		}
		if got := <-tos; got != want {
			t.Errorf("outer TOS %#x, want %#x", got, want)
		}
	}
}

// TestMergeOnlyWhatSplitsBack sends neighbours that must not be merged.
func TestMergeOnlyWhatSplitsBack(t *testing.T) {
	base := spec{proto: ippkt.ProtoTCP, sport: 4, seq: 1000, ack: 5, flags: ippkt.ACK, payload: random(500, 1)}
	bad := func(p []byte) []byte { p[len(p)-1] ^= 1; return p }
	badIP := func(p []byte) []byte { p[11] ^= 1; return p }
	hops := func(p []byte) []byte {
		p[8]--
		ippkt.SetIPv4Checksum(p[:20])
		return p
	}
	next := func(f func(*spec)) []byte {
		s := base
		s.seq += 500
		s.id++
		f(&s)
		return s.packet()
	}
	for name, second := range map[string][]byte{
		"gap":         next(func(s *spec) { s.seq++ }),
		"ack":         next(func(s *spec) { s.ack++ }),
		"longer":      next(func(s *spec) { s.payload = random(501, 1) }),
		"tos":         next(func(s *spec) { s.tos = 4 }),
		"no DF":       next(func(s *spec) { s.noDF = true }),
		"port":        next(func(s *spec) { s.sport = 5 }),
		"fin":         next(func(s *spec) { s.flags |= ippkt.FIN }),
		"cwr":         next(func(s *spec) { s.flags |= ippkt.CWR }),
		"options":     next(func(s *spec) { s.options = []byte{1, 1, 1, 1} }),
		"bad sum":     bad(next(func(s *spec) {})),
		"bad IP sum":  badIP(next(func(s *spec) {})),
		"hops":        hops(next(func(s *spec) {})),
		"empty":       next(func(s *spec) { s.payload = nil }),
		"protocol":    next(func(s *spec) { s.proto = ippkt.ProtoUDP }),
		"IPv6":        next(func(s *spec) { s.v6 = true }),
		"same again":  base.packet(),
		"push":        next(func(s *spec) { s.flags |= ippkt.PSH }),
		"shorter":     next(func(s *spec) { s.payload = random(20, 2) }),
		"as expected": next(func(s *spec) {}),
	} {
		t.Run(name, func(t *testing.T) {
			d := newDirect(t, allOn)
			want := [][]byte{base.packet(), second, next(func(s *spec) { s.seq += 5000 })}
			for _, p := range want {
				d.datagram(d.seal(p))
			}
			d.flush()
			equalPackets(t, d.receive(t, 3), want)
		})
	}
	for name, first := range map[string][]byte{"first with a bad sum": bad(base.packet()), "first with a bad IP sum": badIP(base.packet())} {
		t.Run(name, func(t *testing.T) {
			d := newDirect(t, allOn)
			want := [][]byte{first, next(func(*spec) {})}
			for _, p := range want {
				d.datagram(d.seal(p))
			}
			d.flush()
			equalPackets(t, d.receive(t, 2), want)
		})
	}
}

// TestPaddedPacketsMerge: the padding that hides lengths (RFC 4303, section 2.7)
// is no part of the packet.
func TestPaddedPacketsMerge(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		d := newDirect(t, allOn)
		var want [][]byte
		for i := range 4 {
			s := spec{v6: v6, proto: ippkt.ProtoTCP, seq: uint32(500 * i), flags: ippkt.ACK, id: uint16(i), payload: random(500, byte(i))}
			want = append(want, s.packet())
			d.datagram(d.seal(append(s.packet(), make([]byte, 40*i)...)))
		}
		d.flush()
		equalPackets(t, d.receive(t, 4), want)
		if n := len(d.tun.Out); n != 0 {
			t.Errorf("IPv6 %v: %d writes left, want one for all", v6, n)
		}
	}
}

// TestNextHeaderCannotLie: a packet in the middle of a flow whose trailer names
// another protocol than its header is no part of it.
func TestNextHeaderCannotLie(t *testing.T) {
	d := newDirect(t, allOn)
	for i, next := range []uint8{ippkt.ProtoIPv4, ippkt.ProtoIPv4, ippkt.ProtoIPv6, ippkt.ProtoTCP, ippkt.ProtoIPv4} {
		s := spec{proto: ippkt.ProtoTCP, seq: uint32(500 * min(i, 2)), flags: ippkt.ACK, id: uint16(min(i, 2)), payload: random(500, byte(i))}
		d.datagram(d.sealAs(s.packet(), next))
	}
	d.flush()
	d.receive(t, 3)
	if n := d.Stats().Drops[InInner.String()]; n != 2 {
		t.Errorf("%d packets refused, want 2", n)
	}
}

func TestSetTUN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newTunnel(t, allOn, gcm)
		old := b.tun
		b.SetTUN(nil)
		a.tun.InjectPacket(ping(1).packet())
		synctest.Wait()
		wantDrops(t, b, "in-no-tun", 1)
		if _, err := old.Read(make([]byte, 100)); err == nil {
			t.Error("the old device is open")
		}
		b.tun = hosttest.NewTUN(true, true)
		b.SetTUN(b.tun)
		a.tun.InjectPacket(ping(2).packet())
		equalPackets(t, b.receive(t, 1), [][]byte{ping(2).packet()})
		back := ping(3).build(addrB, addrA)
		b.tun.InjectPacket(back)
		equalPackets(t, a.receive(t, 1), [][]byte{back})
	})
}

func TestInnerMTU(t *testing.T) {
	for name, s := range suites() {
		for _, v6 := range []bool{false, true} {
			for outer := 576; outer <= 9000; outer++ {
				inner := InnerMTU(outer, v6, s)
				if n := esp.SealedLen(s, inner) + outerLen(v6); n > outer {
					t.Fatalf("%s: inner %d makes outer %d, more than %d", name, inner, n, outer)
				}
				if n := esp.SealedLen(s, inner+1) + outerLen(v6); n <= outer {
					t.Fatalf("%s: inner %d would fit in %d as well", name, inner+1, outer)
				}
			}
		}
	}
}

func TestVNetRoundTrip(t *testing.T) {
	h := vnet{1, gsoTCPv6, 2, 3, 4, 5}
	b := make([]byte, host.VNetLen)
	h.put(b)
	if got := parseVNet(b); got != h {
		t.Errorf("got %+v", got)
	}
	b[1] |= gsoECN
	if got := parseVNet(b); got != h {
		t.Errorf("got %+v", got)
	}
}
