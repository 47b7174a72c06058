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

// A wrongCredential is a way to prove oneself, and a credential that does not.
type wrongCredential struct {
	name    string
	gateway string // its remote sections in swanctl.conf
	local   string // ours in the profile
	code    api.ErrorCode
	says    string // of the explanation
	radius  bool   // FreeRADIUS refuses it
}

func wrongCredentials() []wrongCredential {
	const (
		certificate = "remote {\n auth = pubkey\n cacerts = ca-rsa.crt\n revocation = strict\n }\n"
		users       = "remote {\n auth = eap-radius\n eap_id = %any\n }\n"
	)
	own := func(name string) string {
		return fmt.Sprintf("method = \"certificate\"\nid = \"alice@vpn.test\"\ncertificates = [\"x509/%s.crt\"]\nkey = \"private/%s.key\"\n", name, name)
	}
	user := func(method, more string) string {
		return "method = \"eap\"\nid = \"alice\"\nuser = \"alice\"\nsecret = \"password\"\n" + more + "[local.eap]\nserver = \"radius.vpn.test\"\nmethods = [\"" + method + "\"]\n"
	}
	return []wrongCredential{
		{"psk", "remote {\n auth = psk\n id = alice@vpn.test\n }\n", "method = \"psk\"\nid = \"alice@vpn.test\"\nsecret = \"password\"\n", api.CodeAuthRefused, "pre-shared key of \"alice@vpn.test\"", false},
		{"unknown", certificate, own("stranger"), api.CodeAuthRefused, "certificate of C=CH, O=Sallyport Lab, CN=stranger", false},
		{"revoked", certificate, own("revoked"), api.CodeAuthRefused, "certificate of C=CH, O=Sallyport Lab, CN=revoked", false},
		{"expired", certificate, own("expired"), api.CodeAuthRefused, "valid from", false},
		{"mschapv2", users, user("mschapv2", ""), api.CodePasswordRefused, "name and password", true},
		{"gtc", users, user("gtc", ""), api.CodePasswordRefused, "name and password", true},
		{"tls", users, strings.Replace(user("tls", "certificates = [\"x509/stranger.crt\"]\nkey = \"private/stranger.key\"\n"), "secret = \"password\"\n", "", 1), api.CodePasswordRefused, "user's certificate", true},
		{"ttls", users, user("ttls", ""), api.CodePasswordRefused, "name and password", true},
		{"peap", users, user("peap", ""), api.CodePasswordRefused, "name and password", true},
		{"both", strings.Replace(certificate, "remote {", "remote-1 {", 1) + "remote-2 {\n auth = eap-mschapv2\n eap_id = %any\n }\n", own("good") + "user = \"alice\"\nsecret = \"password\"\n", api.CodePasswordRefused, "name and password", false},
	}
}

