package auth

import (
	"crypto"
	"crypto/rsa"
	"fmt"
)

// MinWeakRSABits is the least size of an RSA key that may be allowed although
// it is weak; what is smaller is broken by one person with one machine.
const MinWeakRSABits = 1024

// A WeakPublicKey is a peer's RSA key of less than MinRSABits that its
// configuration allows all the same. CheckKey refuses it, so that it serves
// only where a verifier has made one: see Weaken.
type WeakPublicKey struct{ Key *rsa.PublicKey }

// Weaken returns the weak form of a key that CheckKey refuses for its size
// alone, and every other as it is.
func Weaken(pub crypto.PublicKey) crypto.PublicKey {
	k, ok := pub.(*rsa.PublicKey)
	if ok && k.N.BitLen() < MinRSABits && k.N.BitLen() >= MinWeakRSABits {
		return &WeakPublicKey{Key: k}
	}
	return pub
}

// accepted returns the key to verify with: one that is strong, or the one that
// a WeakPublicKey holds.
func accepted(pub crypto.PublicKey) (crypto.PublicKey, error) {
	w, ok := pub.(*WeakPublicKey)
	if !ok {
		return pub, CheckKey(pub)
	}
	if n := w.Key.N.BitLen(); n < MinWeakRSABits || n > MaxRSABits {
		return nil, fmt.Errorf("auth: RSA key of %d bits (%d to %d are accepted here)", n, MinWeakRSABits, MaxRSABits)
	}
	return w.Key, nil
}
