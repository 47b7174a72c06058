package eap

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
)

// is judges a server by its certificate.
func is(want *tls.Certificate) func([]*x509.Certificate) error {
	return func(chain []*x509.Certificate) error {
		if !bytes.Equal(chain[0].Raw, want.Certificate[0]) {
			return errors.New("another")
		}
		return nil
	}
}

func TestTunnelledMethods(t *testing.T) {
	own := identity(t, "gw", 3000)
	for _, m := range tunnelledMethods() {
		for name, password := range map[string]string{"right": "s3cret", "wrong": "other"} {
			s := m.server(t, own, "s3cret")
			p := NewPeer(PeerConfig{Identity: "alice", Password: []byte(password), Methods: []Type{m.typ}, Inner: []Type{m.inner}, VerifyServer: is(own)})
			_, err := tunnel(t, p, s)
			if right := name == "right"; right != (err == nil) || right != p.Over() || right != (len(p.MSK()) == 64) || !right && !errors.Is(err, ErrRefused) {
				t.Errorf("%v, %s password: %v", m, name, err)
			}
			if !bytes.Contains(s.heard, []byte("alice")) {
				t.Errorf("%v, %s password: the server heard nothing", m, name)
			}
			p.Wipe()
			s.tls.close()
		}
	}
}

// CVE-2023-26463 and CVE-2015-4171 within TTLS and PEAP: until the server's
// certificate is verified, and its key with it, no byte goes through the tunnel,
// and nobody is asked for a password.
func TestNoInnerByteBeforeTheServerIsVerified(t *testing.T) {
	own, other := identity(t, "gw", 10), identity(t, "gw", 10)
	for _, m := range tunnelledMethods() {
		for name, c := range map[string]struct {
			shows tls.Certificate
			asks  bool
		}{
			"another certificate":            {shows: *other},
			"another certificate, asked":     {shows: *other, asks: true},
			"the right one without its key":  {shows: tls.Certificate{Certificate: own.Certificate, PrivateKey: other.PrivateKey}},
			"the right one behind another":   {shows: tls.Certificate{Certificate: [][]byte{other.Certificate[0], own.Certificate[0]}, PrivateKey: other.PrivateKey}},
			"another behind the right one":   {shows: tls.Certificate{Certificate: [][]byte{own.Certificate[0], other.Certificate[0]}, PrivateKey: other.PrivateKey}},
			"no certificate that is one":     {shows: tls.Certificate{Certificate: [][]byte{{0x30, 0}}, PrivateKey: other.PrivateKey}},
			"one with bytes behind, no key":  {shows: tls.Certificate{Certificate: [][]byte{append(slices.Clone(own.Certificate[0]), 0)}, PrivateKey: other.PrivateKey}},
			"another certificate, known CAs": {shows: tls.Certificate{Certificate: [][]byte{other.Certificate[0], own.Certificate[0]}, PrivateKey: other.PrivateKey}, asks: true},
		} {
			cfg := PeerConfig{Identity: "alice", Password: []byte("s3cret"), Methods: []Type{m.typ}, Inner: []Type{m.inner}, VerifyServer: is(own)}
			if c.asks {
				cfg.Password = nil
			}
			s := m.server(t, &c.shows, "s3cret")
			p := NewPeer(cfg)
			asked, err := tunnel(t, p, s, "s3cret", "s3cret")
			if err == nil || p.Over() || p.MSK() != nil || len(asked) > 0 || len(s.heard) > 0 {
				t.Errorf("%v, %s: %v, asked %d times, the server heard %q", m, name, err, len(asked), s.heard)
			}
			// Nor does it help to say success now.
			if _, err := p.Handle((&Packet{Code: CodeSuccess}).AppendTo(nil)); err == nil {
				t.Errorf("%v, %s: success after the alert", m, name)
			}
			p.Wipe()
			s.tls.close()
		}
	}
}

