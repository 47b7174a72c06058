package interop_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// issueWeak has OpenSSL issue a certificate and its key into a folder of
// swanctl, where the authority lies already.
func issueWeak(t *testing.T, dir, name, ca string, bits int, hash string) {
	t.Helper()
	ext := filepath.Join(dir, name+".ext")
	writeFile(t, ext, "subjectAltName = DNS:"+name+".vpn.test\nextendedKeyUsage = serverAuth\nkeyUsage = digitalSignature\n")
	for _, args := range [][]string{
		{"req", "-new", "-newkey", fmt.Sprintf("rsa:%d", bits), "-nodes", "-subj", "/C=CH/CN=" + name, "-keyout", "private/" + name + ".key", "-out", name + ".csr"},
		{"x509", "-req", "-in", name + ".csr", "-CA", "x509ca/" + ca + ".crt", "-CAkey", "private/" + ca + ".key", "-set_serial", "77", "-days", "30",
			hash, "-extfile", ext, "-out", "x509/" + name + ".crt"},
	} {
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
}

// TestWeakCertificates connects to gateways whose certificates are weak: they are
// refused, with the setting that would accept them, and accepted with it. One
// shows its certificate a second time, as the server within TTLS.
func TestWeakCertificates(t *testing.T) {
	l := lab.New(t)
	pki := lab.NewPKI(t)
	names := []string{"small", "sha1", "inner"}
	var conns strings.Builder
	for _, n := range names {
		remote := "auth = psk"
		if n == "inner" {
			remote = "auth = eap-ttls\n      eap_id = %any"
		}
		fmt.Fprintf(&conns, "  %s : conn-defaults {\n    local {\n      auth = pubkey\n      id = %s.vpn.test\n      certs = %s.crt\n    }\n    remote {\n      %s\n    }\n  }\n", n, n, n, remote)
	}
	defaults, _, _ := strings.Cut(gatewayConf, "connections {")
	_, pools, _ := strings.Cut(gatewayConf, "\npools {")
	conf := defaults + "connections {\n" + conns.String() + "}\npools {" + pools
	conf = strings.Replace(conf, "secrets {\n", fmt.Sprintf("secrets {\n  eap-alice {\n    id = alice\n    secret = \"%s\"\n  }\n", userPassword), 1)
	dir := l.SwanDir("gateway", conf)
	pki.Install(t, dir, []string{"ca-rsa"}, []string{"ca-rsa"})
	if err := os.MkdirAll(filepath.Join(dir, "x509"), 0o755); err != nil {
		t.Fatal(err)
	}
	issueWeak(t, dir, "small", "ca-rsa", 1024, "-sha256")
	issueWeak(t, dir, "sha1", "ca-rsa", 2048, "-sha1")
	issueWeak(t, dir, "inner", "ca-rsa", 1024, "-sha1")
	gw := l.Gateway.StrongSwan(dir, "plugins { eap-ttls { phase2_method = mschapv2 } }")

	for _, tt := range []struct {
		gateway string
		marks   []string
	}{
		{"small", []string{"RSA-1024"}},
		{"sha1", []string{"SHA1-RSA"}},
		{"inner", []string{"RSA-1024", "SHA1-RSA"}},
	} {
		t.Run(tt.gateway, func(t *testing.T) {
			l := l.For(t)
			s := l.Client.Service("weak-" + tt.gateway)
			home := l.Dir("weak-" + tt.gateway)
			pki.Install(t, home, []string{"ca-rsa"}, nil)
			file := filepath.Join(home, "office.toml")
			store := func(setting string) {
				t.Helper()
				local, password := "method = \"psk\"\nid = \"alice@vpn.test\"", "correct horse battery staple"
				if tt.gateway == "inner" {
					local, password = "method = \"eap\"\nuser = \"alice\"\neap = { methods = [\"ttls\"] }", userPassword
				}
				writeFile(t, file, fmt.Sprintf(`version = 1
name = "office"
gateways = ["198.51.100.1"]
virtual_ips = ["0.0.0.0", "::"]
[local]
%s
[remote]
method = "certificate"
id = "%s.vpn.test"
cas = ["x509ca/ca-rsa.crt"]
%s
[[children]]
name = "net"
remote_ts = ["10.10.0.0/16", "fd00:10::/64"]
`, local, tt.gateway, setting))
				for _, dry := range []bool{true, false} {
					args := []string{"import", "--replace", "--password-stdin", file}
					if dry {
						args = append(args, "--dry-run")
					}
					cmd := s.Command(args...)
					cmd.Stdin = strings.NewReader(password)
					out, err := cmd.CombinedOutput()
					if err != nil {
						t.Fatalf("import: %v\n%s", err, out)
					}
					if dry && strings.Contains(string(out), "WEAK") != (setting != "") {
						t.Errorf("the preview marks it as weak, or not:\n%s", out)
					}
				}
			}
			store("")
			begun := time.Now()
			e, _ := s.Error("connect", "office", "--profile", "require", "--wait", "20s")
			if e.Code != api.CodePeerWeak || !strings.Contains(e.Next, "weak_certificates = true") || !strings.Contains(e.Why, tt.gateway) {
				t.Errorf("%+v", e)
			}
			if d := time.Since(begun); d > 5*time.Second {
				t.Errorf("explained after %v", d)
			}
			s.CLI("disconnect", "office")

			store("weak_certificates = true")
			mark := gw.Mark()
			s.Must("connect", "office", "--profile", "require", "--wait", "20s")
			if page, err := l.Client.Get(lab.InsideV4, "/", 5*time.Second); err != nil || !strings.Contains(page, lab.Marker) {
				t.Errorf("through the tunnel came %q, %v\n%s", page, err, gw.Since(mark))
			}
			log := s.Must("log")
			for _, m := range tt.marks {
				if !slices.ContainsFunc(s.Connection("office").Warnings, func(w string) bool { return strings.HasPrefix(w, "Weak: ") && strings.Contains(w, m) }) {
					t.Errorf("no warning of %s in %q", m, s.Connection("office").Warnings)
				}
				if !strings.Contains(log, m) {
					t.Errorf("no %s in the log\n%s", m, log)
				}
			}
			s.Must("disconnect", "office")
		})
	}
}
