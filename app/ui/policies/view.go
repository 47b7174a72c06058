// Package policies is the page of the IPsec policies: the list, the editor, the
// rule wizard, assigning with the difference shown before, what happens to a
// flow, and the downgrade memory.
package policies

import (
	"context"
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// A View is the page of the policies.
type View struct {
	env  *kit.Env
	root *fyne.Container // the tabs, or the editor over them
	tabs *kit.Tabs

	policies []api.Policy // as the service lists them
	loaded   bool
	problem  *kit.ErrorCard // why they could not be listed
	list     *list
	detail   *detail
	flow     *flow
	memory   *memory
	editor   *editor

	sessions map[string]*session // the policies that are being edited
	snap     *model.Snapshot
	shown    bool
	loading  bool
	again    bool   // load once more when the load under way is done
	want     string // what to select when it is listed
}

var _ kit.View = (*View)(nil)

// New returns the page.
func New(env *kit.Env) *View {
	v := &View{env: env, sessions: map[string]*session{}, snap: &model.Snapshot{}, problem: kit.NewErrorCard(nil)}
	v.list = newList(v)
	v.detail = newDetail(v)
	v.flow = newFlow(v)
	v.memory = newMemory(v)
	v.editor = newEditor(v)
	v.tabs = kit.NewTabs(
		kit.Tab{ID: "list", Title: i18n.T("policies.tab.list"), Content: kit.Below(v.problem, beside(v.list.root, v.detail.root, 17))},
		kit.Tab{ID: "flow", Title: i18n.T("policies.tab.flow"), Content: v.flow.root},
		kit.Tab{ID: "memory", Title: i18n.T("policies.tab.memory"), Content: v.memory.root},
	)
	v.tabs.OnChanged = func(string) { v.refresh() }
	v.root = container.NewStack(container.NewPadded(v.tabs))
	return v
}

// Content implements kit.View.
func (v *View) Content() fyne.CanvasObject { return v.root }

// Update implements kit.View.
func (v *View) Update(s *model.Snapshot) {
	old := v.snap
	v.snap = s
	linked := s.Link == model.Linked && old.Link != model.Linked
	if linked || !sameAssignment(old.Assignment, s.Assignment) {
		v.refresh()
	}
}

func sameAssignment(a, b *api.Assignment) bool {
	return a == b || a != nil && b != nil && a.Policy == b.Policy && a.By == b.By && a.Since.Equal(b.Since)
}

// Shown implements kit.View.
func (v *View) Shown(shown bool) {
	v.shown = shown
	v.editor.flush()
	if shown {
		v.refresh()
	}
}

// Select brings the policy of that name to the front; it is what kit.Env.Go's
// argument names.
func (v *View) Select(name string) {
	if name == "" {
		return
	}
	v.tabs.Select("list")
	v.editor.close()
	if !v.list.choose(name) {
		v.want = name
	}
}

// Unsaved returns the names of the policies with changes that are not saved.
// The window asks before it closes while there are any.
func (v *View) Unsaved() []string {
	v.editor.flush()
	var names []string
	for name, s := range v.sessions {
		if s.dirty() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// refresh asks the service for what the tab in front shows.
func (v *View) refresh() {
	if !v.shown {
		return
	}
	if v.tabs.Selected() == "memory" {
		v.memory.load()
	}
	v.load()
}

// load asks for the policies.
func (v *View) load() {
	if v.loading {
		v.again = true
		return
	}
	v.loading = true
	var policies []api.Policy
	v.env.Run(func(ctx context.Context) (err error) {
		policies, err = v.env.Model.Backend().Policies(ctx)
		return err
	}, func(err error) {
		v.loading = false
		v.problem.Set(api.AsError(err))
		if err == nil {
			v.loaded = true
			// Ours first, then those that are always there.
			slices.SortStableFunc(policies, func(a, b api.Policy) int {
				if a.Predefined != b.Predefined {
					if b.Predefined {
						return -1
					}
					return 1
				}
				return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
			})
			v.policies = policies
			v.list.update()
			v.flow.update()
		}
		if v.again {
			v.again = false
			v.load()
		}
	})
}

// find returns the policy of that name as it is listed.
func (v *View) find(name string) (api.Policy, bool) {
	i := slices.IndexFunc(v.policies, func(p api.Policy) bool { return p.Name == name })
	if i < 0 {
		return api.Policy{}, false
	}
	return v.policies[i], true
}

// connections returns the names of the connections that a rule may lead to.
func (v *View) connections() []string {
	var names []string
	for i := range v.snap.Connections {
		if c := &v.snap.Connections[i]; c.Rule == "" {
			names = append(names, c.Name)
		}
	}
	return names
}

// service is what answers.
func (v *View) service() api.Backend { return v.env.Model.Backend() }
