package eap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

// run speaks for both ends until it is over, and returns the number of packets
// of the server and the peer's error.
func run(t *testing.T, p *Peer, s *Server, answers ...string) (int, error) {
	t.Helper()
	packet, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 100; n++ {
		step, err := p.Handle(packet)
		if err != nil {
			return n, err
		}
		for step.Question != nil {
			if len(answers) == 0 {
				t.Fatalf("asked too much: %+v", step.Question)
			}
			if step, err = p.Answer([]byte(answers[0])); err != nil {
				return n, err
			}
			answers = answers[1:]
		}
		if step.Reply == nil {
			return n, nil
		}
		if packet, err = s.Handle(step.Reply); err != nil {
			t.Logf("server: %v", err)
		}
	}
	t.Fatal("they never end")
	return 0, nil
}

func users(name, password string) func(string) ([]byte, bool) {
	return func(u string) ([]byte, bool) { return []byte(password), u == name }
}

func TestPasswordMethods(t *testing.T) {
	for _, m := range []Type{TypeMSCHAPv2, TypeGTC} {
		for name, c := range map[string]struct {
			user, password string
			want           error
		}{
			"right":        {"alice", "pässwörd 🔑", nil},
			"wrong":        {"alice", "password", ErrRefused},
			"unknown user": {"mallory", "pässwörd 🔑", ErrRefused},
		} {
			s := NewServer(ServerConfig{Name: "gw", Methods: []Type{m}, Password: users("alice", "pässwörd 🔑")})
			p := NewPeer(PeerConfig{Identity: c.user})
			_, err := run(t, p, s, c.password)
			if !errors.Is(err, c.want) || (err == nil) != s.Succeeded() || s.Succeeded() != p.Over() {
				t.Errorf("%v, %s: %v, server %v", m, name, err, s.Succeeded())
			}
			if !bytes.Equal(p.MSK(), s.MSK()) || err == nil && (len(p.MSK()) == 64) != (m == TypeMSCHAPv2) {
				t.Errorf("%v, %s: keys %x and %x", m, name, p.MSK(), s.MSK())
			}
			if m == TypeMSCHAPv2 && err != nil {
				var r *RefusedError
				if !errors.As(err, &r) || r.Code != 691 || r.Message != "Authentication failed" {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

// The example of RFC 2759, section 9.2.
func TestMSCHAPVectors(t *testing.T) {
	x := func(s string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	server, peer := x("5B5D7C7D7B3F2F3E3C2C602132262628"), x("21402324255E262A28295F2B3A337C7E")
	hash, err := ntHash([]byte("clientPass"))
	if err != nil {
		t.Fatal(err)
	}
	if want := x("44EBBA8D5312B8D611474411F56989AE"); !bytes.Equal(hash, want) {
		t.Errorf("hash %x", hash)
	}
	c := challengeHash(peer, server, `DOMAIN\User`)
	if want := x("D02E4386BCE91226"); !bytes.Equal(c, want) {
		t.Errorf("challenge %x", c)
	}
	r := ntResponse(c, hash)
	if want := x("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF"); !bytes.Equal(r, want) {
		t.Errorf("response %x", r)
	}
	if got := authenticatorResponse(hash, r, peer, server, "User"); got != "S=407A5589115FD0D6209F510FE9C04566932CDA56" {
		t.Errorf("proof %s", got)
	}
}

// CVE-2021-45079: a success counts only after the method's own.
func TestEarlySuccess(t *testing.T) {
	success := (&Packet{Code: CodeSuccess, ID: 9}).AppendTo(nil)
	for n := range 3 { // before identity, challenge, proof
		p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("secret")})
		s := NewServer(ServerConfig{Methods: []Type{TypeMSCHAPv2}, Password: users("alice", "secret")})
		packet, err := s.Start()
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			step, err := p.Handle(packet)
			if err != nil {
				t.Fatal(err)
			}
			if packet, err = s.Handle(step.Reply); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.Handle(success); !errors.Is(err, ErrEarlySuccess) || p.Over() || p.MSK() != nil {
			t.Errorf("after %d packets: %v", n, err)
		}
	}
}

// A server that does not know the password cannot end well, and no second
// response is to be had from the peer.
func TestRogueMSCHAPServer(t *testing.T) {
	p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("secret")})
	req := func(id byte, c chapPacket) []byte {
		return (&Packet{Code: CodeRequest, ID: id, Type: TypeMSCHAPv2, Data: c.appendTo(nil)}).AppendTo(nil)
	}
	challenge := chapPacket{op: opChallenge, id: 1, value: make([]byte, challengeLen), text: []byte("rogue")}
	if _, err := p.Handle(req(1, challenge)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Handle(req(2, chapPacket{op: opSuccess, id: 1, text: []byte("S=" + strings.Repeat("0", 40))})); !errors.Is(err, ErrServer) {
		t.Errorf("false proof: %v", err)
	}
	if _, err := p.Handle(req(3, challenge)); !errors.Is(err, ErrProtocol) {
		t.Errorf("second challenge: %v", err)
	}
}

func TestMutualOnlyRefusesPasswords(t *testing.T) {
	p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("secret"), MutualOnly: true})
	s := NewServer(ServerConfig{Methods: []Type{TypeMSCHAPv2, TypeGTC}, Password: users("alice", "secret")})
	if _, err := run(t, p, s); !errors.Is(err, ErrNoMethod) {
		t.Errorf("%v", err)
	}
}

func TestNakChoosesAnother(t *testing.T) {
	p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("secret"), Methods: []Type{TypeGTC}})
	s := NewServer(ServerConfig{Methods: []Type{TypeMSCHAPv2, TypeGTC}, Password: users("alice", "secret")})
	if _, err := run(t, p, s); err != nil || s.Method() != TypeGTC {
		t.Errorf("%v, %v", err, s.Method())
	}
}

