// Package prefs holds what a user has chosen of the window and the tray, in a
// file of the user's own. Nothing in it changes what the service does.
package prefs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// The looks.
const (
	System = "system"
	Light  = "light"
	Dark   = "dark"
)

// Prefs are the choices.
type Prefs struct {
	Language string `json:"language"` // a tag; empty: as the system has it
	Look     string `json:"look"`     // System, Light or Dark
	Text     int    `json:"text"`     // size of text in percent, of Texts
	Notify   bool   `json:"notify"`   // tell of changes that matter
}

// Texts are the sizes of text to choose from, in percent.
func Texts() []int { return []int{85, 100, 125, 150, 200} }

// Default are the choices of a user who has made none.
func Default() Prefs { return Prefs{Look: System, Text: 100, Notify: true} }

// valid returns p with what makes no sense replaced by the default.
func (p Prefs) valid() Prefs {
	d := Default()
	if p.Look != Light && p.Look != Dark {
		p.Look = d.Look
	}
	if !slices.Contains(Texts(), p.Text) {
		p.Text = d.Text
	}
	if len(p.Language) > 16 {
		p.Language = ""
	}
	return p
}

// limit is how long the file may be.
const limit = 64 << 10

// A Store keeps the choices in a file. It is safe for use by several
// goroutines.
type Store struct {
	path string

	mu  sync.Mutex // guards now, and the file against us
	now Prefs
}

// Path returns where the choices of this user are: XDG_CONFIG_HOME/sallyport,
// or its like.
func Path() (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "sallyport", "window.json"), err
}

// Open reads the file at path. Without one, or with one that cannot be read,
// the choices are the default ones; the latter is an error that a program goes
// on after.
func Open(path string) (*Store, error) {
	s := &Store{path: path, now: Default()}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	defer f.Close()
	p := Default()
	b, err := io.ReadAll(io.LimitReader(f, limit))
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	s.now = p.valid()
	return s, nil
}

// Get returns the choices.
func (s *Store) Get() Prefs {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Set keeps the choices. They hold for this run even when they cannot be
// written, which the error tells.
func (s *Store) Set(p Prefs) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = p.valid()
	if s.path == "" {
		return nil
	}
	b, err := json.MarshalIndent(s.now, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("keep the settings: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(s.path), ".window-*")
	if err != nil {
		return fmt.Errorf("keep the settings: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), s.path)
	}
	if err != nil {
		return fmt.Errorf("keep the settings: %w", err)
	}
	return nil
}
