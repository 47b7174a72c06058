package profile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/core/api"
)

// memFiles is a host.Files in memory that can fail.
type memFiles struct {
	files map[string][]byte
	fail  func(op, name string) error
}

func newFiles() *memFiles { return &memFiles{files: map[string][]byte{}} }

func (m *memFiles) check(op, name string) error {
	if m.fail == nil {
		return nil
	}
	return m.fail(op, name)
}

func (m *memFiles) List() ([]string, error) {
	return slices.Sorted(maps.Keys(m.files)), m.check("list", "")
}

func (m *memFiles) Read(name string) ([]byte, error) {
	b, ok := m.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(b), m.check("read", name)
}

func (m *memFiles) Write(name string, data []byte) error {
	if err := m.check("write", name); err != nil {
		return err
	}
	m.files[name] = slices.Clone(data)
	return nil
}

func (m *memFiles) Remove(name string) error {
	if err := m.check("remove", name); err != nil {
		return err
	}
	delete(m.files, name)
	return nil
}

// pkiFixture is a small PKI in the folders of swanctl, made once.
var pkiFixture = sync.OnceValue(func() map[string][]byte {
	files := map[string][]byte{}
	serial := int64(0)
	type issuer struct {
		cert *x509.Certificate
		key  crypto.Signer
	}
	keyOf := func(kind string) crypto.Signer {
		var k crypto.Signer
		var err error
		switch kind {
		case "rsa":
			k, err = rsa.GenerateKey(rand.Reader, 2048)
		case "ecdsa384":
			k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		case "ed25519":
			_, k, err = ed25519.GenerateKey(rand.Reader)
		default:
			k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		}
		if err != nil {
			panic(err)
		}
		return k
	}
	issue := func(name, kind, cn string, ca bool, by *issuer) *issuer {
		serial++
		key := keyOf(kind)
		t := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{Country: []string{"CH"}, Organization: []string{"Lab"}, CommonName: cn},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
			BasicConstraintsValid: true, IsCA: ca, KeyUsage: x509.KeyUsageDigitalSignature,
		}
		if ca {
			t.KeyUsage = x509.KeyUsageCertSign
		} else if strings.Contains(cn, "@") {
			t.EmailAddresses = []string{cn}
		} else {
			t.DNSNames = []string{cn}
		}
		if by == nil {
			by = &issuer{t, key}
		}
		der, err := x509.CreateCertificate(rand.Reader, t, by.cert, key.Public(), by.key)
		if err != nil {
			panic(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			panic(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			panic(err)
		}
		folder := "x509/"
		if strings.HasPrefix(name, "ca-") {
			folder = "x509ca/"
		}
		files[folder+name+".crt"] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		files["private/"+name+".key"] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
		return &issuer{cert, key}
	}
	cas := map[string]*issuer{}
	for _, kind := range []string{"rsa", "ecdsa", "ecdsa384", "ed25519"} {
		cas[kind] = issue("ca-"+kind, kind, "Lab CA "+kind, true, nil)
		issue("alice-"+kind, kind, "alice@vpn.test", false, cas[kind])
		issue("gw-"+kind, kind, kind+".vpn.test", false, cas[kind])
	}
	issue("alice-frag", "ecdsa", "alice@vpn.test", false, cas["ecdsa"])
	issue("gw-frag", "ecdsa", "frag.vpn.test", false, cas["ecdsa"])
	issue("gw-pss", "rsa", "pss.vpn.test", false, cas["rsa"])
	issue("alice-revoked", "ecdsa", "alice@vpn.test", false, cas["ecdsa"])
	inter := issue("inter", "ecdsa", "Intermediate", true, cas["ecdsa"])
	issue("alice-inter", "ecdsa", "alice-inter@vpn.test", false, inter)
	issue("gw-inter", "ecdsa", "inter.vpn.test", false, inter)
	return files
})

// answer plays the front end: it looks for what an import misses, among files
// given relative to dir, until nothing is missing.
func answer(t *testing.T, req api.ImportRequest, dir string, files map[string][]byte) (*Result, error) {
	t.Helper()
	for range 10 {
		res, err := Import(req)
		if err != nil || len(res.Missing) == 0 {
			return res, err
		}
		if len(res.Bundles)+len(res.Refused) > 0 {
			t.Fatalf("files are missing (%q) and yet there are results", res.Missing)
		}
		for _, pattern := range res.Missing {
			if slices.Contains(req.Asked, pattern) {
				t.Fatalf("asked twice for %s", pattern)
			}
			req.Asked = append(req.Asked, pattern)
			for name, data := range files {
				at := pattern
				if !strings.HasPrefix(at, "/") {
					at = path.Join(dir, pattern)
				}
				if ok, _ := path.Match(at, path.Join(dir, name)); !ok {
					continue
				}
				if !slices.ContainsFunc(req.Files, func(f api.File) bool { return f.Path == name }) {
					req.Files = append(req.Files, api.File{Path: name, Data: data})
				}
			}
		}
	}
	t.Fatal("the import never stops asking")
	return nil, nil
}

func readTestdata(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// messages returns the messages of all errors, joined by lines.
func messages(err error) string {
	var out []string
	for _, e := range AllErrors(err) {
		out = append(out, e.Error())
	}
	if len(out) == 0 && err != nil {
		return "not a profile error: " + err.Error()
	}
	return strings.Join(out, "\n")
}

var errDisk = errors.New("disk full")
