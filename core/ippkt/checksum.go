package ippkt

import (
	"encoding/binary"
	"math/bits"
)

// Add adds the bytes of b to the Internet checksum accumulator acc (RFC 1071).
// It takes 64 bits at a time with end-around carry, in little-endian order;
// Fold turns the accumulator into network order. All but the last of several
// calls must be given an even number of bytes.
func Add(acc uint64, b []byte) uint64 {
	var c uint64
	for len(b) >= 64 {
		w := b[:64:64]
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[0:8]), 0)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[8:16]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[16:24]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[24:32]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[32:40]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[40:48]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[48:56]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[56:64]), c)
		acc, c = bits.Add64(acc, 0, c)
		acc += c
		b = b[64:]
	}
	for len(b) >= 8 {
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b), 0)
		acc += c
		b = b[8:]
	}
	if len(b) >= 4 {
		acc, c = bits.Add64(acc, uint64(binary.LittleEndian.Uint32(b)), 0)
		acc += c
		b = b[4:]
	}
	var tail uint64
	switch len(b) {
	case 3:
		tail = uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16
	case 2:
		tail = uint64(b[0]) | uint64(b[1])<<8
	case 1:
		tail = uint64(b[0])
	}
	acc, c = bits.Add64(acc, tail, 0)
	return acc + c
}

// AddUint16 adds one value in host order.
func AddUint16(acc uint64, v uint16) uint64 {
	acc, c := bits.Add64(acc, uint64(bits.ReverseBytes16(v)), 0)
	return acc + c
}

// Fold reduces an accumulator to the 16-bit ones' complement sum, as a number
// in host order. The checksum field is its complement.
func Fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return bits.ReverseBytes16(uint16(acc))
}

// Checksum returns the Internet checksum of b.
func Checksum(b []byte) uint16 { return ^Fold(Add(0, b)) }

// Pseudo returns the accumulator of the pseudo header of an IPv4 or IPv6
// packet (RFC 9293, section 3.1; RFC 8200, section 8.1) for a transport
// protocol and the length of its segment. ip must hold the whole fixed header.
func Pseudo(ip []byte, proto uint8, length int) uint64 {
	var acc uint64
	if ip[0]>>4 == 4 {
		acc = Add(0, ip[12:20])
	} else {
		acc = Add(0, ip[8:40])
	}
	acc = AddUint16(acc, uint16(proto))
	return AddUint16(AddUint16(acc, uint16(length>>16)), uint16(length))
}

// SetIPv4Checksum computes the header checksum of the IPv4 header h, which must
// be exactly as long as its IHL says.
func SetIPv4Checksum(h []byte) {
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], Checksum(h))
}

// Update returns the checksum field after a 16-bit word that it covers changed
// from old to new (RFC 1624, equation 3).
func Update(sum, old, new uint16) uint16 {
	s := uint32(^sum) + uint32(^old) + uint32(new)
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return ^uint16(s)
}
