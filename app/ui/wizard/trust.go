package wizard

import (
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"

	"sallyport/app/draft"
	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
)

// trustPage asks how the gateway proves who it is, and under which names the
// two ends know each other.
type trustPage struct {
	f        *flow
	heading  *fyne.Container
	choice   *kit.Choice
	files    *fyne.Container
	list     *fyne.Container
	faults   []*fault
	caFault  *fault
	add      *kit.Button
	system   *kit.Note
	withCert *fyne.Container

	gatewayID, ownID *kit.Entry
	gwFault, idFault *fault
	gwField          *fyne.Container
	more             *folded
	box              *fyne.Container
}

func newTrustPage(f *flow) *trustPage {
	p := &trustPage{f: f, caFault: newFault(), gwFault: newFault(), idFault: newFault()}
	d := f.draft
	p.choice = kit.NewChoice([]kit.Option{
		{ID: "file", Title: i18n.T("wizard.trust.file"), Text: i18n.T("wizard.trust.file.text")},
		{ID: "system", Title: i18n.T("wizard.trust.system"), Text: i18n.T("wizard.trust.system.text")},
	}, func(id string) {
		d.SystemTrust = id == "system"
		p.show()
		f.refresh()
	})
	p.list = kit.Column()
	p.add = kit.NewButton(i18n.T("wizard.trust.choose"), theme.FolderOpenIcon(), p.choose)
	p.files = labelled(i18n.T("wizard.trust.label"), "", kit.CardBox(p.list, kit.Flow(p.add)), p.caFault)
	p.system = kit.Info(i18n.T("wizard.trust.system.note"))
	p.withCert = kit.Spread(p.choice, p.files, p.system)

	entry := func(value *string, example string, fault *fault) *kit.Entry {
		e := kit.NewEntry()
		e.SetPlaceHolder(example)
		e.SetText(*value)
		e.OnChanged = func(s string) {
			*value = s
			fault.set("")
			f.refresh()
		}
		return e
	}
	p.gatewayID = entry(&d.RemoteID, "", p.gwFault)
	p.ownID = entry(&d.LocalID, "alice@example.com", p.idFault)
	p.gwField = labelled(i18n.T("wizard.id.gateway"), i18n.T("wizard.id.gateway.hint"), p.gatewayID, p.gwFault)
	p.more = newFolded(i18n.T("wizard.id.more"), kit.Spread(p.gwField,
		labelled(i18n.T("wizard.id.own"), i18n.T("wizard.id.own.hint"), p.ownID, p.idFault)), f.refresh)
	if d.LocalID != "" || d.Edited() && d.RemoteID != "" {
		p.more.open(true)
	}
	p.heading = kit.Column()
	p.box = kit.Spread(p.heading, p.withCert, p.more.box)
	p.show()
	return p
}

func (p *trustPage) choose() {
	p.f.pick.file(func(path string) {
		readFile(p.f.env, path, func(data []byte, wrong string) {
			p.caFault.set(wrong)
			if wrong == "" {
				p.f.draft.CAs = append(p.f.draft.CAs, draft.NewFile(path, data))
				p.show()
			}
			p.f.refresh()
		})
	})
}

func (p *trustPage) show() {
	d := p.f.draft
	cert := d.Method != draft.PSK
	head, text := i18n.T("wizard.trust.heading"), i18n.T("wizard.trust.text")
	if !cert {
		head, text = i18n.T("wizard.names.heading"), i18n.T("wizard.names.text")
	}
	p.heading.Objects = []fyne.CanvasObject{kit.Tight(kit.Heading(head), kit.Muted(text))}
	kit.SetShown(p.withCert, cert)
	id := "file"
	if d.SystemTrust {
		id = "system"
	}
	p.choice.SetSelected(id)
	kit.SetShown(p.files, !d.SystemTrust)
	kit.SetShown(p.system, d.SystemTrust)
	p.gatewayID.SetPlaceHolder(i18n.T("wizard.id.any"))
	if cert {
		gateway := d.Clone()
		gateway.RemoteID = ""
		p.gatewayID.SetPlaceHolder(gateway.GatewayID())
	}
	p.list.Objects, p.faults = nil, nil
	for i, f := range d.CAs {
		x := newFault()
		name := kit.Text(kit.Clean(f.Name))
		name.TextStyle.Bold = true
		rows := []fyne.CanvasObject{name}
		if what := contentText(draft.Inspect(f.Data)); what != "" {
			rows = append(rows, kit.Muted(what))
		}
		remove := kit.NewQuiet("", theme.DeleteIcon(), func() {
			d.CAs = slices.Delete(d.CAs, i, i+1)
			p.show()
			p.f.refresh()
		})
		p.faults = append(p.faults, x)
		p.list.Objects = append(p.list.Objects, container.NewBorder(nil, nil, nil, container.NewVBox(remove), kit.Tight(rows...)), x.box)
	}
	if len(d.CAs) == 0 {
		none := kit.Muted(i18n.T("wizard.file.none"))
		if d.KeepsCAs() {
			none = kit.Text(i18n.T("wizard.file.kept"))
		}
		none.TextStyle.Bold = true
		rows := []fyne.CanvasObject{none}
		for _, f := range d.StoredCAs() {
			if what := contentText(draft.Inspect(f.Data)); what != "" {
				rows = append(rows, kit.Muted(what))
			}
		}
		p.list.Objects = []fyne.CanvasObject{kit.Tight(rows...)}
	}
	p.list.Refresh()
}

func (p *trustPage) title() string {
	return i18n.T("wizard.trust.title")
}
func (p *trustPage) content() fyne.CanvasObject { return p.box }
func (p *trustPage) enter()                     { p.show() }

func (p *trustPage) focus() fyne.Focusable {
	if p.f.draft.Method != draft.PSK {
		return p.choice
	}
	return p.more.button
}

func (p *trustPage) has(field string) bool {
	return strings.HasPrefix(field, draft.FieldCAs) || field == draft.FieldRemoteID || field == draft.FieldLocalID
}

func (p *trustPage) fault(field, text string) {
	switch i, list := index(field, draft.FieldCAs); {
	case field == draft.FieldRemoteID:
		p.gwFault.set(text)
		p.more.open(true)
	case field == draft.FieldLocalID:
		p.idFault.set(text)
		p.more.open(true)
	case list && field != draft.FieldCAs && i < len(p.faults):
		p.faults[i].set(text)
	default:
		p.caFault.set(text)
	}
}

func (p *trustPage) clear() {
	for _, f := range append(slices.Clone(p.faults), p.caFault, p.gwFault, p.idFault) {
		f.set("")
	}
}
