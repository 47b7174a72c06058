package policies

import (
	"net/netip"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/policydraft"
	"sallyport/app/ui/kit"
)

// A wizard asks for a rule, a question a page.
type wizard struct {
	e    *editor
	done func(*wizard)

	rule   policydraft.Rule
	filter policydraft.Filter // of the list that is made with the rule
	fresh  bool               // such a list is made
	auth   policydraft.AuthMethod

	page   int
	dialog *kit.Dialog
	title  *widget.Label
	body   *fyne.Container
	fault  *widget.Label
	back   *kit.Button
	next   *kit.Button
}

// The pages, in order.
const (
	pageEndpoint = iota
	pageTraffic
	pageAction
	pageAuth
	pageName
	pages
)

// The kinds of endpoint.
const (
	hostToHost   = "host"
	byConnection = "connection"
	byAddress    = "address"
)

func newWizard(e *editor, done func(*wizard)) *wizard {
	w := &wizard{e: e, done: done, body: container.NewStack(), title: kit.Text(""), fault: kit.Text("")}
	w.title.TextStyle.Bold = true
	w.fault.Importance = widget.DangerImportance
	w.rule = policydraft.Rule{FilterList: policydraft.StockLists()[0], FilterAction: "Require security", Enabled: true}
	w.filter = policydraft.Filter{Source: "me", Destination: "", Mirrored: true}
	w.auth = policydraft.AuthMethod{Method: policydraft.Certificate}
	w.fresh = true
	if names := e.v.connections(); len(names) > 0 {
		w.rule.Tunnel = names[0]
	}
	w.back = kit.NewButton(i18n.T("policies.wizard.back"), theme.NavigateBackIcon(), func() { w.step(-1) })
	w.next = kit.NewPrimary("", nil, func() { w.step(1) })
	cancel := kit.NewButton(i18n.T("common.cancel"), nil, func() { w.dialog.Cancel() })
	w.dialog = newDialog(e.v.env, i18n.T("policies.wizard.title"), kit.Column(w.title, w.body, w.fault), cancel, w.back, w.next)
	w.dialog.Width = 42
	w.dialog.OnEnter = func() { w.step(1) }
	return w
}

func (w *wizard) show() {
	w.dialog.Show()
	w.build()
}

// negotiates reports whether the rule needs authentication methods of its own.
func (w *wizard) negotiates() bool {
	a, _ := w.e.s.draft.Policy().Action(w.rule.FilterAction)
	return a.Action == policydraft.Negotiate
}

func (w *wizard) skips(page int) bool {
	return page == pageAuth && (!w.negotiates() || w.viaConnection())
}

func (w *wizard) viaConnection() bool {
	if w.rule.Tunnel == "" {
		return false
	}
	_, err := netip.ParseAddr(w.rule.Tunnel)
	return err != nil
}

// step goes a page on or back; from the last it makes the rule.
func (w *wizard) step(by int) {
	if by > 0 {
		if problem := w.missing(); problem != "" {
			w.say(problem)
			return
		}
	}
	to := w.page + by
	for to > 0 && to < pages && w.skips(to) {
		to += by
	}
	switch {
	case to < 0:
		return
	case to == pages:
		w.dialog.Hide()
		w.done(w)
		return
	}
	w.page = to
	w.build()
}

func (w *wizard) say(problem string) {
	w.fault.SetText(problem)
	kit.SetShown(w.fault, problem != "")
	w.dialog.Refit()
}

// missing says what the page in front still needs.
func (w *wizard) missing() string {
	switch w.page {
	case pageTraffic:
		switch {
		case !w.fresh:
		case w.filter.Source == "" || w.filter.Destination == "":
			return i18n.T("policies.wizard.need.ends")
		}
	case pageAuth:
		switch {
		case w.auth.Method == policydraft.PSK && w.auth.Secret == "":
			return i18n.T("policies.wizard.need.secret")
		case w.auth.Method == policydraft.Certificate && (len(w.auth.CAs) == 0 || len(w.auth.Certificates) == 0 || w.auth.Key == ""):
			return i18n.T("policies.wizard.need.certificate")
		case w.auth.Method == policydraft.EAP && (w.auth.User == "" || len(w.auth.CAs) == 0 || w.auth.RemoteID == ""):
			return i18n.T("policies.wizard.need.user")
		}
	case pageName:
		if w.rule.Name == "" {
			return i18n.T("policies.wizard.need.name")
		}
		for _, r := range w.e.s.draft.Policy().Rules {
			if r.Name == w.rule.Name {
				return i18n.T("policies.wizard.name.taken")
			}
		}
	}
	return ""
}

