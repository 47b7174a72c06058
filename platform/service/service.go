// Package service makes sallyportd a service of the system: it installs,
// removes, starts and stops it, and runs it under the system's service manager.
package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	kardianos "github.com/kardianos/service"

	"sallyport/core/host"
)

// Name is that of the service.
const Name = "sallyportd"

// Conditions that Control reports.
var (
	ErrNotInstalled = errors.New("the service is not installed")
	ErrNotRunning   = errors.New("the service is not running")
	ErrInstalled    = errors.New("the service is installed already")
)

// Verbs are what Control takes.
func Verbs() []string { return []string{"install", "uninstall", "start", "stop", "status"} }

// Control does what a verb says. "status" returns nil while the service runs,
// and otherwise ErrNotRunning or ErrNotInstalled.
func Control(verb string) error {
	s, err := newService(func(context.Context) error { return nil })
	if err != nil {
		return fmt.Errorf("%s service: %w", verb, err)
	}
	switch verb {
	case "install":
		if err = checkInstall(); err == nil {
			err = s.Install()
		}
	case "uninstall":
		if _, err = s.Status(); !errors.Is(err, kardianos.ErrNotInstalled) {
			_ = s.Stop() // it may not be running
			err = s.Uninstall()
		}
	case "start":
		err = s.Start()
	case "stop":
		err = s.Stop()
	case "status":
		var status kardianos.Status
		if status, err = s.Status(); err == nil && status != kardianos.StatusRunning {
			err = ErrNotRunning
		}
	default:
		return fmt.Errorf("%q is not one of %q", verb, Verbs())
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kardianos.ErrNotInstalled):
		err = ErrNotInstalled
	case errors.Is(err, kardianos.ErrNoServiceSystemDetected):
		err = fmt.Errorf("this machine has no service manager that is known: run \"sallyportd run\" (%w)", host.ErrUnsupported)
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w: run it as root or administrator (%w)", host.ErrPrivilege, err)
	}
	return fmt.Errorf("%s service: %w", verb, err)
}

// Run calls f and returns what it returns. The context ends when the service
// manager or, in a terminal, the user says so.
func Run(f func(context.Context) error) error { return run(f) }

// newService describes the service to the library; main is what it runs.
func newService(main func(context.Context) error) (kardianos.Service, error) {
	return kardianos.New(&program{main: main}, &kardianos.Config{
		Name:        Name,
		DisplayName: "Sallyport VPN",
		Description: "Sallyport VPN service",
		Arguments:   []string{"run"},
		Option:      options(),
	})
}

// A program is what the library starts and stops.
type program struct {
	main func(context.Context) error
	stop context.CancelFunc
	done chan error
}

// Start implements kardianos.Interface: it must not block.
func (p *program) Start(s kardianos.Service) error {
	ctx, cancel := context.WithCancel(context.Background())
	p.stop, p.done = cancel, make(chan error, 1)
	go func() {
		err := p.main(ctx)
		p.done <- err
		if err != nil && ctx.Err() == nil {
			_ = s.Stop() // it failed by itself: tell the service manager
		}
	}()
	return nil
}

// Stop implements kardianos.Interface.
func (p *program) Stop(kardianos.Service) error {
	p.stop()
	return <-p.done
}
