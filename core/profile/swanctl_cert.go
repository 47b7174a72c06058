package profile

import (
	"crypto"
	"crypto/x509"
	"errors"
	"path"
	"strings"

	"sallyport/core/config"
	"sallyport/core/ike/auth"
	"sallyport/core/pki"
	"sallyport/core/profile/settings"
)

// A certFile is a certificate file that a connection names.
type certFile struct {
	name  string
	certs []*x509.Certificate
}

// A parsedCerts is a certificate file, parsed once for all connections.
type parsedCerts struct {
	certs []*x509.Certificate
	err   error
}

func (im *swanctl) parseCerts(f found) ([]*x509.Certificate, error) {
	p, ok := im.certs[f.name]
	if !ok {
		p.certs, p.err = pki.ParseCertificates(f.data)
		im.certs[f.name] = p
	}
	return p.certs, p.err
}

// named returns the certificates that a key names (files of a folder) and that
// sections with the prefix name by their full path. ok is false while files
// are missing or after a refusal.
func (v *view) named(key, folder, prefix string) (files []certFile, ok bool) {
	ok = true
	load := func(pos settings.Pos, field string, patterns []string, name string) {
		list, known := v.im.findAny(patterns...)
		switch {
		case len(list) > 0:
			certs, err := v.im.parseCerts(list[0])
			if err != nil {
				v.malformed(pos, field, "%s: %s", shown(name), bare(err))
				ok = false
				return
			}
			files = append(files, certFile{list[0].name, certs})
		case known:
			v.malformed(pos, field, "the certificate %s is not there or cannot be read (looked for it in %s)", shown(name), strings.Join(patterns, ", "))
			ok = false
		default:
			ok = false
		}
	}
	names, pos := v.list(key)
	for _, n := range names {
		load(pos, v.field(key), v.im.places(folder, n), n)
	}
	for _, s := range v.sec.Sections {
		if !strings.HasPrefix(s.Name, prefix) {
			continue
		}
		sub := v.view(s, v.field(s.Name))
		for _, k := range s.Keys {
			if k.Name != "file" && k.Value != "" {
				sub.refuse(k.Pos, sub.field(k.Name), "certificates on smart cards and tokens are not supported yet")
				return nil, false
			}
		}
		if file, pos := sub.get("file"); file != "" {
			load(pos, sub.field("file"), []string{file}, file)
		}
	}
	return files, ok
}

// places returns where a credential file may lie.
func (im *swanctl) places(folder, name string) []string {
	if isAbsolute(slashed(name)) {
		return []string{name}
	}
	var out []string
	for _, b := range im.bases {
		out = append(out, b+folder+"/"+name)
	}
	return out
}

// folder reads every certificate of a folder. What is none is noted.
func (v *view) folder(name string) (files []certFile, known bool) {
	list, known := v.im.findAny(v.im.places(name, "*")...)
	for _, f := range list {
		certs, err := v.im.parseCerts(f)
		if err != nil {
			v.note(v.sec.Pos, v.path, "%s is passed over: %s", shown(f.name), bare(err))
			continue
		}
		files = append(files, certFile{f.name, certs})
	}
	return files, known
}

// authorities finds the certificate authorities that the peer's certificate
// must lead to: those named, or else all that the file's folders hold.
func (v *view) authorities() {
	files, ok := v.named("cacerts", "x509ca", "cacert")
	if !ok {
		return
	}
	if len(files) == 0 {
		var known bool
		if files, known = v.folder("x509ca"); !known {
			return
		}
		more, ok := v.sectionAuthorities()
		if !ok {
			return
		}
		files = append(files, more...)
	}
	p := &v.b.Connection
	for _, f := range files {
		var cas []*x509.Certificate
		for _, c := range f.certs {
			if c.IsCA {
				cas = append(cas, c)
			}
		}
		if len(cas) == 0 {
			v.note(v.sec.Pos, v.path, "%s is passed over: it holds no certificate of an authority", shown(f.name))
			continue
		}
		if name := v.b.addCert(f.name, cas); !has(p.Remote.CAs, name) {
			p.Remote.CAs = append(p.Remote.CAs, name)
		}
	}
	switch {
	case len(p.Remote.CAs) > config.MaxItems:
		v.refuse(v.sec.Pos, v.path, "%d authorities are too many (limit %d); name those of this connection in cacerts", len(p.Remote.CAs), config.MaxItems)
	case len(p.Remote.CAs) == 0:
		v.refuse(v.sec.Pos, v.path, "there is no authority to check the peer's certificate with: put its certificate into the folder x509ca beside %s", v.im.name)
	}
}

