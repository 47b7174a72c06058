package interop_test

import (
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/platform/internal/lab"
)

// quantumGatewayConf is a strongSwan 6 as the gateway of clients that ask for
// several key exchanges, one connection for each kind.
const quantumGatewayConf = `
conn-defaults {
  version = 2
  pools = v4, v6
  local {
    auth = psk
  }
  remote {
    auth = psk
  }
  children {
    net {
      local_ts = 10.10.0.0/16, fd00:10::/64
      esp_proposals = aes256gcm16-x25519-ke1_mlkem768, aes256gcm16-ecp384-ke1_mlkem1024, aes256gcm16-x25519
    }
  }
}
connections {
  default : conn-defaults {
    proposals = aes256gcm16-prfsha384-x25519-ke1_mlkem768, aes256gcm16-prfsha384-x25519
    local {
      id = default.vpn.test
    }
  }
  strong : conn-defaults {
    proposals = aes256gcm16-prfsha384-ecp384-ke1_mlkem1024
    local {
      id = strong.vpn.test
    }
  }
}
pools {
  v4 {
    addrs = 10.20.0.0/24
    dns = 10.10.0.10
  }
  v6 {
    addrs = fd00:20::/120
    dns = fd00:10::10
  }
}
secrets {
  ike-psk {
    secret = "correct horse battery staple"
  }
}
`

// mustFollowUp reads in strongSwan's log that each end has rekeyed both SAs with
// a second key exchange.
func mustFollowUp(t *testing.T, log string) {
	t.Helper()
	for what, want := range map[string]string{
		"Child SAs rekeyed by strongSwan": `generating CREATE_CHILD_SA request \d+ \[ N\(REKEY_SA\)`,
		"Child SAs rekeyed by us":         `parsed CREATE_CHILD_SA request \d+ \[ N\(REKEY_SA\)`,
		"IKE SAs rekeyed by strongSwan":   `generating CREATE_CHILD_SA request \d+ \[ SA No KE \]`,
		"IKE SAs rekeyed by us":           `parsed CREATE_CHILD_SA request \d+ \[ SA No KE \]`,
		"followed by strongSwan":          `generating IKE_FOLLOWUP_KE request`,
		"followed by us":                  `parsed IKE_FOLLOWUP_KE request`,
	} {
		n := len(regexp.MustCompile(want).FindAllString(log, -1))
		t.Logf("%s: %d", what, n)
		if n == 0 {
			t.Errorf("%s: none", what)
		}
	}
}

// rekeyBoth lets strongSwan rekey both SAs while ours rekeys by its clock, under
// pings of which none may be lost.
func rekeyBoth(t *testing.T, from *lab.Host, to netip.Addr, swan *lab.StrongSwan, ike string) {
	t.Helper()
	ping := from.Ping(to, 10*time.Millisecond, 56)
	time.Sleep(4 * time.Second)
	for _, what := range [][]string{{"--child", "net"}, {"--ike", ike}} {
		// strongSwan refuses while it has just replaced the SA, or does so now.
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			out, err := swan.Ctl(10*time.Second, append([]string{"--rekey"}, what...)...)
			if err == nil {
				break
			}
			if time.Now().After(end) {
				t.Errorf("swanctl --rekey %v: %v\n%s", what, err, out)
				break
			}
		}
		time.Sleep(500 * time.Millisecond)
	}
	if p := ping.Stop(); p.Lost > 0 || p.Duplicate > 0 {
		t.Errorf("ping: %v", p)
	}
	mustFollowUp(t, swan.Log())
}

const (
	quantumRekeyIKE   = "rekey_time = 3s\n    over_time = 30s\n    rand_time = 0s"
	quantumRekeyChild = "rekey_time = 2s\n        life_time = 30s\n        rand_time = 0s"
)

