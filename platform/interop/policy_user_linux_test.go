package interop_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// TestPolicyUser proves users to strongSwan by the rules of a policy: with a
// stored password, with one that is asked for, and host to host.
func TestPolicyUser(t *testing.T) {
	l := lab.New(t)
	pki := eapPKI(t)
	defaults, _, _ := strings.Cut(gatewayConf, "connections {")
	_, pools, _ := strings.Cut(gatewayConf, "\npools {")
	conf := defaults + `connections {
  behind {
    version = 2
    send_cert = always
    local {
      auth = pubkey
      id = mschapv2.vpn.test
      certs = gw-eap.crt
    }
    remote {
      auth = eap-mschapv2
      eap_id = %any
    }
    children {
      net {
        local_ts = 10.10.0.0/16
      }
      host {
        local_ts = dynamic
      }
    }
  }
}
pools {` + pools
	conf = strings.Replace(conf, "secrets {\n", fmt.Sprintf("secrets {\n  eap-alice {\n    id = alice\n    secret = \"%s\"\n  }\n", userPassword), 1)
	dir := l.SwanDir("gateway", conf)
	pki.Install(t, dir, []string{"gw-eap", "ca-ecdsa256"}, []string{"gw-eap"})
	gw := l.Gateway.StrongSwan(dir, swanHostOptions)

	// The password and the authority come with an imported connection.
	s, _ := asUser(t, l, pki, "policy", userProfile("mschapv2.vpn.test", "alice", []string{"mschapv2"}, nil), userPassword)
	s.Must("disconnect", "office")
	profile, err := os.ReadFile(filepath.Join(s.Dir, "config", "connections", "office.toml"))
	if err != nil {
		t.Fatal(err)
	}
	line := func(key string) string {
		m := regexp.MustCompile(`(?m)^\s*` + key + ` = .*$`).FindString(string(profile))
		if m == "" {
			t.Fatalf("the profile has no %s:\n%s", key, profile)
		}
		return strings.TrimSpace(m) + "\n"
	}
	policy := func(name, destination, tunnel, secret string) {
		t.Helper()
		path := filepath.Join(l.Dir("policies"), name+".toml")
		text := fmt.Sprintf("version = 1\nname = %q\n[[filter_lists]]\nname = \"net\"\n[[filter_lists.filters]]\nsource = \"me\"\ndestination = %q\n[[rules]]\nname = \"net\"\nfilter_list = \"net\"\nfilter_action = \"Require security\"\n%s[[rules.auth]]\nmethod = \"eap\"\nuser = \"alice\"\n%s%sremote_id = \"mschapv2.vpn.test\"\n",
			name, destination, tunnel, secret, line("cas"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Must("policy", "import", path)
		s.Must("policy", "assign", name)
	}
	const via = "tunnel = \"198.51.100.1\"\n"
	settled := func(want api.TunnelState) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			c := s.Connection("net @ 198.51.100.1")
			if c.State == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %v\n%s\n%s", c.State, c.Problem, s.Must("log"), tail(gw.Log(), 40))
			}
		}
	}
	as := func() {
		t.Helper()
		if d := s.Dynamic(); len(d.IKESAs) != 1 || d.IKESAs[0].LocalAuth != "EAP-MSCHAPv2" || d.IKESAs[0].RemoteID != "mschapv2.vpn.test" {
			t.Errorf("%+v", d.IKESAs)
		}
		s.Must("policy", "unassign")
	}

	policy("stored", "10.10.0.0/16", via, line("secret"))
	settled(api.Connected)
	carriesPage(t, l)
	as()

	policy("asked", "10.10.0.0/16", via, "")
	var asked []api.Prompt
	for end := time.Now().Add(10 * time.Second); len(asked) == 0 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		st, err := s.Client.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		asked = st.Prompts
	}
	if len(asked) != 1 || asked[0].Kind != api.PromptPassword || asked[0].Connection != "net @ 198.51.100.1" {
		t.Fatalf("asked %+v", asked)
	}
	if _, err := l.Client.Get(lab.InsideV4, "/", time.Second); err == nil {
		t.Error("what is required passes while the user is asked")
	}
	if err := s.Client.Answer(t.Context(), api.Answer{ID: asked[0].ID, Secret: []byte(userPassword)}); err != nil {
		t.Fatal(err)
	}
	settled(api.Connected)
	carriesPage(t, l)
	as()

	l.Gateway.HTTP("strongSwan", netip.AddrPortFrom(lab.GatewayV4, 8000).String())
	l.Gateway.UDPEcho(netip.AddrPortFrom(lab.GatewayV4, 7).String())
	l.Client.HTTP("client", netip.AddrPortFrom(lab.ClientV4, 8000).String()) // the way back is tried too
	policy("neighbour", "198.51.100.1", "", line("secret"))
	tap := l.Client.Tap("eth0")
	mustTalk(t, l.Client, l.Gateway, lab.ClientV4, lab.GatewayV4)
	mustBeSecured(t, between(tap.Stop(), lab.ClientV4, lab.GatewayV4))
	settled(api.Connected)
	as()
}
