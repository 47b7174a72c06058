package auth

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"testing"
)

// A key that is allowed although it is weak is so by its own type: nothing takes
// it for a strong one.
func TestWeakKeyServesWhereAllowed(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	octets := []byte("octets")
	digest := sha256.Sum256(octets)
	raw, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	if err != nil {
		t.Fatal(err)
	}
	sig := appendSignature(nil, RSAPSSSHA256, raw)
	if _, err := Verify(key.Public(), MethodDigitalSignature, sig, octets, nil); err == nil {
		t.Error("a small key is taken")
	}
	if _, err := Verify(Weaken(key.Public()), MethodDigitalSignature, sig, octets, nil); err != nil {
		t.Error(err)
	}
	if _, err := Verify(Weaken(key.Public()), MethodDigitalSignature, sig, []byte("others"), nil); err == nil {
		t.Error("a false signature is taken")
	}
	if CheckKey(Weaken(key.Public())) == nil {
		t.Error("CheckKey takes a weak key")
	}
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := Weaken(strong.Public()).(*WeakPublicKey); ok {
		t.Error("a strong key becomes weak")
	}
}
