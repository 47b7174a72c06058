package profile

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"sallyport/core/pki"
)

// Complete fills in the secrets that the files of a replacing import leave out:
// they stay what is stored under the connection's name. A pre-shared key that is
// not stored either is asked for at each connect. It does nothing for a bundle
// that lacks nothing.
func (s *Store) Complete(b *Bundle) error {
	if b.Keep == (Keep{}) && !b.lacksMore() {
		return nil
	}
	c := &b.Connection
	old, err := s.Load(c.Name)
	if err != nil && !errors.Is(err, ErrNotFound) && len(AllErrors(err)) == 0 {
		return err
	}
	if old == nil {
		old = new(Connection) // it has no secret that could stay
	}
	if b.Keep.Secret {
		stored := old.Local.Secret
		switch {
		case c.Local.UsesEAP() != old.Local.UsesEAP():
			stored = "" // a pre-shared key is no password, which goes to the gateway
		case stored != "" && c.Local.UsesEAP() && !s.sameServer(b, old):
			stored = ""
			b.warn("the stored password was for another gateway, and is not kept: the user is asked for it")
		}
		if err := s.keepSecret(b, &c.Local.Secret, stored); err != nil {
			return err
		}
		if c.Local.Secret == "" {
			if c.IsResponder() {
				return lacks("local.secret", "the pre-shared key")
			}
			c.Local.Ask = c.Local.Method == MethodPSK // a user's password is asked for anyway
		}
	}
	if b.Keep.RemoteSecret {
		if err := s.keepSecret(b, &c.Remote.Secret, old.Remote.Secret); err != nil {
			return err
		}
		if c.Remote.Secret == "" && c.Local.Method != MethodPSK {
			return lacks("remote.secret", "the pre-shared key of the remote end")
		}
	}
	if b.Keep.RADIUS && !sameRADIUS(c.Remote.RADIUS.Servers, old.Remote.RADIUS.Servers) {
		return lacks("remote.radius.secret", "the secret shared with these RADIUS servers")
	}
	for _, k := range []struct {
		keep     bool
		ref, old *string
		field    string
		what     string
	}{
		{b.Keep.Users, &c.Remote.Users, &old.Remote.Users, "remote.users", "the list of users"},
		{b.Keep.RADIUS, &c.Remote.RADIUS.Secret, &old.Remote.RADIUS.Secret, "remote.radius.secret", "the secret shared with the RADIUS servers"},
	} {
		if !k.keep {
			continue
		}
		if err := s.keepSecret(b, k.ref, *k.old); err != nil {
			return err
		}
		if *k.ref == "" {
			return lacks(k.field, k.what)
		}
	}
	if b.Keep.PeerSecrets {
		if err := s.keepPeerSecrets(b, old); err != nil {
			return err
		}
	}
	if b.Keep.PPKs {
		if err := s.keepPPKs(b, old); err != nil {
			return err
		}
	}
	if b.Keep.PIN {
		if err := s.keepPIN(b, old); err != nil {
			return err
		}
	}
	if b.Keep.Key {
		if err := s.keepKey(b, old); err != nil {
			return err
		}
	}
	if err := s.keepMore(b, old); err != nil {
		return err
	}
	b.Keep = Keep{}
	return c.Validate()
}

// sameServer reports whether nobody gets the user's password by b who did not
// get it by old: the file may come from somebody who wants to have it.
func (s *Store) sameServer(b *Bundle, old *Connection) bool {
	c := &b.Connection
	now, before := &c.Remote, &old.Remote
	switch {
	case c.Local.User != old.Local.User, c.Local.EAP.Server != old.Local.EAP.Server, c.Local.EAP.Only && !old.Local.EAP.Only:
		return false
	case now.Method != before.Method, now.ID != before.ID:
		return false
	case !now.Names() && !slices.Equal(c.Gateways, old.Gateways):
		return false // only the address tells it from others of its authorities
	case now.Method == MethodPSK:
		return b.Keep.RemoteSecret
	case revocationRank(now.Revocation) < revocationRank(before.Revocation):
		return false
	case now.WeakCertificates && !before.WeakCertificates:
		return false
	case len(now.CAs) == 0:
		return len(before.CAs) == 0
	}
	trusted := certificatesIn(before.CAs, s.Certs.Read)
	for ca := range certificatesIn(now.CAs, func(name string) ([]byte, error) { return b.Certs[name], nil }) {
		if !trusted[ca] {
			return false
		}
	}
	return true
}

// sameRADIUS reports whether every server is one of those before.
func sameRADIUS(servers, before []string) bool {
	known := map[netip.AddrPort]bool{}
	for _, s := range before {
		if a, err := RADIUSServer(s); err == nil {
			known[a] = true
		}
	}
	return !slices.ContainsFunc(servers, func(s string) bool {
		a, err := RADIUSServer(s)
		return err != nil || !known[a]
	})
}

// revocationRank orders the values of Auth.Revocation, the strictest last.
func revocationRank(s string) int {
	return slices.Index([]string{RevocationOff, RevocationSoft, RevocationStrict}, cmp.Or(s, RevocationSoft))
}

// certificatesIn returns the certificates in entries of a certificate store. One
// that cannot be read has none.
func certificatesIn(names []string, read func(string) ([]byte, error)) map[string]bool {
	out := map[string]bool{}
	for _, n := range names {
		rest, err := read(n)
		if err != nil {
			continue
		}
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			out[string(block.Bytes)] = true
		}
	}
	return out
}