func TestQuestionsAreBounded(t *testing.T) {
	p := NewPeer(PeerConfig{Identity: "alice"})
	var err error
	for i := range 20 {
		var step Step
		if step, err = p.Handle((&Packet{Code: CodeRequest, ID: byte(i), Type: TypeGTC, Data: []byte("Code\x1b[2J?\u202e")}).AppendTo(nil)); err != nil {
			break
		}
		if step.Question.Text != "Code[2J?" {
			t.Fatalf("%q", step.Question.Text)
		}
		if _, err := p.Answer([]byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	if !errors.Is(err, ErrProtocol) {
		t.Errorf("%v", err)
	}
}

// identity is a self-signed certificate with a chain as long as asked for.
func identity(t testing.TB, name string, padding int) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{strings.Repeat("x", padding)}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTLS(t *testing.T) {
	server, client, other := identity(t, "gw", 6000), identity(t, "alice", 5000), identity(t, "mallory", 10)
	is := func(want *tls.Certificate) func([]*x509.Certificate) error {
		return func(chain []*x509.Certificate) error {
			if !bytes.Equal(chain[0].Raw, want.Certificate[0]) {
				return errors.New("another")
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		server, client *tls.Certificate
		want           error
	}{
		"both right":    {server, client, nil},
		"wrong server":  {other, client, ErrServer},
		"wrong client":  {server, other, ErrRefused},
		"both ends bad": {other, other, ErrServer},
	} {
		p := NewPeer(PeerConfig{Identity: "alice", VerifyServer: is(server), Certificate: c.client})
		s := NewServer(ServerConfig{Methods: []Type{TypeTLS}, Certificate: c.server,
			VerifyClient: func(_ string, chain []*x509.Certificate) error { return is(client)(chain) }})
		packets, err := run(t, p, s)
		if !errors.Is(err, c.want) || (err == nil) != s.Succeeded() {
			t.Errorf("%s: %v, server %v", name, err, s.Succeeded())
		}
		if err == nil && (len(p.MSK()) != 64 || !bytes.Equal(p.MSK(), s.MSK()) || packets < 10) {
			t.Errorf("%s: keys %x and %x after %d packets", name, p.MSK(), s.MSK(), packets)
		}
		p.Wipe()
		s.Wipe()
	}
}

// Without a way to judge the server no TLS-based method is spoken (CVE-2023-26463).
func TestTLSNeedsAJudge(t *testing.T) {
	p := NewPeer(PeerConfig{Identity: "alice", Certificate: identity(t, "alice", 1), Methods: []Type{TypeTLS, TypeTTLS, TypePEAP}})
	step, err := p.Handle((&Packet{Code: CodeRequest, ID: 1, Type: TypeTTLS, Data: []byte{flagStart}}).AppendTo(nil))
	if !errors.Is(err, ErrNoMethod) {
		t.Errorf("%x, %v", step.Reply, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add((&Packet{Code: CodeRequest, ID: 1, Type: TypeGTC, Data: []byte("Password: ")}).AppendTo(nil))
	f.Add((&Packet{Code: CodeSuccess, ID: 1}).AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		if got := p.AppendTo(nil); !bytes.Equal(got, b) {
			t.Errorf("%x became %x", b, got)
		}
	})
}

func FuzzMSCHAP(f *testing.F) {
	f.Add((&chapPacket{op: opChallenge, id: 1, value: make([]byte, challengeLen), text: []byte("gw")}).appendTo(nil))
	f.Add((&chapPacket{op: opFailure, id: 1, text: []byte("E=691 R=1 C=00 V=3 M=no")}).appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseChap(b)
		if err != nil {
			return
		}
		if got := c.appendTo(nil); !bytes.Equal(got, b) {
			t.Errorf("%x became %x", b, got)
		}
		parseFailure(c.text)
	})
}

func FuzzTLSFrame(f *testing.F) {
	f.Add([]byte{flagLength | flagMore, 0, 0, 0, 9, 1, 2})
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := parseFragment(b)
		if err != nil {
			return
		}
		if got := x.appendTo(nil); !bytes.Equal(got, b) {
			t.Errorf("%x became %x", b, got)
		}
		var fr framer
		if whole, err := fr.take(b); err == nil && whole && !bytes.Equal(fr.received(), x.tls) {
			t.Error("lost")
		}
	})
}

func FuzzAVPs(f *testing.F) {
	a := avp{code: avpEAPMessage, must: true, data: []byte{1, 2, 3}}
	v := avp{code: 5, vendor: 311, data: []byte{1, 2, 3, 4}}
	f.Add(v.appendTo(a.appendTo(nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseAVPs(b)
		if err != nil {
			return
		}
		var out []byte
		for _, a := range list {
			out = a.appendTo(out)
		}
		again, err := parseAVPs(out)
		if err != nil || len(again) != len(list) {
			t.Fatalf("%x became %x: %v", b, out, err)
		}
		for i, a := range list {
			if g := again[i]; g.code != a.code || g.vendor != a.vendor || g.must != a.must || !bytes.Equal(g.data, a.data) {
				t.Errorf("%+v became %+v", a, g)
			}
		}
	})
}

// A peer gets along with whatever a server sends.
func FuzzPeer(f *testing.F) {
	judge := func([]*x509.Certificate) error { return nil }
	f.Add([]byte{1, 1, 0, 5, 1})
	f.Add([]byte{1, 2, 0, 6, 21, flagStart, 1, 3, 0, 9, 21, 0, 22, 3, 3})
	f.Add((&Packet{Code: CodeRequest, ID: 1, Type: TypeMSCHAPv2, Data: (&chapPacket{op: opChallenge, value: make([]byte, 16)}).appendTo(nil)}).AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("x"), VerifyServer: judge, Methods: []Type{TypeMSCHAPv2, TypeGTC, TypeTTLS, TypePEAP}})
		defer p.Wipe()
		for len(b) >= 4 {
			n := min(len(b), max(4, int(b[2])<<8|int(b[3])))
			step, err := p.Handle(b[:n])
			if err != nil {
				return
			}
			if step.Question == nil && step.Reply == nil && p.method == nil {
				t.Fatal("success without a method")
			}
			b = b[n:]
		}
	})
}