// CVE-2021-45079 for the methods within TLS: success counts only when the inner
// method is over, whenever it is said.
func TestEarlySuccessInTheTunnel(t *testing.T) {
	own := identity(t, "gw", 10)
	for _, m := range tunnelledMethods() {
		whole := 0
		for stop := 0; whole == 0 || stop < whole; stop++ {
			s := m.server(t, own, "s3cret")
			p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("s3cret"), Methods: []Type{m.typ}, Inner: []Type{m.inner}, VerifyServer: is(own)})
			packet := s.start()
			for n := range 100 {
				if n == stop {
					break
				}
				step, err := p.Handle(packet)
				if err != nil {
					t.Fatal(err)
				}
				if step.Reply == nil {
					whole = n
					break
				}
				packet = s.handle(step.Reply)
			}
			if p.Over() {
				break
			}
			// The end is when the server has the password, or has shown that it knows
			// it; with PEAP both then say so.
			finished := bytes.Contains(s.heard, []byte("s3cret")) || m.inner == TypeMSCHAPv2 && s.inner.Succeeded()
			if m.typ == TypePEAP {
				finished = bytes.Contains(s.heard, []byte{0x80, tlvResult, 0, 2, 0, resultSuccess})
			}
			_, err := p.Handle((&Packet{Code: CodeSuccess}).AppendTo(nil))
			if finished != (err == nil) || err != nil && !errors.Is(err, ErrEarlySuccess) {
				t.Errorf("%v: after %d packets: %v", m, stop, err)
			}
			p.Wipe()
			s.tls.close()
		}
		if whole < 3 {
			t.Errorf("%v: the method never ended", m)
		}
	}
}

// Within PEAP it is the result that comes too early: before the name, and before
// the server has shown that it knows the password.
func TestEarlyResultInPEAP(t *testing.T) {
	own := identity(t, "gw", 10)
	for after := range 3 {
		s := tunnelled{TypePEAP, TypeMSCHAPv2, tls.VersionTLS12}.server(t, own, "s3cret")
		s.early = after + 1
		p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("s3cret"), Methods: []Type{TypePEAP}, Inner: []Type{TypeMSCHAPv2}, VerifyServer: is(own)})
		if _, err := tunnel(t, p, s); !errors.Is(err, ErrEarlySuccess) || p.Over() {
			t.Errorf("after %d packets: %v", after, err)
		}
		if s.early != 0 {
			t.Error("the server never said so")
		}
		p.Wipe()
		s.tls.close()
	}
}

// The password goes out once. A server that asks again, within PAP's tunnel or
// with GTC, has the question put to the user in its own words.
func TestSecondQuestionAsksTheUser(t *testing.T) {
	own := identity(t, "gw", 10)
	s := tunnelled{TypeTTLS, PAP, tls.VersionTLS12}.server(t, own, "s3cret")
	s.also = "Your password: "
	p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("s3cret"), Methods: []Type{TypeTTLS}, Inner: []Type{PAP}, VerifyServer: is(own)})
	asked, err := tunnel(t, p, s, "123456")
	if err != nil || len(asked) != 1 || asked[0].Kind != AskCode || asked[0].Text != "Your password:" {
		t.Errorf("asked %+v, %v", asked, err)
	}
	if n := bytes.Count(s.heard, []byte("s3cret")); n != 1 {
		t.Errorf("the password went out %d times", n)
	}
	if !bytes.Contains(s.heard, []byte("123456")) {
		t.Error("the code did not go out")
	}
}

// A method that has begun is the one that ends: no change to another that gets
// more out of the password, and none to the same from its beginning.
func TestMethodDoesNotChange(t *testing.T) {
	judge := func([]*x509.Certificate) error { return nil }
	begin := map[Type][]byte{TypeMSCHAPv2: (&chapPacket{op: opChallenge, id: 1, value: make([]byte, challengeLen)}).appendTo(nil),
		TypeGTC: []byte("Password: "), TypeTTLS: {flagStart}, TypePEAP: {flagStart}, TypeTLS: {flagStart}}
	for first, data := range begin {
		for second, again := range begin {
			p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("s3cret"), VerifyServer: judge, Certificate: identity(t, "alice", 1)})
			if _, err := p.Handle((&Packet{Code: CodeRequest, ID: 1, Type: first, Data: data}).AppendTo(nil)); err != nil {
				t.Fatalf("%v: %v", first, err)
			}
			step, err := p.Handle((&Packet{Code: CodeRequest, ID: 2, Type: second, Data: again}).AppendTo(nil))
			switch {
			case first != second, first == TypeMSCHAPv2:
				if !errors.Is(err, ErrProtocol) {
					t.Errorf("%v after %v: %x, %v", second, first, step.Reply, err)
				}
			case first == TypeGTC: // another question, which the user answers
				if err != nil || step.Question == nil {
					t.Errorf("%v twice: %+v, %v", first, step, err)
				}
			}
			p.Wipe()
		}
	}
}

