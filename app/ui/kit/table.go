package kit

import (
	"sort"
	"strconv"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
)

// A TableColumn is a column of a Table.
type TableColumn struct {
	Title string
	Width float32 // in multiples of the text size; the title always fits
	Grow  bool    // takes a share of what is left over
	Right bool    // numbers
	Mono  bool
	// Less orders two rows by this column. Nil: it cannot be sorted by it.
	Less func(a, b int) bool
}

// A Cell is what a Table shows in one place.
type Cell struct {
	Text       string
	Icon       fyne.Resource // before the text
	Importance widget.Importance
	Bold       bool
}

// A Table shows rows of text, of which only those in sight cost anything. Rows
// are selected as a whole, by pointer or arrow keys; a click on a header
// sorts; Ctrl+C and the context menu copy the selected row.
type Table struct {
	widget.BaseWidget
	// OnSelected is called with the row that the user selects.
	OnSelected func(row int)
	// Menu returns what the context menu of a row has beside Copy; nil: nothing.
	Menu func(row int) []*fyne.MenuItem

	columns []TableColumn
	rows    func() int
	cell    func(row, col int) Cell
	key     func(row int) string

	order    []int // of the rows on show; nil: as they are
	sortBy   int   // -1: not sorted
	sortDesc bool
	selected string // key of the selected row
	chosen   bool
	quiet    bool // the selection moves because the rows did

	list   *tableList
	head   *tableHead
	widths []float32
}

// NewTable returns a table of rows() rows. key names a row for good, so that
// the selection stays on it when rows come and go; nil: by position.
func NewTable(columns []TableColumn, rows func() int, cell func(row, col int) Cell, key func(row int) string) *Table {
	t := &Table{columns: columns, rows: rows, cell: cell, key: key, sortBy: -1, widths: make([]float32, len(columns))}
	t.list = newTableList(t)
	t.head = newTableHead(t)
	t.ExtendBaseWidget(t)
	return t
}

// Update shows the rows as they are now.
func (t *Table) Update() {
	t.arrange()
	t.list.Refresh()
}

// Selected returns the selected row.
func (t *Table) Selected() (row int, ok bool) {
	if !t.chosen {
		return 0, false
	}
	for i := range t.rows() {
		if t.keyOf(i) == t.selected {
			return i, true
		}
	}
	return 0, false
}

// Select selects a row, and calls OnSelected.
func (t *Table) Select(row int) {
	for at := range t.rows() {
		if t.row(at) == row {
			t.list.Select(at)
			return
		}
	}
}

// Unselect takes the selection away.
func (t *Table) Unselect() {
	t.chosen = false
	t.list.UnselectAll()
}

// SortBy sorts by a column.
func (t *Table) SortBy(col int, descending bool) {
	t.sortBy, t.sortDesc = col, descending
	t.head.Refresh()
	t.Update()
}

// ScrollToEnd brings the last row into sight.
func (t *Table) ScrollToEnd() { t.list.ScrollToBottom() }

func (t *Table) keyOf(row int) string {
	if t.key == nil {
		return strconv.Itoa(row)
	}
	return t.key(row)
}

func (t *Table) row(at int) int {
	if t.order == nil || at >= len(t.order) {
		return at
	}
	return t.order[at]
}

// arrange sorts anew and puts the selection where its row is now.
func (t *Table) arrange() {
	n := t.rows()
	t.order = nil
	if t.sortBy >= 0 && t.columns[t.sortBy].Less != nil {
		t.order = make([]int, n)
		for i := range t.order {
			t.order[i] = i
		}
		less := t.columns[t.sortBy].Less
		sort.SliceStable(t.order, func(i, j int) bool {
			if t.sortDesc {
				return less(t.order[j], t.order[i])
			}
			return less(t.order[i], t.order[j])
		})
	}
	if !t.chosen {
		return
	}
	t.quiet = true
	defer func() { t.quiet = false }()
	for at := range n {
		if t.keyOf(t.row(at)) == t.selected {
			t.list.mark(at)
			return
		}
	}
	t.chosen = false
	t.list.UnselectAll()
}

func (t *Table) header(col int) {
	if t.columns[col].Less == nil {
		return
	}
	t.SortBy(col, t.sortBy == col && !t.sortDesc)
}

// Line returns a row as text, its cells divided by tabs.
func (t *Table) Line(row int) string {
	cells := make([]string, len(t.columns))
	for i := range cells {
		cells[i] = t.cell(row, i).Text
	}
	return strings.Join(cells, "\t")
}

// Copy puts the selected row on the clipboard.
func (t *Table) Copy() {
	if row, ok := t.Selected(); ok {
		fyne.CurrentApp().Clipboard().SetContent(t.Line(row))
	}
}

// CreateRenderer implements fyne.Widget.
func (t *Table) CreateRenderer() fyne.WidgetRenderer {
	t.arrange()
	inner := container.New(&tableLayout{t}, t.head, t.list)
	return widget.NewSimpleRenderer(container.NewHScroll(inner))
}

