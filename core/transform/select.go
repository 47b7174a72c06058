package transform

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNoProposal is what Select says when nothing on offer is acceptable; the
// answer to the peer is NO_PROPOSAL_CHOSEN.
var ErrNoProposal = errors.New("transform: no acceptable proposal")

// ErrBadAnswer is what Check says of an answer that does not fit the offer.
var ErrBadAnswer = errors.New("transform: answer does not fit the offer")

// Select is the responder's choice: the first of our preferred proposals that
// agrees with one on offer, and our first alternative of each type in it. The
// returned proposal is for the answer: one transform of each type, with the
// number and the SPI of the offer, which the caller replaces by its own SPI.
//
// An offer with a transform type that we do not know or that has no place in
// its protocol is not acceptable as a whole, an unknown transform alone is
// passed over (RFC 7296, section 3.3.6).
func Select(preferred, offered []Proposal) (Suite, Proposal, error) {
	return SelectKE(preferred, offered, KENone)
}

// SelectKE is Select, but where the proposals that agree have several key
// exchange methods in common and ke is among them, it takes ke: the method of
// the peer's KE payload saves the exchange that INVALID_KE_PAYLOAD costs.
func SelectKE(preferred, offered []Proposal, ke ID) (Suite, Proposal, error) {
	for _, ours := range preferred {
		for _, theirs := range offered {
			if s, answer, ok := agree(ours, theirs, ke); ok {
				return s, answer, nil
			}
		}
	}
	return Suite{}, Proposal{}, ErrNoProposal
}

// agree finds what both proposals allow.
func agree(ours, theirs Proposal, ke ID) (s Suite, answer Proposal, ok bool) {
	if ours.Protocol != theirs.Protocol || !wellFormed(theirs) {
		return s, answer, false
	}
	var chosen []Transform
	var kes []ID // a method is not taken twice (RFC 9370, section 2.2.1)
	for _, c := range []struct {
		typ  Type
		want ID // taken before our first alternative; 0: no wish
	}{{TypeEncr, 0}, {TypePRF, 0}, {TypeInteg, 0}, {TypeKE, ke}, {TypeESN, 0}} {
		mine, offer := ours.of(c.typ), theirs.of(c.typ)
		if c.typ == TypeInteg && s.AEAD() {
			mine = nil // an AEAD goes with NONE whatever our proposal says
		}
		t, ok := common(c.typ, mine, offer, c.want)
		if !ok {
			return s, answer, false
		}
		if len(offer) != 0 {
			chosen = append(chosen, t)
		}
		if c.typ == TypeKE && t.ID != KENone {
			kes = append(kes, t.ID)
		}
		s.set(t)
	}
	for typ := TypeAddKE1; typ <= TypeAddKE7; typ++ {
		taken := func(t Transform) bool { return slices.Contains(kes, t.ID) }
		offer := theirs.of(typ)
		t, ok := commonBut(typ, ours.of(typ), offer, taken)
		if !ok {
			return s, answer, false
		}
		if len(offer) != 0 {
			chosen = append(chosen, t)
		}
		if t.ID != KENone {
			kes = append(kes, t.ID)
		}
		s.set(t)
	}
	s.Protocol = ours.Protocol
	if !s.complete() {
		return s, answer, false
	}
	return s, Proposal{Number: theirs.Number, Protocol: theirs.Protocol, SPI: theirs.SPI, Transforms: chosen}, true
}

// common finds the first of our transforms that is on offer too. No transforms
// of a type that can be NONE mean just that: NONE (RFC 7296, section 3.3.3).
func common(typ Type, ours, offer []Transform, want ID) (Transform, bool) {
	none := Transform{Type: typ}
	if len(ours) == 0 {
		ours = []Transform{none}
	}
	if len(offer) == 0 {
		offer = []Transform{none}
	}
	if wished := (Transform{Type: typ, ID: want}); want != 0 && slices.Contains(ours, wished) && slices.Contains(offer, wished) {
		return wished, true
	}
	for _, t := range ours {
		if slices.Contains(offer, t) {
			return t, true
		}
	}
	return none, false
}

