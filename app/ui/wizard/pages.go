package wizard

import (
	"slices"
	"strings"

	"fyne.io/fyne/v2"

	"sallyport/app/draft"
	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// index returns which entry of a list a field is.
func index(field, list string) (int, bool) {
	rest, ok := strings.CutPrefix(field, list+"[")
	if !ok {
		return 0, field == list
	}
	n := 0
	for _, r := range strings.TrimSuffix(rest, "]") {
		if r < '0' || r > '9' || n > 1000 {
			return 0, false
		}
		n = n*10 + int(r-'0')
	}
	return n, true
}

// gatewayPage asks whom to connect to.
type gatewayPage struct {
	f     *flow
	lines *lines
	box   fyne.CanvasObject
}

func newGatewayPage(f *flow) *gatewayPage {
	p := &gatewayPage{f: f}
	p.lines = newLines(&f.draft.Gateways, "vpn.example.com", i18n.T("wizard.gateway.add"), f.refresh)
	p.box = kit.Spread(
		kit.Tight(kit.Heading(i18n.T("wizard.gateway.heading")), kit.Muted(i18n.T("wizard.gateway.text"))),
		labelled(i18n.T("wizard.gateway.label"), "", p.lines.box, nil),
		kit.Muted(i18n.T("wizard.gateway.hint")))
	return p
}

func (p *gatewayPage) title() string              { return i18n.T("wizard.gateway.title") }
func (p *gatewayPage) content() fyne.CanvasObject { return p.box }
func (p *gatewayPage) enter()                     {}
func (p *gatewayPage) focus() fyne.Focusable      { return p.lines.entries[0] }

func (p *gatewayPage) has(field string) bool { return strings.HasPrefix(field, draft.FieldGateways) }

func (p *gatewayPage) fault(field, text string) {
	if i, ok := index(field, draft.FieldGateways); ok {
		p.lines.set(i, text)
	}
}

func (p *gatewayPage) clear() {
	for i := range p.lines.faults {
		p.lines.set(i, "")
	}
}

// trafficPage asks what to protect.
type trafficPage struct {
	f        *flow
	choice   *kit.Choice
	networks *fyne.Container
	lines    *lines
	inner    *kit.Choice
	more     *folded
	box      fyne.CanvasObject
}

func newTrafficPage(f *flow) *trafficPage {
	p := &trafficPage{f: f}
	p.choice = kit.NewChoice([]kit.Option{
		{ID: "all", Title: i18n.T("wizard.traffic.all"), Text: i18n.T("wizard.traffic.all.text")},
		{ID: "some", Title: i18n.T("wizard.traffic.some"), Text: i18n.T("wizard.traffic.some.text")},
	}, func(id string) {
		f.draft.All = id == "all"
		p.show()
		f.refresh()
	})
	p.lines = newLines(&f.draft.Networks, "10.0.0.0/8", i18n.T("wizard.traffic.add"), f.refresh)
	p.networks = labelled(i18n.T("wizard.traffic.label"), "", p.lines.box, nil)
	options := []kit.Option{
		{ID: "both", Title: i18n.T("wizard.inner.both")},
		{ID: "four", Title: i18n.T("wizard.inner.four")},
		{ID: "none", Title: i18n.T("wizard.inner.none"), Text: i18n.T("wizard.inner.none.text")},
	}
	kept := slices.Clone(f.draft.Addresses)
	if innerOf(kept) == "kept" {
		options = append(options, kit.Option{ID: "kept", Title: i18n.T("wizard.inner.kept", "Addresses", strings.Join(kept, ", "))})
	}
	p.inner = kit.NewChoice(options, func(id string) {
		f.draft.Addresses = map[string][]string{"both": draft.AnyAddress(), "four": draft.AnyIPv4(), "kept": kept}[id]
	}).Stacked()
	p.inner.SetSelected(innerOf(kept))
	p.more = newFolded(i18n.T("wizard.inner.label"), p.inner, f.refresh)
	p.box = kit.Spread(
		kit.Tight(kit.Heading(i18n.T("wizard.traffic.heading")), kit.Muted(i18n.T("wizard.traffic.text"))),
		p.choice, p.networks, p.more.box)
	p.show()
	return p
}

// innerOf names the choice that asks for these inner addresses.
func innerOf(a []string) string {
	switch {
	case len(a) == 0:
		return "none"
	case slices.Equal(a, draft.AnyAddress()):
		return "both"
	case slices.Equal(a, draft.AnyIPv4()):
		return "four"
	}
	return "kept"
}

func (p *trafficPage) show() {
	id := "some"
	if p.f.draft.All {
		id = "all"
	}
	p.choice.SetSelected(id)
	kit.SetShown(p.networks, !p.f.draft.All)
}

func (p *trafficPage) title() string              { return i18n.T("wizard.traffic.title") }
func (p *trafficPage) content() fyne.CanvasObject { return p.box }
func (p *trafficPage) enter()                     { p.show() }
func (p *trafficPage) focus() fyne.Focusable      { return p.choice }

func (p *trafficPage) has(field string) bool {
	return strings.HasPrefix(field, draft.FieldNetworks) || strings.HasPrefix(field, draft.FieldAddresses)
}

func (p *trafficPage) fault(field, text string) {
	if i, ok := index(field, draft.FieldNetworks); ok {
		p.lines.set(i, text)
	}
}

func (p *trafficPage) clear() {
	for i := range p.lines.faults {
		p.lines.set(i, "")
	}
}

// profilePage asks what may travel unprotected.
type profilePage struct {
	f      *flow
	choice *kit.Choice
	box    fyne.CanvasObject
}

func newProfilePage(f *flow) *profilePage {
	p := &profilePage{f: f}
	p.choice = kit.NewChoice([]kit.Option{
		{ID: string(api.Respond), Title: profileName(api.Respond), Text: i18n.T("connections.profile.respond.text")},
		{ID: string(api.Request), Title: profileName(api.Request), Text: i18n.T("connections.profile.request.text")},
		{ID: string(api.Require), Title: profileName(api.Require), Text: i18n.T("connections.profile.require.text")},
	}, func(id string) {
		f.draft.Profile = api.Profile(id)
		f.refresh()
	}).Stacked()
	p.choice.SetSelected(string(f.draft.Profile))
	p.box = kit.Spread(kit.Tight(kit.Heading(i18n.T("wizard.profile.heading")), kit.Muted(i18n.T("wizard.profile.text"))), p.choice)
	return p
}

func profileName(p api.Profile) string {
	switch p {
	case api.Request:
		return i18n.T("connections.profile.request.name")
	case api.Require:
		return i18n.T("connections.profile.require.name")
	}
	return i18n.T("connections.profile.respond.name")
}

func (p *profilePage) title() string              { return i18n.T("wizard.profile.title") }
func (p *profilePage) content() fyne.CanvasObject { return p.box }
func (p *profilePage) enter()                     {}
func (p *profilePage) focus() fyne.Focusable      { return p.choice }
func (p *profilePage) has(field string) bool      { return field == draft.FieldProfile }
func (p *profilePage) fault(string, string)       {}
func (p *profilePage) clear()                     {}
