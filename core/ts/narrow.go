package ts

import (
	"cmp"
	"net/netip"
	"slices"
)

// Intersect returns the selector of the packets that both s and o match, and
// false when there are none.
func (s Selector) Intersect(o Selector) (Selector, bool) {
	r := s
	if s.From.BitLen() != o.From.BitLen() {
		return Selector{}, false
	}
	if o.From.Compare(r.From) > 0 {
		r.From = o.From
	}
	if o.To.Compare(r.To) < 0 {
		r.To = o.To
	}
	if r.From.Compare(r.To) > 0 {
		return Selector{}, false
	}
	switch {
	case r.Protocol == 0:
		r.Protocol = o.Protocol
	case o.Protocol != 0 && o.Protocol != r.Protocol:
		return Selector{}, false
	}
	sFrom, sTo := s.ports()
	oFrom, oTo := o.ports()
	from, to := max(sFrom, oFrom), min(sTo, oTo)
	switch {
	case from > to:
		return Selector{}, false
	case from == opaquePort:
		r.FromPort, r.ToPort = 65535, 0
	default:
		r.FromPort, r.ToPort = uint16(from), uint16(min(to, 65535))
	}
	return r, true
}

// covers reports whether s matches everything that o matches.
func (s Selector) covers(o Selector) bool {
	r, ok := s.Intersect(o)
	return ok && r == o
}

// Narrow returns what l and offer have in common, in the order of the offer,
// whose first selector a peer may have made from the packet that it wants to
// send (RFC 7296, section 2.9). It is what a responder with the policy l
// answers; empty means TS_UNACCEPTABLE. The result has at most MaxSelectors,
// a subset when more would be needed.
func (l List) Narrow(offer List) List {
	var narrowed List
	for _, o := range offer {
		for _, s := range l {
			r, ok := s.Intersect(o)
			if !ok || slices.ContainsFunc(narrowed, func(n Selector) bool { return n.covers(r) }) {
				continue
			}
			if narrowed = append(narrowed, r); len(narrowed) == MaxSelectors {
				return narrowed
			}
		}
	}
	return narrowed
}

// Covers reports whether l matches everything that o matches, if need be by
// several selectors together.
func (l List) Covers(o List) bool {
	for _, s := range o {
		if !l.coversOne(s) {
			return false
		}
	}
	return true
}

// coversOne looks for a packet of s that l does not match. Lower the address of
// such a packet for as long as no selector matches it: it ends at the first
// address of s or just after the last of a selector of l. So it suffices to
// compare ports at these addresses.
func (l List) coversOne(s Selector) bool {
	var near List // the parts of s that l matches
	for _, c := range l {
		r, ok := c.Intersect(s)
		if !ok || r.Protocol != s.Protocol {
			continue // every protocol by its number is not any: number 0 is left
		}
		if r == s {
			return true
		}
		near = append(near, r)
	}
	if !near.coversAt(s, s.From) {
		return false
	}
	for _, c := range near {
		if c.To.Compare(s.To) < 0 && !near.coversAt(s, c.To.Next()) {
			return false
		}
	}
	return true
}

type portRange struct{ from, to uint32 }

// coversAt reports whether l, whose selectors are parts of s, covers s at one address.
func (l List) coversAt(s Selector, addr netip.Addr) bool {
	var ranges []portRange
	for _, c := range l {
		if c.From.Compare(addr) <= 0 && addr.Compare(c.To) <= 0 {
			from, to := c.ports()
			ranges = append(ranges, portRange{from, to})
		}
	}
	slices.SortFunc(ranges, func(a, b portRange) int { return cmp.Compare(a.from, b.from) })
	from, to := s.ports()
	for _, r := range ranges {
		if r.from > from {
			return false
		}
		if r.to >= to {
			return true
		}
		from = max(from, r.to+1)
	}
	return false
}
