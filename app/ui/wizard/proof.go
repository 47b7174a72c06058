package wizard

import (
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/draft"
	"sallyport/app/i18n"
	apptheme "sallyport/app/theme"
	"sallyport/app/ui/kit"
)

// proofPage asks how the gateway wants to know who the user is.
type proofPage struct {
	f      *flow
	choice *kit.Choice
	box    *fyne.Container

	byCert     *fyne.Container
	cert, key  *fileField
	passBox    *fyne.Container
	passphrase *kit.Entry
	passFault  *fault
	askPass    *tick
	askFault   *fault

	card *cardFields
	user *userFields

	byKey     *fyne.Container
	secret    *kit.Entry
	secFault  *fault
	typed     *fyne.Container // what belongs to a key that is typed
	meter     *meter
	weak      *tick
	askSecret *tick
}

func newProofPage(f *flow) *proofPage {
	p := &proofPage{f: f}
	p.choice = kit.NewChoice([]kit.Option{
		{ID: string(draft.Certificate), Title: i18n.T("wizard.proof.certificate"), Text: i18n.T("wizard.proof.certificate.text")},
		{ID: string(draft.User), Title: i18n.T("wizard.proof.user"), Text: i18n.T("wizard.proof.user.text")},
		{ID: string(draft.Both), Title: i18n.T("wizard.proof.both"), Text: i18n.T("wizard.proof.both.text")},
		{ID: string(draft.PSK), Title: i18n.T("wizard.proof.psk"), Text: i18n.T("wizard.proof.psk.text")},
	}, func(id string) {
		f.draft.Method = draft.Method(id)
		p.take()
		f.refresh()
	})
	p.choice.SetSelected(string(f.draft.Method))
	p.byCert = p.certificate()
	p.byKey = p.psk()
	p.user = newUserFields(f, p.take)
	p.card = newCardFields(f, p.take)
	p.box = kit.Spread(
		kit.Tight(kit.Heading(i18n.T("wizard.proof.heading")), kit.Muted(i18n.T("wizard.proof.text"))),
		p.choice, p.card.use.box, p.card.box, p.byCert, p.user.box, p.byKey, p.user.more.box)
	p.take()
	return p
}

func (p *proofPage) certificate() *fyne.Container {
	d := p.f.draft
	p.cert = newFileField(p.f, i18n.T("wizard.certificate.label"), i18n.T("wizard.certificate.choose"), func(f *draft.File) {
		d.Certificate = f
		if f != nil && draft.Inspect(f.Data).Key != draft.KeyNone {
			d.Key = nil // it brings its own
		}
		p.take()
	})
	p.key = newFileField(p.f, i18n.T("wizard.key.label"), i18n.T("wizard.key.choose"), func(f *draft.File) {
		d.Key = f
		p.take()
	})
	p.passphrase, p.passFault, p.askFault = kit.NewSecretEntry(), newFault(), newFault()
	p.secretOf(d.Method.Certifies(), p.passphrase)
	p.passphrase.OnChanged = func(string) { p.passFault.set(""); p.take() }
	p.askPass = newTick(i18n.T("wizard.passphrase.ask"), func(bool) { p.askFault.set(""); p.take(); p.f.refresh() })
	p.askPass.SetChecked(d.Ask && d.Method.Certifies())
	p.passBox = kit.Column(labelled(i18n.T("wizard.passphrase.label"), i18n.T("wizard.passphrase.hint"), p.passphrase, p.passFault), p.askPass.box, p.askFault.box)
	return kit.Spread(p.cert.box, p.key.box, p.passBox)
}

// secretOf fills in what the draft has already.
func (p *proofPage) secretOf(mine bool, e *kit.Entry) {
	if mine {
		e.SetText(p.f.draft.Secret)
	}
}

