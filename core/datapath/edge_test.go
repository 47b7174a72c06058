package datapath

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/esp"
	"sallyport/core/internal/hosttest"
	"sallyport/core/ippkt"
	"sallyport/core/sad"
	"sallyport/core/spd"
)

// TestFragmentOptions cuts a packet with IPv4 options: those without the copied
// flag are in the first fragment only.
func TestFragmentOptions(t *testing.T) {
	a, b := newTunnel(t, allOn, gcm)
	options := []byte{
		7, 7, 4, 0, 0, 0, 0, // record route: not copied
		0x94, 4, 0, 0, // router alert: copied
		0, // end
	}
	pkt := spec{proto: ippkt.ProtoUDP, noDF: true, payload: random(3000, 1)}.packet()
	pkt = append(append(bytes.Clone(pkt[:20]), options...), pkt[20:]...)
	pkt[0] = 0x48
	binary.BigEndian.PutUint16(pkt[2:], uint16(len(pkt)))
	ippkt.SetIPv4Checksum(pkt[:32])
	a.tun.InjectPacket(pkt)
	frags := b.receive(t, 3)
	if !bytes.Equal(frags[0][20:32], options) {
		t.Errorf("first fragment has options %x", frags[0][20:32])
	}
	blank := append(bytes.Repeat([]byte{1}, 7), options[7:]...)
	var data []byte
	for i, f := range frags {
		if i > 0 && !bytes.Equal(f[20:32], blank) {
			t.Errorf("fragment %d has options %x", i, f[20:32])
		}
		data = append(data, f[32:]...)
	}
	if !bytes.Equal(data, pkt[32:]) {
		t.Error("the data differs")
	}
	for _, bad := range [][]byte{{7}, {7, 1}, {7, 9, 0}} {
		got := bytes.Clone(bad)
		blankOptions(got)
		if !bytes.Equal(got, bad) {
			t.Errorf("malformed options %x became %x", bad, got)
		}
	}
}

func TestAnswerable(t *testing.T) {
	udp := func(f func(p []byte)) []byte {
		b := ping(1).packet()
		f(b)
		return b
	}
	icmp := func(kind byte) []byte { return udp(func(p []byte) { p[9], p[20] = ippkt.ProtoICMP, kind }) }
	icmp6 := func(kind byte) []byte {
		b := spec{v6: true, proto: ippkt.ProtoUDP, payload: random(10, 1)}.packet()
		b[6], b[40] = ippkt.ProtoICMPv6, kind
		return b
	}
	for name, tt := range map[string]struct {
		pkt  []byte
		want bool
	}{
		"UDP":            {udp(func([]byte) {}), true},
		"echo":           {icmp(8), true},
		"unreachable":    {icmp(3), false},
		"ICMPv6 echo":    {icmp6(128), true},
		"ICMPv6 error":   {icmp6(1), false},
		"later fragment": {udp(func(p []byte) { p[7] = 1 }), false},
		"to multicast":   {udp(func(p []byte) { p[16] = 224 }), false},
		"to broadcast":   {udp(func(p []byte) { copy(p[16:], []byte{255, 255, 255, 255}) }), false},
		"from nobody":    {udp(func(p []byte) { copy(p[12:], []byte{0, 0, 0, 0}) }), false},
		"from multicast": {udp(func(p []byte) { p[12] = 224 }), false},
	} {
		var p ippkt.Packet
		if err := p.Parse(tt.pkt); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := answerable(&p, tt.pkt); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A brokenConn fails to send with one error and to receive with another.
type brokenConn struct {
	*hosttest.UDPConn
	send, recv error
}

func (c *brokenConn) Send([]byte, int, netip.AddrPort, netip.Addr, uint8) error { return c.send }

func (c *brokenConn) Recv(b []byte) (int, int, netip.AddrPort, netip.Addr, uint8, error) {
	if c.recv != nil {
		return 0, 0, netip.AddrPort{}, netip.Addr{}, 0, c.recv
	}
	return c.UDPConn.Recv(b)
}

func newBroken(t *testing.T, c *brokenConn) (*Datapath, *hosttest.TUN) {
	t.Helper()
	c.UDPConn, _ = hosttest.NewUDPPair(outerA, outerB, true)
	tun := hosttest.NewTUN(true, true)
	d, err := New(Config{TUN: tun, Sockets: []Socket{{Conn: c, NATT: true}}, IKE: func(Datagram) {}, Notify: func(Event) {}})
	if err != nil {
		t.Fatal(err)
	}
	return d, tun
}

// A fullConn lost datagrams before anybody received them.
type fullConn struct {
	*hosttest.UDPConn
	lost uint64
}

func (c *fullConn) Overflowed() uint64 { return c.lost }

// A fullTUN lost packets before anybody read them.
type fullTUN struct {
	*hosttest.TUN
	lost uint64
}

func (t *fullTUN) Overflowed() uint64 { return t.lost }

// TestOverflowIsCounted: what the system threw away has a name too, and is the sum
// of all sockets.
func TestOverflowIsCounted(t *testing.T) {
	a, b := hosttest.NewUDPPair(outerA, outerB, true)
	d, err := New(Config{Sockets: []Socket{{Conn: &fullConn{a, 3}, NATT: true}, {Conn: &fullConn{b, 4}}},
		IKE: func(Datagram) {}, Notify: func(Event) {}})
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Stats().Drops; got["in-socket-full"] != 7 || len(got) != 1 {
		t.Errorf("drops %v, want 7 for full sockets", got)
	}
	d.SetTUN(&fullTUN{hosttest.NewTUN(true, true), 5})
	d.SetTUN(&fullTUN{hosttest.NewTUN(true, true), 6})
	if got := d.Stats().Drops; got["out-tun-full"] != 11 {
		t.Errorf("drops %v, want 11 for two full devices, of which one is gone", got)
	}
}

func TestReceiveFailsForGood(t *testing.T) {
	cause := errors.New("no more")
	d, tun := newBroken(t, &brokenConn{recv: cause})
	if err := d.Run(context.Background()); !errors.Is(err, cause) {
		t.Errorf("Run returned %v", err)
	}
	if n := d.Stats().Drops["in-receive-failed"]; n != maxRecvErrors {
		t.Errorf("%d failures", n)
	}
	if _, err := tun.Read(make([]byte, 10)); err == nil {
		t.Error("the TUN is open")
	}
	if err := d.Run(context.Background()); err == nil {
		t.Error("ran twice")
	}
	late := hosttest.NewTUN(true, true)
	d.SetTUN(late)
	if _, err := late.Read(make([]byte, 10)); err == nil {
		t.Error("a TUN set after Run is open")
	}
}

func TestTUNVanishes(t *testing.T) {
	d, tun := newBroken(t, &brokenConn{})
	tun.Close() // not through the datapath
	if err := d.Run(context.Background()); err == nil {
		t.Error("Run returned no error")
	}
}

func TestSendFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, tun := newBroken(t, &brokenConn{send: errors.New("no route")})
		e := &end{Datapath: d, tun: tun}
		d.SetPolicy([]spd.Entry{{Local: netA, Remote: netB, Action: spd.Protect, Group: 1}})
		pa, _ := paramsFor(gcm, 0)
		if err := d.Install(pa); err != nil {
			t.Fatal(err)
		}
		e.run(t)
		tun.Inject(spec{proto: ippkt.ProtoTCP, flags: ippkt.ACK, payload: random(5000, 1)}.super(1000))
		synctest.Wait()
		wantDrops(t, e, "out-send-failed", 5)
	})
}

