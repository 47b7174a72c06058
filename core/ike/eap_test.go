package ike

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
)

// An eapLab is a gateway with a certificate, which asks its peers with EAP.
type eapLab struct {
	ca       *testCA
	gw, user *Config
}

func newEAPLab(t *testing.T, method eap.Type) *eapLab {
	l := &eapLab{ca: newCA(t, "CA"), gw: pskConfig("b"), user: pskConfig("a")}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	gwKey, userKey := key(), key()
	gwCert := l.ca.issue(t, gwKey, "b.test", 0, testTime.Add(time.Hour))
	userCert := l.ca.issue(t, userKey, "alice", 0, testTime.Add(time.Hour))
	verifier := &pki.Verifier{Roots: []*x509.Certificate{l.ca.cert}}
	l.gw.Local = LocalAuth{ID: identity("b.test"), Key: gwKey, Chain: []*x509.Certificate{gwCert}}
	l.gw.Peer = PeerAuth{EAP: &EAPServer{New: func(JudgePath) *eap.Server {
		return eap.NewServer(eap.ServerConfig{Name: "gw", Methods: []eap.Type{method},
			Password:    func(u string) ([]byte, bool) { return []byte("s3cret"), u == "alice" },
			Certificate: &tls.Certificate{Certificate: [][]byte{gwCert.Raw}, PrivateKey: gwKey},
			VerifyClient: func(user string, chain []*x509.Certificate) error {
				if !chain[0].Equal(userCert) || user != "alice" {
					return errors.New("another")
				}
				return nil
			}})
	}}}
	l.user.Local = LocalAuth{ID: identity("alice.test"), EAP: &EAPAuth{Identity: "alice", Verifier: verifier,
		Certificate: &tls.Certificate{Certificate: [][]byte{userCert.Raw}, PrivateKey: userKey}}}
	l.user.Peer = PeerAuth{ID: identity("b.test"), Verifier: verifier}
	return l
}

// answer gives the peer's question an answer, and returns the question.
func (p *peer) answer(secret string, now time.Time) *eap.Question {
	for i := len(p.effects) - 1; i >= 0; i-- {
		if a, ok := p.effects[i].(Ask); ok {
			p.do(a.SA.Answer([]byte(secret), now))
			return &a.Question
		}
	}
	return nil
}

func TestEAPMethods(t *testing.T) {
	for _, m := range []eap.Type{eap.TypeMSCHAPv2, eap.TypeGTC, eap.TypeTLS} {
		t.Run(m.String(), func(t *testing.T) {
			l := newEAPLab(t, m)
			w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
			sa := w.connect()
			w.flush()
			if m != eap.TypeTLS {
				if q := w.a.answer("s3cret", w.now); q == nil || q.User != "alice" || q.Kind != eap.AskPassword {
					t.Fatalf("asked %+v", q)
				}
				w.flush()
			}
			if sa.State() != StateUp || len(sa.Children()) != 1 {
				t.Fatalf("state %v, %d children", sa.State(), len(sa.Children()))
			}
			w.agree()
			if got := sa.Info().LocalAuth; got != "EAP-"+m.String() {
				t.Errorf("authenticated with %s", got)
			}
		})
	}
}

func TestEAPWrongPassword(t *testing.T) {
	for _, m := range []eap.Type{eap.TypeMSCHAPv2, eap.TypeGTC} {
		l := newEAPLab(t, m)
		l.user.Local.EAP.Password = []byte("wrong")
		w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
		sa := w.connect()
		w.flush()
		if sa.State() != StateClosed {
			t.Fatalf("%v: state %v", m, sa.State())
		}
		f := w.a.failure(t)
		if f.Code != FailAuthRefused || !errors.Is(f, eap.ErrRefused) {
			t.Errorf("%v: %v", m, f)
		}
	}
}

// failure returns why the peer's only SA ended.
func (p *peer) failure(t *testing.T) *Failure {
	t.Helper()
	for _, x := range p.effects {
		if c, ok := x.(Closed); ok {
			var f *Failure
			if errors.As(c.Err, &f) {
				return f
			}
		}
	}
	t.Fatalf("%s: no failure in %v", p.name, p.effects)
	return nil
}