func (p *proofPage) psk() *fyne.Container {
	d := p.f.draft
	p.secret, p.secFault, p.meter = kit.NewSecretEntry(), newFault(), newMeter()
	p.secretOf(d.Method == draft.PSK, p.secret)
	if d.KeepsSecret() {
		p.secret.SetPlaceHolder(i18n.T("wizard.secret.stays"))
	}
	p.weak = newTick(i18n.T("wizard.secret.weakOK"), func(on bool) {
		p.f.weakOK = on
		p.secFault.set("")
		p.f.refresh()
	})
	p.weak.box.Hide()
	p.secret.OnChanged = func(string) {
		p.secFault.set("")
		p.f.weakOK = false
		p.weak.SetChecked(false)
		p.take()
		p.f.refresh()
	}
	generate := kit.NewQuiet(i18n.T("wizard.secret.generate"), theme.ViewRefreshIcon(), func() {
		p.secret.SetText(draft.Generate())
		fyne.CurrentApp().Clipboard().SetContent(p.secret.Text)
		p.meter.note(i18n.T("wizard.secret.generated"))
		p.f.refresh()
	})
	paste := kit.NewQuiet(i18n.T("wizard.secret.paste"), theme.ContentPasteIcon(), func() {
		p.secret.SetText(strings.TrimRight(fyne.CurrentApp().Clipboard().Content(), "\r\n"))
	})
	p.askSecret = newTick(i18n.T("wizard.secret.ask"), func(bool) { p.take(); p.f.refresh() })
	p.askSecret.SetChecked(d.Ask && d.Method == draft.PSK)
	p.typed = kit.Column(labelled(i18n.T("wizard.secret.label"), "", p.secret, p.secFault), p.meter, p.weak.box, kit.Flow(paste, generate))
	return kit.Column(p.typed, p.askSecret.box)
}

// take carries what the widgets hold into the draft, and shows what belongs to it.
func (p *proofPage) take() {
	if p.box == nil {
		return // under construction
	}
	d := p.f.draft
	psk := d.Method == draft.PSK
	kit.SetShown(p.byKey, psk)
	onCard := d.Method.Certifies() && d.OnToken
	kit.SetShown(p.card.use.box, d.Method.Certifies() && p.card.offered())
	kit.SetShown(p.card.box, onCard)
	kit.SetShown(p.byCert, d.Method.Certifies() && !onCard)
	p.user.show()
	if psk {
		d.Ask = p.askSecret.Checked
		if d.Secret = p.secret.Text; d.Ask {
			d.Secret = ""
		}
		kit.SetShown(p.typed, !d.Ask)
		s := draft.Measure(p.secret.Text)
		p.meter.set(s)
		kit.SetShown(p.weak.box, p.secret.Text != "" && s.Weak())
		return
	}
	if !d.Method.Certifies() {
		d.Ask, d.Secret = false, ""
		return
	}
	if onCard {
		p.card.take()
		return
	}
	through := d.Method == draft.Certificate && d.Through
	kit.SetShown(p.askPass.box, !through)
	if through && p.askPass.Checked {
		p.askPass.SetChecked(false)
	}
	sealed := d.NeedsPassphrase() || d.Ask && d.Key == nil && d.Certificate == nil
	kit.SetShown(p.passBox, sealed)
	if !sealed && p.askPass.Checked {
		p.askPass.SetChecked(false)
	}
	d.Ask = sealed && p.askPass.Checked
	if d.Secret = ""; sealed {
		d.Secret = p.passphrase.Text
	}
	var stored []draft.File
	if d.KeepsCertificate() {
		stored = d.StoredCertificate()
	}
	p.cert.show(d.Certificate, d.KeepsCertificate(), stored)
	p.key.show(d.Key, d.KeepsCertificate() && d.Certificate == nil, nil)
	own := d.Certificate != nil && draft.Inspect(d.Certificate.Data).Key != draft.KeyNone && d.Key == nil
	kit.SetShown(p.key.box, !own)
}

// strongEnough reports whether the pre-shared key is strong, or taken with its
// weakness; it says so where it is not.
func (p *proofPage) strongEnough() bool {
	d := p.f.draft
	if d.Method != draft.PSK || d.Ask || d.Secret == "" || p.f.weakOK || !draft.Measure(d.Secret).Weak() {
		return true
	}
	p.secFault.set(i18n.T("wizard.secret.weak"))
	return false
}

func (p *proofPage) title() string              { return i18n.T("wizard.proof.title") }
func (p *proofPage) content() fyne.CanvasObject { return p.box }
func (p *proofPage) enter()                     { p.take() }
func (p *proofPage) focus() fyne.Focusable      { return p.choice }

func (p *proofPage) has(field string) bool {
	if p.card.has(field) {
		return true
	}
	for _, f := range []string{draft.FieldCertificate, draft.FieldKey, draft.FieldSecret, draft.FieldAsk, draft.FieldUser, draft.FieldPassword, "local.eap"} {
		if strings.HasPrefix(field, f) {
			return true
		}
	}
	return false
}

func (p *proofPage) fault(field, text string) {
	switch {
	case p.user.fault(field, text):
	case p.card.has(field), p.f.draft.OnToken && p.f.draft.Method.Certifies():
		p.card.fault.set(text)
	case strings.HasPrefix(field, draft.FieldCertificate):
		p.cert.fault.set(text)
	case field == draft.FieldKey:
		p.key.fault.set(text)
		if !p.key.box.Visible() {
			p.cert.fault.set(text)
		}
	case field == draft.FieldAsk:
		p.askFault.set(text)
	case p.f.draft.Method == draft.PSK:
		p.secFault.set(text)
	default:
		p.passFault.set(text)
	}
}

