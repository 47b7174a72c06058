package ui

import (
	"context"
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"

	"sallyport/app/i18n"
	"sallyport/app/model"
	apptheme "sallyport/app/theme"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// Service is what can be done about a service that does not answer. The
// commands are shown to be copied; empty ones are not.
type Service struct {
	Install string // installs it
	Start   string // starts it
	Join    string // lets this user use it
	// Starter starts it, asking for whatever rights it needs. Nil: only the
	// command can.
	Starter func(context.Context) error
}

// A linkPage stands where a page would when there is no service to fill it: it
// says why, and what can be done.
type linkPage struct {
	env   *kit.Env
	svc   Service
	root  *fyne.Container
	said  string
	title string
}

func newLinkPage(env *kit.Env, svc Service) *linkPage {
	return &linkPage{env: env, svc: svc, root: container.NewStack()}
}

func (p *linkPage) update(s *model.Snapshot) {
	detail := ""
	if s.LinkProblem != nil {
		detail = s.LinkProblem.Why
	}
	if said := i18n.Say(s.Headline) + "\x00" + detail + "\x00" + s.Service.Version; said != p.said {
		p.said, p.title = said, i18n.Say(s.Headline)
		p.root.Objects = []fyne.CanvasObject{container.NewVScroll(p.page(s, detail))}
		p.root.Refresh()
	}
}

func (p *linkPage) page(s *model.Snapshot, detail string) fyne.CanvasObject {
	if s.Link == model.Linking {
		return container.NewCenter(kit.Muted(i18n.Say(s.Headline)))
	}
	objects := []fyne.CanvasObject{}
	command := func(title, text string) {
		if text != "" {
			objects = append(objects, kit.Caption(title), kit.NewCopyable(text))
		}
	}
	var what string
	start := false
	switch s.Link {
	case model.Missing:
		what = i18n.T("ui.link.missing")
		command(i18n.T("ui.link.install"), p.svc.Install)
	case model.Stopped:
		what, start = i18n.T("ui.link.stopped"), true
	case model.Older:
		what = i18n.T("ui.link.older", "Window", api.Version, "Service", version(s))
	case model.Newer:
		what = i18n.T("ui.link.newer", "Window", api.Version, "Service", version(s))
	case model.Refused:
		what = i18n.T("ui.link.refused")
		command(i18n.T("ui.link.join"), p.svc.Join)
		if p.svc.Join != "" {
			objects = append(objects, kit.Muted(i18n.T("ui.link.again")))
		}
	default:
		what, start = i18n.T("ui.link.lost"), true
	}
	var buttons []fyne.CanvasObject
	if start && p.svc.Starter != nil {
		var b *kit.Button
		b = kit.NewPrimary(i18n.T("ui.link.start"), nil, func() {
			b.Disable()
			p.env.Run(p.svc.Starter, func(err error) {
				b.Enable()
				kit.ShowError(p.env, err)
			})
		})
		buttons = append(buttons, b)
	}
	if start {
		command(i18n.T("ui.link.command"), p.svc.Start)
	}
	if detail != "" {
		objects = append(objects, kit.Caption(i18n.T("ui.link.detail")), kit.Muted(detail))
	}
	objects = append(objects, kit.Muted(i18n.T("ui.link.waits")))
	top := kit.Empty(apptheme.IconOf(model.Fault), i18n.Say(s.Headline), what, buttons...)
	air := canvas.NewRectangle(color.Transparent)
	air.SetMinSize(fyne.NewSquareSize(theme.TextSize() * 4))
	return kit.Spread(air, container.NewPadded(top), kit.Centered(34, kit.CardBox(objects...)))
}

func version(s *model.Snapshot) string {
	if s.Service.Version == "" {
		return "?"
	}
	return s.Service.Version
}
