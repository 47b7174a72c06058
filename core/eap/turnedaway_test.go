package eap

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
)

// A server that ends it before the user has proved anything does not refuse a
// password: nobody shall be told so, or type it again until the account is locked.
func TestTurnedAwayBeforeAnyProof(t *testing.T) {
	failure := Packet{Code: CodeFailure}
	ask := Packet{Code: CodeRequest, Type: TypeIdentity}
	challenge := Packet{Code: CodeRequest, Type: TypeMSCHAPv2, Data: (&chapPacket{op: opChallenge, value: make([]byte, challengeLen), text: []byte("gw")}).appendTo(nil)}
	for name, c := range map[string]struct {
		packets  []Packet
		noMethod string // the method that the server wants; empty: the user is refused
		untried  bool
	}{
		"after the name":      {[]Packet{ask, failure}, "", true},
		"at once":             {[]Packet{failure}, "", true},
		"after a Nak":         {[]Packet{ask, {Code: CodeRequest, Type: typeMD5, Data: []byte{1, 2, 3}}, failure}, "MD5", true},
		"after a TTLS start":  {[]Packet{ask, {Code: CodeRequest, Type: TypeTTLS, Data: []byte{flagStart}}, failure}, "", true},
		"after the challenge": {[]Packet{ask, challenge, failure}, "", false},
		"after GTC":           {[]Packet{ask, {Code: CodeRequest, Type: TypeGTC, Data: []byte("?")}, failure}, "", false},
	} {
		p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("secret"), VerifyServer: is(nil)})
		var err error
		for i, packet := range c.packets {
			packet.ID = byte(i)
			if _, err = p.Handle(packet.AppendTo(nil)); (err != nil) != (packet.Code == CodeFailure) {
				t.Fatalf("%s: %v: %v", name, packet, err)
			}
		}
		if c.noMethod != "" {
			if !errors.Is(err, ErrNoMethod) || !strings.Contains(err.Error(), c.noMethod) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if r, ok := errors.AsType[*RefusedError](err); !ok || r.Untried != c.untried {
			t.Errorf("%s: %v", name, err)
		}
		p.Wipe()
	}
}

// The same within TTLS and PEAP, where the inner server is another.
func TestTurnedAwayWithinTLS(t *testing.T) {
	own := identity(t, "gw", 0)
	for _, typ := range []Type{TypeTTLS, TypePEAP} {
		inner := NewServer(ServerConfig{Methods: []Type{TypeMSCHAPv2}, Password: users("alice", "secret")})
		s := newTunnelServer(t, typ, tls.VersionTLS13, own, inner)
		p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("secret"), Methods: []Type{typ}, Inner: []Type{TypeGTC}, VerifyServer: is(own)})
		_, err := tunnel(t, p, s)
		if !errors.Is(err, ErrNoMethod) || !strings.Contains(err.Error(), "MSCHAPv2") {
			t.Errorf("%v, no method in common within: %v", typ, err)
		}
		p.Wipe()
		s.tls.close()
	}
}
