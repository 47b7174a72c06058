package datapath

import (
	"fmt"
	"testing"

	"sallyport/core/ippkt"
	"sallyport/core/transform"
)

var everyOffload = []offloads{
	{true, true, true, 1}, {false, false, false, 1}, {true, true, true, 4},
	{true, true, false, 1}, {false, false, true, 1}, {true, false, true, 1}, {false, true, true, 1},
}

// offloadsFor returns what to combine a suite with: all for the first choice,
// the extremes for the others.
func offloadsFor(suite string) []offloads {
	if suite == "AES-GCM-128" {
		return everyOffload
	}
	return everyOffload[:3]
}

func suites() map[string]transform.Suite {
	enc := func(id transform.ID, bits uint16) transform.Transform {
		return transform.Transform{Type: transform.TypeEncr, ID: id, KeyBits: bits}
	}
	integ := func(id transform.ID) transform.Transform {
		return transform.Transform{Type: transform.TypeInteg, ID: id}
	}
	return map[string]transform.Suite{
		"AES-GCM-128":        gcm,
		"AES-GCM-256-ESN":    {Encr: enc(transform.EncrAESGCM16, 256), ESN: true},
		"ChaCha20-ESN":       {Encr: enc(transform.EncrChaCha20Poly, 0), ESN: true},
		"AES-CBC-SHA256":     {Encr: enc(transform.EncrAESCBC, 128), Integ: integ(transform.IntegHMACSHA256128)},
		"AES-CBC-SHA512-ESN": {Encr: enc(transform.EncrAESCBC, 256), Integ: integ(transform.IntegHMACSHA512256), ESN: true},
		"3DES-SHA1":          {Encr: enc(transform.Encr3DES, 0), Integ: integ(transform.IntegHMACSHA1_96)},
	}
}

func TestPlainPackets(t *testing.T) {
	for name, s := range suites() {
		for _, o := range offloadsFor(name) {
			t.Run(fmt.Sprintf("%s/%+v", name, o), func(t *testing.T) {
				a, b := newTunnel(t, o, s)
				var want [][]byte
				for i := 0; i < 1300; i += 7 {
					for _, proto := range []byte{ippkt.ProtoTCP, ippkt.ProtoUDP, 47} {
						p := spec{v6: i%2 == 0, proto: proto, sport: 99, flags: ippkt.ACK, payload: random(i, byte(i)), tos: 0x28, id: uint16(i)}
						want = append(want, p.build(p.addrs()))
						a.tun.InjectPacket(want[len(want)-1])
					}
				}
				equalPackets(t, b.receive(t, len(want)), want)
				c, _ := a.Counters(0x1000)
				if got, _ := b.Counters(0x2000); c.OutPackets != uint64(len(want)) || got.InPackets != c.OutPackets || got.InBytes != c.OutBytes {
					t.Errorf("counters: sent %+v, received %+v", c, got)
				}
			})
		}
	}
}

func TestSuperPackets(t *testing.T) {
	timestamps := []byte{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8}
	for name, s := range suites() {
		for _, o := range offloadsFor(name) {
			t.Run(fmt.Sprintf("%s/%+v", name, o), func(t *testing.T) {
				a, b := newTunnel(t, o, s)
				var want [][]byte
				seq := uint32(0xffff0000) // wraps
				for i, total := range []int{1, 500, 1300, 1301, 2600, 5000, 20000, 43210, 65000} {
					for _, size := range []int{3, 64, 536, 1300} {
						if total/size > 2000 {
							continue
						}
						for _, v6 := range []bool{false, true} {
							p := spec{v6: v6, proto: ippkt.ProtoTCP, sport: uint16(1000 + i), seq: seq, ack: 77, flags: ippkt.ACK | ippkt.PSH,
								options: timestamps, payload: random(total, byte(i)), id: 65530, tos: 2}
							switch i % 3 {
							case 1:
								p.flags = ippkt.ACK | ippkt.CWR
							case 2:
								p.flags = ippkt.ACK | ippkt.FIN
							}
							want = append(want, p.wantSegments(size)...)
							a.tun.Inject(p.super(size))
							seq += uint32(total)

							if total/size >= 64 {
								continue
							}
							p = spec{v6: v6, proto: ippkt.ProtoUDP, sport: uint16(2000 + i), payload: random(total, byte(i)), noDF: true}
							want = append(want, p.wantSegments(size)...)
							a.tun.Inject(p.super(size))
						}
					}
				}
				got := b.receive(t, len(want))
				equalPackets(t, got, want)
				if d := a.Stats().Drops; len(d) != 0 {
					t.Errorf("sender dropped %v", d)
				}
				if d := b.Stats().Drops; len(d) != 0 {
					t.Errorf("receiver dropped %v", d)
				}
			})
		}
	}
}

// TestSuperPacketStaysWhole pins that the fast path is taken: one super-packet
// in is few sends and one super-packet out.
func TestSuperPacketStaysWhole(t *testing.T) {
	a, b := newTunnel(t, allOn, gcm)
	p := spec{proto: ippkt.ProtoTCP, sport: 1, flags: ippkt.ACK, payload: random(40*1300, 1)}
	a.tun.Inject(p.super(1300))
	pkts := unpack(t, <-b.tun.Out)
	equalPackets(t, pkts, p.wantSegments(1300))
}

func TestPartialChecksum(t *testing.T) {
	a, b := newTunnel(t, allOn, gcm)
	for _, proto := range []byte{ippkt.ProtoTCP, ippkt.ProtoUDP} {
		for _, v6 := range []bool{false, true} {
			p := spec{v6: v6, proto: proto, sport: 7, flags: ippkt.ACK, payload: random(333, 3)}
			a.tun.Inject(p.super(0))
			equalPackets(t, b.receive(t, 1), [][]byte{p.build(p.addrs())})
		}
	}
	h := vnet{flags: vnetNeedsChecksum, csumStart: 20, csumOffset: 60000}
	bad := make([]byte, 10)
	h.put(bad)
	p := spec{proto: ippkt.ProtoUDP, payload: random(10, 3)}
	a.tun.Inject(append(bad, p.build(p.addrs())...))
	a.tun.InjectPacket(p.build(p.addrs()))
	b.receive(t, 1)
	if a.Stats().Drops["out-malformed"] != 1 {
		t.Errorf("drops: %v", a.Stats().Drops)
	}
}
