package kit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/uitest"
	"sallyport/core/api"
)

func failure() *api.Error {
	return &api.Error{Code: api.CodeNoProposal, What: "Could not connect to \"office\".", Why: "The gateway took none of our proposals.",
		Next:   "Compare the algorithms with the gateway's.",
		Params: map[string]string{"connection": "office", "gateway": "vpn.example.com", "server_hint": "proposals = aes256gcm16-prfsha384-ecp384"}}
}

var marks = []model.Mark{model.Off, model.Safe, model.Busy, model.Partly, model.Blocked, model.Fault}

func TestPictures(t *testing.T) {
	wide := fyne.NewSize(560, 420)
	for _, c := range []struct {
		name  string
		build func(env *kit.Env) fyne.CanvasObject
	}{
		{"marks", func(*kit.Env) fyne.CanvasObject {
			var badges []fyne.CanvasObject
			for _, m := range marks {
				badges = append(badges, kit.NewBadge(m))
			}
			return kit.Section(kit.Heading("Heading"), kit.Subheading("Subheading"), kit.Text("A paragraph."), kit.Muted("What explains."),
				kit.Flow(badges...), kit.Warning("Nothing is protected."), kit.Info("The assigned policy decides."))
		}},
		{"error", func(env *kit.Env) fyne.CanvasObject {
			card := kit.NewErrorCard(failure(), kit.NewButton("Try again", theme.ViewRefreshIcon(), nil))
			o := kit.Section(card)
			card.Resized = o.Refresh
			env.Window.SetContent(o)
			test.Tap(uitest.Labelled(t, env.Window, labelOf(card)))
			return o
		}},
		{"fields", func(*kit.Env) fyne.CanvasObject {
			return kit.Section(kit.CardBox(kit.NewFields(
				kit.Field{Label: "Gateway", Value: "vpn.example.com"},
				kit.Field{Label: "Without a value"},
				kit.Field{Label: "Protected networks", Value: "10.0.0.0/8\n172.16.0.0/12", Copy: true},
				kit.Field{Label: "A name that is longer than the room that it has", Value: strings.Repeat("a value that wraps ", 6)},
				kit.Field{Label: "SPI", Value: "8f1c2a77d03b9e54", Mono: true, Copy: true})), kit.NewCopyable("ip xfrm state"))
		}},
		{"choice", func(env *kit.Env) fyne.CanvasObject {
			c := kit.NewChoice([]kit.Option{{ID: "a", Title: "The first", Text: "What it means in a line."}, {ID: "b", Title: "The second", Text: "What it means in a line that is longer than the first."}}, nil)
			c.SetSelected("b")
			env.Window.SetContent(c)
			env.Window.Canvas().Focus(c)
			return kit.Section(c)
		}},
	} {
		uitest.Golden(t, uitest.Bare(t), c.name, wide, c.build, uitest.Light, uitest.Dark, uitest.Large)
	}
	uitest.Golden(t, uitest.Bare(t), "table", wide, func(env *kit.Env) fyne.CanvasObject {
		tb := newTable(40)
		env.Window.SetContent(tb)
		env.Window.Resize(wide)
		tb.SortBy(1, true)
		tb.Select(3)
		return tb
	}, uitest.Light, uitest.Large)
	uitest.Golden(t, uitest.Bare(t), "confirm", wide, func(env *kit.Env) fyne.CanvasObject {
		kit.Confirm(env, "Remove “office”?", "Its settings are deleted. This cannot be undone.", "Remove", true, func() {})
		return nil
	})
}

// labelOf returns what the button says that opens the detail.
func labelOf(card *kit.ErrorCard) string {
	for _, o := range uitest.Objects(card) {
		if b, ok := o.(*kit.Button); ok && b.Importance == widget.LowImportance && b.Text != "" && b.Icon != nil && b.Icon.Name() != theme.ContentCopyIcon().Name() {
			return b.Text
		}
	}
	return ""
}

