package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A Defaulter is a table whose fields have other defaults than zero. SetDefaults
// is called before the fields of a file are filled in.
type Defaulter interface{ SetDefaults() }

// Decode fills the struct that v points at, strictly: what does not fit is an
// error that joins every fault found, each an *Error (see AllErrors).
func (t *Tree) Decode(v any, docs Docs) error {
	d := decoder{Faults: Faults{File: t.file}, docs: docs}
	d.table(reflect.ValueOf(v).Elem(), t.root, "")
	return d.Err()
}

// A decoder fills a struct from a tree and collects what does not fit.
type decoder struct {
	Faults
	docs Docs
}

// table fills the struct v.
func (d *decoder) table(v reflect.Value, n *node, path string) {
	if n.kind != unstable.InlineTable {
		d.Add(n.line, path, "is %s, but a table is wanted, as \"[%s]\"", n.describe(), path)
		return
	}
	setDefaults(v)
	names := fieldNames(v.Type())
	for _, key := range n.keys {
		member := n.table[key]
		i := indexOf(names, key)
		if i < 0 {
			hint := ""
			if near := Nearest(key, names); near != "" {
				hint = fmt.Sprintf("; did you mean %q?", near)
			} else {
				hint = "; known here: " + strings.Join(slices.DeleteFunc(names, func(n string) bool { return n == "" }), ", ")
			}
			d.Add(member.line, join(path, Plain(key)), "unknown field%s", hint)
			continue
		}
		d.value(v.Field(i), member, join(path, key), d.docs.of(v.Type(), key))
	}
}

// value fills one field.
func (d *decoder) value(v reflect.Value, n *node, path string, doc FieldDoc) {
	if dur, ok := v.Addr().Interface().(*Duration); ok {
		if n.kind != unstable.String {
			d.Add(n.line, path, "is %s, but a duration in quotes is wanted, as \"90s\" or \"4h\"", n.describe())
		} else if err := dur.UnmarshalText([]byte(n.text)); err != nil {
			d.Add(n.line, path, "%v", err)
		}
		return
	}
	want := func(k unstable.Kind, what string) bool {
		if n.kind != k {
			d.Add(n.line, path, "is %s, but %s is wanted", n.describe(), what)
		}
		return n.kind == k
	}
	switch v.Kind() {
	case reflect.String:
		if want(unstable.String, "a string in quotes") {
			v.SetString(n.text)
		}
	case reflect.Bool:
		if want(unstable.Bool, "true or false") {
			v.SetBool(n.text == "true")
		}
	case reflect.Int, reflect.Uint64:
		if !want(unstable.Integer, "a whole number") {
			return
		}
		i, err := n.integer()
		switch {
		case err != nil || i < int64(doc.Least):
			d.Add(n.line, path, "%s is not a number from %d up that fits", Shown(n.text), doc.Least)
		case v.Kind() == reflect.Uint64:
			v.SetUint(uint64(i))
		default:
			v.SetInt(i)
		}
	case reflect.Struct:
		d.table(v, n, path)
	case reflect.Slice:
		d.sequence(v, n, path, doc)
	}
}

// sequence fills a list of strings or of tables.
func (d *decoder) sequence(v reflect.Value, n *node, path string, doc FieldDoc) {
	if n.kind != unstable.Array {
		what := "a list is wanted, as [\"one\", \"two\"]"
		if v.Type().Elem().Kind() == reflect.Struct {
			what = fmt.Sprintf("a list of tables is wanted, each begun by \"[[%s]]\"", path)
		}
		d.Add(n.line, path, "is %s, but %s", n.describe(), what)
		return
	}
	if len(n.items) > doc.maxItems() {
		d.Add(n.line, path, "%d entries are too many (limit %d)", len(n.items), doc.maxItems())
		return
	}
	if len(n.items) == 0 {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		d.value(v.Index(i), item, fmt.Sprintf("%s[%d]", path, i), doc)
	}
}

// lineOf returns the line of the field at path, or of the nearest thing around
// it that the document has.
func (n *node) lineOf(path string) int {
	line := n.line
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		var next *node
		if n.kind == unstable.Array {
			var i int
			if _, err := fmt.Sscanf(part, "%d", &i); err == nil && i < len(n.items) {
				next = n.items[i]
			}
		} else if n.table != nil {
			next = n.table[part]
		}
		if next == nil {
			return line
		}
		n, line = next, next.line
	}
	return line
}

func setDefaults(v reflect.Value) {
	if d, ok := v.Addr().Interface().(Defaulter); ok {
		d.SetDefaults()
	}
}

// fieldNames returns the TOML names of a struct's fields, by index; "" for
// those that are not in the file.
func fieldNames(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		if f := t.Field(i); f.IsExported() {
			names[i], _, _ = strings.Cut(f.Tag.Get("toml"), ",")
		}
	}
	return names
}

func indexOf(names []string, key string) int {
	for i, n := range names {
		if n == key && n != "" {
			return i
		}
	}
	return -1
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Plain returns a key as a message may show it.
func Plain(key string) string {
	if key != "" && strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == "" && len(key) <= 60 {
		return key
	}
	return Shown(key)
}