// TestQuantumSafe is our client with a gateway that knows ML-KEM, which it is
// offered first by default.
func TestQuantumSafe(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	gw := l.Gateway.StrongSwan6(l.SwanDir("gateway6", quantumGatewayConf))
	s := l.Client.Service("quantum")
	for _, tt := range []struct{ id, ike, suite, child string }{
		{"strong.vpn.test", "proposals = aes256gcm16-prfsha384-ecp384-ke1_mlkem1024", "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384/KE1_ML_KEM_1024", ""},
		{"default.vpn.test", quantumRekeyIKE, "AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519/KE1_ML_KEM_768", quantumRekeyChild},
	} {
		name, _, _ := strings.Cut(tt.id, ".")
		dir := l.SwanDir(name, pskConf("198.51.100.1", tt.id, tt.ike, split+"\n        "+tt.child))
		s.Must("import", filepath.Join(dir, "swanctl.conf"), "--name", name)
		wire := l.Client.Capture("eth0")
		s.Must("connect", name, "--wait", "20s")
		if got := s.Dynamic().IKESAs[0].Proposal; got != tt.suite {
			t.Errorf("%s: agreed on %s, want %s", name, got, tt.suite)
		}
		if p := l.Client.Pings(lab.InsideV4, 20); p.Lost > 0 {
			t.Errorf("%s: ping %v", name, p)
		}
		if tt.child != "" {
			rekeyBoth(t, l.Client, lab.InsideV4, gw, "default")
			for _, sa := range s.Dynamic().ChildSAs {
				if sa.State == "installed" && !strings.HasSuffix(sa.Proposal, "/CURVE_25519/KE1_ML_KEM_768") {
					t.Errorf("a Child SA was rekeyed with %s", sa.Proposal)
				}
			}
		}
		if c := s.Connection(name); !c.QuantumSafe || c.QuantumWhy != "" {
			t.Errorf("%s: the tunnel is quantum-safe: %v, %q", name, c.QuantumSafe, c.QuantumWhy)
		}
		t.Logf("wire: %v", wire.MustBeProtected(10))
		s.Must("disconnect", name)
	}
}

// TestQuantumSafeResponder is our gateway with a strongSwan that knows ML-KEM.
func TestQuantumSafeResponder(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	gw := newResponder(t, l, newPKI(t), quantumRekeyChild, quantumRekeyIKE)
	swan := l.Client.StrongSwan6(l.SwanDir("swan6", pskConf("198.51.100.1", "psk.vpn.test",
		"proposals = aes256gcm16-prfsha384-x25519-ke1_mlkem768", split+"\n        esp_proposals = aes256gcm16-x25519-ke1_mlkem1024")))
	if err := swan.Initiate("office"); err != nil {
		t.Fatal(err)
	}
	rekeyBoth(t, l.Client, lab.InsideV4, swan, "office")
	want := "AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519/KE1_ML_KEM_768"
	if got := gw.Dynamic().IKESAs[0].Proposal; got != want {
		t.Errorf("agreed on %s, want %s", got, want)
	}
	if err := swan.Terminate("office"); err != nil {
		t.Error(err)
	}
}

// ppkGatewayConf is a strongSwan whose clients have post-quantum pre-shared keys.
const ppkGatewayConf = `
conn-defaults {
  version = 2
  pools = v4
  childless = allow
  remote {
    auth = psk
  }
  children {
    net {
      local_ts = 10.10.0.0/16
      esp_proposals = aes256gcm16-x25519, aes256gcm16
    }
  }
}
connections {
  optional : conn-defaults {
    local {
      auth = psk
      id = optional.vpn.test
    }
  }
  required : conn-defaults {
    ppk_required = yes
    local {
      auth = psk
      id = required.vpn.test
    }
  }
  eap : conn-defaults {
    ppk_required = yes
    local {
      auth = psk
      id = eap.vpn.test
    }
    remote {
      auth = eap-mschapv2
      eap_id = %any
    }
  }
}
pools {
  v4 {
    addrs = 10.20.0.0/24
  }
}
secrets {
  ike-psk {
    secret = "correct horse battery staple"
  }
  eap-alice {
    id = alice
    secret = "Ar3etTnp"
  }
  PPKS
}
`

// ppkSecret is a swanctl section with a key of that name.
func ppkSecret(name, digit string) string {
	return "ppk-" + name + " {\n    id = " + name + "\n    secret = 0x" + strings.Repeat(digit, 64) + "\n  }\n"
}

