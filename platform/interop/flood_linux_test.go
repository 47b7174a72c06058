package interop_test

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/platform/internal/lab"
)

// strangerNet holds the addresses that a flood comes from.
var strangerNet = netip.MustParsePrefix("100.65.0.0/16")

// A strangers is a flood of IKE_SA_INIT requests, each from another address and
// port of IKE, with an SPI and a nonce of its own. Nobody hears the answers.
type strangers struct {
	sent       atomic.Uint64
	stop, done chan struct{}
}

// newStrangers floods the gateway from the machine, so many times a second.
func newStrangers(t *testing.T, h *lab.Host, rate int) *strangers {
	t.Helper()
	h.Run("ip route replace local " + strangerNet.String() + " dev lo")
	f := &strangers{stop: make(chan struct{}), done: make(chan struct{})}
	var fd int
	if err := h.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.end)
	request := ikeInit()
	const nonce = 32 // at the end of it
	rand.Read(request[len(request)-nonce:])
	to := &unix.SockaddrInet4{Port: 500, Addr: lab.GatewayV4.As4()}
	go func() {
		defer close(f.done)
		defer unix.Close(fd)
		begun := time.Now()
		for n := uint64(0); ; n++ {
			if due := time.Duration(n) * time.Second / time.Duration(rate); n%16 == 0 {
				if wait := due - time.Since(begun); wait > 0 {
					time.Sleep(wait)
				}
				select {
				case <-f.stop:
					return
				default:
				}
			}
			binary.BigEndian.PutUint64(request, n+1)
			binary.BigEndian.PutUint64(request[len(request)-8:], n)
			from := strangerNet.Addr().As4()
			binary.BigEndian.PutUint16(from[2:], uint16(n*40503)) // no two in a row are near
			oob := unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from})
			if err := unix.Sendmsg(fd, request, oob, to, 0); err == nil {
				f.sent.Add(1)
			}
		}
	}()
	return f
}

// end stops the flood. It may be called again.
func (f *strangers) end() {
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	<-f.done
}

// TestFloodOfStrangers connects clients to our gateway while requests from tens of
// thousands of addresses arrive at it, many times as many as it could answer with a
// key exchange: each client is in within three seconds, those that are connected
// stay so, and the gateway remembers nobody who has not come back with a cookie.
func TestFloodOfStrangers(t *testing.T) {
	const rate, clients, most = 10_000, 5, 3 * time.Second
	l := lab.New(t)
	dir, a := throngGateway(t, l, nil, "throng", "psk", "x25519", 256)
	gw := l.Gateway.Service("gateway")
	gw.Must("import", filepath.Join(dir, "swanctl.conf"))
	c := newThrong(t, l, a)
	c.connect(20, window)
	f := newStrangers(t, l.Wan, rate)
	time.Sleep(time.Second) // until the table of those who have begun is full
	before, used := resident(t, gw), processorTime(t, gw.Proc.Cmd.Process.Pid)
	begun, sent := time.Now(), f.sent.Load()
	for i := range clients {
		if took := c.connect(1, 1).duration(); took > most {
			t.Errorf("client %d is connected after %v", i, took)
		} else {
			t.Logf("client %d is connected after %v", i, took.Round(100*time.Microsecond))
		}
	}
	time.Sleep(time.Until(begun.Add(2 * time.Second)))
	pps := float64(f.sent.Load()-sent) / time.Since(begun).Seconds()
	used = processorTime(t, gw.Proc.Cmd.Process.Pid) - used
	t.Logf("%.0f requests a second; the gateway takes %v of %v", pps, used, time.Since(begun).Round(time.Millisecond))
	after := resident(t, gw)
	f.end()
	if after > before+16<<10 {
		t.Errorf("under the flood the gateway has grown from %d to %d KiB", before, after)
	}
	d := gw.Dynamic()
	if n := gw.Connection("throng").SAs; n != 20+clients {
		t.Errorf("%d SAs, want %d", n, 20+clients)
	}
	if len(d.IKESAs) != 20+clients || d.Drops["ike: without cookie"] == 0 {
		t.Errorf("%d IKE SAs, drops %v", len(d.IKESAs), d.Drops)
	}
	t.Logf("drops: %v", d.Drops)
}
