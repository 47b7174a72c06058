package transform

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// NewAEAD returns the combined-mode cipher of s under key, whose last 4 bytes
// are the salt: a packet's nonce is salt | explicit IV (8 bytes). The length of
// key is s.EncrKeyLen().
func NewAEAD(s Suite, key []byte) (aead cipher.AEAD, salt [4]byte, err error) {
	if !s.AEAD() {
		return nil, salt, fmt.Errorf("transform: %v is not an AEAD", s.Encr)
	}
	if want := s.EncrKeyLen(); want == 0 || len(key) != want {
		return nil, salt, fmt.Errorf("transform: %v key of %d bytes, want %d", s.Encr, len(key), want)
	}
	key, tail := key[:len(key)-saltLen], key[len(key)-saltLen:]
	copy(salt[:], tail)
	if s.Encr.ID == EncrChaCha20Poly {
		aead, err = chacha20poly1305.New(key)
		return aead, salt, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, salt, err
	}
	aead, err = cipher.NewGCM(block)
	return aead, salt, err
}

// A CBC encrypts and decrypts in cipher block chaining mode with one key
// (RFC 3602; RFC 2451), without allocating. It is not for concurrent use.
type CBC struct {
	block    cipher.Block
	enc, dec cbcMode
}

// A cbcMode can start a new message, as the standard library's CBC modes can.
type cbcMode interface {
	cipher.BlockMode
	SetIV([]byte)
}

// newCBC returns the CBC mode cipher of s.
func newCBC(s Suite, key []byte) (*CBC, error) {
	if want := s.EncrKeyLen(); s.AEAD() || want == 0 || len(key) != want {
		return nil, fmt.Errorf("transform: no CBC cipher %v with a key of %d bytes", s.Encr, len(key))
	}
	var block cipher.Block
	var err error
	if s.Encr.ID == Encr3DES {
		block, err = des.NewTripleDESCipher(key)
	} else {
		block, err = aes.NewCipher(key)
	}
	if err != nil {
		return nil, err
	}
	iv := make([]byte, block.BlockSize())
	enc, encOK := cipher.NewCBCEncrypter(block, iv).(cbcMode)
	dec, decOK := cipher.NewCBCDecrypter(block, iv).(cbcMode)
	if !encOK || !decOK {
		return nil, fmt.Errorf("transform: %v: the CBC mode of this Go release cannot take a new IV", s.Encr)
	}
	return &CBC{block: block, enc: enc, dec: dec}, nil
}

// BlockSize is the cipher's block size, and the length of its IV.
func (c *CBC) BlockSize() int { return c.block.BlockSize() }

// Encrypt encrypts src into dst, which may be src. The length of src must be a
// multiple of the block size; iv is one block and must be unpredictable.
func (c *CBC) Encrypt(dst, iv, src []byte) {
	c.enc.SetIV(iv)
	c.enc.CryptBlocks(dst, src)
}

// Decrypt decrypts src into dst, which may be src. The length of src must be a
// multiple of the block size; iv is one block.
func (c *CBC) Decrypt(dst, iv, src []byte) {
	c.dec.SetIV(iv)
	c.dec.CryptBlocks(dst, src)
}

// NewCBCHMAC returns the cipher and the integrity algorithm of a suite that is
// not an AEAD. The key lengths are s.EncrKeyLen() and s.IntegKeyLen().
func NewCBCHMAC(s Suite, encrKey, integKey []byte) (*CBC, *HMAC, error) {
	cbc, err := newCBC(s, encrKey)
	if err != nil {
		return nil, nil, err
	}
	mac, err := NewHMAC(s.Integ.ID, integKey)
	if err != nil {
		return nil, nil, err
	}
	return cbc, mac, nil
}

// Wipe overwrites key material that is no longer needed. It is best effort:
// the garbage collector may have left copies.
func Wipe(keys ...[]byte) {
	for _, k := range keys {
		clear(k)
	}
}
