package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"fyne.io/fyne/v2"

	"sallyport/app/model"
	"sallyport/app/ui"
)

// A trace is a file with a line of JSON for each snapshot that was shown, as
// the widgets show it. A nil trace writes nothing.
type trace struct {
	mu   sync.Mutex // guards what follows
	f    *os.File
	last *model.Snapshot
	said []byte // the Displayed of the last line
}

// A traceLine is what was shown once snapshot Seq was.
type traceLine struct {
	Time  time.Time     `json:"time"`
	Life  time.Time     `json:"life"` // when the service started: Seq counts from there
	Seq   uint64        `json:"seq"`
	Link  string        `json:"link"`
	Mark  string        `json:"mark"`
	Shown *ui.Displayed `json:"shown,omitempty"`
}

func openTrace(path string) (*trace, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the trace: %w", err)
	}
	return &trace{f: f}, nil
}

// write writes a line. With no snapshot it is that of the line before, and
// nothing is written unless the widgets show something else: they move, and
// there is what the user does.
func (t *trace) write(s *model.Snapshot, d *ui.Displayed) {
	if t == nil {
		return
	}
	said, err := json.Marshal(d)
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case s != nil:
		t.last = s
	case t.last == nil || bytes.Equal(said, t.said):
		return
	}
	s, t.said = t.last, said
	b, err := json.Marshal(traceLine{Time: time.Now(), Life: s.Service.Started, Seq: s.Seq, Link: linkName(s.Link), Mark: s.Mark.String(), Shown: d})
	if err != nil {
		return
	}
	_, _ = t.f.Write(append(b, '\n')) // a test notices what is missing
}

// lookEvery is how often a trace looks for what changes between snapshots.
const lookEvery = 500 * time.Millisecond

// follow writes what the window shows between snapshots, until ctx ends.
func (t *trace) follow(ctx context.Context, w *ui.Window) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			fyne.Do(func() {
				if ctx.Err() == nil {
					t.write(nil, w.Displayed())
				}
			})
		}
	}
}

func (t *trace) close() {
	if t != nil {
		t.f.Close()
	}
}

func linkName(l model.Link) string {
	names := map[model.Link]string{model.Linking: "linking", model.Linked: "linked", model.Missing: "missing", model.Stopped: "stopped",
		model.Lost: "lost", model.Older: "older", model.Newer: "newer", model.Refused: "refused"}
	return names[l]
}
