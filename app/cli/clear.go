package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/core/api"
)

// maxClear is the longest that the service lets traffic out in clear at once.
const maxClear = 24 * time.Hour

func (c *command) allowClearCmd() *cobra.Command {
	var d time.Duration
	var yes bool
	cmd := &cobra.Command{
		Use:   "allow-clear NAME",
		Short: "Let the traffic of a connection leave unprotected for a while",
		Long: `Answer the question of a connection whose traffic was protected here before, and
now cannot be: perhaps someone on the way keeps it from being so. Its traffic
may leave in clear for a while; without an answer it stays blocked.`,
		Args:              oneName,
		ValidArgsFunction: c.completeName,
		RunE: c.run(func(ctx context.Context, args []string) error {
			if d <= 0 || d > maxClear {
				return usagef("The time must be more than 0 and at most %v.", maxClear)
			}
			return c.allowClear(ctx, args[0], d, yes)
		}),
	}
	cmd.Flags().DurationVar(&d, "for", 5*time.Minute, "for how long")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	return cmd
}

func (c *command) allowClear(ctx context.Context, name string, d time.Duration, yes bool) error {
	if !yes {
		if c.Confirm == nil || c.json {
			return &api.Error{Code: api.CodeUsage, What: "Letting traffic leave in clear needs a confirmation, and there is no terminal to ask at.",
				Next: "Confirm it with --yes."}
		}
		conn, err := c.find(ctx, name)
		if err != nil {
			return err
		}
		if conn.Question != "" {
			c.printf("%s\n", clean(conn.Question))
		}
		ok, err := c.Confirm(ctx, fmt.Sprintf("Let the traffic of %q leave IN CLEAR for %s? [y/N] ", clean(name), durationText(d)))
		if err != nil || !ok {
			return &api.Error{Code: api.CodeCancelled, What: fmt.Sprintf("The traffic of %q stays as it was.", name)}
		}
	}
	if err := c.service().AllowClear(ctx, name, d); err != nil {
		return err
	}
	conn, err := c.find(ctx, name)
	if err != nil {
		return err
	}
	if c.json {
		c.printJSON(conn)
		return nil
	}
	c.printf("%s is %s.\n", clean(name), clean(c.stateText(conn)))
	return nil
}

func (c *command) memoryCmd() *cobra.Command {
	memory := &cobra.Command{
		Use:   "memory",
		Short: "Show and change what is remembered of where protection worked",
		Long: `Where protection has worked once, traffic that may fall back to clear does not do
so silently again: it is blocked, and the user is asked. This memory has an
entry for each network of this machine, peer and rule. Entries age; a pinned one
does not.`,
		Args: nothing,
		RunE: c.run(func(context.Context, []string) error {
			return &api.Error{Code: api.CodeUsage, What: "Do what with the memory?", Next: "`sallyport memory --help` shows the commands."}
		}),
	}
	memory.AddCommand(c.memoryListCmd(),
		c.memoryChangeCmd("pin", "Keep an entry for good", "The entry is pinned: it does not age.", func(ctx context.Context, m api.Memory) error {
			m.Pinned = true
			return c.service().Pin(ctx, m)
		}),
		c.memoryChangeCmd("unpin", "Let an entry age again", "The entry ages again.", func(ctx context.Context, m api.Memory) error {
			return c.service().Pin(ctx, m)
		}),
		c.memoryChangeCmd("forget", "Drop an entry, so that traffic may fall back to clear", "The entry is forgotten.", func(ctx context.Context, m api.Memory) error {
			return c.service().Forget(ctx, m)
		}))
	return memory
}

func (c *command) memoryListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List where protection worked",
		Args:  nothing,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			memories, err := c.service().Memories(ctx)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(struct {
					Memories []api.Memory `json:"memories"`
				}{notNil(memories)})
				return nil
			}
			if len(memories) == 0 {
				c.printf("Nothing is remembered.\n")
				return nil
			}
			t := &table{}
			t.add("NETWORK", "PEER", "RULE", "WORKED", "KEPT")
			for _, m := range memories {
				kept := "for a while"
				if m.Pinned {
					kept = "pinned"
				}
				t.add(networkText(m.Network), m.Peer, m.Rule, c.since(m.Worked)+" ago", kept)
			}
			c.printTable(t, "")
			return nil
		}),
	}
}

// A memoryKey names an entry of the downgrade memory.
type memoryKey struct {
	Network netip.Prefix `json:"network"`
	Peer    string       `json:"peer"`
	Rule    string       `json:"rule"`
}

func (c *command) memoryChangeCmd(verb, short, done string, change func(context.Context, api.Memory) error) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " NETWORK PEER RULE",
		Short: short,
		Long:  short + `. "sallyport memory list" shows the entries.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 3 {
				return nil
			}
			return fmt.Errorf("`%s` takes a network, a peer and a rule, as `sallyport memory list` shows them, and got %d", cmd.CommandPath(), len(args))
		},
		ValidArgsFunction: c.completeMemory,
		RunE: c.run(func(ctx context.Context, args []string) error {
			network, err := parseNetwork(args[0])
			if err != nil {
				return err
			}
			key := memoryKey{network, args[1], args[2]}
			if err := change(ctx, api.Memory{Network: key.Network, Peer: key.Peer, Rule: key.Rule}); err != nil {
				return err
			}
			if c.json {
				c.printJSON(struct {
					Done  string    `json:"done"`
					Entry memoryKey `json:"entry"`
				}{verb, key})
				return nil
			}
			c.printf("%s\n", done)
			return nil
		}),
	}
}

// networkText writes a network; "-" where it is not known.
func networkText(p netip.Prefix) string {
	if !p.IsValid() {
		return "-"
	}
	return p.String()
}

func parseNetwork(s string) (netip.Prefix, error) {
	if s == "-" {
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, usagef("%q is no network such as 192.0.2.0/24.", s)
	}
	return p, nil
}

// completeMemory offers what fits the words so far.
func (c *command) completeMemory(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	memories, err := c.service().Memories(ctx)
	if err != nil || len(args) > 2 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var offers []string
	for _, m := range memories {
		words := []string{networkText(m.Network), m.Peer, m.Rule}
		fits := true
		for i, a := range args {
			fits = fits && words[i] == a
		}
		if fits && clean(words[len(args)]) == words[len(args)] {
			offers = append(offers, words[len(args)])
		}
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}

// confirm asks a question that only "y" or "yes" affirms. It waits for the
// answer no longer than ctx.
func confirm(ctx context.Context, in io.Reader, out io.Writer, question string) (bool, error) {
	fmt.Fprint(out, question)
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() { // ends with the line, or with the process
		line, err := bufio.NewReader(io.LimitReader(in, 64)).ReadString('\n')
		got <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(out)
		return false, ctx.Err()
	case a := <-got:
		if a.err != nil {
			return false, a.err
		}
		word := strings.ToLower(strings.TrimSpace(a.line))
		return word == "y" || word == "yes", nil
	}
}