// TestSequenceExhausted uses the last sequence numbers of an SA without ESN.
func TestSequenceExhausted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := newTunnel(t, allOn, gcm)
		sa := a.SAs().Lookup(0x1000)
		sa.Out.Sealer.Skip(1<<32 - 4)
		a.tun.Inject(spec{proto: ippkt.ProtoTCP, flags: ippkt.ACK, payload: random(5000, 1)}.super(1000))
		a.tun.InjectPacket(ping(1).packet())
		synctest.Wait()
		wantDrops(t, a, "out-hard-limit", 3)
		a.event(t, HardLifetime)
		if n := len(a.events); n != 0 {
			t.Errorf("%d more events", n)
		}
		if c, _ := a.Counters(0x1000); c.OutPackets != 3 {
			t.Errorf("%d packets sent", c.OutPackets)
		}
	})
}

func TestStagedIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnds(t, allOn)
		a.tun.InjectPacket(ping(1).packet())
		synctest.Wait()
		a.SetPolicy(nil)
		wantDrops(t, a, "out-no-policy", 1)
		a.SetPolicy([]spd.Entry{{Local: netA, Remote: netB, Action: spd.Protect, Group: 1}})
		a.tun.InjectPacket(ping(2).packet())
		synctest.Wait()
		time.Sleep(stageTime + time.Second) // of the bubble
		install(t, a, b, gcm, 0)
		synctest.Wait()
		wantDrops(t, a, "out-stage-stale", 1)
		if len(b.tun.Out) != 0 {
			t.Error("a stale packet was sent")
		}
	})
}

func TestRefusedParameters(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("New without callbacks")
	}
	d, _ := newBroken(t, &brokenConn{})
	good, _ := paramsFor(gcm, 0)
	for name, f := range map[string]func(p *sad.Params){
		"socket":       func(p *sad.Params) { p.Path.Socket = 1 },
		"no remote":    func(p *sad.Params) { p.Path.Remote = netip.AddrPort{} },
		"tiny MTU":     func(p *sad.Params) { p.Path.MTU = 100 },
		"no key":       func(p *sad.Params) { p.KeyOut = esp.Keys{} },
		"reserved SPI": func(p *sad.Params) { p.InSPI = 1 },
	} {
		p := good
		f(&p)
		if d.Install(p) == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	for name, err := range map[string]error{
		"Activate": d.Activate(7), "Retire": d.Retire(7), "SetPath": d.SetPath(7, good.Path),
	} {
		if !errors.Is(err, sad.ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := d.Remove(7); !errors.Is(err, sad.ErrUnknown) {
		t.Errorf("Remove: %v", err)
	}
	if _, err := d.Counters(7); !errors.Is(err, sad.ErrUnknown) {
		t.Errorf("Counters: %v", err)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range numDrops {
		if s := r.String(); s == "" || seen[s] {
			t.Errorf("drop %d is called %q", r, s)
		} else {
			seen[s] = true
		}
	}
	for k := FirstInbound; k <= StreamEnded; k++ {
		if s := k.String(); seen[s] || s == "" || s[0] == 'E' {
			t.Errorf("event %d is called %q", k, s)
		} else {
			seen[s] = true
		}
	}
	if numDrops.String() != "Drop(30)" || EventKind(99).String() != "EventKind(99)" {
		t.Errorf("got %v, %v", numDrops, EventKind(99))
	}
}
