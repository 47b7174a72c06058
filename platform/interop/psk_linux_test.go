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

// TestPeerPSKs is our responder with a pre-shared key for each of its peers,
// taken over from strongSwan: each peer comes in with its own and no other.
func TestPeerPSKs(t *testing.T) {
	l := lab.New(t)
	start, _, _ := strings.Cut(responderConf, "  ecdsa256 : ")
	_, pools, _ := strings.Cut(responderConf, "\npools {")
	pools, _, _ = strings.Cut(pools, "\nsecrets {")
	conf := strings.NewReplacer("REKEYCHILD", "", "REKEYIKE", "").Replace(start) + "}\npools {" + pools + `
secrets {
  ike-alice {
    id-1 = psk.vpn.test
    id-2 = alice@vpn.test
    secret = "the key of alice alone"
  }
  ike-bob {
    id = bob.vpn.test
    secret = "the key of bob alone"
  }
}
`
	gw := l.Gateway.Service("gateway")
	gw.Must("import", filepath.Join(l.SwanDir("peers", conf), "swanctl.conf"))
	if c := gw.Connection("psk"); c.State != api.Listening {
		t.Fatalf("the responder is %s: %v", c.State, c.Problem)
	}
	for _, tt := range []struct {
		id, key string
		good    bool
	}{
		{"alice@vpn.test", "the key of alice alone", true},
		{"bob.vpn.test", "the key of bob alone", true},
		{"bob.vpn.test", "the key of alice alone", false},
		{"eve@vpn.test", "the key of alice alone", false},
	} {
		t.Run(tt.id+" with "+tt.key, func(t *testing.T) {
			l := l.For(t)
			dir := l.SwanDir(strings.NewReplacer("@", "-", " ", "-").Replace("swan-"+tt.id+tt.key), fmt.Sprintf(`connections {
  office {
    version = 2
    remote_addrs = 198.51.100.1
    vips = 0.0.0.0, ::
    local {
      auth = psk
      id = %s
    }
    remote {
      auth = psk
      id = psk.vpn.test
    }
    children {
      net {
        remote_ts = 10.10.0.0/16, fd00:10::/64
      }
    }
  }
}
secrets {
  ike-1 {
    secret = "%s"
  }
}
`, tt.id, tt.key))
			swan := l.Client.StrongSwan(dir)
			defer swan.Stop()
			err := swan.Initiate("office")
			if !tt.good {
				if err == nil {
					t.Error("it came in")
				}
				if p := gw.Connection("psk").Problem; p != nil {
					t.Errorf("one peer's fault is the responder's problem: %v", p)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			page, err := l.Client.Get(lab.InsideV4, "/", 5*time.Second)
			if err != nil || !strings.Contains(page, lab.Marker) {
				t.Errorf("through the tunnel came %q, %v", page, err)
			}
		})
	}
}

// TestWrongPeerPSK is our client with a key that is not its own, and says so.
func TestWrongPeerPSK(t *testing.T) {
	l := lab.New(t)
	gw := l.Gateway.Service("gateway")
	dir := l.Dir("own")
	writeFile(t, filepath.Join(dir, "gw.toml"), `version = 1
name = "gw"
role = "responder"
[local]
method = "psk"
id = "psk.vpn.test"
[remote]
method = "psk"
[[remote.secrets]]
id = "alice@vpn.test"
secret = "alice.psk"
[[remote.secrets]]
id = "bob@vpn.test"
secret = "bob.psk"
[[children]]
name = "net"
local_ts = ["10.10.0.0/16"]
[[pools]]
name = "v4"
addresses = "10.20.0.0/24"
`)
	writeFile(t, filepath.Join(dir, "alice.psk"), "the key of alice alone\n")
	writeFile(t, filepath.Join(dir, "bob.psk"), "the key of bob alone\n")
	gw.Must("import", filepath.Join(dir, "gw.toml"))
	for key, good := range map[string]bool{"the key of alice alone": true, "the key of bob alone": false} {
		s := l.Client.Service("psk-" + key[11:14])
		file := filepath.Join(l.Dir("client-"+key[11:14]), "office.toml")
		writeFile(t, file, `version = 1
name = "office"
gateways = ["198.51.100.1"]
virtual_ips = ["0.0.0.0"]
[local]
method = "psk"
id = "alice@vpn.test"
secret = "office.psk"
[remote]
method = "psk"
id = "psk.vpn.test"
[[children]]
name = "net"
remote_ts = ["10.10.0.0/16"]
`)
		writeFile(t, filepath.Join(filepath.Dir(file), "office.psk"), key)
		s.Must("import", file)
		if good {
			s.Must("connect", "office", "--wait", "20s")
			s.Must("disconnect", "office")
		} else if e, _ := s.Error("connect", "office", "--wait", "20s"); e.Code != api.CodeAuthRefused || !strings.Contains(e.Next, "pre-shared key") {
			t.Errorf("with another's key: %+v", e)
		}
		s.Stop()
	}
}

// importWithPSK imports a profile of ours whose secret is in the file psk beside it,
// from a new folder of the laboratory.
func importWithPSK(t *testing.T, l *lab.Lab, s *lab.Service, folder, profile string) {
	t.Helper()
	dir := l.Dir(folder)
	writeFile(t, filepath.Join(dir, "office.toml"), profile)
	writeFile(t, filepath.Join(dir, "psk"), "correct horse battery staple")
	s.Must("import", filepath.Join(dir, "office.toml"))
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
