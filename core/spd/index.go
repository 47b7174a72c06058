package spd

import (
	"cmp"
	"slices"

	"sallyport/core/ippkt"
)

// An index finds the first entry that matches a flow, at a cost that hardly
// grows with their number.
//
// A pair of selectors is a box in five dimensions. Boxes go into classes by the
// dimensions in which they are whole, so that those of one class resemble each
// other; each class is a tree that cuts space until few boxes are left. A box
// that lies on both sides of a cut is in both halves, within a budget; where it
// is used up a leaf stays long: slow, yet right, and of bounded size.
type index struct {
	trees4, trees6 []tree // by their first entry
	refs           []ref  // of the leaves, those of a leaf by entry
	nodes          []node
}

// A tree is one class of boxes of one address family.
type tree struct {
	first int32 // the lowest entry in it
	root  int32
}

// A node cuts space in two, or is a leaf.
type node struct {
	cut         ippkt.Addr // the first coordinate of the right half
	dim         int8       // -1: a leaf; left and right bound its refs
	left, right int32
}

// A ref is a box in a leaf.
type ref struct {
	box
	entry int32
	exact bool // the box is all of it; else its hull, and the entry must match too
}

// The dimensions.
const (
	dimSrc = iota
	dimDst
	dimProto
	dimSrcPort
	dimDstPort
	dims
)

// A box is a set of flows of one family: an interval in each dimension.
type box [dims]interval

type interval struct{ from, to ippkt.Addr }

// A point is a flow as coordinates.
type point [dims]ippkt.Addr

// opaquePort is the coordinate of ports that cannot be seen.
const opaquePort = 65536

func pointOf(f *ippkt.Flow) point {
	p := point{f.Src, f.Dst, {Lo: uint64(f.Proto)}, {Lo: uint64(f.SrcPort)}, {Lo: uint64(f.DstPort)}}
	if f.Opaque {
		p[dimSrcPort].Lo, p[dimDstPort].Lo = opaquePort, opaquePort
	}
	return p
}

func (i interval) contains(a ippkt.Addr) bool { return i.from.Compare(a) <= 0 && a.Compare(i.to) <= 0 }

func (i interval) covers(o interval) bool {
	return i.from.Compare(o.from) <= 0 && o.to.Compare(i.to) <= 0
}

func (b *box) contains(p *point) bool {
	for d := range b {
		if !b[d].contains(p[d]) {
			return false
		}
	}
	return true
}

func (b *box) covers(o *box) bool {
	for d := range b {
		if !b[d].covers(o[d]) {
			return false
		}
	}
	return true
}

func (s *selector) addrs() interval { return interval{s.from, s.to} }

func (s *selector) protos() interval {
	if s.proto == 0 {
		return interval{to: ippkt.Addr{Lo: 255}}
	}
	return interval{ippkt.Addr{Lo: uint64(s.proto)}, ippkt.Addr{Lo: uint64(s.proto)}}
}

func (s *selector) ports() interval {
	from, to := uint64(s.fromPort), uint64(s.toPort)
	switch {
	case from == 0 && to == 65535:
		to = opaquePort
	case from == 65535 && to == 0:
		from, to = opaquePort, opaquePort
	}
	return interval{ippkt.Addr{Lo: from}, ippkt.Addr{Lo: to}}
}

// hull returns the smallest interval around both.
func (i interval) hull(o interval) interval {
	if o.from.Compare(i.from) < 0 {
		i.from = o.from
	}
	if o.to.Compare(i.to) > 0 {
		i.to = o.to
	}
	return i
}

func (i interval) meet(o interval) (interval, bool) {
	if o.from.Compare(i.from) > 0 {
		i.from = o.from
	}
	if o.to.Compare(i.to) < 0 {
		i.to = o.to
	}
	return i, i.from.Compare(i.to) <= 0
}

// space returns the box of all flows of a family.
func space(v6 bool) box {
	addrs := interval{ippkt.Addr{Lo: 0xffff << 32}, ippkt.Addr{Lo: 0xffff<<32 | 0xffffffff}}
	if v6 {
		addrs = interval{ippkt.Addr{}, ippkt.Addr{Hi: ^uint64(0), Lo: ^uint64(0)}}
	}
	ports := interval{to: ippkt.Addr{Lo: opaquePort}}
	return box{addrs, addrs, {to: ippkt.Addr{Lo: 255}}, ports, ports}
}

// refsOf returns the boxes of one entry for a family: one for each destination
// selector, with the hull of the sources, so that long lists do not multiply.
func refsOf(e *compiled, entry int32, v6 bool) []ref {
	var out []ref
	for i := range e.dst {
		d := &e.dst[i]
		if d.v6 != v6 {
			continue
		}
		r, sources := ref{entry: entry}, 0
		for j := range e.src {
			s := &e.src[j]
			protos, ok := d.protos().meet(s.protos())
			if s.v6 != v6 || !ok {
				continue
			}
			b := box{s.addrs(), d.addrs(), protos, s.ports(), d.ports()}
			if sources++; sources == 1 {
				r.box = b
				continue
			}
			for k := range b {
				r.box[k] = r.box[k].hull(b[k])
			}
		}
		r.exact = sources == 1
		if sources > 0 && r.possible() {
			out = append(out, r)
		}
	}
	return out
}

