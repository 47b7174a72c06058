package connections

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"

	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/uitest"
	"sallyport/core/api"
)

// open builds the page and selects a connection.
func open(name string) func(env *kit.Env) fyne.CanvasObject {
	return func(env *kit.Env) fyne.CanvasObject {
		v := New(env)
		o := uitest.Show(env, v)
		if name != "" {
			v.Select(name)
		}
		return o
	}
}

// shown is the page in a window.
func shown(t *testing.T, b api.Backend, name string, size fyne.Size) (*kit.Env, *View) {
	t.Helper()
	env := uitest.Env(t, b)
	env.Window.Resize(size)
	v := New(env)
	env.Window.SetContent(uitest.Show(env, v))
	env.Window.Resize(size)
	if name != "" {
		v.Select(name)
	}
	uitest.Settle()
	return env, v
}

// small is a little less than what a page has of the smallest window.
var small = fyne.NewSize(640, 480)

// pane is what the page is at its smallest, without the list.
var pane = fyne.NewSize(420, 560)

func TestPagePictures(t *testing.T) {
	uitest.Golden(t, uitest.Calm(t), "page", small, open("berlin"), uitest.Light, uitest.Dark, uitest.Large)
	uitest.Golden(t, uitest.Calm(t), "page", fyne.NewSize(640, 420), open("berlin"), uitest.German)
	uitest.Golden(t, uitest.Bare(t), "empty", small, open(""), uitest.Everything...)
}

func TestStatePictures(t *testing.T) {
	for _, c := range uitest.Connections() {
		b := uitest.Bare(t)
		b.SetConnection(c)
		uitest.Golden(t, b, "state-"+c.Name, pane, open(c.Name))
	}
	c := uitest.Connections()[0]
	c.State, c.Protection = api.Disconnecting, ""
	b := uitest.Bare(t)
	b.SetConnection(c)
	uitest.Golden(t, b, "state-ending", pane, open(c.Name))

	c = uitest.Connections()[0]
	c.Rule = "intranet"
	b = uitest.Bare(t)
	b.SetConnection(c)
	uitest.Golden(t, b, "state-rule", pane, open(c.Name))
}

func TestLongNamesAndManyPictures(t *testing.T) {
	b := uitest.Bare(t)
	c := uitest.Connections()[5]
	c.Name = "zentrale-rechenzentrum-ost-notfallverbindung-mit-einem-sehr-langen-namen"
	c.Gateway = []string{"a-very-long-host-name.of-a-gateway.in-some-department.of-a-company.example.com"}
	c.Warnings = []string{"The gateway is offered 3DES, which is weak.", "ike.mobike: not honoured"}
	b.SetConnection(c)
	uitest.Golden(t, b, "long", small, open(c.Name), uitest.German)
	uitest.Golden(t, uitest.Crowd(t, 500, 0), "crowd", fyne.NewSize(640, 420), open("site-250"))
}

func TestGraphPicture(t *testing.T) {
	uitest.Golden(t, uitest.Bare(t), "graph", fyne.NewSize(420, 190), func(env *kit.Env) fyne.CanvasObject {
		g := newGraph()
		g.show(wave(60, 1), model.Minute)
		return kit.CardBox(g)
	}, uitest.Light, uitest.Dark)
}

// wave is a plausible hour, minute or so.
func wave(n int, size float64) []model.Sample {
	s := make([]model.Sample, n)
	for i := range s {
		x := float64(i) / float64(n)
		s[i] = model.Sample{Time: uitest.Now.Add(time.Duration(i) * time.Second),
			In: size * 1.6e6 * math.Abs(math.Sin(9*x)*math.Cos(23*x)), Out: size * 4e5 * (1 + math.Sin(17*x))}
	}
	return s
}

func TestButtonDoesWhatItSays(t *testing.T) {
	for _, c := range []struct{ name, label, call string }{
		{"home-lab", "Connect", `connect "home-lab" wait=true`},
		{"berlin", "Disconnect", `disconnect "berlin"`},
		{"cloud", "Cancel", `disconnect "cloud"`},
		{"munich", "Try again", `connect "munich" wait=true`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := uitest.Calm(t)
			env, _ := shown(t, b, c.name, uitest.Page)
			uitest.Tap(t, env.Window, c.label)
			uitest.Called(t, b, c.call)
		})
	}
}

