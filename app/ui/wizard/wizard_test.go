package wizard

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"sallyport/app/draft"
	"sallyport/app/i18n"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/uitest"
	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

// picks chooses one path after the other.
type picks struct{ paths []string }

func (p *picks) file(then func(string)) {
	if len(p.paths) > 0 {
		path := p.paths[0]
		p.paths = p.paths[1:]
		then(path)
	}
}

func (p *picks) folder(then func(string)) { p.file(then) }

// tabTo moves the focus with the Tab key until is holds of what has it.
func tabTo(t *testing.T, w fyne.Window, what string, is func(fyne.Focusable) bool) {
	t.Helper()
	for range 40 {
		if f := w.Canvas().Focused(); f != nil && is(f) {
			return
		}
		w.Canvas().FocusNext()
	}
	t.Fatalf("Tab never comes to %s", what)
}

func button(text string) func(fyne.Focusable) bool {
	return func(f fyne.Focusable) bool { b, ok := f.(*kit.Button); return ok && b.Text == text }
}

func heading(t *testing.T, w fyne.Window, key string) {
	t.Helper()
	if !uitest.Says(w, key) {
		t.Fatalf("the window does not say %q but\n%s", key, uitest.Text(w))
	}
}

// TestByKeyboard makes a connection with a pre-shared key without a pointer.
func TestByKeyboard(t *testing.T) {
	b := &ipctest.Backend{}
	var stored api.ImportRequest
	b.OnImport = func(_ context.Context, r api.ImportRequest) (api.ImportResult, error) {
		stored = r
		stored.Password = slices.Clone(r.Password)
		b.SetConnection(api.Connection{Name: "example", State: api.Disconnected})
		return api.ImportResult{Imported: []api.ImportedConnection{{Name: "example"}}}, nil
	}
	var went string
	env := uitest.Env(t, b)
	env.Go = func(p kit.Page, arg string) { went = string(p) + " " + arg }
	w := env.Window
	f := start(env, draft.New(), noPicker{})

	uitest.Key(w, fyne.KeyReturn) // nothing entered: told beside the field
	heading(t, w, i18n.T("wizard.missing.gateway"))
	test.Type(w.Canvas().Focused(), "vpn.example.com")
	uitest.Key(w, fyne.KeyReturn)
	heading(t, w, i18n.T("wizard.proof.heading"))

	for range 3 {
		uitest.Key(w, fyne.KeyRight)
	}
	uitest.Key(w, fyne.KeySpace) // take the pre-shared key
	tabTo(t, w, "the key", func(o fyne.Focusable) bool { e, ok := o.(*kit.Entry); return ok && e.Password })
	test.Type(w.Canvas().Focused(), "Sommer2025!")
	uitest.Key(w, fyne.KeyReturn)
	heading(t, w, i18n.T("wizard.secret.weak"))
	tabTo(t, w, "the reason", func(o fyne.Focusable) bool {
		return o == f.pages[1].(*proofPage).weak.Check
	})
	w.Canvas().Focused().TypedRune(' ')
	uitest.Key(w, fyne.KeyReturn)
	heading(t, w, i18n.T("wizard.names.heading"))

	uitest.Key(w, fyne.KeyReturn) // opens the identities
	tabTo(t, w, "the own identity", func(o fyne.Focusable) bool {
		e, ok := o.(*kit.Entry)
		return ok && e.PlaceHolder == "alice@example.com"
	})
	test.Type(w.Canvas().Focused(), "alice@example.com")
	uitest.Key(w, fyne.KeyReturn)
	heading(t, w, i18n.T("wizard.traffic.heading"))
	uitest.Key(w, fyne.KeyReturn)
	heading(t, w, i18n.T("wizard.profile.heading"))
	uitest.Key(w, fyne.KeyDown)
	uitest.Key(w, fyne.KeyDown)
	uitest.Key(w, fyne.KeySpace) // Secure Server
	uitest.Key(w, fyne.KeyReturn)
	heading(t, w, i18n.T("wizard.summary.heading"))
	if f.draft.Name != "example" {
		t.Errorf("the name is %q", f.draft.Name)
	}
	tabTo(t, w, "the test", button(i18n.T("wizard.test")))
	uitest.Key(w, fyne.KeyReturn)
	heading(t, w, i18n.T("wizard.test.good"))
	tabTo(t, w, "save and connect", button(i18n.T("wizard.saveConnect")))
	uitest.Key(w, fyne.KeyReturn)
	uitest.Called(t, b, `connect "example"`)
	uitest.Settle()
	if w.Canvas().Overlays().Top() != nil || went != "connections example" {
		t.Errorf("it went to %q", went)
	}
	d, err := draft.Parse(stored.Files[0].Data)
	if err != nil || d.Profile != api.Require || d.LocalID != "alice@example.com" || d.Gateways[0] != "vpn.example.com" || string(stored.Password) != "Sommer2025!" || stored.Replace || stored.DryRun {
		t.Errorf("stored %+v, %v", d, err)
	}
	if strings.Contains(string(stored.Files[0].Data), "Sommer") {
		t.Error("the key is in the profile")
	}
}

