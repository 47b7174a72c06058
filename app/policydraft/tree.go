package policydraft

import (
	"bytes"
	"errors"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// MaxText bounds the text of a policy; the service takes no more.
const MaxText = 2 << 20

// maxDepth bounds the nesting of arrays and inline tables.
const maxDepth = 8

// A span is a range of bytes of the text.
type span struct{ from, to int }

// A form says how a value is written.
type form int

const (
	written  form = iota // key = value, or an element of an inline array
	root                 // the document
	header               // [table], or [[table]] as an element
	implied              // by the header of a table within it
	dotted               // by keys with dots in the table around it
	sections             // a list whose elements are [[tables]]
)

// A node is a value of the text with its place.
type node struct {
	kind  unstable.Kind // String, Bool, Integer, Array, InlineTable (any table) or another scalar
	form  form
	line  int
	text  string // of a scalar
	at    span   // of what is written: the value alone
	kv    span   // key and value, when it is a member that is written so
	items []*node
	keys  []string // in the order of the text
	table map[string]*node

	path   string // of header, implied, sections: as a header names it; of dotted: as its keys begin
	parts  []int  // indices of the sections that it consists of
	body   int    // of header and root: where its first key may be put
	in     *node  // of dotted: the table whose lines hold it
	endKey int    // of dotted: the end of its last member
	odd    bool   // an array within an array: of no use here, and not to be edited
}

// A tree is a parsed text.
type tree struct {
	text  []byte
	root  *node
	parts []span // sections: from the comment above a header to the end of its last line
	tops  []string
}

// errNested says that a text has no shape that a policy could have.
var errNested = errors.New("tables nested too deep or of two kinds")

// parseTree reads the text. The library judges the syntax; its expressions give
// the places.
func parseTree(text []byte) (*tree, error) {
	if len(text) > MaxText {
		return nil, &Fault{Kind: Syntax, Detail: "the text is too long"}
	}
	var whole map[string]any
	if err := toml.Unmarshal(text, &whole); err != nil {
		f := &Fault{Kind: Syntax, Detail: strings.TrimPrefix(err.Error(), "toml: ")}
		var de *toml.DecodeError
		if errors.As(err, &de) {
			f.Line, f.Column = de.Position()
			f.Field = strings.Join(de.Key(), ".")
		}
		return nil, f
	}
	b := builder{tree: &tree{text: text, root: newTable(root, 1)}, line: 1}
	b.parser.Reset(text)
	at := b.root
	for b.parser.NextExpression() {
		switch e := b.parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			at = b.open(e)
		case unstable.KeyValue:
			b.keyValue(at, e, at, 0)
		}
		if at == nil || b.bad {
			return nil, &Fault{Kind: Syntax, Detail: errNested.Error()}
		}
	}
	if err := b.parser.Error(); err != nil {
		return nil, &Fault{Kind: Syntax, Detail: err.Error()}
	}
	return b.tree, nil
}

func newTable(f form, line int) *node {
	return &node{kind: unstable.InlineTable, form: f, line: line, table: map[string]*node{}}
}

// member returns the member of that name, made when absent.
func (n *node) member(key string, make func() *node) *node {
	m, ok := n.table[key]
	if !ok {
		m = make()
		n.table[key] = m
		n.keys = append(n.keys, key)
	}
	return m
}

// A builder makes a tree of the parser's expressions, which come in order.
type builder struct {
	*tree
	parser     unstable.Parser
	last, line int // an offset and the line that it is in
	floor      int // the end of the last expression: a comment is below it
	bad        bool
}

// lineAt returns the line of an offset; offsets hardly ever go back.
func (b *builder) lineAt(offset int) int {
	if offset < b.last {
		b.last, b.line = 0, 1
	}
	b.line += bytes.Count(b.text[b.last:offset], []byte{'\n'})
	b.last = offset
	return b.line
}

// open returns the table that a [header] or [[header]] begins.
func (b *builder) open(e *unstable.Node) *node {
	var path []string
	at, first := b.root, -1
	var passed []*node
	for it := e.Key(); it.Next(); {
		k := it.Node()
		if first < 0 {
			first = int(k.Raw.Offset)
		}
		key := string(k.Data)
		path = append(path, string(b.text[k.Raw.Offset:k.Raw.Offset+k.Raw.Length]))
		name, line := strings.Join(path, "."), b.lineAt(int(k.Raw.Offset))
		if !it.IsLast() {
			at = into(at.member(key, func() *node {
				n := newTable(implied, line)
				n.path = name
				return n
			}))
			if at == nil {
				return nil
			}
			passed = append(passed, at)
			continue
		}
		if e.Kind == unstable.ArrayTable {
			list := at.member(key, func() *node { return &node{kind: unstable.Array, form: sections, line: line, path: name} })
			if list.form != sections {
				return nil
			}
			at = newTable(header, line)
			list.items = append(list.items, at)
		} else {
			at = into(at.member(key, func() *node { return newTable(header, line) }))
			if at == nil {
				return nil
			}
			if at.form == implied {
				at.form = header
			}
		}
		at.path, at.line = name, line
		passed = append(passed, at)
	}
	start := b.lead(b.lineStart(first), b.floor)
	b.floor = first
	b.parts = append(b.parts, span{start, b.lineEnd(first)})
	top, _, _ := strings.Cut(path[0], ".")
	b.tops = append(b.tops, top)
	at.body = b.lineEnd(first)
	for _, n := range passed {
		n.parts = append(n.parts, len(b.parts)-1)
	}
	return at
}

