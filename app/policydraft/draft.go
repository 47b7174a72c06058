package policydraft

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A Draft is the text of a policy and what it says. It is immutable: an edit
// returns another.
type Draft struct {
	tree   *tree
	policy Policy
	faults []Fault
}

// A FaultKind says what is wrong with a text, before the service has seen it.
type FaultKind int

// The kinds of faults.
const (
	Syntax  FaultKind = iota // it is no TOML; there is no draft
	Unknown                  // the format has no such field
	Wrong                    // the value is of another kind than the field
)

// A Fault is something that a draft cannot show as the format's.
type Fault struct {
	Kind         FaultKind
	Line, Column int    // 1-based; 0 when unknown
	Field        string // "rules[0].tunnel"
	Detail       string // of a syntax error, in the library's words
}

// Error implements error.
func (f *Fault) Error() string {
	s := f.Detail
	switch f.Kind {
	case Unknown:
		s = "unknown field"
	case Wrong:
		s = "value of another kind"
	}
	if f.Field != "" {
		s = f.Field + ": " + s
	}
	if f.Line > 0 {
		s = fmt.Sprintf("line %d: %s", f.Line, s)
	}
	return s
}

// maxFaults bounds how many faults of one text are told.
const maxFaults = 50

// Parse reads a text. The error is a *Fault of kind Syntax; a text that merely
// says what the format does not know is a draft with Faults. Parse borrows text.
func Parse(text []byte) (*Draft, error) {
	t, err := parseTree(bytes.Clone(text))
	if err != nil {
		return nil, err
	}
	d := &Draft{tree: t}
	d.decode(reflect.ValueOf(&d.policy).Elem(), t.root, "")
	return d, nil
}

// New returns the draft of a policy that says nothing but its name.
func New(name string) *Draft {
	d, err := Parse(fmt.Appendf(nil, "version = 1\nname = %s\n", quote(name)))
	if err != nil {
		panic(err) // a quoted name is a string
	}
	return d
}

// Text returns a copy of the text.
func (d *Draft) Text() []byte { return bytes.Clone(d.tree.text) }

// Policy returns what the text says. It is shared: do not change it.
func (d *Draft) Policy() *Policy { return &d.policy }

// Faults returns what the text says beyond the format, at most some dozens.
func (d *Draft) Faults() []Fault { return d.faults }

// Line returns the line of the field at path, as "rules[0].tunnel", or of the
// nearest thing around it that the text has.
func (d *Draft) Line(path string) int {
	n, line := d.tree.root, 1
	for _, step := range steps(path) {
		if n = n.step(step); n == nil {
			break
		}
		line = n.line
	}
	return line
}

// steps splits a path.
func steps(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// step returns a member or an element, or nil.
func (n *node) step(step string) *node {
	if n.kind == unstable.Array {
		if i, err := strconv.Atoi(step); err == nil && 0 <= i && i < len(n.items) {
			return n.items[i]
		}
		return nil
	}
	return n.table[step]
}

// find returns the node at path, or nil.
func (d *Draft) find(path string) *node {
	n := d.tree.root
	for _, s := range steps(path) {
		if n = n.step(s); n == nil {
			return nil
		}
	}
	return n
}

// errPath says that a caller asks for something that the format does not have.
var errPath = errors.New("policydraft: no such field")

// field returns the value at path within p, which must be addressable.
func field(p reflect.Value, path string) (reflect.Value, error) {
	for _, s := range steps(path) {
		switch p.Kind() {
		case reflect.Struct:
			i := fieldIndex(p.Type(), s)
			if i < 0 {
				return p, fmt.Errorf("%w: %s", errPath, path)
			}
			p = p.Field(i)
		case reflect.Slice:
			i, err := strconv.Atoi(s)
			if err != nil || i < 0 || i >= p.Len() {
				return p, fmt.Errorf("%w: %s", errPath, path)
			}
			p = p.Index(i)
		default:
			return p, fmt.Errorf("%w: %s", errPath, path)
		}
	}
	return p, nil
}

// fieldName returns the name of a field in the text.
func fieldName(f reflect.StructField) string { return f.Tag.Get("toml") }

func fieldIndex(t reflect.Type, name string) int {
	for i := range t.NumField() {
		if fieldName(t.Field(i)) == name {
			return i
		}
	}
	return -1
}

// byDefault returns what a field that is left out stands for.
func byDefault(f reflect.StructField) reflect.Value {
	v := reflect.New(f.Type).Elem()
	if f.Tag.Get("default") == "true" {
		v.SetBool(true)
	}
	return v
}

func (d *Draft) fault(k FaultKind, line int, path string) {
	if len(d.faults) < maxFaults {
		d.faults = append(d.faults, Fault{Kind: k, Line: line, Field: path})
	}
}

// decode fills v as far as n has its shape.
func (d *Draft) decode(v reflect.Value, n *node, path string) {
	wrong := func() { d.fault(Wrong, n.line, path) }
	switch v.Kind() {
	case reflect.Struct:
		if n.kind != unstable.InlineTable {
			wrong()
			return
		}
		t := v.Type()
		for i := range t.NumField() {
			v.Field(i).Set(byDefault(t.Field(i)))
		}
		for _, key := range n.keys {
			at := key
			if path != "" {
				at = path + "." + key
			}
			if i := fieldIndex(t, key); i >= 0 {
				d.decode(v.Field(i), n.table[key], at)
			} else {
				d.fault(Unknown, n.table[key].line, at)
			}
		}
	case reflect.Slice:
		if n.kind != unstable.Array {
			wrong()
			return
		}
		if len(n.items) > 0 {
			v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
		}
		for i, item := range n.items {
			d.decode(v.Index(i), item, path+"["+strconv.Itoa(i)+"]")
		}
	case reflect.String:
		if n.kind != unstable.String {
			wrong()
			return
		}
		v.SetString(n.text)
	case reflect.Bool:
		if n.kind != unstable.Bool {
			wrong()
			return
		}
		v.SetBool(n.text == "true")
	case reflect.Uint64:
		i, err := strconv.ParseInt(strings.ReplaceAll(strings.TrimPrefix(n.text, "+"), "_", ""), 0, 64)
		if n.kind != unstable.Integer || err != nil || i < 0 {
			wrong()
			return
		}
		v.SetUint(uint64(i))
	}
}
