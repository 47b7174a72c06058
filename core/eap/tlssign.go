package eap

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"errors"
	"io"
)

// A heldKey is the private key of a client as crypto/tls sees it, when the key
// takes its time: TLS stops in the midst until the signature is there.
type heldKey struct {
	t   *tlsConn
	key crypto.Signer
}

// A signRequest is what TLS wants signed.
type signRequest struct {
	digest []byte
	opts   crypto.SignerOpts
	sig    []byte // once it is there
}

var errNoSignature = errors.New("eap: TLS: the signature did not come")

func (k heldKey) Public() crypto.PublicKey { return k.key.Public() }

// Sign implements crypto.Signer.
func (k heldKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	w := &signRequest{digest: bytes.Clone(digest), opts: opts}
	k.t.wants = w
	defer func() { k.t.wants = nil }()
	for w.sig == nil {
		if k.t.ended || !k.t.yield(struct{}{}) {
			return nil, errNoSignature
		}
	}
	return w.sig, nil
}

// held returns our certificate with a key that TLS waits for.
func (p *tlsPeer) held(own *tls.Certificate) *tls.Certificate {
	key, ok := own.PrivateKey.(crypto.Signer)
	if !p.cfg.SlowKey || !ok {
		return own
	}
	c := *own
	c.PrivateKey = heldKey{p.tls, key}
	return &c
}

// toSign is what TLS wants signed, as a question; nil: nothing.
func (t *tlsConn) toSign() *Question {
	if t.wants == nil {
		return nil
	}
	return &Question{Kind: AskSignature, Digest: t.wants.digest, Opts: t.wants.opts}
}
