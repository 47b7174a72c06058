package connections

import (
	"context"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/wizard"
	"sallyport/core/api"
)

// verb returns what the large button does now: an attempt that has been asked
// for and has not begun can be cancelled as well.
func verb(c *model.Connection) model.Verb {
	if c.Pending == model.Connect && c.Verb == model.Connect {
		return model.Cancel
	}
	return c.Verb
}

// verbText is what the large button says.
func verbText(v model.Verb) string {
	switch v {
	case model.Connect:
		return i18n.T("connections.connect")
	case model.Disconnect:
		return i18n.T("connections.disconnect")
	case model.Cancel:
		return i18n.T("connections.cancel")
	}
	return ""
}

// do does what a button or a menu says. A failure that the connection tells of
// itself is not told twice.
func do(env *kit.Env, v model.Verb, name string) {
	env.Run(func(ctx context.Context) error {
		switch v {
		case model.Connect:
			return env.Model.Connect(ctx, name)
		case model.Disconnect:
			return env.Model.Disconnect(ctx, name)
		case model.Cancel:
			return env.Model.Cancel(ctx, name)
		}
		return nil
	}, func(err error) {
		if err == nil {
			return
		}
		if c := env.Model.Snapshot().Find(name); c != nil && c.Problem != nil && c.Problem.Code == api.AsError(err).Code {
			return
		}
		kit.ShowError(env, err)
	})
}

// actions are the items of the menu of a connection.
func actions(env *kit.Env, c *model.Connection) []*fyne.MenuItem {
	name := c.Name
	var items []*fyne.MenuItem
	if v := verb(c); v != model.None {
		items = append(items, fyne.NewMenuItem(verbText(v), func() { do(env, v, name) }))
	}
	items = append(items, fyne.NewMenuItem(i18n.T("connections.diagnose"), func() { env.Go(kit.Diagnosis, name) }))
	if c.Rule != "" { // the assigned policy made it: there is no profile to change
		return append(items, fyne.NewMenuItem(i18n.T("connections.policies"), func() { env.Go(kit.Policies, "") }))
	}
	item := func(text string, icon fyne.Resource, f func()) {
		m := fyne.NewMenuItem(text, f)
		m.Icon = icon
		items = append(items, m)
	}
	items = append(items, fyne.NewMenuItemSeparator())
	item(i18n.T("connections.edit"), theme.DocumentCreateIcon(), func() { wizard.Edit(env, name) })
	item(i18n.T("connections.export"), theme.DocumentSaveIcon(), func() { wizard.Export(env, name) })
	item(i18n.T("connections.qr"), theme.GridIcon(), func() { wizard.QR(env, name) })
	items = append(items, fyne.NewMenuItemSeparator())
	item(i18n.T("connections.remove"), theme.DeleteIcon(), func() { remove(env, name) })
	return items
}

func remove(env *kit.Env, name string) {
	kit.Confirm(env, i18n.T("connections.removeTitle", "Name", name), i18n.T("connections.removeText"), i18n.T("connections.removeVerb"), true, func() {
		env.Run(func(ctx context.Context) error { return env.Model.Backend().Remove(ctx, name) },
			func(err error) { kit.ShowError(env, err) })
	})
}