func TestPendingIsShown(t *testing.T) {
	b := uitest.Calm(t)
	release := make(chan struct{})
	b.OnConnect = func(ctx context.Context, r api.ConnectRequest) error {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return &api.Error{Code: api.CodeBusy, What: "Another attempt is under way."}
	}
	env, v := shown(t, b, "home-lab", uitest.Page)
	uitest.Press(t, env.Window, "Connect")
	uitest.Until(t, "the button cancels", func() bool { return v.detail.button.Text == "Cancel" })
	if !v.detail.activity.Visible() {
		t.Error("nothing shows that something is under way")
	}
	close(release)
	uitest.Until(t, "the failure is shown", func() bool { return env.Window.Canvas().Overlays().Top() != nil })
	uitest.Key(env.Window, fyne.KeyEscape)
	if env.Window.Canvas().Overlays().Top() != nil {
		t.Error("Escape does not close the failure")
	}
}

func TestLoweringProtectionAsksFirst(t *testing.T) {
	b := uitest.Calm(t)
	env, v := shown(t, b, "berlin", uitest.Page)
	v.detail.choice.TypedKey(&fyne.KeyEvent{Name: fyne.KeyUp})
	v.detail.choice.TypedKey(&fyne.KeyEvent{Name: fyne.KeySpace})
	if env.Window.Canvas().Overlays().Top() == nil {
		t.Fatal("it does not ask")
	}
	uitest.Key(env.Window, fyne.KeyEscape)
	if calls := b.Calls(); slices.ContainsFunc(calls, func(s string) bool { return strings.HasPrefix(s, "profile") }) {
		t.Fatalf("calls %v", calls)
	}
	if got := v.detail.choice.Selected(); got != string(api.Require) {
		t.Errorf("it shows %s", got)
	}
	v.detail.choice.TypedKey(&fyne.KeyEvent{Name: fyne.KeyUp})
	v.detail.choice.TypedKey(&fyne.KeyEvent{Name: fyne.KeySpace})
	uitest.Tap(t, env.Window, "Lower protection")
	uitest.Called(t, b, `profile "berlin" request`)
	uitest.Until(t, "it shows what holds", func() bool { return v.detail.choice.Selected() == string(api.Request) })

	// Raising it, or changing what is not in use, needs no question.
	v.Select("home-lab")
	v.detail.choice.TypedKey(&fyne.KeyEvent{Name: fyne.KeyDown})
	v.detail.choice.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	uitest.Called(t, b, `profile "home-lab" request`)
}

func TestProfileThatIsRefusedIsNotShown(t *testing.T) {
	b := uitest.Calm(t)
	b.OnSetProfile = func(context.Context, string, api.Profile) error {
		return &api.Error{Code: api.CodeNotAllowed, What: "This user may not."}
	}
	env, v := shown(t, b, "home-lab", uitest.Page)
	v.detail.choice.TypedKey(&fyne.KeyEvent{Name: fyne.KeyDown})
	v.detail.choice.TypedKey(&fyne.KeyEvent{Name: fyne.KeySpace})
	uitest.Until(t, "the refusal is shown", func() bool { return env.Window.Canvas().Overlays().Top() != nil })
	if got := v.detail.choice.Selected(); got != string(api.Respond) {
		t.Errorf("it shows %s", got)
	}
}

func TestRemoveAsksFirst(t *testing.T) {
	b := uitest.Calm(t)
	env, v := shown(t, b, "home-lab", uitest.Page)
	menu := actions(env, env.Model.Snapshot().Find("home-lab"))
	var labels []string
	for _, m := range menu {
		labels = append(labels, m.Label)
	}
	if want := "Connect Diagnose  Edit… Export… QR code…  Remove…"; strings.Join(labels, " ") != want {
		t.Errorf("menu %q", labels)
	}
	menu[len(menu)-1].Action()
	uitest.Key(env.Window, fyne.KeyReturn) // the focus is on Cancel
	if env.Window.Canvas().Overlays().Top() != nil {
		t.Fatal("Enter removes")
	}
	menu[len(menu)-1].Action()
	uitest.Tap(t, env.Window, "Remove")
	uitest.Called(t, b, `remove "home-lab"`)
	uitest.Until(t, "what follows is selected", func() bool { return v.selected == "munich" })
}

