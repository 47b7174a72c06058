package engine

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"sallyport/core/api"
	"sallyport/core/eap"
	"sallyport/core/explain"
	"sallyport/core/ike"
	"sallyport/core/ike/auth"
	"sallyport/core/profile"
)

// eapAuth loads how the user answers a gateway that asks with EAP. The
// certificate of the machine, when method is "eap", is the user's, for TLS.
func (from credentials) eapAuth(a *profile.Auth, cfg *ike.Config) error {
	out := &ike.EAPAuth{Identity: a.User, Anonymous: a.EAP.Anonymous, Only: a.EAP.Only, Verifier: cfg.Peer.Verifier}
	var err error
	if out.Methods, err = profile.ParseEAPMethods(a.EAP.Methods, false); err != nil {
		return fmt.Errorf("local.eap.methods: %w", err)
	}
	if len(out.Methods) == 0 && a.Method == profile.MethodCertificate {
		// The machine has proved with its certificate by then, which within TLS
		// would prove the same a second time: the user's password comes first.
		out.Methods = eap.DefaultMethods(true)
	}
	if out.Inner, err = profile.ParseEAPMethods(a.EAP.Inner, true); err != nil {
		return fmt.Errorf("local.eap.inner: %w", err)
	}
	if a.EAP.Server != "" {
		if out.Server, err = auth.ParseIdentity(a.EAP.Server); err != nil {
			return fmt.Errorf("local.eap.server: %w", err)
		}
	}
	switch {
	case a.Secret != "":
		if out.Password, err = from.secret(a.Secret); err != nil {
			return &explain.CredentialError{Field: "local.secret", Err: err}
		}
	case from.held != nil && from.held.password != nil:
		out.Password = bytes.Clone(from.held.password)
	}
	local := &cfg.Local
	if local.Key != nil {
		own := &tls.Certificate{PrivateKey: local.Key}
		for _, c := range local.Chain {
			own.Certificate = append(own.Certificate, c.Raw)
		}
		out.Certificate = own
	}
	if a.Method == profile.MethodEAP {
		local.Key, local.Chain = nil, nil
		if a.ID == "" {
			local.ID = auth.Identity{} // not the certificate's, which EAP-TLS shows elsewhere
		}
	}
	if local.ID.IsAny() {
		// Whoever answers hears it, before proving anything.
		name := cmp.Or(a.EAP.Anonymous, a.User)
		if local.ID, err = auth.ParseIdentity(name); err != nil { // it has a space, or "=" and is no DN
			local.ID = auth.Identity{Type: auth.IDKeyID, Data: []byte(name)}
		}
	}
	local.EAP = out
	return nil
}

// askUser puts the gateway's question to the user. A password is kept while the
// connection is wanted, so that it can come back by itself; a one-time code
// serves once.
func (e *Engine) askUser(x ike.Ask) {
	s := e.sas[x.SA]
	if s == nil || s.conn.attempt == nil || s.conn.attempt.session != s {
		e.perform(x.SA.Close(time.Now()))
		return
	}
	c, a := s.conn, s.conn.attempt
	if e.resumeRather(c, a) {
		return
	}
	q := api.Prompt{Kind: api.PromptPassword, User: x.Question.User, Text: x.Question.Text, Attempt: c.wrong + 1, Rememberable: true}
	if x.Question.Kind == eap.AskCode {
		q.Kind, q.Rememberable = api.PromptCode, false
	}
	e.ask(c, a, q, func(ans answer, err error) {
		defer clear(ans.secret)
		if err != nil {
			e.attemptFailed(c, err)
			e.perform(x.SA.Close(time.Now()))
			return
		}
		if q.Kind == api.PromptPassword {
			if c.held == nil {
				c.held = &held{}
			}
			clear(c.held.password)
			c.held.password = bytes.Clone(ans.secret)
		}
		e.perform(x.SA.Answer(ans.secret, time.Now()))
	})
}

// errAsks ends a test whose gateway asks for more than the file brings.
var errAsks = errors.New("the gateway asks for a password or a code: give the password with the test; a code cannot be tested")
