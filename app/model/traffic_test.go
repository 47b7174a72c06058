package model

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

// TestTraffic follows the counters of a tunnel that carries 1000 bytes a second
// in and 500 out, loses its connection and comes back with counters from zero.
func TestTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &ipctest.Backend{}
		c := office(api.Connected)
		b.SetConnection(c)
		m := New(Options{Backend: b})
		defer run(t, m)()
		for _, s := range []Span{Minute, TenMinutes, Hour} {
			samples := m.Traffic("office", s)
			if n := steps[s].n; len(samples) != n || samples[n-1].In != 0 {
				t.Errorf("span %d: %d samples before any", s, len(samples))
			}
			if step := samples[1].Time.Sub(samples[0].Time); step != s.Step() {
				t.Errorf("span %d: a step of %v", s, step)
			}
		}
		carry := func(seconds int) {
			for range seconds * 10 {
				time.Sleep(100 * time.Millisecond)
				c.Counters.InBytes, c.Counters.OutBytes = c.Counters.InBytes+100, c.Counters.OutBytes+50
				b.SetConnection(c)
			}
		}
		near := func(got, want float64) bool { return math.Abs(got-want) <= 0.15*want+1 }
		check := func(s Span, newest int, want float64) {
			t.Helper()
			samples := m.Traffic("office", s)
			for i := len(samples) - newest; i < len(samples); i++ {
				if !near(samples[i].In, want) || !near(samples[i].Out, want/2) {
					t.Errorf("span %d, sample %d of %d: %+v, want %v", s, i, len(samples), samples[i], want)
					return
				}
			}
		}
		carry(700)
		check(Minute, 60, 1000)
		check(TenMinutes, 120, 1000)
		check(Hour, 22, 1000)
		if got := m.Snapshot().Find("office").Counters.InBytes; got < 600_000 {
			t.Errorf("the snapshot counts %d", got)
		}

		c.State, c.Counters = api.Disconnected, api.Counters{}
		b.SetConnection(c)
		time.Sleep(30 * time.Second)
		if s := m.Traffic("office", Minute); s[59].In != 0 || s[35].In != 0 || !near(s[10].In, 1000) {
			t.Errorf("after half a minute without: %+v", s)
		}
		c.State = api.Connected
		b.SetConnection(c)
		carry(120)
		check(Minute, 60, 1000)

		if err := b.Remove(t.Context(), "office"); err != nil {
			t.Fatal(err)
		}
		b.SetConnection(api.Connection{Name: "home", State: api.Connected})
		time.Sleep(2 * time.Second)
		m.mu.Lock()
		n := len(m.traffic)
		m.mu.Unlock()
		if n != 1 {
			t.Errorf("%d histories are kept of 1 connection", n)
		}
		if s := m.Traffic("office", Hour); s[119].In != 0 {
			t.Error("the history of what was removed is still there")
		}
	})
}

// TestTrafficClock puts the clock back and forth.
func TestTrafficClock(t *testing.T) {
	h := &history{}
	now := time.Unix(1_800_000_000, 0)
	for i, jump := range []time.Duration{0, time.Second, -time.Hour, time.Second, 1000 * time.Hour, 0, time.Second, -40 * 365 * 24 * time.Hour * 2} {
		now = now.Add(jump)
		h.add(now, api.Counters{InBytes: uint64(1000 * i)})
		for s := range h.rings {
			for _, x := range h.samples(Span(s), now) {
				if x.In < 0 || x.In > 1500 || math.IsNaN(x.In) {
					t.Fatalf("after a jump of %v: %+v", jump, x)
				}
			}
		}
	}
}
