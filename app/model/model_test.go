package model

import (
	"context"
	"errors"
	"fmt"
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

// A swapper is a service that is restarted between the question for its state
// and the one for its events.
type swapper struct {
	*host
	once bool
}

func (s *swapper) State(ctx context.Context) (api.State, error) {
	st, err := s.host.State(ctx)
	if !s.once {
		s.once = true
		time.Sleep(time.Second)
		s.stop()
		s.start(office(api.Disconnected), api.Connection{Name: "home", State: api.Blocked})
	}
	return st, err
}

// TestRestartBetweenQuestions finds out that the events are of another life,
// although their numbers fit.
func TestRestartBetweenQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &swapper{host: &host{}}
		h.start(office(api.Connected))
		m := New(Options{Backend: h})
		defer run(t, m)()
		time.Sleep(5 * time.Second)
		if s := m.Snapshot(); s.Mark != Blocked || len(s.Connections) != 2 {
			t.Errorf("got %+v", s)
		}
	})
}

// TestWatchStops waits for the call under way, and calls no more.
func TestWatchStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &ipctest.Backend{}
		m := New(Options{Backend: b})
		defer run(t, m)()
		calls, ended := 0, false
		stop := m.Watch(func(*Snapshot) {
			calls++
			ended = false
			time.Sleep(time.Second)
			ended = true
		})
		for range 100 {
			b.SetConnection(office(api.Connected))
		}
		time.Sleep(1500 * time.Millisecond)
		stop()
		stop() // again is no fault
		n := calls
		if !ended || n != 2 {
			t.Errorf("%d calls, the last one ended: %t", n, ended)
		}
		b.SetConnection(office(api.Disconnected))
		time.Sleep(time.Minute)
		if calls != n {
			t.Error("called after it was stopped")
		}
	})
}

// BenchmarkFold folds the event of one of 500 connections in.
func BenchmarkFold(b *testing.B) {
	m := New(Options{Backend: &ipctest.Backend{}})
	var st api.State
	for i := range 500 {
		c := office(api.Connected)
		c.Name = fmt.Sprintf("office %03d", i)
		st.Connections = append(st.Connections, c)
	}
	m.meet(st)
	c := st.Connections[250]
	seq := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		seq++
		if !m.fold(&api.Event{Seq: seq, Kind: api.EventConnection, Name: c.Name, Connection: &c}) {
			b.Fatal("a gap")
		}
	}
}
