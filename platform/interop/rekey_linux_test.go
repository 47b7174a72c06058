package interop_test

import (
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/platform/internal/lab"
)

// rekeySeconds is how long a transfer runs while both ends rekey.
const rekeySeconds = 60

// Our side rekeys by its clock: a Child SA after 4 s, an IKE SA after 6 s.
// strongSwan rekeys by command (see administer), in between.
const (
	rekeyOurChild = "rekey_time = 4s\n        life_time = 30s\n        rand_time = 0s"
	rekeyOurIKE   = "rekey_time = 6s\n    over_time = 30s\n    rand_time = 0s"
)

// administer lets strongSwan rekey the Child SA every 6 s and the IKE SA every
// 10 s, until the function it returns is called.
func administer(t *testing.T, swan *lab.StrongSwan, ike string) func() {
	stop := make(chan struct{})
	var running sync.WaitGroup
	for every, what := range map[time.Duration][]string{6 * time.Second: {"--child", "net"}, 10 * time.Second: {"--ike", ike}} {
		running.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				// It fails when the SA has just been replaced.
				if out, err := swan.Ctl(5*time.Second, append([]string{"--rekey"}, what...)...); err != nil {
					t.Logf("swanctl --rekey %v: %v\n%s", what, err, out)
				}
			}
		})
	}
	return func() {
		close(stop)
		running.Wait()
	}
}

// mustHaveRekeyed reads in strongSwan's log that each end has rekeyed each SA
// several times.
func mustHaveRekeyed(t *testing.T, log string) {
	t.Helper()
	for what, want := range map[string]string{
		"Child SAs rekeyed by strongSwan": `generating CREATE_CHILD_SA request \d+ \[ N\(REKEY_SA\)`,
		"Child SAs rekeyed by us":         `parsed CREATE_CHILD_SA request \d+ \[ N\(REKEY_SA\)`,
		"IKE SAs rekeyed by strongSwan":   `generating CREATE_CHILD_SA request \d+ \[ SA No KE \]`,
		"IKE SAs rekeyed by us":           `parsed CREATE_CHILD_SA request \d+ \[ SA No KE \]`,
	} {
		n := len(regexp.MustCompile(want).FindAllString(log, -1))
		t.Logf("%s: %d", what, n)
		if n < 3 {
			t.Errorf("%s: only %d", what, n)
		}
	}
}

// TestRekeyWithGateway lets both ends rekey both SAs every few seconds under a
// running transfer: nothing may be lost, and nothing stand still for a second.
func TestRekeyWithGateway(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	gw := newGateway(t, l, newPKI(t))
	dir := l.SwanDir("rekey", pskConf("198.51.100.1", "psk.vpn.test", rekeyOurIKE,
		split+"\n        esp_proposals = aes256gcm16-ecp384, aes256gcm16\n        "+rekeyOurChild))
	s := l.Client.Service("rekey")
	before := l.Client.Snapshot()
	s.Must("import", dir+"/swanctl.conf")
	wire := l.Client.Capture("eth0")
	s.Must("connect", "office", "--wait", "20s")

	mark := gw.Mark()
	stop := administer(t, gw, "psk")
	underTraffic(t, l, rekeySeconds)
	stop()
	mustHaveRekeyed(t, gw.Since(mark))
	t.Logf("wire: %v", wire.MustBeProtected(50_000))
	d := s.Dynamic()
	t.Logf("drops: %v", d.Drops)
	if len(d.IKESAs) != 1 || d.IKESAs[0].Rekeys < 6 {
		t.Errorf("the IKE SA does not say how often it was rekeyed: %+v", d.IKESAs)
	}
	s.Must("disconnect", "office")
	l.Client.MustBeAsBefore(before)
}

// underTraffic pings every 10 ms and reads a numbered stream at the same time.
func underTraffic(t *testing.T, l *lab.Lab, seconds int) {
	t.Helper()
	ping := l.Client.Ping(lab.InsideV4, 10*time.Millisecond, 56)
	ping6 := l.Client.Ping(lab.InsideV6, 50*time.Millisecond, 1000)
	tr, err := l.Client.Stream(lab.InsideV4, seconds)
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

// loadSeconds is how long TestRekeyUnderLoad lasts with each gateway: see "make
// lifetimes", which asks for more.
func loadSeconds(t *testing.T) time.Duration {
	s := os.Getenv("SALLYPORT_LIFETIMES")
	if s == "" {
		return 14 * time.Second
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("SALLYPORT_LIFETIMES: %v", err)
	}
	return d
}

// TestRekeyUnderLoad lets both ends rekey, and ours authenticate anew, while
// downloads fill the tunnel, and then beside a stream: every byte and every ping
// arrives, and none is waited for longer than a second.
func TestRekeyUnderLoad(t *testing.T) {
	t.Parallel()
	for _, gateway := range []string{"strongswan", "sallyport"} {
		t.Run(gateway, func(t *testing.T) {
			l := lab.New(t)
			stop := func() {}
			if gateway == "strongswan" {
				stop = administer(t, newGateway(t, l, newPKI(t)), "psk")
			} else {
				newResponder(t, l, newPKI(t), "rekey_time = 3s\n      life_time = 15s", "rekey_time = 4s\n    over_time = 9s")
			}
			defer stop()
			dir := l.SwanDir("client", pskConf("198.51.100.1", "psk.vpn.test", "rekey_time = 3s\n    over_time = 30s\n    reauth_time = 4s",
				split+"\n        rekey_time = 2s\n        life_time = 30s"))
			s := l.Client.Service("load")
			s.Must("import", dir+"/swanctl.conf")
			s.Must("connect", "office", "--wait", "20s")
			address := s.Connection("office").Addresses[0]
			half := loadSeconds(t) / 2
			// Over hours the tunnel is full for a minute, and then has a load that
			// leaves the machine to others.
			full := time.Now().Add(time.Minute)
			for end := time.Now().Add(half); time.Now().Before(end); {
				rate := 0
				if time.Now().After(full) {
					rate = 10 * megabytes
				}
				tr, err := l.Client.DownloadAt(lab.InsideV4, 100*megabytes, rate, time.Minute)
				if err != nil {
					t.Fatalf("download: %v", err)
				}
				t.Logf("download: %v", tr)
				if tr.Stall > time.Second {
					t.Errorf("the download stood still for %v", tr.Stall)
				}
			}
			// A full tunnel drops pings by itself; beside a stream none may be.
			for end := time.Now().Add(half); time.Now().Before(end); {
				underTraffic(t, l, min(rekeySeconds, int(half.Seconds())))
			}
			log := s.Must("log")
			times := strings.Count(log, "IKE SA established with")
			if times < 3 || !strings.Contains(log, "rekeyed as") {
				t.Errorf("authenticated %d times\n%s", times, log)
			}
			t.Logf("authenticated %d times", times)
			if c := s.Connection("office"); c.Addresses[0] != address {
				t.Errorf("the address %v became %v", address, c.Addresses)
			}
		})
	}
}
