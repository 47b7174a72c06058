package interop_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// deskPassword is typed on a keyboard that has these letters.
const deskPassword = "open sesame 42"

// A desk is a user before the window: a session, the real service, and the
// real gateway.
type desk struct {
	t    *testing.T
	lab  *lab.Lab
	gw   *lab.StrongSwan
	dir  string // of the gateway
	s    *lab.Service
	desk *lab.Desktop
	gui  *lab.GUI
}

// newDesk makes everything but the window, with the connections office (whose
// key is stored), asks (whose key is not) and user (a user with a password).
func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, lab: lab.New(t)}
	l, pki := d.lab, eapPKI(t)
	user := `connections {
  user : conn-defaults {
    local {
      auth = pubkey
      id = mschapv2.vpn.test
      certs = gw-eap.crt
    }
    remote {
      auth = eap-mschapv2
      eap_id = %any
    }
  }
  psk : conn-defaults, psk-auth {
    local {
      id = psk.vpn.test
    }
  }
}
pools {`
	defaults, _, _ := strings.Cut(gatewayConf, "connections {")
	_, pools, _ := strings.Cut(gatewayConf, "\npools {")
	conf := strings.Replace(defaults+user+pools, "secrets {\n", "secrets {\n  eap-bob {\n    id = bob\n    secret = \""+deskPassword+"\"\n  }\n", 1)
	d.dir = l.SwanDir("gateway", conf)
	pki.Install(t, d.dir, []string{"gw-eap", "ca-ecdsa256"}, []string{"gw-eap"})
	d.gw = l.Gateway.StrongSwan(d.dir)

	d.s = l.Client.Service("desktop")
	dir := l.SwanDir("office", pskConf("198.51.100.1", "psk.vpn.test", "dpd_delay = 2s", split))
	d.s.Must("import", dir+"/swanctl.conf")
	d.s.Must("import", write(t, l.Dir("asks"), strings.Replace(askingProfile, `"office"`, `"asks"`, 1)))
	dir = l.SwanDir("user", strings.Replace(eapConf("mschapv2", "bob", "", ""), "  office {", "  user {", 1))
	pki.Install(t, dir, []string{"ca-ecdsa256"}, nil)
	d.s.Must("import", dir+"/swanctl.conf")
	return d
}

// For returns the same desk for a part of the test.
func (d *desk) For(t *testing.T) *desk {
	c := *d
	c.t, c.lab = t, d.lab.For(t)
	c.s = d.s.For(c.lab)
	if d.desk != nil {
		c.desk = d.desk.For(c.lab)
	}
	if d.gui != nil {
		c.gui = d.gui.For(c.lab)
	}
	return &c
}

// open starts the window and waits for the connections.
func (d *desk) open(prepare ...func(*exec.Cmd)) {
	d.t.Helper()
	d.gui = d.desk.GUI(d.s.Socket, prepare...)
	d.gui.Until("the connections", func(s lab.Shown) bool { return s.Row("office") != nil })
}

// selected clicks the row of a connection and returns what is shown then.
func (d *desk) selected(name string) lab.ShownRow {
	d.t.Helper()
	s := d.gui.Until(name, func(s lab.Shown) bool { return s.Row(name) != nil && s.Row(name).At[0] > 0 })
	if r := s.Row(name); r.Button == "" {
		d.gui.Click(r.At)
		s = d.gui.Until("the page of "+name, func(s lab.Shown) bool { return s.Row(name) != nil && s.Row(name).ButtonAt != nil })
	}
	return *s.Row(name)
}

// press clicks the large button of a connection, which must say text.
func (d *desk) press(name, text string) {
	d.t.Helper()
	d.selected(name)
	// The page moves while it is laid out: it has come to rest when two looks agree.
	var before [2]int
	s := d.gui.Until("the button "+text, func(s lab.Shown) bool {
		r := s.Row(name)
		if r == nil || r.Button != text || r.ButtonAt == nil {
			return false
		}
		rests := before == *r.ButtonAt && time.Since(s.Time) > 300*time.Millisecond
		before = *r.ButtonAt
		return rests
	})
	d.gui.Click(*s.Row(name).ButtonAt)
}

// says waits until the window shows a connection in a word, and that this is
// what the service says.
func (d *desk) says(name, word string, state api.TunnelState) lab.Shown {
	d.t.Helper()
	s := d.gui.Until(name+" "+word, func(s lab.Shown) bool { return s.Row(name) != nil && s.Row(name).Word == word })
	if c := d.s.Connection(name); c.State != state {
		d.t.Errorf("the window says %q of %s, the service %q", word, name, c.State)
	}
	return s
}

