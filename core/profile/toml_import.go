package profile

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"

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
	im.more(&b, &c.Local)
	im.ppks(&b, &c.IKE)
	im.remote(&b, &c.Remote, c.Local.Method)
	if err := im.Err(); err != nil || len(s.missing) > 0 {
		return err
	}
	if err := b.finish(); err != nil {
		return err
	}
	b.Plan = planTOML(c, &b)
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
		switch {
		case a.Ask, a.Secret == "" && len(im.req.Password) == 0 && !im.req.Replace && !b.Connection.IsResponder():
			b.Connection.Local.Secret, b.Connection.Local.Ask = "", true
		case a.Secret == "" && len(im.req.Password) == 0 && b.Connection.IsResponder() && len(b.Connection.Remote.Secrets) > 0:
			b.Connection.Local.Secret = "" // each peer's own
		case a.Secret == "" && len(im.req.Password) == 0 && im.req.Replace:
			b.Keep.Secret = true
		default:
			im.psk(b, "local.secret", b.Connection.Local.Secret, a.Secret, a.WeakSecret)
		}
		return
	}
	if a.UsesEAP() {
		im.password(b, a)
	}
	if a.OnToken() {
		im.token(b, a)
		return
	}
	if a.Method == MethodEAP && len(a.Certificates) == 0 && a.Key == "" {
		return
	}
	if name, data, ok := im.container(a); ok {
		im.openContainer(b, a, name, data)
		return
	}
	if !a.certifies() {
		if _, ok := im.file("local.key", a.Key); ok {
			im.bad("local.key", "the file %s is no PKCS #12 file, or a damaged one, so it holds no certificate: name that with certificates", shown(a.Key))
		}
		return
	}
	var certs []*x509.Certificate
	for i, name := range a.Certificates {
		certs = append(certs, im.certs(at("local.certificates", i), name)...)
	}
	if a.Key == "" {
		im.keepKey(b, a, certs)
		return
	}
	data, ok := im.file("local.key", a.Key)
	if !ok || len(certs) == 0 {
		return
	}
	if a.Ask {
		im.encryptedKey(b, a, certs, data)
		return
	}
	key, err := pki.ParsePrivateKey(data, im.req.Password)
	if errors.Is(err, pki.ErrPassphraseNeeded) {
		im.needsPassword("local.key", "the private key %s is encrypted: give its passphrase with the import, or set ask = true to give it at each connect", shown(a.Key))
		return
	}
	if err != nil {
		im.bad("local.key", "%s: %s", shown(a.Key), bare(err))
		return
	}
	cred := &pki.Credential{Chain: certs, Key: key}
	if err = cred.Check(); err == nil {
		err = b.addCredential(certName(a.Certificates[0]), cred)
	}
	if err != nil {
		im.bad("local.key", "%s", bare(err))
	}
}

// container returns the PKCS #12 file that holds the own key and certificates:
// the one named as the key, or without a key as the only certificate.
func (im *tomlImport) container(a *Auth) (name string, data []byte, ok bool) {
	if name = a.Key; name == "" && len(a.Certificates) == 1 {
		name = a.Certificates[0]
	}
	if _, inline := inlineCert(name); name == "" || inline {
		return "", nil, false
	}
	f, _ := im.find(name) // one that is not there is told of where it is read
	if len(f) == 0 {
		return "", nil, false
	}
	return name, f[0].data, pki.IsPKCS12(f[0].data)
}

// openContainer takes certificates and key from a PKCS #12 file. With ask the
// file stays as it is, and what opens it is asked for at each connect.
func (im *tomlImport) openContainer(b *Bundle, a *Auth, name string, data []byte) {
	cred, err := pki.ParsePKCS12(data, im.req.Password)
	switch {
	case errors.Is(err, pki.ErrPassphraseNeeded):
		im.needsPassword("local.key", "the file %s is encrypted: give its passphrase with the import", shown(name))
		return
	case err != nil:
		im.bad("local.key", "%s: %s", shown(name), bare(err))
		return
	}
	if a.Ask && len(im.req.Password) == 0 {
		im.bad("local.ask", "the file %s is not encrypted, so there is no passphrase to ask for", shown(name))
		return
	}
	if err := b.addCredential(name, cred); err != nil {
		im.bad("local.key", "%s: %s", shown(name), bare(err))
		return
	}
	if a.Ask {
		clear(b.Secrets[b.Connection.Local.Key])
		b.Secrets[b.Connection.Local.Key] = bytes.Clone(data)
	}
}

