package eap

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Errors that callers test. Every one ends the authentication.
var (
	// ErrRefused says that the server does not accept what we proved; it may be
	// a *RefusedError with the server's own reason.
	ErrRefused = errors.New("the server refused the credentials")
	// ErrEarlySuccess says that the server claims success before the method has
	// come to its end (CVE-2021-45079).
	ErrEarlySuccess = errors.New("the server claims success before the method is over")
	// ErrServer says that the server failed to prove itself within the method.
	ErrServer = errors.New("the server does not prove who it is")
	// ErrNoMethod says that the server offers no method that this peer may use.
	ErrNoMethod = errors.New("no common EAP method")
	// ErrProtocol says that the server broke the protocol.
	ErrProtocol = errors.New("the server broke the EAP protocol")
	// ErrCredential says that our own credential is missing or unfit.
	ErrCredential = errors.New("our own credential does not do")
)

// A RefusedError is ErrRefused with what the server said.
type RefusedError struct {
	Code    int    // of MSCHAPv2 (RFC 2759, section 6): 691 wrong password, 648 expired, ...; 0: none
	Message string // the server's own words, cleaned
	// Untried says that nothing that proves the user had been sent: the name, or
	// what this end may use, was enough for the server.
	Untried bool
}

func (e *RefusedError) Error() string {
	s := ErrRefused.Error()
	if e.Untried {
		s = "the server turned the user away before any proof"
	}
	if e.Code != 0 {
		s += fmt.Sprintf(" (%d)", e.Code)
	}
	if e.Message != "" {
		s += fmt.Sprintf(": %q", e.Message)
	}
	return s
}

// Is reports that a RefusedError is an ErrRefused.
func (e *RefusedError) Is(target error) bool { return target == ErrRefused }

// A QuestionKind says what is asked.
type QuestionKind int

// The kinds.
const (
	AskPassword  QuestionKind = iota + 1 // of Question.User
	AskCode                              // a one-time code, or whatever Question.Text says
	AskSignature                         // of PeerConfig.Certificate's key, over Digest: no question to a person
)

// A Question is what only the user can answer.
type Question struct {
	Kind QuestionKind
	User string
	Text string // the server's own words, cleaned; may be empty

	Digest []byte // or, where Opts names no hash, the message itself
	Opts   crypto.SignerOpts
}

// A PeerConfig is who the peer is, and what it may do to prove it.
type PeerConfig struct {
	Identity string // answers Request/Identity, and is the user's name
	// Anonymous answers the outer Request/Identity of the tunnelled methods in
	// place of Identity; empty: Identity does.
	Anonymous string
	// Methods are those allowed, the preferred first. Empty: MSCHAPv2, GTC, and
	// of TLS, TTLS and PEAP those for which VerifyServer is set (and for TLS also
	// Certificate).
	Methods []Type
	// Inner are those allowed within TTLS and PEAP; empty: MSCHAPv2, GTC. With
	// PAP as the first, TTLS carries the plain password instead of EAP.
	Inner []Type
	// Password answers the first question for a password; nil: the user is asked.
	// The peer borrows it.
	Password []byte
	// MutualOnly refuses methods in which the server does not prove itself with a
	// certificate: the other end has not done so in another way (RFC 5998).
	MutualOnly bool

	// VerifyServer judges the server's certificates in TLS, its own first. Nil:
	// the TLS-based methods are not spoken.
	VerifyServer func([]*x509.Certificate) error
	// Revocation says whether the certificate that VerifyServer has accepted, and
	// whose key has signed the handshake by now, was revoked. stapled is the OCSP
	// response that the server brought in TLS, or nil. later: it is not known yet,
	// and the Step waits. Nil: nobody asks.
	Revocation  func(stapled []byte) (later bool, err error)
	Certificate *tls.Certificate // ours, for TLS
	SlowKey     bool             // its key takes its time: the signature is asked for
	Rand        io.Reader
}

// PAP stands for the password within TTLS (RFC 5281, section 11.2.5). It is no
// EAP type: 255 is reserved for experiments.
const PAP Type = 255

// maxRounds bounds the packets of one authentication: many fragments, and no
// server that keeps us busy for ever.
const maxRounds = 256

// A Step is what comes of a packet or an answer: a Reply to send, or a
// Question to put to the user, whose answer goes to Peer.Answer, or the wait for
// what PeerConfig.Revocation left open, after which Peer.Resume goes on. None of
// them: the authentication is over, with success.
type Step struct {
	Reply    []byte
	Question *Question
	Waits    bool
}

