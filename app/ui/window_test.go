package ui

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"

	"sallyport/app/model"
	"sallyport/app/prefs"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/uitest"
	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

var commands = Service{Install: "sudo sallyportd install", Start: "sudo systemctl start sallyportd", Join: "sudo usermod -aG sallyport alice"}

// open returns the window over b as the variant wants it, in the size that it
// opens with.
func open(t *testing.T, b api.Backend, v uitest.Variant, change func(*Options)) *Window {
	t.Helper()
	env := uitest.EnvOf(t, b, v) // the app, the language and the model
	store, err := prefs.Open(filepath.Join(t.TempDir(), "window.json"))
	if err != nil {
		t.Fatal(err)
	}
	p := prefs.Prefs{Language: v.Lang, Look: prefs.Light, Text: 100, Notify: true}
	if v.Lang == "" {
		p.Language = "en"
	}
	if v.Name == uitest.Dark.Name {
		p.Look = prefs.Dark
	}
	if v.Text > 0 {
		p.Text = int(v.Text * 100)
	}
	if err := store.Set(p); err != nil {
		t.Fatal(err)
	}
	opt := Options{Model: env.Model, Prefs: store, Notifies: true, Service: commands, Now: env.Now}
	if change != nil {
		change(&opt)
	}
	w := New(env.Context, fyne.CurrentApp(), opt)
	w.env.Spawn = env.Spawn
	w.SetVisible(true)
	w.win.Resize(Default)
	w.Update(env.Model.Snapshot())
	uitest.Settle()
	return w
}

// quiet is the sample world without a question that waits.
func quiet(t *testing.T) *ipctest.Backend {
	b := uitest.Calm(t)
	for _, c := range uitest.Connections() {
		if c.Question != "" {
			c.Question = ""
			b.SetConnection(c)
		}
	}
	return b
}

// dead is a Backend that never answers as it should.
func dead(t *testing.T, code api.ErrorCode) *ipctest.Backend {
	b := uitest.Bare(t)
	b.OnState = func(context.Context) error {
		return &api.Error{Code: code, What: "The service does not answer.", Why: "dial unix /run/sallyport/sallyport.sock: connect: no such file or directory"}
	}
	return b
}

func TestWindow(t *testing.T) {
	for _, v := range uitest.Everything {
		t.Run(v.Name, func(t *testing.T) {
			w := open(t, quiet(t), v, nil)
			w.Show(kit.Settings) // the page that depends on no other package
			uitest.Settle()
			uitest.Picture(t, "window-"+v.Name, w.win)
		})
	}
	t.Run("small", func(t *testing.T) {
		w := open(t, quiet(t), uitest.Variant{Lang: "de", Text: 1.5}, nil)
		w.win.Resize(Smallest)
		w.Show(kit.Settings)
		uitest.Settle()
		uitest.Picture(t, "window-small", w.win)
	})
	t.Run("question", func(t *testing.T) {
		w := open(t, uitest.Calm(t), uitest.Light, nil)
		uitest.Key(w.win, fyne.KeyEscape) // keeps it blocked
		if !uitest.Says(w.win, "Its traffic stays blocked until you decide.") {
			t.Error(uitest.Text(w.win))
		}
		w.Show(kit.Settings)
		uitest.Settle()
		uitest.Picture(t, "window-question", w.win)
		uitest.Tap(t, w.win, "Decide…")
		if !uitest.Says(w.win, "Keep it blocked") {
			t.Error(uitest.Text(w.win))
		}
	})
	t.Run("warnings", func(t *testing.T) {
		b := quiet(t)
		b.SetService(api.Service{Version: "1.0.0", Warnings: []string{"UDP port 500 is taken by another program (charon, pid 812).", "two", "three", "four", "five"}})
		w := open(t, b, uitest.Light, nil)
		w.Show(kit.Settings)
		uitest.Settle()
		uitest.Picture(t, "window-warnings", w.win)
		if !uitest.Says(w.win, "2 more warnings are in the log.") {
			t.Error(uitest.Text(w.win))
		}
	})
}

