package prompts

import (
	"context"
	"image/color"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"

	"sallyport/app/model"
	"sallyport/app/ui/kit"
	"sallyport/app/ui/uitest"
	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

// follow shows the prompts of a service in env.
func follow(env *kit.Env) *Prompts {
	p := New(env)
	env.Window.SetContent(canvas.NewRectangle(color.Transparent))
	env.Window.Resize(uitest.Small)
	p.Update(env.Model.Snapshot())
	stop := env.Model.Watch(func(s *model.Snapshot) { fyne.Do(func() { p.Update(s) }) })
	context.AfterFunc(env.Context, stop)
	uitest.Settle()
	return p
}

func with(t *testing.T, prompts ...api.Prompt) *ipctest.Backend {
	b := uitest.Bare(t)
	b.SetConnection(uitest.Connections()[1]) // cloud
	for _, q := range prompts {
		b.Ask(q)
	}
	return b
}

func kind(k api.PromptKind) api.Prompt {
	for _, p := range uitest.Prompts() {
		if p.Kind == k {
			return p
		}
	}
	panic(k)
}

func dialog(env *kit.Env) fyne.CanvasObject {
	follow(env)
	return nil
}

func TestPictures(t *testing.T) {
	for _, p := range uitest.Prompts() {
		variants := []uitest.Variant{uitest.Light}
		switch p.Kind {
		case api.PromptCode:
			variants = append(variants, uitest.Dark)
		case api.PromptServer:
			variants = append(variants, uitest.Dark)
		case api.PromptCertificate:
			variants = append(variants, uitest.German, uitest.Large)
		}
		uitest.Golden(t, with(t, p), string(p.Kind), uitest.Small, dialog, variants...)
	}
	last := kind(api.PromptPIN)
	last.Tries, last.Attempt = api.TriesFinal, 2
	uitest.Golden(t, with(t, last), "pin-final", uitest.Small, dialog, uitest.Light, uitest.German)
	b := uitest.Bare(t)
	b.SetConnection(uitest.Connections()[6])
	uitest.Golden(t, b, "clear", uitest.Small, dialog, uitest.Light, uitest.German, uitest.Large)
}

func TestPasswordIsAnswered(t *testing.T) {
	b := with(t, kind(api.PromptPassword))
	var got string
	b.OnAnswer = func(_ context.Context, a api.Answer) error { got = string(a.Secret); return nil }
	env := uitest.Env(t, b)
	follow(env)
	if ok := uitest.Labelled(t, env.Window, "Continue").(*kit.Button); !ok.Disabled() {
		t.Error("an empty password can be sent")
	}
	uitest.Type(t, env.Window, "", "hunter2") // the entry has the focus
	uitest.Key(env.Window, fyne.KeyReturn)
	uitest.Called(t, b, "answer p-password secret=true")
	if got != "hunter2" {
		t.Errorf("got %q", got)
	}
	uitest.Until(t, "the dialog closes", func() bool { return env.Window.Canvas().Overlays().Top() == nil })
}

func TestWrongAnswerIsAskedAgain(t *testing.T) {
	first := kind(api.PromptPassword)
	b := with(t, first)
	env := uitest.Env(t, b)
	follow(env)
	uitest.Type(t, env.Window, "", "wrong")
	uitest.Key(env.Window, fyne.KeyReturn)
	uitest.Called(t, b, "answer p-password")
	second := first
	second.ID, second.Attempt = "p-2", 2
	b.Ask(second)
	uitest.Until(t, "it is asked again", func() bool { return uitest.Says(env.Window, "did not accept that password") })
	if e := uitest.Find[*kit.Entry](t, env.Window, nil); e.Text != "" {
		t.Error("the wrong password is still in the field")
	}
}

func TestEscapeCancels(t *testing.T) {
	for _, k := range []api.PromptKind{api.PromptPassword, api.PromptCode, api.PromptSecret, api.PromptPassphrase, api.PromptPIN, api.PromptCertificate} {
		t.Run(string(k), func(t *testing.T) {
			b := with(t, kind(k))
			env := uitest.Env(t, b)
			follow(env)
			uitest.Key(env.Window, fyne.KeyEscape)
			if got := uitest.Called(t, b, "answer"); !strings.Contains(got, "cancel=true") {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestUnknownGatewayIsNotTrustedByDefault(t *testing.T) {
	for _, key := range []fyne.KeyName{fyne.KeyReturn, fyne.KeySpace, fyne.KeyEscape} {
		t.Run(string(key), func(t *testing.T) {
			b := with(t, kind(api.PromptServer))
			env := uitest.Env(t, b)
			follow(env)
			uitest.Key(env.Window, key)
			if got := uitest.Called(t, b, "answer"); !strings.Contains(got, "trust=false cancel=false") {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestUnknownGatewayIsDescribed(t *testing.T) {
	b := with(t, kind(api.PromptServer))
	env := uitest.Env(t, b)
	follow(env)
	for _, want := range []string{"3A 91 0C 5E   77 B2 4D F8", "CN=Example Cloud Root CA", "gw2.cloud.example.net"} {
		if !strings.Contains(uitest.Text(env.Window), want) {
			t.Errorf("it does not say %q:\n%s", want, uitest.Text(env.Window))
		}
	}
	uitest.Tap(t, env.Window, "Trust this gateway")
	if got := uitest.Called(t, b, "answer"); !strings.Contains(got, "trust=true") {
		t.Errorf("got %s", got)
	}
}

func TestPromptsQueue(t *testing.T) {
	b := with(t, kind(api.PromptPassword), kind(api.PromptCode))
	env := uitest.Env(t, b)
	follow(env)
	if !uitest.Says(env.Window, "password of alice") || uitest.Says(env.Window, "authenticator") {
		t.Fatalf("the first is not alone:\n%s", uitest.Text(env.Window))
	}
	uitest.Type(t, env.Window, "", "x")
	uitest.Key(env.Window, fyne.KeyReturn)
	uitest.Until(t, "the second follows", func() bool { return uitest.Says(env.Window, "authenticator") })
	if n := len(env.Window.Canvas().Overlays().List()); n != 1 {
		t.Errorf("%d dialogs are open", n)
	}
}

func TestAnsweredElsewhereCloses(t *testing.T) {
	b := with(t, kind(api.PromptPassword))
	env := uitest.Env(t, b)
	follow(env)
	b.Withdraw("p-password")
	uitest.Until(t, "the dialog closes", func() bool { return env.Window.Canvas().Overlays().Top() == nil })
	if len(b.Calls()) > 0 {
		t.Errorf("calls %v", b.Calls())
	}
}

func TestAnswerThatFailsKeepsTheDialog(t *testing.T) {
	b := with(t, kind(api.PromptSecret))
	b.OnAnswer = func(context.Context, api.Answer) error {
		return &api.Error{Code: api.CodeNotAllowed, What: "This user may not answer."}
	}
	env := uitest.Env(t, b)
	follow(env)
	uitest.Type(t, env.Window, "", "secret")
	uitest.Key(env.Window, fyne.KeyReturn)
	uitest.Called(t, b, "answer")
	uitest.Settle()
	card := uitest.Find[*kit.ErrorCard](t, env.Window, nil)
	if !card.Visible() {
		t.Error("the failure is not shown")
	}
	if e := uitest.Find[*kit.Entry](t, env.Window, nil); e.Text != "" || e.Disabled() {
		t.Errorf("entry %q disabled=%t", e.Text, e.Disabled())
	}
}

func TestRemembersOnlyWhatCanBe(t *testing.T) {
	for _, k := range []api.PromptKind{api.PromptCode, api.PromptPassword} { // without a vault, none can
		t.Run(string(k), func(t *testing.T) {
			env := uitest.Env(t, with(t, kind(k)))
			follow(env)
			for _, o := range uitest.On(env.Window) {
				if _, ok := o.(*kit.Check); ok {
					t.Error("it offers to remember")
				}
			}
		})
	}
}

func TestClearTextIsKeptBlockedByDefault(t *testing.T) {
	b := uitest.Bare(t)
	b.SetConnection(uitest.Connections()[6])
	env := uitest.Env(t, b)
	p := follow(env)
	uitest.Key(env.Window, fyne.KeyReturn)
	if env.Window.Canvas().Overlays().Top() != nil {
		t.Fatal("the dialog stays")
	}
	p.Update(env.Model.Snapshot())
	if env.Window.Canvas().Overlays().Top() != nil {
		t.Error("it is asked twice")
	}
	if len(b.Calls()) > 0 {
		t.Errorf("calls %v", b.Calls())
	}
	AskClear(env, env.Model.Snapshot().Find("paris-partner"))
	uitest.Tap(t, env.Window, "Allow for 1 hour")
	if got := uitest.Called(t, b, "allow clear"); !strings.Contains(got, time.Hour.String()) {
		t.Errorf("got %s", got)
	}
}

func TestSecretCanBeRevealed(t *testing.T) {
	env := uitest.Env(t, with(t, kind(api.PromptPassword)))
	follow(env)
	e := uitest.Find[*kit.Entry](t, env.Window, nil)
	if !e.Password {
		t.Fatal("it is not hidden")
	}
	test.Tap(e.ActionItem.(fyne.Tappable))
	if e.Password {
		t.Error("it stays hidden")
	}
}

func TestFocusOrder(t *testing.T) {
	env := uitest.Env(t, with(t, kind(api.PromptPassword)))
	follow(env)
	uitest.Type(t, env.Window, "", "x")
	var got []string
	for range 4 {
		switch f := env.Window.Canvas().Focused().(type) {
		case *kit.Entry:
			got = append(got, "entry")
		case *kit.Button:
			got = append(got, f.Text)
		case *widget.Check:
			got = append(got, f.Text)
		default:
			t.Errorf("focus on %T", f)
		}
		env.Window.Canvas().FocusNext()
	}
	if want := "entry  Cancel Continue"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
