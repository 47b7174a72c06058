package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"
)

// glTime is how long a window with OpenGL may take to be made.
const glTime = 10 * time.Second

// lacksGL says why no window can be made here, and nothing when one can. It is
// tried in a child process: a driver that crashes, or waits for ever, takes
// only that with it.
func lacksGL(ctx context.Context) string {
	self, err := os.Executable()
	if err != nil {
		return err.Error()
	}
	ctx, cancel := context.WithTimeout(ctx, glTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "--probe-gl")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	switch {
	case err == nil:
		return ""
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "OpenGL did not answer within " + glTime.String()
	}
	if lines := strings.TrimSpace(errs.String()); lines != "" {
		first, _, _ := strings.Cut(lines, "\n")
		return first
	}
	return err.Error()
}
