package tray

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/ui/uitest"
	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

var update = flag.Bool("update-menus", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s: %v; got\n%s\nwant\n%s", path, err, got, want)
	}
}

func only(t *testing.T, names ...string) *ipctest.Backend {
	b := uitest.Bare(t)
	for _, c := range uitest.Connections() {
		for _, n := range names {
			if c.Name == n {
				b.SetConnection(c)
			}
		}
	}
	return b
}

func TestMenu(t *testing.T) {
	for _, l := range i18n.Languages() {
		t.Run(l.Tag, func(t *testing.T) {
			i18n.Use(l.Tag)
			t.Cleanup(func() { i18n.Use("en") })
			golden(t, "world."+l.Tag, MenuOf(uitest.Model(t, uitest.World(t)).Snapshot(), true).String())
		})
	}
	i18n.Use("en")
	for name, b := range map[string]*ipctest.Backend{
		"empty": uitest.Bare(t), "one": only(t, "berlin"), "off": only(t, "home-lab"), "clear": only(t, "berlin", "datacenter"), "crowd": uitest.Crowd(t, 40, 0),
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, MenuOf(uitest.Model(t, b).Snapshot(), true).String()) })
	}
	t.Run("no window", func(t *testing.T) {
		m := MenuOf(uitest.Model(t, uitest.Crowd(t, 40, 0)).Snapshot(), false)
		golden(t, "nowindow", m.String())
		for _, it := range m.Items {
			if it.Action == Open || it.Action == Show {
				t.Errorf("%q needs a window", it.Title)
			}
		}
	})
	for link, name := range map[model.Link]string{model.Linking: "linking", model.Missing: "missing", model.Stopped: "stopped",
		model.Lost: "lost", model.Older: "older", model.Newer: "newer", model.Refused: "refused"} {
		t.Run(name, func(t *testing.T) {
			s := &model.Snapshot{Link: link, Mark: model.Fault, Headline: model.Text{Key: "model.link." + name}}
			if link != model.Linking {
				s.LinkProblem = &api.Error{Code: api.CodeUnreachable, What: "The service does not answer."}
			}
			golden(t, name, MenuOf(s, true).String())
		})
	}
}

// TestHostileNames sees that a name cannot forge lines of the menu.
func TestHostileNames(t *testing.T) {
	b := uitest.Bare(t)
	b.SetConnection(api.Connection{Name: "a\nQuit\x00\u202eevil" + strings.Repeat("x", 300), State: api.Disconnected, Profile: api.Require})
	m := MenuOf(uitest.Model(t, b).Snapshot(), true)
	for _, it := range m.Items {
		if strings.ContainsAny(it.Title, "\n\x00\u202e") || len([]rune(it.Title)) > longest {
			t.Errorf("%q", it.Title)
		}
	}
}

func TestSame(t *testing.T) {
	a := []Item{{Title: "a"}, {}, {Title: "b", Tickable: true, Items: []Item{{Title: "c"}}}}
	b := []Item{{Title: "x"}, {}, {Title: "y", Tickable: true, Ticked: true, Items: []Item{{Title: "z"}}}}
	if !same(a, b) {
		t.Error("titles and ticks are no other shape")
	}
	for i, other := range [][]Item{a[:2], {{Title: "a"}, {Title: "-"}, a[2]}, {a[0], a[1], {Title: "b", Tickable: true}}} {
		if same(a, other) {
			t.Errorf("menu %d has the same shape", i)
		}
	}
}

func TestIcons(t *testing.T) {
	for m := model.Off; m <= model.Fault; m++ {
		for _, dark := range []bool{false, true} {
			if b := Icon(m, dark); len(b) == 0 {
				t.Errorf("%v has no icon", m)
			}
		}
	}
	b := ico([]byte("PNG"))
	if fmt.Sprintf("%x", b) != "000001000100303000000100200003000000160000"+"00504e47" {
		t.Errorf("%x", b)
	}
}
