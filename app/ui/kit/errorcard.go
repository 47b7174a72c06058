package kit

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	apptheme "sallyport/app/theme"
	"sallyport/core/api"
)

// An ErrorCard explains a failure: what happened, why, what to do next, the
// service's own words as a detail that opens, and what the administrator of
// the other side can be told.
type ErrorCard struct {
	Panel
	// Resized is called when the card has become higher or lower: whoever set it
	// somewhere lays out again.
	Resized func()

	err     *api.Error
	what    *widget.Label
	why     *widget.Label
	note    *widget.Label
	next    *widget.Label
	hintFor *widget.Label
	hint    *Copyable
	more    *Button
	detail  *widget.Label
	buttons *fyne.Container
	box     *fyne.Container
}

// NewErrorCard returns the card of e, hidden when e is nil. actions are buttons.
func NewErrorCard(e *api.Error, actions ...fyne.CanvasObject) *ErrorCard {
	c := &ErrorCard{what: Text(""), why: Text(""), note: Text(""), next: Text(""), hintFor: Caption(""), hint: NewCopyable(""), detail: Muted("")}
	c.what.TextStyle.Bold = true
	for _, l := range []*widget.Label{c.what, c.why, c.note, c.next, c.detail} {
		l.Selectable = true
	}
	c.detail.TextStyle.Monospace = true
	c.more = NewQuiet("", theme.MenuDropDownIcon(), func() { c.open(!c.detail.Visible()) })
	c.buttons = Flow(append(append([]fyne.CanvasObject{}, actions...), c.more)...)
	c.box = Section(Tight(c.what, c.why, c.note, c.next), c.hintFor, c.hint, c.buttons, c.detail)
	c.Content = WithIcon(theme.NewErrorThemedResource(theme.ErrorIcon()), c.box)
	c.Fill = apptheme.TintOf(model.Fault)
	c.Stroke, c.StrokeAlpha, c.StrokeWidth = apptheme.ColorOf(model.Fault), 0x60, 1
	c.ExtendBaseWidget(c)
	c.open(false)
	c.show(e)
	return c
}

// Set shows another failure; nil hides the card.
func (c *ErrorCard) Set(e *api.Error) {
	if c.err != e {
		c.show(e)
	}
}

func (c *ErrorCard) show(e *api.Error) {
	c.err = e
	SetShown(c, e != nil)
	if e == nil {
		return
	}
	set := func(l *widget.Label, text string) {
		SetText(l, text)
		SetShown(l, text != "")
	}
	what, why, next := model.ErrorText(e)
	set(c.what, sentence(what))
	set(c.why, sentence(why))
	set(c.note, sentence(model.ErrorNote(e)))
	set(c.next, sentence(next))
	hint := model.ErrorHint(e)
	set(c.hintFor, "")
	SetShown(c.hint, hint != "")
	if hint != "" {
		set(c.hintFor, i18n.T("kit.error.hint"))
		c.hint.SetText(hint)
	}
	SetText(c.detail, model.ErrorDetail(e)+" ["+string(e.Code)+"]")
	c.relayout()
}

func (c *ErrorCard) relayout() {
	c.box.Refresh()
	if c.Resized != nil {
		c.Resized()
	}
}

func sentence(t model.Text) string {
	if t.Key == "" {
		return ""
	}
	return i18n.Say(t)
}

func (c *ErrorCard) open(open bool) {
	SetShown(c.detail, open)
	if open {
		c.more.SetText(i18n.T("kit.error.less"))
		c.more.SetIcon(theme.MenuDropUpIcon())
	} else {
		c.more.SetText(i18n.T("kit.error.more"))
		c.more.SetIcon(theme.MenuDropDownIcon())
	}
	c.relayout()
}
