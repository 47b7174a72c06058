// Package policies is the page of the IPsec policies: the list, the editor, the
// rule wizard, assigning with the difference shown before, what happens to a
// flow, and the downgrade memory.
package policies

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"sallyport/app/model"
	"sallyport/app/ui/kit"
)

// A View is the page of the policies.
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

// Select brings the policy of that name to the front; it is what kit.Env.Go's
// argument names.
func (v *View) Select(name string) {}

// Unsaved returns the names of the policies with changes that are not saved.
// The window asks before it closes while there are any.
func (v *View) Unsaved() []string { return nil }
