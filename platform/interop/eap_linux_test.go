package interop_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

const userPassword = "Gr\u00fcezi mit\u00e4nand 42"

// eapGateway is strongSwan as a gateway that asks its users with every method
// that we answer.
func eapGateway(t *testing.T, l *lab.Lab, pki *lab.PKI) *lab.StrongSwan {
	t.Helper()
	var conns strings.Builder
	for _, m := range []string{"mschapv2", "tls", "ttls", "md5"} {
		ca := ""
		if m == "tls" { // the others bring no certificate
			ca = "cacerts = ca-ecdsa256.crt"
		}
		fmt.Fprintf(&conns, `  %s : conn-defaults {
    local {
      auth = pubkey
      id = %s.vpn.test
      certs = gw-eap.crt
    }
    remote {
      auth = eap-%s
      eap_id = %%any
      %s
    }
  }
`, m, m, m, ca)
	}
	// The certificate of the machine first, then the user (RFC 4739).
	conns.WriteString(`  both : conn-defaults {
    local {
      auth = pubkey
      id = both.vpn.test
      certs = gw-eap.crt
    }
    remote-1 {
      auth = pubkey
      cacerts = ca-ecdsa256.crt
    }
    remote-2 {
      auth = eap-mschapv2
      eap_id = %any
    }
  }
`)
	defaults, _, _ := strings.Cut(gatewayConf, "connections {")
	_, pools, _ := strings.Cut(gatewayConf, "\npools {")
	conf := defaults + "connections {\n" + conns.String() + "}\npools {" + pools
	conf = strings.Replace(conf, "secrets {\n", fmt.Sprintf("secrets {\n  eap-alice {\n    id = alice\n    secret = \"%s\"\n  }\n", userPassword), 1)
	dir := l.SwanDir("gateway", conf)
	pki.Install(t, dir, []string{"gw-eap", "ca-ecdsa256"}, []string{"gw-eap"})
	return l.Gateway.StrongSwan(dir, "plugins { eap-ttls { phase2_method = mschapv2 } }")
}

func eapPKI(t *testing.T) *lab.PKI {
	t.Helper()
	p := lab.NewPKI(t)
	p.Issue(t, lab.Leaf{Name: "gw-eap", Issuer: "ca-ecdsa256", Key: "ecdsa256", SANs: []string{"mschapv2.vpn.test", "gtc.vpn.test",
		"tls.vpn.test", "ttls.vpn.test", "peap.vpn.test", "md5.vpn.test", "both.vpn.test"}})
	p.Issue(t, lab.Leaf{Name: "alice", Issuer: "ca-ecdsa256", Key: "ecdsa256", SANs: []string{"alice"}, Client: true})
	return p
}

// eapConf is the swanctl.conf of a user.
func eapConf(gateway, user, secret, certs string) string {
	if secret != "" {
		secret = fmt.Sprintf("secrets {\n  eap-me {\n    id = %s\n    secret = \"%s\"\n  }\n}\n", user, secret)
	}
	rounds := fmt.Sprintf("    local {\n      auth = eap\n      eap_id = %s\n%s    }\n", user, certs)
	if gateway == "both" {
		rounds = fmt.Sprintf("    local-1 {\n      auth = pubkey\n%s    }\n    local-2 {\n      auth = eap\n      eap_id = %s\n    }\n", certs, user)
	}
	return fmt.Sprintf(`connections {
  office {
    version = 2
    remote_addrs = 198.51.100.1
    vips = 0.0.0.0, ::
%s    remote {
      auth = pubkey
      id = %s.vpn.test
      cacerts = ca-ecdsa256.crt
    }
    children {
      net {
        remote_ts = 10.10.0.0/16, fd00:10::/64
      }
    }
  }
}
%s`, rounds, gateway, secret)
}

