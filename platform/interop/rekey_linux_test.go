package interop_test

import (
	"regexp"
	"sync"
	"testing"
	"time"

	"sallyport/platform/internal/lab"
)

// rekeySeconds is how long a transfer runs while both ends rekey.
const rekeySeconds = 60

// TestRekeyWithGateway lets both ends rekey both SAs every few seconds, by
// their own clocks and by command, under a running transfer: nothing may be
// lost, and nothing stand still for a second.
func TestRekeyWithGateway(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	gw := newGateway(t, l, newPKI(t))
	dir := l.SwanDir("rekey", pskConf("198.51.100.1", "rekey.vpn.test", "rekey_time = 14s\n    over_time = 9s\n    rand_time = 0s",
		split+"\n        rekey_time = 4s\n        life_time = 12s\n        rand_time = 0s\n        esp_proposals = aes256gcm16-ecp384, aes256gcm16"))
	s := l.Client.Service("rekey")
	before := l.Client.Snapshot()
	s.Must("import", dir+"/swanctl.conf")
	wire := l.Client.Capture("eth0")
	s.Must("connect", "office", "--wait", "20s")

	mark := gw.Mark()
	stop := make(chan struct{})
	var background sync.WaitGroup
	background.Go(func() { // the gateway's administrator
		tick := time.NewTicker(3500 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			what := []string{"--rekey", "--child", "net", "--timeout", "3"}
			if i%2 == 1 {
				what = []string{"--rekey", "--ike", "rekey", "--timeout", "3"}
			}
			if out, err := gw.Ctl(5*time.Second, what...); err != nil {
				// It fails when the SA has just been replaced.
				t.Logf("swanctl %v: %v\n%s", what, err, out)
			}
		}
	})
	underTraffic(t, l)
	close(stop)
	background.Wait()

	log := gw.Since(mark)
	for what, want := range map[string]string{
		"Child SAs rekeyed by the gateway": `generating CREATE_CHILD_SA request \d+ \[ N\(REKEY_SA\)`,
		"Child SAs rekeyed by us":          `parsed CREATE_CHILD_SA request \d+ \[ N\(REKEY_SA\)`,
		"IKE SAs rekeyed by the gateway":   `generating CREATE_CHILD_SA request \d+ \[ SA No KE \]`,
		"IKE SAs rekeyed by us":            `parsed CREATE_CHILD_SA request \d+ \[ SA No KE \]`,
	} {
		n := len(regexp.MustCompile(want).FindAllString(log, -1))
		t.Logf("%s: %d", what, n)
		if n < 3 {
			t.Errorf("%s: only %d", what, n)
		}
	}
	t.Logf("wire: %v", wire.MustBeProtected(50_000))
	d := s.Dynamic()
	t.Logf("drops: %v", d.Drops)
	if len(d.IKESAs) > 0 && d.IKESAs[0].Rekeys == 0 {
		t.Errorf("the IKE SA says that it was never rekeyed: %+v", d.IKESAs[0])
	}
	s.Must("disconnect", "office")
	l.Client.MustBeAsBefore(before)
}

// underTraffic pings every 10 ms and reads a numbered stream at the same time.
func underTraffic(t *testing.T, l *lab.Lab) {
	t.Helper()
	ping := l.Client.Ping(lab.InsideV4, 10*time.Millisecond, 56)
	ping6 := l.Client.Ping(lab.InsideV6, 50*time.Millisecond, 1000)
	tr, err := l.Client.Stream(lab.InsideV4, rekeySeconds)
	if err != nil {
		t.Errorf("transfer: %v", err)
	}
	if tr.Stall > time.Second {
		t.Errorf("the transfer stood still for %v", tr.Stall)
	}
	t.Logf("transfer: %v", tr)
	for _, p := range []lab.Pings{ping.Stop(), ping6.Stop()} {
		t.Logf("ping: %v", p)
		if p.Lost > 0 || p.Duplicate > 0 || p.Refused > 0 {
			t.Errorf("ping: %v", p)
		}
	}
}
