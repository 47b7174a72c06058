package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Host is one machine: a network namespace, and a mount namespace in which
// /run is empty and /etc may be changed without anyone else noticing.
type Host struct {
	Name string

	lab   *Lab
	net   *os.File // the network namespace
	nl    *netlink.Handle
	calls chan func() // to the machine's thread
}

// home is the network namespace that the test was started in.
var home = sync.OnceValues(func() (*os.File, error) { return os.Open("/proc/self/ns/net") })

// of returns the same machine for another laboratory's test.
func (h *Host) of(l *Lab) *Host {
	if h == nil { // a lab need not have every machine
		return nil
	}
	c := *h
	c.lab = l
	return &c
}

// newHost makes a machine with nothing but a loopback device. It ends with the test.
func newHost(l *Lab, name string) *Host {
	l.t.Helper()
	h := &Host{Name: name, lab: l, calls: make(chan func())}
	made := make(chan error)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// The thread is never unlocked: it ends with this goroutine, and the
		// processes that it started end with the thread (Pdeathsig).
		runtime.LockOSThread()
		err := h.unshare()
		made <- err
		if err != nil {
			return
		}
		for f := range h.calls {
			f()
		}
	}()
	if err := <-made; err != nil {
		l.t.Fatalf("make machine %s: %v", name, err)
	}
	l.t.Cleanup(func() {
		h.nl.Close()
		close(h.calls)
		<-ended
		h.net.Close()
	})
	return h
}

// unshare gives the calling thread namespaces of its own and furnishes them.
func (h *Host) unshare() error {
	if _, err := home(); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for _, d := range []string{"/run/etc/upper", "/run/etc/work"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("overlay", "/etc", "overlay", 0, "lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work"); err != nil {
		return fmt.Errorf("mount /etc: %w", err)
	}
	if err := os.WriteFile("/etc/resolv.conf", []byte("# no name servers on this machine\n"), 0o644); err != nil {
		return err
	}
	var err error
	if h.net, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	if h.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	lo, err := h.nl.LinkByName("lo")
	if err != nil {
		return err
	}
	for _, key := range []string{"net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
		"net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.router_solicitations=0",
		// Groups of 1: everyone may open ping sockets, so ping needs no privilege.
		"net.ipv4.ping_group_range=0 2147483647"} {
		if err := writeSysctl(key); err != nil {
			return err
		}
	}
	return h.nl.LinkSetUp(lo)
}

// onThread runs f on the machine's own thread: in its network and mount
// namespaces. f must be short, for others wait.
func (h *Host) onThread(f func() error) error {
	done := make(chan error)
	h.calls <- func() { done <- f() }
	return <-done
}

// Mount runs f where it sees and changes the machine's own files and mounts.
func (h *Host) Mount(f func() error) {
	h.lab.t.Helper()
	if err := h.onThread(f); err != nil {
		h.lab.t.Fatalf("%s: %v", h.Name, err)
	}
}

// Do runs f in the machine's network namespace: sockets that f opens belong to
// it. f may block.
func (h *Host) Do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(h.net.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter %s: %w", h.Name, err)
			return // still locked: the thread ends
		}
		err := f()
		if back, e := home(); e == nil && unix.Setns(int(back.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// Dial connects from the machine; address holds an IP address, no name.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var c net.Conn
	err := h.Do(func() (err error) {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// A Process is a program that runs on a Host.
type Process struct {
	Cmd  *exec.Cmd
	Done chan struct{} // closed when it has ended
	Err  error         // how it ended; after Done
	log  string        // its output
}

// Command returns a command with an environment fit for tests. Start and Run
// start it on the machine.
func Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "NO_COLOR=1")
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Start starts cmd, its output going to a file of the laboratory that is shown
// when the test fails. It is stopped at the test's end at the latest.
func (h *Host) Start(name string, cmd *exec.Cmd) *Process {
	h.lab.t.Helper()
	p := &Process{Cmd: cmd, Done: make(chan struct{}), log: h.lab.file(h.Name + "-" + name + ".log")}
	f, err := os.Create(p.log)
	if err != nil {
		h.lab.t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	if err := h.start(cmd); err != nil {
		h.lab.t.Fatalf("%s: start %s: %v", h.Name, name, err)
	}
	h.lab.showOnFailure(p.log)
	go func() {
		p.Err = cmd.Wait()
		close(p.Done)
	}()
	h.lab.t.Cleanup(p.Stop)
	return p
}

func (h *Host) start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return h.onThread(cmd.Start)
}

// Stop ends the process, by force when it does not follow in 10 s.
func (p *Process) Stop() {
	_ = p.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.Done:
	case <-time.After(10 * time.Second):
		p.Kill()
	}
}

// Kill ends the process by SIGKILL.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.Done
}

// Log returns the output so far.
func (p *Process) Log() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

// Output runs a command on the machine until it ends or the time is over, and
// returns what it wrote.
func (h *Host) Output(limit time.Duration, cmd *exec.Cmd) (stdout, stderr string, err error) {
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := h.start(cmd); err != nil {
		return "", "", err
	}
	timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err = cmd.Wait()
	return out.String(), errOut.String(), err
}

// Run runs a command line, split at blanks, and returns its output; the test
// ends when it fails.
func (h *Host) Run(line string) string {
	h.lab.t.Helper()
	f := strings.Fields(line)
	out, errOut, err := h.Output(30*time.Second, Command(f[0], f[1:]...))
	if err != nil {
		h.lab.t.Fatalf("%s: %s: %v\n%s%s", h.Name, line, err, out, errOut)
	}
	return out
}

// Script feeds a program its standard input; the test ends when it fails.
func (h *Host) Script(input, name string, args ...string) {
	h.lab.t.Helper()
	cmd := Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, errOut, err := h.Output(30*time.Second, cmd); err != nil {
		h.lab.t.Fatalf("%s: %s: %v\n%s%s%s", h.Name, name, err, input, out, errOut)
	}
}

// Sysctl sets "key=value".
func (h *Host) Sysctl(assignment string) {
	h.lab.t.Helper()
	if err := h.Do(func() error { return writeSysctl(assignment) }); err != nil {
		h.lab.t.Fatalf("%s: %v", h.Name, err)
	}
}

// writeSysctl writes into the network namespace of the calling thread.
func writeSysctl(assignment string) error {
	key, value, _ := strings.Cut(assignment, "=")
	path := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return fmt.Errorf("sysctl %s: %w", assignment, err)
	}
	return nil
}
