package kit

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/model"
	apptheme "sallyport/app/theme"
)

// An Option is one card of a Choice.
type Option struct {
	ID    string
	Title string
	Text  string // one line of meaning; may be empty
}

// A Choice lets the user take one of several options, each a card with a title
// and a line of meaning. It is a single stop of the focus: the arrow keys move
// within it and Space or Enter takes.
type Choice struct {
	widget.BaseWidget
	// OnChanged is called when the user takes another option than the one that
	// is shown as taken. It shows it itself with SetSelected, once it holds.
	OnChanged func(id string)

	options  []Option
	cards    []*optionCard
	box      *fyne.Container
	selected int // -1: none
	cursor   int
	focused  bool
	disabled bool
}

// NewChoice returns a choice with none of the options taken. changed is called
// with what the user takes; the choice shows it at once.
func NewChoice(options []Option, changed func(id string)) *Choice {
	c := &Choice{options: options, OnChanged: changed, selected: -1}
	var cards []fyne.CanvasObject
	for i, o := range options {
		card := newOptionCard(c, i, o)
		c.cards = append(c.cards, card)
		cards = append(cards, card)
	}
	c.box = container.New(&cardsLayout{min: 15}, cards...)
	c.ExtendBaseWidget(c)
	return c
}

// Stacked sets the cards below each other however wide the choice is.
func (c *Choice) Stacked() *Choice {
	c.box.Layout = columnLayout{gap: 1.5}
	return c
}

// Selected returns the ID of the option that is taken, empty when none is.
func (c *Choice) Selected() string {
	if c.selected < 0 {
		return ""
	}
	return c.options[c.selected].ID
}

// SetSelected shows an option as taken, without calling OnChanged.
func (c *Choice) SetSelected(id string) {
	at := -1
	for i, o := range c.options {
		if o.ID == id {
			at = i
		}
	}
	if at != c.selected {
		c.selected, c.cursor = at, max(0, at)
		c.repaint()
	}
}

// Disable and Enable implement fyne.Disableable.
func (c *Choice) Disable() { c.setDisabled(true) }

// Enable lets the user choose again.
func (c *Choice) Enable() { c.setDisabled(false) }

// Disabled implements fyne.Disableable.
func (c *Choice) Disabled() bool { return c.disabled }

func (c *Choice) setDisabled(d bool) {
	if c.disabled != d {
		c.disabled = d
		c.repaint()
	}
}

func (c *Choice) take(i int) {
	if c.disabled || i == c.selected {
		return
	}
	c.selected, c.cursor = i, i
	c.repaint()
	if c.OnChanged != nil {
		c.OnChanged(c.options[i].ID)
	}
}

func (c *Choice) repaint() {
	for _, card := range c.cards {
		card.Refresh()
	}
}

// FocusGained implements fyne.Focusable.
func (c *Choice) FocusGained() { c.focused = true; c.repaint() }

// FocusLost implements fyne.Focusable.
func (c *Choice) FocusLost() { c.focused = false; c.repaint() }

// TypedRune implements fyne.Focusable.
func (c *Choice) TypedRune(rune) {}

// TypedKey implements fyne.Focusable.
func (c *Choice) TypedKey(e *fyne.KeyEvent) {
	switch e.Name {
	case fyne.KeyLeft, fyne.KeyUp:
		c.move(-1)
	case fyne.KeyRight, fyne.KeyDown:
		c.move(1)
	case fyne.KeySpace:
		c.take(c.cursor)
	case fyne.KeyReturn, fyne.KeyEnter:
		if c.cursor != c.selected {
			c.take(c.cursor)
		} else {
			passOn(c, e)
		}
	default:
		passOn(c, e)
	}
}

func (c *Choice) move(by int) {
	if to := c.cursor + by; to >= 0 && to < len(c.options) {
		c.cursor = to
		c.repaint()
	}
}

// CreateRenderer implements fyne.Widget.
func (c *Choice) CreateRenderer() fyne.WidgetRenderer { return widget.NewSimpleRenderer(c.box) }

// cardsLayout sets cards side by side, equally wide and high, while each has
// min times the text size, and below each other otherwise.
type cardsLayout struct {
	min   float32
	width float32 // of the last Layout
}

func (l *cardsLayout) beside(n int, width float32) bool {
	return width >= float32(n)*l.min*theme.TextSize()+float32(n-1)*theme.Padding()*2
}

func (l *cardsLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	var s fyne.Size
	for i, card := range o {
		m := card.MinSize()
		s.Width = max(s.Width, m.Width)
		if l.beside(len(o), l.width) {
			s.Height = max(s.Height, m.Height)
			continue
		}
		s.Height += m.Height
		if i > 0 {
			s.Height += theme.Padding() * 1.5
		}
	}
	return s
}

