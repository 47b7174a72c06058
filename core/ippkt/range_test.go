package ippkt

import "testing"

// TestRange compares ranges around the middle of the numbers with the sets they are.
func TestRange(t *testing.T) {
	const n = 6
	at := func(i int) Addr { // the middle of them is where the low half ends
		a := Addr{Hi: 7, Lo: ^uint64(0) - n/2}
		for range i {
			a = a.Next()
		}
		return a
	}
	in := func(r Range) (set uint) {
		for i := range n {
			if r.Contains(at(i)) {
				set |= 1 << i
			}
		}
		return set
	}
	var all []Range
	for from := range n {
		for to := from; to < n; to++ {
			all = append(all, Range{at(from), at(to)})
		}
	}
	for _, a := range all {
		for _, b := range all {
			x, y := in(a), in(b)
			if a.Covers(b) != (x&y == y) || a.Meets(b) != (x&y != 0) {
				t.Errorf("%06b covers %06b: %v, meets: %v", x, y, a.Covers(b), a.Meets(b))
			}
			m, ok := a.Meet(b)
			if ok != (x&y != 0) || in(m) != x&y {
				t.Errorf("%06b and %06b have %06b in common, %v", x, y, in(m), ok)
			}
			h := a.Hull(b)
			if !h.Covers(a) || !h.Covers(b) || h.From != a.From && h.From != b.From || h.To != a.To && h.To != b.To {
				t.Errorf("the hull of %06b and %06b is %06b", x, y, in(h))
			}
		}
	}
}
