package prompts

import (
	"context"
	"time"

	"fyne.io/fyne/v2"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// askClear opens the question of a connection. One that is put off is asked
// again when it has gone and comes back, and on its page.
func (p *Prompts) askClear(c *model.Connection) {
	name := c.Name
	d := clearDialog(p.env, c, func() {
		p.putOff[name] = true
		if p.open != nil && p.open.id == "" && p.open.connection == name {
			p.open = nil
			p.Update(p.env.Model.Snapshot())
		}
	})
	p.show(&question{connection: name, dialog: d})
}

// AskClear puts the question of a connection to the user: whether its traffic
// may leave in clear although it was protected here before.
func AskClear(env *kit.Env, c *model.Connection) { clearDialog(env, c, func() {}).Show() }

// clearDialog returns the dialog of the question; closed is called when the
// user has decided, or not.
func clearDialog(env *kit.Env, c *model.Connection, closed func()) *kit.Dialog {
	name := c.Name
	var d *kit.Dialog
	problem, busy := kit.NewErrorCard(nil), kit.NewBusy("")
	var keep, short, long *kit.Button
	each := func(f func(*kit.Button)) {
		for _, b := range []*kit.Button{keep, short, long} {
			f(b)
		}
	}
	allow := func(t time.Duration) {
		each(func(b *kit.Button) { b.Disable() })
		busy.Start(i18n.T("prompts.sending"))
		d.Refit()
		env.Run(func(ctx context.Context) error { return env.Model.Backend().AllowClear(ctx, name, t) }, func(err error) {
			if err == nil {
				d.Hide()
				closed()
				return
			}
			busy.Stop()
			each(func(b *kit.Button) { b.Enable() })
			problem.Set(api.AsError(err))
			d.Refit()
		})
	}
	keep = kit.NewPrimary(i18n.T("prompts.clear.keep"), nil, func() { d.Cancel() })
	short = kit.NewButton(i18n.T("prompts.clear.short"), nil, func() { allow(10 * time.Minute) })
	long = kit.NewButton(i18n.T("prompts.clear.long"), nil, func() { allow(time.Hour) })
	content := []fyne.CanvasObject{kit.Warning(i18n.T("prompts.clear.warning")), kit.Text(i18n.T("prompts.clear.text")), kit.NewFields(facts(c)...), problem, busy}
	d = kit.NewDialog(env, i18n.T("prompts.clear.title", "Name", name), kit.Section(content...), short, long, keep)
	d.Width = 40
	problem.Resized = d.Refit
	d.Focus = keep
	d.OnEnter = func() { d.Cancel() }
	d.OnCancel = closed
	return d
}

// facts are what the decision is about.
func facts(c *model.Connection) []kit.Field {
	networks := ""
	for i, r := range c.Routes {
		if i == 6 {
			networks += "\n" + i18n.T("prompts.server.more", "Count", len(c.Routes)-i)
			break
		}
		if i > 0 {
			networks += "\n"
		}
		networks += r.String()
	}
	gateway := c.PeerID
	if len(c.Gateway) > 0 {
		gateway = c.Gateway[0]
	}
	return []kit.Field{
		{Label: i18n.T("prompts.clear.gateway"), Value: gateway},
		{Label: i18n.T("prompts.clear.networks"), Value: networks},
	}
}
