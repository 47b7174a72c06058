package engine

import (
	"context"
	"crypto/x509"
	"path/filepath"

	"sallyport/core/api"
	"sallyport/core/explain"
	"sallyport/core/host"
	"sallyport/core/pki/pkcs11uri"
)

// Tokens implements api.Backend. It asks the tokens on the caller's goroutine:
// they take their time.
func (e *Engine) Tokens(ctx context.Context) (api.Tokens, error) {
	out := api.Tokens{Modules: []string{}, Tokens: []api.Token{}}
	tokens := e.opt.Host.Tokens
	if tokens == nil {
		return out, nil
	}
	out.Modules = append(out.Modules, tokens.Modules()...)
	list, err := tokens.List(ctx)
	if err != nil {
		out.Problem = explain.Explain(err, explain.Context{})
	}
	for i := range list {
		out.Tokens = append(out.Tokens, showToken(&list[i]))
	}
	return out, nil
}

// tokenModules names the modules in short.
func (e *Engine) tokenModules() (out []string) {
	if e.opt.Host.Tokens == nil {
		return nil
	}
	for _, m := range e.opt.Host.Tokens.Modules() {
		out = append(out, filepath.Base(m))
	}
	return out
}

// showToken says what a person wants to know of a token.
func showToken(t *host.Token) api.Token {
	out := api.Token{Label: plainText(t.Label), Manufacturer: plainText(t.Manufacturer), Model: plainText(t.Model), Serial: plainText(t.Serial),
		Reader: plainText(t.Reader), Module: t.Module, Certificates: []api.TokenCertificate{}}
	switch {
	case t.PIN.Locked:
		out.PIN = api.PINLocked
	case t.PIN.Unset && t.PIN.Needed:
		out.PIN = api.PINUnset
	case t.PIN.Final:
		out.PIN = api.TriesFinal
	case t.PIN.Low:
		out.PIN = api.TriesLow
	}
	for _, x := range t.Certificates {
		cert, err := x509.ParseCertificate(x.DER)
		if err != nil {
			continue
		}
		u := pkcs11uri.URI{Token: t.Label, Serial: t.Serial, ID: x.ID}
		if len(x.ID) == 0 {
			u.Object = x.Label
		}
		if _, err := pkcs11uri.Parse(u.String()); err != nil {
			continue // no profile could name it
		}
		out.Certificates = append(out.Certificates, api.TokenCertificate{URI: u.String(), Label: plainText(x.Label), Authority: cert.IsCA, Certificate: *describe(cert)})
	}
	return out
}
