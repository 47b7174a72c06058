package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// A GUI is the window and the tray icon of Sallyport in a Desktop.
type GUI struct {
	*Process
	Desktop *Desktop

	trace string
	mu    sync.Mutex // guards what follows
	read  int        // bytes of the trace that are in lines
	lines []Shown
}

// Shown is a line of the trace: what the widgets say once a snapshot is shown.
type Shown struct {
	Time  time.Time `json:"time"`
	Life  time.Time `json:"life"`
	Seq   uint64    `json:"seq"`
	Link  string    `json:"link"`
	Mark  string    `json:"mark"`
	Shown *struct {
		Page        string     `json:"page"`
		NoService   string     `json:"no_service"`
		Mark        string     `json:"mark"`
		Asks        string     `json:"asks"`
		Connections []ShownRow `json:"connections"`
	} `json:"shown"`
}

// A ShownRow is the row of a connection, and of the selected one its page.
type ShownRow struct {
	Name     string  `json:"name"`
	Mark     string  `json:"mark"`
	Word     string  `json:"word"`
	At       [2]int  `json:"at"`
	Lead     string  `json:"lead"`
	Button   string  `json:"button"`
	ButtonAt *[2]int `json:"button_at"`
}

// Row returns the row of a connection, nil when it is not shown.
func (s Shown) Row(name string) *ShownRow {
	if s.Shown == nil {
		return nil
	}
	i := slices.IndexFunc(s.Shown.Connections, func(r ShownRow) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Shown.Connections[i]
}

// String shows a line in short.
func (s Shown) String() string {
	b, _ := json.Marshal(s)
	return string(b)
}

// GUI starts the window on the service behind socket. prepare may change the
// command.
func (d *Desktop) GUI(socket string, prepare ...func(*exec.Cmd)) *GUI {
	d.host.lab.t.Helper()
	g := &GUI{Desktop: d, trace: filepath.Join(d.dir, "trace")}
	_ = os.Remove(g.trace)
	cmd := d.Command(d.host.lab.Bin("sallyport-gui"), "--socket", socket, "--trace", g.trace)
	for _, f := range prepare {
		f(cmd)
	}
	g.Process = d.host.Start("gui", cmd)
	d.host.lab.showOnFailure(g.trace)
	return g
}

// For returns the same window for a part of the test.
func (g *GUI) For(l *Lab) *GUI {
	return &GUI{Process: g.Process, Desktop: g.Desktop.For(l), trace: g.trace}
}

// Lines returns the trace so far.
func (g *GUI) Lines() []Shown {
	g.Desktop.host.lab.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	b, err := os.ReadFile(g.trace)
	if err != nil || len(b) <= g.read {
		return g.lines
	}
	b = b[g.read:]
	for {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if !whole {
			return g.lines
		}
		var s Shown
		if err := json.Unmarshal(line, &s); err != nil {
			g.Desktop.host.lab.t.Fatalf("trace: %v: %s", err, line)
		}
		g.lines = append(g.lines, s)
		g.read += len(line) + 1
		b = rest
	}
}

// Last returns the newest line.
func (g *GUI) Last() Shown {
	g.Desktop.host.lab.t.Helper()
	if l := g.Lines(); len(l) > 0 {
		return l[len(l)-1]
	}
	return Shown{}
}

// Until waits until what is shown is as ok wants it.
func (g *GUI) Until(what string, ok func(Shown) bool) Shown {
	t := g.Desktop.host.lab.t
	t.Helper()
	for end := time.Now().Add(45 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		s := g.Last()
		if ok(s) {
			return s
		}
		select {
		case <-g.Done:
			t.Fatalf("%s: the window has ended: %v\n%s", what, g.Err, g.Log())
		default:
		}
		if time.Now().After(end) {
			g.Desktop.Picture("stuck")
			t.Fatalf("waited in vain for %s; shown is %v\n%s", what, s, g.Log())
		}
	}
}

// Window waits until the window is in sight and returns it.
func (g *GUI) Window() string {
	g.Desktop.host.lab.t.Helper()
	id := ""
	g.Desktop.wait("the window", func() bool {
		if w := g.Desktop.Windows("^Sallyport$"); len(w) > 0 {
			id = w[0]
		}
		return id != ""
	})
	return id
}

// Focus gives the window the keyboard and returns it.
func (g *GUI) Focus() string {
	g.Desktop.host.lab.t.Helper()
	id := g.Window()
	g.Desktop.wait("the keyboard", func() bool {
		if g.Desktop.Active() == id {
			return true
		}
		g.Desktop.Do("windowactivate", id)
		return false
	})
	return id
}

// Click clicks at a place of the window.
func (g *GUI) Click(at [2]int) {
	g.Desktop.host.lab.t.Helper()
	id := g.Focus()
	g.Desktop.Do("mousemove", "--window", id, strconv.Itoa(at[0]), strconv.Itoa(at[1]), "click", "1")
}

// Press presses keys, as "ctrl+3", one after the other.
func (g *GUI) Press(keys ...string) {
	g.Desktop.host.lab.t.Helper()
	g.Focus()
	g.Desktop.Do(append([]string{"key", "--delay", "30"}, keys...)...)
}

// Type types a text, as people do.
func (g *GUI) Type(text string) {
	g.Desktop.host.lab.t.Helper()
	g.Focus()
	g.Desktop.Do("type", "--delay", "20", text)
}

// Usage returns what the process has used of the processor, and its resident
// memory in bytes.
func (g *GUI) Usage() (cpu time.Duration, rss int64) {
	t := g.Desktop.host.lab.t
	t.Helper()
	cpu, rss, err := Usage(g.Cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return cpu, rss
}

// Memory says in the kernel's words of what the resident memory consists.
func (g *GUI) Memory() string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.Cmd.Process.Pid))
	if err != nil {
		return err.Error()
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "Rss") {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(out, ", ")
}

