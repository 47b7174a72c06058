package model

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
)

func line(n int) api.LogEntry {
	return api.LogEntry{Time: time.Unix(int64(n), 0), Level: api.LogInfo, Topic: "ike", Connection: "office", Text: fmt.Sprint("line ", n)}
}

// TestLogIsImmutable takes views while the log grows and drops its oldest.
func TestLogIsImmutable(t *testing.T) {
	var b book
	var views []*Log
	for i := range keepEntries + 3*page {
		v := b.add(line(i))
		if i%5000 == 0 {
			views = append(views, v)
		}
	}
	for k, v := range views {
		if n := k*5000 + 1; v.Len() != min(n, v.Len()) || int(v.Dropped())+v.Len() != n {
			t.Fatalf("view %d has %d entries, %d dropped", k, v.Len(), v.Dropped())
		}
		for _, i := range []int{0, v.Len() / 2, v.Len() - 1} {
			if got, want := v.At(i).Text, fmt.Sprint("line ", int(v.Dropped())+i); got != want {
				t.Errorf("view %d, entry %d: %q, want %q", k, i, got, want)
			}
		}
	}
	if v := b.show(); v.Len() < keepEntries || v.Len() > keepEntries+page {
		t.Errorf("%d entries are kept", v.Len())
	}
}

// TestLogMemory keeps the longest log that there can be.
func TestLogMemory(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	for _, tt := range []struct {
		name string
		text int
		n    int
	}{{"usual lines", 90, 110_000}, {"long lines", 3000, 8000}, {"endless lines", 64 << 10, 2000}} {
		before := heap()
		b := &book{}
		long := strings.Repeat("x", tt.text)
		for i := range tt.n {
			e := line(i)
			e.Text = fmt.Sprintf("%d %s", i, long)
			e.Topic, e.Connection = strings.Clone(e.Topic), strings.Clone(e.Connection) // as from JSON
			b.add(e)
		}
		if used := int64(heap()) - int64(before); used > 40<<20 {
			t.Errorf("%s: %d MB", tt.name, used>>20)
		}
		if b.view.Len() == 0 {
			t.Errorf("%s: nothing is kept", tt.name)
		}
		runtime.KeepAlive(b)
	}
}

// TestLogMerge reads the log again and again, beside the events.
func TestLogMerge(t *testing.T) {
	texts := func(l *Log) string {
		var s []string
		for i := range l.Len() {
			s = append(s, strings.TrimPrefix(l.At(i).Text, "line "))
		}
		return strings.Join(s, " ")
	}
	lines := func(from, to int) []api.LogEntry {
		var out []api.LogEntry
		for i := from; i <= to; i++ {
			out = append(out, line(i))
		}
		return out
	}
	var b book
	if got := texts(b.merge(lines(1, 4))); got != "1 2 3 4" {
		t.Errorf("at first: %s", got)
	}
	for i := 3; i <= 6; i++ { // 3 and 4 had been read before their events came
		b.add(line(i))
	}
	if got := texts(b.show()); got != "1 2 3 4 5 6" {
		t.Errorf("after events: %s", got)
	}
	if got := texts(b.merge(lines(4, 9))); got != "1 2 3 4 5 6 7 8 9" {
		t.Errorf("after a loss: %s", got)
	}
	if got := texts(b.merge(lines(20, 21))); got != "1 2 3 4 5 6 7 8 9 20 21" {
		t.Errorf("after a restart: %s", got)
	}
	if got := texts(b.merge(nil)); got != "1 2 3 4 5 6 7 8 9 20 21" {
		t.Errorf("after nothing: %s", got)
	}
	b.add(line(22))
	b.add(line(22)) // said twice, which is no repetition of ours
	if got := texts(b.show()); !strings.HasSuffix(got, "21 22 22") {
		t.Errorf("after repetition: %s", got)
	}
}

func BenchmarkLogAdd(b *testing.B) {
	var k book
	e := line(1)
	b.ReportAllocs()
	for b.Loop() {
		k.add(e)
	}
}
