package eap

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"runtime"
	"testing"
)

// A peer that refuses one method after the other, and then goes away, leaves
// nothing behind: the TLS of each method stops with it.
func TestNakLeavesNothing(t *testing.T) {
	cert := &tls.Certificate{}
	before := runtime.NumGoroutine()
	for range 50 {
		s := NewServer(ServerConfig{Methods: []Type{TypeTLS, TypeMSCHAPv2}, Certificate: cert,
			VerifyClient: func(string, []*x509.Certificate) error { return nil }})
		packet, err := s.Start()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []Packet{{Type: TypeIdentity, Data: []byte("mallory")}, {Type: TypeNak, Data: []byte{byte(TypeMSCHAPv2)}}} {
			p.Code, p.ID = CodeResponse, packet[1]
			if packet, err = s.Handle(p.AppendTo(nil)); err != nil {
				t.Fatal(err)
			}
		}
		if s.Method() != TypeMSCHAPv2 {
			t.Fatalf("speaks %v", s.Method())
		}
		s.Wipe()
	}
	if n := runtime.NumGoroutine(); n > before+10 {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

// One try for each authentication: a peer whose proof was wrong cannot go on to
// guess with another method.
func TestNoNakAfterAProof(t *testing.T) {
	s := NewServer(ServerConfig{Methods: []Type{TypeMSCHAPv2, TypeGTC}, Password: users("alice", "secret")})
	packet, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("wrong")})
	for range 2 { // identity, challenge
		step, err := p.Handle(packet)
		if err != nil {
			t.Fatal(err)
		}
		if packet, err = s.Handle(step.Reply); err != nil {
			t.Fatal(err)
		}
	}
	nak := Packet{Code: CodeResponse, ID: packet[1], Type: TypeNak, Data: []byte{byte(TypeGTC)}}
	if packet, err = s.Handle(nak.AppendTo(nil)); err == nil || Code(packet[0]) != CodeFailure {
		t.Errorf("after a wrong proof and a Nak: %x, %v", packet, err)
	}
}

// Inside of TLS nothing is spoken but what is allowed there: "pap" alone leaves
// nothing for EAP within PEAP, and no tunnel within the tunnel.
func TestInnerMethodsAreNoDefaults(t *testing.T) {
	verify := func([]*x509.Certificate) error { return nil }
	cfg := PeerConfig{Identity: "alice", Password: []byte("secret"), Inner: []Type{PAP}, VerifyServer: verify}
	p := NewPeer(cfg)
	start := Packet{Code: CodeRequest, ID: 1, Type: TypePEAP, Data: []byte{flagStart}}
	step, err := p.Handle(start.AppendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := Parse(step.Reply); got.Type != TypeNak || bytes.IndexByte(got.Data, byte(TypePEAP)) >= 0 {
		t.Errorf("PEAP without a method within: answered with %v %x", got.Type, got.Data)
	}
	p.Wipe()
	inner := newInnerPeer(&cfg, cfg.Inner)
	for _, m := range []Type{TypeMSCHAPv2, TypeGTC, TypeTTLS, TypePEAP} {
		q := Packet{Code: CodeRequest, ID: 1, Type: m, Data: []byte{flagStart}}
		if step, err := inner.Handle(q.AppendTo(nil)); !errors.Is(err, ErrNoMethod) {
			t.Errorf("%v within: %x, %v", m, step.Reply, err)
		}
	}
}
