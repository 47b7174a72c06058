package diagnosis

import (
	"context"
	"testing"

	"sallyport/app/ui/uitest"
	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

// A longLog is a service whose followers find many lines at once.
type longLog struct {
	*ipctest.Backend
	lines []api.LogEntry
}

func (l *longLog) Log(context.Context, int) ([]api.LogEntry, error) { return l.lines, nil }

func longView(b *testing.B, n int) *View {
	env := uitest.Env(b, &longLog{Backend: uitest.Bare(b), lines: uitest.Log(n)})
	v, o := open(env, tabLog)
	env.Window.SetContent(o)
	env.Window.Resize(uitest.Page)
	uitest.Until(b, "the log", func() bool { return len(v.log.ix.rows) >= n })
	return v
}

func BenchmarkFilter100000(b *testing.B) {
	v := longView(b, 100_000)
	log := v.env.Model.Log()
	c := criteria{needle: newNeedle("liveness check answered"), only: true}
	b.ReportAllocs()
	for b.Loop() {
		if ix := (*index)(nil).next(log, c); len(ix.rows) == 0 {
			b.Fatal("nothing found")
		}
	}
}

func BenchmarkScroll100000(b *testing.B) {
	v := longView(b, 100_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		v.log.list.ScrollToOffset(float32(i%90_000) * 25)
	}
}

// BenchmarkNewLine is what a line costs that comes while the log is in front.
func BenchmarkNewLine(b *testing.B) {
	v := longView(b, 100_000)
	ix := v.log.ix
	b.ReportAllocs()
	for b.Loop() {
		v.log.take(ix.next(ix.log, ix.c))
	}
}
