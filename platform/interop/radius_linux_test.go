package interop_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// radiusUsers is FreeRADIUS's users file.
const radiusUsers = `alice Cleartext-Password := "` + userPassword + `"
	Class := "staff"

bob Cleartext-Password := "` + userPassword + `"
	Class := "guests"
`

// newRADIUS starts FreeRADIUS in the network behind the gateway.
func newRADIUS(t *testing.T, l *lab.Lab, pki *lab.PKI, tls string) *lab.Process {
	t.Helper()
	dir := l.Dir("radius-" + tls)
	pki.Install(t, dir, []string{"radius", "ca-ecdsa256"}, []string{"radius"})
	return l.Inside.FreeRADIUS(dir, "radius", "ca-ecdsa256", radiusUsers, tls)
}

func radiusPKI(t *testing.T) *lab.PKI {
	t.Helper()
	p := eapPKI(t)
	p.Issue(t, lab.Leaf{Name: "radius", Issuer: "ca-ecdsa256", Key: "rsa", SANs: []string{"radius.vpn.test"}})
	p.Issue(t, lab.Leaf{Name: "gw-users", Issuer: "ca-ecdsa256", Key: "ecdsa256", SANs: []string{"users.vpn.test", "radius-users.vpn.test"}})
	return p
}

// userProfile is a profile of our own format for a user.
func userProfile(gateway, user string, methods, inner []string) string {
	s := fmt.Sprintf(`version = 1
name = "office"
gateways = ["198.51.100.1"]
virtual_ips = ["0.0.0.0", "::"]
[local]
method = "eap"
user = %q
`, user)
	if slices.Contains(methods, "tls") {
		s += "certificates = [\"x509/alice.crt\"]\nkey = \"private/alice.key\"\n"
	}
	s += fmt.Sprintf("[local.eap]\nserver = \"radius.vpn.test\"\nmethods = [%s]\n", quoted(methods))
	if len(inner) > 0 {
		s += fmt.Sprintf("inner = [%s]\n", quoted(inner))
	}
	return s + fmt.Sprintf(`[remote]
method = "certificate"
id = "%s"
cas = ["x509ca/ca-ecdsa256.crt"]
[[children]]
name = "net"
remote_ts = ["10.10.0.0/16", "fd00:10::/64"]
`, gateway)
}

func quoted(list []string) string {
	var out []string
	for _, s := range list {
		out = append(out, fmt.Sprintf("%q", s))
	}
	return strings.Join(out, ", ")
}

// eapMethods are the ways of a user through RADIUS.
var eapMethods = []struct {
	methods, inner []string
	tls            string // the newest version that the server speaks
}{
	{[]string{"mschapv2"}, nil, "1.2"},
	{[]string{"gtc"}, nil, "1.2"},
	{[]string{"tls"}, nil, "1.2"},
	{[]string{"ttls"}, []string{"mschapv2"}, "1.2"},
	{[]string{"ttls"}, []string{"pap"}, "1.2"},
	{[]string{"ttls"}, []string{"gtc"}, "1.2"},
	{[]string{"peap"}, []string{"mschapv2"}, "1.2"},
	{[]string{"peap"}, []string{"gtc"}, "1.2"},
	{[]string{"tls"}, nil, "1.3"},
	{[]string{"ttls"}, []string{"mschapv2"}, "1.3"},
	{[]string{"peap"}, []string{"mschapv2"}, "1.3"},
}

