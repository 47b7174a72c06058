package config

import (
	"errors"
	"fmt"
	"strings"
)

// An Error is one fault of a file that a user wrote. It never quotes a secret.
type Error struct {
	File  string
	Line  int    // 1-based; 0 when unknown
	Field string // "children[0].local_ts[1]", "connections.home.local.auth"
	Msg   string
	// Unsupported says that the file is well formed, and that it asks for
	// something that is not offered.
	Unsupported bool
	// NeedsPassword says that a pre-shared key or passphrase is missing, which
	// can come with the request.
	NeedsPassword bool
}

// Error says "FILE:LINE: FIELD: MSG" as far as the parts are known.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
		}
		b.WriteString(": ")
	} else if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Field != "" {
		b.WriteString(e.Field)
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	return b.String()
}

// AllErrors returns every *Error in the tree of err, in order.
func AllErrors(err error) []*Error {
	var all []*Error
	for _, e := range leaves(err, 0) {
		var pe *Error
		if errors.As(e, &pe) {
			all = append(all, pe)
		}
	}
	return all
}

// leaves flattens joined errors.
func leaves(err error, depth int) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || depth > 8 {
		if err == nil {
			return nil
		}
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, leaves(e, depth+1)...)
	}
	return out
}

// Faults collects errors of one file and joins them.
type Faults struct {
	File string
	List []*Error
}

// Add adds a fault; beyond a few dozens they are dropped.
func (f *Faults) Add(line int, field, format string, args ...any) {
	if len(f.List) < maxFaults {
		f.List = append(f.List, &Error{File: f.File, Line: line, Field: field, Msg: fmt.Sprintf(format, args...)})
	}
}

// Err returns the faults, joined, or nil.
func (f *Faults) Err() error {
	if len(f.List) == 0 {
		return nil
	}
	all := make([]error, len(f.List))
	for i, e := range f.List {
		all[i] = e
	}
	return errors.Join(all...)
}

// maxFaults bounds how many faults of one file are told.
const maxFaults = 50

// Shown cuts a value of the file for a message, so that a message stays a
// line and holds nothing unprintable.
func Shown(s string) string {
	const most = 60
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}

// Nearest returns the candidate that word was probably meant to be, or "".
func Nearest(word string, candidates []string) string {
	best, bestDist := "", 3
	if len(word) > 64 {
		return ""
	}
	for _, c := range candidates {
		// A short word is close to everything; allow one edit a third of it.
		if d := distance(strings.ToLower(word), c); d < bestDist && d <= (len(c)+2)/3 {
			best, bestDist = c, d
		}
	}
	return best
}

// distance counts insertions, deletions, replacements and swaps of neighbours
// between a and b.
func distance(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