func newTable(n int) *kit.Table {
	size := func(row int) int { return (row*7919 + 13) % 1000 }
	return kit.NewTable([]kit.TableColumn{
		{Title: "Name", Width: 8, Grow: true, Less: func(a, b int) bool { return a < b }},
		{Title: "Size", Width: 5, Right: true, Less: func(a, b int) bool { return size(a) < size(b) }},
		{Title: "SPI", Width: 9, Mono: true},
	}, func() int { return n }, func(row, col int) kit.Cell {
		switch col {
		case 0:
			return kit.Cell{Text: fmt.Sprintf("row-%02d", row), Icon: kit.MarkIcon(marks[row%len(marks)])}
		case 1:
			return kit.Cell{Text: fmt.Sprint(size(row))}
		}
		return kit.Cell{Text: fmt.Sprintf("%08x", row*104729), Importance: widget.LowImportance}
	}, func(row int) string { return fmt.Sprint("k", row) })
}

func window(t *testing.T, o fyne.CanvasObject) *kit.Env {
	env := uitest.Env(t, uitest.Bare(t))
	env.Window.SetContent(o)
	env.Window.Resize(fyne.NewSize(500, 400))
	return env
}

func TestTableSortsSelectsAndCopies(t *testing.T) {
	env := uitest.Env(t, uitest.Bare(t))
	tb := newTable(40)
	env.Window.SetContent(tb)
	env.Window.Resize(fyne.NewSize(500, 400))
	var got []int
	tb.OnSelected = func(row int) { got = append(got, row) }
	uitest.Tap(t, env.Window, "Size")
	uitest.Tap(t, env.Window, "Size ↑")
	if !uitest.Says(env.Window, "Size ↓") {
		t.Fatalf("it does not sort downwards:\n%s", uitest.Text(env.Window))
	}
	lines := strings.Split(uitest.Text(env.Window), "\n")
	if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "row-") }); i < 0 || lines[i+1] != "988" {
		t.Errorf("the largest is not the first:\n%s", strings.Join(lines, "\n"))
	}
	tb.Select(5)
	tb.SortBy(0, false) // the selection stays on its row
	if row, ok := tb.Selected(); !ok || row != 5 {
		t.Errorf("selected %d %t", row, ok)
	}
	if len(got) != 1 || got[0] != 5 {
		t.Errorf("OnSelected got %v", got)
	}
	tb.Copy()
	if got, want := fyne.CurrentApp().Clipboard().Content(), tb.Line(5); got != want {
		t.Errorf("copied %q, want %q", got, want)
	}
}

func TestTableIsKeyboardAlone(t *testing.T) {
	tb := newTable(40)
	env := window(t, tb)
	env.Window.Canvas().FocusNext()
	f := env.Window.Canvas().Focused()
	if f == nil {
		t.Fatal("it takes no focus")
	}
	f.TypedKey(&fyne.KeyEvent{Name: fyne.KeyDown})
	f.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	if row, ok := tb.Selected(); !ok || row != 1 {
		t.Errorf("selected %d %t", row, ok)
	}
	f.(fyne.Shortcutable).TypedShortcut(&fyne.ShortcutCopy{})
	if got := fyne.CurrentApp().Clipboard().Content(); got != tb.Line(1) {
		t.Errorf("Ctrl+C copies %q", got)
	}
}

func TestTableOfManyRowsDrawsFew(t *testing.T) {
	asked := map[int]bool{}
	tb := kit.NewTable([]kit.TableColumn{{Title: "N", Width: 5}}, func() int { return 100_000 },
		func(row, _ int) kit.Cell { asked[row] = true; return kit.Cell{Text: fmt.Sprint(row)} }, nil)
	window(t, tb)
	tb.Update()
	if len(asked) > 100 {
		t.Errorf("it drew %d rows", len(asked))
	}
}

func TestTableSelectionOutlivesItsNeighbours(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	tb := kit.NewTable([]kit.TableColumn{{Title: "N", Width: 5}}, func() int { return len(names) },
		func(row, _ int) kit.Cell { return kit.Cell{Text: names[row]} }, func(row int) string { return names[row] })
	window(t, tb)
	tb.Select(2)
	names = []string{"b", "c"}
	tb.Update()
	if row, ok := tb.Selected(); !ok || names[row] != "c" {
		t.Errorf("selected %d %t", row, ok)
	}
	names = []string{"b"}
	tb.Update()
	if _, ok := tb.Selected(); ok {
		t.Error("what has gone is still selected")
	}
}

func TestFilterClears(t *testing.T) {
	var got []string
	f := kit.NewFilter("Search", func(s string) { got = append(got, s) })
	env := window(t, container.NewVBox(f))
	uitest.Type(t, env.Window, "Search", "ab")
	uitest.Key(env.Window, fyne.KeyEscape)
	if want := "a ab "; strings.Join(got, " ") != want {
		t.Errorf("got %q", got)
	}
}

