package spd

import (
	"cmp"
	"math/bits"
	"slices"

	"sallyport/core/ippkt"
)

// Sizes of the index.
const (
	linear   = 8 // so few boxes are not worth a tree
	leafSize = 4
	samples  = 48 // how many boundaries a cut is chosen from
	maxBits  = 14 // of a coordinate that one node takes
)

// An item is a box of an entry while the index is built.
type item struct {
	box
	entry int32
	exact bool // the box is all of it; else its hull
}

// newIndex makes the index of entries, each with its action.
func newIndex(entries []Pair, actions []Action) *index {
	x := new(index)
	x.trees4, x.trees6 = x.family(entries, actions, false), x.family(entries, actions, true)
	return x
}

func (x *index) family(entries []Pair, actions []Action, v6 bool) []tree {
	var all []item
	for i := range entries {
		all = append(all, itemsOf(&entries[i], int32(i), v6)...)
	}
	whole := space(v6)
	var classes [1 << dims][]item
	for _, it := range all {
		class := 0
		for d := range it.box {
			if len(all) > linear && it.box[d] == whole[d] {
				class |= 1 << d
			}
		}
		classes[class] = append(classes[class], it)
	}
	var trees []tree
	for _, items := range classes {
		if len(items) == 0 {
			continue
		}
		b := builder{index: x, actions: actions, v6: v6, budget: 4*len(items) + 64}
		trees = append(trees, tree{first: items[0].entry, root: b.write(b.build(items, whole))})
	}
	slices.SortFunc(trees, func(a, b tree) int { return cmp.Compare(a.first, b.first) })
	return trees
}

// itemsOf returns the boxes of one entry for a family: one for each destination
// selector, with the hull of the sources, so that long lists do not multiply.
func itemsOf(e *Pair, entry int32, v6 bool) []item {
	var out []item
	for i := range e.dst {
		d := &e.dst[i]
		if d.v6 != v6 {
			continue
		}
		it, sources := item{entry: entry}, 0
		for j := range e.src {
			s := &e.src[j]
			protos, ok := d.protos().Meet(s.protos())
			if s.v6 != v6 || !ok {
				continue
			}
			b := box{s.addrs(), d.addrs(), protos, s.ports(), d.ports()}
			if sources++; sources == 1 {
				it.box = b
				continue
			}
			for k := range b {
				it.box[k] = it.box[k].Hull(b[k])
			}
		}
		it.exact = sources == 1
		if sources > 0 && it.possible() {
			out = append(out, it)
		}
	}
	return out
}

// A builder makes one tree.
type builder struct {
	*index
	actions []Action // of the entries
	v6      bool
	budget  int // how many boxes may still be in another part too
}

// A part of space is a node or a leaf. Parts of different slots may be the same.
type part struct {
	slots
	parts []*part // of a node: one for each slot, and that of all other coordinates
	link  link    // of a leaf, or of a node that is written
	done  bool    // link is valid
}

// build makes the tree of items within region.
func (b *builder) build(items []item, region box) *part {
	// What lies behind a box that covers the whole region decides nothing in it.
	for i := range items {
		if items[i].exact && items[i].covers(&region) {
			items = items[:i+1]
			break
		}
	}
	if len(items) <= leafSize {
		return b.leaf(items)
	}
	if s, ok := b.slice(items, &region); ok {
		return b.fan(items, region, s)
	}
	dim, at, extra := choose(items, &region)
	if dim < 0 || extra > b.budget {
		return b.leaf(items)
	}
	b.budget -= extra
	low, high := region, region
	low[dim].To, high[dim].From = at.Prev(), at
	// One slot from the cut on, as wide as can be.
	s := slots{base: at, n: 1, dim: uint8(dim), shift: 63}
	if b.v6 {
		s.shift = 128
	}
	return &part{slots: s, parts: []*part{
		b.build(within(items, dim, high[dim]), high),
		b.build(within(items, dim, low[dim]), low),
	}}
}

// write adds p to the index, with all that it leads to.
func (b *builder) write(p *part) link {
	if p.done {
		return p.link
	}
	n := node{rows: p.slots, columns: p.columns(), first: uint32(len(b.links))}
	width := int(n.columns.n) + 1
	p.link, p.done = link(len(b.nodes)), true
	b.links = append(b.links, make([]link, len(p.parts)*width)...)
	if !b.v6 { // the coordinates of a point4
		n.rows.base.Lo, n.columns.base.Lo = uint64(uint32(n.rows.base.Lo)), uint64(uint32(n.columns.base.Lo))
	}
	b.nodes = append(b.nodes, n)
	for i, row := range p.parts {
		for j := range width {
			cell := row
			if width > 1 && row.parts != nil {
				cell = row.parts[j]
			}
			b.links[int(n.first)+i*width+j] = b.write(cell)
		}
	}
	return p.link
}