// password stores the user's password when there is one: in a file that the
// profile names, or given with the request.
func (im *tomlImport) password(b *Bundle, a *Auth) {
	name := passwordName(b.Connection.Name)
	b.Connection.Local.Secret = ""
	if a.Method == MethodEAP && a.Ask && !a.OnToken() { // said of a password: it is not to be stored
		b.Connection.Local.Ask = false
		return
	}
	var data []byte
	switch {
	case a.Secret != "":
		f, ok := im.file("local.secret", a.Secret)
		if !ok {
			return
		}
		data = bytes.TrimRight(f, "\r\n")
	case len(im.req.Password) > 0 && a.Key == "" && !a.certifies():
		data = im.req.Password
	case im.req.Replace:
		b.Connection.Local.Secret, b.Keep.Secret = name, true
		return
	default:
		return
	}
	if len(data) == 0 || len(data) > maxPSK {
		im.bad("local.secret", "the password is empty or longer than %d bytes", maxPSK)
		return
	}
	b.Connection.Local.Secret = name
	b.Secrets[name] = bytes.Clone(data)
}

// keepKey takes a profile without its private key, as an export is, for a
// connection that is stored with it.
func (im *tomlImport) keepKey(b *Bundle, a *Auth, certs []*x509.Certificate) {
	switch {
	case !im.req.Replace:
		im.bad("local.key", "is missing: name a file that holds the private key of the certificate")
	case len(certs) > 0:
		b.Keep.Key = true
		b.Connection.Local.Key = keyName(b.Connection.Name)
		b.addChain(certName(a.Certificates[0]), certs)
	}
}

// encryptedKey takes a private key as it is, for its passphrase is not to be
// stored. One that comes with the request shows that key and certificate belong
// together; otherwise the first connect does.
func (im *tomlImport) encryptedKey(b *Bundle, a *Auth, certs []*x509.Certificate, data []byte) {
	_, err := pki.ParsePrivateKey(data, nil)
	switch {
	case err == nil:
		im.bad("local.ask", "the private key %s is not encrypted, so there is no passphrase to ask for", shown(a.Key))
		return
	case !errors.Is(err, pki.ErrPassphraseNeeded):
		im.bad("local.key", "%s: %s", shown(a.Key), bare(err))
		return
	}
	if len(im.req.Password) > 0 {
		var key crypto.Signer
		if key, err = pki.ParsePrivateKey(data, im.req.Password); err == nil {
			err = (&pki.Credential{Chain: certs, Key: key}).Check()
		}
		if err != nil {
			im.bad("local.key", "%s: %s", shown(a.Key), bare(err))
			return
		}
	}
	b.Connection.Local.Key = keyName(b.Connection.Name)
	b.Secrets[b.Connection.Local.Key] = bytes.Clone(data)
	b.addChain(certName(a.Certificates[0]), certs)
}

func (im *tomlImport) remote(b *Bundle, a *Auth, localMethod string) {
	im.peerSecrets(b, a)
	if a.AsksUsers() {
		im.users(b, a)
	}
	if a.Method == MethodPSK {
		name := remotePSKName(b.Connection.Name)
		switch {
		case a.Secret != "" || localMethod == MethodCertificate && len(im.req.Password) > 0:
			im.psk(b, "remote.secret", name, a.Secret, a.WeakSecret)
		case im.req.Replace:
			b.Keep.RemoteSecret = true
		case len(a.Secrets) > 0:
			return // each peer's own
		case localMethod != MethodPSK:
			im.needsPassword("remote.secret", "the pre-shared key is missing: name a file that holds it, or give it with the import")
			return
		default:
			return // the same as ours
		}
		b.Connection.Remote.Secret = name
		return
	}
	b.Connection.Remote.CAs = nil
	for i, name := range a.CAs {
		if certs := im.certs(at("remote.cas", i), name); len(certs) > 0 {
			b.Connection.Remote.CAs = append(b.Connection.Remote.CAs, b.addCert(certName(name), certs))
		}
	}
}

