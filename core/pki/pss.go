package pki

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"sallyport/core/ike/auth"
)

// Keys whose algorithm is id-RSASSA-PSS instead of rsaEncryption (RFC 4055):
// crypto/x509 reads neither their certificates' keys nor their key files.
var (
	oidRSASSAPSS = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidSHA256    = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384    = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512    = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
)

// PublicKey returns the public key of a certificate: what crypto/x509 found,
// or an *auth.PSSPublicKey when the key is confined to RSASSA-PSS.
func PublicKey(c *x509.Certificate) (crypto.PublicKey, error) {
	if c.PublicKey != nil {
		return c.PublicKey, nil
	}
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	rest, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &spki)
	if err != nil || len(rest) > 0 {
		return nil, &Error{Kind: Malformed, Subject: name(c), Detail: "holds a public key that cannot be parsed", Err: err}
	}
	if !spki.Algorithm.Algorithm.Equal(oidRSASSAPSS) {
		return nil, &Error{Kind: Weak, Subject: name(c), Detail: fmt.Sprintf("holds a public key of a kind that is not supported (%v)", spki.Algorithm.Algorithm)}
	}
	key, err := x509.ParsePKCS1PublicKey(spki.Key.RightAlign())
	if err != nil {
		return nil, &Error{Kind: Malformed, Subject: name(c), Detail: "holds an RSA key that cannot be parsed", Err: err}
	}
	hash, err := pssHash(spki.Algorithm.Parameters.FullBytes)
	if err != nil {
		return nil, &Error{Kind: Weak, Subject: name(c), Detail: "holds an RSASSA-PSS key whose parameters are not accepted", Err: err}
	}
	return &auth.PSSPublicKey{Key: key, Hash: hash}, nil
}

// pssHash returns the hash to which RSASSA-PSS-params (RFC 4055, section 3.1)
// confine a key: 0 for absent parameters, which confine nothing.
func pssHash(params []byte) (crypto.Hash, error) {
	if len(params) == 0 {
		return 0, nil
	}
	var p struct {
		Hash    pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:0"`
		MGF     pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:1"`
		Salt    int                      `asn1:"explicit,optional,tag:2,default:20"`
		Trailer int                      `asn1:"explicit,optional,tag:3,default:1"`
	}
	if rest, err := asn1.Unmarshal(params, &p); err != nil || len(rest) > 0 {
		return 0, fmt.Errorf("malformed RSASSA-PSS parameters")
	}
	var mgfHash pkix.AlgorithmIdentifier
	if !p.MGF.Algorithm.Equal(oidMGF1) {
		return 0, fmt.Errorf("hash algorithm SHA-1 or an unknown mask generation function")
	}
	if rest, err := asn1.Unmarshal(p.MGF.Parameters.FullBytes, &mgfHash); err != nil || len(rest) > 0 || !mgfHash.Algorithm.Equal(p.Hash.Algorithm) {
		return 0, fmt.Errorf("the mask generation function uses another hash")
	}
	hash := map[string]crypto.Hash{
		oidSHA256.String(): crypto.SHA256, oidSHA384.String(): crypto.SHA384, oidSHA512.String(): crypto.SHA512,
	}[p.Hash.Algorithm.String()]
	if hash == 0 {
		return 0, fmt.Errorf("hash algorithm %v", p.Hash.Algorithm)
	}
	if p.Salt > hash.Size() || p.Trailer != 1 {
		return 0, fmt.Errorf("salt of %d bytes, trailer %d", p.Salt, p.Trailer)
	}
	return hash, nil
}

// parsePSSKey parses a PKCS #8 key whose algorithm is id-RSASSA-PSS.
func parsePSSKey(der []byte) (*auth.PSSPrivateKey, bool) {
	var p struct {
		Version    int
		Algorithm  pkix.AlgorithmIdentifier
		Key        []byte
		Attributes asn1.RawValue `asn1:"optional,tag:0"`
	}
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 || !p.Algorithm.Algorithm.Equal(oidRSASSAPSS) {
		return nil, false
	}
	hash, err := pssHash(p.Algorithm.Parameters.FullBytes)
	if err != nil {
		return nil, false
	}
	key, err := x509.ParsePKCS1PrivateKey(bytes.Clone(p.Key))
	if err != nil {
		return nil, false
	}
	return &auth.PSSPrivateKey{Key: key, Hash: hash}, true
}

// confine returns the key to sign with for a certificate.
func confine(c *x509.Certificate, key crypto.Signer) crypto.Signer {
	pub, err := PublicKey(c)
	if err != nil {
		return key
	}
	p, ok := pub.(*auth.PSSPublicKey)
	k, isRSA := key.(*rsa.PrivateKey)
	if ok && isRSA {
		return &auth.PSSPrivateKey{Key: k, Hash: p.Hash}
	}
	return key
}
