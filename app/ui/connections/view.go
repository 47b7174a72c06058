// Package connections is the page that the window opens with: the connections,
// and all about the one that is selected.
package connections

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"

	"sallyport/app/i18n"
	"sallyport/app/model"
	apptheme "sallyport/app/theme"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/wizard"
	"sallyport/core/api"
)

// A View is the page of the connections: a list at the left and the selected
// connection at the right, or one of them when there is no room for both.
type View struct {
	env    *kit.Env
	list   *list
	detail *detail
	back   *kit.Button
	empty  fyne.CanvasObject
	right  *fyne.Container // the detail, under the way back to the list when narrow
	panes  *fyne.Container
	root   *fyne.Container

	snap     *model.Snapshot
	selected string
	opened   bool // narrow: the detail is in front
	narrow   bool
}

// New returns the page.
func New(env *kit.Env) *View {
	v := &View{env: env, snap: &model.Snapshot{}}
	v.list = newList(env, v.choose)
	v.detail = newDetail(env)
	v.back = kit.NewQuiet(i18n.T("connections.back"), theme.NavigateBackIcon(), v.showList)
	v.back.Hide()
	v.right = kit.Under(kit.Flow(v.back), v.detail.root)
	v.panes = container.New(&panesLayout{v}, v.list.root, v.right)
	v.empty = kit.Empty(apptheme.PageIcon("connections"), i18n.T("connections.empty.title"), i18n.T("connections.empty.text"),
		kit.NewPrimary(i18n.T("connections.new"), theme.ContentAddIcon(), func() { wizard.New(env) }),
		kit.NewButton(i18n.T("connections.import"), theme.FolderOpenIcon(), func() { wizard.Import(env, nil) }))
	v.root = container.NewStack(v.panes, v.empty)
	v.panes.Hide()
	return v
}

// Content implements kit.View.
func (v *View) Content() fyne.CanvasObject { return v.root }

// Update implements kit.View.
func (v *View) Update(s *model.Snapshot) {
	v.snap = s
	none := len(s.Connections) == 0
	kit.SetShown(v.empty, none)
	kit.SetShown(v.panes, !none)
	v.list.update(s)
	c := s.Find(v.selected)
	if c == nil {
		v.opened = false
		v.selected, c = pick(s, v.selected)
		v.list.mark(v.selected)
	}
	v.detail.update(c)
	v.arrange()
}

// pick returns what is selected when the selection is gone: what follows it in
// the order of names, or at first the first connection that is in use.
func pick(s *model.Snapshot, gone string) (string, *model.Connection) {
	if len(s.Connections) == 0 {
		return "", nil
	}
	at := 0
	if gone == "" {
		at = max(0, slices.IndexFunc(s.Connections, func(c model.Connection) bool {
			return c.State != api.Disconnected && c.State != api.Listening
		}))
	} else {
		for at < len(s.Connections)-1 && s.Connections[at].Name < gone {
			at++
		}
	}
	return s.Connections[at].Name, &s.Connections[at]
}

// Shown implements kit.View.
func (v *View) Shown(shown bool) { v.detail.setShown(shown) }

// Select shows a connection, as Env.Go asks.
func (v *View) Select(name string) {
	if v.snap.Find(name) == nil {
		return
	}
	v.list.reveal(name)
	v.choose(name)
}

// choose is called with the connection that the user selects.
func (v *View) choose(name string) {
	v.selected, v.opened = name, true
	v.detail.update(v.snap.Find(name))
	v.arrange()
}

func (v *View) showList() {
	v.opened = false
	v.arrange()
	v.list.focus()
}

// arrange shows one pane or both.
func (v *View) arrange() {
	kit.SetShown(v.list.root, !v.narrow || !v.opened)
	kit.SetShown(v.right, !v.narrow || v.opened)
	kit.SetShown(v.back, v.narrow)
	v.panes.Layout.Layout(v.panes.Objects, v.panes.Size())
}

// panesLayout sets the panes beside each other while each has room.
type panesLayout struct{ v *View }

// The widths of the panes in multiples of the text size.
const (
	listWidth   = 20
	detailWidth = 24
)

func (l *panesLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(theme.TextSize()*12, theme.TextSize()*12)
}

func (l *panesLayout) Layout(o []fyne.CanvasObject, s fyne.Size) {
	em := theme.TextSize()
	narrow := s.Width > 0 && s.Width < (listWidth+detailWidth)*em
	if narrow != l.v.narrow {
		l.v.narrow = narrow
		l.v.arrange() // lays out again
		return
	}
	x := float32(0)
	if o[0].Visible() {
		w := s.Width
		if !narrow {
			w = min(listWidth*em+(s.Width-(listWidth+detailWidth)*em)*0.15, 25*em)
		}
		o[0].Move(fyne.Position{})
		o[0].Resize(fyne.NewSize(w, s.Height))
		x = w
	}
	if o[1].Visible() {
		o[1].Move(fyne.NewPos(x, 0))
		o[1].Resize(fyne.NewSize(s.Width-x, s.Height))
	}
}
