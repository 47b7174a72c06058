package kit

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// A Tab is one of the pages of Tabs.
type Tab struct {
	ID, Title string
	Content   fyne.CanvasObject
}

// Tabs shows one of several pages. Unlike Fyne's own, it can be reached by
// keyboard: its bar is a single stop of the focus, and the arrow keys change
// the page. Titles that do not fit beside each other go on in another line.
type Tabs struct {
	widget.BaseWidget
	// OnChanged is called when another page has come to the front.
	OnChanged func(id string)

	tabs     []Tab
	bar      *tabBar
	body     *fyne.Container
	selected int
}

// NewTabs returns tabs with the first in front.
func NewTabs(tabs ...Tab) *Tabs {
	t := &Tabs{tabs: tabs, body: container.NewStack()}
	t.bar = newTabBar(t)
	for i, tab := range tabs {
		if i > 0 {
			tab.Content.Hide()
		}
		t.body.Add(tab.Content)
	}
	t.ExtendBaseWidget(t)
	return t
}

// Selected returns the ID of the page in front.
func (t *Tabs) Selected() string { return t.tabs[t.selected].ID }

// Select brings a page to the front.
func (t *Tabs) Select(id string) {
	if i := slices.IndexFunc(t.tabs, func(tab Tab) bool { return tab.ID == id }); i >= 0 {
		t.show(i)
	}
}

// SetTitle changes the title of a page.
func (t *Tabs) SetTitle(id, title string) {
	for i := range t.tabs {
		if t.tabs[i].ID == id && t.tabs[i].Title != title {
			t.tabs[i].Title = title
			t.bar.Refresh()
		}
	}
}

func (t *Tabs) show(i int) {
	if i == t.selected {
		return
	}
	t.tabs[t.selected].Content.Hide()
	t.selected = i
	t.tabs[i].Content.Show()
	t.bar.Refresh()
	if t.OnChanged != nil {
		t.OnChanged(t.tabs[i].ID)
	}
}

// CreateRenderer implements fyne.Widget.
func (t *Tabs) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(container.New(tabsLayout{}, t.bar, widget.NewSeparator(), t.body))
}

type tabsLayout struct{}

func (tabsLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	bar, body := o[0].MinSize(), o[2].MinSize()
	return fyne.NewSize(max(bar.Width, body.Width), bar.Height+body.Height+theme.Padding()*3)
}

func (tabsLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	y := settle(o[0], s.Width)
	o[1].Move(fyne.NewPos(0, y))
	o[1].Resize(fyne.NewSize(s.Width, theme.SeparatorThicknessSize()))
	y += theme.Padding() * 2
	o[2].Move(fyne.NewPos(0, y))
	o[2].Resize(fyne.NewSize(s.Width, max(0, s.Height-y)))
}

// A tabBar is the row of titles.
type tabBar struct {
	widget.BaseWidget
	t       *Tabs
	titles  []*tabTitle
	box     *fyne.Container
	focused bool
}

func newTabBar(t *Tabs) *tabBar {
	b := &tabBar{t: t}
	var objects []fyne.CanvasObject
	for i := range t.tabs {
		title := &tabTitle{bar: b, i: i}
		title.ExtendBaseWidget(title)
		b.titles, objects = append(b.titles, title), append(objects, title)
	}
	b.box = Flow(objects...)
	b.ExtendBaseWidget(b)
	return b
}

// Refresh implements fyne.Widget.
func (b *tabBar) Refresh() {
	for _, t := range b.titles {
		t.Refresh()
	}
	b.box.Refresh()
}

// CreateRenderer implements fyne.Widget.
func (b *tabBar) CreateRenderer() fyne.WidgetRenderer { return widget.NewSimpleRenderer(b.box) }

// FocusGained implements fyne.Focusable.
func (b *tabBar) FocusGained() { b.focused = true; b.Refresh() }

// FocusLost implements fyne.Focusable.
func (b *tabBar) FocusLost() { b.focused = false; b.Refresh() }

// TypedRune implements fyne.Focusable.
func (b *tabBar) TypedRune(rune) {}