// build shows the page in front.
func (w *wizard) build() {
	number := w.page + 1
	var title string
	var page fyne.CanvasObject
	switch w.page {
	case pageEndpoint:
		title, page = i18n.T("policies.wizard.endpoint"), w.endpointPage()
	case pageTraffic:
		title, page = i18n.T("policies.wizard.traffic"), w.trafficPage()
	case pageAction:
		title, page = i18n.T("policies.wizard.action"), w.actionPage()
	case pageAuth:
		title, page = i18n.T("policies.wizard.auth"), w.authPage()
	case pageName:
		title, page = i18n.T("policies.wizard.name"), w.namePage()
	}
	kit.SetText(w.title, i18n.T("policies.wizard.step", "N", number, "Of", pages, "Title", title))
	w.body.Objects = []fyne.CanvasObject{page}
	w.body.Refresh()
	if w.page == 0 {
		w.back.Disable()
	} else {
		w.back.Enable()
	}
	next := i18n.T("policies.wizard.next")
	if w.page == pageName {
		next = i18n.T("policies.wizard.finish")
	}
	w.next.SetText(next)
	w.say("")
	w.focus()
}

// focus goes to the first control of the page.
func (w *wizard) focus() {
	c := w.e.v.env.Window.Canvas()
	if f := firstFocusable(w.body); f != nil {
		c.Focus(f)
	}
}

func firstFocusable(o fyne.CanvasObject) fyne.Focusable {
	switch o := o.(type) {
	case *fyne.Container:
		for _, c := range o.Objects {
			if f := firstFocusable(c); f != nil && c.Visible() {
				return f
			}
		}
	case *field:
		return firstFocusable(o.control)
	case fyne.Focusable:
		return o
	}
	return nil
}

func (w *wizard) endpointPage() fyne.CanvasObject {
	names := w.e.v.connections()
	kind := hostToHost
	switch {
	case w.viaConnection():
		kind = byConnection
	case w.rule.Tunnel != "":
		kind = byAddress
	}
	more := container.NewStack()
	choose := func(kind string) {
		more.Objects = nil
		switch kind {
		case hostToHost:
			w.rule.Tunnel = ""
		case byConnection:
			if !w.viaConnection() {
				w.rule.Tunnel = ""
				if len(names) > 0 {
					w.rule.Tunnel = names[0]
				}
			}
			var options []option
			for _, n := range names {
				options = append(options, option{n, kit.Clean(n)})
			}
			more.Objects = []fyne.CanvasObject{newField("", i18n.T("policies.wizard.connection"), selection(options, w.rule.Tunnel, func(v string) { w.rule.Tunnel = v }), "")}
		case byAddress:
			if w.viaConnection() {
				w.rule.Tunnel = ""
			}
			more.Objects = []fyne.CanvasObject{newField("", i18n.T("policies.wizard.gateway"),
				entry(w.rule.Tunnel, "192.0.2.1", func(s string) { w.rule.Tunnel = strings.TrimSpace(s) }), "")}
		}
		more.Refresh()
		w.dialog.Refit()
	}
	options := []kit.Option{{ID: hostToHost, Title: i18n.T("policies.wizard.host"), Text: i18n.T("policies.wizard.host.text")}}
	if len(names) > 0 {
		options = append(options, kit.Option{ID: byConnection, Title: i18n.T("policies.wizard.viaconnection"), Text: i18n.T("policies.wizard.viaconnection.text")})
	}
	options = append(options, kit.Option{ID: byAddress, Title: i18n.T("policies.wizard.viagateway"), Text: i18n.T("policies.wizard.viagateway.text")})
	c := kit.NewChoice(options, choose).Stacked()
	c.SetSelected(kind)
	choose(kind)
	return kit.Column(c, more)
}

func (w *wizard) trafficPage() fyne.CanvasObject {
	p := w.e.s.draft.Policy()
	const fresh = "new"
	more := container.NewStack()
	show := func() {
		if w.fresh {
			more.Objects = []fyne.CanvasObject{newFilterForm(&w.filter)}
		} else {
			var lists []option
			for _, n := range policydraft.StockLists() {
				lists = append(lists, option{n, stock(n)})
			}
			for _, l := range p.FilterLists {
				lists = append(lists, option{l.Name, kit.Clean(l.Name)})
			}
			what := kit.Muted(trafficOf(p, w.rule.FilterList))
			more.Objects = []fyne.CanvasObject{kit.Column(newField("", i18n.T("policies.field.list"), selection(lists, w.rule.FilterList, func(v string) {
				w.rule.FilterList = v
				kit.SetText(what, trafficOf(p, v))
				w.dialog.Refit()
			}), ""), what)}
		}
		more.Refresh()
		w.dialog.Refit()
	}
	c := kit.NewChoice([]kit.Option{
		{ID: fresh, Title: i18n.T("policies.wizard.newlist"), Text: i18n.T("policies.wizard.newlist.text")},
		{ID: "old", Title: i18n.T("policies.wizard.oldlist"), Text: i18n.T("policies.wizard.oldlist.text")},
	}, func(id string) {
		w.fresh = id == fresh
		show()
	})
	c.SetSelected("old")
	if w.fresh {
		c.SetSelected(fresh)
	}
	show()
	return kit.Column(c, more)
}

