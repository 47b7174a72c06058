package lab

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc/client"
)

// binEnv names the folder with the binaries under test.
const binEnv = "SALLYPORT_BIN"

// A Service is one instance of our own service on a machine.
type Service struct {
	Dir    string // holds its state, configuration and socket
	Socket string
	Client *client.Client
	Proc   *Process

	host *Host
	name string
}

// Bin returns the path of a binary of ours: from the folder that SALLYPORT_BIN
// names, else built for this test.
func (l *Lab) Bin(name string) string {
	l.t.Helper()
	if dir := os.Getenv(binEnv); dir != "" {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			l.t.Fatalf("%s=%s: %v (make build)", binEnv, dir, err)
		}
		return path
	}
	path, err := build(name)
	if err != nil {
		l.t.Fatalf("build %s: %v", name, err)
	}
	return path
}

// Service starts an instance on the machine and waits until it answers.
// prepare may change its command.
func (h *Host) Service(name string, prepare ...func(*exec.Cmd)) *Service {
	h.lab.t.Helper()
	dir := h.lab.Dir("service-" + name)
	s := &Service{Dir: dir, Socket: filepath.Join(dir, "socket"), host: h, name: name}
	s.Client = client.New(s.Socket)
	h.lab.t.Cleanup(func() { s.Client.Close() })
	s.Start(prepare...)
	return s
}

// For returns the same instance for a part of the test, in its view of the
// laboratory.
func (s *Service) For(l *Lab) *Service {
	c := *s
	c.host = s.host.of(l)
	return &c
}

// StateDir returns the folder of the journals that undo changes of the machine.
func (s *Service) StateDir() string { return filepath.Join(s.Dir, "state") }

// Start starts the service, again after it has ended.
func (s *Service) Start(prepare ...func(*exec.Cmd)) {
	s.host.lab.t.Helper()
	cmd := Command(s.host.lab.Bin("sallyportd"), "run", "--socket", s.Socket,
		"--state-dir", s.StateDir(), "--config-dir", filepath.Join(s.Dir, "config"))
	for _, f := range prepare {
		f(cmd)
	}
	s.Proc = s.host.Start("sallyportd-"+s.name, cmd)
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		_, err := s.Client.State(context.Background())
		if err == nil {
			return
		}
		select {
		case <-s.Proc.Done:
			s.host.lab.t.Fatalf("sallyportd ended at once: %v\n%s", s.Proc.Err, s.Proc.Log())
		default:
		}
		if time.Now().After(end) {
			s.host.lab.t.Fatalf("sallyportd does not answer: %v\n%s", err, s.Proc.Log())
		}
	}
}

// Stop ends the service.
func (s *Service) Stop() { s.Proc.Stop() }

// Cleanup runs "sallyportd cleanup" for this instance.
func (s *Service) Cleanup() {
	s.host.lab.t.Helper()
	out, errOut, err := s.host.Output(20*time.Second, Command(s.host.lab.Bin("sallyportd"), "cleanup", "--state-dir", s.StateDir()))
	if err != nil {
		s.host.lab.t.Fatalf("sallyportd cleanup: %v\n%s%s", err, out, errOut)
	}
}

// A Result is what a run of the command line came to.
type Result struct {
	Out, Err string
	Exit     int
}

// CLI runs the command line against the service.
func (s *Service) CLI(args ...string) Result {
	s.host.lab.t.Helper()
	cmd := s.Command(args...)
	out, errOut, err := s.host.Output(2*time.Minute, cmd)
	if err != nil && cmd.ProcessState == nil {
		s.host.lab.t.Fatalf("sallyport %s: %v", strings.Join(args, " "), err)
	}
	return Result{Out: out, Err: errOut, Exit: cmd.ProcessState.ExitCode()}
}

// Command returns a command of the command line against the service.
func (s *Service) Command(args ...string) *exec.Cmd {
	return Command(s.host.lab.Bin("sallyport"), append([]string{"--socket", s.Socket}, args...)...)
}

// Must runs the command line and ends the test when it fails.
func (s *Service) Must(args ...string) string {
	s.host.lab.t.Helper()
	r := s.CLI(args...)
	if r.Exit != 0 {
		s.host.lab.t.Fatalf("sallyport %s: exit code %d\n%s%s", strings.Join(args, " "), r.Exit, r.Out, r.Err)
	}
	return r.Out
}

// Error runs the command line with --json, which must fail, and returns the
// explained error with the exit code.
func (s *Service) Error(args ...string) (*api.Error, int) {
	s.host.lab.t.Helper()
	r := s.CLI(append([]string{"--json"}, args...)...)
	var body struct {
		Error *api.Error `json:"error"`
	}
	if err := json.Unmarshal([]byte(r.Out), &body); err != nil || body.Error == nil || r.Exit == 0 {
		s.host.lab.t.Fatalf("sallyport %s: exit code %d, and no error in JSON:\n%s%s", strings.Join(args, " "), r.Exit, r.Out, r.Err)
	}
	return body.Error, r.Exit
}

// Connection returns the state of a connection.
func (s *Service) Connection(name string) api.Connection {
	s.host.lab.t.Helper()
	st, err := s.Client.State(context.Background())
	if err != nil {
		s.host.lab.t.Fatalf("state of the service: %v", err)
	}
	for _, c := range st.Connections {
		if c.Name == name {
			return c
		}
	}
	s.host.lab.t.Fatalf("the service has no connection %q", name)
	return api.Connection{}
}

// Dynamic returns the SAs and drop counters.
func (s *Service) Dynamic() api.Dynamic {
	s.host.lab.t.Helper()
	d, err := s.Client.Dynamic(context.Background())
	if err != nil {
		s.host.lab.t.Fatalf("SAs of the service: %v", err)
	}
	return d
}
