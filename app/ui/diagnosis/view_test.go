package diagnosis

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fyne.io/fyne/v2"

	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/uitest"
	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

func TestMain(m *testing.M) {
	i18n.SetNow(func() time.Time { return uitest.Now })
	m.Run()
}

// open shows the page on a tab.
func open(env *kit.Env, tab string) (*View, fyne.CanvasObject) {
	v := New(env)
	o := uitest.Show(env, v)
	v.tabs.Select(tab)
	uitest.Settle()
	return v, o
}

func onTab(tab string, then ...func(*View)) func(*kit.Env) fyne.CanvasObject {
	return func(env *kit.Env) fyne.CanvasObject {
		v, o := open(env, tab)
		env.Window.SetContent(o)
		for _, f := range then {
			f(v)
			uitest.Settle()
		}
		return o
	}
}

func TestPictures(t *testing.T) {
	low := fyne.NewSize(uitest.Page.Width, 350) // fewer lines, for smaller pictures
	w := func() *ipctest.Backend { return uitest.Calm(t) }
	uitest.Golden(t, w(), "explain", uitest.Page, onTab(tabExplain), uitest.Everything...)
	uitest.Golden(t, w(), "log", low, onTab(tabLog), uitest.Light, uitest.Dark, uitest.German)
	uitest.Golden(t, w(), "log", uitest.Page, onTab(tabLog), uitest.Large)
	uitest.Golden(t, w(), "log-line", fyne.NewSize(uitest.Page.Width, 420), onTab(tabLog, func(v *View) { v.log.list.Select(195) }), uitest.Light, uitest.German)
	uitest.Golden(t, w(), "log-search", uitest.Page, onTab(tabLog, func(v *View) { v.log.search.SetText("IKE") }), uitest.Light, uitest.Dark)
	uitest.Golden(t, w(), "log-no-match", uitest.Page, onTab(tabLog, func(v *View) { v.log.search.SetText("zebra") }))
	uitest.Golden(t, w(), "log-small", fyne.NewSize(uitest.SmallUI.Width, 350), onTab(tabLog), uitest.French)
	uitest.Golden(t, w(), "messages", fyne.NewSize(uitest.Page.Width, 420), onTab(tabMessages, func(v *View) { v.messages.list.Select(2) }), uitest.Light, uitest.Dark, uitest.German)
	uitest.Golden(t, w(), "messages", uitest.Page, onTab(tabMessages, func(v *View) { v.messages.list.Select(2) }), uitest.Large)
	uitest.Golden(t, w(), "messages-problems", uitest.Page, onTab(tabMessages, func(v *View) { v.messages.problems.SetChecked(true) }))
	uitest.Golden(t, w(), "messages-small", uitest.SmallUI, onTab(tabMessages, func(v *View) { v.messages.list.Select(4) }), uitest.Spanish)
	uitest.Golden(t, w(), "bundle", uitest.Page, onTab(tabBundle), uitest.Light, uitest.German, uitest.Large, uitest.Chinese)
	uitest.Golden(t, w(), "bundle-preview", uitest.Page, onTab(tabBundle, func(v *View) { v.bundle.build() }, func(v *View) { v.bundle.files.Select(2) }), uitest.Light)
	uitest.Golden(t, w(), "bundle-plain", uitest.Page, onTab(tabBundle, func(v *View) { v.bundle.redact.SetChecked(false) }))

	empty := uitest.Bare(t)
	for _, tab := range []string{tabExplain, tabLog, tabMessages} {
		uitest.Golden(t, empty, "empty-"+tab, uitest.Page, onTab(tab))
	}
	long := uitest.Calm(t)
	long.Write(api.LogEntry{Time: uitest.Now.Add(-48 * time.Hour), Level: api.LogError, Topic: "ike", Connection: strings.Repeat("long-name-", 8),
		Text: "no path to [2001:db8:1234:5678:9abc:def0:1234:5678]:4500 \x1b[31m" + strings.Repeat("and so on ", 40)})
	uitest.Golden(t, long, "log-long", fyne.NewSize(uitest.Page.Width, 420), onTab(tabLog, func(v *View) { v.log.list.Select(len(v.log.ix.rows) - 1) }))
}

