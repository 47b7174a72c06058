package datapath

import (
	"runtime"
	"testing"
	"time"

	"sallyport/core/internal/hosttest"
	"sallyport/core/ippkt"
	"sallyport/core/spd"
	"sallyport/core/transform"
)

// A heldTUN keeps the first write until it is let go.
type heldTUN struct {
	*hosttest.TUN
	hold chan struct{} // closed when writing may begin
}

func (h heldTUN) Write(b []byte) (int, error) {
	<-h.hold
	return h.TUN.Write(b)
}

// newInLanes returns a sender and a receiver of several lanes whose writes wait.
func newInLanes(t *testing.T, lanes int, s transform.Suite, tap func(hosttest.Datagrams) []hosttest.Datagrams) (a, b *end, hold chan struct{}, received func() int) {
	t.Helper()
	ca, cb := hosttest.NewUDPPair(outerA, outerB, true)
	ca.SetTap(tap)
	a = newEnd(t, hosttest.NewTUN(true, true), ca, nil)
	b = newEndWith(t, hosttest.NewTUN(true, true), cb, nil, lanes)
	tun := heldTUN{hosttest.NewTUN(true, true), make(chan struct{})}
	b.SetTUN(tun)
	b.tun = tun.TUN
	a.SetPolicy([]spd.Entry{{Local: netA, Remote: netB, Action: spd.Protect, Group: 1}})
	a.run(t)
	b.run(t)
	install(t, a, b, s, 0)
	return a, b, tun.hold, cb.Waiting
}

// await waits for what other goroutines do.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestInboundLanesShareAndKeepOrder: while what came first cannot be delivered,
// others receive what follows; in the end all is delivered in order.
func TestInboundLanesShareAndKeepOrder(t *testing.T) {
	cbc := suites()["AES-CBC-SHA256"]
	for name, s := range map[string]transform.Suite{"AES-GCM": gcm, "ESN": suites()["AES-GCM-256-ESN"], "CBC": cbc} {
		t.Run(name, func(t *testing.T) {
			const lanes = 4
			a, b, hold, waiting := newInLanes(t, lanes, s, nil)
			f := mixedFlow{from: a}
			for range lanes {
				f.send(40*1300 + 7)
			}
			if s.Encr.ID != cbc.Encr.ID {
				await(t, "each lane to receive", func() bool {
					return waiting() == 0 && a.SAs().Lookup(0x1000).Counters().OutPackets == uint64(len(f.want))
				})
			}
			close(hold)
			f.mix(60)
			equalPackets(t, b.receive(t, len(f.want)), f.want)
			if d := b.Stats().Drops; len(d) != 0 {
				t.Errorf("drops: %v", d)
			}
			await(t, "all to be counted", func() bool {
				return b.SAs().Lookup(0x2000).Counters().InPackets == uint64(len(f.want))
			})
		})
	}
}

// TestReplayCannotPassBetweenLanes: each group of packets comes twice at the same
// time, to two lanes; each packet is delivered once.
func TestReplayCannotPassBetweenLanes(t *testing.T) {
	twice := func(d hosttest.Datagrams) []hosttest.Datagrams {
		again := d
		again.Data = append([]byte(nil), d.Data...)
		return []hosttest.Datagrams{d, again}
	}
	a, b, hold, _ := newInLanes(t, 4, gcm, twice)
	close(hold)
	want := map[uint16]bool{}
	sent := 0
	for i := range 40 {
		p := spec{proto: ippkt.ProtoUDP, sport: 7, noDF: true, id: uint16(i * 40), payload: random(30*1300, byte(i))}
		for k := range p.wantSegments(1300) {
			want[uint16(i*40+k)] = true
			sent++
		}
		a.tun.Inject(p.super(1300))
	}
	for _, p := range b.receive(t, sent) {
		id := uint16(p[4])<<8 | uint16(p[5])
		if !want[id] {
			t.Fatalf("packet %d was delivered twice", id)
		}
		delete(want, id)
	}
	awaitDrops(t, b, InReplay.String(), uint64(sent))
	select {
	case <-b.tun.Out:
		t.Error("something more was delivered")
	default:
	}
}
