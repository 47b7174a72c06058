package secret

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"sallyport/core/host"
)

func TestFiles(t *testing.T) {
	for _, private := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "a", "b")
		f, err := Open(dir, private)
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string]string{"b.toml": "x", "a.toml": "y", "größe 1.pem": ""} {
			if err := f.Write(name, []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Write("b.toml", []byte("new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ".new-1"), nil, 0o600); err != nil { // an unfinished write
			t.Fatal(err)
		}
		want := []string{"a.toml", "b.toml", "größe 1.pem"}
		if got, err := f.List(); !reflect.DeepEqual(got, want) || err != nil {
			t.Errorf("List = %q, %v, want %q", got, err, want)
		}
		if got, err := f.Read("b.toml"); string(got) != "new" || err != nil {
			t.Errorf("Read = %q, %v", got, err)
		}
		if _, err := f.Read("absent"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Read of an absent file = %v", err)
		}
		if _, err := f.Read("folder"); err == nil {
			t.Error("read a folder")
		}
		for range 2 {
			if err := f.Remove("b.toml"); err != nil {
				t.Error(err)
			}
		}
		if err := f.Write("big", make([]byte, maxFile+1)); err == nil {
			t.Error("wrote more than the limit")
		}
		if _, err := Open(dir, private); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(filepath.Join(dir, ".new-1")); err == nil {
			t.Error("Open left an unfinished write")
		}
		if runtime.GOOS == "windows" {
			continue
		}
		wantDir, wantFile := fs.FileMode(0o755), fs.FileMode(0o644)
		if private {
			wantDir, wantFile = 0o700, 0o600
		}
		for path, want := range map[string]fs.FileMode{dir: wantDir, filepath.Join(dir, "a.toml"): wantFile} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s has mode %v, %v, want %v", path, info.Mode().Perm(), err, want)
			}
		}
	}
}

func TestUnsafe(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("not run: Windows has access control lists instead of modes")
	}
	for _, tt := range []struct {
		private bool
		mode    fs.FileMode
		ok      bool
	}{{true, 0o700, true}, {true, 0o750, false}, {true, 0o701, false}, {false, 0o755, true}, {false, 0o775, false}, {false, 0o757, false}} {
		dir := t.TempDir()
		if err := os.Chmod(dir, tt.mode); err != nil {
			t.Fatal(err)
		}
		f, err := Open(dir, tt.private)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, host.ErrUnsafe) {
			t.Errorf("folder of mode %v, private %v: %v", tt.mode, tt.private, err)
		}
		if err != nil {
			continue
		}
		path := filepath.Join(dir, "f")
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tt.mode|0o066); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Read("f"); !errors.Is(err, host.ErrUnsafe) {
			t.Errorf("a file that others may change was read: %v", err)
		}
		if err := os.Symlink("/dev/null", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Read("link"); err == nil {
			t.Error("followed a link")
		}
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, true); err == nil {
		t.Error("opened a file as a folder")
	}
}

func TestNames(t *testing.T) {
	f, err := Open(t.TempDir()+"/x", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"", ".", "..", "../x", "a/b", `a\b`, "/etc/passwd", ".hidden", "a\x00b", "a\nb", "C:x", "a:stream", "a*", "nul", "Con.toml", "com1.pem",
		"a.", "a ", "\xff", strings.Repeat("a", maxName+1),
	} {
		if err := f.Write(name, nil); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Write(%q) = %v", name, err)
		}
		if _, err := f.Read(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Read(%q) = %v", name, err)
		}
		if err := f.Remove(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Remove(%q) = %v", name, err)
		}
	}
	for _, name := range []string{"a", "office.toml", "null.toml", "common.pem", strings.Repeat("a", maxName)} {
		if err := f.Write(name, nil); err != nil {
			t.Errorf("Write(%q) = %v", name, err)
		}
	}
}