// into returns the table that a path goes on in: that of the newest element of
// a list.
func into(n *node) *node {
	if n.form == sections && len(n.items) > 0 {
		n = n.items[len(n.items)-1]
	}
	if n.kind != unstable.InlineTable || n.form == written {
		return nil
	}
	return n
}

// keyValue adds a member to at. home is the table whose lines or braces hold it.
func (b *builder) keyValue(at *node, e *unstable.Node, home *node, depth int) {
	raw := span{int(e.Raw.Offset), int(e.Raw.Offset + e.Raw.Length)}
	raw.to = raw.from + len(bytes.TrimRight(b.text[raw.from:raw.to], " \t\r\n"))
	b.floor = max(b.floor, raw.to)
	if n := len(b.parts); n > 0 && depth == 0 {
		b.parts[n-1].to = b.lineEnd(raw.to)
	}
	var chain []*node
	prefix := ""
	for it := e.Key(); it.Next(); {
		k := it.Node()
		end := int(k.Raw.Offset + k.Raw.Length)
		prefix += string(b.text[k.Raw.Offset:end]) + "."
		line := b.lineAt(int(k.Raw.Offset))
		if it.IsLast() {
			v := b.value(e.Value(), span{b.afterEquals(end), raw.to}, line, depth)
			v.kv = raw
			at.member(string(k.Data), func() *node { return v })
			for _, n := range chain {
				n.endKey = raw.to
			}
			return
		}
		at = at.member(string(k.Data), func() *node {
			n := newTable(dotted, line)
			n.path, n.in = prefix, home
			return n
		})
		if at.kind != unstable.InlineTable || at.form == written {
			b.bad = true
			return
		}
		chain = append(chain, at)
	}
}

// afterEquals returns where the value after a key begins.
func (b *builder) afterEquals(i int) int {
	for i < len(b.text) && (b.text[i] == ' ' || b.text[i] == '\t' || b.text[i] == '=') {
		i++
	}
	return i
}

func (b *builder) value(v *unstable.Node, at span, line, depth int) *node {
	n := &node{kind: v.Kind, line: line, text: string(v.Data), at: at}
	if depth >= maxDepth {
		b.bad = true
		return n
	}
	switch v.Kind {
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			c := it.Node()
			if c.Kind == unstable.Comment {
				continue
			}
			from, to := int(c.Raw.Offset), int(c.Raw.Offset+c.Raw.Length)
			itemLine := line
			if c.Raw.Length > 0 {
				itemLine = b.lineAt(from)
			}
			item := b.value(c, span{from, to}, itemLine, depth+1)
			n.odd = n.odd || c.Kind == unstable.Array || item.odd
			n.items = append(n.items, item)
		}
	case unstable.InlineTable:
		n.table = map[string]*node{}
		last := at.from + 1
		for it := v.Children(); it.Next(); {
			if c := it.Node(); c.Kind == unstable.KeyValue {
				b.keyValue(n, c, n, depth+1)
				last = max(last, int(c.Raw.Offset+c.Raw.Length))
			}
		}
		n.at.to = closing(b.text, last)
		for _, m := range n.table {
			n.odd = n.odd || m.odd
		}
	}
	return n
}

// closing returns the end of an inline table or array whose last member ends at
// i or before.
func closing(text []byte, i int) int {
	for i < len(text) {
		switch text[i] {
		case '}', ']':
			return i + 1
		case '#':
			i = lineEnd(text, i)
		default:
			i++
		}
	}
	return i
}

func (t *tree) lineStart(i int) int { return bytes.LastIndexByte(t.text[:i], '\n') + 1 }

// lineEnd returns the offset after the line that holds i.
func (t *tree) lineEnd(i int) int { return lineEnd(t.text, i) }

func lineEnd(text []byte, i int) int {
	if n := bytes.IndexByte(text[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return len(text)
}

// lead returns the start of the comment that stands directly above the line at
// i and below floor, or i.
func (t *tree) lead(i, floor int) int {
	for i > floor {
		prev := t.lineStart(i - 1)
		if l := bytes.TrimLeft(t.text[prev:i], " \t"); prev < floor || len(l) == 0 || l[0] != '#' {
			break
		}
		i = prev
	}
	return i
}
