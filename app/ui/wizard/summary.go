package wizard

import (
	"context"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"sallyport/app/draft"
	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// summaryPage names the connection, tells what it will be, tries it, and
// stores it.
type summaryPage struct {
	f      *flow
	name   *kit.Entry
	wrong  *fault
	fields *kit.Fields
	test   *kit.Button
	busy   *kit.Busy
	error  *kit.ErrorCard
	goTo   *kit.Button // the page with the field that the error is about
	target int
	result *fyne.Container
	cancel context.CancelFunc // of the test that runs
	box    *fyne.Container
}

func newSummaryPage(f *flow) *summaryPage {
	p := &summaryPage{f: f, name: kit.NewEntry(), wrong: newFault(), fields: kit.NewFields(), busy: kit.NewBusy(""), result: kit.Column()}
	p.name.SetText(f.draft.Name)
	p.name.OnChanged = func(s string) {
		f.draft.Name, f.named = s, true
		p.wrong.set("")
		f.refresh()
	}
	p.test = kit.NewButton(i18n.T("wizard.test"), theme.MediaPlayIcon(), p.try)
	p.goTo = kit.NewButton("", theme.NavigateBackIcon(), func() { f.show(p.target) })
	p.goTo.Hide()
	p.error = kit.NewErrorCard(nil, p.goTo)
	name := labelled(i18n.T("wizard.name.label"), i18n.T("wizard.name.hint"), p.name, p.wrong)
	kit.SetShown(name, !f.draft.Edited())
	p.box = kit.Spread(
		kit.Tight(kit.Heading(i18n.T("wizard.summary.heading")), kit.Muted(i18n.T("wizard.summary.text"))),
		name, kit.CardBox(p.fields), p.result, p.error, kit.Column(kit.Flow(p.test), p.busy))
	return p
}

func (p *summaryPage) title() string              { return i18n.T("wizard.summary.title") }
func (p *summaryPage) content() fyne.CanvasObject { return p.box }

func (p *summaryPage) enter() {
	d := p.f.draft
	if !p.f.named {
		name := d.SuggestName(p.f.taken)
		d.Name = name
		p.name.OnChanged, name = nil, d.Name
		p.name.SetText(name)
		p.name.OnChanged = func(s string) {
			d.Name, p.f.named = s, true
			p.wrong.set("")
			p.f.refresh()
		}
	}
	proof := i18n.T("wizard.proof.certificate")
	switch d.Method {
	case draft.PSK:
		proof = i18n.T("wizard.proof.psk")
	case draft.User:
		proof = i18n.T("wizard.proof.user")
	case draft.Both:
		proof = i18n.T("wizard.proof.both")
	}
	if d.Method.Certifies() && d.OnToken {
		proof += ", " + i18n.T("wizard.summary.card")
	}
	user := ""
	if d.Method.Names() || d.Method == draft.Certificate && d.Through {
		user = d.User
	}
	if d.Ask || d.Method.Names() && d.AskPassword {
		proof += ", " + i18n.T("wizard.summary.asked")
	}
	trust := ""
	if d.Method != draft.PSK {
		if trust = i18n.T("wizard.trust.file"); d.SystemTrust {
			trust = i18n.T("wizard.trust.system")
		}
	}
	traffic := i18n.T("wizard.traffic.all")
	if !d.All {
		traffic = strings.Join(d.Networks, ", ")
	}
	id := d.GatewayID()
	if id == "%any" {
		id = i18n.T("wizard.id.any")
	}
	p.fields.Set(
		kit.Field{Label: i18n.T("wizard.gateway.title"), Value: joined(d.Gateways)},
		kit.Field{Label: i18n.T("wizard.proof.title"), Value: proof},
		kit.Field{Label: i18n.T("wizard.user.name"), Value: user},
		kit.Field{Label: i18n.T("wizard.id.own"), Value: d.LocalID},
		kit.Field{Label: i18n.T("wizard.id.gateway"), Value: id},
		kit.Field{Label: i18n.T("wizard.trust.title"), Value: trust},
		kit.Field{Label: i18n.T("wizard.traffic.title"), Value: traffic},
		kit.Field{Label: i18n.T("wizard.profile.title"), Value: profileName(d.Profile)})
}

func joined(list []string) string {
	var out []string
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, ", ")
}

func (p *summaryPage) focus() fyne.Focusable {
	if p.f.draft.Edited() {
		return p.test
	}
	return p.name
}

func (p *summaryPage) has(field string) bool { return field == draft.FieldName }
func (p *summaryPage) fault(_, text string)  { p.wrong.set(text) }
func (p *summaryPage) clear()                { p.wrong.set("") }

