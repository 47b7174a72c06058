package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"

	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/wizard"
)

// keys binds the keys of the window: Ctrl+1 to Ctrl+5 for the pages, Ctrl+N and
// Ctrl+I for a new and an imported connection, Ctrl+W to close, and F5 to ask
// again for what the page shows. On macOS it is ⌘ instead of Ctrl.
func (w *Window) keys() {
	c := w.win.Canvas()
	w.bound = map[fyne.KeyName]func(){}
	bind := func(k fyne.KeyName, f func()) {
		w.bound[k] = func() {
			if c.Overlays().Top() == nil { // a dialog is answered first
				f()
			}
		}
		c.AddShortcut(&desktop.CustomShortcut{KeyName: k, Modifier: fyne.KeyModifierShortcutDefault}, func(fyne.Shortcut) { w.bound[k]() })
	}
	for i, k := range []fyne.KeyName{fyne.Key1, fyne.Key2, fyne.Key3, fyne.Key4, fyne.Key5} {
		bind(k, func() { w.Show(Pages[i]) })
	}
	add := func(open func(*kit.Env)) func() {
		return func() {
			if w.snap.Link == model.Linked {
				w.Show(kit.Connections)
				open(w.env)
			}
		}
	}
	bind(fyne.KeyN, add(wizard.New))
	bind(fyne.KeyI, add(func(env *kit.Env) { wizard.Import(env, nil) }))
	bind(fyne.KeyW, w.close)
	c.SetOnTypedKey(func(e *fyne.KeyEvent) {
		if e.Name == fyne.KeyF5 {
			w.refresh()
		}
	})
}

// refresh makes the page ask again for what it shows.
func (w *Window) refresh() {
	if w.linked && w.visible {
		v := w.view(w.current)
		v.Shown(false)
		v.Shown(true)
	}
}