// sectionAuthorities reads the sections of authorities.
func (v *view) sectionAuthorities() (files []certFile, ok bool) {
	all := v.im.tree.Section("authorities")
	if all == nil {
		return nil, true
	}
	ok = true
	for _, sec := range all.Sections {
		a := v.view(sec, "authorities."+plain(sec.Name))
		for _, k := range sec.Keys {
			switch {
			case k.Name == "handle" || k.Name == "slot" || k.Name == "module":
				a.note(k.Pos, a.field(k.Name), "certificates on smart cards and tokens are not supported yet")
			case k.Name == "crl_uris" || k.Name == "ocsp_uris":
				a.note(k.Pos, a.field(k.Name), "the servers that the certificates themselves name are asked about revocation")
			case k.Name == "cert_uri_base":
				a.note(k.Pos, a.field(k.Name), "certificates are sent as a whole")
			}
		}
		list, fine := a.named("cacert", "x509ca", "\x00")
		files, ok = append(files, list...), ok && fine
		if file, pos := a.get("file"); file != "" {
			found, known := v.im.findAny(file)
			if !known {
				ok = false
			}
			for _, f := range found {
				certs, err := v.im.parseCerts(f)
				if err != nil {
					a.malformed(pos, a.field("file"), "%s", bare(err))
					continue
				}
				files = append(files, certFile{f.name, certs})
			}
			if known && len(found) == 0 {
				a.malformed(pos, a.field("file"), "the certificate %s is not there or cannot be read", shown(file))
			}
		}
	}
	return files, ok
}

// credential finds our own certificate, its private key and the intermediates
// to send along.
func (v *view) credential() {
	if v.certOnToken() {
		return
	}
	files, ok := v.named("certs", "x509", "cert")
	if !ok {
		return
	}
	named := len(files) > 0
	if !named {
		var known bool
		if files, known = v.folder("x509"); !known {
			return
		}
	}
	// Intermediates may lie among the authorities.
	known := true
	if v.b.Connection.Remote.Method == MethodCertificate || !named {
		var more []certFile
		more, known = v.folder("x509ca")
		files = append(files, more...)
	}
	id, err := auth.ParseIdentity(v.b.Connection.Local.ID)
	if err != nil || v.b.Connection.Local.ID == "" {
		id = auth.Identity{}
	}
	var pool []*x509.Certificate
	var leaves []certFile
	for _, f := range files {
		for _, c := range f.certs {
			if c.IsCA {
				pool = append(pool, c)
				continue
			}
			// A folder holds the certificates of others too.
			leaf := certFile{f.name, []*x509.Certificate{c}}
			if named || id.IsAny() || holds(c, id) {
				leaves = append(leaves, leaf)
			}
		}
	}
	containers, complete := v.containers()
	if !complete {
		return
	}
	for _, c := range containers {
		if leaf := (certFile{c.name, c.cred.Chain[:1]}); !named && (id.IsAny() || holds(leaf.certs[0], id)) {
			leaves = append(leaves, leaf)
		}
		pool = append(pool, c.cred.Chain[1:]...)
	}
	if len(v.errs) > 0 {
		return
	}
	if len(leaves) == 0 {
		v.refuse(v.sec.Pos, v.path, "there is no certificate for this end: name one in certs, or put it into the folder x509 beside %s", v.im.name)
		return
	}
	var names []string
	for _, l := range leaves {
		names = append(names, l.name)
	}
	var keys []crypto.Signer
	for _, c := range containers {
		if v.pair(leaves, c.cred.Key, id) != nil {
			keys = append(keys, c.cred.Key)
		}
	}
	searched, locked, problem := true, false, ""
	if len(keys) == 0 {
		keys, searched, locked, problem = v.im.privateKeys(names, func(k crypto.Signer) bool { return v.pair(leaves, k, id) != nil })
	}
	if !searched || !known {
		return
	}
	var chosen *certFile
	var key crypto.Signer
	for _, k := range keys {
		if l := v.pair(leaves, k, id); l != nil && (chosen == nil || !holds(chosen.certs[0], id)) {
			chosen, key = l, k
		}
	}
	if chosen == nil && v.keyOnToken(leaves) {
		return
	}
	if chosen == nil {
		why := "no private key in the folders " + strings.Join(keyFolders, ", ") + " belongs to it"
		if problem != "" {
			why += "; " + problem
		}
		refuse := v.refuse
		if locked {
			refuse = v.needsPassword
		}
		refuse(v.sec.Pos, v.path, "the certificate %s cannot be used: %s", shown(leaves[0].name), why)
		return
	}
	v.useCredential(chosen, pool, key, id)
}

// A containerFile is a PKCS #12 file, opened.
type containerFile struct {
	name string
	cred *pki.Credential
}