// fit shares a width among the columns.
func (t *Table) fit(width float32) {
	sum, grow := float32(0), 0
	for i, c := range t.columns {
		w := c.Width * theme.TextSize()
		title := fyne.MeasureText(c.Title, theme.TextSize(), fyne.TextStyle{Bold: true}).Width + theme.InnerPadding()*2
		if c.Less != nil {
			title += theme.TextSize()
		}
		t.widths[i] = max(w, title)
		sum += t.widths[i]
		if c.Grow {
			grow++
		}
	}
	if left := width - sum; left > 0 && grow > 0 {
		for i, c := range t.columns {
			if c.Grow {
				t.widths[i] += left / float32(grow)
			}
		}
	}
}

func (t *Table) minWidth() float32 {
	kept := t.widths // those that the rows in sight are laid out by
	t.widths = make([]float32, len(t.columns))
	defer func() { t.widths = kept }()
	t.fit(0)
	sum := float32(0)
	for _, w := range t.widths {
		sum += w
	}
	return sum
}

type tableLayout struct{ t *Table }

func (l *tableLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(l.t.minWidth(), o[0].MinSize().Height*4)
}

func (l *tableLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	l.t.fit(s.Width)
	h := o[0].MinSize().Height
	o[0].Resize(fyne.NewSize(s.Width, h))
	o[1].Move(fyne.NewPos(0, h))
	o[1].Resize(fyne.NewSize(s.Width, s.Height-h))
	l.t.head.Refresh()
	l.t.list.Refresh()
}

// rowLayout sets cells by the widths of the table.
type rowLayout struct{ t *Table }

func (l rowLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	line := fyne.MeasureText("Mg", theme.TextSize(), fyne.TextStyle{}).Height
	return fyne.NewSize(1, line+theme.InnerPadding()*1.5)
}

func (l rowLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	x := float32(0)
	for i, c := range o {
		c.Move(fyne.NewPos(x, 0))
		c.Resize(fyne.NewSize(l.t.widths[i], s.Height))
		x += l.t.widths[i]
	}
}

// A tableList is a list that copies its selected row.
type tableList struct {
	widget.List
	t *Table
}

func newTableList(t *Table) *tableList {
	l := &tableList{t: t}
	l.Length = t.rows
	l.CreateItem = func() fyne.CanvasObject { return newTableRow(t) }
	l.UpdateItem = func(at int, o fyne.CanvasObject) {
		if row := t.row(at); row < t.rows() {
			o.(*tableRow).show(at, row)
		}
	}
	l.OnSelected = func(at int) {
		if t.quiet || at >= t.rows() {
			return
		}
		row := t.row(at)
		t.selected, t.chosen = t.keyOf(row), true
		if t.OnSelected != nil {
			t.OnSelected(row)
		}
	}
	l.HideSeparators = true
	l.ExtendBaseWidget(l)
	return l
}

// mark selects without scrolling there.
func (l *tableList) mark(at int) {
	offset := l.GetScrollOffset()
	l.Select(at)
	l.ScrollToOffset(offset)
}

// TypedShortcut implements fyne.Shortcutable.
func (l *tableList) TypedShortcut(s fyne.Shortcut) {
	if _, ok := s.(*fyne.ShortcutCopy); ok {
		l.t.Copy()
	}
}

// TypedKey implements fyne.Focusable.
func (l *tableList) TypedKey(e *fyne.KeyEvent) {
	switch e.Name {
	case fyne.KeyEscape:
		passOn(l, e)
	case fyne.KeyReturn, fyne.KeyEnter:
		l.List.TypedKey(&fyne.KeyEvent{Name: fyne.KeySpace})
	default:
		l.List.TypedKey(e)
	}
}

// A tableRow is a row in sight.
type tableRow struct {
	widget.BaseWidget
	t     *Table
	at    int
	row   int
	box   *fyne.Container
	cells []*tableCell
}

func newTableRow(t *Table) *tableRow {
	r := &tableRow{t: t, box: container.New(rowLayout{t})}
	for _, c := range t.columns {
		cell := newTableCell(c)
		r.cells = append(r.cells, cell)
		r.box.Add(cell)
	}
	r.ExtendBaseWidget(r)
	return r
}

func (r *tableRow) show(at, row int) {
	r.at, r.row = at, row
	for i, c := range r.cells {
		c.set(r.t.cell(row, i))
	}
	r.box.Layout.Layout(r.box.Objects, r.box.Size())
}

// CreateRenderer implements fyne.Widget.
func (r *tableRow) CreateRenderer() fyne.WidgetRenderer { return widget.NewSimpleRenderer(r.box) }

// Tapped implements fyne.Tappable: a row that takes the secondary button
// takes the primary one from the list as well.
func (r *tableRow) Tapped(*fyne.PointEvent) {
	if c := fyne.CurrentApp().Driver().CanvasForObject(r.t.list); c != nil {
		c.Focus(r.t.list)
	}
	r.t.list.Select(r.at)
}

