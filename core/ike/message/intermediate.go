package message

import "encoding/binary"

// Chain returns the payloads as they are before encryption, and the type of the
// first one.
func Chain(payloads []Payload) (first PayloadType, plain []byte, err error) {
	plain, err = appendChain(nil, payloads)
	return firstType(payloads), plain, err
}

// IntermediateOctets returns what of a message of IKE_INTERMEDIATE the AUTH
// payload covers (RFC 9242, section 3.3.2): the header and the generic header of
// the Encrypted payload, both with the lengths that they would have without IV,
// padding and integrity check value, and the payloads inside, in clear. A message
// that travels in fragments counts as if it were whole.
func IntermediateOctets(h Header, first PayloadType, plain []byte) []byte {
	n := HeaderLen + genericLen + len(plain)
	b := h.appendTo(make([]byte, 0, n), PayloadSK, n)
	b = append(b, byte(first), 0)
	b = binary.BigEndian.AppendUint16(b, uint16(genericLen+len(plain)))
	return append(b, plain...)
}
