package datapath

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"

	"sallyport/core/internal/hosttest"
	"sallyport/core/ippkt"
	"sallyport/core/spd"
)

// A heldConn keeps the first datagrams until it is let go, and remembers the
// sequence numbers of what leaves.
type heldConn struct {
	*hosttest.UDPConn
	hold chan struct{} // closed when sending may begin
	mu   sync.Mutex    // guards seqs
	seqs []uint32
}

func (c *heldConn) Send(b []byte, segment int, remote netip.AddrPort, local netip.Addr, tos uint8) error {
	<-c.hold
	c.mu.Lock()
	for _, one := range (hosttest.Datagrams{Data: b, Segment: segment}).Split() {
		c.seqs = append(c.seqs, binary.BigEndian.Uint32(one[4:]))
	}
	c.mu.Unlock()
	return c.UDPConn.Send(b, segment, remote, local, tos)
}

// A countedTUN tells of each packet that was read.
type countedTUN struct {
	*hosttest.TUN
	read chan struct{}
}

func (c countedTUN) Read(b []byte) (int, error) {
	n, err := c.TUN.Read(b)
	if err == nil {
		c.read <- struct{}{}
	}
	return n, err
}

// TryRead has nothing, so that each packet is a burst.
func (c countedTUN) TryRead([]byte) (int, error) { return 0, nil }

func newLanes(t *testing.T, lanes int) (a, b *end, conn *heldConn, read chan struct{}) {
	t.Helper()
	ca, cb := hosttest.NewUDPPair(outerA, outerB, true)
	conn = &heldConn{UDPConn: ca, hold: make(chan struct{})}
	tun := countedTUN{hosttest.NewTUN(true, true), make(chan struct{}, 1024)}
	a = newEndWith(t, hosttest.NewTUN(true, true), conn, nil, lanes)
	a.SetTUN(tun)
	a.tun = tun.TUN
	b = newEnd(t, hosttest.NewTUN(true, true), cb, nil)
	a.SetPolicy([]spd.Entry{{Local: netA, Remote: netB, Action: spd.Protect, Group: 1}})
	a.run(t)
	b.run(t)
	return a, b, conn, tun.read
}

// A mixedFlow is TCP of one flow, in super-packets, and what is to come of it.
type mixedFlow struct {
	from *end
	seq  uint32
	want [][]byte
}

func (f *mixedFlow) send(total int) {
	p := spec{proto: ippkt.ProtoTCP, sport: 9, seq: f.seq, flags: ippkt.ACK | ippkt.PSH, payload: random(total, byte(f.seq))}
	f.want = append(f.want, p.wantSegments(1300)...)
	f.from.tun.Inject(p.super(1300))
	f.seq += uint32(total)
}

// mix sends n long super-packets, with shorter ones and single packets between them.
func (f *mixedFlow) mix(n int) {
	for i := range n {
		f.send(30*1300 + i)
		if i%3 == 0 {
			f.send(i)
		}
		if i%7 == 0 {
			f.send(5000)
		}
	}
}

// TestLanesShareAndKeepOrder: while the first super-packet cannot leave, others
// are read, one by each lane; in the end all leave in order, and so do the short
// packets between them.
func TestLanesShareAndKeepOrder(t *testing.T) {
	const lanes, supers = 4, 60
	a, b, conn, read := newLanes(t, lanes)
	install(t, a, b, gcm, 0)
	f := mixedFlow{from: a}
	for range lanes {
		f.send(40*1300 + 7)
	}
	for range lanes {
		select {
		case <-read:
		case <-time.After(10 * time.Second):
			t.Fatal("fewer super-packets were read than there are lanes")
		}
	}
	close(conn.hold)
	f.mix(supers)
	equalPackets(t, b.receive(t, len(f.want)), f.want)
	if d := b.Stats().Drops; len(d) != 0 {
		t.Errorf("drops: %v", d)
	}
	conn.mu.Lock()
	defer conn.mu.Unlock()
	for i, s := range conn.seqs {
		if s != uint32(i+1) {
			t.Fatalf("packet %d has sequence number %d", i, s)
		}
	}
	if got := a.SAs().Lookup(0x1000).Counters(); got.OutPackets != uint64(len(f.want)) || got.OutPackets != uint64(len(conn.seqs)) {
		t.Errorf("%d packets counted, %d sent, want %d", got.OutPackets, len(conn.seqs), len(f.want))
	}
}

// TestLanesThroughChanges rekeys and changes devices while lanes share.
func TestLanesThroughChanges(t *testing.T) {
	a, b, conn, _ := newLanes(t, 3)
	close(conn.hold)
	for i := range uint32(8) {
		install(t, a, b, gcm, i)
		tun := hosttest.NewTUN(true, true)
		a.SetTUN(tun)
		var want [][]byte
		for k := range 20 {
			p := spec{proto: ippkt.ProtoUDP, sport: uint16(i), noDF: true, id: uint16(100 * k), payload: random(20*1300, byte(k))}
			want = append(want, p.wantSegments(1300)...)
			tun.Inject(p.super(1300))
		}
		equalPackets(t, b.receive(t, len(want)), want)
	}
	if d := a.Stats().Drops; len(d) != 0 {
		t.Errorf("drops: %v", d)
	}
}

// TestLanesHardLifetime: a super-packet that needs more sequence numbers than are
// left is sealed as far as they reach, as with one lane.
func TestLanesHardLifetime(t *testing.T) {
	a, b, conn, _ := newLanes(t, 2)
	close(conn.hold)
	install(t, a, b, gcm, 0)
	sealer := a.SAs().Lookup(0x1000).Out.Sealer
	sealer.Skip(sealer.Remaining() - 15)
	p := spec{proto: ippkt.ProtoTCP, flags: ippkt.ACK, payload: random(20*1300, 1)}
	a.tun.Inject(p.super(1300))
	equalPackets(t, b.receive(t, 15), p.wantSegments(1300)[:15])
	a.event(t, HardLifetime)
}
