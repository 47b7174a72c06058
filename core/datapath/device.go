package datapath

import (
	"sync"
	"sync/atomic"

	"sallyport/core/host"
)

// A device is a TUN in use.
type device struct {
	host.TUN
	tcp, udp bool // offloads
	try      host.TryReader
	// wmu makes the TUN's one writer of many: the receive goroutine of each
	// socket, and the outbound goroutine with its ICMP answers.
	wmu     sync.Mutex
	closing atomic.Bool
	started bool          // a goroutine reads it; guarded by Datapath.mu
	done    chan struct{} // closed when that goroutine has ended
	after   *device       // whose goroutine ends first; may be nil
}

func newDevice(t host.TUN) *device {
	d := &device{TUN: t, done: make(chan struct{})}
	d.tcp, d.udp = t.Offload()
	d.try, _ = t.(host.TryReader)
	return d
}

func (d *device) close() {
	d.closing.Store(true)
	d.Close()
}

// write writes one packet with its virtio-net header.
func (d *device) write(b []byte) error {
	d.wmu.Lock()
	defer d.wmu.Unlock()
	_, err := d.Write(b)
	return err
}
