package interop_test

import (
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// A move is one change of the client's network during a transfer.
type move struct {
	after time.Duration
	path  lab.Path
}

// roamed is what a transfer over changes of the network came to.
type roamed struct{ stream, download lab.Transfer }

// roamUnderTraffic changes the network while a stream of numbered lines, which
// shows the gap, and a download, whose sum is checked, are under way.
func roamUnderTraffic(t *testing.T, l *lab.Lab, moves ...move) (out roamed) {
	t.Helper()
	type result struct {
		lab.Transfer
		err error
	}
	stream, download := make(chan result, 1), make(chan result, 1)
	go func() {
		tr, err := l.Client.Stream(lab.InsideV4, 4)
		stream <- result{tr, err}
	}()
	go func() {
		tr, err := l.Client.DownloadAt(lab.InsideV4, 40*megabytes, 10*megabytes, 40*time.Second)
		download <- result{tr, err}
	}()
	for _, m := range moves {
		time.Sleep(m.after)
		l.Path(m.path)
	}
	s, d := <-stream, <-download
	if s.err != nil {
		t.Errorf("stream: %v", s.err)
	}
	if d.err != nil {
		t.Errorf("download: %v", d.err)
	}
	return roamed{s.Transfer, d.Transfer}
}

// mustBeShort checks the gap that a change of network may leave.
func (r roamed) mustBeShort(t *testing.T) {
	t.Helper()
	t.Logf("stream: %v; download: %v", r.stream, r.download)
	for _, x := range []lab.Transfer{r.stream, r.download} {
		if x.Stall >= time.Second {
			t.Errorf("a gap of %v", x.Stall)
		}
	}
}

// moved waits until the tunnel is at an address of the client, and carries traffic.
func moved(t *testing.T, l *lab.Lab, s *lab.Service, to string) {
	t.Helper()
	waitFor(t, "the move to "+to, func() bool { return strings.HasPrefix(s.Connection("office").Path, to) })
	// strongSwan's Child SAs follow with a rekey. A next move amid that would wait
	// for the retransmission of a request to the address that is gone.
	time.Sleep(300 * time.Millisecond)
	if p := l.Client.Pings(lab.InsideV4, 20); p.Lost > 0 {
		t.Errorf("over %s: %v", to, p)
	}
}

// TestRoamOverStrongSwan moves our client from one interface to another, behind
// a NAT and out again, to the other family and through times without any
// network, with strongSwan as the gateway.
func TestRoamOverStrongSwan(t *testing.T) {
	l := lab.New(t)
	gw := newGateway(t, l, newPKI(t))
	s := l.Client.Service("roamer")
	dir := l.SwanDir("client", pskConf("198.51.100.1", "psk.vpn.test", "", split))
	s.Must("import", dir+"/swanctl.conf")
	// Each part has an IKE SA of its own: after more moves our UPDATE_SA_ADDRESSES
	// and strongSwan's rekey of the Child SA have the same message ID, and then
	// strongSwan 5.9.8 may take our answer to the one for a copy of the other ("ignoring
	// request with ID 5, already processing").
	part := func(name string, f func(t *testing.T, l *lab.Lab)) {
		t.Run(name, func(t *testing.T) {
			l := l.For(t)
			l.Path(lab.Direct)
			s.Must("connect", "office", "--wait", "20s")
			first := s.Dynamic().IKESAs[0].LocalSPI
			f(t, l)
			if d := s.Dynamic(); len(d.IKESAs) != 1 || d.IKESAs[0].LocalSPI != first {
				t.Errorf("the IKE SA was made anew: %+v", d.IKESAs)
			}
			s.Must("disconnect", "office")
		})
	}

	part("two moves in a download", func(t *testing.T, l *lab.Lab) {
		mark := gw.Mark()
		roamUnderTraffic(t, l, move{time.Second, lab.BehindRouter}, move{1500 * time.Millisecond, lab.Direct}).mustBeShort(t)
		if c := s.Connection("office"); c.State != api.Connected || !strings.HasPrefix(c.Path, lab.ClientV4.String()) {
			t.Errorf("%s over %s", c.State, c.Path)
		}
		if n := strings.Count(gw.Since(mark), "N(UPD_SA_ADDR)"); n != 2 {
			t.Errorf("strongSwan saw %d UPDATE_SA_ADDRESSES, want 2", n)
		}
	})
	part("no network", func(t *testing.T, l *lab.Lab) {
		l.Path(lab.Offline)
		waitFor(t, "the state to say that there is no network", func() bool {
			c := s.Connection("office")
			return c.State == api.Reconnecting && c.Problem != nil && c.Problem.Code == api.CodeNoNetwork
		})
		time.Sleep(time.Second)
		begun := time.Now()
		l.Path(lab.BehindRouter)
		p := l.Client.Ping(lab.InsideV4, 10*time.Millisecond, 0)
		at, err := p.First(5 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		p.Close()
		t.Logf("traffic %v after the link was back", at.Sub(begun).Round(time.Millisecond))
		if at.Sub(begun) > time.Second {
			t.Errorf("traffic %v after the link was back", at.Sub(begun))
		}
		waitFor(t, "the state to say that all is well", func() bool { return s.Connection("office").State == api.Connected })
		l.Path(lab.Direct)
		moved(t, l, s, lab.ClientV4.String())
	})
	part("to IPv6 and back", func(t *testing.T, l *lab.Lab) {
		l.Client.Run("ip addr del " + lab.ClientV4.String() + "/24 dev eth0")
		moved(t, l, s, "["+lab.ClientV6.String())
		l.Client.Run("ip addr add " + lab.ClientV4.String() + "/24 dev eth0")
		l.Path(lab.BehindRouter)
		moved(t, l, s, lab.BehindNAT.String())
	})
}

// TestRoamOverUs moves a client of our own responder: ours, and strongSwan's
// with its MOBIKE.
func TestRoamOverUs(t *testing.T) {
	l := lab.New(t)
	gw := newResponder(t, l, newPKI(t), "", "")
	dir := l.SwanDir("client", pskConf("198.51.100.1", "psk.vpn.test", "", split))
	moves := []move{{time.Second, lab.BehindRouter}, {1500 * time.Millisecond, lab.Direct}}
	followed := func(t *testing.T, before string) {
		t.Helper()
		waitFor(t, "our gateway to follow", func() bool {
			d := gw.Dynamic()
			if len(d.IKESAs) != 1 {
				return false
			}
			// Which family it takes is up to the client.
			return strings.HasPrefix(d.IKESAs[0].Remote, lab.ClientV4.String()) || strings.HasPrefix(d.IKESAs[0].Remote, "["+lab.ClientV6.String())
		})
		if d := gw.Dynamic(); d.IKESAs[0].LocalSPI != before {
			t.Errorf("the IKE SA was made anew: %+v", d.IKESAs)
		}
	}
	t.Run("ours", func(t *testing.T) {
		l := l.For(t)
		s := l.Client.Service("roamer")
		s.Must("import", dir+"/swanctl.conf")
		s.Must("connect", "office", "--wait", "20s")
		before := gw.Dynamic().IKESAs[0].LocalSPI
		roamUnderTraffic(t, l, moves...).mustBeShort(t)
		followed(t, before)
		s.Must("disconnect", "office")
		waitFor(t, "our gateway to forget the SA", func() bool { return len(gw.Dynamic().IKESAs) == 0 })
		s.Stop()
	})
	t.Run("strongSwan", func(t *testing.T) {
		l := l.For(t)
		swan := l.Client.StrongSwan(dir)
		if err := swan.Initiate("office"); err != nil {
			t.Fatal(err)
		}
		before := gw.Dynamic().IKESAs[0].LocalSPI
		r := roamUnderTraffic(t, l, moves...)
		t.Logf("stream: %v; download: %v", r.stream, r.download) // how long strongSwan takes to notice is its own
		followed(t, before)
		if log := swan.Log(); strings.Count(log, "N(UPD_SA_ADDR)") == 0 || !strings.Contains(log, "peer supports MOBIKE") {
			t.Errorf("strongSwan did not move with MOBIKE:\n%s", log)
		}
	})
}
