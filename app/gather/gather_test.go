package gather

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"sallyport/core/api"
	"sallyport/platform/ipc/ipctest"
)

// write makes the files of a tree, whose names end in "/" for folders.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(p, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(p, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestImportBringsWhatIsMissing(t *testing.T) {
	dir := write(t, map[string]string{"main": "m", "conf/a": "aa", "conf/b": "bb", "folder/": ""})
	var got []string
	b := &ipctest.Backend{OnImport: func(_ context.Context, r api.ImportRequest) (api.ImportResult, error) {
		got = got[:0]
		for _, f := range r.Files {
			got = append(got, f.Path)
		}
		return api.ImportResult{Missing: [][]string{{"conf/*", "gone"}, {"folder", "conf/a"}, nil}[min(len(r.Asked)/2, 2)]}, nil
	}}
	g, err := Open(filepath.Join(dir, "main"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Import(t.Context(), b, api.ImportRequest{DryRun: true}); err != nil {
		t.Fatal(err)
	}
	if want := []string{g.Path(), "conf/a", "conf/b"}; !slices.Equal(got, want) {
		t.Errorf("the service got %q, want %q", got, want)
	}
	if !slices.Equal(g.Beside(), []string{"conf/a", "conf/b"}) || len(g.Unreadable()) != 1 {
		t.Errorf("beside %q, unreadable %q", g.Beside(), g.Unreadable())
	}
	// What has been read once serves the next request, without a question.
	if r := g.Request(api.ImportRequest{Name: "x"}); len(r.Files) != 3 || len(r.Asked) != 4 || r.Name != "x" {
		t.Errorf("the next request: %d files, asked %q", len(r.Files), r.Asked)
	}
	if e := api.AsError(g.Annotate(errors.New("x"))); !strings.Contains(e.Why, "Could not read folder: it is not a regular file.") {
		t.Errorf("annotated: %v", e)
	}
}

func TestImportRefusesToRunAway(t *testing.T) {
	files := map[string]string{"big": strings.Repeat("x", maxFile+1), "half": strings.Repeat("x", maxFile)}
	for i := range maxFiles + 2 {
		files[fmt.Sprintf("many/%d", i)] = ""
	}
	dir := write(t, files)
	for _, tt := range []struct {
		name    string
		missing func(round int) []string
	}{
		{"always the same", func(int) []string { return []string{"x"} }},
		{"always another", func(n int) []string { return []string{fmt.Sprint(n)} }},
		{"many names", func(int) []string {
			var s []string
			for i := range maxPatterns + 1 {
				s = append(s, fmt.Sprint(i))
			}
			return s
		}},
		{"many files", func(int) []string { return []string{"many/*"} }},
		{"large file", func(int) []string { return []string{"big"} }},
		{"large together", func(int) []string { return []string{"half", "./half", "././half"} }},
		{"bad pattern", func(int) []string { return []string{"[/x"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			main := filepath.Join(dir, "main")
			if err := os.WriteFile(main, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			round := 0
			b := &ipctest.Backend{OnImport: func(context.Context, api.ImportRequest) (api.ImportResult, error) {
				round++
				return api.ImportResult{Missing: tt.missing(round)}, nil
			}}
			g, err := Open(main)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = g.Import(t.Context(), b, api.ImportRequest{}); err == nil || round > maxRounds || !strings.Contains(err.Error(), "could not be imported") {
				t.Errorf("after %d rounds: %v", round, err)
			}
		})
	}
}

func TestExpand(t *testing.T) {
	dir := write(t, map[string]string{"a/x.pem": "", "b/x.pem": "", "b/y.pem": "", "b/.z.pem": "", ".c/x.pem": ""})
	for _, tt := range []struct {
		pattern string
		want    []string
	}{
		{"b/y.pem", []string{"b/y.pem"}},
		{"nowhere", []string{"nowhere"}},
		{"*/x.pem", []string{"a/x.pem", "b/x.pem"}},
		{"b/*", []string{"b/x.pem", "b/y.pem"}},
		{"b/.*", []string{"b/.z.pem"}},
		{"./b/../?/x*", []string{"./b/../a/x.pem", "./b/../b/x.pem"}},
		{path.Join(filepath.ToSlash(dir), "a/*.pem"), []string{path.Join(filepath.ToSlash(dir), "a/x.pem")}},
		{"gone/*", nil},
		{"a/x.pem/*", nil},
	} {
		got, err := expand(dir, tt.pattern)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, %v; want %q", tt.pattern, got, err, tt.want)
		}
	}
}

// FuzzExpand asks for any pattern: it must come back with names that the
// pattern stands for, and never look at more than it may.
func FuzzExpand(f *testing.F) {
	dir := f.TempDir()
	for _, name := range []string{"a.conf", "b.conf", ".c"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			f.Fatal(err)
		}
	}
	for _, p := range []string{"*.conf", "a.conf", "[", "", "/", "..", "\x00", "?/*/../**", "[a-b].conf"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		// What an absolute pattern or ".." leads to is the machine's, not the test's;
		// a backslash escapes only beside a wildcard, which path.Match does not know.
		if strings.HasPrefix(pattern, "/") || strings.Contains(pattern, "..") || strings.Contains(pattern, `\`) || runtime.GOOS == "windows" {
			return
		}
		names, err := expand(dir, pattern)
		if err != nil {
			return
		}
		if len(names) > maxFiles {
			t.Fatalf("%d names", len(names))
		}
		for _, name := range names {
			if name == pattern {
				continue
			}
			if ok, err := path.Match(pattern, name); err != nil || !ok {
				t.Errorf("%q stands for %q: %v", pattern, name, err)
			}
		}
	})
}

func TestReadFileDoesNotWaitForAPipe(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("named pipes are not files on Windows")
	}
	if _, err := ReadFile(os.DevNull, 10); !errors.Is(err, ErrNotRegular) {
		t.Errorf("a device: %v", err)
	}
}

func TestNamed(t *testing.T) {
	dir := write(t, map[string]string{"a": "12345"})
	if data, err := Named(filepath.Join(dir, "a"), 5); err != nil || string(data) != "12345" {
		t.Errorf("got %q, %v", data, err)
	}
	for name, want := range map[string]string{"a": "larger than the 4 bytes", "b": "could not be read", ".": "not a regular file"} {
		_, err := Named(filepath.Join(dir, name), 4)
		if e := api.AsError(err); e == nil || e.Code != api.CodeUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
