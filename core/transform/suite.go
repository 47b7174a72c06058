package transform

import "strings"

// saltLen is the part of an AEAD's keying material that becomes the constant
// head of every nonce (RFC 4106, section 8.1; RFC 5282, section 7.1; RFC 7634, section 2).
const saltLen = 4

// An encrSpec says what a cipher needs.
type encrSpec struct {
	keyBits  []uint16 // values of the key length attribute; nil: fixed, no attribute
	fixedKey int      // key bytes where there is no attribute
	aead     bool
	ivLen    int
	block    int // plaintext is padded to a multiple of this
	icvLen   int // AEAD only
}

var encrSpecs = map[ID]encrSpec{
	Encr3DES:         {fixedKey: 24, ivLen: 8, block: 8},
	EncrAESCBC:       {keyBits: []uint16{128, 192, 256}, ivLen: 16, block: 16},
	EncrAESGCM16:     {keyBits: []uint16{128, 192, 256}, aead: true, ivLen: 8, block: 1, icvLen: 16},
	EncrChaCha20Poly: {fixedKey: 32, aead: true, ivLen: 8, block: 1, icvLen: 16},
}

// valid reports whether t has a key length that the cipher has.
func (spec encrSpec) valid(t Transform) bool {
	if spec.keyBits == nil {
		return t.KeyBits == 0
	}
	for _, bits := range spec.keyBits {
		if t.KeyBits == bits {
			return true
		}
	}
	return false
}

// AEAD reports whether the suite's cipher authenticates by itself.
func (s Suite) AEAD() bool { return encrSpecs[s.Encr.ID].aead }

// EncrKeyLen is the length of SK_e or of the ESP encryption key in bytes,
// with the salt of an AEAD at its end; 0 for a cipher that we do not implement.
func (s Suite) EncrKeyLen() int {
	spec, ok := encrSpecs[s.Encr.ID]
	if !ok || !spec.valid(s.Encr) {
		return 0
	}
	n := spec.fixedKey
	if spec.keyBits != nil {
		n = int(s.Encr.KeyBits) / 8
	}
	if spec.aead {
		n += saltLen
	}
	return n
}

// IntegKeyLen is the length of SK_a or of the ESP integrity key in bytes; 0 with an AEAD.
func (s Suite) IntegKeyLen() int {
	if s.AEAD() {
		return 0
	}
	return integSpecs[s.Integ.ID].keyLen
}

// IVLen is the length of the explicit initialization vector in bytes.
func (s Suite) IVLen() int { return encrSpecs[s.Encr.ID].ivLen }

// BlockLen is what the cipher needs its plaintext padded to a multiple of; 1 for an AEAD.
// (ESP pads to a multiple of 4 besides: RFC 4303, section 2.4.)
func (s Suite) BlockLen() int { return encrSpecs[s.Encr.ID].block }

// ICVLen is the length of the integrity check value in bytes.
func (s Suite) ICVLen() int {
	if spec := encrSpecs[s.Encr.ID]; spec.aead {
		return spec.icvLen
	}
	return integSpecs[s.Integ.ID].icvLen
}

// String lists the algorithms: "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384".
func (s Suite) String() string {
	var names []string
	for _, t := range s.transforms() {
		names = append(names, t.String())
	}
	return strings.Join(names, "/")
}

// Weak names the suite's algorithms that no longer protect, for people; nil if there is none.
func (s Suite) Weak() []string { return weak(s.transforms()) }

// transforms lists what the suite holds, without the types that are "none".
func (s Suite) transforms() []Transform {
	all := []Transform{s.Encr}
	if !s.AEAD() && s.Integ.ID != IntegNone {
		all = append(all, s.Integ)
	}
	if s.Protocol == ProtoIKE {
		all = append(all, s.PRF)
	}
	if s.KE.ID != KENone {
		all = append(all, s.KE)
	}
	for i, id := range s.Additional {
		if id != KENone {
			all = append(all, Transform{Type: TypeAddKE1 + Type(i), ID: id})
		}
	}
	if s.ESN {
		all = append(all, Transform{Type: TypeESN, ID: ESNYes})
	}
	return all
}
