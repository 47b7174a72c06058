package interop_test

import (
	"path/filepath"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// What a gateway may take for clients that are connected and say nothing.
const (
	maxIdlePair = 32 << 10  // for each
	maxIdleAll  = 512 << 20 // for 10,000
	maxIdleCore = 0.2       // of a core, for 10,000: each is asked every half minute whether it lives
	maxJoin     = 50 * time.Millisecond
	maxStatus   = time.Second
)

// TestIdleThrong connects 200 clients to our gateway, looks at it, and lets them
// go; BenchmarkIdleThrong 10,000.
func TestIdleThrong(t *testing.T) { idleThrong(t, 200, 0) }

// BenchmarkIdleThrong says what 10,000 idle clients cost the real service.
func BenchmarkIdleThrong(b *testing.B) { idleThrong(b, 10_000, 40*time.Second) }

// idleThrong measures n clients, that are idle for so long.
func idleThrong(t testing.TB, n int, idle time.Duration) {
	const late = 21 // who come when the others are there
	l := lab.New(t)
	// As many addresses as clients: who forgets to take one back has none for the next.
	dir, a := throngGateway(t, l, nil, "throng", "psk", "x25519", n+late)
	gw := l.Gateway.Service("gateway")
	pid := gw.Proc.Cmd.Process.Pid
	gw.Must("import", filepath.Join(dir, "swanctl.conf"))
	empty := resident(t, gw)
	c := newThrong(t, l, a)
	first := rushIn(t, c, pid, n)
	if sas := gw.Connection("throng").SAs; sas != n {
		t.Errorf("%d SAs, want %d", sas, n)
	}

	before := processorTime(t, pid)
	time.Sleep(idle)
	if core := (processorTime(t, pid) - before).Seconds() / max(idle.Seconds(), 1); idle > 0 {
		t.Logf("%.1f %% of a core while all are idle", 100*core)
		if core > maxIdleCore {
			t.Errorf("idle clients take %.2f of a core", core)
		}
	}
	full := resident(t, gw)
	pair := (full - empty) * 1024 / n
	t.Logf("resident: %d MiB empty, %d MiB with %d clients, %d bytes each", empty/1024, full/1024, n, pair)
	if n >= 10_000 && pair > maxIdlePair || full*1024 > maxIdleAll {
		t.Errorf("%d clients take %d MiB, %d bytes each", n, full/1024, pair)
	}

	// It serves the next ones as quickly as the first, and answers.
	join := c.connect(late, 1).median()
	begun := time.Now()
	gw.Must("status")
	status := time.Since(begun)
	t.Logf("one more connects in %v, sallyport status takes %v", join.Round(time.Microsecond), status.Round(time.Millisecond))
	if join > maxJoin || status > maxStatus {
		t.Errorf("among %d clients one more connects in %v, and sallyport status takes %v", n, join, status)
	}

	left := c.leave(window)
	t.Logf("all have gone in %v", left.duration().Round(time.Millisecond))
	gone := func() bool { return gw.Connection("throng").SAs == 0 && len(gw.Dynamic().IKESAs) == 0 }
	waitFor(t, "our gateway to forget them", gone)
	if state := gw.Connection("throng").State; state != api.Listening {
		t.Errorf("without clients the gateway is %s", state)
	}
	// Their addresses are free again, and to come and go a second time takes no more.
	again := rushIn(t, c, pid, n)
	if again.perCore < first.perCore/3 {
		t.Errorf("%.0f handshakes per second and core the second time, %.0f the first", again.perCore, first.perCore)
	}
	second := resident(t, gw)
	c.leave(window)
	waitFor(t, "our gateway to forget them again", gone)
	t.Logf("resident: %d MiB with as many the second time", second/1024)
	if second > full+full/4+8<<10 {
		t.Errorf("the second time they take %d MiB, the first time %d", second/1024, full/1024)
	}
	if n < 10_000 {
		return
	}
	// What they took the machine has back.
	after := resident(t, gw)
	for end := time.Now().Add(20 * time.Second); after > second/2 && time.Now().Before(end); after = resident(t, gw) {
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("resident: %d MiB after them", after/1024)
	if after > second/2 {
		t.Errorf("when all have gone the gateway keeps %d MiB of %d", after/1024, second/1024)
	}
}
