package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
)

// An Unsigned is AUTH data that lacks its signature: Digest and Opts are what
// crypto.Signer is to be given, by a key that may take its time.
type Unsigned struct {
	Digest []byte // or, for Ed25519, the octets themselves
	Opts   crypto.SignerOpts

	pub    crypto.PublicKey
	method Method
	scheme Scheme
}

// Prepare says what a key has to sign over octets, with the method and scheme
// that Choose picks.
func Prepare(pub crypto.PublicKey, octets []byte, peerHashes []uint16, allowed []Scheme) (*Unsigned, error) {
	method, s, err := Choose(pub, peerHashes, allowed)
	if err != nil {
		return nil, err
	}
	u := &Unsigned{pub: pub, method: method, scheme: s}
	d := schemes[s]
	switch d.family {
	case familyEd25519:
		u.Digest, u.Opts = octets, crypto.Hash(0)
	case familyPSS:
		u.Digest, u.Opts = digest(d.hash, octets), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: d.hash}
	default:
		u.Digest, u.Opts = digest(d.hash, octets), d.hash
	}
	return u, nil
}

// Finish makes the AUTH data of the signature, and returns it with its method
// and the name of the scheme. ECDSA signatures are DER.
func (u *Unsigned) Finish(sig []byte) (Method, []byte, string, error) {
	switch u.method {
	case MethodDigitalSignature:
		sig = appendSignature(nil, u.scheme, sig)
	case MethodECDSA256, MethodECDSA384, MethodECDSA521:
		var err error
		if sig, err = rawECDSA(sig, u.pub.(*ecdsa.PublicKey)); err != nil {
			return 0, nil, "", err
		}
	}
	return u.method, sig, u.scheme.String(), nil
}
