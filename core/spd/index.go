package spd

import "sallyport/core/ippkt"

// An index finds the first entry that matches a flow, at a cost that hardly
// grows with their number.
//
// A pair of selectors is a box in five dimensions. Boxes go into classes by the
// dimensions in which they are whole, so that those of one class resemble each
// other; each class is a tree. A node takes a few bits of one coordinate as the
// number of its child, as in a multibit trie, or where that would tear too many
// boxes apart, cuts space in two. Where its children all take the same bits of a
// second coordinate, as with pairs of networks, it takes both at once. A box that
// lies on both sides of a cut is in both parts, within a budget; where it is used
// up a leaf stays long: slow, yet right, and of bounded size.
type index struct {
	trees4, trees6 []tree // by their first entry
	refs4          []ref4 // of the leaves, those of a leaf by entry
	refs6          []ref6
	nodes          []node
	links          []link // of the nodes
}

// A tree is one class of boxes of one address family.
type tree struct {
	first int32 // the lowest entry in it
	root  link
}

// A link leads to a node or, with isLeaf, to the first ref of a leaf.
type link uint32

const (
	isLeaf  link = 1 << 31
	nothing link = 1<<32 - 1 // a leaf without refs
)

// A node has a grid of children: a row for each slot of one coordinate and one
// more for what is in none, and in the same way a column for each slot of another.
// Where one coordinate tells all, there are no slots of the other, and one column.
type node struct {
	rows, columns slots
	first         uint32 // of its links, row by row
}

// Slots are n neighbouring intervals of a coordinate, each 1<<shift wide, from
// base on.
type slots struct {
	base  ippkt.Addr
	n     uint16
	dim   uint8
	shift uint8
}

// A ref is the part of a box in a leaf that both families have.
type ref struct {
	srcPort, srcPortTo uint16
	dstPort, dstPortTo uint16
	proto, protoTo     uint8
	flags              uint8
	action             Action // of the entry, so that it need not be looked for elsewhere
	entry              int32
}

// A found is the entry that a lookup has found, and what it says.
type found struct {
	entry  int32
	action Action
}

// none is found where no entry matches.
var none = found{-1, Discard}

// The flags of a ref.
const (
	refLast      uint8 = 1 // the last one of its leaf
	refExact     uint8 = 2 // the box is all of the entry; else its hull, and the entry must match too
	refSrcOpaque uint8 = 4 // the box holds flows without a view of the ports
	refDstOpaque uint8 = 8
	refOpaque          = refSrcOpaque | refDstOpaque
)

// A ref4 is small, so that two share a cache line. The lengths are one less than
// the number of addresses.
type ref4 struct {
	src, srcLen, dst, dstLen uint32
	ref
}

type ref6 struct {
	src, dst ippkt.Range
	ref
}

// matches reports whether the box holds f as far as protocol and ports go.
func (r *ref) matches(f *ippkt.Flow) bool {
	if f.Proto < r.proto || f.Proto > r.protoTo {
		return false
	}
	if f.Opaque {
		return r.flags&refOpaque == refOpaque
	}
	return r.dstPort <= f.DstPort && f.DstPort <= r.dstPortTo && r.srcPort <= f.SrcPort && f.SrcPort <= r.srcPortTo
}

// lookup returns the first entry that matches.
func (x *index) lookup(entries []Pair, f *ippkt.Flow) found {
	trees := x.trees4
	if f.V6 {
		trees = x.trees6
	}
	best := none
	if f.V6 {
		p := pointOf(f)
		for i := range trees {
			if best.entry >= 0 && trees[i].first >= best.entry {
				break
			}
			if l := x.descend6(trees[i].root, &p); l != nothing {
				best = x.leaf6(int(l&^isLeaf), best, entries, f)
			}
		}
		return best
	}
	p := pointOf4(f)
	for i := range trees {
		if best.entry >= 0 && trees[i].first >= best.entry {
			break
		}
		if l := x.descend4(trees[i].root, &p); l != nothing {
			best = x.leaf4(int(l&^isLeaf), best, entries, f)
		}
	}
	return best
}

// descend4 returns the leaf of a tree in which p lies.
func (x *index) descend4(l link, p *point4) link {
	for l&isLeaf == 0 {
		n := &x.nodes[l]
		l = x.links[n.first+n.rows.slot4(p)*(uint32(n.columns.n)+1)+n.columns.slot4(p)]
	}
	return l
}

// descend6 does the same for IPv6.
func (x *index) descend6(l link, p *point) link {
	for l&isLeaf == 0 {
		n := &x.nodes[l]
		l = x.links[n.first+n.rows.slot6(p)*(uint32(n.columns.n)+1)+n.columns.slot6(p)]
	}
	return l
}

// slot4 returns the slot in which p lies, s.n if it is in none.
func (s *slots) slot4(p *point4) uint32 {
	// Below the base, the difference is more than all slots.
	return uint32(min((p[s.dim%uint8(len(p))]-s.base.Lo)>>(s.shift&63), uint64(s.n)))
}

// slot6 does the same for IPv6.
func (s *slots) slot6(p *point) uint32 {
	if c := p[s.dim]; c.Compare(s.base) >= 0 {
		if i := shr(sub(c, s.base), s.shift); i.Hi == 0 && i.Lo < uint64(s.n) {
			return uint32(i.Lo)
		}
	}
	return uint32(s.n)
}

// leaf4 returns the first entry of the leaf at ref i that matches f, if it comes
// before best, else best.
func (x *index) leaf4(i int, best found, entries []Pair, f *ippkt.Flow) found {
	src, dst := uint32(f.Src.Lo), uint32(f.Dst.Lo)
	for ; ; i++ {
		r := &x.refs4[i]
		if best.entry >= 0 && r.entry >= best.entry {
			return best
		}
		if dst-r.dst <= r.dstLen && src-r.src <= r.srcLen && r.matches(f) && (r.flags&refExact != 0 || entries[r.entry].Match(f)) {
			return found{r.entry, r.action}
		}
		if r.flags&refLast != 0 {
			return best
		}
	}
}

// leaf6 does the same for IPv6.
func (x *index) leaf6(i int, best found, entries []Pair, f *ippkt.Flow) found {
	for ; ; i++ {
		r := &x.refs6[i]
		if best.entry >= 0 && r.entry >= best.entry {
			return best
		}
		if r.dst.Contains(f.Dst) && r.src.Contains(f.Src) && r.matches(f) && (r.flags&refExact != 0 || entries[r.entry].Match(f)) {
			return found{r.entry, r.action}
		}
		if r.flags&refLast != 0 {
			return best
		}
	}
}
