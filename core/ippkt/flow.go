package ippkt

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// An Addr is an address as a 128-bit number, cheap to compare and to hash. An
// IPv4 address is held IPv4-mapped (::ffff:a.b.c.d).
type Addr struct{ Hi, Lo uint64 }

const mapped = 0xffff << 32

// AddrFrom converts a; an IPv4 and its IPv4-mapped form give the same Addr.
func AddrFrom(a netip.Addr) Addr {
	b := a.As16()
	return Addr{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// Compare returns -1, 0 or 1 as a is less than, equal to or greater than b.
func (a Addr) Compare(b Addr) int {
	switch {
	case a == b:
		return 0
	case a.Hi < b.Hi, a.Hi == b.Hi && a.Lo < b.Lo:
		return -1
	}
	return 1
}

// Next returns the address after a; after the last comes the first.
func (a Addr) Next() Addr {
	if a.Lo++; a.Lo == 0 {
		a.Hi++
	}
	return a
}

// Prev returns the address before a; before the first comes the last.
func (a Addr) Prev() Addr {
	if a.Lo == 0 {
		a.Hi--
	}
	a.Lo--
	return a
}

// IP returns the address of the family that v6 says.
func (a Addr) IP(v6 bool) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	if v6 {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[12:]))
}

func addr4(b []byte) Addr { return Addr{0, mapped | uint64(binary.BigEndian.Uint32(b))} }

func addr6(b []byte) Addr {
	return Addr{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:16])}
}

// A Flow is what selectors look at (RFC 4301, section 4.4.1.1). It is
// comparable. For ICMP both ports are type<<8|code; for the Mobility Header
// both are type<<8.
type Flow struct {
	Src, Dst         Addr
	SrcPort, DstPort uint16
	Proto            uint8
	V6               bool
	// Opaque says that the packet shows no ports: a fragment other than the
	// first, or a protocol without ports.
	Opaque bool
}

// Reverse returns the flow of the answers.
func (f Flow) Reverse() Flow {
	f.Src, f.Dst = f.Dst, f.Src
	f.SrcPort, f.DstPort = f.DstPort, f.SrcPort
	return f
}

// Hash mixes the flow into 64 bits. It is no defence against chosen
// collisions: use it where a collision costs time, not truth.
func (f *Flow) Hash() uint64 {
	const k1, k2 = 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f
	h := (f.Src.Hi ^ f.Dst.Hi*k1) * k2
	h ^= h >> 29
	h = (h ^ f.Src.Lo ^ f.Dst.Lo*k1) * k2
	h ^= h >> 32
	h = (h ^ uint64(f.SrcPort)<<32 ^ uint64(f.DstPort)<<16 ^ uint64(f.Proto)) * k1
	return h ^ h>>29
}

// String writes the flow as "10.0.0.1:5000 → 10.0.0.2:80 proto 6".
func (f Flow) String() string {
	src, dst := f.Src.IP(f.V6), f.Dst.IP(f.V6)
	if f.Opaque {
		return fmt.Sprintf("%v → %v proto %d", src, dst, f.Proto)
	}
	return fmt.Sprintf("%v → %v proto %d", netip.AddrPortFrom(src, f.SrcPort), netip.AddrPortFrom(dst, f.DstPort), f.Proto)
}
