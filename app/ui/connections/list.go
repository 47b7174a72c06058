package connections

import (
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	apptheme "sallyport/app/theme"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/wizard"
	"sallyport/core/api"
)

// fewEnough is how many connections are found without a search field.
const fewEnough = 8

// entry is what a row shows of a connection.
type entry struct {
	name    string
	mark    model.Mark
	word    string // its key
	gateway string
	profile api.Profile
}

// A list is the left pane.
type list struct {
	env    *kit.Env
	choose func(name string)
	root   fyne.CanvasObject

	filter  *kit.Filter
	rows    *rowList
	nothing *widget.Label // no connection is found

	snap    *model.Snapshot
	entries []entry      // of all connections
	shown   []int        // the indices of those that are found
	current string       // the name of the selected one
	quiet   bool         // the selection follows the model, not the user
	drawn   map[int]*row // the last row that was drawn at a place
}

func newList(env *kit.Env, choose func(string)) *list {
	l := &list{env: env, choose: choose, snap: &model.Snapshot{}, drawn: map[int]*row{}}
	l.rows = newRowList(l)
	l.filter = kit.NewFilter(i18n.T("connections.search"), func(string) { l.find() })
	l.filter.Hide()
	l.nothing = kit.Muted(i18n.T("connections.nothing"))
	l.nothing.Hide()
	buttons := kit.Flow(
		kit.NewPrimary(i18n.T("connections.new"), theme.ContentAddIcon(), func() { wizard.New(env) }),
		kit.NewButton(i18n.T("connections.import"), theme.FolderOpenIcon(), func() { wizard.Import(env, nil) }))
	top := kit.Column(buttons, l.filter, l.nothing)
	ground := kit.NewPanel(nil)
	ground.Fill, ground.StrokeWidth, ground.Square = apptheme.ColorSurface, 0, true
	l.root = container.NewStack(ground,
		container.NewBorder(nil, nil, nil, widget.NewSeparator(),
			container.NewPadded(kit.Under(container.NewPadded(top), l.rows))))
	return l
}

func entryOf(c *model.Connection) entry {
	e := entry{name: c.Name, mark: c.Mark, word: c.Word.Key, profile: c.Profile, gateway: c.PeerID}
	if len(c.Gateway) > 0 {
		e.gateway = c.Gateway[0]
	}
	return e
}

// update shows the connections of a snapshot. What is as before costs a
// comparison.
func (l *list) update(s *model.Snapshot) {
	l.snap = s
	same := len(s.Connections) == len(l.entries)
	if !same {
		l.entries = make([]entry, len(s.Connections))
	}
	moved := !same
	for i := range s.Connections {
		e := entryOf(&s.Connections[i])
		if same && l.entries[i] == e {
			continue
		}
		moved = moved || l.entries[i].name != e.name || l.entries[i].gateway != e.gateway
		l.entries[i] = e
		if !moved {
			l.refresh(i)
		}
	}
	kit.SetShown(l.filter, len(l.entries) > fewEnough)
	if moved {
		l.find()
	}
}

// refresh draws the row of a connection anew.
func (l *list) refresh(i int) {
	for at, j := range l.shown {
		if i == j {
			l.rows.RefreshItem(at)
			return
		}
	}
}

// find shows the connections whose name or gateway holds what is searched for.
func (l *list) find() {
	what := ""
	if l.filter.Visible() {
		what = strings.ToLower(strings.TrimSpace(l.filter.Text))
	}
	l.shown = l.shown[:0]
	for i, e := range l.entries {
		if what == "" || strings.Contains(strings.ToLower(e.name), what) || strings.Contains(strings.ToLower(e.gateway), what) {
			l.shown = append(l.shown, i)
		}
	}
	kit.SetShown(l.nothing, len(l.shown) == 0 && len(l.entries) > 0)
	l.rows.Refresh()
	l.mark(l.current)
}

// mark shows a connection as selected.
func (l *list) mark(name string) {
	l.current = name
	l.quiet = true
	defer func() { l.quiet = false }()
	if at := l.at(name); at >= 0 {
		l.rows.Select(at)
	} else {
		l.rows.UnselectAll()
	}
}

// at returns the row of a connection, and -1 when it is not shown.
func (l *list) at(name string) int {
	return slices.IndexFunc(l.shown, func(i int) bool { return l.entries[i].name == name })
}

// reveal clears a search that hides a connection, and marks it.
func (l *list) reveal(name string) {
	l.mark(name)
	if l.filter.Text != "" {
		l.filter.SetText("")
	}
}

func (l *list) focus() { l.env.Window.Canvas().Focus(l.rows) }

// menu is the context menu of a connection.
func (l *list) menu(name string) *fyne.Menu {
	c := l.snap.Find(name)
	if c == nil {
		return nil
	}
	return fyne.NewMenu("", actions(l.env, c)...)
}

// A rowList is the list of rows.
type rowList struct {
	widget.List
	l *list
}

func newRowList(l *list) *rowList {
	r := &rowList{l: l}
	r.Length = func() int { return len(l.shown) }
	r.CreateItem = func() fyne.CanvasObject { return newRow(l) }
	r.UpdateItem = func(at int, o fyne.CanvasObject) {
		if at < len(l.shown) {
			o.(*row).show(at, l.entries[l.shown[at]])
		}
	}
	r.OnSelected = func(at int) {
		if l.quiet || at >= len(l.shown) {
			return
		}
		l.current = l.entries[l.shown[at]].name
		l.choose(l.current)
	}
	r.HideSeparators = true
	r.ExtendBaseWidget(r)
	return r
}

