package interop_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// second starts strongSwan as another gateway of the company: on the machine that
// is the NAT elsewhere.
func second(t *testing.T, l *lab.Lab, p *lab.PKI) *lab.StrongSwan {
	t.Helper()
	dir := l.SwanDir("second", strings.Replace(gatewayConf, "198.51.100.1, 2001:db8:1::1", lab.NATV4.String(), 1))
	names := []string{"gw-rsa", "gw-pss", "gw-ecdsa256", "gw-ecdsa384", "gw-ecdsa521", "gw-ed25519", "gw-inter", "gw-other", "gw-expired"}
	p.Install(t, dir, append([]string{"inter", "ca-rsa", "ca-ecdsa256", "ca-ecdsa384", "ca-ecdsa521", "ca-ed25519"}, names...), names)
	// It takes part in the network that it protects, as strongSwan wants to see.
	l.NAT.Run("ip addr add 10.10.0.2/16 dev lo")
	l.NAT.Run("ip addr add fd00:10::2/64 dev lo")
	return l.NAT.StrongSwan(dir)
}

// TestRedirectByStrongSwan sends our client, which is connected, from one
// strongSwan to another.
func TestRedirectByStrongSwan(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pki := newPKI(t)
	gw := newGateway(t, l, pki)
	second(t, l, pki)
	dir := l.SwanDir("client", pskConf("198.51.100.1", "psk.vpn.test", "", split))
	s := l.Client.Service("client")
	s.Must("import", dir+"/swanctl.conf")
	s.Must("connect", "office", "--wait", "20s")
	if out, err := gw.Ctl(10*time.Second, "--redirect", "--peer-id", "alice@vpn.test", "--gateway", lab.NATV4.String()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	at(t, s, lab.NATV4)
}

// at waits until the tunnel is up with a gateway.
func at(t *testing.T, s *lab.Service, gateway netip.Addr) {
	t.Helper()
	waitFor(t, "the tunnel with "+gateway.String(), func() bool {
		c := s.Connection("office")
		return c.State == api.Connected && strings.HasSuffix(c.Path, " "+gateway.String()+":4500")
	})
}

// TestRedirectByUs sends clients of our responder to a strongSwan: ours, and
// strongSwan's own.
func TestRedirectByUs(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pki := newPKI(t)
	gw := newResponder(t, l, pki, "", "")
	second(t, l, pki)
	file := filepath.Join(gw.Dir, "config", "connections", "psk.toml")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "[local]", "[ike]\nredirect = \""+lab.NATV4.String()+"\"\n\n[local]", 1)
	if strings.Contains(string(b), "[ike]") {
		text = strings.Replace(string(b), "[ike]\n", "[ike]\nredirect = \""+lab.NATV4.String()+"\"\n", 1)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	gw.Stop()
	gw.Start()
	dir := l.SwanDir("client", pskConf("198.51.100.1", "psk.vpn.test", "", split))
	s := l.Client.Service("client")
	s.Must("import", dir+"/swanctl.conf")
	s.Must("connect", "office", "--wait", "20s")
	at(t, s, lab.NATV4)
	if n := len(gw.Dynamic().IKESAs); n != 0 {
		t.Errorf("%d IKE SAs are left with the gateway that redirects", n)
	}
	s.Must("disconnect", "office")
	s.Stop()

	// strongSwan 5.9.8 believes us, and then dies of a double free: what it does with
	// the other gateway is not to be seen.
	swan := l.Client.StrongSwan(dir)
	_ = swan.Initiate("office")
	if !strings.Contains(swan.Log(), "redirected to "+lab.NATV4.String()) {
		t.Errorf("strongSwan's client:\n%s", swan.Log())
	}
}
