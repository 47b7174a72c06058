package monitor

import (
	"cmp"
	"maps"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// counts is the page of the statistics: failures, fallbacks, drops.
type counts struct {
	failures  *tally
	fallbacks *widget.Label
	drops     *tally
	root      fyne.CanvasObject
}

func newCounts() *counts {
	c := &counts{failures: newTally(), fallbacks: kit.Text(""), drops: newTally()}
	c.root = scroll(kit.Spread(
		kit.CardBox(kit.Subheading(i18n.T("monitor.failures")), c.failures.box),
		kit.CardBox(kit.Subheading(i18n.T("monitor.fallbacks")), c.fallbacks),
		kit.CardBox(kit.Subheading(i18n.T("monitor.drops")), kit.Muted(i18n.T("monitor.drops_text")), c.drops.box),
	))
	return c
}

func (c *counts) set(a *answer) {
	changed := c.failures.set(a.security.Failures, i18n.T("monitor.failures_none"), failure)
	changed = c.drops.set(a.dynamic.Drops, i18n.T("monitor.drops_none"), drop) || changed
	text := i18n.T("monitor.fallbacks_none")
	if n := a.security.Fallbacks; n > 0 {
		text = i18n.T("monitor.fallbacks_some", "Count", int(min(n, 1<<31-1)))
	}
	changed = changed || c.fallbacks.Text != text
	kit.SetText(c.fallbacks, text)
	if changed {
		c.root.Refresh()
	}
}

// failure explains the code of a failure.
func failure(code string) string {
	what, why, _ := model.ErrorText(&api.Error{Code: api.ErrorCode(code)})
	return i18n.Say(what) + " " + i18n.Say(why)
}

// A tally lists counters by weight, each with its name and its meaning.
type tally struct {
	rows []*tallyRow
	none *widget.Label
	box  *fyne.Container
}

type tallyRow struct {
	name    string
	count   *widget.Label
	title   *widget.Label
	meaning *widget.Label
	box     *fyne.Container
}

func newTally() *tally { return &tally{none: kit.Muted(""), box: kit.Column()} }

// maxTally bounds the rows: the names come from the service.
const maxTally = 100

// set reports whether rows came, went or changed their places.
func (t *tally) set(counters map[string]uint64, none string, explain func(name string) string) bool {
	names := slices.SortedFunc(maps.Keys(counters), func(a, b string) int {
		return cmp.Or(cmp.Compare(counters[b], counters[a]), cmp.Compare(a, b))
	})
	names = slices.DeleteFunc(names, func(n string) bool { return counters[n] == 0 })
	names = names[:min(len(names), maxTally)]
	changed := len(names) != len(t.rows) || len(t.box.Objects) == 0
	for len(t.rows) < len(names) {
		t.rows = append(t.rows, newTallyRow())
	}
	t.rows = t.rows[:len(names)]
	for i, n := range names {
		r := t.rows[i]
		if r.name != n {
			r.name = n
			changed = true
			kit.SetText(r.title, kit.Clean(n))
			text := explain(n)
			kit.SetText(r.meaning, text)
			kit.SetShown(r.meaning, text != "")
		}
		kit.SetText(r.count, i18n.Count(counters[n]))
	}
	if !changed {
		return false
	}
	t.box.Objects = t.box.Objects[:0]
	for _, r := range t.rows {
		t.box.Objects = append(t.box.Objects, r.box)
	}
	if len(names) == 0 {
		kit.SetText(t.none, none)
		t.box.Objects = append(t.box.Objects, t.none)
	}
	return true
}

func newTallyRow() *tallyRow {
	r := &tallyRow{count: kit.Text(""), title: kit.Muted(""), meaning: kit.Text("")}
	r.count.TextStyle.Bold = true
	r.count.Wrapping = fyne.TextWrapOff
	r.count.Alignment = fyne.TextAlignTrailing
	r.title.TextStyle.Monospace = true
	r.box = container.New(tallyLayout{}, r.count, kit.Tight(r.meaning, r.title))
	return r
}

// tallyLayout sets a number in a column of its own before its meaning.
type tallyLayout struct{}

func (tallyLayout) least(o []fyne.CanvasObject) float32 {
	return max(o[0].MinSize().Width, fyne.MeasureText("000.000", theme.TextSize(), fyne.TextStyle{Bold: true}).Width)
}

func (l tallyLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	a, b := o[0].MinSize(), o[1].MinSize()
	return fyne.NewSize(l.least(o)+b.Width, max(a.Height, b.Height))
}

func (l tallyLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	w := l.least(o)
	o[0].Resize(fyne.NewSize(w, o[0].MinSize().Height))
	o[1].Move(fyne.NewPos(w, 0))
	o[1].Resize(fyne.NewSize(s.Width-w, s.Height))
}
