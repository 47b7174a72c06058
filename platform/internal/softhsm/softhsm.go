// Package softhsm gives tests tokens in software (SoftHSM2), filled with opensc's
// pkcs11-tool.
package softhsm

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Module is where Debian and Ubuntu install the module.
const Module = "/usr/lib/softhsm/libsofthsm2.so"

// Tokens is a folder of tokens.
type Tokens struct {
	t    testing.TB
	dir  string
	conf string
}

// New returns a folder without tokens. A test that lacks the programs is skipped.
func New(t testing.TB, dir string) *Tokens {
	t.Helper()
	if _, err := os.Stat(Module); err != nil {
		t.Skip("SoftHSM is not installed (.ci/setup test)")
	}
	for _, p := range []string{"softhsm2-util", "pkcs11-tool"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed (.ci/setup test)", p)
		}
	}
	k := &Tokens{t: t, dir: filepath.Join(dir, "tokens"), conf: filepath.Join(dir, "softhsm2.conf")}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = true\n", k.dir)
	if err := os.WriteFile(k.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

// Env is the environment with which the module finds the tokens.
func (k *Tokens) Env() string { return "SOFTHSM2_CONF=" + k.conf }

func (k *Tokens) run(name string, args ...string) string {
	k.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), k.Env())
	out, err := cmd.CombinedOutput()
	if err != nil {
		k.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Init makes a token.
func (k *Tokens) Init(label, pin string) {
	k.t.Helper()
	k.run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", "12345678")
}

// Put puts a certificate and its key on a token, both by the ID and label.
func (k *Tokens) Put(token, pin string, id byte, label string, cert *x509.Certificate, key crypto.Signer) {
	k.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		k.t.Fatal(err)
	}
	k.PutFile(token, pin, id, label, "cert", cert.Raw)
	file := filepath.Join(filepath.Dir(k.dir), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		k.t.Fatal(err)
	}
	defer os.Remove(file)
	k.run("softhsm2-util", "--import", file, "--token", token, "--pin", pin, "--id", hex.EncodeToString([]byte{id}), "--label", label)
}

// PutFile puts an object on a token.
func (k *Tokens) PutFile(token, pin string, id byte, label, kind string, der []byte) {
	k.t.Helper()
	file := filepath.Join(filepath.Dir(k.dir), "object.der")
	if err := os.WriteFile(file, der, 0o600); err != nil {
		k.t.Fatal(err)
	}
	defer os.Remove(file)
	k.run("pkcs11-tool", "--module", Module, "--token-label", token, "--login", "--pin", pin,
		"--write-object", file, "--type", kind, "--id", hex.EncodeToString([]byte{id}), "--label", label)
}

// Remove takes all tokens away, as if they were pulled.
func (k *Tokens) Remove() {
	k.t.Helper()
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		k.t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(k.dir, e.Name())); err != nil {
			k.t.Fatal(err)
		}
	}
}
