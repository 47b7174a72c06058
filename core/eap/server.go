package eap

import (
	"crypto/hmac"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"unicode/utf8"
)

// A ServerConfig is what a server asks of those who want in.
type ServerConfig struct {
	Name string // of the server, in MSCHAPv2
	// Methods are those offered, the preferred first: MSCHAPv2, GTC, TLS.
	Methods []Type
	// Password returns the password of a user, and false for an unknown one, who
	// is asked all the same. The server borrows it for the call.
	Password func(user string) ([]byte, bool)
	// Prompt is what GTC says; empty: "Password: ".
	Prompt string

	// Certificate and VerifyClient are for TLS.
	Certificate  *tls.Certificate
	VerifyClient func(user string, chain []*x509.Certificate) error
	// Revocation says whether the certificate that VerifyClient has accepted, and
	// whose key has signed the handshake by now, was revoked. later: it is not known
	// yet, and the Server waits for Resume. Nil: nobody asks.
	Revocation func() (later bool, err error)
	Rand       io.Reader
}

// A Server is the server's end of one authentication.
type Server struct {
	cfg     ServerConfig
	user    string
	named   bool
	id      uint8
	method  serverMethod
	typ     Type
	left    []Type // not tried yet
	begun   bool   // the peer has answered the method's first request, and not with a Nak
	rounds  int
	over    bool
	success bool
	waiting bool // for Resume
}

// A serverMethod is a method's server.
type serverMethod interface {
	// begin returns the data of the first request.
	begin() ([]byte, error)
	// handle takes the data of a response and returns that of the next request;
	// nil ends the method, as success says. An error ends it in failure.
	handle(data []byte) (next []byte, success bool, err error)
	msk() []byte
	wipe()
}

// NewServer returns a server for one authentication.
func NewServer(cfg ServerConfig) *Server {
	return &Server{cfg: cfg, left: slices.Clone(cfg.Methods)}
}

// Start returns the first packet: the question who the user is.
func (s *Server) Start() ([]byte, error) {
	var first [1]byte
	if err := random(s.cfg.Rand, first[:]); err != nil {
		return nil, err
	}
	s.id = first[0]
	return s.request(TypeIdentity, nil), nil
}

// User returns who the peer says it is; proved when Succeeded.
func (s *Server) User() string { return s.user }

// Succeeded reports whether the authentication ended with success.
func (s *Server) Succeeded() bool { return s.over && s.success }

// Method returns the method in use.
func (s *Server) Method() Type { return s.typ }

// MSK returns the key that the method made, or nil. The caller owns the copy.
func (s *Server) MSK() []byte {
	if !s.Succeeded() {
		return nil
	}
	return slices.Clone(s.method.msk())
}

// Wipe forgets every secret.
func (s *Server) Wipe() {
	if s.method != nil {
		s.method.wipe()
	}
	s.over, s.success = true, false
}

// Handle takes a response of the peer and returns the next packet. After one
// with CodeSuccess or CodeFailure the authentication is over. An error is only
// for the log: the packet beside it is to be sent all the same. Neither packet nor
// error: the server waits for what ServerConfig.Revocation left open, and Resume.
func (s *Server) Handle(b []byte) ([]byte, error) {
	if s.over || s.waiting {
		return nil, fmt.Errorf("eap: a packet after the end: %w", ErrProtocol)
	}
	if s.rounds++; s.rounds > maxRounds {
		return s.fail(fmt.Errorf("eap: more than %d rounds: %w", maxRounds, ErrProtocol))
	}
	in, err := Parse(b)
	switch {
	case err != nil:
		return s.fail(err)
	case in.Code != CodeResponse || in.ID != s.id:
		return s.fail(fmt.Errorf("eap: not the response to request %d: %w", s.id, ErrProtocol))
	}
	if !s.named {
		if in.Type != TypeIdentity || len(in.Data) == 0 || len(in.Data) > 253 || !utf8.Valid(in.Data) || Clean(in.Data) != string(in.Data) {
			return s.fail(fmt.Errorf("eap: no identity: %w", ErrProtocol))
		}
		s.user, s.named = string(in.Data), true
		return s.propose(nil)
	}
	if in.Type == TypeNak && !s.begun { // RFC 3748, section 5.3.1
		return s.propose(in.Data)
	}
	if in.Type != s.typ {
		return s.fail(fmt.Errorf("eap: %v in the midst of %v: %w", in.Type, s.typ, ErrProtocol))
	}
	s.begun = true
	return s.went(s.method.handle(in.Data))
}