// TypedKey implements fyne.Focusable.
func (b *tabBar) TypedKey(e *fyne.KeyEvent) {
	last := len(b.t.tabs) - 1
	switch e.Name {
	case fyne.KeyLeft, fyne.KeyUp:
		b.t.show(max(0, b.t.selected-1))
	case fyne.KeyRight, fyne.KeyDown:
		b.t.show(min(last, b.t.selected+1))
	case fyne.KeyHome:
		b.t.show(0)
	case fyne.KeyEnd:
		b.t.show(last)
	default:
		passOn(b, e)
	}
}

// A tabTitle is the title of a page.
type tabTitle struct {
	widget.BaseWidget
	bar     *tabBar
	i       int
	hovered bool
}

// Tapped implements fyne.Tappable.
func (t *tabTitle) Tapped(*fyne.PointEvent) {
	t.bar.t.show(t.i)
	if c := fyne.CurrentApp().Driver().CanvasForObject(t.bar); c != nil {
		c.Focus(t.bar)
	}
}

// MouseIn implements desktop.Hoverable.
func (t *tabTitle) MouseIn(*desktop.MouseEvent) { t.hovered = true; t.Refresh() }

// MouseMoved implements desktop.Hoverable.
func (t *tabTitle) MouseMoved(*desktop.MouseEvent) {}

// MouseOut implements desktop.Hoverable.
func (t *tabTitle) MouseOut() { t.hovered = false; t.Refresh() }

// AccessibilityLabel implements fyne.Accessible.
func (t *tabTitle) AccessibilityLabel() string { return t.bar.t.tabs[t.i].Title }

// AccessibilityRole implements fyne.Accessible.
func (t *tabTitle) AccessibilityRole() fyne.AccessibleRole { return fyne.AccessibleRoleButton }

// CreateRenderer implements fyne.Widget.
func (t *tabTitle) CreateRenderer() fyne.WidgetRenderer {
	r := &tabTitleRenderer{t: t, ground: canvas.NewRectangle(nil), line: canvas.NewRectangle(nil), text: canvas.NewText("", nil)}
	r.paint()
	return r
}

type tabTitleRenderer struct {
	t            *tabTitle
	ground, line *canvas.Rectangle
	text         *canvas.Text
}

func (r *tabTitleRenderer) paint() {
	th, v := r.t.Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	tabs := r.t.bar.t
	front := tabs.selected == r.t.i
	r.text.Text = tabs.tabs[r.t.i].Title
	r.text.TextSize = th.Size(theme.SizeNameText)
	r.text.TextStyle.Bold = front
	r.text.Color = th.Color(theme.ColorNameForeground, v)
	r.line.FillColor = th.Color(theme.ColorNamePrimary, v)
	r.line.CornerRadius = th.Size(theme.SizeNamePadding) / 2
	r.line.Hidden = !front
	r.ground.CornerRadius = th.Size(theme.SizeNameInputRadius)
	r.ground.FillColor = th.Color(theme.ColorNameHover, v)
	if front && r.t.bar.focused {
		r.ground.FillColor = th.Color(theme.ColorNameFocus, v)
	}
	r.ground.Hidden = !(r.t.hovered || front && r.t.bar.focused)
}

// MinSize is as wide as the title in bold, so that nothing moves when another
// page comes to the front.
func (r *tabTitleRenderer) MinSize() fyne.Size {
	th := r.t.Theme()
	m := fyne.MeasureText(r.text.Text, th.Size(theme.SizeNameText), fyne.TextStyle{Bold: true})
	return m.AddWidthHeight(th.Size(theme.SizeNameInnerPadding)*2, th.Size(theme.SizeNameInnerPadding)*1.5)
}

func (r *tabTitleRenderer) Layout(s fyne.Size) {
	m := r.text.MinSize()
	r.ground.Resize(s)
	r.text.Move(fyne.NewPos((s.Width-m.Width)/2, (s.Height-m.Height)/2))
	r.text.Resize(m)
	h := max(2, r.t.Theme().Size(theme.SizeNamePadding)*0.75)
	r.line.Move(fyne.NewPos(0, s.Height-h))
	r.line.Resize(fyne.NewSize(s.Width, h))
}

func (r *tabTitleRenderer) Refresh() {
	r.paint()
	r.Layout(r.t.Size())
	canvas.Refresh(r.t)
}

func (r *tabTitleRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.ground, r.line, r.text}
}

func (r *tabTitleRenderer) Destroy() {}
