package policies

import (
	"context"
	"fmt"
	"io"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/storage"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/policydraft"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// A list shows the policies, ours first.
type list struct {
	v        *View
	root     fyne.CanvasObject
	widget   *widget.List
	names    []string // as listed: stored ones and new ones that are not saved yet
	selected string
}

func newList(v *View) *list {
	l := &list{v: v}
	l.widget = widget.NewList(func() int { return len(l.names) }, func() fyne.CanvasObject { return newRow() },
		func(i widget.ListItemID, o fyne.CanvasObject) { l.show(o.(*row), l.names[i]) })
	l.widget.HideSeparators = true
	l.widget.OnSelected = func(i widget.ListItemID) {
		if i < len(l.names) {
			l.pick(l.names[i])
		}
	}
	fresh := kit.NewPrimary(i18n.T("policies.new"), theme.ContentAddIcon(), func() { l.v.askName(i18n.T("policies.new.title"), i18n.T("policies.new.verb"), "", l.v.create) })
	load := kit.NewButton(i18n.T("policies.import"), theme.FolderOpenIcon(), l.v.importFile)
	l.root = above(l.widget, kit.Flow(fresh, load))
	return l
}

func (l *list) pick(name string) {
	l.selected = name
	l.v.detail.show(name)
}

// choose selects a policy, if it is listed.
func (l *list) choose(name string) bool {
	i := slices.Index(l.names, name)
	if i < 0 {
		return false
	}
	l.selected = name
	l.widget.UnselectAll()
	l.widget.Select(i)
	return true
}

// update shows the policies as they are now.
func (l *list) update() {
	l.names = l.names[:0]
	for name, s := range l.v.sessions {
		if s.new {
			l.names = append(l.names, name)
		}
	}
	slices.Sort(l.names)
	for _, p := range l.v.policies {
		if s := l.v.sessions[p.Name]; s == nil || !s.new {
			l.names = append(l.names, p.Name)
		}
	}
	l.widget.Refresh()
	if want := l.v.want; want != "" && l.choose(want) {
		l.v.want = ""
		return
	}
	if i := slices.Index(l.names, l.selected); i >= 0 {
		l.widget.ScrollTo(i)
		l.v.detail.update()
		return
	}
	first := ""
	if len(l.names) > 0 {
		first = l.names[0]
		if a := l.v.snap.Assignment; a != nil && slices.Contains(l.names, a.Policy) {
			first = a.Policy
		}
	}
	if first == "" || !l.choose(first) {
		l.v.detail.show("")
	}
}

func (l *list) show(r *row, name string) {
	p, _ := l.v.find(name)
	s := l.v.sessions[name]
	mark, state := model.Off, i18n.T("policies.state.rules", "Count", p.Rules)
	bold := false
	switch {
	case s != nil && s.dirty():
		mark, state = model.Busy, i18n.T("policies.state.unsaved")
	case p.Problem != nil:
		mark, state = model.Fault, i18n.T("policies.state.problem")
	case p.Assigned:
		mark, state, bold = model.Safe, i18n.T("policies.state.assigned"), true
	case p.Predefined:
		state = i18n.T("policies.state.predefined")
	}
	if p.Assigned && !bold {
		state, bold = i18n.T("policies.state.assigned")+" · "+state, true
	}
	r.set(mark, mark != model.Off, kit.Clean(name), state, bold)
}

// A row is a policy in the list: its name, and how it stands below.
type row struct {
	widget.BaseWidget
	icon        *canvas.Image
	name, state *widget.Label
	box         *fyne.Container
}

func newRow() *row {
	r := &row{icon: canvas.NewImageFromResource(nil), name: kit.Text(""), state: kit.Muted("")}
	r.icon.FillMode = canvas.ImageFillContain
	r.state.SizeName = theme.SizeNameCaptionText
	for _, l := range []*widget.Label{r.name, r.state} {
		l.Wrapping, l.Truncation = fyne.TextWrapOff, fyne.TextTruncateEllipsis
	}
	r.box = container.New(iconRow{}, r.icon, kit.Tight(r.name, r.state))
	r.ExtendBaseWidget(r)
	return r
}

func (r *row) set(m model.Mark, marked bool, name, state string, bold bool) {
	r.name.TextStyle.Bold = bold
	r.name.SetText(name)
	kit.SetText(r.state, state)
	r.icon.Resource = kit.MarkIcon(m)
	kit.SetShown(r.icon, marked)
	r.icon.Refresh()
}

// CreateRenderer implements fyne.Widget.
func (r *row) CreateRenderer() fyne.WidgetRenderer { return widget.NewSimpleRenderer(r.box) }

// iconRow sets text behind an icon, or where it would be.
type iconRow struct{}

func (iconRow) MinSize(o []fyne.CanvasObject) fyne.Size {
	return o[1].MinSize().AddWidthHeight(theme.IconInlineSize(), 0)
}

func (iconRow) Layout(o []fyne.CanvasObject, s fyne.Size) {
	side := theme.IconInlineSize()
	o[0].Resize(fyne.NewSquareSize(side))
	o[0].Move(fyne.NewPos(theme.Padding(), (s.Height-side)/2))
	x := side + theme.Padding()
	o[1].Move(fyne.NewPos(x, (s.Height-o[1].MinSize().Height)/2))
	o[1].Resize(fyne.NewSize(s.Width-x, o[1].MinSize().Height))
}

// askName asks what a policy is to be called.
func (v *View) askName(title, verb, name string, then func(string)) {
	e := entry(name, i18n.T("policies.name.placeholder"), nil)
	f := newField("", i18n.T("policies.name"), e, i18n.T("policies.name.hint"))
	var d *kit.Dialog
	do := func() {
		switch problem := nameProblem(e.Text); {
		case problem != "":
			f.say(problem)
		case v.taken(e.Text):
			f.say(i18n.T("policies.name.taken"))
		default:
			d.Hide()
			then(e.Text)
			return
		}
		d.Refit()
	}
	d = newDialog(v.env, title, f, kit.NewButton(i18n.T("common.cancel"), nil, func() { d.Cancel() }), kit.NewPrimary(verb, nil, do))
	d.OnEnter, d.Focus = do, e
	d.Show()
}

func (v *View) taken(name string) bool {
	_, listed := v.find(name)
	return listed || v.sessions[name] != nil
}

// nameProblem says why a text names no policy. The service has the last word.
func nameProblem(name string) string {
	if name == "" {
		return i18n.T("policies.name.missing")
	}
	for _, r := range name {
		plain := r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
		if !plain && !slices.Contains([]rune(" ._-()+"), r) {
			return i18n.T("policies.name.characters")
		}
	}
	return ""
}

// create begins a policy and edits it.
func (v *View) create(name string) {
	v.sessions[name] = newSession(name, policydraft.New(name).Text(), true)
	v.want = name
	v.list.update()
	v.editor.open(name, "")
}

// maxPolicy bounds a policy's file.
const maxPolicy = policydraft.MaxText

// importFile stores the policy of a file that the user chooses.
func (v *View) importFile() {
	d := dialog.NewFileOpen(func(r fyne.URIReadCloser, err error) {
		if err != nil {
			kit.ShowError(v.env, err)
			return
		}
		if r == nil {
			return
		}
		defer r.Close()
		text, err := io.ReadAll(io.LimitReader(r, maxPolicy+1))
		if err == nil && len(text) > maxPolicy {
			err = &api.Error{Code: api.CodeUsage, What: fmt.Sprintf("%s is larger than 2 MiB.", r.URI().Name())}
		}
		if err != nil {
			kit.ShowError(v.env, err)
			return
		}
		v.importText(text, false)
	}, v.env.Window)
	d.SetFilter(storage.NewExtensionFileFilter([]string{".toml"}))
	d.Show()
}

func (v *View) importText(text []byte, replace bool) {
	var p api.Policy
	v.env.Run(func(ctx context.Context) (err error) {
		p, err = v.service().StorePolicy(ctx, api.PolicyFile{Text: text, Replace: replace})
		return err
	}, func(err error) {
		if e := api.AsError(err); e != nil && e.Code == api.CodeExists && !replace {
			name := ""
			if d, err := policydraft.Parse(text); err == nil {
				name = d.Policy().Name
			}
			if old, ok := v.find(name); ok && !old.Predefined {
				kit.Confirm(v.env, i18n.T("policies.replace.title"), i18n.T("policies.replace.text", "Name", kit.Clean(name)),
					i18n.T("policies.replace.verb"), true, func() { v.importText(text, true) })
				return
			}
		}
		if err != nil {
			kit.ShowError(v.env, err)
			return
		}
		v.detail.forget(p.Name)
		delete(v.sessions, p.Name)
		v.want = p.Name
		v.load()
	})
}