// CVE-2015-4171: no EAP before the gateway has proved itself.
func TestRogueGatewayBeforePassword(t *testing.T) {
	for name, spoil := range map[string]func(*eapLab){
		"certificate of another CA": func(l *eapLab) {
			l.gw.Local.Chain[0] = newCA(t, "other").issue(t, l.gw.Local.Key, "b.test", 0, testTime.Add(time.Hour))
		},
		"another name": func(l *eapLab) {
			l.gw.Local.Chain[0] = l.ca.issue(t, l.gw.Local.Key, "c.test", 0, testTime.Add(time.Hour))
		},
		"PSK instead": func(l *eapLab) { l.gw.Local = LocalAuth{ID: identity("b.test"), PSK: []byte("guessed")} },
	} {
		l := newEAPLab(t, eap.TypeGTC)
		spoil(l)
		l.user.Local.EAP.Password = []byte("s3cret")
		w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
		sa := w.connect()
		w.flush()
		if sa.State() != StateClosed || sa.peerAuth != "" {
			t.Errorf("%s: state %v", name, sa.State())
		}
		for _, x := range w.a.effects {
			if _, ok := x.(Ask); ok {
				t.Errorf("%s: asked", name)
			}
		}
	}
}

// Where EAP alone is allowed (RFC 5998), only a method that proves the server
// is spoken.
func TestEAPOnly(t *testing.T) {
	for method, want := range map[eap.Type]FailureCode{eap.TypeTLS: 0, eap.TypeMSCHAPv2: FailEAPMethod, eap.TypeGTC: FailEAPMethod} {
		l := newEAPLab(t, method)
		l.user.Local.EAP.Only = true
		l.user.Local.EAP.Password = []byte("s3cret")
		l.gw.Peer.EAP.Alone = true
		w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
		sa := w.connect()
		w.flush()
		if want == 0 {
			if sa.State() != StateUp {
				t.Fatalf("%v: state %v: %v", method, sa.State(), w.a.failure(t))
			}
			w.agree()
			if i := sa.Info(); i.PeerAuth != "EAP-TLS" {
				t.Errorf("the gateway proved itself with %s", i.PeerAuth)
			}
			continue
		}
		if f := w.a.failure(t); f.Code != want {
			t.Errorf("%v: %v", method, f)
		}
	}
}

// Where it is not, a gateway that leaves its AUTH out hears nothing of EAP.
func TestGatewayWithoutAuth(t *testing.T) {
	l := newEAPLab(t, eap.TypeGTC)
	l.user.Local.EAP.Password = []byte("s3cret")
	w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
	sa := w.connect()
	for sa.State() != StateAuthSent {
		w.deliver(0)
	}
	task := sa.flight.task
	question := (&eap.Packet{Code: eap.CodeRequest, ID: 1, Type: eap.TypeGTC, Data: []byte("Password:")}).AppendTo(nil)
	in := &inbox{has: hasIDr | hasEAP, idr: idPayload(identity("b.test"), true), eap: question}
	if bad := sa.authChallenged(task, in, nil, w.now); bad == nil || bad.code != FailPeerAuth || sa.hs.user != nil {
		t.Errorf("%v", bad)
	}
}

