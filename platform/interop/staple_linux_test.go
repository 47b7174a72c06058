package interop_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// TestOCSPBrought is our gateway that asks OpenSSL's OCSP server about its own
// certificates and brings the answers along, within IKE (RFC 4806) and within
// EAP-TLS; our client believes them and asks nobody.
func TestOCSPBrought(t *testing.T) {
	l := lab.New(t)
	pki := lab.NewPKI(t)
	url := []string{"http://" + ocspAt + "/"}
	pki.Issue(t, lab.Leaf{Name: "gw-good", Issuer: "ca-ecdsa256", Key: "ecdsa256", SANs: []string{"good.vpn.test", "users.vpn.test"}, OCSP: url})
	pki.Issue(t, lab.Leaf{Name: "gw-revoked", Issuer: "ca-ecdsa256", Key: "ecdsa256", SANs: []string{"revoked.vpn.test"}, OCSP: url})
	pki.Issue(t, lab.Leaf{Name: "alice", Issuer: "ca-ecdsa256", Key: "ecdsa256", SANs: []string{"alice"}, Client: true})

	server := ocspServer(t, l, pki, pki.OCSPIndex(t, "gw-good", false)+pki.OCSPIndex(t, "gw-revoked", true))

	dir := l.Dir("responder")
	pki.Install(t, dir, []string{"gw-good", "gw-revoked", "ca-ecdsa256"}, []string{"gw-good", "gw-revoked"})
	writeFile(t, filepath.Join(dir, "shared"), "correct horse battery staple")
	writeFile(t, filepath.Join(dir, "people.toml"), "[[users]]\nname = \"alice\"\npassword = \"not this way\"\n")
	gw := l.Gateway.Service("gateway")
	for name, remote := range map[string]string{
		"good":    "method = \"psk\"\nid = \"alice@vpn.test\"\nsecret = \"shared\"",
		"revoked": "method = \"psk\"\nid = \"alice@vpn.test\"\nsecret = \"shared\"",
		"users":   "method = \"eap\"\ncas = [\"x509ca/ca-ecdsa256.crt\"]\nusers = \"people.toml\"\n[remote.eap]\nmethods = [\"tls\"]",
	} {
		cert := strings.Replace(name, "users", "good", 1)
		file := filepath.Join(dir, name+".toml")
		writeFile(t, file, fmt.Sprintf(`version = 1
name = "%s"
role = "responder"
[local]
method = "certificate"
id = "%s.vpn.test"
certificates = ["x509/gw-%s.crt", "x509ca/ca-ecdsa256.crt"]
key = "private/gw-%s.key"
[remote]
%s
[[children]]
name = "net"
local_ts = ["10.10.0.0/16", "fd00:10::/64"]
[[pools]]
name = "%s"
addresses = "10.20.%d.0/24"
`, name, name, cert, cert, remote, name, len(name)))
		gw.Must("import", file)
	}
	// The gateway asks when it begins to listen.
	told := func() int { return strings.Count(gw.Must("log"), "tells the state of our own certificate") }
	for end := time.Now().Add(5 * time.Second); told() < 3 && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	if told() != 3 || !strings.Contains(gw.Must("log"), "our own certificate was revoked") {
		t.Fatalf("told %d times\n%s\n%s", told(), gw.Must("log"), server.Log())
	}

	for _, tt := range []struct {
		gateway, policy string
		code            api.ErrorCode // empty: it connects
	}{
		{"good", "strict", ""},
		{"users", "strict", ""},
		{"revoked", "soft", api.CodePeerRevoked},
	} {
		t.Run(tt.gateway, func(t *testing.T) {
			l := l.For(t)
			home := l.Dir("brought-" + tt.gateway)
			pki.Install(t, home, []string{"ca-ecdsa256", "alice"}, []string{"alice"})
			local := "method = \"psk\"\nid = \"alice@vpn.test\""
			if tt.gateway == "users" {
				local = "method = \"eap\"\nuser = \"alice\"\ncertificates = [\"x509/alice.crt\"]\nkey = \"private/alice.key\"\n[local.eap]\nmethods = [\"tls\"]"
			}
			file := filepath.Join(home, "office.toml")
			writeFile(t, file, fmt.Sprintf(`version = 1
name = "office"
gateways = ["198.51.100.1"]
virtual_ips = ["0.0.0.0"]
[local]
%s
[remote]
method = "certificate"
id = "%s.vpn.test"
cas = ["x509ca/ca-ecdsa256.crt"]
revocation = "%s"
[[children]]
name = "net"
remote_ts = ["10.10.0.0/16"]
`, local, tt.gateway, tt.policy))
			s := l.Client.Service("brought-" + tt.gateway)
			cmd := s.Command("import", "--password-stdin", file)
			cmd.Stdin = strings.NewReader("correct horse battery staple")
			if tt.gateway == "users" {
				cmd = s.Command("import", file)
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("import: %v\n%s", err, out)
			}
			if tt.code != "" {
				if e, _ := s.Error("connect", "office", "--wait", "20s"); e.Code != tt.code {
					t.Errorf("%+v\n%s", e, gw.Must("log"))
				}
			} else {
				s.Must("connect", "office", "--wait", "20s")
				if page, err := l.Client.Get(lab.InsideV4, "/", 5*time.Second); err != nil || !strings.Contains(page, lab.Marker) {
					t.Errorf("through the tunnel came %q, %v\n%s", page, err, gw.Must("log"))
				}
			}
			if log := s.Must("log"); strings.Contains(log, "asking http") {
				t.Errorf("the client asks although it was told\n%s\n%s\n%s", log, gw.Must("log"), server.Log())
			}
			s.CLI("disconnect", "office")
		})
	}
}