// TestEAP connects as a user with each method, and carries traffic.
func TestEAP(t *testing.T) {
	l := lab.New(t)
	pki := eapPKI(t)
	gw := eapGateway(t, l, pki)
	for _, m := range []string{"mschapv2", "tls", "ttls", "both"} {
		t.Run(m, func(t *testing.T) {
			l := l.For(t)
			certs := ""
			if m == "tls" || m == "both" {
				certs = "      certs = alice.crt\n"
			}
			dir := l.SwanDir("eap-"+m, eapConf(m, "alice", userPassword, certs))
			pki.Install(t, dir, []string{"alice", "ca-ecdsa256"}, []string{"alice"})
			s := l.Client.Service("eap-" + m)
			s.Must("import", dir+"/swanctl.conf")
			mark := gw.Mark()
			s.Must("connect", "office", "--wait", "20s")
			page, err := l.Client.Get(lab.InsideV4, "/", 5*time.Second)
			if err != nil || !strings.Contains(page, lab.Marker) {
				t.Errorf("through the tunnel came %q, %v\n%s", page, err, gw.Since(mark))
			}
			if got := s.Dynamic().IKESAs[0].LocalAuth; !strings.HasPrefix(got, "EAP-") {
				t.Errorf("authenticated with %s", got)
			}
			s.Must("disconnect", "office")
		})
	}
}

// TestEAPAsks answers the gateway's question through IPC, first wrong.
func TestEAPAsks(t *testing.T) {
	l := lab.New(t)
	pki := eapPKI(t)
	gw := eapGateway(t, l, pki)
	dir := l.SwanDir("eap-asks", eapConf("mschapv2", "alice", "", ""))
	pki.Install(t, dir, []string{"ca-ecdsa256"}, nil)
	s := l.Client.Service("eap-asks")
	s.Must("import", dir+"/swanctl.conf")

	connect := func(answer string) lab.Result {
		done := make(chan lab.Result, 1)
		go func() { done <- s.CLI("connect", "office", "--wait", "30s", "--json") }()
		deadline := time.Now().Add(10 * time.Second)
		for {
			var asked struct{ Prompts []api.Prompt }
			if err := json.Unmarshal([]byte(s.Must("prompts", "--json")), &asked); err != nil {
				t.Fatal(err)
			}
			if len(asked.Prompts) == 1 {
				p := asked.Prompts[0]
				if p.Kind != api.PromptPassword || p.User != "alice" || p.Connection != "office" {
					t.Errorf("asked %+v", p)
				}
				cmd := s.Command("answer", p.ID, "--secret-stdin")
				cmd.Stdin = strings.NewReader(answer + "\n")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("answer: %v: %s", err, out)
				}
				return <-done
			}
			if time.Now().After(deadline) {
				t.Fatalf("nobody asked; %s", s.Must("log"))
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	begun := time.Now()
	mark := gw.Mark()
	if r := connect("wrong"); r.Exit != 1 || !strings.Contains(r.Out+r.Err, string(api.CodePasswordRefused)) {
		t.Errorf("wrong password: exit %d: %s%s", r.Exit, r.Out, r.Err)
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("the wrong password was explained after %v", d)
	}
	if n := strings.Count(gw.Since(mark), "EAP-MS-CHAPv2 verification failed"); n > 1 {
		t.Errorf("the gateway saw %d wrong passwords", n)
	}
	if r := connect(userPassword); r.Exit != 0 {
		t.Fatalf("right password: exit %d: %s%s\n%s", r.Exit, r.Out, r.Err, gw.Since(mark))
	}
	if page, err := l.Client.Get(lab.InsideV4, "/", 5*time.Second); err != nil || !strings.Contains(page, lab.Marker) {
		t.Errorf("through the tunnel came %q, %v", page, err)
	}
	for _, place := range []string{s.Must("log", "--json"), s.Must("show", "all", "--json")} {
		if strings.Contains(place, userPassword) {
			t.Error("the password is told")
		}
	}
}

// TestEAPMethodNobodyHas asks for a method that is not spoken.
func TestEAPMethodNobodyHas(t *testing.T) {
	l := lab.New(t)
	pki := eapPKI(t)
	eapGateway(t, l, pki)
	dir := l.SwanDir("eap-md5", eapConf("md5", "alice", userPassword, ""))
	pki.Install(t, dir, []string{"ca-ecdsa256"}, nil)
	s := l.Client.Service("eap-md5")
	s.Must("import", dir+"/swanctl.conf")
	if e, _ := s.Error("connect", "office", "--wait", "20s"); e.Code != api.CodeEAPMethod {
		t.Errorf("%+v", e)
	}
}
