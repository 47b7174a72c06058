// Package settings reads strongSwan's settings format, which swanctl.conf is
// written in: nested sections, keys, includes, and sections that inherit from
// others. It opens no file: an Includer hands over what an include names.
package settings

import (
	"fmt"
	"strings"
)

// A Pos is a place in a file.
type Pos struct {
	File string
	Line int // 1-based
}

// String returns "file:line".
func (p Pos) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// An Error is a fault of a settings file. It quotes no value, which may be a
// secret.
type Error struct {
	Pos
	Msg string
}

// Error returns "file:line: message".
func (e *Error) Error() string { return e.Pos.String() + ": " + e.Msg }

// A File is a file's name, as messages and the Includer know it, and content.
type File struct {
	Name string
	Data []byte
}

// An Includer returns the files that an include statement in the file from
// means, in order. No file is no error to the parser.
type Includer func(from, pattern string, pos Pos) ([]File, error)

// A Key is one assignment.
type Key struct {
	Pos
	Name, Value string // Value is empty when the assignment clears the key
}

// A Section is a named group of keys and sections.
type Section struct {
	Pos
	Name     string
	Keys     []*Key     // names are unique
	Sections []*Section // names are unique
	refs     []ref
}

// A ref names a section to inherit from, from the root.
type ref struct {
	Pos
	path []string
}

