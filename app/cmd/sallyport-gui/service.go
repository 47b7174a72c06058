package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"

	"sallyport/app/model"
	"sallyport/app/ui"
	"sallyport/core/api"
	"sallyport/platform/ipc/client"
)

// signs are what can be seen of a service that does not answer.
type signs struct {
	socket  bool // its socket is there
	unit    bool // the system knows it as a service
	program bool // its program is installed
	own     bool // it is one that the user named, not the system's
}

// judge says from the signs why the service does not answer.
func judge(s signs) model.Link {
	switch {
	case s.own && !s.socket:
		return model.Stopped
	case s.own:
		return model.Lost
	case s.socket:
		return model.Lost // it was there a moment ago, or has just crashed
	case s.unit || s.program:
		return model.Stopped
	}
	return model.Missing
}

// units are where systems keep what they know of the service.
var units = map[string][]string{
	"linux":  {"/etc/systemd/system/sallyportd.service", "/usr/lib/systemd/system/sallyportd.service", "/lib/systemd/system/sallyportd.service"},
	"darwin": {"/Library/LaunchDaemons/sallyportd.plist"},
}

// probe looks for the signs.
func probe(socket string) model.Link {
	s := signs{own: socket != client.DefaultSocket, socket: exists(socket), program: daemon() != ""}
	for _, u := range units[runtime.GOOS] {
		s.unit = s.unit || exists(u)
	}
	return judge(s)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// daemon returns the path of the service's program: beside ours, or in PATH.
func daemon() string {
	name := "sallyportd"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if self, err := os.Executable(); err == nil {
		if p := filepath.Join(filepath.Dir(self), name); exists(p) {
			return p
		}
	}
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if p := filepath.Join(dir, name); runtime.GOOS != "windows" && exists(p) {
			return p
		}
	}
	return ""
}

// remedies are what the user can do about a service that does not answer.
func remedies(socket string) ui.Service {
	d := daemon()
	if socket != client.DefaultSocket {
		if d == "" {
			d = "sallyportd"
		}
		return ui.Service{Start: "sudo " + word(d) + " run --socket " + word(socket)}
	}
	var who string
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	switch runtime.GOOS {
	case "windows":
		if d == "" {
			d = "sallyportd.exe"
		}
		return ui.Service{Install: fmt.Sprintf("%q install", d), Start: "sc start sallyportd"}
	case "darwin":
		if d == "" {
			d = "sallyportd"
		}
		return ui.Service{Install: "sudo " + word(d) + " install", Start: "sudo " + word(d) + " start",
			Join: "sudo dseditgroup -o edit -a " + word(who) + " -t user sallyport"}
	}
	s := ui.Service{Start: "sudo systemctl start sallyportd", Join: "sudo usermod -aG sallyport " + word(who)}
	if d == "" {
		s.Install = "sudo apt install sallyport"
	} else {
		s.Install = "sudo " + word(d) + " install && sudo " + word(d) + " start"
	}
	if pkexec, err := exec.LookPath("pkexec"); err == nil {
		if systemctl, err := exec.LookPath("systemctl"); err == nil {
			s.Starter = func(ctx context.Context) error { return start(ctx, pkexec, systemctl, "start", "sallyportd") }
		}
	}
	return s
}

// word quotes what a shell would take apart.
func word(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// start runs a command that starts the service, as its user allows it.
func start(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 126 { // pkexec: the user has closed the dialog
		return &api.Error{Code: api.CodeCancelled, What: "The service was not started."}
	}
	return &api.Error{Code: api.CodeNotAllowed, What: "The service could not be started.", Why: strings.TrimSpace(string(out)),
		Next: "Start it with the command, or ask the administrator of this machine."}
}
