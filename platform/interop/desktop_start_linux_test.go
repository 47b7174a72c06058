package interop_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
	"sallyport/platform/ipc/ipctest"
	"sallyport/platform/ipc/server"
)

// maxQuit is how long the window may take to end when the session does.
const maxQuit = 500 * time.Millisecond

// TestDesktopQuit ends the program by SIGTERM, as the end of a session does:
// with the window in sight and with the tray alone, each with tunnels up.
func TestDesktopQuit(t *testing.T) {
	l := lab.New(t)
	b := crowd(20)
	st, err := b.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := st.Connections[0]
	c.State, c.Protection, c.SAs = api.Connected, api.Protected, 1
	b.SetConnection(c)
	socket := ipctest.Socket(t)
	ipctest.Serve(t, socket, b, server.Options{})
	desk := l.Client.Desktop("alice", true)
	for name, args := range map[string][]string{"window": nil, "tray": {"--hidden"}} {
		t.Run(name, func(t *testing.T) {
			best := time.Hour
			for try := 0; try < 4 && best > maxQuit; try++ { // others may use the processor
				gui := desk.GUI(socket, func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, args...) })
				gui.Until("the tunnel", func(s lab.Shown) bool { return s.Mark == "safe" })
				if args == nil {
					waitUntil(t, "the window to be painted", 30*time.Second, desk.Painted)
				}
				gui.Tray()
				begun := time.Now()
				if err := gui.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				select {
				case <-gui.Done:
				case <-time.After(30 * time.Second):
					t.Fatal("it goes on")
				}
				best = min(best, time.Since(begun))
				if gui.Err != nil {
					t.Fatalf("it ends with %v\n%s", gui.Err, gui.Log())
				}
			}
			t.Logf("it ends after %v", best.Round(time.Millisecond))
			if best > maxQuit {
				t.Errorf("it ends after %v, want %v", best, maxQuit)
			}
		})
	}
}

// TestDesktopDisplayGone takes the display away between the trial of OpenGL, in
// a child, and the window: the tray alone works, and says why.
func TestDesktopDisplayGone(t *testing.T) {
	l := lab.New(t)
	socket := ipctest.Socket(t)
	ipctest.Serve(t, socket, crowd(2), server.Options{})
	desk := l.Client.Desktop("alice", true)
	display, trials := trialDisplay(t, desk)
	for name, args := range map[string][]string{"window": nil, "hidden": {"--hidden"}} {
		t.Run(name, func(t *testing.T) {
			gui := desk.GUI(socket, func(cmd *exec.Cmd) {
				cmd.Args, cmd.Env = append(cmd.Args, args...), append(cmd.Env, "DISPLAY="+display)
			})
			tray := gui.Tray()
			if trials.Swap(0) == 0 {
				t.Error("nobody has tried OpenGL")
			}
			gui.Until("the connections", func(s lab.Shown) bool { return s.Link == "linked" })
			if log := gui.Log(); !strings.Contains(log, "No window can be shown here") || strings.Contains(log, "goroutine ") {
				t.Errorf("it says %q", log)
			}
			if it, ok := tray.Find("Open"); ok {
				t.Errorf("the menu offers %+v", it)
			}
			tray.Click("Quit")
			select {
			case <-gui.Done:
			case <-time.After(30 * time.Second):
				t.Fatal("it goes on")
			}
		})
	}
}

// trialDisplay returns the name of a display that serves those alone who try
// OpenGL, and counts them.
func trialDisplay(t *testing.T, desk *lab.Desktop) (name string, trials *atomic.Int32) {
	t.Helper()
	number := 0
	for _, v := range desk.Env() {
		if n, ok := strings.CutPrefix(v, "DISPLAY=:"); ok {
			number, _ = strconv.Atoi(n)
		}
	}
	const other = 10_000
	socket := func(n int) string { return fmt.Sprintf("/tmp/.X11-unix/X%d", n) }
	ln, err := net.Listen("unix", socket(number+other))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	trials = new(atomic.Int32)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if !tries(c.(*net.UnixConn)) {
				c.Close()
				continue
			}
			x, err := net.Dial("unix", socket(number))
			if err != nil {
				c.Close()
				continue
			}
			trials.Add(1)
			go func() { defer x.Close(); _, _ = io.Copy(x, c) }()
			go func() { defer c.Close(); _, _ = io.Copy(c, x) }()
		}
	}()
	return fmt.Sprintf(":%d", number+other), trials
}

// tries reports whether the process behind c is one that tries OpenGL.
func tries(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var peer *unix.Ucred
	if err := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil || peer == nil {
		return false
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", peer.Pid))
	return err == nil && bytes.Contains(line, []byte("--probe-gl"))
}
