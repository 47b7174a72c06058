package kit

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/model"
	apptheme "sallyport/app/theme"
)

// A Badge tells a mark by shape, word and colour.
type Badge struct {
	widget.BaseWidget
	mark model.Mark
	word string
}

// NewBadge returns the badge of a mark, with the mark's own word.
func NewBadge(m model.Mark) *Badge {
	b := &Badge{mark: m, word: MarkWord(m)}
	b.ExtendBaseWidget(b)
	return b
}

// Set shows another mark with a word for it; an empty word is the mark's own.
func (b *Badge) Set(m model.Mark, word string) {
	if word == "" {
		word = MarkWord(m)
	}
	if b.mark != m || b.word != word {
		b.mark, b.word = m, word
		b.Refresh()
	}
}

// CreateRenderer implements fyne.Widget.
func (b *Badge) CreateRenderer() fyne.WidgetRenderer {
	r := &badgeRenderer{b: b, icon: canvas.NewImageFromResource(MarkIcon(b.mark)), text: canvas.NewText("", nil), panel: NewPanel(nil)}
	r.icon.FillMode = canvas.ImageFillContain
	r.panel.Tight = true
	r.update()
	return r
}

type badgeRenderer struct {
	b     *Badge
	panel *Panel
	icon  *canvas.Image
	text  *canvas.Text
}

func (r *badgeRenderer) update() {
	th, v := r.b.Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	r.panel.Fill = apptheme.TintOf(r.b.mark)
	r.panel.Stroke, r.panel.StrokeAlpha = apptheme.ColorOf(r.b.mark), 0x60
	r.icon.Resource = MarkIcon(r.b.mark)
	r.text.Text = r.b.word
	r.text.TextStyle.Bold = true
	r.text.TextSize = th.Size(theme.SizeNameText)
	r.text.Color = th.Color(theme.ColorNameForeground, v)
}

func (r *badgeRenderer) sizes() (pad, icon float32, text fyne.Size) {
	th := r.b.Theme()
	text = r.text.MinSize()
	return th.Size(theme.SizeNamePadding), text.Height * 0.95, text
}

func (r *badgeRenderer) MinSize() fyne.Size {
	pad, icon, text := r.sizes()
	return fyne.NewSize(icon+text.Width+6*pad, text.Height+2*pad)
}

func (r *badgeRenderer) Layout(s fyne.Size) {
	pad, icon, text := r.sizes()
	m := r.MinSize()
	y := (s.Height - m.Height) / 2 // a badge does not stretch
	r.panel.Radius = m.Height / 2
	r.panel.Move(fyne.NewPos(0, y))
	r.panel.Resize(m)
	r.icon.Move(fyne.NewPos(2*pad, y+(m.Height-icon)/2))
	r.icon.Resize(fyne.NewSquareSize(icon))
	r.text.Move(fyne.NewPos(icon+3.5*pad, y+(m.Height-text.Height)/2))
	r.text.Resize(text)
}

func (r *badgeRenderer) Refresh() {
	r.update()
	r.Layout(r.b.Size())
	r.panel.Refresh()
	r.icon.Refresh()
	r.text.Refresh()
}

func (r *badgeRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.panel, r.icon, r.text}
}

func (r *badgeRenderer) Destroy() {}