// A Peer is the client's end of one authentication.
type Peer struct {
	cfg     PeerConfig
	method  peerMethod
	typ     Type
	rounds  int
	request Packet // that waits for an answer of the user
	waiting bool
	judging bool   // what it waits for is Resume
	notice  string // the last notification
	refused Type   // the last method that we answered with a Nak
	asked   int    // questions that were answered before it began
	over    bool
}

// A peerMethod is a method's client.
type peerMethod interface {
	// handle takes the data of a request and returns that of the response, or
	// what to ask the user first.
	handle(data []byte) ([]byte, *Question, error)
	// answer goes on with what the user answered.
	answer(secret []byte) ([]byte, *Question, error)
	// done reports whether the server may say success now.
	done() bool
	// tried reports whether something that proves the user has been sent.
	tried() bool
	// msk returns the key that the method made (64 bytes), or nil.
	msk() []byte
	wipe()
}

// DefaultMethods returns the methods of a PeerConfig that names none, the preferred
// one first; those that it lacks the means for are left out. The certificate comes
// last when the user is to prove more than what it has proved already.
func DefaultMethods(certified bool) []Type {
	asked := []Type{TypeMSCHAPv2, TypeGTC, TypeTTLS, TypePEAP}
	if certified {
		return append(asked, TypeTLS)
	}
	return append([]Type{TypeTLS}, asked...)
}

// NewPeer returns a Peer for one authentication.
func NewPeer(cfg PeerConfig) *Peer {
	if len(cfg.Methods) == 0 {
		cfg.Methods = DefaultMethods(false)
	}
	if len(cfg.Inner) == 0 {
		cfg.Inner = []Type{TypeMSCHAPv2, TypeGTC}
	}
	cfg.Methods = slices.DeleteFunc(slices.Clone(cfg.Methods), func(t Type) bool { return !cfg.may(t) })
	return &Peer{cfg: cfg}
}

// may reports whether the configuration has all that a method needs.
func (c *PeerConfig) may(t Type) bool {
	switch t {
	case TypeMSCHAPv2, TypeGTC:
		return !c.MutualOnly
	case TypeTLS:
		return c.VerifyServer != nil && c.Certificate != nil
	case TypeTTLS:
		return c.VerifyServer != nil
	case TypePEAP:
		return c.VerifyServer != nil && slices.ContainsFunc(c.Inner, isInner)
	}
	return false
}

// Method returns the method in use, 0 before the server chose one.
func (p *Peer) Method() Type { return p.typ }

// MSK returns the key that the method made, 64 bytes, once it is over; nil when
// the method makes none. The caller owns the copy.
func (p *Peer) MSK() []byte {
	if !p.over || p.method == nil {
		return nil
	}
	return slices.Clone(p.method.msk())
}

// Over reports whether the authentication ended with success.
func (p *Peer) Over() bool { return p.over }

// Handle takes a packet of the server. An error ends the authentication.
func (p *Peer) Handle(b []byte) (Step, error) {
	if p.rounds++; p.rounds > maxRounds || p.over || p.waiting {
		return Step{}, fmt.Errorf("eap: a packet too many: %w", ErrProtocol)
	}
	in, err := Parse(b)
	if err != nil {
		return Step{}, err
	}
	switch in.Code {
	case CodeSuccess:
		if p.method == nil || !p.method.done() {
			return Step{}, ErrEarlySuccess
		}
		p.over = true
		return Step{}, nil
	case CodeFailure:
		if err := refusal(p.method); err != nil {
			return Step{}, err
		}
		return Step{}, p.turnedAway()
	case CodeRequest:
	default:
		return Step{}, fmt.Errorf("eap: %v from the server: %w", in.Code, ErrProtocol)
	}
	in.Data = slices.Clone(in.Data)
	switch in.Type {
	case TypeIdentity:
		if p.method != nil {
			return Step{}, fmt.Errorf("eap: the server asks for the identity in the midst of %v: %w", p.typ, ErrProtocol)
		}
		return p.reply(in, TypeIdentity, []byte(p.identity())), nil
	case TypeNotification:
		p.notice = Clean(in.Data)
		return p.reply(in, TypeNotification, nil), nil
	}
	if p.method == nil {
		if !slices.Contains(p.cfg.Methods, in.Type) {
			return p.nak(in)
		}
		p.typ, p.method = in.Type, p.newMethod(in.Type)
	}
	if in.Type != p.typ {
		return Step{}, fmt.Errorf("eap: %v in the midst of %v: %w", in.Type, p.typ, ErrProtocol)
	}
	data, q, err := p.method.handle(in.Data)
	return p.step(in, data, q, err)
}

