package kit

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/core/api"
)

// A Dialog asks for something over the window. Escape does what its cancel
// button does and Enter what its default button does.
type Dialog struct {
	// OnCancel is called when the user gives up by Escape or the button; nil: it
	// only closes.
	OnCancel func()
	// OnEnter is called when Enter is pressed outside of buttons; nil: nothing.
	OnEnter func()
	// Focus is what has the focus at first.
	Focus fyne.Focusable
	// KeepOpen leaves it to OnCancel to close the dialog.
	KeepOpen bool
	// Width in multiples of the text size; 0: 34.
	Width float32

	env    *Env
	pop    *widget.PopUp
	scroll *container.Scroll
	body   *fyne.Container
}

// NewDialog returns a dialog that is not shown yet. buttons stand at its lower
// right, in the order given.
func NewDialog(env *Env, title string, content fyne.CanvasObject, buttons ...fyne.CanvasObject) *Dialog {
	d := &Dialog{env: env}
	d.scroll = container.NewVScroll(content)
	d.body = container.New(&dialogLayout{d: d}, Subheading(title), d.scroll, EndFlow(buttons...))
	d.pop = widget.NewModalPopUp(d.body, env.Window.Canvas())
	return d
}

// Show opens the dialog.
func (d *Dialog) Show() {
	c := d.env.Window.Canvas()
	if len(d.env.dialogs) == 0 {
		d.env.keys = c.OnTypedKey()
		c.SetOnTypedKey(d.env.typedKey)
	}
	d.env.dialogs = append(d.env.dialogs, d)
	d.pop.Show()
	d.fit()
	if d.Focus != nil {
		c.Focus(d.Focus)
	}
}

// Visible reports whether the dialog is open.
func (d *Dialog) Visible() bool { return d.pop.Visible() }

// fit gives the dialog the height that its content has at its width.
func (d *Dialog) fit() {
	for range 2 { // text that wraps knows its height only at its width
		d.pop.Resize(d.body.MinSize())
	}
	if top := d.env.Window.Canvas().Overlays().Top(); top != nil {
		top.Refresh() // it stands in the middle at its new height as well
	}
}

// Refit is to be called when the content has become higher or lower.
func (d *Dialog) Refit() {
	if d.pop.Visible() {
		d.fit()
	}
}

// Hide closes the dialog without calling anything.
func (d *Dialog) Hide() {
	if !d.pop.Visible() {
		return
	}
	d.pop.Hide()
	d.env.dialogs = slices.DeleteFunc(d.env.dialogs, func(o *Dialog) bool { return o == d })
	if len(d.env.dialogs) == 0 {
		d.env.Window.Canvas().SetOnTypedKey(d.env.keys)
	}
}

// typedKey hands a key to the topmost dialog.
func (e *Env) typedKey(k *fyne.KeyEvent) {
	if n := len(e.dialogs); n > 0 {
		e.dialogs[n-1].typedKey(k)
	}
}

// Cancel closes the dialog as Escape does.
func (d *Dialog) Cancel() {
	if !d.KeepOpen {
		d.Hide()
	}
	if d.OnCancel != nil {
		d.OnCancel()
	}
}

func (d *Dialog) typedKey(e *fyne.KeyEvent) {
	switch e.Name {
	case fyne.KeyEscape:
		d.Cancel()
	case fyne.KeyReturn, fyne.KeyEnter:
		if d.OnEnter != nil {
			d.OnEnter()
		}
	}
}

type dialogLayout struct{ d *Dialog }

func (l *dialogLayout) pad() float32 { return theme.Padding() * 3 }

func (l *dialogLayout) width() float32 {
	w := l.d.Width
	if w == 0 {
		w = 34
	}
	return min(w*theme.TextSize(), l.d.env.Window.Canvas().Size().Width*0.94)
}

func (l *dialogLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	w := l.width()
	inner := w - 2*l.pad()
	h := settle(o[0], inner) + settle(l.d.scroll.Content, inner) + settle(o[2], inner-theme.InnerPadding()*2) + 2*l.pad() + 4*theme.Padding()
	return fyne.NewSize(w, min(h, l.d.env.Window.Canvas().Size().Height*0.94))
}

func (l *dialogLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	pad := l.pad()
	inner := s.Width - 2*pad
	top := settle(o[0], inner)
	side := theme.InnerPadding() // as in a Section
	bottom := settle(o[2], inner-side*2)
	o[0].Move(fyne.NewPos(pad, pad))
	o[1].Move(fyne.NewPos(pad, pad+top+theme.Padding()))
	o[1].Resize(fyne.NewSize(inner, max(0, s.Height-2*pad-top-bottom-4*theme.Padding())))
	o[2].Move(fyne.NewPos(pad+side, s.Height-pad-bottom))
}

// Confirm asks before something that cannot be undone, or that lowers
// protection (danger). verb is what the button says; the focus is on the
// button that changes nothing.
func Confirm(env *Env, title, text, verb string, danger bool, yes func()) *Dialog {
	var d *Dialog
	do := func() {
		d.Hide()
		yes()
	}
	no := NewButton(i18n.T("common.cancel"), nil, func() { d.Cancel() })
	ok := NewPrimary(verb, nil, do)
	if danger {
		ok = NewDanger(verb, nil, do)
	}
	d = NewDialog(env, title, Text(text), no, ok)
	d.Focus = no
	if !danger {
		d.Focus = ok
	}
	d.Show()
	return d
}

// ShowError shows why something the user asked for was not done. An error that
// is only the user's own cancellation is not shown.
func ShowError(env *Env, err error) {
	e := api.AsError(err)
	if e == nil || e.Code == api.CodeCancelled {
		return
	}
	var d *Dialog
	ok := NewPrimary(i18n.T("common.close"), nil, func() { d.Hide() })
	card := NewErrorCard(e)
	d = NewDialog(env, i18n.T("kit.error.title"), Section(card), ok)
	card.Resized = d.Refit
	d.Focus = ok
	d.Show()
}