// TestWrongCredentials proves itself to strongSwan, and to FreeRADIUS behind it,
// with one wrong credential of each kind: each is explained within five seconds,
// and the gateway hears of each once, however long a required connection is left
// to itself: accounts are locked after a few.
func TestWrongCredentials(t *testing.T) {
	l := lab.New(t)
	pki := radiusPKI(t)
	cases := wrongCredentials()
	var sans []string
	for _, c := range cases {
		sans = append(sans, c.name+".vpn.test")
	}
	pki.Issue(t, lab.Leaf{Name: "gw", Issuer: "ca-ecdsa256", Key: "ecdsa256", SANs: sans})
	who := []string{"alice@vpn.test", "alice"}
	pki.Issue(t, lab.Leaf{Name: "good", Issuer: "ca-rsa", Key: "ecdsa256", SANs: who, Client: true})
	pki.Issue(t, lab.Leaf{Name: "revoked", Issuer: "ca-rsa", Key: "ecdsa256", SANs: who, Client: true})
	pki.Issue(t, lab.Leaf{Name: "stranger", Issuer: "ca-other", Key: "rsa", SANs: who, Client: true})
	pki.Issue(t, lab.Leaf{Name: "expired", Issuer: "ca-rsa", Key: "ecdsa256", SANs: who, Client: true, NotBefore: longAgo, NotAfter: longAgo.AddDate(1, 0, 0)})

	defaults, _, _ := strings.Cut(gatewayConf, "connections {")
	_, pools, _ := strings.Cut(gatewayConf, "\npools {")
	conf := defaults + "connections {\n"
	for _, c := range cases {
		conf += fmt.Sprintf("  %s : conn-defaults {\n local {\n auth = pubkey\n id = %s.vpn.test\n certs = gw.crt\n }\n %s }\n", c.name, c.name, c.gateway)
	}
	conf += "}\npools {" + pools
	conf = strings.Replace(conf, "secrets {\n", fmt.Sprintf("secrets {\n  eap-alice {\n    id = alice\n    secret = \"%s\"\n  }\n", userPassword), 1)
	dir := l.SwanDir("gateway", conf)
	pki.Install(t, dir, []string{"gw", "ca-rsa", "ca-ecdsa256"}, []string{"gw"})
	crls := filepath.Join(dir, "x509crl")
	if err := os.MkdirAll(crls, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(crls, "ca-rsa.crl"), pki.CRL(t, "ca-rsa", "revoked"), 0o600); err != nil {
		t.Fatal(err)
	}
	gw := l.Gateway.StrongSwan(dir, fmt.Sprintf(`plugins { eap-radius { servers { inside { address = %s
      secret = "%s" } } } }`, lab.InsideV4, lab.RADIUSSecret))
	server := newRADIUS(t, l, pki, "1.2")

	files := l.Dir("wrong")
	pki.Install(t, files, []string{"good", "revoked", "stranger", "expired", "ca-ecdsa256"}, []string{"good", "revoked", "stranger", "expired"})
	if err := os.WriteFile(filepath.Join(files, "password"), []byte("this is not the right one"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := l.Client.Service("wrong")
	tries := func(name string) int {
		return strings.Count(gw.Log(), "["+name+".vpn.test]...198.51.100.100[")
	}
	refused := func() int { return strings.Count(server.Log(), "Sent Access-Reject") }
	wanted := 0
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(files, c.name+".toml")
			text := fmt.Sprintf("version = 1\nname = %q\nprofile = \"require\"\ngateways = [\"198.51.100.1\"]\nvirtual_ips = [\"0.0.0.0\"]\n[local]\n%s[remote]\nmethod = \"certificate\"\nid = \"%s.vpn.test\"\ncas = [\"x509ca/ca-ecdsa256.crt\"]\n[[children]]\nname = \"net\"\nremote_ts = [\"10.10.%d.0/24\"]\n",
				c.name, c.local, c.name, i)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			s.Must("import", file)
			begun := time.Now()
			e, exit := s.Error("connect", c.name, "--wait", "10s")
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("explained after %v", took)
			}
			if exit != 1 || e.Code != c.code || !strings.Contains(e.Why, c.says) || e.What == "" || e.Next == "" {
				t.Errorf("exit %d: %+v\n%s", exit, e, tail(gw.Log(), 20))
			}
			if c.radius {
				wanted++
			}
		})
	}
	// They are all required, and all have failed. Nothing tries again.
	time.Sleep(6 * time.Second)
	for _, c := range cases {
		if n := tries(c.name); n != 1 {
			t.Errorf("%s: the gateway saw %d tries", c.name, n)
		}
		if st := s.Connection(c.name); st.Problem == nil || st.Problem.Code != c.code {
			t.Errorf("%s is %s: %v", c.name, st.State, st.Problem)
		}
	}
	if n := refused(); n != wanted {
		t.Errorf("FreeRADIUS refused %d times, of %d wrong credentials", n, wanted)
	}
}
