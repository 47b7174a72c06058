// Package deptest holds the import rules of the house against the code: core
// decides, platform does, app shows.
package deptest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"strings"
	"testing"
)

const module = "sallyport"

// A rule says which packages of ours, and which others, the packages that
// match may never reach. Patterns are module-relative; "x/..." covers x and
// everything below.
type rule struct {
	pkgs   string
	why    string
	never  []string // of this module, transitively
	extern []string // import path prefixes of others, transitively
	std    []string // standard packages, directly
	only   []string // when set: of this module, transitively, nothing else
}

var rules = []rule{
	{pkgs: "core/api", why: "the contract for all front ends depends on nothing of ours",
		only: []string{"core/api"}, extern: []string{"*"}},
	{pkgs: "core/...", why: "core decides; it touches no machine and shows nothing",
		never: []string{"platform/...", "app/..."}, extern: []string{"fyne.io/"}, std: []string{"os/exec", "syscall"}},
	{pkgs: "core/ts", why: "selectors stand at the bottom", only: []string{"core/ts"}},
	{pkgs: "core/transform", why: "algorithms stand at the bottom", only: []string{"core/transform", "core/internal/vectors"}},
	{pkgs: "core/esp", why: "ESP and IKE meet in engine", never: []string{"core/ike/...", "core/engine", "core/profile"}},
	{pkgs: "core/spd", why: "ESP and IKE meet in engine", never: []string{"core/ike/...", "core/engine", "core/profile"}},
	{pkgs: "core/sad", why: "ESP and IKE meet in engine", never: []string{"core/ike/...", "core/engine", "core/profile"}},
	{pkgs: "core/datapath", why: "ESP and IKE meet in engine", never: []string{"core/ike/...", "core/engine", "core/profile"}},
	{pkgs: "core/ike/...", why: "IKE does no I/O and knows no ESP",
		never: []string{"core/esp", "core/sad", "core/spd", "core/datapath", "core/engine", "core/host"}, std: []string{"os", "net/http"}},
	{pkgs: "core/pki", why: "certificates are checked without I/O",
		never: []string{"core/esp", "core/datapath", "core/engine", "core/host"}, std: []string{"os", "net/http"}},
	{pkgs: "core/policy", why: "policies are compiled without I/O, for an engine that they do not know",
		never: []string{"core/engine", "core/datapath", "core/esp", "core/sad", "core/tunnel", "platform/..."}, std: []string{"os", "net", "net/http"}},
	{pkgs: "core/config", why: "files of every kind are read with it", only: []string{"core/config"}},
	{pkgs: "core/tunnel", why: "the tunnel machine only decides", never: []string{"platform/...", "app/...", "core/engine"}},
	{pkgs: "platform/...", why: "platform does; it does not decide",
		never: []string{"core/ike/...", "core/esp", "core/engine", "app/..."}, extern: []string{"fyne.io/"}},
	{pkgs: "platform/ipc/...", why: "IPC carries the contract and no more", only: []string{"core/api", "platform/ipc/..."}},
	{pkgs: "app/cli", why: "the command line knows the contract and its road in",
		only: []string{"app/cli", "app/bundle", "app/gather", "core/api", "platform/ipc/..."}, extern: []string{"fyne.io/"}},
	{pkgs: "app/gather", why: "reading files for an import serves every front end", only: []string{"app/gather", "core/api"}, extern: []string{"*"}},
	{pkgs: "app/draft", why: "what a wizard edits is plain data", only: []string{"app/draft", "core/api"}, extern: []string{"fyne.io/"}},
	{pkgs: "app/bundle", why: "a bundle is made of what the contract tells",
		only: []string{"app/bundle", "core/api"}, extern: []string{"*"}},
	{pkgs: "app/model", why: "the model knows the contract, and no toolkit",
		only: []string{"app/model", "core/api", "platform/ipc/client"}, extern: []string{"*"}},
	{pkgs: "app/vault", why: "a vault keeps secrets for the model, and shows nothing",
		only: []string{"app/vault", "app/model", "core/api"}, extern: []string{"fyne.io/"}},
	{pkgs: "app/i18n", why: "the catalogue says what the model means, and calls nobody",
		only: []string{"app/i18n", "app/model", "core/api", "assets"}},
	{pkgs: "assets", why: "files know nothing", only: []string{"assets"}, extern: []string{"*"}},
	{pkgs: "app/model", why: "the model knows neither toolkit nor transport", only: []string{"app/model", "core/api"}, extern: []string{"fyne.io/"}},
	{pkgs: "app/prefs", why: "choices are kept without a toolkit", only: []string{"app/prefs"}, extern: []string{"fyne.io/"}},
	{pkgs: "app/single", why: "one window, found without a toolkit", only: []string{"app/single"}, extern: []string{"fyne.io/"}},
	{pkgs: "app/autostart", why: "the start at login needs no toolkit", only: []string{"app/autostart"}, extern: []string{"fyne.io/"}},
	{pkgs: "app/theme", why: "the look knows the marks and no more", only: []string{"app/theme", "app/model", "core/api", "assets"}},
	{pkgs: "app/tray", why: "the tray needs no window", extern: []string{"fyne.io/fyne/v2/app", "fyne.io/fyne/v2/widget", "fyne.io/fyne/v2/internal/driver/glfw"},
		never: []string{"platform/...", "app/ui/..."}},
	{pkgs: "app/ui", why: "the window shows; it reaches no machine", never: shows},
	{pkgs: "app/ui/kit", why: "shared widgets know no view", never: append([]string{"app/ui/connections", "app/ui/policies", "app/ui/monitor", "app/ui/diagnosis", "app/ui/wizard", "app/ui/prompts"}, shows...)},
	{pkgs: "app/ui/settings", why: "a view shows", never: shows},
	{pkgs: "app/ui/connections", why: "a view shows", never: shows},
	{pkgs: "app/ui/policies", why: "a view shows", never: shows},
	{pkgs: "app/ui/monitor", why: "a view shows", never: shows},
	{pkgs: "app/ui/diagnosis", why: "a view shows", never: shows},
	{pkgs: "app/ui/wizard", why: "a view shows", never: shows},
	{pkgs: "app/ui/prompts", why: "a view shows", never: shows},
	{pkgs: "app/cmd/sallyport-gui", why: "the one place where the window meets its road to the service",
		never: []string{"platform/host/...", "platform/tun/...", "platform/firewall/...", "platform/route/...", "core/engine", "core/ike", "core/datapath"}},
	{pkgs: "app/policydraft", why: "a text is edited here, and judged by the service",
		only: []string{"app/policydraft"}, extern: []string{"fyne.io/"}},
	{pkgs: "app/demo", why: "the demo uses the product as everyone does",
		only: []string{"app/demo", "core/api", "platform/ipc/..."}, extern: []string{"fyne.io/"}},
}

