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
	"sallyport/platform/ipc"
	"sallyport/platform/ipc/client"
	"sallyport/platform/ipc/ipctest"
	"sallyport/platform/ipc/server"
)

// strangerSocket makes this test binary a front end that calls once, and
// impostorSocket a service that another user runs.
const (
	strangerSocket = "SALLYPORT_TEST_STRANGER_SOCKET"
	impostorSocket = "SALLYPORT_TEST_IMPOSTOR_SOCKET"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(strangerSocket); path != "" {
		_, err := client.New(path).State(context.Background())
		json.NewEncoder(os.Stdout).Encode(api.AsError(err))
		os.Exit(0)
	}
	if path := os.Getenv(impostorSocket); path != "" {
		ln, err := ipc.Listen(path)
		if err != nil {
			os.Stdout.WriteString(err.Error())
			os.Exit(1)
		}
		os.Stdout.WriteString("ready")
		io.Copy(io.Discard, os.Stdin) // until the test closes it
		ln.Close()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// needRoot keeps a test from running where it cannot.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv(roottest.Demand) == "1" {
		t.Fatal("it needs root, to run processes of other users")
	}
	t.Skip("it needs root, to run processes of other users")
}

// callAs asks the service at path as another user, and returns what it said.
func callAs(t *testing.T, path string, cred *syscall.Credential) *api.Error {
	t.Helper()
	out, err := selfAs(t, cred, strangerSocket+"="+path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var e *api.Error
	if err := json.Unmarshal(out, &e); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	return e
}

// selfAs returns the command that runs this test binary as another user. Its
// own folder is closed to others, so it runs a copy.
func selfAs(t *testing.T, cred *syscall.Credential, env string) *exec.Cmd {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "self")
	copyTo(t, bin)
	cmd := exec.Command(bin)
	cmd.Dir = "/"
	cmd.Env = []string{env}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	return cmd
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
	needRoot(t)
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

// TestImpostor lets another user's process serve the socket: a front end must
// not hand it a secret.
func TestImpostor(t *testing.T) {
	needRoot(t)
	const uid = 54321
	path := ipctest.Socket(t)
	if err := os.Chown(filepath.Dir(path), uid, uid); err != nil {
		t.Fatal(err)
	}
	cmd := selfAs(t, &syscall.Credential{Uid: uid, Gid: uid}, impostorSocket+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, 5)
	if _, err := io.ReadFull(out, ready); err != nil || string(ready) != "ready" {
		t.Fatalf("%q, %v", ready, err)
	}
	_, err = client.New(path).Import(t.Context(), api.ImportRequest{Files: []api.File{{Path: "x"}}, Password: []byte("secret")})
	if e := api.AsError(err); e == nil || e.Code != api.CodeNotAllowed || !strings.Contains(e.What, "not to be trusted") {
		t.Errorf("got %v", err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
