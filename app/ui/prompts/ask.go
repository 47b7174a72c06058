package prompts

import (
	"context"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	apptheme "sallyport/app/theme"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// mostWords is how much of a stranger's text is shown.
const mostWords = 2000

// A form is the dialog of a prompt while it is made and answered.
type form struct {
	p      *Prompts
	prompt api.Prompt
	dialog *kit.Dialog

	entry    *kit.Entry  // of kinds that want a secret
	choice   *kit.Choice // of PromptCertificate
	remember *kit.Check
	ok       *kit.Button // the answer that goes on
	no       *kit.Button
	busy     *kit.Busy
	problem  *kit.ErrorCard
	left     *widget.Label
	sent     bool
}

// ask opens the dialog of a prompt.
func (p *Prompts) ask(prompt api.Prompt) {
	f := &form{p: p, prompt: prompt, busy: kit.NewBusy(""), problem: kit.NewErrorCard(nil), left: kit.Muted("")}
	objects := []fyne.CanvasObject{}
	add := func(o ...fyne.CanvasObject) { objects = append(objects, o...) }
	if prompt.Attempt > 1 && prompt.Tries != api.TriesFinal { // which says more
		add(kit.Warning(again(prompt.Kind)))
	}
	var buttons []fyne.CanvasObject
	switch prompt.Kind {
	case api.PromptServer:
		add(f.server()...)
		buttons = []fyne.CanvasObject{f.ok, f.no} // what is safe stands where the hand goes
	case api.PromptCertificate:
		add(f.certificates()...)
		buttons = []fyne.CanvasObject{f.no, f.ok}
	default:
		add(f.secret()...)
		buttons = []fyne.CanvasObject{f.no, f.ok}
	}
	add(f.problem, f.busy, f.left)
	f.dialog = kit.NewDialog(p.env, title(prompt), kit.Section(objects...), buttons...)
	f.dialog.OnCancel = f.cancelled
	f.problem.Resized = f.dialog.Refit
	f.dialog.KeepOpen = true
	switch prompt.Kind {
	case api.PromptServer:
		f.dialog.Focus, f.dialog.OnEnter = f.no, f.cancel
		f.dialog.Width = 40
	case api.PromptCertificate:
		f.dialog.Focus, f.dialog.OnEnter = f.choice, f.submit
		f.dialog.Width = 40
	default:
		f.dialog.Focus, f.dialog.OnEnter = f.entry, f.submit
	}
	q := &question{id: prompt.ID, connection: prompt.Connection, dialog: f.dialog}
	f.tick()
	if !prompt.Until.IsZero() {
		q.stop = f.runClock()
	}
	p.show(q)
}

func title(p api.Prompt) string {
	switch p.Kind {
	case api.PromptPassword:
		return i18n.T("prompts.password.title", "Name", p.Connection)
	case api.PromptCode:
		return i18n.T("prompts.code.title", "Name", p.Connection)
	case api.PromptSecret:
		return i18n.T("prompts.secret.title", "Name", p.Connection)
	case api.PromptPassphrase:
		return i18n.T("prompts.passphrase.title", "Name", p.Connection)
	case api.PromptPIN:
		return i18n.T("prompts.pin.title", "Name", p.Connection)
	case api.PromptCertificate:
		return i18n.T("prompts.certificate.title", "Name", p.Connection)
	case api.PromptServer:
		return i18n.T("prompts.server.title", "Name", p.Connection)
	}
	return i18n.T("prompts.other.title", "Name", p.Connection)
}

// again says that the last answer was wrong.
func again(k api.PromptKind) string {
	switch k {
	case api.PromptPassword:
		return i18n.T("prompts.password.again")
	case api.PromptCode:
		return i18n.T("prompts.code.again")
	case api.PromptSecret:
		return i18n.T("prompts.secret.again")
	case api.PromptPassphrase:
		return i18n.T("prompts.passphrase.again")
	case api.PromptPIN:
		return i18n.T("prompts.pin.again")
	case api.PromptCertificate:
		return i18n.T("prompts.certificate.again")
	}
	return i18n.T("prompts.other.again")
}

// secret is the content for everything that is typed in.
func (f *form) secret() []fyne.CanvasObject {
	p := f.prompt
	var out []fyne.CanvasObject
	placeholder := ""
	f.entry = kit.NewSecretEntry()
	switch p.Kind {
	case api.PromptPassword:
		placeholder = i18n.T("prompts.password.field")
		if p.User != "" {
			out = append(out, kit.Text(i18n.T("prompts.password.text", "User", p.User)))
		}
	case api.PromptCode:
		placeholder = i18n.T("prompts.code.field")
		f.entry = kit.NewEntry() // it serves once, and is read from another screen
		out = append(out, kit.Text(i18n.T("prompts.code.text")))
	case api.PromptSecret:
		placeholder = i18n.T("prompts.secret.field")
		out = append(out, kit.Text(i18n.T("prompts.secret.text")))
	case api.PromptPassphrase:
		placeholder = i18n.T("prompts.passphrase.field")
		out = append(out, kit.Text(i18n.T("prompts.passphrase.text")))
	case api.PromptPIN:
		placeholder = i18n.T("prompts.pin.field")
		if p.Text != "" {
			out = append(out, kit.Text(i18n.T("prompts.pin.text", "Token", short(p.Text))))
		}
		switch p.Tries {
		case api.TriesFinal:
			out = append(out, kit.Warning(i18n.T("prompts.pin.final")))
		case api.TriesLow:
			out = append(out, kit.Text(i18n.T("prompts.pin.low")))
		}
	default: // a later service has added it
		placeholder = i18n.T("prompts.other.field")
	}
	if p.Text != "" && p.Kind != api.PromptPIN {
		out = append(out, stranger(p.Text))
	}
	f.entry.SetPlaceHolder(placeholder)
	f.entry.OnChanged = func(text string) { f.enable(text != "") }
	out = append(out, f.entry)
	if p.Rememberable && f.p.snap.CanRemember {
		f.remember = kit.NewCheck(i18n.T("prompts.remember"), nil)
		out = append(out, f.remember)
	}
	f.buttons(i18n.T("prompts.continue"))
	f.ok.Disable()
	return out
}

// stranger shows what the other side wrote as its words, not ours.
func stranger(text string) fyne.CanvasObject {
	l := kit.Text(short(text))
	l.Selectable = true
	panel := kit.NewPanel(l)
	panel.Fill, panel.Tight = apptheme.ColorRail, true
	return kit.Column(kit.Caption(i18n.T("prompts.stranger")), kit.Section(panel))
}

func short(text string) string {
	if r := []rune(text); len(r) > mostWords {
		return string(r[:mostWords]) + "…"
	}
	return text
}

func (f *form) buttons(ok string) {
	f.no = kit.NewButton(i18n.T("common.cancel"), nil, f.cancel)
	f.ok = kit.NewPrimary(ok, nil, f.submit)
}

func (f *form) enable(on bool) {
	switch {
	case on && !f.sent:
		f.ok.Enable()
	default:
		f.ok.Disable()
	}
}

// submit hands the answer over.
func (f *form) submit() {
	if f.sent || f.ok.Disabled() {
		return
	}
	a := api.Answer{ID: f.prompt.ID}
	remember := f.remember != nil && f.remember.Checked
	switch {
	case f.entry != nil:
		a.Secret = []byte(f.entry.Text) // the model wipes it; the widget's copy goes with the dialog
	case f.choice != nil:
		if a.Choice = f.choice.Selected(); a.Choice == "" {
			return
		}
	}
	f.send(a, remember)
}

// trust accepts an unknown gateway.
func (f *form) trust() { f.send(api.Answer{ID: f.prompt.ID, Trust: true}, false) }

// cancel gives up: of an unknown gateway, it does not trust it.
func (f *form) cancel() { f.dialog.Cancel() }

func (f *form) cancelled() {
	f.send(api.Answer{ID: f.prompt.ID, Cancel: f.prompt.Kind != api.PromptServer}, false)
}

func (f *form) send(a api.Answer, remember bool) {
	if f.sent {
		return
	}
	f.lock(true)
	f.p.answer(a, remember, func(e *api.Error) {
		f.lock(false)
		f.problem.Set(e)
		f.dialog.Refit()
	})
}

// lock keeps the user from answering twice.
func (f *form) lock(on bool) {
	f.sent = on
	set := func(w fyne.Disableable) {
		if on {
			w.Disable()
		} else {
			w.Enable()
		}
	}
	set(f.ok)
	set(f.no)
	if f.entry != nil {
		set(f.entry)
		if on {
			f.entry.SetText("")
		}
		f.enable(f.entry.Text != "")
	}
	if f.choice != nil {
		set(f.choice)
	}
	if on {
		f.busy.Start(i18n.T("prompts.sending"))
	} else {
		f.busy.Stop()
	}
	if f.dialog != nil {
		f.dialog.Refit()
	}
}

// tick shows how much time is left.
func (f *form) tick() {
	if f.prompt.Until.IsZero() {
		f.left.Hide()
		return
	}
	left := f.prompt.Until.Sub(f.p.env.Now())
	kit.SetText(f.left, i18n.T("prompts.left", "Duration", max(0, left.Round(time.Second))))
}

// runClock shows the time that passes until it is stopped.
func (f *form) runClock() context.CancelFunc {
	ctx, stop := context.WithCancel(f.p.env.Context)
	go func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				f.p.env.Do(func() {
					if ctx.Err() == nil {
						f.tick()
					}
				})
			}
		}
	}()
	return stop
}