// Resize implements fyne.CanvasObject. A list scrolls to what is selected only
// as well as it knows its own height.
func (r *rowList) Resize(s fyne.Size) {
	unseen := r.Size().Height < r.MinSize().Height
	r.List.Resize(s)
	if at := r.l.at(r.l.current); unseen && s.Height > 0 && at >= 0 {
		r.ScrollTo(at)
	}
}

// TypedKey implements fyne.Focusable. Besides what a list does, Enter selects
// and the menu key opens the context menu.
func (r *rowList) TypedKey(e *fyne.KeyEvent) {
	switch e.Name {
	case fyne.KeyReturn, fyne.KeyEnter:
		r.List.TypedKey(&fyne.KeyEvent{Name: fyne.KeySpace})
	case desktop.KeyMenu:
		if m := r.l.menu(r.l.current); m != nil {
			widget.ShowPopUpMenuAtRelativePosition(m, r.l.env.Window.Canvas(), fyne.NewPos(theme.TextSize()*2, theme.TextSize()*2), r)
		}
	default:
		r.List.TypedKey(e)
	}
}

// A row shows one connection: its state by shape and in a word, its name, its
// gateway and its profile.
type row struct {
	widget.BaseWidget
	l     *list
	at    int
	entry entry
	icon  *canvas.Image
	name  *canvas.Text
	line  *canvas.Text
	where *canvas.Text
}

func newRow(l *list) *row {
	r := &row{l: l, icon: &canvas.Image{FillMode: canvas.ImageFillContain}, name: canvas.NewText("", nil), line: canvas.NewText("", nil), where: canvas.NewText("", nil)}
	r.ExtendBaseWidget(r)
	return r
}

func (r *row) show(at int, e entry) {
	r.at = at
	r.l.drawn[at] = r
	if r.entry != e {
		r.entry = e
		r.Refresh()
	}
}

// Tapped implements fyne.Tappable: a row that takes the secondary button takes
// the primary one from the list as well.
func (r *row) Tapped(*fyne.PointEvent) {
	r.l.focus()
	r.l.rows.Select(r.at)
	if r.l.current == r.entry.name {
		r.l.choose(r.entry.name) // it was selected already: narrow windows open it
	}
}

// TappedSecondary implements fyne.SecondaryTappable.
func (r *row) TappedSecondary(e *fyne.PointEvent) {
	if m := r.l.menu(r.entry.name); m != nil {
		widget.ShowPopUpMenuAtPosition(m, r.l.env.Window.Canvas(), e.AbsolutePosition)
	}
}

// CreateRenderer implements fyne.Widget.
func (r *row) CreateRenderer() fyne.WidgetRenderer { return &rowRenderer{r} }

type rowRenderer struct{ r *row }

func (rr *rowRenderer) MinSize() fyne.Size {
	line := fyne.MeasureText("Mg", theme.TextSize(), fyne.TextStyle{Bold: true}).Height
	small := fyne.MeasureText("Mg", theme.CaptionTextSize(), fyne.TextStyle{}).Height
	return fyne.NewSize(theme.TextSize()*8, line+2*small+theme.InnerPadding()*1.5)
}

func (rr *rowRenderer) Layout(s fyne.Size) {
	r := rr.r
	th, v := r.Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	inner := theme.InnerPadding()
	icon := theme.TextSize() * 1.5
	r.icon.Resize(fyne.NewSquareSize(icon))
	r.icon.Move(fyne.NewPos(inner, (s.Height-icon)/2))
	x := icon + 2*inner
	width := s.Width - x - inner
	y := inner * 0.75
	set := func(t *canvas.Text, text string, size float32, bold bool, color fyne.ThemeColorName) {
		t.TextSize, t.TextStyle.Bold, t.Color = size, bold, th.Color(color, v)
		t.Text = kit.Shorten(text, width, size, t.TextStyle)
		t.Move(fyne.NewPos(x, y))
		if text == "" {
			return
		}
		m := t.MinSize()
		t.Resize(m)
		y += m.Height
	}
	set(r.name, r.entry.name, theme.TextSize(), true, theme.ColorNameForeground)
	second, third := r.entry.lines(func(text string) bool {
		return fyne.MeasureText(text, theme.CaptionTextSize(), fyne.TextStyle{}).Width <= width
	})
	set(r.where, second, theme.CaptionTextSize(), false, apptheme.ColorSubtle)
	set(r.line, third, theme.CaptionTextSize(), false, apptheme.ColorSubtle)
}

// lines are the gateway, and the state with the profile in words. Where both do
// not fit the state is alone: words that are cut help nobody.
func (e entry) lines(fits func(string) bool) (string, string) {
	word := i18n.Say(model.Text{Key: e.word})
	switch {
	case e.profile == "":
		return e.gateway, word
	case e.gateway == "":
		return word, short(e.profile)
	}
	if both := word + " · " + short(e.profile); fits(both) {
		return e.gateway, both
	}
	return e.gateway, word
}

func (rr *rowRenderer) Refresh() {
	r := rr.r
	if icon := kit.MarkIcon(r.entry.mark); r.icon.Resource != icon {
		r.icon.Resource = icon
	}
	r.icon.Refresh()
	rr.Layout(r.Size())
	r.name.Refresh()
	r.where.Refresh()
	r.line.Refresh()
}

func (rr *rowRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{rr.r.icon, rr.r.name, rr.r.where, rr.r.line}
}

func (rr *rowRenderer) Destroy() {}
