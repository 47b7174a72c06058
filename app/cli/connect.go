package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/core/api"
)

// maxWait keeps --wait within what the service takes.
const maxWait = 24 * time.Hour

func (c *command) connectCmd() *cobra.Command {
	var wait time.Duration
	var profile string
	var password bool
	cmd := &cobra.Command{
		Use:   "connect NAME",
		Short: "Start a tunnel and wait until it carries traffic",
		Long: `Start the tunnel of the connection NAME. The command is done when the tunnel
carries traffic, or with --wait 0 when the attempt has begun. When the time is
over the service goes on trying; "sallyport disconnect NAME" ends that.

What the service asks meanwhile (a secret that is not stored, whether an unknown
gateway is to be trusted) is asked at the terminal.

Under the profile request traffic leaves in clear when it cannot be protected.
That is a failure of this command, which then says so first of all.`,
		Args:              oneName,
		ValidArgsFunction: c.completeName,
		RunE: c.run(func(ctx context.Context, args []string) error {
			if wait < 0 || wait > maxWait {
				return usagef("The time to wait must be from 0 to %v.", maxWait)
			}
			p := api.Profile(profile)
			switch p {
			case "", api.Respond, api.Request, api.Require:
			default:
				return usagef("There is no profile %q; the profiles are respond, request and require.", profile)
			}
			if !password {
				return c.connect(ctx, args[0], wait, p, nil)
			}
			if wait == 0 {
				return usagef("With --password-stdin the command has to wait for the question.")
			}
			secret, err := readPassword(c.In)
			if err != nil {
				return err
			}
			defer clear(secret)
			return c.connect(ctx, args[0], wait, p, secret)
		}),
	}
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait for the tunnel; 0: not at all")
	cmd.Flags().StringVar(&profile, "profile", "", "respond, request or require, instead of the stored profile")
	cmd.Flags().BoolVar(&password, "password-stdin", false, "answer the question for a secret with the first line of standard input")
	cmd.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions([]string{
		"respond\tsecure when asked", "request\tsecure when possible", "require\tsecure or nothing",
	}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (c *command) connect(ctx context.Context, name string, wait time.Duration, profile api.Profile, password []byte) error {
	begun := c.Now()
	r := api.ConnectRequest{Name: name, Wait: wait > 0, Profile: profile}
	var err error
	if wait > 0 {
		err = c.connectAsking(ctx, r, wait, password)
	} else {
		err = c.connectPlain(ctx, r, 0)
	}
	if err != nil {
		return c.connectError(ctx, name, wait, begun, err)
	}
	conn, err := c.find(ctx, name)
	if err != nil {
		return err
	}
	if wait > 0 && conn.Protection == api.Clear {
		return c.inClear(conn, nil)
	}
	if c.json {
		c.printJSON(conn)
		return nil
	}
	if wait == 0 {
		c.printf("Connecting %q; it is now %s.\n", clean(name), clean(c.stateText(conn)))
		return nil
	}
	how := "connected"
	if conn.Protection == api.Protected {
		how = "connected, and its traffic protected"
	}
	c.printf("%q is %s, after %s.\n", clean(name), how, durationText(c.Now().Sub(begun)))
	t := &table{}
	for _, w := range conn.Warnings {
		t.add("Warning", w)
	}
	t.addTunnel(conn)
	c.printTable(t, "  ")
	return nil
}

// connectError explains why there is no tunnel, and what that means for the
// traffic that it was to protect.
func (c *command) connectError(ctx context.Context, name string, wait time.Duration, begun time.Time, err error) *api.Error {
	e := api.AsError(err)
	switch {
	case ctx.Err() != nil:
		e = &api.Error{Code: api.CodeCancelled, What: fmt.Sprintf("Stopped waiting for %q.", name),
			Next: fmt.Sprintf("The service may still be trying: `sallyport status %[1]s` tells, and `sallyport disconnect %[1]s` ends it.", shellName(name))}
	case e.Code == api.CodeTimeout && e.Why == "":
		e = c.lateError(ctx, name, wait, begun)
	case exitCode(e.Code) != ExitFailed:
		return e // it was not even tried
	}
	// Also after an interrupt: who walks away must know.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if conn, err := c.find(ctx, name); err == nil && conn.Protection == api.Clear {
		return c.inClear(conn, e)
	}
	return e
}

// lateError explains a tunnel that is not up in time by what the service says
// of it now, and what it logged of it last.
func (c *command) lateError(ctx context.Context, name string, wait time.Duration, begun time.Time) *api.Error {
	e := &api.Error{Code: api.CodeTimeout, What: fmt.Sprintf("%q did not connect within %v.", name, wait)}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := c.find(ctx, name)
	if err != nil {
		e.Why = "Its state cannot be told: " + api.AsError(err).What
		return e
	}
	e.Params = map[string]string{"state": string(conn.State)}
	why := []string{fmt.Sprintf("It is %s.", conn.State)}
	if conn.Problem != nil {
		e.Params["problem"] = string(conn.Problem.Code)
		why = append(why, conn.Problem.What)
		if conn.Problem.Why != "" {
			why = append(why, conn.Problem.Why)
		}
	}
	if entries, err := c.service().Log(ctx, 500); err == nil {
		entries = slices.DeleteFunc(entries, func(l api.LogEntry) bool {
			return l.Connection != name || l.Level == api.LogDebug || l.Time.Before(begun.Add(-time.Second))
		})
		for _, l := range entries[max(0, len(entries)-3):] {
			why = append(why, c.clock(l.Time)[11:]+" "+l.Text)
		}
	}
	e.Why = strings.Join(why, "\n")
	switch conn.State {
	case api.Connecting, api.Reconnecting:
		e.Next = fmt.Sprintf("The service goes on trying: wait longer with --wait, watch it with `sallyport log -f`, or give up with `sallyport disconnect %s`.", shellName(name))
	default:
		e.Next = "`sallyport log` tells more."
	}
	return e
}

func (c *command) disconnectCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "disconnect NAME",
		Short:             "End a tunnel, and leave the machine as it was before",
		Args:              oneName,
		ValidArgsFunction: c.completeName,
		RunE: c.run(func(ctx context.Context, args []string) error {
			if err := c.service().Disconnect(ctx, args[0]); err != nil {
				return err
			}
			if !c.json {
				c.printf("%q is disconnected.\n", clean(args[0]))
				return nil
			}
			conn, err := c.find(ctx, args[0])
			if err == nil {
				c.printJSON(conn)
			}
			return err
		}),
	}
}