func TestKeyboardAlone(t *testing.T) {
	b := uitest.Calm(t)
	env, v := shown(t, b, "berlin", uitest.Page)
	var order []string
	for range 12 {
		env.Window.Canvas().FocusNext()
		switch f := env.Window.Canvas().Focused().(type) {
		case *kit.Button:
			order = append(order, f.Text)
		case *kit.Choice:
			order = append(order, "profiles")
		case *rowList:
			order = append(order, "list")
			f.TypedKey(&fyne.KeyEvent{Name: fyne.KeyDown})
			f.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
		}
	}
	got := strings.Join(order, " ")
	for _, want := range []string{"New Import list", "profiles"} {
		if !strings.Contains(got, want) {
			t.Errorf("the focus goes through %q, without %q", got, want)
		}
	}
	if v.selected == "berlin" {
		t.Error("the arrow keys and Enter select nothing")
	}
}

func TestSearch(t *testing.T) {
	env, v := shown(t, uitest.Crowd(t, 500, 0), "", uitest.Page)
	uitest.Type(t, env.Window, "Search", "site-12")
	if len(v.list.shown) != 10 {
		t.Errorf("%d found", len(v.list.shown))
	}
	uitest.Key(env.Window, fyne.KeyEscape)
	if len(v.list.shown) != 500 {
		t.Errorf("Escape leaves %d", len(v.list.shown))
	}
	uitest.Type(t, env.Window, "Search", "nowhere")
	if !uitest.Says(env.Window, "No connection matches.") {
		t.Error("it does not say that nothing is found")
	}
	v.Select("site-007")
	if v.selected != "site-007" || v.list.filter.Text != "" {
		t.Errorf("selected %q with search %q", v.selected, v.list.filter.Text)
	}
}

func TestShortListHasNoSearchField(t *testing.T) {
	few, _ := shown(t, uitest.Calm(t), "", uitest.Page)
	for _, o := range uitest.On(few.Window) {
		if _, ok := o.(*kit.Filter); ok {
			t.Error("it has one")
		}
	}
}

func TestNarrowWindowShowsOnePane(t *testing.T) {
	env, v := shown(t, uitest.Calm(t), "", fyne.NewSize(420, 520))
	if !v.list.root.Visible() || v.right.Visible() {
		t.Fatal("it does not begin with the list")
	}
	v.Select("cloud")
	if v.list.root.Visible() || !v.right.Visible() {
		t.Fatal("the connection is not in front")
	}
	uitest.Tap(t, env.Window, "All connections")
	if !v.list.root.Visible() || v.right.Visible() {
		t.Error("there is no way back")
	}
	if env.Window.Canvas().Focused() != v.list.rows {
		t.Error("the focus is lost")
	}
}

func TestDurationTicks(t *testing.T) {
	env, v := shown(t, uitest.Calm(t), "berlin", uitest.Page)
	if !uitest.Says(env.Window, "Connected for 2 h 14 min") {
		t.Fatalf("it says:\n%s", uitest.Text(env.Window))
	}
	env.Now = func() time.Time { return uitest.Now.Add(25*time.Hour + time.Second) }
	v.detail.tick()
	if !uitest.Says(env.Window, "Connected for 1 day 3 h") {
		t.Errorf("it says:\n%s", uitest.Text(env.Window))
	}
	if v.detail.stop == nil {
		t.Error("the clock stands still")
	}
	v.Shown(false)
	if v.detail.stop != nil {
		t.Error("the clock goes on although nobody looks")
	}
}

