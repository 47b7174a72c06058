package datapath

import (
	"bytes"
	"encoding/binary"
	"testing"

	"sallyport/core/host"
	"sallyport/core/ippkt"
)

// installFor installs the i-th pair of SAs at both ends, for a resource.
func installFor(t testing.TB, a, b *end, i uint32, resource int) {
	t.Helper()
	pa, pb := paramsFor(gcm, i)
	pa.Resource, pb.Resource = resource, resource
	if err := b.Install(pb); err != nil {
		t.Fatal(err)
	}
	if err := a.Install(pa); err != nil {
		t.Fatal(err)
	}
}

// TestFlowsKeepOrderOverSeveralSAs: flows are spread over the pairs of several
// resources, and each arrives whole and in order, though pairs come, go and are
// rekeyed meanwhile, and several goroutines work.
func TestFlowsKeepOrderOverSeveralSAs(t *testing.T) {
	const flows, rounds = 40, 60
	for _, o := range []offloads{allOn, {}, {true, true, true, 4}} {
		a, b := newEnds(t, o)
		installFor(t, a, b, 0, 0)
		for r := range uint32(3) {
			installFor(t, a, b, r+1, int(r)+1)
		}
		var want [flows][][]byte
		total := 0
		for round := range rounds {
			for f := range flows {
				s := spec{proto: ippkt.ProtoTCP, sport: uint16(1000 + f), flags: ippkt.ACK,
					seq: uint32(round) << 16, payload: random(20*1300+round, byte(f))}
				if !o.tcp {
					s.payload = s.payload[:1300]
				}
				segments := s.wantSegments(1300)
				want[f] = append(want[f], segments...)
				total += len(segments)
				if o.tcp {
					a.tun.Inject(s.super(1300))
				} else {
					a.tun.Inject(append(make([]byte, host.VNetLen), segments[0]...))
				}
			}
			switch round {
			case 10: // a rekey
				installFor(t, a, b, 10, 2)
				must(t, a.Retire(0x1002))
			case 20: // one more
				installFor(t, a, b, 11, 4)
			case 30: // one goes
				must(t, a.Retire(0x1001))
			case 40: // that for the rest is rekeyed
				installFor(t, a, b, 12, 0)
				must(t, a.Retire(0x1000))
			}
		}
		var got [flows][][]byte
		for _, pkt := range b.receive(t, total) {
			f := int(binary.BigEndian.Uint16(pkt[20:])) - 1000
			got[f] = append(got[f], bytes.Clone(pkt))
		}
		for f := range want {
			equalPackets(t, got[f], want[f])
		}
		for spi, carries := range map[uint32]bool{0x1000: false, 0x1001: true, 0x100a: true, 0x1003: true, 0x100b: true, 0x100c: false} {
			c, err := a.Counters(spi)
			must(t, err)
			if carries != (c.OutPackets > 0) {
				t.Errorf("%+v: %08x has carried %+v", o, spi, c)
			}
		}
		if d := b.Stats().Drops; len(d) != 0 {
			t.Errorf("drops: %v", d)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoAllocationsOverSeveralSAs: to find the pair of a flow costs no memory.
func TestNoAllocationsOverSeveralSAs(t *testing.T) {
	d, dev, s := newSink(t, first)
	for r := range uint32(4) {
		p, _ := paramsFor(gcm, r+1)
		p.Resource = int(r) + 1
		must(t, d.Install(p))
	}
	var packets [16][]byte
	for i := range packets {
		packets[i] = append(make([]byte, host.VNetLen), spec{proto: ippkt.ProtoUDP, sport: uint16(i), payload: random(100, 1)}.build(addrA, addrB)...)
	}
	scratch := make([]byte, len(packets[0])+64)
	i := 0
	if n := testing.AllocsPerRun(200, func() {
		d.outOne(dev, scratch[:copy(scratch, packets[i%len(packets)])])
		i++
	}); n != 0 {
		t.Errorf("sealing a packet allocates %v times", n)
	}
	for r := range uint32(4) {
		if c, err := d.Counters(0x1001 + r); err != nil || c.OutPackets == 0 {
			t.Errorf("resource %d: %+v, %v", r+1, c, err)
		}
	}
	if s.sent == 0 || len(d.Stats().Drops) != 0 {
		t.Errorf("sent %d bytes, drops %v", s.sent, d.Stats().Drops)
	}
}
