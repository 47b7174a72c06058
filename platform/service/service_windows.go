package service

import (
	"context"
	"os"
	"os/signal"

	kardianos "github.com/kardianos/service"
)

func run(f func(context.Context) error) error {
	if kardianos.Interactive() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		return f(ctx)
	}
	s, err := newService(f)
	if err != nil {
		return err
	}
	return s.Run()
}

func options() kardianos.KeyValue { return kardianos.KeyValue{"OnFailure": "restart"} }

func checkInstall() error { return nil }
