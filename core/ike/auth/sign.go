package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
)

// The size in bits of the RSA keys that are believed: below, they are weak;
// above, they are a way to burn our time.
const (
	MinRSABits = 2048
	MaxRSABits = 8192
)

// A PSSPublicKey is an RSA key that its certificate confines to RSASSA-PSS
// (id-RSASSA-PSS as the key's algorithm, RFC 4055).
type PSSPublicKey struct {
	Key  *rsa.PublicKey
	Hash crypto.Hash // the only hash to be used with it; 0: any
}

// Equal reports whether x is the same key with the same confinement.
func (k *PSSPublicKey) Equal(x crypto.PublicKey) bool {
	o, ok := x.(*PSSPublicKey)
	return ok && k.Hash == o.Hash && k.Key.Equal(o.Key)
}

// A PSSPrivateKey is the private half of a PSSPublicKey.
type PSSPrivateKey struct {
	Key  *rsa.PrivateKey
	Hash crypto.Hash
}

// Public returns the *PSSPublicKey.
func (k *PSSPrivateKey) Public() crypto.PublicKey {
	return &PSSPublicKey{Key: &k.Key.PublicKey, Hash: k.Hash}
}

// Sign signs digest with RSASSA-PSS; opts must be *rsa.PSSOptions.
func (k *PSSPrivateKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, ok := opts.(*rsa.PSSOptions); !ok || k.Hash != 0 && opts.HashFunc() != k.Hash {
		return nil, errors.New("auth: the key signs by RSASSA-PSS with its own hash only")
	}
	return k.Key.Sign(rand, digest, opts)
}

// ErrNoScheme is wrapped when no signature scheme fits the key, what the peer
// understands, and what is allowed.
var ErrNoScheme = errors.New("no common signature scheme")

// CheckKey reports why a public key may not authenticate an end: its kind is
// not known, or it is weaker than what Sallyport accepts (RSA of 2048 to 8192
// bits, P-256, P-384, P-521, Ed25519).
func CheckKey(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < MinRSABits || n > MaxRSABits {
			return fmt.Errorf("auth: RSA key of %d bits (%d to %d are accepted)", n, MinRSABits, MaxRSABits)
		}
		return nil
	case *PSSPublicKey:
		return CheckKey(k.Key)
	case *ecdsa.PublicKey:
		if curveHash(k) == 0 {
			return fmt.Errorf("auth: ECDSA key on curve %s", k.Params().Name)
		}
		return nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("auth: Ed25519 key of %d bytes", len(k))
		}
		return nil
	}
	return fmt.Errorf("auth: keys of type %T cannot sign here", pub)
}

// curveHash returns the hash that matches the strength of the key's curve.
func curveHash(k *ecdsa.PublicKey) crypto.Hash {
	switch k.Curve {
	case elliptic.P256():
		return crypto.SHA256
	case elliptic.P384():
		return crypto.SHA384
	case elliptic.P521():
		return crypto.SHA512
	}
	return 0
}

// fits reports whether the scheme can be used with the key at all.
func (s Scheme) fits(pub crypto.PublicKey) bool {
	if !s.valid() {
		return false
	}
	d := schemes[s]
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return d.family == familyRSA || d.family == familyPSS
	case *PSSPublicKey:
		return d.family == familyPSS && (k.Hash == 0 || k.Hash == d.hash)
	case *ecdsa.PublicKey:
		return d.family == familyECDSA
	case ed25519.PublicKey:
		return d.family == familyEd25519
	}
	return false
}

