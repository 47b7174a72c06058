package ike

import (
	"crypto"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"sallyport/core/pki"
)

const ocspURL = "http://ocsp.example.com/"

// revocableConfigs are two ends whose certificates say where their state is
// told, and who want to know it of each other.
func revocableConfigs(t *testing.T, policy pki.Revocation) (a, b *Config, ca *testCA) {
	t.Helper()
	ca = newCA(t, "test CA")
	a, b = certConfigs(t, ca, "ecdsa", 0)
	for i, c := range []*Config{a, b} {
		key := newKey(t, "ecdsa")
		tmpl := *c.Local.Chain[0]
		tmpl.SerialNumber, tmpl.OCSPServer = big.NewInt(int64(100+i)), []string{ocspURL}
		c.Local.Key, c.Local.Chain = key, []*x509.Certificate{ca.sign(t, &tmpl, ca.cert, key.Public())}
		c.Peer.Verifier = &pki.Verifier{Roots: []*x509.Certificate{ca.cert}, Revocation: policy}
	}
	return a, b, ca
}

func (ca *testCA) tells(t *testing.T, c *x509.Certificate, revoked bool) []byte {
	t.Helper()
	r := ocsp.Response{Status: ocsp.Good, SerialNumber: c.SerialNumber, ThisUpdate: testTime.Add(-time.Minute), NextUpdate: testTime.Add(time.Hour), IssuerHash: crypto.SHA1}
	if revoked {
		r.Status, r.RevokedAt = ocsp.Revoked, testTime.Add(-time.Hour)
	}
	der, err := ocsp.CreateResponse(ca.cert, ca.cert, r, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// answerChecks gives the checks that wait at p what the authority says.
func (p *peer) answerChecks(body []byte, err error) int {
	n := 0
	for _, x := range p.effects {
		c, ok := x.(CheckRevocation)
		if !ok {
			continue
		}
		for f, more := c.Check.Next(); more; f, more = c.Check.Next() {
			c.Check.Take(f, body, err, p.w.now)
		}
		p.do(c.SA.Checked(c.Check, p.w.now))
		n++
	}
	return n
}

// Neither end is up, nor gives or takes anything, before the state of the
// other's certificate is known.
func TestRevocationWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		policy     pki.Revocation
		revA, revB bool
		silent     bool
		upA, upB   bool
	}{
		"good":              {policy: pki.RevocationStrict, upA: true, upB: true},
		"initiator revoked": {policy: pki.RevocationSoft, revA: true},
		"responder revoked": {policy: pki.RevocationSoft, revB: true, upB: true},
		"silent, soft":      {policy: pki.RevocationSoft, silent: true, upA: true, upB: true},
		"silent, strict":    {policy: pki.RevocationStrict, silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, ca := revocableConfigs(t, tt.policy)
			w := newWorld(t, testOptions{cfgA: a, cfgB: b})
			w.connect()
			w.flush()
			if _, ok := effect[Established](w.b); ok {
				t.Fatal("the responder is up before it knows")
			}
			answer := func(p *peer, c *x509.Certificate, revoked bool) {
				t.Helper()
				var n int
				if tt.silent {
					n = p.answerChecks(nil, errors.New("nobody there"))
				} else {
					n = p.answerChecks(ca.tells(t, c, revoked), nil)
				}
				if n != 1 {
					t.Fatalf("%s asks %d times", p.name, n)
				}
			}
			answer(w.b, a.Local.Chain[0], tt.revA)
			w.flush()
			if _, up := effect[Established](w.b); up != tt.upB {
				t.Fatalf("the responder is up: %v", up)
			}
			if !tt.upB {
				return
			}
			if _, ok := effect[Established](w.a); ok {
				t.Fatal("the initiator is up before it knows")
			}
			answer(w.a, b.Local.Chain[0], tt.revB)
			w.flush()
			if _, up := effect[Established](w.a); up != tt.upA {
				t.Errorf("the initiator is up: %v", up)
			}
			if !tt.upA {
				x, ok := effect[Closed](w.a)
				var e *pki.Error
				if !ok || !errors.As(x.Err, &e) || e.Kind != pki.Revoked {
					t.Errorf("closed with %v", x.Err)
				}
			}
		})
	}
}

// A caller that never comes back is not waited for.
func TestRevocationPatience(t *testing.T) {
	for policy, up := range map[pki.Revocation]bool{pki.RevocationSoft: true, pki.RevocationStrict: false} {
		a, b, _ := revocableConfigs(t, policy)
		b.Peer.Verifier = &pki.Verifier{Roots: b.Peer.Verifier.Roots}
		w := newWorld(t, testOptions{cfgA: a, cfgB: b})
		w.connect()
		w.flush()
		w.run(revocationPatience+time.Second, func() {})
		if _, ok := effect[Established](w.a); ok != up {
			t.Errorf("policy %d: up is %v", policy, ok)
		}
	}
}

// RFC 4806: an end that has its own state at hand brings it, and nobody asks.
func TestOCSPInBand(t *testing.T) {
	a, b, ca := revocableConfigs(t, pki.RevocationStrict)
	answers := [][]byte{ca.tells(t, b.Local.Chain[0], false)}
	b.Local.OCSP = func(time.Time) [][]byte { return answers }
	b.Peer.Verifier = &pki.Verifier{Roots: b.Peer.Verifier.Roots}
	w := newWorld(t, testOptions{cfgA: a, cfgB: b})
	w.up()
	if _, ok := effect[CheckRevocation](w.a); ok {
		t.Error("asked all the same")
	}
	answers[0] = ca.tells(t, b.Local.Chain[0], true)
	w = newWorld(t, testOptions{cfgA: a, cfgB: b})
	w.connect()
	w.flush()
	x, ok := effect[Closed](w.a)
	var e *pki.Error
	if !ok || !errors.As(x.Err, &e) || e.Kind != pki.Revoked {
		t.Errorf("closed with %v", x.Err)
	}
}

// An initiator brings its state to a responder that asks for it, and nothing to
// one that does not.
func TestOCSPInBandOfInitiator(t *testing.T) {
	for _, asks := range []bool{true, false} {
		a, b, ca := revocableConfigs(t, pki.RevocationStrict)
		a.Peer.Verifier = &pki.Verifier{Roots: a.Peer.Verifier.Roots}
		told := 0
		a.Local.OCSP = func(time.Time) [][]byte {
			told++
			return [][]byte{ca.tells(t, a.Local.Chain[0], false), nil}
		}
		w := newWorld(t, testOptions{cfgA: a, cfgB: b, ocspB: asks})
		w.connect()
		w.flush()
		_, fetches := effect[CheckRevocation](w.b)
		_, up := effect[Established](w.b)
		if fetches == asks || up != asks || (told > 0) != asks {
			t.Errorf("asked: %v; told %d times, the responder is up: %v", asks, told, up)
		}
	}
}
