package esp

// The replay window is a ring of 64-bit blocks (the idea of RFC 6479): moving
// it forward clears whole blocks and shifts nothing. One block of the ring is
// always being entered, so the window is one block smaller than the ring, of
// which the number of blocks is a power of two.
const (
	ringBlocks = 128
	// WindowLen is how far behind the highest sequence number a packet may be.
	WindowLen = (ringBlocks - 1) * 64
)

// A window remembers which of the last WindowLen sequence numbers were seen.
// Its zero value has seen none; sequence number 0 is never sent (RFC 4303,
// section 3.3.3).
type window struct {
	top  uint64 // highest sequence number authenticated
	ring [ringBlocks]uint64
}

// infer returns the 64-bit sequence number of which a packet shows the low half
// (RFC 4303, appendix A2.2): the candidate that lies in the window or, if none
// does, the next one above it.
func (w *window) infer(low uint32) uint64 {
	const size = WindowLen
	top, high := uint32(w.top), w.top>>32
	if top >= size-1 { // the window lies within one half
		if low < top-(size-1) {
			high++
		}
	} else if low >= top-(size-1) && high > 0 { // it spans two (subtraction wraps)
		high--
	}
	return high<<32 | uint64(low)
}

// fresh reports whether seq may still be accepted.
func (w *window) fresh(seq uint64) bool {
	if seq > w.top {
		return true
	}
	if seq == 0 || w.top-seq >= WindowLen {
		return false
	}
	return w.ring[seq/64%ringBlocks]&(1<<(seq%64)) == 0
}

// mark notes that seq, which is fresh, was authenticated.
func (w *window) mark(seq uint64) {
	if seq == w.top+1 && seq%64 != 0 { // the next one, in the same block
		w.top = seq
	} else if seq > w.top {
		from, to := w.top/64, seq/64
		if to-from > ringBlocks {
			from = to - ringBlocks
		}
		for b := from + 1; b <= to; b++ {
			w.ring[b%ringBlocks] = 0
		}
		w.top = seq
	}
	w.ring[seq/64%ringBlocks] |= 1 << (seq % 64)
}
