package ui

import (
	"image/color"

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
)

// A rail is the navigation: an icon and a word for each page, and at the foot
// how all stands.
type rail struct {
	root  *fyne.Container
	items []*railItem
	mark  *railMark
}

func newRail(show func(kit.Page)) *rail {
	r := &rail{mark: newRailMark()}
	column := container.New(railColumn{})
	for _, p := range Pages {
		it := newRailItem(p, pageTitle(p), show)
		r.items = append(r.items, it)
		column.Add(it)
	}
	ground := kit.NewPanel(nil)
	ground.Fill, ground.StrokeWidth, ground.Square = apptheme.ColorRail, 0, true
	r.root = container.NewStack(ground, container.NewBorder(nil, r.mark, nil, nil, container.NewVScroll(column)))
	return r
}

// pageTitle is the word for a page.
func pageTitle(p kit.Page) string {
	switch p {
	case kit.Policies:
		return i18n.T("ui.page.policies")
	case kit.Monitor:
		return i18n.T("ui.page.monitor")
	case kit.Diagnosis:
		return i18n.T("ui.page.diagnosis")
	case kit.Settings:
		return i18n.T("ui.page.settings")
	}
	return i18n.T("ui.page.connections")
}

func (r *rail) update(s *model.Snapshot, current kit.Page) {
	for _, it := range r.items {
		it.set(it.page == current)
	}
	r.mark.set(s.Mark)
}

// stacked sets the words below the icons, in a narrow rail.
func (r *rail) stacked(on bool) {
	for _, it := range r.items {
		if it.stacked != on {
			it.stacked = on
			it.Refresh()
		}
	}
}

// width returns how wide the rail is, of either kind.
func (r *rail) width(stacked bool) (w float32) {
	for _, it := range r.items {
		w = max(w, it.wide(stacked))
	}
	return w + 4*theme.Padding()
}

// frame sets the rail beside the page: with the words beside the icons where
// there is room, and below them where there is not.
type frame struct{ rail *rail }

func (f *frame) MinSize([]fyne.CanvasObject) fyne.Size { return Smallest }

func (f *frame) Layout(o []fyne.CanvasObject, s fyne.Size) {
	stacked := f.rail.width(false) > s.Width*0.2
	f.rail.stacked(stacked)
	w := min(f.rail.width(stacked), s.Width*0.3)
	o[0].Resize(fyne.NewSize(w, s.Height))
	o[1].Move(fyne.NewPos(w, 0))
	o[1].Resize(fyne.NewSize(s.Width-w, s.Height))
}

// railColumn sets the items below each other with a little air.
type railColumn struct{}

func (railColumn) MinSize(o []fyne.CanvasObject) (s fyne.Size) {
	p := theme.Padding()
	s.Height = 2 * p
	for _, it := range o {
		m := it.MinSize()
		s.Width = max(s.Width, m.Width+4*p)
		s.Height += m.Height + p
	}
	return s
}

func (railColumn) Layout(o []fyne.CanvasObject, s fyne.Size) {
	p := theme.Padding()
	y := 2 * p
	for _, it := range o {
		h := it.MinSize().Height
		it.Move(fyne.NewPos(2*p, y))
		it.Resize(fyne.NewSize(s.Width-4*p, h))
		y += h + p
	}
}

// A railItem leads to a page.
type railItem struct {
	widget.BaseWidget
	page     kit.Page
	show     func(kit.Page)
	icon     *canvas.Image
	text     *canvas.Text
	ground   *canvas.Rectangle
	selected bool
	focused  bool
	hovered  bool
	stacked  bool
}

var (
	_ fyne.Tappable     = (*railItem)(nil)
	_ fyne.Focusable    = (*railItem)(nil)
	_ desktop.Hoverable = (*railItem)(nil)
)

func newRailItem(p kit.Page, title string, show func(kit.Page)) *railItem {
	it := &railItem{page: p, show: show, icon: canvas.NewImageFromResource(apptheme.PageIcon(string(p))), text: canvas.NewText(title, color.Black),
		ground: canvas.NewRectangle(color.Transparent)}
	it.icon.FillMode = canvas.ImageFillContain
	it.ExtendBaseWidget(it)
	return it
}

func (it *railItem) set(selected bool) {
	if it.selected != selected {
		it.selected = selected
		it.Refresh()
	}
}

// Tapped implements fyne.Tappable.
func (it *railItem) Tapped(*fyne.PointEvent) { it.show(it.page) }

// FocusGained implements fyne.Focusable.
func (it *railItem) FocusGained() { it.focused = true; it.Refresh() }

// FocusLost implements fyne.Focusable.
func (it *railItem) FocusLost() { it.focused = false; it.Refresh() }

// TypedRune implements fyne.Focusable.
func (it *railItem) TypedRune(rune) {}

// TypedKey implements fyne.Focusable.
func (it *railItem) TypedKey(e *fyne.KeyEvent) {
	switch e.Name {
	case fyne.KeySpace, fyne.KeyReturn, fyne.KeyEnter:
		it.show(it.page)
	}
}

// MouseIn implements desktop.Hoverable.
func (it *railItem) MouseIn(*desktop.MouseEvent) { it.hovered = true; it.Refresh() }

// MouseMoved implements desktop.Hoverable.
func (it *railItem) MouseMoved(*desktop.MouseEvent) {}

// MouseOut implements desktop.Hoverable.
func (it *railItem) MouseOut() { it.hovered = false; it.Refresh() }

// AccessibilityLabel implements fyne's accessibility.
func (it *railItem) AccessibilityLabel() string { return it.text.Text }

