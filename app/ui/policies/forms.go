package policies

import (
	"slices"
	"strconv"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/policydraft"
	"sallyport/app/ui/kit"
)

// A formEntry is text that becomes part of the draft when the focus leaves it
// or Enter is pressed.
type formEntry struct {
	kit.Entry
	left func()
}

// FocusLost implements fyne.Focusable.
func (f *formEntry) FocusLost() {
	f.Entry.FocusLost()
	f.left()
}

func (e *editor) entry(path, text, placeholder string, set func(string)) *formEntry {
	f := &formEntry{left: e.flush}
	f.Wrapping = fyne.TextWrapOff
	f.ExtendBaseWidget(f)
	f.SetPlaceHolder(placeholder)
	f.SetText(text)
	f.OnChanged = func(text string) { e.pend(path, func() { set(strings.TrimSpace(text)) }) }
	f.OnSubmitted = func(string) { e.flush() }
	return f
}

// A formChoice is a formEntry with suggestions.
type formChoice struct {
	widget.SelectEntry
	left func()
}

// FocusLost implements fyne.Focusable.
func (f *formChoice) FocusLost() {
	f.SelectEntry.FocusLost()
	f.left()
}

// field adds a field to the form in front.
func (e *editor) field(path, name string, control fyne.CanvasObject, hint string) *field {
	f := newField(path, name, control, hint)
	e.fields = append(e.fields, f)
	return f
}

// textField edits a string of the policy.
func (e *editor) textField(path, name, value, placeholder, hint string) *field {
	return e.field(path, name, e.entry(path, value, placeholder, func(s string) { e.set(path, s) }), hint)
}

// linesField edits a list of strings, one a line.
func (e *editor) linesField(path, name string, value []string, placeholder, hint string) *field {
	f := &formEntry{left: e.flush}
	f.MultiLine, f.Wrapping = true, fyne.TextWrapOff
	f.ExtendBaseWidget(f)
	f.SetPlaceHolder(placeholder)
	f.SetMinRowsVisible(3)
	f.SetText(strings.Join(value, "\n"))
	f.OnChanged = func(text string) { e.pend(path, func() { e.set(path, splitLines(text)) }) }
	out := e.field(path, name, f, hint)
	out.deep = true
	return out
}