// columns returns the slots that the parts of p have in common, if they are nodes
// for the most part, so that they and p make one node.
func (p *part) columns() (s slots) {
	nodes := 0
	for i, q := range p.parts {
		switch {
		case q.parts == nil:
			continue
		case nodes == 0:
			s = q.slots
		case q.slots != s:
			return slots{}
		}
		if i == 0 || q != p.parts[i-1] {
			nodes++
		}
	}
	if 2*nodes < len(p.parts) {
		return slots{}
	}
	return s
}

// leaf adds a leaf.
func (b *builder) leaf(items []item) *part {
	if len(items) == 0 {
		return &part{link: nothing, done: true}
	}
	l := isLeaf
	if b.v6 {
		l |= link(len(b.refs6))
	} else {
		l |= link(len(b.refs4))
	}
	for i := range items {
		it := &items[i]
		r := ref{proto: uint8(it.box[dimProto].From.Lo), protoTo: uint8(it.box[dimProto].To.Lo), action: b.actions[it.entry], entry: it.entry}
		var opaque bool
		if r.srcPort, r.srcPortTo, opaque = portsOf(it.box[dimSrcPort]); opaque {
			r.flags |= refSrcOpaque
		}
		if r.dstPort, r.dstPortTo, opaque = portsOf(it.box[dimDstPort]); opaque {
			r.flags |= refDstOpaque
		}
		if it.exact {
			r.flags |= refExact
		}
		if i == len(items)-1 {
			r.flags |= refLast
		}
		src, dst := it.box[dimSrc], it.box[dimDst]
		if b.v6 {
			b.refs6 = append(b.refs6, ref6{src, dst, r})
			continue
		}
		b.refs4 = append(b.refs4, ref4{uint32(src.From.Lo), uint32(src.To.Lo - src.From.Lo),
			uint32(dst.From.Lo), uint32(dst.To.Lo - dst.From.Lo), r})
	}
	return &part{link: l, done: true}
}

// A slice is a choice of bits of a coordinate, whose values are slots.
type slice struct {
	slots
	extra int     // how many boxes are in more than one part
	cost  float64 // how many boxes those of the same part as a box are
}

// slice finds the bits that leave the fewest boxes in each part.
func (b *builder) slice(items []item, region *box) (best slice, ok bool) {
	best.cost = 0.7 * float64(len(items))
	for d := range region {
		block, found := hullWithin(items, d, region[d])
		if !found {
			continue
		}
		high := bitLen(block.From, block.To)
		for n := min(maxBits, high, bits.Len(uint(4*len(items)))); n >= 0; n-- {
			s := slice{slots: slots{base: shl(shr(block.From, uint8(high)), uint8(high)), n: 1 << n, dim: uint8(d), shift: uint8(high - n)}}
			s.weigh(items, region[d])
			// As few slots as will do, for the same cost.
			if s.extra <= b.budget && (s.cost < best.cost || ok && s.dim == best.dim && s.cost == best.cost) {
				best, ok = s, true
			}
		}
	}
	return best, ok
}

// reach returns the coordinates of the slots from one to another.
func (s *slice) reach(from, to int) ippkt.Range {
	return ippkt.Range{
		From: or(s.base, shl(ippkt.Addr{Lo: uint64(from)}, s.shift)),
		To:   or(or(s.base, shl(ippkt.Addr{Lo: uint64(to)}, s.shift)), ones(s.shift)),
	}
}

// inside returns the coordinates that the slots of s cover, within region.
func (s *slice) inside(region ippkt.Range) ippkt.Range {
	i, _ := s.reach(0, int(s.n)-1).Meet(region)
	return i
}

func (s *slice) slot(a ippkt.Addr) int { return int(shr(a, s.shift).Lo) & (int(s.n) - 1) }

// span returns the slots of a range, of which a part at least is inside.
func (s *slice) span(i, inside ippkt.Range) (from, to int) {
	i, _ = i.Meet(inside)
	return s.slot(i.From), s.slot(i.To)
}

