package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// windowed tells the process in the namespaces that a window opens on the
// client: it then waits until that is quit.
const windowed = "SALLYPORT_DEMO_WINDOW"

// window returns the program of the window, when it is beside this one and
// there is a display.
func window(self string) string {
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return ""
	}
	if path := filepath.Join(filepath.Dir(self), "sallyport-gui"); isExecutable(path) {
		return path
	}
	return ""
}

// openWindow waits until the client is ready, opens the window on it, and ends
// the demo when the window has been quit. The window runs outside: the display
// and the session's bus are the machine's.
func openWindow(ctx context.Context, gui string, ready io.Reader, demo *os.Process) {
	line, err := bufio.NewReader(io.LimitReader(ready, 4096)).ReadString('\n')
	if err != nil {
		return // the demo ended before
	}
	cmd := exec.CommandContext(ctx, gui, "--socket", strings.TrimSpace(line))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 3 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "   The window ended: %v.\n", err)
	}
	if ctx.Err() == nil {
		_ = demo.Signal(syscall.SIGTERM) // what is left to show takes a moment
	}
}

// watch lets a window open on the client and waits until it is quit.
func (s *stage) watch(ctx context.Context) {
	s.p.step("The window opens on the client; the demo ends when it is quit, or with Ctrl-C")
	s.p.command("sallyport-gui --socket ...", "on your display")
	ready := os.NewFile(readyFD, "ready")
	// The service's own view of the file system holds its socket.
	_, err := fmt.Fprintf(ready, "/proc/%d/root%s\n", s.client.service.Process.Pid, s.client.socket)
	ready.Close()
	if err == nil {
		<-ctx.Done()
	}
}
