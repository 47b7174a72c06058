package policydraft

import (
	"bytes"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// items takes an inline array apart, each comment to the element it belongs to:
// those behind an element, and those above it.
func (d *Draft) items(n *node) (items []item, after string) {
	text, eol := d.tree.text, d.eol()
	indent := d.indent(n.at.from) + "  "
	pos := n.at.from + 1
	var lead []string
	for i := 0; i <= len(n.items); i++ {
		end := n.at.to - 1
		if i < len(n.items) {
			end = n.items[i].at.from
		}
		lead = nil
		lines := 0
		for k := pos; k < end; {
			switch text[k] {
			case '\n':
				if lines++; lines > 1 && len(bytes.TrimSpace(text[d.tree.lineStart(k):k])) == 0 {
					lead = append(lead, "")
				}
				k++
			case '#':
				to := d.tree.lineEnd(k) - 1
				comment := strings.TrimRight(string(text[k:to]), " \t\r")
				if lines == 0 && i > 0 && items[i-1].tail == "" {
					items[i-1].tail = comment
				} else {
					lead = append(lead, comment)
				}
				k = to
			default:
				k++
			}
		}
		if i < len(n.items) {
			s := n.items[i].at
			items = append(items, item{lead: lead, text: string(text[s.from:s.to])})
			pos = s.to
		}
	}
	var b strings.Builder
	for _, l := range lead {
		if l != "" {
			b.WriteString(indent + l)
		}
		b.WriteString(eol)
	}
	return items, b.String()
}

// rebuild writes an inline array with other elements.
func (d *Draft) rebuild(n *node, items []item, after string) (*Draft, error) {
	flat := !bytes.Contains(d.tree.text[n.at.from:n.at.to], []byte{'\n'})
	return d.splice(n.at, list(items, after, d.indent(n.at.from), d.eol(), flat))
}

// setStrings makes an inline array hold the strings of v; those that it had
// keep their comments.
func (d *Draft) setStrings(n *node, v reflect.Value) (*Draft, error) {
	old, after := d.items(n)
	used := make([]bool, len(old))
	items := make([]item, v.Len())
	for i := range items {
		want := v.Index(i).String()
		k := slices.IndexFunc(n.items, func(m *node) bool { return m.kind == unstable.String && m.text == want })
		for k >= 0 && used[k] {
			next := slices.IndexFunc(n.items[k+1:], func(m *node) bool { return m.kind == unstable.String && m.text == want })
			if next < 0 {
				k = -1
				break
			}
			k += 1 + next
		}
		if k < 0 {
			items[i].text = quote(want)
			continue
		}
		items[i], used[k] = old[k], true
	}
	return d.rebuild(n, items, after)
}

// fewEdits is how many elements of a list are edited one by one. With more,
// they are written anew.
const fewEdits = 8

// setTables makes a list of tables that is there mean v. Elements at its begin
// and end that are equal are not touched.
func (d *Draft) setTables(path string, old, v reflect.Value) (*Draft, error) {
	head, tail := 0, 0
	for head < min(old.Len(), v.Len()) && same(old.Index(head), v.Index(head)) {
		head++
	}
	for tail < min(old.Len(), v.Len())-head && same(old.Index(old.Len()-1-tail), v.Index(v.Len()-1-tail)) {
		tail++
	}
	n := d.find(path)
	if n.form == written && max(old.Len(), v.Len())-head-tail > fewEdits {
		kept, after := d.items(n)
		items := slices.Clone(kept[:head])
		for i := head; i < v.Len()-tail; i++ {
			it := item{text: literal(v.Index(i), d.indent(n.at.from)+"  ", d.eol())}
			if i < old.Len()-tail {
				if same(old.Index(i), v.Index(i)) {
					it.text = kept[i].text
				}
				it.lead, it.tail = kept[i].lead, kept[i].tail
			}
			items = append(items, it)
		}
		return d.rebuild(n, append(items, kept[len(kept)-tail:]...), after)
	}
	var err error
	both := min(old.Len(), v.Len()) - tail
	for i := head; i < both && err == nil; i++ {
		d, err = d.set(sub(path, i), v.Index(i))
	}
	for i := both; i < v.Len()-tail && err == nil; i++ {
		d, err = d.insert(path, i, v.Index(i))
	}
	for i := old.Len() - tail - 1; i >= max(both, head) && i >= v.Len()-tail && err == nil; i-- {
		d, err = d.remove(path, i)
	}
	return d, err
}

// insert puts a table before element i of a list.
func (d *Draft) insert(path string, i int, v reflect.Value) (*Draft, error) {
	n, eol := d.find(path), d.eol()
	switch {
	case n == nil && topLevel(path):
		return d.paragraph(d.place(path), section("[["+path+"]]", v, eol))
	case n == nil:
		one := reflect.Append(reflect.MakeSlice(reflect.SliceOf(v.Type()), 0, 1), v)
		return d.setKey(path, one)
	case n.kind != unstable.Array || n.odd || i > len(n.items):
		return nil, ErrShape
	case n.form == sections:
		return d.paragraph(d.between(n, i), section("[["+n.path+"]]", v, eol))
	}
	items, after := d.items(n)
	text := literal(v, d.indent(n.at.from)+"  ", eol)
	return d.rebuild(n, slices.Insert(items, i, item{text: text}), after)
}

// between returns the place of a section before element i.
func (d *Draft) between(n *node, i int) int {
	if i < len(n.items) {
		return d.tree.parts[n.items[i].parts[0]].from
	}
	end := 0
	for _, p := range n.items[i-1].parts {
		end = max(end, d.tree.parts[p].to)
	}
	return end
}

func (d *Draft) remove(path string, i int) (*Draft, error) {
	n := d.find(path)
	if n == nil || n.kind != unstable.Array || n.odd || i >= len(n.items) {
		return nil, ErrShape
	}
	if n.form != sections {
		items, after := d.items(n)
		return d.rebuild(n, slices.Delete(items, i, i+1), after)
	}
	_, m, err := d.cut(n, i)
	return m, err
}

// cut takes the sections of element i out of the text.
func (d *Draft) cut(n *node, i int) (text string, rest *Draft, err error) {
	eol := d.eol()
	out := bytes.Clone(d.tree.text)
	var b strings.Builder
	for k, p := range slices.Backward(n.items[i].parts) {
		s := d.tree.parts[p]
		part := string(out[s.from:s.to])
		if !strings.HasSuffix(part, "\n") {
			part += eol
		}
		if k > 0 {
			part = eol + part
		}
		old := b.String()
		b.Reset()
		b.WriteString(part + old)
		// One empty line remains where there was one on each side.
		for s.to < len(out) && (out[s.to] == '\n' || bytes.HasPrefix(out[s.to:], []byte("\r\n"))) {
			s.to = lineEnd(out, s.to)
		}
		if s.to == len(out) {
			for s.from > 1 && out[s.from-1] == '\n' && (out[s.from-2] == '\n' || s.from > 2 && out[s.from-2] == '\r' && out[s.from-3] == '\n') {
				s.from = bytes.LastIndexByte(out[:s.from-1], '\n') + 1
			}
		}
		out = slices.Delete(out, s.from, s.to)
	}
	rest, err = (&Draft{tree: &tree{}}).splice(span{}, string(out))
	return b.String(), rest, err
}

func (d *Draft) move(path string, from, to int) (*Draft, error) {
	if from == to {
		return d, nil
	}
	n := d.find(path)
	if n == nil || n.kind != unstable.Array || n.odd || max(from, to) >= len(n.items) {
		return nil, ErrShape
	}
	if n.form != sections {
		items, after := d.items(n)
		it := items[from]
		return d.rebuild(n, slices.Insert(slices.Delete(items, from, from+1), to, it), after)
	}
	text, m, err := d.cut(n, from)
	if err != nil {
		return nil, err
	}
	return m.paragraph(m.between(m.find(path), to), text)
}
