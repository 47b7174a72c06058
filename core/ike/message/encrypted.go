package message

import (
	"encoding/binary"
	"fmt"
)

// An Encrypted payload (SK) holds the protected payloads of a message as they
// were on the wire (RFC 7296, section 3.14). It is the last of its message.
type Encrypted struct {
	First PayloadType // of the first payload inside
	Body  []byte      // IV, ciphertext and integrity check value
}

// Type returns PayloadSK.
func (e *Encrypted) Type() PayloadType { return PayloadSK }

// AppendTo appends the payload body to b.
func (e *Encrypted) AppendTo(b []byte) []byte { return append(b, e.Body...) }

// A Fragment payload (SKF) holds one piece of the protected payloads of a
// message (RFC 7383, section 2.5). It is the last of its message.
type Fragment struct {
	First  PayloadType // of the first payload inside; PayloadNone but in fragment 1
	Number uint16      // from 1
	Total  uint16
	Body   []byte // IV, ciphertext and integrity check value
}

// Type returns PayloadSKF.
func (f *Fragment) Type() PayloadType { return PayloadSKF }

// AppendTo appends the payload body to b.
func (f *Fragment) AppendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, f.Number)
	b = binary.BigEndian.AppendUint16(b, f.Total)
	return append(b, f.Body...)
}

// fragmentLen is the length of the fields before a Fragment's Body.
const fragmentLen = 4

// ParseFragment parses the body of an SKF payload. first is the next payload
// field of its generic header. The result aliases b.
func ParseFragment(first PayloadType, b []byte) (Fragment, error) {
	if len(b) < fragmentLen {
		return Fragment{}, fmt.Errorf("fragment: %d bytes: %w", len(b), ErrShort)
	}
	f := Fragment{
		First:  first,
		Number: binary.BigEndian.Uint16(b),
		Total:  binary.BigEndian.Uint16(b[2:]),
		Body:   b[fragmentLen:],
	}
	if f.Number == 0 || f.Number > f.Total {
		return Fragment{}, fmt.Errorf("fragment %d of %d: %w", f.Number, f.Total, ErrMalformed)
	}
	return f, nil
}

func parseEncrypted(kind, first PayloadType, b []byte) (Payload, error) {
	if kind == PayloadSKF {
		return pointer(ParseFragment(first, b))
	}
	return &Encrypted{first, b}, nil
}