// TestNoService shows what is said about each way in which there is no service.
func TestNoService(t *testing.T) {
	for link, name := range map[model.Link]string{model.Linking: "linking", model.Missing: "missing", model.Stopped: "stopped",
		model.Lost: "lost", model.Older: "older", model.Newer: "newer", model.Refused: "refused"} {
		t.Run(name, func(t *testing.T) {
			w := open(t, dead(t, api.CodeUnreachable), uitest.Light, func(o *Options) {
				o.Service.Starter = func(context.Context) error { return nil }
			})
			s := &model.Snapshot{Link: link, Mark: model.Fault, Headline: model.Text{Key: "model.link." + name}, Service: api.Service{Version: "0.9.1"},
				LinkProblem: &api.Error{Code: api.CodeUnreachable, Why: "dial unix /run/sallyport/sallyport.sock: connect: no such file or directory"}}
			w.Update(s)
			uitest.Settle()
			uitest.Picture(t, "link-"+name, w.win)
			commands := map[model.Link]string{model.Missing: commands.Install, model.Stopped: commands.Start, model.Lost: commands.Start, model.Refused: commands.Join}
			if c := commands[link]; c != "" && !uitest.Says(w.win, c) {
				t.Errorf("the command %q is not shown:\n%s", c, uitest.Text(w.win))
			}
			w.Show(kit.Settings) // needs no service
			if !uitest.Says(w.win, "Settings") {
				t.Errorf("the settings are out of reach:\n%s", uitest.Text(w.win))
			}
		})
	}
}

func TestStart(t *testing.T) {
	started := 0
	w := open(t, dead(t, api.CodeUnreachable), uitest.German, func(o *Options) {
		o.Service.Starter = func(context.Context) error { started++; return errors.New("nobody is there to ask for a password") }
	})
	w.Update(&model.Snapshot{Link: model.Stopped, Headline: model.Text{Key: "model.link.stopped"}})
	uitest.Picture(t, "link-german", w.win)
	uitest.Tap(t, w.win, "Dienst starten")
	if started != 1 || w.win.Canvas().Overlays().Top() == nil {
		t.Errorf("started %d times; the window says\n%s", started, uitest.Text(w.win))
	}
}

// TestRecover sees that the pages come back with the service.
func TestRecover(t *testing.T) {
	w := open(t, quiet(t), uitest.Light, nil)
	linked := w.snap
	w.Update(&model.Snapshot{Link: model.Lost, Headline: model.Text{Key: "model.link.lost"}})
	if uitest.Says(w.win, "berlin") || !uitest.Says(w.win, commands.Start) {
		t.Errorf("without a service:\n%s", uitest.Text(w.win))
	}
	w.Update(linked)
	uitest.Settle()
	if !uitest.Says(w.win, "berlin") || uitest.Says(w.win, commands.Start) {
		t.Errorf("with the service back:\n%s", uitest.Text(w.win))
	}
}

func TestPages(t *testing.T) {
	w := open(t, quiet(t), uitest.Light, nil)
	for i, k := range []fyne.KeyName{fyne.Key1, fyne.Key2, fyne.Key3, fyne.Key4, fyne.Key5} {
		w.bound[k]()
		if w.Page() != Pages[i] {
			t.Errorf("Ctrl+%s shows %s", k, w.Page())
		}
		uitest.Settle()
	}
	uitest.Tap(t, w.win, "Monitor")
	if w.Page() != kit.Monitor {
		t.Errorf("a tap on Monitor shows %s", w.Page())
	}
	w.Go(kit.Connections, "office")
	uitest.Settle()
	if w.Page() != kit.Connections || !uitest.Says(w.win, "office.example.com") {
		t.Errorf("Go shows %s:\n%s", w.Page(), uitest.Text(w.win))
	}
	w.Show("nonsense")
	if w.Page() != kit.Connections {
		t.Errorf("a page that is none shows %s", w.Page())
	}
	uitest.Key(w.win, fyne.KeyF5)
}

// TestLanguage sees that a choice of the settings holds at once.
func TestLanguage(t *testing.T) {
	w := open(t, quiet(t), uitest.Light, nil)
	w.Show(kit.Settings)
	p := w.opt.Prefs.Get()
	p.Language = "de"
	w.apply(p)
	uitest.Settle()
	if !uitest.Says(w.win, "Einstellungen") || uitest.Says(w.win, "Settings") {
		t.Error(uitest.Text(w.win))
	}
}

func TestClose(t *testing.T) {
	closed := 0
	w := open(t, quiet(t), uitest.Light, func(o *Options) { o.Close = func() { closed++ } })
	w.close()
	if closed != 1 {
		t.Errorf("closed %d times", closed)
	}
}

// TestShown counts what a snapshot costs that changes nothing, with many
// connections: the window must stay idle.
func TestShown(t *testing.T) {
	var seen []uint64
	w := open(t, uitest.Crowd(t, 500, 0), uitest.Light, func(o *Options) { o.Shown = func(s *model.Snapshot) { seen = append(seen, s.Seq) } })
	if !slices.Equal(seen, []uint64{500}) {
		t.Errorf("shown %v", seen)
	}
	start := time.Now()
	for range 20 {
		w.Update(w.snap)
	}
	if each := time.Since(start) / 20; each > 20*time.Millisecond {
		t.Errorf("a snapshot as before costs %v", each)
	}
	if n := strings.Count(uitest.Text(w.win), "site-"); n > 60 {
		t.Errorf("%d rows are drawn", n)
	}
}
