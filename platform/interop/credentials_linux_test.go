package interop_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/platform/internal/lab"
)

// TestCredentialByCertReq connects to strongSwan with two certificates, of which
// it trusts the second only.
func TestCredentialByCertReq(t *testing.T) {
	l := lab.New(t)
	pki := newPKI(t)
	defaults, _, _ := strings.Cut(gatewayConf, "connections {")
	_, pools, _ := strings.Cut(gatewayConf, "\npools {")
	dir := l.SwanDir("gateway", defaults+`connections {
  rsa : conn-defaults {
    local {
      auth = pubkey
      id = rsa.vpn.test
      certs = gw-rsa.crt
    }
    remote {
      auth = pubkey
      cacerts = ca-rsa.crt
    }
  }
}
pools {`+pools)
	pki.Install(t, dir, []string{"gw-rsa", "ca-rsa"}, []string{"gw-rsa"})
	gw := l.Gateway.StrongSwan(dir, "")
	files := l.Dir("two")
	pki.Install(t, files, []string{"alice-ecdsa256", "alice-rsa", "ca-rsa"}, []string{"alice-ecdsa256", "alice-rsa"})
	file := filepath.Join(files, "office.toml")
	if err := os.WriteFile(file, []byte(`version = 1
name = "office"
gateways = ["198.51.100.1"]
virtual_ips = ["0.0.0.0"]

[local]
method = "certificate"
id = "alice@vpn.test"
certificates = ["x509/alice-ecdsa256.crt"]
key = "private/alice-ecdsa256.key"

[[local.more]]
id = "alice@vpn.test"
certificates = ["x509/alice-rsa.crt"]
key = "private/alice-rsa.key"

[remote]
method = "certificate"
id = "rsa.vpn.test"
cas = ["x509ca/ca-rsa.crt"]

[[children]]
name = "net"
remote_ts = ["10.10.0.0/16"]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := l.Client.Service("two")
	s.Must("import", file)
	mark := gw.Mark()
	s.Must("connect", "office", "--wait", "20s")
	page, err := l.Client.Get(lab.InsideV4, "/", 5*time.Second)
	if err != nil || !strings.Contains(page, lab.Marker) {
		t.Errorf("through the tunnel came %q, %v\n%s", page, err, gw.Since(mark))
	}
	if got := s.Dynamic().IKESAs[0].LocalAuth; !strings.HasPrefix(got, "rsa") {
		t.Errorf("authenticated with %s\n%s", got, gw.Since(mark))
	}
}
