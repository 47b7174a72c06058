package connections

import (
	"image"
	"image/color"
	"math"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	apptheme "sallyport/app/theme"
)

// A graph draws the rates of a span as two lines: received, solid and filled,
// and sent, dashed. It is one image, made anew only when a sample changes.
type graph struct {
	widget.BaseWidget
	samples []model.Sample
	span    model.Span
	top     float64 // the rate at the upper edge

	raster *canvas.Raster
	scale  [3]*canvas.Text // top, middle, zero
	begin  *canvas.Text
	end    *canvas.Text
}

func newGraph() *graph {
	g := &graph{}
	g.raster = canvas.NewRaster(g.draw)
	for i := range g.scale {
		g.scale[i] = canvas.NewText("", nil)
	}
	g.begin, g.end = canvas.NewText("", nil), canvas.NewText("", nil)
	g.clear()
	g.ExtendBaseWidget(g)
	return g
}

// clear forgets what is drawn: the next samples are those of something else.
func (g *graph) clear() { g.samples, g.top = nil, 0 }

// show draws samples. What is drawn already costs a comparison.
func (g *graph) show(samples []model.Sample, span model.Span) {
	if g.span == span && slices.EqualFunc(g.samples, samples, func(a, b model.Sample) bool { return a.In == b.In && a.Out == b.Out }) {
		return
	}
	g.samples, g.span = samples, span
	g.top = nice(peak(samples))
	g.Refresh()
}

func peak(samples []model.Sample) float64 {
	p := 0.0
	for _, s := range samples {
		p = max(p, s.In, s.Out)
	}
	return p
}

// nice returns the next of 1, 2 or 5 times a power of ten, that the scale is
// labelled in round numbers; a line at rest does not fill the graph.
func nice(p float64) float64 {
	const least = 1000
	if p <= least || math.IsNaN(p) || math.IsInf(p, 0) {
		return least
	}
	ten := math.Pow(10, math.Floor(math.Log10(p)))
	for _, m := range []float64{1, 2, 5, 10} {
		if p <= m*ten {
			return m * ten
		}
	}
	return 10 * ten
}

// lineColor is the colour of a line.
func lineColor(sent bool) color.NRGBA {
	name := theme.ColorNamePrimary
	if sent {
		name = apptheme.ColorSubtle
	}
	return color.NRGBAModel.Convert(theme.Color(name)).(color.NRGBA)
}

// draw makes the image.
func (g *graph) draw(w, h int) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, max(1, w), max(1, h)))
	if w < 2 || h < 2 {
		return img
	}
	px := float64(w) / float64(max(1, g.raster.Size().Width)) // pixels of one unit of Fyne
	grid := color.NRGBAModel.Convert(theme.Color(theme.ColorNameSeparator)).(color.NRGBA)
	thick := max(1, int(px+0.5))
	for i := range g.scale {
		y0 := (h - thick) * i / (len(g.scale) - 1)
		for y := y0; y < y0+thick; y++ {
			for x := range w {
				img.SetNRGBA(x, y, grid)
			}
		}
	}
	if len(g.samples) < 2 {
		return img
	}
	g.line(img, px, false)
	g.line(img, px, true)
	return img
}

// line draws one of the lines, column by column: each column holds the part of
// the line that is above it, at least as high as the line is thick.
func (g *graph) line(img *image.NRGBA, px float64, sent bool) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	half := px * 0.9 // of the thickness
	c := lineColor(sent)
	at := func(x float64) float64 { // the height of the line
		f := x / float64(w-1) * float64(len(g.samples)-1)
		i := min(max(0, int(f)), len(g.samples)-2)
		f -= float64(i)
		rate := func(s model.Sample) float64 {
			if sent {
				return s.Out
			}
			return s.In
		}
		v := rate(g.samples[i])*(1-f) + rate(g.samples[i+1])*f
		v = min(max(0, v/g.top), 1)
		return half + (1-v)*(float64(h)-2*half)
	}
	dash := max(2, 5*px)
	for x := range w {
		a, b := at(math.Max(0, float64(x)-0.5)), at(math.Min(float64(w-1), float64(x)+0.5))
		top, bottom := min(a, b)-half, max(a, b)+half
		if !sent {
			for y := int(max(0, top)); y < h; y++ {
				over(img, x, y, c, 0.14*fraction(float64(y), top, float64(h)))
			}
		}
		if sent && int(float64(x)/dash)%2 == 1 {
			continue
		}
		for y := int(max(0, top)); y < h && float64(y) < bottom; y++ {
			over(img, x, y, c, fraction(float64(y), top, bottom))
		}
	}
}

