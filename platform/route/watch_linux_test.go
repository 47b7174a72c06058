package route

import (
	"testing"
	"time"

	"sallyport/core/host"
	"sallyport/platform/internal/roottest"
)

// told reports whether a Router says within a time that something is missing.
func told(r *Router, within time.Duration) bool {
	select {
	case <-r.Lost():
		return true
	case <-time.After(within):
		return false
	}
}

// TestLost has another program take away each of the things that a Router sets.
func TestLost(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	machine(t)
	r := New(t.TempDir())
	if err := r.Set(fullTunnel); err != nil {
		t.Fatal(err)
	}
	want := snapshot(t)
	for _, removal := range []string{
		"ip -4 rule del pref 23057",
		"ip -6 rule del pref 23057",
		"ip -4 route flush table 23057",
		"ip -6 route flush table 23057",
		"ip addr del 10.20.0.5/24 dev fr0",
		"ip addr del fd20::5/64 dev fr0",
		"ip link set fr0 down",
	} {
		roottest.Run(t, removal)
		if !told(r, 5*time.Second) {
			t.Errorf("%q went unnoticed", removal)
		}
		if err := r.Set(fullTunnel); err != nil {
			t.Fatal(err)
		}
		if got := snapshot(t); got != want {
			t.Errorf("after %q and Set:\n%s", removal, diff(want, got))
		}
	}
	for _, own := range []host.RouteConfig{splitTunnel, fullTunnel, {}} { // removals of our own
		if err := r.Set(own); err != nil {
			t.Fatal(err)
		}
	}
	roottest.Run(t, "ip route add 198.51.100.0/24 dev e0")
	roottest.Run(t, "ip route del 198.51.100.0/24 dev e0")
	if told(r, 500*time.Millisecond) {
		t.Error("what the Router removed itself, or somebody else's, was told as missing")
	}
	if r.watch != nil {
		t.Error("the Router still watches although nothing is set")
	}
}

// TestPace: who removes our routes again and again is met less and less often, and
// once in a while at once.
func TestPace(t *testing.T) {
	now := time.Unix(1e9, 0)
	var p pace
	if p.next().After(now) {
		t.Error("the first time has to wait")
	}
	for range 20 {
		p.told(now)
		now = p.next()
	}
	if p.gap != maxGap {
		t.Errorf("in a long fight every %v, want %v", p.gap, maxGap)
	}
	p.told(now.Add(peace + time.Second))
	if p.gap != settle {
		t.Errorf("after some peace %v, want %v", p.gap, settle)
	}
}
