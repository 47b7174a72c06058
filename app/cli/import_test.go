package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
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

// includer is an importer of files whose lines are "include PATTERN".
func includer(b *ipctest.Backend) {
	b.OnImport = func(_ context.Context, r api.ImportRequest) (api.ImportResult, error) {
		var res api.ImportResult
		for _, f := range r.Files {
			for line := range strings.Lines(string(f.Data)) {
				if p, ok := strings.CutPrefix(strings.TrimSpace(line), "include "); ok && !slices.Contains(r.Asked, p) {
					res.Missing = append(res.Missing, p)
				}
			}
		}
		if len(res.Missing) == 0 {
			res.Format = "swanctl"
			res.Imported = []api.ImportedConnection{{Name: "office", Gateway: []string{"vpn.example.com"}, Auth: "PSK",
				Warnings: []string{"MODP_1024 is weak."}, Ignored: []string{"swanctl.conf:12: connections.office.mobike: not offered yet"}}}
			res.Refused = []string{"swanctl.conf:30: connections.eap.local.auth: EAP is not supported yet"}
		}
		return res, nil
	}
}

func TestImportGathersWhatIsMissing(t *testing.T) {
	dir := write(t, map[string]string{
		"swanctl.conf":     "include conf.d/*.conf\ninclude gone.conf\n",
		"conf.d/b.conf":    "include conf.d/../x509/ca.pem\n",
		"conf.d/a.conf":    "include conf.d/*.conf\n",
		"conf.d/.hidden":   "no",
		"conf.d/.x.conf":   "no",
		"conf.d/dir.conf/": "",
		"x509/ca.pem":      "PEM",
	})
	b := &ipctest.Backend{}
	includer(b)
	main := filepath.Join(dir, "swanctl.conf")
	for _, args := range [][]string{{"import", main}, {"import", main, "--json"}} {
		code, out, errOut := shell{b: b}.run(t.Context(), args...)
		name := "import"
		if len(args) == 3 {
			name = "import-json"
		}
		golden(t, name, strings.ReplaceAll(transcript(args, code, out, errOut), dir, "DIR"))
	}
	calls := b.Calls()
	want := "swanctl.conf (40 bytes), conf.d/a.conf (22 bytes), conf.d/b.conf (30 bytes), conf.d/../x509/ca.pem (3 bytes)"
	if last := calls[len(calls)-1]; !strings.Contains(last, want) {
		t.Errorf("the service got %s\nwant %s", last, want)
	}
}

func TestImportPassword(t *testing.T) {
	dir := write(t, map[string]string{"a.toml": "a\n", "b.toml": "b\n"})
	a, b := filepath.Join(dir, "a.toml"), filepath.Join(dir, "b.toml")
	long := strings.Repeat("x", maxPassword)
	for _, tt := range []struct {
		name, stdin string
		code        int
		password    string
	}{
		{"line", "secret\nmore\n", 0, "secret"},
		{"crlf", "secret\r\n", 0, "secret"},
		{"no newline", "secret", 0, "secret"},
		{"longest", long + "\n", 0, long},
		{"too long", long + "x\n", 2, ""},
		{"empty line", "\n", 2, ""},
		{"empty", "", 2, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			fake := &ipctest.Backend{OnImport: func(_ context.Context, r api.ImportRequest) (api.ImportResult, error) {
				got = append(got, string(r.Password))
				return api.ImportResult{Imported: []api.ImportedConnection{{Name: "x"}}}, nil
			}}
			code, out, errOut := shell{b: fake, stdin: tt.stdin}.run(t.Context(), "import", a, b, "--password-stdin")
			if code != tt.code {
				t.Errorf("exit %d, want %d\n%s", code, tt.code, errOut)
			}
			if code == 0 && !slices.Equal(got, []string{tt.password, tt.password}) {
				t.Errorf("the service got %q", got)
			}
			if strings.Contains(out+errOut, "secret") {
				t.Errorf("the password is shown:\n%s%s", out, errOut)
			}
		})
	}
}

func TestImportAsksForTheSecret(t *testing.T) {
	dir := write(t, map[string]string{"a.toml": "a\n"})
	fake := &ipctest.Backend{OnImport: func(_ context.Context, r api.ImportRequest) (api.ImportResult, error) {
		if string(r.Password) != "typed" {
			return api.ImportResult{}, &api.Error{Code: api.CodeLocalCredential, What: "The PSK is missing.", Params: map[string]string{"needs": "password"}}
		}
		return api.ImportResult{Imported: []api.ImportedConnection{{Name: "a", Auth: "PSK"}}}, nil
	}}
	prompt := func(answer string, err error) func(*Options) {
		return func(o *Options) {
			o.Prompt = func(context.Context, string) ([]byte, error) { return []byte(answer), err }
		}
	}
	for _, tt := range []struct {
		name string
		opt  func(*Options)
		args []string
		code int
	}{
		{"typed", prompt("typed", nil), nil, 0},
		{"wrong", prompt("other", nil), nil, 1},
		{"given up", prompt("", errors.New("interrupted")), nil, 1},
		{"script", prompt("typed", nil), []string{"--json"}, 1},
		{"no terminal", nil, nil, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"import", filepath.Join(dir, "a.toml")}, tt.args...)
			if code, out, errOut := (shell{b: fake, opt: tt.opt}).run(t.Context(), args...); code != tt.code {
				t.Errorf("exit %d, want %d\n%s%s", code, tt.code, out, errOut)
			}
		})
	}
}

func TestImportUnreadable(t *testing.T) {
	dir := write(t, map[string]string{"empty/": "", "ok": "x\n", "main": "include wanted\n"})
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"gone"}, 2, "o such file"},
		{[]string{"empty"}, 2, "not a regular file"},
		{[]string{"ok", "gone"}, 2, "o such file"},
	} {
		args := []string{"import"}
		for _, a := range tt.args {
			args = append(args, filepath.Join(dir, a))
		}
		code, _, errOut := shell{b: &ipctest.Backend{}}.run(t.Context(), args...)
		if code != tt.code || !strings.Contains(errOut, tt.want) {
			t.Errorf("%v: exit %d\n%s", tt.args, code, errOut)
		}
		code, out, _ := shell{b: &ipctest.Backend{}}.run(t.Context(), append(args, "--json")...)
		if code != tt.code || !strings.Contains(out, `"error"`) || len(tt.args) == 2 && !strings.Contains(out, `"results"`) {
			t.Errorf("%v --json: exit %d\n%s", tt.args, code, out)
		}
	}

	// A wanted file that is no file is named beside the importer's own complaint.
	if err := os.Mkdir(filepath.Join(dir, "wanted"), 0o755); err != nil {
		t.Fatal(err)
	}
	b := &ipctest.Backend{OnImport: func(_ context.Context, r api.ImportRequest) (api.ImportResult, error) {
		if len(r.Asked) == 0 {
			return api.ImportResult{Missing: []string{"wanted"}}, nil
		}
		return api.ImportResult{}, &api.Error{Code: api.CodeProfileInvalid, What: "It lacks wanted."}
	}}
	code, _, errOut := shell{b: b}.run(t.Context(), "import", filepath.Join(dir, "main"))
	if code != 1 || !strings.Contains(errOut, "Could not read wanted: it is not a regular file.") {
		t.Errorf("exit %d\n%s", code, errOut)
	}
}
