package ts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// The types of traffic selectors on the wire.
const (
	typeIPv4 = 7
	typeIPv6 = 8
)

// Lengths of the payload's and a selector's fixed part.
const (
	payloadHeader  = 4
	selectorHeader = 8
)

// ErrMalformed is wrapped by the errors of ParsePayload.
var ErrMalformed = errors.New("malformed traffic selectors")

// AppendTo appends the selector in wire format to b. s must be valid.
func (s Selector) AppendTo(b []byte) []byte {
	kind := byte(typeIPv6)
	if s.Is4() {
		kind = typeIPv4
	}
	from, to := s.From.AsSlice(), s.To.AsSlice()
	b = append(b, kind, s.Protocol)
	b = binary.BigEndian.AppendUint16(b, uint16(selectorHeader+len(from)+len(to)))
	b = binary.BigEndian.AppendUint16(b, s.FromPort)
	b = binary.BigEndian.AppendUint16(b, s.ToPort)
	return append(append(b, from...), to...)
}

// AppendTo appends the body of a TSi or TSr payload to b (RFC 7296, section
// 3.13). Selectors beyond MaxSelectors are left out, which asks for less.
func (l List) AppendTo(b []byte) []byte {
	l = l[:min(len(l), MaxSelectors)]
	b = append(b, byte(len(l)), 0, 0, 0)
	for _, s := range l {
		b = s.AppendTo(b)
	}
	return b
}

// ParsePayload parses the body of a TSi or TSr payload. Selectors of types
// other than IPv4 and IPv6 address ranges are left out: the rest of the union
// still means what it says, and an empty list is for the caller to refuse. The
// result does not alias b.
func ParsePayload(b []byte) (List, error) {
	if len(b) < payloadHeader {
		return nil, fmt.Errorf("ts: payload of %d bytes: %w", len(b), ErrMalformed)
	}
	count, b := int(b[0]), b[payloadHeader:]
	var l List
	for i := range count {
		if len(b) < selectorHeader {
			return nil, fmt.Errorf("ts: selector %d of %d: %d bytes left: %w", i+1, count, len(b), ErrMalformed)
		}
		// The length field is at the same place in all types that exist.
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < selectorHeader || n > len(b) {
			return nil, fmt.Errorf("ts: selector %d of %d: length %d in %d bytes: %w", i+1, count, n, len(b), ErrMalformed)
		}
		if b[0] == typeIPv4 || b[0] == typeIPv6 {
			s, err := parseSelector(b[:n])
			if err != nil {
				return nil, fmt.Errorf("ts: selector %d of %d: %w", i+1, count, err)
			}
			l = append(l, s)
		}
		b = b[n:]
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("ts: %d bytes after %d selectors: %w", len(b), count, ErrMalformed)
	}
	return l, nil
}

// parseSelector parses an address range selector that fills b.
func parseSelector(b []byte) (Selector, error) {
	size := 4
	if b[0] == typeIPv6 {
		size = 16
	}
	if len(b) != selectorHeader+2*size {
		return Selector{}, fmt.Errorf("type %d of %d bytes: %w", b[0], len(b), ErrMalformed)
	}
	from, _ := netip.AddrFromSlice(b[selectorHeader : selectorHeader+size])
	to, _ := netip.AddrFromSlice(b[selectorHeader+size:])
	s := Selector{
		From: from, To: to, Protocol: b[1],
		FromPort: binary.BigEndian.Uint16(b[4:]), ToPort: binary.BigEndian.Uint16(b[6:]),
	}
	if !s.Valid() {
		return Selector{}, fmt.Errorf("%v-%v ports %d-%d: %w", from, to, s.FromPort, s.ToPort, ErrMalformed)
	}
	return s, nil
}
