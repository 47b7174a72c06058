package message

import (
	"fmt"
	"io"
)

// A Protection encrypts and authenticates messages of an IKE SA in one
// direction; *transform.SK is one.
type Protection interface {
	// Seal appends the IV, ciphertext and integrity check value of plain to
	// dst. aad is what precedes them in the datagram and may alias dst.
	Seal(dst, aad, plain []byte, rand io.Reader) []byte
	// Open appends the plaintext of what Seal appended to dst.
	Open(dst, aad, body []byte) ([]byte, error)
	// Overhead returns by how much Seal's output is longer than n bytes of plain.
	Overhead(n int) int
}

// A SyntaxError is returned by Open for a message that authenticated but whose
// content does not parse: the peer, not an attacker, sent it, and a request
// gets INVALID_SYNTAX for an answer (RFC 7296, section 2.21.2).
type SyntaxError struct {
	Err error
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("message: authenticated: %v", e.Err) }

// Unwrap returns Err.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Seal returns the datagram with header hdr whose only payload is an Encrypted
// payload of payloads.
func Seal(hdr Header, payloads []Payload, p Protection, rand io.Reader) ([]byte, error) {
	plain, err := appendChain(nil, payloads)
	if err != nil {
		return nil, err
	}
	return sealWhole(hdr, firstType(payloads), plain, p, rand)
}

func sealWhole(hdr Header, first PayloadType, plain []byte, p Protection, rand io.Reader) ([]byte, error) {
	return seal(hdr, PayloadSK, &Encrypted{First: first}, plain, p, rand)
}

// seal writes the message with the one payload sk, an empty Encrypted or
// Fragment, and seals plain behind it.
func seal(hdr Header, kind PayloadType, sk Payload, plain []byte, p Protection, rand io.Reader) ([]byte, error) {
	prefix := HeaderLen + genericLen
	if kind == PayloadSKF {
		prefix += fragmentLen
	}
	total := prefix + len(plain) + p.Overhead(len(plain))
	if total > MaxDatagram {
		return nil, fmt.Errorf("message: %d bytes: %w", total, ErrLimit)
	}
	// The lengths are part of the authenticated data, so they are written
	// before sealing, for the body that is to come.
	b := hdr.appendTo(make([]byte, 0, total), kind, total)
	b, err := appendChain(b, []Payload{sk})
	if err != nil {
		return nil, err
	}
	n := total - HeaderLen
	b[HeaderLen+2], b[HeaderLen+3] = byte(n>>8), byte(n)
	b = p.Seal(b, b[:prefix:prefix], plain, rand)
	if len(b) != total {
		return nil, fmt.Errorf("message: sealed %d bytes instead of %d", len(b), total)
	}
	return b, nil
}
