package wizard

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"

	"sallyport/app/ui/kit"
)

// folded hides what few need behind a button.
type folded struct {
	box     *fyne.Container
	button  *kit.Button
	content fyne.CanvasObject
	changed func()
}

func newFolded(label string, content fyne.CanvasObject, changed func()) *folded {
	f := &folded{content: content, changed: changed}
	f.button = kit.NewQuiet(label, theme.MenuExpandIcon(), func() { f.open(!content.Visible()) })
	f.box = kit.Column(container.NewHBox(f.button), content)
	content.Hide()
	return f
}

func (f *folded) open(open bool) {
	if open == f.content.Visible() {
		return
	}
	kit.SetShown(f.content, open)
	if open {
		f.button.SetIcon(theme.MenuDropDownIcon())
	} else {
		f.button.SetIcon(theme.MenuExpandIcon())
	}
	f.changed()
}
