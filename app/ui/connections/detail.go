package connections

import (
	"context"
	"reflect"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	apptheme "sallyport/app/theme"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/prompts"
	"sallyport/core/api"
)

// A detail is the right pane: all about one connection.
type detail struct {
	env  *kit.Env
	root fyne.CanvasObject

	title    *widget.Label
	badge    *kit.Badge
	lead     *widget.Label // the sentence that must not be missed
	story    *widget.Label
	button   *kit.Button
	activity *widget.Label // moves once a second: an animation would cost a core without a graphics processor
	since    *widget.Label
	act      *fyne.Container // the button and what stands beside it
	menu     *kit.Button
	decide   *kit.Button
	asks     *kit.Panel
	asking   *kit.Dialog // the question, when the user wanted to see it again
	problem  *kit.ErrorCard
	retry    *kit.Button
	rule     *kit.Panel
	ruleText *widget.Label
	profile  *fyne.Container
	choice   *kit.Choice
	traffic  *traffic
	facts    *kit.Fields
	factCard *fyne.Container
	warnings *kit.Note
	page     *fyne.Container
	scroll   *container.Scroll

	conn    *model.Connection
	setting bool // a profile is on its way: the choice shows it already
	shown   bool
	stop    context.CancelFunc // of the clock; nil while it stands still
}

func newDetail(env *kit.Env) *detail {
	d := &detail{env: env}
	d.title = kit.Heading("")
	d.title.Wrapping = fyne.TextWrapBreak
	d.badge = kit.NewBadge(model.Off)
	d.lead, d.story = kit.Text(""), kit.Muted("")
	d.lead.Selectable, d.story.Selectable = true, true
	d.button = kit.NewPrimary("", nil, d.press)
	d.activity = kit.Muted(dots[0])
	d.activity.Wrapping = fyne.TextWrapOff
	d.activity.Hide()
	d.since = kit.Muted("")
	d.since.Wrapping = fyne.TextWrapOff
	d.menu = kit.NewQuiet("", theme.MoreVerticalIcon(), d.showMenu)
	d.decide = kit.NewButton(i18n.T("connections.decide"), nil, func() { d.asking = prompts.AskClear(d.env, d.conn) })
	d.asks = kit.NewPanel(kit.WithIcon(theme.NewWarningThemedResource(theme.WarningIcon()), kit.Section(kit.Text(i18n.T("connections.question")),
		kit.Flow(d.decide, kit.NewButton(i18n.T("connections.diagnose"), theme.SearchIcon(), d.diagnose)))))
	d.asks.Fill = apptheme.TintOf(model.Partly)
	d.asks.Stroke, d.asks.StrokeAlpha = apptheme.ColorOf(model.Partly), 0x60
	d.retry = kit.NewButton(i18n.T("connections.retry"), theme.ViewRefreshIcon(), func() { do(d.env, model.Connect, d.conn.Name) })
	d.problem = kit.NewErrorCard(nil, d.retry,
		kit.NewButton(i18n.T("connections.diagnose"), theme.SearchIcon(), d.diagnose))
	d.problem.Resized = d.relayout
	d.ruleText = kit.Text("")
	d.rule = kit.NewPanel(kit.WithIcon(theme.NewPrimaryThemedResource(theme.InfoIcon()), kit.Section(d.ruleText, kit.Flow(kit.NewButton(i18n.T("connections.policies"), nil, func() { d.env.Go(kit.Policies, "") })))))
	d.rule.Fill = apptheme.TintOf(model.Busy)
	d.rule.Stroke, d.rule.StrokeAlpha = apptheme.ColorOf(model.Busy), 0x60
	d.choice = kit.NewChoice(profiles(), d.choose)
	d.profile = kit.Section(kit.Subheading(i18n.T("connections.profile.title")), d.choice)
	d.traffic = newTraffic(env)
	d.facts = kit.NewFields()
	d.factCard = kit.Section(kit.Subheading(i18n.T("connections.facts")), kit.CardBox(d.facts))
	d.warnings = kit.Warning("")

	head := container.NewBorder(nil, nil, nil, container.NewVBox(d.menu), d.title)
	d.act = container.New(&actLayout{}, d.button, d.activity, d.since)
	d.page = kit.Sections(kit.Section(head, d.badge, kit.Tight(d.lead, d.story), d.act),
		d.asks, d.problem, d.warnings, d.rule, d.traffic.root, d.profile, d.factCard)
	d.scroll = container.NewVScroll(container.New(marginLayout{}, kit.Measure(58, d.page)))
	d.root = d.scroll
	return d
}

