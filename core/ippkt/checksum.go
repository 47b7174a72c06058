package ippkt

import (
	"encoding/binary"
	"math/bits"
)

// Add adds the bytes of b to the Internet checksum accumulator acc (RFC 1071).
// It takes 64 bits at a time with end-around carry, in little-endian order;
// Fold turns the accumulator into network order. All but the last of several
// calls must be given an even number of bytes.
//
// Each addition with carry waits for the one before. So each block is summed by
// itself, and the processor works on several: only its sum waits for acc.
func Add(acc uint64, b []byte) uint64 {
	var sum, c uint64
	i := 0
	for ; i <= len(b)-64; i += 64 {
		w := b[i : i+64 : i+64]
		sum, c = bits.Add64(binary.LittleEndian.Uint64(w[0:8]), binary.LittleEndian.Uint64(w[8:16]), 0)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(w[16:24]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(w[24:32]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(w[32:40]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(w[40:48]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(w[48:56]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(w[56:64]), c)
		// Not all bits of sum and c are set: the first two words leave one
		// clear, and each further addition does. So the last carry is the last.
		acc, c = bits.Add64(acc, sum, c)
		acc, _ = bits.Add64(acc, 0, c)
	}
	b = b[i:]
	if len(b) >= 32 {
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b), 0)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b[8:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b[16:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b[24:]), c)
		acc, _ = bits.Add64(acc, 0, c)
		b = b[32:]
	}
	if len(b) >= 16 {
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b), 0)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b[8:]), c)
		acc, _ = bits.Add64(acc, 0, c)
		b = b[16:]
	}
	if len(b) >= 8 {
		acc = add(acc, binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	// Any even place in the word will do for the rest.
	var tail uint64
	if len(b) >= 4 {
		tail = uint64(binary.LittleEndian.Uint32(b)) << 32
		b = b[4:]
	}
	if len(b) >= 2 {
		tail |= uint64(binary.LittleEndian.Uint16(b)) << 16
		b = b[2:]
	}
	if len(b) == 1 {
		tail |= uint64(b[0])
	}
	return add(acc, tail)
}

// add adds two accumulators.
func add(a, b uint64) uint64 {
	sum, c := bits.Add64(a, b, 0)
	sum, _ = bits.Add64(sum, 0, c)
	return sum
}

// AddUint16 adds one value in host order.
func AddUint16(acc uint64, v uint16) uint64 {
	return add(acc, uint64(bits.ReverseBytes16(v)))
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

// IPv4ChecksumOK reports whether the header checksum of the IPv4 header h fits.
// h must be exactly as long as its IHL says.
func IPv4ChecksumOK(h []byte) bool { return Fold(Add(0, h)) == 0xffff }

// Update returns the checksum field after a 16-bit word that it covers changed
// from old to new (RFC 1624, equation 3).
func Update(sum, old, new uint16) uint16 {
	s := uint32(^sum) + uint32(^old) + uint32(new)
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return ^uint16(s)
}
