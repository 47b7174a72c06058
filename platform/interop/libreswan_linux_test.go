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

// foreignEnv asks for the tests that boot a virtual machine: make foreign.
const foreignEnv = "SALLYPORT_FOREIGN"

// libreswanConf has one connection for an address, so that libreswan, which chooses
// one with the first message, before it hears who is there, always takes the right one.
var libreswanConf = strings.NewReplacer(
	"ALICE", "authby=secret\n\trightid=@alice",
	"CERTIFICATE", "leftsendcert=always\n\trightid=%fromcert\n\trightca=%same",
	"SITE", "leftid=@lsw.test\n\tleftsubnet=10.30.0.0/16\n\tauthby=secret\n\tright=198.51.100.1\n\trightid=@psk.vpn.test\n\trightsubnet=10.10.0.0/16",
).Replace(`
conn %default
	ikev2=insist
	right=%any
	leftupdown=%disabled
	narrowing=yes
	mobike=yes
	auto=add
	leftsubnet=10.30.0.0/16
conn psk
	left=198.51.100.10
	leftid=@psk.lsw.test
	ALICE
	rightaddresspool=10.31.0.10-10.31.0.100
	modecfgdns=10.30.0.53
	modecfgdomains="corp.test,lab.test"
conn rsa
	left=198.51.100.11
	leftid=@rsa.lsw.test
	leftcert=rsa
	CERTIFICATE
	rightaddresspool=10.32.0.10-10.32.0.100
conn ecdsa
	left=198.51.100.12
	leftid=@ecdsa.lsw.test
	leftcert=ecdsa
	CERTIFICATE
	leftauth=ecdsa
	rightauth=ecdsa
	rightaddresspool=10.33.0.10-10.33.0.100
conn ppk
	left=198.51.100.13
	leftid=@ppk.lsw.test
	ALICE
	ppk=insist
	rightaddresspool=10.34.0.10-10.34.0.100
conn cbc
	left=198.51.100.14
	leftid=@cbc.lsw.test
	ALICE
	ike=aes128-sha2;dh19
	esp=aes128-sha2
	rightaddresspool=10.35.0.10-10.35.0.100
conn away
	left=198.51.100.15
	leftid=@there.lsw.test
	ALICE
	send-redirect=yes
	redirect-to=198.51.100.16
	rightaddresspool=10.36.0.10-10.36.0.100
conn there
	left=198.51.100.16
	leftid=@there.lsw.test
	ALICE
	rightaddresspool=10.36.0.10-10.36.0.100
conn old
	left=198.51.100.17
	leftid=@old.lsw.test
	ALICE
	ike=3des-sha1;modp2048
	rightaddresspool=10.37.0.10-10.37.0.100
conn v6
	hostaddrfamily=ipv6
	left=2001:db8:1::10
	leftsubnet=fd00:30::/64
	leftid=@v6.lsw.test
	ALICE
	rightaddresspool=fd00:31::/112
conn out
	left=198.51.100.18
	SITE
conn outinter
	left=198.51.100.19
	SITE
	intermediate=yes
`)

const (
	libreswanPSK = "correct horse battery staple"
	libreswanPPK = "a post-quantum secret of enough bytes for anyone"
)

// libreswanProfile connects to a gateway of libreswanConf.
func libreswanProfile(name, gateway, auth, addresses, networks, more string) string {
	local := "[local]\nmethod = \"psk\"\nid = \"fqdn:alice\"\nsecret = \"psk\"\n[remote]\nmethod = \"psk\"\n"
	if auth != "psk" {
		local = fmt.Sprintf("[local]\nmethod = \"certificate\"\nid = \"alice@vpn.test\"\ncertificates = [\"x509/alice-%s.crt\"]\nkey = \"private/alice-%s.key\"\n"+
			"[remote]\nmethod = \"certificate\"\ncas = [\"x509ca/ca-%s.crt\"]\n", auth, auth, auth)
	}
	return fmt.Sprintf("version = 1\nname = %q\ngateways = [%q]\nvirtual_ips = [%q]\n%sid = \"%s.lsw.test\"\n%s[[children]]\nname = \"net\"\nremote_ts = [%q]\n",
		name, gateway, addresses, local, name, more, networks)
}