func splitLines(text string) []string {
	var out []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// numberField edits a whole number; none is 0.
func (e *editor) numberField(path, name string, value uint64, placeholder, hint string) *field {
	text := ""
	if value > 0 {
		text = strconv.FormatUint(value, 10)
	}
	var out *field
	c := e.entry(path, text, placeholder, func(s string) {
		if s == "" {
			e.set(path, uint64(0))
			return
		}
		n, err := strconv.ParseUint(s, 10, 62)
		if err != nil {
			out.say(i18n.T("policies.number"))
			return
		}
		e.set(path, n)
	})
	out = e.field(path, name, c, hint)
	return out
}

func (e *editor) checkField(path, name string, value bool, hint string) *field {
	return e.field(path, "", check(name, value, func(on bool) {
		e.flush()
		e.set(path, on)
	}), hint)
}

// nameField edits the name of a filter list or filter action; the rules that
// name it follow.
func (e *editor) nameField(path, value, ref string) *field {
	return e.field(path, i18n.T("policies.field.name"), e.entry(path, value, "", func(name string) {
		e.edit(func(d *policydraft.Draft) (*policydraft.Draft, error) {
			rules := slices.Clone(d.Policy().Rules)
			n, err := d.Set(path, name)
			for i := range rules {
				r := &rules[i]
				if err != nil {
					break
				}
				switch {
				case ref == "filter_list" && r.FilterList == value:
					n, err = n.Set(join("rules", i, ref), name)
				case ref == "filter_action" && r.FilterAction == value:
					n, err = n.Set(join("rules", i, ref), name)
				}
			}
			if err == nil {
				value = name
			}
			return n, err
		})
	}), "")
}

func join(list string, i int, field string) string {
	return list + "[" + strconv.Itoa(i) + "]." + field
}

// addRule asks for a rule.
func (e *editor) addRule() {
	newWizard(e, func(w *wizard) {
		n := len(e.s.draft.Policy().Rules)
		e.edit(w.write)
		if len(e.s.draft.Policy().Rules) > n {
			e.rules.selected = n
		}
		e.build()
	}).show()
}

// ruleForm edits a rule.
func (e *editor) ruleForm(i int, base string) fyne.CanvasObject {
	p := e.s.draft.Policy()
	r := p.Rules[i]
	var lists, actions []option
	for _, n := range policydraft.StockLists() {
		lists = append(lists, option{n, stock(n)})
	}
	for _, l := range p.FilterLists {
		lists = append(lists, option{l.Name, kit.Clean(l.Name)})
	}
	for _, a := range policydraft.StockActions() {
		actions = append(actions, option{a.Name, stock(a.Name)})
	}
	for _, a := range p.FilterActions {
		actions = append(actions, option{a.Name, kit.Clean(a.Name)})
	}
	a, _ := p.Action(r.FilterAction)
	pick := func(path string) func(string) {
		return func(value string) {
			e.flush()
			e.set(path, value)
			e.build()
		}
	}
	tunnel := &formChoice{left: e.flush}
	tunnel.Wrapping = fyne.TextWrapOff
	tunnel.ExtendBaseWidget(tunnel)
	tunnel.SetOptions(e.v.connections())
	tunnel.SetPlaceHolder(i18n.T("policies.endpoint.placeholder"))
	tunnel.SetText(r.Tunnel)
	tunnel.OnChanged = func(text string) {
		e.pend(base+".tunnel", func() { e.set(base+".tunnel", strings.TrimSpace(text)) })
	}
	objects := []fyne.CanvasObject{
		e.textField(base+".name", i18n.T("policies.field.name"), r.Name, "", ""),
		e.field(base+".filter_list", i18n.T("policies.field.list"), selection(lists, r.FilterList, pick(base+".filter_list")), trafficOf(p, r.FilterList)),
		e.field(base+".filter_action", i18n.T("policies.field.action"), selection(actions, r.FilterAction, pick(base+".filter_action")), actionMeaning(a)),
		e.field(base+".tunnel", i18n.T("policies.field.tunnel"), tunnel, i18n.T("policies.hint.tunnel")),
		e.field(base+".connection_type", i18n.T("policies.field.type"), selection([]option{
			{"", connectionType("")}, {"lan", connectionType("lan")}, {"remote", connectionType("remote")}},
			strings.TrimPrefix(r.ConnectionType, "all"), func(v string) { e.flush(); e.set(base+".connection_type", v) }), i18n.T("policies.hint.type")),
		e.checkField(base+".enabled", i18n.T("policies.field.enabled"), r.Enabled, ""),
	}
	if a.Action == policydraft.Negotiate || len(r.Auth) > 0 {
		objects = append(objects, e.authBox(base+".auth", r.Auth, i18n.T("policies.hint.auth")))
	}
	return kit.Column(objects...)
}

func (e *editor) addList() {
	p := e.s.draft.Policy()
	name := free(i18n.T("policies.list.name"), func(n string) bool { _, ok := p.List(n); return ok })
	e.lists.add(policydraft.FilterList{Name: name})
}

// listForm edits a filter list. Its filters are a table: there may be thousands.
func (e *editor) listForm(i int, base string) fyne.CanvasObject {
	l := e.s.draft.Policy().FilterLists[i]
	filters := func() []policydraft.Filter {
		if lists := e.s.draft.Policy().FilterLists; e.s != nil && i < len(lists) {
			return lists[i].Filters
		}
		return nil
	}
	path := base + ".filters"
	table := kit.NewTable([]kit.TableColumn{
		{Title: i18n.T("policies.column.number"), Width: 3.5, Right: true},
		{Title: i18n.T("policies.column.from"), Width: 7.5, Grow: true},
		{Title: i18n.T("policies.column.to"), Width: 8, Grow: true},
		{Title: i18n.T("policies.column.traffic"), Width: 6},
		{Title: i18n.T("policies.column.mirrored"), Width: 5.5},
	}, func() int { return len(filters()) }, func(row, col int) kit.Cell {
		all := filters()
		if row >= len(all) {
			return kit.Cell{}
		}
		f := &all[row]
		switch col {
		case 0:
			return kit.Cell{Text: strconv.Itoa(row + 1)}
		case 1:
			return kit.Cell{Text: address(f.Source)}
		case 2:
			return kit.Cell{Text: address(f.Destination)}
		case 3:
			return kit.Cell{Text: traffic(*f)}
		}
		if f.Mirrored {
			return kit.Cell{Text: i18n.T("policies.yes")}
		}
		return kit.Cell{Text: i18n.T("policies.no")}
	}, nil)
	refresh := func(row int) {
		table.Update()
		if n := len(filters()); n > 0 {
			table.Select(max(0, min(row, n-1)))
		}
		e.names()
	}
	var edit, remove, up, down *kit.Button
	fresh := kit.NewButton(i18n.T("policies.filter.add"), theme.ContentAddIcon(), func() {
		e.flush()
		e.filterDialog(i18n.T("policies.filter.add.title"), policydraft.Filter{Source: "me", Destination: "any", Mirrored: true}, func(f policydraft.Filter) {
			n := len(filters())
			e.edit(func(d *policydraft.Draft) (*policydraft.Draft, error) { return d.Insert(path, n, f) })
			refresh(n)
		})
	})
	edit = kit.NewButton(i18n.T("policies.filter.edit"), theme.DocumentCreateIcon(), func() {
		row, ok := table.Selected()
		if !ok {
			return
		}
		e.flush()
		e.filterDialog(i18n.T("policies.filter.edit.title"), filters()[row], func(f policydraft.Filter) {
			e.set(path+"["+strconv.Itoa(row)+"]", f)
			refresh(row)
		})
	})
	remove = kit.NewButton(i18n.T("policies.delete"), theme.DeleteIcon(), func() {
		if row, ok := table.Selected(); ok {
			e.flush()
			e.edit(func(d *policydraft.Draft) (*policydraft.Draft, error) { return d.Remove(path, row) })
			refresh(row)
		}
	})
	move := func(by int) {
		row, ok := table.Selected()
		if to := row + by; ok && to >= 0 && to < len(filters()) {
			e.flush()
			e.edit(func(d *policydraft.Draft) (*policydraft.Draft, error) { return d.Move(path, row, to) })
			refresh(to)
		}
	}
	up = kit.NewButton("", theme.MoveUpIcon(), func() { move(-1) })
	down = kit.NewButton("", theme.MoveDownIcon(), func() { move(1) })
	table.OnSelected = func(int) {
		for _, b := range []*kit.Button{edit, remove, up, down} {
			b.Enable()
		}
	}
	for _, b := range []*kit.Button{edit, remove, up, down} {
		b.Disable()
	}
	rows := min(9, max(4, len(l.Filters)+2))
	box := e.field(path, i18n.T("policies.field.filters"), container.New(tall{float32(rows)}, table), "")
	box.deep = true
	return kit.Column(
		e.nameField(base+".name", l.Name, "filter_list"),
		e.textField(base+".description", i18n.T("policies.field.description"), l.Description, "", ""),
		box, kit.Flow(fresh, edit, up, down, remove))
}

// filterDialog edits a filter.
func (e *editor) filterDialog(title string, f policydraft.Filter, done func(policydraft.Filter)) {
	form := newFilterForm(&f)
	var d *kit.Dialog
	do := func() {
		d.Hide()
		done(f)
	}
	d = newDialog(e.v.env, title, form, kit.NewButton(i18n.T("common.cancel"), nil, func() { d.Cancel() }), kit.NewPrimary(i18n.T("policies.ok"), nil, do))
	d.OnEnter = do
	d.Show()
}

// newFilterForm returns the fields of a filter, which follow what is typed.
func newFilterForm(f *policydraft.Filter) fyne.CanvasObject {
	words := []string{"me", "any", "gateway"}
	trim := func(to *string) func(string) { return func(s string) { *to = strings.TrimSpace(s) } }
	return kit.Column(
		newField("", i18n.T("policies.filter.from"), hintedEntry(f.Source, "me", words, trim(&f.Source)), i18n.T("policies.hint.from")),
		newField("", i18n.T("policies.filter.to"), hintedEntry(f.Destination, "10.0.0.0/8", words, trim(&f.Destination)), i18n.T("policies.hint.to")),
		container.New(partsLayout{},
			newField("", i18n.T("policies.filter.protocol"), hintedEntry(f.Protocol, "any", []string{"any", "tcp", "udp", "icmp"}, func(s string) {
				if f.Protocol = strings.TrimSpace(s); f.Protocol == "any" {
					f.Protocol = ""
				}
			}), ""),
			newField("", i18n.T("policies.filter.sport"), entry(f.SourcePort, "any", trim(&f.SourcePort)), ""),
			newField("", i18n.T("policies.filter.dport"), entry(f.DestinationPort, "443", trim(&f.DestinationPort)), "")),
		newField("", "", check(i18n.T("policies.filter.mirrored"), f.Mirrored, func(on bool) { f.Mirrored = on }), i18n.T("policies.hint.mirrored")))
}

func (e *editor) addAction() {
	p := e.s.draft.Policy()
	name := free(i18n.T("policies.act.name"), func(n string) bool { _, ok := p.Action(n); return ok })
	e.actions.add(policydraft.FilterAction{Name: name, Action: policydraft.Negotiate})
}

// actionForm edits a filter action.
func (e *editor) actionForm(i int, base string) fyne.CanvasObject {
	a := e.s.draft.Policy().FilterActions[i]
	action := kit.NewChoice([]kit.Option{
		{ID: policydraft.Permit, Title: i18n.T("policies.action.permit"), Text: i18n.T("policies.meaning.permit")},
		{ID: policydraft.Block, Title: i18n.T("policies.action.block"), Text: i18n.T("policies.meaning.block")},
		{ID: policydraft.Negotiate, Title: i18n.T("policies.action.negotiate"), Text: i18n.T("policies.meaning.negotiate")},
	}, func(id string) {
		e.flush()
		n := policydraft.FilterAction{Name: a.Name, Description: a.Description, Action: id}
		if id == policydraft.Negotiate {
			n = a
			n.Action = id
		}
		e.set(base, n)
		e.build()
	}).Stacked()
	action.SetSelected(a.Action)
	objects := []fyne.CanvasObject{
		e.nameField(base+".name", a.Name, "filter_action"),
		e.textField(base+".description", i18n.T("policies.field.description"), a.Description, "", ""),
		e.field(base+".action", i18n.T("policies.field.what"), action, ""),
	}
	if a.Action != policydraft.Negotiate {
		return kit.Column(objects...)
	}
	objects = append(objects,
		kit.Subheading(i18n.T("policies.fallback")),
		e.checkField(base+".accept_unsecured", i18n.T("policies.field.accept"), a.AcceptUnsecured, i18n.T("policies.hint.accept")),
		e.checkField(base+".fallback_to_unsecured", i18n.T("policies.field.fallback"), a.FallbackToUnsecured, i18n.T("policies.hint.fallback")),
		e.textField(base+".fallback_time", i18n.T("policies.field.fallbacktime"), a.FallbackTime, "5m", i18n.T("policies.hint.fallbacktime")),
		e.checkField(base+".respond_only", i18n.T("policies.field.respond"), a.RespondOnly, i18n.T("policies.hint.respond")),
		kit.Subheading(i18n.T("policies.keys")),
		e.linesField(base+".methods", i18n.T("policies.field.methods"), a.Methods, "default", i18n.T("policies.hint.methods")),
		e.checkField(base+".session_key_pfs", i18n.T("policies.field.pfs"), a.SessionKeyPFS, i18n.T("policies.hint.pfs")),
		e.numberField(base+".rekey_seconds", i18n.T("policies.field.seconds"), a.RekeySeconds, "3600", ""),
		e.numberField(base+".rekey_kilobytes", i18n.T("policies.field.kilobytes"), a.RekeyKilobytes, "", i18n.T("policies.hint.kilobytes")))
	return kit.Column(objects...)
}

// generalForm edits what is not a list.
func (e *editor) generalForm() fyne.CanvasObject {
	p := e.s.draft.Policy()
	response := []fyne.CanvasObject{
		kit.Subheading(i18n.T("policies.response")),
		kit.Muted(i18n.T("policies.hint.response")),
		e.field("default_response.enabled", "", check(i18n.T("policies.field.response"), p.DefaultResponse.Enabled, func(on bool) {
			e.flush()
			e.set("default_response.enabled", on)
			e.build()
		}), ""),
	}
	if p.DefaultResponse.Enabled || len(p.DefaultResponse.Auth) > 0 {
		response = append(response,
			e.linesField("default_response.methods", i18n.T("policies.field.methods"), p.DefaultResponse.Methods, "default", i18n.T("policies.hint.methods")),
			e.authBox("default_response.auth", p.DefaultResponse.Auth, ""))
	}
	objects := []fyne.CanvasObject{
		e.textField("description", i18n.T("policies.field.description"), p.Description, "", i18n.T("policies.hint.name")),
	}
	objects = append(objects, response...)
	objects = append(objects,
		kit.Subheading(i18n.T("policies.exempt")),
		kit.Muted(i18n.T("policies.hint.exempt")),
		e.checkField("exemptions.lan", i18n.T("policies.field.lan"), p.Exemptions.LAN, i18n.T("policies.hint.lan")),
		e.checkField("exemptions.lan_discovery", i18n.T("policies.field.discovery"), p.Exemptions.LANDiscovery, ""),
		kit.Subheading(i18n.T("policies.downgrade")),
		kit.Muted(i18n.T("policies.hint.downgrade")),
		e.textField("downgrade.ttl", i18n.T("policies.field.ttl"), p.Downgrade.TTL, "720h", i18n.T("policies.hint.ttl")),
		e.linesField("downgrade.pins", i18n.T("policies.field.pins"), p.Downgrade.Pins, "192.168.1.10", i18n.T("policies.hint.pins")),
		kit.Subheading(i18n.T("policies.mainmode")),
		e.linesField("key_exchange.methods", i18n.T("policies.field.mainmethods"), p.KeyExchange.Methods, "default", i18n.T("policies.hint.mainmethods")),
		e.checkField("key_exchange.master_key_pfs", i18n.T("policies.field.masterpfs"), p.KeyExchange.MasterKeyPFS, i18n.T("policies.hint.masterpfs")),
		e.textField("key_exchange.lifetime", i18n.T("policies.field.lifetime"), p.KeyExchange.Lifetime, "8h", ""),
	)
	e.form = container.NewVScroll(container.NewPadded(kit.Measure(44, kit.Column(objects...))))
	return e.form
}

// authBox edits authentication methods, which are in order of preference.
func (e *editor) authBox(path string, methods []policydraft.AuthMethod, hint string) fyne.CanvasObject {
	rows := kit.Column()
	for i, m := range methods {
		at := path + "[" + strconv.Itoa(i) + "]"
		edit := kit.NewQuiet("", theme.DocumentCreateIcon(), func() {
			e.flush()
			e.authDialog(m, func(m policydraft.AuthMethod) { e.set(at, m); e.build() })
		})
		up := kit.NewQuiet("", theme.MoveUpIcon(), func() {
			e.flush()
			e.edit(func(d *policydraft.Draft) (*policydraft.Draft, error) { return d.Move(path, i, i-1) })
			e.build()
		})
		if i == 0 {
			up.Disable()
		}
		remove := kit.NewQuiet("", theme.DeleteIcon(), func() {
			e.flush()
			e.edit(func(d *policydraft.Draft) (*policydraft.Draft, error) { return d.Remove(path, i) })
			e.build()
		})
		rows.Add(container.New(rowEnd{}, kit.Text(strconv.Itoa(i+1)+". "+authText(m)), container.NewHBox(edit, up, remove)))
	}
	n := len(methods)
	rows.Add(kit.Flow(kit.NewButton(i18n.T("policies.auth.add"), theme.ContentAddIcon(), func() {
		e.flush()
		e.authDialog(policydraft.AuthMethod{Method: policydraft.Certificate}, func(m policydraft.AuthMethod) {
			e.edit(func(d *policydraft.Draft) (*policydraft.Draft, error) { return d.Insert(path, n, m) })
			e.build()
		})
	})))
	f := e.field(path, i18n.T("policies.field.auth"), rows, hint)
	f.deep = true
	return f
}

// authDialog edits an authentication method.
func (e *editor) authDialog(m policydraft.AuthMethod, done func(policydraft.AuthMethod)) {
	var d *kit.Dialog
	form := newAuthForm(&m, func() { d.Refit() })
	do := func() {
		d.Hide()
		done(m)
	}
	d = newDialog(e.v.env, i18n.T("policies.auth.title"), form, kit.NewButton(i18n.T("common.cancel"), nil, func() { d.Cancel() }), kit.NewPrimary(i18n.T("policies.ok"), nil, do))
	d.OnEnter, d.Width = do, 38
	d.Show()
}

// newAuthForm returns the fields of an authentication method, which follow what
// is typed. changed is called when they have become others.
func newAuthForm(m *policydraft.AuthMethod, changed func()) fyne.CanvasObject {
	trim := func(to *string) func(string) { return func(s string) { *to = strings.TrimSpace(s) } }
	names := func(to *[]string) func(string) {
		return func(s string) {
			*to = nil
			for part := range strings.SplitSeq(s, ",") {
				if part = strings.TrimSpace(part); part != "" {
					*to = append(*to, part)
				}
			}
		}
	}
	body := kit.Column()
	build := func() {
		switch m.Method {
		case policydraft.Certificate:
			body.Objects = []fyne.CanvasObject{
				newField("", i18n.T("policies.auth.cas"), entry(strings.Join(m.CAs, ", "), "ca.crt", names(&m.CAs)), i18n.T("policies.hint.cas")),
				newField("", i18n.T("policies.auth.certificates"), entry(strings.Join(m.Certificates, ", "), "me.crt", names(&m.Certificates)), i18n.T("policies.hint.certificates")),
				newField("", i18n.T("policies.auth.key"), entry(m.Key, "me.key", trim(&m.Key)), i18n.T("policies.hint.key")),
			}
		case policydraft.PSK:
			body.Objects = []fyne.CanvasObject{
				newField("", i18n.T("policies.auth.secret"), entry(m.Secret, "lan", trim(&m.Secret)), i18n.T("policies.hint.secret"))}
		case policydraft.EAP:
			body.Objects = []fyne.CanvasObject{
				newField("", i18n.T("policies.auth.user"), entry(m.User, "alice", trim(&m.User)), i18n.T("policies.hint.user")),
				newField("", i18n.T("policies.auth.password"), entry(m.Secret, "alice+password", trim(&m.Secret)), i18n.T("policies.hint.password")),
				newField("", i18n.T("policies.auth.cas"), entry(strings.Join(m.CAs, ", "), "ca.crt", names(&m.CAs)), i18n.T("policies.hint.cas")),
				newField("", i18n.T("policies.auth.user_certificates"), entry(strings.Join(m.Certificates, ", "), "alice.crt", names(&m.Certificates)), i18n.T("policies.hint.user_certificates")),
				newField("", i18n.T("policies.auth.key"), entry(m.Key, "alice.key", trim(&m.Key)), i18n.T("policies.hint.key")),
			}
		default:
			body.Objects = nil
		}
		body.Refresh()
	}
	method := kit.NewChoice([]kit.Option{
		{ID: policydraft.Certificate, Title: i18n.T("policies.auth.certificate"), Text: i18n.T("policies.meaning.certificate")},
		{ID: policydraft.PSK, Title: i18n.T("policies.auth.psk"), Text: i18n.T("policies.meaning.psk")},
		{ID: policydraft.EAP, Title: i18n.T("policies.auth.eap"), Text: i18n.T("policies.meaning.eap")},
	}, func(id string) {
		*m = policydraft.AuthMethod{Method: id, LocalID: m.LocalID, RemoteID: m.RemoteID}
		build()
		changed()
	}).Stacked()
	method.SetSelected(m.Method)
	build()
	return kit.Column(method, body,
		newField("", i18n.T("policies.auth.local"), entry(m.LocalID, "", trim(&m.LocalID)), i18n.T("policies.hint.local")),
		newField("", i18n.T("policies.auth.remote"), entry(m.RemoteID, "*.example.com", trim(&m.RemoteID)), i18n.T("policies.hint.remote")))
}
