package profile

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"sallyport/core/pki/pkcs11uri"
	"sallyport/core/profile/settings"
)

// A tokenKey is a private key on a token, as a section token* of secrets or
// cert* of an end says it: by its CKA_ID in hexadecimal, and the slot.
type tokenKey struct {
	pos  settings.Pos
	path string
	name string // of the section
	uri  pkcs11uri.URI
	pin  []byte
}

// tokenOf reads handle, slot and module of a section. ok is false when it names
// nothing on a token.
func (v *view) tokenOf(sub *view) (k tokenKey, ok bool) {
	handle, pos := sub.get("handle")
	if handle == "" {
		return k, false
	}
	k.pos, k.path, k.name = pos, sub.path, sub.sec.Name
	id, err := hex.DecodeString(strings.ReplaceAll(handle, ":", ""))
	if err != nil || len(id) == 0 || len(id) > 255 {
		v.malformed(pos, sub.field("handle"), "%s is not a CKA_ID in hexadecimal", shown(handle))
		return k, false
	}
	k.uri.ID = id
	if slot, pos := sub.get("slot"); slot != "" {
		n, err := strconv.ParseUint(slot, 10, 64)
		if err != nil {
			v.malformed(pos, sub.field("slot"), "%s is not the number of a slot", shown(slot))
			return k, false
		}
		k.uri.Slot = &n
	}
	if module, pos := sub.get("module"); module != "" {
		v.note(pos, sub.field("module"), "which PKCS #11 modules are loaded is set for the service (sallyportd run --pkcs11-module); all are looked through")
	}
	return k, true
}

// tokenKeys returns the sections token* of secrets.
func (v *view) tokenKeys() (out []tokenKey) {
	all := v.im.tree.Section("secrets")
	if all == nil {
		return nil
	}
	for _, sec := range all.Sections {
		if !strings.HasPrefix(sec.Name, "token") {
			continue
		}
		sub := v.view(sec, "secrets."+plain(sec.Name))
		k, ok := v.tokenOf(sub)
		if !ok {
			continue
		}
		if pin, pos := sub.get("pin"); pin != "" {
			if err := checkPIN([]byte(pin)); err != nil {
				v.malformed(pos, sub.field("pin"), "%v", err)
				continue
			}
			k.pin = []byte(pin)
		}
		out = append(out, k)
	}
	return out
}

// certOnToken finds the section cert* of this end that names a certificate on a
// token, and with it its key.
func (v *view) certOnToken() bool {
	for _, s := range v.sec.Sections {
		if !strings.HasPrefix(s.Name, "cert") {
			continue
		}
		k, ok := v.tokenOf(v.view(s, v.field(s.Name)))
		if !ok {
			continue
		}
		for _, o := range v.tokenKeys() {
			if bytes.Equal(o.uri.ID, k.uri.ID) {
				k.pin, k.name = o.pin, o.name
			}
		}
		v.useToken(&k)
		v.b.Auth = onToken
		return true
	}
	return false
}

// namesCertificate reports whether a section of this end names its certificate.
func (v *view) namesCertificate() bool {
	return slices.ContainsFunc(v.sec.Sections, func(s *settings.Section) bool { return strings.HasPrefix(s.Name, "cert") })
}

// useToken makes the key of a token that of this end.
func (v *view) useToken(k *tokenKey) {
	local := &v.b.Connection.Local
	local.Token = k.uri.String()
	if v.im.tokens == nil {
		v.im.tokens = map[string]bool{}
	}
	v.im.tokens[k.name] = true
	if k.pin != nil {
		local.PIN = pinName(v.b.Connection.Name)
		v.b.Secrets[local.PIN] = bytes.Clone(k.pin)
	}
}

// keyOnToken takes the key of a token for certificates that are in files, where
// no private key is.
func (v *view) keyOnToken(leaves []certFile) bool {
	keys := v.tokenKeys()
	switch {
	case len(keys) == 0:
		return false
	case len(keys) > 1 || len(leaves) > 1:
		v.refuse(keys[0].pos, keys[0].path, "which key on a token belongs to which certificate is not known; leave one of each, or name the certificate on the token in a cert section")
		return true
	}
	v.useToken(&keys[0])
	v.b.addChain(leaves[0].name, leaves[0].certs)
	v.b.Auth += ", " + onToken
	return true
}
