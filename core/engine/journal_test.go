package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/core/api"
)

func TestJournalDeliversInOrderWithoutGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal(time.Now)
		const n = 1000
		var got []uint64
		done := make(chan error, 1)
		go func() {
			done <- j.follow(t.Context(), 0, func(ev api.Event) bool {
				got = append(got, ev.Seq)
				return len(got) < n
			})
		}()
		for i := range n {
			j.add(api.Event{Kind: api.EventRemoved, Name: fmt.Sprint(i)})
			if i%100 == 0 {
				synctest.Wait()
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for i, s := range got {
			if s != uint64(i+1) {
				t.Fatalf("event %d has number %d", i, s)
			}
		}
	})
}

func TestJournalTellsASlowFollower(t *testing.T) {
	j := newJournal(time.Now)
	for range maxEvents + 10 {
		j.add(api.Event{Kind: api.EventRemoved})
	}
	for name, seq := range map[string]uint64{"too old": 5, "of another process": 1 << 40} {
		var first api.Event
		if err := j.follow(t.Context(), seq, func(ev api.Event) bool { first = ev; return false }); err != nil {
			t.Fatal(err)
		}
		if first.Kind != api.EventLost || first.Seq != j.seq() {
			t.Errorf("%s: got %s number %d, want lost with number %d", name, first.Kind, first.Seq, j.seq())
		}
	}
	var first api.Event
	if err := j.follow(t.Context(), 10, func(ev api.Event) bool { first = ev; return false }); err != nil {
		t.Fatal(err)
	}
	if first.Seq != 11 {
		t.Errorf("oldest kept event: got %d, want 11", first.Seq)
	}
}

func TestJournalFollowEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal(time.Now)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := j.follow(ctx, 0, func(api.Event) bool { return true })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestJournalLog(t *testing.T) {
	j := newJournal(time.Now)
	for i := range maxLog + 5 {
		j.logEntry(api.LogEntry{Level: api.LogDebug, Text: fmt.Sprint(i)})
	}
	got := j.lastLog(3)
	if len(got) != 3 || got[0].Text != fmt.Sprint(maxLog+2) || got[2].Text != fmt.Sprint(maxLog+4) {
		t.Errorf("last three lines: %v", got)
	}
	if n := len(j.lastLog(0)); n != maxLog {
		t.Errorf("%d lines kept, want %d", n, maxLog)
	}
	if j.seq() != 0 {
		t.Errorf("debug lines made %d events", j.seq())
	}
}
