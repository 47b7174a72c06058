package profile

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sallyport/core/ike/auth"
	"sallyport/core/pki"
)

// An Own is a further certificate of the local end, shown to a peer that asks
// for its authority and not for that of the first.
type Own struct {
	ID           string   `toml:"id,omitempty"` // empty: the subject of the certificate
	Certificates []string `toml:"certificates"` // the own one first, then intermediates
	Key          string   `toml:"key,omitempty"`
}

// maxMore bounds the further certificates of an end.
const maxMore = 8

// more checks the further certificates of an end.
func (v *validator) more(field string, a *Auth, local bool) {
	if a.Prefer < 0 || a.Prefer > 0 && a.Prefer > 1+len(a.More) {
		v.bad(field+".prefer", "%d is the number of none of the certificates: 1 is the first, 2 that of the first [[%s.more]]", a.Prefer, field)
	}
	switch {
	case a.Prefer != 0 && len(a.More) == 0:
		v.bad(field+".prefer", "needs [[%s.more]]: there is one certificate", field)
		return
	case len(a.More) == 0:
		return
	case !local:
		v.bad(field+".more", "belongs to [local]: what this end proves itself with")
		return
	case a.Method != MethodCertificate:
		v.bad(field+".more", "needs method = \"certificate\"")
		return
	case len(a.More) > maxMore:
		v.bad(field+".more", "more than %d", maxMore)
		return
	}
	for i := range a.More {
		o, f := &a.More[i], at(field+".more", i)
		if o.ID != "" {
			id, err := auth.ParseIdentity(o.ID)
			if err != nil || !clean(o.ID) || len(o.ID) > 1024 || id.IsAny() || strings.ContainsRune(o.ID, '*') {
				v.bad(f+".id", "is not an identity of this end")
			}
		}
		v.fileName(f+".key", o.Key)
		for j, n := range o.Certificates {
			v.certificate(at(f+".certificates", j), n)
		}
		switch {
		case len(o.Certificates) == 0:
			v.bad(f+".certificates", "is missing: the own certificate first, then intermediates")
		case o.Key == "" && v.mode == stored:
			v.bad(f+".key", "is missing: the private key of the certificate")
		}
	}
}

// more takes the further certificates of the local end and their keys.
func (im *tomlImport) more(b *Bundle, a *Auth) {
	b.Connection.Local.More = nil
	for i := range a.More {
		o, field := a.More[i], at("local.more", i)
		var certs []*x509.Certificate
		for j, name := range o.Certificates {
			certs = append(certs, im.certs(at(field+".certificates", j), name)...)
		}
		if len(certs) == 0 {
			continue
		}
		from := certName(o.Certificates[0])
		own := Own{ID: o.ID, Key: moreKeyName(b.Connection.Name, i)}
		for j, c := range certs {
			file := from
			if j > 0 {
				file = fmt.Sprintf("intermediate-%d", j)
			}
			own.Certificates = append(own.Certificates, b.addCert(file, []*x509.Certificate{c}))
		}
		b.Connection.Local.More = append(b.Connection.Local.More, own)
		if o.Key == "" {
			if !im.req.Replace {
				im.bad(field+".key", "is missing: name a file that holds the private key of the certificate")
			}
			continue // Complete keeps what is stored
		}
		data, ok := im.file(field+".key", o.Key)
		if !ok {
			continue
		}
		key, err := pki.ParsePrivateKey(data, im.req.Password)
		if err == nil {
			err = (&pki.Credential{Chain: certs, Key: key}).Check()
		}
		if err != nil {
			im.bad(field+".key", "%s: %s", shown(o.Key), bare(err))
			continue
		}
		if k, ok := key.(*auth.PSSPrivateKey); ok {
			key = k.Key // the certificate says that it is for PSS alone
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			im.bad(field+".key", "%s", bare(err))
			continue
		}
		b.Secrets[own.Key] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		clear(der)
	}
}

func moreKeyName(connection string, i int) string {
	return connection + "+key-" + strconv.Itoa(i+2)
}

// keepMore copies the stored keys of the further certificates whose keys the
// files leave out: each belongs to one certificate.
func (s *Store) keepMore(b *Bundle, old *Connection) error {
	for i := range b.Connection.Local.More {
		o := &b.Connection.Local.More[i]
		if b.Secrets[o.Key] != nil {
			continue
		}
		j := slices.IndexFunc(old.Local.More, func(p Own) bool {
			return len(p.Certificates) > 0 && p.Certificates[0] == o.Certificates[0] && p.Key != ""
		})
		if j < 0 {
			return lacks(at("local.more", i)+".key", "the private key")
		}
		data, err := s.Secrets.Read(old.Local.More[j].Key)
		if err != nil {
			return fmt.Errorf("read a stored key of connection %s: %w", b.Connection.Name, err)
		}
		b.Secrets[o.Key] = data
	}
	return nil
}

// lacksMore reports whether keys of further certificates are to be kept.
func (b *Bundle) lacksMore() bool {
	return slices.ContainsFunc(b.Connection.Local.More, func(o Own) bool { return b.Secrets[o.Key] == nil })
}

// ownCertificates names all certificates of an end.
func (a *Auth) ownCertificates() []string {
	out := slices.Clone(a.Certificates)
	for _, o := range a.More {
		out = append(out, o.Certificates...)
	}
	return out
}
