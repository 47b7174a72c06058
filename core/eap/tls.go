package eap

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// tlsPeer is the client of the TLS-based methods: TLS itself (RFC 5216, RFC
// 9190), and TTLS and PEAP, which carry another proof within.
type tlsPeer struct {
	cfg    *PeerConfig
	typ    Type
	frame  framer
	tls    *tlsConn
	inner  innerMethod // of TTLS and PEAP
	key    []byte
	failed error // TLS ended; an alert is on its way to the server
	ready  bool  // the server may say success
}

// An innerMethod speaks within TLS.
type innerMethod interface {
	// begin returns what the client says first, or nil.
	begin() ([]byte, *Question, error)
	// handle takes what the server said and returns the reply.
	handle(plain []byte) ([]byte, *Question, error)
	answer(secret []byte) ([]byte, *Question, error)
	done() bool
	refusal() error // why it failed, as far as it knows, or nil
	eap() *Peer     // EAP within, or nil
	tried() bool    // something that proves the user has been sent
	wipe()
}

func newTLSPeer(cfg *PeerConfig, t Type) *tlsPeer { return &tlsPeer{cfg: cfg, typ: t} }

// The labels of the keying material with TLS 1.2.
var tlsLabels = map[Type]string{TypeTLS: "client EAP encryption", TypePEAP: "client EAP encryption", TypeTTLS: "ttls keying material"}

func (p *tlsPeer) handle(data []byte) ([]byte, *Question, error) {
	if p.failed != nil {
		return nil, nil, p.failed
	}
	if p.tls == nil {
		x, err := parseFragment(data)
		if err != nil {
			return nil, nil, err
		}
		if x.flags&flagStart == 0 {
			return nil, nil, fmt.Errorf("eap: %v does not begin with a start: %w", p.typ, ErrProtocol)
		}
		// Version 0 of TTLS and PEAP is the one that is deployed; it is ours
		// whatever the server can.
		p.tls = newTLSConn(func(c net.Conn) *tls.Conn { return tls.Client(c, p.config()) })
		return p.advance(nil)
	}
	if p.frame.pending() {
		if len(data) != 1 {
			return nil, nil, fmt.Errorf("eap: %v: something else than an acknowledgement: %w", p.typ, ErrProtocol)
		}
		return p.frame.next(), nil, nil
	}
	whole, err := p.frame.take(data)
	if err != nil {
		return nil, nil, err
	}
	if !whole {
		return p.frame.ack(), nil, nil
	}
	return p.advance(p.frame.received())
}

// advance gives TLS a flight, and answers with what comes of it.
func (p *tlsPeer) advance(flight []byte) ([]byte, *Question, error) {
	wasUp := p.tls.up
	err := p.tls.feed(flight)
	if err != nil {
		p.failed = serverFault(err, p.tried())
		if alert := p.tls.take(); len(alert) > 0 {
			return p.frame.send(alert), nil, nil
		}
		return nil, nil, p.failed
	}
	if q := p.tls.toSign(); q != nil {
		return nil, q, nil
	}
	if !p.tls.up {
		return p.frame.send(p.tls.take()), nil, nil
	}
	if !wasUp {
		if p.key, err = p.tls.msk(tlsLabels[p.typ], p.typ); err != nil {
			return nil, nil, err
		}
		switch later, err := p.revocation(); {
		case err != nil:
			p.failed = &serverError{err}
			return nil, nil, p.failed
		case later:
			return nil, judgement, nil
		}
	}
	return p.goOn()
}

// judgement stands for a Question that is not the user's: see Peer.Resume.
var judgement = &Question{}

// revocation asks whether the server's certificate was revoked, when its key has
// signed the handshake: before that anybody could make us ask. What TLS has to
// say last is held back until it is known.
func (p *tlsPeer) revocation() (later bool, err error) {
	if p.cfg.Revocation == nil {
		return false, nil
	}
	return p.cfg.Revocation(p.tls.conn.ConnectionState().OCSPResponse)
}

// goOn follows the handshake.
func (p *tlsPeer) goOn() ([]byte, *Question, error) {
	if p.typ == TypeTLS {
		return p.commit()
	}
	return p.within()
}

// commit ends TLS proper. In TLS 1.3 the server says when it is content, with
// one byte of zero (RFC 9190, section 2.5): before that our certificate may yet
// be refused.
func (p *tlsPeer) commit() ([]byte, *Question, error) {
	plain := p.tls.plain
	p.tls.plain = nil
	switch {
	case p.tls.conn.ConnectionState().Version < tls.VersionTLS13:
		if len(plain) > 0 {
			return nil, nil, fmt.Errorf("eap: TLS: application data: %w", ErrProtocol)
		}
		p.ready = true
	case len(plain) == 1 && plain[0] == 0 && !p.ready:
		p.ready = true
	case len(plain) > 0:
		return nil, nil, fmt.Errorf("eap: TLS: application data: %w", ErrProtocol)
	}
	return p.frame.send(p.tls.take()), nil, nil
}

