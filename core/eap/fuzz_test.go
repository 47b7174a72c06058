package eap

import (
	"crypto/x509"
	"errors"
	"testing"
)

// packets cuts what a fuzzer made into the data of packets: a byte of length, and
// so many bytes.
func packets(b []byte) [][]byte {
	var list [][]byte
	for len(b) > 0 && len(list) < 50 {
		n := min(int(b[0]), len(b)-1)
		list = append(list, b[1:1+n])
		b = b[1+n:]
	}
	return list
}

func lengthed(list ...[]byte) []byte {
	var out []byte
	for _, b := range list {
		out = append(append(out, byte(len(b))), b...)
	}
	return out
}

// FuzzServer gives a server of each method whatever responses. None lets in who
// does not know the password, or has no certificate.
func FuzzServer(f *testing.F) {
	own := identity(f, "gw", 10)
	methods := []Type{TypeMSCHAPv2, TypeGTC, TypeTLS}
	response := (&chapPacket{op: opResponse, id: 1, value: make([]byte, responseLen), text: []byte("alice")}).appendTo(nil)
	f.Add(uint8(0), lengthed(response, []byte{opSuccess}, []byte{opFailure}))
	f.Add(uint8(1), lengthed([]byte("guess"), []byte("another"), nil))
	f.Add(uint8(2), lengthed([]byte{0}, []byte{flagLength | flagMore, 0, 0, 1, 0, 22, 3, 1}, []byte{0, 22, 3, 1, 0, 1, 1}))
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		m := methods[int(which)%len(methods)]
		s := NewServer(ServerConfig{Name: "gw", Methods: []Type{m}, Password: users("alice", "a password that no fuzzer finds 7f3a"), Certificate: own,
			VerifyClient: func(string, []*x509.Certificate) error { return errors.New("nobody") }})
		defer s.Wipe()
		packet, err := s.Start()
		if err != nil {
			t.Fatal(err)
		}
		if packet, err = s.Handle((&Packet{Code: CodeResponse, ID: packet[1], Type: TypeIdentity, Data: []byte("alice")}).AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
		for _, data := range packets(b) {
			packet, _ = s.Handle((&Packet{Code: CodeResponse, ID: packet[1], Type: m, Data: data}).AppendTo(nil))
			if s.Succeeded() || s.MSK() != nil {
				t.Fatalf("%v lets a stranger in: %x", m, data)
			}
			if packet == nil {
				return
			}
			if p, bad := Parse(packet); bad != nil || p.Code == CodeSuccess || p.Code == CodeResponse {
				t.Fatalf("%v says %x, %v", m, packet, bad)
			} else if p.Code == CodeFailure {
				return
			}
		}
	})
}

// FuzzServerPackets gives a server whatever packets, headers and all.
func FuzzServerPackets(f *testing.F) {
	f.Add([]byte{2, 0, 0, 6, 1, 'a', 2, 1, 0, 6, 3, 6})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewServer(ServerConfig{Methods: []Type{TypeMSCHAPv2, TypeGTC}, Password: users("alice", "a password that no fuzzer finds 7f3a")})
		packet, err := s.Start()
		if err != nil {
			t.Fatal(err)
		}
		for len(b) >= 4 && packet != nil {
			n := min(len(b), max(4, int(b[2])<<8|int(b[3])))
			in := append([]byte(nil), b[:n]...)
			in[1] += packet[1]
			packet, _ = s.Handle(in)
			if s.Succeeded() {
				t.Fatal("a stranger is in")
			}
			b = b[n:]
		}
	})
}

// FuzzPeerMethod gives a peer of each method whatever requests of that method. No
// server ends well that does not know the password, or shows no certificate.
func FuzzPeerMethod(f *testing.F) {
	own := identity(f, "gw", 10)
	methods := []Type{TypeMSCHAPv2, TypeTLS, TypeTTLS, TypePEAP}
	challenge := (&chapPacket{op: opChallenge, id: 1, value: make([]byte, challengeLen), text: []byte("gw")}).appendTo(nil)
	f.Add(uint8(0), lengthed(challenge, []byte("\x03\x01\x00\x30S=407A5589115FD0D6209F510FE9C04566932CDA56 M=OK")))
	for i := range methods[1:] {
		f.Add(uint8(i+1), lengthed([]byte{flagStart}, []byte{0}, []byte{0, 22, 3, 3, 0, 4, 14, 0, 0, 0}))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		m := methods[int(which)%len(methods)]
		p := NewPeer(PeerConfig{Identity: "alice", Password: []byte("s3cret"), Methods: []Type{m}, Certificate: own,
			VerifyServer: func([]*x509.Certificate) error { return errors.New("nobody") }})
		defer p.Wipe()
		for i, data := range packets(b) {
			if _, err := p.Handle((&Packet{Code: CodeRequest, ID: byte(i), Type: m, Data: data}).AppendTo(nil)); err != nil {
				break
			}
		}
		if _, err := p.Handle((&Packet{Code: CodeSuccess}).AppendTo(nil)); err == nil || p.Over() || p.MSK() != nil {
			t.Fatalf("%v: a stranger is believed", m)
		}
	})
}

// FuzzWithin gives the methods within TTLS and PEAP whatever a server says there
// that has proved itself: it may learn the password, and end nothing early.
func FuzzWithin(f *testing.F) {
	a := avp{code: avpEAPMessage, must: true, data: []byte{1, 1, 0, 5, 6}}
	f.Add(uint8(0), lengthed(a.appendTo(nil)))
	f.Add(uint8(1), lengthed(a.appendTo(nil)))
	f.Add(uint8(2), lengthed([]byte{1}, []byte{6, 'c'}, []byte{1, 9, 0, 11, 33, 0x80, 3, 0, 2, 0, 1}))
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		cfg := &PeerConfig{Identity: "alice", Password: []byte("s3cret"), Inner: []Type{TypeMSCHAPv2, TypeGTC}}
		var in innerMethod
		switch which % 3 {
		case 0:
			in = newTTLSInner(cfg)
		case 1:
			cfg.Inner = []Type{PAP}
			in = newTTLSInner(cfg)
		default:
			in = newPEAPInner(cfg)
		}
		defer in.wipe()
		if in.done() {
			t.Fatal("over before it began")
		}
		if _, _, err := in.begin(); err != nil {
			t.Fatal(err)
		}
		for _, plain := range packets(b) {
			_, q, err := in.handle(plain)
			if err == nil && q != nil {
				_, _, err = in.answer([]byte("123456"))
			}
			if err != nil {
				return
			}
		}
	})
}
