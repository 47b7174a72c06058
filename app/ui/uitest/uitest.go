// Package uitest shows views without a screen: in the product's theme, over a
// sample world behind a service in memory, with a clock that stands still. Its
// pictures are compared with golden files; -update writes them.
//
//	func TestView(t *testing.T) {
//		uitest.Golden(t, uitest.World(t), "list", uitest.Window, func(env *kit.Env) fyne.CanvasObject {
//			return uitest.Show(env, connections.New(env))
//		}, uitest.Everything...)
//	}
//
// What other goroutines hand to fyne.Do runs on the test's own goroutine, within
// Settle and Until, as it runs on Fyne's in the product: a view needs no lock,
// and no test races with it.
package uitest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/software"
	"fyne.io/fyne/v2/test"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/theme"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// Now is what the clock of every Env shows.
var Now = time.Date(2026, time.November, 20, 14, 30, 0, 0, time.UTC)

// patience is how long a test waits for what never comes.
const patience = 10 * time.Second

// A Variant is a way to show a view.
type Variant struct {
	Name string
	Look theme.Look // System: light
	Lang string     // empty: English
	Text float32    // size of text; 0: 1
	// Scale is that of the screen: it makes the picture larger, and nothing else
	// in the window. 0: 1.
	Scale float32
}

// The variants that each main view is shown in.
var (
	Light   = Variant{Name: "light", Look: theme.Light}
	Dark    = Variant{Name: "dark", Look: theme.Dark}
	German  = Variant{Name: "german", Look: theme.Light, Lang: "de"}
	French  = Variant{Name: "french", Look: theme.Light, Lang: "fr"}
	Spanish = Variant{Name: "spanish", Look: theme.Light, Lang: "es"}
	Chinese = Variant{Name: "chinese", Look: theme.Light, Lang: "zh"}
	// Large has all text at 200 %, in a window of the usual size.
	Large = Variant{Name: "large", Look: theme.Light, Text: 2}
	// HiDPI is the whole window at 200 %, as a dense screen has it.
	HiDPI = Variant{Name: "hidpi", Look: theme.Light, Scale: 2}

	Everything = []Variant{Light, Dark, German, Large}
)

// Sizes of windows.
var (
	Window  = fyne.NewSize(980, 680) // as it opens
	Page    = fyne.NewSize(788, 680) // what a page has of it, beside the navigation
	Small   = fyne.NewSize(720, 520) // as small as it can be
	SmallUI = fyne.NewSize(648, 520) // what a page has of that
)

// Env returns what a view is given, in the variant Light and with a model that
// follows b: when Env returns, its Snapshot is that of b.
func Env(t testing.TB, b api.Backend) *kit.Env { return EnvOf(t, b, Light) }

// EnvOf is Env in another variant.
func EnvOf(t testing.TB, b api.Backend, v Variant) *kit.Env {
	t.Helper()
	speak(t, v.Lang)
	d := open(t, v)
	m := Model(t, b)
	ctx, cancel := context.WithCancel(context.Background())
	w := d.app.NewWindow("Sallyport")
	w.SetPadded(false)
	if v.Scale > 0 {
		w.Canvas().(software.WindowlessCanvas).SetScale(v.Scale)
	}
	w.Resize(Window)
	env := &kit.Env{Model: m, Window: w, Now: func() time.Time { return Now }, Go: func(kit.Page, string) {},
		Context: ctx, Spawn: d.spawn}
	t.Cleanup(func() {
		cancel()
		d.close(t)
	})
	return env
}

