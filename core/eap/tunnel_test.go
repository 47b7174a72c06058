package eap

import (
	"bytes"
	"crypto/tls"
	"net"
	"slices"
	"testing"
)

// A tunnelServer is the server's end of TTLS and PEAP: TLS, and within it what
// Server asks, or a password for PAP. It is as honest as its certificate.
type tunnelServer struct {
	t     *testing.T
	typ   Type
	tls   *tlsConn
	frame framer
	inner *Server
	pap   string // the password that PAP has to bring; empty: EAP within
	also  string // what is asked after that, with GTC
	early int    // the packet of PEAP, from 1, that says success whatever came; 0: none

	heard []byte // all that came within TLS
	id    uint8
	ended bool
}

func newTunnelServer(t *testing.T, typ Type, version uint16, own *tls.Certificate, inner *Server) *tunnelServer {
	s := &tunnelServer{t: t, typ: typ, inner: inner}
	s.tls = newTLSConn(func(c net.Conn) *tls.Conn {
		return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*own}, MinVersion: tls.VersionTLS12, MaxVersion: version, SessionTicketsDisabled: true})
	})
	return s
}

// start is the first request of the method.
func (s *tunnelServer) start() []byte {
	return (&Packet{Code: CodeRequest, ID: s.id, Type: s.typ, Data: []byte{flagStart}}).AppendTo(nil)
}

// handle answers a response of the peer. Nil: TLS has ended.
func (s *tunnelServer) handle(b []byte) []byte {
	in, err := Parse(b)
	if err != nil || in.Type != s.typ {
		s.t.Fatalf("the peer says %x: %v", b, err)
	}
	s.id++
	say := func(data []byte) []byte {
		return (&Packet{Code: CodeRequest, ID: s.id, Type: s.typ, Data: data}).AppendTo(nil)
	}
	if s.frame.pending() {
		return say(s.frame.next())
	}
	whole, err := s.frame.take(in.Data)
	if err != nil {
		s.t.Fatal(err)
	}
	if !whole {
		return say(s.frame.ack())
	}
	wasUp := s.tls.up
	if err := s.tls.feed(s.frame.received()); err != nil {
		s.ended = true
		return nil
	}
	plain := s.tls.plain
	s.tls.plain = nil
	s.heard = append(s.heard, plain...)
	if s.tls.up && (len(plain) > 0 || !wasUp && s.typ == TypePEAP) {
		out, code := s.within(plain)
		if code != 0 {
			return (&Packet{Code: code, ID: s.id}).AppendTo(nil)
		}
		if err := s.tls.write(out); err != nil {
			s.t.Fatal(err)
		}
	}
	return say(s.frame.send(s.tls.take()))
}

// within speaks the inner method.
func (s *tunnelServer) within(plain []byte) ([]byte, Code) {
	if s.typ == TypePEAP {
		return s.withinPEAP(plain)
	}
	list, err := parseAVPs(plain)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.pap != "" && list[0].code == avpUserName {
		if string(bytes.TrimRight(list[1].data, "\x00")) != s.pap {
			return nil, CodeFailure
		}
		if s.also == "" {
			return nil, CodeSuccess
		}
		q := Packet{Code: CodeRequest, ID: 1, Type: TypeGTC, Data: []byte(s.also)}
		a := avp{code: avpEAPMessage, must: true, data: q.AppendTo(nil)}
		return a.appendTo(nil), 0
	}
	if s.pap != "" {
		return nil, CodeSuccess
	}
	next := s.ask(list[0].data)
	if p, _ := Parse(next); p.Code != CodeRequest {
		return nil, p.Code
	}
	a := avp{code: avpEAPMessage, must: true, data: next}
	return a.appendTo(nil), 0
}

// ask gives the inner server a packet; the first is an identity that nobody
// asked for.
func (s *tunnelServer) ask(packet []byte) []byte {
	if !s.inner.named {
		first, err := s.inner.Start()
		if err != nil {
			s.t.Fatal(err)
		}
		packet = slices.Clone(packet)
		packet[1] = first[1]
	}
	next, _ := s.inner.Handle(packet)
	return next
}

func (s *tunnelServer) withinPEAP(plain []byte) ([]byte, Code) {
	result := func(status byte) []byte {
		return (&Packet{Code: CodeRequest, ID: 9, Type: TypeExtensions, Data: []byte{0x80, tlvResult, 0, 2, 0, status}}).AppendTo(nil)
	}
	if s.early > 0 {
		if s.early--; s.early == 0 {
			return result(resultSuccess), 0
		}
	}
	if len(plain) == 0 {
		return []byte{byte(TypeIdentity)}, 0
	}
	if p, err := Parse(plain); err == nil && p.Type == TypeExtensions {
		if s.inner.Succeeded() {
			return nil, CodeSuccess
		}
		return nil, CodeFailure
	}
	packet := append([]byte{byte(CodeResponse), s.inner.id, 0, byte(4 + len(plain))}, plain...)
	next := s.ask(packet)
	switch p, _ := Parse(next); p.Code {
	case CodeSuccess:
		return result(resultSuccess), 0
	case CodeFailure:
		return result(resultFailure), 0
	}
	return next[4:], 0
}

// tunnel speaks for both ends, and returns the peer's error and how often it
// asked the user.
func tunnel(t *testing.T, p *Peer, s *tunnelServer, answers ...string) (asked []Question, err error) {
	t.Helper()
	packet := s.start()
	for range 100 {
		step, err := p.Handle(packet)
		for err == nil && step.Question != nil {
			asked = append(asked, *step.Question)
			if len(answers) == 0 {
				return asked, nil
			}
			step, err = p.Answer([]byte(answers[0]))
			answers = answers[1:]
		}
		if err != nil || step.Reply == nil {
			return asked, err
		}
		if packet = s.handle(step.Reply); packet == nil {
			packet = (&Packet{Code: CodeFailure, ID: s.id}).AppendTo(nil)
		}
	}
	t.Fatal("they never end")
	return nil, nil
}

// A tunnelled is a way of TTLS and PEAP.
type tunnelled struct {
	typ     Type
	inner   Type
	version uint16
}

func tunnelledMethods() []tunnelled {
	var list []tunnelled
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, in := range []Type{TypeMSCHAPv2, TypeGTC, PAP} {
			list = append(list, tunnelled{TypeTTLS, in, v})
			if in != PAP {
				list = append(list, tunnelled{TypePEAP, in, v})
			}
		}
	}
	return list
}

func (m tunnelled) String() string {
	inner := m.inner.String()
	if m.inner == PAP {
		inner = "PAP"
	}
	return m.typ.String() + "-" + inner + "/" + tls.VersionName(m.version)
}

// server is one that knows alice's password.
func (m tunnelled) server(t *testing.T, own *tls.Certificate, password string) *tunnelServer {
	s := newTunnelServer(t, m.typ, m.version, own, NewServer(ServerConfig{Methods: []Type{m.inner}, Password: users("alice", password)}))
	if m.inner == PAP {
		s.pap = password
	}
	return s
}
