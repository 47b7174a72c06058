package profile

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"

	"sallyport/core/pki/pkcs11uri"
)

// maxPIN bounds the PIN of a token.
const maxPIN = 255

// OnToken reports whether the end's private key is on a smart card or token.
func (a *Auth) OnToken() bool { return a.Token != "" }

// certifies reports whether the end names a certificate.
func (a *Auth) certifies() bool { return len(a.Certificates) > 0 || a.OnToken() }

// ParseToken reads what Auth.Token names. It names a key and its certificate, so
// that it has to say more than which token.
func ParseToken(s string) (pkcs11uri.URI, error) {
	u, err := pkcs11uri.Parse(s)
	switch {
	case err != nil:
		return u, err
	case u.Type != "" && u.Type != "cert" && u.Type != "private":
		return u, fmt.Errorf("type=%s is neither a certificate nor its key", u.Type)
	case len(u.ID) == 0 && u.Object == "":
		return u, errors.New("it does not say which certificate: add id or object, as \"sallyport tokens\" shows them")
	}
	return u, nil
}

// token checks what an end says of a token.
func (v *validator) token(field string, a *Auth, local, responder bool) {
	if a.Token == "" {
		if a.PIN != "" {
			v.bad(field+".pin", "needs token: whose PIN it is")
		}
		return
	}
	switch {
	case !local:
		v.bad(field+".token", "belongs to [local]: what this end proves itself with")
		return
	case responder:
		v.bad(field+".token", "is for an initiator: a responder has nobody to ask for the PIN")
		return
	case a.Method == MethodPSK:
		v.bad(field+".token", "has no meaning with method = \"psk\"")
		return
	case a.Key != "":
		v.bad(field+".key", "contradicts token: the private key is either in a file or on the token")
	}
	if _, err := ParseToken(a.Token); err != nil {
		v.bad(field+".token", "%v", bare(err))
	}
	v.fileName(field+".pin", a.PIN)
	if a.PIN != "" && a.Ask {
		v.bad(field+".ask", "contradicts pin: what is stored is not asked for")
	}
}

func pinName(connection string) string { return connection + "+pin" }

// token takes a profile whose key is on a token, and the PIN when there is one:
// in a file that the profile names, or given with the request.
func (im *tomlImport) token(b *Bundle, a *Auth) {
	var certs []*x509.Certificate
	for i, name := range a.Certificates {
		certs = append(certs, im.certs(at("local.certificates", i), name)...)
	}
	b.Auth = onToken
	if len(certs) > 0 {
		b.addChain(certName(a.Certificates[0]), certs)
		b.Auth += ", " + onToken
	}
	name := pinName(b.Connection.Name)
	b.Connection.Local.PIN = ""
	pin := im.req.Password
	switch {
	case a.PIN != "":
		data, ok := im.file("local.pin", a.PIN)
		if !ok {
			return
		}
		pin = bytes.TrimRight(data, "\r\n")
	case a.Ask:
		return
	case len(pin) == 0 && im.req.Replace:
		b.Connection.Local.PIN, b.Keep.PIN = name, true
		return
	case len(pin) == 0:
		return
	}
	if err := checkPIN(pin); err != nil {
		im.bad("local.pin", "%v", err)
		return
	}
	b.Connection.Local.PIN = name
	b.Secrets[name] = bytes.Clone(pin)
}

// onToken says how an end proves itself whose certificate nobody has seen yet.
const onToken = "the key is on a token"

func checkPIN(pin []byte) error {
	if len(pin) == 0 || len(pin) > maxPIN {
		return fmt.Errorf("the PIN is empty or longer than %d bytes", maxPIN)
	}
	return nil
}

// keepPIN copies the stored PIN when it is for the same key; otherwise it is
// asked for.
func (s *Store) keepPIN(b *Bundle, old *Connection) error {
	local := &b.Connection.Local
	now, err1 := ParseToken(local.Token)
	before, err2 := ParseToken(old.Local.Token)
	stored := old.Local.PIN
	if err1 != nil || err2 != nil || !now.Equal(before) {
		stored = ""
	}
	return s.keepSecret(b, &local.PIN, stored)
}

// ForgetPIN stores a connection without its PIN, which the token has refused: it
// must not go there again. The connection's file must be as it was read, text.
func (s *Store) ForgetPIN(c *Connection, text []byte) (*Connection, []byte, error) {
	pin := c.Local.PIN
	changed := *c
	changed.Local.PIN = ""
	out, stored, err := s.rewrite(&changed, text)
	if err != nil {
		return nil, nil, err
	}
	if err := s.Secrets.Remove(pin); err != nil {
		return nil, nil, fmt.Errorf("remove the stored PIN of connection %s: %w", c.Name, err)
	}
	return out, stored, nil
}
