// Package radius is the client's side of RADIUS (RFC 2865) as far as a gateway
// needs it to have its users asked with EAP (RFC 3579). It reads and writes
// packets and opens no socket.
//
// RADIUS protects little, and that with MD5: every packet carries a
// Message-Authenticator, as the first attribute, and none without one is
// believed (CVE-2024-3596). Keep it to a network of your own.
package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
)

// A Code says what a packet is.
type Code uint8

// The codes.
const (
	AccessRequest   Code = 1
	AccessAccept    Code = 2
	AccessReject    Code = 3
	AccessChallenge Code = 11
)

// A Type is the type of an attribute.
type Type uint8

// The attributes that we use.
const (
	UserName             Type = 1
	NASPort              Type = 5
	FilterID             Type = 11
	ReplyMessage         Type = 18
	State                Type = 24
	Class                Type = 25
	VendorSpecific       Type = 26
	CalledStationID      Type = 30
	CallingStationID     Type = 31
	NASIdentifier        Type = 32
	NASPortType          Type = 61
	EAPMessage           Type = 79
	MessageAuthenticator Type = 80
)

// An Attribute is one attribute of a packet.
type Attribute struct {
	Type Type
	Data []byte // at most 253 bytes
}

// A Packet is one packet.
type Packet struct {
	Code          Code
	ID            uint8
	Authenticator [16]byte
	Attributes    []Attribute
}

const (
	headerLen = 20
	maxPacket = 4096 // RFC 2865, section 3
	maxData   = 253
)

// ErrMalformed is wrapped by every error about a packet that cannot be read.
var ErrMalformed = errors.New("malformed RADIUS packet")

// ErrForged says that a packet is not from who has the secret.
var ErrForged = errors.New("the answer of the RADIUS server does not fit the shared secret")

// Add adds an attribute, in pieces where it is long, as EAP-Message allows.
func (p *Packet) Add(t Type, data []byte) {
	for {
		n := min(len(data), maxData)
		p.Attributes = append(p.Attributes, Attribute{t, data[:n]})
		if data = data[n:]; len(data) == 0 {
			return
		}
	}
}

// Get returns the attributes of a type, joined.
func (p *Packet) Get(t Type) []byte {
	var out []byte
	for _, a := range p.Attributes {
		if a.Type == t {
			out = append(out, a.Data...)
		}
	}
	return out
}

// AppendTo appends the packet to b, unprotected.
func (p *Packet) AppendTo(b []byte) []byte {
	at := len(b)
	b = append(b, byte(p.Code), p.ID, 0, 0)
	b = append(b, p.Authenticator[:]...)
	for _, a := range p.Attributes {
		b = append(append(b, byte(a.Type), byte(2+len(a.Data))), a.Data...)
	}
	binary.BigEndian.PutUint16(b[at+2:], uint16(len(b)-at))
	return b
}

