package message

import (
	"encoding/binary"
	"fmt"

	"sallyport/core/transform"
)

// A Notify payload reports a condition (RFC 7296, section 3.10).
type Notify struct {
	Protocol transform.Protocol // of SPI; zero without one
	Kind     NotifyType
	SPI      []byte // empty when the notify concerns the IKE SA
	Data     []byte
}

// Type returns PayloadNotify.
func (n *Notify) Type() PayloadType { return PayloadNotify }

func (n *Notify) check() error {
	if len(n.SPI) > 0xff {
		return fmt.Errorf("SPI of %d bytes: %w", len(n.SPI), ErrLimit)
	}
	return nil
}

// AppendTo appends the payload body to b.
func (n *Notify) AppendTo(b []byte) []byte {
	b = append(b, byte(n.Protocol), byte(len(n.SPI)))
	b = binary.BigEndian.AppendUint16(b, uint16(n.Kind))
	b = append(b, n.SPI...)
	return append(b, n.Data...)
}

// ParseNotify parses a payload body. The result aliases b.
func ParseNotify(b []byte) (Notify, error) {
	if len(b) < 4 {
		return Notify{}, fmt.Errorf("notify: %d bytes: %w", len(b), ErrShort)
	}
	rest, size := b[4:], int(b[1])
	if len(rest) < size {
		return Notify{}, fmt.Errorf("notify: SPI of %d bytes in %d: %w", size, len(rest), ErrShort)
	}
	return Notify{
		Protocol: transform.Protocol(b[0]),
		Kind:     NotifyType(binary.BigEndian.Uint16(b[2:])),
		SPI:      rest[:size:size],
		Data:     rest[size:],
	}, nil
}