func TestLogFilters(t *testing.T) {
	env := uitest.Env(t, uitest.Calm(t))
	v, o := open(env, tabLog)
	env.Window.SetContent(o)
	all := len(v.log.ix.rows)
	for _, tt := range []struct {
		name string
		set  func()
		want int
	}{
		{"all", func() {}, all},
		{"errors", func() { v.log.level.SetSelectedIndex(3) }, all / 5},
		{"errors of ike", func() { v.log.topic.SetSelected("ike") }, all / 5},
		{"errors of office", func() { v.log.connection.SetSelected("office") }, all / 10},
		{"with a text, in other letters", func() { v.log.search.SetText("NO ANSWER") }, all / 10},
		{"with another", func() { v.log.search.SetText("AUTH") }, 0},
	} {
		tt.set()
		uitest.Settle()
		if got := len(v.log.ix.rows); got != tt.want {
			t.Errorf("%s: %d lines, want %d", tt.name, got, tt.want)
		}
	}
	uitest.Tap(t, env.Window, i18n.T("diagnosis.show_all"))
	if got := len(v.log.ix.rows); got != all {
		t.Errorf("after \"show all\": %d lines of %d", got, all)
	}
}

func TestLogSearchGoesFromHitToHit(t *testing.T) {
	env := uitest.Env(t, uitest.Calm(t))
	v, o := open(env, tabLog)
	env.Window.SetContent(o)
	v.log.only.SetChecked(false)
	uitest.Type(t, env.Window, i18n.T("diagnosis.search"), "munich")
	uitest.Settle()
	if len(v.log.ix.rows) != 200 || len(v.log.ix.hits) != 20 || !uitest.Says(env.Window, "20 matches") {
		t.Fatalf("%d lines, %d hits; %q", len(v.log.ix.rows), len(v.log.ix.hits), v.log.count.Text)
	}
	var seen []uint64
	for range 21 {
		uitest.Key(env.Window, fyne.KeyReturn)
		seen = append(seen, v.log.selected)
	}
	if seen[0] != 8 || seen[1] != 18 || seen[20] != seen[0] {
		t.Errorf("went to %v", seen)
	}
	v.log.find(false)
	if v.log.selected != seen[19] {
		t.Errorf("back to %d, want %d", v.log.selected, seen[19])
	}
}

func TestLogFollowsTheEnd(t *testing.T) {
	b := uitest.Calm(t)
	env := uitest.Env(t, b)
	v, o := open(env, tabLog)
	env.Window.SetContent(o)
	env.Window.Resize(uitest.Page)
	v.log.end()
	write := func(text string) {
		n := env.Model.Log().Len()
		b.Write(api.LogEntry{Level: api.LogInfo, Topic: "net", Text: text})
		uitest.Until(t, "the line in the model", func() bool { return env.Model.Log().Len() > n })
		uitest.Until(t, "the line on the page", func() bool { return len(v.log.ix.rows) == env.Model.Log().Len() })
	}
	before := v.log.list.GetScrollOffset()
	write("one more")
	after := v.log.list.GetScrollOffset()
	if after <= before || !uitest.Says(env.Window, "one more") {
		t.Errorf("the newest line is not in sight: %v, before %v", after, before)
	}
	v.log.list.ScrollToTop()
	write("and another")
	if v.log.list.GetScrollOffset() != 0 || v.log.tail.Checked {
		t.Errorf("it follows although the user scrolled away: %v", v.log.list.GetScrollOffset())
	}
}

func TestLogKeyboardAndCopy(t *testing.T) {
	env := uitest.Env(t, uitest.Calm(t))
	v, o := open(env, tabLog)
	env.Window.SetContent(o)
	env.Window.Resize(uitest.Page)
	env.Window.Canvas().Focus(v.log.list)
	uitest.Key(env.Window, fyne.KeyHome)
	uitest.Key(env.Window, fyne.KeyDown)
	if v.log.selected != 1 || !v.log.detail.panel.Visible() {
		t.Fatalf("selected %d", v.log.selected)
	}
	v.log.list.TypedShortcut(&fyne.ShortcutCopy{})
	want := uitest.Now.Add(-199*7*time.Second).Format("2006-01-02 15:04:05.000 -07:00") +
		"  debug  ike  berlin: INFORMATIONAL request 14: liveness check answered after 23 ms"
	if got := fyne.CurrentApp().Clipboard().Content(); got != want {
		t.Errorf("copied %q, want %q", got, want)
	}
	uitest.Key(env.Window, fyne.KeyEscape)
	if v.log.detail.panel.Visible() {
		t.Error("Escape leaves the details open")
	}
	v.log.search.SetText("munich")
	uitest.Settle()
	uitest.Tap(t, env.Window, i18n.T("diagnosis.copy_lines"))
	if got := strings.Count(fyne.CurrentApp().Clipboard().Content(), "\n"); got != 20 {
		t.Errorf("copied %d lines, want 20", got)
	}
}

