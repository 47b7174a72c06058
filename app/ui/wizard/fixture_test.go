package wizard

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// pems are certificates and keys made once for the pictures.
var pems = sync.OnceValue(func() map[string][]byte {
	m := map[string][]byte{}
	for name, file := range map[string]string{"ca": "ca.pem", "cert": "alice.crt", "key": "alice.key", "sealed": "alice-sealed.key"} {
		b, err := os.ReadFile(filepath.Join("testdata", "pki", file))
		if err != nil {
			panic(err)
		}
		m[name] = b
	}
	return m
})

// folder holds files to import.
func folder(t *testing.T) string {
	dir := t.TempDir()
	for name, text := range map[string]string{"swanctl.conf": "connections {}\n", "broken.toml": "x\n", "locked.toml": "x\n", "office.toml": "x\n", "x509/ca.pem": "PEM\n"} {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// profileText is an export, with as many networks.
func profileText(networks int) string {
	var b strings.Builder
	b.WriteString("version = 1\nname = \"office\"\ngateways = [\"vpn.example.com\"]\nvirtual_ips = [\"0.0.0.0\", \"::\"]\n[local]\nmethod = \"psk\"\nid = \"alice@example.com\"\n[remote]\nmethod = \"psk\"\n[[children]]\nname = \"main\"\n")
	if networks > 0 {
		b.WriteString("remote_ts = [")
		for i := range networks {
			fmt.Fprintf(&b, "\"10.%d.0.0/16\", ", i)
		}
		b.WriteString("]\n")
	}
	return b.String()
}
