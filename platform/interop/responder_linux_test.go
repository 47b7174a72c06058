package interop_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// responderConf is our service as the gateway, in the words of strongSwan's
// configuration: the same as a gateway's administrator would import.
const responderConf = `
conn-defaults {
  version = 2
  pools = v4, v6
  children {
    net {
      local_ts = 10.10.0.0/16, fd00:10::/64
      REKEYCHILD
    }
  }
}
connections {
  psk : conn-defaults {
    REKEYIKE
    local {
      auth = psk
      id = psk.vpn.test
    }
    remote {
      auth = psk
    }
  }
  ecdsa256 : conn-defaults {
    local {
      auth = pubkey
      id = ecdsa256.vpn.test
      certs = gw-ecdsa256.crt
    }
    remote {
      auth = pubkey
      cacerts = ca-ecdsa256.crt
    }
  }
  rsa : conn-defaults {
    local {
      auth = pubkey
      id = rsa.vpn.test
      certs = gw-rsa.crt
    }
    remote {
      auth = pubkey
      cacerts = ca-rsa.crt
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

// newResponder starts our service as the gateway of a laboratory.
func newResponder(t testing.TB, l *lab.Lab, p *lab.PKI, child, ike string) *lab.Service {
	t.Helper()
	dir := l.SwanDir("responder", strings.NewReplacer("REKEYCHILD", child, "REKEYIKE", ike).Replace(responderConf))
	p.Install(t, dir, []string{"gw-ecdsa256", "gw-rsa", "ca-ecdsa256", "ca-rsa"}, []string{"gw-ecdsa256", "gw-rsa"})
	s := l.Gateway.Service("gateway")
	s.Must("import", filepath.Join(dir, "swanctl.conf"))
	for _, name := range []string{"psk", "ecdsa256", "rsa"} {
		if c := s.Connection(name); c.State != api.Listening {
			t.Fatalf("gateway connection %s is %s: %v", name, c.State, c.Problem)
		}
	}
	return s
}

// TestStrongSwanClient is strongSwan as the client of our responder.
func TestStrongSwanClient(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pki := newPKI(t)
	before := l.Gateway.Snapshot()
	gw := newResponder(t, l, pki, "", "")
	for _, c := range []client{
		{name: "psk", conf: pskConf("198.51.100.1", "psk.vpn.test", "", split)},
		{name: "psk over ipv6", conf: pskConf("2001:db8:1::1", "psk.vpn.test", "", split)},
		{name: "psk behind nat", conf: pskConf("198.51.100.1", "psk.vpn.test", "", split), path: lab.BehindRouter},
		{name: "psk with another group", conf: pskConf("198.51.100.1", "psk.vpn.test", "proposals = aes256-sha512-modp4096, aes256-sha256-ecp256", split+"\n        esp_proposals = aes256-sha256")},
		certClient("ecdsa256"), certClient("rsa"),
	} {
		t.Run(c.name, func(t *testing.T) {
			l := l.For(t)
			l.Path(c.path)
			dir := l.SwanDir(strings.ReplaceAll("swan-"+c.name, " ", "-"), c.conf)
			pki.Install(t, dir, c.certs, c.keys)
			swan := l.Client.StrongSwan(dir)
			wire := l.Gateway.Capture("eth0")
			if err := swan.Initiate("office"); err != nil {
				t.Fatal(err)
			}
			sas := swan.SAs()
			address := regexp.MustCompile(`\[(10\.20\.0\.\d+) fd00:20::`).FindStringSubmatch(sas)
			if address == nil {
				t.Fatalf("no addresses of the pool:\n%s", sas)
			}
			for _, server := range []netip.Addr{lab.InsideV4, lab.InsideV6} {
				if p := l.Client.Pings(server, 40); p.Lost > 0 {
					t.Errorf("ping %v: %v", server, p)
				}
			}
			if page, err := l.Client.Get(lab.InsideV4, "/ip", 5*time.Second); err != nil || strings.TrimSpace(page) != address[1] {
				t.Errorf("the server sees %q, %v; want %s", page, err, address[1])
			}
			tr, err := l.Client.Download(lab.InsideV4, 100*megabytes, 2*time.Minute)
			if err != nil {
				t.Errorf("download: %v", err)
			}
			t.Logf("download: %v", tr)
			if resolv, err := os.ReadFile(swan.ResolvConf()); err != nil || !strings.Contains(string(resolv), "10.10.0.10") {
				t.Errorf("name servers that strongSwan was given: %q, %v", resolv, err)
			}
			t.Logf("wire: %v", wire.MustBeProtected(50_000))
			d := gw.Dynamic()
			if len(d.IKESAs) != 1 || len(d.ChildSAs) != 1 || d.IKESAs[0].Initiator {
				t.Errorf("SAs: %+v", d)
			} else {
				t.Logf("IKE %s, %s/%s; ESP %s", d.IKESAs[0].Proposal, d.IKESAs[0].LocalAuth, d.IKESAs[0].RemoteAuth, d.ChildSAs[0].Proposal)
			}
			if err := swan.Terminate("office"); err != nil {
				t.Error(err)
			}
			waitFor(t, "our gateway to forget the SA", func() bool { return len(gw.Dynamic().IKESAs) == 0 })
			swan.Stop()
		})
	}
	gw.Stop()
	l.Gateway.MustBeAsBefore(before)
}

// TestStrongSwanClientRekeys lets strongSwan, as the client of our responder,
// and our responder rekey under a running transfer.
func TestStrongSwanClientRekeys(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	gw := newResponder(t, l, newPKI(t), rekeyOurChild, rekeyOurIKE)
	dir := l.SwanDir("swan", pskConf("198.51.100.1", "psk.vpn.test", "", split))
	swan := l.Client.StrongSwan(dir)
	if err := swan.Initiate("office"); err != nil {
		t.Fatal(err)
	}
	mark := swan.Mark()
	stop := administer(t, swan, "office")
	underTraffic(t, l, rekeySeconds)
	stop()
	mustHaveRekeyed(t, swan.Since(mark))
	t.Logf("drops: %v", gw.Dynamic().Drops)
}

// TestOurClientOurGateway is the product at both ends, with a PSK and with
// certificates.
func TestOurClientOurGateway(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pki := newPKI(t)
	gwBefore, clBefore := l.Gateway.Snapshot(), l.Client.Snapshot()
	gw := newResponder(t, l, pki, "", "")
	s := l.Client.Service("client")
	for _, c := range []client{
		{name: "psk", conf: pskConf("198.51.100.1", "psk.vpn.test", "", split)},
		{name: "nat", conf: pskConf("198.51.100.1", "psk.vpn.test", "", split), path: lab.BehindRouter},
		{name: "v6", conf: pskConf("2001:db8:1::1", "psk.vpn.test", "", split)},
		certClient("ecdsa256"), certClient("rsa"),
	} {
		t.Run(c.name, func(t *testing.T) {
			l := l.For(t)
			l.Path(c.path)
			s, gw := s.For(l), gw.For(l)
			dir := l.SwanDir("our-"+c.name, strings.ReplaceAll(c.conf, "office", c.name))
			pki.Install(t, dir, c.certs, c.keys)
			s.Must("import", dir+"/swanctl.conf")
			wire := l.Gateway.Capture("eth0")
			s.Must("connect", c.name, "--wait", "20s")
			for _, server := range []netip.Addr{lab.InsideV4, lab.InsideV6} {
				if p := l.Client.Pings(server, 40); p.Lost > 0 {
					t.Errorf("ping %v: %v", server, p)
				}
				tr, err := l.Client.Download(server, 100*megabytes, time.Minute)
				if err != nil {
					t.Errorf("download: %v", err)
				}
				t.Logf("download from %v: %v", server, tr)
			}
			tr, err := l.Client.Upload(lab.InsideV4, 100*megabytes, time.Minute)
			if err != nil {
				t.Errorf("upload: %v", err)
			}
			t.Logf("upload: %v", tr)
			t.Logf("wire: %v", wire.MustBeProtected(50_000))
			t.Logf("drops: %v at the client, %v at the gateway", s.Dynamic().Drops, gw.Dynamic().Drops)
			s.Must("disconnect", c.name)
			waitFor(t, "our gateway to forget the SA", func() bool { return len(gw.Dynamic().IKESAs) == 0 })
		})
	}
	l.Path(lab.Direct)
	l.Client.MustBeAsBefore(clBefore)
	s.Stop()
	gw.Stop()
	l.Client.MustBeAsBefore(clBefore)
	l.Gateway.MustBeAsBefore(gwBefore)
}

// TestOurClientOurGatewayRekey lets both ends of the product rekey both SAs
// under a running transfer.
func TestOurClientOurGatewayRekey(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	gw := newResponder(t, l, newPKI(t), "rekey_time = 5s\n      life_time = 15s", "rekey_time = 9s\n    over_time = 9s")
	s := l.Client.Service("client")
	dir := l.SwanDir("client", pskConf("198.51.100.1", "psk.vpn.test", "rekey_time = 10s\n    over_time = 9s",
		split+"\n        rekey_time = 4s\n        life_time = 12s"))
	s.Must("import", dir+"/swanctl.conf")
	wire := l.Client.Capture("eth0")
	s.Must("connect", "office", "--wait", "20s")
	var watch sync.WaitGroup
	watch.Go(func() {
		// The service's own view stays true while keys change.
		for end := time.Now().Add(rekeySeconds * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			st, err := s.Client.State(context.Background())
			if err != nil || len(st.Connections) != 1 || st.Connections[0].State != api.Connected {
				t.Errorf("state while it rekeys: %+v, %v", st.Connections, err)
				return
			}
		}
	})
	underTraffic(t, l, rekeySeconds)
	watch.Wait()
	t.Logf("wire: %v", wire.MustBeProtected(50_000))
	for name, d := range map[string]api.Dynamic{"client": s.Dynamic(), "gateway": gw.Dynamic()} {
		t.Logf("%s: drops %v", name, d.Drops)
		if len(d.IKESAs) == 0 || d.IKESAs[0].Rekeys < 4 {
			t.Errorf("%s: the IKE SA was hardly rekeyed: %+v", name, d.IKESAs)
		}
	}
}

// TestStrongSwanClientReauthenticates is strongSwan as a client that makes a new
// IKE SA before it ends the old one: it keeps its addresses, and loses nothing.
func TestStrongSwanClientReauthenticates(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	gw := newResponder(t, l, newPKI(t), "", "")
	dir := l.SwanDir("swan", pskConf("198.51.100.1", "psk.vpn.test", "reauth_time = 4s\n    over_time = 30s\n    rand_time = 0s", split))
	swan := l.Client.StrongSwan(dir, "make_before_break = yes")
	if err := swan.Initiate("office"); err != nil {
		t.Fatal(err)
	}
	// strongSwan 5.9.8 misses an answer that comes before it has put the new IKE SA
	// into its table, and asks again.
	n := 0
	for range 4 {
		underTraffic(t, l, 10)
		if n = strings.Count(gw.Must("log"), "IKE SA established"); n >= 3 {
			break
		}
	}
	if n < 3 {
		t.Errorf("authenticated %d times, drops %v\n%s", n, gw.Dynamic().Drops, gw.Must("exchanges"))
	}
	if sas := swan.SAs(); !strings.Contains(sas, "10.20.0.1") {
		t.Errorf("another address:\n%s", sas)
	}
}
