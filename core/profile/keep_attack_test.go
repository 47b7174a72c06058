package profile

import (
	"maps"
	"strings"
	"testing"

	"sallyport/core/api"
)

const userProfile = `version = 1
name = "home"
gateways = ["vpn.example.com"]
[local]
method = "eap"
user = "alice"
[remote]
method = "certificate"
id = "vpn.example.com"
cas = ["x509ca/ca-ecdsa.crt"]
[[children]]
name = "net"
`

// A file that somebody sends cannot turn a stored password over to another
// gateway, or to another server behind it: then it is asked for.
func TestReplaceKeepsPasswordsFromOthers(t *testing.T) {
	all := maps.Clone(pkiFixture())
	all["other.crt"] = all["x509ca/ca-rsa.crt"]
	all["same.crt"] = all["x509ca/ca-ecdsa.crt"]
	all["both.crt"] = append(append([]byte(nil), all["x509ca/ca-ecdsa.crt"]...), all["other.crt"]...)
	all["guessed"] = []byte("a key that the sender knows as well")
	if len(all["other.crt"]) == 0 || len(all["same.crt"]) == 0 {
		t.Fatal("the fixture lacks authorities")
	}
	for _, tt := range []struct {
		name  string
		edit  []string
		first []string // edits of what is stored
		keeps bool
	}{
		{name: "nothing", keeps: true},
		{name: "another address of the same gateway", edit: []string{`["vpn.example.com"]`, `["vpn2.example.com"]`}, keeps: true},
		{name: "the authority under another name", edit: []string{"x509ca/ca-ecdsa.crt", "same.crt"}, keeps: true},
		{name: "other traffic", edit: []string{`name = "net"`, `name = "net"` + "\nremote_ts = [\"10.0.0.0/8\"]"}, keeps: true},
		{name: "another identity", edit: []string{`id = "vpn.example.com"`, `id = "evil.example.com"`}},
		{name: "any identity", edit: []string{`id = "vpn.example.com"`, `id = "*.example.com"`}},
		{name: "another authority", edit: []string{"x509ca/ca-ecdsa.crt", "other.crt"}},
		{name: "one more authority", edit: []string{"x509ca/ca-ecdsa.crt", "both.crt"}},
		{name: "fewer authorities", first: []string{"x509ca/ca-ecdsa.crt", "both.crt"}, keeps: true},
		{name: "the system's authorities", edit: []string{`cas = ["x509ca/ca-ecdsa.crt"]`, ""}},
		{name: "a pre-shared key", edit: []string{"method = \"certificate\"", "method = \"psk\"\nsecret = \"guessed\"", `cas = ["x509ca/ca-ecdsa.crt"]`, ""}},
		{name: "revoked certificates", edit: []string{"id = \"vpn", "revocation = \"off\"\nid = \"vpn"}},
		{name: "weak certificates", edit: []string{"id = \"vpn", "weak_certificates = true\nid = \"vpn"}},
		{name: "revocation to be known", edit: []string{"id = \"vpn", "revocation = \"strict\"\nid = \"vpn"}, keeps: true},
		{name: "another server within", edit: []string{"[remote]", "[local.eap]\nserver = \"evil.example.com\"\n[remote]"}},
		{name: "EAP alone", edit: []string{"[remote]", "[local.eap]\nonly = true\n[remote]"}},
		{name: "another user", edit: []string{`user = "alice"`, `user = "bob"`}},
		{name: "another address of any gateway", first: []string{`id = "vpn.example.com"`, `id = "*.example.com"`},
			edit: []string{`id = "vpn.example.com"`, `id = "*.example.com"`, `["vpn.example.com"]`, `["evil.example.com"]`}},
	} {
		st, _, _, secrets := newStore()
		b, err := imports(t, strings.NewReplacer(tt.first...).Replace(userProfile), "s3cret", false, all)
		if err == nil {
			err = st.Save(b, false)
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, messages(err))
			continue
		}
		if b, err = imports(t, strings.NewReplacer(tt.edit...).Replace(userProfile), "", true, all); err == nil {
			err = st.Complete(&b)
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, messages(err))
			continue
		}
		kept := string(b.Secrets[b.Connection.Local.Secret]) == "s3cret"
		if kept != tt.keeps || !kept && (b.Connection.Local.Secret != "" || !strings.Contains(strings.Join(b.Warnings, "\n"), "password")) {
			t.Errorf("%s: kept %t, as %q; warnings %q", tt.name, kept, b.Connection.Local.Secret, b.Warnings)
		}
		if err := st.Save(b, true); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if !kept && len(secrets.files["home+password"]) > 0 {
			t.Errorf("%s: the password is still stored", tt.name)
		}
	}
}