// Resume goes on when the server waits: the user's certificate was not revoked. Of
// one that was, the caller goes no further, and wipes the Server.
func (s *Server) Resume() ([]byte, error) {
	t, ok := s.method.(*tlsServer)
	if !ok || !s.waiting || s.over {
		return nil, fmt.Errorf("eap: nothing waits: %w", ErrProtocol)
	}
	s.waiting = false
	next, err := t.admit()
	return s.went(next, false, err)
}

// errWaits says that a method waits for Server.Resume.
var errWaits = errors.New("eap: the user's certificate is being asked about")

// went says what comes of a method's step.
func (s *Server) went(next []byte, ok bool, err error) ([]byte, error) {
	switch {
	case err == errWaits:
		s.waiting = true
		return nil, nil
	case err != nil:
		return s.fail(err)
	case next != nil:
		return s.request(s.typ, next), nil
	case !ok:
		return s.fail(ErrRefused)
	}
	s.over, s.success = true, true
	out := Packet{Code: CodeSuccess, ID: s.id}
	return out.AppendTo(nil), nil
}

// propose begins the first method that is left, and that a Nak names.
func (s *Server) propose(wanted []byte) ([]byte, error) {
	if s.method != nil {
		s.method.wipe()
		s.method = nil
	}
	for len(s.left) > 0 {
		t := s.left[0]
		s.left = s.left[1:]
		if wanted != nil && !slices.Contains(wanted, byte(t)) {
			continue
		}
		s.typ = t
		switch t {
		case TypeMSCHAPv2:
			s.method = &mschapServer{s: s}
		case TypeGTC:
			s.method = &gtcServer{s: s}
		case TypeTLS:
			s.method = &tlsServer{s: s}
		default:
			continue
		}
		data, err := s.method.begin()
		if err != nil {
			return s.fail(err)
		}
		return s.request(t, data), nil
	}
	return s.fail(ErrNoMethod)
}

func (s *Server) request(t Type, data []byte) []byte {
	s.id++
	p := Packet{Code: CodeRequest, ID: s.id, Type: t, Data: data}
	return p.AppendTo(nil)
}

func (s *Server) fail(err error) ([]byte, error) {
	s.over = true
	p := Packet{Code: CodeFailure, ID: s.id}
	return p.AppendTo(nil), err
}

// password returns the user's password, or one that nobody has.
func (s *Server) password() ([]byte, bool) {
	if s.cfg.Password != nil {
		if p, ok := s.cfg.Password(s.user); ok && len(p) > 0 {
			return p, true
		}
	}
	return []byte("no such user"), false
}

// gtcServer asks for the password in plain: the way there is protected by IKE.
type gtcServer struct{ s *Server }

func (g *gtcServer) begin() ([]byte, error) {
	if g.s.cfg.Prompt != "" {
		return []byte(g.s.cfg.Prompt), nil
	}
	return []byte("Password: "), nil
}

func (g *gtcServer) handle(data []byte) ([]byte, bool, error) {
	want, known := g.s.password()
	return nil, subtle.ConstantTimeCompare(want, data) == 1 && known, nil
}

func (*gtcServer) msk() []byte { return nil }
func (*gtcServer) wipe()       {}

// mschapServer is the server of MSCHAPv2. It gives one try.
type mschapServer struct {
	s         *Server
	challenge [challengeLen]byte
	id        byte
	proof     string
	key       []byte
	failed    bool
}

func (m *mschapServer) begin() ([]byte, error) {
	if err := random(m.s.cfg.Rand, m.challenge[:]); err != nil {
		return nil, err
	}
	m.id = m.s.id + 1
	c := chapPacket{op: opChallenge, id: m.id, value: m.challenge[:], text: []byte(m.s.cfg.Name)}
	return c.appendTo(nil), nil
}

