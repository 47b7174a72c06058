package wizard

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	apptheme "sallyport/app/theme"
	"sallyport/app/ui/kit"
)

// A sheet is a page over the whole window, for a flow that needs the user's
// mind and the room: a title, a rail beside the body where there is place for
// it, and buttons below.
type sheet struct {
	widget.BaseWidget
	owner             any    // the flow that has opened it
	onEscape, onEnter func() // keys that nothing with the focus had a use for

	env    *kit.Env
	back   *canvas.Rectangle
	bar    *canvas.Rectangle
	title  fyne.CanvasObject
	rail   fyne.CanvasObject // nil: none
	narrow fyne.CanvasObject // instead of the rail where there is no place for it
	scroll *container.Scroll
	foot   fyne.CanvasObject
	before func(*fyne.KeyEvent)
}

func newSheet(env *kit.Env, title string, rail, narrow, body fyne.CanvasObject, buttons ...fyne.CanvasObject) *sheet {
	s := &sheet{env: env, rail: rail, narrow: narrow, title: kit.Subheading(title),
		back: canvas.NewRectangle(color.Transparent), bar: canvas.NewRectangle(color.Transparent),
		scroll: container.NewVScroll(container.New(insetLayout{}, body)), foot: kit.EndFlow(buttons...)}
	s.ExtendBaseWidget(s)
	return s
}

// open shows the sheet above everything else in the window.
func (s *sheet) open() {
	c := s.env.Window.Canvas()
	s.before = c.OnTypedKey()
	c.SetOnTypedKey(func(e *fyne.KeyEvent) {
		switch {
		case e.Name == fyne.KeyEscape && s.onEscape != nil:
			s.onEscape()
		case (e.Name == fyne.KeyReturn || e.Name == fyne.KeyEnter) && s.onEnter != nil:
			s.onEnter()
		}
	})
	c.Overlays().Add(s)
	s.Resize(c.Size())
}

// close takes the sheet away.
func (s *sheet) close() {
	c := s.env.Window.Canvas()
	c.Overlays().Remove(s)
	c.SetOnTypedKey(s.before)
}

// relayout lays the body out again after its texts have changed.
func (s *sheet) relayout() {
	s.scroll.Content.Refresh()
	s.foot.Refresh()
	s.scroll.Refresh()
	s.Refresh()
}

// CreateRenderer implements fyne.Widget.
func (s *sheet) CreateRenderer() fyne.WidgetRenderer {
	r := &sheetRenderer{s}
	r.paint()
	return r
}

type sheetRenderer struct{ s *sheet }

func (r *sheetRenderer) paint() {
	th, v := r.s.Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	r.s.back.FillColor = th.Color(theme.ColorNameBackground, v)
	r.s.bar.FillColor = th.Color(apptheme.ColorRail, v)
}

// railWidth is that of the rail, 0 when the sheet is too narrow for one.
func (r *sheetRenderer) railWidth(width float32) float32 {
	w := 14 * theme.TextSize()
	if r.s.rail == nil || width < 50*theme.TextSize() {
		return 0
	}
	return max(w, r.s.rail.MinSize().Width)
}

func (r *sheetRenderer) Layout(size fyne.Size) {
	s, pad := r.s, theme.Padding()*4
	s.back.Resize(size)
	rail := r.railWidth(size.Width)
	s.bar.Resize(fyne.NewSize(rail, size.Height))
	place := func(o fyne.CanvasObject, x, y, w float32) float32 {
		h := o.MinSize().Height
		o.Resize(fyne.NewSize(w, h))
		if again := o.MinSize().Height; again != h {
			h = again
			o.Resize(fyne.NewSize(w, h))
		}
		o.Move(fyne.NewPos(x, y))
		return h
	}
	y := pad / 2
	if rail > 0 {
		kit.SetShown(s.rail, true)
		s.rail.Move(fyne.NewPos(0, pad/2))
		s.rail.Resize(fyne.NewSize(rail, size.Height-pad))
	} else if s.rail != nil {
		kit.SetShown(s.rail, false)
	}
	inner := size.Width - rail - 2*pad
	y += place(s.title, rail+pad, y, inner)
	if s.narrow != nil {
		if kit.SetShown(s.narrow, rail == 0); rail == 0 {
			y += place(s.narrow, rail+pad, y, inner)
		}
	}
	foot := s.foot.MinSize().Height
	place(s.foot, rail+pad, 0, inner)
	foot = max(foot, s.foot.MinSize().Height)
	s.foot.Move(fyne.NewPos(rail+pad, size.Height-pad/2-foot))
	s.scroll.Move(fyne.NewPos(rail+pad-inset(), y))
	s.scroll.Resize(fyne.NewSize(inner+pad/2+inset(), max(0, size.Height-y-foot-pad)))
}

func (r *sheetRenderer) MinSize() fyne.Size { return fyne.NewSize(1, 1) }

func (r *sheetRenderer) Refresh() {
	r.paint()
	r.s.back.Refresh()
	r.s.bar.Refresh()
	r.Layout(r.s.Size())
}

func (r *sheetRenderer) Objects() []fyne.CanvasObject {
	out := []fyne.CanvasObject{r.s.back, r.s.bar, r.s.title}
	for _, o := range []fyne.CanvasObject{r.s.rail, r.s.narrow} {
		if o != nil {
			out = append(out, o)
		}
	}
	return append(out, r.s.scroll, r.s.foot)
}

