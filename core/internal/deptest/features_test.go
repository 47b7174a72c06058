package deptest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	root    = "../../.."
	interop = "platform/interop"
)

// testFuncs returns the tests of the repository, as "core/ike.TestPSK".
func testFuncs(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	fset := token.NewFileSet()
	for _, top := range []string{"core", "platform", "app", "assets", "installer"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			dir, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && isTest(fn) {
					found[filepath.ToSlash(dir)+"."+fn.Name.Name] = true
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// isTest reports whether a function is one that "go test" runs.
func isTest(fn *ast.FuncDecl) bool {
	if !strings.HasPrefix(fn.Name.Name, "Test") || fn.Name.Name == "TestMain" || len(fn.Type.Params.List) != 1 {
		return false
	}
	star, ok := fn.Type.Params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	sel, ok := star.X.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "T"
}

var named = regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9]+)`")

// TestFeatures holds docs/features.md against the tests: those that it names
// exist, those of platform/interop are all named, and no role is claimed without
// one.
func TestFeatures(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "docs", "features.md"))
	if err != nil {
		t.Fatal(err)
	}
	funcs := testFuncs(t)
	if len(funcs) < 100 {
		t.Fatalf("%d tests found; the page would be held against nothing", len(funcs))
	}
	seen := map[string]bool{}
	rows := 0
	for i, line := range strings.Split(string(b), "\n") {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 4 {
			t.Errorf("line %d: %d columns, want 4", i+1, len(cells))
			continue
		}
		if strings.HasPrefix(line, "|---") || strings.Contains(line, "as initiator") {
			continue
		}
		rows++
		for role, cell := range map[string]string{"initiator": cells[1], "responder": cells[2]} {
			cell = strings.TrimSpace(cell)
			tests := named.FindAllStringSubmatch(cell, -1)
			absent := cell == "–" || cell == "no" || strings.HasPrefix(cell, "no: ")
			switch rest := strings.TrimSpace(named.ReplaceAllString(cell, "")); {
			case len(tests) == 0 && !absent:
				t.Errorf("line %d claims the %s without a test: %q", i+1, role, cell)
			case len(tests) > 0 && rest != "":
				t.Errorf("line %d, %s: beside the tests stands %q", i+1, role, rest)
			}
			for _, m := range tests {
				name := strings.Replace(m[1], "interop", interop, 1) + "." + m[2]
				if seen[name] = true; !funcs[name] {
					t.Errorf("line %d names %s, which does not exist", i+1, m[0])
				}
			}
		}
	}
	if rows < 40 {
		t.Errorf("%d rows", rows)
	}
	var missing []string
	for f := range funcs {
		if strings.HasPrefix(f, interop+".") && !seen[f] {
			missing = append(missing, f)
		}
	}
	slices.Sort(missing)
	for _, f := range missing {
		t.Errorf("no row names %s", f)
	}
}