// possible reports whether a box holds a flow at all.
func (b *box) possible() bool {
	for d := range b {
		if b[d].from.Compare(b[d].to) > 0 {
			return false
		}
	}
	return true
}

// Sizes of the index.
const (
	linear   = 16 // so few boxes are not worth a tree
	leafSize = 6
	samples  = 48 // how many boundaries a cut is chosen from
)

func newIndex(entries []compiled) *index {
	x := new(index)
	x.trees4, x.trees6 = x.family(entries, false), x.family(entries, true)
	return x
}

func (x *index) family(entries []compiled, v6 bool) []tree {
	var all []ref
	for i := range entries {
		all = append(all, refsOf(&entries[i], int32(i), v6)...)
	}
	whole := space(v6)
	var classes [1 << dims][]ref
	for _, r := range all {
		class := 0
		for d := range r.box {
			if len(all) > linear && r.box[d] == whole[d] {
				class |= 1 << d
			}
		}
		classes[class] = append(classes[class], r)
	}
	var trees []tree
	for _, refs := range classes {
		if len(refs) == 0 {
			continue
		}
		b := builder{index: x, budget: 4*len(refs) + 64}
		trees = append(trees, tree{first: refs[0].entry, root: b.build(refs, whole)})
	}
	slices.SortFunc(trees, func(a, b tree) int { return cmp.Compare(a.first, b.first) })
	return trees
}

// lookup returns the first entry that matches, or -1.
func (x *index) lookup(entries []compiled, f *ippkt.Flow) int {
	trees := x.trees4
	if f.V6 {
		trees = x.trees6
	}
	p, best := pointOf(f), int32(-1)
	for i := range trees {
		if best >= 0 && trees[i].first >= best {
			break
		}
		n := &x.nodes[trees[i].root]
		for n.dim >= 0 {
			if p[n.dim].Compare(n.cut) < 0 {
				n = &x.nodes[n.left]
			} else {
				n = &x.nodes[n.right]
			}
		}
		leaf := x.refs[n.left:n.right]
		for j := range leaf {
			r := &leaf[j]
			if best >= 0 && r.entry >= best {
				break
			}
			if r.contains(&p) && (r.exact || entries[r.entry].Match(f)) {
				best = r.entry
				break
			}
		}
	}
	return int(best)
}

// A builder makes one tree.
type builder struct {
	*index
	budget int // how many boxes may still be in two halves
}

// build makes the tree of refs within region and returns its root.
func (b *builder) build(refs []ref, region box) int32 {
	// What lies behind a box that covers the whole region decides nothing in it.
	for i := range refs {
		if refs[i].exact && refs[i].covers(&region) {
			refs = refs[:i+1]
			break
		}
	}
	n := int32(len(b.nodes))
	b.nodes = append(b.nodes, node{dim: -1})
	if len(refs) > leafSize {
		if dim, cut, extra := choose(refs, &region); dim >= 0 && extra <= b.budget {
			b.budget -= extra
			low, high := region, region
			low[dim].to, high[dim].from = cut.Prev(), cut
			left := b.build(within(refs, dim, low[dim]), low)
			right := b.build(within(refs, dim, high[dim]), high)
			b.nodes[n] = node{cut: cut, dim: int8(dim), left: left, right: right}
			return n
		}
	}
	b.nodes[n].left = int32(len(b.refs))
	b.refs = append(b.refs, refs...)
	b.nodes[n].right = int32(len(b.refs))
	return n
}

func within(refs []ref, dim int, i interval) []ref {
	out := make([]ref, 0, len(refs)/2+1)
	for k := range refs {
		if _, ok := refs[k].box[dim].meet(i); ok {
			out = append(out, refs[k])
		}
	}
	return out
}

// choose finds the cut that leaves the smaller halves. extra is how many boxes
// lie on both sides; dim is -1 when no cut separates anything.
func choose(refs []ref, region *box) (dim int, cut ippkt.Addr, extra int) {
	dim = -1
	most := len(refs)
	stride := max(1, 2*len(refs)/samples)
	var bounds []ippkt.Addr
	for d := range region {
		bounds = bounds[:0]
		seen := 0
		for k := range refs {
			i := &refs[k].box[d]
			if i.from.Compare(region[d].from) > 0 {
				if seen%stride == 0 {
					bounds = append(bounds, i.from)
				}
				seen++
			}
			if i.to.Compare(region[d].to) < 0 {
				if seen%stride == 0 {
					bounds = append(bounds, i.to.Next())
				}
				seen++
			}
		}
		if len(bounds) == 0 {
			continue
		}
		slices.SortFunc(bounds, ippkt.Addr.Compare)
		at := bounds[len(bounds)/2]
		low, high := 0, 0
		for k := range refs {
			if refs[k].box[d].from.Compare(at) < 0 {
				low++
			}
			if refs[k].box[d].to.Compare(at) >= 0 {
				high++
			}
		}
		if larger := max(low, high); larger < most || larger == most && dim >= 0 && low+high-len(refs) < extra {
			dim, cut, most, extra = d, at, larger, low+high-len(refs)
		}
	}
	return dim, cut, extra
}