// shows is what no part of the window reaches.
var shows = []string{"platform/...", "core/engine", "core/ike/...", "core/esp", "core/datapath", "core/host"}

// exempt are the places where rules meet on purpose.
var exempt = map[string][]string{
	"platform/cmd/sallyportd": {"platform/..."}, // engine meets platform/host here
}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
}

func TestImportRules(t *testing.T) {
	pkgs := list(t)
	if len(pkgs) < 10 {
		t.Fatalf("go list found %d packages; the rules would hold of nothing", len(pkgs))
	}
	for _, r := range rules {
		matched := false
		for _, p := range pkgs {
			name := strings.TrimPrefix(p.ImportPath, module+"/")
			if !match(r.pkgs, name) || exempted(name, r.pkgs) {
				continue
			}
			matched = true
			for _, dep := range p.Deps {
				if bad := r.forbids(dep); bad != "" {
					t.Errorf("%s reaches %s (%s): %s", name, dep, bad, r.why)
				}
			}
			for _, imp := range p.Imports {
				for _, s := range r.std {
					if imp == s {
						t.Errorf("%s imports %s: %s", name, imp, r.why)
					}
				}
			}
		}
		if !matched {
			t.Errorf("rule for %s matches no package", r.pkgs)
		}
	}
}

func exempted(name, rule string) bool {
	for _, e := range exempt[name] {
		if e == rule {
			return true
		}
	}
	return false
}

func (r rule) forbids(dep string) string {
	ours, ok := strings.CutPrefix(dep, module+"/")
	if !ok {
		first, _, _ := strings.Cut(dep, "/")
		if !strings.Contains(first, ".") {
			return "" // standard library
		}
		for _, e := range r.extern {
			if e == "*" || strings.HasPrefix(dep, e) {
				return "third party"
			}
		}
		return ""
	}
	for _, n := range r.never {
		if match(n, ours) {
			return "never " + n
		}
	}
	if r.only == nil {
		return ""
	}
	for _, o := range r.only {
		if match(o, ours) {
			return ""
		}
	}
	return "only " + strings.Join(r.only, ", ")
}

func match(pattern, name string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == base || strings.HasPrefix(name, base+"/")
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-tags", "ci,migrated_fynedo", "-json=ImportPath,Imports,Deps,Standard", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		var e *exec.ExitError
		if errors.As(err, &e) {
			t.Fatalf("go list: %v\n%s", err, e.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestRulesCatchABreach(t *testing.T) {
	r := rule{never: []string{"core/ike/..."}, extern: []string{"fyne.io/"}, only: []string{"core/api"}}
	for dep, bad := range map[string]bool{
		"sallyport/core/ike":         true,
		"sallyport/core/ike/message": true,
		"sallyport/core/api":         false,
		"sallyport/core/ts":          true,
		"fyne.io/fyne/v2":            true,
		"net/http":                   false,
		"golang.org/x/sys/unix":      false,
	} {
		if got := r.forbids(dep) != ""; got != bad {
			t.Errorf("forbids(%s) = %v, want %v", dep, got, bad)
		}
	}
}
