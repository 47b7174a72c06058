//go:build !linux

package demo

import (
	"context"
	"io"
	"runtime"

	"sallyport/core/api"
)

// Run is not available on this system yet: it needs network namespaces.
func Run(_ context.Context, args []string, out io.Writer) error {
	if _, help, err := parse(args, out); help || err != nil {
		return err
	}
	return &api.Error{Code: api.CodeUnsupported, What: "The demo is not available on this system yet.",
		Why:  "It is built from Linux network namespaces, and this is " + runtime.GOOS + ".",
		Next: "Run it on a Linux machine, or in a Linux virtual machine."}
}
