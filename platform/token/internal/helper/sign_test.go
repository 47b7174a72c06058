package helper

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"math/big"
	"testing"
)

// TestPad pads as the standard library verifies, for moduli of every length, since
// the encoding may be a byte shorter than the modulus.
func TestPad(t *testing.T) {
	for _, bits := range []int{2048, 2049, 2050, 3072, 1031} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		for h, digest := range map[crypto.Hash][]byte{crypto.SHA256: sum256("hello"), crypto.SHA384: sum384("hello")} {
			em, err := pad(digest, key.N.BitLen(), h)
			if err != nil {
				t.Fatal(err)
			}
			sig := new(big.Int).Exp(new(big.Int).SetBytes(em), key.D, key.N).FillBytes(make([]byte, (bits+7)/8))
			if err := rsa.VerifyPSS(&key.PublicKey, h, digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}); err != nil {
				t.Errorf("%d bits, %v: %v", bits, h, err)
			}
		}
	}
	if _, err := pad(make([]byte, 64), 1024, crypto.SHA512); err == nil {
		t.Error("a key too short for the hash was padded for")
	}
}

func sum256(s string) []byte { d := sha256.Sum256([]byte(s)); return d[:] }
func sum384(s string) []byte { d := sha512.Sum384([]byte(s)); return d[:] }
