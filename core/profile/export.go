package profile

import (
	"encoding/pem"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"sallyport/core/api"
	"sallyport/core/config"
)

// Export returns a stored connection as a file that Import takes: with its
// certificates within, and without its secrets, of which it says in words
// which. What the file leaves out an import with Replace keeps as it is stored.
func (s *Store) Export(name string) (api.Export, error) {
	c, err := s.Load(name)
	if err != nil {
		return api.Export{}, err
	}
	out := *c
	x := api.Export{Name: c.Name + extension}
	missing := func(ref *string, what string) {
		if *ref != "" {
			*ref = ""
			x.Missing = append(x.Missing, what)
		}
	}
	secret := "the pre-shared key"
	if c.Local.UsesEAP() {
		secret = "the user's password"
	}
	if c.Local.Method == MethodEAP && c.Local.Secret == "" && c.Local.Key == "" {
		out.Local.Ask = true // so that no import looks for a password that stays
	}
	missing(&out.Local.Secret, secret)
	key := "the private key of the certificate"
	if c.Local.Ask {
		key = "the encrypted private key of the certificate"
	}
	missing(&out.Local.Key, key)
	missing(&out.Local.PIN, "the PIN of the token")
	out.Local.More = slices.Clone(c.Local.More)
	for i := range out.Local.More {
		missing(&out.Local.More[i].Key, "the private key of a further certificate")
		if out.Local.More[i].Certificates, err = s.inline(c.Local.More[i].Certificates); err != nil {
			return api.Export{}, err
		}
	}
	missing(&out.Remote.Secret, "the pre-shared key of the remote end")
	out.Remote.Secrets = slices.Clone(c.Remote.Secrets)
	for i := range out.Remote.Secrets {
		missing(&out.Remote.Secrets[i].Secret, "the pre-shared key of "+shown(out.Remote.Secrets[i].ID))
	}
	out.IKE.PPKs = slices.Clone(c.IKE.PPKs)
	for i := range out.IKE.PPKs {
		missing(&out.IKE.PPKs[i].Secret, "the post-quantum pre-shared key "+shown(out.IKE.PPKs[i].ID))
	}
	if out.Remote.Users != "" && out.Remote.Method != MethodEAP && out.Remote.EAP.isZero() {
		out.Remote.EAP.Methods = []string{"mschapv2"} // so that no import takes one proof for two
	}
	missing(&out.Remote.Users, "the list of users")
	missing(&out.Remote.RADIUS.Secret, "the secret shared with the RADIUS servers")
	if out.Local.Certificates, err = s.inline(c.Local.Certificates); err != nil {
		return api.Export{}, err
	}
	if out.Remote.CAs, err = s.inline(c.Remote.CAs); err != nil {
		return api.Export{}, err
	}
	comment := "A Sallyport connection, with its certificates and without its secrets."
	for _, m := range x.Missing {
		comment += "\n# Left out: " + m + "."
	}
	x.Text = config.Marshal(comment, &out, docs)
	if len(x.Text) > maxProfile {
		return api.Export{}, fmt.Errorf("export connection %s: with its certificates the file would have %d bytes, and no import takes more than %d", name, len(x.Text), maxProfile)
	}
	return x, nil
}

// storedCert takes the hash off the name of a stored certificate (see addCert).
var storedCert = regexp.MustCompile(`^(.+)-[0-9a-f]{20}\.pem$`)

// inline returns the content of stored certificates, each under its name.
func (s *Store) inline(names []string) ([]string, error) {
	var out []string
	for _, n := range names {
		data, err := s.Certs.Read(n)
		if err != nil {
			return nil, fmt.Errorf("read certificate %s: %w", n, err)
		}
		label := strings.TrimSuffix(n, path.Ext(n))
		if m := storedCert.FindStringSubmatch(n); m != nil {
			label = m[1]
		}
		text := label + "\n"
		for rest := data; ; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if block.Type == "CERTIFICATE" { // and nothing that somebody put beside it
				text += string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
			}
		}
		out = append(out, text)
	}
	return out, nil
}

const beginCert = "-----BEGIN CERTIFICATE-----"

// inlineCert reports whether a value of certificates or cas is PEM text rather
// than the name of a file, and returns the name that stands before it.
func inlineCert(value string) (label string, ok bool) {
	label, _, ok = strings.Cut(value, beginCert)
	if !ok {
		return "", false
	}
	if label = strings.TrimSpace(label); !clean(label) || len(label) > 128 {
		label = ""
	}
	return label + ".pem", true
}
