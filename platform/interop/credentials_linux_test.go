package interop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
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

// TestCertificateChoice connects to strongSwan with two certificates that it
// both trusts: the user is asked, at the command line and over IPC, and the choice
// is remembered on request.
func TestCertificateChoice(t *testing.T) {
	l := lab.New(t)
	pki := newPKI(t)
	defaults, _, _ := strings.Cut(gatewayConf, "connections {")
	_, pools, _ := strings.Cut(gatewayConf, "\npools {")
	dir := l.SwanDir("gateway", defaults+`connections {
  both : conn-defaults {
    local {
      auth = pubkey
      id = rsa.vpn.test
      certs = gw-rsa.crt
    }
    remote {
      auth = pubkey
      cacerts = ca-rsa.crt, ca-ecdsa256.crt
    }
  }
}
pools {`+pools)
	pki.Install(t, dir, []string{"gw-rsa", "ca-rsa", "ca-ecdsa256"}, []string{"gw-rsa"})
	gw := l.Gateway.StrongSwan(dir, "")
	files := l.Dir("choice")
	pki.Install(t, files, []string{"alice-ecdsa256", "alice-rsa", "ca-rsa", "ca-ecdsa256"}, []string{"alice-ecdsa256", "alice-rsa"})
	file := filepath.Join(files, "office.toml")
	if err := os.WriteFile(file, []byte(`version = 1
name = "office"
gateways = ["198.51.100.1"]
virtual_ips = ["0.0.0.0"]

[local]
method = "certificate"
id = "alice@vpn.test"
certificates = ["x509/alice-ecdsa256.crt", "x509ca/ca-ecdsa256.crt"]
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
	s := l.Client.Service("choice")
	s.Must("import", file)
	proved := func(scheme string) {
		t.Helper()
		carriesPage(t, l)
		if got := s.Dynamic().IKESAs[0].LocalAuth; !strings.HasPrefix(got, scheme) {
			t.Errorf("authenticated with %s, not %s\n%s", got, scheme, gw.Log())
		}
		s.Must("disconnect", "office")
	}

	// Given up: the gateway has seen no certificate.
	mark := gw.Mark()
	q, done := prompted(t, s, api.PromptCertificate)
	if len(q.Choices) != 2 || q.Choices[0].Certificate == nil || q.Choices[0].Certificate.Issuer == q.Choices[1].Certificate.Issuer {
		t.Errorf("the question is %+v", q)
	}
	if out := s.Must("prompts"); !strings.Contains(out, q.Choices[1].Certificate.Issuer) || !strings.Contains(out, "valid 20") {
		t.Errorf("the command line shows of it\n%s", out)
	}
	s.Must("answer", q.ID, "--cancel")
	if e := api.AsError(<-done); e == nil || e.Code != api.CodeCancelled {
		t.Errorf("after giving up: %v", e)
	}
	if log := gw.Since(mark); strings.Contains(log, "IKE_AUTH") {
		t.Errorf("a certificate was shown all the same:\n%s", log)
	}

	for i, scheme := range []string{"ecdsa", "rsa"} {
		q, done := prompted(t, s, api.PromptCertificate)
		args := []string{"answer", q.ID, "--choice", fmt.Sprint(i + 1)}
		if i == 1 {
			args = append(args, "--remember")
		}
		s.Must(args...)
		if err := <-done; err != nil {
			t.Fatalf("%v\n%s", err, gw.Log())
		}
		proved(scheme)
	}
	s.Must("connect", "office", "--wait", "20s") // nobody is asked any more
	proved("rsa")
}