func TestMessages(t *testing.T) {
	b := uitest.Calm(t)
	env := uitest.Env(t, b)
	v, o := open(env, tabMessages)
	env.Window.SetContent(o)
	env.Window.Resize(uitest.Window)
	if len(v.messages.rows) != 8 {
		t.Fatalf("%d messages", len(v.messages.rows))
	}
	v.messages.list.Select(2)
	for _, want := range []string{"IKE_AUTH request 1", "2 fragments", "alice@example.com", "192.168.178.23:4500 → 198.51.100.1:4500"} {
		if !uitest.Says(env.Window, want) {
			t.Errorf("the details do not say %q", want)
		}
	}
	v.messages.problems.SetChecked(true)
	if len(v.messages.rows) != 3 || v.messages.panel.Visible() {
		t.Errorf("%d messages are odd; want two repetitions and a refusal", len(v.messages.rows))
	}
	if !uitest.Says(env.Window, "Sent again (2)") || !uitest.Says(env.Window, "AUTHENTICATION_FAILED") {
		t.Errorf("the remarks are missing:\n%s", uitest.Text(env.Window))
	}
	v.messages.problems.SetChecked(false)
	v.messages.selectConnection("munich")
	uitest.Settle()
	uitest.Tap(t, env.Window, i18n.T("diagnosis.copy_text"))
	want := "2026-11-20T14:25:00.000Z <- IKE_AUTH response 1, 84 bytes\n" +
		"   192.168.178.23:4500 / 192.0.2.15:4500, SPIs 2b7e151628aed2a6 abf7158809cf4f3c, munich\n   N(AUTHENTICATION_FAILED) (8 bytes)\n"
	if got := fyne.CurrentApp().Clipboard().Content(); got != want {
		t.Errorf("copied\n%s\nwant\n%s", got, want)
	}
}

func TestExplain(t *testing.T) {
	b := uitest.Calm(t)
	b.SetConnection(api.Connection{Name: "hinted", Role: "initiator", State: api.Disconnected, Profile: api.Request, Since: uitest.Now,
		Problem: &api.Error{Code: api.CodeNoProposal, What: "Could not connect to \"hinted\".", Why: "Nothing in common.", Next: "Ask.",
			Params: map[string]string{"connection": "hinted", "server_hint": "Which do you accept?"}}})
	env := uitest.Env(t, b)
	var went string
	env.Go = func(p kit.Page, arg string) { went = string(p) + " " + arg }
	v, o := open(env, tabLog)
	env.Window.SetContent(o)
	env.Window.Resize(uitest.Page)
	v.Select("munich")
	if v.tabs.Selected() != tabExplain || v.explain.shown[0] != "munich" {
		t.Fatalf("on %s, %v", v.tabs.Selected(), v.explain.shown)
	}
	v.Select("hinted")
	if !uitest.Says(env.Window, "Which do you accept?") {
		t.Error("the hint for the gateway's administrator is missing")
	}
	uitest.Tap(t, env.Window, i18n.T("diagnosis.copy_support"))
	text := fyne.CurrentApp().Clipboard().Content()
	for _, want := range []string{"connection: hinted (disconnected, request)", "error: no_proposal", "Nothing in common.", "administrator of the gateway:\nWhich do you accept?"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text for support lacks %q:\n%s", want, text)
		}
	}
	uitest.Tap(t, env.Window, i18n.T("diagnosis.to_connection"))
	if went != "connections hinted" {
		t.Errorf("went to %q", went)
	}
	uitest.Tap(t, env.Window, i18n.T("diagnosis.to_log"))
	if v.tabs.Selected() != tabLog || v.log.connection.Selected != "hinted" {
		t.Errorf("on %s of %s", v.tabs.Selected(), v.log.connection.Selected)
	}
	v.Select("berlin")
	if !uitest.Says(env.Window, "“berlin” has no problem at this moment.") {
		t.Error("nothing says that berlin has no problem")
	}
}

