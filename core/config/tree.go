// Package config reads and writes strict TOML files: every fault is told with
// file, line and field, and unknown fields are refused with a suggestion. A
// struct with "toml" tags is the format; Docs describe it for the published
// schema and the comments of written files.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A Tree is a TOML document with the lines of its values.
type Tree struct {
	file string
	root *node
}

// A node is a value of a TOML document with its place.
type node struct {
	line  int
	kind  unstable.Kind // String, Bool, Integer, Array, InlineTable (any table), or another scalar
	text  string        // of a scalar
	items []*node       // of an array
	keys  []string      // of a table, in the order of the file
	table map[string]*node
}

func newTable(line int) *node {
	return &node{line: line, kind: unstable.InlineTable, table: map[string]*node{}}
}

// member returns the table's member of that name, made when absent.
func (n *node) member(key string, make func() *node) *node {
	m, ok := n.table[key]
	if !ok {
		m = make()
		n.table[key] = m
		n.keys = append(n.keys, key)
	}
	return m
}

// Parse reads a TOML document of at most limit bytes. The file's name serves
// the messages only.
//
// The library's own decoder judges the syntax and the doubles; what remains is
// to keep the lines, which it does not tell for values.
func Parse(file string, data []byte, limit int) (*Tree, error) {
	if len(data) > limit {
		return nil, &Error{File: file, Msg: fmt.Sprintf("%d bytes are too many (limit %d)", len(data), limit)}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // Windows editors mark UTF-8 with it
	var whole map[string]any
	if err := toml.Unmarshal(data, &whole); err != nil {
		e := &Error{File: file, Msg: strings.TrimPrefix(err.Error(), "toml: ")}
		var de *toml.DecodeError
		if errors.As(err, &de) {
			e.Line, _ = de.Position()
			e.Field = strings.Join(de.Key(), ".")
		}
		return nil, e
	}
	b := treeBuilder{}
	for i, c := range data {
		if c == '\n' {
			b.breaks = append(b.breaks, i)
		}
	}
	b.parser.Reset(data)
	root := newTable(1)
	at := root
	for b.parser.NextExpression() {
		switch e := b.parser.Expression(); e.Kind {
		case unstable.Table:
			at = b.open(root, e, false)
		case unstable.ArrayTable:
			at = b.open(root, e, true)
		case unstable.KeyValue:
			b.keyValue(at, e, 0)
		}
		if at == nil || b.tooDeep {
			return nil, &Error{File: file, Msg: "tables nested too deep or of two kinds"}
		}
	}
	if err := b.parser.Error(); err != nil {
		return nil, &Error{File: file, Msg: err.Error()}
	}
	return &Tree{file, root}, nil
}

// File returns the name of the file.
func (t *Tree) File() string { return t.file }

// Line returns the line of the field at path, as "children[0].name", or of the
// nearest thing around it that the document has.
func (t *Tree) Line(path string) int { return t.root.lineOf(path) }

// A treeBuilder turns the parser's expressions into nodes.
type treeBuilder struct {
	parser  unstable.Parser
	breaks  []int // offsets of line feeds
	tooDeep bool
}

func (b *treeBuilder) line(n *unstable.Node) int {
	i, _ := slices.BinarySearch(b.breaks, int(n.Raw.Offset))
	return i + 1
}

// open returns the table that a [header] or [[header]] begins.
func (b *treeBuilder) open(root *node, e *unstable.Node, array bool) *node {
	at := root
	for it := e.Key(); it.Next(); {
		k := it.Node()
		line := b.line(k)
		key := string(k.Data)
		if it.IsLast() && array {
			list := at.member(key, func() *node { return &node{line: line, kind: unstable.Array} })
			if list.kind != unstable.Array {
				return nil
			}
			at = newTable(line)
			list.items = append(list.items, at)
			return at
		}
		if at = into(at.member(key, func() *node { return newTable(line) })); at == nil {
			return nil
		}
	}
	return at
}

// into returns the table that a key path goes on in: that of the newest
// element of an array of tables.
func into(n *node) *node {
	if n.kind == unstable.Array && len(n.items) > 0 {
		n = n.items[len(n.items)-1]
	}
	if n.kind != unstable.InlineTable {
		return nil
	}
	return n
}

// maxDepth bounds the nesting of arrays and inline tables.
const maxDepth = 8

func (b *treeBuilder) keyValue(at *node, e *unstable.Node, depth int) {
	for it := e.Key(); it.Next(); {
		k := it.Node()
		line := b.line(k)
		if it.IsLast() {
			v := b.value(e.Value(), line, depth)
			at.member(string(k.Data), func() *node { return v })
			return
		}
		if at = into(at.member(string(k.Data), func() *node { return newTable(line) })); at == nil {
			b.tooDeep = true
			return
		}
	}
}

func (b *treeBuilder) value(v *unstable.Node, line, depth int) *node {
	if v.Raw.Length > 0 {
		line = b.line(v)
	}
	n := &node{line: line, kind: v.Kind, text: string(v.Data)}
	if depth >= maxDepth {
		b.tooDeep = true
		return n
	}
	switch v.Kind {
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			if c := it.Node(); c.Kind != unstable.Comment {
				item := b.value(c, line, depth+1)
				line = item.line
				n.items = append(n.items, item)
			}
		}
	case unstable.InlineTable:
		n.table = map[string]*node{}
		for it := v.Children(); it.Next(); {
			if c := it.Node(); c.Kind == unstable.KeyValue {
				b.keyValue(n, c, depth+1)
			}
		}
	}
	return n
}

// integer returns the value of an integer node.
func (n *node) integer() (int64, error) {
	return strconv.ParseInt(strings.ReplaceAll(strings.TrimPrefix(n.text, "+"), "_", ""), 0, 64)
}

// describe names the kind of a node for a message.
func (n *node) describe() string {
	switch n.kind {
	case unstable.String:
		return "a string"
	case unstable.Integer:
		return "a number"
	case unstable.Bool:
		return "true or false"
	case unstable.Array:
		return "a list"
	case unstable.InlineTable:
		return "a table"
	}
	return "a " + strings.ToLower(n.kind.String())
}
