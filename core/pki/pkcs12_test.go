package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// container makes a PKCS #12 file with a key, its certificate and its issuer.
func container(t testing.TB, enc *pkcs12.Encoder, password string) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(cn string, ca bool, parent *x509.Certificate, pub any) *x509.Certificate {
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: ca, BasicConstraintsValid: true}
		if parent == nil {
			parent = tmpl
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, caKey)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ca := issue("CA", true, nil, caKey.Public())
	leaf := issue("leaf", false, ca, key.Public())
	b, err := enc.Encode(key, leaf, []*x509.Certificate{ca}, password)
	if err != nil {
		t.Fatal(err)
	}
	return b, key
}

func TestPKCS12(t *testing.T) {
	for name, enc := range map[string]*pkcs12.Encoder{"RC2": pkcs12.LegacyRC2, "3DES": pkcs12.LegacyDES, "AES": pkcs12.Modern2023, "PBMAC1": pkcs12.Modern2026} {
		t.Run(name, func(t *testing.T) {
			b, key := container(t, enc, "correct horse")
			if !IsPKCS12(b) {
				t.Error("not seen as PKCS #12")
			}
			c, err := ParsePKCS12(b, []byte("correct horse"))
			if err != nil {
				t.Fatal(err)
			}
			if !key.Equal(c.Key) || c.Chain[0].Subject.CommonName != "leaf" {
				t.Errorf("got %v", c.Chain[0].Subject)
			}
			if _, err := ParsePKCS12(b, []byte("another")); !errors.Is(err, ErrPassphraseWrong) {
				t.Errorf("wrong passphrase: %v", err)
			}
			if _, err := ParsePKCS12(b, nil); !errors.Is(err, ErrPassphraseNeeded) {
				t.Errorf("no passphrase: %v", err)
			}
		})
	}
	b, _ := container(t, pkcs12.Passwordless, "")
	if _, err := ParsePKCS12(b, nil); err != nil {
		t.Errorf("without encryption: %v", err)
	}
}

// A file must not decide how long we compute.
func TestPKCS12Iterations(t *testing.T) {
	b, _ := container(t, pkcs12.Modern2023.WithIterations(maxDerivation/2), "x")
	var pe *Error
	if _, err := ParsePKCS12(b, []byte("x")); !errors.As(err, &pe) || pe.Kind != Malformed {
		t.Errorf("got %v", err)
	}
}

func FuzzPKCS12(f *testing.F) {
	for _, name := range []string{"rc2.p12", "des.p12", "aes.p12"} { // each with one iteration, behind "x"
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParsePKCS12(b, []byte("x"))
		if err != nil {
			return
		}
		if !IsPKCS12(b) {
			t.Error("read what does not look like it")
		}
		if err := c.Check(); err != nil {
			t.Errorf("read a credential that does not serve: %v", err)
		}
	})
}
