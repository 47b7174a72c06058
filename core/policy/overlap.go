package policy

import (
	"math/bits"
	"slices"

	"sallyport/core/ippkt"
)

// An overlapIndex finds the boxes of one family that meet another: sorted by
// where their remote addresses begin, in a heap-shaped tree of where they end.
type overlapIndex struct {
	boxes []box
	order []int        // indexes of boxes, by the first remote address
	last  []ippkt.Addr // of the tree: the last remote address below each node
	size  int          // leaves of the tree, a power of two
	work  *algebra     // counts
}

func newOverlapIndex(work *algebra, boxes []box, v6 bool) *overlapIndex {
	x := &overlapIndex{boxes: boxes, work: work}
	for i := range boxes {
		if boxes[i].v6 == v6 {
			x.order = append(x.order, i)
		}
	}
	slices.SortStableFunc(x.order, func(a, b int) int {
		return boxes[a].d[dimRemote].From.Compare(boxes[b].d[dimRemote].From)
	})
	if len(x.order) == 0 {
		return x
	}
	x.size = 1 << bits.Len(uint(len(x.order)-1))
	x.last = make([]ippkt.Addr, 2*x.size)
	for i, k := range x.order {
		x.last[x.size+i] = boxes[k].d[dimRemote].To
	}
	for i := x.size - 1; i > 0; i-- {
		x.last[i] = x.last[2*i]
		if x.last[2*i+1].Compare(x.last[i]) > 0 {
			x.last[i] = x.last[2*i+1]
		}
	}
	return x
}

// meeting appends to out the indexes, in ascending order, of the boxes below
// limit that meet b.
func (x *overlapIndex) meeting(b *box, limit int, out []int) []int {
	if len(x.order) == 0 {
		return out
	}
	first := len(out)
	end, _ := slices.BinarySearchFunc(x.order, b.d[dimRemote].To, func(k int, to ippkt.Addr) int {
		if x.boxes[k].d[dimRemote].From.Compare(to) <= 0 {
			return -1
		}
		return 1
	})
	out = x.walk(1, 0, x.size, end, b, limit, out)
	slices.Sort(out[first:])
	return out
}

func (x *overlapIndex) walk(node, lo, hi, end int, b *box, limit int, out []int) []int {
	if lo >= end || x.last[node].Compare(b.d[dimRemote].From) < 0 {
		return out
	}
	x.work.steps++
	if hi-lo == 1 {
		if k := x.order[lo]; k < limit {
			if _, ok := x.boxes[k].meet(b); ok {
				out = append(out, k)
			}
		}
		return out
	}
	mid := (lo + hi) / 2
	out = x.walk(2*node, lo, mid, end, b, limit, out)
	return x.walk(2*node+1, mid, hi, end, b, limit, out)
}

// An algebra works on lists of boxes with a bound on the work.
type algebra struct {
	steps int
}

// maxSteps bounds the work of one proof; a policy that needs more counts as
// not proved. That takes two or three seconds.
const maxSteps = 50_000_000

func (a *algebra) exhausted() bool { return a.steps > maxSteps }

// witness returns a flow of region that is in none of the boxes of cover.
func (a *algebra) witness(region box, cover []*box) (ippkt.Flow, bool) {
	for _, v := range region.views() {
		if f, ok := a.uncovered(v, cover); ok {
			return f, true
		}
	}
	return ippkt.Flow{}, false
}

func (a *algebra) uncovered(region box, cover []*box) (found ippkt.Flow, ok bool) {
	a.steps += 1 + len(cover)
	if a.exhausted() {
		return found, false
	}
	first := -1
	for i, c := range cover {
		if c.covers(&region) {
			return found, false
		}
		if first < 0 {
			if _, meets := c.meet(&region); meets {
				first = i
			}
		}
	}
	if first < 0 {
		return region.flow()
	}
	region.minus(cover[first], func(part box) bool {
		found, ok = a.uncovered(part, cover[first+1:])
		return !ok
	})
	return found, ok
}
