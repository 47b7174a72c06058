package tray

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"sallyport/app/model"
	"sallyport/app/ui/uitest"
	"sallyport/core/api"
)

// A panel is a StatusNotifier host over a bus of its own: what the panels of
// desktops are, as far as the tray can tell.
type panel struct {
	conn  *dbus.Conn
	items chan string // unique names of what registers
	sig   chan *dbus.Signal
	item  dbus.BusObject
	menu  dbus.BusObject
}

// RegisterStatusNotifierItem implements org.kde.StatusNotifierWatcher.
func (p *panel) RegisterStatusNotifierItem(path string, sender dbus.Sender) *dbus.Error {
	p.items <- string(sender)
	return nil
}

// newPanel starts a bus and a panel on it, until the test ends.
func newPanel(t *testing.T) *panel {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "dbus-daemon", "--session", "--nofork", "--print-address=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("the test needs dbus-daemon (package dbus): %v", err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSpace(address)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &panel{conn: conn, items: make(chan string, 4), sig: make(chan *dbus.Signal, 1024)}
	if err := conn.Export(p, "/StatusNotifierWatcher", "org.kde.StatusNotifierWatcher"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName("org.kde.StatusNotifierWatcher", dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	if err := conn.AddMatchSignal(dbus.WithMatchInterface("com.canonical.dbusmenu")); err != nil {
		t.Fatal(err)
	}
	conn.Signal(p.sig)
	return p
}

// find waits for the item and its menu.
func (p *panel) find(t *testing.T) {
	t.Helper()
	select {
	case name := <-p.items:
		p.item = p.conn.Object(name, "/StatusNotifierItem")
		v, err := p.item.GetProperty("org.kde.StatusNotifierItem.Menu")
		if err != nil {
			t.Fatal(err)
		}
		p.menu = p.conn.Object(name, v.Value().(dbus.ObjectPath))
	case <-time.After(10 * time.Second):
		t.Fatal("the tray does not register")
	}
}

// A shown item is what the panel draws.
type shown struct {
	id             int32
	label          string
	ticked, greyed bool
}

func (p *panel) read(t *testing.T) []shown {
	t.Helper()
	var out []shown
	type node struct {
		ID    int32
		Props map[string]dbus.Variant
		Subs  []dbus.Variant
	}
	var rev uint32
	var root node
	if err := p.menu.Call("com.canonical.dbusmenu.GetLayout", 0, int32(0), int32(-1), []string{}).Store(&rev, &root); err != nil {
		t.Fatal(err)
	}
	var walk func(n node)
	walk = func(n node) {
		s := shown{id: n.ID}
		if v, ok := n.Props["label"]; ok {
			s.label, _ = v.Value().(string)
		}
		if v, ok := n.Props["toggle-state"]; ok {
			s.ticked = v.Value() == int32(1)
		}
		if v, ok := n.Props["enabled"]; ok {
			s.greyed = v.Value() == false
		}
		if s.label != "" {
			out = append(out, s)
		}
		for _, v := range n.Subs {
			var sub node
			if err := dbus.Store([]any{v.Value()}, &sub); err != nil {
				t.Fatal(err)
			}
			walk(sub)
		}
	}
	walk(root)
	return out
}

// until reads the menu until ok holds of it.
func (p *panel) until(t *testing.T, what string, ok func([]shown) bool) []shown {
	t.Helper()
	limit := time.Now().Add(10 * time.Second)
	for {
		items := p.read(t)
		if ok(items) {
			return items
		}
		if time.Now().After(limit) {
			t.Fatalf("%s: the menu is %+v", what, items)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (p *panel) click(t *testing.T, id int32) {
	t.Helper()
	if err := p.menu.Call("com.canonical.dbusmenu.Event", 0, id, "clicked", dbus.MakeVariant(""), uint32(0)).Err; err != nil {
		t.Fatal(err)
	}
}

func labelled(items []shown, part string) *shown {
	i := slices.IndexFunc(items, func(s shown) bool { return strings.Contains(s.label, part) })
	if i < 0 {
		return nil
	}
	return &items[i]
}

// TestPanel shows a tray in a panel, clicks, and watches what happens. There is
// one tray in a process, hence one test.
func TestPanel(t *testing.T) {
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") != "" {
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	}
	p := newPanel(t)
	b := only(t, "home-lab", "office")
	m := uitest.Model(t, b)
	acts := make(chan Item, 16)
	tr := New(true, func(it Item) {
		switch it.Action {
		case Connect:
			go func() { _ = m.Connect(context.Background(), it.Connection) }()
		case Disconnect:
			go func() { _ = m.Disconnect(context.Background(), it.Connection) }()
		}
		acts <- it
	})
	tr.Start()
	defer tr.Stop()
	stop := m.Watch(func(s *model.Snapshot) { tr.Show(MenuOf(s, true)) })
	defer stop()
	p.find(t)

	items := p.until(t, "the first menu", func(s []shown) bool { return labelled(s, "home-lab") != nil })
	if it := labelled(items, "office ·"); it == nil || !it.ticked || it.greyed {
		t.Errorf("office is %+v", it)
	}
	var pix []struct {
		W, H int32
		Pix  []byte
	}
	v, err := p.item.GetProperty("org.kde.StatusNotifierItem.IconPixmap")
	if err == nil {
		err = v.Store(&pix)
	}
	if err != nil || len(pix) != 1 || pix[0].W != 48 || len(pix[0].Pix) != 48*48*4 {
		t.Errorf("the icon is %d pictures, %v", len(pix), err)
	}

	p.click(t, labelled(items, "home-lab").id)
	if it := <-acts; it.Action != Connect || it.Connection != "home-lab" {
		t.Errorf("a click on home-lab is %+v", it)
	}
	p.until(t, "the tick of home-lab", func(s []shown) bool {
		it := labelled(s, "home-lab")
		return it != nil && it.ticked
	})
	if !slices.Contains(b.Calls(), `connect "home-lab" wait=true profile=""`) {
		t.Errorf("the service got %q", b.Calls())
	}

	// A state that changes nothing in the menu sends nothing.
	p.quiet(t)
	c := uitest.Connections()[3]
	c.State, c.Protection, c.Counters = api.Connected, api.Protected, api.Counters{InBytes: 99}
	c.Warnings = nil
	b.SetConnection(c)
	seq := m.Snapshot().Seq
	for range 200 {
		if m.Snapshot().Seq > seq {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if n := p.signals(200 * time.Millisecond); n != 0 {
		t.Errorf("%d signals although the menu is as before", n)
	}

	items = p.read(t)
	p.click(t, labelled(items, "home-lab").id)
	if it := <-acts; it.Action != Disconnect || it.Connection != "home-lab" {
		t.Errorf("the second click on home-lab is %+v", it)
	}
	p.until(t, "home-lab without a tick", func(s []shown) bool {
		it := labelled(s, "home-lab")
		return it != nil && !it.ticked
	})

	// A connection that comes makes a new menu, in which clicks still arrive.
	b.SetConnection(api.Connection{Name: "new-one", State: api.Disconnected, Profile: api.Require})
	items = p.until(t, "new-one", func(s []shown) bool { return labelled(s, "new-one") != nil })
	p.click(t, labelled(items, "new-one").id)
	if it := <-acts; it.Action != Connect || it.Connection != "new-one" {
		t.Errorf("a click on new-one is %+v", it)
	}
	p.click(t, labelled(p.read(t), "Quit").id)
	if it := <-acts; it.Action != Quit {
		t.Errorf("a click on Quit is %+v", it)
	}
	if err := p.item.Call("org.kde.StatusNotifierItem.Activate", 0, int32(0), int32(0)).Err; err != nil {
		t.Error(err)
	}
	if it := <-acts; it.Action != Open {
		t.Errorf("a click on the icon is %+v", it)
	}
	if err := p.item.Call("org.kde.StatusNotifierItem.Activate", 0, int32(0), int32(0)).Err; err != nil {
		t.Error(err)
	}
}

// quiet waits until the tray has sent nothing for a while.
func (p *panel) quiet(t *testing.T) {
	t.Helper()
	for range 50 {
		if p.signals(300*time.Millisecond) == 0 {
			return
		}
	}
	t.Fatal("the tray does not come to rest")
}

// signals counts what the tray sends within a while.
func (p *panel) signals(while time.Duration) (n int) {
	end := time.After(while)
	for {
		select {
		case s := <-p.sig:
			if strings.HasPrefix(s.Name, "com.canonical.dbusmenu.") {
				n++
			}
		case <-end:
			return n
		}
	}
}
