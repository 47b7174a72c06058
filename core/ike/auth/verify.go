package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// The errors that Verify wraps: the proof is false; or it is made in a way
// that is unknown, ill-formed, or not allowed.
var (
	ErrSignature = errors.New("signature does not verify")
	ErrScheme    = errors.New("signature scheme not accepted")
)

// maxSignature bounds the signature of an AUTH payload: RSA of 8192 bits.
const maxSignature = MaxRSABits / 8

// Verify checks the AUTH data of a signature method over octets and returns
// the name of the scheme that it was made with. allowed nil means
// DefaultSchemes(true); a caller whose peer does not speak RFC 7427 passes
// DefaultSchemes(false).
//
// It is strict. The AlgorithmIdentifier of RFC 7427 must be, byte for byte, a
// form of an allowed scheme that fits the key: the parameters of RSASSA-PSS
// name one hash, MGF1 with the same hash and a salt of its length. Signatures are
// canonical: PKCS #1 padding and DigestInfo byte for byte, minimal DER for
// ECDSA, nothing before or behind. The key is one that CheckKey accepts, or a
// *WeakPublicKey.
func Verify(pub crypto.PublicKey, method Method, data, octets []byte, allowed []Scheme) (string, error) {
	pub, err := accepted(pub)
	if err != nil {
		return "", err
	}
	if allowed == nil {
		allowed = DefaultSchemes(true)
	}
	switch method {
	case MethodDigitalSignature:
		s, sig, err := parseSignature(data)
		if err != nil {
			return "", err
		}
		if err := s.permitted(pub, allowed); err != nil {
			return s.String(), err
		}
		return s.String(), s.verify(pub, sig, octets)
	case MethodRSA:
		return verifyRSA(pub, data, octets, allowed)
	case MethodECDSA256, MethodECDSA384, MethodECDSA521:
		return verifyECDSA(pub, method, data, octets, allowed)
	}
	return "", fmt.Errorf("auth: authentication method %d is no signature: %w", method, ErrScheme)
}

func (s Scheme) permitted(pub crypto.PublicKey, allowed []Scheme) error {
	if !s.fits(pub) {
		return fmt.Errorf("auth: %v with an %s key: %w", s, keyName(pub), ErrScheme)
	}
	if !slices.Contains(allowed, s) {
		return fmt.Errorf("auth: the peer signed with %v, allowed are %v: %w", s, allowed, ErrScheme)
	}
	return nil
}

// verifyRSA checks method 1. It does not say which hash was used; RFC 7296,
// section 3.8, has SHA-1 by custom and permits others, so each allowed one is
// tried. That is safe: the hash is part of what the signature encodes.
func verifyRSA(pub crypto.PublicKey, sig, octets []byte, allowed []Scheme) (string, error) {
	if _, ok := pub.(*rsa.PublicKey); !ok {
		return "", fmt.Errorf("auth: method 1 (RSA) with an %s key: %w", keyName(pub), ErrScheme)
	}
	for _, s := range []Scheme{RSASHA1, RSASHA256, RSASHA384, RSASHA512} {
		if s.verify(pub, sig, octets) == nil {
			return s.String(), s.permitted(pub, allowed)
		}
	}
	return "", fmt.Errorf("auth: method 1 (RSA): %w", ErrSignature)
}

// verifyECDSA checks methods 9 to 11, where the signature is r | s (RFC 4754).
func verifyECDSA(pub crypto.PublicKey, method Method, sig, octets []byte, allowed []Scheme) (string, error) {
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok || ecdsaMethod(k) != method {
		return "", fmt.Errorf("auth: method %d (ECDSA) with an %s key: %w", method, keyName(pub), ErrScheme)
	}
	s := map[crypto.Hash]Scheme{crypto.SHA256: ECDSASHA256, crypto.SHA384: ECDSASHA384, crypto.SHA512: ECDSASHA512}[curveHash(k)]
	if err := s.permitted(pub, allowed); err != nil {
		return s.String(), err
	}
	n := (k.Params().N.BitLen() + 7) / 8
	if len(sig) != 2*n {
		return s.String(), fmt.Errorf("auth: ECDSA signature of %d bytes, not %d: %w", len(sig), 2*n, ErrSignature)
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:])})
	if err != nil {
		return s.String(), fmt.Errorf("auth: ECDSA signature: %w", ErrSignature)
	}
	return s.String(), s.verify(pub, der, octets)
}

