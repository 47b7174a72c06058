package profile

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"path"
	"slices"
	"strings"

	"sallyport/core/ike/auth"
	"sallyport/core/profile/settings"
)

// A sharedSecret is an ike* section of secrets.
type sharedSecret struct {
	pos    settings.Pos
	path   string
	owners []auth.Identity // none: everyone
	value  []byte
	err    error
}

// decodeSecret reads "0x…" (hexadecimal), "0s…" (base64) or plain text.
func decodeSecret(s string) ([]byte, error) {
	switch {
	case strings.HasPrefix(s, "0x"):
		b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
		if err != nil {
			return nil, errors.New("the secret begins with 0x but is not hexadecimal")
		}
		return b, nil
	case strings.HasPrefix(s, "0s"):
		b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "0s"))
		if err != nil {
			return nil, errors.New("the secret begins with 0s but is not base64")
		}
		return b, nil
	}
	return []byte(s), nil
}

// shared returns the ike* secrets of the file.
func (im *swanctl) shared() []sharedSecret {
	all := im.tree.Section("secrets")
	if im.secrets != nil || all == nil {
		return im.secrets
	}
	im.secrets = []sharedSecret{}
	for _, sec := range all.Sections {
		if !strings.HasPrefix(sec.Name, "ike") {
			continue
		}
		s := sharedSecret{pos: sec.Pos, path: "secrets." + plain(sec.Name)}
		found := false
		for _, k := range sec.Keys {
			switch {
			case k.Name == "secret":
				found, s.pos = true, k.Pos
				if s.value, s.err = decodeSecret(k.Value); s.err == nil {
					s.err = checkPSK(s.value, false)
				}
			case strings.HasPrefix(k.Name, "id") && k.Value != "":
				id, err := auth.ParseIdentity(k.Value)
				if err != nil {
					s.err = errors.New("the identity in " + plain(k.Name) + " cannot be read")
				}
				s.owners = append(s.owners, id)
			}
		}
		if !found && s.err == nil {
			s.err = errors.New("the section holds no secret")
		}
		im.secrets = append(im.secrets, s)
	}
	return im.secrets
}

// fit says how well one of the identities of an end fits the owners of a
// secret: 3 by name, 2 by pattern, 1 because everyone does, 0 not at all.
func (s *sharedSecret) fit(ends []auth.Identity) int {
	if len(s.owners) == 0 {
		return 1
	}
	best := 0
	for _, o := range s.owners {
		if o.IsAny() {
			best = max(best, 1)
		}
		for _, e := range ends {
			switch {
			case e.IsAny():
			case e.Equal(o):
				best = 3
			case e.Matches(o) || o.Matches(e):
				best = max(best, 2)
			}
		}
	}
	return best
}

// psk finds the pre-shared key of the connection as strongSwan does: the one
// that fits the other end best, then our own end.
func (v *view) psk(name string) {
	p := &v.b.Connection
	var me, other []auth.Identity
	if id, err := auth.ParseIdentity(p.Local.ID); err == nil && p.Local.ID != "" {
		me = append(me, id)
	}
	if id, err := auth.ParseIdentity(p.Remote.ID); err == nil && p.Remote.ID != "" {
		other = append(other, id)
	} else {
		// Nobody knows yet how the gateway calls itself; its address is likely.
		for _, h := range v.hosts {
			if id, err := auth.ParseIdentity(h); err == nil {
				other = append(other, id)
			}
		}
	}
	all := v.im.shared()
	var best *sharedSecret
	bestMe, bestOther := 0, 0
	for i := range all {
		m, o := all[i].fit(me), all[i].fit(other)
		if m+o > 0 && (best == nil || o > bestOther || o == bestOther && m > bestMe) {
			best, bestMe, bestOther = &all[i], m, o
		}
	}
	if best == nil && p.Remote.ID == "" && len(all) == 1 {
		best = v.onlySecret(&all[0])
	}
	if p.IsResponder() && p.Remote.ID == "" && p.Remote.Method == MethodPSK {
		peers := v.peerSecrets(all, me)
		if len(p.Remote.Secrets) > 0 && (best == nil || bestOther == 0 || peers[best]) {
			for _, ref := range []*string{&p.Local.Secret, &p.Remote.Secret} {
				if *ref == name {
					*ref = "" // nobody else has one
				}
			}
			return
		}
	}
	if best == nil {
		if psk := v.im.req.Password; len(psk) > 0 {
			if err := checkPSK(psk, false); err != nil {
				v.malformed(v.sec.Pos, v.path, "%v", err)
				return
			}
			v.b.addPSK(name, psk)
			return
		}
		v.needsPassword(v.sec.Pos, v.path, "there is no pre-shared key for it: no ike section in secrets fits, and none was given with the import")
		return
	}
	if best.err != nil {
		v.malformed(best.pos, best.path, "%v", best.err)
		return
	}
	v.b.addPSK(name, best.value)
}

// peerSecrets takes the secrets whose owners are others than our own end: each
// is the key of those peers alone. It returns what it took.
func (v *view) peerSecrets(all []sharedSecret, me []auth.Identity) map[*sharedSecret]bool {
	p := &v.b.Connection
	taken, peers := map[*sharedSecret]bool{}, map[string]bool{}
	for i := range all {
		s := &all[i]
		for _, o := range s.owners {
			if o.IsAny() || slices.ContainsFunc(me, o.Equal) || peers[o.String()] {
				continue
			}
			if s.err != nil {
				v.malformed(s.pos, s.path, "%v", s.err)
				return taken
			}
			name := peerPSKName(p.Name, len(p.Remote.Secrets))
			p.Remote.Secrets = append(p.Remote.Secrets, PSK{ID: o.String(), Secret: name})
			v.b.addPSK(name, s.value)
			taken[s], peers[o.String()] = true, true
		}
	}
	return taken
}

// onlySecret decides on the one secret of the file, which names neither end.
// An initiator whose gateway's identity is open takes it: the owner is what
// the gateway will call itself. A responder takes it for that owner alone.
func (v *view) onlySecret(s *sharedSecret) *sharedSecret {
	p := &v.b.Connection
	if !p.IsResponder() {
		return s
	}
	if len(s.owners) != 1 {
		return nil
	}
	p.Remote.ID = s.owners[0].String()
	return s
}

// passphrase returns what opens a private key's file: the secret of a
// private*, rsa*, ecdsa* or pkcs8* section that names it.
func (im *swanctl) passphrase(file string) []byte {
	if all := im.tree.Section("secrets"); all != nil {
		for _, sec := range all.Sections {
			if !isKeySection(sec.Name) {
				continue
			}
			name, secret := sec.Key("file"), sec.Key("secret")
			if name == nil || secret == nil || path.Base(slashed(name.Value)) != path.Base(file) {
				continue
			}
			if b, err := decodeSecret(secret.Value); err == nil {
				return b
			}
		}
	}
	return im.req.Password
}

// keyFolders hold private keys; a section of secrets for one begins alike.
var keyFolders = []string{"private", "rsa", "ecdsa", "pkcs8"}

func isKeySection(name string) bool {
	for _, f := range keyFolders {
		if strings.HasPrefix(name, f) {
			return true
		}
	}
	return false
}
