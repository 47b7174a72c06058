// Package monitor is the page of the IP security monitor: which policy is in
// force, the main mode and quick mode SAs, what was dropped and what failed, and
// how much of the traffic of each rule was protected.
package monitor

import (
	"context"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// The pages of the monitor.
const (
	tabOverview = "overview"
	tabMain     = "main"
	tabQuick    = "quick"
	tabCoverage = "coverage"
	tabCounts   = "counts"
)

// A View is the page of the monitor.
type View struct {
	env  *kit.Env
	root fyne.CanvasObject

	warning *kit.Note
	stale   *kit.Note
	tabs    *kit.Tabs

	overview *overview
	main     *associations[api.IKESA]
	quick    *associations[api.ChildSA]
	coverage *coverage
	counts   *counts

	linked bool
	shown  bool
	told   bool               // a note stands over the tabs
	stop   context.CancelFunc // of the polling; nil: there is none
	last   time.Time          // of the newest answer
}

var _ kit.View = (*View)(nil)

// New returns the page.
func New(env *kit.Env) *View {
	v := &View{env: env, warning: kit.Warning(""), stale: kit.Info("")}
	v.warning.Hide()
	v.stale.Hide()
	v.overview = newOverview(env)
	v.main = newAssociations(env, mainColumns, mainKey, mainFields, i18n.T("monitor.main.none"), i18n.T("monitor.main.none_text"))
	v.quick = newAssociations(env, quickColumns, quickKey, quickFields, i18n.T("monitor.quick.none"), i18n.T("monitor.quick.none_text"))
	v.coverage = newCoverage(env)
	v.counts = newCounts()
	v.tabs = kit.NewTabs(
		kit.Tab{ID: tabOverview, Title: i18n.T("monitor.tab.overview"), Content: v.overview.root},
		kit.Tab{ID: tabMain, Title: i18n.T("monitor.tab.main", "N", "0"), Content: v.main.root},
		kit.Tab{ID: tabQuick, Title: i18n.T("monitor.tab.quick", "N", "0"), Content: v.quick.root},
		kit.Tab{ID: tabCoverage, Title: i18n.T("monitor.tab.coverage"), Content: v.coverage.root},
		kit.Tab{ID: tabCounts, Title: i18n.T("monitor.tab.counts"), Content: v.counts.root},
	)
	top := kit.Column(kit.Heading(i18n.T("monitor.title")), v.stale, v.warning)
	v.root = container.NewPadded(container.NewPadded(kit.Below(top, v.tabs)))
	return v
}

// Content implements kit.View.
func (v *View) Content() fyne.CanvasObject { return v.root }

// Update implements kit.View. Everything on the page is asked for while it is
// in front; of the snapshot only the link counts.
func (v *View) Update(s *model.Snapshot) {
	v.linked = s.Link == model.Linked
	v.follow()
}

// Shown implements kit.View.
func (v *View) Shown(shown bool) {
	v.shown = shown
	v.follow()
}

// Select brings the quick mode SAs of a connection to the front; it is what
// kit.Env.Go's argument names.
func (v *View) Select(connection string) {
	if connection == "" {
		return
	}
	v.tabs.Select(tabQuick)
	v.main.filter.SetText(connection)
	v.quick.filter.SetText(connection)
}

// follow starts or ends the polling, as is fit.
func (v *View) follow() {
	want := v.shown && v.linked
	switch {
	case want && v.stop == nil:
		ctx, stop := context.WithCancel(v.env.Context)
		v.stop = stop
		v.ask(ctx)
	case !want && v.stop != nil:
		v.stop()
		v.stop = nil
	}
}

// ask asks the service once, and again after a pause until ctx ends.
func (v *View) ask(ctx context.Context) {
	var a answer
	v.env.Run(func(context.Context) error {
		a = ask(ctx, v.env.Model.Backend())
		return nil
	}, func(error) {
		if ctx.Err() != nil {
			return
		}
		v.show(&a)
		again := time.AfterFunc(a.pause(), func() {
			v.env.Do(func() {
				if ctx.Err() == nil {
					v.ask(ctx)
				}
			})
		})
		context.AfterFunc(ctx, func() { again.Stop() })
	})
}

// show shows an answer of the service.
func (v *View) show(a *answer) {
	v.fill(a)
	if told := v.warning.Visible() || v.stale.Visible(); told != v.told {
		v.told = told
		v.root.Refresh()
	}
}

func (v *View) fill(a *answer) {
	if a.err != nil {
		text := i18n.T("monitor.stale_never")
		if !v.last.IsZero() {
			text = i18n.T("monitor.stale", "Time", v.last)
		}
		what, _, _ := model.ErrorText(a.err)
		v.stale.SetText(i18n.Say(what) + " " + text)
		return
	}
	v.last = v.env.Now()
	v.stale.SetText("")
	warning := ""
	if a.security.Warning != "" || len(a.dynamic.ChildSAs) == 0 {
		warning = i18n.T("monitor.warning")
	}
	v.warning.SetText(warning)
	v.tabs.SetTitle(tabMain, i18n.T("monitor.tab.main", "N", i18n.Number(len(a.dynamic.IKESAs))))
	v.tabs.SetTitle(tabQuick, i18n.T("monitor.tab.quick", "N", i18n.Number(len(a.dynamic.ChildSAs))))
	v.overview.set(a)
	v.main.set(a.dynamic.IKESAs)
	v.quick.set(a.dynamic.ChildSAs)
	v.coverage.set(a.security.Coverage)
	v.counts.set(a)
}
