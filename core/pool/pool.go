// Package pool hands out inner addresses to peers, as a gateway does
// (RFC 7296, section 2.19).
package pool

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// ErrExhausted means that every address of a pool is leased.
var ErrExhausted = errors.New("no free address in the pool")

// maxRemembered bounds how many past owners a pool remembers, so that a peer
// that comes back finds its old address.
const maxRemembered = 4096

// A Pool leases the addresses of one range of one family. It is not safe for
// concurrent use.
type Pool struct {
	first, last netip.Addr
	next        netip.Addr
	leased      map[netip.Addr]lease
	past        map[string]netip.Addr // owner → its last address
}

// A lease is an address that is out, once or, while its owner moves from one SA
// to the next, more often.
type lease struct {
	owner string
	times int
}

// New returns a pool of the addresses that s names: a prefix, whose network
// and (IPv4) broadcast addresses are left out, or a range "from-to".
func New(s string) (*Pool, error) {
	first, last, err := ParseRange(s)
	if err != nil {
		return nil, err
	}
	return &Pool{
		first: first, last: last, next: first,
		leased: make(map[netip.Addr]lease),
		past:   make(map[string]netip.Addr),
	}, nil
}

// ParseRange returns the first and the last address that s offers.
func ParseRange(s string) (first, last netip.Addr, err error) {
	if from, to, ok := strings.Cut(s, "-"); ok {
		if first, err = netip.ParseAddr(strings.TrimSpace(from)); err != nil {
			return first, last, fmt.Errorf("pool %q: %w", s, err)
		}
		if last, err = netip.ParseAddr(strings.TrimSpace(to)); err != nil {
			return first, last, fmt.Errorf("pool %q: %w", s, err)
		}
		if first.BitLen() != last.BitLen() || last.Less(first) || first.Zone() != "" || last.Zone() != "" {
			return first, last, fmt.Errorf("pool %q: not a range of addresses", s)
		}
		return first, last, nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return first, last, fmt.Errorf("pool %q: want a prefix like 10.20.0.0/24 or a range like 10.20.0.10-10.20.0.99", s)
	}
	p = p.Masked()
	first, last = p.Addr(), lastAddr(p)
	if p.Bits() < p.Addr().BitLen()-1 {
		first = first.Next()
		if first.Is4() {
			last = last.Prev()
		}
	}
	return first, last, nil
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Is6 reports whether the pool holds IPv6 addresses.
func (p *Pool) Is6() bool { return p.first.Is6() }

// Prefixes returns the networks that together hold exactly the pool's range.
func (p *Pool) Prefixes() []netip.Prefix {
	var out []netip.Prefix
	for a := p.first; ; {
		bits := a.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(a, bits-1)
			if wider.Masked().Addr() != a || p.last.Less(lastAddr(wider)) {
				break
			}
			bits--
		}
		net := netip.PrefixFrom(a, bits)
		out = append(out, net)
		end := lastAddr(net)
		if end == p.last {
			return out
		}
		a = end.Next()
	}
}

// Lease gives owner an address: want when it is free or owner has it already,
// else the one it had before when that is free, else another one.
func (p *Pool) Lease(owner string, want netip.Addr) (netip.Addr, error) {
	if l, out := p.leased[want]; out && l.owner == owner {
		l.times++
		p.leased[want] = l
		return want, nil
	}
	if p.take(owner, want) {
		return want, nil
	}
	if past := p.past[owner]; p.take(owner, past) {
		return past, nil
	}
	// At most one more step than there are leases finds a free address.
	for range len(p.leased) + 1 {
		a := p.next
		if p.next == p.last {
			p.next = p.first
		} else {
			p.next = p.next.Next()
		}
		if p.take(owner, a) {
			return a, nil
		}
	}
	return netip.Addr{}, ErrExhausted
}

func (p *Pool) take(owner string, a netip.Addr) bool {
	if a.BitLen() != p.first.BitLen() || a.Less(p.first) || p.last.Less(a) {
		return false
	}
	if _, used := p.leased[a]; used {
		return false
	}
	p.leased[a] = lease{owner, 1}
	if _, known := p.past[owner]; !known && len(p.past) >= maxRemembered {
		for o := range p.past {
			delete(p.past, o)
			break
		}
	}
	p.past[owner] = a
	return true
}

// Release takes a back, once for each time that it was given.
func (p *Pool) Release(a netip.Addr) {
	if l := p.leased[a]; l.times > 1 {
		l.times--
		p.leased[a] = l
		return
	}
	delete(p.leased, a)
}

// Leased returns how many addresses are out.
func (p *Pool) Leased() int { return len(p.leased) }
