package kit

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/model"
	apptheme "sallyport/app/theme"
)

// A Note is a sentence that stands out, behind an icon.
type Note struct {
	Panel
	label *widget.Label
}

// Warning returns a note that warns.
func Warning(text string) *Note {
	return note(text, theme.NewWarningThemedResource(theme.WarningIcon()), model.Partly)
}

// Info returns a note that informs.
func Info(text string) *Note {
	return note(text, theme.NewPrimaryThemedResource(theme.InfoIcon()), model.Busy)
}

func note(text string, icon fyne.Resource, m model.Mark) *Note {
	n := &Note{label: Text(text)}
	n.label.Selectable = true
	n.Content = WithIcon(icon, n.label)
	n.Fill = apptheme.TintOf(m)
	n.Stroke, n.StrokeAlpha, n.StrokeWidth = apptheme.ColorOf(m), 0x60, 1
	n.Tight = true
	n.ExtendBaseWidget(n)
	return n
}

// SetText changes the sentence; an empty one hides the note.
func (n *Note) SetText(text string) {
	SetText(n.label, text)
	SetShown(n, text != "")
}

// WithIcon sets an icon before text that may wrap, at the height of its first line.
func WithIcon(icon fyne.Resource, text fyne.CanvasObject) *fyne.Container {
	img := canvas.NewImageFromResource(icon)
	img.FillMode = canvas.ImageFillContain
	return container.New(iconLayout{}, img, text)
}

type iconLayout struct{}

func (iconLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	m := o[1].MinSize()
	return m.AddWidthHeight(theme.IconInlineSize()+theme.InnerPadding(), 0)
}

func (iconLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	icon, inner := theme.IconInlineSize(), theme.InnerPadding()
	line := fyne.MeasureText("M", theme.TextSize(), fyne.TextStyle{}).Height
	o[0].Resize(fyne.NewSquareSize(icon))
	o[0].Move(fyne.NewPos(inner, inner+(line-icon)/2))
	o[1].Move(fyne.NewPos(icon+inner, 0))
	place(o[1], fyne.NewSize(s.Width-icon-inner, s.Height))
}

// Empty is what a list or page shows when there is nothing yet: why, and what
// the user can do. actions are buttons.
func Empty(icon fyne.Resource, title, text string, actions ...fyne.CanvasObject) fyne.CanvasObject {
	h := Subheading(title)
	h.Alignment = fyne.TextAlignCenter
	objects := []fyne.CanvasObject{}
	if icon != nil {
		img := canvas.NewImageFromResource(icon)
		img.FillMode = canvas.ImageFillContain
		objects = append(objects, container.New(emblemLayout{}, img))
	}
	objects = append(objects, h)
	if text != "" {
		t := Muted(text)
		t.Alignment = fyne.TextAlignCenter
		objects = append(objects, t)
	}
	if len(actions) > 0 {
		objects = append(objects, container.NewHBox(layout.NewSpacer(), container.New(layout.NewCustomPaddedHBoxLayout(theme.Padding()*2), actions...), layout.NewSpacer()))
	}
	return container.New(measureLayout{em: 34, middle: true}, Column(objects...))
}

type emblemLayout struct{}

func (emblemLayout) MinSize([]fyne.CanvasObject) fyne.Size {
	return fyne.NewSquareSize(theme.TextSize() * 4)
}

func (emblemLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	side := theme.TextSize() * 4
	o[0].Resize(fyne.NewSquareSize(side))
	o[0].Move(fyne.NewPos((s.Width-side)/2, (s.Height-side)/2))
}

// Measure keeps its content no wider than em times the text size, which is
// what eyes follow with ease, and starts it at the left.
func Measure(em float32, content fyne.CanvasObject) *fyne.Container {
	return container.New(measureLayout{em: em}, content)
}

type measureLayout struct {
	em     float32
	middle bool // of both directions
}

func (measureLayout) MinSize(o []fyne.CanvasObject) fyne.Size { return o[0].MinSize() }

func (l measureLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	w := min(s.Width, max(l.em*theme.TextSize(), o[0].MinSize().Width))
	if !l.middle {
		o[0].Resize(fyne.NewSize(w, s.Height))
		o[0].Move(fyne.Position{})
		return
	}
	h := settle(o[0], w)
	o[0].Move(fyne.NewPos((s.Width-w)/2, max(0, (s.Height-h)/2)))
}

// A Busy says that something is under way, and what.
type Busy struct {
	widget.BaseWidget
	activity *widget.Activity
	label    *widget.Label
}

// NewBusy returns a hidden Busy.
func NewBusy(text string) *Busy {
	b := &Busy{activity: widget.NewActivity(), label: Muted(text)}
	b.ExtendBaseWidget(b)
	b.Hide()
	return b
}

// Start shows it, with what is under way.
func (b *Busy) Start(text string) {
	SetText(b.label, text)
	if !b.Visible() {
		b.activity.Start()
		b.Show()
	}
}

// Stop hides it.
func (b *Busy) Stop() {
	if b.Visible() {
		b.activity.Stop()
		b.Hide()
	}
}

// CreateRenderer implements fyne.Widget.
func (b *Busy) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(container.NewBorder(nil, nil, container.NewCenter(b.activity), nil, b.label))
}
