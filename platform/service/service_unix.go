//go:build unix

package service

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// run needs no library: service managers send signals, as terminals do.
func run(f func(context.Context) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return f(ctx)
}
