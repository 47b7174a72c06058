package profile

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"sallyport/core/api"
	"sallyport/core/config"
)

// stripped is a connection without the names of its secrets.
func stripped(c *Connection) Connection {
	out := *c
	out.Local.Secret, out.Local.Key, out.Remote.Secret = "", "", ""
	return out
}

// exported stores a bundle and exports it. The file must be readable and hold
// no secret.
func exported(t *testing.T, st *Store, b Bundle) (api.Export, *Connection) {
	t.Helper()
	if err := st.Save(b, true); err != nil {
		t.Fatal(messages(err))
	}
	c, err := st.Load(b.Connection.Name)
	if err != nil {
		t.Fatal(messages(err))
	}
	x, err := st.Export(b.Connection.Name)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range b.Secrets {
		if len(s) > 8 && !bytes.HasPrefix(s, []byte("-----BEGIN PRIVATE")) && bytes.Contains(x.Text, s) {
			t.Errorf("the secret %s is in the export", name)
		}
	}
	if bytes.Contains(x.Text, []byte("PRIVATE KEY")) || bytes.Contains(x.Text, []byte("+psk")) || bytes.Contains(x.Text, []byte("+key")) {
		t.Errorf("the export names secrets:\n%s", x.Text)
	}
	return x, c
}

func reimport(t *testing.T, x api.Export, r api.ImportRequest) *Bundle {
	t.Helper()
	r.Files = []api.File{{Path: x.Name, Data: x.Text}}
	res, err := Import(r)
	if err != nil {
		t.Fatalf("import of the export: %s\n%s", messages(err), x.Text)
	}
	if len(res.Missing) > 0 || len(res.Bundles) != 1 {
		t.Fatalf("import of the export: %+v", res)
	}
	return &res.Bundles[0]
}

