package wizard

import (
	"crypto/x509"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/draft"
	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
)

// A fileField holds a file of certificates or a key: which it is and what is in
// it, and a button that chooses another.
type fileField struct {
	box    *fyne.Container
	name   *widget.Label
	what   *widget.Label
	fault  *fault
	button *kit.Button
}

// newFileField returns the field; chosen is called with what the user takes.
func newFileField(f *flow, label, choose string, chosen func(*draft.File)) *fileField {
	p := &fileField{name: kit.Text(""), what: kit.Muted(""), fault: newFault()}
	p.name.TextStyle.Bold = true
	p.button = kit.NewButton(choose, theme.FolderOpenIcon(), func() {
		f.pick.file(func(path string) {
			readFile(f.env, path, func(data []byte, wrong string) {
				p.fault.set(wrong)
				if wrong == "" {
					file := draft.NewFile(path, data)
					chosen(&file)
				}
				f.refresh()
			})
		})
	})
	p.box = labelled(label, "", kit.NewPanel(container.NewBorder(nil, nil, nil, container.NewVBox(p.button), kit.Tight(p.name, p.what))), p.fault)
	return p
}

// show tells what is chosen; kept says that without a choice what is stored
// stays, and stored, as far as it is known, what that is.
func (p *fileField) show(f *draft.File, kept bool, stored []draft.File) {
	name, what := i18n.T("wizard.file.none"), ""
	switch {
	case f != nil:
		name, what = kit.Clean(f.Name), contentText(draft.Inspect(f.Data))
	case kept:
		name = i18n.T("wizard.file.kept")
		if len(stored) > 0 {
			what = contentText(draft.Inspect(stored[0].Data))
		}
	}
	p.name.Importance = widget.MediumImportance
	if f == nil && !kept {
		p.name.Importance = widget.LowImportance
	}
	p.name.SetText(name)
	kit.SetText(p.what, what)
	kit.SetShown(p.what, what != "")
}

// contentText says what is in a file.
func contentText(c draft.Content) string {
	var text string
	switch n := len(c.Certificates); {
	case n > 0:
		cert := c.Certificates[0]
		text = i18n.T("wizard.file.certificate", "Subject", kit.Clean(subject(cert)), "Until", i18n.DateTime(cert.NotAfter))
		if n > 1 {
			text += " " + i18n.T("wizard.file.more", "Count", n-1)
		}
	}
	if c.Container {
		return i18n.T("wizard.file.container")
	}
	switch c.Key {
	case draft.KeyPlain:
		text += " " + i18n.T("wizard.file.key")
	case draft.KeyEncrypted:
		text += " " + i18n.T("wizard.file.sealed")
	}
	return text
}

func subject(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	return c.Subject.String()
}
