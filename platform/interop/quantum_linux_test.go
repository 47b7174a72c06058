package interop_test

import (
	"path/filepath"
	"strings"
	"testing"

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

// TestQuantumSafe is our client with a gateway that knows ML-KEM, which it is
// offered first by default.
func TestQuantumSafe(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	gw := l.Gateway.StrongSwan6(l.SwanDir("gateway6", quantumGatewayConf))
	s := l.Client.Service("quantum")
	for _, tt := range []struct{ id, ike, suite string }{
		{"default.vpn.test", "", "AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519/KE1_ML_KEM_768"},
		{"strong.vpn.test", "proposals = aes256gcm16-prfsha384-ecp384-ke1_mlkem1024", "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384/KE1_ML_KEM_1024"},
	} {
		name, _, _ := strings.Cut(tt.id, ".")
		dir := l.SwanDir(name, pskConf("198.51.100.1", tt.id, tt.ike, split))
		s.Must("import", filepath.Join(dir, "swanctl.conf"), "--name", name)
		wire := l.Client.Capture("eth0")
		s.Must("connect", name, "--wait", "20s")
		if c := s.Connection(name); !c.QuantumSafe || c.QuantumWhy != "" {
			t.Errorf("%s: the tunnel is quantum-safe: %v, %q", name, c.QuantumSafe, c.QuantumWhy)
		}
		if got := s.Dynamic().IKESAs[0].Proposal; got != tt.suite {
			t.Errorf("%s: agreed on %s, want %s", name, got, tt.suite)
		}
		if p := l.Client.Pings(lab.InsideV4, 20); p.Lost > 0 {
			t.Errorf("%s: ping %v", name, p)
		}
		t.Logf("wire: %v", wire.MustBeProtected(10))
		s.Must("disconnect", name)
	}
	if log := gw.Log(); !strings.Contains(log, "IKE_INTERMEDIATE") {
		t.Error("the gateway saw no IKE_INTERMEDIATE")
	}
}
