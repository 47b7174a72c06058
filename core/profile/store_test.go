package profile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"sallyport/core/api"
)

func newStore() (*Store, *memFiles, *memFiles, *memFiles) {
	p, c, s := newFiles(), newFiles(), newFiles()
	return &Store{Profiles: p, Certs: c, Secrets: s}, p, c, s
}

// bundle returns a small connection with a secret and an authority.
func bundle(name, psk, ca string) Bundle {
	c := Connection{
		Version: 1, Name: name, Gateways: []string{"vpn.example.com"},
		Local:    Auth{Method: MethodPSK, Secret: pskName(name)},
		Remote:   Auth{Method: MethodCertificate, CAs: []string{ca}},
		Children: []Child{{Name: "net"}},
	}
	return Bundle{Connection: c, Certs: map[string][]byte{ca: []byte(ca)}, Secrets: map[string][]byte{pskName(name): []byte(psk)}}
}

const shared = "ca-0123456789abcdef0123.pem"

func names(f *memFiles) string { return strings.Join(slices.Sorted(maps.Keys(f.files)), " ") }

func TestStore(t *testing.T) {
	st, profiles, certs, secrets := newStore()
	for _, n := range []string{"b", "a"} {
		if err := st.Save(bundle(n, "secret "+n, shared), false); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := st.List()
	if err != nil || len(entries) != 2 || entries[0].Name != "a" || entries[1].Connection == nil {
		t.Fatalf("%+v, error %v", entries, err)
	}
	if err := st.Save(bundle("a", "x", shared), false); !errors.Is(err, ErrExists) {
		t.Errorf("saved twice: %v", err)
	}
	if err := st.Save(bundle("A", "x", shared), true); !errors.Is(err, ErrExists) {
		t.Errorf("saved with another case: %v", err)
	}
	if err := st.Save(bundle("a", "newer", "other-0123456789abcdef0123.pem"), true); err != nil {
		t.Fatal(err)
	}
	c, err := st.Load("a")
	if err != nil || string(secrets.files[c.Local.Secret]) != "newer" || names(secrets) != "a+psk-2 b+psk" {
		t.Errorf("after replacing: %+v %s, error %v", c, names(secrets), err)
	}
	if _, err := st.Load("c"); !errors.Is(err, ErrNotFound) {
		t.Errorf("absent: %v", err)
	}
	if _, err := st.Load("../b"); !errors.Is(err, ErrNotFound) {
		t.Errorf("path: %v", err)
	}
	if err := st.Remove("c"); !errors.Is(err, ErrNotFound) {
		t.Errorf("remove absent: %v", err)
	}
	if err := st.Remove("a"); err != nil || names(secrets) != "b+psk" || names(certs) != shared || names(profiles) != "b.toml" {
		t.Errorf("after Remove: %s | %s | %s, error %v", names(profiles), names(certs), names(secrets), err)
	}
	if err := st.Remove("b"); err != nil || names(secrets)+names(certs)+names(profiles) != "" {
		t.Errorf("after all: %s | %s | %s, error %v", names(profiles), names(certs), names(secrets), err)
	}
}

// TestStoreFailures fails each step of Save in turn: the old connection must
// stay whole, or the new one be.
func TestStoreFailures(t *testing.T) {
	for step := range 20 {
		st, profiles, certs, secrets := newStore()
		if err := st.Save(bundle("a", "old", "old-0123456789abcdef0123.pem"), false); err != nil {
			t.Fatal(err)
		}
		count := 0
		fail := func(op, name string) error {
			if count++; op != "read" && count > step {
				return fmt.Errorf("%s %s: %w", op, name, errDisk)
			}
			return nil
		}
		profiles.fail, certs.fail, secrets.fail = fail, fail, fail
		err := st.Save(bundle("a", "new", "new-0123456789abcdef0123.pem"), true)
		profiles.fail, certs.fail, secrets.fail = nil, nil, nil
		c, loadErr := st.Load("a")
		if loadErr != nil {
			t.Fatalf("step %d: %v", step, loadErr)
		}
		psk, ca := string(secrets.files[c.Local.Secret]), string(certs.files[c.Remote.CAs[0]])
		if psk == "" || psk != ca[:3] || err == nil && psk != "new" {
			t.Errorf("step %d: secret %q with authority %q, error %v", step, psk, ca, err)
		}
		if err := st.Sweep(); err != nil || len(secrets.files) != 1 || len(certs.files) != 1 {
			t.Errorf("step %d: after Sweep %s %s, error %v", step, names(secrets), names(certs), err)
		}
		if err == nil && step > 12 {
			return
		}
	}
}

func TestStoreMalformedProfile(t *testing.T) {
	st, profiles, certs, secrets := newStore()
	if err := st.Save(bundle("a", "x", shared), false); err != nil {
		t.Fatal(err)
	}
	profiles.files["bad.toml"] = []byte("version = 1\nnam = \"bad\"\n")
	profiles.files["moved.toml"] = profiles.files["a.toml"]
	profiles.files["notes.txt"] = nil
	secrets.files["bad+psk"], secrets.files["mine"], secrets.files["gone+psk"] = nil, nil, nil
	entries, err := st.List()
	if err != nil || len(entries) != 3 {
		t.Fatalf("%+v, error %v", entries, err)
	}
	if got := messages(entries[1].Err); !strings.Contains(got, `bad.toml:2: nam: unknown field; did you mean "name"?`) {
		t.Error(got)
	}
	if got := messages(entries[2].Err); !strings.Contains(got, `moved.toml:4: name: is "a", but the file is called moved.toml`) {
		t.Error(got)
	}
	if err := st.Sweep(); err != nil || names(secrets) != "a+psk bad+psk mine" || names(certs) != shared {
		t.Errorf("Sweep left %s | %s, error %v", names(secrets), names(certs), err)
	}
	for _, n := range []string{"bad", "moved", "a"} {
		if err := st.Remove(n); err != nil {
			t.Errorf("remove %s: %v", n, err)
		}
	}
	if names(secrets) != "mine" || names(certs) != "" {
		t.Errorf("left %s | %s", names(secrets), names(certs))
	}
}

func TestStoreRefusesForeignSecrets(t *testing.T) {
	st, _, _, secrets := newStore()
	secrets.files["office+psk"] = []byte("office")
	b := bundle("a", "x", shared)
	b.Connection.Local.Secret = "office+psk"
	if err := st.Save(b, false); err == nil {
		t.Error("a connection took the secret of another")
	}
	b = bundle("a", "x", shared)
	b.Connection.Remote.CAs = []string{"unknown.pem"}
	if err := st.Save(b, false); err == nil {
		t.Error("a connection took a certificate that it does not bring")
	}
}

func TestDetect(t *testing.T) {
	for in, want := range map[string]string{
		pskProfile: FormatSallyport, "# c\n\n[local]\n": FormatSallyport, "name = home\n": FormatSallyport, "name=\"x{\"": FormatSallyport, "a = 1 # {\n": FormatSallyport,
		"connections {\n": FormatSwanctl, "a : b, c.d {": FormatSwanctl, "include conf.d/*.conf\n": FormatSwanctl, "# x\nsecrets{}": FormatSwanctl,
		"connections\n{\n": FormatSwanctl, "\ufeffconnections {": FormatSwanctl, "x = y\nconnections {": FormatSwanctl,
		"config setup\n": FormatIPsecConf, "conn home\n  left=%any": FormatIPsecConf,
		"": FormatUnknown, "<?xml version=\"1.0\"?>": FormatUnknown, "\x00\x01": FormatUnknown,
	} {
		if got := Detect([]byte(in)); got != want {
			t.Errorf("%.30q: got %q; want %q", in, got, want)
		}
	}
}

const certProfile = `version = 1
name = "work"
gateways = ["ecdsa.vpn.test"]
[local]
method = "certificate"
certificates = ["x509/alice-inter.crt", "x509/inter.crt"]
key = "private/alice-inter.key"
[remote]
method = "certificate"
id = "ecdsa.vpn.test"
cas = ["x509ca/ca-ecdsa.crt"]
[[children]]
name = "net"
`

func TestImportTOML(t *testing.T) {
	all := pkiFixture()
	req := api.ImportRequest{Files: []api.File{{Path: "/home/a/work.toml", Data: []byte(certProfile)}}}
	res, err := answer(t, req, "/home/a", all)
	if err != nil {
		t.Fatal(messages(err))
	}
	b := res.Bundles[0]
	if res.Format != FormatSallyport || b.Auth != "certificate (ECDSA P-256)" || len(b.Connection.Local.Certificates) != 2 || len(b.Certs) != 3 || b.Connection.Local.Key != "work+key" {
		t.Errorf("%+v", b)
	}
	st, _, _, _ := newStore()
	if err := st.Save(b, false); err != nil {
		t.Fatal(err)
	}

	pskFile := strings.Replace(pskProfile, "home+psk", "home.secret", 1)
	for _, tt := range []struct {
		name, text, password string
		files                map[string][]byte
		want                 string // the stored secret, or part of the error
	}{
		{"secret in a file", pskFile, "", map[string][]byte{"home.secret": []byte("from a file\n")}, "from a file"},
		{"secret given", edit(t, `secret = "home+psk"`, ""), "given key", nil, "given key"},
		{"given before file", pskFile, "given key", nil, "given key"},
		{"no secret of a responder", strings.NewReplacer(`gateways = ["vpn.example.com"]`, `role = "responder"`, `virtual_ips = ["0.0.0.0", "::"]`, "", `virtual_ips = ["0.0.0.0"]`, "", `secret = "home+psk"`, "").Replace(pskProfile), "", nil, "local.secret: the pre-shared key is missing"},
		{"file is not there", pskFile, "", nil, `home.toml:9: local.secret: the file "home.secret" is not there`},
		{"a short one", pskFile, "seven77", nil, "fewer than 8 bytes"},
		{"a short one, on purpose", strings.Replace(pskFile, "[local]", "[local]\nweak_secret = true", 1), "seven77", nil, "seven77"},
		{"empty file", pskFile, "", map[string][]byte{"home.secret": []byte("\n")}, "local.secret: the pre-shared key is empty"},
		{"certificate is not there", certProfile, "", nil, `home.toml:6: local.certificates[0]: the file "x509/alice-inter.crt" is not there`},
		{"key of another", strings.Replace(certProfile, "private/alice-inter.key", "private/alice-rsa.key", 1), "", all, "home.toml:7: local.key: "},
		{"certificate for a key", strings.Replace(certProfile, "private/alice-inter.key", "x509/inter.crt", 1), "", all, "home.toml:7: local.key: "},
		{"malformed", "version = 1\nnme = \"x\"\n", "", nil, `home.toml:2: nme: unknown field; did you mean "name"?`},
	} {
		req := api.ImportRequest{Files: []api.File{{Path: "home.toml", Data: []byte(tt.text)}}, Password: []byte(tt.password)}
		res, err := answer(t, req, ".", tt.files)
		got := messages(err)
		if err == nil {
			b := res.Bundles[0]
			got = string(b.Secrets[b.Connection.Local.Secret])
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %s; want %s", tt.name, got, tt.want)
		}
	}
}

func TestImportRequestErrors(t *testing.T) {
	two := minimal("", "", "", "", "") + strings.ReplaceAll(minimal("", "", "", "", ""), " home {\n remote_addrs", " away {\n remote_addrs")
	for _, tt := range []struct {
		name string
		req  api.ImportRequest
		want string
	}{
		{"no file", api.ImportRequest{}, "holds no file"},
		{"bad name", api.ImportRequest{Name: "a/b", Files: []api.File{{Path: "x", Data: []byte(pskProfile)}}}, "the name"},
		{"too much", api.ImportRequest{Files: []api.File{{Path: "x", Data: make([]byte, maxImportBytes+1)}}}, "too many"},
		{"one name for two", api.ImportRequest{Name: "a", Files: []api.File{{Path: "x", Data: []byte(two)}}}, "only one can get the name"},
	} {
		if _, err := Import(tt.req); !errors.Is(err, ErrRequest) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for text, want := range map[string]string{"conn a\n": "ipsec.conf", "<xml/>": "not recognised"} {
		_, err := Import(api.ImportRequest{Files: []api.File{{Path: "/x/y.conf", Data: []byte(text)}}})
		if got := messages(err); !strings.Contains(got, want) || !AllErrors(err)[0].Unsupported {
			t.Errorf("%q: %s", text, got)
		}
	}
	for _, text := range []string{"\xff\xfev\x00", "\xfe\xff\x00v"} {
		_, err := Import(api.ImportRequest{Files: []api.File{{Path: "/x/y.toml", Data: []byte(text)}}})
		if got := messages(err); !strings.Contains(got, "save it as UTF-8") || AllErrors(err)[0].Unsupported {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestWarnings(t *testing.T) {
	c, err := Parse("x", []byte(edit(t, "[local]", "profile = \"request\"\nike.proposals = [\"3des-sha1-modp1024\"]\n[local]")))
	if err != nil {
		t.Fatal(messages(err))
	}
	got := strings.Join(Warnings(c), "\n")
	for _, w := range []string{"3DES", "1024", "traffic may leave unprotected"} {
		if !strings.Contains(got, w) {
			t.Errorf("warnings lack %s:\n%s", w, got)
		}
	}
	c.Profile, c.IKE.Proposals = "", nil
	if got := Warnings(c); len(got) != 0 {
		t.Errorf("warnings %q", got)
	}
	for psk, want := range map[string]bool{"short": true, "twelve chars": true, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": true, "x8Kq2-vPz7Lw3Rt9Bn4M": false} {
		if (PSKWarning([]byte(psk)) != "") != want {
			t.Errorf("%s: %q", psk, PSKWarning([]byte(psk)))
		}
	}
}
