package wizard

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/ui/kit"
)

// A tick is a tick box whose words wrap: those of a plain one make everything
// as wide as they are long. The words tick it as well.
type tick struct {
	*kit.Check
	box *fyne.Container
}

func newTick(text string, changed func(bool)) *tick {
	t := &tick{Check: kit.NewCheck("", changed)}
	words := &tickWords{check: t.Check}
	words.Text, words.Wrapping = text, fyne.TextWrapWord
	words.ExtendBaseWidget(words)
	t.box = container.New(tickLayout{}, t.Check, words)
	return t
}

// tickWords are the words of a tick.
type tickWords struct {
	widget.Label
	check *kit.Check
}

// Tapped implements fyne.Tappable.
func (w *tickWords) Tapped(*fyne.PointEvent) { w.check.SetChecked(!w.check.Checked) }

// tickLayout sets the box before the first line of the words.
type tickLayout struct{}

func (tickLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	box, words := o[0].MinSize(), o[1].MinSize()
	return fyne.NewSize(box.Width+words.Width, max(box.Height, words.Height))
}

func (tickLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	box := o[0].MinSize()
	o[0].Move(fyne.Position{})
	o[0].Resize(box)
	o[1].Move(fyne.NewPos(box.Width, 0))
	o[1].Resize(fyne.NewSize(s.Width-box.Width, s.Height))
}
