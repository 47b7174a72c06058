package interop_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// twoRoundsGateway starts our service as a gateway that asks for two proofs in
// turn: a certificate and a user of its list, a pre-shared key and a user of
// FreeRADIUS's.
func twoRoundsGateway(t *testing.T, l *lab.Lab, pki *lab.PKI) *lab.Service {
	t.Helper()
	dir := l.Dir("responder")
	pki.Install(t, dir, []string{"gw-users", "ca-ecdsa256"}, []string{"gw-users"})
	keyed := strings.Replace(responderProfile("keyed", "radius-users.vpn.test",
		fmt.Sprintf("secret = \"key\"\n[remote.radius]\nservers = [%q]\nsecret = \"shared\"", lab.InsideV4)), "method = \"eap\"\ncas = [\"x509ca/ca-ecdsa256.crt\"]", "method = \"psk\"", 1)
	for name, text := range map[string]string{
		"users.toml":     fmt.Sprintf("[[users]]\nname = \"alice\"\npassword = %q\ngroups = [\"staff\"]\n[[users]]\nname = \"bob\"\npassword = %q\n", userPassword, userPassword),
		"shared":         lab.RADIUSSecret + "\n",
		"key":            preSharedKey,
		"certified.toml": strings.Replace(responderProfile("certified", "users.vpn.test", "users = \"users.toml\""), "[remote]\nmethod = \"eap\"", "[remote]\nmethod = \"certificate\"", 1),
		"keyed.toml":     keyed,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := l.Gateway.Service("gateway")
	for _, name := range []string{"certified", "keyed"} {
		s.Must("import", filepath.Join(dir, name+".toml"))
		if c := s.Connection(name); c.State != api.Listening {
			t.Fatalf("gateway connection %s is %s: %v", name, c.State, c.Problem)
		}
	}
	return s
}

const preSharedKey = "a pre-shared key of many words"

// TestTwoRounds is strongSwan, and then our own client, before our responder
// that wants two proofs in turn (RFC 4739).
func TestTwoRounds(t *testing.T) {
	l := lab.New(t)
	pki := radiusPKI(t)
	gw := twoRoundsGateway(t, l, pki)
	newRADIUS(t, l, pki, "1.2")
	certificate, key := "    local-1 {\n      auth = pubkey\n      certs = alice.crt\n    }\n", "    local-1 {\n      auth = psk\n      id = laptop.vpn.test\n    }\n"
	user := func(name string) string {
		return fmt.Sprintf("    local-2 {\n      auth = eap\n      eap_id = %s\n      id = %s\n    }\n", name, name)
	}
	for _, c := range []struct {
		name, gateway, rounds, password string
		pool                            string // empty: refused
		why                             string // what the gateway says of it
	}{
		{"certificate and user", "users", certificate + user("alice"), userPassword, "10.20.1.0/24", "then EAP-MSCHAPv2 (alice)"},
		{"another user's machine", "users", certificate + user("bob"), userPassword, "10.20.2.0/24", "then EAP-MSCHAPv2 (bob)"},
		{"key and user of RADIUS", "radius-users", key + user("alice"), userPassword, "10.20.1.0/24", "PSK, then EAP-RADIUS (alice)"},
		{"certificate alone", "users", certificate, userPassword, "", "its user has to after that"},
		{"user alone", "users", strings.Replace(user("alice"), "local-2", "local", 1), userPassword, "", "nobody here for"},
		{"wrong password", "users", certificate + user("alice"), "wrong", "", ""},
		{"wrong password of RADIUS", "radius-users", key + user("alice"), "wrong", "", `user "alice" is refused`},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := l.For(t)
			id := strings.ReplaceAll(c.name, " ", "-")
			conf := eapConf(c.gateway, "alice", "", "")
			head, rest, _ := strings.Cut(conf, "    local {")
			_, rest, _ = strings.Cut(rest, "    remote {")
			conf = head + c.rounds + "    remote {" + rest + fmt.Sprintf("secrets {\n  eap-a {\n    id = alice\n    secret = %q\n  }\n  eap-b {\n    id = bob\n    secret = %q\n  }\n  ike-k {\n    secret = %q\n  }\n}\n",
				c.password, c.password, preSharedKey)
			dir := l.SwanDir("swan-"+id, conf)
			pki.Install(t, dir, []string{"alice", "ca-ecdsa256"}, []string{"alice"})
			swan := l.Client.StrongSwan(dir)
			defer swan.Stop()
			before := len(gw.Must("log"))
			err := swan.Initiate("office")
			said := func() string { return gw.Must("log")[before:] }
			if c.pool == "" {
				if err == nil || !strings.Contains(said(), c.why) {
					t.Errorf("%v; the gateway says\n%s", err, said())
				}
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, said(), swan.Log())
			}
			page, err := l.Client.Get(lab.InsideV4, "/ip", 5*time.Second)
			from, bad := netip.ParseAddr(strings.TrimSpace(page))
			if err != nil || bad != nil || !netip.MustParsePrefix(c.pool).Contains(from) {
				t.Errorf("the server sees %q, %v; the user belongs to %s", page, err, c.pool)
			}
			if !strings.Contains(said(), c.why) {
				t.Errorf("the gateway says\n%s", said())
			}
			if err := swan.Terminate("office"); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("our client", func(t *testing.T) {
		l := l.For(t)
		profile := strings.Replace(userProfile("users.vpn.test", "alice", []string{"mschapv2"}, nil), "method = \"eap\"",
			"method = \"certificate\"\ncertificates = [\"x509/alice.crt\"]\nkey = \"private/alice.key\"", 1)
		dir := l.Dir("rounds")
		pki.Install(t, dir, []string{"alice", "ca-ecdsa256"}, []string{"alice"})
		s := l.Client.Service("rounds")
		s.Must("import", write(t, dir, profile))
		cmd := s.Command("connect", "office", "--wait", "20s", "--password-stdin")
		cmd.Stdin = strings.NewReader(userPassword + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, gw.Must("log"))
		}
		carriesPage(t, l)
		s.Must("disconnect", "office")
	})
}
