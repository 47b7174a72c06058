package profile

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"sallyport/core/api"
)

const moreProfile = certProfile + `
[[local.more]]
certificates = ["x509/alice-ecdsa.crt"]
key = "private/alice-ecdsa.key"
`

// Several certificates are imported, exported, replaced and removed with their
// keys.
func TestMoreCertificates(t *testing.T) {
	st, _, _, _ := newStore()
	all := pkiFixture()
	res, err := answer(t, api.ImportRequest{Files: []api.File{{Path: "/home/a/work.toml", Data: []byte(moreProfile)}}}, "/home/a", all)
	if err != nil {
		t.Fatal(messages(err))
	}
	b := res.Bundles[0]
	own := b.Connection.Local.More
	if len(own) != 1 || len(own[0].Certificates) != 1 || len(b.Secrets[own[0].Key]) == 0 || own[0].Key == b.Connection.Local.Key {
		t.Fatalf("imported %+v", own)
	}
	key := bytes.Clone(b.Secrets[own[0].Key])
	x, c := exported(t, st, b)
	if bytes.Contains(x.Text, []byte("PRIVATE KEY")) || len(x.Missing) != 2 {
		t.Errorf("the export lacks %q:\n%s", x.Missing, x.Text)
	}
	again := reimport(t, x, api.ImportRequest{Replace: true})
	if err := st.Complete(again); err != nil {
		t.Fatal(messages(err))
	}
	if got := again.Secrets[again.Connection.Local.More[0].Key]; !bytes.Equal(got, key) {
		t.Error("another key is kept")
	}
	if got, want := stripped(&again.Connection), stripped(c); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if _, err = Import(api.ImportRequest{Files: []api.File{{Path: x.Name, Data: x.Text}}}); !strings.Contains(messages(err), "local.more[0].key: is missing") {
		t.Errorf("without its key: %s", messages(err))
	}
	if err := st.Remove(c.Name); err != nil {
		t.Fatal(err)
	}
	for kind, files := range map[string]interface{ List() ([]string, error) }{"certificates": st.Certs, "secrets": st.Secrets} {
		if left, _ := files.List(); len(left) > 0 {
			t.Errorf("%s are left: %q", kind, left)
		}
	}
}

func TestMoreCertificatesFaults(t *testing.T) {
	own := Own{Certificates: []string{"b.pem"}, Key: "full+key-2"}
	for want, change := range map[string]func(*Connection){
		"local.more[0].key: is missing":          func(c *Connection) { c.Local.More = []Own{{Certificates: []string{"b.pem"}}} },
		"local.more[0].certificates: is missing": func(c *Connection) { c.Local.More = []Own{{Key: "k"}} },
		"local.more[0].id":                       func(c *Connection) { c.Local.More[0].ID = "*.example.com" },
		"local.more: more than":                  func(c *Connection) { c.Local.More = make([]Own, maxMore+1) },
		"local.more: needs method":               func(c *Connection) { c.Local = Auth{Method: MethodPSK, Secret: "s", More: []Own{own}} },
		"remote.more: belongs":                   func(c *Connection) { c.Remote.More = []Own{own} },
		"remote.revocation: needs":               func(c *Connection) { c.Remote.Revocation = RevocationStrict },
		"remote.revocation: needs method = \"certificate\", or": func(c *Connection) {
			c.Local, c.Remote = Auth{Method: MethodCertificate, Certificates: []string{"a.pem"}, Key: "k"}, Auth{Method: MethodEAP, Users: "u", Revocation: RevocationStrict}
		},
		"local.revocation: belongs":           func(c *Connection) { c.Local.Revocation = RevocationStrict },
		"local.weak_certificates: belongs":    func(c *Connection) { c.Local.WeakCertificates = true },
		"remote.weak_certificates: needs cas": func(c *Connection) { c.Remote.WeakCertificates = true },
		"remote.revocation: \"hard\" is not":  func(c *Connection) { c.Remote.Revocation = "hard" },
	} {
		c := full()
		change(c)
		if err := c.Validate(); err == nil || !strings.Contains(messages(err), want) {
			t.Errorf("want %s, got %s", want, messages(err))
		}
	}
}
