package eap

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
)

var errRevoked = errors.New("it was revoked")

// Before it is known that the server's certificate was not revoked, no byte goes
// through the tunnel, and nobody is asked for a password.
func TestRevokedServerHearsNoInnerByte(t *testing.T) {
	own := identity(t, "gw", 10)
	own.OCSPStaple = []byte("what the authority says")
	for _, m := range tunnelledMethods() {
		for _, password := range [][]byte{[]byte("s3cret"), nil} {
			for _, later := range []bool{false, true} {
				var stapled []byte
				s := m.server(t, own, "s3cret")
				p := NewPeer(PeerConfig{Identity: "alice", Password: password, Methods: []Type{m.typ}, Inner: []Type{m.inner}, VerifyServer: is(own),
					Revocation: func(b []byte) (bool, error) {
						stapled = b
						if later {
							return true, nil
						}
						return false, errRevoked
					}})
				asked, err := tunnel(t, p, s, "s3cret")
				if !later && (!errors.Is(err, errRevoked) || !errors.Is(err, ErrServer)) {
					t.Errorf("%v: %v", m, err)
				}
				if p.Over() || len(asked) > 0 || len(s.heard) > 0 || p.MSK() != nil {
					t.Errorf("%v: over %v, asked %d times, the server heard %q", m, p.Over(), len(asked), s.heard)
				}
				if !bytes.Equal(stapled, own.OCSPStaple) {
					t.Errorf("%v: stapled was %q", m, stapled)
				}
				// Neither a success nor an answer helps now.
				if _, err := p.Handle((&Packet{Code: CodeSuccess}).AppendTo(nil)); err == nil {
					t.Errorf("%v: success", m)
				}
				if _, err := p.Answer([]byte("s3cret")); err == nil {
					t.Errorf("%v: an answer", m)
				}
				p.Wipe()
				if _, err := p.Resume(); err == nil {
					t.Errorf("%v: it goes on after the end", m)
				}
				s.tls.close()
			}
		}
	}
}

// A server that has not proved that the certificate is its own makes nobody ask
// about it.
func TestNobodyAsksForAStrangersCertificate(t *testing.T) {
	own, other := identity(t, "gw", 10), identity(t, "gw", 10)
	for _, m := range tunnelledMethods() {
		s := m.server(t, &tls.Certificate{Certificate: own.Certificate, PrivateKey: other.PrivateKey}, "s3cret")
		p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("s3cret"), Methods: []Type{m.typ}, Inner: []Type{m.inner}, VerifyServer: is(own),
			Revocation: func([]byte) (bool, error) {
				t.Errorf("%v: asked", m)
				return false, nil
			}})
		if _, err := tunnel(t, p, s); err == nil {
			t.Errorf("%v: accepted", m)
		}
		p.Wipe()
		s.tls.close()
	}
}

// When it is known that the certificates are good, both ends go on.
func TestRevocationLater(t *testing.T) {
	server, client := identity(t, "gw", 10), identity(t, "alice", 10)
	p := NewPeer(PeerConfig{Identity: "alice", Certificate: client, Methods: []Type{TypeTLS}, VerifyServer: is(server),
		Revocation: func([]byte) (bool, error) { return true, nil }})
	s := NewServer(ServerConfig{Methods: []Type{TypeTLS}, Certificate: server,
		VerifyClient: func(_ string, chain []*x509.Certificate) error { return is(client)(chain) },
		Revocation:   func() (bool, error) { return true, nil }})
	packet, err := s.Start()
	peerWaits, serverWaits := 0, 0
	for err == nil && !p.Over() {
		var step Step
		if step, err = p.Handle(packet); err == nil && step.Waits {
			peerWaits++
			if _, bad := p.Handle(packet); bad == nil {
				t.Error("the peer goes on by itself")
			}
			step, err = p.Resume()
		}
		if err != nil || step.Reply == nil {
			break
		}
		if packet, err = s.Handle(step.Reply); err == nil && packet == nil {
			serverWaits++
			if again, bad := s.Handle(step.Reply); bad == nil || again != nil || s.Succeeded() || s.MSK() != nil {
				t.Error("the server goes on by itself")
			}
			packet, err = s.Resume()
		}
	}
	if err != nil || !p.Over() || !s.Succeeded() || peerWaits != 1 || serverWaits != 1 || !bytes.Equal(p.MSK(), s.MSK()) {
		t.Errorf("%v, over %v, succeeded %v, waited %d and %d times", err, p.Over(), s.Succeeded(), peerWaits, serverWaits)
	}
	if _, err := s.Resume(); err == nil {
		t.Error("the server goes on after the end")
	}
	p.Wipe()
	s.Wipe()
}

// A user whose certificate was revoked is refused, though all else is right.
func TestRevokedUser(t *testing.T) {
	server, client := identity(t, "gw", 10), identity(t, "alice", 10)
	p := NewPeer(PeerConfig{Identity: "alice", Certificate: client, Methods: []Type{TypeTLS}, VerifyServer: is(server)})
	s := NewServer(ServerConfig{Methods: []Type{TypeTLS}, Certificate: server,
		VerifyClient: func(_ string, chain []*x509.Certificate) error { return is(client)(chain) },
		Revocation:   func() (bool, error) { return false, errRevoked }})
	if _, err := run(t, p, s); err == nil || p.Over() || s.Succeeded() || s.MSK() != nil {
		t.Errorf("%v, over %v, succeeded %v", err, p.Over(), s.Succeeded())
	}
	p.Wipe()
	s.Wipe()
}
