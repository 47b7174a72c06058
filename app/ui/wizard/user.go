package wizard

import (
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/draft"
	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
)

// userFields ask who answers the gateway's questions (EAP), and hide behind a
// button what few need to say about how.
type userFields struct {
	f   *flow
	box *fyne.Container

	name, password *kit.Entry
	nameFault      *fault
	passFault      *fault
	ask            *tick

	more      *folded
	through   *tick // for a certificate: it is shown within EAP
	throughAs *kit.Entry
	asFault   *fault
	asBox     *fyne.Container
	methods   *widget.Select
	inner     *widget.Select
	anonymous *kit.Entry
	server    *kit.Entry
	anonFault *fault
	srvFault  *fault
	withUser  *fyne.Container // what belongs to a password
	innerBox  *fyne.Container
	srvBox    *fyne.Container
}

// entry is an input that carries its text into a value of the draft.
func (f *flow) entry(value *string, example string, fault *fault, e *kit.Entry) *kit.Entry {
	e.SetPlaceHolder(example)
	e.SetText(*value)
	e.OnChanged = func(s string) {
		*value = s
		fault.set("")
		f.refresh()
	}
	return e
}

func newUserFields(f *flow, changed func()) *userFields {
	d := f.draft
	u := &userFields{f: f, nameFault: newFault(), passFault: newFault(), asFault: newFault(), anonFault: newFault(), srvFault: newFault()}
	u.name = f.entry(&d.User, "alice", u.nameFault, kit.NewEntry())
	u.password = f.entry(&d.Password, "", u.passFault, kit.NewSecretEntry())
	if d.KeepsPassword() {
		u.password.SetPlaceHolder(i18n.T("wizard.user.password.stays"))
	}
	u.ask = newTick(i18n.T("wizard.user.ask"), func(on bool) {
		d.AskPassword = on
		changed()
		f.refresh()
	})
	u.ask.SetChecked(d.AskPassword)
	u.through = newTick(i18n.T("wizard.user.through"), func(on bool) {
		d.Through = on
		changed()
		f.refresh()
	})
	u.through.SetChecked(d.Through)
	u.throughAs = f.entry(&d.User, "alice@example.com", u.asFault, kit.NewEntry())
	u.asBox = labelled(i18n.T("wizard.user.name"), i18n.T("wizard.user.through.hint"), u.throughAs, u.asFault)
	u.methods = f.selection(&d.EAP.Methods, []string{"mschapv2", "gtc", "ttls", "peap"}, changed)
	u.inner = f.selection(&d.EAP.Inner, []string{"mschapv2", "gtc", "pap"}, changed)
	u.anonymous = f.entry(&d.EAP.Anonymous, "anonymous@example.com", u.anonFault, kit.NewEntry())
	u.server = f.entry(&d.EAP.Server, "radius.example.com", u.srvFault, kit.NewEntry())
	u.innerBox = labelled(i18n.T("wizard.user.inner"), i18n.T("wizard.user.inner.hint"), u.inner, nil)
	u.withUser = kit.Spread(
		labelled(i18n.T("wizard.user.methods"), i18n.T("wizard.user.methods.hint"), u.methods, nil),
		u.innerBox,
		labelled(i18n.T("wizard.user.anonymous"), i18n.T("wizard.user.anonymous.hint"), u.anonymous, u.anonFault))
	u.srvBox = labelled(i18n.T("wizard.user.server"), i18n.T("wizard.user.server.hint"), u.server, u.srvFault)
	u.more = newFolded(i18n.T("wizard.user.more"), kit.Spread(u.through.box, u.asBox, u.withUser, u.srvBox), f.refresh)
	u.box = kit.Spread(
		labelled(i18n.T("wizard.user.name"), "", u.name, u.nameFault),
		kit.Column(labelled(i18n.T("wizard.user.password"), "", u.password, u.passFault), u.ask.box))
	u.show()
	if d.Through || !noEAP(d.EAP) {
		u.more.open(true)
	}
	return u
}

func noEAP(e draft.EAP) bool {
	return len(e.Methods)+len(e.Inner) == 0 && e.Anonymous == "" && e.Server == ""
}

// selection chooses one of the methods, or leaves it to the gateway; several
// that an edited connection has are one choice more.
func (f *flow) selection(value *[]string, methods []string, changed func()) *widget.Select {
	options := [][]string{nil}
	words := []string{i18n.T("wizard.user.automatic")}
	for _, m := range methods {
		options, words = append(options, []string{m}), append(words, methodName(m))
	}
	at := slices.IndexFunc(options, func(o []string) bool { return slices.Equal(o, *value) })
	if at < 0 {
		var names []string
		for _, m := range *value {
			names = append(names, methodName(m))
		}
		at = len(options)
		options, words = append(options, slices.Clone(*value)), append(words, strings.Join(names, ", "))
	}
	s := widget.NewSelect(words, nil)
	s.SetSelectedIndex(at)
	s.OnChanged = func(string) {
		if i := s.SelectedIndex(); i >= 0 {
			*value = options[i]
			changed()
			f.refresh()
		}
	}
	return s
}

// methodName is how a method calls itself, in every language.
func methodName(m string) string {
	switch m {
	case "mschapv2":
		return "MSCHAPv2"
	case "gtc", "ttls", "tls", "peap", "pap":
		return strings.ToUpper(m)
	}
	return kit.Clean(m)
}

// show hides what the method of the draft does not have.
func (u *userFields) show() {
	d := u.f.draft
	names := d.Method.Names()
	kit.SetShown(u.box, names)
	kit.SetShown(u.more.box, d.Method != draft.PSK)
	kit.SetShown(u.password, !d.AskPassword)
	// What is stored for a user after a certificate stays, asked for or not.
	kit.SetShown(u.ask.box, !(d.Method == draft.Both && d.KeepsPassword()))
	certificate := d.Method == draft.Certificate
	kit.SetShown(u.through.box, certificate)
	kit.SetShown(u.asBox, certificate && d.Through)
	kit.SetShown(u.withUser, names)
	kit.SetShown(u.innerBox, len(d.EAP.Methods) == 0 || slices.ContainsFunc(d.EAP.Methods, func(m string) bool { return m == "ttls" || m == "peap" }))
	kit.SetShown(u.srvBox, names || d.Through)
	for _, e := range []*kit.Entry{u.name, u.throughAs} {
		if e.Text != d.User {
			e.SetText(d.User)
		}
	}
}

// fault shows what is wrong with one of the fields; it reports whether the
// field is here.
func (u *userFields) fault(field, text string) bool {
	hidden := true
	switch {
	case field == draft.FieldUser && u.f.draft.Method.Names():
		u.nameFault.set(text)
		hidden = false
	case field == draft.FieldUser:
		u.asFault.set(text)
	case field == draft.FieldPassword, field == draft.FieldSecret && u.f.draft.Method == draft.User:
		u.passFault.set(text)
		hidden = false
	case field == draft.FieldAnonymous:
		u.anonFault.set(text)
	case strings.HasPrefix(field, draft.FieldEAPServer), strings.HasPrefix(field, "local.eap"):
		u.srvFault.set(text)
	default:
		return false
	}
	if hidden {
		u.more.open(true)
	}
	return true
}

func (u *userFields) clear() {
	for _, f := range []*fault{u.nameFault, u.passFault, u.asFault, u.anonFault, u.srvFault} {
		f.set("")
	}
}
