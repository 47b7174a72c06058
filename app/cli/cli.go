// Package cli is the command line: every verb turns its arguments into calls
// of an api.Backend and the answer into text for people, or with --json into
// the api types for scripts. It keeps no state of its own.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sallyport/core/api"
	"sallyport/platform/ipc/client"
)

// The exit codes, which scripts depend on.
const (
	ExitDone        = 0
	ExitFailed      = 1 // with an explained cause
	ExitUsage       = 2
	ExitUnreachable = 3 // the service does not answer
	ExitNotAllowed  = 4
)

// A Demo runs the demonstration with the arguments after the verb, writing
// what it shows to out. Its error is explained as any other.
type Demo func(ctx context.Context, args []string, out io.Writer) error

// Options are what the command line has of its surroundings.
type Options struct {
	In       io.Reader
	Out, Err io.Writer
	Env      func(string) string // of SALLYPORT_SOCKET
	Now      func() time.Time    // its location is the one that times are shown in
	Color    bool                // Out is a terminal that may show colours
	// Prompt asks for a secret at the terminal until ctx ends; nil: there is none.
	Prompt func(ctx context.Context, question string) ([]byte, error)
	// Confirm asks for a yes or no at the terminal; nil: there is none.
	Confirm func(ctx context.Context, question string) (bool, error)
	Dial    func(socket string) api.Backend
	Demo    Demo // nil: there is no verb demo
}

// Main runs the command line of this process and returns its exit code.
func Main(demo Demo) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once

	o := Options{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Env: os.Getenv, Now: time.Now,
		Color: term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		Dial:  func(socket string) api.Backend { return client.New(socket) },
		Demo:  demo,
	}
	if in := int(os.Stdin.Fd()); term.IsTerminal(in) && term.IsTerminal(int(os.Stderr.Fd())) {
		o.Prompt = func(ctx context.Context, question string) ([]byte, error) {
			return hidden(ctx, in, os.Stderr, question)
		}
		o.Confirm = func(ctx context.Context, question string) (bool, error) {
			return confirm(ctx, os.Stdin, os.Stderr, question)
		}
	}
	return Run(ctx, os.Args[1:], o)
}

// hidden reads a line at the terminal without showing it.
func hidden(ctx context.Context, terminal int, out io.Writer, question string) ([]byte, error) {
	fmt.Fprint(out, question)
	defer fmt.Fprintln(out)
	before, err := term.GetState(terminal)
	if err != nil {
		return nil, err
	}
	type answer struct {
		line []byte
		err  error
	}
	got := make(chan answer, 1)
	go func() { // ends with the line, or with the process
		line, err := term.ReadPassword(terminal)
		got <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), term.Restore(terminal, before))
	case a := <-got:
		return a.line, a.err
	}
}

// Run runs the command line with args and returns its exit code.
func Run(ctx context.Context, args []string, o Options) int {
	c := &command{Options: o}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(o.In)
	root.SetOut(o.Out)
	root.SetErr(o.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = c.outErr
	}
	if err == nil {
		return ExitDone
	}
	if done, ok := errors.AsType[explained](err); ok {
		if done.shown {
			return exitCode(done.err.Code)
		}
		return c.report(done.err)
	}
	// Everything else comes from reading the arguments, which may have ended
	// before --json was seen.
	c.json = c.json || slices.Contains(args, "--json")
	return c.report(&api.Error{Code: api.CodeUsage, What: sentence(err.Error()),
		Next: "`sallyport help` shows the commands, and `sallyport COMMAND --help` how to use one."})
}

// A command is one run of the command line.
type command struct {
	Options
	socket  string
	json    bool
	backend api.Backend
	outErr  error // the first error of writing to Out
}

// explained marks the error of a verb, as against one of its arguments.
type explained struct {
	err   *api.Error
	shown bool // it has been printed
}

