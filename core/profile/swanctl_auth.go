package profile

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sallyport/core/ike/auth"
	"sallyport/core/profile/settings"
)

// localKeys and remoteKeys are the settings of an authentication round that
// have no counterpart here.
var localKeys = map[string]treatment{
	"round":    {any: true}, // there is one
	"pubkeys":  {why: "raw public keys are not supported yet; a certificate is needed", refuse: true},
	"aaa_id":   {why: "is for EAP"}, // used there
	"eap_id":   {why: "is for EAP"},
	"xauth_id": {why: "is for IKEv1"},
}

var remoteKeys = map[string]treatment{
	"round":       {any: true},
	"eap_id":      {why: "is for EAP"},
	"xauth_id":    {why: "is for IKEv1"},
	"groups":      {why: "limiting peers to groups is not supported yet", refuse: true},
	"cert_policy": {why: "demanding a certificate policy is not supported yet", refuse: true},
	"ca_id":       {why: "demanding an authority by its identity is not supported yet; name its certificate in cacerts", refuse: true},
	"certs":       {why: "accepting single certificates of the peer is not supported yet; name its authority in cacerts", refuse: true},
	"pubkeys":     {why: "raw public keys are not supported yet; a certificate is needed", refuse: true},
	"revocation":  {same: []string{"relaxed", "strict"}, why: "this demand is not known; strict and relaxed are", refuse: true},
}

// ends reads the sections local* and remote*.
func (v *view) ends() (local, remote *view) {
	local, remote = v.end("local"), v.end("remote")
	if len(v.errs) > 0 {
		return local, remote
	}
	v.b.Connection.Local = local.auth(true)
	v.b.Connection.Remote = remote.auth(false)
	if v.second != nil {
		if v.b.Connection.Local.Method != MethodCertificate {
			v.refuse(v.second.sec.Pos, v.second.path, "a second authentication round is supported after a certificate only")
		}
		v.second.eap(&v.b.Connection.Local)
	}
	return local, remote
}

// end returns the one section of an end. Without one strongSwan's defaults
// hold: a certificate.
func (v *view) end(prefix string) *view {
	var found *settings.Section
	for _, s := range v.sec.Sections {
		if !strings.HasPrefix(s.Name, prefix) {
			continue
		}
		if auth := s.Key("auth"); found != nil && prefix == "local" && v.second == nil && auth != nil && strings.HasPrefix(strings.ToLower(auth.Value), "eap") {
			v.second = v.view(s, v.field(s.Name))
			continue
		}
		if found != nil {
			v.refuse(s.Pos, v.field(s.Name), "a second authentication round is not supported yet")
			return v.view(s, v.field(s.Name))
		}
		found = s
	}
	if found == nil {
		found = &settings.Section{Pos: v.sec.Pos, Name: prefix}
	}
	return v.view(found, v.field(found.Name))
}

// auth reads how an end authenticates, and as whom.
func (v *view) auth(local bool) (a Auth) {
	method, pos := v.get("auth")
	lower := strings.ToLower(method)
	switch {
	case lower == "psk":
		a.Method = MethodPSK
	case strings.HasPrefix(lower, "eap") && local && !v.b.Connection.IsResponder():
		a.Method = MethodEAP
	case strings.HasPrefix(lower, "eap"):
		v.refuse(pos, v.field("auth"), "asking peers with EAP is not supported yet")
	case strings.HasPrefix(lower, "xauth"):
		v.refuse(pos, v.field("auth"), "XAuth belongs to IKEv1, which is not supported yet")
	default:
		a.Method = MethodCertificate
		schemes, err := signatures(lower)
		if err != nil {
			v.refuse(pos, v.field("auth"), "%v", err)
		}
		a.Signatures = schemes
		if !local && len(schemes) > 0 && strings.Contains(lower, "sha") && !strings.HasPrefix(lower, "ike:") {
			v.note(pos, v.field("auth"), "the hash is demanded of the peer's proof of identity; within its certificates SHA-256 or stronger is")
		}
	}
	id, pos := v.get("id")
	if a.Method == MethodEAP {
		defer v.eap(&a)
	}
	if id == "" || id == "%any" || id == "%any4" || id == "%any6" {
		return a
	}
	parsed, err := auth.ParseIdentity(id)
	switch {
	case err != nil || !clean(id):
		v.malformed(pos, v.field("id"), "%s is not an identity", shown(id))
	case local && parsed.IsAny():
		return a
	default:
		a.ID = id
	}
	return a
}

// eap reads how a user answers. The identity within EAP is eap_id, or else that
// of the end.
func (v *view) eap(a *Auth) {
	method, pos := v.get("auth")
	switch m, _, _ := strings.Cut(strings.TrimPrefix(strings.ToLower(method), "eap-"), ":"); {
	case strings.EqualFold(method, "eap"), m == "dynamic":
	case eapMethods[m] != 0:
		a.EAP.Methods = []string{m}
	default:
		v.refuse(pos, v.field("auth"), "%s is not supported; of EAP there are mschapv2, gtc, tls, ttls and peap", shown(method))
	}
	user, pos := v.get("eap_id")
	if user == "" || user == "%any" || user == "%identity" {
		if user, pos = v.get("id"); user == "" {
			user = a.ID
		}
	}
	if a.User = user; user == "" || strings.HasPrefix(user, "%") {
		v.refuse(pos, v.field("eap_id"), "the name of the user is missing")
	}
	if server, _ := v.get("aaa_id"); server != "" && server != "%any" {
		a.EAP.Server = server
	}
}