func (p *proofPage) clear() {
	p.user.clear()
	for _, f := range []*fault{p.cert.fault, p.key.fault, p.passFault, p.askFault, p.secFault, p.card.fault} {
		f.set("")
	}
}

// A meter says how hard a key is to guess: in words, by the length of a bar,
// and in a colour.
type meter struct {
	widget.BaseWidget
	text, hint *widget.Label
	bar        *bar
}

func newMeter() *meter {
	m := &meter{text: kit.Text(""), hint: kit.Muted(""), bar: newBar()}
	m.text.TextStyle.Bold = true
	m.ExtendBaseWidget(m)
	m.Hide()
	return m
}

// set shows a strength; that of no key hides the meter.
func (m *meter) set(s draft.Strength) {
	kit.SetShown(m, s.Grade != draft.Empty)
	kit.SetText(m.text, gradeText(s))
	m.note(flawText(s.Flaw))
	m.bar.set(s)
}

func (m *meter) note(text string) {
	kit.SetText(m.hint, text)
	kit.SetShown(m.hint, text != "")
}

// CreateRenderer implements fyne.Widget.
func (m *meter) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(kit.Column(m.bar, kit.Tight(m.text, m.hint)))
}

func gradeText(s draft.Strength) string {
	bits := int(s.Bits)
	switch s.Grade {
	case draft.Seconds:
		return i18n.T("wizard.grade.seconds", "Bits", bits)
	case draft.Days:
		return i18n.T("wizard.grade.days", "Bits", bits)
	case draft.Years:
		return i18n.T("wizard.grade.years", "Bits", bits)
	case draft.Good:
		return i18n.T("wizard.grade.good", "Bits", bits)
	}
	return i18n.T("wizard.grade.strong", "Bits", bits)
}

func flawText(f draft.Flaw) string {
	switch f {
	case draft.FlawShort:
		return i18n.T("wizard.flaw.short")
	case draft.FlawCommon:
		return i18n.T("wizard.flaw.common")
	case draft.FlawWords:
		return i18n.T("wizard.flaw.words")
	case draft.FlawRepeats:
		return i18n.T("wizard.flaw.repeats")
	case draft.FlawSequence:
		return i18n.T("wizard.flaw.sequence")
	}
	return ""
}

// A bar is filled by as many of its five parts as the grade has.
type bar struct {
	widget.BaseWidget
	parts [5]*kit.Panel
}

func newBar() *bar {
	b := &bar{}
	for i := range b.parts {
		b.parts[i] = kit.NewPanel(nil)
		b.parts[i].Tight, b.parts[i].Stroke, b.parts[i].Radius = true, "", 2
	}
	b.ExtendBaseWidget(b)
	return b
}

func (b *bar) set(s draft.Strength) {
	color := theme.ColorNameError
	switch {
	case s.Grade >= draft.Good:
		color = theme.ColorNameSuccess
	case s.Grade == draft.Years:
		color = theme.ColorNameWarning
	}
	for i, p := range b.parts {
		if p.Fill = apptheme.ColorSelected; i < int(s.Grade) {
			p.Fill = color
		}
		p.Refresh()
	}
}

// CreateRenderer implements fyne.Widget.
func (b *bar) CreateRenderer() fyne.WidgetRenderer { return &barRenderer{b} }

type barRenderer struct{ b *bar }

func (r *barRenderer) Layout(s fyne.Size) {
	inset, gap := theme.InnerPadding(), theme.Padding()
	w := (s.Width - 2*inset - gap*float32(len(r.b.parts)-1)) / float32(len(r.b.parts))
	for i, p := range r.b.parts {
		p.Move(fyne.NewPos(inset+float32(i)*(w+gap), 0))
		p.Resize(fyne.NewSize(w, s.Height))
	}
}

func (r *barRenderer) MinSize() fyne.Size { return fyne.NewSize(60, theme.Padding()*1.5) }

func (r *barRenderer) Refresh() {
	for _, p := range r.b.parts {
		p.Refresh()
	}
}

func (r *barRenderer) Objects() []fyne.CanvasObject {
	var out []fyne.CanvasObject
	for _, p := range r.b.parts {
		out = append(out, p)
	}
	return out
}

func (r *barRenderer) Destroy() {}
