package lab

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// The screen of a Desktop.
const (
	ScreenWidth  = 1280
	ScreenHeight = 900
)

// A Desktop is the session of a user on a machine: a screen that nobody sees,
// a window manager, a bus, and a panel with a place for tray icons.
type Desktop struct {
	Bus *dbus.Conn // the session's

	host    *Host
	dir     string // everything of the session lies here, and its processes are known by it
	display string
	screen  string // the file that holds the picture
	told    *notifier
}

// panelConf is a panel with a list of windows, a place for tray icons and a
// clock.
const panelConf = `<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="dark-mode" type="bool" value="DARK"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=8;x=640;y=884"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="length" type="uint" value="100"/>
      <property name="size" type="uint" value="32"/>
      <property name="icon-size" type="uint" value="22"/>
      <property name="plugin-ids" type="array">
        <value type="int" value="1"/>
        <value type="int" value="2"/>
        <value type="int" value="3"/>
        <value type="int" value="4"/>
      </property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="tasklist"/>
    <property name="plugin-2" type="string" value="separator">
      <property name="expand" type="bool" value="true"/>
      <property name="style" type="uint" value="0"/>
    </property>
    <property name="plugin-3" type="string" value="systray">
      <property name="square-icons" type="bool" value="true"/>
    </property>
    <property name="plugin-4" type="string" value="clock">
      <property name="digital-time-format" type="string" value="%H:%M"/>
    </property>
  </property>
</channel>
`

