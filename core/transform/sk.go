package transform

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrIntegrity is what Open says of a body that this key did not seal.
var ErrIntegrity = errors.New("transform: integrity check failed")

// An SK protects the messages of one direction of an IKE SA: it seals and
// opens the bodies of SK and SKF payloads (RFC 7296, section 3.14; RFC 5282;
// RFC 7634). It is not for concurrent use, and one key must not be given to two
// SKs that seal.
type SK struct {
	// With an AEAD:
	aead    cipher.AEAD
	nonce   [12]byte // salt | explicit IV
	counter uint64   // the next IV; 64 bits do not wrap in the life of an SA

	// Otherwise:
	cbc *CBC
	mac *HMAC
}

// NewSK returns the protection of suite under the keys SK_e and SK_a of one
// direction. With an AEAD encrKey ends in the salt and integKey is empty.
func NewSK(suite Suite, encrKey, integKey []byte) (*SK, error) {
	if suite.AEAD() {
		if len(integKey) != 0 {
			return nil, fmt.Errorf("transform: integrity key with the AEAD %v", suite.Encr)
		}
		aead, salt, err := NewAEAD(suite, encrKey)
		if err != nil {
			return nil, err
		}
		k := &SK{aead: aead}
		copy(k.nonce[:], salt[:])
		return k, nil
	}
	cbc, mac, err := NewCBCHMAC(suite, encrKey, integKey)
	if err != nil {
		return nil, err
	}
	return &SK{cbc: cbc, mac: mac}, nil
}

// Overhead is exactly what Seal adds to n bytes of payloads.
func (k *SK) Overhead(n int) int {
	if k.aead != nil {
		return len(k.nonce) - saltLen + 1 + k.aead.Overhead()
	}
	return k.cbc.BlockSize() + k.padding(n) + 1 + k.mac.Size()
}

// padding is the number of padding bytes before the pad length.
func (k *SK) padding(n int) int {
	if k.aead != nil {
		return 0
	}
	size := k.cbc.BlockSize()
	return (size - (n+1)%size) % size
}

// Seal appends IV, ciphertext of plain with padding, and ICV to dst. aad is the
// message up to there: its lengths must already count Overhead. With a CBC
// cipher the IV comes from rand, and Seal panics when rand fails; an AEAD
// counts its IVs. The unused capacity of dst must not overlap plain or aad.
func (k *SK) Seal(dst, aad, plain []byte, rand io.Reader) []byte {
	start := len(dst)
	if k.aead != nil {
		iv := k.nonce[saltLen:]
		binary.BigEndian.PutUint64(iv, k.counter)
		k.counter++
		dst = append(dst, iv...)
		dst = append(dst, plain...)
		dst = append(dst, 0)
		text := start + len(iv)
		return k.aead.Seal(dst[:text], k.nonce[:], dst[text:], aad)
	}
	var zero [16]byte
	size, pad := k.cbc.BlockSize(), k.padding(len(plain))
	dst = append(dst, zero[:size]...)
	if _, err := io.ReadFull(rand, dst[start:]); err != nil {
		panic(fmt.Sprintf("transform: no randomness for an IV: %v", err))
	}
	dst = append(dst, plain...)
	dst = append(dst, zero[:pad]...)
	dst = append(dst, byte(pad))
	text := dst[start+size:]
	k.cbc.Encrypt(text, dst[start:start+size], text)
	return k.mac.AppendTag(dst, aad, dst[start:])
}

// Open appends the payloads sealed in body to dst. It checks the integrity
// before it decrypts, and the padding after; every failure is ErrIntegrity, and
// dst is then not returned. body is left as it was; the unused capacity of dst
// must not overlap it.
func (k *SK) Open(dst, aad, body []byte) ([]byte, error) {
	start := len(dst)
	if k.aead != nil {
		ivLen := len(k.nonce) - saltLen
		if len(body) < ivLen+1+k.aead.Overhead() {
			return nil, ErrIntegrity
		}
		nonce := k.nonce
		copy(nonce[saltLen:], body[:ivLen])
		dst, err := k.aead.Open(dst, nonce[:], body[ivLen:], aad)
		if err != nil {
			return nil, ErrIntegrity
		}
		return unpad(dst, start)
	}
	size := k.cbc.BlockSize()
	text := len(body) - size - k.mac.Size()
	if text < size || text%size != 0 {
		return nil, ErrIntegrity
	}
	signed, tag := body[:size+text], body[size+text:]
	if !k.mac.Verify(tag, aad, signed) {
		return nil, ErrIntegrity
	}
	dst = append(dst, signed[size:]...)
	k.cbc.Decrypt(dst[start:], signed[:size], dst[start:])
	return unpad(dst, start)
}

// unpad strips the pad length and the padding, whose content is the sender's
// business (RFC 7296, section 3.14). What it sees is already authentic.
func unpad(b []byte, start int) ([]byte, error) {
	end := len(b) - 1
	pad := int(b[end])
	if pad > end-start {
		return nil, ErrIntegrity
	}
	return b[:end-pad], nil
}
