package message

import "fmt"

// Bounds of a nonce's length.
const (
	MinNonce = 16
	MaxNonce = 256
)

// A Nonce payload carries random bytes (RFC 7296, section 3.9).
type Nonce struct {
	Data []byte // MinNonce to MaxNonce bytes
}

// Type returns PayloadNonce.
func (n *Nonce) Type() PayloadType { return PayloadNonce }

// AppendTo appends the payload body to b.
func (n *Nonce) AppendTo(b []byte) []byte { return append(b, n.Data...) }

// ParseNonce parses a payload body. The result aliases b.
func ParseNonce(b []byte) (Nonce, error) {
	if len(b) < MinNonce || len(b) > MaxNonce {
		return Nonce{}, fmt.Errorf("nonce of %d bytes: %w", len(b), ErrMalformed)
	}
	return Nonce{b}, nil
}
