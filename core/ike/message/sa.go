package message

import (
	"encoding/binary"
	"fmt"

	"sallyport/core/transform"
)

// An SA payload offers or answers proposals (RFC 7296, section 3.3).
type SA struct {
	Proposals []Proposal
}

// A Proposal is one proposal as it is on the wire. Everything that a peer may
// send is kept, understood or not; SA.Offers gives what can be selected.
type Proposal struct {
	Number     uint8 // RFC 7296 has a sender count from 1; Parse does not insist
	Protocol   transform.Protocol
	SPI        []byte
	Transforms []Transform
}

// A Transform is one transform as it is on the wire.
type Transform struct {
	transform.Transform
	// Attributes other than one key length of the right form. A transform that
	// has any cannot be selected (RFC 7296, section 3.3.6).
	Attributes []Attribute
}

// An Attribute of a transform (RFC 7296, section 3.3.5).
type Attribute struct {
	Type  uint16 // without the format bit
	Short bool   // the value is two bytes in place of the length
	Value []byte
}

const (
	attrKeyLength = 14
	attrShortBit  = 0x8000

	moreProposals  = 2
	moreTransforms = 3
)

// NewSA returns the payload that offers or answers proposals. A proposal
// without number gets that of its position, from 1. It shares their SPIs.
func NewSA(proposals ...transform.Proposal) *SA {
	sa := &SA{Proposals: make([]Proposal, len(proposals))}
	for i, p := range proposals {
		number := p.Number
		if number == 0 {
			number = uint8(i + 1)
		}
		transforms := make([]Transform, len(p.Transforms))
		for j, t := range p.Transforms {
			transforms[j].Transform = t
		}
		sa.Proposals[i] = Proposal{number, p.Protocol, p.SPI, transforms}
	}
	return sa
}

// Offers returns the proposals that may be selected, as RFC 7296, section
// 3.3.6, wants: without those that hold a transform type that we do not know,
// and in the others without transforms that have an attribute we do not know.
// When that leaves a type without any transform, the proposal is left out too.
// The SPIs are shared with sa.
func (sa *SA) Offers() []transform.Proposal {
	var offers []transform.Proposal
	for _, p := range sa.Proposals {
		if transforms, ok := p.selectable(); ok {
			offers = append(offers, transform.Proposal{
				Number: p.Number, Protocol: p.Protocol, SPI: p.SPI, Transforms: transforms,
			})
		}
	}
	return offers
}

func (p *Proposal) selectable() ([]transform.Transform, bool) {
	var seen, kept [transform.TypeAddKE7 + 1]bool
	var transforms []transform.Transform
	for _, t := range p.Transforms {
		if t.Type < transform.TypeEncr || t.Type > transform.TypeAddKE7 {
			return nil, false
		}
		seen[t.Type] = true
		if len(t.Attributes) == 0 {
			kept[t.Type] = true
			transforms = append(transforms, t.Transform)
		}
	}
	return transforms, seen == kept
}

// Type returns PayloadSA.
func (sa *SA) Type() PayloadType { return PayloadSA }

func (sa *SA) check() error {
	if len(sa.Proposals) > 0xff {
		return fmt.Errorf("%d proposals: %w", len(sa.Proposals), ErrLimit)
	}
	for _, p := range sa.Proposals {
		if len(p.SPI) > 0xff || len(p.Transforms) > 0xff {
			return fmt.Errorf("proposal with %d transforms and an SPI of %d bytes: %w", len(p.Transforms), len(p.SPI), ErrLimit)
		}
		for _, t := range p.Transforms {
			for _, a := range t.Attributes {
				if a.Type >= attrShortBit || a.Short && len(a.Value) != 2 {
					return fmt.Errorf("transform attribute %d of %d bytes: %w", a.Type, len(a.Value), ErrMalformed)
				}
			}
		}
	}
	return nil
}

// AppendTo appends the payload body to b.
func (sa *SA) AppendTo(b []byte) []byte {
	for i := range sa.Proposals {
		more := byte(moreProposals)
		if i == len(sa.Proposals)-1 {
			more = 0
		}
		b = sa.Proposals[i].appendTo(b, more)
	}
	return b
}

