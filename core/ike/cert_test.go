package ike

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"time"

	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
)

// A testCA issues certificates.
type testCA struct {
	cert *x509.Certificate
	key  crypto.Signer
}

var testTime = time.Unix(1_700_000_000, 0)

func newCA(t testing.TB, name string) *testCA {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: testTime.Add(-time.Hour), NotAfter: testTime.Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca := &testCA{key: key}
	ca.cert = ca.sign(t, tmpl, tmpl, key.Public())
	return ca
}

func (ca *testCA) sign(t testing.TB, tmpl, parent *x509.Certificate, pub crypto.PublicKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// issue makes a certificate for a name. extra more names make it large.
func (ca *testCA) issue(t testing.TB, key crypto.Signer, name string, extra int, until time.Time) *x509.Certificate {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: testTime.Add(-time.Hour), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for i := range extra {
		tmpl.DNSNames = append(tmpl.DNSNames, fmt.Sprintf("host%d.a-rather-long-name.%s", i, name))
	}
	return ca.sign(t, tmpl, ca.cert, key.Public())
}

func newKey(t testing.TB, kind string) crypto.Signer {
	var key crypto.Signer
	var err error
	switch kind {
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ecdsa":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certConfigs are the configurations of two ends with certificates of one CA.
func certConfigs(t testing.TB, ca *testCA, kind string, extra int) (a, b *Config) {
	a, b = pskConfig("a"), pskConfig("b")
	for _, c := range []*Config{a, b} {
		key := newKey(t, kind)
		c.Local.PSK, c.Local.Key = nil, key
		c.Local.Chain = []*x509.Certificate{ca.issue(t, key, c.Local.ID.String(), extra, testTime.Add(100*time.Hour))}
		c.Peer.PSK, c.Peer.Verifier = nil, &pki.Verifier{Roots: []*x509.Certificate{ca.cert}}
	}
	return a, b
}

func TestCertificates(t *testing.T) {
	ca := newCA(t, "test CA")
	for kind, scheme := range map[string]string{
		"rsa": "rsa-pss-sha256", "ecdsa": "ecdsa-sha256", "ecdsa384": "ecdsa-sha384", "ed25519": "ed25519",
	} {
		t.Run(kind, func(t *testing.T) {
			a, b := certConfigs(t, ca, kind, 0)
			w := newWorld(t, testOptions{cfgA: a, cfgB: b})
			w.up()
			for _, p := range []*peer{w.a, w.b} {
				if x, _ := effect[Established](p); x.LocalAuth != scheme || x.PeerAuth != scheme {
					t.Errorf("%s: %s and %s, want %s", p.name, x.LocalAuth, x.PeerAuth, scheme)
				}
			}
		})
	}
	t.Run("PSK one way, certificate the other", func(t *testing.T) {
		a, b := certConfigs(t, ca, "ecdsa", 0)
		psk := pskConfig("a")
		a.Local, b.Peer = psk.Local, PeerAuth{ID: psk.Local.ID, PSK: testPSK}
		newWorld(t, testOptions{cfgA: a, cfgB: b}).up()
	})
}

func TestLargeCertificatesAreFragmented(t *testing.T) {
	ca := newCA(t, "test CA")
	a, b := certConfigs(t, ca, "ecdsa", 60)
	w := newWorld(t, testOptions{cfgA: a, cfgB: b})
	w.connect()
	w.deliver(0)
	w.deliver(0)
	if len(w.wire) < 2 {
		t.Fatalf("IKE_AUTH in %d datagrams", len(w.wire))
	}
	for _, k := range w.wire {
		if len(k.data) > 1280-32 {
			t.Errorf("a fragment of %d bytes", len(k.data))
		}
	}
	// The last one first, one lost, one twice.
	w.wire[0], w.wire[len(w.wire)-1] = w.wire[len(w.wire)-1], w.wire[0]
	w.hand(w.wire[0])
	w.wire = w.wire[:len(w.wire)-1]
	w.flush()
	if count[Established](w.b) != 0 {
		t.Fatal("a message without its first fragment was accepted")
	}
	w.advance(3 * time.Second) // retransmission
	w.agree()

	// The response's last fragment is lost: the request comes again, in
	// fragments, and is answered once.
	w = newWorld(t, testOptions{cfgA: a, cfgB: b})
	w.connect()
	for w.parse(0).Exchange == message.IKESAInit || !w.parse(0).Response() {
		w.deliver(0)
	}
	n := len(w.wire)
	w.wire = w.wire[:n-1]
	w.flush()
	sent := 0
	w.run(3*time.Second, func() {
		for len(w.wire) > 0 {
			if w.wire[0].from.Addr() == addrB {
				sent++
			}
			w.deliver(0)
		}
	})
	if sent != n {
		t.Errorf("%d fragments of the response sent again, want %d", sent, n)
	}
	w.agree()
}

func TestPeerCertificateFailures(t *testing.T) {
	ca, other := newCA(t, "test CA"), newCA(t, "other CA")
	tests := []struct {
		name   string
		change func(a, b *Config)
		code   FailureCode
		kind   pki.Kind // 0: none
	}{
		{"unknown CA", func(a, b *Config) { a.Peer.Verifier = &pki.Verifier{Roots: []*x509.Certificate{other.cert}} },
			FailPeerCertificate, pki.UnknownCA},
		{"expired", func(a, b *Config) {
			b.Local.Chain[0] = ca.issue(t, b.Local.Key, "b.test", 0, testTime.Add(-time.Minute))
		}, FailPeerCertificate, pki.Expired},
		{"another name in the certificate", func(a, b *Config) {
			b.Local.Chain[0] = ca.issue(t, b.Local.Key, "c.test", 0, testTime.Add(time.Hour))
		}, FailPeerIdentity, pki.Identity},
		{"another identity than asked for", func(a, b *Config) {
			b.Local.ID = identity("c.test")
			b.Local.Chain[0] = ca.issue(t, b.Local.Key, "c.test", 0, testTime.Add(time.Hour))
		}, FailPeerIdentity, pki.Identity},
		{"key of another certificate", func(a, b *Config) { b.Local.Key = newKey(t, "ecdsa") }, FailPeerAuth, 0},
		{"scheme not allowed", func(a, b *Config) { a.Peer.Schemes = []auth.Scheme{auth.RSAPSSSHA256} }, FailPeerAuth, 0},
		{"we are refused", func(a, b *Config) { b.Peer.Verifier = &pki.Verifier{Roots: []*x509.Certificate{other.cert}} },
			FailAuthRefused, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := certConfigs(t, ca, "ecdsa", 0)
			tt.change(a, b)
			w := newWorld(t, testOptions{cfgA: a, cfgB: b})
			w.connect()
			w.flush()
			f := w.a.closed()
			if f == nil || f.Code != tt.code {
				t.Fatalf("failed with %v, want %v", f, tt.code)
			}
			var e *pki.Error
			if errors.As(f, &e) != (tt.kind != 0) || e != nil && e.Kind != tt.kind {
				t.Errorf("detail %v, want %v", e, tt.kind)
			}
			w.advance(time.Minute)
			if len(w.a.e.sas)+len(w.b.e.sas)+len(w.a.children)+len(w.b.children) != 0 {
				t.Error("something is left")
			}
		})
	}
}
