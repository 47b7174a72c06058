package policies

import (
	"errors"
	"strconv"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/policydraft"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// An editor shows a session: its parts as forms, and its text.
type editor struct {
	v    *View
	root *fyne.Container
	s    *session // nil: closed

	title    *widget.Label
	status   *widget.Label
	notes    *fyne.Container
	problems *fyne.Container
	undo     *kit.Button
	discard  *kit.Button
	save     *kit.Button
	tabs     *kit.Tabs
	rules    *items
	lists    *items
	actions  *items
	general  *fyne.Container
	text     *textPane

	form    *container.Scroll // in front; nil: none
	fields  []*field          // of the form in front: findings are shown at them
	pending []change          // what is typed and not yet part of the draft
	busy    bool              // it is being saved
}

// A change is a value that waits to be set.
type change struct {
	path  string
	apply func()
}

func newEditor(v *View) *editor {
	e := &editor{v: v, title: kit.Heading(""), status: kit.Muted(""), notes: kit.Column(), problems: kit.Column(), general: container.NewStack()}
	back := kit.NewButton(i18n.T("policies.back"), theme.NavigateBackIcon(), e.close)
	e.undo = kit.NewButton(i18n.T("policies.undo"), theme.ContentUndoIcon(), e.doUndo)
	e.discard = kit.NewButton(i18n.T("policies.discard"), theme.DeleteIcon(), e.doDiscard)
	e.save = kit.NewPrimary(i18n.T("policies.save"), theme.DocumentSaveIcon(), e.doSave)
	e.rules = newItems(e, "rules", i18n.T("policies.rule.add"), i18n.T("policies.rules.none"), true, e.addRule, e.ruleForm)
	e.lists = newItems(e, "filter_lists", i18n.T("policies.list.add"), i18n.T("policies.lists.none"), false, e.addList, e.listForm)
	e.actions = newItems(e, "filter_actions", i18n.T("policies.act.add"), i18n.T("policies.acts.none"), false, e.addAction, e.actionForm)
	e.text = newTextPane(e)
	e.tabs = kit.NewTabs(
		kit.Tab{ID: "rules", Title: i18n.T("policies.rules"), Content: e.rules.root},
		kit.Tab{ID: "filter_lists", Title: i18n.T("policies.lists"), Content: e.lists.root},
		kit.Tab{ID: "filter_actions", Title: i18n.T("policies.acts"), Content: e.actions.root},
		kit.Tab{ID: "general", Title: i18n.T("policies.general"), Content: e.general},
		kit.Tab{ID: "text", Title: i18n.T("policies.text"), Content: e.text.root},
	)
	e.tabs.OnChanged = func(string) {
		e.flush()
		e.build()
	}
	head := kit.Column(kit.Tight(e.title, e.status), kit.Flow(back, e.undo, e.discard, e.save), e.notes, e.problems)
	e.root = container.NewPadded(kit.Below(head, e.tabs))
	return e
}

// open edits a session, at a field of the policy when one is named.
func (e *editor) open(name, field string) {
	e.flush()
	e.s = e.v.sessions[name]
	if e.s == nil {
		return
	}
	e.v.root.Objects = []fyne.CanvasObject{e.root}
	e.v.root.Refresh()
	e.build()
	e.changed()
	if field != "" || e.s.fault != nil {
		e.jump(api.Position{Field: field})
	}
}

// close goes back to the list. The session stays.
func (e *editor) close() {
	if e.s == nil {
		return
	}
	e.flush()
	if name := e.s.name; !e.s.dirty() {
		delete(e.v.sessions, name)
	}
	e.v.want = e.s.name
	e.s = nil
	e.v.root.Objects = []fyne.CanvasObject{container.NewPadded(e.v.tabs)}
	e.v.root.Refresh()
	e.v.list.update()
}

// pend sets a value later: when the focus leaves its field, or anything else
// is done.
func (e *editor) pend(path string, apply func()) {
	for i := range e.pending {
		if e.pending[i].path == path {
			e.pending[i].apply = apply
			return
		}
	}
	e.pending = append(e.pending, change{path, apply})
	e.head()
}

// flush sets what is pending.
func (e *editor) flush() {
	for len(e.pending) > 0 {
		c := e.pending[0]
		e.pending = e.pending[1:]
		c.apply()
	}
}

// set sets a value of the draft.
func (e *editor) set(path string, value any) {
	e.edit(func(d *policydraft.Draft) (*policydraft.Draft, error) { return d.Set(path, value) })
}

// edit changes the draft. Where that cannot be done in place, the user decides
// whether the text is written anew.
func (e *editor) edit(do func(*policydraft.Draft) (*policydraft.Draft, error)) {
	s := e.s
	if s == nil || s.fault != nil {
		return
	}
	d, err := do(s.draft)
	switch {
	case err == nil && d != s.draft:
		s.apply(d)
		e.changed()
	case errors.Is(err, policydraft.ErrShape):
		kit.Confirm(e.v.env, i18n.T("policies.rewrite.title"), i18n.T("policies.rewrite.text"), i18n.T("policies.rewrite.verb"), true, func() {
			n, err := s.draft.Rewrite()
			if err == nil {
				n, err = do(n)
			}
			if err != nil {
				kit.ShowError(e.v.env, &api.Error{Code: api.CodePolicyInvalid, What: i18n.T("policies.rewrite.failed"), Why: err.Error()})
				return
			}
			s.apply(n)
			e.changed()
			e.build()
		})
	}
}

// changed follows a change of the session's text.
func (e *editor) changed() {
	s := e.s
	if s == nil {
		return
	}
	e.head()
	e.names()
	e.v.check(s, func() {
		if e.s == s {
			e.found()
		}
	})
	e.found()
}

// names shows what the parts are called now.
func (e *editor) names() {
	p := e.s.draft.Policy()
	e.rules.update(len(p.Rules), func(i int) (string, string) {
		r := &p.Rules[i]
		return r.Name, stock(r.FilterList) + " · " + stock(r.FilterAction)
	})
	e.lists.update(len(p.FilterLists), func(i int) (string, string) {
		return p.FilterLists[i].Name, i18n.T("policies.filters.count", "Count", len(p.FilterLists[i].Filters))
	})
	e.actions.update(len(p.FilterActions), func(i int) (string, string) {
		return p.FilterActions[i].Name, actionWord(p.FilterActions[i].Action)
	})
}

// head shows how the session stands.
func (e *editor) head() {
	s := e.s
	if s == nil {
		return
	}
	kit.SetText(e.title, kit.Clean(s.name))
	dirty := s.dirty() || len(e.pending) > 0
	p, _ := e.v.find(s.name)
	status := i18n.T("policies.status.saved")
	switch {
	case e.busy:
		status = i18n.T("policies.status.saving")
	case s.new:
		status = i18n.T("policies.status.new")
	case dirty && p.Assigned:
		status = i18n.T("policies.status.dirty.assigned")
	case dirty:
		status = i18n.T("policies.status.dirty")
	}
	if e.status.Text != status {
		e.status.SetText(status)
		e.root.Refresh() // it may have become another number of lines
	}
	enable := func(b *kit.Button, on bool) {
		if on == b.Disabled() {
			if on {
				b.Enable()
			} else {
				b.Disable()
			}
		}
	}
	enable(e.undo, len(s.undo) > 0)
	enable(e.discard, dirty)
	enable(e.save, dirty && !e.busy)
	var notes []fyne.CanvasObject
	if s.saved && p.Assigned {
		notes = append(notes, kit.Warning(i18n.T("policies.saved.assigned")),
			kit.Flow(kit.NewButton(i18n.T("policies.assign.again"), theme.MediaReplayIcon(), func() { e.v.assign(s.name) })))
	}
	if len(notes) > 0 || len(e.notes.Objects) > 0 {
		e.notes.Objects = notes
		e.notes.Refresh()
	}
}

// mostProblems is how many problems are shown above the forms.
const mostProblems = 2

// found shows what is wrong, above the forms and at the fields.
func (e *editor) found() {
	problems := e.s.problems()
	var rows []fyne.CanvasObject
	for _, f := range problems[:min(len(problems), mostProblems)] {
		rows = append(rows, e.problem(f))
	}
	if more := len(problems) - mostProblems; more > 0 {
		rows = append(rows, kit.Muted(i18n.T("policies.problems.more", "Count", more)))
	}
	if len(rows) > 0 || len(e.problems.Objects) > 0 {
		e.problems.Objects = rows
		e.problems.Refresh()
		e.root.Refresh()
	}
	moved := false
	for _, f := range e.fields {
		moved = f.say(kit.Clean(e.s.at(f.path, f.deep))) || moved
	}
	if moved && e.form != nil {
		e.form.Content.Refresh()
		e.form.Refresh()
	}
	e.text.marks(problems)
	for _, l := range []*items{e.rules, e.lists, e.actions} {
		l.widget.Refresh()
	}
}

func (e *editor) problem(f api.Finding) fyne.CanvasObject {
	var icon fyne.Resource = theme.NewWarningThemedResource(theme.WarningIcon())
	if f.Error {
		icon = theme.NewErrorThemedResource(theme.ErrorIcon())
	}
	text := kit.Clean(f.Text)
	if at := place(&api.Position{Line: f.Position.Line, Field: f.Position.Field}); at != "" {
		text = at + ": " + text
	}
	return container.New(rowEnd{}, kit.WithIcon(icon, kit.Text(text)),
		kit.NewQuiet(i18n.T("policies.problem.go"), theme.NavigateNextIcon(), func() { e.jump(f.Position) }))
}

// rowEnd sets a button behind text that wraps.
type rowEnd struct{}

func (rowEnd) MinSize(o []fyne.CanvasObject) fyne.Size {
	a, b := o[0].MinSize(), o[1].MinSize()
	return fyne.NewSize(a.Width+b.Width, max(a.Height, b.Height))
}

func (rowEnd) Layout(o []fyne.CanvasObject, s fyne.Size) {
	b := o[1].MinSize()
	o[0].Move(fyne.Position{})
	o[0].Resize(fyne.NewSize(max(0, s.Width-b.Width), s.Height))
	o[1].Move(fyne.NewPos(s.Width-b.Width, 0))
	o[1].Resize(b)
}

// jump leads to what a finding is about: its form, or its line while the text is
// in front or cannot be read.
func (e *editor) jump(p api.Position) {
	if e.s.fault != nil {
		e.tabs.Select("text")
		e.text.line(e.s.fault.Line)
		return
	}
	if e.tabs.Selected() == "text" {
		line := p.Line
		if line == 0 {
			line = e.s.draft.Line(p.Field)
		}
		e.text.line(line)
		return
	}
	top, rest, _ := strings.Cut(p.Field, "[")
	index, _, _ := strings.Cut(rest, "]")
	i, err := strconv.Atoi(index)
	for _, l := range []*items{e.rules, e.lists, e.actions} {
		if l.path == top && err == nil {
			e.tabs.Select(top)
			l.choose(i)
			e.focus(p.Field)
			return
		}
	}
	if p.Field != "" {
		e.tabs.Select("general")
		e.focus(p.Field)
		return
	}
	e.tabs.Select("text")
	e.text.line(p.Line)
}

// focus puts the focus on the control of a field.
func (e *editor) focus(path string) {
	for _, f := range e.fields {
		if f.path == path || f.deep && within(path, f.path) {
			if c, ok := f.control.(fyne.Focusable); ok {
				e.v.env.Window.Canvas().Focus(c)
			}
		}
	}
}

// build makes the form in front anew, after a change that is not its own.
func (e *editor) build() {
	if e.s == nil {
		return
	}
	e.fields, e.form = nil, nil
	e.names()
	switch e.tabs.Selected() {
	case "rules":
		e.rules.build()
	case "filter_lists":
		e.lists.build()
	case "filter_actions":
		e.actions.build()
	case "general":
		e.general.Objects = []fyne.CanvasObject{e.readable(e.generalForm)}
		e.general.Refresh()
	case "text":
		e.text.show()
	}
	e.found()
}

// readable returns a form, or says that the text must be repaired before.
func (e *editor) readable(form func() fyne.CanvasObject) fyne.CanvasObject {
	if e.s.fault == nil {
		return form()
	}
	return kit.Empty(theme.ErrorIcon(), i18n.T("policies.unreadable.title"), i18n.T("policies.unreadable.text", "Line", e.s.fault.Line),
		kit.NewPrimary(i18n.T("policies.unreadable.show"), nil, func() { e.jump(api.Position{}) }))
}

func (e *editor) doUndo() {
	e.flush()
	e.s.back()
	e.build()
	e.changed()
}

func (e *editor) doDiscard() {
	s := e.s
	kit.Confirm(e.v.env, i18n.T("policies.discard.title"), i18n.T("policies.discard.text", "Name", kit.Clean(s.name)), i18n.T("policies.discard.verb"), true, func() {
		e.pending = nil
		if s.new {
			delete(e.v.sessions, s.name)
			e.close()
			return
		}
		n := newSession(s.name, s.base, false)
		e.v.sessions[s.name], e.s = n, n
		e.build()
		e.changed()
	})
}

func (e *editor) doSave() {
	e.flush()
	s := e.s
	if s.fault != nil {
		e.jump(api.Position{})
		return
	}
	if name := s.draft.Policy().Name; name != s.name && e.v.taken(name) {
		kit.ShowError(e.v.env, &api.Error{Code: api.CodeExists, What: i18n.T("policies.name.taken")})
		return
	}
	e.busy = true
	e.head()
	e.v.save(s, func(err error) {
		e.busy = false
		if e.s == s {
			e.head()
			e.found()
		}
		if err == nil {
			return
		}
		if f := api.AsError(err); f.Code == api.CodePolicyInvalid && f.Position != nil && e.s == s {
			e.jump(*f.Position)
			return
		}
		kit.ShowError(e.v.env, err)
	})
}
