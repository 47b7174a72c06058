package message

import "fmt"

// An Auth payload proves the sender's identity (RFC 7296, section 3.8).
type Auth struct {
	Method AuthMethod
	Data   []byte
}

// Type returns PayloadAUTH.
func (a *Auth) Type() PayloadType { return PayloadAUTH }

// AppendTo appends the payload body to b.
func (a *Auth) AppendTo(b []byte) []byte {
	return append(append(b, byte(a.Method), 0, 0, 0), a.Data...)
}

// ParseAuth parses a payload body. The result aliases b.
func ParseAuth(b []byte) (Auth, error) {
	if len(b) < 4 {
		return Auth{}, fmt.Errorf("authentication: %d bytes: %w", len(b), ErrShort)
	}
	return Auth{AuthMethod(b[0]), b[4:]}, nil
}
