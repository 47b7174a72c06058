package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"sallyport/app/model"
	"sallyport/app/ui"
)

// A trace is a file with a line of JSON for each snapshot that was shown, as
// the widgets show it. A nil trace writes nothing.
type trace struct {
	mu sync.Mutex // guards f
	f  *os.File
}

// A traceLine is what was shown once snapshot Seq was.
type traceLine struct {
	Time  time.Time     `json:"time"`
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

func (t *trace) write(s *model.Snapshot, d *ui.Displayed) {
	if t == nil {
		return
	}
	b, err := json.Marshal(traceLine{Time: time.Now(), Seq: s.Seq, Link: linkName(s.Link), Mark: s.Mark.String(), Shown: d})
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.f.Write(append(b, '\n')) // a test notices what is missing
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
