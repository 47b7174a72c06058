package profile

import (
	"strings"
	"testing"

	"sallyport/core/api"
	"sallyport/core/internal/hosttest"
)

const onCard = `version = 1
name = "card"
gateways = ["vpn.example.com"]
[local]
method = "certificate"
token = "pkcs11:token=Alice;id=%01"
[remote]
method = "certificate"
id = "vpn.example.com"
[[children]]
name = "net"
`

// TestTokenURIs refuses what a profile may not say of a token.
func TestTokenURIs(t *testing.T) {
	for _, tt := range []struct{ name, from, to, want string }{
		{"fine", "", "", ""},
		{"PIN in the URI", "id=%01", "id=%01?pin-value=4711", "local.token: pin-value is not allowed here: the PIN is a secret"},
		{"file with a PIN", "id=%01", "id=%01?pin-source=file:/etc/shadow", "local.token: pin-source is not allowed"},
		{"module", "id=%01", "id=%01?module-path=/tmp/evil.so", "local.token: module-path is not allowed here: which modules are loaded is set for the service"},
		{"no certificate", ";id=%01", "", "local.token: it does not say which certificate"},
		{"public key", "id=%01", "id=%01;type=public", "type=public"},
		{"no URI", "pkcs11:token=Alice;id=%01", "card", "local.token: it does not begin with"},
		{"key in a file", "id=%01\"", "id=%01\"\nkey = \"k.pem\"", "local.key: contradicts token"},
		{"PSK", "\"certificate\"\ntoken", "\"psk\"\ntoken", "local.token: has no meaning with method"},
		{"of the remote end", "[remote]", "[remote]\ntoken = \"pkcs11:id=%01\"", "remote.token: belongs to [local]"},
		{"responder", "name = \"card\"\ngateways = [\"vpn.example.com\"]", "name = \"card\"\nrole = \"responder\"", "local.token: is for an initiator"},
		{"PIN of nothing", "token = \"pkcs11:token=Alice;id=%01\"", "pin = \"x\"\ncertificates = [\"a.pem\"]\nkey = \"k\"", "local.pin: needs token"},
	} {
		text := onCard
		if tt.from != "" {
			text = strings.Replace(onCard, tt.from, tt.to, 1)
		}
		_, err := Parse("card.toml", []byte(text))
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "4711"):
			t.Errorf("%s: the error tells the PIN: %v", tt.name, err)
		}
	}
}

// TestPIN imports a PIN, exports without it, keeps it for the same key, and
// forgets it when the token refuses it.
func TestPIN(t *testing.T) {
	s := &Store{Profiles: hosttest.NewFiles(), Certs: hosttest.NewFiles(), Secrets: hosttest.NewFiles()}
	save := func(text, pin string, replace bool) *Connection {
		t.Helper()
		res, err := Import(api.ImportRequest{Files: []api.File{{Path: "card.toml", Data: []byte(text)}}, Password: []byte(pin), Replace: replace})
		if err != nil {
			t.Fatal(err)
		}
		b := res.Bundles[0]
		if err := s.Complete(&b); err != nil {
			t.Fatal(err)
		}
		if err := s.Save(b, replace); err != nil {
			t.Fatal(err)
		}
		c, err := s.Load("card")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := save(onCard, "", false)
	if c.Local.PIN != "" || len(c.Asks()) != 1 || c.Asks()[0] != api.PromptPIN {
		t.Errorf("without a PIN: %+v, asks %v", c.Local, c.Asks())
	}
	c = save(onCard, "4711", true)
	if got, err := s.Secrets.Read(c.Local.PIN); err != nil || string(got) != "4711" || len(c.Asks()) != 0 {
		t.Errorf("stored: %q, %v, asks %v", got, err, c.Asks())
	}
	x, err := s.Export("card")
	if err != nil || strings.Contains(string(x.Text), "4711") || strings.Contains(string(x.Text), "\npin =") || len(x.Missing) != 1 {
		t.Errorf("export: %s, %v, %v", x.Text, x.Missing, err)
	}
	c = save(string(x.Text), "", true)
	if got, _ := s.Secrets.Read(c.Local.PIN); string(got) != "4711" {
		t.Errorf("the same key again: %q", got)
	}
	if other := save(strings.Replace(string(x.Text), "id=%01", "id=%02", 1), "", true); other.Local.PIN != "" {
		t.Errorf("another key: the PIN stays as %s", other.Local.PIN)
	}
	c = save(onCard, "4711", true)
	text, err := s.Profiles.Read("card.toml")
	if err != nil {
		t.Fatal(err)
	}
	pin := c.Local.PIN
	if c, _, err = s.ForgetPIN(c, text); err != nil || c.Local.PIN != "" {
		t.Errorf("forgotten: %+v, %v", c, err)
	}
	if got, err := s.Secrets.Read(pin); err == nil {
		t.Errorf("the PIN is still there: %q", got)
	}
}
