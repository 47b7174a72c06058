package prefs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sallyport", "window.json")
	s, err := Open(path)
	if err != nil || s.Get() != Default() {
		t.Fatalf("%+v, %v", s.Get(), err)
	}
	want := Prefs{Language: "de", Look: Dark, Text: 150}
	for range 2 {
		if err := s.Set(want); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Open(path)
	if err != nil || again.Get() != want {
		t.Errorf("%+v, %v", again.Get(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "window.json")
	for text, want := range map[string]Prefs{
		"{":                 Default(),
		"":                  Default(),
		"null":              Default(),
		`{"look":"purple"}`: Default(),
		`{"text":-5,"language":"zh","notify":false}`: {Language: "zh", Look: System, Text: 100},
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, _ := Open(path); s == nil || s.Get() != want {
			t.Errorf("%q: %+v, want %+v", text, s.Get(), want)
		}
	}
}

// TestReadOnly sees that a choice holds although it cannot be kept.
func TestReadOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := Open(filepath.Join(file, "window.json"))
	p := Default()
	p.Look = Dark
	if err := s.Set(p); err == nil {
		t.Error("it is said to be kept")
	}
	if s.Get() != p {
		t.Errorf("%+v", s.Get())
	}
}
