package draft_test

// What a draft hands over is judged by the reader that the service itself
// uses: only the tests may reach it, the programs of app know the contract alone.

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"sallyport/app/draft"
	"sallyport/core/api"
	"sallyport/core/profile"
)

// files are certificates and keys to draft with.
var files = sync.OnceValue(func() (f struct{ ca, cert, key, both, sealed, otherKey, der, p12 []byte }) {
	make := func(name string, issuer *x509.Certificate, by crypto.Signer) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(4e9, 0),
			IsCA: issuer == nil, BasicConstraintsValid: true, DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
		if issuer == nil {
			issuer, by = t, key
		}
		der, err := x509.CreateCertificate(rand.Reader, t, issuer, key.Public(), by)
		must(err)
		cert, err := x509.ParseCertificate(der)
		must(err)
		return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	caCert, caKey, ca := make("ca", nil, nil)
	cert, key, certPEM := make("alice", caCert, caKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	other, err := x509.MarshalPKCS8PrivateKey(caKey)
	must(err)
	//lint:ignore SA1019 OpenSSL still writes such files
	sealed, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", must1(x509.MarshalECPrivateKey(key)), []byte("opensesame"), x509.PEMCipherAES256)
	must(err)
	f.ca, f.cert, f.der = ca, certPEM, cert.Raw
	f.key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	f.otherKey = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: other})
	f.sealed = pem.EncodeToMemory(sealed)
	f.p12 = must1(pkcs12.Modern2023.Encode(key, cert, []*x509.Certificate{caCert}, "opensesame"))
	f.both = slices.Concat(f.key, certPEM, ca)
	return f
})

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func must1[T any](v T, err error) T { must(err); return v }

func file(name string, data []byte) *draft.File { f := draft.NewFile(name, data); return &f }

// full returns a complete draft with certificates.
func full() *draft.Draft {
	d := draft.New()
	d.Name, d.Gateways = "office", []string{" vpn.example.com ", "", "VPN.example.com:4500"}
	d.Certificate, d.Key = file("/home/a/alice.crt", files().cert), file(`C:\keys\alice.crt`, files().key)
	d.CAs = []draft.File{draft.NewFile("ca*[1].pem", files().ca), draft.NewFile("ca*[1].pem", files().ca)}
	return d
}

func read(t *testing.T, d *draft.Draft) *profile.Bundle {
	t.Helper()
	res, err := profile.Import(d.Request(true))
	if err != nil {
		t.Fatalf("the service refuses it: %v\n%s", err, d.Text())
	}
	if len(res.Missing) > 0 || len(res.Bundles) != 1 {
		t.Fatalf("missing %q, %d connections\n%s", res.Missing, len(res.Bundles), d.Text())
	}
	return &res.Bundles[0]
}

