package interop_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// TestDemo runs "sallyport demo" as root, and as nobody by user namespaces.
func TestDemo(t *testing.T) {
	l := lab.New(t)
	before := l.Client.Snapshot()
	l.Client.Mount(func() error { return openTUN(0o666) })
	for _, who := range []string{"root", "nobody"} {
		t.Run(who, func(t *testing.T) {
			cmd := demoCommand(t, l)
			if who == "nobody" {
				unprivileged(cmd)
			}
			out, errOut, err := l.Client.Output(time.Minute, cmd)
			if err != nil {
				t.Fatalf("%v\n%s%s", err, out, errOut)
			}
			var sum struct {
				OK     bool                   `json:"ok"`
				Checks []struct{ OK bool }    `json:"checks"`
				Wire   struct{ IKE, ESP int } `json:"wire"`
			}
			if err := json.Unmarshal([]byte(out), &sum); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !sum.OK || len(sum.Checks) < 10 || sum.Wire.IKE < 4 || sum.Wire.ESP < 10 {
				t.Errorf("%s", out)
			}
		})
	}
	t.Run("stopped", func(t *testing.T) {
		cmd := demoCommand(t, l, "--keep")
		cmd.Args = slices.DeleteFunc(cmd.Args, func(a string) bool { return a == "--json" }) // so that it says where it is
		l := l.For(t)
		demo := l.Client.Start("demo", cmd)
		waitFor(t, "the demo to be up", func() bool { return strings.Contains(demo.Log(), "Everything stays up until Ctrl-C") })
		_ = demo.Cmd.Process.Signal(os.Interrupt)
		<-demo.Done
		if demo.Err != nil || !strings.Contains(demo.Log(), "checks held") {
			t.Errorf("Ctrl-C: %v\n%s", demo.Err, demo.Log())
		}
		waitFor(t, "the services to end", func() bool { return len(services(t, l)) == 0 })
	})
	t.Run("killed", func(t *testing.T) {
		demo := l.For(t).Client.Start("demo", demoCommand(t, l, "--keep"))
		waitFor(t, "the demo to be up", func() bool { return len(services(t, l)) == 2 })
		demo.Kill()
		waitFor(t, "the services to end", func() bool { return len(services(t, l)) == 0 })
	})
	l.Client.MustBeAsBefore(before)
}

// TestDemoRefused is the demo where it cannot run.
func TestDemoRefused(t *testing.T) {
	l := lab.New(t)
	before := l.Client.Snapshot()
	refused := func(name string, code api.ErrorCode, prepare func(*exec.Cmd)) {
		t.Run(name, func(t *testing.T) {
			cmd := demoCommand(t, l)
			prepare(cmd)
			out, errOut, _ := l.Client.Output(time.Minute, cmd)
			var body struct {
				Error *api.Error `json:"error"`
			}
			if err := json.Unmarshal([]byte(out), &body); err != nil || body.Error == nil {
				t.Fatalf("%v\n%s%s", err, out, errOut)
			}
			mustExplain(t, body.Error, cmd.ProcessState.ExitCode(), code, 1)
		})
	}
	l.Client.Mount(func() error { return unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, "") })
	refused("no TUN driver", api.CodeNoTUN, func(*exec.Cmd) {})
	l.Client.Mount(func() error { return openTUN(0o600) })
	refused("TUN driver for root only", api.CodeNoPrivilege, unprivileged)
	l.Client.Mount(func() error { return openTUN(0o666) })
	refused("no user namespaces", api.CodeNoPrivilege, func(cmd *exec.Cmd) {
		unprivileged(cmd)
		// The kernel gives none to a process in another root directory.
		root := l.Dir("root")
		l.Client.Mount(func() error { return unix.Mount("/", root, "", unix.MS_BIND|unix.MS_REC, "") })
		cmd.SysProcAttr.Chroot = root
	})
	refused("no service", api.CodeUnsupported, func(cmd *exec.Cmd) {
		b, err := os.ReadFile(cmd.Path)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path = filepath.Join(l.Dir("alone"), "sallyport")
		if err := os.WriteFile(cmd.Path, b, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, "PATH="+l.Dir("alone"))
	})
	l.Client.MustBeAsBefore(before)
}

// openTUN puts a TUN device with these permissions into the machine's /dev/net.
func openTUN(mode uint32) error {
	if err := unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, ""); err != nil {
		return err
	}
	if err := unix.Mknod("/dev/net/tun", unix.S_IFCHR|mode, int(unix.Mkdev(10, 200))); err != nil {
		return err
	}
	return os.Chmod("/dev/net/tun", os.FileMode(mode))
}

// demoCommand returns a demo from a folder where everyone may run it.
func demoCommand(t *testing.T, l *lab.Lab, args ...string) *exec.Cmd {
	t.Helper()
	for _, name := range []string{"sallyport", "sallyportd"} {
		b, err := os.ReadFile(l.Bin(name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(l.Dir("demo-bin"), name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := os.WriteFile(path, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return lab.Command(filepath.Join(l.Dir("demo-bin"), "sallyport"), append([]string{"demo", "--json"}, args...)...)
}

// services returns the processes that run the service of demoCommand's folder.
func services(t *testing.T, l *lab.Lab) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(links, func(link string) bool {
		exe, err := os.Readlink(link)
		return err != nil || exe != filepath.Join(l.Dir("demo-bin"), "sallyportd")
	})
}
