//go:build linux || darwin

package ipc

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "run", "s")
}

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func left(t *testing.T, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestListenAndDial(t *testing.T) {
	path := socket(t)
	l := listen(t, path)
	for name, want := range map[string]os.FileMode{path: 0o666 | os.ModeSocket, path + ".lock": 0o600, filepath.Dir(path): 0o755 | os.ModeDir} {
		if st, err := os.Stat(name); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", name, st.Mode(), err, want)
		}
	}
	got := make(chan Peer, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			close(got)
			return
		}
		defer c.Close()
		p, err := PeerOf(c)
		if err != nil {
			t.Error(err)
		}
		got <- p
	}()
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := <-got
	if int(p.UID) != os.Getuid() || int(p.PID) != os.Getpid() || len(p.GIDs) == 0 || int(p.GIDs[0]) != os.Getgid() {
		t.Errorf("peer %+v", p)
	}
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		if !slices.Contains(p.GIDs, uint32(g)) {
			t.Errorf("peer's groups %v lack %d", p.GIDs, g)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if names := left(t, path); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestListenTwice(t *testing.T) {
	path := socket(t)
	listen(t, path)
	if _, err := Listen(path); !errors.Is(err, ErrInUse) {
		t.Errorf("with a lock: %v", err)
	}
	// A service that keeps no lock file is respected too.
	if err := os.Remove(path + ".lock"); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); !errors.Is(err, ErrInUse) {
		t.Errorf("without a lock: %v", err)
	}
}

func TestListenAfterACrash(t *testing.T) {
	path := socket(t)
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	u.SetUnlinkOnClose(false)
	u.Close()
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listen(t, path)
}

func TestListenRace(t *testing.T) {
	path := socket(t)
	for range 20 {
		var mu sync.Mutex
		var open []net.Listener
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				l, err := Listen(path)
				if errors.Is(err, ErrInUse) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				open = append(open, l)
			})
		}
		wg.Wait()
		if len(open) != 1 {
			t.Fatalf("%d of 4 listen", len(open))
		}
		open[0].Close()
	}
}

func TestListenRefuses(t *testing.T) {
	path := socket(t)
	dir := filepath.Dir(path)
	if _, err := Listen(filepath.Join(dir, "deeper", "s")); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("missing folders: %v", err)
	}
	if _, err := Listen(filepath.Join(dir, strings.Repeat("x", maxPath))); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Errorf("long path: %v", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file: %q, %v", b, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "target")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil {
		t.Error("listened through a symbolic link")
	}
	if err := os.Symlink(target, filepath.Join(dir, "t.lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(filepath.Join(dir, "t")); err == nil {
		t.Error("locked through a symbolic link")
	}
	if _, err := os.Lstat(target); err == nil {
		t.Error("the link's target was created")
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(filepath.Join(dir, "u")); err == nil || !strings.Contains(err.Error(), "writable by others") {
		t.Errorf("a writable folder: %v", err)
	}
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	listen(t, filepath.Join(dir, "u"))
}

func TestCheckFolder(t *testing.T) {
	for _, tt := range []struct {
		name             string
		mode, owner, uid uint32
		ok               bool
	}{
		{"root's, for root", 0o755, 0, 0, true},
		{"root's, for a user", 0o755, 0, 1000, true},
		{"own", 0o700, 1000, 1000, true},
		{"another's", 0o755, 1001, 1000, false},
		{"a user's, for root", 0o700, 1000, 0, false},
		{"group may write", 0o775, 0, 0, false},
		{"all may write", 0o777, 0, 0, false},
		{"sticky", 0o1777, 0, 1000, true},
	} {
		if err := checkFolder(tt.mode, tt.owner, tt.uid); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestPeerOfAnotherTransport(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := PeerOf(a); !errors.Is(err, ErrNoPeer) {
		t.Errorf("got %v", err)
	}
}

func TestDialNobody(t *testing.T) {
	if _, err := Dial(context.Background(), socket(t)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