func (p *Proposal) appendTo(b []byte, more byte) []byte {
	start := len(b)
	b = append(b, more, 0, 0, 0, p.Number, byte(p.Protocol), byte(len(p.SPI)), byte(len(p.Transforms)))
	b = append(b, p.SPI...)
	for i := range p.Transforms {
		more := byte(moreTransforms)
		if i == len(p.Transforms)-1 {
			more = 0
		}
		b = p.Transforms[i].appendTo(b, more)
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	return b
}

func (t *Transform) appendTo(b []byte, more byte) []byte {
	start := len(b)
	b = append(b, more, 0, 0, 0, byte(t.Type), 0)
	b = binary.BigEndian.AppendUint16(b, uint16(t.ID))
	if t.KeyBits != 0 {
		b = binary.BigEndian.AppendUint16(b, attrShortBit|attrKeyLength)
		b = binary.BigEndian.AppendUint16(b, t.KeyBits)
	}
	for _, a := range t.Attributes {
		if a.Short {
			b = binary.BigEndian.AppendUint16(b, attrShortBit|a.Type)
		} else {
			b = binary.BigEndian.AppendUint16(b, a.Type)
			b = binary.BigEndian.AppendUint16(b, uint16(len(a.Value)))
		}
		b = append(b, a.Value...)
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	return b
}

// ParseSA parses a payload body. The result aliases b.
func ParseSA(b []byte) (SA, error) {
	var sa SA
	for {
		body, rest, more, err := substructure(b, 8, moreProposals)
		if err != nil {
			return SA{}, fmt.Errorf("proposal %d: %w", len(sa.Proposals)+1, err)
		}
		p, err := parseProposal(body)
		if err != nil {
			return SA{}, fmt.Errorf("proposal %d: %w", len(sa.Proposals)+1, err)
		}
		if len(sa.Proposals) == 0xff {
			return SA{}, fmt.Errorf("more than 255 proposals: %w", ErrLimit)
		}
		sa.Proposals = append(sa.Proposals, p)
		if !more {
			return sa, nil
		}
		b = rest
	}
}

// substructure cuts a proposal or transform, which has a header of min bytes,
// from the front of b. Its first byte must be next when more follows and zero
// at the end of b.
func substructure(b []byte, min int, next byte) (body, rest []byte, more bool, err error) {
	if len(b) < min {
		return nil, nil, false, fmt.Errorf("%d bytes: %w", len(b), ErrShort)
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case n < min:
		return nil, nil, false, fmt.Errorf("length %d: %w", n, ErrMalformed)
	case n > len(b):
		return nil, nil, false, fmt.Errorf("length %d in %d bytes: %w", n, len(b), ErrShort)
	}
	more = n < len(b)
	if want := b[0]; more && want != next || !more && want != 0 {
		return nil, nil, false, fmt.Errorf("last-substructure field %d with %d bytes left: %w", b[0], len(b)-n, ErrMalformed)
	}
	return b[:n:n], b[n:], more, nil
}

// parseProposal parses a proposal with its header, of at least 8 bytes.
func parseProposal(b []byte) (Proposal, error) {
	p := Proposal{Number: b[4], Protocol: transform.Protocol(b[5])}
	size, count, rest := int(b[6]), int(b[7]), b[8:]
	if size > len(rest) {
		return Proposal{}, fmt.Errorf("SPI of %d bytes in %d: %w", size, len(rest), ErrShort)
	}
	p.SPI, rest = rest[:size:size], rest[size:]
	for len(rest) != 0 {
		var body []byte
		var err error
		if body, rest, _, err = substructure(rest, 8, moreTransforms); err != nil {
			return Proposal{}, fmt.Errorf("transform %d: %w", len(p.Transforms)+1, err)
		}
		t, err := parseTransform(body)
		if err != nil {
			return Proposal{}, fmt.Errorf("transform %d: %w", len(p.Transforms)+1, err)
		}
		p.Transforms = append(p.Transforms, t)
	}
	if len(p.Transforms) != count {
		return Proposal{}, fmt.Errorf("%d transforms instead of %d: %w", len(p.Transforms), count, ErrMalformed)
	}
	return p, nil
}

// parseTransform parses a transform with its header, of at least 8 bytes.
func parseTransform(b []byte) (Transform, error) {
	t := Transform{Transform: transform.Transform{
		Type: transform.Type(b[4]),
		ID:   transform.ID(binary.BigEndian.Uint16(b[6:])),
	}}
	for rest := b[8:]; len(rest) != 0; {
		if len(rest) < 4 {
			return Transform{}, fmt.Errorf("attribute of %d bytes: %w", len(rest), ErrShort)
		}
		kind, value := binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
		a := Attribute{Type: kind &^ attrShortBit, Short: kind&attrShortBit != 0}
		if a.Short {
			a.Value, rest = rest[2:4:4], rest[4:]
		} else {
			n := 4 + int(value)
			if n > len(rest) {
				return Transform{}, fmt.Errorf("attribute of %d bytes in %d: %w", n, len(rest), ErrShort)
			}
			a.Value, rest = rest[4:n:n], rest[n:]
		}
		// A first key length is the only one understood; a zero one, or one
		// after an unknown attribute, stays where the order keeps it.
		if a.Short && a.Type == attrKeyLength && value != 0 && t.KeyBits == 0 && len(t.Attributes) == 0 {
			t.KeyBits = value
			continue
		}
		t.Attributes = append(t.Attributes, a)
	}
	return t, nil
}
