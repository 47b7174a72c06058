package interop_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/platform/internal/lab"
)

var longAgo = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// megabytes is the size of the downloads.
const megabytes = 1_000_000

// A client is a roadwarrior's swanctl.conf, from which strongSwan's own client
// and ours must come to the same result.
type client struct {
	name  string
	conf  string   // of the connection "office"
	certs []string // installed beside the file
	keys  []string
	path  lab.Path

	// full says that everything goes through the tunnel.
	full bool
	// suite is what our service must say of the IKE SA and the Child SA.
	ike, esp string
	// weak says that the user must be warned.
	weak bool
	// gateway is what the gateway must have logged.
	gateway string
}

// pskConf is the file of a client with a PSK.
func pskConf(gateway, id, extra, child string) string {
	return fmt.Sprintf(`connections {
  office {
    version = 2
    remote_addrs = %s
    vips = 0.0.0.0, ::
    %s
    local {
      auth = psk
      id = alice@vpn.test
    }
    remote {
      auth = psk
      id = %s
    }
    children {
      net {
        %s
      }
    }
  }
}
secrets {
  ike-office {
    id = %s
    secret = "correct horse battery staple"
  }
}
`, gateway, extra, id, child, id)
}

// certConf is the file of a client with a certificate.
func certConf(id, localAuth, certs, ca string) string {
	return fmt.Sprintf(`connections {
  office {
    version = 2
    remote_addrs = 198.51.100.1
    vips = 0.0.0.0, ::
    local {
      auth = %s
      certs = %s
      id = alice@vpn.test
    }
    remote {
      auth = pubkey
      id = %s
      cacerts = %s.crt
    }
    children {
      net {
        remote_ts = 10.10.0.0/16, fd00:10::/64
      }
    }
  }
}
`, localAuth, certs, id, ca)
}

const split = "remote_ts = 10.10.0.0/16, fd00:10::/64"

// certClient is a client with a certificate of the kind key.
func certClient(key string) client {
	return client{
		name: key, conf: certConf(key+".vpn.test", "pubkey", "alice-"+key+".crt", "ca-"+key),
		certs: []string{"alice-" + key, "ca-" + key}, keys: []string{"alice-" + key},
	}
}

func clients() []client {
	gcm := "proposals = aes128gcm16-prfsha256-x25519, aes256gcm16-prfsha384-ecp384"
	inter := client{name: "intermediate CA", conf: certConf("inter.vpn.test", "pubkey", "alice-inter.crt, inter.crt", "ca-ecdsa256"),
		certs: []string{"alice-inter", "inter", "ca-ecdsa256"}, keys: []string{"alice-inter"}}
	pss := certClient("rsa")
	pss.name, pss.conf = "rsa pss", certConf("pss.vpn.test", "rsa/pss-sha384", "alice-rsa.crt", "ca-rsa")
	pkcs1 := certClient("rsa")
	pkcs1.name, pkcs1.conf = "rsa pkcs1", certConf("rsa.vpn.test", "rsa-sha256", "alice-rsa.crt", "ca-rsa")
	behindNAT := certClient("ecdsa256")
	behindNAT.name, behindNAT.path = "ecdsa256 behind nat", lab.BehindRouter
	return []client{
		{name: "psk", conf: pskConf("198.51.100.1", "psk.vpn.test", gcm, split+"\n        esp_proposals = aes256gcm16-ecp384"),
			ike: "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384", esp: "AES_GCM_16_256", gateway: `N\(INVAL_KE\)`},
		{name: "psk behind nat", conf: pskConf("198.51.100.1", "psk.vpn.test", "", split), path: lab.BehindRouter},
		{name: "psk over ipv6", conf: pskConf("2001:db8:1::1", "psk.vpn.test", "", split)},
		{name: "full tunnel", conf: pskConf("198.51.100.1", "full.vpn.test", "", "remote_ts = 0.0.0.0/0, ::/0"), full: true},
		{name: "full tunnel over ipv6", conf: pskConf("2001:db8:1::1", "full.vpn.test", "", "remote_ts = 0.0.0.0/0, ::/0"), full: true},
		{name: "full tunnel behind nat", conf: pskConf("198.51.100.1", "full.vpn.test", "", "remote_ts = 0.0.0.0/0, ::/0"), full: true, path: lab.BehindRouter},
		{name: "modp and cbc", conf: pskConf("198.51.100.1", "cbc.vpn.test", "proposals = aes256-sha512-modp2048", split+"\n        esp_proposals = aes256-sha512-modp2048"),
			ike: "AES_CBC_256/HMAC_SHA2_512_256/PRF_HMAC_SHA2_512/MODP_2048", esp: "AES_CBC_256/HMAC_SHA2_512_256"},
		{name: "chacha20", conf: pskConf("198.51.100.1", "chacha.vpn.test", "proposals = chacha20poly1305-prfsha512-ecp521", split+"\n        esp_proposals = chacha20poly1305-ecp521"),
			ike: "CHACHA20_POLY1305/PRF_HMAC_SHA2_512/ECP_521", esp: "CHACHA20_POLY1305"},
		certClient("rsa"), pss, pkcs1, certClient("ecdsa256"), certClient("ecdsa384"), certClient("ecdsa521"), certClient("ed25519"), inter, behindNAT,
	}
}

