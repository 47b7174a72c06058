package sad

// spis is an immutable table of pairs by inbound SPI: open addressing, at most
// half full, so that what few slots a lookup looks at share a cache line. SPIs
// are ours and random; nobody else chooses where they fall.
type spis struct {
	slots []slot // a power of two
	shift uint8
	n     int
}

type slot struct {
	spi uint32 // 0: free
	sa  *SA
}

// minSlots is the size of the smallest table.
const minSlots = 16

// home returns the slot where the search for spi begins.
func (t *spis) home(spi uint32) uint32 { return spi * 0x9e3779b1 >> (t.shift & 31) }

// lookup returns the pair, or nil. t may be nil.
func (t *spis) lookup(spi uint32) *SA {
	if t == nil {
		return nil
	}
	mask := uint32(len(t.slots) - 1)
	for i := t.home(spi) & mask; ; i = (i + 1) & mask {
		switch s := &t.slots[i]; s.spi {
		case spi:
			return s.sa
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
	for _, s := range t.slots {
		if s.spi != 0 {
			all = append(all, s.sa)
		}
	}
	return all
}

// with returns a table that has sa too, without the pair with the SPI gone.
func (t *spis) with(sa *SA, gone uint32) *spis {
	n := 1
	if t != nil {
		n += t.n
	}
	size, shift := minSlots, uint8(32-4)
	for size < 2*n {
		size, shift = 2*size, shift-1
	}
	next := &spis{slots: make([]slot, size), shift: shift}
	if t != nil {
		for _, s := range t.slots {
			if s.spi != 0 && s.spi != gone {
				next.put(s)
			}
		}
	}
	if sa != nil {
		next.put(slot{sa.InSPI, sa})
	}
	return next
}

func (t *spis) put(s slot) {
	mask := uint32(len(t.slots) - 1)
	i := t.home(s.spi) & mask
	for t.slots[i].spi != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = s
	t.n++
}
