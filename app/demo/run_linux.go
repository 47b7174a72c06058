package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/core/api"
)

// inside tells the process that runs in the namespaces which ones it must not
// be in: those of the machine.
const inside = "SALLYPORT_DEMO_OUTSIDE"

// resultFD is where that process writes its error, as JSON; readyFD where it
// writes the path of the client's socket, when a window may open on it.
const (
	resultFD = 3
	readyFD  = 4
)

// Run runs the demo: it runs this program once more, in fresh namespaces that
// die with it, and there builds gateway and client.
func Run(ctx context.Context, args []string, out io.Writer) error {
	o, help, err := parse(args, out)
	if help || err != nil {
		return err
	}
	if outside := os.Getenv(inside); outside != "" {
		if here, err := namespaces(); err != nil || here == outside {
			return &api.Error{Code: api.CodeUsage, What: "The demo's second half runs in namespaces of its own, and these are the machine's.",
				Next: "Unset " + inside + "."}
		}
		err := show(ctx, o, out)
		result := os.NewFile(resultFD, "result")
		defer result.Close()
		return json.NewEncoder(result).Encode(api.AsError(err))
	}
	return enter(ctx, o, args)
}

// namespaces identifies the network and mount namespace of the process.
func namespaces() (string, error) {
	var ids []string
	for _, kind := range []string{"net", "mnt"} {
		id, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			return "", err
		}
		ids = append(ids, id)
	}
	return strings.Join(ids, " "), nil
}

// enter runs this program in fresh namespaces and waits for it.
func enter(ctx context.Context, o options, args []string) error {
	here, err := namespaces()
	if err != nil {
		return setupError(err)
	}
	self, err := os.Executable()
	if err != nil {
		return setupError(err)
	}
	if _, err := daemon(self); err != nil {
		return err
	}
	if err := checkTUN(); err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return setupError(err)
	}
	defer r.Close()

	ready, tell, err := os.Pipe()
	if err != nil {
		return setupError(err)
	}
	defer ready.Close()
	gui := ""
	if !o.noWindow && !o.json && !o.keep {
		gui = window(self)
	}

	cmd := exec.CommandContext(ctx, self, append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), inside+"="+here)
	if gui != "" {
		cmd.Env = append(cmd.Env, windowed+"=1")
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{w, tell}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL, // however we end, nothing stays
		Setpgid:    true,            // Ctrl-C comes from us, once
	}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	// Pdeathsig is bound to the thread that starts the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	w.Close()
	tell.Close()
	if err != nil {
		return setupError(fmt.Errorf("make namespaces: %w", err))
	}
	if gui != "" {
		openWindow(ctx, gui, ready, cmd.Process)
	}
	var result *api.Error
	decoded := json.NewDecoder(io.LimitReader(r, 1<<20)).Decode(&result)
	err = cmd.Wait()
	switch {
	case result != nil:
		return result
	case decoded == nil: // it said that nothing is wrong; Wait may say that we stopped it
		return nil
	case ctx.Err() != nil:
		return stopped()
	default:
		return &api.Error{Code: api.CodeInternal, What: "The demo ended in an unexpected way.", Why: fmt.Sprint(errors.Join(err, decoded)) + ".",
			Next: "Run it again; if it happens again, please report it."}
	}
}

func stopped() error {
	return &api.Error{Code: api.CodeCancelled, What: "The demo was stopped.", Why: "Nothing of it is left."}
}

// daemon returns the path of sallyportd: beside this program, or in PATH.
func daemon(self string) (string, error) {
	const name = "sallyportd"
	if path := filepath.Join(filepath.Dir(self), name); isExecutable(path) {
		return path, nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	return "", &api.Error{Code: api.CodeUnsupported, What: "The demo needs the program of the service, " + name + ".",
		Why:  "It is neither beside " + self + " nor in PATH.",
		Next: "Build both with `make build`, or install the package."}
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// checkTUN opens the TUN driver's device, which user namespaces do not give.
func checkTUN() error {
	const path = "/dev/net/tun"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		return unix.Close(fd)
	}
	why := fmt.Sprintf("Open %s: %v.", path, err)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return &api.Error{Code: api.CodeNoPrivilege, What: "The demo may not use the TUN device.", Why: why,
			Next: "Run `sudo sallyport demo`; a container needs the device passed through (--device /dev/net/tun)."}
	}
	return &api.Error{Code: api.CodeNoTUN, What: "The demo cannot use the TUN device that carries the tunnel's packets.", Why: why,
		Next: "Load the driver with `sudo modprobe tun`; a container needs the device passed through (--device /dev/net/tun). Then try again."}
}

// setupError explains why gateway and client cannot be built.
func setupError(err error) error {
	e := &api.Error{Code: api.CodeNetworkSetup, What: "The demo cannot build its gateway and client.", Why: err.Error() + ".",
		Next: "Run it on a Linux machine with network namespaces and virtual Ethernet (veth)."}
	for _, denied := range []error{unix.EPERM, unix.EACCES, unix.ENOSPC, unix.EUSERS, unix.ENOSYS} {
		if errors.Is(err, denied) {
			e.Code = api.CodeNoPrivilege
			e.What = "The demo may not make namespaces of its own."
			e.Next = "Run `sudo sallyport demo`: this system does not let you make network namespaces without root."
			if os.Getenv(inside) == "" && os.Geteuid() == 0 || os.Getenv(inside) != "" && os.Getuid() == 0 && !mapped() {
				e.Next = "Even root may not here: run it on the machine itself, or in a container with --privileged."
			}
		}
	}
	return e
}

// mapped reports whether we are root of a user namespace only.
func mapped() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(b))
	return err == nil && (len(f) != 3 || f[2] != "4294967295")
}
