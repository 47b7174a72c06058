package kit

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
)

// Centered keeps its content no wider than em times the text size, in the
// middle of the width, at the top.
func Centered(em float32, content fyne.CanvasObject) *fyne.Container {
	return container.New(centeredLayout{em}, content)
}

type centeredLayout struct{ em float32 }

func (l centeredLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	return o[0].MinSize()
}

func (l centeredLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	w := min(s.Width-2*theme.Padding(), max(l.em*theme.TextSize(), o[0].MinSize().Width))
	o[0].Move(fyne.NewPos((s.Width-w)/2, 0))
	o[0].Resize(fyne.NewSize(w, settle(o[0], w)))
}