func TestExportPSK(t *testing.T) {
	st, _, _, _ := newStore()
	b := Bundle{Connection: *full(), Certs: map[string][]byte{}, Secrets: map[string][]byte{}}
	b.Connection.Local = Auth{Method: MethodPSK, ID: `keyid:al"ice\`, Secret: "full+psk"}
	b.Connection.Remote.Secret, b.Connection.IKE.PPKs, b.Connection.IKE.PPKRequired = "", nil, false
	b.Secrets["full+psk"] = []byte("a well kept secret of many words")
	x, c := exported(t, st, b)
	if x.Name != "full.toml" || fmt.Sprint(x.Missing) != "[the pre-shared key]" {
		t.Errorf("export %s lacks %q", x.Name, x.Missing)
	}
	again := reimport(t, x, api.ImportRequest{Password: []byte("a well kept secret of many words")})
	if got, want := stripped(&again.Connection), stripped(c); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := again.Secrets[again.Connection.Local.Secret]; string(got) != "a well kept secret of many words" {
		t.Errorf("the secret is %q", got)
	}
	// In place of itself it keeps its secret.
	again = reimport(t, x, api.ImportRequest{Replace: true})
	if err := st.Complete(again); err != nil {
		t.Fatal(messages(err))
	}
	if got := again.Secrets[again.Connection.Local.Secret]; string(got) != "a well kept secret of many words" || again.Connection.Local.Ask {
		t.Errorf("the secret that is kept is %q", got)
	}
	if _, err := st.Export("nobody"); err == nil {
		t.Error("a connection that is not there was exported")
	}
}

func TestExportCertificates(t *testing.T) {
	st, _, _, _ := newStore()
	all := pkiFixture()
	res, err := answer(t, api.ImportRequest{Files: []api.File{{Path: "/home/a/work.toml", Data: []byte(certProfile)}}}, "/home/a", all)
	if err != nil {
		t.Fatal(messages(err))
	}
	first := res.Bundles[0]
	key := bytes.Clone(first.Secrets[first.Connection.Local.Key])
	x, c := exported(t, st, first)
	if fmt.Sprint(x.Missing) != "[the private key of the certificate]" || strings.Count(string(x.Text), "-----BEGIN CERTIFICATE-----") != 3 {
		t.Errorf("it lacks %q:\n%s", x.Missing, x.Text)
	}
	// In place of itself it keeps the key; elsewhere one has to be named.
	again := reimport(t, x, api.ImportRequest{Replace: true})
	if err := st.Complete(again); err != nil {
		t.Fatal(messages(err))
	}
	if got, want := stripped(&again.Connection), stripped(c); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if !reflect.DeepEqual(again.Certs, first.Certs) {
		t.Errorf("certificates %q, want %q", again.Certs, first.Certs)
	}
	text := strings.Replace(string(x.Text), "[local]\n", "[local]\nkey = \"alice.key\"\n", 1)
	res, err = Import(api.ImportRequest{Files: []api.File{{Path: "work.toml", Data: []byte(text)}, {Path: "alice.key", Data: key}}})
	if err != nil || len(res.Bundles) != 1 {
		t.Fatalf("with its key: %v, %s", res, messages(err))
	}
	if got, want := stripped(&res.Bundles[0].Connection), stripped(c); !reflect.DeepEqual(got, want) {
		t.Errorf("with its key: got  %+v\nwant %+v", got, want)
	}
	if _, err = Import(api.ImportRequest{Files: []api.File{{Path: x.Name, Data: x.Text}}}); !strings.Contains(messages(err), "local.key: is missing") {
		t.Errorf("without its key: %s", messages(err))
	}
}

func TestInlineCertificateFaults(t *testing.T) {
	all := pkiFixture()
	ca := string(all["x509ca/ca-ecdsa.crt"])
	base := strings.Replace(pskProfile, "[remote]\nmethod = \"psk\"", "[remote]\nmethod = \"certificate\"\ncas = ['''\n%s''']", 1)
	for _, tt := range []struct{ name, pem, want string }{
		{"fine", ca, ""},
		{"with a label", "Lab CA\n" + ca, ""},
		{"with a label of many lines", "Lab\nCA\n" + ca, ""},
		{"two in one", ca + string(all["x509ca/ca-rsa.crt"]), ""},
		{"cut", ca[:len(ca)/2], "home.toml:13: remote.cas[0]: "},
		{"with a key, which is nobody's business", ca + string(all["private/ca-ecdsa.key"]), ""},
	} {
		_, err := Import(api.ImportRequest{Password: []byte("correct horse battery"),
			Files: []api.File{{Path: "home.toml", Data: fmt.Appendf(nil, strings.Replace(base, `secret = "home+psk"`, "", 1), tt.pem)}}})
		got := messages(err)
		if tt.want == "" && err != nil || !strings.Contains(got, tt.want) || strings.Contains(got, "MII") {
			t.Errorf("%s: %s, want %q", tt.name, got, tt.want)
		}
	}
	// The service's own files name certificates, and hold none.
	if _, err := Parse("home.toml", fmt.Appendf(nil, base, ca)); !strings.Contains(messages(err), "remote.cas[0]") {
		t.Errorf("a stored profile with a certificate within: %s", messages(err))
	}
}

// FuzzExport stores what can be imported, and expects its export to be the
// same connection again.
func FuzzExport(f *testing.F) {
	f.Add([]byte(strings.Replace(pskProfile, `secret = "home+psk"`, "", 1)))
	f.Add([]byte(strings.Replace(pskProfile, `secret = "home+psk"`, "ask = true", 1)))
	f.Add(bytes.ReplaceAll(config.Marshal("x", full(), docs), []byte("\"full+remote-psk\""), []byte("\"\"")))
	ca := string(pkiFixture()["x509ca/ca-ecdsa.crt"])
	f.Add([]byte(strings.Replace(strings.Replace(pskProfile, `secret = "home+psk"`, "", 1), "[remote]\nmethod = \"psk\"",
		"[remote]\nmethod = \"certificate\"\ncas = [\"\"\"lab\n"+ca+"\"\"\"]", 1)))
	f.Fuzz(func(t *testing.T, text []byte) {
		psk := []byte("a secret for everyone")
		res, err := Import(api.ImportRequest{Files: []api.File{{Path: "x.toml", Data: text}}, Password: psk})
		if err != nil || res.Format != FormatSallyport || len(res.Bundles) != 1 {
			return
		}
		st, _, _, _ := newStore()
		x, c := exported(t, st, res.Bundles[0])
		again := reimport(t, x, api.ImportRequest{Password: psk})
		if got, want := stripped(&again.Connection), stripped(c); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v\nby\n%s", got, want, x.Text)
		}
		if !reflect.DeepEqual(again.Certs, res.Bundles[0].Certs) {
			t.Errorf("certificates differ:\n%s", x.Text)
		}
	})
}