func TestDraftIsWhatTheServiceReads(t *testing.T) {
	with := func(change func(*draft.Draft)) *draft.Draft { d := full(); change(d); return d }
	for name, d := range map[string]*draft.Draft{
		"certificate": full(),
		"one file": with(func(d *draft.Draft) {
			d.Certificate, d.Key = file("alice.pem", files().both), nil
		}),
		"container": with(func(d *draft.Draft) {
			d.Certificate, d.Key, d.Secret = file("alice.p12", files().p12), nil, "opensesame"
		}),
		"container asked": with(func(d *draft.Draft) {
			d.Certificate, d.Key, d.Secret, d.Ask = file("alice.p12", files().p12), nil, "opensesame", true
		}),
		"der":     with(func(d *draft.Draft) { d.Certificate = file("alice.der", files().der) }),
		"sealed":  with(func(d *draft.Draft) { d.Key, d.Secret = file("alice.key", files().sealed), "opensesame" }),
		"asked":   with(func(d *draft.Draft) { d.Key, d.Ask = file("alice.key", files().sealed), true }),
		"system":  with(func(d *draft.Draft) { d.SystemTrust = true }),
		"ids":     with(func(d *draft.Draft) { d.LocalID, d.RemoteID = "alice@example.com", "*.example.com" }),
		"several": with(func(d *draft.Draft) { d.Gateways, d.RemoteID = []string{"a.example.com", "[2001:db8::1]:4500"}, "%any" }),
		"psk": with(func(d *draft.Draft) {
			d.Method, d.Secret, d.LocalID = draft.PSK, "ein \"Schlüssel\" \\ mit #allem", `C=CH, O="Example, Inc.", CN=alice`
		}),
		"user": with(func(d *draft.Draft) {
			d.Method, d.User, d.Password = draft.User, "alice", "opensesame"
			d.EAP = draft.EAP{Methods: []string{"ttls"}, Inner: []string{"pap"}, Anonymous: "anonymous", Server: "radius.example.com"}
		}),
		"user asked": with(func(d *draft.Draft) { d.Method, d.User, d.AskPassword = draft.User, "alice", true }),
		"both": with(func(d *draft.Draft) {
			d.Method, d.User, d.Password, d.Key, d.Secret = draft.Both, "alice", "password", file("alice.key", files().sealed), "opensesame"
		}),
		"EAP-TLS": with(func(d *draft.Draft) { d.Through, d.User = true, "alice" }),
		"token": with(func(d *draft.Draft) {
			d.OnToken, d.Token, d.Ask, d.Secret = true, "pkcs11:token=Alice;id=%01", true, "4711-0815"
		}),
		"token in EAP-TLS": with(func(d *draft.Draft) {
			d.OnToken, d.Token, d.Ask, d.Through, d.User = true, "pkcs11:token=Alice;id=%01", true, true, "alice"
		}),
		"token and user": with(func(d *draft.Draft) {
			d.Method, d.OnToken, d.Token, d.Ask, d.User, d.Password = draft.Both, true, "pkcs11:token=Alice;id=%01", true, "alice", "password"
		}),
		"psk asked": with(func(d *draft.Draft) { d.Method, d.Ask = draft.PSK, true }),
		"networks": with(func(d *draft.Draft) {
			d.All, d.Networks = false, []string{"10.0.0.0/8", " 192.0.2.7", "", "fd00::/8", "10.9.0.1-10.9.0.7", "10.0.0.0/8[tcp/443]"}
			d.Addresses = nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			if f := d.Check(); len(f) > 0 {
				t.Fatalf("faults: %v", f)
			}
			b := read(t, d)
			c := b.Connection
			if c.Name != d.Name || c.PolicyProfile() != d.Profile || c.Local.Method != own(d) || c.Remote.Method != other(d) {
				t.Errorf("it becomes %+v", c)
			}
			if c.Local.ID != d.LocalID || c.Remote.ID != d.GatewayID() || c.Local.Ask != d.Ask || !slices.Equal(c.VirtualIPs, d.Addresses) {
				t.Errorf("it becomes %+v", c)
			}
			if d.All != (len(c.Children[0].RemoteTS) == 0) {
				t.Errorf("all is %t, and remote_ts %q", d.All, c.Children[0].RemoteTS)
			}
			if c.Local.User != d.User || d.Password != "" && string(b.Secrets[c.Local.Secret]) != d.Password || d.AskPassword && c.Local.Secret != "" {
				t.Errorf("the user becomes %+v", c.Local)
			}
			if again, err := draft.Parse(d.Text()); err != nil || again.Method != d.Method || again.Through != d.Through || again.User != d.User ||
				again.AskPassword != d.AskPassword || !reflect.DeepEqual(again.EAP, d.EAP) {
				t.Errorf("read again it is %+v, %v", again, err)
			}
			if c.Local.Token != d.Token || d.OnToken && (c.Local.PIN != "" || c.Local.Key != "" || len(c.Local.Certificates) > 0) {
				t.Errorf("the token becomes %+v", c.Local)
			}
			if again, err := draft.Parse(d.Text()); err != nil || again.OnToken != d.OnToken || again.Token != d.Token {
				t.Errorf("read again the token is %+v, %v", again, err)
			}
			if d.Method == draft.PSK && !d.Ask && string(b.Secrets[c.Local.Secret]) != d.Secret {
				t.Errorf("the key is %q", b.Secrets)
			}
			if want := len(d.CAs); d.Method == draft.Certificate && !d.SystemTrust && len(c.Remote.CAs) != want {
				t.Errorf("authorities %q", c.Remote.CAs)
			}
			if s := string(d.Text()); d.Secret != "" && strings.Contains(s, d.Secret) {
				t.Errorf("a secret is in the text:\n%s", s)
			}
		})
	}
}

