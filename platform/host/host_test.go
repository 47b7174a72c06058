package host

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"sallyport/core/host"
)

func TestRunLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	ran := 0
	nested := errors.New("not run")
	if err := RunLocked(dir, func() error {
		ran++
		nested = RunLocked(dir, func() error { ran++; return nil })
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(nested, host.ErrInUse) || ran != 1 {
		t.Errorf("second RunLocked = %v, want %v; %d runs", nested, host.ErrInUse, ran)
	}
	want := errors.New("of f")
	if err := RunLocked(dir, func() error { return want }); err != want {
		t.Errorf("RunLocked = %v, want the error of f", err)
	}
}

func TestNew(t *testing.T) {
	dir := t.TempDir()
	o := Options{StateDir: filepath.Join(dir, "state"), ConfigDir: filepath.Join(dir, "config")}
	for range 2 {
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []host.Files{s.Profiles, s.Certs, s.Secrets} {
			if err := f.Write("a", []byte("x")); err != nil {
				t.Error(err)
			}
		}
		if err := s.NetMonitor.Close(); err != nil {
			t.Error(err)
		}
		if tun, err := s.OpenTUN("a/b", 1400); tun != nil || err == nil {
			t.Errorf("OpenTUN of a bad name = %v, %v", tun, err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	if info, err := os.Stat(filepath.Join(o.ConfigDir, "secrets", "a")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a secret has mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(filepath.Join(o.ConfigDir, "secrets"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := New(o); !errors.Is(err, host.ErrUnsafe) {
		t.Errorf("New with open secrets = %v, want %v", err, host.ErrUnsafe)
	}
	if err := os.Chmod(o.StateDir, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"New":       func() error { _, err := New(o); return err },
		"Cleanup":   func() error { return Cleanup(o.StateDir) },
		"RunLocked": func() error { return RunLocked(o.StateDir, func() error { return nil }) },
	} {
		if err := f(); !errors.Is(err, host.ErrUnsafe) {
			t.Errorf("%s with an open state folder = %v, want %v", name, err, host.ErrUnsafe)
		}
	}
}
