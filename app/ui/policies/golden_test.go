package policies

import (
	"context"
	"net/netip"
	"testing"

	"fyne.io/fyne/v2"

	"sallyport/app/ui/kit"
	"sallyport/app/ui/uitest"
	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

// page is what the page has of a window that somebody has made a little smaller.
var page = fyne.NewSize(720, 550)

// over is a window for dialogs, whose ground is blurred and makes large pictures.
var over = fyne.NewSize(600, 560)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestGolden(t *testing.T) {
	few := []uitest.Variant{uitest.Light}
	for _, tt := range []struct {
		name     string
		b        func(testing.TB) *ipctest.Backend
		size     fyne.Size
		do       func(t *testing.T, v *View, env *kit.Env)
		variants []uitest.Variant
	}{
		{"empty", func(t testing.TB) *ipctest.Backend { return uitest.Bare(t) }, page, nil, few},
		{"predefined", stocked, page, func(_ *testing.T, v *View, _ *kit.Env) { v.Select("Secure Server (require security)") }, few},
		{"assigned", assigned, page, nil, uitest.Everything},
		{"small", assigned, uitest.SmallUI, nil, few},
		{"malformed", stocked, page, func(_ *testing.T, v *View, _ *kit.Env) { v.Select("Broken") }, few},
		{"pending", func(t testing.TB) *ipctest.Backend {
			b := assigned(t)
			b.OnAssign = func(context.Context, string, bool) (api.AssignResult, error) {
				return api.AssignResult{Changes: []string{"~ downgrade ttl: 720h → 1h"}}, nil
			}
			return b
		}, page, nil, few},
		{"assign", assigned, over, func(t *testing.T, v *View, env *kit.Env) {
			v.Select("LAN")
			uitest.Settle()
			uitest.Tap(t, env.Window, "Assign…")
		}, few},
		{"editor", assigned, page, func(t *testing.T, v *View, env *kit.Env) {
			v.detail.edit("")
		}, uitest.Everything},
		{"editor-problem", stocked, page, func(t *testing.T, v *View, env *kit.Env) {
			v.Select("Broken")
			uitest.Settle()
			v.detail.edit("rules[0].filter_list")
		}, few},
		{"editor-filters", assigned, page, func(t *testing.T, v *View, env *kit.Env) {
			v.detail.edit("filter_lists[0]")
		}, few},
		{"editor-action", stocked, page, func(t *testing.T, v *View, env *kit.Env) {
			v.Select("LAN")
			uitest.Settle()
			v.detail.edit("filter_actions[0]")
		}, few},
		{"editor-general", assigned, page, func(t *testing.T, v *View, env *kit.Env) {
			v.detail.edit("downgrade.ttl")
		}, few},
		{"editor-text", assigned, page, func(t *testing.T, v *View, env *kit.Env) {
			v.detail.edit("")
			v.editor.tabs.Select("text")
			v.editor.text.entry.SetText(office + "wrong = = 1\n")
		}, []uitest.Variant{uitest.Light, uitest.Dark}},
		{"editor-big", func(t testing.TB) *ipctest.Backend {
			b := uitest.Bare(t)
			b.OnStore = judge
			b.SetPolicy(mustJudge(t, big(10_000)), big(10_000))
			return b
		}, page, func(t *testing.T, v *View, env *kit.Env) {
			v.detail.edit("filter_lists[0]")
		}, few},
		{"wizard-endpoint", assigned, over, wizardAt(0), []uitest.Variant{uitest.Light, uitest.Large}},
		{"wizard-traffic", assigned, over, wizardAt(1), few},
		{"wizard-action", assigned, over, wizardAt(2), []uitest.Variant{uitest.Light, uitest.German}},
		{"wizard-auth", assigned, fyne.NewSize(600, 650), wizardAt(3), few},
		{"wizard-name", assigned, over, wizardAt(4), few},
		{"flow", assigned, page, func(t *testing.T, v *View, env *kit.Env) {
			v.tabs.Select("flow")
			v.flow.text.SetText("192.168.178.20 -> 10.1.2.3:443/tcp")
			v.flow.explain()
		}, []uitest.Variant{uitest.Light, uitest.Dark, uitest.German, uitest.Large}},
		{"simulation", assigned, page, func(t *testing.T, v *View, env *kit.Env) {
			v.tabs.Select("flow")
			v.flow.simulate(capture("x"), "trace.pcap")
			uitest.Settle()
			v.flow.root.(interface{ ScrollToBottom() }).ScrollToBottom()
		}, few},
		{"memory", assigned, page, func(t *testing.T, v *View, env *kit.Env) {
			v.tabs.Select("memory")
			uitest.Settle()
			v.memory.table.Select(1)
		}, []uitest.Variant{uitest.Light, uitest.German}},
		{"memory-empty", uitestBare, page, func(t *testing.T, v *View, env *kit.Env) { v.tabs.Select("memory") }, few},
	} {
		uitest.Golden(t, tt.b(t), tt.name, tt.size, func(env *kit.Env) fyne.CanvasObject {
			v := New(env)
			o := uitest.Show(env, v)
			env.Window.SetContent(o)
			env.Window.Resize(tt.size)
			uitest.Settle()
			if tt.do != nil {
				tt.do(t, v, env)
			}
			uitest.Settle()
			return nil
		}, tt.variants...)
	}
}

func uitestBare(t testing.TB) *ipctest.Backend { return uitest.Bare(t) }