// own and other are the methods of the two ends as a profile says them.
func own(d *draft.Draft) string {
	if d.Through {
		return profile.MethodEAP
	}
	return strings.TrimSuffix(string(d.Method), "+eap")
}

func other(d *draft.Draft) string {
	if d.Method == draft.PSK {
		return profile.MethodPSK
	}
	return profile.MethodCertificate
}

// TestEditKeepsTheRest changes one thing of a profile that has everything.
func TestEditKeepsTheRest(t *testing.T) {
	text := `version = 1
name = "work"
profile = "require"
gateways = ["vpn.example.com", "192.0.2.1:4500"]
virtual_ips = ["10.1.2.3"]
[local]
method = "certificate"
certificates = ["alice.crt"]
signatures = ["ecdsa-sha256"]
[remote]
method = "certificate"
id = "vpn.example.com"
cas = ["ca.crt"]
[ike]
proposals = ["aes256gcm16-prfsha384-ecp384", "default"]
liveness_delay = "20s"
retransmit_tries = 3
unique = true
[[children]]
name = "one"
rekey_bytes = 9007199254740993
remote_ts = ["10.0.0.0/8"]
[[children]]
name = "two"
remote_ts = ["172.16.0.0/12[udp/53]"]
[dns]
only = ["example.com"]
`
	d, err := draft.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if f := d.Check(); len(f) > 0 {
		t.Fatalf("faults: %v", f)
	}
	beside := []api.File{{Path: "alice.crt", Data: files().cert}, {Path: "ca.crt", Data: files().ca}}
	imported := func(text []byte) *profile.Connection {
		t.Helper()
		res, err := profile.Import(api.ImportRequest{Files: append([]api.File{{Path: "work.toml", Data: text}}, beside...), Replace: true})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return &res.Bundles[0].Connection
	}
	before, same := imported([]byte(text)), imported(d.Text())
	if !reflect.DeepEqual(before, same) {
		t.Errorf("without a change it becomes\n%+v, was\n%+v", same, before)
	}
	d.Networks = []string{"10.0.0.0/9"}
	after := imported(d.Text())
	before.Children[0].RemoteTS = []string{"10.0.0.0/9"}
	if !reflect.DeepEqual(before, after) {
		t.Errorf("with a change it becomes\n%+v, want\n%+v", after, before)
	}
	d.Method, d.Secret = draft.PSK, "another kind of proof"
	if c := imported(d.Text()); len(c.Local.Signatures)+len(c.Local.Certificates)+len(c.Remote.CAs) > 0 || c.IKE.RetransmitTries != 3 {
		t.Errorf("with a key it becomes %+v", c)
	}
}

