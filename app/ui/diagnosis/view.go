// Package diagnosis is the page that says what happened and what to do about
// it: the log, the IKE messages, the explanation of each failure, and the
// bundle for those who help.
package diagnosis

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"sallyport/app/model"
	"sallyport/app/ui/kit"
)

// A View is the page of the diagnosis.
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

// Select explains the failure of a connection; it is what kit.Env.Go's argument
// names.
func (v *View) Select(connection string) {}
