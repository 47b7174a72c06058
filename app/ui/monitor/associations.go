package monitor

import (
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
)

// A column is a column of a table of security associations.
type column[T any] struct {
	kit.TableColumn
	cell func(env *kit.Env, sa *T) kit.Cell
	less func(a, b *T) bool
}

// associations is a table of security associations, of those that a filter
// leaves, and the details of the one that is selected.
type associations[T any] struct {
	env    *kit.Env
	key    func(*T) string
	fields func(*kit.Env, *T) []kit.Field

	filter *kit.Filter
	count  *widget.Label
	table  *kit.Table
	detail *kit.Fields
	panel  *fyne.Container
	split  *container.Split
	body   *fyne.Container
	empty  fyne.CanvasObject
	none   fyne.CanvasObject // the filter leaves nothing
	root   fyne.CanvasObject

	all  []T
	rows []*T // those that the filter leaves
	open string
}

func newAssociations[T any](env *kit.Env, columns func() []column[T], key func(*T) string, fields func(*kit.Env, *T) []kit.Field, none, noneText string) *associations[T] {
	a := &associations[T]{env: env, key: key, fields: fields, detail: kit.NewFields()}
	cols := columns()
	heads := make([]kit.TableColumn, len(cols))
	for i, c := range cols {
		heads[i] = c.TableColumn
		heads[i].Less = func(x, y int) bool { return c.less(a.rows[x], a.rows[y]) }
	}
	a.table = kit.NewTable(heads, func() int { return len(a.rows) },
		func(row, col int) kit.Cell { return cols[col].cell(env, a.rows[row]) },
		func(row int) string { return key(a.rows[row]) })
	a.table.OnSelected = func(row int) { a.show(a.rows[row]) }
	a.filter = kit.NewFilter(i18n.T("monitor.filter"), func(string) { a.sift(); a.refresh() })
	a.count = kit.Muted("")
	a.count.Wrapping = fyne.TextWrapOff

	shut := kit.NewQuiet("", theme.CancelIcon(), a.close)
	title := kit.Subheading(i18n.T("monitor.details"))
	a.panel = kit.Below(container.NewBorder(nil, nil, nil, shut, title), container.NewVScroll(a.detail))
	a.empty = kit.Empty(kit.MarkIcon(model.Off), none, noneText)
	a.none = kit.Empty(theme.SearchIcon(), i18n.T("monitor.no_match"), i18n.T("monitor.no_match_text"))
	a.split = container.NewVSplit(a.table, kit.NewPanel(a.panel))
	a.split.Offset = 0.45
	a.body = container.NewStack(a.empty)
	a.root = kit.Below(container.NewBorder(nil, nil, nil, a.count, a.filter), a.body)
	return a
}

// set shows other associations. The selection stays on its own while it lives.
func (a *associations[T]) set(all []T) {
	a.all = all
	a.sift()
	a.refresh()
}

// sift finds the rows that hold what the filter asks for, anywhere.
func (a *associations[T]) sift() {
	a.rows = a.rows[:0]
	want := strings.ToLower(strings.TrimSpace(a.filter.Text))
	for i := range a.all {
		if sa := &a.all[i]; want == "" || a.holds(sa, want) {
			a.rows = append(a.rows, sa)
		}
	}
}

func (a *associations[T]) holds(sa *T, want string) bool {
	for _, f := range a.fields(a.env, sa) {
		if strings.Contains(strings.ToLower(f.Value), want) {
			return true
		}
	}
	return false
}

func (a *associations[T]) refresh() {
	text := ""
	if len(a.rows) != len(a.all) {
		text = i18n.T("monitor.some_of", "Some", i18n.Number(len(a.rows)), "All", i18n.Number(len(a.all)))
	}
	kit.SetText(a.count, text)
	kit.SetShown(a.count, text != "")
	a.table.Update()
	row, ok := a.table.Selected()
	if !ok {
		a.open = ""
	} else {
		a.show(a.rows[row])
	}
	a.arrange()
}

// show shows the details of an association.
func (a *associations[T]) show(sa *T) {
	a.open = a.key(sa)
	a.detail.Set(a.fields(a.env, sa)...)
	a.arrange()
}

// close shows no details any more.
func (a *associations[T]) close() {
	a.open = ""
	a.table.Unselect()
	a.arrange()
}

// arrange puts on the page what there is to see.
func (a *associations[T]) arrange() {
	var want fyne.CanvasObject = a.split
	switch {
	case len(a.all) == 0:
		want = a.empty
	case len(a.rows) == 0:
		want = a.none
	}
	if a.body.Objects[0] != want {
		a.body.Objects[0] = want
		a.body.Refresh()
	}
	if trailing := a.split.Trailing; a.open != "" != trailing.Visible() {
		if a.open != "" {
			trailing.Show()
			a.split.Offset = 0.45
		} else {
			trailing.Hide()
			a.split.Offset = 1
		}
		a.split.Refresh()
	}
	kit.SetShown(a.filter, len(a.all) > 0)
}
