package engine

import (
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/core/host"
	"sallyport/core/internal/hosttest"
	"sallyport/core/internal/simnet"
)

// A deep socket is on a path that swallows large packets, of which the system
// believes something else.
type deep struct {
	host.UDPConn
	*path
}

type path struct {
	link     int
	mtu      atomic.Int32 // what passes
	believed atomic.Int32 // what the system refuses beyond; 0: nothing
	cut      atomic.Int32 // datagrams that went out in fragments
}

const outer4 = 20 + 8

func (d deep) Send(b []byte, segment int, remote netip.AddrPort, local netip.Addr, tos uint8) error {
	size := len(b)
	if segment > 0 {
		size = min(size, segment)
	}
	if most := int(d.believed.Load()); most != 0 && size+outer4 > most {
		return &host.TooBigError{MTU: most}
	}
	return d.SendWhole(b, segment, remote, local, tos)
}

func (d deep) SendWhole(b []byte, segment int, remote netip.AddrPort, local netip.Addr, tos uint8) error {
	if segment <= 0 {
		segment = len(b)
	}
	for ; len(b) > 0; b = b[min(segment, len(b)):] {
		one := b[:min(segment, len(b))]
		if len(one)+outer4 > int(d.mtu.Load()) {
			continue // lost
		}
		if err := d.UDPConn.Send(one, 0, remote, local, tos); err != nil {
			return err
		}
	}
	return nil
}

func (d deep) SendFragmented(b []byte, remote netip.AddrPort, local netip.Addr) error {
	d.cut.Add(1)
	return d.UDPConn.Send(b, 0, remote, local, 0)
}

func (d deep) LinkMTU(netip.Addr) int { return d.link }

func newDeepWorld(t *testing.T, link, mtu int) (*world, *path) {
	t.Helper()
	p := &path{link: link}
	p.mtu.Store(int32(mtu))
	return newWorld(t, clientProfile, gatewayProfile, func(m *hosttest.Machine, h *simnet.Host) {
		m.OpenUDP = func(v6 bool, port uint16) (host.UDPConn, error) {
			c, err := h.OpenUDP(v6, port)
			if err != nil {
				return nil, err
			}
			return deep{c, p}, nil
		}
	}), p
}

// reaches waits until the path's MTU is known to be so.
func (w *world) reaches(t *testing.T, want int, limit time.Duration) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		m := connection(t, w.client).PathMTU
		if m != nil && m.Known == api.MTUProved && m.Bytes <= want && m.Bytes > want-16 {
			return
		}
		if time.Since(begun) > limit {
			t.Fatalf("the path's MTU is %+v after %v, want %d", m, limit, want)
		}
	}
}

// large sends a packet of size bytes through the tunnel and reports whether it
// arrived, or its parts did.
func (w *world) large(t *testing.T, size int) bool {
	t.Helper()
	w.cm.TUN().InjectPacket(udp4("10.20.0.1", "10.10.0.10", strings.Repeat("x", size-28)))
	select {
	case <-w.gm.TUN().Out:
		for {
			select {
			case <-w.gm.TUN().Out:
			case <-time.After(time.Second):
				return true
			}
		}
	case <-time.After(time.Second):
		return false
	}
}

// TestDepth finds out how large packets may be on a path that swallows larger ones,
// lets the device follow, and notices when the path shrinks and grows.
func TestDepth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p := newDeepWorld(t, 1500, 1400)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		w.reaches(t, 1400, 10*time.Second)
		if !w.large(t, 1390) {
			t.Error("a packet of 1390 bytes is lost")
		}
		if got := w.cm.TUN().MTU(); got >= tunMTU || got < 1300 {
			t.Errorf("the device has an MTU of %d", got)
		}
		p.mtu.Store(1300)
		for range 30 { // packets are sent, and none come back
			w.large(t, 1000)
			time.Sleep(time.Second)
		}
		w.reaches(t, 1300, 10*time.Second)
		p.mtu.Store(1500)
		for range 11 * 6 {
			w.large(t, 1000)
			time.Sleep(9 * time.Second)
		}
		w.reaches(t, 1500, 10*time.Second)
		if got := w.cm.TUN().MTU(); got != tunMTU {
			t.Errorf("the device has an MTU of %d", got)
		}
	})
}

// TestDepthOfWideLinks lets the device grow with a path that is proved.
func TestDepthOfWideLinks(t *testing.T) {
	for _, c := range []struct{ link, mtu, least, most int }{{9000, 9000, 8800, 8972}, {9000, 1500, tunMTU, tunMTU}} {
		t.Run(fmt.Sprint(c.mtu), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, _ := newDeepWorld(t, c.link, c.mtu)
				defer w.stop()
				if err := connect(t, w.client, time.Minute); err != nil {
					t.Fatal(err)
				}
				w.reaches(t, c.mtu, 20*time.Second)
				time.Sleep(10 * time.Second)
				if got := w.cm.TUN().MTU(); got < c.least || got > c.most {
					t.Errorf("the device has an MTU of %d", got)
				}
			})
		})
	}
}

// TestForgedICMPIsFoundOut: the system believes a forged message for minutes, and
// refuses what passes. Packets leave whole all the same.
func TestForgedICMPIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p := newDeepWorld(t, 1500, 1500)
		defer w.stop()
		if err := connect(t, w.client, time.Minute); err != nil {
			t.Fatal(err)
		}
		w.reaches(t, 1500, 10*time.Second)
		p.believed.Store(68)
		if !w.large(t, 1400) {
			t.Error("the packet that finds out is lost")
		}
		w.reaches(t, 1500, 10*time.Second)
		was := p.cut.Load()
		for range 5 {
			if !w.large(t, 1400) {
				t.Error("a packet is lost")
			}
		}
		if got := p.cut.Load(); got != was {
			t.Errorf("%d datagrams are still cut", got-was)
		}
		// When the path shrinks now, the system's word is followed until it is
		// looked into again: less than might be, and nothing is lost.
		p.mtu.Store(1300)
		for range 40 {
			w.large(t, 1000)
			time.Sleep(time.Second)
		}
		if m := connection(t, w.client).PathMTU; m.Bytes > 1300 || m.Known != api.MTUProved {
			t.Errorf("the path's MTU is %+v", m)
		}
		if !w.large(t, 1400) {
			t.Error("a packet is lost on the path that has shrunk")
		}
	})
}