// marginLayout keeps the page off the edges and the scroll bar.
type marginLayout struct{}

func (marginLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	return o[0].MinSize().AddWidthHeight(theme.Padding()*6, theme.Padding()*6)
}

func (marginLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	p := theme.Padding() * 3
	o[0].Move(fyne.NewPos(p, p))
	o[0].Resize(s.SubtractWidthHeight(2*p, 2*p))
}

// actLayout gives the button of a connection the size of what matters most.
// What stands beside it goes below it when the line is too short.
type actLayout struct{ width float32 }

// button is the size of the button.
func (l *actLayout) button(o []fyne.CanvasObject) fyne.Size {
	m := o[0].MinSize()
	return fyne.NewSize(max(m.Width+theme.Padding()*4, theme.TextSize()*12), max(m.Height, theme.TextSize()*3))
}

// beside is the width of what stands beside the button.
func (l *actLayout) beside(o []fyne.CanvasObject) float32 {
	w := float32(0)
	if o[1].Visible() {
		w += o[1].MinSize().Width
	}
	if o[2].Visible() {
		w += o[2].MinSize().Width
	}
	return w
}

// below reports whether it goes below.
func (l *actLayout) below(o []fyne.CanvasObject, width float32) bool {
	return o[0].Visible() && width > 0 && theme.InnerPadding()+l.button(o).Width+theme.Padding()+l.beside(o) > width
}

func (l *actLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	b := l.button(o)
	s := fyne.NewSize(b.Width+theme.InnerPadding(), b.Height+theme.Padding())
	if l.beside(o) > 0 && l.below(o, l.width) {
		s.Height += o[2].MinSize().Height
	}
	return s
}

func (l *actLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	l.width = s.Width
	b := l.button(o)
	x, y, h := theme.InnerPadding(), theme.Padding(), b.Height
	t := o[2].MinSize()
	if o[0].Visible() {
		o[0].Move(fyne.NewPos(x, y))
		o[0].Resize(fyne.NewSize(min(b.Width, s.Width-x), h))
		if l.below(o, s.Width) {
			x, y, h = 0, y+h, t.Height
		} else {
			x += b.Width + theme.Padding()
		}
	}
	if o[1].Visible() {
		m := o[1].MinSize()
		o[1].Move(fyne.NewPos(x, y+(h-m.Height)/2))
		o[1].Resize(m)
		x += m.Width - theme.InnerPadding()
	}
	o[2].Move(fyne.NewPos(x, y+(h-t.Height)/2))
	o[2].Resize(fyne.NewSize(max(0, s.Width-x), t.Height))
}

// update shows a connection; nil: none.
func (d *detail) update(c *model.Connection) {
	old := d.conn
	d.conn = c
	defer d.runClock()
	kit.SetShown(d.page, c != nil)
	if c == nil {
		return
	}
	if old != nil && old.Name != c.Name {
		d.setting = false
		d.scroll.ScrollToTop()
	}
	if old != nil && same(old, c) {
		if d.stop == nil {
			d.tickFacts() // else the clock does, together with the graph: a window is drawn as a whole
		}
		return
	}
	d.tickFacts()
	kit.SetText(d.title, c.Name)
	d.badge.Set(c.Mark, i18n.Say(c.Word))
	d.tell(c)
	d.showVerb(c)
	kit.SetShown(d.asks, c.Question != "")
	if d.asking != nil && (c.Question == "" || old == nil || old.Name != c.Name) {
		d.asking.Hide()
		d.asking = nil
	}
	d.showProblem(c)
	d.showWarnings(c)
	kit.SetShown(d.rule, c.Rule != "")
	if c.Rule != "" {
		kit.SetText(d.ruleText, i18n.T("connections.rule", "Rule", c.Rule))
	}
	kit.SetShown(d.profile, c.Rule == "" && c.Profile != "")
	if !d.setting {
		d.choice.SetSelected(string(c.Profile))
	}
	d.traffic.show(c)
	d.relayout()
}

// same reports whether two states of a connection differ in nothing but the
// counters, which change every second.
func same(a, b *model.Connection) bool {
	x, y := *a, *b
	x.Counters, y.Counters = api.Counters{}, api.Counters{}
	return reflect.DeepEqual(x, y)
}

// relayout is called when sections come, go or change their height.
func (d *detail) relayout() {
	if d.page == nil {
		return // it is being made
	}
	d.page.Refresh()
	d.scroll.Refresh()
}