func TestChoiceByKeys(t *testing.T) {
	var got []string
	c := kit.NewChoice([]kit.Option{{ID: "a", Title: "A"}, {ID: "b", Title: "B"}, {ID: "c", Title: "C"}}, func(id string) { got = append(got, id) })
	env := window(t, c)
	env.Window.Canvas().Focus(c)
	for _, k := range []fyne.KeyName{fyne.KeyUp, fyne.KeyDown, fyne.KeySpace, fyne.KeyDown, fyne.KeyDown, fyne.KeyReturn, fyne.KeySpace} {
		uitest.Key(env.Window, k)
	}
	if strings.Join(got, "") != "bc" || c.Selected() != "c" {
		t.Errorf("got %v, selected %s", got, c.Selected())
	}
	c.SetSelected("a")
	c.Disable()
	uitest.Key(env.Window, fyne.KeyDown)
	uitest.Key(env.Window, fyne.KeySpace)
	if c.Selected() != "a" || len(got) != 2 {
		t.Error("it can be changed while it is disabled")
	}
	c.Enable()
	uitest.Tap(t, env.Window, "B")
	if c.Selected() != "b" {
		t.Error("a tap takes nothing")
	}
}

func TestDialogsStack(t *testing.T) {
	env := window(t, widget.NewLabel(""))
	var keys []string
	env.Window.Canvas().SetOnTypedKey(func(k *fyne.KeyEvent) { keys = append(keys, string(k.Name)) })
	yes := 0
	lower := kit.Confirm(env, "Lower", "", "Do", false, func() { yes++ })
	upper := kit.Confirm(env, "Upper", "", "Do", true, func() { yes++ })
	lower.Hide() // from below
	if !upper.Visible() {
		t.Fatal("the wrong one closes")
	}
	uitest.Key(env.Window, fyne.KeyEscape)
	if upper.Visible() || yes != 0 {
		t.Errorf("visible %t, yes %d", upper.Visible(), yes)
	}
	env.Window.Canvas().Unfocus()
	uitest.Key(env.Window, fyne.KeyF1)
	if strings.Join(keys, " ") != "F1" {
		t.Errorf("the window got %v", keys)
	}
}

func TestConfirmDoesNothingByDefault(t *testing.T) {
	env := window(t, widget.NewLabel(""))
	yes := 0
	kit.Confirm(env, "Remove?", "", "Remove", true, func() { yes++ })
	uitest.Key(env.Window, fyne.KeyReturn)
	if yes != 0 {
		t.Error("Enter removes")
	}
	kit.Confirm(env, "Remove?", "", "Remove", true, func() { yes++ })
	uitest.Tap(t, env.Window, "Remove")
	if yes != 1 {
		t.Error("the button does not")
	}
}

func TestErrorCardSaysWhatTheCatalogueSays(t *testing.T) {
	card := kit.NewErrorCard(nil)
	if card.Visible() {
		t.Error("it shows nothing")
	}
	env := window(t, kit.Column(card))
	card.Set(failure())
	what, why, next := model.ErrorText(failure())
	for _, text := range []model.Text{what, why, next} {
		if s := i18n.Say(text); !uitest.Says(env.Window, s) {
			t.Errorf("it does not say %q:\n%s", s, uitest.Text(env.Window))
		}
	}
	if !uitest.Says(env.Window, "aes256gcm16-prfsha384-ecp384") {
		t.Error("the hint is missing")
	}
	kit.ShowError(env, &api.Error{Code: api.CodeCancelled, What: "It was cancelled."})
	if env.Window.Canvas().Overlays().Top() != nil {
		t.Error("the user's own cancellation is an error")
	}
}

func TestShorten(t *testing.T) {
	uitest.Env(t, uitest.Bare(t))
	style := fyne.TextStyle{}
	long := strings.Repeat("wide ", 400)
	for _, w := range []float32{0, 10, 100, 1e6} {
		got := kit.Shorten(long, w, 14, style)
		if fyne.MeasureText(got, 14, style).Width > w && len([]rune(got)) > 1 {
			t.Errorf("%q is wider than %g", got, w)
		}
	}
}