// A Tray is the icon as a panel has it.
type Tray struct {
	d          *Desktop
	item, menu dbus.BusObject
}

// A TrayItem is a line of its menu.
type TrayItem struct {
	ID              int32
	Label           string
	Ticked, Enabled bool
	Depth           int // 1: in the menu itself
}

// Tray waits until the icon of the process is in the panel.
func (g *GUI) Tray() *Tray {
	g.Desktop.host.lab.t.Helper()
	t := &Tray{d: g.Desktop}
	g.Desktop.wait("the tray icon", func() bool {
		v, err := g.Desktop.Bus.Object("org.kde.StatusNotifierWatcher", "/StatusNotifierWatcher").
			GetProperty("org.kde.StatusNotifierWatcher.RegisteredStatusNotifierItems")
		if err != nil {
			return false
		}
		names, _ := v.Value().([]string)
		for _, n := range names {
			name, path, _ := strings.Cut(n, "/")
			var pid uint32
			if err := g.Desktop.Bus.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, name).Store(&pid); err != nil || int(pid) != g.Cmd.Process.Pid {
				continue
			}
			t.item = g.Desktop.Bus.Object(name, dbus.ObjectPath("/"+path))
			menu, err := t.item.GetProperty("org.kde.StatusNotifierItem.Menu")
			if err != nil {
				return false
			}
			if p, ok := menu.Value().(dbus.ObjectPath); ok {
				t.menu = g.Desktop.Bus.Object(name, p)
				return true
			}
		}
		return false
	})
	return t
}

// Items returns the lines of the menu, those of submenus after theirs.
func (t *Tray) Items() []TrayItem {
	t.d.host.lab.t.Helper()
	type node struct {
		ID    int32
		Props map[string]dbus.Variant
		Subs  []dbus.Variant
	}
	var revision uint32
	var root node
	if err := t.menu.Call("com.canonical.dbusmenu.GetLayout", 0, int32(0), int32(-1), []string{}).Store(&revision, &root); err != nil {
		t.d.host.lab.t.Fatalf("the menu of the tray: %v", err)
	}
	var out []TrayItem
	var walk func(n node, depth int)
	walk = func(n node, depth int) {
		it := TrayItem{ID: n.ID, Enabled: true, Depth: depth}
		if v, ok := n.Props["label"]; ok {
			it.Label, _ = v.Value().(string)
		}
		if v, ok := n.Props["toggle-state"]; ok {
			it.Ticked = v.Value() == int32(1)
		}
		if v, ok := n.Props["enabled"]; ok {
			it.Enabled = v.Value() != false
		}
		if it.Label != "" {
			out = append(out, it)
		}
		for _, v := range n.Subs {
			var sub node
			if err := dbus.Store([]any{v.Value()}, &sub); err != nil {
				t.d.host.lab.t.Fatal(err)
			}
			walk(sub, depth+1)
		}
	}
	walk(root, 0)
	return out
}

