package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sallyport/core/config"
)

// Import parses a policy file and gives it another name, unless that is empty.
func Import(file string, data []byte, name string) (*Policy, error) {
	p, err := Parse(file, data)
	if err != nil || name == "" {
		return p, err
	}
	if err := CheckName(name); err != nil {
		return nil, fmt.Errorf("name: %w", err)
	}
	p.Name = name
	return p, nil
}

// Diff says what has to change in a to make it b: a line for each change, in
// the order of the file; none when they are the same. "+" begins what is new,
// "-" what is gone, "~" what has changed.
func Diff(a, b *Policy) []string {
	var d differ
	d.fields("", reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem())
	return d.lines
}

type differ struct{ lines []string }

func (d *differ) say(sign, where, format string, args ...any) {
	if where != "" {
		where += ": "
	}
	d.lines = append(d.lines, sign+" "+where+fmt.Sprintf(format, args...))
}

// fields compares two structs of one type.
func (d *differ) fields(where string, a, b reflect.Value) {
	t := a.Type()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("toml"), ",")
		if name == "" {
			continue
		}
		x, y := a.Field(i), b.Field(i)
		switch {
		case x.Type() == reflect.TypeFor[config.Duration]():
			d.plain(where, name, x, y)
		case x.Kind() == reflect.Struct:
			d.fields(strings.TrimPrefix(where+" "+name, " "), x, y)
		case x.Kind() == reflect.Slice && x.Type().Elem().Kind() == reflect.Struct:
			d.list(where, name, x, y)
		default:
			d.plain(where, name, x, y)
		}
	}
}

func (d *differ) plain(where, name string, x, y reflect.Value) {
	if x.Kind() == reflect.Slice && x.Len() == 0 && y.Len() == 0 || reflect.DeepEqual(x.Interface(), y.Interface()) {
		return
	}
	d.say("~", where, "%s: %s → %s", name, valueText(x), valueText(y))
}

func valueText(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case string:
		return fmt.Sprintf("%q", x)
	case []string:
		return fmt.Sprintf("%q", x)
	case config.Duration:
		if x.Duration == 0 {
			return "default"
		}
		return x.String()
	}
	return fmt.Sprint(v.Interface())
}

// list compares lists of tables: those with names by name, filters as a set,
// and authentication methods in their order, which matters.
func (d *differ) list(where, name string, x, y reflect.Value) {
	switch a := x.Interface().(type) {
	case []Filter:
		d.filters(where, a, y.Interface().([]Filter))
		return
	case []AuthMethod:
		if b := y.Interface().([]AuthMethod); !slices.EqualFunc(a, b, func(m, n AuthMethod) bool { return reflect.DeepEqual(m, n) }) {
			d.say("~", where, "%s: %s → %s", name, authText(a), authText(b))
		}
		return
	}
	what := strings.ReplaceAll(strings.TrimSuffix(name, "s"), "_", " ")
	find := func(l reflect.Value, name string) int {
		for i := range l.Len() {
			if l.Index(i).FieldByName("Name").String() == name {
				return i
			}
		}
		return -1
	}
	for i := range x.Len() {
		v := x.Index(i)
		called := v.FieldByName("Name").String()
		if j := find(y, called); j < 0 {
			d.say("-", where, "%s %q%s", what, called, sizeText(v))
		} else {
			d.fields(strings.TrimPrefix(fmt.Sprintf("%s %s %q", where, what, called), " "), v, y.Index(j))
		}
	}
	for i := range y.Len() {
		v := y.Index(i)
		if called := v.FieldByName("Name").String(); find(x, called) < 0 {
			d.say("+", where, "%s %q%s", what, called, sizeText(v))
		}
	}
}

// sizeText says what a new or gone table holds.
func sizeText(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case FilterList:
		if len(x.Filters) == 1 {
			return " (1 filter)"
		}
		return fmt.Sprintf(" (%d filters)", len(x.Filters))
	case FilterAction:
		return " (" + x.Action + ")"
	case Rule:
		return fmt.Sprintf(" (%q: %q)", x.FilterList, x.FilterAction)
	}
	return ""
}

func (d *differ) filters(where string, a, b []Filter) {
	count := map[Filter]int{}
	for _, f := range b {
		count[f]++
	}
	for _, f := range a {
		if count[f]--; count[f] < 0 {
			d.say("-", where, "%s", f)
		}
	}
	clear(count)
	for _, f := range a {
		count[f]++
	}
	for _, f := range b {
		if count[f]--; count[f] < 0 {
			d.say("+", where, "%s", f)
		}
	}
}

// String writes a filter as "me ↔ 10.0.0.0/8 tcp port 443".
func (f Filter) String() string {
	arrow := " → "
	if f.Mirrored {
		arrow = " ↔ "
	}
	s := f.Source
	if f.SourcePort != "" {
		s += " port " + f.SourcePort
	}
	s += arrow + f.Destination
	if f.Protocol != "" {
		s += " " + f.Protocol
	}
	if f.DestinationPort != "" {
		s += " port " + f.DestinationPort
	}
	return s
}

func authText(l []AuthMethod) string {
	if len(l) == 0 {
		return "none"
	}
	var out []string
	for _, m := range l {
		switch m.Method {
		case MethodPSK:
			out = append(out, fmt.Sprintf("psk %q", m.Secret))
		case MethodCertificate:
			out = append(out, fmt.Sprintf("certificate %q of %q", m.Certificates, m.CAs))
		default:
			out = append(out, fmt.Sprintf("eap %q of %q", m.User, m.CAs))
			if len(m.EAPMethods) > 0 {
				out[len(out)-1] += " by " + strings.Join(m.EAPMethods, ", ")
			}
		}
		if m.RemoteID != "" {
			out[len(out)-1] += fmt.Sprintf(" for %q", m.RemoteID)
		}
		if m.LocalID != "" {
			out[len(out)-1] += fmt.Sprintf(" as %q", m.LocalID)
		}
	}
	return strings.Join(out, ", ")
}