func TestBundle(t *testing.T) {
	env := uitest.Env(t, uitest.Calm(t))
	v, o := open(env, tabBundle)
	env.Window.SetContent(o)
	env.Window.Resize(uitest.Page)
	if v.bundle.save.Visible() {
		t.Error("there is nothing to save yet")
	}
	uitest.Tap(t, env.Window, i18n.T("diagnosis.bundle_make"))
	if len(v.bundle.list) < 5 || !v.bundle.save.Visible() {
		t.Fatalf("%d files", len(v.bundle.list))
	}
	if bytes.Contains(unpack(t, v.bundle.data), []byte("198.51.100.1")) {
		t.Error("an address is in a redacted bundle")
	}
	for i, f := range v.bundle.list {
		if f.Name == "status.json" {
			v.bundle.files.Select(i)
		}
	}
	if !strings.Contains(strings.Join(v.bundle.text, "\n"), `"connections"`) {
		t.Errorf("the preview of status.json is %q", v.bundle.text)
	}
	v.bundle.redact.SetChecked(false)
	uitest.Settle()
	if !v.bundle.warn.Visible() || !bytes.Contains(unpack(t, v.bundle.data), []byte("198.51.100.1")) {
		t.Error("the plain bundle is not made, or made without a warning")
	}

	path := filepath.Join(t.TempDir(), "bundle.zip")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	v.bundle.saveTo(path)
	uitest.Settle()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, v.bundle.data) {
		t.Errorf("saved %d bytes, %v; previewed %d", len(got), err, len(v.bundle.data))
	}
	if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", i.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".sallyport*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	v.bundle.saveTo(filepath.Join(t.TempDir(), "nowhere", "bundle.zip"))
	uitest.Settle()
	if !uitest.Says(env.Window, i18n.T("kit.error.title")) {
		t.Error("nothing says that it could not be saved")
	}
}

func unpack(t *testing.T, data []byte) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&out, r); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	return out.Bytes()
}

// asked counts what a view asks of the service.
type asked struct {
	*ipctest.Backend
	n atomic.Int64
}

func (a *asked) Exchanges(ctx context.Context, name string, limit int) ([]api.Message, error) {
	a.n.Add(1)
	return a.Backend.Exchanges(ctx, name, limit)
}

func TestHiddenAsksNothing(t *testing.T) {
	b := &asked{Backend: uitest.Calm(t)}
	env := uitest.Env(t, b)
	v, _ := open(env, tabLog)
	if n := b.n.Load(); n != 0 {
		t.Fatalf("the log asked for messages %d times", n)
	}
	v.tabs.Select(tabMessages)
	uitest.Until(t, "a second question", func() bool { return b.n.Load() >= 2 })
	v.Shown(false)
	uitest.Settle()
	before := b.n.Load()
	time.Sleep(messageEvery + messageEvery/4)
	uitest.Settle()
	if n := b.n.Load(); n != before || v.stop != nil {
		t.Errorf("a hidden page asked %d times", n-before)
	}
}

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		needle, text string
		start, end   int
	}{
		{"ike", "the IKE SA", 4, 7},
		{"ÄRGER", "viel Ärger", 5, 11},
		{"k", "\u212A", 0, 3}, // the sign for kelvin is a k in lower case
		{"", "anything", 0, -1},
		{"xx", "x", 0, -1},
		{"网关", "到网关的路", 3, 9},
		{"a", "\xff\xfea", 2, 3},
	} {
		if start, end := newNeedle(tt.needle).find(tt.text, 0); start != tt.start || end != tt.end {
			t.Errorf("%q in %q: %d to %d, want %d to %d", tt.needle, tt.text, start, end, tt.start, tt.end)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add("ike", "the IKE SA")
	f.Add("ä", "Ä")
	f.Add("\xff", "\xff\xfe")
	f.Fuzz(func(t *testing.T, needle, text string) {
		n := newNeedle(needle)
		for from := 0; from <= len(text); {
			start, end := n.find(text, from)
			if end < 0 {
				return
			}
			if start < from || end <= start || end > len(text) {
				t.Fatalf("%q in %q from %d: %d to %d", needle, text, from, start, end)
			}
			from = end
		}
	})
}

// TestIndexGrows holds an index that grew against one that was made at once.
func TestIndexGrows(t *testing.T) {
	b := uitest.Bare(t)
	env := uitest.Env(t, b)
	c := criteria{level: 1, needle: "ike", only: false}
	var ix *index
	for i, e := range uitest.Log(300) {
		b.Write(e)
		if i%37 == 0 || i == 299 {
			uitest.Until(t, "the log", func() bool { return env.Model.Log().Len() >= i })
			ix = ix.next(env.Model.Log(), c)
		}
	}
	uitest.Until(t, "the whole log", func() bool { return env.Model.Log().Len() >= 300 })
	ix = ix.next(env.Model.Log(), c)
	whole := (*index)(nil).next(env.Model.Log(), c)
	if fmt.Sprint(ix.rows) != fmt.Sprint(whole.rows) || fmt.Sprint(ix.hits) != fmt.Sprint(whole.hits) || len(whole.hits) == 0 {
		t.Errorf("grown:\n%v %v\nat once:\n%v %v", ix.rows, ix.hits, whole.rows, whole.hits)
	}
}
