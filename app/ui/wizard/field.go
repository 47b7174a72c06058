package wizard

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/draft"
	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
)

// A fault is the place for what is wrong with a field, beside it.
type fault struct {
	box  *fyne.Container
	text *widget.Label
}

func newFault() *fault {
	f := &fault{text: kit.Text("")}
	f.text.Importance = widget.DangerImportance
	f.box = kit.WithIcon(theme.NewErrorThemedResource(theme.ErrorIcon()), f.text)
	f.box.Hide()
	return f
}

// set shows a text; an empty one hides the place.
func (f *fault) set(text string) {
	kit.SetText(f.text, text)
	kit.SetShown(f.box, text != "")
}

// labelled sets a caption above an input, and what explains it and what is
// wrong with it below.
func labelled(label, hint string, input fyne.CanvasObject, f *fault) *fyne.Container {
	if s, ok := input.(*widget.Select); ok {
		input = kit.Framed(s)
	}
	objects := []fyne.CanvasObject{kit.Caption(label), input}
	if hint != "" {
		objects = append(objects, kit.Muted(hint))
	}
	if f != nil {
		objects = append(objects, f.box)
	}
	return container.New(&fieldLayout{}, objects...)
}

// fieldLayout sets the parts of a field closer than a column does: labels
// bring air of their own.
type fieldLayout struct{}

func (l *fieldLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	var s fyne.Size
	for i, c := range o {
		if c.Visible() {
			m := c.MinSize()
			s.Width = max(s.Width, m.Width)
			s.Height += m.Height + l.gap(i, o)
		}
	}
	return s
}

// gap is the room above part i, which may be negative.
func (l *fieldLayout) gap(i int, o []fyne.CanvasObject) float32 {
	switch i {
	case 0:
		return -theme.InnerPadding() / 2
	case 1:
		return -theme.InnerPadding() / 2
	}
	return -theme.InnerPadding() / 3
}

func (l *fieldLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	y := float32(0)
	for i, c := range o {
		if !c.Visible() {
			continue
		}
		y += l.gap(i, o)
		h := c.MinSize().Height
		c.Resize(fyne.NewSize(s.Width, h))
		if again := c.MinSize().Height; again != h {
			h = again
			c.Resize(fyne.NewSize(s.Width, h))
		}
		c.Move(fyne.NewPos(0, y))
		y += h
	}
}

// lines edits a list of texts, a line each, with a button that adds one.
type lines struct {
	box     *fyne.Container
	entries []*kit.Entry
	faults  []*fault
	values  *[]string
	example string
	add     *kit.Button
	changed func()
}

func newLines(values *[]string, example, more string, changed func()) *lines {
	l := &lines{box: kit.Column(), values: values, example: example, changed: changed}
	l.add = kit.NewQuiet(more, theme.ContentAddIcon(), func() {
		*l.values = append(*l.values, "")
		l.build()
		l.focus(len(l.entries) - 1)
	})
	l.build()
	return l
}

func (l *lines) build() {
	if len(*l.values) == 0 {
		*l.values = []string{""}
	}
	l.box.Objects, l.entries, l.faults = nil, nil, nil
	for i, v := range *l.values {
		e, f := kit.NewEntry(), newFault()
		e.SetPlaceHolder(l.example)
		e.SetText(v)
		e.OnChanged = func(s string) {
			(*l.values)[i] = s
			f.set("")
			l.changed()
		}
		row := fyne.CanvasObject(e)
		if len(*l.values) > 1 {
			row = container.NewBorder(nil, nil, nil, kit.NewQuiet("", theme.ContentRemoveIcon(), func() {
				*l.values = append((*l.values)[:i], (*l.values)[i+1:]...)
				l.build()
				l.focus(max(0, i-1))
			}), e)
		}
		l.entries, l.faults = append(l.entries, e), append(l.faults, f)
		l.box.Objects = append(l.box.Objects, row, f.box)
	}
	l.box.Objects = append(l.box.Objects, container.NewHBox(l.add))
	l.box.Refresh()
	l.changed()
}

func (l *lines) focus(i int) {
	if c := fyne.CurrentApp().Driver().CanvasForObject(l.entries[i]); c != nil {
		c.Focus(l.entries[i])
	}
}

// set shows what is wrong with entry i.
func (l *lines) set(i int, text string) {
	if i < len(l.faults) {
		l.faults[i].set(text)
	}
}

// faultText says what is wrong with a field.
func faultText(f draft.Fault) string {
	switch f.Kind {
	case draft.Missing:
		return missingText(f.Field)
	case draft.TooLong:
		return i18n.T("wizard.fault.tooLong")
	case draft.TooMany:
		return i18n.T("wizard.fault.tooMany")
	case draft.NotGateway:
		return i18n.T("wizard.fault.gateway")
	case draft.BadPort:
		return i18n.T("wizard.fault.port")
	case draft.Twice:
		return i18n.T("wizard.fault.twice")
	case draft.NotName:
		return i18n.T("wizard.fault.name")
	case draft.ReservedName:
		return i18n.T("wizard.fault.reserved")
	case draft.NotText:
		return i18n.T("wizard.fault.text")
	case draft.Pattern:
		return i18n.T("wizard.fault.pattern")
	case draft.NotNetwork:
		return i18n.T("wizard.fault.network")
	case draft.NoCertificate:
		return i18n.T("wizard.fault.noCertificate")
	case draft.NoKey:
		return i18n.T("wizard.fault.noKey")
	case draft.PKCS12:
		return i18n.T("wizard.fault.pkcs12")
	case draft.OpenSSHKey:
		return i18n.T("wizard.fault.openssh")
	case draft.NotOfKey:
		return i18n.T("wizard.fault.notOfKey")
	case draft.NeedPassphrase:
		return i18n.T("wizard.fault.passphrase")
	case draft.NoPassphrase:
		return i18n.T("wizard.fault.noPassphrase")
	case draft.NeedGatewayID:
		return i18n.T("wizard.fault.gatewayID")
	}
	return f.Text
}

func missingText(field string) string {
	switch field {
	case draft.At(draft.FieldGateways, 0):
		return i18n.T("wizard.missing.gateway")
	case draft.FieldCertificate:
		return i18n.T("wizard.missing.certificate")
	case draft.FieldKey:
		return i18n.T("wizard.missing.key")
	case draft.FieldSecret:
		return i18n.T("wizard.missing.secret")
	case draft.FieldUser:
		return i18n.T("wizard.missing.user")
	case draft.FieldPassword:
		return i18n.T("wizard.missing.password")
	case draft.FieldCAs:
		return i18n.T("wizard.missing.authority")
	case draft.FieldName:
		return i18n.T("wizard.missing.name")
	}
	return i18n.T("wizard.missing.network")
}