// goOver takes the client to another path, over which the tunnel goes on.
func goOver(t *testing.T, l *lab.Lab, s *lab.Service, to netip.Addr, p lab.Path) {
	t.Helper()
	l.Path(p)
	ping := l.Client.Ping(to, 20*time.Millisecond, 56)
	defer ping.Close()
	if _, err := ping.First(5 * time.Second); err != nil {
		t.Errorf("after the move: %v\n%s", err, s.Must("log"))
	}
}

// TestLibreswan is both ends with libreswan 4.10, which leaves ESP to a kernel: as its
// client and as its gateway. It boots a virtual machine, and is not for make test.
func TestLibreswan(t *testing.T) {
	if os.Getenv(foreignEnv) == "" {
		t.Skipf("boots a virtual machine with libreswan: run by make foreign (%s=1)", foreignEnv)
	}
	l := lab.New(t)
	pki := lab.NewPKI(t)
	for kind, key := range map[string]string{"rsa": "rsa2048", "ecdsa": "ecdsa384"} {
		issuer := map[string]string{"rsa": "ca-rsa", "ecdsa": "ca-ecdsa384"}[kind]
		sans := []string{kind + ".lsw.test"}
		for n := range 40 { // too large for one packet
			sans = append(sans, fmt.Sprintf("one-of-many-names-%d.lsw.test", n))
		}
		pki.Issue(t, lab.Leaf{Name: kind, Issuer: issuer, Key: key, SANs: sans})
		pki.Issue(t, lab.Leaf{Name: "alice-" + kind, Issuer: issuer, Key: key, SANs: []string{"alice@vpn.test"}, Client: true})
	}
	pluto := l.NewVM().Libreswan(libreswanConf, fmt.Sprintf(": PSK %q\n: PPKS \"PPKID1\" %q\n", libreswanPSK, libreswanPPK), pki, []string{"ca-rsa", "ca-ecdsa384"}, "rsa", "ecdsa")
	dir := l.Dir("user")
	pki.Install(t, dir, []string{"ca-rsa", "ca-ecdsa384", "alice-rsa", "alice-ecdsa"}, []string{"alice-rsa", "alice-ecdsa"})
	if err := os.Rename(filepath.Join(dir, "x509ca/ca-ecdsa384.crt"), filepath.Join(dir, "x509ca/ca-ecdsa.crt")); err != nil {
		t.Fatal(err)
	}
	s := l.Client.Service("user")
	inside4, inside6 := netip.MustParseAddr(lab.VMInsideV4), netip.MustParseAddr(lab.VMInsideV6)
	store := func(t *testing.T, name, profile string) {
		t.Helper()
		for file, text := range map[string]string{name + ".toml": profile, "psk": libreswanPSK, "ppk": libreswanPPK} {
			writeFile(t, filepath.Join(dir, file), text)
		}
		s.For(l.For(t)).Must("import", filepath.Join(dir, name+".toml"))
	}
	const v4, net4 = "0.0.0.0", "10.30.0.0/16"

	for _, c := range []struct {
		name, gateway, auth, address, network, more string
		to                                          netip.Addr
	}{
		{"rsa", "198.51.100.11", "rsa", v4, net4, "", inside4},
		{"ecdsa", "198.51.100.12", "ecdsa", v4, net4, "", inside4},
		{"ppk", "198.51.100.13", "psk", v4, net4, "[ike]\nppk_required = true\nppks = [{id = \"PPKID1\", secret = \"ppk\"}]\n", inside4},
		{"cbc", "198.51.100.14", "psk", v4, net4, "", inside4},
		{"there", "198.51.100.15", "psk", v4, net4, "", inside4}, // which sends it to .16
		{"v6", "2001:db8:1::10", "psk", "::", "fd00:30::/64", "", inside6},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := l.For(t)
			s := s.For(l)
			store(t, c.name, libreswanProfile(c.name, c.gateway, c.auth, c.address, c.network, c.more))
			s.Must("connect", c.name, "--wait", "20s")
			if got := l.Client.Pings(c.to, 10); got.Lost > 0 {
				t.Errorf("ping: %v\n%s", got, s.Must("log"))
			}
			s.Must("disconnect", c.name)
		})
	}

	t.Run("refused", func(t *testing.T) {
		store(t, "old", libreswanProfile("old", "198.51.100.17", "psk", v4, net4, ""))
		e, exit := s.For(l.For(t)).Error("connect", "old", "--wait", "20s")
		mustExplain(t, e, exit, api.CodeNoProposal, 1, "algorithms")
	})

	t.Run("life", func(t *testing.T) {
		l := l.For(t)
		s, pluto := s.For(l), pluto.For(l)
		store(t, "psk", libreswanProfile("psk", "198.51.100.10", "psk", v4, net4, "[ike]\nrekey_time = \"25s\"\n")+"rekey_time = \"15s\"\n")
		s.Must("connect", "psk", "--wait", "20s")
		c := s.Connection("psk")
		if got := fmt.Sprint(c.Addresses, c.DNS, c.Domains); !strings.Contains(got, "10.31.0.10") || !strings.Contains(got, "10.30.0.53") || !strings.Contains(got, "corp.test") {
			t.Errorf("configured with %s", got)
		}
		goOver(t, l, s, inside4, lab.BehindRouter)
		pluto.Await("success MOBIKE update")
		ping := l.Client.Ping(inside4, 20*time.Millisecond, 1000)
		// Ours rekeys both by its clock, first of all the Child SA, which came with
		// IKE_AUTH and has no key exchange to go by.
		pluto.Await("responder rekeyed Child SA", "responder rekeyed IKE SA")
		pluto.VM.Run("ipsec whack --rekey-ike --name psk; ipsec whack --rekey-ipsec --name psk")
		pluto.Await("initiator rekeyed IKE SA", "initiator rekeyed Child SA")
		if got := ping.Stop(); got.Lost > 0 {
			t.Errorf("over the rekeys: %v\n%s", got, s.Must("log"))
		}
		// libreswan has forgotten MOBIKE with the rekey of the IKE SA.
		goOver(t, l, s, inside4, lab.Direct)
		if log := s.Must("log"); !strings.Contains(log, "no longer speaks MOBIKE") {
			t.Errorf("libreswan followed, or was not seen not to:\n%s", log)
		}
		s.Must("disconnect", "psk")
	})

	t.Run("as our client", func(t *testing.T) {
		l := l.For(t)
		pluto := pluto.For(l)
		gwDir := l.Dir("gateway")
		profile := "version = 1\nname = \"gw\"\nrole = \"responder\"\n[local]\nmethod = \"psk\"\nid = \"psk.vpn.test\"\nsecret = \"psk\"\n" +
			"[remote]\nmethod = \"psk\"\nid = \"lsw.test\"\n[[children]]\nname = \"net\"\nlocal_ts = [\"10.10.0.0/16\"]\nremote_ts = [\"10.30.0.0/16\"]\nrekey_time = \"5s\"\n"
		for file, text := range map[string]string{"gw.toml": profile, "psk": libreswanPSK} {
			writeFile(t, filepath.Join(gwDir, file), text)
		}
		gw := l.Gateway.Service("gateway")
		gw.Must("import", filepath.Join(gwDir, "gw.toml"))
		gw.Must("connect", "gw")
		for _, name := range []string{"outinter", "out"} {
			pluto.Up(name)
			if got := l.Inside.Pings(inside4, 10); got.Lost > 0 {
				t.Errorf("%s: ping: %v\n%s", name, got, gw.Must("log"))
			}
			if name == "outinter" {
				pluto.Down(name)
			}
		}
		ping := l.Inside.Ping(inside4, 20*time.Millisecond, 56)
		pluto.Await(`"out".* responder rekeyed Child SA`)
		pluto.VM.Run("ipsec whack --rekey-ike --name out; ipsec whack --rekey-ipsec --name out")
		pluto.Await(`"out".* initiator rekeyed Child SA`, `"out".* initiator rekeyed IKE SA`)
		if got := ping.Stop(); got.Lost > 0 {
			t.Errorf("over the rekeys: %v\n%s", got, gw.Must("log"))
		}
		pluto.Down("out")
	})
}
