package monitor

import (
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// overview is the first page: the policy in force, the firewall, the numbers,
// and what passes whatever the rules say.
type overview struct {
	policy   *kit.Badge
	assigned *widget.Label
	open     *kit.Button
	name     string // of the policy in force

	firewall *kit.Badge
	filter   *widget.Label

	tiles  [5]*tile
	exempt *widget.Label
	page   fyne.CanvasObject
	root   fyne.CanvasObject
}

func newOverview(env *kit.Env) *overview {
	o := &overview{policy: kit.NewBadge(model.Off), assigned: kit.Text(""), firewall: kit.NewBadge(model.Off), filter: kit.Text(""), exempt: kit.Text("")}
	o.open = kit.NewQuiet(i18n.T("monitor.open_policies"), theme.NavigateNextIcon(), func() { env.Go(kit.Policies, o.name) })
	for i, title := range [...]string{i18n.T("monitor.tile.main"), i18n.T("monitor.tile.quick"), i18n.T("monitor.tile.failures"),
		i18n.T("monitor.tile.fallbacks"), i18n.T("monitor.tile.drops")} {
		o.tiles[i] = newTile(title)
	}
	o.assigned.Selectable, o.filter.Selectable, o.exempt.Selectable = true, true, true
	tiles := container.New(tilesLayout{}, o.tiles[0].panel, o.tiles[1].panel, o.tiles[2].panel, o.tiles[3].panel, o.tiles[4].panel)
	o.page = kit.Spread(
		tiles,
		kit.CardBox(kit.Flow(title(i18n.T("monitor.policy")), o.policy), o.assigned, kit.Flow(o.open)),
		kit.CardBox(kit.Flow(title(i18n.T("monitor.firewall")), o.firewall), o.filter),
		kit.CardBox(kit.Subheading(i18n.T("monitor.exempt")), kit.Muted(i18n.T("monitor.exempt_text")), o.exempt),
	)
	o.root = scroll(o.page)
	return o
}

// title is a heading that stands beside something.
func title(text string) *widget.Label {
	l := kit.Subheading(text)
	l.Wrapping = fyne.TextWrapOff
	return l
}

// scroll lets content scroll, and keeps it clear of the scroll bar.
func scroll(content fyne.CanvasObject) fyne.CanvasObject {
	return container.NewVScroll(container.NewPadded(container.NewPadded(content)))
}

func (o *overview) set(a *answer) {
	s := &a.security
	if p := s.Assignment; p != nil {
		o.name = p.Policy
		o.policy.Set(model.Safe, i18n.T("monitor.policy_yes"))
		text := i18n.T("monitor.assigned", "Policy", kit.Clean(p.Policy), "By", kit.Clean(p.By), "Time", p.Since)
		if p.By == "" {
			text = i18n.T("monitor.assigned_by_nobody", "Policy", kit.Clean(p.Policy), "Time", p.Since)
		}
		kit.SetText(o.assigned, text)
	} else {
		o.name = ""
		o.policy.Set(model.Off, i18n.T("monitor.policy_no"))
		kit.SetText(o.assigned, i18n.T("monitor.unassigned"))
	}
	mark, word, text := firewall(s.Firewall)
	o.firewall.Set(mark, word)
	kit.SetText(o.filter, text)

	var failures, drops uint64
	for _, n := range s.Failures {
		failures += n
	}
	for _, n := range a.dynamic.Drops {
		drops += n
	}
	o.tiles[0].set(uint64(len(a.dynamic.IKESAs)))
	o.tiles[1].set(uint64(len(a.dynamic.ChildSAs)))
	o.tiles[2].set(failures)
	o.tiles[3].set(s.Fallbacks)
	o.tiles[4].set(drops)
	if list := exemptions(s.Exempt); list != o.exempt.Text { // lines come and go
		o.exempt.SetText(list)
		o.page.Refresh()
		o.root.Refresh()
	}
}

// firewall puts the service's words on the packet filter into the user's.
func firewall(s string) (model.Mark, string, string) {
	switch {
	case s == "" || s == "not needed":
		return model.Off, i18n.T("monitor.firewall_off"), i18n.T("monitor.firewall_off_text")
	case strings.HasPrefix(s, "not in force"):
		_, why, _ := strings.Cut(s, ": ")
		return model.Fault, i18n.T("monitor.firewall_bad"), i18n.T("monitor.firewall_bad_text", "Why", kit.Clean(why))
	case strings.HasPrefix(s, "in force, "):
		n := strings.TrimSuffix(strings.TrimPrefix(s, "in force, "), " rules")
		return model.Safe, i18n.T("monitor.firewall_on"), i18n.T("monitor.firewall_on_text", "N", kit.Clean(n))
	}
	return model.Safe, i18n.T("monitor.firewall_on"), kit.Clean(s)
}

// exemptions lists what passes always, a line each.
func exemptions(list []string) string {
	if len(list) == 0 {
		return i18n.T("monitor.exempt_none")
	}
	lines := make([]string, 0, len(list))
	for _, s := range list {
		lines = append(lines, "•  "+exemption(s))
	}
	return strings.Join(slices.Compact(lines), "\n")
}

// exemption puts the service's words into the user's as far as they are known.
func exemption(s string) string {
	switch {
	case s == "loopback":
		return i18n.T("monitor.exempt.loopback")
	case strings.HasPrefix(s, "IKE and ESP of the service"):
		return i18n.T("monitor.exempt.ike")
	case strings.HasPrefix(s, "the service's own look-ups"):
		return i18n.T("monitor.exempt.dns")
	case strings.HasPrefix(s, "DHCP"):
		return i18n.T("monitor.exempt.dhcp")
	case strings.HasPrefix(s, "IPv6 neighbour discovery"):
		return i18n.T("monitor.exempt.ndp")
	case strings.HasPrefix(s, "the local network "):
		return i18n.T("monitor.exempt.lan", "Network", kit.Clean(strings.TrimPrefix(s, "the local network ")))
	case strings.HasPrefix(s, "discovery on the local network"):
		return i18n.T("monitor.exempt.discovery")
	}
	return kit.Clean(s)
}

// A tile is a number with its meaning below.
type tile struct {
	panel  *kit.Panel
	number *widget.Label
}

func newTile(title string) *tile {
	t := &tile{number: kit.Heading("–")}
	t.number.Wrapping = fyne.TextWrapOff
	t.panel = kit.NewPanel(kit.Tight(t.number, kit.Muted(title)))
	return t
}

func (t *tile) set(n uint64) { kit.SetText(t.number, i18n.Count(n)) }

// tilesLayout sets tiles of one size beside each other, as many as fit.
type tilesLayout struct{}

func (tilesLayout) least() float32 { return theme.TextSize() * 8.5 }

// grid gives the tiles their size: the height of the highest.
func (l tilesLayout) grid(o []fyne.CanvasObject, width float32) (columns int, w, h float32) {
	gap := theme.Padding() * 2
	columns = max(1, min(len(o), int((width+gap)/(l.least()+gap))))
	w = (width - float32(columns-1)*gap) / float32(columns)
	for _, t := range o {
		m := t.MinSize()
		t.Resize(fyne.NewSize(w, m.Height))
		h = max(h, t.MinSize().Height)
	}
	for _, t := range o {
		t.Resize(fyne.NewSize(w, h))
	}
	return columns, w, h
}

// MinSize is that at the width it had last: the height follows the width.
func (l tilesLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	width, right := l.least(), float32(0)
	for _, t := range o {
		right = max(right, t.Position().X+t.Size().Width)
	}
	columns, _, h := l.grid(o, max(width, right))
	rows := (len(o) + columns - 1) / columns
	return fyne.NewSize(width, float32(rows)*(h+theme.Padding()*2)-theme.Padding()*2)
}

func (l tilesLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	columns, w, h := l.grid(o, s.Width)
	gap := theme.Padding() * 2
	for i, t := range o {
		t.Move(fyne.NewPos(float32(i%columns)*(w+gap), float32(i/columns)*(h+gap)))
	}
}

// actionWord writes a filter action as the Windows policies call it.
func actionWord(action string) string {
	switch action {
	case "permit":
		return i18n.T("monitor.action.permit")
	case "block":
		return i18n.T("monitor.action.block")
	case "negotiate":
		return i18n.T("monitor.action.negotiate")
	}
	return kit.Clean(action)
}

// protectionMark tells what becomes of the traffic of a rule now.
func protectionMark(c *api.Coverage) (model.Mark, string) {
	switch {
	case c.Action == "permit":
		return model.Off, i18n.T("monitor.now.permit")
	case c.Action == "block":
		return model.Blocked, i18n.T("monitor.now.blocked")
	}
	switch c.Protection {
	case api.Protected:
		return model.Safe, i18n.T("monitor.now.protected")
	case api.Clear:
		return model.Partly, i18n.T("monitor.now.clear")
	case api.Held:
		return model.Busy, i18n.T("monitor.now.held")
	case api.Stopped:
		return model.Blocked, i18n.T("monitor.now.blocked")
	}
	return model.Off, i18n.T("monitor.now.unknown")
}