// trayLine waits until the menu of the tray has a line for a connection, with a
// tick or without.
func trayLine(t *testing.T, tr *lab.Tray, part string, ticked bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		it, ok := tr.Find(part)
		if ok && it.Ticked == ticked {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the tray's menu has no line %q with tick %v: %+v", part, ticked, tr.Items())
		}
	}
}

// TestDesktop is a user before the real window and tray, with a real service
// and a real gateway behind them.
func TestDesktop(t *testing.T) {
	d := newDesk(t)
	d.desk = d.lab.Client.Desktop("alice", true)
	d.open()
	d.gui.Focus()
	tray, all := d.gui.Tray(), d
	part := func(name string, f func(t *testing.T, d *desk)) {
		if !t.Failed() {
			t.Run(name, func(t *testing.T) { f(t, d.For(t)) })
		}
	}
	part("window", func(t *testing.T, d *desk) {
		d.desk.Picture("window-disconnected")
		d.press("office", "Connect")
		s := d.says("office", "Connected", api.Connected)
		if r := s.Row("office"); r.Mark != "safe" || !strings.HasPrefix(r.Lead, "Protected:") {
			t.Errorf("office is shown as %+v", r)
		}
		carriesPage(t, d.lab)
		d.desk.Picture("window-connected")
		d.press("office", "Disconnect")
		d.says("office", "Disconnected", api.Disconnected)
	})
	part("keyboard", func(t *testing.T, d *desk) {
		for i, page := range []string{"policies", "monitor", "diagnosis", "settings", "connections"} {
			d.gui.Press(fmt.Sprintf("ctrl+%d", (i+1)%5+1))
			d.gui.Until(page, func(s lab.Shown) bool { return s.Shown != nil && s.Shown.Page == page })
			d.desk.Picture("page-" + page)
		}
	})
	part("tray", func(t *testing.T, d *desk) {
		trayLine(t, tray, "office ·", false)
		tray.Click("office ·")
		d.says("office", "Connected", api.Connected)
		trayLine(t, tray, "office ·", true)
		carriesPage(t, d.lab)
		tray.Click("office ·")
		d.says("office", "Disconnected", api.Disconnected)
		trayLine(t, tray, "office ·", false)
	})
	part("key", func(t *testing.T, d *desk) {
		d.press("asks", "Connect")
		d.answer("asks", "correct horse battery staple")
		d.says("asks", "Connected", api.Connected)
		carriesPage(t, d.lab)
		d.press("asks", "Disconnect")
		d.says("asks", "Disconnected", api.Disconnected)
	})
	part("password", func(t *testing.T, d *desk) {
		tray.Click("user ·") // from the tray: the window comes up to ask
		d.answer("user", deskPassword)
		d.says("user", "Connected", api.Connected)
		carriesPage(t, d.lab)
		d.press("user", "Disconnect")
		d.says("user", "Disconnected", api.Disconnected)
	})
	part("notifications", func(t *testing.T, d *desk) {
		told := strings.Join(d.desk.Notifications(), "\n")
		if !strings.Contains(told, "user waits for you") {
			t.Errorf("the user is told\n%s", told)
		}
	})
	part("cancelled", func(t *testing.T, d *desk) {
		d.press("asks", "Connect")
		d.gui.Until("the question", func(s lab.Shown) bool { return s.Shown != nil && s.Shown.Asks == "asks" })
		d.gui.Press("Escape")
		d.gui.Until("no question", func(s lab.Shown) bool { return s.Shown != nil && s.Shown.Asks == "" })
		d.says("asks", "Blocked", api.Blocked) // by its profile, until it is disconnected
		d.press("asks", "Disconnect")
		d.says("asks", "Disconnected", api.Disconnected)
	})
	part("gateway killed", func(t *testing.T, d *desk) {
		d.press("office", "Connect")
		d.says("office", "Connected", api.Connected)
		d.gw.Kill()
		waitUntil(t, "the service to notice", 2*time.Minute, func() bool {
			_, _ = d.lab.Client.Get(lab.InsideV4, "/", 200*time.Millisecond) // it asks where nothing comes back
			return d.s.Connection("office").State != api.Connected
		})
		d.gui.Until("that office is not connected", func(s lab.Shown) bool {
			r := s.Row("office")
			return r != nil && r.Word != "Connected" && r.Mark != "safe" && !strings.HasPrefix(r.Lead, "Protected:")
		})
		d.desk.Picture("gateway-killed")
		all.gw = all.lab.Gateway.StrongSwan(all.dir)
		waitUntil(t, "the tunnel to come back", 2*time.Minute, func() bool { return d.s.Connection("office").State == api.Connected })
		d.says("office", "Connected", api.Connected)
		carriesPage(t, d.lab)
	})
	part("service killed", func(t *testing.T, d *desk) {
		d.s.Proc.Kill()
		d.gui.Until("that there is no service", func(s lab.Shown) bool { return s.Shown != nil && s.Shown.NoService != "" && s.Link == "lost" })
		d.desk.Picture("service-killed")
		trayLine(t, tray, "does not answer", false)
	})
	// The service lives on after its part of the test.
	d.s.Start()
	part("service back", func(t *testing.T, d *desk) {
		d.gui.Until("the connections again", func(s lab.Shown) bool {
			return s.Link == "linked" && s.Row("office") != nil && s.Row("office").Word == "Disconnected"
		})
		d.press("office", "Connect")
		d.says("office", "Connected", api.Connected)
		d.press("office", "Disconnect")
		d.says("office", "Disconnected", api.Disconnected)
	})
	part("second start", func(t *testing.T, d *desk) {
		d.gui.Press("ctrl+w")
		waitUntil(t, "the window to go", 30*time.Second, func() bool { return len(d.desk.Windows("^Sallyport$")) == 0 })
		d.desk.Picture("closed-to-tray")
		again := d.lab.Client.Start("second", d.desk.Command(d.lab.Bin("sallyport-gui"), "--socket", d.s.Socket, "--page", "monitor"))
		select {
		case <-again.Done:
		case <-time.After(30 * time.Second):
			t.Fatal("the second one goes on")
		}
		if again.Err != nil {
			t.Errorf("the second one: %v\n%s", again.Err, again.Log())
		}
		d.gui.Focus()
		d.gui.Until("the page that the second start asked for", func(s lab.Shown) bool { return s.Shown != nil && s.Shown.Page == "monitor" })
		d.gui.Press("ctrl+1")
		d.gui.Until("the connections", func(s lab.Shown) bool { return s.Row("office") != nil })
	})
	part("icon", func(t *testing.T, d *desk) { d.panel(tray) })
	part("quit", func(t *testing.T, d *desk) {
		tray.Click("Quit")
		select {
		case <-d.gui.Done:
		case <-time.After(30 * time.Second):
			t.Fatal("it goes on")
		}
		if d.gui.Err != nil {
			t.Errorf("it ends with %v\n%s", d.gui.Err, d.gui.Log())
		}
	})
}

