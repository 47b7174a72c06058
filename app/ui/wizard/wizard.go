// Package wizard makes, changes, imports and hands out connections: the
// wizard of a new connection, the same for one that is there, the import of
// files with its preview, the export and the QR code.
//
// Each function opens a flow in env.Window, over the view that is in front,
// and returns at once; they run on Fyne's goroutine.
package wizard

import (
	"context"
	"errors"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/draft"
	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// New opens the wizard for a new connection.
// While a wizard is open it stays, with what is in it.
func New(env *kit.Env) {
	if !open(env) {
		start(env, draft.New(), dialogs{env})
	}
}

// open reports whether a wizard is open.
func open(env *kit.Env) bool {
	for _, o := range env.Window.Canvas().Overlays().List() {
		if s, ok := o.(*sheet); ok {
			if _, ok := s.owner.(*flow); ok {
				return true
			}
		}
	}
	return false
}

// Edit opens the wizard with the settings of a connection. Its secrets stay
// what they are where the fields for them are left empty.
func Edit(env *kit.Env, name string) { edit(env, name, dialogs{env}) }

func edit(env *kit.Env, name string, pick picker) {
	var x api.Export
	env.Run(func(ctx context.Context) (err error) {
		x, err = env.Model.Backend().Export(ctx, name)
		return err
	}, func(err error) {
		if err != nil {
			kit.ShowError(env, err)
			return
		}
		if open(env) {
			return // meanwhile
		}
		d, err := draft.Parse(x.Text)
		if err != nil {
			cannotEdit(env, name, err)
			return
		}
		start(env, d, pick)
	})
}

// cannotEdit says why the wizard is not for a connection, and offers the way out.
func cannotEdit(env *kit.Env, name string, err error) {
	why := i18n.T("wizard.edit.malformed")
	switch {
	case errors.Is(err, draft.ErrResponder):
		why = i18n.T("wizard.edit.responder")
	case errors.Is(err, draft.ErrMethods):
		why = i18n.T("wizard.edit.methods")
	}
	var d *kit.Dialog
	export := kit.NewPrimary(i18n.T("wizard.export"), theme.DocumentSaveIcon(), func() {
		d.Hide()
		Export(env, name)
	})
	d = kit.NewDialog(env, i18n.T("wizard.edit.title", "Name", name), kit.Text(why+" "+i18n.T("wizard.edit.instead")),
		kit.NewButton(i18n.T("common.close"), nil, func() { d.Hide() }), export)
	d.Focus = export
	d.Show()
}

// A flow is the wizard while it is open.
type flow struct {
	env   *kit.Env
	pick  picker
	draft *draft.Draft
	was   *draft.Draft // as the flow began

	sheet   *sheet
	rail    *steps
	body    *fyne.Container
	pages   []page
	at      int
	reached int // the last page that the user has seen
	weakOK  bool
	named   bool // the user has chosen a name

	cancel, back, next, save, connect *kit.Button
	busy                              bool
}

// A page is a step of the wizard. Its widgets write to the draft as the user
// types.
type page interface {
	title() string
	content() fyne.CanvasObject
	// enter is called when the page comes to the front.
	enter()
	// has reports whether a field is on this page.
	has(field string) bool
	// fault shows what is wrong with a field; clear takes all such away.
	fault(field, text string)
	clear()
	focus() fyne.Focusable
}

func start(env *kit.Env, d *draft.Draft, pick picker) *flow {
	f := &flow{env: env, pick: pick, draft: d, was: d.Clone(), at: -1, named: d.Edited()}
	f.cancel = kit.NewQuiet(i18n.T("common.cancel"), nil, f.leave)
	f.back = kit.NewButton(i18n.T("wizard.back"), theme.NavigateBackIcon(), func() { f.show(f.at - 1) })
	f.next = kit.NewPrimary(i18n.T("wizard.next"), theme.NavigateNextIcon(), f.forward)
	f.next.IconPlacement = 1 // behind the text, as it points
	f.save = kit.NewButton(i18n.T("wizard.save"), theme.DocumentSaveIcon(), func() { f.store(false) })
	f.connect = kit.NewPrimary(i18n.T("wizard.saveConnect"), theme.LoginIcon(), func() { f.store(true) })
	f.pages = []page{newGatewayPage(f), newProofPage(f), newTrustPage(f), newTrafficPage(f), newProfilePage(f), newSummaryPage(f)}
	var titles []string
	for _, p := range f.pages {
		titles = append(titles, p.title())
	}
	f.rail = newSteps(titles, f.show)
	f.body = kit.Column()
	title := i18n.T("wizard.new.title")
	if d.Edited() {
		title = i18n.T("wizard.edit.title", "Name", d.Name)
		f.reached = len(f.pages) - 1
	}
	f.sheet = newSheet(env, title, f.rail.box, f.rail.line, kit.Measure(42, f.body), f.cancel, f.back, f.next, f.save, f.connect)
	f.sheet.owner = f
	f.sheet.onEscape = f.leave
	f.sheet.onEnter = f.forward
	f.sheet.open()
	f.show(0)
	return f
}

// show brings a page to the front.
func (f *flow) show(i int) {
	if i < 0 || i >= len(f.pages) || f.busy {
		return
	}
	f.at, f.reached = i, max(f.reached, i)
	p := f.pages[i]
	p.enter()
	f.body.Objects = []fyne.CanvasObject{p.content()}
	f.sheet.scroll.Offset = fyne.Position{}
	f.refresh()
	if o := p.focus(); o != nil {
		f.env.Window.Canvas().Focus(o)
	}
}

// refresh shows where the flow is, and lays the page out again.
func (f *flow) refresh() {
	if f.sheet == nil || f.at < 0 {
		return // under construction
	}
	last := f.at == len(f.pages)-1
	kit.SetShown(f.back, f.at > 0)
	kit.SetShown(f.next, !last)
	kit.SetShown(f.save, last)
	kit.SetShown(f.connect, last)
	for _, b := range []*kit.Button{f.back, f.next, f.save, f.connect} {
		if f.busy {
			b.Disable()
		} else {
			b.Enable()
		}
	}
	faults := f.draft.Check()
	for i, p := range f.pages {
		st := stepDone
		switch {
		case i == f.at:
			st = stepHere
		case i > f.reached:
			st = stepAhead
		case f.wrong(p, faults):
			st = stepWrong
		}
		f.rail.set(i, st)
	}
	kit.SetText(f.rail.line, i18n.T("wizard.step", "Number", f.at+1, "Total", len(f.pages), "Title", f.pages[f.at].title()))
	f.sheet.relayout()
}

func (f *flow) wrong(p page, faults []draft.Fault) bool {
	for _, x := range faults {
		if p.has(x.Field) {
			return true
		}
	}
	return false
}

// forward checks the page in front and goes on, or saves.
func (f *flow) forward() {
	if f.busy {
		return
	}
	if f.at == len(f.pages)-1 {
		f.store(false)
		return
	}
	if f.check(f.at) {
		f.show(f.at + 1)
		return
	}
	f.reveal()
}

// reveal scrolls to the first fault of the page in front, if it is not in sight.
func (f *flow) reveal() {
	content := f.pages[f.at].content()
	wrong := faultIn(content)
	if wrong == nil {
		return
	}
	scroll, driver := f.sheet.scroll, fyne.CurrentApp().Driver()
	top := driver.AbsolutePositionForObject(wrong).Y - driver.AbsolutePositionForObject(scroll).Y
	if over := top + wrong.Size().Height - scroll.Size().Height; over > 0 || top < 0 {
		scroll.ScrollToOffset(fyne.NewPos(0, max(0, scroll.Offset.Y+max(over, min(top, 0))+theme.Padding())))
	}
}

// faultIn returns the first fault that is shown within o.
func faultIn(o fyne.CanvasObject) fyne.CanvasObject {
	if !o.Visible() {
		return nil
	}
	switch o := o.(type) {
	case *widget.Label:
		if o.Importance == widget.DangerImportance && o.Text != "" {
			return o
		}
	case *fyne.Container:
		for _, child := range o.Objects {
			if found := faultIn(child); found != nil {
				return found
			}
		}
	}
	return nil
}

// check shows what is wrong on a page, and reports whether nothing is.
func (f *flow) check(i int) bool {
	p := f.pages[i]
	p.clear()
	ok := true
	for _, x := range f.faults() {
		if p.has(x.Field) {
			p.fault(x.Field, faultText(x))
			ok = false
		}
	}
	if p, proof := p.(*proofPage); proof && ok && !p.strongEnough() {
		ok = false
	}
	f.refresh()
	return ok
}

// faults are those of the draft and of its name among the others.
func (f *flow) faults() []draft.Fault {
	return f.draft.Check()
}

// taken reports whether another connection has a name, whatever its case: some
// systems take both for one file.
func (f *flow) taken(name string) bool {
	if f.draft.Edited() {
		return false
	}
	for _, c := range f.env.Model.Snapshot().Connections {
		if strings.EqualFold(c.Name, name) {
			return true
		}
	}
	return false
}

// ready checks all pages, and brings the first with a fault to the front.
func (f *flow) ready() bool {
	for i := range f.pages {
		f.reached = len(f.pages) - 1
		if !f.check(i) {
			if i != f.at {
				f.show(i)
				f.check(i)
			}
			return false
		}
	}
	if f.taken(f.draft.Name) {
		f.pages[f.at].fault(draft.FieldName, i18n.T("wizard.fault.taken"))
		f.refresh()
		return false
	}
	return true
}

// store saves the connection, and then connects it.
func (f *flow) store(connect bool) {
	if f.busy || !f.ready() {
		return
	}
	sum := f.pages[len(f.pages)-1].(*summaryPage)
	f.work(i18n.T("wizard.saving"))
	req := f.draft.Request(false)
	f.env.Run(func(ctx context.Context) error {
		defer clear(req.Password)
		res, err := f.env.Model.Backend().Import(ctx, req)
		if err == nil && len(res.Imported) == 0 {
			err = &api.Error{Code: api.CodeProfileInvalid, What: "The connection was not stored.", Why: strings.Join(append(res.Refused, res.Missing...), "\n")}
		}
		return err
	}, func(err error) {
		f.rest()
		if err != nil {
			sum.failed(api.AsError(err))
			return
		}
		f.draft.Secret = ""
		f.sheet.close()
		f.env.Go(kit.Connections, f.draft.Name)
		if connect {
			name := f.draft.Name
			f.env.Run(func(ctx context.Context) error { return f.env.Model.Connect(ctx, name) }, func(error) {
				// Why it did not connect stands in the connection's own page.
			})
		}
	})
}

// work says that something is under way, and lets nothing else begin.
func (f *flow) work(what string) {
	f.busy = true
	f.pages[len(f.pages)-1].(*summaryPage).busy.Start(what)
	f.refresh()
}

func (f *flow) rest() {
	f.busy = false
	f.pages[len(f.pages)-1].(*summaryPage).busy.Stop()
	f.refresh()
}

// leave closes the wizard, and asks first when something would be lost.
func (f *flow) leave() {
	if f.busy {
		f.pages[len(f.pages)-1].(*summaryPage).stop()
		return
	}
	if f.draft.Equal(f.was) {
		f.sheet.close()
		return
	}
	kit.Confirm(f.env, i18n.T("wizard.leave.title"), i18n.T("wizard.leave.text"), i18n.T("wizard.leave.yes"), true, func() {
		f.draft.Secret = ""
		f.sheet.close()
	})
}