// TestClient connects with each file, first by strongSwan's own client, which
// shows that the file is right, then by ours.
func TestClient(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pki := newPKI(t)
	gw := newGateway(t, l, pki)
	for _, c := range clients() {
		t.Run(c.name, func(t *testing.T) { c.test(t, l, pki, gw) })
	}
}

func (c client) test(t *testing.T, l *lab.Lab, pki *lab.PKI, gw *lab.StrongSwan) {
	l = l.For(t)
	l.Path(c.path)
	dir := l.SwanDir(strings.ReplaceAll(c.name, " ", "-"), c.conf)
	pki.Install(t, dir, c.certs, c.keys)

	swan := l.Client.StrongSwan(dir)
	if err := swan.Initiate("office"); err != nil {
		t.Fatalf("strongSwan's own client does not connect, so the test is wrong: %v\ngateway: %s", err, gw.Log())
	}
	if page, err := l.Client.Get(lab.InsideV4, "/", 5*time.Second); err != nil || !strings.Contains(page, lab.Marker) {
		t.Fatalf("strongSwan's own client reaches nothing: %q, %v", page, err)
	}
	if err := swan.Terminate("office"); err != nil {
		t.Fatal(err)
	}
	swan.Stop()

	before := l.Client.Snapshot()
	s := l.Client.Service(strings.ReplaceAll(c.name, " ", "-"))
	s.Must("import", dir+"/swanctl.conf")
	mark := gw.Mark()
	dev := "eth0"
	if c.path == lab.BehindRouter {
		dev = "eth1"
	}
	wire, inside := l.Client.Capture(dev), l.Inside.Capture("eth0")
	begun := time.Now()
	s.Must("connect", "office", "--wait", "20s")
	t.Logf("connected after %v", time.Since(begun).Round(time.Millisecond))

	conn := s.Connection("office")
	for _, server := range []netip.Addr{lab.InsideV4, lab.InsideV6} {
		if p := l.Client.Pings(server, 40); p.Lost > 0 || p.Duplicate > 0 {
			t.Errorf("ping %v: %v", server, p)
		}
		page, err := l.Client.Get(server, "/ip", 5*time.Second)
		if err != nil {
			t.Errorf("get a page: %v", err)
		} else if from, err := netip.ParseAddr(strings.TrimSpace(page)); err != nil || !contains(conn.Addresses, from) {
			t.Errorf("the server sees %s, the tunnel has %v", page, conn.Addresses)
		}
	}
	tr, err := l.Client.Download(lab.InsideV4, 100*megabytes, 2*time.Minute)
	if err != nil {
		t.Errorf("download: %v", err)
	}
	t.Logf("download: %v", tr)
	if tr, err = l.Client.Upload(lab.InsideV6, 10*megabytes, time.Minute); err != nil {
		t.Errorf("upload: %v", err)
	}
	t.Logf("upload: %v", tr)
	if !contains(conn.DNS, lab.InsideV4) {
		t.Errorf("name servers %v, want %v among them", conn.DNS, lab.InsideV4)
	}
	if out := l.Client.Run("getent ahostsv4 " + lab.IntranetName); !strings.HasPrefix(out, lab.InsideV4.String()) {
		t.Errorf("%s is %q", lab.IntranetName, out)
	}
	if c.full {
		if page, err := l.Client.Get(lab.InternetV4, "/ip", 5*time.Second); err != nil || strings.TrimSpace(page) != lab.GatewayV4.String() {
			t.Errorf("the internet sees %q, %v; want the gateway's address", page, err)
		}
		if page, err := l.Client.Get(lab.InternetV6, "/ip", 5*time.Second); err != nil || strings.TrimSpace(page) != lab.GatewayV6.String() {
			t.Errorf("the internet sees %q, %v; want the gateway's address", page, err)
		}
	}
	t.Logf("wire: %v", wire.MustBeProtected(50_000))
	if seen := inside.Stop(); seen.Marked == 0 {
		t.Errorf("the capture does not find the marker where it is in the clear: %v", seen)
	}
	if !c.full {
		page, err := l.Client.Get(lab.InternetV4, "/ip", 5*time.Second)
		outer := map[lab.Path]netip.Addr{lab.Direct: lab.ClientV4, lab.BehindRouter: lab.NATV4}[c.path]
		if err != nil || strings.TrimSpace(page) != outer.String() {
			t.Errorf("outside of the split tunnel the internet sees %q, %v; want %v", page, err, outer)
		}
	}

	d := s.Dynamic()
	if len(d.IKESAs) != 1 || len(d.ChildSAs) != 1 {
		t.Fatalf("SAs: %+v", d)
	}
	t.Logf("IKE %s, %s/%s; ESP %s; path %s", d.IKESAs[0].Proposal, d.IKESAs[0].LocalAuth, d.IKESAs[0].RemoteAuth, d.ChildSAs[0].Proposal, conn.Path)
	if c.ike != "" && d.IKESAs[0].Proposal != c.ike {
		t.Errorf("IKE SA has %s, want %s", d.IKESAs[0].Proposal, c.ike)
	}
	if c.esp != "" && !strings.HasPrefix(d.ChildSAs[0].Proposal, c.esp) {
		t.Errorf("Child SA has %s, want %s", d.ChildSAs[0].Proposal, c.esp)
	}
	if c.gateway != "" && !regexp.MustCompile(c.gateway).MatchString(gw.Since(mark)) {
		t.Errorf("the gateway's log has no %s", c.gateway)
	}
	if warned := len(s.Connection("office").Warnings) > 0; warned != c.weak {
		t.Errorf("warnings: %q, want some: %v", s.Connection("office").Warnings, c.weak)
	}
	if nat := c.path == lab.BehindRouter; d.IKESAs[0].NATLocal != nat {
		t.Errorf("NAT before us: %v, want %v", d.IKESAs[0].NATLocal, nat)
	}

	s.Must("disconnect", "office")
	waitFor(t, "the gateway to forget the SA", func() bool { return !strings.Contains(gw.SAs(), "ESTABLISHED") })
	l.Client.MustBeAsBefore(before)
	s.Stop()
	l.Client.MustBeAsBefore(before)
}

func contains(list []netip.Addr, a netip.Addr) bool {
	for _, x := range list {
		if x == a.Unmap() {
			return true
		}
	}
	return false
}

// waitFor waits up to five seconds.
func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Errorf("waited in vain for %s", what)
}

// TestGatewayWithoutRFC7427 has a gateway that knows no signature
// authentication, so that RSA is PKCS #1 with SHA-1 by definition, of which the
// user is warned. ECDSA has methods of its own (RFC 4754).
func TestGatewayWithoutRFC7427(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pki := newPKI(t)
	gw := newGateway(t, l, pki, "signature_authentication = no")
	for _, key := range []string{"rsa", "ecdsa256", "ecdsa384", "ecdsa521"} {
		c := certClient(key)
		c.weak = key == "rsa"
		t.Run(key, func(t *testing.T) { c.test(t, l, pki, gw) })
	}
}
