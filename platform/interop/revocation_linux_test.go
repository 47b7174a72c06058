package interop_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

const (
	crlAt  = "203.0.113.10:8081"
	ocspAt = "203.0.113.10:8082"
	deadAt = "203.0.113.10:8083"
)

// revocationPKI issues the certificates of gateways that say where their state
// is told.
func revocationPKI(t *testing.T) *lab.PKI {
	t.Helper()
	p := lab.NewPKI(t)
	crl, dead := []string{"http://" + crlAt + "/ca.crl"}, []string{"http://" + deadAt + "/"}
	for _, l := range []lab.Leaf{
		{Name: "gw-crl-good", CRL: crl}, {Name: "gw-crl-revoked", CRL: crl},
		{Name: "gw-ocsp-good", OCSP: []string{"http://" + ocspAt + "/"}}, {Name: "gw-ocsp-revoked", OCSP: []string{"http://" + ocspAt + "/"}},
		{Name: "gw-fallback", OCSP: dead, CRL: crl}, {Name: "gw-down", OCSP: dead, CRL: dead},
		{Name: "gw-inward", CRL: []string{"http://" + crlAt + "/inward"}},
		{Name: "gw-private", CRL: []string{"http://10.10.0.10/ca.crl"}},
	} {
		l.Issuer, l.Key = "ca-ecdsa256", "ecdsa256"
		l.SANs = []string{strings.TrimPrefix(l.Name, "gw-") + ".vpn.test"}
		p.Issue(t, l)
	}
	return p
}

// TestRevocation connects to gateways whose certificates were revoked, or not,
// by what servers outside of the tunnel tell, with a firewall that lets nothing
// else pass.
func TestRevocation(t *testing.T) {
	l := lab.New(t)
	pki := revocationPKI(t)
	var conns strings.Builder
	names := []string{"crl-good", "crl-revoked", "ocsp-good", "ocsp-revoked", "fallback", "down", "inward", "private"}
	certs := []string{"ca-ecdsa256"}
	var keys []string
	for _, n := range names {
		fmt.Fprintf(&conns, `  %s : conn-defaults {
    local {
      auth = pubkey
      id = %s.vpn.test
      certs = gw-%s.crt
    }
    remote {
      auth = psk
    }
  }
`, n, n, n)
		certs, keys = append(certs, "gw-"+n), append(keys, "gw-"+n)
	}
	defaults, _, _ := strings.Cut(gatewayConf, "connections {")
	_, pools, _ := strings.Cut(gatewayConf, "\npools {")
	dir := l.SwanDir("gateway", defaults+"connections {\n"+conns.String()+"}\npools {"+pools)
	pki.Install(t, dir, certs, keys)
	gw := l.Gateway.StrongSwan(dir, "")

	list := pki.CRL(t, "ca-ecdsa256", "gw-crl-revoked", "gw-fallback")
	var stranger atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/ca.crl", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(list) })
	mux.HandleFunc("/inward", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:8081/ca.crl", http.StatusFound)
	})
	l.Wan.Serve(mux, crlAt)
	l.Client.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { stranger.Add(1) }), "127.0.0.1:8081")

	ocspServer(t, l, pki, pki.OCSPIndex(t, "gw-ocsp-good", false)+pki.OCSPIndex(t, "gw-ocsp-revoked", true))

	for _, tt := range []struct {
		gateway, policy string
		code            api.ErrorCode // empty: it connects
		warns           string
	}{
		{"crl-good", "strict", "", ""},
		{"crl-revoked", "relaxed", api.CodePeerRevoked, ""},
		{"crl-revoked", "strict", api.CodePeerRevoked, ""},
		{"ocsp-good", "strict", "", ""},
		{"ocsp-revoked", "relaxed", api.CodePeerRevoked, ""},
		{"fallback", "relaxed", api.CodePeerRevoked, ""},
		{"down", "relaxed", "", "is not known"},
		{"down", "strict", api.CodeRevocationUnknown, ""},
		{"inward", "strict", api.CodeRevocationUnknown, ""},
		{"private", "strict", api.CodeRevocationUnknown, ""},
	} {
		t.Run(tt.gateway+", "+tt.policy, func(t *testing.T) {
			l := l.For(t)
			conf := pskConf("198.51.100.1", tt.gateway+".vpn.test", "", "remote_ts = 10.10.0.0/16, fd00:10::/64")
			conf = strings.Replace(conf, "    remote {\n      auth = psk\n", "    remote {\n      auth = pubkey\n      cacerts = ca-ecdsa256.crt\n      revocation = "+tt.policy+"\n", 1)
			dir := l.SwanDir("rev-"+tt.gateway+tt.policy, conf)
			pki.Install(t, dir, []string{"ca-ecdsa256"}, nil)
			s := l.Client.Service("rev-" + tt.gateway + tt.policy)
			s.Must("import", dir+"/swanctl.conf")
			mark := gw.Mark()
			begun := time.Now()
			if tt.code != "" {
				if e, _ := s.Error("connect", "office", "--profile", "require", "--wait", "20s"); e.Code != tt.code {
					t.Errorf("%+v\n%s", e, gw.Since(mark))
				}
				if d := time.Since(begun); d > 7*time.Second {
					t.Errorf("explained after %v", d)
				}
			} else {
				s.Must("connect", "office", "--profile", "require", "--wait", "20s")
				if page, err := l.Client.Get(lab.InsideV4, "/", 5*time.Second); err != nil || !strings.Contains(page, lab.Marker) {
					t.Errorf("through the tunnel came %q, %v\n%s", page, err, gw.Since(mark))
				}
			}
			if log := s.Must("log"); tt.warns != "" && !strings.Contains(log, tt.warns) {
				t.Errorf("no warning %q in\n%s", tt.warns, log)
			}
			if strings.Contains(s.Must("show", "dynamic"), crlAt) {
				t.Error("the firewall stays open for the server")
			}
			s.CLI("disconnect", "office")
		})
	}
	if n := stranger.Load(); n > 0 {
		t.Errorf("CVE-2022-40617: the service asked this machine %d times", n)
	}
}

// ocspServer starts an OCSP responder of the authority ca-ecdsa256 on port 8082 of
// the internet's server, with what it knows, and waits until it serves.
func ocspServer(t *testing.T, l *lab.Lab, pki *lab.PKI, index string) *lab.Process {
	t.Helper()
	dir := l.Dir("ocsp")
	pki.Install(t, dir, []string{"ca-ecdsa256"}, []string{"ca-ecdsa256"})
	file := filepath.Join(dir, "index.txt")
	writeFile(t, file, index)
	ca := filepath.Join(dir, "x509ca", "ca-ecdsa256.crt")
	server := l.Wan.Start("ocsp", lab.Command("openssl", "ocsp", "-port", "8082", "-index", file, "-CA", ca, "-rsigner", ca,
		"-rkey", filepath.Join(dir, "private", "ca-ecdsa256.key"), "-nmin", "5"))
	// It serves one after another: a connection that only looks would be in the way.
	waitFor(t, "the OCSP responder", func() bool { return strings.Contains(server.Log(), "ocsp: waiting") })
	return server
}
