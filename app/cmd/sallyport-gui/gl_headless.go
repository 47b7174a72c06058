//go:build ci

package main

import (
	"fmt"
	"io"
	"time"
)

// probeGL of a build for tests finds nothing: it has no driver.
func probeGL(errs io.Writer) int {
	fmt.Fprintln(errs, "this is a build without windows, for tests")
	return exitFailed
}

// newPace of a build for tests never sleeps: its loop is the test's.
func newPace(hidden func() bool) *pace {
	return &pace{hidden: hidden, now: time.Now, rouse: func() {}, wait: func(time.Duration) {}}
}

func (p *pace) start() {}

func lacksToolkit() string { return "" }