func (r *sheetRenderer) Destroy() {}

// inset is the room for the outline of what has the focus, which a scroll
// would cut.
func inset() float32 { return theme.Padding() }

// insetLayout leaves room around its content for outlines, and at the right
// for the bar of the scroll.
type insetLayout struct{}

func (insetLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	return o[0].MinSize().AddWidthHeight(inset()+2*theme.Padding(), 2*inset())
}

func (insetLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	o[0].Move(fyne.NewPos(inset(), inset()))
	o[0].Resize(s.SubtractWidthHeight(inset()+2*theme.Padding(), 2*inset()))
}

// steps is the rail of a wizard: where the user is, and a way back to what is
// done.
type steps struct {
	box   *fyne.Container
	rows  []*stepRow
	line  *widget.Label // the same in a line
	total int
}

type stepRow struct {
	widget.BaseWidget
	number int
	title  string
	state  stepState
	tapped func()
}

type stepState int

const (
	stepAhead stepState = iota
	stepDone
	stepHere
	stepWrong
)

func newSteps(titles []string, tapped func(int)) *steps {
	s := &steps{box: container.NewVBox(), line: kit.Muted(""), total: len(titles)}
	for i, t := range titles {
		row := &stepRow{number: i + 1, title: t, tapped: func() { tapped(i) }}
		row.ExtendBaseWidget(row)
		s.rows = append(s.rows, row)
		s.box.Add(row)
	}
	return s
}

func (s *steps) set(i int, st stepState) {
	if s.rows[i].state != st {
		s.rows[i].state = st
		s.rows[i].Refresh()
	}
}

// Tapped implements fyne.Tappable.
func (r *stepRow) Tapped(*fyne.PointEvent) {
	if r.state == stepDone || r.state == stepWrong {
		r.tapped()
	}
}

// CreateRenderer implements fyne.Widget.
func (r *stepRow) CreateRenderer() fyne.WidgetRenderer {
	o := &stepRenderer{r: r, back: kit.NewPanel(nil), icon: canvas.NewImageFromResource(nil), number: canvas.NewText("", nil), title: kit.Text(r.title)}
	o.icon.FillMode = canvas.ImageFillContain
	o.number.Alignment = fyne.TextAlignCenter
	o.paint()
	return o
}

type stepRenderer struct {
	r      *stepRow
	back   *kit.Panel
	icon   *canvas.Image
	number *canvas.Text
	title  *widget.Label
}

func (o *stepRenderer) paint() {
	th, v := o.r.Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	o.back.Stroke, o.back.Fill = "", ""
	o.title.Importance = widget.LowImportance
	o.title.TextStyle.Bold = o.r.state == stepHere
	o.number.TextSize = th.Size(theme.SizeNameText)
	o.number.TextStyle.Bold = o.r.state == stepHere
	o.number.Color = th.Color(theme.ColorNamePlaceHolder, v)
	o.number.Text = string(rune('0' + o.r.number))
	switch o.r.state {
	case stepHere:
		o.back.Fill = apptheme.ColorSelected
		o.title.Importance = widget.MediumImportance
		o.number.Color = th.Color(theme.ColorNameForeground, v)
	case stepDone:
		o.title.Importance = widget.MediumImportance
		o.number.Text = ""
		o.icon.Resource = theme.NewSuccessThemedResource(theme.ConfirmIcon())
	case stepWrong:
		o.title.Importance = widget.MediumImportance
		o.number.Text = ""
		o.icon.Resource = theme.NewErrorThemedResource(theme.ErrorIcon())
	}
	kit.SetShown(o.icon, o.number.Text == "")
	kit.SetShown(o.number, o.number.Text != "")
}

func (o *stepRenderer) side() float32 { return theme.IconInlineSize() }

func (o *stepRenderer) Layout(s fyne.Size) {
	pad := theme.Padding() * 2
	o.back.Move(fyne.NewPos(pad, 0))
	o.back.Resize(fyne.NewSize(s.Width-2*pad, s.Height))
	y := (s.Height - o.side()) / 2
	o.icon.Move(fyne.NewPos(2*pad, y))
	o.icon.Resize(fyne.NewSquareSize(o.side()))
	h := o.number.MinSize().Height
	o.number.Move(fyne.NewPos(2*pad, (s.Height-h)/2))
	o.number.Resize(fyne.NewSize(o.side(), h))
	o.title.Move(fyne.NewPos(2*pad+o.side(), 0))
	o.title.Resize(fyne.NewSize(s.Width-3*pad-o.side(), s.Height))
}

func (o *stepRenderer) MinSize() fyne.Size {
	return fyne.NewSize(12*theme.TextSize(), max(o.title.MinSize().Height, o.side()+theme.Padding()*2))
}

func (o *stepRenderer) Refresh() {
	o.paint()
	o.Layout(o.r.Size())
	o.back.Refresh()
	o.icon.Refresh()
	o.number.Refresh()
	o.title.Refresh()
}

func (o *stepRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{o.back, o.icon, o.number, o.title}
}

func (o *stepRenderer) Destroy() {}