func (m *mschapServer) handle(data []byte) ([]byte, bool, error) {
	switch {
	case m.failed:
		return nil, false, nil // whatever it says to that
	case m.proof != "":
		if len(data) < 1 || data[0] != opSuccess {
			return nil, false, fmt.Errorf("eap: MSCHAPv2: the peer does not accept our proof: %w", ErrRefused)
		}
		return nil, true, nil
	}
	in, err := parseChap(data)
	if err != nil {
		return nil, false, err
	}
	if in.op != opResponse || in.id != m.id {
		return nil, false, fmt.Errorf("eap: MSCHAPv2: op code %d: %w", in.op, ErrProtocol)
	}
	// The name in the response must be the one that the password is looked up
	// for, or one user would come in as another.
	name := string(in.text)
	password, known := m.s.password()
	hash, err := ntHash(password)
	if err != nil {
		return nil, false, err
	}
	defer clear(hash)
	peer, response := in.value[:challengeLen], in.value[challengeLen+8:challengeLen+32]
	want := ntResponse(challengeHash(peer, m.challenge[:], name), hash)
	if !hmac.Equal(want, response) || !known || !strings.EqualFold(plainUser(name), plainUser(m.s.user)) {
		m.failed = true
		c := chapPacket{op: opFailure, id: m.id, text: []byte("E=691 R=0 C=" + strings.Repeat("0", 32) + " V=3 M=Authentication failed")}
		return c.appendTo(nil), false, nil
	}
	m.proof = authenticatorResponse(hash, response, peer, m.challenge[:], name)
	m.key = mschapMSK(hash, response)
	c := chapPacket{op: opSuccess, id: m.id, text: []byte(m.proof + " M=Welcome")}
	return c.appendTo(nil), false, nil
}

func (m *mschapServer) msk() []byte { return m.key }
func (m *mschapServer) wipe()       { clear(m.key); m.key = nil }

// tlsServer is the server of TLS: the client proves itself with a certificate.
type tlsServer struct {
	s     *Server
	frame framer
	tls   *tlsConn
	key   []byte
	told  bool // TLS 1.3: the client knows that we are content
}

func (t *tlsServer) begin() ([]byte, error) {
	if t.s.cfg.Certificate == nil || t.s.cfg.VerifyClient == nil {
		return nil, fmt.Errorf("eap: TLS: no certificate of our own: %w", ErrCredential)
	}
	t.tls = newTLSConn(func(c net.Conn) *tls.Conn { return tls.Server(c, t.config()) })
	return []byte{flagStart}, nil
}

func (t *tlsServer) config() *tls.Config {
	return &tls.Config{
		Rand:                   t.s.cfg.Rand,
		MinVersion:             tls.VersionTLS12,
		Certificates:           []tls.Certificate{*t.s.cfg.Certificate},
		ClientAuth:             tls.RequireAnyClientCert, // VerifyConnection decides
		SessionTicketsDisabled: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			return t.s.cfg.VerifyClient(t.s.user, cs.PeerCertificates)
		},
	}
}

func (t *tlsServer) handle(data []byte) ([]byte, bool, error) {
	if t.frame.pending() {
		if len(data) != 1 {
			return nil, false, fmt.Errorf("eap: TLS: something else than an acknowledgement: %w", ErrProtocol)
		}
		return t.frame.next(), false, nil
	}
	if t.key != nil { // the client acknowledges the last flight
		return nil, t.told && len(data) == 1, nil
	}
	whole, err := t.frame.take(data)
	if err != nil {
		return nil, false, err
	}
	if !whole {
		return t.frame.ack(), false, nil
	}
	if err := t.tls.feed(t.frame.received()); err != nil {
		if alert := t.tls.take(); len(alert) > 0 {
			t.key = nil
			return t.frame.send(alert), false, nil
		}
		return nil, false, err
	}
	if !t.tls.up {
		return t.frame.send(t.tls.take()), false, nil
	}
	if ask := t.s.cfg.Revocation; ask != nil {
		switch later, err := ask(); {
		case err != nil:
			return nil, false, err
		case later:
			return nil, false, errWaits
		}
	}
	next, err := t.admit()
	return next, false, err
}

// admit tells the client that we are content with its certificate.
func (t *tlsServer) admit() (next []byte, err error) {
	if t.key, err = t.tls.msk(tlsLabels[TypeTLS], TypeTLS); err != nil {
		return nil, err
	}
	if t.tls.conn.ConnectionState().Version >= tls.VersionTLS13 {
		if err := t.tls.write([]byte{0}); err != nil { // RFC 9190, section 2.5
			return nil, err
		}
	}
	t.told = true
	return t.frame.send(t.tls.take()), nil
}

func (t *tlsServer) msk() []byte { return t.key }

func (t *tlsServer) wipe() {
	clear(t.key)
	if t.tls != nil {
		t.tls.close()
	}
}
