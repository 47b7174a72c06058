package engine

import (
	"crypto/tls"
	"fmt"

	"sallyport/core/explain"
	"sallyport/core/ike"
	"sallyport/core/ike/auth"
	"sallyport/core/profile"
)

// eapAuth loads how the user answers a gateway that asks with EAP. The
// certificate of the machine, when method is "eap", is the user's, for TLS.
func (e *Engine) eapAuth(a *profile.Auth, cfg *ike.Config) error {
	out := &ike.EAPAuth{Identity: a.User, Anonymous: a.EAP.Anonymous, Only: a.EAP.Only, Verifier: cfg.Peer.Verifier}
	var err error
	if out.Methods, err = profile.ParseEAPMethods(a.EAP.Methods, false); err != nil {
		return fmt.Errorf("local.eap.methods: %w", err)
	}
	if out.Inner, err = profile.ParseEAPMethods(a.EAP.Inner, true); err != nil {
		return fmt.Errorf("local.eap.inner: %w", err)
	}
	if a.EAP.Server != "" {
		if out.Server, err = auth.ParseIdentity(a.EAP.Server); err != nil {
			return fmt.Errorf("local.eap.server: %w", err)
		}
	}
	if a.Secret != "" {
		if out.Password, err = e.secret(a.Secret); err != nil {
			return &explain.CredentialError{Field: "local.secret", Err: err}
		}
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
	}
	if local.ID.IsAny() {
		if local.ID, err = auth.ParseIdentity(a.User); err != nil {
			return &explain.CredentialError{Field: "local.user", Err: err}
		}
	}
	local.EAP = out
	return nil
}
