// Package message is the wire format of IKEv2 (RFC 7296, section 3): the
// header, one file per payload, protected messages (SK) and their
// fragmentation (SKF, RFC 7383).
//
// Each payload has an AppendTo and a Parse function over its body, the bytes
// after the generic payload header. What Parse functions return aliases their
// input unless they say otherwise; parse a copy to keep it longer than the
// datagram. Reserved bits and the critical bit of payloads that are understood
// are ignored on receipt and sent as zero, so encoding what was parsed gives
// the same bytes only when the peer did the same.
package message

import (
	"errors"
	"fmt"
)

// Limits of what Parse accepts and AppendTo writes.
const (
	MaxDatagram = 65535 // bytes of a message, protected or not
	MaxPayloads = 128   // payloads of one chain
)

// Errors that callers test for. Parse wraps them.
var (
	// ErrShort means that a length points past the end of the input.
	ErrShort = errors.New("truncated")
	// ErrMalformed means that lengths fit but the content breaks RFC 7296.
	ErrMalformed = errors.New("malformed")
	// ErrLimit means that a message is larger than we handle or the format can carry.
	ErrLimit = errors.New("limit exceeded")
	// ErrIntegrity means that a protected message did not authenticate.
	ErrIntegrity = errors.New("integrity check failed")
)

// An InvalidMajorVersionError is returned for a message of another major
// version than 2 (RFC 7296, section 2.5).
type InvalidMajorVersionError struct {
	Major uint8
}

func (e *InvalidMajorVersionError) Error() string {
	return fmt.Sprintf("message: major version %d instead of 2", e.Major)
}

// An UnsupportedCriticalError is returned by CheckCritical for a payload that
// is marked critical and that we do not know (RFC 7296, section 2.5). It
// becomes a Notify UNSUPPORTED_CRITICAL_PAYLOAD with the type as its data.
type UnsupportedCriticalError struct {
	PayloadType PayloadType
}

func (e *UnsupportedCriticalError) Error() string {
	return fmt.Sprintf("message: unknown critical payload %v", e.PayloadType)
}

// A Message is a header and its payloads.
type Message struct {
	Header
	Payloads []Payload
}

// A Payload is one payload of a message. The types of this package implement
// it on their pointers: *SA, *KE, *ID, *Cert, *CertReq, *Auth, *Nonce,
// *Notify, *Delete, *VendorID, *TS, *Encrypted, *Fragment, *CP, *EAP, *Unknown.
type Payload interface {
	Type() PayloadType
	// AppendTo appends the payload's body, without generic header, to b.
	AppendTo(b []byte) []byte
}

// An Unknown payload is one whose type this package does not know.
type Unknown struct {
	PayloadType PayloadType
	Critical    bool
	Body        []byte
}

// Type returns the payload type that was on the wire.
func (u *Unknown) Type() PayloadType { return u.PayloadType }

// AppendTo appends the payload body to b.
func (u *Unknown) AppendTo(b []byte) []byte { return append(b, u.Body...) }

// Find returns the first payload of type T, as Find[*message.KE](m.Payloads).
func Find[T Payload](payloads []Payload) (T, bool) {
	for _, p := range payloads {
		if t, ok := p.(T); ok {
			return t, true
		}
	}
	var none T
	return none, false
}

// All returns every payload of type T in order.
func All[T Payload](payloads []Payload) []T {
	var all []T
	for _, p := range payloads {
		if t, ok := p.(T); ok {
			all = append(all, t)
		}
	}
	return all
}

// FindNotify returns the first Notify payload of the given type, or nil.
func FindNotify(payloads []Payload, kind NotifyType) *Notify {
	for _, p := range payloads {
		if n, ok := p.(*Notify); ok && n.Kind == kind {
			return n
		}
	}
	return nil
}

// CheckCritical returns an *UnsupportedCriticalError when a payload is unknown
// and marked critical: the whole message must then be rejected.
func CheckCritical(payloads []Payload) error {
	for _, p := range payloads {
		if u, ok := p.(*Unknown); ok && u.Critical {
			return &UnsupportedCriticalError{u.PayloadType}
		}
	}
	return nil
}

// Parse parses a datagram: its header and the chain of cleartext payloads,
// which an Encrypted or Fragment payload ends. The result aliases datagram.
//
// On an error after the header the Header of the returned message is valid;
// nothing of it is authenticated. The error wraps ErrShort, ErrMalformed or
// ErrLimit, or is an *InvalidMajorVersionError.
func Parse(datagram []byte) (Message, error) {
	h, first, err := parseHeader(datagram)
	if err != nil {
		return Message{Header: h}, err
	}
	payloads, err := parseChain(first, datagram[HeaderLen:], false)
	if err != nil {
		return Message{Header: h}, fmt.Errorf("message: %w", err)
	}
	return Message{h, payloads}, nil
}

// ParsePayloads parses the decrypted content of an Encrypted payload, a chain
// that begins with a payload of type first. The result aliases b.
func ParsePayloads(first PayloadType, b []byte) ([]Payload, error) {
	payloads, err := parseChain(first, b, true)
	if err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	return payloads, nil
}

// AppendTo appends the whole message, header included, to b. It fails, with an
// error that wraps ErrLimit, when a payload does not fit its length fields or
// the message is longer than MaxDatagram, or ErrMalformed for an Attribute of
// a transform that contradicts itself.
func (m *Message) AppendTo(b []byte) ([]byte, error) {
	start := len(b)
	b = m.Header.appendTo(b, firstType(m.Payloads), 0)
	b, err := appendChain(b, m.Payloads)
	if err != nil {
		return nil, err
	}
	if err := setLength(b[start:]); err != nil {
		return nil, err
	}
	return b, nil
}