// failed shows why the service did not take the connection, and beside the
// field when it says which.
func (p *summaryPage) failed(e *api.Error) {
	p.result.Objects = nil
	p.goTo.Hide()
	if e.Code == api.CodeCancelled {
		p.error.Set(nil)
		p.f.refresh()
		return
	}
	if e.Code == api.CodeExists {
		p.wrong.set(i18n.T("wizard.fault.taken"))
	}
	shown := *e
	shown.Position = nil // a line of a text that the user has never seen
	p.error.Set(&shown)
	if e.Position != nil {
		for i, other := range p.f.pages {
			if other.has(e.Position.Field) && i != p.f.at {
				other.clear()
				other.fault(e.Position.Field, detail(e))
				p.target = i
				p.goTo.SetText(i18n.T("wizard.goto", "Title", other.title()))
				p.goTo.Show()
			}
		}
	}
	p.f.refresh()
	p.f.sheet.scroll.ScrollToBottom()
}

// detail is the service's own sentence on a fault.
func detail(e *api.Error) string {
	if e.Why != "" {
		return kit.Clean(e.Why)
	}
	return kit.Clean(e.What)
}

// try tests the connection, without storing it.
func (p *summaryPage) try() {
	if p.f.busy || !p.f.ready() {
		return
	}
	p.error.Set(nil)
	p.result.Objects = nil
	p.f.work(i18n.T("wizard.testing"))
	req := p.f.draft.Request(false)
	var res api.TestResult
	ctx, cancel := context.WithCancel(p.f.env.Context)
	p.cancel = cancel
	p.f.env.Run(func(context.Context) (err error) {
		defer clear(req.Password)
		res, err = p.f.env.Model.Backend().Test(ctx, req)
		return err
	}, func(err error) {
		cancel()
		p.cancel = nil
		p.f.rest()
		if err != nil {
			p.failed(api.AsError(err))
			return
		}
		p.show(res)
	})
}

// stop ends a test that runs.
func (p *summaryPage) stop() {
	if p.cancel != nil {
		p.cancel()
	}
}

// show tells what a test found, step by step.
func (p *summaryPage) show(res api.TestResult) {
	rows := []fyne.CanvasObject{}
	head := kit.Text(i18n.T("wizard.test.good"))
	if res.Problem != nil {
		head = kit.Text(i18n.T("wizard.test.bad"))
	}
	head.TextStyle.Bold = true
	rows = append(rows, head)
	for _, s := range res.Steps {
		icon, word := kit.MarkIcon(model.Safe), i18n.T("wizard.step.ok", "Step", stepName(s.Name))
		if !s.OK {
			icon, word = kit.MarkIcon(model.Fault), i18n.T("wizard.step.failed", "Step", stepName(s.Name))
		}
		text := kit.Muted(kit.Clean(s.Text))
		kit.SetShown(text, s.Text != "")
		rows = append(rows, kit.WithIcon(icon, kit.Tight(kit.Text(word), text)))
	}
	agreed := kit.NewFields(
		kit.Field{Label: i18n.T("wizard.test.ike"), Value: res.IKE, Mono: true},
		kit.Field{Label: i18n.T("wizard.test.esp"), Value: res.ESP, Mono: true})
	if c := res.Connection; c != nil {
		var routes, addresses, dns []string
		for _, r := range c.Routes {
			routes = append(routes, r.String())
		}
		for _, a := range c.Addresses {
			addresses = append(addresses, a.String())
		}
		for _, a := range c.DNS {
			dns = append(dns, a.String())
		}
		agreed.Set(
			kit.Field{Label: i18n.T("wizard.test.peer"), Value: kit.Clean(c.PeerID)},
			kit.Field{Label: i18n.T("wizard.test.networks"), Value: strings.Join(routes, ", ")},
			kit.Field{Label: i18n.T("wizard.test.addresses"), Value: strings.Join(addresses, ", ")},
			kit.Field{Label: i18n.T("wizard.test.dns"), Value: strings.Join(dns, ", ")},
			kit.Field{Label: i18n.T("wizard.test.ike"), Value: res.IKE, Mono: true},
			kit.Field{Label: i18n.T("wizard.test.esp"), Value: res.ESP, Mono: true})
	}
	rows = append(rows, agreed)
	p.result.Objects = []fyne.CanvasObject{kit.CardBox(rows...)}
	p.error.Set(res.Problem)
	p.goTo.Hide()
	p.f.refresh()
	p.f.sheet.scroll.ScrollToBottom()
}

func stepName(name string) string {
	switch name {
	case "resolve":
		return i18n.T("wizard.step.resolve")
	case "reach":
		return i18n.T("wizard.step.reach")
	case "agree":
		return i18n.T("wizard.step.agree")
	case "authenticate":
		return i18n.T("wizard.step.authenticate")
	case "tunnel":
		return i18n.T("wizard.step.tunnel")
	}
	return name
}