// certificates is the content of the choice of a certificate.
func (f *form) certificates() []fyne.CanvasObject {
	var options []kit.Option
	for _, c := range f.prompt.Choices {
		o := kit.Option{ID: c.ID, Title: short(c.Text)}
		if c.Certificate != nil {
			o.Text = about(c.Certificate)
			if subject := short(c.Certificate.Subject); o.Title == "" {
				o.Title = subject
			} else if o.Title != subject {
				o.Text = subject + "\n" + o.Text
			}
		}
		options = append(options, o)
	}
	f.choice = kit.NewChoice(options, func(string) { f.enable(true) }).Stacked()
	f.buttons(i18n.T("prompts.certificate.use"))
	f.enable(false)
	if len(options) > 0 {
		f.choice.SetSelected(options[0].ID)
		f.enable(true)
	}
	out := []fyne.CanvasObject{kit.Text(i18n.T("prompts.certificate.text")), f.choice}
	if f.prompt.Rememberable { // the service does, not the vault
		f.remember = kit.NewCheck(i18n.T("prompts.certificate.remember"), nil)
		out = append(out, f.remember)
	}
	return out
}

// about is what tells one certificate of the user from another.
func about(c *api.Certificate) string {
	s := i18n.T("prompts.certificate.line", "Issuer", short(c.Issuer), "From", i18n.Date(c.NotBefore), "Date", i18n.Date(c.NotAfter))
	if len(c.Uses) > 0 {
		var uses []string
		for _, u := range c.Uses {
			uses = append(uses, use(u))
		}
		s += "\n" + i18n.T("prompts.certificate.uses", "Uses", strings.Join(uses, ", "))
	}
	if f := c.Fingerprint; len(f) > 23 {
		s += "\n" + "SHA-256 " + f[:23] + " …"
	}
	return s
}