// within carries the inner proof, after the server has proved itself in TLS.
func (p *tlsPeer) within() (reply []byte, q *Question, err error) {
	plain := p.tls.plain
	p.tls.plain = nil
	defer clear(plain)
	if p.inner == nil {
		p.inner = p.newInner()
		if len(plain) == 0 {
			reply, q, err = p.inner.begin()
			return p.wrap(reply, q, err)
		}
	}
	if len(plain) == 0 {
		return p.frame.send(p.tls.take()), nil, nil
	}
	reply, q, err = p.inner.handle(plain)
	return p.wrap(reply, q, err)
}

func (p *tlsPeer) answer(secret []byte) ([]byte, *Question, error) {
	if p.tls != nil && p.tls.wants != nil {
		p.tls.wants.sig = bytes.Clone(secret)
		return p.advance(nil)
	}
	if p.inner == nil {
		return nil, nil, fmt.Errorf("eap: %v asks for nothing: %w", p.typ, ErrProtocol)
	}
	return p.wrap(p.inner.answer(secret))
}

// wrap sends the inner reply through TLS.
func (p *tlsPeer) wrap(reply []byte, q *Question, err error) ([]byte, *Question, error) {
	if err != nil || q != nil {
		return nil, q, err
	}
	if len(reply) > 0 {
		err := p.tls.write(reply)
		clear(reply)
		if err != nil {
			return nil, nil, err
		}
	}
	p.ready = p.inner.done()
	return p.frame.send(p.tls.take()), nil, nil
}

func (p *tlsPeer) newInner() innerMethod {
	if p.typ == TypePEAP {
		return newPEAPInner(p.cfg)
	}
	return newTTLSInner(p.cfg)
}

// refusal is why TLS ended, or what the inner method was told.
func (p *tlsPeer) refusal() error {
	if p.failed != nil || p.inner == nil {
		return p.failed
	}
	return p.inner.refusal()
}

// eapWithin returns EAP within TLS, or nil.
func (p *tlsPeer) eapWithin() *Peer {
	if p.inner == nil {
		return nil
	}
	return p.inner.eap()
}

// tried: in TLS proper the certificate is the proof.
func (p *tlsPeer) tried() bool { return p.typ == TypeTLS || p.inner != nil && p.inner.tried() }

func (p *tlsPeer) done() bool {
	if p.failed != nil {
		return false
	}
	if p.inner != nil {
		return p.inner.done()
	}
	return p.ready && p.typ == TypeTLS
}

func (p *tlsPeer) msk() []byte { return p.key }

func (p *tlsPeer) wipe() {
	clear(p.key)
	p.key = nil
	if p.inner != nil {
		p.inner.wipe()
	}
	if p.tls != nil {
		p.tls.close()
	}
}

// config is TLS as the method wants it. Its own check of names, which are those
// of web servers, gives way to VerifyServer; there is always one
// (CVE-2023-26463).
func (p *tlsPeer) config() *tls.Config {
	c := &tls.Config{
		Rand:               p.cfg.Rand,
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection decides
		VerifyConnection: func(cs tls.ConnectionState) error {
			if p.cfg.VerifyServer == nil || len(cs.PeerCertificates) == 0 {
				return ErrServer
			}
			if err := p.cfg.VerifyServer(cs.PeerCertificates); err != nil {
				return &serverError{err}
			}
			return nil
		},
		SessionTicketsDisabled: true,
	}
	if own := p.cfg.Certificate; own != nil && p.typ == TypeTLS {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.held(own), nil }
	}
	return c
}

// A serverError is why the server's certificate does not do.
type serverError struct{ err error }

func (e *serverError) Error() string        { return ErrServer.Error() + ": " + e.err.Error() }
func (e *serverError) Unwrap() error        { return e.err }
func (e *serverError) Is(target error) bool { return target == ErrServer }

// serverFault tells whose fault the end of TLS is: the server's alert means
// that it refuses us, and tried that we had proved anything by then.
func serverFault(err error, tried bool) error {
	var alert tls.AlertError
	if errors.As(err, &alert) || isRemoteAlert(err) {
		return &RefusedError{Message: Clean([]byte(err.Error())), Untried: !tried}
	}
	return err
}

// isRemoteAlert reports whether the other end sent the alert that err is about.
func isRemoteAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