// Key returns the key of that name, or nil.
func (s *Section) Key(name string) *Key {
	for _, k := range s.Keys {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// Section returns the subsection of that name, or nil.
func (s *Section) Section(name string) *Section {
	for _, c := range s.Sections {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Limits of one configuration with all its includes.
const (
	maxDepth    = 32     // of nested sections
	maxNesting  = 8      // of includes
	maxIncludes = 256    // files
	maxItems    = 10_000 // keys, sections and references
	maxValue    = 64 << 10
)

// Parse reads a file and those that it includes. References between sections
// are left to Resolve.
func Parse(f File, include Includer) (*Section, error) {
	root := &Section{Pos: Pos{f.Name, 1}}
	b := &budget{include: include}
	return root, b.file(f, root, 0, 0)
}

// A budget is what all files of one configuration share.
type budget struct {
	include  Includer
	items    int
	includes int
}

func (b *budget) file(f File, into *Section, depth, nesting int) error {
	p := parser{budget: b, name: f.Name, src: strings.TrimPrefix(string(f.Data), "\ufeff"), line: 1, nesting: nesting}
	return p.body(into, depth, nil)
}

// A parser reads one file.
type parser struct {
	*budget
	name    string
	src     string
	at      int
	line    int
	nesting int
}

func (p *parser) pos() Pos { return Pos{p.name, p.line} }

func (p *parser) errorf(pos Pos, format string, args ...any) error {
	return &Error{pos, fmt.Sprintf(format, args...)}
}

// peek returns the next byte, or 0 at the end.
func (p *parser) peek() byte {
	if p.at < len(p.src) {
		return p.src[p.at]
	}
	return 0
}

func (p *parser) end() bool { return p.at >= len(p.src) }

// next consumes the next byte.
func (p *parser) next() {
	if p.src[p.at] == '\n' {
		p.line++
	}
	p.at++
}

// space skips blanks, line breaks and comments.
func (p *parser) space() {
	for !p.end() {
		switch p.peek() {
		case ' ', '\t', '\r', '\n':
			p.next()
		case '#':
			p.skipLine()
		default:
			return
		}
	}
}

// skipLine goes to the next line break.
func (p *parser) skipLine() {
	for !p.end() && p.peek() != '\n' {
		p.at++
	}
}

// blanks skips blanks within a line.
func (p *parser) blanks() {
	for p.peek() == ' ' || p.peek() == '\t' || p.peek() == '\r' {
		p.at++
	}
}

// run consumes bytes until one of stop or a control character.
func (p *parser) run(stop string) string {
	start := p.at
	for !p.end() && p.peek() > ' ' && p.peek() != 0x7f && strings.IndexByte(stop, p.peek()) < 0 {
		p.at++
	}
	return p.src[start:p.at]
}

// notInName ends the name of a section or key.
const notInName = `.,:{}="#`

// body reads the statements of a section up to its "}", or of a file up to its
// end (open is nil).
func (p *parser) body(into *Section, depth int, open *Pos) error {
	for {
		p.space()
		if p.end() {
			if open != nil {
				return p.errorf(*open, "the section that begins here has no end \"}\"")
			}
			return nil
		}
		if p.peek() == '}' {
			if open == nil {
				return p.errorf(p.pos(), "\"}\" closes no section")
			}
			p.next()
			return nil
		}
		if err := p.statement(into, depth); err != nil {
			return err
		}
	}
}

func (p *parser) statement(into *Section, depth int) error {
	pos := p.pos()
	name := p.run(notInName)
	if name == "" {
		return p.errorf(pos, "unexpected %q; a key or section name belongs here", p.peek())
	}
	if p.items++; p.items > maxItems {
		return p.errorf(pos, "more than %d settings", maxItems)
	}
	if name == "include" && (p.peek() == ' ' || p.peek() == '\t') {
		p.blanks()
		if p.peek() != '=' {
			return p.included(pos, into, depth)
		}
	}
	p.space()
	switch p.peek() {
	case '=':
		p.next()
		return p.assign(pos, name, into)
	case ':':
		p.next()
		refs, err := p.references()
		if err != nil {
			return err
		}
		return p.section(pos, name, refs, into, depth)
	case '{':
		return p.section(pos, name, nil, into, depth)
	}
	return p.errorf(pos, "%q is followed by neither \"=\" nor \"{\"", short(name))
}

// references reads "a.b, c" up to the "{".
func (p *parser) references() ([]ref, error) {
	var refs []ref
	for {
		p.space()
		r := ref{Pos: p.pos()}
		for {
			name := p.run(notInName)
			if name == "" {
				return nil, p.errorf(p.pos(), "the name of a section to inherit from belongs here")
			}
			if p.items++; p.items > maxItems {
				return nil, p.errorf(p.pos(), "more than %d settings", maxItems)
			}
			r.path = append(r.path, name)
			if p.peek() != '.' {
				break
			}
			p.next()
		}
		refs = append(refs, r)
		p.space()
		if p.peek() != ',' {
			return refs, nil
		}
		p.next()
	}
}

// section reads the body of a section. A section that is there already is
// extended.
func (p *parser) section(pos Pos, name string, refs []ref, into *Section, depth int) error {
	if p.peek() != '{' {
		return p.errorf(p.pos(), "\"{\" of section %q is missing", short(name))
	}
	if depth >= maxDepth {
		return p.errorf(pos, "sections nested deeper than %d", maxDepth)
	}
	p.next()
	s := into.Section(name)
	if s == nil {
		s = &Section{Pos: pos, Name: name}
		into.Sections = append(into.Sections, s)
	}
	s.refs = append(s.refs, refs...)
	return p.body(s, depth+1, &pos)
}

// assign reads the value of a key. A key that is there already is replaced.
func (p *parser) assign(pos Pos, name string, into *Section) error {
	value, err := p.value()
	if err != nil {
		return err
	}
	if k := into.Key(name); k != nil {
		k.Pos, k.Value = pos, value
		return nil
	}
	into.Keys = append(into.Keys, &Key{pos, name, value})
	return nil
}

// value reads up to the end of the line, a comment or the section's "}". Words
// and quoted strings are joined by one space.
func (p *parser) value() (string, error) {
	var words []string
	size := 0
	for {
		p.blanks()
		if p.end() || p.peek() == '\n' || p.peek() == '#' || p.peek() == '}' {
			return strings.Join(words, " "), nil
		}
		word := ""
		if p.peek() == '"' {
			var err error
			if word, err = p.quoted(); err != nil {
				return "", err
			}
		} else if word = p.run(`#}"`); word == "" {
			return "", p.errorf(p.pos(), "control character in a value")
		}
		if size += len(word) + 1; size > maxValue {
			return "", p.errorf(p.pos(), "a value longer than %d bytes", maxValue)
		}
		words = append(words, word)
	}
}

// quoted reads a string in double quotes, which may go on over lines.
func (p *parser) quoted() (string, error) {
	open := p.pos()
	p.next()
	var b strings.Builder
	for {
		if p.end() {
			return "", p.errorf(open, "the string that begins here has no closing quote")
		}
		c := p.peek()
		p.next()
		switch {
		case c == '"':
			return b.String(), nil
		case c == '\r':
			// Files from Windows; a line break is \n alone.
		case c == '\\':
			if p.end() {
				return "", p.errorf(open, "the string that begins here has no closing quote")
			}
			p.escape(&b)
		default:
			b.WriteByte(c)
		}
		if b.Len() > maxValue {
			return "", p.errorf(open, "a value longer than %d bytes", maxValue)
		}
	}
}

// escape reads what follows a backslash in a quoted string. A backslash at the
// end of a line joins it with the next.
func (p *parser) escape(b *strings.Builder) {
	c := p.peek()
	if c == '\r' && strings.HasPrefix(p.src[p.at:], "\r\n") {
		p.next()
		c = '\n'
	}
	p.next()
	switch c {
	case '\n':
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case 't':
		b.WriteByte('\t')
	case 'b':
		b.WriteByte('\b')
	case 'f':
		b.WriteByte('\f')
	default:
		b.WriteByte(c)
	}
}

// included reads the pattern of an include statement and the files that it
// means, whose settings land in the section of the statement.
func (p *parser) included(pos Pos, into *Section, depth int) error {
	var pattern strings.Builder
	for done := false; !done; {
		switch c := p.peek(); {
		case p.end(), c == '#', c == '}', c <= ' ':
			done = true
		case c == '"':
			s, err := p.quoted()
			if err != nil {
				return err
			}
			pattern.WriteString(s)
		case c == '\\' && p.at+1 < len(p.src) && p.src[p.at+1] >= ' ':
			p.next()
			if strings.IndexByte(`"#} `, p.peek()) < 0 {
				pattern.WriteByte('\\')
			}
			pattern.WriteByte(p.peek())
			p.next()
		default:
			pattern.WriteByte(c)
			p.next()
		}
		if pattern.Len() > 1024 {
			return p.errorf(pos, "the name of an included file is too long")
		}
	}
	if pattern.Len() == 0 {
		return p.errorf(pos, "include names no file")
	}
	if p.nesting >= maxNesting {
		return p.errorf(pos, "includes nested deeper than %d; does a file include itself?", maxNesting)
	}
	files, err := p.include(p.name, pattern.String(), pos)
	if err != nil {
		return &Error{pos, err.Error()}
	}
	for _, f := range files {
		if p.includes++; p.includes > maxIncludes {
			return p.errorf(pos, "more than %d included files", maxIncludes)
		}
		if err := p.file(f, into, depth, p.nesting+1); err != nil {
			return err
		}
	}
	return nil
}

// short cuts a name for a message.
func short(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
