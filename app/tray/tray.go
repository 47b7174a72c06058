//go:build !darwin || cgo

package tray

import (
	"sync"

	"fyne.io/systray"
)

// A Tray shows menus in the panel. There is one in a process.
type Tray struct {
	// Act does what an item says. It is called on a goroutine of the tray's and
	// must return soon.
	Act func(Item)

	mu    sync.Mutex // guards what follows, and the order of calls of the panel
	ready bool
	dark  bool
	want  *Menu
	shown *Menu
	items []*entry // of shown
	start func()
	stop  func()
}

// An entry is an item as the panel has it; nil for a separator.
type entry struct {
	item *systray.MenuItem
	subs []*entry
	done chan struct{} // closed when its clicks are no more listened to

	mu  sync.Mutex // guards now
	now Item
}

// New returns a tray for a dark or a light panel. Nothing is shown before
// Start or Run.
func New(dark bool, act func(Item)) *Tray {
	return &Tray{Act: act, dark: dark}
}

// Start shows the tray beside an event loop that another toolkit runs, and
// which calls it. It returns at once.
func (t *Tray) Start() {
	t.introduce()
	t.start, t.stop = systray.RunWithExternalLoop(t.onReady, nil)
	t.start()
}

// Stop takes the icon away after Start.
func (t *Tray) Stop() { t.stop() }

// Run shows the tray and runs its event loop, on the main goroutine, until
// Quit.
func (t *Tray) Run() {
	t.introduce()
	systray.Run(t.onReady, nil)
}

// introduce says what the panel asks once, when the icon registers: its name,
// and that a click opens the window where the panel tells the buttons apart.
func (t *Tray) introduce() {
	systray.SetTitle("Sallyport")
	systray.SetOnTapped(func() { t.Act(Item{Action: Open}) })
}

// Quit ends Run.
func (t *Tray) Quit() { systray.Quit() }

func (t *Tray) onReady() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ready = true
	t.sendLocked()
}

// SetDark chooses the icons for a dark or a light panel.
func (t *Tray) SetDark(dark bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dark == dark {
		return
	}
	t.dark = dark
	if t.ready && t.shown != nil {
		systray.SetIcon(Icon(t.shown.Mark, dark))
	}
}

// Show shows a menu. Only what differs from the last one is sent.
func (t *Tray) Show(m Menu) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.want = &m
	t.sendLocked()
}

func (t *Tray) sendLocked() {
	if !t.ready || t.want == nil {
		return
	}
	old, m := t.shown, t.want
	if old == nil || old.Mark != m.Mark {
		systray.SetIcon(Icon(m.Mark, t.dark))
	}
	if old == nil || old.Tooltip != m.Tooltip {
		systray.SetTooltip(m.Tooltip)
	}
	switch {
	case old != nil && same(old.Items, m.Items):
		amend(t.items, old.Items, m.Items)
	default:
		forget(t.items)
		systray.ResetMenu()
		t.items = t.build(nil, m.Items)
	}
	t.shown = m
}

func (t *Tray) build(parent *systray.MenuItem, items []Item) []*entry {
	var out []*entry
	for _, it := range items {
		if it.Title == "" {
			if parent == nil {
				systray.AddSeparator()
			} else {
				parent.AddSeparator()
			}
			out = append(out, nil)
			continue
		}
		e := &entry{now: it, done: make(chan struct{})}
		switch {
		case parent == nil && it.Tickable:
			e.item = systray.AddMenuItemCheckbox(it.Title, "", it.Ticked)
		case parent == nil:
			e.item = systray.AddMenuItem(it.Title, "")
		case it.Tickable:
			e.item = parent.AddSubMenuItemCheckbox(it.Title, "", it.Ticked)
		default:
			e.item = parent.AddSubMenuItem(it.Title, "")
		}
		if dead(it) {
			e.item.Disable()
		}
		e.subs = t.build(e.item, it.Items)
		go t.listen(e)
		out = append(out, e)
	}
	return out
}

func (t *Tray) listen(e *entry) {
	for {
		select {
		case <-e.done:
			return
		case _, ok := <-e.item.ClickedCh:
			if !ok {
				return
			}
			e.mu.Lock()
			it := e.now
			e.mu.Unlock()
			if it.Action != Nothing {
				t.Act(it)
			}
		}
	}
}

func forget(entries []*entry) {
	for _, e := range entries {
		if e != nil {
			close(e.done)
			forget(e.subs)
		}
	}
}

func amend(entries []*entry, old, now []Item) {
	for i, e := range entries {
		if e == nil {
			continue
		}
		e.mu.Lock()
		e.now = now[i]
		e.mu.Unlock()
		if old[i].Title != now[i].Title {
			e.item.SetTitle(now[i].Title)
		}
		if old[i].Ticked != now[i].Ticked {
			if now[i].Ticked {
				e.item.Check()
			} else {
				e.item.Uncheck()
			}
		}
		if dead(old[i]) != dead(now[i]) {
			if dead(now[i]) {
				e.item.Disable()
			} else {
				e.item.Enable()
			}
		}
		amend(e.subs, old[i].Items, now[i].Items)
	}
}