// Model returns a model that follows b until the test ends, and has its state.
func Model(t testing.TB, b api.Backend) *model.Model {
	t.Helper()
	m := model.New(model.Options{Backend: b, Now: func() time.Time { return Now }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = m.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	linked := make(chan struct{})
	var once sync.Once
	stop := m.Watch(func(s *model.Snapshot) {
		if s.Link != model.Linking {
			once.Do(func() { close(linked) })
		}
	})
	defer stop()
	select {
	case <-linked:
	case <-time.After(patience):
		t.Fatal("the model does not find the service")
	}
	return m
}

// Show makes a view show the newest snapshot, and the ones that follow, and
// returns its objects. What the view asks of the service has been answered.
func Show(env *kit.Env, v kit.View) fyne.CanvasObject {
	v.Update(env.Model.Snapshot())
	v.Shown(true)
	stop := env.Model.Watch(func(s *model.Snapshot) {
		fyne.Do(func() { v.Update(s) })
	})
	context.AfterFunc(env.Context, stop)
	o := v.Content()
	Settle()
	return o
}

// speak makes the catalogue answer in a language until the test ends.
func speak(t testing.TB, language string) {
	if language == "" {
		language = "en"
	}
	i18n.Use(language)
	t.Cleanup(func() { i18n.Use("en") })
}

// A desk is an app whose driver keeps what other goroutines want done on
// Fyne's goroutine until the test's goroutine does it.
type desk struct {
	fyne.App
	app fyne.App
	drv *driver
}

type driver struct {
	fyne.Driver
	mu      sync.Mutex // guards what follows
	queue   []func()
	working int // calls of spawn that have not ended
	woken   chan struct{}
	closed  bool
}

var current *desk // of the test that runs; tests with an Env are not parallel

func open(t testing.TB, v Variant) *desk {
	t.Helper()
	if v.Look == theme.System {
		v.Look = theme.Light
	}
	a := test.NewTempApp(t)
	d := &desk{App: a, drv: &driver{Driver: a.Driver(), woken: make(chan struct{}, 1)}}
	d.app = d
	fyne.SetCurrentApp(d)
	a.Settings().SetTheme(theme.New(theme.Options{Look: v.Look, Text: v.Text, Font: theme.FontFor(v.Lang)}))
	current = d
	return d
}

// Driver implements fyne.App.
func (d *desk) Driver() fyne.Driver { return d.drv }

// DoFromGoroutine implements fyne.Driver.
func (d *driver) DoFromGoroutine(f func(), wait bool) {
	done := make(chan struct{})
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return
	}
	d.queue = append(d.queue, func() { defer close(done); f() })
	d.mu.Unlock()
	d.wake()
	if wait {
		<-done
	}
}

func (d *driver) wake() {
	select {
	case d.woken <- struct{}{}:
	default:
	}
}

func (d *desk) spawn(work func()) {
	d.drv.mu.Lock()
	d.drv.working++
	d.drv.mu.Unlock()
	go func() {
		defer func() {
			d.drv.mu.Lock()
			d.drv.working--
			d.drv.mu.Unlock()
			d.drv.wake()
		}()
		work()
	}()
}

// step does what is queued, and reports whether work is under way.
func (d *driver) step() (busy bool) {
	for {
		d.mu.Lock()
		if len(d.queue) == 0 {
			busy = d.working > 0
			d.mu.Unlock()
			return busy
		}
		f := d.queue[0]
		d.queue = d.queue[1:]
		d.mu.Unlock()
		f()
	}
}

func (d *desk) close(t testing.TB) {
	limit := time.After(patience)
	for d.drv.step() { // what is under way ends with the window's context
		select {
		case <-d.drv.woken:
		case <-limit:
			t.Error("work of the view goes on although the window is closed")
			return
		}
	}
	d.drv.mu.Lock()
	d.drv.closed = true
	d.drv.mu.Unlock()
}

// Settle does everything that waits to be done on Fyne's goroutine and waits
// for what views have under way. A view that waits for the user, or for a
// service that does not answer, needs Until.
func Settle() {
	limit := time.After(patience)
	for current.drv.step() {
		select {
		case <-current.drv.woken:
		case <-limit:
			return
		}
	}
}

// Until does what waits to be done on Fyne's goroutine until ok holds, and
// fails the test when it never does.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		current.drv.step()
		if ok() {
			return
		}
		select {
		case <-current.drv.woken:
		case <-time.After(5 * time.Millisecond): // ok may look at what wakes nobody: the calls of a Backend
		case <-limit:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// Called waits until the service behind b has got a command that begins with
// prefix, and returns it.
func Called(t testing.TB, b interface{ Calls() []string }, prefix string) (call string) {
	t.Helper()
	Until(t, "call of "+prefix, func() bool {
		for _, c := range b.Calls() {
			if strings.HasPrefix(c, prefix) {
				call = c
				return true
			}
		}
		return false
	})
	return call
}
