// Package monitor is the page of the IP security monitor: which policy is in
// force, the main mode and quick mode SAs, what was dropped and what failed, and
// how much of the traffic of each rule was protected.
package monitor

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"sallyport/app/model"
	"sallyport/app/ui/kit"
)

// A View is the page of the monitor.
type View struct {
	env  *kit.Env
	root *fyne.Container
}

var _ kit.View = (*View)(nil)

// New returns the page.
func New(env *kit.Env) *View { return &View{env: env, root: container.NewStack()} }

// Content implements kit.View.
func (v *View) Content() fyne.CanvasObject { return v.root }

// Update implements kit.View.
func (v *View) Update(*model.Snapshot) {}

// Shown implements kit.View.
func (v *View) Shown(bool) {}

// Select brings the security associations of a connection to the front; it is
// what kit.Env.Go's argument names.
func (v *View) Select(connection string) {}
