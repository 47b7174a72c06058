package service

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/installer/linux"
)

func TestUnit(t *testing.T) {
	tmpl := unitTemplate()
	for _, want := range []string{"ExecStart={{Path | cmdEscape}} run\n", "ExecStopPost=-{{Path | cmdEscape}} cleanup\n"} {
		if !strings.Contains(tmpl, want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
	if strings.Contains(tmpl, packagedPath) || strings.Contains(linux.Unit, "{{") {
		t.Error("template and unit are mixed up")
	}

	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("the rest is not run: no systemd-analyze")
	}
	// Verify wants the binary to be there.
	dir := t.TempDir()
	unit := filepath.Join(dir, Name+".service")
	text := strings.ReplaceAll(linux.Unit, packagedPath, "/bin/true")
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput()
	if strings.Contains(string(out), Name) || err != nil && strings.Contains(string(out), unit) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// The unit stays well below what systemd calls exposed (5 of 10).
	out, err = exec.Command(analyze, "security", "--offline=yes", "--threshold=40", unit).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

func TestControl(t *testing.T) {
	if err := Control("restart"); err == nil || !strings.Contains(err.Error(), "status") {
		t.Errorf("Control of an unknown verb = %v", err)
	}
}

func TestRun(t *testing.T) {
	want := errors.New("ended")
	err := Run(func(ctx context.Context) error {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return want
		case <-time.After(5 * time.Second):
			return errors.New("the signal did not end the context")
		}
	})
	if err != want {
		t.Errorf("Run = %v", err)
	}
}