// TestEditOfAnExport changes what an export says, with its certificates within
// and its key left out: the service keeps both.
func TestEditOfAnExport(t *testing.T) {
	quoted := func(label string, data []byte) string { return "['''" + label + "\n" + string(data) + "''']" }
	text := "version = 1\nname = \"work\"\ngateways = [\"vpn.example.com\"]\n[local]\nmethod = \"certificate\"\ncertificates = " + quoted("alice", files().cert) +
		"\n[remote]\nmethod = \"certificate\"\nid = \"vpn.example.com\"\ncas = " + quoted("company", files().ca) + "\n[[children]]\nname = \"net\"\n"
	d, err := draft.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if c, a := d.StoredCertificate(), d.StoredCAs(); len(c) != 1 || len(a) != 1 || c[0].Name != "alice" || len(draft.Inspect(a[0].Data).Certificates) != 1 {
		t.Errorf("stored are %v and %v", c, a)
	}
	d.Gateways = []string{"other.example.com"}
	if f := d.Check(); len(f) > 0 {
		t.Fatalf("faults: %v", f)
	}
	b := read(t, d)
	if !b.Keep.Key || len(b.Connection.Local.Certificates) != 1 || len(b.Connection.Remote.CAs) != 1 || b.Connection.Gateways[0] != "other.example.com" || b.Connection.Remote.ID != "vpn.example.com" {
		t.Errorf("it becomes %+v, keeping %+v", b.Connection, b.Keep)
	}
	d.CAs = []draft.File{draft.NewFile("new.pem", files().ca)}
	d.Certificate, d.Key = file("new.crt", files().cert), file("new.key", files().key)
	if b := read(t, d); b.Keep.Key || len(b.Secrets) != 1 {
		t.Errorf("it keeps %+v", b.Keep)
	}
	if s := string(d.WithoutCertificates()); strings.Contains(s, "BEGIN CERT") || !strings.Contains(s, "other.example.com") {
		t.Errorf("without certificates:\n%s", s)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]error{
		"":      draft.ErrMalformed,
		"x = [": draft.ErrMalformed,
		"version = 2\n[local]\nmethod = \"psk\"\n[remote]\nmethod = \"psk\"": draft.ErrMalformed,
		"version = 1\ngateways = 3":                    draft.ErrMalformed,
		"version = 1\nchildren = [1]":                  draft.ErrMalformed,
		"version = 1\nlocal = \"x\"":                   draft.ErrMalformed,
		"version = 1\n[local]\nid = 3":                 draft.ErrMalformed,
		"version = 1\n[[children]]\nremote_ts = \"x\"": draft.ErrMalformed,
		"version = 1\nrole = \"responder\"\n[local]\nmethod = \"psk\"\n[remote]\nmethod = \"psk\"":           draft.ErrResponder,
		"version = 1\n[local]\nmethod = \"eap\"\ncertificates = [\"a\"]\n[remote]\nmethod = \"certificate\"": draft.ErrMethods,
		"version = 1\n[local]\nmethod = \"eap\"\n[local.eap]\nmethods = 1":                                   draft.ErrMalformed,
		"version = 1\n[local]\nmethod = \"psk\"\n[remote]\nmethod = \"certificate\"":                         draft.ErrMethods,
		"version = 1\n[local]\nmethod = \"eap\"\n[remote]\nmethod = \"eap\"":                                 draft.ErrMethods,
		"version = 1\n[local]\nmethod = \"psk\"\n[remote]\nmethod = \"psk\"\n#" + strings.Repeat("x", 8<<20): draft.ErrMalformed,
	} {
		if _, err := draft.Parse([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want.Error()) {
			t.Errorf("%.60q: %v, want %v", text, err, want)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*draft.Draft)
		want   string
	}{
		{"no gateway", func(d *draft.Draft) { d.Gateways = []string{" "} }, "gateways[0]: missing"},
		{"a space", func(d *draft.Draft) { d.Gateways[0] = "vpn example" }, "gateways[0]: not_gateway vpn example"},
		{"a URL", func(d *draft.Draft) { d.Gateways[1] = "https://vpn.example.com/" }, "gateways[1]: not_gateway"},
		{"port", func(d *draft.Draft) { d.Gateways[0] = "vpn.example.com:99999" }, "gateways[0]: bad_port"},
		{"IPv6 port", func(d *draft.Draft) { d.Gateways[0] = "[2001:db8::1]:x" }, "gateways[0]: bad_port"},
		{"twice", func(d *draft.Draft) { d.Gateways[1] = "VPN.example.com" }, "gateways[1]: twice"},
		{"17 gateways", func(d *draft.Draft) {
			for i := range 16 {
				d.Gateways = append(d.Gateways, "vpn.example.com:"+string(rune('1'+i%9))+string(rune('0'+i/9)))
			}
		}, "gateways[16]: too_many"},
		{"no certificate", func(d *draft.Draft) { d.Certificate = nil }, "local.certificates: missing"},
		{"no certificate in it", func(d *draft.Draft) { d.Certificate = file("a", files().key) }, "local.certificates: no_certificate a"},
		{"no key", func(d *draft.Draft) { d.Key = nil }, "local.key: missing"},
		{"no key in it", func(d *draft.Draft) { d.Key = file("a", files().ca) }, "local.key: no_key a"},
		{"another's key", func(d *draft.Draft) { d.Key = file("a", files().otherKey) }, "local.key: not_of_key a"},
		{"sealed", func(d *draft.Draft) { d.Key = file("a", files().sealed) }, "local.secret: need_passphrase"},
		{"nothing to ask", func(d *draft.Draft) { d.Ask = true }, "local.ask: no_passphrase"},
		{"PKCS 12", func(d *draft.Draft) {
			d.Certificate, d.Key, d.Ask = file("a.p12", files().p12), nil, true
		}, "local.secret: need_passphrase"},
		{"PKCS 12 as an authority", func(d *draft.Draft) { d.CAs[0].Data = files().p12 }, "remote.cas[0]: pkcs12 ca*[1].pem"},
		{"OpenSSH", func(d *draft.Draft) {
			d.Key = file("id", []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"))
		}, "local.key: openssh_key id"},
		{"no authority", func(d *draft.Draft) { d.CAs = nil }, "remote.cas: missing"},
		{"no authority in it", func(d *draft.Draft) { d.CAs[1].Data = nil }, "remote.cas[1]: no_certificate"},
		{"whom", func(d *draft.Draft) { d.Gateways[2] = "192.0.2.1" }, "remote.id: need_gateway_id"},
		{"whom of the world", func(d *draft.Draft) { d.SystemTrust, d.RemoteID = true, "*.com" }, "remote.id: need_gateway_id"},
		{"a pattern", func(d *draft.Draft) { d.LocalID = "*@example.com" }, "local.id: pattern"},
		{"no text", func(d *draft.Draft) { d.LocalID = "a\x00b" }, "local.id: not_text"},
		{"a long identity", func(d *draft.Draft) { d.LocalID = strings.Repeat("a", 1025) }, "local.id: too_long"},
		{"no user", func(d *draft.Draft) { d.Method, d.Password = draft.User, "x" }, "local.user: missing"},
		{"no password", func(d *draft.Draft) { d.Method, d.User = draft.User, "alice" }, "local.password: missing"},
		{"no password after the certificate", func(d *draft.Draft) { d.Method, d.User = draft.Both, "alice" }, "local.password: missing"},
		{"EAP-TLS as whom", func(d *draft.Draft) { d.Through = true }, "local.user: missing"},
		{"a pattern as server", func(d *draft.Draft) { d.Through, d.User, d.EAP.Server = true, "alice", "*.example.com" }, "local.eap.server: pattern"},
		{"no key typed", func(d *draft.Draft) { d.Method = draft.PSK }, "local.secret: missing"},
		{"a long key", func(d *draft.Draft) { d.Method, d.Secret = draft.PSK, strings.Repeat("a", 4097) }, "local.secret: too_long"},
		{"no network", func(d *draft.Draft) { d.All = false }, "children[0].remote_ts[0]: missing"},
		{"no such network", func(d *draft.Draft) { d.All, d.Networks = false, []string{"10.0.0.0/33"} }, "children[0].remote_ts[0]: not_network"},
		{"network twice", func(d *draft.Draft) { d.All, d.Networks = false, []string{"10.0.0.0/8", "10.0.0.0/8"} }, "children[0].remote_ts[1]: twice"},
		{"no name", func(d *draft.Draft) { d.Name = "" }, "name: missing"},
		{"name", func(d *draft.Draft) { d.Name = "the office" }, "name: not_name"},
		{"device", func(d *draft.Draft) { d.Name = "com1.x" }, "name: reserved"},
		{"long name", func(d *draft.Draft) { d.Name = strings.Repeat("a", 65) }, "name: too_long"},
	} {
		d := full()
		d.Gateways[1] = "second.example.com"
		d.RemoteID = "vpn.example.com"
		if strings.HasPrefix(tt.name, "whom") {
			d.RemoteID, d.Gateways[1] = "", ""
		}
		tt.change(d)
		faults := d.Check()
		if len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, faults, tt.want)
		}
		switch faults[0].Kind {
		case draft.Twice, draft.TooMany, draft.NeedGatewayID, draft.Missing:
			continue // where an absence has a meaning, the user has to say it
		}
		if res, err := profile.Import(d.Request(true)); err == nil && len(res.Missing) == 0 {
			t.Errorf("%s: the service takes it", tt.name)
		}
	}
}

