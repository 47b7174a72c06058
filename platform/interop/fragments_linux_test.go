package interop_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/platform/internal/lab"
)

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
