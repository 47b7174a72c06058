package policydraft

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// ErrShape says that a text is written in a way that an edit cannot keep. It
// can be written anew (Rewrite), without its comments.
var ErrShape = errors.New("policydraft: the text cannot be edited in place")

// Set makes the field at path, as "rules[0]" or "rules[0].tunnel", what value
// is: of the field's type. What is equal already is not touched.
func (d *Draft) Set(path string, value any) (*Draft, error) {
	v := reflect.ValueOf(value)
	return d.edit(func(p reflect.Value) error {
		at, err := field(p, path)
		if err == nil && at.Type() != v.Type() {
			err = errPath
		}
		if err == nil {
			at.Set(v)
		}
		return err
	}, func(d *Draft) (*Draft, error) { return d.set(path, v) })
}

// Insert puts value into the list at path, as "rules", before its element i.
func (d *Draft) Insert(path string, i int, value any) (*Draft, error) {
	v := reflect.ValueOf(value)
	return d.edit(func(p reflect.Value) error {
		at, err := field(p, path)
		if err != nil || at.Kind() != reflect.Slice || at.Type().Elem() != v.Type() || i < 0 || i > at.Len() {
			return errPath
		}
		out := reflect.MakeSlice(at.Type(), 0, at.Len()+1)
		out = reflect.Append(reflect.AppendSlice(out, at.Slice(0, i)), v)
		at.Set(reflect.AppendSlice(out, at.Slice(i, at.Len())))
		return nil
	}, func(d *Draft) (*Draft, error) { return d.insert(path, i, v) })
}

// Remove takes element i out of the list at path.
func (d *Draft) Remove(path string, i int) (*Draft, error) {
	return d.edit(func(p reflect.Value) error {
		at, err := field(p, path)
		if err != nil || at.Kind() != reflect.Slice || i < 0 || i >= at.Len() {
			return errPath
		}
		out := reflect.AppendSlice(reflect.MakeSlice(at.Type(), 0, at.Len()), at.Slice(0, i))
		at.Set(reflect.AppendSlice(out, at.Slice(i+1, at.Len())))
		return nil
	}, func(d *Draft) (*Draft, error) { return d.remove(path, i) })
}

// Move takes element from of the list at path to place to.
func (d *Draft) Move(path string, from, to int) (*Draft, error) {
	return d.edit(func(p reflect.Value) error {
		at, err := field(p, path)
		if err != nil || at.Kind() != reflect.Slice || min(from, to) < 0 || max(from, to) >= at.Len() {
			return errPath
		}
		out := reflect.AppendSlice(reflect.MakeSlice(at.Type(), 0, at.Len()), at)
		v := reflect.New(at.Type().Elem()).Elem()
		v.Set(at.Index(from))
		step := 1
		if to < from {
			step = -1
		}
		for k := from; k != to; k += step {
			out.Index(k).Set(at.Index(k + step))
		}
		out.Index(to).Set(v)
		at.Set(out)
		return nil
	}, func(d *Draft) (*Draft, error) { return d.move(path, from, to) })
}

// Rewrite returns a draft that says what d says, written anew: without comments
// and without what the format does not know.
func (d *Draft) Rewrite() (*Draft, error) {
	n, err := Parse([]byte("version = 1\n"))
	if err != nil {
		return nil, err
	}
	v := reflect.ValueOf(&d.policy).Elem()
	for i := range v.NumField() {
		if n, err = n.set(fieldName(v.Type().Field(i)), v.Field(i)); err != nil {
			return nil, err
		}
	}
	if !same(v, reflect.ValueOf(&n.policy).Elem()) {
		return nil, ErrShape
	}
	return n, nil
}

// edit changes what d says and then its text, and holds the one against the
// other: an edit does what was asked, or nothing.
func (d *Draft) edit(say func(reflect.Value) error, write func(*Draft) (*Draft, error)) (*Draft, error) {
	want := d.policy
	want.own()
	if err := say(reflect.ValueOf(&want).Elem()); err != nil {
		return nil, err
	}
	n, err := write(d)
	if err != nil {
		return nil, err
	}
	if !same(reflect.ValueOf(&want).Elem(), reflect.ValueOf(&n.policy).Elem()) || len(n.faults) > len(d.faults) {
		return nil, ErrShape
	}
	return n, nil
}

