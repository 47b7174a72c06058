package ipctest

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"sallyport/core/api"
	"sallyport/platform/ipc"
	"sallyport/platform/ipc/server"
)

// Socket returns the path for a socket in a folder that only this test has, and
// that fits a socket address (t.TempDir's can be too long).
func Socket(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// Serve serves b on the socket at path until the test ends or stop is called,
// which waits for the end.
func Serve(t testing.TB, path string, b api.Backend, opts server.Options) (stop func()) {
	t.Helper()
	ln, err := ipc.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.New(b, opts).Serve(ctx, ln) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}
