// Package gcm is AES in Galois/Counter Mode (NIST SP 800-38D) with nonces of 12
// bytes and tags of 16, as ESP uses it (RFC 4106). Processors whose instructions
// for it work on four blocks at once (VAES and VPCLMULQDQ, with AVX-512), or on two
// (with AVX2), run our own assembly. Every other processor, and every build with
// the tag purego, runs the standard library's. All keep the same contract; tests
// hold each against the standard library.
package gcm

import (
	"crypto/aes"
	"crypto/cipher"
)

const (
	nonceSize = 12
	tagSize   = 16
)

// New returns AES-128-GCM, AES-192-GCM or AES-256-GCM, as the length of key
// says. Goroutines may use what it returns at the same time. Neither Seal nor
// Open allocates where dst has room. The result keeps no reference to key.
func New(key []byte) (cipher.AEAD, error) {
	switch len(key) {
	case 16, 24, 32:
	default:
		return nil, aes.KeySizeError(len(key))
	}
	if lanes > 1 {
		return newWide(key), nil
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
