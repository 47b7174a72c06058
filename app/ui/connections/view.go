// Package connections is the page that the window opens with: the connections,
// and all about the one that is selected.
package connections

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"sallyport/app/model"
	"sallyport/app/ui/kit"
)

// A View is the page of the connections.
type View struct {
	env  *kit.Env
	root *fyne.Container
}

// New returns the page.
func New(env *kit.Env) *View { return &View{env: env, root: container.NewStack()} }

// Content implements kit.View.
func (v *View) Content() fyne.CanvasObject { return v.root }

// Update implements kit.View.
func (v *View) Update(s *model.Snapshot) {}

// Shown implements kit.View.
func (v *View) Shown(shown bool) {}

// Select shows a connection, as Env.Go asks.
func (v *View) Select(name string) {}
