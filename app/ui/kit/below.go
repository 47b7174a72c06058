package kit

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
)

// Below sets body under top, with all the height that top leaves. Unlike a
// border layout it gives text in top, which wraps, the height that it needs.
func Below(top, body fyne.CanvasObject) *fyne.Container {
	return container.New(belowLayout{}, top, body)
}

type belowLayout struct{}

func (belowLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	body := o[1].MinSize()
	if !o[0].Visible() {
		return body
	}
	top := o[0].MinSize()
	return fyne.NewSize(max(top.Width, body.Width), top.Height+theme.Padding()+body.Height)
}

func (belowLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	y := float32(0)
	if o[0].Visible() {
		o[0].Move(fyne.Position{})
		y = settle(o[0], s.Width) + theme.Padding()
	}
	o[1].Move(fyne.NewPos(0, y))
	o[1].Resize(fyne.NewSize(s.Width, max(0, s.Height-y)))
}