// TestFiles makes a connection with certificates from files, one of which is wrong at first.
func TestFiles(t *testing.T) {
	b := &ipctest.Backend{}
	var got api.ImportRequest
	b.OnTest = func(_ context.Context, r api.ImportRequest) (api.TestResult, error) {
		got = r
		return api.TestResult{}, nil
	}
	env := uitest.Env(t, b)
	w := env.Window
	pki := filepath.Join("testdata", "pki")
	at := func(n string) string { return filepath.Join(pki, n) }
	pick := &picks{paths: []string{at("alice.key"), at("alice.crt"), at("gone"), at("alice.key"), at("ca.pem")}}
	f := start(env, draft.New(), pick)
	uitest.Type(t, w, "vpn.example.com", "vpn.example.com")
	uitest.Tap(t, w, i18n.T("wizard.next"))
	uitest.Tap(t, w, i18n.T("wizard.certificate.choose")) // the key by mistake
	uitest.Tap(t, w, i18n.T("wizard.next"))
	heading(t, w, i18n.T("wizard.fault.noCertificate"))
	uitest.Tap(t, w, i18n.T("wizard.certificate.choose"))
	heading(t, w, "Alice Example")
	uitest.Tap(t, w, i18n.T("wizard.key.choose")) // a file that is not there
	heading(t, w, "gone")
	uitest.Tap(t, w, i18n.T("wizard.key.choose"))
	uitest.Tap(t, w, i18n.T("wizard.next"))
	heading(t, w, i18n.T("wizard.trust.heading"))
	uitest.Tap(t, w, i18n.T("wizard.next"))
	heading(t, w, i18n.T("wizard.missing.authority"))
	uitest.Tap(t, w, i18n.T("wizard.trust.choose"))
	heading(t, w, "Example Company CA")
	for range 3 {
		uitest.Tap(t, w, i18n.T("wizard.next"))
	}
	heading(t, w, i18n.T("wizard.summary.heading"))
	uitest.Tap(t, w, i18n.T("wizard.test"))
	var names []string
	for _, x := range got.Files {
		names = append(names, x.Path)
	}
	if want := []string{"example.toml", "alice.crt", "alice.key", "ca.pem"}; !slices.Equal(names, want) {
		t.Errorf("the service got %q, want %q", names, want)
	}
	if f.draft.GatewayID() != "vpn.example.com" {
		t.Errorf("the gateway is to be %q", f.draft.GatewayID())
	}
}