// containers opens the PKCS #12 files that sections pkcs12* of secrets name.
// complete is false while files are missing.
func (v *view) containers() (out []containerFile, complete bool) {
	all := v.im.tree.Section("secrets")
	if all == nil {
		return nil, true
	}
	complete = true
	for _, sec := range all.Sections {
		file := sec.Key("file")
		if !strings.HasPrefix(sec.Name, "pkcs12") || file == nil || file.Value == "" {
			continue
		}
		field := "secrets." + plain(sec.Name)
		found, known := v.im.findAny(v.im.places("pkcs12", file.Value)...)
		if len(found) == 0 {
			if complete = complete && known; known {
				v.malformed(file.Pos, field, "the file %s is not there or cannot be read", shown(file.Value))
			}
			continue
		}
		password := v.im.req.Password
		if secret := sec.Key("secret"); secret != nil {
			if b, err := decodeSecret(secret.Value); err == nil {
				password = b
			}
		}
		cred, err := pki.ParsePKCS12(found[0].data, password)
		switch {
		case errors.Is(err, pki.ErrPassphraseNeeded):
			v.needsPassword(file.Pos, field, "%s is encrypted and its passphrase is neither in secrets nor given with the import", shown(file.Value))
		case err != nil:
			v.malformed(file.Pos, field, "%s: %s", shown(file.Value), bare(err))
		default:
			out = append(out, containerFile{found[0].name, cred})
		}
	}
	return out, complete
}

// pair returns the certificate that a key belongs to, if there is one, rather
// one that holds id.
func (v *view) pair(leaves []certFile, key crypto.Signer, id auth.Identity) *certFile {
	var any *certFile
	for i := range leaves {
		cred := pki.Credential{Chain: leaves[i].certs, Key: key}
		var pe *pki.Error
		if err := cred.Check(); errors.As(err, &pe) && pe.Kind != pki.Weak {
			continue
		}
		if holds(leaves[i].certs[0], id) {
			return &leaves[i]
		}
		if any == nil {
			any = &leaves[i]
		}
	}
	return any
}

// holds reports whether a certificate names the identity.
func holds(c *x509.Certificate, id auth.Identity) bool {
	_, err := (&pki.Credential{Chain: []*x509.Certificate{c}}).Identity(id)
	return err == nil
}

func (v *view) useCredential(leaf *certFile, pool []*x509.Certificate, key crypto.Signer, id auth.Identity) {
	cred, err := pki.NewCredential(leaf.certs[0], pool, key)
	if err == nil {
		err = v.b.addCredential(leaf.name, cred)
	}
	if err != nil {
		v.refuse(v.sec.Pos, v.path, "the certificate %s cannot be used: %s", shown(leaf.name), bare(err))
		return
	}
	if !holds(leaf.certs[0], id) {
		_, pos := v.get("id")
		v.note(pos, v.field("id"), "the certificate does not hold this identity, so its subject is used, as strongSwan does: %s", shown(pki.Subject(leaf.certs[0]).String()))
		v.b.Connection.Local.ID = ""
	}
}

// A keyFile is a private key's file, parsed once for all connections.
type keyFile struct {
	key     crypto.Signer
	locked  bool // encrypted, without a passphrase
	problem string
}

// privateKeys returns the private keys of the key folders. It first asks for
// those called like the certificates, and for all only when none of these
// fits: keys that are not needed should not travel. searched is false while
// files are missing; problem tells of a key that could not be read, and locked
// of one that lacks its passphrase.
func (im *swanctl) privateKeys(certs []string, fits func(crypto.Signer) bool) (keys []crypto.Signer, searched, locked bool, problem string) {
	var alike, all []string
	for _, folder := range keyFolders {
		for _, c := range certs {
			base := strings.TrimSuffix(path.Base(c), path.Ext(c))
			if base != "" && !strings.ContainsAny(base, `*?[\`) {
				alike = append(alike, im.places(folder, base+"*")...)
			}
		}
		all = append(all, im.places(folder, "*")...)
	}
	for _, patterns := range [][]string{alike, all} {
		if len(patterns) > 64 {
			continue // many certificates: one question for everything is shorter
		}
		files, known := im.findAny(patterns...)
		if !known {
			return nil, false, false, ""
		}
		for _, f := range files {
			k := im.parseKey(f)
			if k.problem != "" && (problem == "" || k.locked && !locked) {
				problem, locked = k.problem, k.locked
			}
			if k.key != nil && fits(k.key) {
				keys = append(keys, k.key)
			}
		}
		if len(keys) > 0 {
			break
		}
	}
	return keys, true, locked, problem
}

func (im *swanctl) parseKey(f found) keyFile {
	k, ok := im.keys[f.name]
	if ok {
		return k
	}
	key, err := pki.ParsePrivateKey(f.data, im.passphrase(f.name))
	switch {
	case err == nil:
		k.key = key
	case errors.Is(err, pki.ErrPassphraseNeeded):
		k.locked = true
		k.problem = shown(f.name) + " is encrypted and its passphrase is neither in secrets nor given with the import"
	default:
		k.problem = shown(f.name) + ": " + bare(err)
	}
	im.keys[f.name] = k
	return k
}