func (w *wizard) actionPage() fyne.CanvasObject {
	var options []kit.Option
	actions := policydraft.StockActions()
	for _, i := range []int{4, 3, 2, 0, 1} { // as often as they are wanted
		a := actions[i]
		title := stock(a.Name)
		if a.Action == policydraft.Negotiate {
			title = i18n.T("policies.wizard.negotiate", "Name", title)
		}
		options = append(options, kit.Option{ID: a.Name, Title: title, Text: actionMeaning(a)})
	}
	const mostOwn = 20
	own := w.e.s.draft.Policy().FilterActions
	for _, a := range own[:min(len(own), mostOwn)] {
		options = append(options, kit.Option{ID: a.Name, Title: kit.Clean(a.Name), Text: actionMeaning(a)})
	}
	c := kit.NewChoice(options, func(id string) { w.rule.FilterAction = id }).Stacked()
	c.SetSelected(w.rule.FilterAction)
	return c
}

func (w *wizard) authPage() fyne.CanvasObject {
	return kit.Column(kit.Muted(i18n.T("policies.wizard.auth.text")), newAuthForm(&w.auth, func() { w.dialog.Refit() }))
}

func (w *wizard) namePage() fyne.CanvasObject {
	p := w.e.s.draft.Policy()
	if w.rule.Name == "" {
		base := stock(w.rule.FilterList)
		if w.fresh {
			base = address(w.filter.Destination)
		}
		w.rule.Name = free(base, func(n string) bool {
			for _, r := range p.Rules {
				if r.Name == n {
					return true
				}
			}
			return false
		})
	}
	name := entry(w.rule.Name, "", func(s string) { w.rule.Name = strings.TrimSpace(s) })
	kind := selection([]option{{"", connectionType("")}, {"lan", connectionType("lan")}, {"remote", connectionType("remote")}},
		w.rule.ConnectionType, func(v string) { w.rule.ConnectionType = v })
	what := stock(w.rule.FilterList) + ": " + trafficOf(p, w.rule.FilterList)
	if w.fresh {
		what = filterText(w.filter)
	}
	a, _ := p.Action(w.rule.FilterAction)
	auth, through := "", ""
	if w.negotiates() {
		through = endpoint(w.rule.Tunnel)
		auth = i18n.T("policies.wizard.auth.connection")
		if !w.viaConnection() {
			auth = authText(w.auth)
		}
	}
	return kit.Column(
		newField("", i18n.T("policies.field.rule"), name, ""),
		newField("", i18n.T("policies.field.type"), kind, ""),
		kit.Caption(i18n.T("policies.wizard.summary")),
		kit.NewFields(
			kit.Field{Label: i18n.T("policies.wizard.sum.traffic"), Value: what},
			kit.Field{Label: i18n.T("policies.wizard.sum.action"), Value: stock(w.rule.FilterAction) + ": " + actionMeaning(a)},
			kit.Field{Label: i18n.T("policies.wizard.sum.endpoint"), Value: through},
			kit.Field{Label: i18n.T("policies.wizard.sum.auth"), Value: auth},
		),
		kit.Info(i18n.T("policies.wizard.note")))
}

// write puts the rule, and the list made with it, into a draft.
func (w *wizard) write(d *policydraft.Draft) (*policydraft.Draft, error) {
	p := d.Policy()
	r := w.rule
	if w.fresh {
		r.FilterList = free(r.Name, func(n string) bool { _, ok := p.List(n); return ok })
		n, err := d.Insert("filter_lists", len(p.FilterLists), policydraft.FilterList{Name: r.FilterList, Filters: []policydraft.Filter{w.filter}})
		if err != nil {
			return nil, err
		}
		d = n
	}
	if !w.negotiates() {
		r.Tunnel = ""
	} else if !w.viaConnection() {
		r.Auth = []policydraft.AuthMethod{w.auth}
	}
	return d.Insert("rules", len(d.Policy().Rules), r)
}