// AccessibilityRole implements fyne's accessibility.
func (it *railItem) AccessibilityRole() fyne.AccessibleRole { return fyne.AccessibleRoleButton }

func (it *railItem) textSize(stacked bool) float32 {
	if stacked {
		return theme.CaptionTextSize()
	}
	return theme.TextSize()
}

func (it *railItem) wide(stacked bool) float32 {
	text := fyne.MeasureText(it.text.Text, it.textSize(stacked), fyne.TextStyle{Bold: true}).Width
	if stacked {
		return text + theme.Padding()*2
	}
	return text + theme.IconInlineSize() + theme.Padding()*8
}

// CreateRenderer implements fyne.Widget.
func (it *railItem) CreateRenderer() fyne.WidgetRenderer {
	r := &railItemRenderer{it}
	r.paint()
	return r
}

type railItemRenderer struct{ it *railItem }

func (r *railItemRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.it.ground, r.it.icon, r.it.text}
}

func (r *railItemRenderer) Destroy() {}

func (r *railItemRenderer) MinSize() fyne.Size {
	it, p := r.it, theme.Padding()
	text := fyne.MeasureText(it.text.Text, it.textSize(it.stacked), fyne.TextStyle{Bold: true})
	if it.stacked {
		return fyne.NewSize(theme.IconInlineSize(), theme.IconInlineSize()+text.Height+4*p)
	}
	return fyne.NewSize(theme.IconInlineSize(), max(theme.IconInlineSize(), text.Height)+4*p)
}

func (r *railItemRenderer) Layout(s fyne.Size) {
	it, p, icon := r.it, theme.Padding(), theme.IconInlineSize()
	it.ground.Resize(s)
	it.icon.Resize(fyne.NewSquareSize(icon))
	text := it.text.MinSize()
	it.text.Resize(text)
	if it.stacked {
		it.icon.Move(fyne.NewPos((s.Width-icon)/2, 1.5*p))
		it.text.Move(fyne.NewPos((s.Width-text.Width)/2, icon+2*p))
		return
	}
	it.icon.Move(fyne.NewPos(3*p, (s.Height-icon)/2))
	it.text.Move(fyne.NewPos(icon+5*p, (s.Height-text.Height)/2))
}

func (r *railItemRenderer) paint() {
	it := r.it
	it.text.Color = theme.Color(theme.ColorNameForeground)
	it.text.TextSize = it.textSize(it.stacked)
	it.text.TextStyle = fyne.TextStyle{Bold: it.selected}
	it.ground.CornerRadius = theme.Size(theme.SizeNameButtonRadius)
	it.ground.FillColor, it.ground.StrokeWidth = color.Transparent, 0
	switch {
	case it.selected:
		it.ground.FillColor = theme.Color(apptheme.ColorSelected)
	case it.hovered:
		it.ground.FillColor = theme.Color(theme.ColorNameHover)
	}
	if it.focused {
		it.ground.StrokeColor, it.ground.StrokeWidth = theme.Color(theme.ColorNamePrimary), 2
	}
}

func (r *railItemRenderer) Refresh() {
	r.paint()
	r.Layout(r.it.Size())
	r.it.ground.Refresh()
	r.it.icon.Refresh()
	r.it.text.Refresh()
}

// A railMark tells at the foot of the rail how all stands, in shape, colour and
// word.
type railMark struct {
	widget.BaseWidget
	mark model.Mark
	icon *canvas.Image
	text *canvas.Text
}

func newRailMark() *railMark {
	m := &railMark{icon: canvas.NewImageFromResource(nil), text: canvas.NewText("", color.Black), mark: -1}
	m.icon.FillMode = canvas.ImageFillContain
	m.ExtendBaseWidget(m)
	return m
}

func (m *railMark) set(k model.Mark) {
	if m.mark != k {
		m.mark = k
		m.Refresh()
	}
}

// CreateRenderer implements fyne.Widget.
func (m *railMark) CreateRenderer() fyne.WidgetRenderer {
	r := &railMarkRenderer{m}
	r.paint()
	return r
}

type railMarkRenderer struct{ m *railMark }

func (r *railMarkRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.m.icon, r.m.text}
}

func (r *railMarkRenderer) Destroy() {}

func (r *railMarkRenderer) MinSize() fyne.Size {
	return fyne.NewSize(theme.IconInlineSize(), theme.IconInlineSize()+fyne.MeasureText("M", theme.CaptionTextSize(), fyne.TextStyle{}).Height+5*theme.Padding())
}

func (r *railMarkRenderer) Layout(s fyne.Size) {
	m, p, icon := r.m, theme.Padding(), theme.IconInlineSize()
	m.icon.Resize(fyne.NewSquareSize(icon))
	m.icon.Move(fyne.NewPos((s.Width-icon)/2, p))
	m.text.Text = kit.Shorten(kit.MarkWord(m.mark), s.Width-2*p, m.text.TextSize, m.text.TextStyle)
	text := m.text.MinSize()
	m.text.Resize(text)
	m.text.Move(fyne.NewPos((s.Width-text.Width)/2, icon+2*p))
}

func (r *railMarkRenderer) paint() {
	m := r.m
	if m.mark < 0 {
		return
	}
	m.icon.Resource = kit.MarkIcon(m.mark)
	m.text.Text = kit.MarkWord(m.mark)
	m.text.TextSize = theme.CaptionTextSize()
	m.text.TextStyle = fyne.TextStyle{Bold: true}
	m.text.Color = theme.Color(apptheme.ColorOf(m.mark))
}

func (r *railMarkRenderer) Refresh() {
	r.paint()
	r.Layout(r.m.Size())
	r.m.icon.Refresh()
	r.m.text.Refresh()
}