// A pre-shared key does not become a password, which is sent, nor the other way
// round.
func TestReplaceTakesNoSecretForAnother(t *testing.T) {
	psk := edit(t, `secret = "home+psk"`, "")
	for _, tt := range []struct{ name, first, second string }{
		{"PSK for a password", psk, userProfile},
		{"password for a PSK", userProfile, psk},
	} {
		st, _, _, _ := newStore()
		b, err := imports(t, tt.first, "a secret of some length", false, pkiFixture())
		if err == nil {
			err = st.Save(b, false)
		}
		if err == nil {
			b, err = imports(t, tt.second, "", true, pkiFixture())
		}
		if err == nil {
			err = st.Complete(&b)
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, messages(err))
		} else if b.Connection.Local.Secret != "" || len(b.Secrets) > 0 {
			t.Errorf("%s: kept as %q", tt.name, b.Connection.Local.Secret)
		}
	}
}

// What is shared with RADIUS servers does not go to others, who would learn from
// what is sealed with it.
func TestReplaceKeepsRADIUSSecretFromOthers(t *testing.T) {
	files := maps.Clone(pkiFixture())
	files["radius.secret"] = []byte("what is shared with RADIUS servers")
	stored := `version = 1
name = "home"
role = "responder"
[local]
method = "certificate"
certificates = ["x509/alice-inter.crt", "x509/inter.crt"]
key = "private/alice-inter.key"
[remote]
method = "eap"
[remote.radius]
servers = ["10.0.0.1", "10.0.0.2"]
secret = "radius.secret"
[[children]]
name = "net"
`
	without := strings.Replace(stored, "secret = \"radius.secret\"\n", "", 1)
	for servers, want := range map[string]string{
		`["10.0.0.1", "10.0.0.2"]`:      "",
		`["10.0.0.2"]`:                  "",
		`["10.0.0.2:1812"]`:             "",
		`["10.0.0.1", "203.0.113.9"]`:   "remote.radius.secret",
		`["10.0.0.1:1645", "10.0.0.2"]`: "remote.radius.secret",
	} {
		st, _, _, _ := newStore()
		b, err := imports(t, stored, "", false, files)
		if err == nil {
			err = st.Save(b, false)
		}
		if err == nil {
			b, err = imports(t, strings.Replace(without, `["10.0.0.1", "10.0.0.2"]`, servers, 1), "", true, files)
		}
		if err == nil {
			err = st.Complete(&b)
		}
		if got := messages(err); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %s; want %q", servers, got, want)
		}
	}
}

// A pre-shared key that many know proves no gateway to their users.
func TestWarningOfSharedGateways(t *testing.T) {
	for _, role := range []string{"initiator", "responder"} {
		c := Connection{Role: role, Local: Auth{Method: MethodEAP, User: "alice"}, Remote: Auth{Method: MethodPSK}}
		if c.IsResponder() {
			c.Local, c.Remote = Auth{Method: MethodPSK}, Auth{Method: MethodEAP}
		}
		if got := strings.Join(Warnings(&c), "\n"); !strings.Contains(got, "pre-shared key") {
			t.Errorf("%s: %q", role, got)
		}
		c.Remote.Method, c.Local.Method = MethodCertificate, MethodCertificate
		if got := strings.Join(Warnings(&c), "\n"); strings.Contains(got, "pre-shared key") {
			t.Errorf("%s with certificates: %q", role, got)
		}
	}
}

// The passphrase that opens a key of swanctl's is not the user's password.
func TestPassphraseIsNoPassword(t *testing.T) {
	files := maps.Clone(pkiFixture())
	files["private/alice-inter.key"] = lockedKey(t)
	conf := `connections { home { remote_addrs = vpn.example.com
	  local-1 { auth = pubkey
	    certs = alice-inter.crt, inter.crt }
	  local-2 { auth = eap
	    eap_id = alice }
	  remote { auth = pubkey
	    id = vpn.example.com
	    cacerts = ca-ecdsa.crt }
	  children { net { } } } }
	`
	res, err := answer(t, api.ImportRequest{Files: []api.File{{Path: "/etc/swanctl/swanctl.conf", Data: []byte(conf)}}, Password: []byte("open sesame")}, "/etc/swanctl", files)
	if err != nil {
		t.Fatal(messages(err))
	}
	b := res.Bundles[0]
	for name, secret := range b.Secrets {
		if string(secret) == "open sesame" {
			t.Errorf("the passphrase is stored as %s", name)
		}
	}
	if b.Connection.Local.Secret != "" {
		t.Errorf("a password is stored as %q", b.Connection.Local.Secret)
	}
}
