package connections

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
)

// A traffic is the section with the graph of what goes through the tunnel.
type traffic struct {
	env   *kit.Env
	root  *fyne.Container
	graph *graph
	in    *legend
	out   *legend
	spans []*kit.Button

	name string
	span model.Span
}

func newTraffic(env *kit.Env) *traffic {
	t := &traffic{env: env, graph: newGraph(), in: newLegend(false), out: newLegend(true)}
	var spans []fyne.CanvasObject
	for s, text := range []string{i18n.T("connections.span.minute"), i18n.T("connections.span.ten"), i18n.T("connections.span.hour")} {
		b := kit.NewQuiet(text, nil, func() { t.setSpan(model.Span(s)) })
		t.spans = append(t.spans, b)
		spans = append(spans, b)
	}
	head := container.New(endsLayout{}, kit.Subheading(i18n.T("connections.traffic")), container.NewHBox(spans...))
	t.root = kit.Section(head, kit.CardBox(kit.Flow(t.in, t.out), t.graph))
	t.root.Hide()
	t.paintSpans()
	return t
}

// endsLayout sets two objects at the ends of a line, or below each other when
// the line is too short.
type endsLayout struct{}

func (endsLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	a, b := o[0].MinSize(), o[1].MinSize()
	return fyne.NewSize(max(a.Width, b.Width), max(a.Height, b.Height))
}

func (endsLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	b := o[1].MinSize()
	o[0].Resize(fyne.NewSize(max(0, s.Width-b.Width), s.Height))
	o[1].Resize(b)
	o[1].Move(fyne.NewPos(s.Width-b.Width, (s.Height-b.Height)/2))
}

// show sets whose traffic it is.
func (t *traffic) show(c *model.Connection) {
	kit.SetShown(t.root, up(c))
	if t.name != c.Name {
		t.name = c.Name
		t.graph.clear()
	}
	if up(c) {
		t.tick()
	}
}

func (t *traffic) setSpan(s model.Span) {
	if t.span != s {
		t.span = s
		t.paintSpans()
		t.graph.clear()
		t.tick()
	}
}

func (t *traffic) paintSpans() {
	for i, b := range t.spans {
		importance := widget.LowImportance
		if model.Span(i) == t.span {
			importance = widget.MediumImportance
		}
		if b.Importance != importance {
			b.Importance = importance
			b.Refresh()
		}
	}
}

// tick draws the samples of this moment.
func (t *traffic) tick() {
	samples := t.env.Model.Traffic(t.name, t.span)
	t.graph.show(samples, t.span)
	var last model.Sample
	if len(samples) > 0 {
		last = samples[len(samples)-1]
	}
	t.in.set(i18n.T("connections.receiving", "Rate", i18n.Rate(last.In)))
	t.out.set(i18n.T("connections.sending", "Rate", i18n.Rate(last.Out)))
}

// A legend names a line of the graph and shows how it is drawn.
type legend struct {
	widget.BaseWidget
	dashed bool
	text   *widget.Label
	sample []*canvas.Rectangle
}

func newLegend(dashed bool) *legend {
	l := &legend{dashed: dashed, text: kit.Text("")}
	l.text.Wrapping = fyne.TextWrapOff
	dashes := 1
	if dashed {
		dashes = 3
	}
	for range dashes {
		l.sample = append(l.sample, canvas.NewRectangle(lineColor(dashed)))
	}
	l.ExtendBaseWidget(l)
	return l
}

func (l *legend) set(text string) {
	if l.text.Text != text {
		l.text.SetText(text)
	}
}

// CreateRenderer implements fyne.Widget.
func (l *legend) CreateRenderer() fyne.WidgetRenderer { return &legendRenderer{l} }

type legendRenderer struct{ l *legend }

func (r *legendRenderer) MinSize() fyne.Size {
	// Wide enough for most rates, so that the second does not jump.
	w := fyne.MeasureText(r.l.text.Text, theme.TextSize(), fyne.TextStyle{}).Width
	return fyne.NewSize(max(w, theme.TextSize()*9)+theme.TextSize()*2+theme.InnerPadding()*3, r.l.text.MinSize().Height-theme.InnerPadding())
}

func (r *legendRenderer) Layout(s fyne.Size) {
	width, left := theme.TextSize()*2, theme.InnerPadding()
	thick := theme.TextSize() / 6
	n := float32(2*len(r.l.sample) - 1)
	for i, d := range r.l.sample {
		d.Resize(fyne.NewSize(width/n, thick))
		d.Move(fyne.NewPos(left+width/n*float32(2*i), (s.Height-thick)/2))
	}
	m := r.l.text.MinSize()
	r.l.text.Move(fyne.NewPos(left+width, (s.Height-m.Height)/2))
	r.l.text.Resize(fyne.NewSize(s.Width-width-left, m.Height))
}

func (r *legendRenderer) Refresh() {
	for _, d := range r.l.sample {
		d.FillColor = lineColor(r.l.dashed)
		d.Refresh()
	}
	r.l.text.Refresh()
}

func (r *legendRenderer) Objects() []fyne.CanvasObject {
	o := []fyne.CanvasObject{r.l.text}
	for _, d := range r.l.sample {
		o = append(o, d)
	}
	return o
}

func (r *legendRenderer) Destroy() {}
