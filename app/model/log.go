package model

import (
	"strings"

	"sallyport/core/api"
)

// What is kept of the log.
const (
	keepEntries = 100_000
	keepBytes   = 20 << 20 // of all texts
	maxText     = 8 << 10  // of one
	page        = 512      // entries that stand together in memory
	maxWords    = 4096     // different levels, topics and connections that are kept once
)

// A Log is an immutable view of the log.
type Log struct {
	pages []*[page]api.LogEntry
	n     int
	total uint64 // entries ever, this one's newest included
}

// Len returns the number of entries.
func (l *Log) Len() int { return l.n }

// At returns entry i; 0 is the oldest.
func (l *Log) At(i int) api.LogEntry {
	if i < 0 || i >= l.n {
		panic("model: no such entry of the log")
	}
	return l.pages[i/page][i%page]
}

// Dropped returns how many entries, older than entry 0, were known once: with
// it, entry i has the lasting number Dropped+i.
func (l *Log) Dropped() uint64 { return l.total - uint64(l.n) }

// A book writes the log. Its views share its pages: an entry is written before
// a view that reaches it is made, and never again.
type book struct {
	view  Log
	bytes []int // of the texts in each page
	all   int
	words map[string]string
	known map[string]bool // entries that were read, and may yet come as events
}

// add appends an entry that came as an event, unless it was read before.
func (b *book) add(e api.LogEntry) *Log {
	if b.known != nil {
		if b.known[id(&e)] {
			return b.show()
		}
		b.known = nil // events come in order: what was read is behind us
	}
	b.append(e)
	return b.show()
}

// merge appends what was read of the log and is not here yet.
func (b *book) merge(entries []api.LogEntry) *Log {
	start := 0
	if n := b.view.n; n > 0 {
		last := b.view.At(n - 1)
		if start = b.find(entries, &last); start < 0 {
			// Nothing in common: the service wrote more than it keeps, or it is another.
			for start = 0; start < len(entries) && !entries[start].Time.After(last.Time); {
				start++
			}
		}
	}
	b.known = make(map[string]bool, len(entries))
	for i := range entries {
		b.known[id(&entries[i])] = true
	}
	for _, e := range entries[start:] {
		b.append(e)
	}
	return b.show()
}

// find returns the index behind the entry that equals last, -1 without one.
func (b *book) find(entries []api.LogEntry, last *api.LogEntry) int {
	for i := len(entries) - 1; i >= 0; i-- {
		if id(&entries[i]) == id(last) {
			return i + 1
		}
	}
	return -1
}

// id tells entries apart.
func id(e *api.LogEntry) string {
	return e.Time.UTC().Format("20060102150405.000000000") + e.Topic + "\x00" + e.Connection + "\x00" + cut(e.Text)
}

func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

func (b *book) append(e api.LogEntry) {
	e.Text = cut(e.Text)
	e.Level, e.Topic, e.Connection = api.LogLevel(b.word(string(e.Level))), b.word(e.Topic), b.word(e.Connection)
	v := &b.view
	at := v.n
	if at/page == len(v.pages) {
		// A new directory, so that no view's is written to; it is small.
		v.pages = append(append(make([]*[page]api.LogEntry, 0, len(v.pages)+1), v.pages...), new([page]api.LogEntry))
		b.bytes = append(b.bytes, 0)
	}
	v.pages[at/page][at%page] = e
	b.bytes[at/page] += len(e.Text)
	b.all += len(e.Text)
	v.n++
	v.total++
	for len(v.pages) > 1 && (v.n >= keepEntries+page || b.all > keepBytes) {
		v.n -= page
		v.pages = append([]*[page]api.LogEntry(nil), v.pages[1:]...)
		b.all -= b.bytes[0]
		b.bytes = append([]int(nil), b.bytes[1:]...)
	}
}

// word returns s, of which one copy is kept however often it comes.
func (b *book) word(s string) string {
	if s == "" {
		return ""
	}
	if w, ok := b.words[s]; ok {
		return w
	}
	if b.words == nil || len(b.words) >= maxWords {
		b.words = map[string]string{}
	}
	s = strings.Clone(s)
	b.words[s] = s
	return s
}

// show returns a view of what is written so far.
func (b *book) show() *Log {
	v := b.view
	return &v
}