func TestSectionsWithoutContentAreHidden(t *testing.T) {
	env, v := shown(t, uitest.Calm(t), "home-lab", uitest.Page)
	if v.detail.traffic.root.Visible() || v.detail.problem.Visible() || v.detail.rule.Visible() || v.detail.asks.Visible() {
		t.Errorf("it shows what there is not:\n%s", uitest.Text(env.Window))
	}
	v.Select("printers")
	if v.detail.act.Visible() {
		t.Error("a responder has a button")
	}
	v.Select("paris-partner")
	if !v.detail.asks.Visible() || v.detail.problem.Visible() {
		t.Error("the question is not what is shown")
	}
}

func TestNice(t *testing.T) {
	for _, c := range []struct{ peak, top float64 }{{0, 1000}, {999, 1000}, {1001, 2000}, {2e6, 2e6}, {2.1e6, 5e6}, {7e8, 1e9}, {math.NaN(), 1000}, {math.Inf(1), 1000}} {
		if got := nice(c.peak); math.Abs(got-c.top) > c.top/1e9 {
			t.Errorf("nice(%g) = %g, want %g", c.peak, got, c.top)
		}
	}
}

func TestGraphAtRestIsNotDrawn(t *testing.T) {
	env := uitest.Env(t, uitest.Bare(t))
	g := newGraph()
	env.Window.SetContent(g)
	g.show(wave(60, 1), model.Minute)
	same := wave(60, 1)
	if n := testing.AllocsPerRun(100, func() { g.show(same, model.Minute) }); n != 0 {
		t.Errorf("%g allocations for samples that are shown already", n)
	}
}

// An update every second, with counters that move, must not be felt with 500
// connections.
func TestUpdateIsCheap(t *testing.T) {
	env := uitest.Env(t, uitest.Crowd(t, 500, 0))
	v := New(env)
	s := env.Model.Snapshot()
	v.Update(s)
	v.Shown(true)
	other := *s
	other.Connections = slices.Clone(s.Connections)
	for i := range other.Connections {
		other.Connections[i].Counters.InBytes += 1000
	}
	i := 0
	got := testing.AllocsPerRun(50, func() {
		if i++; i%2 == 0 {
			v.Update(s)
		} else {
			v.Update(&other)
		}
	})
	if got > 400 {
		t.Errorf("%g allocations for an update of counters", got)
	}
}

func BenchmarkUpdate500(b *testing.B) {
	env := uitest.Env(b, uitest.Crowd(b, 500, 0))
	v := New(env)
	s := env.Model.Snapshot()
	v.Update(s)
	other := *s
	other.Connections = slices.Clone(s.Connections)
	for i := range other.Connections {
		other.Connections[i].Counters.InBytes += 1000
	}
	b.ReportAllocs()
	for b.Loop() {
		v.Update(&other)
		v.Update(s)
	}
}

// BenchmarkGraphSecond is what one second of a live graph costs.
func BenchmarkGraphSecond(b *testing.B) {
	env := uitest.Env(b, uitest.Bare(b))
	g := newGraph()
	env.Window.SetContent(g)
	env.Window.Resize(fyne.NewSize(700, 170))
	x, y := wave(60, 1), wave(60, 1.1)
	b.ReportAllocs()
	for b.Loop() {
		g.show(x, model.Minute)
		g.draw(690, 140)
		x, y = y, x
	}
}

func BenchmarkGraphIdle(b *testing.B) {
	uitest.Env(b, uitest.Bare(b))
	g := newGraph()
	x := wave(60, 1)
	y := wave(60, 1)
	g.show(x, model.Minute)
	b.ReportAllocs()
	for b.Loop() {
		g.show(y, model.Minute)
	}
}

func TestQuestionAnsweredElsewhereCloses(t *testing.T) {
	b := uitest.Calm(t)
	env, _ := shown(t, b, "paris-partner", uitest.Page)
	uitest.Tap(t, env.Window, "Decide…")
	if env.Window.Canvas().Overlays().Top() == nil {
		t.Fatal("it is not asked")
	}
	if err := b.AllowClear(t.Context(), "paris-partner", time.Minute); err != nil {
		t.Fatal(err)
	}
	uitest.Until(t, "the dialog closes", func() bool { return env.Window.Canvas().Overlays().Top() == nil })
}
