package spd

import (
	"math/bits"

	"sallyport/core/ippkt"
)

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
type box [dims]ippkt.Range

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

// A point4 is an IPv4 flow as coordinates, the addresses without the bits that
// all have in common. It is longer than it need be: an index is then in bounds
// without a check.
type point4 [8]uint64

func pointOf4(f *ippkt.Flow) point4 {
	p := point4{uint64(uint32(f.Src.Lo)), uint64(uint32(f.Dst.Lo)), uint64(f.Proto), uint64(f.SrcPort), uint64(f.DstPort)}
	if f.Opaque {
		p[dimSrcPort], p[dimDstPort] = opaquePort, opaquePort
	}
	return p
}

func (b *box) covers(o *box) bool {
	for d := range b {
		if !b[d].Covers(o[d]) {
			return false
		}
	}
	return true
}

func (s *selector) addrs() ippkt.Range { return ippkt.Range{From: s.from, To: s.to} }

func (s *selector) protos() ippkt.Range {
	if s.proto == 0 {
		return ippkt.Range{To: ippkt.Addr{Lo: 255}}
	}
	return ippkt.Range{From: ippkt.Addr{Lo: uint64(s.proto)}, To: ippkt.Addr{Lo: uint64(s.proto)}}
}

func (s *selector) ports() ippkt.Range {
	from, to := uint64(s.fromPort), uint64(s.toPort)
	switch {
	case from == 0 && to == 65535:
		to = opaquePort
	case from == 65535 && to == 0:
		from, to = opaquePort, opaquePort
	}
	return ippkt.Range{From: ippkt.Addr{Lo: from}, To: ippkt.Addr{Lo: to}}
}

// space returns the box of all flows of a family.
func space(v6 bool) box {
	addrs := ippkt.Range{From: ippkt.Addr{Lo: 0xffff << 32}, To: ippkt.Addr{Lo: 0xffff<<32 | 0xffffffff}}
	if v6 {
		addrs = ippkt.Range{To: ippkt.Addr{Hi: ^uint64(0), Lo: ^uint64(0)}}
	}
	ports := ippkt.Range{To: ippkt.Addr{Lo: opaquePort}}
	return box{addrs, addrs, {To: ippkt.Addr{Lo: 255}}, ports, ports}
}

// possible reports whether a box holds a flow at all.
func (b *box) possible() bool {
	for d := range b {
		if b[d].From.Compare(b[d].To) > 0 {
			return false
		}
	}
	return true
}

// portsOf returns a range of port coordinates as ports, of which there may be
// none, and whether it holds what cannot be seen.
func portsOf(i ippkt.Range) (from, to uint16, opaque bool) {
	if i.From.Lo == opaquePort {
		return 1, 0, true
	}
	return uint16(i.From.Lo), uint16(min(i.To.Lo, opaquePort-1)), i.To.Lo == opaquePort
}

// shr returns a>>n; n may be 128.
func shr(a ippkt.Addr, n uint8) ippkt.Addr {
	if n >= 64 {
		return ippkt.Addr{Lo: a.Hi >> (n - 64)}
	}
	return ippkt.Addr{Hi: a.Hi >> n, Lo: a.Lo>>n | a.Hi<<(64-n)}
}

// shl returns a<<n; n may be 128.
func shl(a ippkt.Addr, n uint8) ippkt.Addr {
	if n >= 64 {
		return ippkt.Addr{Hi: a.Lo << (n - 64)}
	}
	return ippkt.Addr{Hi: a.Hi<<n | a.Lo>>(64-n), Lo: a.Lo << n}
}

// sub returns a-b, where a is not less.
func sub(a, b ippkt.Addr) ippkt.Addr {
	lo, borrow := bits.Sub64(a.Lo, b.Lo, 0)
	return ippkt.Addr{Hi: a.Hi - b.Hi - borrow, Lo: lo}
}

func or(a, b ippkt.Addr) ippkt.Addr { return ippkt.Addr{Hi: a.Hi | b.Hi, Lo: a.Lo | b.Lo} }

// ones returns an address whose low n bits are set.
func ones(n uint8) ippkt.Addr {
	a := shl(ippkt.Addr{Lo: 1}, n)
	return a.Prev()
}

// bitLen returns how many low bits tell a and b apart.
func bitLen(a, b ippkt.Addr) int {
	if hi := a.Hi ^ b.Hi; hi != 0 {
		return 64 + bits.Len64(hi)
	}
	return bits.Len64(a.Lo ^ b.Lo)
}
