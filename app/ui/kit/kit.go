// Package kit is what the views have in common: what they are given, what they
// must be, and the widgets that several of them use.
package kit

import (
	"context"
	"time"

	"fyne.io/fyne/v2"

	"sallyport/app/model"
)

// A View is one page of the window. Its methods run on Fyne's goroutine.
type View interface {
	// Content returns the view's objects, always the same.
	Content() fyne.CanvasObject
	// Update shows s. It costs next to nothing when what the view shows is as before.
	Update(s *model.Snapshot)
	// Shown tells the view that it is in front now, or no more: while it is not,
	// it asks the service for nothing.
	Shown(bool)
}

// A Page names a view of the window.
type Page string

// The pages.
const (
	Connections Page = "connections"
	Policies    Page = "policies"
	Monitor     Page = "monitor"
	Diagnosis   Page = "diagnosis"
	Settings    Page = "settings"
)

// An Env is what every view is given.
type Env struct {
	Model  *model.Model
	Window fyne.Window      // where dialogs open
	Now    func() time.Time // its location is the one that times are shown in
	// Go brings a page to the front; arg, when not empty, is what to select
	// there: the name of a connection.
	Go func(p Page, arg string)
	// Context ends with the window.
	Context context.Context
	// Spawn starts what Run does beside Fyne's goroutine. Nil: as a goroutine. A
	// test counts with it what is under way.
	Spawn func(work func())
	// Raise brings the window to the front, also when it is hidden. Nil: Show and
	// RequestFocus of Window.
	Raise func()
	// Poke tells the loop of the toolkit, from any goroutine, that it has been
	// handed something. Nil: it finds out by itself.
	Poke func()

	dialogs []*Dialog            // that are open, the topmost last
	keys    func(*fyne.KeyEvent) // what the window did with keys before
}

// BringUp brings the window to the front, for a question that cannot wait.
func (e *Env) BringUp() {
	if e.Raise != nil {
		e.Raise()
		return
	}
	e.Window.Show()
	e.Window.RequestFocus()
}

// Do runs f soon on Fyne's goroutine. It may be called on any other.
func (e *Env) Do(f func()) {
	fyne.Do(f)
	if e.Poke != nil {
		e.Poke()
	}
}

// Run does slow work beside Fyne's goroutine and then calls then on it, unless
// the window has been closed meanwhile.
func (e *Env) Run(work func(ctx context.Context) error, then func(error)) {
	beside := func() {
		err := work(e.Context)
		if e.Context.Err() == nil {
			e.Do(func() { then(err) })
		}
	}
	if e.Spawn != nil {
		e.Spawn(beside)
		return
	}
	go beside()
}
