package interop_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/platform/internal/lab"
)

// limitsProfile has two Child SAs in one IKE SA: one gets new keys by bytes, the
// other by packets.
const limitsProfile = `version = 1
name = "office"
gateways = ["198.51.100.1"]
virtual_ips = ["0.0.0.0", "::"]
[local]
method = "psk"
id = "alice@vpn.test"
secret = "psk"
[remote]
method = "psk"
id = "psk.vpn.test"
[[children]]
name = "bytes"
remote_ts = ["10.10.0.0/16"]
rekey_bytes = 20_000_000
[[children]]
name = "packets"
remote_ts = ["fd00:10::/64"]
rekey_packets = 3000
`

// TestLimits has Child SAs get new keys after so many bytes and so many packets,
// each by its own count, beside each other in one IKE SA of strongSwan's, and
// nothing is lost.
func TestLimits(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	gw := newGateway(t, l, newPKI(t))
	dir := l.Dir("limits")
	writeFile(t, filepath.Join(dir, "office.toml"), limitsProfile)
	writeFile(t, filepath.Join(dir, "psk"), "correct horse battery staple")
	s := l.Client.Service("limits")
	s.Must("import", filepath.Join(dir, "office.toml"))
	s.Must("connect", "office", "--wait", "20s")
	mark := gw.Mark()
	ping, ping6 := l.Client.Ping(lab.InsideV4, 10*time.Millisecond, 56), l.Client.Ping(lab.InsideV6, 10*time.Millisecond, 56)
	if tr, err := l.Client.Stream(lab.InsideV6, 5); err != nil {
		t.Errorf("%v, %v", tr, err)
	}
	p, p6 := ping.Stop(), ping6.Stop()
	if p.Lost > 0 || p6.Lost > 0 {
		t.Errorf("ping: %v, %v", p, p6)
	}
	byPackets := len(regexp.MustCompile(`parsed CREATE_CHILD_SA request \d+ \[ N\(REKEY_SA\)`).FindAllString(gw.Since(mark), -1))
	mark = gw.Mark()
	if tr, err := l.Client.Download(lab.InsideV4, 100*megabytes, time.Minute); err != nil {
		t.Errorf("%v, %v", tr, err)
	}
	byBytes := len(regexp.MustCompile(`parsed CREATE_CHILD_SA request \d+ \[ N\(REKEY_SA\)`).FindAllString(gw.Since(mark), -1))
	t.Logf("rekeyed %d times by packets, %d times by bytes", byPackets, byBytes)
	if byPackets == 0 || byBytes < 3 {
		t.Errorf("rekeyed %d times by packets, %d times by bytes", byPackets, byBytes)
	}
	d := s.Dynamic()
	names := map[string]int{}
	for _, sa := range d.ChildSAs {
		if sa.State == "installed" {
			names[sa.Child]++
		}
	}
	if len(d.IKESAs) != 1 || names["bytes"] != 1 || names["packets"] != 1 {
		t.Errorf("%d IKE SAs, Child SAs %v", len(d.IKESAs), names)
	}
	s.Must("disconnect", "office")
}

// TestFragmentation has certificates travel in IKE fragments (RFC 7383), both
// ways and in both roles, also where one datagram of four is lost.
func TestFragmentation(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pki := newPKI(t)
	gw := newGateway(t, l, pki)
	c := certClient("rsa")
	dir := l.SwanDir("rsa", c.conf)
	pki.Install(t, dir, c.certs, c.keys)
	mustHaveFragmented := func(log string) {
		t.Helper()
		for _, want := range []string{`parsed IKE_AUTH re\w+ 1 \[ EF\(2/`, `generating IKE_AUTH re\w+ 1 \[ EF\(2/`} {
			if !regexp.MustCompile(want).MatchString(log) {
				t.Errorf("no %s in strongSwan's log:\n%s", want, log)
			}
		}
	}
	lose := func() func() {
		for _, h := range []*lab.Host{l.Client, l.Gateway} {
			h.Script("add table inet lossy\nadd chain inet lossy in { type filter hook prerouting priority -400; }\n"+
				"add rule inet lossy in iifname eth0 udp dport 4500 numgen random mod 4 == 0 drop\n", "nft", "-f", "-")
		}
		return func() {
			l.Client.Run("nft delete table inet lossy")
			l.Gateway.Run("nft delete table inet lossy")
		}
	}
	s := l.Client.Service("fragments")
	s.Must("import", filepath.Join(dir, "swanctl.conf"))
	for _, lossy := range []bool{false, true} {
		mark, heal := gw.Mark(), func() {}
		if lossy {
			heal = lose()
		}
		s.Must("connect", "office", "--wait", "40s")
		heal()
		mustHaveFragmented(gw.Since(mark))
		if p := l.Client.Pings(lab.InsideV4, 5); p.Lost > 0 {
			t.Errorf("ping: %v", p)
		}
		s.Must("disconnect", "office")
	}
	s.Stop()
	gw.Stop()

	newResponder(t, l, pki, "", "")
	swan := l.Client.StrongSwan(dir)
	heal := lose()
	err := swan.Initiate("office")
	heal()
	if err != nil {
		t.Fatal(err)
	}
	mustHaveFragmented(swan.Log())
	if p := l.Client.Pings(lab.InsideV4, 5); p.Lost > 0 {
		t.Errorf("ping: %v", p)
	}
	if out := swan.SAs(); !strings.Contains(out, "ESTABLISHED") {
		t.Error(out)
	}
}
