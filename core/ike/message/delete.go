package message

import (
	"encoding/binary"
	"fmt"

	"sallyport/core/transform"
)

// A Delete payload announces that the sender deleted its inbound SAs, or with
// ProtoIKE the IKE SA itself (RFC 7296, section 3.11).
type Delete struct {
	Protocol transform.Protocol
	SPIs     []uint32 // none for ProtoIKE
}

// Type returns PayloadDelete.
func (d *Delete) Type() PayloadType { return PayloadDelete }

func (d *Delete) check() error {
	if len(d.SPIs) > 0xffff {
		return fmt.Errorf("%d SPIs: %w", len(d.SPIs), ErrLimit)
	}
	return nil
}

// AppendTo appends the payload body to b.
func (d *Delete) AppendTo(b []byte) []byte {
	if d.Protocol == transform.ProtoIKE {
		return append(b, byte(d.Protocol), 0, 0, 0)
	}
	b = append(b, byte(d.Protocol), 4)
	b = binary.BigEndian.AppendUint16(b, uint16(len(d.SPIs)))
	for _, spi := range d.SPIs {
		b = binary.BigEndian.AppendUint32(b, spi)
	}
	return b
}

// ParseDelete parses a payload body. The result does not alias b. The number
// of SPIs is ignored with ProtoIKE, where there is none to count.
func ParseDelete(b []byte) (Delete, error) {
	if len(b) < 4 {
		return Delete{}, fmt.Errorf("delete: %d bytes: %w", len(b), ErrShort)
	}
	d := Delete{Protocol: transform.Protocol(b[0])}
	size, count, rest := int(b[1]), int(binary.BigEndian.Uint16(b[2:])), b[4:]
	if d.Protocol == transform.ProtoIKE {
		if size != 0 || len(rest) != 0 {
			return Delete{}, fmt.Errorf("delete: IKE SA with SPI of %d bytes: %w", size, ErrMalformed)
		}
		return d, nil
	}
	if size != 4 {
		return Delete{}, fmt.Errorf("delete: SPI of %d bytes: %w", size, ErrMalformed)
	}
	if len(rest) != 4*count {
		return Delete{}, fmt.Errorf("delete: %d SPIs in %d bytes: %w", count, len(rest), ErrMalformed)
	}
	for ; len(rest) != 0; rest = rest[4:] {
		d.SPIs = append(d.SPIs, binary.BigEndian.Uint32(rest))
	}
	return d, nil
}