// TestPPK mixes post-quantum pre-shared keys in, with both ends and with one that
// has another, and asks for Child SAs of an IKE SA that was made without.
func TestPPK(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	gw := l.Gateway.StrongSwan(l.SwanDir("gateway-ppk", strings.Replace(ppkGatewayConf, "PPKS", ppkSecret("office", "a"), 1)))
	s := l.Client.Service("ppk")
	for _, tt := range []struct {
		name, id, ike, secrets string
		connects, safe         bool
	}{
		{"both", "optional.vpn.test", "ppk_id = office\n    ppk_required = yes\n    childless = prefer", ppkSecret("office", "a"), true, true},
		{"required", "required.vpn.test", "ppk_id = office", ppkSecret("office", "a"), true, true},
		{"unknown", "optional.vpn.test", "ppk_id = other", ppkSecret("other", "a"), true, false},
		{"unknown-required", "required.vpn.test", "ppk_id = other", ppkSecret("other", "a"), false, false},
		{"none-required", "required.vpn.test", "", "", false, false},
		{"wrong", "optional.vpn.test", "ppk_id = office", ppkSecret("office", "b"), false, false},
		{"user", "eap.vpn.test", "ppk_id = office\n    ppk_required = yes", ppkSecret("office", "a"), true, true},
	} {
		conf := pskConf("198.51.100.1", tt.id, tt.ike, split) + "secrets {\n  " + tt.secrets + "\n}\n"
		if tt.name == "user" {
			conf = strings.Replace(conf, "auth = psk\n      id = alice@vpn.test", "auth = eap-mschapv2\n      eap_id = alice\n      id = alice@vpn.test", 1) +
				"secrets {\n  eap-alice {\n    id = alice\n    secret = \"Ar3etTnp\"\n  }\n}\n"
		}
		s.Must("import", filepath.Join(l.SwanDir("ppk-"+tt.name, conf), "swanctl.conf"), "--name", tt.name)
		mark := gw.Mark()
		if !tt.connects {
			if e, code := s.Error("connect", tt.name, "--wait", "20s"); code != 1 {
				t.Errorf("%s: exit code %d, %v", tt.name, code, e)
			}
			s.CLI("disconnect", tt.name)
			continue
		}
		s.Must("connect", tt.name, "--wait", "20s")
		if c := s.Connection(tt.name); c.QuantumSafe != tt.safe {
			t.Errorf("%s: quantum-safe %v, %q", tt.name, c.QuantumSafe, c.QuantumWhy)
		}
		if p := l.Client.Pings(lab.InsideV4, 20); p.Lost > 0 {
			t.Errorf("%s: ping %v", tt.name, p)
		}
		for _, what := range [][]string{{"--child", "net"}, {"--ike", strings.TrimSuffix(tt.id, ".vpn.test")}} {
			if out, err := gw.Ctl(10*time.Second, append([]string{"--rekey"}, what...)...); err != nil {
				t.Errorf("swanctl --rekey %v: %v\n%s", what, err, out)
			}
		}
		if p := l.Client.Pings(lab.InsideV4, 20); p.Lost > 0 {
			t.Errorf("%s: ping after rekeys %v", tt.name, p)
		}
		if childless := regexp.MustCompile(`parsed IKE_AUTH request 1 \[[^\]]*\bTSi\b`); tt.name == "both" && childless.MatchString(gw.Since(mark)) {
			t.Error("the IKE SA was not made alone")
		}
		s.Must("disconnect", tt.name)
	}
}

// TestPPKResponder is our gateway for strongSwans with post-quantum pre-shared keys.
func TestPPKResponder(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	conf := strings.NewReplacer("REKEYCHILD", "", "REKEYIKE", "ppk_required = yes", "secrets {", "secrets {\n  "+ppkSecret("office", "a")).Replace(responderConf)
	dir := l.SwanDir("responder", conf)
	p := newPKI(t)
	p.Install(t, dir, []string{"gw-ecdsa256", "gw-rsa", "ca-ecdsa256", "ca-rsa"}, []string{"gw-ecdsa256", "gw-rsa"})
	gw := l.Gateway.Service("gateway")
	gw.Must("import", filepath.Join(dir, "swanctl.conf"))
	for _, tt := range []struct {
		name, ike, secrets string
		connects           bool
	}{
		{"both", "ppk_id = office\n    childless = force", ppkSecret("office", "a"), true},
		{"none", "", "", false},
		{"other", "ppk_id = other", ppkSecret("other", "a"), false},
	} {
		swan := l.Client.StrongSwan(l.SwanDir("swan-ppk-"+tt.name, pskConf("198.51.100.1", "psk.vpn.test", tt.ike, split)+"secrets {\n  "+tt.secrets+"\n}\n"))
		if err := swan.Initiate("office"); (err == nil) != tt.connects {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.connects {
			if p := l.Client.Pings(lab.InsideV4, 20); p.Lost > 0 {
				t.Errorf("%s: ping %v", tt.name, p)
			}
			if err := swan.Terminate("office"); err != nil {
				t.Error(err)
			}
		}
		swan.Stop()
	}
}
