package connections

import (
	"context"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// short says in a few words what a profile promises.
func short(p api.Profile) string {
	switch p {
	case api.Respond:
		return i18n.T("connections.profile.respond.short")
	case api.Request:
		return i18n.T("connections.profile.request.short")
	case api.Require:
		return i18n.T("connections.profile.require.short")
	}
	return string(p)
}

// profiles are the three cards.
func profiles() []kit.Option {
	return []kit.Option{
		{ID: string(api.Respond), Title: i18n.T("connections.profile.respond.name") + " – " + short(api.Respond), Text: i18n.T("connections.profile.respond.text")},
		{ID: string(api.Request), Title: i18n.T("connections.profile.request.name") + " – " + short(api.Request), Text: i18n.T("connections.profile.request.text")},
		{ID: string(api.Require), Title: i18n.T("connections.profile.require.name") + " – " + short(api.Require), Text: i18n.T("connections.profile.require.text")},
	}
}

// strength orders the profiles by what they promise.
var strength = map[api.Profile]int{api.Respond: 0, api.Request: 1, api.Require: 2}

// live reports whether another profile would change at once what may leave
// this machine.
func live(c *model.Connection) bool {
	return c.State != api.Disconnected && c.State != api.Listening || c.Protection != ""
}

// setProfile stores a profile; one that lowers the protection of traffic that
// flows only when the user means it. done is called with whether it holds.
func setProfile(env *kit.Env, c *model.Connection, p api.Profile, done func()) {
	name := c.Name
	set := func() {
		env.Run(func(ctx context.Context) error { return env.Model.Backend().SetProfile(ctx, name, p) }, func(err error) {
			kit.ShowError(env, err)
			done()
		})
	}
	if !live(c) || strength[p] >= strength[c.Profile] {
		set()
		return
	}
	text := i18n.T("connections.lower.request")
	if p == api.Respond {
		text = i18n.T("connections.lower.respond")
	}
	d := kit.Confirm(env, i18n.T("connections.lower.title", "Name", name), text, i18n.T("connections.lower.verb"), true, set)
	d.OnCancel = done
}
