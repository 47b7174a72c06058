package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"sallyport/core/api"
)

// printf writes to Out and remembers that it could not.
func (c *command) printf(format string, args ...any) {
	c.write([]byte(fmt.Sprintf(format, args...)))
}

func (c *command) write(b []byte) {
	if c.outErr != nil {
		return
	}
	if _, err := c.Out.Write(b); err != nil {
		c.outErr = explained{err: &api.Error{Code: api.CodeInternal, What: "The output could not be written.", Why: err.Error()}}
	}
}

// printJSON writes v as indented JSON.
func (c *command) printJSON(v any) { c.encodeJSON(v, "  ") }

// printLine writes v as JSON on one line.
func (c *command) printLine(v any) { c.encodeJSON(v, "") }

func (c *command) encodeJSON(v any, indent string) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		c.outErr = explained{err: &api.Error{Code: api.CodeInternal, What: "The answer could not be encoded.", Why: err.Error()}}
		return
	}
	c.write(escapeControls(b.Bytes()))
}

// escapeControls writes the control characters that JSON allows in strings,
// and that a terminal may obey, as escapes.
func escapeControls(b []byte) []byte {
	if !bytes.ContainsFunc(b, jsonUnsafe) {
		return b
	}
	var out []byte
	for _, r := range string(b) {
		if jsonUnsafe(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

func jsonUnsafe(r rune) bool { return r != '\n' && unsafeRune(r) }

// unsafeRune reports whether a terminal may do something else with r than show
// it: C0 and C1 controls, and what changes the direction of the text.
func unsafeRune(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 ||
		r == 0x061c || r == 0x200e || r == 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// clean makes text from elsewhere (a peer's identity, a file) fit to be shown
// on one line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unsafeRune(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}

// A table is text in aligned columns.
type table struct {
	rows   [][]string
	styles [][]string // of each cell; "" is plain
}

func (t *table) add(cells ...string) {
	for i := range cells {
		cells[i] = clean(cells[i])
	}
	t.rows = append(t.rows, cells)
	t.styles = append(t.styles, make([]string, len(cells)))
}

// style colours a cell of the row added last.
func (t *table) style(col int, s string) { t.styles[len(t.styles)-1][col] = s }

// print writes the table, each line after indent. The last column is not padded.
func (c *command) printTable(t *table, indent string) {
	var width []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for r, row := range t.rows {
		var b strings.Builder
		b.WriteString(indent)
		for i, cell := range row {
			b.WriteString(c.paint(cell, t.styles[r][i]))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		c.printf("%s\n", strings.TrimRight(b.String(), " "))
	}
}

// Styles of cells, as parameters of the terminal's SGR sequence. No state is
// green: a tunnel that stands does not say that nothing else travels in clear.
const (
	bold   = "1"
	red    = "31"
	yellow = "33"
)

func (c *command) paint(s, style string) string {
	if style == "" || !c.Color {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// stateStyle emphasises a state; its word stands beside the colour.
func stateStyle(s api.TunnelState) string {
	switch s {
	case api.Connected, api.Listening:
		return bold
	case api.Connecting, api.Reconnecting, api.Disconnecting:
		return yellow
	case api.Blocked:
		return red
	}
	return ""
}

// bytesText writes a number of bytes as people read it.
func bytesText(n uint64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	for f >= 999.5 && unit < len(units)-1 {
		f, unit = f/1000, unit+1
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f %s", f, units[unit])
	}
	return fmt.Sprintf("%.0f %s", f, units[unit])
}

var units = [...]string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}

// durationText writes a time span in its two largest units.
func durationText(d time.Duration) string {
	switch d = max(d, 0); {
	case d > 0 && d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// since writes how long it has been since t; the zero time as "-".
func (c *command) since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return durationText(c.Now().Sub(t).Truncate(time.Second))
}

// until writes how long it is to t; the zero time as "never".
func (c *command) until(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return "in " + durationText(t.Sub(c.Now()))
}

// clock writes a moment in the local time zone.
func (c *command) clock(t time.Time) string {
	return t.In(c.Now().Location()).Format("2006-01-02 15:04:05.000")
}

func trafficText(n api.Counters) string {
	return fmt.Sprintf("in %s (%s), out %s (%s)", bytesText(n.InBytes), packets(n.InPackets), bytesText(n.OutBytes), packets(n.OutPackets))
}

func packets(n uint64) string {
	if n == 1 {
		return "1 packet"
	}
	return fmt.Sprintf("%d packets", n)
}

// list joins values of any kind that prints itself.
func list[T any](values []T) string {
	s := make([]string, len(values))
	for i, v := range values {
		s[i] = fmt.Sprint(v)
	}
	return strings.Join(s, ", ")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
