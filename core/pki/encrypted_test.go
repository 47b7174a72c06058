package pki

import (
	"crypto"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"testing"
	"time"
)

func must(t *testing.T, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func algorithm(t *testing.T, oid asn1.ObjectIdentifier, params any) pkix.AlgorithmIdentifier {
	t.Helper()
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: must(t, params)}}
}

// What a key file can make us compute is bounded, and what it says is checked.
func TestEncryptedKeyBounds(t *testing.T) {
	type kdf struct {
		Salt  []byte
		Count int
		PRF   pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	type scryptParams struct {
		Salt    []byte
		N, R, P int
	}
	type pbes2 struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	aes := algorithm(t, pbesCiphers[2].oid, make([]byte, 16))
	block := make([]byte, 32)
	build := func(scheme, derive asn1.ObjectIdentifier, params any, cipher pkix.AlgorithmIdentifier, data []byte) []byte {
		return must(t, encryptedKey{algorithm(t, scheme, pbes2{algorithm(t, derive, params), cipher}), data})
	}
	good := kdf{Salt: []byte("salt"), Count: 1}
	unknown := asn1.ObjectIdentifier{1, 2, 3}
	start := time.Now()
	for name, tt := range map[string]struct {
		der  []byte
		text string // empty: the passphrase is wrong
	}{
		"sound":              {build(oidPBES2, oidPBKDF2, good, aes, block), ""},
		"iterations":         {build(oidPBES2, oidPBKDF2, kdf{Count: maxIterations + 1}, aes, block), "iterations"},
		"no iterations":      {build(oidPBES2, oidPBKDF2, kdf{}, aes, block), "iterations"},
		"unknown PRF":        {build(oidPBES2, oidPBKDF2, kdf{Count: 1, PRF: pkix.AlgorithmIdentifier{Algorithm: unknown}}, aes, block), "1.2.3"},
		"no PBKDF2":          {build(oidPBES2, oidPBKDF2, 5, aes, block), "PBKDF2 parameters"},
		"scrypt memory":      {build(oidPBES2, oidScrypt, scryptParams{nil, 1 << 22, 8, 1}, aes, block), "too much"},
		"scrypt overflow":    {build(oidPBES2, oidScrypt, scryptParams{nil, 1 << 62, 1, 1}, aes, block), "too much"},
		"scrypt parallelism": {build(oidPBES2, oidScrypt, scryptParams{nil, 2, 1, 1 << 20}, aes, block), "too much"},
		"scrypt N":           {build(oidPBES2, oidScrypt, scryptParams{nil, 3, 1, 1}, aes, block), "N must be"},
		"no scrypt":          {build(oidPBES2, oidScrypt, 5, aes, block), "scrypt parameters"},
		"unknown KDF":        {build(oidPBES2, unknown, 5, aes, block), "key derivation 1.2.3"},
		"unknown cipher":     {build(oidPBES2, oidPBKDF2, good, algorithm(t, unknown, 5), block), "cipher 1.2.3"},
		"unknown scheme":     {build(unknown, oidPBKDF2, good, aes, block), "algorithm 1.2.3"},
		"IV of 8":            {build(oidPBES2, oidPBKDF2, good, algorithm(t, pbesCiphers[2].oid, make([]byte, 8)), block), "malformed"},
		"IV of no kind":      {build(oidPBES2, oidPBKDF2, good, algorithm(t, pbesCiphers[2].oid, 5), block), "malformed"},
		"odd length":         {build(oidPBES2, oidPBKDF2, good, aes, block[:31]), "malformed"},
		"no PBES2":           {must(t, encryptedKey{algorithm(t, oidPBES2, 5), block}), "malformed"},
	} {
		_, err := ParsePrivateKey(tt.der, []byte("x"))
		if tt.text == "" {
			if !errors.Is(err, ErrPassphraseWrong) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		wantKind(t, err, Malformed, tt.text)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

// The parameters of a key that is confined to RSASSA-PSS.
func TestPSSParameters(t *testing.T) {
	type params struct {
		Hash    pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:0"`
		MGF     pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:1"`
		Salt    int                      `asn1:"explicit,optional,tag:2,default:20"`
		Trailer int                      `asn1:"explicit,optional,tag:3,default:1"`
	}
	of := func(hash, mgf asn1.ObjectIdentifier, salt, trailer int) []byte {
		return must(t, params{
			pkix.AlgorithmIdentifier{Algorithm: hash, Parameters: asn1.NullRawValue},
			algorithm(t, oidMGF1, pkix.AlgorithmIdentifier{Algorithm: mgf}), salt, trailer,
		})
	}
	for name, tt := range map[string]struct {
		der  []byte
		hash crypto.Hash
		ok   bool
	}{
		"absent":           {nil, 0, true},
		"SHA-256":          {of(oidSHA256, oidSHA256, 32, 1), crypto.SHA256, true},
		"SHA-512":          {of(oidSHA512, oidSHA512, 32, 1), crypto.SHA512, true},
		"default (SHA-1)":  {[]byte{0x30, 0}, 0, false},
		"SHA-1":            {of(asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, 20, 1), 0, false},
		"two hashes":       {of(oidSHA256, oidSHA384, 32, 1), 0, false},
		"salt too long":    {of(oidSHA256, oidSHA256, 64, 1), 0, false},
		"trailer 2":        {of(oidSHA256, oidSHA256, 32, 2), 0, false},
		"something behind": {append(of(oidSHA256, oidSHA256, 32, 1), 0), 0, false},
		"another MGF": {must(t, params{
			pkix.AlgorithmIdentifier{Algorithm: oidSHA256},
			algorithm(t, asn1.ObjectIdentifier{1, 2, 3}, pkix.AlgorithmIdentifier{Algorithm: oidSHA256}), 32, 1,
		}), 0, false},
	} {
		hash, err := pssHash(tt.der)
		if hash != tt.hash || (err == nil) != tt.ok {
			t.Errorf("%s: %v, %v", name, hash, err)
		}
	}
}