// FuzzText drafts with any values: what has no faults the service reads as it
// is, and it comes back as a draft that says the same.
func FuzzText(f *testing.F) {
	f.Add("office", "vpn.example.com", "alice@example.com", "vpn.example.com", "secret", "10.0.0.0/8", uint8(0))
	f.Add("a.b-c_d", "[2001:db8::1]:4500", `C=CH, O="a\", b"`, "%any", "\"\"\"\n'''", "fd00::/8", uint8(1))
	f.Add("x", "192.0.2.1:500", "keyid:\u2603\\\"", "*.example.com", "#", "10.0.0.1-10.0.0.9", uint8(6))
	f.Add("x", "vpn", "@#00ff", "fqdn:a]b\tc", "=", "0.0.0.0/0[tcp/80]", uint8(255))
	f.Fuzz(func(t *testing.T, name, gateway, local, remote, secret, network string, bits uint8) {
		d := draft.New()
		d.Name, d.Gateways, d.LocalID, d.RemoteID, d.Secret = name, []string{gateway}, local, remote, secret
		d.All, d.Networks = bits&1 != 0, []string{network}
		d.Profile = []api.Profile{api.Respond, api.Request, api.Require}[bits>>1%3]
		if d.Method = draft.PSK; bits&8 != 0 {
			d.Method, d.Secret = draft.Certificate, ""
			d.Certificate, d.Key = file(name, files().cert), file(remote, files().key)
			d.CAs, d.SystemTrust = []draft.File{draft.NewFile(name, files().ca)}, bits&16 != 0
		}
		d.Ask = bits&32 != 0 && d.Method == draft.PSK
		text := d.Text()
		if len(d.Check()) > 0 {
			return
		}
		res, err := profile.Import(d.Request(true))
		if err != nil {
			// What an identity or a port limit means is the service's to say.
			for _, e := range profile.AllErrors(err) {
				if e.Field != draft.FieldLocalID && e.Field != draft.FieldRemoteID && !(strings.HasPrefix(e.Field, draft.FieldNetworks) && strings.Contains(network, "[")) && e.Field != draft.FieldCAs {
					t.Fatalf("%v\n%s", e, text)
				}
			}
			return
		}
		c := res.Bundles[0].Connection
		if c.Name != d.Name || !slices.Equal(c.Gateways, []string{strings.TrimSpace(gateway)}) || c.Local.ID != strings.TrimSpace(local) || c.Remote.ID != d.GatewayID() {
			t.Errorf("it becomes %+v\n%s", c, text)
		}
		again, err := draft.Parse(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if again.Method == draft.Certificate && d.RemoteID == "" {
			d.RemoteID = d.GatewayID()
		}
		again.Secret = d.Secret
		again.Certificate, again.Key, again.CAs = d.Certificate, d.Key, d.CAs
		want := d.Clone()
		want.LocalID, want.RemoteID = strings.TrimSpace(local), strings.TrimSpace(want.RemoteID)
		want.Gateways = []string{strings.TrimSpace(gateway)}
		if want.Networks = nil; !d.All {
			want.Networks = []string{strings.TrimSpace(network)}
		}
		if !again.Equal(want) {
			t.Errorf("it comes back as %+v\nwas %+v\n%s", again, want, text)
		}
	})
}

// FuzzFields holds the checks of single fields against those of the service.
func FuzzFields(f *testing.F) {
	for _, s := range []string{"", "vpn.example.com", "vpn:1", "[::1]:500", "[::1]", "::1", "1.2.3.4", "fe80::1%eth0", "a..b", "-a", "con.toml", "10.0.0.0/8", "10.0.0.9-10.0.0.1", "::ffff:1.2.3.4/120", "a:0", "[::ffff:1.2.3.4]:1", "0.0.0.0", "[1.2.3.4]:5", "a:+5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, ok := draft.SplitGateway(s)
		wantHost, wantPort, err := profile.SplitGateway(s)
		if ok != (err == nil) || ok && (host != wantHost || port != wantPort) {
			t.Errorf("gateway %q: %q %d %t, and to the service %q %d %v", s, host, port, ok, wantHost, wantPort, err)
		}
		if got, err := draft.CheckName(s), profile.CheckName(s); (got == "") != (err == nil) {
			t.Errorf("name %q: %q, and to the service %v", s, got, err)
		}
		if strings.Contains(s, "[") || strings.HasPrefix(s, "dynamic") {
			return
		}
		if _, _, err := profile.ParseSelector(s); draft.IsNetwork(s) != (err == nil) {
			t.Errorf("network %q: %t, and to the service %v", s, draft.IsNetwork(s), err)
		}
	})
}