// own makes the lists of p, and those within their elements, p's own, so that
// it can be changed.
func (p *Policy) own() {
	p.FilterLists, p.FilterActions, p.Rules = slices.Clone(p.FilterLists), slices.Clone(p.FilterActions), slices.Clone(p.Rules)
	for i := range p.FilterLists {
		p.FilterLists[i].Filters = slices.Clone(p.FilterLists[i].Filters)
	}
	for i := range p.Rules {
		p.Rules[i].Auth = slices.Clone(p.Rules[i].Auth)
	}
	p.DefaultResponse.Auth = slices.Clone(p.DefaultResponse.Auth)
}

// splice returns the draft with other text in a place.
func (d *Draft) splice(s span, text string) (*Draft, error) {
	old := d.tree.text
	if s.from < 0 || s.from > s.to || s.to > len(old) {
		return nil, ErrShape
	}
	out := make([]byte, 0, len(old)+len(text))
	out = append(append(append(out, old[:s.from]...), text...), old[s.to:]...)
	t, err := parseTree(out)
	if err != nil {
		return nil, ErrShape
	}
	n := &Draft{tree: t}
	n.decode(reflect.ValueOf(&n.policy).Elem(), t.root, "")
	return n, nil
}

// eol is how lines end here.
func (d *Draft) eol() string {
	if bytes.Contains(d.tree.text, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// indent returns the white space that begins the line at i.
func (d *Draft) indent(i int) string {
	line := d.tree.text[d.tree.lineStart(i):]
	n := 0
	for n < len(line) && (line[n] == ' ' || line[n] == '\t') {
		n++
	}
	return string(line[:n])
}

// set makes what stands at path mean v.
func (d *Draft) set(path string, v reflect.Value) (*Draft, error) {
	at, err := field(reflect.ValueOf(&d.policy).Elem(), path)
	if err != nil {
		return nil, err
	}
	n := d.find(path)
	if same(at, v) && !d.faulty(path) {
		return d, nil
	}
	switch {
	case v.Kind() == reflect.Struct && (n == nil || n.kind == unstable.InlineTable):
		for i := range v.NumField() {
			if d, err = d.set(path+"."+fieldName(v.Type().Field(i)), v.Field(i)); err != nil {
				return nil, err
			}
		}
		return d, nil
	case v.Kind() == reflect.Slice && n != nil && n.kind == unstable.Array && !n.odd && v.Len() > 0:
		if v.Type().Elem().Kind() == reflect.Struct {
			return d.setTables(path, at, v)
		}
		return d.setStrings(n, v)
	case v.Kind() == reflect.Slice && n == nil && topLevel(path):
		for i := range v.Len() {
			if d, err = d.insert(path, i, v.Index(i)); err != nil {
				return nil, err
			}
		}
		return d, nil
	case v.Kind() == reflect.Slice && n != nil && n.form == sections:
		for i := len(n.items) - 1; i >= 0; i-- {
			if d, err = d.remove(path, i); err != nil {
				return nil, err
			}
		}
		return d, nil
	}
	return d.setKey(path, v)
}

// topLevel reports whether path names a list that is written as sections.
func topLevel(path string) bool { return !strings.ContainsAny(path, ".[") }

// faulty reports whether there is a fault at path or below.
func (d *Draft) faulty(path string) bool {
	return slices.ContainsFunc(d.faults, func(f Fault) bool { return f.Kind == Wrong && f.Field == path })
}

// setKey writes a plain value, or takes the key away when v is what its absence
// means.
func (d *Draft) setKey(path string, v reflect.Value) (*Draft, error) {
	parent, key := cutLast(path)
	table := d.find(parent)
	var owner reflect.Type
	if p, err := field(reflect.ValueOf(&d.policy).Elem(), parent); err != nil || p.Kind() != reflect.Struct {
		return nil, errPath
	} else {
		owner = p.Type()
	}
	f := owner.Field(fieldIndex(owner, key))
	if table == nil {
		return d.addSection(parent, key, v)
	}
	if n := table.table[key]; n != nil {
		if n.form != written {
			return nil, ErrShape
		}
		if !needed(f, v) && v.Kind() != reflect.Bool {
			return d.dropKey(table, n)
		}
		return d.splice(n.at, literal(v, d.indent(n.kv.from), d.eol()))
	}
	if !needed(f, v) {
		return d, nil
	}
	return d.addKey(parent, table, owner, key, v)
}

func cutLast(path string) (parent, key string) {
	i := strings.LastIndexByte(path, '.')
	return path[:max(i, 0)], path[i+1:]
}

// addKey writes a key that table does not have.
func (d *Draft) addKey(parent string, table *node, owner reflect.Type, key string, v reflect.Value) (*Draft, error) {
	eol := d.eol()
	line := func(at int, prefix string) (*Draft, error) {
		indent := ""
		if at > 0 && at != table.body {
			indent = d.indent(at - 1)
		}
		text := indent + prefix + key + " = " + literal(v, indent, eol) + eol
		if at > 0 && d.tree.text[at-1] != '\n' {
			text = eol + text
		}
		return d.splice(span{at, at}, text)
	}
	within := func(at int, prefix string) (*Draft, error) {
		text := prefix + key + " = " + literal(v, d.indent(at), eol)
		if len(table.table) > 0 {
			text = ", " + text
		}
		return d.splice(span{at, at}, text)
	}
	switch table.form {
	case written:
		last := table.at.from + 1
		for _, n := range table.table {
			last = max(last, n.kv.to, n.endKey)
		}
		return within(last, "")
	case dotted:
		if table.in.form == written {
			return within(table.endKey, table.path)
		}
		return line(d.tree.lineEnd(table.endKey), table.path)
	case implied:
		return d.addSection(parent, key, v)
	}
	at := table.body
	for i := range fieldIndex(owner, key) {
		if n := table.table[fieldName(owner.Field(i))]; n != nil && n.form == written && n.kv.to > 0 {
			at = max(at, d.tree.lineEnd(n.kv.to))
		}
	}
	return line(at, "")
}

// dropKey takes a key and its value away.
func (d *Draft) dropKey(table, n *node) (*Draft, error) {
	if table.form == dotted {
		table = table.in
	}
	if table.form != written {
		return d.splice(span{d.tree.lineStart(n.kv.from), d.tree.lineEnd(n.kv.to)}, "")
	}
	text, s := d.tree.text, n.kv
	if c := comma(text, s.to); c < len(text) && text[c] == ',' {
		if c == s.to { // the usual way: "a = 1, b = 2"
			s.to = c + 1
			for s.to < len(text) && text[s.to] == ' ' {
				s.to++
			}
			return d.splice(s, "")
		}
		m, err := d.splice(span{c, c + 1}, "")
		if err != nil {
			return nil, err
		}
		return m.splice(s, "")
	}
	prev := table.at.from + 1
	for _, o := range table.table {
		for _, end := range []int{o.kv.to, o.endKey} {
			if end < s.from {
				prev = max(prev, end)
			}
		}
	}
	if c := comma(text, prev); c < s.from && text[c] == ',' {
		if strings.TrimSpace(string(text[c+1:s.from])) == "" {
			return d.splice(span{c, s.to}, "")
		}
		m, err := d.splice(s, "")
		if err != nil {
			return nil, err
		}
		return m.splice(span{c, c + 1}, "")
	}
	return d.splice(s, "")
}

// comma returns the offset of what follows i but for space and comments.
func comma(text []byte, i int) int {
	for i < len(text) {
		switch text[i] {
		case ' ', '\t', '\r', '\n':
			i++
		case '#':
			i = lineEnd(text, i)
		default:
			return i
		}
	}
	return i
}

// addSection writes a table of the document that is not there yet, with its
// first key.
func (d *Draft) addSection(name, key string, v reflect.Value) (*Draft, error) {
	if !topLevel(name) {
		return nil, ErrShape
	}
	eol := d.eol()
	at := d.place(name)
	if n := d.tree.root.table[name]; n != nil {
		if n.form != implied || len(n.parts) == 0 {
			return nil, ErrShape
		}
		at = d.tree.parts[n.parts[0]].from
	}
	return d.paragraph(at, "["+name+"]"+eol+key+" = "+literal(v, "", eol)+eol)
}

// place returns where a section of that name goes, in the order of the format.
func (d *Draft) place(name string) int {
	t := reflect.TypeFor[Policy]()
	mine := fieldIndex(t, name)
	for i, top := range d.tree.tops {
		if fieldIndex(t, top) > mine {
			return d.tree.parts[i].from
		}
	}
	return len(d.tree.text)
}

// paragraph puts text at a place between lines, with empty lines around it.
func (d *Draft) paragraph(at int, text string) (*Draft, error) {
	eol, before, after := d.eol(), d.tree.text[:at], d.tree.text[at:]
	if len(before) > 0 && before[len(before)-1] != '\n' {
		text = eol + eol + text
	} else if len(before) > 0 && !bytes.HasSuffix(before, []byte("\n\n")) && !bytes.HasSuffix(before, []byte("\n\r\n")) {
		text = eol + text
	}
	if len(after) > 0 && !bytes.HasPrefix(after, []byte("\n")) && !bytes.HasPrefix(after, []byte("\r\n")) {
		text += eol
	}
	return d.splice(span{at, at}, text)
}

// sub returns the path of element i.
func sub(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
