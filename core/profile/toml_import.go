package profile

import (
	"bytes"
	"crypto/x509"
	"errors"

	"sallyport/core/config"
	"sallyport/core/pki"
)

// importTOML reads a profile of our own format from the outside. There the
// names of certificates, keys and secrets are files beside the profile, and a
// pre-shared key may come with the request instead.
func importTOML(s *source, res *Result) error {
	c, tree, err := parse(s.name, s.req.Files[0].Data, imported)
	if err != nil {
		return err
	}
	im := tomlImport{source: s, tree: tree, Faults: config.Faults{File: s.name}}
	b := Bundle{Connection: *c, Certs: map[string][]byte{}, Secrets: map[string][]byte{}}
	if s.req.Name != "" {
		b.Connection.Name = s.req.Name
	}
	im.local(&b, &c.Local)
	im.remote(&b, &c.Remote, c.Local.Method)
	if err := im.Err(); err != nil || len(s.missing) > 0 {
		return err
	}
	if err := b.finish(); err != nil {
		return err
	}
	res.Bundles = []Bundle{b}
	return nil
}

type tomlImport struct {
	*source
	config.Faults
	tree *config.Tree
}

// needsPassword says that the request must bring a secret.
func (im *tomlImport) needsPassword(field, format string, args ...any) {
	im.bad(field, format, args...)
	im.List[len(im.List)-1].NeedsPassword = true
}

func (im *tomlImport) bad(field, format string, args ...any) {
	im.Add(im.tree.Line(field), field, format, args...)
}

// file returns the content of the file that a field names.
func (im *tomlImport) file(field, name string) ([]byte, bool) {
	f, known := im.find(name)
	if known && len(f) == 0 {
		im.bad(field, "the file %s is not there or cannot be read", shown(name))
	}
	if len(f) == 0 {
		return nil, false
	}
	return f[0].data, true
}

func (im *tomlImport) local(b *Bundle, a *Auth) {
	if a.Method == MethodPSK {
		b.Connection.Local.Secret = pskName(b.Connection.Name)
		im.psk(b, "local.secret", b.Connection.Local.Secret, a.Secret)
		return
	}
	var certs []*x509.Certificate
	for i, name := range a.Certificates {
		certs = append(certs, im.certs(at("local.certificates", i), name)...)
	}
	data, ok := im.file("local.key", a.Key)
	if !ok || len(certs) == 0 {
		return
	}
	key, err := pki.ParsePrivateKey(data, im.req.Password)
	if errors.Is(err, pki.ErrPassphraseNeeded) {
		im.needsPassword("local.key", "the private key %s is encrypted: give its passphrase with the import", shown(a.Key))
		return
	}
	if err != nil {
		im.bad("local.key", "%s: %s", shown(a.Key), bare(err))
		return
	}
	cred := &pki.Credential{Chain: certs, Key: key}
	if err = cred.Check(); err == nil {
		err = b.addCredential(a.Certificates[0], cred)
	}
	if err != nil {
		im.bad("local.key", "%s", bare(err))
	}
}

func (im *tomlImport) remote(b *Bundle, a *Auth, localMethod string) {
	if a.Method == MethodPSK {
		if a.Secret != "" {
			b.Connection.Remote.Secret = remotePSKName(b.Connection.Name)
			im.psk(b, "remote.secret", b.Connection.Remote.Secret, a.Secret)
		}
		return
	}
	b.Connection.Remote.CAs = nil
	for i, name := range a.CAs {
		if certs := im.certs(at("remote.cas", i), name); len(certs) > 0 {
			b.Connection.Remote.CAs = append(b.Connection.Remote.CAs, b.addCert(name, certs))
		}
	}
}

// psk stores the pre-shared key: the one of the request, or else the content
// of the file named. A last line break is the editor's, not the key's.
func (im *tomlImport) psk(b *Bundle, field, as, file string) {
	psk := im.req.Password
	if len(psk) == 0 {
		if file == "" {
			im.needsPassword(field, "the pre-shared key is missing: name a file that holds it, or give it with the import")
			return
		}
		data, ok := im.file(field, file)
		if !ok {
			return
		}
		psk = bytes.TrimRight(data, "\r\n")
	}
	if err := checkPSK(psk); err != nil {
		im.bad(field, "%v", err)
		return
	}
	b.addPSK(as, psk)
}

func (im *tomlImport) certs(field, name string) []*x509.Certificate {
	data, ok := im.file(field, name)
	if !ok {
		return nil
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		im.bad(field, "%s: %s", shown(name), bare(err))
	}
	return certs
}