// What an end says is nothing when it comes back to it.
func TestReflection(t *testing.T) {
	judge := func([]*x509.Certificate) error { return nil }
	for _, m := range []Type{TypeMSCHAPv2, TypeGTC, TypeTLS} {
		p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("s3cret"), VerifyServer: judge, Certificate: identity(t, "alice", 1), Methods: []Type{m}})
		s := NewServer(ServerConfig{Methods: []Type{m}, Password: users("alice", "s3cret"), Certificate: identity(t, "gw", 1), VerifyClient: func(string, []*x509.Certificate) error { return nil }})
		packet, err := s.Start()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			twin := NewServer(s.cfg)
			*twin = *s
			if back, err := twin.Handle(packet); !errors.Is(err, ErrProtocol) || twin.Succeeded() || len(back) != 4 {
				t.Errorf("%v: the server takes its own request: %x, %v", m, back, err)
			}
			step, err := p.Handle(packet)
			if err != nil {
				t.Fatal(err)
			}
			if packet, err = s.Handle(step.Reply); err != nil {
				t.Fatal(err)
			}
			mirror := *p
			if back, err := mirror.Handle(step.Reply); !errors.Is(err, ErrProtocol) {
				t.Errorf("%v: the peer takes its own response: %x, %v", m, back.Reply, err)
			}
		}
	}
}

// A recorded proof of MSCHAPv2 is none in another session, at either end.
func TestReplayOfMSCHAPv2(t *testing.T) {
	record := func() (peer, server [][]byte) {
		p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("s3cret"), Methods: []Type{TypeMSCHAPv2}})
		s := NewServer(ServerConfig{Methods: []Type{TypeMSCHAPv2}, Password: users("alice", "s3cret")})
		packet, err := s.Start()
		if err != nil {
			t.Fatal(err)
		}
		for !p.Over() {
			server = append(server, packet)
			step, err := p.Handle(packet)
			if err != nil {
				t.Fatal(err)
			}
			if step.Reply == nil {
				break
			}
			peer = append(peer, step.Reply)
			if packet, err = s.Handle(step.Reply); err != nil {
				t.Fatal(err)
			}
		}
		return peer, server
	}
	peer, server := record()
	s := NewServer(ServerConfig{Methods: []Type{TypeMSCHAPv2}, Password: users("alice", "s3cret")})
	packet, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range peer {
		b[1] = packet[1]
		if len(b) > 9 && b[4] == byte(TypeMSCHAPv2) && b[5] == opResponse {
			b[6] = packet[6] // the identifier within is in the clear
		}
		if packet, err = s.Handle(b); err != nil {
			break
		}
	}
	if s.Succeeded() || err == nil {
		t.Errorf("the server takes a recorded proof: %v", err)
	}
	p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("s3cret"), Methods: []Type{TypeMSCHAPv2}})
	for _, b := range server {
		if _, err = p.Handle(b); err != nil {
			break
		}
	}
	if p.Over() || !errors.Is(err, ErrServer) {
		t.Errorf("the peer takes a recorded proof: %v", err)
	}
}

