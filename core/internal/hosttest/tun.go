// Package hosttest has in-memory devices and sockets with the contracts of
// core/host, for tests of what uses them.
package hosttest

import (
	"os"
	"sync"
	"sync/atomic"

	"sallyport/core/host"
)

// A TUN is an in-memory host.TUN. What a test injects is what Read returns;
// what is written arrives on Out.
type TUN struct {
	tcp, udp bool
	in       chan []byte
	// Out carries what was written, virtio-net header included. When nobody
	// receives and its buffer is full, Write waits.
	Out    chan []byte
	mtu    atomic.Int64
	once   sync.Once
	closed chan struct{}
}

// NewTUN returns a TUN with the given offloads.
func NewTUN(tcp, udp bool) *TUN {
	return &TUN{tcp: tcp, udp: udp, in: make(chan []byte, 4096), Out: make(chan []byte, 4096), closed: make(chan struct{})}
}

// Inject makes Read return b, which begins with a virtio-net header. It takes
// ownership of b.
func (t *TUN) Inject(b []byte) { t.in <- b }

// InjectPacket makes Read return a plain packet.
func (t *TUN) InjectPacket(pkt []byte) {
	t.Inject(append(make([]byte, host.VNetLen), pkt...))
}

// Name implements host.TUN.
func (t *TUN) Name() string { return "fake0" }

// Read implements host.TUN.
func (t *TUN) Read(b []byte) (int, error) {
	select {
	case pkt := <-t.in:
		return copy(b, pkt), nil
	case <-t.closed:
		return 0, os.ErrClosed
	}
}

// TryRead implements host.TryReader.
func (t *TUN) TryRead(b []byte) (int, error) {
	select {
	case pkt := <-t.in:
		return copy(b, pkt), nil
	default:
		return 0, nil
	}
}

// Write implements host.TUN.
func (t *TUN) Write(b []byte) (int, error) {
	select {
	case t.Out <- append([]byte(nil), b...):
		return len(b), nil
	case <-t.closed:
		return 0, os.ErrClosed
	}
}

// Offload implements host.TUN.
func (t *TUN) Offload() (tcp, udp bool) { return t.tcp, t.udp }

// SetMTU implements host.TUN.
func (t *TUN) SetMTU(mtu int) error { t.mtu.Store(int64(mtu)); return nil }

// MTU returns what SetMTU was last given.
func (t *TUN) MTU() int { return int(t.mtu.Load()) }

// Close implements host.TUN.
func (t *TUN) Close() error { t.once.Do(func() { close(t.closed) }); return nil }
