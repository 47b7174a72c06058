package policydraft

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// wide is the longest line that a list or table is written on.
const wide = 100

// literal writes a value of the format as stands after a key. indent begins
// the lines within.
func literal(v reflect.Value, indent, eol string) string {
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.Slice:
		items := make([]item, v.Len())
		for i := range items {
			items[i].text = literal(v.Index(i), indent+"  ", eol)
		}
		return list(items, "", indent, eol, true)
	case reflect.Struct:
		var parts []string
		t := v.Type()
		for i := range t.NumField() {
			if f := t.Field(i); needed(f, v.Field(i)) {
				parts = append(parts, fieldName(f)+" = "+literal(v.Field(i), indent, eol))
			}
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return quote(v.String())
}

// section writes a table as a header stands above it.
func section(head string, v reflect.Value, eol string) string {
	var b strings.Builder
	b.WriteString(head + eol)
	t := v.Type()
	for i := range t.NumField() {
		if f := t.Field(i); needed(f, v.Field(i)) {
			fmt.Fprintf(&b, "%s = %s%s", fieldName(f), literal(v.Field(i), "", eol), eol)
		}
	}
	return b.String()
}

// needed reports whether a field must be written to mean v.
func needed(f reflect.StructField, v reflect.Value) bool {
	return f.Tag.Get("must") != "" || !same(v, byDefault(f))
}

// same compares two values of the format; an empty list is as good as none.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		for i := range a.NumField() {
			if !same(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}

// An item is an element of an inline array with the comments that are its own.
type item struct {
	lead []string // lines above it, "" an empty one
	text string
	tail string // a comment behind it
}

// list writes an inline array. Elements go on one line when they may, fit and
// have no comments.
func list(items []item, after, indent, eol string, flat bool) string {
	length, tables := 0, 0
	for _, i := range items {
		length += len(i.text) + 2
		if strings.HasPrefix(i.text, "{") {
			tables++
		}
		flat = flat && len(i.lead) == 0 && i.tail == "" && !strings.Contains(i.text, "\n")
	}
	if flat && after == "" && length <= wide && tables <= 1 {
		parts := make([]string, len(items))
		for i := range items {
			parts[i] = items[i].text
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	var b strings.Builder
	b.WriteString("[" + eol)
	for _, i := range items {
		for _, l := range i.lead {
			if l != "" {
				b.WriteString(indent + "  " + l)
			}
			b.WriteString(eol)
		}
		b.WriteString(indent + "  " + i.text + ",")
		if i.tail != "" {
			b.WriteString(" " + i.tail)
		}
		b.WriteString(eol)
	}
	b.WriteString(after + indent + "]")
	return b.String()
}

// quote writes a basic string.
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
