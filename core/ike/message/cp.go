package message

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// A CP payload asks for or assigns configuration (RFC 7296, section 3.15).
type CP struct {
	Kind       CPType
	Attributes []CPAttribute
}

// A CPAttribute is one configuration attribute. Values are kept as received,
// whatever their length: a gateway that gets one attribute wrong should not
// cost the connection. Addr and Prefix read those that carry addresses.
type CPAttribute struct {
	Type  CPAttributeType // 15 bits
	Value []byte          // empty in a request without preference
}

// Type returns PayloadCP.
func (c *CP) Type() PayloadType { return PayloadCP }

func (c *CP) check() error {
	for _, a := range c.Attributes {
		if a.Type > cpTypeMask || len(a.Value) > 0xffff {
			return fmt.Errorf("attribute %v of %d bytes: %w", a.Type, len(a.Value), ErrLimit)
		}
	}
	return nil
}

const cpTypeMask = 0x7fff // the first bit is reserved

// AppendTo appends the payload body to b.
func (c *CP) AppendTo(b []byte) []byte {
	b = append(b, byte(c.Kind), 0, 0, 0)
	for _, a := range c.Attributes {
		b = binary.BigEndian.AppendUint16(b, uint16(a.Type)&cpTypeMask)
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.Value)))
		b = append(b, a.Value...)
	}
	return b
}

// ParseCP parses a payload body. The result aliases b.
func ParseCP(b []byte) (CP, error) {
	if len(b) < 4 {
		return CP{}, fmt.Errorf("configuration: %d bytes: %w", len(b), ErrShort)
	}
	c := CP{Kind: CPType(b[0])}
	for rest := b[4:]; len(rest) != 0; {
		if len(rest) < 4 {
			return CP{}, fmt.Errorf("configuration: attribute of %d bytes: %w", len(rest), ErrShort)
		}
		n := 4 + int(binary.BigEndian.Uint16(rest[2:]))
		if n > len(rest) {
			return CP{}, fmt.Errorf("configuration: attribute of %d bytes in %d: %w", n, len(rest), ErrShort)
		}
		kind := CPAttributeType(binary.BigEndian.Uint16(rest) & cpTypeMask)
		c.Attributes = append(c.Attributes, CPAttribute{kind, rest[4:n:n]})
		rest = rest[n:]
	}
	return c, nil
}

// AddrAttribute returns the attribute that carries addr as the address, DNS
// server or netmask that kind names. An INTERNAL_IP6_ADDRESS gets the prefix
// length 128; an invalid addr gives the empty value that asks for any.
func AddrAttribute(kind CPAttributeType, addr netip.Addr) CPAttribute {
	value := addr.AsSlice()
	if kind == CPInternalIP6Address && len(value) == 16 {
		value = append(value, 128)
	}
	return CPAttribute{kind, value}
}

// PrefixAttribute returns the attribute that carries p as the subnet or, for
// INTERNAL_IP6_ADDRESS, the address with prefix length that kind names.
func PrefixAttribute(kind CPAttributeType, p netip.Prefix) CPAttribute {
	value := p.Addr().AsSlice()
	if p.Addr().Is4() {
		mask := uint32(0xffffffff) << (32 - p.Bits())
		return CPAttribute{kind, binary.BigEndian.AppendUint32(value, mask)}
	}
	return CPAttribute{kind, append(value, byte(p.Bits()))}
}

// Addr returns the address that the attribute carries, also that of an
// INTERNAL_IP6_ADDRESS without its prefix length. It reports false for an
// empty value, one of a wrong length, and other attributes.
func (a CPAttribute) Addr() (netip.Addr, bool) {
	v := a.Value
	switch a.Type {
	case CPInternalIP4Address, CPInternalIP4Netmask, CPInternalIP4DNS, CPInternalIP4NBNS, CPInternalIP4DHCP:
		if len(v) == 4 {
			return netip.AddrFrom4([4]byte(v)), true
		}
	case CPInternalIP6Address:
		// Some gateways leave out the prefix length.
		if len(v) == 17 && v[16] <= 128 || len(v) == 16 {
			return netip.AddrFrom16([16]byte(v[:16])), true
		}
	case CPInternalIP6DNS, CPInternalIP6DHCP:
		if len(v) == 16 {
			return netip.AddrFrom16([16]byte(v)), true
		}
	}
	return netip.Addr{}, false
}

// Prefix returns the subnet that the attribute carries, host bits cleared, or
// the address of an INTERNAL_IP6_ADDRESS with its prefix length. It reports
// false for an empty value, a wrong length or mask, and other attributes.
func (a CPAttribute) Prefix() (netip.Prefix, bool) {
	v := a.Value
	switch a.Type {
	case CPInternalIP4Subnet:
		if len(v) != 8 {
			return netip.Prefix{}, false
		}
		bits, ok := MaskBits(netip.AddrFrom4([4]byte(v[4:])))
		if !ok {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(v)), bits).Masked(), true
	case CPInternalIP6Subnet:
		if len(v) == 17 && v[16] <= 128 {
			return netip.PrefixFrom(netip.AddrFrom16([16]byte(v[:16])), int(v[16])).Masked(), true
		}
	case CPInternalIP6Address:
		if len(v) == 17 && v[16] <= 128 {
			return netip.PrefixFrom(netip.AddrFrom16([16]byte(v[:16])), int(v[16])), true
		}
	}
	return netip.Prefix{}, false
}

// MaskBits returns the prefix length that an IPv4 netmask stands for. It
// reports false when its ones are not all in front.
func MaskBits(mask netip.Addr) (int, bool) {
	if !mask.Is4() {
		return 0, false
	}
	b := mask.As4()
	m := binary.BigEndian.Uint32(b[:])
	bits := 0
	for ; m&(1<<31) != 0; m <<= 1 {
		bits++
	}
	return bits, m == 0
}
