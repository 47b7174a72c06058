package spd

import "sallyport/core/ippkt"

// An index finds the first entry that matches a flow, at a cost that hardly
// grows with their number.
//
// A pair of selectors is a box in five dimensions. Boxes go into classes by the
// dimensions in which they are whole, so that those of one class resemble each
// other; each class is a tree. A node takes a few bits of one coordinate as the
// number of its child, as in a multibit trie, or where that would tear too many
// boxes apart, cuts space in two. A box that lies on both sides of a cut is in
// both parts, within a budget; where it is used up a leaf stays long: slow, yet
// right, and of bounded size.
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

// A node has 1<<bits children, for the coordinates whose bits above are prefix,
// and one more for all others. With cut it has two: for the coordinates below
// prefix, and for the rest.
type node struct {
	prefix      ippkt.Addr
	first       uint32 // of its links
	dim         uint8
	shift, bits uint8
	cut         bool
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
	src, dst interval
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
			if leaf := x.descend6(trees[i].root, &p); leaf != nothing {
				best = x.leaf6(int(leaf&^isLeaf), best, entries, f)
			}
		}
		return best
	}
	p := pointOf4(f)
	for i := range trees {
		if best.entry >= 0 && trees[i].first >= best.entry {
			break
		}
		if leaf := x.descend4(trees[i].root, &p); leaf != nothing {
			best = x.leaf4(int(leaf&^isLeaf), best, entries, f)
		}
	}
	return best
}

// descend4 returns the leaf of a tree in which p lies.
func (x *index) descend4(l link, p *point4) link {
	for l&isLeaf == 0 {
		n := &x.nodes[l]
		c := p[n.dim%uint8(len(p))]
		at := n.first
		switch {
		case n.cut:
			if c >= n.prefix.Lo {
				at++
			}
		case c>>((n.shift+n.bits)&63) == n.prefix.Lo:
			at += uint32(c>>(n.shift&63)) & (1<<(n.bits&31) - 1)
		default:
			at += 1 << (n.bits & 31)
		}
		l = x.links[at]
	}
	return l
}

// descend6 does the same for IPv6.
func (x *index) descend6(l link, p *point) link {
	for l&isLeaf == 0 {
		n := &x.nodes[l]
		c := p[n.dim]
		at := n.first
		switch {
		case n.cut:
			if c.Compare(n.prefix) >= 0 {
				at++
			}
		case shr(c, n.shift+n.bits) == n.prefix:
			at += uint32(shr(c, n.shift).Lo) & (1<<n.bits - 1)
		default:
			at += 1 << n.bits
		}
		l = x.links[at]
	}
	return l
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
		if r.dst.contains(f.Dst) && r.src.contains(f.Src) && r.matches(f) && (r.flags&refExact != 0 || entries[r.entry].Match(f)) {
			return found{r.entry, r.action}
		}
		if r.flags&refLast != 0 {
			return best
		}
	}
}