func (c *command) removeCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME",
		Short:             "Disconnect and forget a connection and its secrets",
		Args:              oneName,
		ValidArgsFunction: c.completeName,
		RunE: c.run(func(ctx context.Context, args []string) error {
			if err := c.service().Remove(ctx, args[0]); err != nil {
				return err
			}
			if c.json {
				c.printJSON(struct {
					Removed string `json:"removed"`
				}{args[0]})
				return nil
			}
			c.printf("%q is removed, and its secrets with it.\n", clean(args[0]))
			return nil
		}),
	}
}

// find returns the connection of that name.
func (c *command) find(ctx context.Context, name string) (api.Connection, error) {
	st, err := c.service().State(ctx)
	if err != nil {
		return api.Connection{}, err
	}
	for _, conn := range st.Connections {
		if conn.Name == name {
			return conn, nil
		}
	}
	return api.Connection{}, &api.Error{Code: api.CodeNotFound, What: fmt.Sprintf("There is no connection %q.", name),
		Next: "`sallyport list` shows the connections, and `sallyport import FILE` adds one."}
}

// completeName offers the names of the connections to the shell.
func (c *command) completeName(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	st, err := c.service().State(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, conn := range st.Connections {
		if !strings.HasPrefix(conn.Name, "-") && clean(conn.Name) == conn.Name {
			names = append(names, conn.Name+"\t"+string(conn.State))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// shellName writes a name as a shell would have to be given it.
func shellName(name string) string {
	plain := strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
	if name != "" && plain && !strings.HasPrefix(name, "-") {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

func usagef(format string, args ...any) *api.Error {
	return &api.Error{Code: api.CodeUsage, What: fmt.Sprintf(format, args...)}
}