// weigh computes what a slice costs. Neighbouring slots with the same boxes are
// one part.
func (s *slice) weigh(items []item, region ippkt.Range) {
	inside := s.inside(region)
	begin, end := make([]int32, s.n+1), make([]int32, s.n+1)
	outside := 0
	for k := range items {
		i := items[k].box[s.dim]
		if inside.Meets(i) {
			from, to := s.span(i, inside)
			begin[from]++
			end[to+1]++
		}
		if c, ok := i.Meet(region); ok && !inside.Covers(c) {
			outside++
		}
	}
	sum, squares := outside, outside*outside
	here := 0
	for k := range s.n {
		if begin[k] != 0 || end[k] != 0 {
			here += int(begin[k] - end[k])
			sum += here
			squares += here * here
		}
	}
	s.extra = sum - len(items)
	if s.cost = float64(squares) / float64(max(sum, 1)); outside == len(items) {
		s.cost = float64(outside) // nothing was won
	}
}

// fan makes the node of a slice and its parts.
func (b *builder) fan(items []item, region box, s slice) *part {
	b.budget -= s.extra
	inside := s.inside(region[s.dim])
	edge := make([]bool, s.n+1) // whether other boxes begin here
	var others []item
	for k := range items {
		i := items[k].box[s.dim]
		if inside.Meets(i) {
			from, to := s.span(i, inside)
			edge[from], edge[to+1] = true, true
		}
		if c, ok := i.Meet(region[s.dim]); ok && !inside.Covers(c) {
			others = append(others, items[k])
		}
	}
	// Neighbouring slots without an edge between them are one part.
	number := make([]int32, s.n)
	last := int32(0)
	for slot := range number {
		if slot > 0 && edge[slot] {
			last++
		}
		number[slot] = last
	}
	parts := make([][]item, last+1)
	for k := range items {
		if i := items[k].box[s.dim]; inside.Meets(i) {
			from, to := s.span(i, inside)
			for n := number[from]; n <= number[to]; n++ {
				parts[n] = append(parts[n], items[k])
			}
		}
	}
	p := &part{slots: s.slots}
	for from := 0; from < len(number); {
		to := from
		for to+1 < len(number) && number[to+1] == number[from] {
			to++
		}
		narrow, ok := s.reach(from, to).Meet(inside)
		here := b.leaf(nil)
		if ok {
			r := region
			r[s.dim] = narrow
			here = b.build(parts[number[from]], r)
		}
		for ; from <= to; from++ {
			p.parts = append(p.parts, here)
		}
	}
	// Of the region outside of the slots no box is known to cover all, unless it
	// covers the whole region.
	p.parts = append(p.parts, b.build(others, region))
	return p
}

// hullWithin returns the hull of what the boxes that do not cover a region leave
// of it in one dimension.
func hullWithin(items []item, dim int, region ippkt.Range) (hull ippkt.Range, found bool) {
	for k := range items {
		i := items[k].box[dim]
		if i.Covers(region) {
			continue
		}
		i, ok := i.Meet(region)
		switch {
		case !ok:
		case !found:
			hull, found = i, true
		default:
			hull = hull.Hull(i)
		}
	}
	return hull, found
}

func within(items []item, dim int, i ippkt.Range) []item {
	out := make([]item, 0, len(items)/2+1)
	for k := range items {
		if i.Meets(items[k].box[dim]) {
			out = append(out, items[k])
		}
	}
	return out
}

// choose finds the cut that leaves the smaller halves. extra is how many boxes
// lie on both sides; dim is -1 when no cut separates anything.
func choose(items []item, region *box) (dim int, cut ippkt.Addr, extra int) {
	dim = -1
	most := len(items)
	stride := max(1, 2*len(items)/samples)
	var bounds []ippkt.Addr
	for d := range region {
		bounds = bounds[:0]
		seen := 0
		for k := range items {
			i := &items[k].box[d]
			if i.From.Compare(region[d].From) > 0 {
				if seen%stride == 0 {
					bounds = append(bounds, i.From)
				}
				seen++
			}
			if i.To.Compare(region[d].To) < 0 {
				if seen%stride == 0 {
					bounds = append(bounds, i.To.Next())
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
		for k := range items {
			if items[k].box[d].From.Compare(at) < 0 {
				low++
			}
			if items[k].box[d].To.Compare(at) >= 0 {
				high++
			}
		}
		if larger := max(low, high); larger < most || larger == most && dim >= 0 && low+high-len(items) < extra {
			dim, cut, most, extra = d, at, larger, low+high-len(items)
		}
	}
	return dim, cut, extra
}
