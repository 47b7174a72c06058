package policies

import (
	"context"
	"errors"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/policydraft"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// A detail shows the policy that is selected in the list.
type detail struct {
	v    *View
	root *fyne.Container
	name string
	// What the service told of it: its text, and for the assigned one what has
	// been saved since.
	text    []byte
	draft   *policydraft.Draft
	fault   *policydraft.Fault
	pending int
	failed  *api.Error
	asked   int // answers to earlier questions are not shown
}

func newDetail(v *View) *detail { return &detail{v: v, root: container.NewStack()} }

// show shows another policy.
func (d *detail) show(name string) {
	d.name = name
	d.reset()
	d.build()
	d.ask()
}

func (d *detail) reset() {
	d.text, d.draft, d.fault, d.pending, d.failed = nil, nil, nil, 0, nil
}

// forget drops what is known of a policy that has changed.
func (d *detail) forget(name string) {
	if name == d.name {
		d.reset()
	}
}

// update shows what the list knows now, and asks for the rest.
func (d *detail) update() {
	d.build()
	d.ask()
}

func (d *detail) ask() {
	p, ok := d.v.find(d.name)
	if !ok {
		return
	}
	d.asked++
	mine := d.asked
	var f api.PolicyFile
	var changes []string
	d.v.env.Run(func(ctx context.Context) error {
		var err error
		if f, err = d.v.service().Policy(ctx, p.Name); err != nil {
			return err
		}
		if p.Assigned {
			// What keeps it from being assigned now keeps nothing from being shown.
			if res, err := d.v.service().Assign(ctx, p.Name, true); err == nil {
				changes = res.Changes
			}
		}
		return nil
	}, func(err error) {
		if mine != d.asked {
			return
		}
		d.reset()
		d.failed = api.AsError(err)
		if err == nil {
			d.text, d.pending = f.Text, len(changes)
			var perr error
			if d.draft, perr = policydraft.Parse(f.Text); perr != nil && !errors.As(perr, &d.fault) {
				d.fault = &policydraft.Fault{Detail: perr.Error()}
			}
		}
		d.build()
	})
}

// build makes the page anew: it is one policy, and changes rarely.
func (d *detail) build() {
	var page fyne.CanvasObject
	p, listed := d.v.find(d.name)
	s := d.v.sessions[d.name]
	switch {
	case d.name == "" && !d.v.loaded:
		page = container.NewStack()
	case d.name == "":
		page = kit.Empty(theme.ListIcon(), i18n.T("policies.empty.title"), i18n.T("policies.empty.text"))
	case !listed && s != nil:
		page = kit.Empty(theme.DocumentCreateIcon(), kit.Clean(d.name), i18n.T("policies.new.unsaved"),
			kit.NewPrimary(i18n.T("policies.edit.continue"), theme.DocumentCreateIcon(), func() { d.v.editor.open(d.name, "") }))
	default:
		page = d.page(p, s)
	}
	d.root.Objects = []fyne.CanvasObject{page}
	d.root.Refresh()
}

func (d *detail) page(p api.Policy, s *session) fyne.CanvasObject {
	objects := []fyne.CanvasObject{kit.Heading(kit.Clean(p.Name))}
	if p.Description != "" {
		objects[0] = kit.Tight(objects[0], kit.Muted(kit.Clean(p.Description)))
	}
	objects = append(objects, d.state(p), d.buttons(p, s))
	if s != nil && s.dirty() {
		objects = append(objects, kit.Info(i18n.T("policies.unsaved.note")))
	}
	if d.pending > 0 {
		objects = append(objects, kit.Warning(i18n.T("policies.pending", "Count", d.pending)),
			kit.Flow(kit.NewButton(i18n.T("policies.assign.again"), theme.MediaReplayIcon(), func() { d.v.assign(p.Name) })))
	}
	if p.Problem != nil {
		objects = append(objects, d.problem(p))
	}
	for _, w := range p.Warnings {
		objects = append(objects, kit.Warning(kit.Clean(w)))
	}
	switch {
	case d.failed != nil:
		objects = append(objects, kit.NewErrorCard(d.failed))
	case d.draft != nil:
		objects = append(objects, d.contents(d.draft.Policy(), p)...)
	}
	scroll := container.NewVScroll(container.NewPadded(kit.Spread(objects...)))
	return scroll
}

// state says in words how a policy stands.
func (d *detail) state(p api.Policy) fyne.CanvasObject {
	a := d.v.snap.Assignment
	switch {
	case p.Assigned && a != nil && a.Policy == p.Name:
		return kit.WithIcon(theme.NewSuccessThemedResource(theme.ConfirmIcon()),
			kit.Text(i18n.T("policies.assigned.by", "Who", kit.Clean(a.By), "Time", i18n.DateTime(a.Since))))
	case p.Assigned:
		return kit.WithIcon(theme.NewSuccessThemedResource(theme.ConfirmIcon()), kit.Text(i18n.T("policies.state.assigned")))
	case p.Predefined:
		return kit.WithIcon(theme.InfoIcon(), kit.Muted(i18n.T("policies.predefined.note")))
	}
	return kit.WithIcon(theme.InfoIcon(), kit.Muted(i18n.T("policies.unassigned.note")))
}

func (d *detail) buttons(p api.Policy, s *session) fyne.CanvasObject {
	var buttons []fyne.CanvasObject
	if p.Assigned {
		buttons = append(buttons, kit.NewButton(i18n.T("policies.unassign"), theme.MediaStopIcon(), func() { d.v.unassign(p.Name, d.draft) }))
	} else if p.Problem == nil {
		buttons = append(buttons, kit.NewPrimary(i18n.T("policies.assign"), theme.MediaPlayIcon(), func() { d.v.assign(p.Name) }))
	}
	if !p.Predefined {
		edit := i18n.T("policies.edit")
		if s != nil && s.dirty() {
			edit = i18n.T("policies.edit.continue")
		}
		b := kit.NewButton(edit, theme.DocumentCreateIcon(), func() { d.edit("") })
		if d.text == nil && s == nil {
			b.Disable()
		}
		buttons = append(buttons, b)
	}
	var more *kit.Button
	more = kit.NewButton(i18n.T("policies.more"), theme.MoreHorizontalIcon(), func() {
		items := []*fyne.MenuItem{
			fyne.NewMenuItem(i18n.T("policies.duplicate"), func() { d.duplicate(p) }),
			fyne.NewMenuItem(i18n.T("policies.compare"), func() { d.v.compare(p.Name) }),
			fyne.NewMenuItem(i18n.T("policies.export"), d.export),
		}
		if !p.Predefined && !p.Assigned {
			items = append(items, fyne.NewMenuItemSeparator(), fyne.NewMenuItem(i18n.T("policies.remove"), func() { d.remove(p) }))
		}
		menu := widget.NewPopUpMenu(fyne.NewMenu("", items...), d.v.env.Window.Canvas())
		menu.ShowAtRelativePosition(fyne.NewPos(0, more.Size().Height), more)
		d.v.env.Window.Canvas().Focus(menu)
	})
	if p.Predefined {
		buttons = append(buttons, kit.NewButton(i18n.T("policies.duplicate"), theme.ContentCopyIcon(), func() { d.duplicate(p) }))
	}
	return kit.Flow(append(buttons, more)...)
}

// problem says what is wrong with the file of a policy, and where.
func (d *detail) problem(p api.Policy) fyne.CanvasObject {
	actions := []fyne.CanvasObject{}
	if !p.Predefined && d.text != nil {
		actions = append(actions, kit.NewButton(i18n.T("policies.problem.show"), theme.DocumentCreateIcon(), func() {
			field := ""
			if p.Problem.Position != nil {
				field = p.Problem.Position.Field
			}
			d.edit(field)
		}))
	}
	card := kit.NewErrorCard(p.Problem, actions...)
	why := reason(p.Problem)
	// The catalogue says what kind of failure it is; the service's words say what
	// is wrong.
	return kit.Column(card, kit.WithIcon(theme.NewErrorThemedResource(theme.ErrorIcon()), kit.Text(why)))
}

// reason is the service's own account of a fault, after its place unless it names
// that itself.
func reason(e *api.Error) string {
	why, at := kit.Clean(e.Why), place(e.Position)
	switch {
	case why == "":
		why = kit.Clean(e.What)
	case e.Position != nil && e.Position.Field != "" && strings.Contains(e.Why, e.Position.Field):
		return why
	}
	if at == "" {
		return why
	}
	return at + ": " + why
}

// place says where in a file something is.
func place(p *api.Position) string {
	switch {
	case p == nil:
		return ""
	case p.Line > 0 && p.Field != "" && p.File != "":
		return i18n.T("policies.place.all", "File", kit.Clean(p.File), "Line", p.Line, "Field", kit.Clean(p.Field))
	case p.Line > 0 && p.Field != "":
		return i18n.T("policies.place.field", "Line", p.Line, "Field", kit.Clean(p.Field))
	case p.Line > 0:
		return i18n.T("policies.place.line", "Line", p.Line)
	}
	return kit.Clean(p.Field)
}

// maxShown bounds the rules that the page shows; the editor lists all.
const maxShown = 50

// contents are what the policy says.
func (d *detail) contents(p *policydraft.Policy, listed api.Policy) []fyne.CanvasObject {
	objects := []fyne.CanvasObject{kit.Subheading(i18n.T("policies.rules"))}
	if len(p.Rules) == 0 {
		empty := i18n.T("policies.rules.none")
		if p.DefaultResponse.Enabled {
			empty = i18n.T("policies.rules.response")
		}
		objects = append(objects, kit.Muted(empty))
	}
	for i := range p.Rules[:min(len(p.Rules), maxShown)] {
		objects = append(objects, ruleCard(p, &p.Rules[i]))
	}
	if more := len(p.Rules) - maxShown; more > 0 {
		objects = append(objects, kit.Muted(i18n.T("policies.rules.more", "Count", more)))
	}
	fields := kit.NewFields(
		kit.Field{Label: i18n.T("policies.response"), Value: onOff(p.DefaultResponse.Enabled)},
		kit.Field{Label: i18n.T("policies.exempt"), Value: exemptText(p.Exemptions)},
		kit.Field{Label: i18n.T("policies.downgrade"), Value: downgradeText(p.Downgrade)},
	)
	return append(objects, kit.Subheading(i18n.T("policies.general")), fields)
}

func onOff(on bool) string {
	if on {
		return i18n.T("policies.on")
	}
	return i18n.T("policies.off")
}

func exemptText(e policydraft.Exemptions) string {
	switch {
	case e.LAN && e.LANDiscovery:
		return i18n.T("policies.exempt.both")
	case e.LAN:
		return i18n.T("policies.exempt.lan")
	}
	return i18n.T("policies.exempt.none")
}

func downgradeText(d policydraft.Downgrade) string {
	ttl := kit.Clean(d.TTL)
	if ttl == "" {
		ttl = "720h"
	}
	s := i18n.T("policies.downgrade.ttl", "Time", ttl)
	if n := len(d.Pins); n > 0 {
		s += "; " + i18n.T("policies.downgrade.pins", "Count", n)
	}
	return s
}

// ruleCard shows a rule.
func ruleCard(p *policydraft.Policy, r *policydraft.Rule) fyne.CanvasObject {
	a, known := p.Action(r.FilterAction)
	name := kit.Text(kit.Clean(r.Name))
	name.TextStyle.Bold = true
	badge := kit.NewBadge(actionMark(a))
	badge.Set(actionMark(a), stock(r.FilterAction))
	lines := []fyne.CanvasObject{name}
	if !r.Enabled {
		lines = append(lines, kit.Muted(i18n.T("policies.rule.disabled")))
	}
	lines = append(lines, kit.Text(stock(r.FilterList)+": "+trafficOf(p, r.FilterList)))
	meaning := actionMeaning(a)
	if !known {
		meaning = i18n.T("policies.action.missing")
	}
	lines = append(lines, kit.Muted(meaning))
	if a.Action == policydraft.Negotiate {
		lines = append(lines, kit.Muted(endpoint(r.Tunnel)))
		for _, m := range r.Auth {
			lines = append(lines, kit.Muted(authText(m)))
		}
	}
	if r.ConnectionType != "" && r.ConnectionType != "all" {
		lines = append(lines, kit.Muted(connectionType(r.ConnectionType)))
	}
	panel := kit.NewPanel(kit.Below(badge, kit.Tight(lines...)))
	return panel
}

// edit opens the editor, at a field if one is named.
func (d *detail) edit(field string) {
	if d.v.sessions[d.name] == nil {
		if d.text == nil {
			return
		}
		d.v.sessions[d.name] = newSession(d.name, d.text, false)
	}
	d.v.editor.open(d.name, field)
}

// duplicate begins a policy that says the same under another name.
func (d *detail) duplicate(p api.Policy) {
	text := d.text
	if text == nil {
		return
	}
	d.v.askName(i18n.T("policies.duplicate.title"), i18n.T("policies.duplicate.verb"), d.v.freeName(p.Name), func(name string) {
		draft, err := policydraft.Parse(text)
		if err == nil {
			draft, err = draft.Set("name", name)
		}
		if err != nil {
			kit.ShowError(d.v.env, &api.Error{Code: api.CodePolicyInvalid, What: i18n.T("policies.duplicate.failed"), Why: err.Error()})
			return
		}
		d.v.storeCopy(name, draft.Text())
	})
}

// storeCopy stores a copy. What must be completed first, as a predefined policy
// that does not say how to authenticate, is opened in the editor.
func (v *View) storeCopy(name string, text []byte) {
	v.env.Run(func(ctx context.Context) error {
		_, err := v.service().StorePolicy(ctx, api.PolicyFile{Text: text})
		return err
	}, func(err error) {
		switch e := api.AsError(err); {
		case e == nil:
			v.want = name
			v.load()
		case e.Code == api.CodePolicyInvalid:
			v.sessions[name] = newSession(name, text, true)
			v.want = name
			v.list.update()
			field := ""
			if e.Position != nil {
				field = e.Position.Field
			}
			v.editor.open(name, field)
		default:
			kit.ShowError(v.env, err)
		}
	})
}

// freeName proposes the name of a copy.
func (v *View) freeName(name string) string {
	for i := 2; ; i++ {
		if c := i18n.T("policies.duplicate.name", "Name", name, "N", i); !v.taken(c) {
			return c
		}
	}
}

// export writes the text of the policy to a file that the user names.
func (d *detail) export() {
	text, name := d.text, d.name
	if text == nil {
		return
	}
	save := dialog.NewFileSave(func(w fyne.URIWriteCloser, err error) {
		if err == nil && w != nil {
			_, err = w.Write(text)
			err = errors.Join(err, w.Close())
		}
		if err != nil {
			kit.ShowError(d.v.env, err)
		}
	}, d.v.env.Window)
	save.SetFileName(name + ".toml")
	save.Show()
}

func (d *detail) remove(p api.Policy) {
	kit.Confirm(d.v.env, i18n.T("policies.remove.title"), i18n.T("policies.remove.text", "Name", kit.Clean(p.Name)), i18n.T("policies.remove.verb"), true, func() {
		d.v.env.Run(func(ctx context.Context) error { return d.v.service().RemovePolicy(ctx, p.Name) }, func(err error) {
			if err != nil {
				kit.ShowError(d.v.env, err)
				return
			}
			delete(d.v.sessions, p.Name)
			d.v.load()
		})
	})
}
