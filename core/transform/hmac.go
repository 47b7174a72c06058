package transform

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"hash"
)

// An integSpec says what an integrity algorithm is (RFC 2404; RFC 4868).
type integSpec struct {
	hash   func() hash.Hash
	keyLen int
	icvLen int
}

var integSpecs = map[ID]integSpec{
	IntegHMACSHA1_96:   {sha1.New, sha1.Size, 12},
	IntegHMACSHA256128: {sha256.New, sha256.Size, 16},
	IntegHMACSHA384192: {sha512.New384, sha512.Size384, 24},
	IntegHMACSHA512256: {sha512.New, sha512.Size, 32},
}

// An HMAC computes truncated HMACs with one key. It keeps the hash states of
// the padded key, so that a packet costs no allocation and no key set-up. It
// is not for concurrent use.
type HMAC struct {
	mac  hash.Hash
	size int
	sum  [sha512.Size]byte
}

// NewHMAC returns the integrity algorithm id under key, which must have the
// length that the algorithm asks for.
func NewHMAC(id ID, key []byte) (*HMAC, error) {
	spec, ok := integSpecs[id]
	if !ok {
		return nil, fmt.Errorf("transform: integrity algorithm %v is not implemented", Transform{Type: TypeInteg, ID: id})
	}
	if len(key) != spec.keyLen {
		return nil, fmt.Errorf("transform: %v key of %d bytes, want %d", Transform{Type: TypeInteg, ID: id}, len(key), spec.keyLen)
	}
	m := &HMAC{mac: hmac.New(spec.hash, key), size: spec.icvLen}
	m.mac.Reset() // computes the padded key's states once and for all
	return m, nil
}

// Size is the length of the truncated tag.
func (m *HMAC) Size() int { return m.size }

// AppendTag appends the truncated tag of the concatenated parts to dst. It
// borrows the parts.
func (m *HMAC) AppendTag(dst []byte, parts ...[]byte) []byte {
	return append(dst, m.compute(parts)...)
}

// Verify reports, in constant time, whether tag is the truncated tag of the
// concatenated parts.
func (m *HMAC) Verify(tag []byte, parts ...[]byte) bool {
	return subtle.ConstantTimeCompare(m.compute(parts), tag) == 1
}

func (m *HMAC) compute(parts [][]byte) []byte {
	m.mac.Reset()
	for _, p := range parts {
		m.mac.Write(p)
	}
	return m.mac.Sum(m.sum[:0])[:m.size]
}
