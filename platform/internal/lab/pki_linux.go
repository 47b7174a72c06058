package lab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A PKI is a set of certificate authorities and what they issued. Names are
// file names without their ending.
type PKI struct {
	mu    sync.Mutex // guards certs
	certs map[string]*issued
}

type issued struct {
	cert *x509.Certificate
	key  crypto.Signer
	ca   bool
}

// A Leaf asks for a certificate.
type Leaf struct {
	Name   string // of its files
	Issuer string // name of the CA; empty: self-signed
	Key    string // "rsa", "rsa2048", "ecdsa256", "ecdsa384", "ecdsa521", "ed25519"
	SANs   []string
	CA     bool
	Client bool     // fit for clients, not servers
	Peer   bool     // fit for both
	OCSP   []string // where it says that its state is told
	CRL    []string
	// NotBefore and NotAfter default to yesterday and next year.
	NotBefore, NotAfter time.Time
}

// NewPKI returns an authority for tests with the roots ca-rsa, ca-ecdsa256,
// ca-ecdsa384, ca-ecdsa521, ca-ed25519, and ca-other that nobody trusts.
func NewPKI(t testing.TB) *PKI {
	t.Helper()
	p := &PKI{certs: map[string]*issued{}}
	for _, key := range []string{"rsa", "ecdsa256", "ecdsa384", "ecdsa521", "ed25519"} {
		p.Issue(t, Leaf{Name: "ca-" + key, Key: key, CA: true})
	}
	p.Issue(t, Leaf{Name: "ca-other", Key: "ecdsa256", CA: true})
	return p
}

// Issue makes a key and a certificate.
func (p *PKI) Issue(t testing.TB, l Leaf) {
	t.Helper()
	key, err := generate(l.Key)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Country: []string{"CH"}, Organization: []string{"Sallyport Lab"}, CommonName: l.Name},
		NotBefore:    l.NotBefore, NotAfter: l.NotAfter,
		KeyUsage:   x509.KeyUsageDigitalSignature,
		OCSPServer: l.OCSP, CRLDistributionPoints: l.CRL,
	}
	if tmpl.NotBefore.IsZero() {
		tmpl.NotBefore = time.Now().Add(-24 * time.Hour)
	}
	if tmpl.NotAfter.IsZero() {
		tmpl.NotAfter = time.Now().Add(365 * 24 * time.Hour)
	}
	for _, san := range l.SANs {
		if ip := net.ParseIP(san); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else if _, err := mail.ParseAddress(san); err == nil {
			tmpl.EmailAddresses = append(tmpl.EmailAddresses, san)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, san)
		}
	}
	switch {
	case l.CA:
		tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
		tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	case l.Peer:
		tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	case l.Client:
		tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	default:
		tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	parent, signer := tmpl, key
	if l.Issuer != "" {
		ca := p.get(t, l.Issuer)
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err != nil {
		t.Fatalf("issue %s: %v", l.Name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.certs[l.Name] = &issued{cert: cert, key: key, ca: l.CA}
}

func (p *PKI) get(t testing.TB, name string) *issued {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.certs[name]
	if !ok {
		t.Fatalf("no certificate %q was issued", name)
	}
	return c
}

// Pair returns a certificate and its key.
func (p *PKI) Pair(t testing.TB, name string) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	c := p.get(t, name)
	return c.cert, c.key
}

// CRL returns the list of an authority, current for an hour, with those revoked.
func (p *PKI) CRL(t testing.TB, issuer string, revoked ...string) []byte {
	t.Helper()
	ca := p.get(t, issuer)
	l := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
	for _, name := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: p.get(t, name).cert.SerialNumber, RevocationTime: time.Now().Add(-time.Hour)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, ca.cert, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// OCSPIndex returns the text with which openssl ocsp answers about leaves.
func (p *PKI) OCSPIndex(t testing.TB, leaf string, revoked bool) string {
	t.Helper()
	c := p.get(t, leaf).cert
	const layout = "060102150405Z"
	state, when := "V", ""
	if revoked {
		state, when = "R", time.Now().Add(-time.Hour).UTC().Format(layout)
	}
	serial := c.SerialNumber.Text(16)
	if len(serial)%2 == 1 {
		serial = "0" + serial
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\tunknown\t/CN=%s\n", state, c.NotAfter.UTC().Format(layout), when, strings.ToUpper(serial), leaf)
}

func generate(kind string) (crypto.Signer, error) {
	switch kind {
	case "rsa2048":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "rsa":
		return rsa.GenerateKey(rand.Reader, 3072)
	case "ecdsa256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ecdsa521":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("no key type %q", kind)
}

// Install writes certificates into a folder as swanctl keeps them: roots into
// x509ca, other CAs and leaves into x509. Of the leaves named in keys the
// private key goes into private, in the oldest PEM form that its kind has.
func (p *PKI) Install(t testing.TB, dir string, certs, keys []string) {
	t.Helper()
	write := func(sub, name, kind string, der []byte) {
		t.Helper()
		d := filepath.Join(dir, sub)
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		b := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(filepath.Join(d, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range certs {
		c := p.get(t, name)
		sub := "x509"
		if c.ca && c.cert.CheckSignatureFrom(c.cert) == nil {
			sub = "x509ca"
		}
		write(sub, name+".crt", "CERTIFICATE", c.cert.Raw)
	}
	for _, name := range keys {
		switch k := p.get(t, name).key.(type) {
		case *rsa.PrivateKey:
			write("private", name+".key", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k))
		case *ecdsa.PrivateKey:
			der, err := x509.MarshalECPrivateKey(k)
			if err != nil {
				t.Fatal(err)
			}
			write("private", name+".key", "EC PRIVATE KEY", der)
		default:
			der, err := x509.MarshalPKCS8PrivateKey(k)
			if err != nil {
				t.Fatal(err)
			}
			write("private", name+".key", "PRIVATE KEY", der)
		}
	}
}