// RFC 4739: the certificate first, the user after it.
func TestMultipleAuthenticationNeedsThePeer(t *testing.T) {
	l := newEAPLab(t, eap.TypeMSCHAPv2)
	l.user.Local.Key = l.user.Local.EAP.Certificate.PrivateKey.(*ecdsa.PrivateKey)
	c, err := x509.ParseCertificate(l.user.Local.EAP.Certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	l.user.Local.Chain = []*x509.Certificate{c}
	w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
	w.connect()
	w.flush()
	if f := w.a.failure(t); f.Code != FailLocalCredential || !errors.Is(f, errOneAuth) {
		t.Errorf("%v", f)
	}
}

// A gateway that refuses instead of asking the user has heard no password, and
// what it may miss is named: an identity of either end.
func TestUserIsNotAsked(t *testing.T) {
	l := newEAPLab(t, eap.TypeMSCHAPv2)
	l.user.Local.EAP.Password = []byte("s3cret")
	l.gw.Peer = PeerAuth{ID: identity("carol.test"), Verifier: l.user.Peer.Verifier}
	w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
	w.connect()
	w.flush()
	f := w.a.failure(t)
	r, ok := errors.AsType[*RefusedProof](f)
	if f.Code != FailAuthRefused || !ok || !r.EAP || r.Certificate != nil || !r.ID.Equal(identity("alice.test")) || !r.Asked.Equal(identity("b.test")) {
		t.Errorf("%v: %+v", f, r)
	}
}

// Nobody waits for ever for a user who does not answer.
func TestUnansweredQuestion(t *testing.T) {
	l := newEAPLab(t, eap.TypeGTC)
	w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
	sa := w.connect()
	w.flush()
	w.advance(patience + time.Second)
	if sa.State() != StateClosed || len(w.b.e.sas) != 0 {
		t.Errorf("state %v, %d SAs at the gateway", sa.State(), len(w.b.e.sas))
	}
	if f := w.a.failure(t); !errors.Is(f, errPatience) {
		t.Errorf("%v", f)
	}
}

// The users are another server's: its packets pass through us, and its word
// lets the peer in, to the pool of the user's group.
func TestRelayedEAP(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(r *Relayed)
		up    bool
	}{
		"accepted":            {func(*Relayed) {}, true},
		"success on its own":  {func(r *Relayed) { r.Accepted = false }, false},
		"server out of reach": {func(r *Relayed) { r.Err = errors.New("no answer") }, false},
		"another key":         {func(r *Relayed) { r.MSK = make([]byte, 64) }, false},
		"no key":              {func(r *Relayed) { r.MSK = nil }, false},
		"nonsense":            {func(r *Relayed) { r.Packet = []byte{9} }, false},
		"nobody by name":      {func(r *Relayed) { r.User = "" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newEAPLab(t, eap.TypeMSCHAPv2)
			l.user.Local.EAP.Password = []byte("s3cret")
			users := eap.NewServer(eap.ServerConfig{Methods: []eap.Type{eap.TypeMSCHAPv2},
				Password: func(u string) ([]byte, bool) { return []byte("s3cret"), u == "alice" }})
			var asked string
			l.gw.Peer.EAP = &EAPServer{PoolOf: func(user string, groups []string) Pool {
				asked = user + " " + groups[0]
				return nil
			}}
			w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
			sa := w.connect()
			w.flush()
			named := false
			for n := 0; n < 20; n++ {
				i := slices.IndexFunc(w.b.effects, func(x Effect) bool { _, ok := x.(RelayEAP); return ok })
				if i < 0 {
					break
				}
				x := w.b.effects[i].(RelayEAP)
				w.b.effects = slices.Delete(w.b.effects, i, i+1)
				if w.advance(1100 * time.Millisecond); len(w.wire) > 0 {
					w.flush() // the peer asks again, and nobody is asked twice
				}
				packet := x.Packet
				if !named { // the server asks for the name itself
					named = true
					first, err := users.Start()
					if err != nil {
						t.Fatal(err)
					}
					packet[1] = first[1]
				}
				r := Relayed{User: "alice", Groups: []string{"staff"}}
				r.Packet, _ = users.Handle(packet)
				r.Accepted, r.MSK = users.Succeeded(), users.MSK()
				if r.Accepted {
					c.spoil(&r)
				}
				w.b.do(x.SA.Relayed(r, w.now))
				w.flush()
			}
			if got := sa.State() == StateUp; got != c.up {
				t.Fatalf("state %v", sa.State())
			}
			if c.up {
				w.agree()
				if got := w.b.e.SAs()[0].Info().PeerAuth; got != "EAP-RADIUS (alice)" {
					t.Errorf("the peer proved itself with %s", got)
				}
			}
			_ = asked
		})
	}
}

// TestSilenceToAUser: a gateway that drops the IKE SA of a user whose password is
// wrong, without a word (OpenIKED 7.2), is told from one that IKE_AUTH does not reach.
func TestSilenceToAUser(t *testing.T) {
	for name, after := range map[string]int{"before the method": 1, "amid the method": 2} {
		t.Run(name, func(t *testing.T) {
			l := newEAPLab(t, eap.TypeMSCHAPv2)
			l.user.Local.EAP.Password = []byte("wrong")
			w := newWorld(t, testOptions{cfgA: l.user, cfgB: l.gw})
			sa := w.connect()
			server := l.gw.Peer.EAP.New(nil)
			heard := w.rogue(func(n int, in *inbox, b *SA) []message.Payload {
				if n == 0 {
					start, err := server.Start()
					if err != nil {
						t.Fatal(err)
					}
					return append(b.identifies(t), &message.EAP{Packet: start})
				}
				if n >= after {
					return nil
				}
				next, err := server.Handle(in.eap)
				if err != nil {
					t.Fatal(err)
				}
				return []message.Payload{&message.EAP{Packet: next}}
			})
			w.run(2*time.Minute, w.lose)
			w.mustEnd(t, sa, FailSilent, nil)
			var silent *SilentToUser
			if told := errors.As(w.a.failure(t), &silent); told != (after > 1) || len(heard) != after+1 {
				t.Errorf("%d requests, ended with %v", len(heard), w.a.failure(t))
			}
		})
	}
}
