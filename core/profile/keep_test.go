package profile

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"sallyport/core/api"
	"sallyport/core/pki"
)

// lockedKey is the key of alice's certificate, encrypted.
func lockedKey(t *testing.T) []byte {
	t.Helper()
	block, _ := pem.Decode(pkiFixture()["private/alice-inter.key"])
	//lint:ignore SA1019 files in this form are in use
	locked, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", block.Bytes, []byte("open sesame"), x509.PEMCipherAES256)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(locked)
}

func imports(t *testing.T, text, password string, replace bool, files map[string][]byte) (Bundle, error) {
	t.Helper()
	res, err := answer(t, api.ImportRequest{Files: []api.File{{Path: "p.toml", Data: []byte(text)}}, Password: []byte(password), Replace: replace}, ".", files)
	if err != nil {
		return Bundle{}, err
	}
	return res.Bundles[0], nil
}

func TestImportAsks(t *testing.T) {
	locked := maps.Clone(pkiFixture())
	locked["private/alice-inter.key"] = lockedKey(t)
	asking := strings.Replace(certProfile, "key = ", "ask = true\nkey = ", 1)
	for _, tt := range []struct {
		name, text, password string
		files                map[string][]byte
		want                 string // kinds asked for, or part of the error
	}{
		{"no secret", edit(t, `secret = "home+psk"`, ""), "", nil, "secret"},
		{"asked outright", edit(t, `secret = "home+psk"`, "ask = true"), "", nil, "secret"},
		{"asked, though one is given", edit(t, `secret = "home+psk"`, "ask = true"), "given key", nil, "secret"},
		{"a secret is given", edit(t, `secret = "home+psk"`, ""), "given key", nil, ""},
		{"encrypted key", asking, "", locked, "passphrase"},
		{"encrypted key, with its passphrase", asking, "open sesame", locked, "passphrase"},
		{"encrypted key, with another passphrase", asking, "open barley", locked, "does not open the private key"},
		{"encrypted key, not asked", certProfile, "", locked, "or set ask = true"},
		{"plain key, asked", asking, "", pkiFixture(), "local.ask: the private key"},
		{"no key", strings.Replace(certProfile, "key = \"private/alice-inter.key\"", "", 1), "", pkiFixture(), "local.key: is missing: name a file"},
	} {
		b, err := imports(t, tt.text, tt.password, false, tt.files)
		if err != nil {
			if got := messages(err); tt.want == "" || !strings.Contains(got, tt.want) {
				t.Errorf("%s: got %s; want %s", tt.name, got, tt.want)
			}
			continue
		}
		got := ""
		for _, k := range b.Imported().Asks {
			got += string(k)
		}
		if got != tt.want {
			t.Errorf("%s: asks for %q, want %q", tt.name, got, tt.want)
		}
		for n, s := range b.Secrets {
			if bytes.Contains(s, []byte("given key")) && tt.want != "" {
				t.Errorf("%s: the secret is stored as %s", tt.name, n)
			}
			if _, err := pki.ParsePrivateKey(s, nil); strings.HasSuffix(n, "+key") && !errors.Is(err, pki.ErrPassphraseNeeded) {
				t.Errorf("%s: the key is stored open: %v", tt.name, err)
			}
		}
		st, _, _, _ := newStore()
		if err := st.Save(b, false); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// What the files of a replacing import leave out stays.
func TestReplaceKeepsSecrets(t *testing.T) {
	all := pkiFixture()
	locked := maps.Clone(all)
	locked["private/alice-inter.key"] = lockedKey(t)
	noKey := strings.Replace(certProfile, "key = \"private/alice-inter.key\"", "", 1)
	noSecret := edit(t, `secret = "home+psk"`, "")
	asking := strings.Replace(certProfile, "key = ", "ask = true\nkey = ", 1)
	rename := strings.NewReplacer(`name = "work"`, `name = "home"`)
	for _, tt := range []struct {
		name          string
		first, second string
		files         map[string][]byte
		password      string // with the first import
		asks          bool
		want          string // part of the error
	}{
		{name: "secret", first: noSecret, password: "the old one", second: strings.Replace(noSecret, "vpn.example.com", "vpn2.example.com", 1)},
		{name: "nothing stored", first: noSecret, second: noSecret, asks: true},
		{name: "asked from now on", first: noSecret, password: "the old one", second: edit(t, `secret = "home+psk"`, "ask = true"), asks: true},
		{name: "key", first: rename.Replace(certProfile), second: rename.Replace(noKey), files: all},
		{name: "encrypted key", first: rename.Replace(asking), second: rename.Replace(noKey), files: locked, asks: true},
		{name: "from PSK to certificate", first: noSecret, password: "the old one", second: rename.Replace(noKey), files: all, want: "the private key is missing, and none is stored"},
		{name: "key of another certificate", first: rename.Replace(certProfile),
			second: strings.Replace(rename.Replace(noKey), "x509/alice-inter.crt", "x509/alice-rsa.crt", 1), files: all, want: "do not belong together"},
	} {
		st, _, _, secrets := newStore()
		b, err := imports(t, tt.first, tt.password, false, tt.files)
		if err == nil {
			err = st.Save(b, false)
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		before := slices.Collect(maps.Values(secrets.files))
		if b, err = imports(t, tt.second, "", true, tt.files); err == nil {
			if err = st.Complete(&b); err == nil {
				err = st.Save(b, true)
			}
		}
		if tt.want != "" {
			if err == nil || !strings.Contains(messages(err), tt.want) {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		c, err := st.Load("home")
		if err != nil || c.Local.Ask != tt.asks {
			t.Errorf("%s: stored as %+v, %v", tt.name, c, err)
			continue
		}
		after := slices.Collect(maps.Values(secrets.files))
		if c.Local.Secret == "" && c.Local.Key == "" {
			if len(after) != 0 {
				t.Errorf("%s: a secret that is asked for is stored", tt.name)
			}
			continue
		}
		if !slices.EqualFunc(before, after, bytes.Equal) {
			t.Errorf("%s: other secrets than before", tt.name)
		}
	}
}

func TestPinAndSetProfile(t *testing.T) {
	st, profiles, certs, _ := newStore()
	text := strings.Replace(pskProfile, "method = \"psk\"\nid = \"vpn.example.com\"", "method = \"certificate\"\nid = \"vpn.example.com\"", 1)
	profiles.files["home.toml"] = []byte(text)
	c, err := st.Load("home")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(pkiFixture()["x509/alice-inter.crt"])
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := st.Pin(c, []byte("other"), cert); !errors.Is(err, ErrChanged) {
		t.Errorf("a changed file: %v", err)
	}
	pinned, now, err := st.Pin(c, []byte(text), cert)
	if err != nil {
		t.Fatal(err)
	}
	again, err := st.Load("home")
	if err != nil || len(again.Remote.CAs) != 1 || len(c.Remote.CAs) != 0 || !bytes.Equal(profiles.files["home.toml"], now) {
		t.Fatalf("pinned as %+v, %v", again, err)
	}
	if got, err := pki.ParseCertificates(certs.files[again.Remote.CAs[0]]); err != nil || !got[0].Equal(cert) {
		t.Errorf("the certificate: %v, %v", got, err)
	}
	if _, _, err := st.Pin(pinned, now, cert); err == nil {
		t.Error("a connection with authorities takes another")
	}
	if _, _, err = st.SetProfile(pinned, now, "require"); err != nil {
		t.Fatal(err)
	}
	if again, err = st.Load("home"); err != nil || again.Profile != "require" || len(again.Remote.CAs) != 1 {
		t.Errorf("%+v, %v", again, err)
	}
	if _, _, err = st.SetProfile(pinned, now, "mighty"); err == nil {
		t.Error("a profile that does not exist")
	}
}
