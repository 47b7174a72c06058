package sad

import "sync/atomic"

// spis is a table of pairs by inbound SPI: open addressing, at most half full, so
// that what few slots a lookup looks at share a cache line. SPIs are ours and
// random; nobody else chooses where they fall.
//
// Lookups take no lock. A change is one of a slot: a free one is taken, its SPI
// last, and that of a pair that is gone is not used again. When too few are free,
// the pairs move to a new table, so that one more costs the same among many.
type spis struct {
	slots []slot // a power of two
	shift uint8
	n     int // pairs; this and the next under the Table's lock
	used  int // slots that are not free
}

type slot struct {
	spi atomic.Uint32 // 0: free
	sa  atomic.Pointer[SA]
}

const (
	minSlots = 16 // of the smallest table
	goneSPI  = 1  // of a slot whose pair is gone; reserved, so nobody looks for it
)

// newSPIs returns an empty table with room for n pairs and some more.
func newSPIs(n int) *spis {
	size, shift := minSlots, uint8(32-4)
	for size < 3*n {
		size, shift = 2*size, shift-1
	}
	return &spis{slots: make([]slot, size), shift: shift}
}

// home returns the slot where the search for spi begins.
func (t *spis) home(spi uint32) uint32 { return spi * 0x9e3779b1 >> (t.shift & 31) }

// lookup returns the pair, or nil. t may be nil.
func (t *spis) lookup(spi uint32) *SA {
	if t == nil {
		return nil
	}
	mask := uint32(len(t.slots) - 1)
	for i := t.home(spi) & mask; ; i = (i + 1) & mask {
		switch s := &t.slots[i]; s.spi.Load() {
		case spi:
			return s.sa.Load()
		case 0:
			return nil
		}
	}
}

// all returns the pairs in no order.
func (t *spis) all() []*SA {
	if t == nil {
		return nil
	}
	all := make([]*SA, 0, t.n)
	for i := range t.slots {
		if sa := t.slots[i].sa.Load(); sa != nil {
			all = append(all, sa)
		}
	}
	return all
}

// with adds sa, which has not the SPI of another, and returns the table to use from
// now on: t, or a larger or tidier one. t may be nil.
func (t *spis) with(sa *SA) *spis {
	switch {
	case t == nil:
		t = newSPIs(1)
	case 2*(t.used+1) > len(t.slots):
		t = t.moved()
	}
	t.put(sa)
	return t
}

// without removes the pair with that SPI and returns the table to use from now on.
func (t *spis) without(spi uint32) *spis {
	mask := uint32(len(t.slots) - 1)
	for i := t.home(spi) & mask; t.slots[i].spi.Load() != 0; i = (i + 1) & mask {
		if s := &t.slots[i]; s.spi.Load() == spi {
			s.spi.Store(goneSPI)
			s.sa.Store(nil)
			t.n--
			break
		}
	}
	if len(t.slots) > minSlots && 8*t.n < len(t.slots) {
		return t.moved()
	}
	return t
}

// moved returns a table of the same pairs that has room.
func (t *spis) moved() *spis {
	next := newSPIs(t.n + 1)
	for i := range t.slots {
		if sa := t.slots[i].sa.Load(); sa != nil {
			next.put(sa)
		}
	}
	return next
}

func (t *spis) put(sa *SA) {
	mask := uint32(len(t.slots) - 1)
	i := t.home(sa.InSPI) & mask
	for t.slots[i].spi.Load() != 0 {
		i = (i + 1) & mask
	}
	t.slots[i].sa.Store(sa)
	t.slots[i].spi.Store(sa.InSPI)
	t.n++
	t.used++
}