// CVE-2025-62291: every length of MSCHAPv2 with every value, and every packet cut
// off at every byte, at both ends. Only the true length is believed, and nothing
// is read beyond what is there.
func TestMSCHAPv2MalformedLengths(t *testing.T) {
	challenge := (&chapPacket{op: opChallenge, id: 1, value: make([]byte, challengeLen), text: []byte("gw")}).appendTo(nil)
	response := (&chapPacket{op: opResponse, id: 1, value: make([]byte, responseLen), text: []byte("alice")}).appendTo(nil)
	success := (&chapPacket{op: opSuccess, id: 1, text: []byte("S=407A5589115FD0D6209F510FE9C04566932CDA56 M=OK")}).appendTo(nil)
	failure := (&chapPacket{op: opFailure, id: 1, text: []byte("E=691 R=1 C=00000000000000000000000000000000 V=3 M=no")}).appendTo(nil)
	for name, whole := range map[string][]byte{"challenge": challenge, "response": response, "success": success, "failure": failure} {
		for _, send := range []struct {
			end  string
			take func(data []byte) error
		}{
			{"peer", func(data []byte) error {
				p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("s3cret"), Methods: []Type{TypeMSCHAPv2}})
				p.typ, p.method = TypeMSCHAPv2, p.newMethod(TypeMSCHAPv2)
				_, err := p.Handle((&Packet{Code: CodeRequest, ID: 1, Type: TypeMSCHAPv2, Data: data}).AppendTo(nil))
				return err
			}},
			{"server", func(data []byte) error {
				s := NewServer(ServerConfig{Methods: []Type{TypeMSCHAPv2}, Password: users("alice", "s3cret")})
				packet, err := s.Start()
				if err != nil {
					t.Fatal(err)
				}
				if packet, err = s.Handle((&Packet{Code: CodeResponse, ID: packet[1], Type: TypeIdentity, Data: []byte("alice")}).AppendTo(nil)); err != nil {
					t.Fatal(err)
				}
				_, err = s.Handle((&Packet{Code: CodeResponse, ID: packet[1], Type: TypeMSCHAPv2, Data: data}).AppendTo(nil))
				if s.Succeeded() {
					t.Errorf("%s lets in who knows no password", name)
				}
				return err
			}},
		} {
			for n := range 1 << 16 { // MS-Length
				if n == len(whole) {
					continue
				}
				bad := bytes.Clone(whole)
				binary.BigEndian.PutUint16(bad[2:], uint16(n))
				if err := send.take(bad); !errors.Is(err, ErrMalformed) {
					t.Fatalf("%s, %s: length %d of %d: %v", send.end, name, n, len(whole), err)
				}
			}
			for n := range 256 { // Value-Size
				if name == "success" || name == "failure" || n == int(whole[4]) {
					continue
				}
				bad := bytes.Clone(whole)
				bad[4] = byte(n)
				if err := send.take(bad); !errors.Is(err, ErrMalformed) {
					t.Fatalf("%s, %s: value of %d: %v", send.end, name, n, err)
				}
			}
			for n := range len(whole) {
				if send.end == "server" && n == 1 {
					continue // the answers to success and failure are one byte
				}
				if err := send.take(whole[:n:n]); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrProtocol) {
					t.Fatalf("%s, %s: %d of %d bytes: %v", send.end, name, n, len(whole), err)
				}
				short := bytes.Clone(whole[:n:n])
				if n >= 4 { // and with its length put right
					binary.BigEndian.PutUint16(short[2:], uint16(n))
					if err := send.take(short); err == nil && send.end == "peer" && (name == "challenge" && n < 5+challengeLen || name == "response") {
						t.Fatalf("%s, %s: %d of %d bytes, of that length: %v", send.end, name, n, len(whole), err)
					}
				}
			}
		}
	}
	// EAP's own length, and the codes.
	packet := (&Packet{Code: CodeRequest, ID: 1, Type: TypeMSCHAPv2, Data: challenge}).AppendTo(nil)
	for n := range 1 << 16 {
		bad := bytes.Clone(packet)
		binary.BigEndian.PutUint16(bad[2:], uint16(n))
		p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("s3cret")})
		if _, err := p.Handle(bad); n != len(packet) && !errors.Is(err, ErrMalformed) || n == len(packet) && err != nil {
			t.Fatalf("EAP length %d of %d: %v", n, len(packet), err)
		}
	}
}