// commonBut is common without our transforms that are taken already.
func commonBut(typ Type, ours, offer []Transform, taken func(Transform) bool) (Transform, bool) {
	left := slices.DeleteFunc(slices.Clone(ours), taken)
	if len(left) == 0 && len(ours) != 0 {
		return Transform{}, false
	}
	return common(typ, left, offer, 0)
}

// wellFormed reports whether a proposal from the peer has the types that its
// protocol must have, and no other (RFC 7296, section 3.3.3).
func wellFormed(p Proposal) bool {
	var has [TypeAddKE7 + 1]bool
	for _, t := range p.Transforms {
		if t.Type < TypeEncr || t.Type > TypeAddKE7 {
			return false
		}
		has[t.Type] = true
	}
	switch p.Protocol {
	case ProtoIKE:
		return has[TypeEncr] && has[TypePRF] && has[TypeKE] && !has[TypeESN]
	case ProtoESP:
		return has[TypeEncr] && has[TypeESN] && !has[TypePRF]
	}
	return false
}

// set puts one transform in its place; NONE leaves the zero Transform.
func (s *Suite) set(t Transform) {
	if t.ID == 0 { // NONE or NO_ESN; reserved in the other types
		return
	}
	switch t.Type {
	case TypeEncr:
		s.Encr = t
	case TypePRF:
		s.PRF = t
	case TypeInteg:
		s.Integ = t
	case TypeKE:
		s.KE = t
	case TypeESN:
		s.ESN = t.ID == ESNYes
	default:
		if t.Type.additional() {
			s.Additional[t.Type-TypeAddKE1] = t.ID
		}
	}
}

// complete reports whether s has all that its protocol needs, and all of it implemented.
func (s Suite) complete() bool {
	if s.EncrKeyLen() == 0 || s.AEAD() != (s.Integ.ID == IntegNone) || !s.AEAD() && s.IntegKeyLen() == 0 {
		return false
	}
	if s.KE.ID != KENone && PublicSize(s.KE.ID) == 0 {
		return false
	}
	for i, id := range s.Additional {
		if id == KENone {
			continue
		}
		// Key exchanges that follow none, or the same one twice, are nobody's wish.
		if PublicSize(id) == 0 || s.KE.ID == KENone || s.KE.ID == id || slices.Contains(s.Additional[:i], id) {
			return false
		}
	}
	if s.Protocol == ProtoIKE {
		_, err := NewPRF(s.PRF.ID)
		return err == nil && s.KE.ID != KENone
	}
	return true
}

// Check is the initiator's look at the responder's choice: the answer must
// carry the number of one proposal of the offer and exactly one transform of
// each of its types, key length included. Only NONE may be left out, and be
// there unasked beside an AEAD. Every error wraps ErrBadAnswer.
func Check(offered []Proposal, answer Proposal) (Suite, error) {
	i := slices.IndexFunc(offered, func(p Proposal) bool {
		return p.Number == answer.Number && p.Protocol == answer.Protocol
	})
	if i < 0 {
		return Suite{}, fmt.Errorf("%w: %v proposal %d was not offered", ErrBadAnswer, answer.Protocol, answer.Number)
	}
	if !wellFormed(answer) {
		return Suite{}, fmt.Errorf("%w: %v lacks a type or has one too many", ErrBadAnswer, answer)
	}
	offer, s := offered[i], Suite{Protocol: answer.Protocol}
	for typ := TypeEncr; typ <= TypeAddKE7; typ++ {
		options, got := offer.of(typ), answer.of(typ)
		none := Transform{Type: typ}
		if len(got) > 1 {
			return Suite{}, fmt.Errorf("%w: %d transforms of type %v, want one", ErrBadAnswer, len(got), typ)
		}
		optional := typ == TypeInteg || typ == TypeKE || typ.additional()
		if len(got) == 0 && optional {
			got = []Transform{none}
		}
		if len(options) == 0 && optional {
			options = []Transform{none}
		}
		if len(got) == 0 && len(options) == 0 {
			continue
		}
		if len(got) == 0 || !slices.Contains(options, got[0]) {
			return Suite{}, fmt.Errorf("%w: %v: no %v of ours", ErrBadAnswer, answer, typ)
		}
		s.set(got[0])
	}
	if !s.complete() {
		return Suite{}, fmt.Errorf("%w: %v is not a complete suite", ErrBadAnswer, answer)
	}
	return s, nil
}
