package interop_test

import (
	"strings"
	"testing"
	"time"

	"sallyport/platform/internal/lab"
)

// TestGatewayEndsChild lets the gateway's administrator delete the only Child SA, again
// and again: the tunnel carries again within a second, in the same IKE SA, and nobody
// has proved themselves a second time. Nothing of it is seen in clear.
func TestGatewayEndsChild(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	gw := newGateway(t, l, newPKI(t))
	// The gateway wants another key exchange than the one that is likely.
	dir := l.SwanDir("reopen", pskConf("198.51.100.1", "psk.vpn.test", "", split+"\n        esp_proposals = aes256gcm16-x25519-ecp384"))
	s := l.Client.Service("reopen")
	before := l.Client.Snapshot()
	s.Must("import", dir+"/swanctl.conf")
	wire := l.Client.Capture("eth0")
	s.Must("connect", "office", "--wait", "20s", "--profile", "require")
	first, address := s.Dynamic(), s.Connection("office").Addresses[0]
	for range 3 {
		ping := l.Client.Ping(lab.InsideV4, 20*time.Millisecond, 56)
		time.Sleep(time.Second)
		if out, err := gw.Ctl(10*time.Second, "--terminate", "--child", "net"); err != nil {
			t.Fatalf("terminate: %v\n%s", err, out)
		}
		time.Sleep(2 * time.Second)
		p := ping.Stop()
		t.Logf("ping: %v", p)
		if p.Lost > 50 || p.Duplicate > 0 || p.Refused > 0 || p.MaxRTT > time.Second {
			t.Errorf("ping: %v", p)
		}
	}
	d := s.Dynamic()
	if len(first.IKESAs) != 1 || len(d.IKESAs) != 1 || d.IKESAs[0].LocalSPI != first.IKESAs[0].LocalSPI || d.IKESAs[0].RemoteSPI != first.IKESAs[0].RemoteSPI {
		t.Errorf("the IKE SA is another: %+v, it was %+v", d.IKESAs, first.IKESAs)
	}
	if log := s.Must("log"); strings.Count(log, "IKE SA established with") != 1 || strings.Count(log, "asking for it anew") != 3 {
		t.Errorf("not three Child SAs after one proof:\n%s", log)
	}
	if n := strings.Count(gw.Log(), "parsed IKE_AUTH request"); n != 1 {
		t.Errorf("strongSwan saw %d requests IKE_AUTH", n)
	}
	if c := s.Connection("office"); c.Addresses[0] != address {
		t.Errorf("the address %v became %v", address, c.Addresses)
	}
	t.Logf("wire: %v", wire.MustBeProtected(100))
	s.Must("disconnect", "office")
	l.Client.MustBeAsBefore(before)
}