// verify checks a bare signature; the scheme must fit the key.
func (s Scheme) verify(pub crypto.PublicKey, sig, octets []byte) error {
	d := schemes[s]
	good := false
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if d.family == familyPSS {
			good = verifyPSS(k, d.hash, sig, octets)
		} else {
			good = rsa.VerifyPKCS1v15(k, d.hash, digest(d.hash, octets), sig) == nil
		}
	case *PSSPublicKey:
		good = verifyPSS(k.Key, d.hash, sig, octets)
	case *ecdsa.PublicKey:
		good = ecdsa.VerifyASN1(k, digest(d.hash, octets), sig)
	case ed25519.PublicKey:
		good = ed25519.Verify(k, octets, sig)
	}
	if !good {
		return fmt.Errorf("auth: %v: %w", s, ErrSignature)
	}
	return nil
}

func verifyPSS(k *rsa.PublicKey, h crypto.Hash, sig, octets []byte) bool {
	return rsa.VerifyPSS(k, h, digest(h, octets), sig, &rsa.PSSOptions{SaltLength: h.Size()}) == nil
}

// appendSignature appends the AUTH data of RFC 7427, section 3: the length of
// the AlgorithmIdentifier in one byte, the AlgorithmIdentifier, the signature.
func appendSignature(b []byte, s Scheme, sig []byte) []byte {
	id := schemes[s].algIDs[0]
	b = append(b, byte(len(id)))
	b = append(b, id...)
	return append(b, sig...)
}

// SchemeOf names the scheme that the AUTH data of a digital signature claims
// (RFC 7427). Nothing is verified.
func SchemeOf(data []byte) (string, error) {
	s, _, err := parseSignature(data)
	if err != nil {
		return "", err
	}
	return s.String(), nil
}

// parseSignature parses the AUTH data of RFC 7427. The signature aliases data.
func parseSignature(data []byte) (Scheme, []byte, error) {
	if len(data) == 0 || len(data) < 1+int(data[0]) {
		return 0, nil, fmt.Errorf("auth: digital signature of %d bytes: AlgorithmIdentifier is cut short: %w", len(data), ErrScheme)
	}
	id, sig := data[1:1+int(data[0])], data[1+int(data[0]):]
	if len(sig) == 0 || len(sig) > maxSignature {
		return 0, nil, fmt.Errorf("auth: digital signature: %d bytes of signature: %w", len(sig), ErrSignature)
	}
	for i, d := range schemes {
		if i > 0 && slices.Contains(d.algIDs, string(id)) {
			return Scheme(i), sig, nil
		}
	}
	return 0, nil, fmt.Errorf("auth: digital signature with %s: %w", describeAlgID(id), ErrScheme)
}

// describeAlgID names a rejected identifier for people, as far as it parses.
func describeAlgID(id []byte) string {
	var v struct {
		Algorithm asn1.ObjectIdentifier
		Rest      asn1.RawValue `asn1:"optional"`
	}
	rest, err := asn1.Unmarshal(id, &v)
	switch {
	case err != nil:
		return fmt.Sprintf("an AlgorithmIdentifier of %d bytes that is not DER", len(id))
	case len(rest) > 0:
		return fmt.Sprintf("%d bytes behind the AlgorithmIdentifier %v", len(rest), v.Algorithm)
	}
	return fmt.Sprintf("algorithm %v in a form that is not supported", v.Algorithm)
}
