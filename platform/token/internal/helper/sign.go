package helper

import (
	"crypto"
	"crypto/rand"
	_ "crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/asn1"
	"fmt"
	"math/big"

	"sallyport/core/host"
	"sallyport/platform/token/internal/cryptoki"
	"sallyport/platform/token/internal/wire"
)

// A hashKind is what PKCS #11 and PKCS #1 call a hash.
type hashKind struct {
	mechanism, mgf uint64 // CKM_SHA256, CKG_MGF1_SHA256
	prefix         []byte // of a DigestInfo (RFC 8017, section 9.2)
}

var hashes = map[crypto.Hash]hashKind{
	crypto.SHA1:   {0x220, 1, []byte{0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14}},
	crypto.SHA256: {0x250, 2, []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}},
	crypto.SHA384: {0x260, 3, []byte{0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30}},
	crypto.SHA512: {0x270, 4, []byte{0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40}},
}

// sign signs a digest, or with Ed25519 a message.
func (s *session) sign(q *wire.Request) ([]byte, error) {
	h := crypto.Hash(q.Hash)
	kind, known := hashes[h]
	if q.Key.Kind != host.TokenEdDSA && (!known || len(q.Digest) != h.Size()) {
		return nil, fmt.Errorf("%w: a digest of %d bytes", host.ErrTokenRefused, len(q.Digest))
	}
	sign := func(mechanism uint64, parameter, data []byte) ([]byte, error) {
		return s.Sign(q.Key.Handle, mechanism, parameter, data, q.Key.AlwaysAsks, q.PIN)
	}
	switch {
	case q.Key.Kind == host.TokenEdDSA:
		return sign(cryptoki.MechEdDSA, nil, q.Digest)
	case q.Key.Kind == host.TokenEC:
		raw, err := sign(cryptoki.MechECDSA, nil, q.Digest)
		if err != nil {
			return nil, err
		}
		return derOf(raw)
	case q.Key.Kind == host.TokenRSA && !q.PSS:
		return sign(cryptoki.MechRSA, nil, append(append([]byte(nil), kind.prefix...), q.Digest...))
	case q.Key.Kind == host.TokenRSA:
		return s.signPSS(q, h, kind, sign)
	}
	return nil, host.ErrTokenRefused
}

// signPSS signs by RSASSA-PSS, with a salt as long as the hash. Many cards pad
// in no other way than PKCS #1 v1.5: for them we pad, and they do the rest.
func (s *session) signPSS(q *wire.Request, h crypto.Hash, kind hashKind, sign func(uint64, []byte, []byte) ([]byte, error)) ([]byte, error) {
	can, err := s.Mechanisms()
	if err != nil {
		return nil, err
	}
	if can[cryptoki.MechRSAPSS] {
		var p []byte
		for _, n := range []uint64{kind.mechanism, kind.mgf, uint64(h.Size())} {
			p = append(p, cryptoki.Number(n)...)
		}
		return sign(cryptoki.MechRSAPSS, p, q.Digest)
	}
	if !can[cryptoki.MechRSARaw] {
		return nil, fmt.Errorf("%w: it signs neither with RSASSA-PSS nor what is padded already", host.ErrTokenRefused)
	}
	modulus, err := s.Attribute(q.Key.Handle, cryptoki.AttrModulus)
	if err != nil {
		return nil, err
	}
	n := new(big.Int).SetBytes(modulus)
	if n.BitLen() < 1024 || n.BitLen() > 16384 {
		return nil, fmt.Errorf("%w: a key of %d bits", host.ErrTokenRefused, n.BitLen())
	}
	padded, err := pad(q.Digest, n.BitLen(), h)
	if err != nil {
		return nil, err
	}
	return sign(cryptoki.MechRSARaw, nil, padded)
}

// pad is EMSA-PSS-ENCODE (RFC 8017, section 9.1.1) for a modulus of bits bits, to
// the length of the modulus.
func pad(digest []byte, bits int, h crypto.Hash) ([]byte, error) {
	size, salt := h.Size(), make([]byte, h.Size())
	em := make([]byte, (bits+7)/8)
	short := em[len(em)-(bits-1+7)/8:]
	if len(short) < 2*size+2 {
		return nil, fmt.Errorf("%w: the key is too short for the hash", host.ErrTokenRefused)
	}
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	d := h.New()
	d.Write(make([]byte, 8))
	d.Write(digest)
	d.Write(salt)
	sum := d.Sum(nil)
	db := short[:len(short)-size-1]
	db[len(db)-len(salt)-1] = 1
	copy(db[len(db)-len(salt):], salt)
	// MGF1 (section B.2.1).
	for counter, i := uint32(0), 0; i < len(db); counter++ {
		d.Reset()
		d.Write(sum)
		d.Write([]byte{byte(counter >> 24), byte(counter >> 16), byte(counter >> 8), byte(counter)})
		for _, b := range d.Sum(nil) {
			if i < len(db) {
				db[i] ^= b
				i++
			}
		}
	}
	db[0] &= 0xff >> (8*len(short) - (bits - 1))
	copy(short[len(db):], sum)
	short[len(short)-1] = 0xbc
	return em, nil
}

// derOf makes of r | s, each half as long, what crypto.Signer returns.
func derOf(raw []byte) ([]byte, error) {
	if len(raw) == 0 || len(raw)%2 != 0 {
		return nil, fmt.Errorf("%w: an ECDSA signature of %d bytes", host.ErrTokenRefused, len(raw))
	}
	half := len(raw) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])})
}
