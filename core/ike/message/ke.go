package message

import (
	"encoding/binary"
	"fmt"

	"sallyport/core/transform"
)

// A KE payload carries a public value (RFC 7296, section 3.4).
type KE struct {
	Method transform.ID // key exchange method, once "Diffie-Hellman group"
	Data   []byte       // its length is the key exchange's to check
}

// Type returns PayloadKE.
func (k *KE) Type() PayloadType { return PayloadKE }

// AppendTo appends the payload body to b.
func (k *KE) AppendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(k.Method))
	return append(append(b, 0, 0), k.Data...)
}

// ParseKE parses a payload body. The result aliases b.
func ParseKE(b []byte) (KE, error) {
	if len(b) < 4 {
		return KE{}, fmt.Errorf("key exchange: %d bytes: %w", len(b), ErrShort)
	}
	return KE{transform.ID(binary.BigEndian.Uint16(b)), b[4:]}, nil
}