func TestNothingIsLost(t *testing.T) {
	b := &ipctest.Backend{}
	b.SetConnection(api.Connection{Name: "Example", State: api.Disconnected})
	refuse := true
	b.OnImport = func(context.Context, api.ImportRequest) (api.ImportResult, error) {
		if refuse {
			return api.ImportResult{}, &api.Error{Code: api.CodeProfileInvalid, What: "No.", Why: "the identity is malformed", Position: &api.Position{Field: "local.id"}}
		}
		return api.ImportResult{Imported: []api.ImportedConnection{{Name: "other"}}}, nil
	}
	env := uitest.Env(t, b)
	w := env.Window
	f := start(env, drafted(), noPicker{})
	f.named = true
	f.show(5)
	uitest.Tap(t, w, i18n.T("wizard.save"))
	heading(t, w, i18n.T("wizard.fault.taken")) // "example" and "Example" are one file on some systems
	w.Canvas().Focus(f.pages[5].(*summaryPage).name)
	f.pages[5].(*summaryPage).name.SetText("other")
	uitest.Tap(t, w, i18n.T("wizard.save"))
	heading(t, w, i18n.T("wizard.goto", "Title", i18n.T("wizard.trust.title")))
	uitest.Tap(t, w, i18n.T("wizard.goto", "Title", i18n.T("wizard.trust.title")))
	heading(t, w, "the identity is malformed")
	if f.draft.Name != "other" || f.draft.Secret != "opensesame" || f.draft.Certificate == nil {
		t.Errorf("something is lost: %+v", f.draft)
	}
	// Escape asks, and its own Escape stays.
	uitest.Key(w, fyne.KeyEscape)
	heading(t, w, i18n.T("wizard.leave.title"))
	uitest.Key(w, fyne.KeyEscape)
	heading(t, w, i18n.T("wizard.trust.heading"))
	refuse = false
	f.show(5)
	uitest.Tap(t, w, i18n.T("wizard.save"))
	if w.Canvas().Overlays().Top() != nil {
		t.Errorf("it is still open:\n%s", uitest.Text(w))
	}

	// Without changes nothing is asked.
	start(env, draft.New(), noPicker{})
	uitest.Key(w, fyne.KeyEscape)
	if w.Canvas().Overlays().Top() != nil {
		t.Error("Escape does not close an empty wizard")
	}
	New(env)
	New(env) // one is enough
	if n := len(w.Canvas().Overlays().List()); n != 1 {
		t.Errorf("%d wizards are open", n)
	}
	uitest.Key(w, fyne.KeyEscape)
	f = start(env, draft.New(), noPicker{})
	f.draft.Gateways[0] = "x"
	uitest.Key(w, fyne.KeyEscape)
	uitest.Tap(t, w, i18n.T("wizard.leave.yes"))
	if w.Canvas().Overlays().Top() != nil {
		t.Error("it cannot be discarded")
	}
}

func TestEdit(t *testing.T) {
	b := &ipctest.Backend{}
	b.SetConnection(api.Connection{Name: "office", State: api.Disconnected})
	b.SetConnection(api.Connection{Name: "pool", State: api.Listening, Role: "responder"})
	b.OnExport = func(_ context.Context, name string) (api.Export, error) {
		text := profileText(2) + "[ike]\nunique = true\n"
		if name == "pool" {
			text = strings.Replace(text, "name =", "role = \"responder\"\nname =", 1)
		}
		return api.Export{Name: name + ".toml", Text: []byte(text)}, nil
	}
	var got api.ImportRequest
	b.OnImport = func(_ context.Context, r api.ImportRequest) (api.ImportResult, error) {
		got = r
		return api.ImportResult{Imported: []api.ImportedConnection{{Name: "office"}}}, nil
	}
	env := uitest.Env(t, b)
	w := env.Window
	edit(env, "office", noPicker{})
	uitest.Settle()
	heading(t, w, i18n.T("wizard.edit.title", "Name", "office"))
	uitest.Tap(t, w, i18n.T("wizard.proof.title")) // the rail leads everywhere
	heading(t, w, i18n.T("wizard.proof.heading"))
	uitest.Tap(t, w, i18n.T("wizard.summary.title"))
	uitest.Tap(t, w, i18n.T("wizard.save"))
	if !got.Replace || len(got.Password) > 0 || !strings.Contains(string(got.Files[0].Data), "unique = true") {
		t.Errorf("the service got %+v\n%s", got, got.Files[0].Data)
	}

	edit(env, "pool", noPicker{})
	uitest.Settle()
	heading(t, w, i18n.T("wizard.edit.responder"))
	uitest.Key(w, fyne.KeyEscape)
	Edit(env, "gone")
	uitest.Settle()
	if w.Canvas().Overlays().Top() == nil {
		t.Error("nothing says why it cannot be edited")
	}
}