// fraction is how much of the pixel at y is between top and bottom.
func fraction(y, top, bottom float64) float64 { return max(0, min(y+1, bottom)-max(y, top)) }

// over mixes a colour over a pixel.
func over(img *image.NRGBA, x, y int, c color.NRGBA, alpha float64) {
	i := img.PixOffset(x, y)
	p := img.Pix[i : i+4 : i+4]
	a := alpha * float64(c.A) / 255
	below := float64(p[3]) / 255 * (1 - a)
	sum := a + below
	if sum <= 0 {
		return
	}
	mix := func(over, under uint8) uint8 { return uint8((float64(over)*a+float64(under)*below)/sum + 0.5) }
	p[0], p[1], p[2], p[3] = mix(c.R, p[0]), mix(c.G, p[1]), mix(c.B, p[2]), uint8(sum*255+0.5)
}

// CreateRenderer implements fyne.Widget.
func (g *graph) CreateRenderer() fyne.WidgetRenderer {
	r := &graphRenderer{g}
	r.label()
	return r
}

type graphRenderer struct{ g *graph }

// label writes the scale and the ends of the time.
func (r *graphRenderer) label() {
	g := r.g
	th, v := g.Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	top := g.top
	if top == 0 {
		top = nice(0)
	}
	texts := map[*canvas.Text]string{g.scale[0]: i18n.Rate(top), g.scale[1]: i18n.Rate(top / 2), g.scale[2]: "0", g.end: i18n.T("connections.now")}
	switch g.span {
	case model.Minute:
		texts[g.begin] = i18n.T("connections.ago.minute")
	case model.TenMinutes:
		texts[g.begin] = i18n.T("connections.ago.ten")
	default:
		texts[g.begin] = i18n.T("connections.ago.hour")
	}
	for t, text := range texts {
		t.Text, t.TextSize, t.Color = text, th.Size(theme.SizeNameCaptionText), th.Color(apptheme.ColorSubtle, v)
	}
}

func (r *graphRenderer) MinSize() fyne.Size {
	return fyne.NewSize(theme.TextSize()*14, theme.TextSize()*9.5)
}

func (r *graphRenderer) Layout(s fyne.Size) {
	g := r.g
	pad := theme.Padding() * 2
	left, line := float32(0), g.end.MinSize().Height
	for _, t := range g.scale {
		left = max(left, t.MinSize().Width)
	}
	left = max(left, theme.CaptionTextSize()*4.5) + pad
	plot := fyne.NewSize(max(1, s.Width-left), max(1, s.Height-line*1.5-pad/2))
	g.raster.Move(fyne.NewPos(left, line/2))
	g.raster.Resize(plot)
	for i, t := range g.scale {
		m := t.MinSize()
		t.Resize(m)
		t.Move(fyne.NewPos(left-pad-m.Width, plot.Height*float32(i)/float32(len(g.scale)-1)))
	}
	y := line/2 + plot.Height + pad/2
	g.begin.Resize(g.begin.MinSize())
	g.begin.Move(fyne.NewPos(left, y))
	m := g.end.MinSize()
	g.end.Resize(m)
	g.end.Move(fyne.NewPos(s.Width-m.Width, y))
}

func (r *graphRenderer) Refresh() {
	r.label()
	r.Layout(r.g.Size())
	for _, t := range r.Objects() {
		t.Refresh()
	}
}

func (r *graphRenderer) Objects() []fyne.CanvasObject {
	g := r.g
	return []fyne.CanvasObject{g.raster, g.scale[0], g.scale[1], g.scale[2], g.begin, g.end}
}

func (r *graphRenderer) Destroy() {}
