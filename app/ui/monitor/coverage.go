package monitor

import (
	"fmt"
	"image/color"
	"math"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	look "sallyport/app/theme"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// coverage is the page that says how much of the traffic of each rule was
// protected.
type coverage struct {
	cards []*ruleCard
	list  *fyne.Container
	more  *widget.Label
	empty fyne.CanvasObject
	full  fyne.CanvasObject
	root  *fyne.Container
}

// maxRules is how many rules the page shows: text that wraps has no fixed
// height, so all of them are laid out.
const maxRules = 150

func newCoverage(env *kit.Env) *coverage {
	c := &coverage{list: kit.Spread(), more: kit.Muted("")}
	c.more.Hide()
	c.empty = kit.Empty(kit.MarkIcon(model.Off), i18n.T("monitor.coverage.none"), i18n.T("monitor.coverage.none_text"),
		kit.NewButton(i18n.T("monitor.open_policies"), theme.NavigateNextIcon(), func() { env.Go(kit.Policies, "") }))
	c.full = scroll(kit.Column(kit.Muted(i18n.T("monitor.coverage.text")), c.list, c.more))
	c.root = container.NewStack(c.empty)
	return c
}

func (c *coverage) set(rules []api.Coverage) {
	want := c.full
	if len(rules) == 0 {
		want = c.empty
	}
	changed := c.root.Objects[0] != want
	c.root.Objects[0] = want
	n := min(len(rules), maxRules)
	for len(c.cards) < n {
		card := newRuleCard()
		c.cards = append(c.cards, card)
		c.list.Objects = append(c.list.Objects, card.panel)
		changed = true
	}
	if len(c.cards) > n {
		c.cards, c.list.Objects = c.cards[:n], c.list.Objects[:n]
		changed = true
	}
	for i := range n {
		changed = c.cards[i].set(&rules[i]) || changed
	}
	text := ""
	if left := len(rules) - n; left > 0 {
		text = i18n.T("monitor.coverage.more", "Count", left)
	}
	kit.SetText(c.more, text)
	kit.SetShown(c.more, text != "")
	if changed {
		c.root.Refresh()
	}
}

// A ruleCard is the coverage of one rule.
type ruleCard struct {
	panel  *kit.Panel
	rule   *widget.Label
	action *widget.Label
	now    *kit.Badge
	bar    *bar
	words  *widget.Label
	bytes  *widget.Label
	last   api.Coverage
}

func newRuleCard() *ruleCard {
	c := &ruleCard{rule: kit.Subheading(""), action: kit.Muted(""), now: kit.NewBadge(model.Off), bar: newBar(), words: kit.Text(""), bytes: kit.Muted("")}
	c.words.TextStyle.Bold = true
	c.panel = kit.NewPanel(kit.Column(container.NewBorder(nil, nil, nil, container.NewCenter(c.now), kit.Tight(c.rule, c.action)),
		c.bar, kit.Tight(c.words, c.bytes)))
	return c
}

// set reports whether something changed.
func (c *ruleCard) set(r *api.Coverage) bool {
	if *r == c.last {
		return false
	}
	c.last = *r
	name := kit.Clean(r.Rule)
	if name == "other rules" && r.Action == "" {
		name = i18n.T("monitor.coverage.other")
	}
	kit.SetText(c.rule, name)
	kit.SetText(c.action, actionWord(r.Action))
	kit.SetShown(c.action, r.Action != "")
	c.now.Set(protectionMark(r))
	kit.SetShown(c.now, r.Action != "")
	c.bar.set(r.Protected, r.Clear, r.Blocked)
	kit.SetText(c.words, share(r))
	kit.SetText(c.bytes, i18n.T("monitor.coverage.bytes", "Protected", i18n.Bytes(r.Protected), "Clear", i18n.Bytes(r.Clear), "Blocked", i18n.Bytes(r.Blocked)))
	return true
}

// share says in words how much was protected. It is rounded down: only all of
// it is 100 %.
func share(r *api.Coverage) string {
	switch {
	case r.Protected == 0 && r.Clear == 0 && r.Blocked == 0:
		return i18n.T("monitor.share.none")
	case r.Protected == 0 && r.Clear == 0:
		return i18n.T("monitor.share.blocked")
	case r.Clear == 0:
		return i18n.T("monitor.share.all")
	case r.Protected == 0:
		return i18n.T("monitor.share.nothing")
	}
	p := 100 * float64(r.Protected) / (float64(r.Protected) + float64(r.Clear))
	if p < 1 {
		return i18n.T("monitor.share.little")
	}
	return i18n.T("monitor.share.some", "Percent", i18n.Percent(math.Min(p, 99)))
}

// A bar shows three amounts as shares of their sum. Beside colour they differ
// in height: what is protected fills the bar, what is clear stands half as
// high, what was blocked is a thin line.
type bar struct {
	widget.BaseWidget
	parts [3]uint64 // protected, clear, blocked
}

func newBar() *bar {
	b := &bar{}
	b.ExtendBaseWidget(b)
	return b
}

func (b *bar) set(protected, clear, blocked uint64) {
	b.parts = [3]uint64{protected, clear, blocked}
	b.Refresh()
}

// AccessibilityLabel implements fyne.Accessible.
func (b *bar) AccessibilityLabel() string { return fmt.Sprint(b.parts) }

// AccessibilityRole implements fyne.Accessible.
func (b *bar) AccessibilityRole() fyne.AccessibleRole { return fyne.AccessibleRoleText }

// CreateRenderer implements fyne.Widget.
func (b *bar) CreateRenderer() fyne.WidgetRenderer {
	r := &barRenderer{b: b, ground: canvas.NewRectangle(color.Transparent)}
	r.objects = []fyne.CanvasObject{r.ground}
	for i := range r.parts {
		r.parts[i] = canvas.NewRectangle(color.Transparent)
		r.objects = append(r.objects, r.parts[i])
	}
	r.paint()
	return r
}

type barRenderer struct {
	b       *bar
	ground  *canvas.Rectangle
	parts   [3]*canvas.Rectangle
	objects []fyne.CanvasObject
}

func (r *barRenderer) paint() {
	th, v := r.b.Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	for i, m := range [...]model.Mark{model.Safe, model.Partly, model.Blocked} {
		r.parts[i].FillColor = th.Color(look.ColorOf(m), v)
	}
	r.ground.FillColor = th.Color(theme.ColorNameSeparator, v)
	r.ground.CornerRadius = th.Size(theme.SizeNamePadding)
}

func (r *barRenderer) MinSize() fyne.Size {
	return fyne.NewSize(1, r.b.Theme().Size(theme.SizeNameText)*0.8+r.pad()*2)
}

func (r *barRenderer) pad() float32 { return r.b.Theme().Size(theme.SizeNamePadding) }

func (r *barRenderer) Layout(s fyne.Size) {
	pad := r.b.Theme().Size(theme.SizeNameInnerPadding)
	width, height := s.Width-2*pad, s.Height-2*r.pad()
	r.ground.Move(fyne.NewPos(pad, r.pad()))
	r.ground.Resize(fyne.NewSize(width, height))
	sum := 0.0
	for _, n := range r.b.parts {
		sum += float64(n)
	}
	x := pad
	for i, rect := range r.parts {
		n := float64(r.b.parts[i])
		rect.Hidden = n == 0
		if n == 0 {
			continue
		}
		w := float32(n / sum * float64(width))
		w = max(w, 3) // what there is can be seen
		w = min(w, pad+width-x)
		h := height * [...]float32{1, 0.55, 0.25}[i]
		rect.CornerRadius = min(r.pad(), h/2)
		rect.Move(fyne.NewPos(x, r.pad()+height-h))
		rect.Resize(fyne.NewSize(w, h))
		x += w
	}
}

func (r *barRenderer) Refresh() {
	r.paint()
	r.Layout(r.b.Size())
	canvas.Refresh(r.b)
}

func (r *barRenderer) Objects() []fyne.CanvasObject { return r.objects }

func (r *barRenderer) Destroy() {}