func (e explained) Error() string { return e.err.Error() }

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sallyport",
		Short: "Connect to IPsec gateways",
		Long: `sallyport connects this machine to IPsec (IKEv2) gateways. The service sallyportd
does the work; this command tells it what to do and shows how it stands.

Exit codes: 0 done; 1 failed, with the cause; 2 wrong usage;
3 the service does not answer; 4 not allowed.`,
		Args:          nothing,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	socket := c.Env("SALLYPORT_SOCKET")
	if socket == "" {
		socket = client.DefaultSocket
	}
	root.PersistentFlags().StringVar(&c.socket, "socket", socket, "where the service listens; SALLYPORT_SOCKET sets the default")
	root.PersistentFlags().BoolVar(&c.json, "json", false, "answer in JSON, errors too")
	root.AddCommand(c.importCmd(), c.listCmd(), c.connectCmd(), c.disconnectCmd(), c.removeCmd(),
		c.promptsCmd(), c.answerCmd(), c.profileCmd(),
		c.statusCmd(), c.showCmd(), c.monitorCmd(), c.logCmd(), c.versionCmd(),
		c.policyCmd(), c.allowClearCmd(), c.memoryCmd(),
		c.exportCmd(), c.testCmd(), c.exchangesCmd(), c.trafficCmd(), c.tokensCmd(), c.diagnoseCmd())
	if c.Demo != nil {
		root.AddCommand(c.demoCmd())
	}
	return root
}

// run makes a verb of f: what it returns is an outcome, no mistake of usage.
func (c *command) run(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd.Context(), args)
		if _, ok := err.(explained); ok || err == nil {
			return err
		}
		return explained{err: api.AsError(err)}
	}
}

// service returns the road to the service, which is opened with the first call.
func (c *command) service() api.Backend {
	if c.backend == nil {
		c.backend = c.Dial(c.socket)
	}
	return c.backend
}

// report shows an error and returns the exit code for it.
func (c *command) report(e *api.Error) int {
	if c.json {
		c.printJSON(struct {
			Error *api.Error `json:"error"`
		}{e})
	} else {
		fmt.Fprint(c.Err, errorText(e))
	}
	return exitCode(e.Code)
}

func exitCode(code api.ErrorCode) int {
	switch code {
	case api.CodeUsage:
		return ExitUsage
	case api.CodeUnreachable:
		return ExitUnreachable
	case api.CodeNotAllowed:
		return ExitNotAllowed
	}
	return ExitFailed
}

// errorText puts what happened, where, why, and what to do next on lines of
// their own.
func errorText(e *api.Error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "sallyport: %s\n", clean(e.What))
	if p := e.Position; p != nil {
		fmt.Fprintf(&b, "  at:   %s\n", clean(position(p)))
	}
	for _, l := range []struct{ label, text string }{{"why: ", e.Why}, {"next:", e.Next}} {
		for i, line := range strings.Split(strings.TrimSpace(l.text), "\n") {
			switch {
			case line == "":
			case i == 0:
				fmt.Fprintf(&b, "  %s %s\n", l.label, clean(line))
			default:
				fmt.Fprintf(&b, "        %s\n", clean(line))
			}
		}
	}
	return b.String()
}

// sentence makes a sentence of a library's lower-case message.
func sentence(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n") // cobra's suggestions follow
	if s == "" {
		return "These arguments cannot be used."
	}
	return capital(s) + "."
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// What a verb takes, with sentences for those who give it something else.
func nothing(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return fmt.Errorf("there is no command %q", cmd.CommandPath()+" "+args[0])
	}
	return fmt.Errorf("`%s` takes no arguments, and got %q", cmd.CommandPath(), args[0])
}

func oneName(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fmt.Errorf("`%s` takes the name of one connection, and got %d", cmd.CommandPath(), len(args))
}

func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return oneName(cmd, args)
}

func someFiles(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return nil
	}
	return fmt.Errorf("`%s` takes the files to import, and got none", cmd.CommandPath())
}

func (c *command) demoCmd() *cobra.Command {
	return &cobra.Command{
		Use:                "demo",
		Short:              "Show it all on this machine alone: a gateway, a client, and what the wire sees",
		DisableFlagParsing: true,
		RunE: c.run(func(ctx context.Context, args []string) error {
			c.json = slices.Contains(args, "--json") // its flags are its own
			return c.Demo(ctx, args, c.Out)
		}),
	}
}