func TestTestCanBeStopped(t *testing.T) {
	b := &ipctest.Backend{}
	begun := make(chan struct{})
	b.OnTest = func(ctx context.Context, _ api.ImportRequest) (api.TestResult, error) {
		close(begun)
		<-ctx.Done()
		return api.TestResult{}, ctx.Err()
	}
	env := uitest.Env(t, b)
	f := start(env, drafted(), noPicker{})
	f.named = true
	f.show(5)
	uitest.Press(t, env.Window, i18n.T("wizard.test"))
	<-begun
	if !f.busy || !f.connect.Disabled() {
		t.Error("it can be saved during the test")
	}
	f.leave()
	uitest.Until(t, "end of the test", func() bool { return !f.busy })
	if env.Window.Canvas().Overlays().Top() == nil {
		t.Error("the wizard is closed too")
	}
}

func TestImport(t *testing.T) {
	dir := folder(t)
	b := previewed()
	var went []string
	env := uitest.Env(t, b)
	env.Go = func(_ kit.Page, arg string) { went = append(went, arg) }
	w := env.Window
	pick := &picks{paths: []string{dir + "/locked.toml"}}
	im := importFiles(env, nil, pick) // asks at once
	uitest.Settle()
	heading(t, w, i18n.T("wizard.import.secret.text"))
	im.sources[0].password.SetText("wrong")
	uitest.Tap(t, w, i18n.T("wizard.import.secret.open"))
	heading(t, w, i18n.T("wizard.import.secret.wrong"))
	im.sources[0].password.SetText("opensesame")
	uitest.Tap(t, w, i18n.T("wizard.import.secret.open"))
	heading(t, w, i18n.T("wizard.plan.weak"))

	// What is dropped meanwhile joins, and joins once.
	if importFiles(env, []string{dir + "/office.toml", dir + "/office.toml"}, pick) != im || len(im.sources) != 2 {
		t.Fatalf("%d files", len(im.sources))
	}
	uitest.Settle()
	heading(t, w, i18n.T("wizard.import.clash", "Names", "office"))
	if im.sources[1].ready() {
		t.Error("a name that is taken is ready to be imported")
	}
	uitest.Tap(t, w, i18n.T("wizard.import.rename"))
	if s := im.sources[1]; s.name != "office-2" || !s.ready() {
		t.Errorf("it becomes %q, ready %t", s.name, s.ready())
	}
	uitest.Tap(t, w, i18n.T("wizard.import.replace"))
	heading(t, w, i18n.T("wizard.import.do", "Count", 2))
	uitest.Tap(t, w, i18n.T("wizard.import.do", "Count", 2))
	heading(t, w, i18n.T("wizard.import.stored", "Name", "branch"))
	heading(t, w, i18n.T("wizard.import.stored", "Name", "office"))
	uitest.Tap(t, w, i18n.T("wizard.import.done"))
	if w.Canvas().Overlays().Top() != nil || !slices.Equal(went, []string{"branch"}) {
		t.Errorf("it went to %q", went)
	}
	if len(im.sources[0].secret) > 0 && strings.Trim(string(im.sources[0].secret), "\x00") != "" {
		t.Error("the secret is not wiped")
	}
}

func TestPreviewStoresNothing(t *testing.T) {
	dir := folder(t)
	b := &ipctest.Backend{}
	stored := 0
	b.OnImport = func(_ context.Context, r api.ImportRequest) (api.ImportResult, error) {
		if !r.DryRun {
			stored++
		}
		return api.ImportResult{Format: "sallyport", Imported: []api.ImportedConnection{{Name: "a"}}}, nil
	}
	env := uitest.Env(t, b)
	w := env.Window
	importFiles(env, []string{dir + "/office.toml"}, noPicker{})
	uitest.Settle()
	uitest.Key(w, fyne.KeyEscape)
	heading(t, w, i18n.T("wizard.import.leave"))
	uitest.Tap(t, w, i18n.T("wizard.leave.yes"))
	if stored != 0 || w.Canvas().Overlays().Top() != nil {
		t.Errorf("stored %d times", stored)
	}
	importFiles(env, []string{dir + "/gone.toml", dir}, noPicker{})
	uitest.Settle()
	if !uitest.Says(w, "gone.toml") {
		t.Errorf("what is wrong with the files is not said:\n%s", uitest.Text(w))
	}
	var many []string
	for i := range maxSources + 1 {
		many = append(many, filepath.Join(dir, "no", strings.Repeat("x", i+1)))
	}
	importFiles(env, many, noPicker{})
	uitest.Settle()
	heading(t, w, i18n.T("wizard.import.tooMany", "Max", maxSources))
}