func (l *cardsLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	l.width = s.Width
	if !l.beside(len(o), s.Width) {
		columnLayout{gap: 1.5}.Layout(o, s)
		return
	}
	gap := theme.Padding() * 2
	w := (s.Width - gap*float32(len(o)-1)) / float32(len(o))
	h := float32(0)
	for _, card := range o {
		h = max(h, settle(card, w))
	}
	for i, card := range o {
		card.Resize(fyne.NewSize(w, h))
		card.Move(fyne.NewPos(float32(i)*(w+gap), 0))
	}
}

type optionCard struct {
	widget.BaseWidget
	choice  *Choice
	index   int
	title   *widget.Label
	text    *widget.Label
	hovered bool
}

func newOptionCard(c *Choice, index int, o Option) *optionCard {
	card := &optionCard{choice: c, index: index, title: Text(o.Title), text: Muted(o.Text)}
	card.title.TextStyle.Bold = true
	SetShown(card.text, o.Text != "")
	card.ExtendBaseWidget(card)
	return card
}

// Tapped implements fyne.Tappable.
func (o *optionCard) Tapped(*fyne.PointEvent) {
	if cv := fyne.CurrentApp().Driver().CanvasForObject(o); cv != nil && !o.choice.disabled {
		cv.Focus(o.choice)
	}
	o.choice.take(o.index)
}

// MouseIn implements desktop.Hoverable.
func (o *optionCard) MouseIn(*desktop.MouseEvent) { o.hovered = true; o.Refresh() }

// MouseMoved implements desktop.Hoverable.
func (o *optionCard) MouseMoved(*desktop.MouseEvent) {}

// MouseOut implements desktop.Hoverable.
func (o *optionCard) MouseOut() { o.hovered = false; o.Refresh() }

// CreateRenderer implements fyne.Widget.
func (o *optionCard) CreateRenderer() fyne.WidgetRenderer {
	r := &optionRenderer{o: o, dot: canvas.NewCircle(color.Transparent), ring: canvas.NewCircle(color.Transparent)}
	r.panel = NewPanel(container.New(radioLayout{}, r.ring, r.dot, Tight(o.title, o.text)))
	r.panel.Tight = true
	r.paint()
	return r
}

type radioLayout struct{}

func (radioLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	return o[2].MinSize().AddWidthHeight(theme.TextSize()+theme.InnerPadding(), 0)
}

func (radioLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	side, inner := theme.TextSize(), theme.InnerPadding()
	line := fyne.MeasureText("M", theme.TextSize(), fyne.TextStyle{Bold: true}).Height
	at := fyne.NewPos(inner*1.25, inner+(line-side)/2)
	o[0].Resize(fyne.NewSquareSize(side))
	o[0].Move(at)
	o[1].Resize(fyne.NewSquareSize(side / 2))
	o[1].Move(at.AddXY(side/4, side/4))
	o[2].Move(fyne.NewPos(side+inner, 0))
	o[2].Resize(fyne.NewSize(s.Width-side-inner, s.Height))
}

type optionRenderer struct {
	o         *optionCard
	panel     *Panel
	ring, dot *canvas.Circle
}

func (r *optionRenderer) paint() {
	th, v := r.o.Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	c := r.o.choice
	taken := c.selected == r.o.index
	p := r.panel
	p.Fill = apptheme.ColorSurface
	p.Stroke, p.StrokeAlpha, p.StrokeWidth = theme.ColorNameInputBorder, 0, 1
	ring := th.Color(theme.ColorNamePlaceHolder, v)
	r.dot.FillColor = color.Transparent
	if taken {
		p.Fill = apptheme.TintOf(model.Busy)
		p.Stroke = theme.ColorNamePrimary
		ring = th.Color(theme.ColorNamePrimary, v)
		r.dot.FillColor = ring
	} else if r.o.hovered && !c.disabled {
		p.Fill = theme.ColorNameHover
	}
	if c.focused && c.cursor == r.o.index {
		p.Stroke, p.StrokeWidth = theme.ColorNamePrimary, 2.5
	}
	r.ring.StrokeColor, r.ring.StrokeWidth = ring, 1.5
}

func (r *optionRenderer) Layout(s fyne.Size) { r.panel.Resize(s) }

func (r *optionRenderer) MinSize() fyne.Size { return r.panel.MinSize() }

func (r *optionRenderer) Refresh() {
	r.paint()
	r.panel.Refresh()
	r.ring.Refresh()
	r.dot.Refresh()
}

func (r *optionRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.panel} }

func (r *optionRenderer) Destroy() {}