// peerSecrets stores the pre-shared keys of single peers.
func (im *tomlImport) peerSecrets(b *Bundle, a *Auth) {
	b.Connection.Remote.Secrets = slices.Clone(a.Secrets)
	for i, p := range a.Secrets {
		name := peerPSKName(b.Connection.Name, i)
		b.Connection.Remote.Secrets[i].Secret = name
		im.listed(at("remote.secrets", i)+".secret", p.Secret, "the pre-shared key of "+shown(p.ID), &b.Keep.PeerSecrets, func(psk []byte) error {
			if err := checkPSK(psk, a.WeakSecret); err != nil {
				return err
			}
			b.addPSK(name, psk)
			return nil
		})
	}
}

// listed hands the key of one entry of a list to add: the content of the file named,
// or else, in a replacement, keep says that the stored one stays. A last line break
// is the editor's, not the key's.
func (im *tomlImport) listed(field, file, what string, keep *bool, add func(key []byte) error) {
	switch {
	case file != "":
		data, ok := im.file(field, file)
		if !ok {
			return
		}
		if err := add(bytes.TrimRight(data, "\r\n")); err != nil {
			im.bad(field, "%v", err)
		}
	case im.req.Replace:
		*keep = true
	default:
		im.bad(field, "is missing: name a file that holds %s", what)
	}
}

// users stores what the users of a responder are known by: their list, or what
// is shared with the RADIUS servers.
func (im *tomlImport) users(b *Bundle, a *Auth) {
	r := &b.Connection.Remote
	take := func(field, file, name string, keep *bool, check func([]byte) error) string {
		switch {
		case file == "" && im.req.Replace:
			*keep = true
			return name
		case file == "":
			im.bad(field, "is missing: name the file that holds it")
			return ""
		}
		data, ok := im.file(field, file)
		if !ok {
			return ""
		}
		if err := check(data); err != nil {
			im.bad(field, "%s: %s", shown(file), bare(err))
			return ""
		}
		b.Secrets[name] = bytes.Clone(data)
		return name
	}
	if len(a.RADIUS.Servers) > 0 {
		r.RADIUS.Secret = take("remote.radius.secret", a.RADIUS.Secret, radiusName(b.Connection.Name), &b.Keep.RADIUS, func(s []byte) error {
			if len(bytes.TrimSpace(s)) < 16 || len(s) > maxPSK {
				return errors.New("a secret shared with a RADIUS server has at least 16 characters: it is all that protects the way there")
			}
			return nil
		})
		return
	}
	r.Users = take("remote.users", a.Users, usersName(b.Connection.Name), &b.Keep.Users, func(data []byte) error {
		users, err := ParseUsers(a.Users, data)
		for _, u := range users {
			clear(u.Password)
		}
		return err
	})
}

// psk stores the pre-shared key: the one of the request, or else the content
// of the file named. A last line break is the editor's, not the key's.
func (im *tomlImport) psk(b *Bundle, field, as, file string, weak bool) {
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
	if err := checkPSK(psk, weak); err != nil {
		im.bad(field, "%v", err)
		return
	}
	b.addPSK(as, psk)
}

// certs returns the certificates of the file that a field names, or of the PEM
// text that it is.
func (im *tomlImport) certs(field, name string) []*x509.Certificate {
	data := []byte(name)
	if label, inline := inlineCert(name); inline {
		name = label
	} else {
		var ok bool
		if data, ok = im.file(field, name); !ok {
			return nil
		}
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		im.bad(field, "%s: %s", shown(name), bare(err))
	}
	return certs
}

// certName names what a value of certificates or cas holds.
func certName(value string) string {
	if label, ok := inlineCert(value); ok {
		return label
	}
	return value
}
