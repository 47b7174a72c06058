package engine

import (
	"testing"

	"sallyport/core/datapath"
)

// TestStrangersAreBounded: neither many small datagrams nor few large ones make
// the queue hold more than its share, and there is room again for each that leaves.
func TestStrangersAreBounded(t *testing.T) {
	for name, c := range map[string]struct{ size, want int }{
		"small": {300, strangerQueue}, "large": {64 << 10, strangerBytes / (64 << 10)},
	} {
		s, n := newStrangers(), 0
		for s.add(datapath.Datagram{Data: make([]byte, c.size)}) {
			n++
		}
		if n != c.want {
			t.Errorf("%s: %d fit in, want %d", name, n, c.want)
		}
		s.took(<-s.queue)
		if one := (datapath.Datagram{Data: make([]byte, c.size)}); !s.add(one) || s.add(one) {
			t.Errorf("%s: not one fits in after one has left", name)
		}
		for range n {
			s.took(<-s.queue)
		}
		if s.bytes.Load() != 0 {
			t.Errorf("%s: %d bytes in an empty queue", name, s.bytes.Load())
		}
	}
}