func lacks(field, what string) error {
	return &Error{Field: field, Msg: fmt.Sprintf("%s is missing, and none is stored: name a file that holds it", what)}
}

// keepSecret copies a stored secret under the name in ref, or empties ref.
func (s *Store) keepSecret(b *Bundle, ref *string, old string) error {
	if old == "" {
		*ref = ""
		return nil
	}
	psk, err := s.Secrets.Read(old)
	if err != nil {
		return fmt.Errorf("read the stored secret of connection %s: %w", b.Connection.Name, err)
	}
	b.Secrets[*ref] = psk
	if ref == &b.Connection.Local.Secret && !b.Connection.Local.UsesEAP() || ref == &b.Connection.Remote.Secret {
		b.warn(PSKWarning(psk))
	}
	return nil
}

// keepPeerSecrets copies the stored pre-shared keys of peers, by their
// identities.
func (s *Store) keepPeerSecrets(b *Bundle, old *Connection) error {
	for i := range b.Connection.Remote.Secrets {
		p := &b.Connection.Remote.Secrets[i]
		if b.Secrets[p.Secret] != nil {
			continue
		}
		before := slices.IndexFunc(old.Remote.Secrets, func(o PSK) bool { return o.ID == p.ID })
		if before < 0 {
			return lacks(at("remote.secrets", i)+".secret", "the pre-shared key of "+shown(p.ID))
		}
		if err := s.keepSecret(b, &p.Secret, old.Remote.Secrets[before].Secret); err != nil {
			return err
		}
	}
	return nil
}

// keepKey copies the stored private key. It must be that of the certificate;
// of an encrypted one the first connect shows that.
func (s *Store) keepKey(b *Bundle, old *Connection) error {
	local := &b.Connection.Local
	if old.Local.Key == "" {
		return lacks("local.key", "the private key")
	}
	data, err := s.Secrets.Read(old.Local.Key)
	if err != nil {
		return fmt.Errorf("read the stored key of connection %s: %w", b.Connection.Name, err)
	}
	key, err := pki.ParsePrivateKey(data, nil)
	if err == nil {
		var chain []*x509.Certificate
		for _, name := range local.Certificates {
			for rest := b.Certs[name]; ; {
				var block *pem.Block
				if block, rest = pem.Decode(rest); block == nil {
					break
				}
				c, err := x509.ParseCertificate(block.Bytes)
				if err != nil {
					return err
				}
				chain = append(chain, c)
			}
		}
		err = (&pki.Credential{Chain: chain, Key: key}).Check()
	}
	// How the key is stored decides, whatever the file says.
	local.Ask = errors.Is(err, pki.ErrPassphraseNeeded)
	if err != nil && !local.Ask {
		clear(data)
		return &Error{Field: "local.key", Msg: "the stored private key: " + bare(err)}
	}
	b.Secrets[local.Key] = bytes.Clone(data)
	clear(data)
	return nil
}

// SetProfile stores another profile for a connection whose file is still as it
// was read.
func (s *Store) SetProfile(c *Connection, text []byte, profile string) (*Connection, []byte, error) {
	changed := *c
	changed.Profile = profile
	return s.rewrite(&changed, text)
}

// Pin makes a certificate the only one that a connection believes of its other
// end, in place of the system's authorities. The connection's file must be as
// it was read, text.
func (s *Store) Pin(c *Connection, text []byte, cert *x509.Certificate) (*Connection, []byte, error) {
	if len(c.Remote.CAs) > 0 {
		return nil, nil, fmt.Errorf("connection %s has authorities of its own", c.Name)
	}
	b := Bundle{Certs: map[string][]byte{}}
	changed := *c
	changed.Remote.CAs = []string{b.addCert("pinned-"+c.Name, []*x509.Certificate{cert})}
	for name, data := range b.Certs {
		if err := s.Certs.Write(name, data); err != nil {
			return nil, nil, fmt.Errorf("store certificate %s: %w", name, err)
		}
	}
	return s.rewrite(&changed, text)
}

// Prefer notes in the profile c, whose file has the given text, which of its
// certificates the user shows. It returns the profile and its text as they are
// from then on.
func (s *Store) Prefer(c *Connection, text []byte, number int) (*Connection, []byte, error) {
	changed := *c
	changed.Local.Prefer = number
	return s.rewrite(&changed, text)
}

// ErrChanged says that a connection's file is no longer as it was read.
var ErrChanged = errors.New("the profile has been changed by hand meanwhile")

// rewrite stores c in place of the file that has the given text, and returns
// what is stored.
func (s *Store) rewrite(c *Connection, text []byte) (*Connection, []byte, error) {
	if err := c.Validate(); err != nil {
		return nil, nil, err
	}
	now, err := s.Profiles.Read(c.Name + extension)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("read connection %s: %w", c.Name, err)
	case !bytes.Equal(now, text):
		return nil, nil, ErrChanged
	}
	out := Marshal(c)
	if err := s.Profiles.Write(c.Name+extension, out); err != nil {
		return nil, nil, fmt.Errorf("store connection %s: %w", c.Name, err)
	}
	return c, out, nil
}
