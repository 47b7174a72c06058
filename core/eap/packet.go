// Package eap holds both ends of the Extensible Authentication Protocol (RFC
// 3748) as IKEv2 uses it: the peer, who proves who a user is, and the server,
// who asks for that proof. Packets go in and out; there is no socket, no clock
// and no goroutine of its own that outlives a call.
package eap

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A Code says what a packet is (RFC 3748, section 4).
type Code uint8

// The codes.
const (
	CodeRequest  Code = 1
	CodeResponse Code = 2
	CodeSuccess  Code = 3
	CodeFailure  Code = 4
)

// String names the code as the RFC does.
func (c Code) String() string {
	switch c {
	case CodeRequest:
		return "Request"
	case CodeResponse:
		return "Response"
	case CodeSuccess:
		return "Success"
	case CodeFailure:
		return "Failure"
	}
	return fmt.Sprintf("code %d", uint8(c))
}

// A Type says what a request or response is about (RFC 3748, section 5).
type Type uint8

// The types that we speak, or that a Nak may name.
const (
	TypeIdentity     Type = 1
	TypeNotification Type = 2
	TypeNak          Type = 3
	typeMD5          Type = 4 // never spoken: it makes no key, and a listener can guess at the password
	TypeGTC          Type = 6
	TypeTLS          Type = 13 // RFC 5216, RFC 9190
	TypeTTLS         Type = 21 // RFC 5281
	TypePEAP         Type = 25
	TypeMSCHAPv2     Type = 26
	TypeExtensions   Type = 33 // within PEAP: the result
	typeExpanded     Type = 254
)

// String names the type as it is known in the field.
func (t Type) String() string {
	switch t {
	case TypeIdentity:
		return "Identity"
	case TypeNotification:
		return "Notification"
	case TypeNak:
		return "Nak"
	case typeMD5:
		return "MD5"
	case TypeGTC:
		return "GTC"
	case TypeTLS:
		return "TLS"
	case TypeTTLS:
		return "TTLS"
	case TypePEAP:
		return "PEAP"
	case TypeMSCHAPv2:
		return "MSCHAPv2"
	case TypeExtensions:
		return "Extensions"
	case typeExpanded:
		return "Expanded"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// ErrMalformed is wrapped by every error about a packet that cannot be read.
var ErrMalformed = errors.New("malformed EAP packet")

// A Packet is one EAP packet. Type and Data are of requests and responses only.
type Packet struct {
	Code Code
	ID   uint8
	Type Type
	Data []byte // what follows the type
}

// maxPacket bounds a packet: its length field has 16 bits.
const maxPacket = 1<<16 - 1

// AppendTo appends the packet to b.
func (p *Packet) AppendTo(b []byte) []byte {
	n := 4
	typed := p.Code == CodeRequest || p.Code == CodeResponse
	if typed {
		n += 1 + len(p.Data)
	}
	b = append(b, byte(p.Code), p.ID)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	if typed {
		b = append(append(b, byte(p.Type)), p.Data...)
	}
	return b
}

// Parse parses a packet, which must fill b. The result aliases b.
func Parse(b []byte) (Packet, error) {
	if len(b) < 4 || len(b) > maxPacket {
		return Packet{}, fmt.Errorf("eap: packet of %d bytes: %w", len(b), ErrMalformed)
	}
	p := Packet{Code: Code(b[0]), ID: b[1]}
	if n := int(binary.BigEndian.Uint16(b[2:])); n != len(b) {
		return Packet{}, fmt.Errorf("eap: length %d in %d bytes: %w", n, len(b), ErrMalformed)
	}
	switch p.Code {
	case CodeSuccess, CodeFailure:
		if len(b) != 4 {
			return Packet{}, fmt.Errorf("eap: %v with %d bytes behind it: %w", p.Code, len(b)-4, ErrMalformed)
		}
	case CodeRequest, CodeResponse:
		if len(b) < 5 {
			return Packet{}, fmt.Errorf("eap: %v without a type: %w", p.Code, ErrMalformed)
		}
		p.Type, p.Data = Type(b[4]), b[5:]
	default:
		return Packet{}, fmt.Errorf("eap: %v: %w", p.Code, ErrMalformed)
	}
	return p, nil
}
