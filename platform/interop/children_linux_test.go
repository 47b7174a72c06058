package interop_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/platform/internal/lab"
)

// Two Child SAs in one IKE SA, with a key exchange of each one's own.
const twoChildren = `
    children {
      four {
        %_ts = 10.10.0.0/16
        esp_proposals = aes256gcm16-ecp384
      }
      six {
        %_ts = fd00:10::/64
        esp_proposals = aes256gcm16-ecp384
      }
    }
`

const twoChildrenGateway = `
connections {
  psk {
    version = 2
    local_addrs = 198.51.100.1
    pools = v4, v6
    local {
      auth = psk
      id = psk.vpn.test
    }
    remote {
      auth = psk
    }
CHILDREN
  }
}
pools {
  v4 {
    addrs = 10.20.0.0/24
  }
  v6 {
    addrs = fd00:20::/120
  }
}
secrets {
  ike-psk {
    secret = "correct horse battery staple"
  }
}
`

// volumeProfile is an end of ours that makes new keys by volume: by packets in the
// one Child SA, by bytes in the other.
const volumeProfile = `version = 1
name = "office"
TOP
[local]
method = "psk"
id = "HERE"
secret = "psk"
[remote]
method = "psk"
id = "THERE"
[[children]]
name = "four"
SIDE = ["10.10.0.0/16"]
proposals = ["aes256gcm16-ecp384"]
rekey_packets = 1000
[[children]]
name = "six"
SIDE = ["fd00:10::/64"]
proposals = ["aes256gcm16-ecp384"]
rekey_bytes = 1000000
`

// TestChildSAs has two Child SAs in one IKE SA, which make new keys by packets and
// by bytes under load, each with forward secrecy, and lose nothing.
func TestChildSAs(t *testing.T) {
	t.Parallel()
	children := func(side string) string { return strings.ReplaceAll(twoChildren, "%", side) }
	volume := func(t *testing.T, l *lab.Lab, s *lab.Service, r *strings.Replacer) {
		t.Helper()
		importWithPSK(t, l, s, "volume", r.Replace(volumeProfile))
	}
	load := func(t *testing.T, l *lab.Lab) {
		t.Helper()
		ping := l.Client.Ping(lab.InsideV4, 10*time.Millisecond, 56)
		ping6 := l.Client.Ping(lab.InsideV6, 10*time.Millisecond, 56)
		tr, err := l.Client.DownloadAt(lab.InsideV4, 10*megabytes, 5*megabytes, time.Minute)
		if err != nil {
			t.Errorf("download: %v", err)
		}
		tr6, err := l.Client.DownloadAt(lab.InsideV6, 10*megabytes, 5*megabytes, time.Minute)
		if err != nil {
			t.Errorf("download over IPv6: %v", err)
		}
		t.Logf("downloads: %v; %v", tr, tr6)
		for _, p := range []lab.Pings{ping.Stop(), ping6.Stop()} {
			if p.Lost > 0 || p.Duplicate > 0 {
				t.Errorf("ping: %v", p)
			}
		}
	}
	both := func(t *testing.T, s *lab.Service) {
		t.Helper()
		d := s.Dynamic()
		names := make(map[string]int)
		for _, c := range d.ChildSAs {
			if c.State == "installed" {
				names[c.Child]++
			}
		}
		if len(d.IKESAs) != 1 || names["four"] != 1 || names["six"] != 1 {
			t.Errorf("%d IKE SAs, Child SAs %v", len(d.IKESAs), names)
		}
	}

	t.Run("strongSwan's gateway", func(t *testing.T) {
		l := lab.New(t)
		gw := l.Gateway.StrongSwan(l.SwanDir("gateway", strings.Replace(twoChildrenGateway, "CHILDREN", children("local"), 1)))
		s := l.Client.Service("client")
		volume(t, l, s, strings.NewReplacer("TOP", "gateways = [\"198.51.100.1\"]\nvirtual_ips = [\"0.0.0.0\", \"::\"]",
			"HERE", "alice@vpn.test", "THERE", "psk.vpn.test", "SIDE", "remote_ts"))
		s.Must("connect", "office", "--wait", "20s")
		load(t, l)
		both(t, s)
		log := gw.Log()
		n := len(regexp.MustCompile(`parsed CREATE_CHILD_SA request \d+ \[ N\(REKEY_SA\) SA No KE TSi TSr`).FindAllString(log, -1))
		t.Logf("%d rekeys with a key exchange", n)
		if n < 12 {
			t.Errorf("only %d rekeys with a key exchange", n)
		}

		// A service that was killed comes back, and the gateway forgets what it had of
		// it (INITIAL_CONTACT).
		s.Proc.Kill()
		s.Start()
		s.Must("connect", "office", "--wait", "20s")
		if !strings.Contains(gw.Log(), "N(INIT_CONTACT)") {
			t.Error("strongSwan saw no INITIAL_CONTACT")
		}
		if n := strings.Count(gw.SAs(), "ESTABLISHED"); n != 1 {
			t.Errorf("strongSwan has %d IKE SAs:\n%s", n, gw.SAs())
		}
		both(t, s)
		s.Must("disconnect", "office")
	})

	t.Run("strongSwan's client", func(t *testing.T) {
		l := lab.New(t)
		s := l.Gateway.Service("gateway")
		volume(t, l, s, strings.NewReplacer("TOP", "role = \"responder\"", "HERE", "psk.vpn.test", "id = \"THERE\"\n", "", "SIDE", "local_ts",
			"[[children]]\nname = \"four\"", "[[pools]]\nname = \"v4\"\naddresses = \"10.20.0.0/24\"\n[[pools]]\nname = \"v6\"\naddresses = \"fd00:20::/120\"\n[[children]]\nname = \"four\""))
		conf := pskConf("198.51.100.1", "psk.vpn.test", "", "")
		i, j := strings.Index(conf, "    children {"), strings.Index(conf, "secrets {")
		swan := l.Client.StrongSwan(l.SwanDir("client", conf[:i]+children("remote")+"  }\n}\n"+conf[j:]))
		for _, child := range []string{"four", "six"} {
			if out, err := swan.Ctl(20*time.Second, "--initiate", "--child", child); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		both(t, s)
		load(t, l)
		both(t, s)
		n := len(regexp.MustCompile(`parsed CREATE_CHILD_SA request \d+ \[ N\(REKEY_SA\) SA No KE TSi TSr`).FindAllString(swan.Log(), -1))
		t.Logf("%d rekeys with a key exchange", n)
		if n < 12 {
			t.Errorf("only %d rekeys with a key exchange", n)
		}
	})
}
