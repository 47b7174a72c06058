package stream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"

	"sallyport/core/encap"
)

// Open makes a stream of a connection that we have made, which it owns from now
// on. With inTLS it speaks TLS first, and name, if any, is the server that it
// asks for there. Whatever certificate comes is taken: see the package.
func Open(ctx context.Context, c net.Conn, inTLS bool, name string) (*Conn, error) {
	if inTLS {
		t := tls.Client(c, &tls.Config{
			ServerName: name, MinVersion: tls.VersionTLS12,
			InsecureSkipVerify: true, // IKE tells whose gateway this is, and no proxy on the way can be it
		})
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		c = t
	}
	return newConn(c, inTLS, encap.Prefix), nil
}

// ErrStranger means that whoever connected does not speak IKE.
var ErrStranger = errors.New("stream: neither IKE nor TLS")

// tlsRecord is the first byte of a TLS connection: a handshake record.
const tlsRecord = 22

// Accept makes a stream of a connection that a peer has made, which it owns from
// now on. By its first byte it is one of TLS or a bare one. All of that takes no
// longer than until the deadline, however slowly the peer sends.
func Accept(c net.Conn, server *tls.Config, deadline time.Time) (*Conn, error) {
	s, err := accept(c, server, deadline)
	if err != nil {
		c.Close()
	}
	return s, err
}

func accept(c net.Conn, server *tls.Config, deadline time.Time) (*Conn, error) {
	if err := c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	var first [1]byte
	if _, err := io.ReadFull(c, first[:]); err != nil {
		return nil, err
	}
	c = &unread{Conn: c, first: first[:]}
	inTLS := first[0] == tlsRecord
	if inTLS {
		t := tls.Server(c, server)
		if err := t.Handshake(); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		c = t
	}
	var prefix [len(encap.Prefix)]byte
	for i := range prefix { // byte by byte: a stranger is one with the first that is wrong
		if _, err := io.ReadFull(c, prefix[i:i+1]); err != nil {
			return nil, err
		}
		if prefix[i] != encap.Prefix[i] {
			return nil, ErrStranger
		}
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return newConn(c, inTLS, ""), nil
}

// An unread is a connection of which the first byte was looked at.
type unread struct {
	net.Conn
	first []byte
}

// Read implements net.Conn.
func (u *unread) Read(b []byte) (int, error) {
	if len(u.first) > 0 && len(b) > 0 {
		n := copy(b, u.first)
		u.first = u.first[n:]
		return n, nil
	}
	return u.Conn.Read(b)
}

// ServerTLS returns what Accept speaks TLS with: a key and a certificate that are
// made for this occasion, for nobody relies on them.
func ServerTLS(now time.Time) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: serial, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(2, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		Certificates:           []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		SessionTicketsDisabled: true,
	}, nil
}
