package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sallyport/app/model"
	"sallyport/core/api"
)

// notInWindows are the verbs of the command line that the windows do not offer,
// each with why.
var notInWindows = map[string]string{
	"sallyport demo":         "it shows the product on a terminal; make demo opens the window on the same connection",
	"sallyport show all":     "it prints the pages of the monitor one after the other",
	"sallyport policy check": "the editor checks while one types",
}

// TestEveryVerbIsOffered holds the verbs of the windows and the tray against
// those of the command line: each of the first has one of the second, and each
// of the second is offered or has a reason.
func TestEveryVerbIsOffered(t *testing.T) {
	all := verbs()
	offered := map[string]bool{}
	seen := map[model.Verb]bool{}
	for _, o := range model.Verbs() {
		if all[o.CLI] == nil {
			t.Errorf("the windows offer %q, and the command line has no `%s`", o.Verb, o.CLI)
		}
		if seen[o.Verb] {
			t.Errorf("%q is offered twice", o.Verb)
		}
		seen[o.Verb], offered[o.CLI] = true, true
	}
	for path := range all {
		switch why, ok := notInWindows[path]; {
		case offered[path] && ok:
			t.Errorf("`%s` is offered, and yet excused", path)
		case !offered[path] && why == "":
			t.Errorf("the windows do not offer `%s`, and nobody says why", path)
		}
	}
	for path := range notInWindows {
		if all[path] == nil {
			t.Errorf("`%s` is excused, and does not exist", path)
		}
	}
}

// TestWindowsCall holds the table of verbs against the code of the windows: what
// they call of the service is in the table, and what the table says is called.
func TestWindowsCall(t *testing.T) {
	methods := map[string]bool{}
	for m := range reflect.TypeFor[api.Backend]().Methods() {
		methods[m.Name] = false
	}
	for _, dir := range []string{"ui", "tray", "model", "cmd/sallyport-gui"} {
		err := filepath.WalkDir(filepath.Join("..", filepath.FromSlash(dir)), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if d, ok := n.(*ast.FuncDecl); ok && d.Recv != nil && len(d.Recv.List) == 1 {
					if r, ok := d.Recv.List[0].Type.(*ast.Ident); ok && r.Name == "noting" {
						return false // it passes calls on
					}
				}
				c, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if s, ok := c.Fun.(*ast.SelectorExpr); ok {
					if _, ok := methods[s.Sel.Name]; ok {
						methods[s.Sel.Name] = true
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	table := map[string]bool{}
	for _, o := range model.Verbs() {
		if _, ok := methods[o.Calls]; !ok {
			t.Errorf("%q calls %q, which no service has", o.Verb, o.Calls)
		}
		table[o.Calls] = true
	}
	for name, called := range methods {
		switch {
		case called && !table[name]:
			t.Errorf("the windows call %s, which is no verb", name)
		case !called && table[name]:
			t.Errorf("nobody in the windows calls %s, which is said to be a verb", name)
		}
	}
}
