package datapath

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"sallyport/core/ippkt"
	"sallyport/core/sad"
	"sallyport/core/stream"
)

// connectStream joins two running ends by a TCP connection and returns its
// numbers.
func connectStream(t testing.TB, a, b *end) (numA, numB int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	taken, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	sa, err := stream.Open(context.Background(), dialed, false, "")
	if err != nil {
		t.Fatal(err)
	}
	sb, err := stream.Accept(taken, &tls.Config{}, time.Now().Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if numA, err = a.Attach(sa); err != nil {
		t.Fatal(err)
	}
	if numB, err = b.Attach(sb); err != nil {
		t.Fatal(err)
	}
	return numA, numB
}

// awaitDrops waits until a number of packets was dropped.
func awaitDrops(t testing.TB, e *end, name string, n uint64) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); e.Stats().Drops[name] < n && time.Now().Before(end); {
		runtime.Gosched()
	}
	wantDrops(t, e, name, n)
}

// TestStreamCarriesESP sends super-packets through a TCP connection, changes to
// UDP and back, and loses nothing.
func TestStreamCarriesESP(t *testing.T) {
	for name, s := range suites() {
		a, b := newTunnel(t, allOn, s)
		pa, pb := paramsFor(s, 0)
		numA, numB := connectStream(t, a, b)
		var want [][]byte
		send := func(seq uint32) {
			p := spec{proto: ippkt.ProtoTCP, sport: 1000, seq: seq, ack: 77, flags: ippkt.ACK, payload: random(60_000, byte(seq))}
			want = append(want, p.wantSegments(1300)...)
			a.tun.Inject(p.super(1300))
			equalPackets(t, b.receive(t, len(want)), want)
			want = nil
		}
		send(0)
		if e := b.event(t, FirstInbound); e.TCP {
			t.Errorf("%s: the first packet came by %+v", name, e)
		}
		if err := a.SetPath(pa.InSPI, sad.Path{Socket: numA, Remote: outerB}); err != nil {
			t.Fatal(err)
		}
		send(60_000)
		if e := b.event(t, PeerMoved); !e.TCP || e.Socket != numB {
			t.Errorf("%s: the peer moved to %+v", name, e)
		}
		if err := b.SetPath(pb.InSPI, sad.Path{Socket: numB, Remote: outerA}); err != nil {
			t.Fatal(err)
		}
		if err := a.SetPath(pa.InSPI, sad.Path{Remote: outerB}); err != nil {
			t.Fatal(err)
		}
		send(120_000)
		for _, e := range []*end{a, b} {
			if d := e.Stats().Drops; len(d) != 0 {
				t.Errorf("%s: dropped %v", name, d)
			}
		}
	}
}

// TestStreamEnds: packets for a connection that is over are dropped and counted,
// and its number is not given to another one.
func TestStreamEnds(t *testing.T) {
	a, b := newTunnel(t, allOn, gcm)
	pa, _ := paramsFor(gcm, 0)
	numA, _ := connectStream(t, a, b)
	if err := a.SetPath(pa.InSPI, sad.Path{Socket: numA, Remote: outerB}); err != nil {
		t.Fatal(err)
	}
	a.Detach(numA)
	if e := a.event(t, StreamEnded); e.Socket != numA {
		t.Errorf("%+v ended", e)
	}
	b.event(t, StreamEnded)
	a.tun.InjectPacket(spec{proto: ippkt.ProtoUDP, payload: random(100, 1)}.packet())
	awaitDrops(t, a, "out-no-path", 1)
	again, _ := connectStream(t, a, b)
	if again == numA {
		t.Error("two streams had the same number")
	}
	if err := a.SetPath(pa.InSPI, sad.Path{Socket: again + 1, Remote: outerB}); err == nil {
		t.Error("a path leads to a stream that there never was")
	}
	if err := a.SetPath(pa.InSPI, sad.Path{Socket: Nowhere, Remote: outerB}); err != nil {
		t.Error(err)
	}
}

// TestIdleStreamIsSmall: strangers who connect and send nonsense make no buffers
// of the size that ESP needs.
func TestIdleStreamIsSmall(t *testing.T) {
	a, b := newTunnel(t, allOn, gcm)
	_, numB := connectStream(t, a, b)
	from := a.streamOf(len(a.cfg.Sockets))
	if _, err := from.Send(random(200, 9), 0); err != nil {
		t.Fatal(err)
	}
	awaitDrops(t, b, "in-unknown-spi", 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if in := b.streams.Load().byNumber[numB]; in.super != nil || in.cache != nil {
		t.Error("a stranger has buffers")
	}
}

// TestStreamCongestion: what a connection does not take is dropped under a name of
// its own, while the TUN is read on.
func TestStreamCongestion(t *testing.T) {
	a, _ := newTunnel(t, allOn, gcm)
	pa, _ := paramsFor(gcm, 0)
	num, err := a.Attach(congested{done: make(chan struct{})})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.SetPath(pa.InSPI, sad.Path{Socket: num, Remote: outerB}); err != nil {
		t.Fatal(err)
	}
	p := spec{proto: ippkt.ProtoTCP, flags: ippkt.ACK, payload: random(13_000, 1)}
	a.tun.Inject(p.super(1300))
	awaitDrops(t, a, "out-tcp-congested", 10)
}

// congested is a stream that takes nothing.
type congested struct {
	done chan struct{}
}

func (c congested) Send(b []byte, segment int) (int, error) {
	return (len(b) + segment - 1) / segment, nil
}

func (c congested) Next() ([]byte, bool, error) {
	<-c.done
	return nil, false, net.ErrClosed
}

func (c congested) Local() netip.AddrPort  { return outerA }
func (c congested) Remote() netip.AddrPort { return outerB }

func (c congested) Close() error {
	select {
	case <-c.done:
	default:
		close(c.done)
	}
	return nil
}
