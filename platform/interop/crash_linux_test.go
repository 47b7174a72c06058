package interop_test

import (
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// TestKill kills the service while a full tunnel is up. A restart, or the
// cleanup command, leaves the machine byte for byte as it was.
func TestKill(t *testing.T) {
	l := lab.New(t)
	newGateway(t, l, newPKI(t))
	dir := l.SwanDir("kill", pskConf("198.51.100.1", "full.vpn.test", "", "remote_ts = 0.0.0.0/0, ::/0"))
	before := l.Client.Snapshot()
	s := l.Client.Service("kill")
	s.Must("import", dir+"/swanctl.conf")
	for _, how := range []string{"restart", "cleanup", "stop", "kill again"} {
		t.Run(how, func(t *testing.T) {
			l := l.For(t)
			s := s.For(l)
			s.Must("connect", "office", "--wait", "20s")
			if _, err := l.Client.Download(lab.InternetV4, 10*megabytes, time.Minute); err != nil {
				t.Error(err)
			}
			if l.Client.Snapshot() == before {
				t.Fatal("a full tunnel changes nothing that a snapshot sees: the test is blind")
			}
			switch how {
			case "stop":
				s.Stop()
			default:
				s.Proc.Kill()
			}
			if how == "cleanup" {
				s.Cleanup()
				s.Cleanup() // twice does no harm
			}
			if how == "cleanup" || how == "stop" {
				l.Client.MustBeAsBefore(before)
			}
		})
		s.Start()
		l.Client.MustBeAsBefore(before)
		if c := s.Connection("office"); c.State != api.Disconnected && c.State != api.Blocked {
			t.Errorf("after the restart office is %s", c.State)
		}
		if _, err := l.Client.Get(lab.InternetV4, "/", 5*time.Second); err != nil {
			t.Errorf("the machine reaches nothing: %v", err)
		}
	}
	s.Must("connect", "office", "--wait", "20s")
	s.Must("disconnect", "office")
	s.Stop()
	l.Client.MustBeAsBefore(before)
}

// TestTwoInstances has two services, each in its own network namespace with
// its own folders, at the same gateway at the same time; a third that wants
// the folder of the first is refused.
func TestTwoInstances(t *testing.T) {
	l := lab.New(t)
	gw := newGateway(t, l, newPKI(t))
	before, beforeNAT := l.Client.Snapshot(), l.NAT.Snapshot()
	conf := pskConf("198.51.100.1", "psk.vpn.test", "", split)
	one, two := l.Client.Service("one"), l.NAT.Service("two")
	for s, user := range map[*lab.Service]string{one: "alice@vpn.test", two: "bob@vpn.test"} {
		dir := l.SwanDir(user, strings.ReplaceAll(conf, "alice@vpn.test", user))
		s.Must("import", dir+"/swanctl.conf")
		s.Must("connect", "office", "--wait", "20s")
	}
	done := make(chan error, 2)
	for _, h := range []*lab.Host{l.Client, l.NAT} {
		go func() {
			_, err := h.Download(lab.InsideV4, 20*megabytes, time.Minute)
			done <- err
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(gw.SAs(), "ESTABLISHED"); n != 2 {
		t.Errorf("the gateway has %d SAs", n)
	}
	third := lab.Command(l.Bin("sallyportd"), "run", "--socket", one.Socket+"3", "--state-dir", one.StateDir(), "--config-dir", l.Dir("third"))
	if _, errOut, err := l.Client.Output(10*time.Second, third); err == nil || third.ProcessState.ExitCode() != 1 || !strings.Contains(errOut, "another Sallyport service") {
		t.Errorf("a second service over the same state folder: %v: %s", err, errOut)
	}
	one.Must("disconnect", "office")
	if _, err := l.NAT.Download(lab.InsideV4, megabytes, time.Minute); err != nil {
		t.Errorf("the other instance is disturbed: %v", err)
	}
	two.Stop()
	l.Client.MustBeAsBefore(before)
	l.NAT.MustBeAsBefore(beforeNAT)
}
