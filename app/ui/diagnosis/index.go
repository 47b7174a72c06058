package diagnosis

import (
	"slices"

	"sallyport/app/model"
	"sallyport/core/api"
)

// criteria say which lines of the log are shown.
type criteria struct {
	level      int    // the least weight
	topic      string // empty: all
	connection string // empty: all
	needle     needle
	only       bool // lines without the needle are left out
}

// weight orders levels.
func weight(l api.LogLevel) int {
	switch l {
	case api.LogDebug:
		return 0
	case api.LogInfo:
		return 1
	case api.LogWarn:
		return 2
	}
	return 3
}

func (c *criteria) admit(e *api.LogEntry) bool {
	return weight(e.Level) >= c.level && (c.topic == "" || e.Topic == c.topic) && (c.connection == "" || e.Connection == c.connection)
}

func (c *criteria) found(e *api.LogEntry) bool {
	return c.needle.in(e.Text) || c.needle.in(e.Connection)
}

// An index lists the lines of a log that criteria leave, by their lasting
// numbers. It is immutable; the next one shares its memory.
type index struct {
	log  *model.Log
	c    criteria
	rows []uint64
	hits []uint64 // of the rows, those with the needle
}

// next returns the index of a log that has grown since ix, or of other
// criteria. Only what is new is read, if that is enough. ix may be nil.
func (ix *index) next(log *model.Log, c criteria) *index {
	out := &index{log: log, c: c}
	from := log.Dropped()
	if ix != nil && ix.c == c && ix.end() >= from && ix.end() <= log.Dropped()+uint64(log.Len()) {
		out.rows, out.hits = since(ix.rows, from), since(ix.hits, from)
		from = ix.end()
	}
	for n, end := from, out.end(); n < end; n++ {
		e := log.At(int(n - log.Dropped()))
		if !c.admit(&e) {
			continue
		}
		hit := c.needle != "" && c.found(&e)
		if hit {
			out.hits = append(out.hits, n)
		}
		if hit || !c.only || c.needle == "" {
			out.rows = append(out.rows, n)
		}
	}
	return out
}

// end is the number of the next line that will come.
func (ix *index) end() uint64 { return ix.log.Dropped() + uint64(ix.log.Len()) }

// since returns the numbers that are not below from.
func since(numbers []uint64, from uint64) []uint64 {
	at, _ := slices.BinarySearch(numbers, from)
	return numbers[at:]
}

// at returns row i.
func (ix *index) at(i int) api.LogEntry { return ix.log.At(int(ix.rows[i] - ix.log.Dropped())) }

// position returns the row of a lasting number.
func (ix *index) position(n uint64) (int, bool) { return slices.BinarySearch(ix.rows, n) }

// nextHit returns the row of the next hit after, or before, a row, going round.
func (ix *index) nextHit(row int, forward bool) (int, bool) {
	if len(ix.hits) == 0 {
		return 0, false
	}
	n := uint64(0)
	if row >= 0 && row < len(ix.rows) {
		n = ix.rows[row]
	}
	at, found := slices.BinarySearch(ix.hits, n)
	switch {
	case forward && found && row >= 0:
		at++
	case !forward:
		at--
	}
	return ix.position(ix.hits[(at+len(ix.hits))%len(ix.hits)])
}
