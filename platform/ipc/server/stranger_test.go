//go:build linux || darwin

package server_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sallyport/core/api"
	"sallyport/platform/internal/roottest"
	"sallyport/platform/ipc/client"
	"sallyport/platform/ipc/ipctest"
	"sallyport/platform/ipc/server"
)

// strangerSocket makes this test binary a front end that calls once.
const strangerSocket = "SALLYPORT_TEST_STRANGER_SOCKET"

func TestMain(m *testing.M) {
	if path := os.Getenv(strangerSocket); path != "" {
		_, err := client.New(path).State(context.Background())
		json.NewEncoder(os.Stdout).Encode(api.AsError(err))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// callAs asks the service at path as another user, and returns what it said.
func callAs(t *testing.T, path string, cred *syscall.Credential) *api.Error {
	t.Helper()
	// The test binary's own folder is closed to others.
	dir, err := os.MkdirTemp("", "sp")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "stranger")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	copyTo(t, bin)
	cmd := exec.Command(bin)
	cmd.Dir = "/"
	cmd.Env = []string{strangerSocket + "=" + path}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var e *api.Error
	if err := json.Unmarshal(out, &e); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	return e
}

func copyTo(t *testing.T, path string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(dst, src); err != nil {
		t.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOtherUsers lets real processes of other users call.
func TestOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv(roottest.Demand) == "1" {
			t.Fatal("it needs root, to run processes of other users")
		}
		t.Skip("it needs root, to run processes of other users")
	}
	const uid, gid, listed = 54321, 54321, 54322
	path := ipctest.Socket(t)
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	ipctest.Serve(t, path, &ipctest.Backend{}, server.Options{Access: server.Access{UIDs: []uint32{listed}, Groups: []string{"54399"}}})

	for _, tt := range []struct {
		name string
		cred *syscall.Credential
		want api.ErrorCode
	}{
		{"a stranger", &syscall.Credential{Uid: uid, Gid: gid}, api.CodeNotAllowed},
		{"nobody", &syscall.Credential{Uid: 65534, Gid: 65534}, api.CodeNotAllowed},
		{"in root's group", &syscall.Credential{Uid: uid, Gid: 0, Groups: []uint32{0}}, api.CodeNotAllowed},
		{"a member", &syscall.Credential{Uid: uid, Gid: gid, Groups: []uint32{7, 54399}}, ""},
		{"by primary group", &syscall.Credential{Uid: uid, Gid: 54399}, ""},
		{"a listed user", &syscall.Credential{Uid: listed, Gid: gid}, ""},
	} {
		e := callAs(t, path, tt.cred)
		switch {
		case tt.want == "" && e != nil:
			t.Errorf("%s: %v", tt.name, e)
		case tt.want != "" && (e == nil || e.Code != tt.want):
			t.Errorf("%s: %v, want %s", tt.name, e, tt.want)
		}
		if e != nil && tt.name == "a stranger" && !strings.Contains(e.Next, "usermod -aG 54399 USER") && !strings.Contains(e.Next, "dseditgroup") {
			t.Errorf("%s is told %q", tt.name, e.Next)
		}
	}
	// A closed folder stops them before the service does.
	if err := os.Chmod(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if e := callAs(t, path, &syscall.Credential{Uid: uid, Gid: gid}); e == nil || e.Code != api.CodeNotAllowed || !strings.Contains(e.Why, "does not let you open") {
		t.Errorf("a closed folder: %v", e)
	}
}
