package settings

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/prefs"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/uitest"
)

type login struct {
	on   bool
	fail error
}

func (l *login) Enabled() (bool, error) { return l.on, nil }

func (l *login) Set(on bool) error {
	if l.fail == nil {
		l.on = on
	}
	return l.fail
}

func open(t *testing.T) *prefs.Store {
	s, err := prefs.Open(filepath.Join(t.TempDir(), "window.json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPage(t *testing.T) {
	uitest.Golden(t, uitest.Calm(t), "settings", uitest.Page, func(env *kit.Env) fyne.CanvasObject {
		return uitest.Show(env, New(env, Options{Prefs: open(t), Login: &login{on: true}, Notifies: true}))
	}, append(slices.Clone(uitest.Everything), uitest.Chinese)...)
}

func TestChoices(t *testing.T) {
	env := uitest.Env(t, uitest.Calm(t))
	store, l := open(t), &login{}
	var applied []prefs.Prefs
	v := New(env, Options{Prefs: store, Login: l, Notifies: true, Applied: func(p prefs.Prefs) { applied = append(applied, p) }})
	env.Window.SetContent(uitest.Show(env, v))
	env.Window.Resize(uitest.Page)

	look := uitest.Find(t, env.Window, func(s *widget.Select) bool { return s.Selected == "As the system" })
	look.SetSelected("Dark")
	uitest.Tap(t, env.Window, "Show notifications")
	size := uitest.Find(t, env.Window, func(s *widget.Select) bool { return s.Selected == "100 %" })
	size.SetSelected("150 %")
	language := uitest.Find(t, env.Window, func(s *widget.Select) bool { return s.Selected == "As the system" })
	language.SetSelected("Deutsch")
	want := prefs.Prefs{Language: "de", Look: prefs.Dark, Text: 150, Notify: false}
	if got := store.Get(); got != want || len(applied) != 4 || applied[3] != want {
		t.Errorf("got %+v, applied %+v", got, applied)
	}

	uitest.Tap(t, env.Window, "Start at login")
	if !l.on || !v.login.Checked {
		t.Error("it does not start at login")
	}
	l.fail = errors.New("the disk is full")
	uitest.Tap(t, env.Window, "Start at login")
	if !l.on || !v.login.Checked || !uitest.Says(env.Window, "the disk is full") {
		t.Errorf("a failure is not told: %v %v\n%s", l.on, v.login.Checked, uitest.Text(env.Window))
	}
}