// tell shows the sentences of the story. Why the connection failed, and what
// the user is asked, is told by cards of their own.
func (d *detail) tell(c *model.Connection) {
	why := ""
	if c.Problem != nil {
		_, t, _ := model.ErrorText(c.Problem)
		why = t.Key
	}
	lead, rest := "", ""
	for i, t := range c.Story {
		switch {
		case t.Key == why, t.Key == "model.story.question":
		case i == 0:
			lead = i18n.Say(t)
		case rest == "":
			rest = i18n.Say(t)
		default:
			rest += " " + i18n.Say(t)
		}
	}
	kit.SetText(d.lead, lead)
	kit.SetText(d.story, rest)
	kit.SetShown(d.lead, lead != "")
	kit.SetShown(d.story, rest != "")
}

// showVerb sets the large button and what stands beside it.
func (d *detail) showVerb(c *model.Connection) {
	v := verb(c)
	ending := c.State == api.Disconnecting || c.Pending == model.Disconnect || c.Pending == model.Cancel
	busy := ending || c.Pending == model.Connect || c.State == api.Connecting || c.State == api.Reconnecting
	text, importance := verbText(v), widget.HighImportance
	if v != model.Connect {
		importance = widget.MediumImportance
	}
	if ending {
		text = i18n.T("connections.ending")
	}
	if d.button.Text != text || d.button.Importance != importance {
		d.button.Text, d.button.Importance = text, importance
		d.button.Refresh()
	}
	switch {
	case ending && !d.button.Disabled():
		d.button.Disable()
	case !ending && d.button.Disabled():
		d.button.Enable()
	}
	kit.SetShown(d.button, text != "")
	kit.SetShown(d.act, text != "" || busy)
	kit.SetShown(d.activity, busy)
}

// dots are what shows that something is under way.
var dots = [...]string{"•••", "•··", "·•·", "··•"}

func (d *detail) showProblem(c *model.Connection) {
	p := c.Problem
	if p != nil && p.Code == api.CodeCancelled {
		p = nil // the user knows
	}
	if p != nil && p.Code == api.CodeDowngrade && c.Question != "" {
		p = nil // the question says it
	}
	d.problem.Set(p)
	kit.SetShown(d.retry, c.Verb == model.Connect && c.Pending == model.None)
}

func (d *detail) showWarnings(c *model.Connection) {
	text := ""
	for i, w := range c.Warnings {
		if i > 0 {
			text += "\n"
		}
		if len(c.Warnings) > 1 {
			text += "• "
		}
		text += w
	}
	d.warnings.SetText(text)
}

func (d *detail) press() {
	if v := verb(d.conn); v != model.None {
		do(d.env, v, d.conn.Name)
	}
}

func (d *detail) diagnose() { d.env.Go(kit.Diagnosis, d.conn.Name) }

func (d *detail) showMenu() {
	m := fyne.NewMenu("", actions(d.env, d.conn)...)
	widget.ShowPopUpMenuAtRelativePosition(m, d.env.Window.Canvas(), fyne.NewPos(0, d.menu.Size().Height), d.menu)
}

// choose is called with the profile that the user takes.
func (d *detail) choose(id string) {
	d.setting = true
	name := d.conn.Name
	setProfile(d.env, d.conn, api.Profile(id), func() {
		if d.conn == nil || d.conn.Name != name {
			return
		}
		d.setting = false
		if c := d.env.Model.Snapshot().Find(name); c != nil {
			d.choice.SetSelected(string(c.Profile))
		}
	})
}

// up reports whether the tunnel carries traffic, or did a moment ago.
func up(c *model.Connection) bool {
	return c != nil && (c.State == api.Connected || c.State == api.Reconnecting)
}

func (d *detail) setShown(shown bool) {
	d.shown = shown
	d.runClock()
	if shown {
		d.tick()
	}
}

// runClock lets the seconds pass while somebody can see them.
func (d *detail) runClock() {
	ticks := d.shown && d.conn != nil && (up(d.conn) || d.conn.State == api.Connecting)
	switch {
	case !ticks && d.stop != nil:
		d.stop()
		d.stop = nil
	case ticks && d.stop == nil:
		ctx, stop := context.WithCancel(d.env.Context)
		d.stop = stop
		go func() {
			t := time.NewTicker(time.Second)
			defer t.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-t.C:
					d.env.Do(func() {
						if ctx.Err() == nil {
							d.tick()
						}
					})
				}
			}
		}()
	}
}

// tick shows what a second has changed.
func (d *detail) tick() {
	if d.conn == nil {
		return
	}
	d.tickFacts()
	if d.activity.Visible() {
		kit.SetText(d.activity, dots[1+d.env.Now().Second()%3])
	}
	if up(d.conn) {
		d.traffic.tick()
	}
}