// password finds the password of the user, as strongSwan does: by the user's
// name. Without one the user is asked.
func (v *view) password() {
	p := &v.b.Connection
	name := passwordName(p.Name)
	if all := v.im.tree.Section("secrets"); all != nil {
		for _, sec := range all.Sections {
			if !strings.HasPrefix(sec.Name, "eap") && !strings.HasPrefix(sec.Name, "xauth") {
				continue
			}
			secret, owners, mine := sec.Key("secret"), 0, false
			for _, k := range sec.Keys {
				if strings.HasPrefix(k.Name, "id") && k.Value != "" {
					owners++
					mine = mine || strings.EqualFold(k.Value, p.Local.User)
				}
			}
			if secret == nil || owners > 0 && !mine {
				continue
			}
			value, err := decodeSecret(secret.Value)
			if err != nil || len(value) == 0 || len(value) > maxPSK {
				v.malformed(secret.Pos, "secrets."+plain(sec.Name), "the password cannot be read")
				return
			}
			p.Local.Secret, v.b.Secrets[name] = name, value
			return
		}
	}
	if pw := v.im.req.Password; len(pw) > 0 && len(pw) <= maxPSK && p.Local.Key == "" { // else it opens the key
		p.Local.Secret, v.b.Secrets[name] = name, bytes.Clone(pw)
	}
}

// signatures translates "pubkey", "rsa-sha256", "rsa/pss-sha384-sha512",
// "ecdsa-256-sha256", "ike:pubkey-sha256" into signature schemes; none means
// the default.
func signatures(s string) ([]string, error) {
	var kinds, hashes []string
	last := ""
	for word := range strings.SplitSeq(s, "-") {
		word = strings.TrimPrefix(word, "ike:")
		switch {
		case word == "" || word == "pubkey" || word == "any":
		case word == "rsa" || word == "rsa/pss" || word == "ecdsa" || word == "ed25519":
			kinds = append(kinds, word)
		case has([]string{"sha1", "sha256", "sha384", "sha512", "identity"}, word):
			hashes = append(hashes, word)
		default:
			// A number is the least size of the key before it.
			least := map[string]int{"rsa": 2048, "rsa/pss": 2048, "ecdsa": 256}[last]
			if n, err := strconv.Atoi(word); err != nil || n > least {
				return nil, fmt.Errorf("authentication by %s is not supported", shown(s))
			}
		}
		last = word
	}
	if len(kinds) == 0 && len(hashes) == 0 {
		return nil, nil
	}
	if len(kinds) == 0 {
		kinds = []string{"rsa/pss", "rsa", "ecdsa"}
		if has(hashes, "identity") {
			kinds = append(kinds, "ed25519")
		}
	}
	var out []string
	for _, kind := range kinds {
		for _, scheme := range schemes(kind, hashes) {
			if !has(out, scheme) {
				out = append(out, scheme)
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("authentication by %s leaves no signature that is supported", shown(s))
	}
	return out, nil
}

// schemes returns the signature schemes of one kind of key with one of the
// hashes, or with any that is not weak.
func schemes(kind string, hashes []string) []string {
	if kind == "ed25519" {
		return []string{kind} // its hash is part of it
	}
	prefixes := map[string][]string{"rsa": {"rsa-"}, "rsa/pss": {"rsa-pss-"}, "ecdsa": {"ecdsa-"}}[kind]
	if len(hashes) == 0 {
		hashes = []string{"sha256", "sha384", "sha512"}
		if kind == "rsa" {
			prefixes = []string{"rsa-pss-", "rsa-"} // alone it limits the key, not the padding
		}
	}
	var out []string
	for _, p := range prefixes {
		for _, h := range hashes {
			if _, err := auth.ParseScheme(p + h); err == nil {
				out = append(out, p+h)
			}
		}
	}
	return out
}

// localEnd finds the credentials of our own end.
func (v *view) localEnd() {
	p := &v.b.Connection
	if v.second != nil {
		v.second.rest(localKeys)
	}
	switch certs, _ := v.get("certs"); {
	case p.Local.Method == MethodPSK:
		p.Local.Secret = pskName(p.Name)
		v.psk(p.Local.Secret)
		if s, pos := v.get("certs"); s != "" {
			v.note(pos, v.field("certs"), "is not used with a pre-shared key")
		}
	case p.Local.Method == MethodCertificate, (certs != "" || v.namesCertificate()) && (len(p.Local.EAP.Methods) == 0 || slices.Equal(p.Local.EAP.Methods, []string{"tls"})):
		v.credential()
	}
	if p.Local.UsesEAP() && !slices.Equal(p.Local.EAP.Methods, []string{"tls"}) {
		v.password()
	}
	v.rest(localKeys)
	v.sections(func(n string) bool { return strings.HasPrefix(n, "cert") })
}

// remoteEnd finds what the other end's proof is checked with.
func (v *view) remoteEnd() {
	p := &v.b.Connection
	switch {
	case p.Remote.Method == MethodCertificate:
		v.authorities()
		if s, _ := v.get("revocation"); s == RevocationStrict {
			p.Remote.Revocation = RevocationStrict
		}
		delete(v.used, "revocation") // rest judges what else it says
	case p.Local.Method != MethodPSK:
		p.Remote.Secret = remotePSKName(p.Name)
		v.psk(p.Remote.Secret)
	}
	if p.Remote.Method == MethodPSK {
		if s, pos := v.get("cacerts"); s != "" {
			v.note(pos, v.field("cacerts"), "is not used with a pre-shared key")
		}
		v.used["revocation"] = true // there is no certificate to revoke
	}
	for _, s := range v.sec.Sections {
		if strings.HasPrefix(s.Name, "cert") {
			v.refuse(s.Pos, v.field(s.Name), "%s", remoteKeys["certs"].why)
		}
	}
	v.rest(remoteKeys)
	v.sections(func(n string) bool { return strings.HasPrefix(n, "cert") || strings.HasPrefix(n, "cacert") })
}
