package profile

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	"sallyport/core/api"
	"sallyport/core/pki"
)

// alice12 is the key of alice-inter with its chain, in a PKCS #12 file.
func alice12(t *testing.T, enc *pkcs12.Encoder, password string) []byte {
	t.Helper()
	cert := func(name string) *x509.Certificate {
		block, _ := pem.Decode(pkiFixture()[name])
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	key, err := pki.ParsePrivateKey(pkiFixture()["private/alice-inter.key"], nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := enc.Encode(key, cert("x509/alice-inter.crt"), []*x509.Certificate{cert("x509/inter.crt"), cert("x509ca/ca-ecdsa.crt")}, password)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestImportPKCS12(t *testing.T) {
	const text = `version = 1
name = "office"
gateways = ["vpn.example.com"]
[local]
method = "certificate"
%
[remote]
method = "certificate"
id = "vpn.example.com"
[[children]]
name = "main"
`
	sealed, open := alice12(t, pkcs12.LegacyRC2, "opensesame"), alice12(t, pkcs12.Passwordless, "")
	for name, tt := range map[string]struct {
		local, password string
		data            []byte
		want            string // in the error
	}{
		"as the key":           {`key = "a.p12"`, "opensesame", sealed, ""},
		"as the certificate":   {`certificates = ["a.p12"]`, "opensesame", sealed, ""},
		"as both":              {"certificates = [\"a.p12\"]\nkey = \"a.p12\"", "opensesame", sealed, ""},
		"unprotected":          {`key = "a.p12"`, "", open, ""},
		"asked":                {"key = \"a.p12\"\nask = true", "opensesame", sealed, ""},
		"without passphrase":   {`key = "a.p12"`, "", sealed, "give its passphrase"},
		"wrong passphrase":     {`key = "a.p12"`, "x", sealed, "does not open"},
		"nothing to ask for":   {"key = \"a.p12\"\nask = true", "", open, "not encrypted"},
		"one that is damaged":  {`certificates = ["a.p12"]`, "opensesame", sealed[:len(sealed)-1], "a.p12"},
		"a key alone":          {`key = "a.p12"`, "", pkiFixture()["private/alice-inter.key"], "office.toml:6: local.key: the file \"a.p12\" is no PKCS #12 file"},
		"a damaged one as key": {`key = "a.p12"`, "opensesame", sealed[:len(sealed)-1], "office.toml:6: local.key: the file \"a.p12\" is no PKCS #12 file, or a damaged one"},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := Import(api.ImportRequest{Password: []byte(tt.password), Files: []api.File{
				{Path: "office.toml", Data: []byte(strings.Replace(text, "%", tt.local, 1))}, {Path: "a.p12", Data: tt.data}}})
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b := res.Bundles[0]
			if len(b.Connection.Local.Certificates) != 2 {
				t.Errorf("the chain has %d certificates", len(b.Connection.Local.Certificates))
			}
			passphrase := []byte(nil)
			if b.Connection.Local.Ask {
				passphrase = []byte(tt.password)
			}
			if _, err := pki.ParsePrivateKey(b.Secrets[b.Connection.Local.Key], passphrase); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSwanctlPKCS12(t *testing.T) {
	const conf = `connections { office { remote_addrs = vpn.example.com
  local { id = alice-inter@vpn.test }
  remote { id = inter.vpn.test }
  children { main { } } } }
secrets { pkcs12-a { file = a.p12
  secret = opensesame } }
`
	r := api.ImportRequest{Asked: nil, Files: []api.File{{Path: "/etc/swanctl/swanctl.conf", Data: []byte(conf)},
		{Path: "/etc/swanctl/pkcs12/a.p12", Data: alice12(t, pkcs12.Modern2023, "opensesame")},
		{Path: "/etc/swanctl/x509ca/ca.crt", Data: pkiFixture()["x509ca/ca-ecdsa.crt"]}}}
	var res *Result
	for range 5 {
		var err error
		if res, err = Import(r); err != nil {
			t.Fatal(err)
		}
		if len(res.Missing) == 0 {
			break
		}
		r.Asked = append(r.Asked, res.Missing...)
	}
	if len(res.Bundles) != 1 || len(res.Refused) != 0 {
		t.Fatalf("refused %q", res.Refused)
	}
	if local := res.Bundles[0].Connection.Local; local.Key == "" || len(local.Certificates) != 2 {
		t.Errorf("got %+v", local)
	}
}
