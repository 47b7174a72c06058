// Package esp seals and opens ESP packets in tunnel mode (RFC 4303): AES-GCM
// (RFC 4106), ChaCha20-Poly1305 (RFC 7634), and CBC ciphers with an HMAC (RFC
// 3602, 2451, 4868, 2404), with extended sequence numbers and a replay window.
// A Sealer or Opener serves one SA and one goroutine at a time; neither
// allocates per packet.
package esp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"

	"sallyport/core/internal/gcm"
	"sallyport/core/transform"
)

// HeaderLen is the length of the SPI and sequence number.
const HeaderLen = 8

// MaxTrailer is the most that Seal writes behind the payload: padding, pad
// length and next header. (The ICV goes to the output only.)
const MaxTrailer = 17

// Keys are the keys of one direction.
type Keys struct {
	Encr  []byte // for an AEAD the 4 bytes of salt follow the key
	Integ []byte // nil for an AEAD
}

// ErrSuite means that a suite is not one that this package implements.
var ErrSuite = errors.New("esp: unsupported suite")

// A layout holds the sizes that a suite gives to the parts of a packet.
type layout struct {
	iv    int // explicit IV in the packet
	align int // payload, padding and trailer are a multiple of it: a power of two
	icv   int
}

// An AEAD's nonce is an implicit salt of saltLen bytes and an IV of aeadIV bytes.
const (
	saltLen = 4
	aeadIV  = 8
)

func layoutOf(s transform.Suite) (layout, error) {
	switch s.Encr.ID {
	case transform.EncrAESGCM16, transform.EncrChaCha20Poly:
		return layout{iv: aeadIV, align: 4, icv: 16}, nil
	case transform.EncrAESCBC, transform.Encr3DES:
		l := layout{iv: aes.BlockSize, align: aes.BlockSize}
		if s.Encr.ID == transform.Encr3DES {
			l = layout{iv: des.BlockSize, align: des.BlockSize}
		}
		if _, l.icv = integ(s.Integ.ID); l.icv != 0 {
			return l, nil
		}
	}
	return layout{}, fmt.Errorf("%w: encryption %d, integrity %d", ErrSuite, s.Encr.ID, s.Integ.ID)
}

// integ returns the hash of an integrity algorithm and the length of its ICV.
func integ(id transform.ID) (func() hash.Hash, int) {
	switch id {
	case transform.IntegHMACSHA1_96:
		return sha1.New, 12
	case transform.IntegHMACSHA256128:
		return sha256.New, 16
	case transform.IntegHMACSHA384192:
		return sha512.New384, 24
	case transform.IntegHMACSHA512256:
		return sha512.New, 32
	}
	return nil, 0
}

// SealedLen returns the length of the ESP packet that carries an inner packet
// of n bytes, or 0 when the suite is unsupported.
func SealedLen(s transform.Suite, n int) int {
	l, err := layoutOf(s)
	if err != nil {
		return 0
	}
	return l.sealed(n)
}

func (l layout) sealed(n int) int {
	return HeaderLen + l.iv + (n+2+l.align-1)&^(l.align-1) + l.icv
}

// MaxInner returns the length of the longest inner packet whose ESP packet has
// at most n bytes; it is negative when none fits or the suite is unsupported.
func MaxInner(s transform.Suite, n int) int {
	l, err := layoutOf(s)
	if err != nil {
		return -1
	}
	return l.maxInner(n)
}

func (l layout) maxInner(n int) int {
	room := n - HeaderLen - l.iv - l.icv
	if room < l.align {
		return -1
	}
	return room&^(l.align-1) - 2
}

// A protector is the cipher of one direction: either aead or block and mac.
type protector struct {
	layout
	aead  cipher.AEAD
	block cipher.Block
	mac   hash.Hash
	esn   bool
	salt  uint32
	Scratch
	sum [64]byte // the computed ICV
}

// A Scratch holds what would escape to the heap on each call: the nonce (salt
// and IV) and the AAD (SPI and 64-bit sequence number).
type Scratch struct {
	nonce [12]byte
	aad   [12]byte
}

func newProtector(s transform.Suite, k Keys) (*protector, error) {
	l, err := layoutOf(s)
	if err != nil {
		return nil, err
	}
	p := &protector{layout: l, esn: s.ESN}
	key := k.Encr
	switch s.Encr.ID {
	case transform.EncrAESGCM16, transform.EncrChaCha20Poly:
		if len(key) <= saltLen {
			return nil, fmt.Errorf("esp: key of %d bytes", len(key))
		}
		p.salt = binary.BigEndian.Uint32(key[len(key)-saltLen:])
		key = key[:len(key)-saltLen]
	}
	if bits := int(s.Encr.KeyBits); bits != 0 && bits != len(key)*8 {
		return nil, fmt.Errorf("esp: key of %d bytes for %d bits", len(key), bits)
	}
	switch s.Encr.ID {
	case transform.EncrAESGCM16:
		if p.aead, err = gcm.New(key); err != nil {
			return nil, fmt.Errorf("esp: %w", err)
		}
		return p, nil
	case transform.EncrChaCha20Poly:
		if p.aead, err = chacha20poly1305.New(key); err != nil {
			return nil, fmt.Errorf("esp: %w", err)
		}
		return p, nil
	case transform.EncrAESCBC:
		p.block, err = aes.NewCipher(key)
	case transform.Encr3DES:
		p.block, err = des.NewTripleDESCipher(key)
	}
	if err != nil {
		return nil, fmt.Errorf("esp: %w", err)
	}
	h, _ := integ(s.Integ.ID)
	// RFC 4868, section 2.1.1: the key is as long as the hash's output. The
	// same holds for HMAC-SHA1-96 (RFC 2404, section 3).
	if want := h().Size(); len(k.Integ) != want {
		return nil, fmt.Errorf("esp: integrity key of %d bytes, want %d", len(k.Integ), want)
	}
	p.mac = hmac.New(h, k.Integ)
	return p, nil
}

// authenticate computes the ICV of a CBC suite over the packet b without its
// ICV, and the high sequence bits when they are implicit (RFC 4303, section
// 2.2.1). The result lies in p.sum.
func (p *protector) authenticate(b []byte, high uint32) []byte {
	p.mac.Reset()
	p.mac.Write(b)
	if p.esn {
		p.aad[0], p.aad[1], p.aad[2], p.aad[3] = byte(high>>24), byte(high>>16), byte(high>>8), byte(high)
		p.mac.Write(p.aad[:4])
	}
	return p.mac.Sum(p.sum[:0])[:p.icv]
}
