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
		if out, err := swan.Ctl(10*time.Second, append([]string{"--rekey"}, what...)...); err != nil {
			t.Errorf("swanctl --rekey %v: %v\n%s", what, err, out)
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
