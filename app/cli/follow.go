package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/core/api"
)

func (c *command) monitorCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "monitor",
		Short: "Follow every change until interrupted",
		Long: `Follow every change until interrupted. With --json each line is one event, and a
line of kind "lost" says that some were missed. When the service goes away the
command waits for it to come back.`,
		Args: nothing,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			st, err := c.service().State(ctx)
			if err != nil {
				return err
			}
			return c.follow(ctx, st.Seq, func(e api.Event) { c.printEvent(e) })
		}),
	}
}

func (c *command) logCmd() *cobra.Command {
	var follow bool
	var lines int
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show the newest lines of the service's log",
		Long:  `Show the newest lines of the service's log. With --json each line is one entry.`,
		Args:  nothing,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			if lines < 0 || lines > maxLines {
				return usagef("The number of lines must be from 0 to %d.", maxLines)
			}
			return c.showLog(ctx, lines, follow)
		}),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new lines until interrupted")
	cmd.Flags().IntVarP(&lines, "lines", "n", 50, "how many lines to show")
	return cmd
}

// maxLines is the most that the service gives at once.
const maxLines = 10000

func (c *command) showLog(ctx context.Context, lines int, follow bool) error {
	var seq uint64
	if follow {
		// The position first: a line between the two calls then comes twice,
		// which can be seen, rather than never.
		st, err := c.service().State(ctx)
		if err != nil {
			return err
		}
		seq = st.Seq
	}
	var entries []api.LogEntry
	if lines > 0 {
		var err error
		if entries, err = c.service().Log(ctx, lines); err != nil {
			return err
		}
	}
	seen := make(map[api.LogEntry]bool, len(entries))
	for _, e := range entries {
		seen[sameLine(e)] = true
		c.printEntry(e)
	}
	if !follow {
		return nil
	}
	return c.follow(ctx, seq, func(e api.Event) {
		switch {
		case e.Kind == api.EventLog && e.Log != nil && !seen[sameLine(*e.Log)]:
			c.printEntry(*e.Log)
		case e.Kind == api.EventLost:
			c.note("Some lines were missed; `sallyport log` has the newest.")
		}
	})
}

// sameLine makes entries comparable: a time's location does not count.
func sameLine(e api.LogEntry) api.LogEntry {
	e.Time = time.Unix(0, e.Time.UnixNano()).UTC()
	return e
}

// follow shows events after seq until ctx ends, which is a good end. It waits
// for a service that went away: its successor counts from the beginning.
func (c *command) follow(ctx context.Context, seq uint64, show func(api.Event)) error {
	for {
		err := c.service().Events(ctx, seq, func(e api.Event) bool {
			seq = e.Seq
			show(e)
			return c.outErr == nil
		})
		switch {
		case ctx.Err() != nil || c.outErr != nil:
			return nil
		case err != nil && api.AsError(err).Code != api.CodeUnreachable:
			return err
		}
		c.note("The service went away; waiting for it.")
		st, err := c.awaitState(ctx)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		c.note("The service is back.")
		seq = st.Seq
	}
}

// awaitState asks until the service answers; it returns without an error when
// ctx ends.
func (c *command) awaitState(ctx context.Context) (api.State, error) {
	for {
		st, err := c.service().State(ctx)
		if err == nil || ctx.Err() != nil {
			return st, nil
		}
		if code := api.AsError(err).Code; code != api.CodeUnreachable && code != api.CodeTimeout {
			return st, err
		}
		select {
		case <-ctx.Done():
			return st, nil
		case <-time.After(time.Second):
		}
	}
}

// note tells people what is no part of the output.
func (c *command) note(s string) {
	if !c.json {
		fmt.Fprintf(c.Err, "sallyport: %s\n", s)
	}
}

func (c *command) printEvent(e api.Event) {
	if c.json {
		c.printLine(e)
		return
	}
	switch {
	case e.Kind == api.EventLog && e.Log != nil:
		c.printEntry(*e.Log)
	case e.Kind == api.EventConnection && e.Connection != nil:
		c.printf("%s  %s\n", c.clock(e.Time), c.paint(clean(c.changeText(*e.Connection)), protectionStyle(e.Connection.Protection)))
	case e.Kind == api.EventFallback:
		var until time.Time
		if e.Connection != nil {
			until = e.Connection.ClearUntil
		}
		c.printf("%s  %s\n", c.clock(e.Time), c.paint(clean(fmt.Sprintf("%s fell back: ITS TRAFFIC LEAVES IN CLEAR%s", e.Name, c.untilText(until))), yellow))
	case e.Kind == api.EventAssignment:
		c.printf("%s  %s\n", c.clock(e.Time), clean(changedAssignment(e.Assignment)))
	case e.Kind == api.EventPrompt && e.Prompt != nil:
		c.printf("%s  %s waits for an answer: %s `sallyport answer %s`\n", c.clock(e.Time), clean(e.Prompt.Connection), promptText(*e.Prompt), clean(e.Prompt.ID))
	case e.Kind == api.EventAnswered:
		c.printf("%s  the prompt %s asks no more\n", c.clock(e.Time), clean(e.Name))
	case e.Kind == api.EventRemoved:
		c.printf("%s  %s is removed\n", c.clock(e.Time), clean(e.Name))
	case e.Kind == api.EventLost:
		c.printf("%s  some events were missed; `sallyport status` shows how things stand\n", c.clock(e.Time))
	}
}

func changedAssignment(a *api.Assignment) string {
	switch {
	case a == nil:
		return "no policy is assigned any more"
	case a.By == "":
		return fmt.Sprintf("the policy %q is assigned", a.Policy)
	}
	return fmt.Sprintf("the policy %q is assigned, by %s", a.Policy, a.By)
}

func (c *command) changeText(conn api.Connection) string {
	s := fmt.Sprintf("%s is %s", conn.Name, c.stateText(conn))
	var more []string
	if conn.Path != "" {
		more = append(more, conn.Path)
	}
	if way := transportText(conn.Transport); way != "" {
		more = append(more, way)
	}
	if len(conn.Addresses) > 0 {
		more = append(more, "address "+list(conn.Addresses))
	}
	switch {
	case conn.Question != "":
		more = append(more, conn.Question)
	case conn.Problem != nil:
		more = append(more, conn.Problem.What)
	}
	if len(more) == 0 {
		return s
	}
	if conn.Protection == api.Held || conn.Protection == api.Stopped { // a colon is in it
		return s + "; " + strings.Join(more, "; ")
	}
	return s + ": " + strings.Join(more, "; ")
}

func (c *command) printEntry(e api.LogEntry) {
	if c.json {
		c.printLine(e)
		return
	}
	text := e.Text
	if e.Connection != "" {
		text = e.Connection + ": " + text
	}
	level := fmt.Sprintf("%-5s", clean(string(e.Level)))
	switch e.Level {
	case api.LogWarn:
		level = c.paint(level, yellow)
	case api.LogError:
		level = c.paint(level, red)
	}
	c.printf("%s  %s  %-7s  %s\n", c.clock(e.Time), level, clean(e.Topic), clean(text))
}
