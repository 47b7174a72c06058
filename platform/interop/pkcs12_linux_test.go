package interop_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/platform/internal/lab"
)

// The passwords of these files. They hold what encodings write in their own ways.
const (
	containerPassword      = `canary container <"quoted" & \\> 1`
	wrongContainerPassword = `canary container <"quoted" & \\> 2`
)

// TestPKCS12 connects with certificate, intermediate and key out of one file
// that OpenSSL has made, in the old encryption and in the new one, and looks for
// its password in everything that the service tells.
func TestPKCS12(t *testing.T) {
	l := lab.New(t)
	pki := newPKI(t)
	gw := newGateway(t, l, pki)
	for _, kind := range []string{"old", "new"} {
		t.Run(kind, func(t *testing.T) {
			l := l.For(t)
			dir := l.SwanDir("p12-"+kind, "")
			pki.Install(t, dir, []string{"alice-inter", "inter", "ca-ecdsa256"}, []string{"alice-inter"})
			args := []string{"pkcs12", "-export", "-in", "x509/alice-inter.crt", "-certfile", findFile(t, dir, "inter.crt"),
				"-inkey", "private/alice-inter.key", "-passout", "pass:" + containerPassword, "-out", "alice.p12"}
			if kind == "old" {
				args = append(args, "-legacy")
			}
			openssl := exec.Command("openssl", args...)
			openssl.Dir = dir
			if out, err := openssl.CombinedOutput(); err != nil {
				t.Fatalf("openssl: %v\n%s", err, out)
			}
			file := filepath.Join(dir, "office.toml")
			writeFile(t, file, `version = 1
name = "office"
gateways = ["198.51.100.1"]
virtual_ips = ["0.0.0.0", "::"]
[local]
method = "certificate"
id = "alice@vpn.test"
key = "alice.p12"
[remote]
method = "certificate"
id = "inter.vpn.test"
cas = ["x509ca/ca-ecdsa256.crt"]
[[children]]
name = "net"
remote_ts = ["10.10.0.0/16", "fd00:10::/64"]
`)
			s := l.Client.Service("p12-" + kind)
			var said []byte
			for password, good := range map[string]bool{containerPassword: true, wrongContainerPassword: false} {
				cmd := s.Command("import", "--dry-run", "--password-stdin", file)
				cmd.Stdin = strings.NewReader(password)
				out, err := cmd.CombinedOutput()
				said = append(said, out...)
				if (err == nil) != good || !good && !strings.Contains(string(out), "passphrase does not open") {
					t.Errorf("with %q: %v\n%s", password, err, out)
				}
			}
			cmd := s.Command("import", "--password-stdin", file)
			cmd.Stdin = strings.NewReader(containerPassword)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("import: %v\n%s", err, out)
			}
			mark := gw.Mark()
			s.Must("connect", "office", "--wait", "20s")
			page, err := l.Client.Get(lab.InsideV4, "/", 5*time.Second)
			if err != nil || !strings.Contains(page, lab.Marker) {
				t.Errorf("through the tunnel came %q, %v\n%s", page, err, gw.Since(mark))
			}
			mustNotTell(t, "the user's service", s, append(said, out...), containerPassword, wrongContainerPassword)
			s.Must("disconnect", "office")
		})
	}
}

// findFile returns where below dir a certificate was put.
func findFile(t *testing.T, dir, name string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "x509*", name))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s is at %q: %v", name, found, err)
	}
	return found[0]
}
