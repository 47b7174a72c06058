package ts

import (
	"math/bits"
	"net/netip"
	"slices"
)

// Prefixes returns the fewest prefixes that hold exactly the addresses of l,
// in order, IPv4 first. Protocols and ports do not count.
func (l List) Prefixes() []netip.Prefix {
	var prefixes []netip.Prefix
	for _, s := range l.ranges() {
		for from := s.From; ; {
			p := largestPrefix(from, s.To)
			prefixes = append(prefixes, p)
			last := lastOf(p)
			if last == s.To {
				break
			}
			from = last.Next()
		}
	}
	return prefixes
}

// ranges returns the address ranges of l, sorted, and merged where they
// overlap or touch.
func (l List) ranges() []Selector {
	sorted := slices.Clone(l)
	slices.SortFunc(sorted, Selector.Compare)
	var merged []Selector
	for _, s := range sorted {
		if n := len(merged) - 1; n >= 0 && s.From.BitLen() == merged[n].From.BitLen() {
			last := &merged[n]
			// Next is invalid, thus before every address, after the last address of all.
			if next := last.To.Next(); !next.IsValid() || s.From.Compare(next) <= 0 {
				if s.To.Compare(last.To) > 0 {
					last.To = s.To
				}
				continue
			}
		}
		merged = append(merged, s)
	}
	return merged
}

// largestPrefix returns the largest prefix that starts with from and does not
// go beyond to.
func largestPrefix(from, to netip.Addr) netip.Prefix {
	size := from.BitLen()
	for length := size - trailingZeros(from); length < size; length++ {
		if p := netip.PrefixFrom(from, length); lastOf(p).Compare(to) <= 0 {
			return p
		}
	}
	return netip.PrefixFrom(from, size)
}

// trailingZeros counts the zero bits at the end of the address.
func trailingZeros(a netip.Addr) int {
	b := a.AsSlice()
	zeros := 0
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 0 {
			return zeros + bits.TrailingZeros8(b[i])
		}
		zeros += 8
	}
	return zeros
}

// lastOf returns the last address of a valid prefix without host bits.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		if host := 8*(i+1) - p.Bits(); host > 0 {
			b[i] |= byte(1<<min(host, 8) - 1)
		}
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}
