package transform

import "slices"

// additional reports whether t is the type of one of the key exchanges after
// the first (RFC 9370).
func (t Type) additional() bool { return t >= TypeAddKE1 && t <= TypeAddKE7 }

// nth counts the additional key exchanges from 1.
func (t Type) nth() int { return int(t-TypeAddKE1) + 1 }

// HasAdditional reports whether p offers key exchanges after the first.
func (p Proposal) HasAdditional() bool {
	return slices.ContainsFunc(p.Transforms, func(t Transform) bool { return t.Type.additional() && t.ID != KENone })
}

// QuantumSafe reports whether one of the key exchanges withstands quantum
// computers whatever the peer chooses of p.
func (p Proposal) QuantumSafe() bool {
	for typ := TypeKE; typ <= TypeAddKE7; typ++ {
		if typ != TypeKE && !typ.additional() {
			continue
		}
		list := p.of(typ)
		if len(list) > 0 && !slices.ContainsFunc(list, func(t Transform) bool { return !quantumSafe(t.ID) }) {
			return true
		}
	}
	return false
}

// classical reports whether p offers nothing that a peer without RFC 9370 and
// without ML-KEM cannot know.
func (p Proposal) classical() bool {
	return !slices.ContainsFunc(p.Transforms, func(t Transform) bool {
		return t.Type.additional() || t.Type == TypeKE && quantumSafe(t.ID)
	})
}

// QuantumSafe reports whether one of the key exchanges that were agreed on
// withstands quantum computers.
func (s Suite) QuantumSafe() bool {
	return quantumSafe(s.KE.ID) || slices.ContainsFunc(s.Additional[:], quantumSafe)
}

// AdditionalKEs lists the key exchanges after the first in their order.
func (s Suite) AdditionalKEs() []ID {
	var list []ID
	for _, id := range s.Additional {
		if id != KENone {
			list = append(list, id)
		}
	}
	return list
}

// Classical returns the proposals without those that only a peer with RFC 9370
// or ML-KEM understands.
func Classical(list []Proposal) []Proposal {
	return number(slices.DeleteFunc(slices.Clone(list), func(p Proposal) bool { return !p.classical() }))
}

// QuantumSafe returns the proposals that are quantum-safe whatever the peer
// chooses of them.
func QuantumSafe(list []Proposal) []Proposal {
	return number(slices.DeleteFunc(slices.Clone(list), func(p Proposal) bool { return !p.QuantumSafe() }))
}

// Hybrid returns the proposals with one more before them for each that has a
// key exchange and is not quantum-safe: the same with ML-KEM after its own key
// exchange. Who breaks one of the two has nothing.
func Hybrid(list []Proposal) []Proposal {
	var out []Proposal
	for _, p := range list {
		if len(p.KEs()) == 0 || !p.classical() {
			continue
		}
		p.Transforms = slices.DeleteFunc(slices.Clone(p.Transforms), func(t Transform) bool { return t.Type == TypeKE && t.ID == KENone })
		at := len(p.Transforms)
		if i := slices.IndexFunc(p.Transforms, func(t Transform) bool { return t.Type == TypeESN }); i >= 0 {
			at = i
		}
		p.Transforms = slices.Insert(p.Transforms, at,
			Transform{Type: TypeAddKE1, ID: KEMLKEM768}, Transform{Type: TypeAddKE1, ID: KEMLKEM1024})
		if !slices.ContainsFunc(list, func(q Proposal) bool { return p.Protocol == q.Protocol && slices.Equal(p.Transforms, q.Transforms) }) {
			out = append(out, p)
		}
	}
	return number(append(out, list...))
}
