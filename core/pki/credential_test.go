package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sallyport/core/ike/auth"
)

func TestCredential(t *testing.T) {
	root := newCA(t, "Root", nil)
	sub := root.sub("Sub", nil)
	leaf, key := sub.leafKey(nil)
	c, err := NewCredential(leaf, []*x509.Certificate{root.cert, newCA(t, "Sub", nil).cert, sub.cert, leaf}, key)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Chain, []*x509.Certificate{leaf, sub.cert}) {
		t.Errorf("chain of %d", len(c.Chain))
	}
	if c.Signer() != key {
		t.Error("another signer")
	}
	_, err = NewCredential(leaf, nil, newKey(t))
	wantKind(t, err, Mismatch, "do not belong together")
	rsaKey, err := ParsePrivateKey(file(t, "rsa.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewCredential(leaf, nil, rsaKey)
	wantKind(t, err, Mismatch, "ECDSA P-256 key, the private key is RSA-2048")
	weakKey, err := ParsePrivateKey(file(t, "rsa1024.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewCredential(certFile(t, "rsa1024.pem"), nil, weakKey)
	wantKind(t, err, Weak, "1024")
	for _, bad := range []Credential{{}, {Key: key}, {Chain: c.Chain}, {Chain: []*x509.Certificate{nil}, Key: key}} {
		wantKind(t, bad.Check(), Malformed, "lacks")
	}

	for in, want := range map[string]string{
		"%any":                           "C=CH, O=Lab, CN=cn.example.com",
		"c=ch, o=lab, cn=cn.example.com": "C=CH, O=Lab, CN=cn.example.com",
		"gw.example.com":                 "gw.example.com",
	} {
		if got, err := c.Identity(id(t, in)); err != nil || got.String() != want {
			t.Errorf("Identity(%s) = %s, %v", in, got, err)
		}
	}
	_, err = c.Identity(id(t, "other.example.com"))
	wantKind(t, err, Identity, "other.example.com")
}

// Two authorities that certify each other do not make an endless chain.
func TestChainCycle(t *testing.T) {
	a, b := newCA(t, "A", nil), newCA(t, "B", nil)
	ab := sign(t, template("A", asCA(nil)), b.cert, a.key.Public(), b.key)
	ba := sign(t, template("B", asCA(nil)), a.cert, b.key.Public(), a.key)
	leaf := a.leaf(nil)
	if got := Chain(leaf, []*x509.Certificate{ab, ba}); !slices.Equal(got, []*x509.Certificate{leaf, ab, ba}) {
		t.Errorf("chain of %d", len(got))
	}
	_, err := (&Verifier{Roots: []*x509.Certificate{newCA(t, "C", nil).cert}}).Verify([]*x509.Certificate{leaf, ab, ba}, gw(t), now)
	wantKind(t, err, UnknownCA, "")
}

func TestCertReqHashes(t *testing.T) {
	a, b := newCA(t, "A", nil), newCA(t, "B", nil)
	ha, hb := sha1.Sum(a.cert.RawSubjectPublicKeyInfo), sha1.Sum(b.cert.RawSubjectPublicKeyInfo)
	want := append(ha[:], hb[:]...)
	if got := CertReqHashes([]*x509.Certificate{a.cert, b.cert, a.cert}); !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	if got := CertReqHashes(nil); len(got) != 0 {
		t.Errorf("%x for nobody", got)
	}
}

func TestParsePrivateKey(t *testing.T) {
	want, err := ParsePrivateKey(file(t, "ec-sec1.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	equal := func(k crypto.Signer) bool {
		return want.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(k.Public())
	}
	for _, name := range []string{"ec-pkcs8.key", "ec-pkcs8.der"} {
		for _, pass := range []string{"", "needless"} {
			if k, err := ParsePrivateKey(file(t, name), []byte(pass)); err != nil || !equal(k) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, name := range []string{"ec-aes256.key", "ec-aes128.der", "ec-des3.key", "ec-scrypt.key", "ec-legacy.key"} {
		if k, err := ParsePrivateKey(file(t, name), []byte("sallyport")); err != nil || !equal(k) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := ParsePrivateKey(file(t, name), nil); !errors.Is(err, ErrPassphraseNeeded) {
			t.Errorf("%s without passphrase: %v", name, err)
		}
		if _, err := ParsePrivateKey(file(t, name), []byte("wrong")); !errors.Is(err, ErrPassphraseWrong) {
			t.Errorf("%s with a wrong passphrase: %v", name, err)
		}
	}
	_, err = ParsePrivateKey(file(t, "ec-pbes1.key"), []byte("sallyport"))
	wantKind(t, err, Malformed, "not supported: convert it")
	for _, name := range []string{"rsa-pkcs1.key", "rsa.key", "pss-key.key", "swan-ca.key", "swan-gw.key"} {
		if _, err := ParsePrivateKey(file(t, name), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	x, err := x509.MarshalPKCS8PrivateKey(mustX25519(t))
	if err != nil {
		t.Fatal(err)
	}
	for text, b := range map[string][]byte{
		"holds no private key": file(t, "rsa.pem"),
		"cannot be parsed":     []byte("nonsense"),
		"OpenSSH":              []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"),
		"cannot sign":          x,
		"too large":            make([]byte, maxFile+1),
	} {
		_, err := ParsePrivateKey(b, nil)
		wantKind(t, err, Malformed, text)
	}
}

func TestParseCertificates(t *testing.T) {
	a, b := file(t, "swan-gw.pem"), file(t, "rsa.pem")
	ca, cb := certFile(t, "swan-gw.pem"), certFile(t, "rsa.pem")
	for name, in := range map[string][]byte{
		"two blocks":     slices.Concat(a, b),
		"text between":   slices.Concat([]byte("Certificate:\n    Data:\n"), a, []byte("some words\n"), b, []byte("the end")),
		"a key between":  slices.Concat(a, file(t, "rsa.key"), b),
		"DER, both":      slices.Concat(ca.Raw, cb.Raw),
		"CRLF":           []byte(crlf(slices.Concat(a, b))),
		"no end of line": slices.Concat(a, b[:len(b)-1]),
	} {
		got, err := ParseCertificates(in)
		if err != nil || len(got) != 2 || !got[0].Equal(ca) || !got[1].Equal(cb) {
			t.Errorf("%s: %d certificates, %v", name, len(got), err)
		}
	}
	for text, in := range map[string][]byte{
		"holds no certificate":        file(t, "rsa.key"),
		"neither PEM nor DER":         []byte("nonsense"),
		"the file holds no certifica": nil,
		"certificate 2":               slices.Concat(ca.Raw, []byte{0x30, 0}),
		"certificate 1":               file(t, "ec-pkcs8.der"),
		"too large":                   make([]byte, maxFile+1),
	} {
		_, err := ParseCertificates(in)
		wantKind(t, err, Malformed, text)
	}
}

// Certificates that OpenSSL and strongSwan made, the signatures of OpenSSL.
func TestForeign(t *testing.T) {
	at := func(c *x509.Certificate) time.Time { return c.NotBefore.Add(time.Hour) }
	pssCA := &Verifier{Roots: []*x509.Certificate{certFile(t, "pss-ca.pem")}}
	rsaCert, pssCert := certFile(t, "rsa.pem"), certFile(t, "pss-key.pem")
	rsaPub, err := pssCA.Verify([]*x509.Certificate{rsaCert}, gw(t), at(rsaCert))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := rsaPub.(interface{ Size() int }); !ok {
		t.Errorf("key of type %T", rsaPub)
	}
	pssPub, err := pssCA.Verify([]*x509.Certificate{pssCert}, gw(t), at(pssCert))
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := pssPub.(*auth.PSSPublicKey); !ok || k.Hash != crypto.SHA256 {
		t.Errorf("key %+v", pssPub)
	}

	swanCert := certFile(t, "swan-gw.pem")
	swan := &Verifier{Roots: []*x509.Certificate{certFile(t, "swan-ca.pem")}}
	for _, name := range []string{"swan.example.com", "2001:db8::1", "gw@example.com", "C=CH, O=strongSwan, CN=swan.example.com"} {
		for _, p := range []Purpose{Gateway, Client} { // ikeIntermediate fits both
			if _, err := swan.Verify([]*x509.Certificate{swanCert}, Request{Claimed: id(t, name), Purpose: p}, at(swanCert)); err != nil {
				t.Error(err)
			}
		}
	}

	// A credential signs as its certificate demands.
	for _, name := range []string{"pss-key", "rsa", "swan-gw"} {
		key, err := ParsePrivateKey(file(t, name+".key"), nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := NewCredential(certFile(t, name+".pem"), nil, key)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := PublicKey(c.Chain[0])
		if err != nil {
			t.Fatal(err)
		}
		method, data, scheme, err := auth.Sign(rand.Reader, c.Signer(), file(t, "octets"), []uint16{auth.HashSHA256, auth.HashSHA384}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := auth.Verify(pub, method, data, file(t, "octets"), nil); err != nil || got != scheme {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}

	ec, err := ParsePrivateKey(file(t, "ec-sec1.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	const (
		pss256 = "\x43\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00" +
			"\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\xa2\x03\x02\x01\x20"
		pss512 = "\x43\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00" +
			"\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\xa2\x03\x02\x01\x40"
		rsa384   = "\x0f\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00"
		ecdsa256 = "\x0c\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
	)
	for _, tt := range []struct {
		file, algID string
		pub         crypto.PublicKey
		method      auth.Method
		scheme      string
	}{
		{"sig-pss-sha256", pss256, rsaPub, auth.MethodDigitalSignature, "rsa-pss-sha256"},
		{"sig-pss-sha512", pss512, rsaPub, auth.MethodDigitalSignature, "rsa-pss-sha512"},
		{"sig-pss-salt20", pss256, rsaPub, auth.MethodDigitalSignature, ""},
		{"sig-pss-sha256", pss512, rsaPub, auth.MethodDigitalSignature, ""},
		{"sig-rsa-sha384", rsa384, rsaPub, auth.MethodDigitalSignature, "rsa-sha384"},
		{"sig-rsa-sha384", "", rsaPub, auth.MethodRSA, "rsa-sha384"},
		{"sig-rsa-sha1", "", rsaPub, auth.MethodRSA, "rsa-sha1"},
		{"sig-ecdsa-sha256", ecdsa256, ec.Public(), auth.MethodDigitalSignature, "ecdsa-sha256"},
	} {
		got, err := auth.Verify(tt.pub, tt.method, append([]byte(tt.algID), file(t, tt.file)...), file(t, "octets"), auth.DefaultSchemes(false))
		if (err == nil) != (tt.scheme != "") || err == nil && got != tt.scheme {
			t.Errorf("%s: %q, %v, want %q", tt.file, got, err, tt.scheme)
		}
	}
}

func FuzzParseCertificates(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		certs, err := ParseCertificates(b)
		if err != nil {
			return
		}
		var raw []byte
		for _, c := range certs {
			raw = append(raw, c.Raw...)
			_, _ = PublicKey(c) // whatever it says, it says it without a panic
			_ = names(c)
			_ = extensions(c)
		}
		again, err := ParseCertificates(raw)
		if isPEM(raw) {
			return // a certificate with PEM in it
		}
		if err != nil || len(again) != len(certs) {
			t.Fatalf("%d certificates do not survive a round trip: %d, %v", len(certs), len(again), err)
		}
	})
}

func FuzzParsePrivateKey(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := ParsePrivateKey(b, nil)
		if err != nil {
			return
		}
		if key.Public() == nil || keyText(key.Public()) == "" {
			t.Fatal("a key without public half")
		}
	})
}

func seeds(f *testing.F) {
	for _, glob := range []string{"*.pem", "*.key", "*.der"} {
		names, err := filepath.Glob(filepath.Join("testdata", glob))
		if err != nil || len(names) == 0 {
			f.Fatal(glob, err)
		}
		for _, n := range names {
			b, err := os.ReadFile(n)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Add(certFile(f, "rsa.pem").Raw)
	f.Add(certFile(f, "pss-key.pem").Raw)
}
