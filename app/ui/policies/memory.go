package policies

import (
	"context"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// A memory is the page of the downgrade memory: where protection has worked, and
// clear text is no answer to a failure any more.
type memory struct {
	v       *View
	root    fyne.CanvasObject
	entries []api.Memory
	asked   int
	problem *kit.ErrorCard
	table   *kit.Table
	empty   fyne.CanvasObject
	full    fyne.CanvasObject
	pin     *kit.Button
	forget  *kit.Button
}

func newMemory(v *View) *memory {
	m := &memory{v: v, problem: kit.NewErrorCard(nil)}
	e := func(i int) *api.Memory { return &m.entries[i] }
	m.table = kit.NewTable([]kit.TableColumn{
		{Title: i18n.T("policies.memory.peer"), Width: 11, Grow: true, Less: func(a, b int) bool { return e(a).Peer < e(b).Peer }},
		{Title: i18n.T("policies.memory.rule"), Width: 8, Grow: true, Less: func(a, b int) bool { return e(a).Rule < e(b).Rule }},
		{Title: i18n.T("policies.memory.network"), Width: 10, Less: func(a, b int) bool { return e(a).Network.String() < e(b).Network.String() }},
		{Title: i18n.T("policies.memory.worked"), Width: 10.5, Less: func(a, b int) bool { return e(a).Worked.Before(e(b).Worked) }},
		{Title: i18n.T("policies.memory.kept"), Width: 8, Less: func(a, b int) bool { return e(a).Pinned && !e(b).Pinned }},
	}, func() int { return len(m.entries) }, m.cell, func(i int) string { return e(i).Network.String() + "\x00" + e(i).Peer + "\x00" + e(i).Rule })
	m.table.OnSelected = func(int) { m.choose() }
	m.pin = kit.NewButton(i18n.T("policies.memory.pin"), theme.ConfirmIcon(), m.doPin)
	m.forget = kit.NewButton(i18n.T("policies.memory.forget"), theme.DeleteIcon(), m.doForget)
	m.empty = kit.Empty(theme.HistoryIcon(), i18n.T("policies.memory.empty.title"), i18n.T("policies.memory.empty.text"))
	note := kit.Muted(i18n.T("policies.memory.text"))
	m.full = kit.Below(kit.Column(note, kit.Flow(m.pin, m.forget)), m.table)
	m.root = kit.Below(m.problem, container.NewPadded(container.NewStack(m.empty, m.full)))
	m.update()
	return m
}

func (m *memory) cell(row, col int) kit.Cell {
	e := &m.entries[row]
	switch col {
	case 0:
		return kit.Cell{Text: kit.Clean(e.Peer)}
	case 1:
		return kit.Cell{Text: kit.Clean(e.Rule)}
	case 2:
		if !e.Network.IsValid() {
			return kit.Cell{Text: i18n.T("policies.memory.anywhere")}
		}
		return kit.Cell{Text: e.Network.String()}
	case 3:
		return kit.Cell{Text: i18n.DateTime(e.Worked)}
	}
	if e.Pinned {
		return kit.Cell{Text: i18n.T("policies.memory.pinned"), Bold: true}
	}
	return kit.Cell{Text: i18n.T("policies.memory.ages"), Importance: widget.LowImportance}
}

// load asks for the memory.
func (m *memory) load() {
	m.asked++
	mine := m.asked
	var list []api.Memory
	m.v.env.Run(func(ctx context.Context) (err error) {
		list, err = m.v.service().Memories(ctx)
		return err
	}, func(err error) {
		if mine != m.asked {
			return
		}
		m.problem.Set(api.AsError(err))
		if err == nil {
			m.entries = list
		}
		m.update()
	})
}

func (m *memory) update() {
	kit.SetShown(m.empty, len(m.entries) == 0)
	kit.SetShown(m.full, len(m.entries) > 0)
	m.table.Update()
	m.choose()
}

func (m *memory) choose() {
	row, ok := m.table.Selected()
	text := i18n.T("policies.memory.pin")
	if ok && m.entries[row].Pinned {
		text = i18n.T("policies.memory.unpin")
	}
	if m.pin.Text != text {
		m.pin.SetText(text)
	}
	for _, b := range []*kit.Button{m.pin, m.forget} {
		if ok {
			b.Enable()
		} else {
			b.Disable()
		}
	}
}

// doPin keeps the selected entry for good, or lets it age.
func (m *memory) doPin() {
	row, ok := m.table.Selected()
	if !ok {
		return
	}
	e := m.entries[row]
	e.Pinned = !e.Pinned
	m.do(func(ctx context.Context) error { return m.v.service().Pin(ctx, e) })
}

// doForget drops the selected entry: from then on a failure may lead to clear
// text again, so it asks.
func (m *memory) doForget() {
	row, ok := m.table.Selected()
	if !ok {
		return
	}
	e := m.entries[row]
	kit.Confirm(m.v.env, i18n.T("policies.memory.forget.title"), i18n.T("policies.memory.forget.text", "Name", kit.Clean(e.Peer)),
		i18n.T("policies.memory.forget"), true, func() {
			m.do(func(ctx context.Context) error { return m.v.service().Forget(ctx, e) })
		})
}

func (m *memory) do(work func(context.Context) error) {
	m.v.env.Run(work, func(err error) {
		if err != nil {
			kit.ShowError(m.v.env, err)
		}
		m.load()
	})
}
