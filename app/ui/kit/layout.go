package kit

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// Column sets objects below each other, each as wide as the column. Wrapped
// text gets the height that it needs at that width at once.
func Column(objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(columnLayout{gap: 1}, objects...)
}

// Tight is a Column of text without the air that labels carry around
// themselves: lines that belong together.
func Tight(objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(columnLayout{tight: true}, objects...)
}

// Spread is a Column with more air between its objects: sections of a page.
func Spread(objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(columnLayout{gap: 3}, objects...)
}

// Section is a Column in which cards and buttons begin where the text of its
// labels begins: labels carry air at their sides.
func Section(objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(columnLayout{gap: 1, inset: true}, objects...)
}

// Sections is a Section with more air between its objects.
func Sections(objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(columnLayout{gap: 4, inset: true}, objects...)
}

type columnLayout struct {
	gap   float32 // in paddings
	tight bool
	inset bool // of what is not text
}

// side returns the air to leave at the sides of o.
func (l columnLayout) side(o fyne.CanvasObject) float32 {
	if !l.inset {
		return 0
	}
	switch o := o.(type) {
	case *widget.Label, *Fields, *Busy:
		return 0
	case *fyne.Container:
		if _, ok := o.Layout.(*flowLayout); !ok {
			return 0 // it has its own
		}
	}
	return theme.InnerPadding()
}

func (l columnLayout) space() float32 {
	if l.tight {
		return theme.Padding()/2 - theme.InnerPadding()*2 + theme.Padding()/2
	}
	return l.gap * theme.Padding()
}

func (l columnLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var s fyne.Size
	n := 0
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		m := o.MinSize()
		s.Width = max(s.Width, m.Width+2*l.side(o))
		s.Height += m.Height
		n++
	}
	if n > 1 {
		s.Height += float32(n-1) * l.space()
	}
	return s
}

func (l columnLayout) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	y := float32(0)
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		side := l.side(o)
		o.Move(fyne.NewPos(side, y))
		y += settle(o, size.Width-2*side) + l.space()
	}
}

// settle gives o a width, and returns the height it then wants: text that wraps
// knows only once it has its width.
func settle(o fyne.CanvasObject, width float32) float32 {
	h := o.MinSize().Height
	place(o, fyne.NewSize(width, h))
	if again := o.MinSize().Height; again != h {
		h = again
		o.Resize(fyne.NewSize(width, h))
	}
	return h
}

// place resizes o. A container that has its size already is laid out all the
// same: what is in it may have changed places without changing the whole.
func place(o fyne.CanvasObject, s fyne.Size) {
	c, ok := o.(*fyne.Container)
	if ok && c.Layout != nil && c.Size() == s {
		c.Layout.Layout(c.Objects, s)
		return
	}
	o.Resize(s)
}

// Under sets content under top, which is as high as it needs to be at the width
// that there is; content gets the rest.
func Under(top, content fyne.CanvasObject) *fyne.Container {
	return container.New(underLayout{}, top, content)
}

type underLayout struct{}

func (underLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	a, b := o[0].MinSize(), o[1].MinSize()
	return fyne.NewSize(max(a.Width, b.Width), a.Height+b.Height)
}

func (underLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	h := float32(0)
	if o[0].Visible() {
		o[0].Move(fyne.Position{})
		h = settle(o[0], s.Width)
	}
	o[1].Move(fyne.NewPos(0, h))
	o[1].Resize(fyne.NewSize(s.Width, max(0, s.Height-h)))
}

// Flow sets objects beside each other and breaks the line when they do not fit:
// buttons that are long in some language.
func Flow(objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(&flowLayout{}, objects...)
}

// EndFlow is a Flow whose lines end at the right edge: the buttons of a dialog.
func EndFlow(objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(&flowLayout{end: true}, objects...)
}

type flowLayout struct {
	end   bool
	width float32 // of the last Layout: it decides the height
}

func (l *flowLayout) lines(objects []fyne.CanvasObject, width float32) [][]fyne.CanvasObject {
	var lines [][]fyne.CanvasObject
	var line []fyne.CanvasObject
	x := float32(0)
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		w := o.MinSize().Width
		if len(line) > 0 && width > 0 && x+w > width+0.5 {
			lines, line, x = append(lines, line), nil, 0
		}
		line = append(line, o)
		x += w + flowGap()
	}
	if len(line) > 0 {
		lines = append(lines, line)
	}
	return lines
}

func (l *flowLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var s fyne.Size
	for i, line := range l.lines(objects, l.width) {
		h := float32(0)
		for _, o := range line {
			m := o.MinSize()
			s.Width, h = max(s.Width, m.Width), max(h, m.Height)
		}
		if i > 0 {
			h += flowGap()
		}
		s.Height += h
	}
	return s
}

func (l *flowLayout) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	l.width = size.Width
	y := float32(0)
	for _, line := range l.lines(objects, size.Width) {
		x, h := float32(0), float32(0)
		for _, o := range line {
			m := o.MinSize()
			x, h = x+m.Width+flowGap(), max(h, m.Height)
		}
		if l.end {
			x = size.Width - (x - flowGap())
		} else {
			x = 0
		}
		for _, o := range line {
			m := o.MinSize()
			o.Resize(fyne.NewSize(m.Width, h))
			o.Move(fyne.NewPos(x, y))
			x += m.Width + flowGap()
		}
		y += h + flowGap()
	}
}

// flowGap is the air between buttons.
func flowGap() float32 { return theme.Padding() * 2 }
