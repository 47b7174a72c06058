package demo

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

// A printer shows the demo to people; with --json it shows nothing.
type printer struct {
	out   io.Writer
	color bool
	n     int
}

func newPrinter(out io.Writer, quiet bool) *printer {
	if quiet {
		return &printer{out: io.Discard}
	}
	f, isFile := out.(*os.File)
	return &printer{out: out, color: isFile && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// The looks of text, as ANSI codes.
const (
	bold  = "1"
	dim   = "2"
	green = "32"
	red   = "1;31"
	cyan  = "36"
)

func (p *printer) style(look, text string) string {
	if !p.color || text == "" {
		return text
	}
	return "\x1b[" + look + "m" + text + "\x1b[0m"
}

func (p *printer) title(title, subtitle string) {
	fmt.Fprintf(p.out, "%s\n%s\n", p.style(bold, title), p.style(dim, subtitle))
}

func (p *printer) step(what string) {
	p.n++
	fmt.Fprintf(p.out, "\n%s %s\n", p.style(bold, strconv.Itoa(p.n)+"."), p.style(bold, what))
}

func (p *printer) facts(pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(p.out, "   %-8s %s\n", pairs[i], pairs[i+1])
	}
}

func (p *printer) command(line, where string) {
	fmt.Fprintf(p.out, "   %s %s\n", p.style(cyan, "$ "+line), p.style(dim, "# "+where))
}

func (p *printer) took(d time.Duration) {
	fmt.Fprintf(p.out, "   %s\n", p.style(dim, "done in "+took(d)))
}

func (p *printer) check(ok bool, what, seen string, d time.Duration) {
	mark := p.style(green, "ok  ")
	if !ok {
		mark = p.style(red, "FAIL")
	}
	if seen != "" {
		seen = ": " + strings.ReplaceAll(strings.TrimSpace(seen), "\n", "\n        ")
	}
	fmt.Fprintf(p.out, "   %s %s%s %s\n", mark, what, seen, p.style(dim, "("+took(d)+")"))
}

// text shows what a command printed.
func (p *printer) text(s string) {
	for line := range strings.Lines(strings.Trim(s, "\n") + "\n") {
		fmt.Fprint(p.out, strings.TrimRight("     "+line, " \n")+"\n")
	}
}

// table shows numbers and what they count.
func (p *printer) table(cells ...string) {
	for i := 0; i+1 < len(cells); i += 2 {
		fmt.Fprintf(p.out, "   %8s  %s\n", cells[i], cells[i+1])
	}
}

func (p *printer) end(format string, args ...any) {
	fmt.Fprintf(p.out, "\n%s\n", p.style(green, fmt.Sprintf(format, args...)))
}

// count writes a number with commas.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// took writes a time as people read it.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
