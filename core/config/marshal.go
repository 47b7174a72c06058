package config

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Marshal writes the struct that v points at as a document that Decode reads,
// below a comment, with another on each kind of table.
func Marshal(comment string, v any, docs Docs) []byte {
	w := writer{docs: docs}
	w.WriteString("# " + comment + "\n\n")
	w.fields(reflect.ValueOf(v).Elem())
	w.tables(reflect.ValueOf(v).Elem(), "")
	return w.Bytes()
}

// A writer writes TOML: of each table first the plain fields, then the tables
// within, as the format demands.
type writer struct {
	bytes.Buffer
	docs Docs
}

// fields writes the fields of v that are no tables, except those that hold
// their default.
func (w *writer) fields(v reflect.Value) {
	plain := reflect.New(v.Type()).Elem()
	setDefaults(plain)
	for i, name := range fieldNames(v.Type()) {
		if f := v.Field(i); name != "" && !isTable(f.Type()) && !isDefault(f, plain.Field(i)) {
			fmt.Fprintf(w, "%s = %s\n", name, literal(f))
		}
	}
}

// tables writes the tables within v.
func (w *writer) tables(v reflect.Value, path string) {
	for i, name := range fieldNames(v.Type()) {
		f, d := v.Field(i), w.docs.of(v.Type(), name)
		switch {
		case name == "" || !isTable(f.Type()):
		case f.Kind() == reflect.Struct:
			if !f.IsZero() || d.Required {
				w.table("["+join(path, name)+"]", d.Doc, f, join(path, name))
			}
		default:
			for j := range f.Len() {
				w.table("[["+join(path, name)+"]]", d.Doc, f.Index(j), join(path, name))
				d.Doc = "" // say it once
			}
		}
	}
}

func (w *writer) table(header, doc string, v reflect.Value, path string) {
	w.WriteByte('\n')
	if doc != "" {
		fmt.Fprintf(w, "# %s\n", doc)
	}
	w.WriteString(header + "\n")
	w.fields(v)
	w.tables(v, path)
}

// isDefault reports whether a field need not be written. An empty list is as
// good as none.
func isDefault(f, byDefault reflect.Value) bool {
	if f.Kind() == reflect.Slice {
		return f.Len() == 0
	}
	return f.Equal(byDefault)
}

func isTable(t reflect.Type) bool {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[Duration]()
}

// literal writes one plain value.
func literal(v reflect.Value) string {
	if d, ok := v.Interface().(Duration); ok {
		return quote(d.String())
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = literal(v.Index(i))
		}
		if one := "[" + strings.Join(items, ", ") + "]"; len(one) <= 80 {
			return one
		}
		return "[\n  " + strings.Join(items, ",\n  ") + ",\n]"
	}
	if s := v.String(); strings.Count(s, "\n") > 1 {
		return lines(s)
	}
	return quote(v.String())
}

// lines writes a text of several lines as a TOML multi-line basic string: the
// line break that follows the opening is not part of it.
func lines(s string) string {
	parts := strings.Split(s, "\n")
	for i, p := range parts {
		p = quote(p)
		parts[i] = p[1 : len(p)-1]
	}
	return "\"\"\"\n" + strings.Join(parts, "\n") + "\"\"\""
}

// quote writes a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f || r == utf8.RuneError:
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
