package model

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

// run starts m until the test ends.
func run(t *testing.T, m *Model) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := m.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}()
	return func() { cancel(); <-done }
}

func office(s api.TunnelState) api.Connection {
	c := api.Connection{Name: "office", Role: "initiator", Gateway: []string{"vpn.example.com"}, Profile: api.Require, State: s}
	if s == api.Connected {
		c.Protection = api.Protected
	}
	return c
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &ipctest.Backend{}
		b.SetConnection(office(api.Disconnected))
		m := New(Options{Backend: b})
		if s := m.Snapshot(); s.Link != Linking || s.Mark != Busy {
			t.Errorf("before Run: %+v", s)
		}
		var seen []uint64
		stopWatch := m.Watch(func(s *Snapshot) { seen = append(seen, s.Seq) })
		stop := run(t, m)
		defer stop()
		synctest.Wait()
		s := m.Snapshot()
		if s.Link != Linked || s.Find("office") == nil || s.Find("home") != nil {
			t.Fatalf("got %+v", s)
		}
		if c := s.Find("office"); c.Mark != Off || c.Verb != Connect {
			t.Errorf("office is %+v", c)
		}
		b.SetConnection(office(api.Connected))
		b.SetConnection(api.Connection{Name: "home", State: api.Blocked})
		time.Sleep(time.Second)
		s = m.Snapshot()
		if s.Seq != 3 || s.Find("office").Mark != Safe || s.Find("home").Mark != Blocked || s.Mark != Blocked {
			t.Errorf("got %+v", s)
		}
		stopWatch()
		if seen[len(seen)-1] != 3 {
			t.Errorf("the watcher saw %v, not the last", seen)
		}
	})
}
