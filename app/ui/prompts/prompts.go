// Package prompts puts the questions of the service to the user, one dialog
// at a time.
package prompts

import (
	"sallyport/app/model"
	"sallyport/app/ui/kit"
)

// Prompts shows what waits for an answer.
type Prompts struct {
	env *kit.Env
}

// New returns Prompts that open their dialogs in env.Window.
func New(env *kit.Env) *Prompts { return &Prompts{env: env} }

// Update opens, keeps or closes dialogs as s says: one that was answered
// elsewhere closes by itself. It runs on Fyne's goroutine.
func (p *Prompts) Update(s *model.Snapshot) {}

// AskClear puts the question of a connection to the user: whether its traffic
// may leave in clear although it was protected here before.
func AskClear(env *kit.Env, c *model.Connection) {}