func use(u api.CertificateUse) string {
	switch u {
	case api.UseClient:
		return i18n.T("prompts.use.client")
	case api.UseServer:
		return i18n.T("prompts.use.server")
	case api.UseIPsec:
		return "IPsec"
	case api.UseSmartCard:
		return i18n.T("prompts.use.smartcard")
	case api.UseEmail:
		return i18n.T("prompts.use.email")
	case api.UseCode:
		return i18n.T("prompts.use.code")
	case api.UseAny:
		return i18n.T("prompts.use.any")
	}
	return i18n.T("prompts.use.other")
}

// server is the content of the question whether a gateway is to be trusted.
func (f *form) server() []fyne.CanvasObject {
	f.ok = kit.NewButton(i18n.T("prompts.server.trust"), nil, f.trust)
	f.no = kit.NewPrimary(i18n.T("prompts.server.refuse"), nil, f.cancel)
	out := []fyne.CanvasObject{kit.Warning(i18n.T("prompts.server.text"))}
	c := f.prompt.Certificate
	if c == nil {
		f.ok.Hide() // there is nothing to compare
		return out
	}
	now := f.p.env.Now()
	if now.After(c.NotAfter) || now.Before(c.NotBefore) {
		out = append(out, kit.Warning(i18n.T("prompts.server.expired")))
	}
	out = append(out, kit.Caption(i18n.T("prompts.server.fingerprint")), kit.NewCopyableAs(groups(c.Fingerprint), c.Fingerprint),
		kit.NewFields(
			kit.Field{Label: i18n.T("prompts.server.subject"), Value: short(c.Subject)},
			kit.Field{Label: i18n.T("prompts.server.names"), Value: names(c.Names)},
			kit.Field{Label: i18n.T("prompts.server.issuer"), Value: short(c.Issuer)},
			kit.Field{Label: i18n.T("prompts.server.validity"), Value: i18n.T("prompts.server.period", "From", i18n.Date(c.NotBefore), "To", i18n.Date(c.NotAfter))}))
	return out
}

// names lists what a certificate is for, up to a few.
func names(list []string) string {
	const most = 6
	s := ""
	for i, n := range list {
		if i == most {
			return s + "\n" + i18n.T("prompts.server.more", "Count", len(list)-most)
		}
		if i > 0 {
			s += "\n"
		}
		s += short(n)
	}
	return s
}

// groups sets a fingerprint in lines of eight bytes, each in two halves, as
// people compare them.
func groups(fingerprint string) string {
	var b []byte
	n := 0
	for i := 0; i < len(fingerprint); i++ {
		if fingerprint[i] != ':' {
			b = append(b, fingerprint[i])
			continue
		}
		n++
		switch {
		case n%8 == 0:
			b = append(b, '\n')
		case n%4 == 0:
			b = append(b, "   "...)
		default:
			b = append(b, ' ')
		}
	}
	return string(b)
}
