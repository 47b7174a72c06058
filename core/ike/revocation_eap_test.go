package ike

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"sallyport/core/eap"
	"sallyport/core/pki"
)

// tellingEAPLab is an eapLab with TLS whose server within EAP, and whose user,
// have certificates that say where their state is told. Those in IKE do not.
func tellingEAPLab(t *testing.T, policy pki.Revocation) (l *eapLab, server, user *x509.Certificate, staple *[]byte) {
	l = newEAPLab(t, eap.TypeTLS)
	issue := func(serial int64, name string) (*x509.Certificate, *tls.Certificate) {
		key := newKey(t, "ecdsa")
		tmpl := *l.ca.issue(t, key, name, 0, testTime.Add(time.Hour))
		tmpl.SerialNumber, tmpl.OCSPServer = big.NewInt(serial), []string{ocspURL}
		c := l.ca.sign(t, &tmpl, l.ca.cert, key.Public())
		return c, &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}
	}
	server, serverOwn := issue(301, "radius.test")
	user, userOwn := issue(302, "alice")
	staple = &serverOwn.OCSPStaple
	verifier := &pki.Verifier{Roots: []*x509.Certificate{l.ca.cert}, Revocation: policy}
	l.gw.Peer.EAP.New = func(judge JudgePath) *eap.Server {
		var path []*x509.Certificate
		return eap.NewServer(eap.ServerConfig{Methods: []eap.Type{eap.TypeTLS}, Certificate: serverOwn,
			VerifyClient: func(_ string, chain []*x509.Certificate) (err error) {
				path, _, err = verifier.VerifyPath(chain, pki.Request{Claimed: identity("alice"), Purpose: pki.Client}, testTime)
				return err
			},
			Revocation: func() (bool, error) { return judge(verifier, path) }})
	}
	own := l.user.Local.EAP
	own.Certificate, own.Server, own.Verifier = userOwn, identity("radius.test"), verifier
	return l, server, user, staple
}

// Certificates within EAP are judged by the same policy as those in IKE, before
// either end believes the other.
func TestRevocationWithinEAP(t *testing.T) {
	for name, tt := range map[string]struct {
		policy              pki.Revocation
		revServer, revUser  bool
		stapled, silent, up bool
	}{
		"good, strict":              {policy: pki.RevocationStrict, up: true},
		"good, stapled":             {policy: pki.RevocationStrict, stapled: true, up: true},
		"server revoked":            {policy: pki.RevocationSoft, revServer: true},
		"server revoked, stapled":   {policy: pki.RevocationSoft, revServer: true, stapled: true},
		"user revoked":              {policy: pki.RevocationSoft, revUser: true},
		"both revoked, nobody asks": {policy: pki.RevocationOff, revServer: true, revUser: true, up: true},
		"silent, soft":              {policy: pki.RevocationSoft, silent: true, up: true},
		"silent, strict":            {policy: pki.RevocationStrict, silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			l, server, user, staple := tellingEAPLab(t, tt.policy)
			if tt.stapled {
				*staple = l.ca.tells(t, server, tt.revServer)
			}
			w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
			sa := w.connect()
			w.flush()
			asked := map[string]int{}
			for range 4 {
				for _, x := range []struct {
					p       *peer
					c       *x509.Certificate
					revoked bool
				}{{w.a, server, tt.revServer}, {w.b, user, tt.revUser}} {
					body, err := l.ca.tells(t, x.c, x.revoked), error(nil)
					if tt.silent {
						body, err = nil, errors.New("nobody there")
					}
					asked[x.p.name] += x.p.answerChecks(body, err)
					x.p.effects = withoutChecks(x.p.effects)
					w.flush()
				}
			}
			if up := sa.State() == StateUp; up != tt.up {
				t.Fatalf("state %v: %v", sa.State(), w.a.effects)
			}
			if want := tt.policy != pki.RevocationOff && !tt.stapled; (asked[w.a.name] == 1) != want {
				t.Errorf("the user's end asked %d times", asked[w.a.name])
			}
			if tt.up {
				w.agree()
				return
			}
			if _, ok := effect[Established](w.b); ok {
				t.Error("the gateway is up")
			}
			judge := w.a
			if tt.revUser {
				judge = w.b
			}
			f := judge.failure(t)
			want := pki.Revoked
			if tt.silent {
				want = pki.RevocationUnknown
			}
			var e *pki.Error
			if f.Code != FailPeerCertificate || !errors.As(f, &e) || e.Kind != want {
				t.Errorf("%v", f)
			}
		})
	}
}

func withoutChecks(list []Effect) []Effect {
	var out []Effect
	for _, x := range list {
		if _, ok := x.(CheckRevocation); !ok {
			out = append(out, x)
		}
	}
	return out
}

// A caller that never comes back is not waited for within EAP either, and what it
// says afterwards changes nothing.
func TestRevocationWithinEAPPatience(t *testing.T) {
	for policy, up := range map[pki.Revocation]bool{pki.RevocationSoft: true, pki.RevocationStrict: false} {
		l, _, _, _ := tellingEAPLab(t, policy)
		w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
		sa := w.connect()
		w.flush()
		checks := slicesOf[CheckRevocation](w.a)
		w.run(3*revocationPatience, w.flush)
		if got := sa.State() == StateUp; got != up {
			t.Errorf("policy %d: %v", policy, sa.State())
		}
		state := sa.State()
		for _, x := range checks {
			w.a.do(x.SA.Checked(x.Check, w.now))
		}
		w.flush()
		if len(checks) != 1 || sa.State() != state {
			t.Errorf("policy %d: %d checks, %v became %v", policy, len(checks), state, sa.State())
		}
	}
}

// slicesOf returns the effects of a kind.
func slicesOf[E Effect](p *peer) (out []E) {
	for _, x := range p.effects {
		if e, ok := x.(E); ok {
			out = append(out, e)
		}
	}
	return out
}