// TappedSecondary implements fyne.SecondaryTappable.
func (r *tableRow) TappedSecondary(e *fyne.PointEvent) {
	r.Tapped(e)
	c := fyne.CurrentApp().Driver().CanvasForObject(r)
	if c == nil {
		return
	}
	line := r.t.Line(r.row)
	items := []*fyne.MenuItem{fyne.NewMenuItem(i18n.T("common.copy"), func() { fyne.CurrentApp().Clipboard().SetContent(line) })}
	if r.t.Menu != nil {
		items = append(items, r.t.Menu(r.row)...)
	}
	widget.ShowPopUpMenuAtPosition(fyne.NewMenu("", items...), c, e.AbsolutePosition)
}

type tableCell struct {
	widget.BaseWidget
	col  TableColumn
	cell Cell
	icon *canvas.Image
	text *canvas.Text
}

func newTableCell(c TableColumn) *tableCell {
	t := &tableCell{col: c, icon: &canvas.Image{FillMode: canvas.ImageFillContain}, text: canvas.NewText("", nil)}
	t.ExtendBaseWidget(t)
	return t
}

func (c *tableCell) set(cell Cell) {
	if c.cell != cell {
		c.cell = cell
		c.Refresh()
	}
}

// CreateRenderer implements fyne.Widget.
func (c *tableCell) CreateRenderer() fyne.WidgetRenderer { return &cellRenderer{c} }

type cellRenderer struct{ c *tableCell }

func (r *cellRenderer) Layout(s fyne.Size) {
	c := r.c
	th, v := c.Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	pad := th.Size(theme.SizeNameInnerPadding)
	x, left := pad, s.Width-2*pad
	if c.cell.Icon != nil {
		side := th.Size(theme.SizeNameText) * 1.15
		c.icon.Resize(fyne.NewSquareSize(side))
		c.icon.Move(fyne.NewPos(x, (s.Height-side)/2))
		x, left = x+side+pad*0.75, left-side-pad*0.75
	}
	c.text.TextSize = th.Size(theme.SizeNameText)
	c.text.TextStyle = fyne.TextStyle{Bold: c.cell.Bold, Monospace: c.col.Mono}
	c.text.Color = importanceColor(th, v, c.cell.Importance)
	c.text.Text = Shorten(c.cell.Text, left, c.text.TextSize, c.text.TextStyle)
	m := c.text.MinSize()
	if c.col.Right {
		x = max(x, s.Width-pad-m.Width)
	}
	c.text.Resize(m)
	c.text.Move(fyne.NewPos(x, (s.Height-m.Height)/2))
}

func (r *cellRenderer) MinSize() fyne.Size { return fyne.NewSize(1, 1) }

func (r *cellRenderer) Refresh() {
	c := r.c
	if c.icon.Resource != c.cell.Icon {
		c.icon.Resource = c.cell.Icon
		c.icon.Refresh()
	}
	r.Layout(c.Size())
	c.text.Refresh()
}

func (r *cellRenderer) Objects() []fyne.CanvasObject {
	if r.c.cell.Icon == nil {
		return []fyne.CanvasObject{r.c.text}
	}
	return []fyne.CanvasObject{r.c.icon, r.c.text}
}

func (r *cellRenderer) Destroy() {}

// A tableHead is the row of titles.
type tableHead struct {
	widget.BaseWidget
	t     *Table
	box   *fyne.Container
	cells []*headCell
}

func newTableHead(t *Table) *tableHead {
	h := &tableHead{t: t, box: container.New(rowLayout{t})}
	for i := range t.columns {
		c := &headCell{t: t, col: i, label: newTableCell(t.columns[i])}
		c.label.col.Mono = false
		c.ExtendBaseWidget(c)
		h.cells = append(h.cells, c)
		h.box.Add(c)
	}
	h.ExtendBaseWidget(h)
	return h
}

// Refresh shows the order anew.
func (h *tableHead) Refresh() {
	for i, c := range h.cells {
		title := h.t.columns[i].Title
		if h.t.sortBy == i {
			if h.t.sortDesc {
				title += " ↓"
			} else {
				title += " ↑"
			}
		}
		c.label.set(Cell{Text: title, Bold: true, Importance: widget.LowImportance})
	}
	h.box.Layout.Layout(h.box.Objects, h.box.Size())
	h.BaseWidget.Refresh()
}

// CreateRenderer implements fyne.Widget.
func (h *tableHead) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(container.NewBorder(nil, widget.NewSeparator(), nil, nil, h.box))
}

type headCell struct {
	widget.BaseWidget
	t     *Table
	col   int
	label *tableCell
}

// Tapped implements fyne.Tappable.
func (c *headCell) Tapped(*fyne.PointEvent) { c.t.header(c.col) }

// Cursor implements desktop.Cursorable.
func (c *headCell) Cursor() desktop.Cursor {
	if c.t.columns[c.col].Less == nil {
		return desktop.DefaultCursor
	}
	return desktop.PointerCursor
}

// CreateRenderer implements fyne.Widget.
func (c *headCell) CreateRenderer() fyne.WidgetRenderer { return widget.NewSimpleRenderer(c.label) }
