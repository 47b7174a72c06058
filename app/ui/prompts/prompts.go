// Package prompts puts the questions of the service to the user, one dialog
// at a time.
package prompts

import (
	"context"
	"slices"

	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// Prompts shows what waits for an answer: the prompts of the service in the
// order in which they were asked, and then the questions of connections. It
// asks each once.
type Prompts struct {
	env  *kit.Env
	snap *model.Snapshot
	open *question // nil: none
	// answered are the IDs of prompts whose answer is on its way to the service,
	// and the names of connections whose question the user has put off.
	answered map[string]bool
	putOff   map[string]bool
}

// A question is a dialog that is open.
type question struct {
	id         string // of the prompt; empty: whether traffic may leave in clear
	connection string
	dialog     *kit.Dialog
	stop       context.CancelFunc // of its clock
}

// New returns Prompts that open their dialogs in env.Window.
func New(env *kit.Env) *Prompts {
	return &Prompts{env: env, snap: &model.Snapshot{}, answered: map[string]bool{}, putOff: map[string]bool{}}
}

// Update opens, keeps or closes dialogs as s says: one that was answered
// elsewhere closes by itself. It runs on Fyne's goroutine.
func (p *Prompts) Update(s *model.Snapshot) {
	p.snap = s
	p.forget()
	if p.open != nil && !p.stands(p.open) {
		p.close()
	}
	if p.open == nil {
		p.next()
	}
}

// Asks names the connection that the open dialog is about; empty: none is open.
func (p *Prompts) Asks() string {
	if p.open == nil {
		return ""
	}
	return p.open.connection
}

// forget drops what has come to an end, so that it can be asked anew.
func (p *Prompts) forget() {
	for id := range p.answered {
		if !slices.ContainsFunc(p.snap.Prompts, func(q api.Prompt) bool { return q.ID == id }) {
			delete(p.answered, id)
		}
	}
	for name := range p.putOff {
		if c := p.snap.Find(name); c == nil || c.Question == "" {
			delete(p.putOff, name)
		}
	}
}

// stands reports whether the service still waits for the answer to q.
func (p *Prompts) stands(q *question) bool {
	if q.id == "" {
		c := p.snap.Find(q.connection)
		return c != nil && c.Question != ""
	}
	return slices.ContainsFunc(p.snap.Prompts, func(x api.Prompt) bool { return x.ID == q.id })
}

// close closes the dialog that is open.
func (p *Prompts) close() {
	q := p.open
	p.open = nil
	q.stop()
	q.dialog.Hide()
}

// next opens the dialog of what waits longest.
func (p *Prompts) next() {
	for _, q := range p.snap.Prompts {
		if !p.answered[q.ID] {
			p.ask(q)
			return
		}
	}
	for i := range p.snap.Connections {
		if c := &p.snap.Connections[i]; c.Question != "" && !p.putOff[c.Name] {
			p.askClear(c)
			return
		}
	}
}

// show opens a dialog, and the window when it is hidden.
func (p *Prompts) show(q *question) {
	p.open = q
	if q.stop == nil {
		q.stop = func() {}
	}
	p.env.BringUp()
	q.dialog.Show()
}

// answer hands an answer to the service. A dialog stays, with failed, when it
// does not arrive; nothing is said when nobody waits for it any more.
func (p *Prompts) answer(a api.Answer, remember bool, failed func(*api.Error)) {
	p.env.Run(func(ctx context.Context) error { return p.env.Model.Answer(ctx, a, remember) }, func(err error) {
		e := api.AsError(err)
		if e != nil && e.Code != api.CodeNotFound {
			if p.open != nil && p.open.id == a.ID {
				failed(e)
			}
			return
		}
		p.answered[a.ID] = true
		if p.open != nil && p.open.id == a.ID {
			p.close()
			p.Update(p.env.Model.Snapshot())
		}
	})
}
