package token

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"sallyport/core/host"
)

// hostile builds the module of testdata.
func hostile(t *testing.T) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("there is no compiler for the module")
	}
	at := filepath.Join(t.TempDir(), "hostile.so")
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-O0", "-w", "-o", at, "testdata/hostile.c").CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	if err := os.Chmod(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	return at
}

// TestHostileModule: a module that hangs, breaks down or lies costs its own
// process, and an answer within the caller's time.
func TestHostileModule(t *testing.T) {
	module := hostile(t)
	for _, tt := range []struct {
		how  string
		want error
	}{{"crash", host.ErrTokenModule}, {"hang", host.ErrTokenModule}, {"none", host.ErrTokenModule}, {"many", nil}, {"long", nil}, {"grow", nil}, {"", nil}} {
		t.Run(tt.how, func(t *testing.T) {
			k := newTokens(t, module)
			t.Setenv("HOSTILE", tt.how)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			begun := time.Now()
			list, err := k.List(ctx)
			if !errors.Is(err, tt.want) || time.Since(begun) > 5*time.Second {
				t.Errorf("%d tokens, %v after %v", len(list), err, time.Since(begun))
			}
			for _, x := range list {
				if len(x.Certificates) > 32 || len(x.Label) > 256 {
					t.Errorf("%d certificates, a label of %d bytes", len(x.Certificates), len(x.Label))
				}
			}
			if tt.want == nil && (len(list) == 0 || len(list) > 64) {
				t.Errorf("%d tokens", len(list))
			}
		})
	}
}

// TestHangingLogin ends a module that keeps a PIN and says nothing; what is asked
// of it later fails at once, and the next use begins anew.
func TestHangingLogin(t *testing.T) {
	module := hostile(t)
	k := newTokens(t, module)
	t.Setenv("HOSTILE", "login")
	list, err := k.List(t.Context())
	if err != nil || len(list) == 0 {
		t.Fatalf("%d tokens, %v", len(list), err)
	}
	s, err := k.Open(t.Context(), &list[0])
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := s.Login(ctx, []byte("1234")); !errors.Is(err, host.ErrTokenModule) {
		t.Errorf("a login that hangs: %v", err)
	}
	if _, err := s.PIN(t.Context()); !errors.Is(err, host.ErrTokenGone) {
		t.Errorf("afterwards: %v", err)
	}
	if list, err = k.List(t.Context()); err != nil || len(list) == 0 {
		t.Errorf("anew: %d tokens, %v", len(list), err)
	}
}

// TestModulePaths loads nothing that somebody else could have put there, and
// nothing that is not configured.
func TestModulePaths(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "module.so")
	if err := os.WriteFile(at, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		if err := checkModule(at); err != nil {
			t.Errorf("our own: %v", err)
		}
		if err := os.Chmod(at, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := checkModule(at); !errors.Is(err, host.ErrUnsafe) {
			t.Errorf("one that everybody can write: %v", err)
		}
		if err := os.Chmod(at, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := checkModule(at); !errors.Is(err, host.ErrUnsafe) {
			t.Errorf("in a folder that everybody can write: %v", err)
		}
	}
	k := New("helper", []string{at})
	if _, err := k.Open(t.Context(), &host.Token{Module: "/tmp/evil.so"}); !errors.Is(err, host.ErrTokenModule) {
		t.Errorf("a module that is not configured: %v", err)
	}
	list := filepath.Join(dir, "pkcs11-modules")
	if err := os.WriteFile(list, []byte("# ours\n"+at+" # the only one\n\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		given []string
		file  string
		want  []string
		bad   bool
	}{
		{given: []string{at}, file: "none.txt", want: []string{at}},
		{file: list, want: []string{at}},
		{given: []string{"none"}, file: list, want: nil},
		{given: []string{"module.so"}, bad: true},
	} {
		got, err := Configured(tt.given, tt.file)
		if (err != nil) != tt.bad || !slices.Equal(got, tt.want) {
			t.Errorf("%v, %s: got %v, %v", tt.given, tt.file, got, err)
		}
	}
}