// Tooltip returns the text beside the icon.
func (t *Tray) Tooltip() string {
	v, err := t.item.GetProperty("org.kde.StatusNotifierItem.ToolTip")
	if err != nil {
		return ""
	}
	f, _ := v.Value().([]any)
	if len(f) < 3 {
		return ""
	}
	s, _ := f[2].(string)
	return s
}

// Find returns the first line whose label holds part.
func (t *Tray) Find(part string) (TrayItem, bool) {
	t.d.host.lab.t.Helper()
	items := t.Items()
	i := slices.IndexFunc(items, func(it TrayItem) bool { return strings.Contains(it.Label, part) })
	if i < 0 {
		return TrayItem{}, false
	}
	return items[i], true
}

// Click waits for a line that can be clicked and whose label holds part, and
// clicks it, as a panel does.
func (t *Tray) Click(part string) {
	t.d.host.lab.t.Helper()
	var it TrayItem
	t.d.wait("the line “"+part+"” of the tray's menu", func() bool {
		var ok bool
		it, ok = t.Find(part)
		return ok && it.Enabled
	})
	if err := t.menu.Call("com.canonical.dbusmenu.Event", 0, it.ID, "clicked", dbus.MakeVariant(""), uint32(0)).Err; err != nil {
		t.d.host.lab.t.Fatalf("click on %q: %v", it.Label, err)
	}
}

// Find waits for a window that another program has started from the file at
// path.
func (d *Desktop) Find(path string) *GUI {
	d.host.lab.t.Helper()
	g := &GUI{Desktop: d}
	d.wait(filepath.Base(path)+" to run", func() bool {
		links, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, link := range links {
			if exe, err := os.Readlink(link); err != nil || exe != path {
				continue
			}
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			if p, err := os.FindProcess(pid); err == nil && g.Process == nil {
				g.Process = &Process{Cmd: &exec.Cmd{Process: p}}
			}
		}
		if g.Process == nil {
			return false
		}
		// The first one can be the child that tries OpenGL: the parent is older.
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", g.Cmd.Process.Pid))
		if err != nil || bytes.Contains(stat, []byte("--probe-gl")) {
			g.Process = nil
			return false
		}
		return true
	})
	return g
}

// TrayIcon returns where the icon is in the panel: where the panel changes when
// the icon does, which a restart of the panel is not needed for.
func (d *Desktop) TrayIcon(t testing.TB, tray *Tray) image.Point {
	t.Helper()
	var at image.Point
	d.wait("the icon in the panel", func() bool {
		img := d.Screen()
		// The icon is the only thing of the panel between the window list and the
		// clock: the rightmost block of colours left of the clock.
		ground := img.RGBAAt(ScreenWidth/2, ScreenHeight-16)
		busy := func(x int) bool {
			for y := ScreenHeight - 28; y < ScreenHeight-4; y++ {
				if c := img.RGBAAt(x, y); far(c, ground) {
					return true
				}
			}
			return false
		}
		x := ScreenWidth - 1
		blocks := 0
		for x > ScreenWidth/2 && blocks < 2 {
			for x > 0 && !busy(x) {
				x--
			}
			end, gap := x, 0
			for x > 0 && gap < 8 {
				if busy(x) {
					gap = 0
				} else {
					gap++
				}
				x--
			}
			if blocks++; blocks == 2 {
				at = image.Pt((x+8+end)/2, ScreenHeight-16)
				return at.X > ScreenWidth/2
			}
		}
		return false
	})
	return at
}

func far(a, b color.RGBA) bool {
	d := func(x, y uint8) int { return int(max(x, y)) - int(min(x, y)) }
	return d(a.R, b.R)+d(a.G, b.G)+d(a.B, b.B) > 60
}
