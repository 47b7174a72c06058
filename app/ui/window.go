// Package ui is the window: the navigation at the left, the page that is in
// front, what the whole service has to say above it, and what is said when
// there is no service.
package ui

import (
	"context"
	"slices"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/prefs"
	apptheme "sallyport/app/theme"
	"sallyport/app/ui/connections"
	"sallyport/app/ui/diagnosis"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/monitor"
	"sallyport/app/ui/policies"
	"sallyport/app/ui/prompts"
	"sallyport/app/ui/settings"
	"sallyport/app/ui/wizard"
)

// The sizes of the window.
var (
	Default  = fyne.NewSize(980, 680)
	Smallest = fyne.NewSize(720, 520)
)

// Pages are the pages in the order of the navigation; Ctrl+1 is the first.
var Pages = []kit.Page{kit.Connections, kit.Policies, kit.Monitor, kit.Diagnosis, kit.Settings}

// Options are what a window is made of.
type Options struct {
	Model    *model.Model
	Prefs    *prefs.Store
	Login    settings.Login // nil: it is not offered
	Notifies bool           // notifications can be shown here
	Service  Service
	Now      func() time.Time // nil: time.Now
	// Close is called when the user closes the window and nothing speaks against
	// it. Nil: the window closes.
	Close func()
	// Shown is called, on Fyne's goroutine, after a snapshot has been shown.
	Shown func(*model.Snapshot)
	Poke  func() // see kit.Env
}

// A Window is the one window of the program. Its methods run on Fyne's
// goroutine.
type Window struct {
	app fyne.App
	opt Options
	win fyne.Window
	env *kit.Env

	views   map[kit.Page]kit.View
	asks    *prompts.Prompts
	rail    *rail
	banners *banners
	link    *linkPage
	stack   *fyne.Container
	current kit.Page
	linked  bool // the page itself is in front, not what is wrong with the service
	visible bool
	snap    *model.Snapshot
	bound   map[fyne.KeyName]func() // what Ctrl with a key does
}

// New returns the window, which is not shown yet, and follows the model until
// ctx ends.
func New(ctx context.Context, a fyne.App, opt Options) *Window {
	w := &Window{app: a, opt: opt, win: a.NewWindow("Sallyport"), snap: opt.Model.Snapshot(), current: kit.Connections}
	now := opt.Now
	if now == nil {
		now = time.Now
	}
	w.env = &kit.Env{Model: opt.Model, Window: w.win, Now: now, Go: w.Go, Context: ctx, Poke: opt.Poke}
	Apply(a, opt.Prefs.Get())
	w.build()
	w.win.SetPadded(false)
	w.win.SetIcon(apptheme.AppIcon())
	w.win.Resize(Default)
	w.win.SetOnDropped(func(_ fyne.Position, uris []fyne.URI) { w.drop(uris) })
	w.win.SetCloseIntercept(w.close)
	w.keys()
	return w
}

// Window returns the window as Fyne has it.
func (w *Window) Window() fyne.Window { return w.win }

// Env returns what the views are given.
func (w *Window) Env() *kit.Env { return w.env }

// Follow shows what the model says from now on, until the context of New ends.
func (w *Window) Follow() {
	stop := w.opt.Model.Watch(func(s *model.Snapshot) {
		w.env.Do(func() { w.Update(s) })
	})
	context.AfterFunc(w.env.Context, stop)
}

// Apply makes an app look and speak as its user has chosen.
func Apply(a fyne.App, p prefs.Prefs) {
	i18n.Use(p.Language)
	look := apptheme.System
	switch p.Look {
	case prefs.Light:
		look = apptheme.Light
	case prefs.Dark:
		look = apptheme.Dark
	}
	a.Settings().SetTheme(apptheme.New(apptheme.Options{Look: look, Text: float32(p.Text) / 100, Font: apptheme.FontFor(i18n.Current())}))
}

// build makes all that the window shows: at first, and when the language has
// changed.
func (w *Window) build() {
	if v := w.views[w.current]; v != nil && w.visible && w.linked {
		v.Shown(false)
	}
	w.views = map[kit.Page]kit.View{}
	if w.asks == nil {
		w.asks = prompts.New(w.env)
	}
	w.banners = newBanners(w.env)
	w.link = newLinkPage(w.env, w.opt.Service)
	w.stack = container.NewStack()
	w.rail = newRail(w.Show)
	center := kit.Under(w.banners.root, w.stack)
	w.win.SetContent(container.New(&frame{w.rail}, w.rail.root, center))
	w.linked = false
	w.front()
}