// asUser connects with one method and fetches a page through the tunnel.
func asUser(t *testing.T, l *lab.Lab, pki *lab.PKI, name, profile, password string) (*lab.Service, lab.Result) {
	t.Helper()
	dir := l.Dir("user-" + name)
	pki.Install(t, dir, []string{"alice", "ca-ecdsa256"}, []string{"alice"})
	file := filepath.Join(dir, "office.toml")
	if err := os.WriteFile(file, []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
	s := l.Client.Service("user-" + name)
	if strings.Contains(profile, `methods = ["tls"]`) {
		s.Must("import", file)
	} else {
		cmd := s.Command("import", file, "--password-stdin")
		cmd.Stdin = strings.NewReader(password + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("import: %v: %s", err, out)
		}
	}
	return s, s.CLI("connect", "office", "--wait", "20s", "--json")
}

// TestFreeRADIUSBehindStrongSwan connects to strongSwan whose users FreeRADIUS
// knows, with every method.
func TestFreeRADIUSBehindStrongSwan(t *testing.T) {
	l := lab.New(t)
	pki := radiusPKI(t)
	defaults, _, _ := strings.Cut(gatewayConf, "connections {")
	_, pools, _ := strings.Cut(gatewayConf, "\npools {")
	dir := l.SwanDir("gateway", defaults+`connections {
  users : conn-defaults {
    local {
      auth = pubkey
      id = users.vpn.test
      certs = gw-users.crt
    }
    remote {
      auth = eap-radius
      eap_id = %any
    }
  }
}
pools {`+pools)
	pki.Install(t, dir, []string{"gw-users", "ca-ecdsa256"}, []string{"gw-users"})
	gw := l.Gateway.StrongSwan(dir, fmt.Sprintf(`plugins { eap-radius { servers { inside { address = %s
      secret = "%s" } } } }`, lab.InsideV4, lab.RADIUSSecret))
	throughRADIUS(t, l, pki, "users.vpn.test", func() string { return gw.Log() })
}

// throughRADIUS connects with every method to a gateway whose users FreeRADIUS
// knows, and with a wrong password.
func throughRADIUS(t *testing.T, l *lab.Lab, pki *lab.PKI, gateway string, log func() string) {
	var server *lab.Process
	version := ""
	for _, m := range eapMethods {
		name := strings.Join(append(slices.Clone(m.methods), m.inner...), "-") + "-tls" + m.tls
		if m.tls != version {
			if server != nil {
				server.Stop()
			}
			server, version = newRADIUS(t, l, pki, m.tls), m.tls
		}
		t.Run(name, func(t *testing.T) {
			l := l.For(t)
			s, r := asUser(t, l, pki, name, userProfile(gateway, "alice", m.methods, m.inner), userPassword)
			if r.Exit != 0 {
				t.Fatalf("%s%s\n%s\n%s", r.Out, r.Err, log(), tail(server.Log(), 60))
			}
			if page, err := l.Client.Get(lab.InsideV4, "/", 5*time.Second); err != nil || !strings.Contains(page, lab.Marker) {
				t.Errorf("through the tunnel came %q, %v", page, err)
			}
			s.Must("disconnect", "office")
			s.Stop()
			if m.methods[0] == "tls" {
				return
			}
			begun := time.Now()
			s, r = asUser(t, l, pki, name+"-wrong", userProfile(gateway, "alice", m.methods, m.inner), "wrong")
			if r.Exit != 1 || !strings.Contains(r.Out, string(api.CodePasswordRefused)) {
				t.Errorf("wrong password: exit %d, %s%s", r.Exit, r.Out, r.Err)
			}
			if d := time.Since(begun); d > 5*time.Second {
				t.Errorf("the wrong password was explained after %v", d)
			}
			s.Stop()
		})
	}
}

func tail(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// responderProfile is ours as the gateway, whose users a list or FreeRADIUS knows.
func responderProfile(name, id, remote string) string {
	return fmt.Sprintf(`version = 1
name = "%s"
role = "responder"
[local]
method = "certificate"
id = "%s"
certificates = ["x509/gw-users.crt"]
key = "private/gw-users.key"
[remote]
method = "eap"
cas = ["x509ca/ca-ecdsa256.crt"]
%s
[[children]]
name = "net"
local_ts = ["10.10.0.0/16", "fd00:10::/64"]
[[pools]]
name = "staff"
addresses = "10.20.1.0/24"
groups = ["staff"]
[[pools]]
name = "v4"
addresses = "10.20.2.0/24"
[[pools]]
name = "v6"
addresses = "fd00:20::/120"
`, name, id, remote)
}

// userGateway starts our service as a gateway that asks its users.
func userGateway(t *testing.T, l *lab.Lab, pki *lab.PKI) *lab.Service {
	t.Helper()
	dir := l.Dir("responder")
	pki.Install(t, dir, []string{"gw-users", "ca-ecdsa256"}, []string{"gw-users"})
	for name, text := range map[string]string{
		"users.toml": fmt.Sprintf("[[users]]\nname = \"alice\"\npassword = %q\ngroups = [\"staff\"]\n[[users]]\nname = \"bob\"\npassword = %q\n", userPassword, userPassword),
		"shared":     lab.RADIUSSecret + "\n",
		"list.toml":  responderProfile("list", "users.vpn.test", "users = \"users.toml\"\n[remote.eap]\nmethods = [\"mschapv2\", \"gtc\", \"tls\"]"),
		"radius.toml": responderProfile("radius", "radius-users.vpn.test", fmt.Sprintf("[remote.radius]\nservers = [%q]\nsecret = \"shared\"",
			lab.InsideV4)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := l.Gateway.Service("gateway")
	for _, name := range []string{"list", "radius"} {
		s.Must("import", filepath.Join(dir, name+".toml"))
		if c := s.Connection(name); c.State != api.Listening {
			t.Fatalf("gateway connection %s is %s: %v", name, c.State, c.Problem)
		}
	}
	return s
}

// TestFreeRADIUSBehindUs connects to our own responder whose users FreeRADIUS
// knows, with every method.
func TestFreeRADIUSBehindUs(t *testing.T) {
	l := lab.New(t)
	pki := radiusPKI(t)
	gw := userGateway(t, l, pki)
	throughRADIUS(t, l, pki, "radius-users.vpn.test", func() string { return gw.Must("log") })
}

// TestStrongSwanUserOfOurs is strongSwan as the client of our responder, with a
// user of its list and one of FreeRADIUS's, each with an address of its group.
func TestStrongSwanUserOfOurs(t *testing.T) {
	l := lab.New(t)
	pki := radiusPKI(t)
	gw := userGateway(t, l, pki)
	newRADIUS(t, l, pki, "1.2")
	for _, c := range []struct{ gateway, user, pool string }{
		{"users", "alice", "10.20.1.0/24"}, {"users", "bob", "10.20.2.0/24"},
		{"radius-users", "alice", "10.20.1.0/24"}, {"radius-users", "bob", "10.20.2.0/24"},
	} {
		t.Run(c.gateway+" "+c.user, func(t *testing.T) {
			l := l.For(t)
			dir := l.SwanDir("swan-"+c.gateway+"-"+c.user, eapConf(c.gateway, c.user, userPassword, ""))
			pki.Install(t, dir, []string{"ca-ecdsa256"}, nil)
			swan := l.Client.StrongSwan(dir)
			if err := swan.Initiate("office"); err != nil {
				t.Fatalf("%v\n%s", err, gw.Must("log"))
			}
			page, err := l.Client.Get(lab.InsideV4, "/ip", 5*time.Second)
			from, bad := netip.ParseAddr(strings.TrimSpace(page))
			if err != nil || bad != nil || !netip.MustParsePrefix(c.pool).Contains(from) {
				t.Errorf("the server sees %q, %v; the user belongs to %s", page, err, c.pool)
			}
			if err := swan.Terminate("office"); err != nil {
				t.Error(err)
			}
			swan.Stop()
		})
	}
}
