package pki

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/core/ike/auth"
)

// now is when these tests happen.
var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// An authority issues certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// template is a certificate as change makes it; the rest is in order.
func template(cn string, change func(*x509.Certificate)) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{Country: []string{"CH"}, Organization: []string{"Lab"}, CommonName: cn},
		NotBefore:    now.AddDate(-1, 0, 0),
		NotAfter:     now.AddDate(1, 0, 0),
	}
	if change != nil {
		change(c)
	}
	return c
}

func sign(t *testing.T, c, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func asCA(change func(*x509.Certificate)) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid = true, true
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		if change != nil {
			change(c)
		}
	}
}

func newCA(t *testing.T, cn string, change func(*x509.Certificate)) *authority {
	t.Helper()
	key := newKey(t)
	c := template(cn, asCA(change))
	return &authority{t, sign(t, c, c, key.Public(), key), key}
}

// sub issues an intermediate authority.
func (a *authority) sub(cn string, change func(*x509.Certificate)) *authority {
	a.t.Helper()
	key := newKey(a.t)
	return &authority{a.t, sign(a.t, template(cn, asCA(change)), a.cert, key.Public(), a.key), key}
}

// leaf issues the certificate of an end that names gw.example.com and more.
func (a *authority) leaf(change func(*x509.Certificate)) *x509.Certificate {
	a.t.Helper()
	c, _ := a.leafKey(change)
	return c
}

func (a *authority) leafKey(change func(*x509.Certificate)) (*x509.Certificate, crypto.Signer) {
	a.t.Helper()
	key := newKey(a.t)
	return sign(a.t, leafTemplate(change), a.cert, key.Public(), a.key), key
}

func leafTemplate(change func(*x509.Certificate)) *x509.Certificate {
	return template("cn.example.com", func(c *x509.Certificate) {
		c.KeyUsage = x509.KeyUsageDigitalSignature
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		c.DNSNames = []string{"gw.example.com"}
		c.EmailAddresses = []string{"gw@example.com"}
		c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1), net.ParseIP("2001:db8::1")}
		if change != nil {
			change(c)
		}
	})
}

func id(t testing.TB, s string) auth.Identity {
	t.Helper()
	i, err := auth.ParseIdentity(s)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// gw is the usual question.
func gw(t *testing.T) Request {
	return Request{Claimed: id(t, "gw.example.com"), Wanted: id(t, "gw.example.com"), Purpose: Gateway}
}

// wantKind checks that err is an *Error of a kind whose sentence holds text.
func wantKind(t *testing.T, err error, kind Kind, text string) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T), want kind %v", err, err, kind)
	}
	if e.Kind != kind || !strings.Contains(e.Error(), text) {
		t.Fatalf("error of kind %v: %v; want kind %v with %q", e.Kind, e, kind, text)
	}
	return e
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func certFile(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	c, err := ParseCertificates(file(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return c[0]
}

func mustX25519(t *testing.T) *ecdh.PrivateKey {
	t.Helper()
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func crlf(b []byte) string { return strings.ReplaceAll(string(b), "\n", "\r\n") }