// Answer goes on with what the user answered to the Question of the last Step.
// The caller wipes the secret.
func (p *Peer) Answer(secret []byte) (Step, error) {
	if !p.waiting || p.judging {
		return Step{}, fmt.Errorf("eap: an answer that nobody asked for: %w", ErrProtocol)
	}
	p.waiting = false
	data, q, err := p.method.answer(secret)
	return p.step(p.request, data, q, err)
}

// Resume goes on after a Step that waits: the server's certificate was not
// revoked. Of one that was, the caller goes no further, and wipes the Peer.
func (p *Peer) Resume() (Step, error) {
	t, ok := p.method.(*tlsPeer)
	if !ok || !p.judging {
		return Step{}, fmt.Errorf("eap: nothing waits: %w", ErrProtocol)
	}
	p.waiting, p.judging = false, false
	data, q, err := t.goOn()
	return p.step(p.request, data, q, err)
}

// Wipe forgets every secret.
func (p *Peer) Wipe() {
	if p.method != nil {
		p.method.wipe()
	}
	p.over, p.waiting, p.judging = true, false, false
	p.method = nil
}

func (p *Peer) identity() string {
	tunnelled := func(t Type) bool { return t == TypeTTLS || t == TypePEAP }
	if p.cfg.Anonymous != "" && !slices.ContainsFunc(p.cfg.Methods, func(t Type) bool { return !tunnelled(t) }) {
		return p.cfg.Anonymous
	}
	return p.cfg.Identity
}

func (p *Peer) step(in Packet, data []byte, q *Question, err error) (Step, error) {
	switch {
	case err != nil:
		return Step{}, err
	case q == judgement:
		p.request, p.waiting, p.judging = in, true, true
		return Step{Waits: true}, nil
	case q != nil:
		p.request, p.waiting = in, true
		return Step{Question: q}, nil
	}
	return p.reply(in, in.Type, data), nil
}

func (p *Peer) reply(in Packet, t Type, data []byte) Step {
	out := Packet{Code: CodeResponse, ID: in.ID, Type: t, Data: data}
	return Step{Reply: out.AppendTo(nil)}
}

// nak answers a method that we may not use with those that we may (RFC 3748,
// section 5.3). There is none: the authentication ends here.
func (p *Peer) nak(in Packet) (Step, error) {
	if len(p.cfg.Methods) == 0 {
		return Step{}, fmt.Errorf("eap: the server asks for %v: %w", in.Type, ErrNoMethod)
	}
	p.refused = in.Type
	var want []byte
	for _, t := range p.cfg.Methods {
		want = append(want, byte(t))
	}
	return p.reply(in, TypeNak, want), nil
}

// turnedAway is why the server ended it where no method knows more: it does not
// accept the proof, or there was none yet, and then it is no fault of a password.
func (p *Peer) turnedAway() error {
	switch {
	case p.method == nil && p.refused != 0:
		return fmt.Errorf("eap: the server asked for %v, and ended it when it heard what this end may use: %w", p.refused, ErrNoMethod)
	case p.method == nil:
		return &RefusedError{Message: p.notice, Untried: true}
	}
	if t, ok := p.method.(*tlsPeer); ok && !t.tried() {
		if inner := t.eapWithin(); inner != nil {
			return inner.turnedAway()
		}
	}
	return &RefusedError{Message: p.notice, Untried: !p.method.tried()}
}

// tried reports whether something that proves the user has been sent.
func (p *Peer) tried() bool { return p.method != nil && p.method.tried() }

// refusal returns what a method knows of why it failed, or nil.
func refusal(m peerMethod) error {
	if r, ok := m.(interface{ refusal() error }); ok {
		return r.refusal()
	}
	return nil
}

func (p *Peer) newMethod(t Type) peerMethod {
	switch t {
	case TypeMSCHAPv2:
		return &mschapPeer{cfg: &p.cfg}
	case TypeGTC:
		return &gtcPeer{cfg: &p.cfg, asked: p.asked}
	}
	return newTLSPeer(&p.cfg, t)
}

// Clean makes text of what a stranger sent: valid UTF-8 on one line, without
// control and formatting characters, at most 300 bytes.
func Clean(b []byte) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || unicode.Is(unicode.Zs, r):
			return ' '
		case !unicode.IsPrint(r) || r == utf8.RuneError:
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(b), ""))
	s = strings.TrimSpace(s)
	for len(s) > 300 {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
