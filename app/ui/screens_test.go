package ui

import (
	"context"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fyne.io/fyne/v2"

	"sallyport/app/ui/kit"
	"sallyport/app/ui/uitest"
	"sallyport/app/ui/wizard"
	"sallyport/core/api"
)

// screensEnv names the folder into which TestScreens writes pictures for people
// who read about the program; without it they are only made.
const screensEnv = "SALLYPORT_SCREENS"

// imported is what the service says of a file that its gateway's administrator
// has written long ago.
func imported(context.Context, api.ImportRequest) (api.ImportResult, error) {
	return api.ImportResult{Format: "swanctl", Imported: []api.ImportedConnection{{
		Name: "hamburg", Gateway: []string{"vpn.hamburg.example.com"}, Auth: "certificate (ECDSA P-256)",
		Warnings: []string{"MODP_1024 is offered: a group of 1,024 bits can be broken by those who record a lot."},
		Plan: []api.PlanLine{
			{Setting: "gateways", Wanted: "vpn.hamburg.example.com", Becomes: "vpn.hamburg.example.com"},
			{Setting: "ike.proposals", Wanted: "aes128-sha1-modp1024", Becomes: "aes128-sha1-modp1024", Weak: true, Note: "offered last, after what is strong"},
			{Setting: "local.certificates", Wanted: "alice.crt", Becomes: "alice.crt"},
			{Setting: "remote_ts", Wanted: "10.20.0.0/16", Becomes: "10.20.0.0/16"},
			{Setting: "mobike", Wanted: "yes", Note: "moving between networks reconnects instead"},
		},
	}}}, nil
}

// explained is what the service says of a flow.
func explained(context.Context, string) (api.FlowAnswer, error) {
	return api.FlowAnswer{Flow: "192.168.178.20 → 10.1.2.3:443/tcp", Rule: "intranet", Filter: "Intranet, filter 1: me ↔ 10.0.0.0/8", Action: "negotiate",
		Protection: api.Protected, Connection: "berlin", SA: "c1a0b2d3 in, 9e8d7c6b out", Since: uitest.Now.Add(-134 * time.Minute),
		Assignment: &api.Assignment{Policy: "Company", By: "alice (uid 1000)", Since: uitest.Now.Add(-26 * time.Hour)},
		Why: []string{"rule \"intranet\", filter 1 requires security: it passes secured or not at all",
			"intranet, me ↔ 10.0.0.0/8: decides: no other that matches is before it"}}, nil
}

// TestScreens shows every view as its users see it, in the size in which the
// window opens.
func TestScreens(t *testing.T) {
	dir := os.Getenv(screensEnv)
	page := func(p kit.Page, taps ...string) func(*testing.T, *Window) {
		return func(t *testing.T, w *Window) {
			w.Show(p)
			uitest.Settle()
			for _, label := range taps {
				uitest.Tap(t, w.win, label)
			}
			w.win.Canvas().Unfocus()
		}
	}
	flow := func(t *testing.T, w *Window) {
		page(kit.Policies, "Explain a flow")(t, w)
		uitest.Type(t, w.win, "10.0.0.1 -> 10.1.2.3:443/tcp", "10.1.2.3:443/tcp")
		uitest.Tap(t, w.win, "Explain")
		w.win.Canvas().Unfocus()
	}
	connected := func(t *testing.T, w *Window) {
		w.Go(kit.Connections, "berlin")
		w.win.Canvas().Unfocus()
	}
	for _, tt := range []struct {
		name    string
		variant uitest.Variant
		prompt  bool
		do      func(*testing.T, *Window)
		says    string
	}{
		{"connections", uitest.Light, false, connected, "berlin"},
		{"connections-dark", uitest.Dark, false, connected, "berlin"},
		{"connections-german", uitest.German, false, connected, "Verbindungen"},
		{"wizard", uitest.Light, false, func(t *testing.T, w *Window) { w.bound[fyne.KeyN]() }, "Which gateway do you connect to?"},
		{"import", uitest.Light, false, func(t *testing.T, w *Window) {
			path := filepath.Join(t.TempDir(), "swanctl.conf")
			if err := os.WriteFile(path, []byte("connections { }\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			wizard.Import(w.env, []string{path})
		}, "hamburg"},
		{"policies", uitest.Light, false, page(kit.Policies), "Company"},
		{"policy-editor", uitest.Light, false, page(kit.Policies, "Edit"), "Company"},
		{"explain-flow", uitest.Light, false, flow, "decides"},
		{"monitor", uitest.Light, false, page(kit.Monitor), "Overview"},
		{"monitor-dark", uitest.Dark, false, page(kit.Monitor), "Overview"},
		{"monitor-associations", uitest.Light, false, page(kit.Monitor, "Main mode (2)"), "Overview"},
		{"diagnosis", uitest.Light, false, page(kit.Diagnosis), "What is wrong"},
		{"log", uitest.Light, false, page(kit.Diagnosis, "Log"), "Log"},
		{"ike-messages", uitest.Light, false, page(kit.Diagnosis, "IKE messages"), "IKE messages"},
		{"settings", uitest.Light, false, page(kit.Settings), "Settings"},
		{"settings-german", uitest.German, false, page(kit.Settings), "Einstellungen"},
		{"prompt", uitest.Light, true, func(t *testing.T, w *Window) {}, "cloud"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := quiet(t)
			b.OnImport, b.OnExplain = imported, explained
			if tt.prompt {
				b.Ask(uitest.Prompts()[0])
			}
			w := open(t, b, tt.variant, func(o *Options) { o.Login = &noLogin{} })
			tt.do(t, w)
			uitest.Settle()
			if !uitest.Says(w.win, tt.says) {
				t.Errorf("it says\n%s", uitest.Text(w.win))
			}
			if dir == "" {
				return
			}
			f, err := os.Create(filepath.Join(dir, tt.name+".png"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(f, w.win.Canvas().Capture()); err != nil {
				t.Error(err)
			}
		})
	}
}

// noLogin offers the start at login without touching this machine's.
type noLogin struct{ on bool }

func (l *noLogin) Enabled() (bool, error) { return l.on, nil }
func (l *noLogin) Set(on bool) error      { l.on = on; return nil }
