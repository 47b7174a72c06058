// Package diagnosis is the page that says what happened and what to do about
// it: the explanation of each failure, the log, the IKE messages, and the
// bundle for those who help.
package diagnosis

import (
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
)

// The pages of the diagnosis.
const (
	tabExplain  = "explain"
	tabLog      = "log"
	tabMessages = "messages"
	tabBundle   = "bundle"
)

// glance is how often the page looks whether the model knows new lines of the
// log; that asks nobody.
const glance = 300 * time.Millisecond

// A View is the page of the diagnosis.
type View struct {
	env  *kit.Env
	root fyne.CanvasObject
	tabs *kit.Tabs

	explain  *explainTab
	log      *logTab
	messages *messagesTab
	bundle   *bundleTab

	linked bool
	shown  bool
	stop   func() // of the glances; nil: there are none
}

var _ kit.View = (*View)(nil)

// New returns the page.
func New(env *kit.Env) *View {
	v := &View{env: env}
	v.explain = newExplainTab(env, v.openLog, v.openMessages)
	v.log = newLogTab(env, v.Select, v.openMessages)
	v.messages = newMessagesTab(env)
	v.bundle = newBundleTab(env)
	v.tabs = kit.NewTabs(
		kit.Tab{ID: tabExplain, Title: i18n.T("diagnosis.tab.explain"), Content: v.explain.root},
		kit.Tab{ID: tabLog, Title: i18n.T("diagnosis.tab.log"), Content: v.log.root},
		kit.Tab{ID: tabMessages, Title: i18n.T("diagnosis.tab.messages"), Content: v.messages.root},
		kit.Tab{ID: tabBundle, Title: i18n.T("diagnosis.tab.bundle"), Content: v.bundle.root},
	)
	v.tabs.OnChanged = func(string) { v.follow() }
	v.root = container.NewPadded(container.NewPadded(kit.Below(kit.Heading(i18n.T("diagnosis.title")), v.tabs)))
	return v
}

// Content implements kit.View.
func (v *View) Content() fyne.CanvasObject { return v.root }

// Update implements kit.View.
func (v *View) Update(s *model.Snapshot) {
	v.linked = s.Link == model.Linked
	v.explain.update(s)
	v.log.update(s)
	v.messages.update(s)
	v.follow()
}

// Shown implements kit.View.
func (v *View) Shown(shown bool) {
	v.shown = shown
	v.follow()
}

// Select explains the failure of a connection; it is what kit.Env.Go's argument
// names.
func (v *View) Select(connection string) {
	v.tabs.Select(tabExplain)
	v.explain.selectConnection(connection)
}

func (v *View) openLog(connection string) {
	v.log.selectConnection(connection)
	v.tabs.Select(tabLog)
}

func (v *View) openMessages(connection string) {
	v.messages.selectConnection(connection)
	v.tabs.Select(tabMessages)
}

// follow lets the page in front, and no other, follow what happens.
func (v *View) follow() {
	tab := v.tabs.Selected()
	v.messages.follow(v.shown && v.linked && tab == tabMessages)
	want := v.shown && (tab == tabLog || tab == tabExplain)
	switch {
	case want && v.stop == nil:
		v.look()
	case !want && v.stop != nil:
		v.stop()
		v.stop = nil
	case want:
		v.show()
	}
}

// look shows what is new in the log, again and again.
func (v *View) look() {
	v.show()
	t := time.AfterFunc(glance, func() {
		fyne.Do(func() {
			if v.stop != nil && v.env.Context.Err() == nil {
				v.look()
			}
		})
	})
	v.stop = func() { t.Stop() }
}

func (v *View) show() {
	log := v.env.Model.Log()
	if v.tabs.Selected() == tabLog {
		v.log.show(log)
	} else {
		v.explain.show(log)
	}
}