// view returns a page, made when it is first wanted.
func (w *Window) view(p kit.Page) kit.View {
	v := w.views[p]
	if v != nil {
		return v
	}
	switch p {
	case kit.Policies:
		v = policies.New(w.env)
	case kit.Monitor:
		v = monitor.New(w.env)
	case kit.Diagnosis:
		v = diagnosis.New(w.env)
	case kit.Settings:
		v = settings.New(w.env, settings.Options{Prefs: w.opt.Prefs, Login: w.opt.Login, Notifies: w.opt.Notifies, Applied: w.apply})
	default:
		v = connections.New(w.env)
	}
	w.views[p] = v
	return v
}

// apply lets a choice of the settings hold.
func (w *Window) apply(p prefs.Prefs) {
	before := i18n.Current()
	Apply(w.app, p)
	if i18n.Current() != before {
		w.build()
		return
	}
	w.win.Content().Refresh()
}

// Update shows a snapshot.
func (w *Window) Update(s *model.Snapshot) {
	w.snap = s
	w.front()
	w.asks.Update(s)
	if w.opt.Shown != nil {
		w.opt.Shown(s)
	}
}

// needsService reports whether a page has nothing to show without a service.
func needsService(p kit.Page) bool { return p != kit.Settings && p != kit.Diagnosis }

// front brings the current page up to date, or what is wrong with the service
// in its place.
func (w *Window) front() {
	s := w.snap
	w.rail.update(s, w.current)
	w.banners.update(s, needsService(w.current))
	linked := s.Link == model.Linked || !needsService(w.current)
	v := w.view(w.current)
	want := v.Content()
	if !linked {
		w.link.update(s)
		want = w.link.root
	}
	if len(w.stack.Objects) != 1 || w.stack.Objects[0] != want {
		w.stack.Objects = []fyne.CanvasObject{want}
		w.stack.Refresh()
	}
	if linked {
		v.Update(s)
	}
	if linked != w.linked {
		w.linked = linked
		v.Shown(linked && w.visible)
	}
}

// Show brings a page to the front.
func (w *Window) Show(p kit.Page) {
	if !slices.Contains(Pages, p) || p == w.current {
		return
	}
	if w.linked {
		w.view(w.current).Shown(false)
	}
	w.current, w.linked = p, false
	w.win.Canvas().Unfocus()
	w.front()
}

// Page returns the page that is in front.
func (w *Window) Page() kit.Page { return w.current }

// A selecter is a view in which something can be selected from elsewhere.
type selecter interface{ Select(name string) }

// Go implements kit.Env.Go.
func (w *Window) Go(p kit.Page, arg string) {
	w.Show(p)
	if v, ok := w.view(p).(selecter); ok && arg != "" && w.linked {
		v.Select(arg)
	}
}

// SetVisible tells the window that it can be seen, or no more: then its views
// ask the service for nothing.
func (w *Window) SetVisible(visible bool) {
	if visible == w.visible {
		return
	}
	w.visible = visible
	if w.linked {
		w.view(w.current).Shown(visible)
	}
}

// Visible reports what SetVisible said last.
func (w *Window) Visible() bool { return w.visible }

// Raise shows the window in front of others.
func (w *Window) Raise() {
	w.SetVisible(true)
	w.win.Show()
	w.win.RequestFocus()
}

// drop imports the files that were dropped on the window.
func (w *Window) drop(uris []fyne.URI) {
	var files []string
	for _, u := range uris {
		if u.Scheme() == "file" {
			files = append(files, u.Path())
		}
	}
	w.Import(files)
}

// Import opens the import with these files, when there is a service.
func (w *Window) Import(files []string) {
	if len(files) > 0 && w.snap.Link == model.Linked {
		w.Show(kit.Connections)
		wizard.Import(w.env, files)
	}
}

// close closes the window, or asks before changes are lost.
func (w *Window) close() {
	do := func() {
		if w.opt.Close != nil {
			w.opt.Close()
			return
		}
		w.win.Close()
	}
	var unsaved []string
	if p, ok := w.views[kit.Policies].(*policies.View); ok {
		unsaved = p.Unsaved()
	}
	if len(unsaved) == 0 {
		do()
		return
	}
	w.Show(kit.Policies)
	kit.Confirm(w.env, i18n.T("ui.unsaved.title"), i18n.T("ui.unsaved.text", "Names", strings.Join(unsaved, ", ")), i18n.T("ui.unsaved.close"), true, do)
}