// Parse parses a packet. What follows its own length is padding. The result
// aliases b.
func Parse(b []byte) (Packet, error) {
	if len(b) < headerLen {
		return Packet{}, fmt.Errorf("radius: %d bytes: %w", len(b), ErrMalformed)
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < headerLen || n > len(b) || n > maxPacket {
		return Packet{}, fmt.Errorf("radius: length %d in %d bytes: %w", n, len(b), ErrMalformed)
	}
	p := Packet{Code: Code(b[0]), ID: b[1], Authenticator: [16]byte(b[4:20])}
	for rest := b[headerLen:n]; len(rest) > 0; {
		if len(rest) < 2 || rest[1] < 2 || int(rest[1]) > len(rest) {
			return Packet{}, fmt.Errorf("radius: attribute: %w", ErrMalformed)
		}
		p.Attributes = append(p.Attributes, Attribute{Type(rest[0]), rest[2:rest[1]]})
		rest = rest[rest[1]:]
	}
	return p, nil
}

// SealRequest returns the bytes of an Access-Request, with its
// Message-Authenticator first. p.Authenticator must be fresh and random.
func SealRequest(p Packet, secret []byte) []byte {
	p.Attributes = append([]Attribute{{MessageAuthenticator, make([]byte, md5.Size)}}, p.Attributes...)
	b := p.AppendTo(nil)
	m := hmac.New(md5.New, secret)
	m.Write(b)
	copy(b[headerLen+2:], m.Sum(nil))
	return b
}

// OpenResponse parses the response to a request, and checks that it is one of
// who has the secret (RFC 2865, section 3; RFC 3579, section 3.2). The result
// aliases b.
func OpenResponse(b []byte, request Packet, secret []byte) (Packet, error) {
	p, err := Parse(b)
	if err != nil {
		return Packet{}, err
	}
	if p.ID != request.ID || p.Code != AccessAccept && p.Code != AccessReject && p.Code != AccessChallenge {
		return Packet{}, fmt.Errorf("radius: not the response to request %d: %w", request.ID, ErrMalformed)
	}
	b = b[:binary.BigEndian.Uint16(b[2:])]
	h := md5.New()
	h.Write(b[:4])
	h.Write(request.Authenticator[:])
	h.Write(b[headerLen:])
	h.Write(secret)
	if !hmac.Equal(h.Sum(nil), p.Authenticator[:]) {
		return Packet{}, ErrForged
	}
	at, found := headerLen, 0
	for _, a := range p.Attributes {
		if a.Type == MessageAuthenticator && len(a.Data) == md5.Size {
			found++
			plain := append([]byte(nil), b...)
			copy(plain[4:], request.Authenticator[:])
			clear(plain[at+2 : at+2+md5.Size])
			m := hmac.New(md5.New, secret)
			m.Write(plain)
			if !hmac.Equal(m.Sum(nil), a.Data) {
				return Packet{}, ErrForged
			}
		}
		at += 2 + len(a.Data)
	}
	if found != 1 {
		return Packet{}, fmt.Errorf("%w: it has no Message-Authenticator", ErrForged)
	}
	return p, nil
}

// The attributes of Microsoft that carry the MSK (RFC 2548, section 2.4).
const (
	vendorMicrosoft = 311
	mppeSendKey     = 16
	mppeRecvKey     = 17
)

// MSK returns the key that the method of EAP made, 64 bytes, as an
// Access-Accept carries it to us; nil when it carries none.
func MSK(p Packet, request Packet, secret []byte) ([]byte, error) {
	keys := map[byte][]byte{}
	for _, a := range p.Attributes {
		if a.Type != VendorSpecific || len(a.Data) < 6 || binary.BigEndian.Uint32(a.Data) != vendorMicrosoft {
			continue
		}
		for rest := a.Data[4:]; len(rest) >= 2; {
			t, n := rest[0], int(rest[1])
			if n < 2 || n > len(rest) {
				return nil, fmt.Errorf("radius: attribute of Microsoft: %w", ErrMalformed)
			}
			if t == mppeSendKey || t == mppeRecvKey {
				k, err := openKey(rest[2:n], request.Authenticator[:], secret)
				if err != nil {
					return nil, err
				}
				keys[t] = k
			}
			rest = rest[n:]
		}
	}
	recv, send := keys[mppeRecvKey], keys[mppeSendKey]
	if recv == nil && send == nil {
		return nil, nil
	}
	// Keys of MSCHAPv2 have 16 bytes each, and zeros follow both.
	msk := make([]byte, 64)
	n := copy(msk, recv)
	copy(msk[n:], send)
	clear(recv)
	clear(send)
	return msk, nil
}

// openKey decrypts a key: salt, then blocks that are MD5 of the secret with
// the block before (RFC 2548, section 2.4.2).
func openKey(b, authenticator, secret []byte) ([]byte, error) {
	if len(b) < 2+16 || (len(b)-2)%16 != 0 || len(b) > 2+16*15 {
		return nil, fmt.Errorf("radius: key of %d bytes: %w", len(b), ErrMalformed)
	}
	plain := make([]byte, 0, len(b)-2)
	before := append(append([]byte(nil), authenticator...), b[:2]...)
	for c := b[2:]; len(c) > 0; c = c[16:] {
		h := md5.New()
		h.Write(secret)
		h.Write(before)
		pad := h.Sum(nil)
		for i := range 16 {
			plain = append(plain, c[i]^pad[i])
		}
		before = c[:16]
	}
	n := int(plain[0])
	if n == 0 || n > len(plain)-1 || n > 32 {
		return nil, fmt.Errorf("radius: key of %d bytes in %d: %w", n, len(plain), ErrMalformed)
	}
	return plain[1 : 1+n : 1+n], nil
}