// Choose picks the method and scheme to sign with. peerHashes is what the peer
// announced in SIGNATURE_HASH_ALGORITHMS, nil when it announced nothing and so
// does not speak RFC 7427. allowed is in order of preference; nil means
// DefaultSchemes.
//
// With RFC 7427 the method is 14. For ECDSA the hash that matches the curve is
// taken when it is among the candidates. Without RFC 7427 an ECDSA key signs
// by the method of its curve (RFC 4754) and an RSA key by method 1: with SHA-1
// where RSASHA1 is allowed, as RFC 7296, section 3.8, recommends and nearly
// every such peer expects, else with a SHA-2 hash, which the RFC permits.
func Choose(pub crypto.PublicKey, peerHashes []uint16, allowed []Scheme) (Method, Scheme, error) {
	if err := CheckKey(pub); err != nil {
		return 0, 0, err
	}
	if allowed == nil {
		allowed = DefaultSchemes(peerHashes != nil)
	}
	var fit []Scheme
	for _, s := range allowed {
		if s.fits(pub) && (peerHashes == nil || slices.Contains(peerHashes, schemes[s].wire)) {
			fit = append(fit, s)
		}
	}
	ec, isEC := pub.(*ecdsa.PublicKey)
	matching := slices.IndexFunc(fit, func(s Scheme) bool { return isEC && schemes[s].hash == curveHash(ec) })

	switch {
	case peerHashes != nil && matching >= 0:
		return MethodDigitalSignature, fit[matching], nil
	case peerHashes != nil && len(fit) > 0:
		return MethodDigitalSignature, fit[0], nil
	case peerHashes == nil && matching >= 0:
		return ecdsaMethod(ec), fit[matching], nil
	case peerHashes == nil && slices.Contains(fit, RSASHA1):
		return MethodRSA, RSASHA1, nil
	case peerHashes == nil:
		for _, s := range fit {
			if schemes[s].family == familyRSA {
				return MethodRSA, s, nil
			}
		}
	}
	peer := "announced no signature hash algorithms (RFC 7427)"
	if peerHashes != nil {
		peer = fmt.Sprintf("announced the hash algorithms %v", peerHashes)
	}
	return 0, 0, fmt.Errorf("auth: our %s key, the allowed schemes %v, and a peer that %s: %w", keyName(pub), allowed, peer, ErrNoScheme)
}

func ecdsaMethod(k *ecdsa.PublicKey) Method {
	switch curveHash(k) {
	case crypto.SHA256:
		return MethodECDSA256
	case crypto.SHA384:
		return MethodECDSA384
	}
	return MethodECDSA521
}

func keyName(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", k.N.BitLen())
	case *PSSPublicKey:
		return fmt.Sprintf("RSA-PSS-%d", k.Key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", pub)
}

// Sign computes the AUTH data over octets with the method and scheme that
// Choose picks, and returns them with the scheme's name.
func Sign(rand io.Reader, key crypto.Signer, octets []byte, peerHashes []uint16, allowed []Scheme) (Method, []byte, string, error) {
	u, err := Prepare(key.Public(), octets, peerHashes, allowed)
	if err != nil {
		return 0, nil, "", err
	}
	sig, err := key.Sign(rand, u.Digest, u.Opts)
	if err != nil {
		return 0, nil, "", fmt.Errorf("auth: sign with %v: %w", u.scheme, err)
	}
	return u.Finish(sig)
}

func digest(h crypto.Hash, octets []byte) []byte {
	d := h.New()
	d.Write(octets)
	return d.Sum(nil)
}

// rawECDSA turns a DER signature into r | s, each as long as the order of the
// curve (RFC 4754, section 7).
func rawECDSA(der []byte, k *ecdsa.PublicKey) ([]byte, error) {
	var v struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &v); err != nil || len(rest) > 0 {
		return nil, errors.New("auth: the signer returned no ECDSA signature")
	}
	n := (k.Params().N.BitLen() + 7) / 8
	if v.R.Sign() <= 0 || v.S.Sign() <= 0 || v.R.BitLen() > 8*n || v.S.BitLen() > 8*n {
		return nil, errors.New("auth: the signer returned an ECDSA signature out of range")
	}
	raw := make([]byte, 2*n)
	v.R.FillBytes(raw[:n])
	v.S.FillBytes(raw[n:])
	return raw, nil
}
