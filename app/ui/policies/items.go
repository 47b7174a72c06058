package policies

import (
	"fmt"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/policydraft"
	"sallyport/app/ui/kit"
)

// An items edits one of the lists of a policy: the elements left, the form of
// the selected one right.
type items struct {
	e      *editor
	path   string
	root   fyne.CanvasObject
	widget *widget.List
	right  *fyne.Container
	none   string
	form   func(i int, base string) fyne.CanvasObject

	n        int
	name     func(i int) (name, text string)
	selected int
	quiet    bool
	remove   *kit.Button
	up, down *kit.Button
}

func newItems(e *editor, path, add, none string, ordered bool, doAdd func(), form func(i int, base string) fyne.CanvasObject) *items {
	l := &items{e: e, path: path, none: none, form: form, right: container.NewStack(), name: func(int) (string, string) { return "", "" }}
	l.widget = widget.NewList(func() int { return l.n }, func() fyne.CanvasObject { return newRow() }, func(i widget.ListItemID, o fyne.CanvasObject) {
		name, text := l.name(i)
		faulty := l.e.s != nil && l.e.s.faulty(l.at(i))
		if faulty {
			text = i18n.T("policies.state.problem")
		}
		o.(*row).set(model.Fault, faulty, kit.Clean(name), text, false)
	})
	l.widget.HideSeparators = true
	l.widget.OnSelected = func(i widget.ListItemID) {
		if l.quiet || i == l.selected {
			return
		}
		l.e.flush()
		l.selected = i
		l.e.build()
	}
	fresh := kit.NewButton(add, theme.ContentAddIcon(), func() { l.e.flush(); doAdd() })
	l.remove = kit.NewButton(i18n.T("policies.delete"), theme.DeleteIcon(), l.doRemove)
	l.up = kit.NewButton("", theme.MoveUpIcon(), func() { l.move(-1) })
	l.down = kit.NewButton("", theme.MoveDownIcon(), func() { l.move(1) })
	buttons := kit.Flow(fresh, l.remove)
	if ordered {
		buttons = kit.Flow(fresh, l.up, l.down, l.remove)
	}
	l.root = beside(above(l.widget, buttons), l.right, 17)
	return l
}

// at returns the path of element i.
func (l *items) at(i int) string { return fmt.Sprintf("%s[%d]", l.path, i) }

// update shows the elements as they are now.
func (l *items) update(n int, name func(i int) (string, string)) {
	l.n, l.name = n, name
	l.selected = max(0, min(l.selected, n-1))
	l.widget.Refresh()
	if n > 0 {
		l.quiet = true
		l.widget.Select(l.selected)
		l.quiet = false
	} else {
		l.widget.UnselectAll()
	}
	broken := l.e.s != nil && l.e.s.fault != nil
	enable := func(b *kit.Button, on bool) {
		if on && !broken {
			b.Enable()
		} else {
			b.Disable()
		}
	}
	enable(l.remove, n > 0)
	enable(l.up, l.selected > 0)
	enable(l.down, l.selected < n-1)
}

// choose selects an element.
func (l *items) choose(i int) {
	if i >= 0 && i < l.n && i != l.selected {
		l.selected = i
		l.e.build()
	}
}

// build makes the form of the selected element.
func (l *items) build() {
	l.right.Objects = []fyne.CanvasObject{l.e.readable(func() fyne.CanvasObject {
		if l.n == 0 {
			return kit.Empty(nil, "", l.none)
		}
		l.e.form = container.NewVScroll(container.NewPadded(l.form(l.selected, l.at(l.selected))))
		return l.e.form
	})}
	l.right.Refresh()
}

func (l *items) move(by int) {
	l.e.flush()
	from, to := l.selected, l.selected+by
	if to < 0 || to >= l.n {
		return
	}
	l.e.edit(func(d *policydraft.Draft) (*policydraft.Draft, error) { return d.Move(l.path, from, to) })
	l.selected = to
	l.e.build()
}

// doRemove takes the selected element away; where rules use it, it asks.
func (l *items) doRemove() {
	l.e.flush()
	i := l.selected
	if i >= l.n {
		return
	}
	do := func() {
		l.e.edit(func(d *policydraft.Draft) (*policydraft.Draft, error) { return d.Remove(l.path, i) })
		l.e.build()
	}
	name, _ := l.name(i)
	if n := l.e.users(l.path, name); n > 0 {
		kit.Confirm(l.e.v.env, i18n.T("policies.used.title"), i18n.T("policies.used.text", "Count", n, "Name", kit.Clean(name)), i18n.T("policies.used.verb"), true, do)
		return
	}
	do()
}

// users counts the rules that name a filter list or a filter action.
func (e *editor) users(path, name string) int {
	n := 0
	for _, r := range e.s.draft.Policy().Rules {
		if path == "filter_lists" && r.FilterList == name || path == "filter_actions" && r.FilterAction == name {
			n++
		}
	}
	return n
}

// free returns a name that no element has yet.
func free(base string, taken func(string) bool) string {
	name := base
	for i := 2; taken(name); i++ {
		name = fmt.Sprintf("%s %d", base, i)
	}
	return name
}

// add puts a new element at the end of the list and selects it.
func (l *items) add(v any) {
	n := l.n
	l.e.edit(func(d *policydraft.Draft) (*policydraft.Draft, error) { return d.Insert(l.path, n, v) })
	l.selected = n
	l.e.build()
}
