package wizard

import (
	"context"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/draft"
	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// cardFields ask for a certificate on a smart card or token.
type cardFields struct {
	f     *flow
	use   *tick // it is there, and not in a file
	box   *fyne.Container
	list  *fyne.Container // the certificates, once they are known
	note  *widget.Label
	busy  *kit.Busy
	wrong *kit.ErrorCard
	pin   *kit.Entry
	fault *fault

	asked bool // the service has been asked what is there
}

func newCardFields(f *flow, changed func()) *cardFields {
	c := &cardFields{f: f, list: kit.Column(), note: kit.Muted(""), busy: kit.NewBusy(""), wrong: kit.NewErrorCard(nil), pin: kit.NewSecretEntry(), fault: newFault()}
	d := f.draft
	c.use = newTick(i18n.T("wizard.card.use"), func(on bool) {
		d.OnToken = on
		c.fault.set("")
		changed()
		f.refresh()
	})
	c.use.SetChecked(d.OnToken)
	again := kit.NewQuiet(i18n.T("wizard.card.again"), theme.ViewRefreshIcon(), c.look)
	c.pin.OnChanged = func(string) { changed() }
	c.box = kit.Spread(
		labelled(i18n.T("wizard.card.label"), "", kit.Column(c.list, c.note, c.wrong, c.busy, kit.Flow(again)), c.fault),
		labelled(i18n.T("wizard.card.pin"), i18n.T("wizard.card.pin.hint"), c.pin, nil))
	return c
}

// offered reports whether the service sees smart cards at all.
func (c *cardFields) offered() bool {
	return c.f.draft.OnToken || len(c.f.env.Model.Snapshot().Service.TokenModules) > 0
}

// take carries the PIN into the draft, and asks what is there when that is of
// interest for the first time.
func (c *cardFields) take() {
	c.f.draft.Ask, c.f.draft.Secret = false, c.pin.Text
	if !c.asked {
		c.look()
	}
}

// look asks the service which certificates are there.
func (c *cardFields) look() {
	c.asked = true
	c.busy.Start(i18n.T("wizard.card.looking"))
	c.wrong.Set(nil)
	c.f.refresh()
	var t api.Tokens
	env := c.f.env
	env.Run(func(ctx context.Context) (err error) {
		t, err = env.Model.Backend().Tokens(ctx)
		return err
	}, func(err error) {
		c.busy.Stop()
		c.wrong.Set(api.AsError(err))
		if err == nil {
			c.wrong.Set(t.Problem)
			c.show(t)
		}
		c.f.refresh()
	})
}

// show lists the certificates that may be the user's own. What the draft names
// and is not there stays named.
func (c *cardFields) show(t api.Tokens) {
	d := c.f.draft
	var options []kit.Option
	there := false
	for _, k := range t.Tokens {
		for _, x := range k.Certificates {
			if x.Authority {
				continue
			}
			there = there || x.URI == d.Token
			options = append(options, kit.Option{ID: x.URI, Title: kit.Clean(x.Certificate.Subject),
				Text: i18n.T("wizard.card.line", "Token", kit.Clean(k.Label), "Until", i18n.DateTime(x.Certificate.NotAfter))})
		}
	}
	none := ""
	if len(options) == 0 {
		none = i18n.T("wizard.card.none")
	}
	if d.Token != "" && !there {
		options = append(options, kit.Option{ID: d.Token, Title: i18n.T("wizard.card.absent"), Text: kit.Clean(d.Token)})
	}
	kit.SetText(c.note, none)
	kit.SetShown(c.note, none != "")
	choice := kit.NewChoice(options, func(uri string) {
		d.Token = uri
		c.fault.set("")
		c.f.refresh()
	}).Stacked()
	switch {
	case d.Token != "":
		choice.SetSelected(d.Token)
	case len(options) == 1:
		choice.SetSelected(options[0].ID)
		d.Token = options[0].ID
	}
	c.list.Objects = []fyne.CanvasObject{choice}
	c.list.Refresh()
}

// has reports whether a field is one of these.
func (c *cardFields) has(field string) bool { return field == draft.FieldToken || field == "local.pin" }
