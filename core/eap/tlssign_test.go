package eap

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"testing"
)

// A deafKey is one that is somewhere else: it never signs here.
type deafKey struct{ crypto.Signer }

func (deafKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("it signs in the midst of TLS")
}

// TestSlowKeyInTLS stops TLS until the signature is there.
func TestSlowKeyInTLS(t *testing.T) {
	own, gw := identity(t, "alice", 3000), identity(t, "gw", 3000)
	key := own.PrivateKey.(crypto.Signer)
	shown := *own
	shown.PrivateKey = deafKey{key}
	p := NewPeer(PeerConfig{Identity: "alice", Methods: []Type{TypeTLS}, SlowKey: true, Certificate: &shown,
		VerifyServer: func([]*x509.Certificate) error { return nil }})
	defer p.Wipe()
	s := NewServer(ServerConfig{Methods: []Type{TypeTLS}, Certificate: gw,
		VerifyClient: func(string, []*x509.Certificate) error { return nil }})
	packet, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	signed := 0
	for range 40 {
		step, err := p.Handle(packet)
		for err == nil && step.Question != nil {
			q := step.Question
			if q.Kind != AskSignature || len(q.Digest) == 0 {
				t.Fatalf("asked for %+v", q)
			}
			signed++
			sig, bad := key.Sign(rand.Reader, q.Digest, q.Opts)
			if bad != nil {
				t.Fatal(bad)
			}
			step, err = p.Answer(sig)
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Over() {
			break
		}
		if packet, err = s.Handle(step.Reply); err != nil {
			t.Fatal(err)
		}
	}
	if !p.Over() || signed != 1 || !s.Succeeded() || string(p.MSK()) != string(s.MSK()) {
		t.Errorf("over: %v, %d signatures, server: %v", p.Over(), signed, s.Succeeded())
	}
}
