package engine

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"errors"

	"sallyport/core/api"
	"sallyport/core/explain"
	"sallyport/core/ike"
	"sallyport/core/pki"
	"sallyport/core/profile"
)

// A held is what the user gave for a connection that asks: its pre-shared key,
// or its private key as the passphrase opened it. It is kept while the
// connection is wanted, so that it can come back by itself.
type held struct {
	psk      []byte
	key      crypto.Signer
	password []byte // for EAP
	// choice is the number of the certificate that the user shows, 0 where nobody
	// was asked; remember that it is to be the connection's once it has proved
	// right.
	choice   int
	remember bool
	// Of a key on a token, which is in use as long.
	token *tokenKey
	chain []*x509.Certificate // its certificate first
}

// release forgets what the user gave, and what could take its place. The bytes of a pre-shared key are wiped;
// those of a private key the standard library has spread, and the garbage
// collector takes them.
func (c *conn) release() {
	c.ticket.Wipe()
	c.ticket = nil
	if c.held != nil {
		clear(c.held.psk)
		clear(c.held.password)
		if c.held.token != nil {
			c.held.token.close()
		}
		c.held = nil
	}
}

// wipe forgets the secrets of a configuration that proves nothing any more:
// after the peers are authenticated an IKE SA needs them no longer.
func wipe(cfg *ike.Config) {
	if cfg != nil {
		clear(cfg.Local.PSK)
		clear(cfg.Peer.PSK)
		for _, p := range cfg.Peer.PSKs {
			clear(p.PSK)
		}
		for _, p := range cfg.PPKs {
			clear(p.Secret)
		}
		if cfg.Local.EAP != nil {
			clear(cfg.Local.EAP.Password)
		}
		if cfg.Peer.EAP != nil && cfg.Peer.EAP.Wipe != nil {
			cfg.Peer.EAP.Wipe()
		}
	}
}

// askCredential asks for what the connection does not store, and goes on with
// the attempt.
func (e *Engine) askCredential(c *conn, a *attempt) {
	q := api.Prompt{Kind: c.profile.Asks()[0], Attempt: c.wrong + 1, Rememberable: true}
	if q.Kind == api.PromptSecret {
		q.User = c.profile.Local.ID
	}
	e.ask(c, a, q, func(ans answer, err error) {
		switch {
		case err != nil:
			e.attemptFailed(c, err)
		case q.Kind == api.PromptSecret:
			c.held = &held{psk: ans.secret}
			e.negotiate(c, a)
		default:
			p := c.profile
			// Opening a key takes as long as its owner wants it to: not on the loop.
			go func() {
				h, err := e.unlock(p, ans.secret)
				clear(ans.secret)
				e.post(func() { e.unlocked(c, a, h, err) })
			}()
		}
	})
}

// unlocked goes on with the attempt when the private key is open.
func (e *Engine) unlocked(c *conn, a *attempt, h *held, err error) {
	switch {
	case c.attempt != a: // given up meanwhile
	case err != nil:
		if errors.Is(err, pki.ErrPassphraseWrong) {
			c.wrong++
		}
		e.attemptFailed(c, err)
	default:
		c.held = h
		e.negotiate(c, a)
	}
}

// unlock makes of an answer what the connection proves itself with. It may be
// called on any goroutine, and leaves secret to its caller.
func (e *Engine) unlock(p *profile.Connection, secret []byte) (*held, error) {
	if p.Local.Method == profile.MethodPSK {
		return &held{psk: append([]byte(nil), secret...)}, nil
	}
	pem, err := credentials{secrets: e.opt.Host.Secrets}.secret(p.Local.Key)
	if err != nil {
		return nil, &explain.CredentialError{Field: "local.key", Err: err}
	}
	defer clear(pem)
	key, err := pki.ParsePrivateKey(pem, secret)
	if err != nil {
		return nil, &explain.CredentialError{Field: "local.key", Err: err}
	}
	return &held{key: key}, nil
}

// refusedCredential notes that what the user gave does not serve: it is
// forgotten, and the next connect asks again.
func (c *conn) refusedCredential(code api.ErrorCode) {
	if c.held == nil {
		return
	}
	switch code {
	case api.CodeTokenMissing, api.CodeTokenRemoved, api.CodeTokenObject, api.CodeTokenModule, api.CodePINWrong, api.CodePINLocked:
		c.release()
	case api.CodeAuthRefused, api.CodePasswordRefused, api.CodePSKMismatch, api.CodeLocalCredential:
		asked := c.held.token == nil || c.held.password != nil // a PIN that the token took was right
		c.release()
		if asked {
			c.wrong++
		}
	}
}

// askServer asks whether a gateway that no authority vouches for is trusted, if
// the profile leaves that open. It reports whether it did; the attempt waits.
func (e *Engine) askServer(c *conn, a *attempt, err error) bool {
	u, ok := errors.AsType[*ike.UnknownPeer](err)
	if !ok || a.reauth || c.rule != "" {
		return false
	}
	c.problem = e.explain(c, err)
	e.logf(api.LogWarn, "ike", c.name, "%s", c.problem.Error())
	e.changed(c)
	q := api.Prompt{Kind: api.PromptServer, Certificate: describe(u.Certificate)}
	e.ask(c, a, q, func(ans answer, none error) {
		switch {
		case none != nil && api.AsError(none).Code == api.CodeCancelled:
			e.attemptFailed(c, none)
			return
		case none != nil || !ans.trust:
			e.attemptFailed(c, err)
			return
		}
		p, text, err := e.store.Pin(c.profile, c.text, u.Certificate)
		if err != nil {
			e.attemptFailed(c, notStored(c, "The gateway's certificate", err))
			return
		}
		c.profile, c.text, c.problem = p, text, nil
		e.logf(api.LogInfo, "config", c.name, "%s trusts the gateway's certificate from now on: SHA-256 %s", cmp.Or(ans.by, "the user"), q.Certificate.Fingerprint)
		e.changed(c)
		e.negotiate(c, a)
	})
	return true
}