func TestExport(t *testing.T) {
	b := &ipctest.Backend{}
	b.SetConnection(api.Connection{Name: "office", State: api.Disconnected})
	b.OnExport = func(context.Context, string) (api.Export, error) {
		return api.Export{Name: "../../office.toml", Text: []byte("text")}, nil
	}
	dir := t.TempDir()
	was := lastFolder
	lastFolder = dir
	t.Cleanup(func() { lastFolder = was })
	env := uitest.Env(t, b)
	w := env.Window
	other := t.TempDir()
	export(env, "office", &picks{paths: []string{other, dir}})
	uitest.Settle()
	uitest.Tap(t, w, i18n.T("wizard.export.folder"))
	uitest.Tap(t, w, i18n.T("wizard.export.folder"))
	uitest.Tap(t, w, i18n.T("wizard.save"))
	at := filepath.Join(dir, "office.toml") // and not above
	st, err := os.Stat(at)
	if err != nil || runtime.GOOS != "windows" && st.Mode() != 0o600 {
		t.Fatalf("%v, %v", st, err)
	}
	if w.Canvas().Overlays().Top() != nil {
		t.Error("the dialog is still open")
	}
	if err := os.WriteFile(at, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	export(env, "office", noPicker{})
	uitest.Settle()
	uitest.Tap(t, w, i18n.T("wizard.save"))
	heading(t, w, i18n.T("wizard.export.exists", "File", at))
	uitest.Key(w, fyne.KeyEscape)
	if data, _ := os.ReadFile(at); string(data) != "mine" {
		t.Errorf("it holds %q without a yes", data)
	}
	uitest.Tap(t, w, i18n.T("wizard.save"))
	uitest.Tap(t, w, i18n.T("wizard.export.overwrite"))
	st, _ = os.Stat(at)
	if data, _ := os.ReadFile(at); string(data) != "text" || runtime.GOOS != "windows" && st.Mode() != 0o600 {
		t.Errorf("it holds %q, mode %v", data, st.Mode())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".sallyport-*")); len(left) > 0 {
		t.Errorf("%q is left behind", left)
	}
	lastFolder = filepath.Join(dir, "gone")
	export(env, "office", noPicker{})
	uitest.Settle()
	uitest.Tap(t, w, i18n.T("wizard.save"))
	if !uitest.Says(w, "directory") && runtime.GOOS != "windows" {
		t.Errorf("why it is not written is not said:\n%s", uitest.Text(w))
	}
}

func TestCodeOf(t *testing.T) {
	inline := strings.Replace(profileText(0), "method = \"psk\"\nid", "method = \"certificate\"\ncertificates = ['''alice\n"+strings.Repeat("x", 2000)+"''']\nid", 1)
	inline = strings.Replace(inline, "[remote]\nmethod = \"psk\"", "[remote]\nmethod = \"certificate\"\nid = \"vpn\"\ncas = [\"ca\"]", 1)
	for _, tt := range []struct {
		name, text    string
		code, without bool
	}{
		{"small", profileText(0), true, false},
		{"certificates", inline, true, true},
		{"large", profileText(200), false, false},
		{"no profile", strings.Repeat("x", 5000), false, false},
	} {
		code, without := codeOf([]byte(tt.text))
		if (code != nil) != tt.code || without != tt.without {
			t.Errorf("%s: code %t, without %t", tt.name, code != nil, without)
		}
		if code == nil {
			continue
		}
		// The quiet zone is four modules of four pixels, and white in every theme.
		for i := range 16 {
			if r, _, _, _ := code.At(i, code.Bounds().Dy()/2).RGBA(); r != 0xffff {
				t.Fatalf("%s: pixel %d of the quiet zone is dark", tt.name, i)
			}
		}
		if code.Bounds().Dx() > (117+8)*4 {
			t.Errorf("%s: %v is too fine", tt.name, code.Bounds())
		}
	}
}
