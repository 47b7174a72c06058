// Package settings is the page of what a user chooses of the window and the
// tray, and of what versions are at work. Every choice holds at once.
package settings

import (
	"context"
	"fmt"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/prefs"
	apptheme "sallyport/app/theme"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// Login starts the program when the user logs in.
type Login interface {
	Enabled() (bool, error)
	Set(on bool) error
}

// Options are what the page works on.
type Options struct {
	Prefs *prefs.Store
	// Applied is called, on Fyne's goroutine, when a choice has changed.
	Applied func(prefs.Prefs)
	Login   Login // nil: it is not offered
	// Notifies says that notifications can be shown here.
	Notifies bool
}

// A View is the page of the settings.
type View struct {
	env  *kit.Env
	opt  Options
	root fyne.CanvasObject

	login   *kit.Check
	quiet   bool // the check follows the system, not the user
	problem *kit.Note
	version *widget.Label
	said    string
}

var _ kit.View = (*View)(nil)

// New returns the page.
func New(env *kit.Env, opt Options) *View {
	v := &View{env: env, opt: opt, problem: kit.Warning(""), version: kit.Text("")}
	v.problem.Hide()
	v.root = container.NewVScroll(container.NewPadded(kit.Measure(46, kit.Sections(
		kit.Heading(i18n.T("settings.title")), v.problem, v.start(), v.look(), v.about()))))
	return v
}

// Content implements kit.View.
func (v *View) Content() fyne.CanvasObject { return v.root }

// Update implements kit.View.
func (v *View) Update(s *model.Snapshot) {
	said := i18n.T("settings.about.client", "Version", api.Version)
	switch {
	case s.Link == model.Linked:
		said += "\n" + i18n.T("settings.about.service", "Version", s.Service.Version, "Since", s.Service.Started)
	case s.Service.Version != "":
		said += "\n" + i18n.T("settings.about.was", "Version", s.Service.Version)
	default:
		said += "\n" + i18n.Say(s.Headline)
	}
	if said != v.said {
		v.said = said
		v.version.SetText(said)
	}
}

// Shown implements kit.View.
func (v *View) Shown(shown bool) {
	if shown && v.login != nil {
		v.askLogin()
	}
}

// change stores a choice and lets it hold.
func (v *View) change(f func(*prefs.Prefs)) {
	p := v.opt.Prefs.Get()
	old := p
	if f(&p); p == old {
		return
	}
	err := v.opt.Prefs.Set(p)
	v.fail(err)
	if v.opt.Applied != nil {
		v.opt.Applied(v.opt.Prefs.Get())
	}
}

// fail shows what could not be done; nil takes it away.
func (v *View) fail(err error) {
	if err == nil {
		v.problem.SetText("")
		return
	}
	v.problem.SetText(i18n.T("settings.failed", "Why", err.Error()))
}

func (v *View) start() fyne.CanvasObject {
	var rows []fyne.CanvasObject
	if v.opt.Login != nil {
		v.login = kit.NewCheck(i18n.T("settings.login"), func(on bool) {
			if v.quiet {
				return
			}
			v.env.Run(func(context.Context) error { return v.opt.Login.Set(on) }, func(err error) {
				v.fail(err)
				v.askLogin()
			})
		})
		rows = append(rows, kit.Tight(v.login, kit.Muted(i18n.T("settings.login.text"))))
	}
	if v.opt.Notifies {
		notify := kit.NewCheck(i18n.T("settings.notify"), func(on bool) { v.change(func(p *prefs.Prefs) { p.Notify = on }) })
		notify.Checked = v.opt.Prefs.Get().Notify
		rows = append(rows, kit.Tight(notify, kit.Muted(i18n.T("settings.notify.text"))))
	}
	if len(rows) == 0 {
		return kit.Column()
	}
	return kit.Section(kit.Subheading(i18n.T("settings.start")), kit.CardBox(rows...))
}

// askLogin makes the check show what the system really does.
func (v *View) askLogin() {
	var on bool
	v.env.Run(func(context.Context) (err error) {
		on, err = v.opt.Login.Enabled()
		return err
	}, func(err error) {
		if err != nil {
			v.fail(err)
			return
		}
		v.quiet = true
		v.login.SetChecked(on)
		v.quiet = false
	})
}

func (v *View) look() fyne.CanvasObject {
	p := v.opt.Prefs.Get()

	looks := []string{prefs.System, prefs.Light, prefs.Dark}
	look := pick([]string{i18n.T("settings.look.system"), i18n.T("settings.look.light"), i18n.T("settings.look.dark")},
		slices.Index(looks, p.Look), func(i int) { v.change(func(p *prefs.Prefs) { p.Look = looks[i] }) })

	var sizes []string
	for _, n := range prefs.Texts() {
		sizes = append(sizes, fmt.Sprintf("%d %%", n))
	}
	size := pick(sizes, slices.Index(prefs.Texts(), p.Text), func(i int) { v.change(func(p *prefs.Prefs) { p.Text = prefs.Texts()[i] }) })

	names, tags := []string{i18n.T("settings.language.system")}, []string{i18n.System}
	for _, l := range i18n.Languages() {
		names, tags = append(names, l.Name), append(tags, l.Tag)
	}
	language := pick(names, max(0, slices.Index(tags, p.Language)), func(i int) { v.change(func(p *prefs.Prefs) { p.Language = tags[i] }) })

	return kit.Section(kit.Subheading(i18n.T("settings.look")), kit.CardBox(
		kit.Caption(i18n.T("settings.theme")), kit.Flow(kit.Framed(look)),
		kit.Caption(i18n.T("settings.text")), kit.Flow(kit.Framed(size)),
		kit.Caption(i18n.T("settings.language")), kit.Flow(kit.Framed(language))))
}

// pick returns a list to choose one of, as wide as its widest option.
func pick(options []string, now int, changed func(i int)) *widget.Select {
	s := widget.NewSelect(options, nil)
	for _, o := range options {
		if fyne.MeasureText(o, 14, fyne.TextStyle{}).Width > fyne.MeasureText(s.PlaceHolder, 14, fyne.TextStyle{}).Width || o == options[0] {
			s.PlaceHolder = o
		}
	}
	s.SetSelectedIndex(now)
	s.OnChanged = func(string) { changed(max(0, s.SelectedIndex())) }
	return s
}

func (v *View) about() fyne.CanvasObject {
	v.version.Selectable = true
	return kit.Section(kit.Subheading(i18n.T("settings.about")), kit.CardBox(
		kit.WithIcon(apptheme.AppIcon(), v.version), kit.Muted(i18n.T("settings.about.text"))))
}
