// Package roottest is for tests that need root, a TUN device or a network
// namespace. Such a test runs in a namespace of its own, made by running the
// test binary again, so that it can neither harm the machine nor leave
// anything behind.
package roottest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Demand is the environment variable that, set to 1, makes a test that cannot
// get what it needs fail rather than be skipped.
const Demand = "SALLYPORT_ROOT_TESTS"

// inside marks the child process that runs in the namespaces.
const inside = "SALLYPORT_ROOTTEST_INSIDE"

// The main goroutine keeps the main thread to itself, so that In never changes
// the namespace of that one, which stands for the process in /proc.
func init() { runtime.LockOSThread() }

// Require skips the test, or fails it when Demand says so, unless the process
// may administer its network and has a TUN driver.
func Require(t testing.TB) {
	t.Helper()
	switch {
	case !mayAdminister():
		unmet(t, "it needs CAP_NET_ADMIN and CAP_SYS_ADMIN: run it as root")
	case !hasTUN():
		unmet(t, "it needs /dev/net/tun")
	}
}

// Namespace runs the rest of the test in new network and mount namespaces, in
// which lo is up, mounts do not reach the machine, and /run is empty. It is
// called first in a test, which goes on only when Namespace returns true:
//
//	if !roottest.Namespace(t) {
//		return
//	}
//
// Without root it tries a user namespace.
func Namespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		prepare(t)
		return true
	}
	if os.Getenv(inside) != "" {
		t.Fatalf("%s runs inside the namespace of %s", t.Name(), os.Getenv(inside))
	}
	if !hasTUN() {
		unmet(t, "it needs /dev/net/tun")
	}

	args := []string{"-test.run=^" + regexp.QuoteMeta(t.Name()) + "$", "-test.count=1", "-test.v=true"}
	if deadline, ok := t.Deadline(); ok { // leave time to report
		args = append(args, "-test.timeout="+max(time.Until(deadline)-2*time.Second, time.Second).String())
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if !mayAdminister() {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// Pdeathsig is bound to the thread that starts the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		unmet(t, "it needs namespaces: "+err.Error())
	}
	t.Logf("in its own namespaces:\n%s", strings.TrimSpace(out.String()))
	if err != nil {
		t.Errorf("failed in its own namespaces: %v", err)
	} else if !strings.Contains(out.String(), "--- PASS: "+t.Name()) {
		unmet(t, "it was skipped in its own namespaces")
	}
	return false
}

// Run runs a command and returns its output; the test ends when it fails.
func Run(t testing.TB, command string) string {
	t.Helper()
	f := strings.Fields(command)
	out, err := exec.Command(f[0], f[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

func unmet(t testing.TB, why string) {
	t.Helper()
	if os.Getenv(Demand) == "1" {
		t.Fatalf("%s=1 demands this test, but %s", Demand, why)
	}
	t.Skipf("not run: %s", why)
}

func mayAdminister() bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&hdr, &data[0]) != nil {
		return false
	}
	const need = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_SYS_ADMIN
	return data[0].Effective&need == need
}

func hasTUN() bool {
	info, err := os.Stat("/dev/net/tun")
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}

// prepare makes the new mount namespace private and hides /run, so that the
// names of further network namespaces (ip netns add) are private too.
func prepare(t *testing.T) {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatalf("make mounts private: %v", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		t.Fatalf("mount private /run: %v", err)
	}
	Run(t, "ip link set lo up")
}

// Bind mounts a private copy of content over the file path of this mount
// namespace, as container engines do with /etc/resolv.conf.
func Bind(t testing.TB, path, content string) {
	t.Helper()
	src := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(src, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(src, path, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("bind %s: %v", path, err)
	}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
}

// In runs f in the network namespace that "ip netns add name" made. Sockets
// that f opens stay in it.
func In(t testing.TB, name string, f func()) {
	t.Helper()
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	there, err := os.Open("/run/netns/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatalf("enter namespace %s: %v", name, err)
	}
	defer func() {
		// On failure the thread stays locked and dies with the goroutine.
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err == nil {
			runtime.UnlockOSThread()
		}
	}()
	f()
}

// Command requires a program that the test runs.
func Command(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		unmet(t, "it needs the program "+name)
	}
}
