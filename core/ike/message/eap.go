package message

import (
	"encoding/binary"
	"fmt"
)

// An EAP payload carries one EAP packet (RFC 7296, section 3.16).
type EAP struct {
	Packet []byte // from its code on (RFC 3748, section 4)
}

// Type returns PayloadEAP.
func (e *EAP) Type() PayloadType { return PayloadEAP }

// AppendTo appends the payload body to b.
func (e *EAP) AppendTo(b []byte) []byte { return append(b, e.Packet...) }

// ParseEAP parses a payload body: it checks the packet's length field and
// leaves the rest to EAP. The result aliases b.
func ParseEAP(b []byte) (EAP, error) {
	if len(b) < 4 {
		return EAP{}, fmt.Errorf("EAP: %d bytes: %w", len(b), ErrShort)
	}
	if n := int(binary.BigEndian.Uint16(b[2:])); n != len(b) {
		return EAP{}, fmt.Errorf("EAP: length %d in %d bytes: %w", n, len(b), ErrMalformed)
	}
	return EAP{b}, nil
}
