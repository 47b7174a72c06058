package uitest

import (
	"context"
	"image"
	"image/color"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/theme"
	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

// TestGolden shows the palette and the widgets that everything is made of.
func TestGolden(t *testing.T) {
	Golden(t, Bare(t), "widgets", fyne.NewSize(560, 420), func(env *kit.Env) fyne.CanvasObject {
		marks := container.NewHBox()
		for m := model.Off; m <= model.Fault; m++ {
			marks.Add(widget.NewIcon(theme.IconOf(m)))
			marks.Add(widget.NewRichText(&widget.TextSegment{Text: i18n.Say(model.Text{Key: "mark." + m.String()}),
				Style: widget.RichTextStyle{ColorName: theme.ColorOf(m), Inline: true}}))
		}
		primary := widget.NewButton("Connect", func() {})
		primary.Importance = widget.HighImportance
		danger := widget.NewButton("Remove", func() {})
		danger.Importance = widget.DangerImportance
		entry := widget.NewEntry()
		entry.SetPlaceHolder("vpn.example.com")
		check := widget.NewCheck("Remember", nil)
		check.SetChecked(true)
		return container.NewPadded(container.NewVBox(
			widget.NewRichTextFromMarkdown("# Protected\nAll traffic to 10.0.0.0/8 goes through **vpn.example.com**."),
			container.NewHScroll(marks), container.NewHBox(primary, widget.NewButton("Edit", func() {}), danger), entry, check,
			widget.NewSelect([]string{"one", "two"}, nil), widget.NewProgressBar()))
	}, Light, Dark, Large)
}

func TestWorld(t *testing.T) {
	env := Env(t, World(t))
	s := env.Model.Snapshot()
	if s.Link != model.Linked || len(s.Connections) != len(Connections()) || len(s.Prompts) != 1 || s.Assignment == nil {
		t.Errorf("snapshot %+v", s)
	}
	states, profiles := map[api.TunnelState]bool{}, map[api.Profile]bool{}
	for i, c := range Connections() {
		states[c.State], profiles[c.Profile] = true, true
		if i > 0 && c.Name <= Connections()[i-1].Name {
			t.Errorf("%q is not in order", c.Name)
		}
	}
	if len(states) < 6 || len(profiles) != 3 {
		t.Errorf("states %v, profiles %v", states, profiles)
	}
	kinds := map[api.PromptKind]bool{}
	for _, p := range Prompts() {
		kinds[p.Kind] = true
	}
	if len(kinds) != 7 {
		t.Errorf("prompts %v", kinds)
	}
}

// TestGoroutines sees that what other goroutines want of the window happens on
// the test's own.
func TestGoroutines(t *testing.T) {
	env := Env(t, Calm(t))
	label := widget.NewLabel("before")
	var entry *widget.Entry
	button := widget.NewButton("Go", func() {
		env.Run(func(ctx context.Context) error { return env.Model.Backend().Disconnect(ctx, "berlin") },
			func(err error) { label.SetText("after") })
	})
	entry = widget.NewEntry()
	entry.SetPlaceHolder("name")
	env.Window.SetContent(container.NewVBox(label, button, entry))
	if !Says(env.Window, "before") || Says(env.Window, "after") {
		t.Error(Text(env.Window))
	}
	Tap(t, env.Window, "Go")
	if label.Text != "after" {
		t.Errorf("the label says %q", label.Text)
	}
	Type(t, env.Window, "name", "x y")
	Key(env.Window, fyne.KeyBackspace)
	if entry.Text != "x " {
		t.Errorf("the entry holds %q", entry.Text)
	}
	if b := Find(t, env.Window, func(b *widget.Button) bool { return b.Text == "Go" }); b != button {
		t.Error("another button")
	}
}

func TestLanguages(t *testing.T) {
	env := EnvOf(t, Bare(t), German)
	if got := i18n.T("common.cancel"); got == "Cancel" || strings.Contains(got, ".") {
		t.Errorf("%q is not German", got)
	}
	_ = env
}

func TestCompare(t *testing.T) {
	a := image.NewRGBA(image.Rect(0, 0, 10, 10))
	b := image.NewRGBA(image.Rect(0, 0, 10, 10))
	if msg, _ := compare(a, b); msg != "" {
		t.Error(msg)
	}
	b.Set(3, 4, color.RGBA{255, 0, 0, 255})
	b.Set(5, 4, color.RGBA{255, 0, 0, 255})
	if msg, _ := compare(a, b); msg != "2 of 100 pixels differ, within (3,4)-(6,5)" {
		t.Errorf("%q", msg)
	}
	if msg, _ := compare(a, image.NewRGBA(image.Rect(0, 0, 5, 5))); msg == "" {
		t.Error("another size is no difference")
	}
}
