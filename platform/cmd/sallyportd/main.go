// Sallyportd is the service: it holds the TUN device, speaks IKE and ESP, and
// sets routes and DNS. Here core/engine meets platform/host.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"sallyport/core/api"
	"sallyport/core/engine"
	"sallyport/core/explain"
	"sallyport/platform/host"
	"sallyport/platform/ipc"
	"sallyport/platform/ipc/server"
	"sallyport/platform/paths"
	"sallyport/platform/service"
)

// Exit codes, the same as the command line's.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

func run(args []string, stderr io.Writer) int {
	root := command()
	root.SetArgs(args)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return exitDone
	}
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(stderr, "sallyportd: %v\nTry \"sallyportd --help\".\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "sallyportd: %v\n", err)
	return exitFailed
}

type usageError struct{ error }

// options are the flags of run and cleanup.
type options struct {
	stateDir, configDir, socket, tun string
	uids                             []uint
	groups                           []string
	modules                          []string
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "sallyportd",
		Short:         "The service of the Sallyport VPN client",
		Version:       api.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(runCommand(), cleanupCommand())
	for _, verb := range service.Verbs() {
		root.AddCommand(&cobra.Command{
			Use: verb, Short: verb + " the system service", Args: noArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if err := service.Control(verb); err != nil || verb != "uninstall" {
					return err
				}
				// Whoever uninstalls wants the machine as it was.
				dir := paths.StateDir()
				return host.RunLocked(dir, func() error { return cleanup(dir, true, cmd.OutOrStdout()) })
			},
		})
	}
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return &usageError{err}
	}
	return nil
}

func runCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "run",
		Short: "Run in the foreground (several can live in different network namespaces)",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			return service.Run(func(ctx context.Context) error {
				err := host.RunLocked(o.stateDir, func() error { return serve(ctx, o) })
				if err != nil {
					return explain.Explain(err, explain.Context{})
				}
				return nil
			})
		},
	}
	c.Flags().StringVar(&o.stateDir, "state-dir", paths.StateDir(), "folder of the journals that undo changes of the machine")
	c.Flags().StringVar(&o.configDir, "config-dir", paths.ConfigDir(), "folder of connection profiles, certificates and secrets")
	c.Flags().StringVar(&o.socket, "socket", paths.Socket(), "where front ends reach the service")
	c.Flags().StringVar(&o.tun, "tun", "", "name of the TUN device (default sallyport0)")
	c.Flags().StringArrayVar(&o.groups, "allow-group", nil, "group whose members may use the service, beside root (repeat for several)")
	c.Flags().UintSliceVar(&o.uids, "allow-uid", nil, "user id that may use the service (repeat for several)")
	c.Flags().StringArrayVar(&o.modules, "pkcs11-module", nil, "PKCS #11 module for smart cards and tokens (repeat for several; \"none\": no tokens; default: the file pkcs11-modules in the config folder, or what is installed)")
	return c
}

func cleanupCommand() *cobra.Command {
	var stateDir string
	var open bool
	c := &cobra.Command{
		Use:   "cleanup",
		Short: "Undo what a service that was killed left behind: links, routes, rules, DNS",
		Long: "Undo what a service that was killed left behind: links, routes, rules and DNS.\n" +
			"The firewall stays while traffic must remain protected (a connection that requires security, an assigned policy);\n" +
			"--open removes it too, and forgets what was connected and assigned.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := host.RunLocked(stateDir, func() error { return cleanup(stateDir, open, cmd.OutOrStdout()) })
			if err != nil {
				return explain.Explain(err, explain.Context{})
			}
			return nil
		},
	}
	c.Flags().StringVar(&stateDir, "state-dir", paths.StateDir(), "folder of the journals")
	c.Flags().BoolVar(&open, "open", false, "remove the firewall too: traffic may leave unprotected")
	return c
}

func cleanup(stateDir string, open bool, out io.Writer) error {
	if err := host.Cleanup(stateDir); err != nil {
		return err
	}
	state, err := host.State(stateDir)
	if err != nil {
		return err
	}
	if open {
		if err := engine.ForgetWishes(state); err != nil {
			return err
		}
	} else if engine.KeepsGuard(state) {
		fmt.Fprintln(out, "The firewall stays: what must be protected does not leave while the service is down. \"sallyportd cleanup --open\" removes it.")
		return nil
	}
	return host.CleanupFirewall()
}

// serve runs the service until ctx ends. It first undoes what a service that
// was killed left behind.
func serve(ctx context.Context, o options) error {
	if err := host.Cleanup(o.stateDir); err != nil {
		return err
	}
	sys, err := host.New(host.Options{StateDir: o.stateDir, ConfigDir: o.configDir, Modules: o.modules})
	if err != nil {
		return err
	}
	defer sys.NetMonitor.Close()
	ln, err := ipc.Listen(o.socket)
	if err != nil {
		return err
	}
	defer ln.Close()

	e := engine.New(engine.Options{Host: sys, Version: api.Version, TUNName: o.tun})
	access := server.Access{Groups: o.groups}
	for _, uid := range o.uids {
		access.UIDs = append(access.UIDs, uint32(uid))
	}
	srv := server.New(e, server.Options{Access: access, Log: e.LogService})
	engineDone := make(chan error, 1)
	// The engine outlives the front ends' server, so that their last calls are
	// answered; it gives the machine back when it ends.
	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()
	go func() { engineDone <- e.Run(engineCtx) }()
	printLog(engineCtx, e, os.Stderr)

	err = srv.Serve(ctx, ln)
	stopEngine()
	select {
	case end := <-engineDone:
		return errors.Join(err, end)
	case <-time.After(stopPatience):
		return errors.Join(err, fmt.Errorf("the engine did not stop within %v", stopPatience))
	}
}

// stopPatience bounds the time for undoing everything at the end.
const stopPatience = 20 * time.Second

// printLog writes the log to w, for the journal or whoever watches, until ctx ends.
func printLog(ctx context.Context, e *engine.Engine, w io.Writer) {
	go func() {
		_ = e.Events(ctx, 0, func(ev api.Event) bool {
			if ev.Kind == api.EventLog {
				l := ev.Log
				name := l.Connection
				if name != "" {
					name += ": "
				}
				fmt.Fprintf(w, "%s %-5s %s: %s%s\n", l.Time.Format("15:04:05.000"), l.Level, l.Topic, name, l.Text)
			}
			return true
		})
	}()
}