// answer types the answer to the question about a connection.
func (d *desk) answer(name, secret string) {
	d.t.Helper()
	d.gui.Until("the question", func(s lab.Shown) bool { return s.Shown != nil && s.Shown.Asks == name })
	d.gui.Type(secret)
	d.desk.Picture("asks-" + name)
	d.gui.Press("Return")
	d.gui.Until("the answer to be taken", func(s lab.Shown) bool { return s.Shown != nil && s.Shown.Asks == "" })
}

// panel opens the menu of the icon in the panel with the mouse, and
// disconnects by it.
func (d *desk) panel(tray *lab.Tray) {
	d.t.Helper()
	tray.Click("office ·")
	d.says("office", "Connected", api.Connected)
	trayLine(d.t, tray, "office ·", true)
	at := d.desk.TrayIcon(d.t, tray)
	before := d.desk.Screen()
	d.desk.Do("mousemove", fmt.Sprint(at.X), fmt.Sprint(at.Y), "click", "3")
	waitUntil(d.t, "the menu", 20*time.Second, func() bool {
		now := d.desk.Screen()
		changed := 0
		for y := lab.ScreenHeight - 200; y < lab.ScreenHeight-40; y++ {
			for x := lab.ScreenWidth - 300; x < lab.ScreenWidth; x++ {
				if now.RGBAAt(x, y) != before.RGBAAt(x, y) {
					changed++
				}
			}
		}
		return changed > 5000
	})
	d.desk.Picture("tray-menu")
	keys := []string{"key", "--delay", "80", "Up"} // the last line
	items := tray.Items()
	for i := len(items) - 1; i >= 0 && !strings.HasPrefix(items[i].Label, "office ·"); i-- {
		if items[i].Depth == 1 {
			keys = append(keys, "Up")
		}
	}
	d.desk.Do(append(keys, "Return")...)
	d.says("office", "Disconnected", api.Disconnected)
}

