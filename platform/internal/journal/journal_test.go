package journal

import (
	"os"
	"path/filepath"
	"testing"
)

type notes struct {
	A string `json:"a"`
	B []int  `json:"b,omitempty"`
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.json")
	var got notes
	if found, err := Load(path, &got); found || err != nil {
		t.Errorf("Load without a journal = %v, %v", found, err)
	}
	for _, want := range []string{"one", "two"} {
		if err := Save(path, notes{A: want, B: []int{1, 2}}); err != nil {
			t.Fatal(err)
		}
		if found, err := Load(path, &got); !found || err != nil || got.A != want || len(got.B) != 2 {
			t.Errorf("Load = %v, %v, %+v", found, err, got)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for range 2 {
		if err := Remove(path); err != nil {
			t.Error(err)
		}
	}
	for _, damaged := range []string{"", "{", `{"a": 1}`, "\x00\x00"} {
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if found, err := Load(path, &got); found || err == nil {
			t.Errorf("Load of %q = %v, %v", damaged, found, err)
		}
	}
	if err := os.Truncate(path, limit+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, &got); err == nil {
		t.Error("loaded more than the limit")
	}
	if err := Save(filepath.Join(path, "x"), got); err == nil {
		t.Error("saved below a file")
	}
}
