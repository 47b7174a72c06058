package kit

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	apptheme "sallyport/app/theme"
)

// A Panel is a rounded surface with something on it.
type Panel struct {
	widget.BaseWidget
	Content fyne.CanvasObject
	// Fill and Stroke are names of the theme; an empty name draws nothing.
	Fill, Stroke fyne.ThemeColorName
	// FillAlpha and StrokeAlpha thin a colour out; 0 means as it is.
	FillAlpha, StrokeAlpha uint8
	StrokeWidth            float32
	Radius                 float32 // 0: that of cards
	Tight                  bool    // no padding around the content
	Square                 bool    // no rounded corners
}

// NewPanel returns the surface of a card.
func NewPanel(content fyne.CanvasObject) *Panel {
	p := &Panel{Content: content, Fill: apptheme.ColorSurface, Stroke: theme.ColorNameSeparator, StrokeWidth: 1}
	p.ExtendBaseWidget(p)
	return p
}

// CardBox sets objects below each other on a card.
func CardBox(objects ...fyne.CanvasObject) *Panel { return NewPanel(Column(objects...)) }

// Framed gives a drop-down list the frame that an entry has, and which Fyne does
// not draw around it: on a card nobody would see that it can be opened.
func Framed(s *widget.Select) *Panel {
	p := NewPanel(s)
	p.Tight, p.Fill, p.Stroke = true, "", theme.ColorNameInputBorder
	p.Radius = theme.InputRadiusSize()
	return p
}

// CreateRenderer implements fyne.Widget.
func (p *Panel) CreateRenderer() fyne.WidgetRenderer {
	r := &panelRenderer{p: p, rect: canvas.NewRectangle(color.Transparent)}
	r.paint()
	return r
}

type panelRenderer struct {
	p    *Panel
	rect *canvas.Rectangle
}

func (r *panelRenderer) paint() {
	th, v := r.p.Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	r.rect.FillColor = thin(th, v, r.p.Fill, r.p.FillAlpha)
	r.rect.StrokeColor = thin(th, v, r.p.Stroke, r.p.StrokeAlpha)
	r.rect.StrokeWidth = r.p.StrokeWidth
	r.rect.CornerRadius = r.p.Radius
	switch {
	case r.p.Square:
		r.rect.CornerRadius = 0
	case r.p.Radius == 0:
		r.rect.CornerRadius = th.Size(theme.SizeNameCardRadius)
	}
}

func thin(th fyne.Theme, v fyne.ThemeVariant, name fyne.ThemeColorName, alpha uint8) color.Color {
	if name == "" {
		return color.Transparent
	}
	c := th.Color(name, v)
	if alpha == 0 {
		return c
	}
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	n.A = uint8(uint16(n.A) * uint16(alpha) / 255)
	return n
}

func (r *panelRenderer) pad() float32 {
	if r.p.Tight {
		return 0
	}
	return r.p.Theme().Size(theme.SizeNamePadding) * 2
}

func (r *panelRenderer) Layout(s fyne.Size) {
	r.rect.Resize(s)
	if r.p.Content != nil {
		p := r.pad()
		r.p.Content.Move(fyne.NewPos(p, p))
		place(r.p.Content, s.SubtractWidthHeight(2*p, 2*p))
	}
}

func (r *panelRenderer) MinSize() fyne.Size {
	p := 2 * r.pad()
	if r.p.Content == nil {
		return fyne.NewSize(p, p)
	}
	return r.p.Content.MinSize().AddWidthHeight(p, p)
}

func (r *panelRenderer) Refresh() {
	r.paint()
	r.rect.Refresh()
	r.Layout(r.p.Size())
}

func (r *panelRenderer) Objects() []fyne.CanvasObject {
	if r.p.Content == nil {
		return []fyne.CanvasObject{r.rect}
	}
	return []fyne.CanvasObject{r.rect, r.p.Content}
}

func (r *panelRenderer) Destroy() {}