// waitUntil waits for a condition with a limit of its own.
func waitUntil(t *testing.T, what string, limit time.Duration, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestDesktopHidden starts to the tray.
func TestDesktopHidden(t *testing.T) {
	d := newDesk(t)
	d.desk = d.lab.Client.Desktop("alice", true)
	d.open(func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "--hidden") })
	tray := d.gui.Tray()
	if w := d.desk.Windows("^Sallyport$"); len(w) > 0 {
		t.Errorf("a window is in sight: %v", w)
	}
	tray.Click("office ·")
	waitUntil(t, "the tunnel", time.Minute, func() bool { return d.s.Connection("office").State == api.Connected })
	if w := d.desk.Windows("^Sallyport$"); len(w) > 0 {
		t.Errorf("a window is in sight: %v", w)
	}
	trayLine(t, tray, "office ·", true)
	tray.Click("Open")
	d.gui.Window()
	d.says("office", "Connected", api.Connected)
	waitUntil(t, "the window to be painted", 30*time.Second, d.desk.Painted)
}

// TestDesktopNoGL has no OpenGL: there is the tray alone, and it works.
func TestDesktopNoGL(t *testing.T) {
	d := newDesk(t)
	d.desk = d.lab.Client.Desktop("alice", true)
	d.gui = d.desk.GUI(d.s.Socket, func(cmd *exec.Cmd) {
		// What a machine without drivers has.
		cmd.Env = append(cmd.Env, "LIBGL_DRIVERS_PATH=/nonexistent", "GALLIUM_DRIVER=none", "MESA_LOADER_DRIVER_OVERRIDE=none", "__GLX_VENDOR_LIBRARY_NAME=none")
	})
	tray := d.gui.Tray()
	if w := d.desk.Windows("^Sallyport$"); len(w) > 0 {
		t.Errorf("a window is in sight: %v", w)
	}
	if !strings.Contains(d.gui.Log(), "OpenGL") && !strings.Contains(d.gui.Log(), "GLX") {
		t.Errorf("it does not say why there is no window: %q", d.gui.Log())
	}
	if it, ok := tray.Find("Open"); ok {
		t.Errorf("the menu offers %+v", it)
	}
	tray.Click("office ·")
	waitUntil(t, "the tunnel", time.Minute, func() bool { return d.s.Connection("office").State == api.Connected })
	trayLine(t, tray, "office ·", true)
	carriesPage(t, d.lab)
	d.gui.Until("what the tray shows", func(s lab.Shown) bool { return s.Link == "linked" && s.Mark == "safe" })
	tray.Click("office ·")
	waitUntil(t, "the tunnel to end", time.Minute, func() bool { return d.s.Connection("office").State == api.Disconnected })
	tray.Click("Quit")
	select {
	case <-d.gui.Done:
	case <-time.After(30 * time.Second):
		t.Fatal("it goes on")
	}
}

// TestDesktopDemo is "sallyport demo" with a display: the window opens on its
// client, and the tray works there.
func TestDesktopDemo(t *testing.T) {
	l := lab.New(t)
	desk := l.Client.Desktop("alice", true)
	bin := l.Dir("demo-gui")
	for _, name := range []string{"sallyport", "sallyportd", "sallyport-gui"} {
		b, err := os.ReadFile(l.Bin(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bin, name), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	demo := l.Client.Start("demo", desk.Command(filepath.Join(bin, "sallyport"), "demo"))
	gui := desk.Find(filepath.Join(bin, "sallyport-gui"))
	tray := gui.Tray()
	gui.Window()
	waitUntil(t, "the window to be painted", 30*time.Second, desk.Painted)
	name := ""
	waitUntil(t, "the demo's connection in the tray", 30*time.Second, func() bool {
		for _, it := range tray.Items() {
			if strings.Contains(it.Label, " · ") && it.Ticked {
				name, _, _ = strings.Cut(it.Label, " · ")
			}
		}
		return name != ""
	})
	desk.Picture("demo")
	tray.Click(name + " ·")
	trayLine(t, tray, name+" ·", false)
	tray.Click(name + " ·")
	trayLine(t, tray, name+" ·", true)
	tray.Click("Quit")
	select {
	case <-demo.Done:
	case <-time.After(time.Minute):
		t.Fatal("the demo goes on after its window was quit")
	}
	if demo.Err != nil {
		t.Errorf("the demo: %v\n%s", demo.Err, demo.Log())
	}
	if n := len(services(t, l)); n != 0 {
		t.Errorf("%d services are left", n)
	}
}
