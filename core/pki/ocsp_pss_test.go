package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
)

// pssParams are RSASSA-PSS-params with the salt as long as the hash.
func pssParams(t *testing.T, oid asn1.ObjectIdentifier, salt int) asn1.RawValue {
	t.Helper()
	hash := pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.NullRawValue}
	return asn1.RawValue{FullBytes: must(t, struct {
		Hash pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
		MGF  pkix.AlgorithmIdentifier `asn1:"explicit,tag:1"`
		Salt int                      `asn1:"explicit,tag:2"`
	}{hash, pkix.AlgorithmIdentifier{Algorithm: oidMGF1, Parameters: asn1.RawValue{FullBytes: must(t, hash)}}, salt})}
}

// OCSP responses may be signed with RSASSA-PSS, over a hash that holds.
func TestOCSPSignedWithPSS(t *testing.T) {
	key := newRSA(t, 2048)
	c := template("RSA CA", asCA(nil))
	ca := &authority{t, sign(t, c, c, key.Public(), key), key}
	leaf := ca.told([]string{ocspURL}, nil, nil)
	plain := ca.ocsp(leaf, ca.cert, ca.key, nil)
	resign := func(params asn1.RawValue, hash crypto.Hash, salt int) []byte {
		var r ocspResponse
		var b ocspBasic
		if _, err := asn1.Unmarshal(plain, &r); err != nil {
			t.Fatal(err)
		}
		if _, err := asn1.Unmarshal(r.Bytes.Data, &b); err != nil {
			t.Fatal(err)
		}
		sig, err := rsa.SignPSS(rand.Reader, key, hash, digest(hash, b.Data.Raw), &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		b.Algorithm = pkix.AlgorithmIdentifier{Algorithm: oidRSASSAPSS, Parameters: params}
		b.Signature = asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}
		r.Bytes.Data = must(t, struct {
			Data      asn1.RawValue
			Algorithm pkix.AlgorithmIdentifier
			Signature asn1.BitString
		}{asn1.RawValue{FullBytes: b.Data.Raw}, b.Algorithm, b.Signature})
		return must(t, r)
	}
	sha1 := asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	for name, tt := range map[string]struct {
		answer []byte
		good   bool
	}{
		"PKCS #1":         {plain, true},
		"SHA-256":         {resign(pssParams(t, oidSHA256, 32), crypto.SHA256, 32), true},
		"SHA-512":         {resign(pssParams(t, oidSHA512, 64), crypto.SHA512, 64), true},
		"SHA-1":           {resign(pssParams(t, sha1, 20), crypto.SHA1, 20), false},
		"no parameters":   {resign(asn1.RawValue{}, crypto.SHA1, 20), false},
		"another hash":    {resign(pssParams(t, oidSHA256, 32), crypto.SHA512, 64), false},
		"another salt":    {resign(pssParams(t, oidSHA256, 32), crypto.SHA256, 10), false},
		"too long a salt": {resign(pssParams(t, oidSHA256, 64), crypto.SHA256, 64), false},
	} {
		_, err := feed(t, check(RevocationStrict, leaf, ca.cert), map[string][]byte{ocspURL: tt.answer})
		if (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}