// busConf is a session's bus that starts nothing but what the panel needs: what
// else is installed on this machine must make no difference.
const busConf = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=DIR/bus</listen>
  <auth>EXTERNAL</auth>
  <servicedir>DIR/services</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`

// Desktop starts a session on the machine and waits until it is there. It ends
// with the test. Without a panel there is no place for tray icons.
func (h *Host) Desktop(name string, panel bool) *Desktop {
	t := h.lab.t
	t.Helper()
	d := &Desktop{host: h, dir: h.lab.Dir("desktop-" + name), told: &notifier{}}
	d.screen = filepath.Join(d.dir, "screen", "Xvfb_screen0")
	files := map[string]string{
		"session.conf": strings.ReplaceAll(busConf, "DIR", d.dir),
		"config/xfce4/xfconf/xfce-perchannel-xml/xfce4-panel.xml": strings.Replace(panelConf, "DARK", "false", 1),
		"screen/.keep": "", "run/.keep": "", "cache/.keep": "", "services/.keep": "",
	}
	if b, err := os.ReadFile("/usr/share/dbus-1/services/org.xfce.Xfconf.service"); err == nil {
		files["services/org.xfce.Xfconf.service"] = string(b)
	}
	for name, text := range files {
		path := filepath.Join(d.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(d.end)
	d.startX()
	d.startBus()
	h.Start("openbox", d.Command("openbox"))
	d.wait("the window manager", func() bool {
		out, _, err := h.Output(10*time.Second, d.Command("xprop", "-root", "_NET_SUPPORTING_WM_CHECK"))
		return err == nil && strings.Contains(out, "window id")
	})
	if panel {
		d.Panel()
	}
	return d
}

// For returns the same session for a part of the test.
func (d *Desktop) For(l *Lab) *Desktop {
	c := *d
	c.host = d.host.of(l)
	return &c
}

// Env is the environment of the session's programs.
func (d *Desktop) Env() []string {
	return []string{"DISPLAY=" + d.display, "XAUTHORITY=", "WAYLAND_DISPLAY=", "DBUS_SESSION_BUS_ADDRESS=unix:path=" + d.dir + "/bus",
		"HOME=" + d.dir, "XDG_CONFIG_HOME=" + d.dir + "/config", "XDG_CACHE_HOME=" + d.dir + "/cache", "XDG_RUNTIME_DIR=" + d.dir + "/run",
		"XDG_SESSION_TYPE=x11", "LIBGL_ALWAYS_SOFTWARE=1", "NO_AT_BRIDGE=1", "FYNE_SCALE=1", "LC_ALL=C.UTF-8", "LANG=C.UTF-8", "LANGUAGE="}
}

// Command returns a command that runs in the session.
func (d *Desktop) Command(name string, args ...string) *exec.Cmd {
	cmd := Command(name, args...)
	cmd.Env = append(cmd.Env, d.Env()...)
	return cmd
}

// startX starts the X server on a display that is free, and reads which.
func (d *Desktop) startX() {
	t := d.host.lab.t
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := Command("Xvfb", "-displayfd", "3", "-screen", "0", fmt.Sprintf("%dx%dx24", ScreenWidth, ScreenHeight),
		"-dpi", "96", "-nolisten", "tcp", "-noreset", "-fbdir", filepath.Join(d.dir, "screen"))
	cmd.ExtraFiles = []*os.File{w}
	p := d.host.Start("Xvfb", cmd)
	w.Close()
	_ = r.SetReadDeadline(time.Now().Add(30 * time.Second))
	line, err := bufio.NewReader(r).ReadString('\n') // in more than one piece, and it ends if it cannot write all
	if err != nil {
		t.Fatalf("Xvfb does not start: %v\n%s", err, p.Log())
	}
	d.display = ":" + strings.TrimSpace(line)
}

func (d *Desktop) startBus() {
	t := d.host.lab.t
	t.Helper()
	d.host.Start("dbus", d.Command("dbus-daemon", "--config-file="+filepath.Join(d.dir, "session.conf"), "--nofork", "--nopidfile"))
	d.wait("the session's bus", func() bool {
		c, err := dbus.Connect("unix:path=" + d.dir + "/bus")
		if err != nil {
			return false
		}
		d.Bus = c
		return true
	})
	t.Cleanup(func() { d.Bus.Close() })
	if err := d.Bus.Export(d.told, "/org/freedesktop/Notifications", "org.freedesktop.Notifications"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Bus.RequestName("org.freedesktop.Notifications", dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
}

// A notifier is what shows notifications in a session: it keeps their titles.
type notifier struct {
	mu     sync.Mutex // guards titles
	titles []string
}

// Notify implements org.freedesktop.Notifications.
func (n *notifier) Notify(app string, replaces uint32, icon, title, body string, actions []string, hints map[string]dbus.Variant, timeout int32) (uint32, *dbus.Error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.titles = append(n.titles, title)
	return uint32(len(n.titles)), nil
}

// Notifications returns the titles of the notifications so far.
func (d *Desktop) Notifications() []string {
	d.told.mu.Lock()
	defer d.told.mu.Unlock()
	return slices.Clone(d.told.titles)
}

// Panel starts the panel.
func (d *Desktop) Panel() *Process {
	d.host.lab.t.Helper()
	p := d.host.Start("panel", d.Command("xfce4-panel", "--disable-wm-check"))
	d.wait("the panel", d.Hosts)
	return p
}

// Hosts reports whether a panel shows tray icons.
func (d *Desktop) Hosts() bool {
	v, err := d.Bus.Object("org.kde.StatusNotifierWatcher", "/StatusNotifierWatcher").
		GetProperty("org.kde.StatusNotifierWatcher.IsStatusNotifierHostRegistered")
	ok, _ := v.Value().(bool)
	return err == nil && ok
}

// end ends what is left of the session: what its programs have started is known
// by its environment.
func (d *Desktop) end() {
	mark := []byte("XDG_RUNTIME_DIR=" + d.dir + "/run\x00")
	left := func() (pids []int) {
		names, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, name := range names {
			if b, err := os.ReadFile(name); err == nil && bytes.Contains(b, mark) {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
				pids = append(pids, pid)
			}
		}
		return pids
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		pids := left()
		if len(pids) == 0 {
			return
		}
		signal := syscall.SIGTERM
		if time.Now().After(end) {
			signal = syscall.SIGKILL
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, signal)
		}
		if signal == syscall.SIGKILL {
			return
		}
	}
}

// wait waits for a condition, with a limit that only what hangs reaches.
func (d *Desktop) wait(what string, done func() bool) {
	d.host.lab.t.Helper()
	for end := time.Now().Add(40 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			d.Picture("stuck")
			d.host.lab.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// Do runs xdotool.
func (d *Desktop) Do(args ...string) {
	d.host.lab.t.Helper()
	if out, errOut, err := d.host.Output(30*time.Second, d.Command("xdotool", args...)); err != nil {
		d.host.lab.t.Fatalf("xdotool %s: %v\n%s%s", strings.Join(args, " "), err, out, errOut)
	}
}

// Windows returns the windows in sight whose title matches.
func (d *Desktop) Windows(title string) []string {
	out, _, err := d.host.Output(10*time.Second, d.Command("xdotool", "search", "--onlyvisible", "--name", title))
	if err != nil {
		return nil // none
	}
	return strings.Fields(out)
}

// Active returns the window that has the keyboard.
func (d *Desktop) Active() string {
	out, _, _ := d.host.Output(10*time.Second, d.Command("xdotool", "getactivewindow"))
	return strings.TrimSpace(out)
}

// Screen returns what the screen shows. It asks nobody: the X server keeps its
// picture in a file (XWD, version 7), so that watching costs it nothing.
func (d *Desktop) Screen() *image.RGBA {
	d.host.lab.t.Helper()
	b, err := os.ReadFile(d.screen)
	if err != nil {
		d.host.lab.t.Fatal(err)
	}
	img, err := parseXWD(b)
	if err != nil {
		d.host.lab.t.Fatal(err)
	}
	return img
}

// parseXWD reads a picture of 32 bits a pixel.
func parseXWD(b []byte) (*image.RGBA, error) {
	const fields = 25
	if len(b) < 4*fields {
		return nil, fmt.Errorf("a screen of %d bytes", len(b))
	}
	var h [fields]int
	for i := range h {
		h[i] = int(binary.BigEndian.Uint32(b[4*i:]))
	}
	header, width, height, bits, line, colors := h[0], h[4], h[5], h[11], h[12], h[19]
	start := header + 12*colors
	if h[1] != 7 || bits != 32 || line < 4*width || width > 1<<14 || height > 1<<14 || start < 0 || len(b) < start+line*height {
		return nil, fmt.Errorf("a screen of %d×%d, %d bits", width, height, bits)
	}
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		row := b[start+y*line:]
		for x := range width {
			o := img.PixOffset(x, y)
			img.Pix[o], img.Pix[o+1], img.Pix[o+2], img.Pix[o+3] = row[4*x+2], row[4*x+1], row[4*x], 255
		}
	}
	return img, nil
}

// picturesEnv names the folder for pictures of the screen; none are taken
// without it.
const picturesEnv = "SALLYPORT_PICTURES"

// Picture writes what the screen shows, once it has come to rest, into the
// folder that the environment names.
func (d *Desktop) Picture(name string) {
	d.host.lab.t.Helper()
	dir := os.Getenv(picturesEnv)
	if dir == "" {
		return
	}
	img := d.Screen()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		time.Sleep(400 * time.Millisecond) // longer than a widget takes to answer
		now := d.Screen()
		if bytes.Equal(now.Pix, img.Pix) {
			break
		}
		img = now
	}
	var b bytes.Buffer
	err := png.Encode(&b, img)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), b.Bytes(), 0o644)
	}
	if err != nil {
		d.host.lab.t.Error(err)
	}
}

// Painted reports whether a window with something in it covers the middle of
// the screen, where windows open: the ground is black, the pointer is small, and
// a window that has not been painted has one colour.
func (d *Desktop) Painted() bool {
	img := d.Screen()
	seen := map[color.RGBA]bool{}
	part := image.Rect(ScreenWidth/2-300, ScreenHeight/2-200, ScreenWidth/2+300, ScreenHeight/2+200)
	lit := 0
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			c := img.RGBAAt(x, y)
			if seen[c] = true; c != (color.RGBA{A: 255}) {
				lit++
			}
		}
	}
	return len(seen) >= 24 && lit > part.Dx()*part.Dy()*9/10
}
