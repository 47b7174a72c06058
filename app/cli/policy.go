package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/core/api"
)

func (c *command) policyCmd() *cobra.Command {
	policy := &cobra.Command{
		Use:   "policy",
		Short: "Store, compare, assign and explain IPsec policies",
		Long: `A policy says which traffic must be protected, which may leave in clear and which
is blocked. Any number can be stored; at most one is assigned, which means in
force. Changing a stored policy changes nothing until it is assigned again.`,
		Args: nothing,
		RunE: c.run(func(context.Context, []string) error {
			return &api.Error{Code: api.CodeUsage, What: "Do what with policies?", Next: "`sallyport policy --help` shows the commands."}
		}),
	}
	policy.AddCommand(c.policyListCmd(), c.policyShowCmd(), c.policyImportCmd(), c.policyExportCmd(), c.policyDuplicateCmd(),
		c.policyRemoveCmd(), c.policyCheckCmd(), c.policyDiffCmd(), c.policyAssignCmd(), c.policyUnassignCmd(), c.policyExplainCmd(), c.policySimulateCmd())
	return policy
}

func (c *command) policyListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the policies, and which one is assigned",
		Args:  nothing,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			policies, err := c.service().Policies(ctx)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(struct {
					Policies []api.Policy `json:"policies"`
				}{notNil(policies)})
				return nil
			}
			c.printPolicies(policies)
			return nil
		}),
	}
}

func (c *command) printPolicies(policies []api.Policy) {
	if len(policies) == 0 {
		c.printf("There are no policies yet. `sallyport policy import FILE` adds one.\n")
		return
	}
	assigned := false
	t := &table{}
	t.add("NAME", "RULES", "STATE", "DESCRIPTION")
	for _, p := range policies {
		assigned = assigned || p.Assigned
		state, style := "-", ""
		switch {
		case p.Problem != nil:
			state, style = "has a problem", red
			if p.Assigned {
				state = "assigned, has a problem"
			}
		case p.Assigned:
			state, style = "assigned", bold
		case p.Predefined:
			state = "predefined"
		}
		t.add(p.Name, strconv.Itoa(p.Rules), state, p.Description)
		t.style(2, style)
	}
	c.printTable(t, "")
	for _, p := range policies {
		c.printPolicyNotes(p)
	}
	if !assigned {
		c.printf("\n%s\n", c.assignmentText(nil))
	}
}

// printPolicyNotes shows what is wrong with a policy, if anything.
func (c *command) printPolicyNotes(p api.Policy) {
	t := &table{}
	if p.Problem != nil {
		if p.Problem.Position != nil {
			t.add("At", position(p.Problem.Position))
		}
		t.addProblem(p.Problem)
	}
	for _, w := range p.Warnings {
		t.add("Warning", w)
		t.style(0, yellow)
	}
	if len(t.rows) > 0 {
		c.printf("\n%s\n", clean(p.Name))
		c.printTable(t, "  ")
	}
}

func (c *command) policyShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "show NAME",
		Short:             "Show the text of a policy",
		Long:              `Show the text of a policy. What a terminal would obey is replaced; "policy export" gives the text as it is.`,
		Args:              names("policy", 1),
		ValidArgsFunction: c.completePolicy(1),
		RunE: c.run(func(ctx context.Context, args []string) error {
			f, err := c.service().Policy(ctx, args[0])
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(struct {
					Name string `json:"name"`
					Text string `json:"text"`
				}{args[0], string(f.Text)})
				return nil
			}
			for line := range strings.Lines(string(f.Text)) {
				parts := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
				for i := range parts {
					parts[i] = clean(parts[i])
				}
				c.printf("%s\n", strings.Join(parts, "\t"))
			}
			return nil
		}),
	}
}

func (c *command) policyDuplicateCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "duplicate NAME NEW",
		Short:             "Store a copy of a policy under a new name",
		Args:              names("policy", 2),
		ValidArgsFunction: c.completePolicy(1),
		RunE: c.run(func(ctx context.Context, args []string) error {
			f, err := c.service().Policy(ctx, args[0])
			if err != nil {
				return err
			}
			p, err := c.service().StorePolicy(ctx, api.PolicyFile{Name: args[1], Text: f.Text})
			if e := api.AsError(err); e != nil && e.Code == api.CodeExists {
				return &api.Error{Code: e.Code, What: e.What, Next: "Choose another name, or remove that policy first."}
			}
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(p)
				return nil
			}
			c.printf("%q is a copy of %q.\n", clean(p.Name), clean(args[0]))
			return nil
		}),
	}
}

func (c *command) policyRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME",
		Short:             "Forget a policy that is not assigned",
		Args:              names("policy", 1),
		ValidArgsFunction: c.completePolicy(1),
		RunE: c.run(func(ctx context.Context, args []string) error {
			if err := c.service().RemovePolicy(ctx, args[0]); err != nil {
				return err
			}
			if c.json {
				c.printJSON(struct {
					Removed string `json:"removed"`
				}{args[0]})
				return nil
			}
			c.printf("The policy %q is removed.\n", clean(args[0]))
			return nil
		}),
	}
}

func (c *command) policyDiffCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "diff A B",
		Short:             "Show how the policy B differs from the policy A",
		Long:              `Show how the policy B differs from the policy A, a change a line. The exit code is 0 also when they differ.`,
		Args:              names("policy", 2),
		ValidArgsFunction: c.completePolicy(2),
		RunE: c.run(func(ctx context.Context, args []string) error {
			changes, err := c.service().DiffPolicies(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(struct {
					A       string   `json:"a"`
					B       string   `json:"b"`
					Changes []string `json:"changes"`
				}{args[0], args[1], notNil(changes)})
				return nil
			}
			if len(changes) == 0 {
				c.printf("%q and %q do the same.\n", clean(args[0]), clean(args[1]))
			}
			c.printLines("", changes)
			return nil
		}),
	}
}

// printLines shows lines that came from elsewhere.
func (c *command) printLines(indent string, lines []string) {
	for _, l := range lines {
		c.printf("%s%s\n", indent, clean(l))
	}
}

// position writes where in a file something is.
func position(p *api.Position) string {
	at := p.File
	if p.Line > 0 {
		at += fmt.Sprintf(":%d", p.Line)
	}
	if p.Field != "" {
		at += ": " + p.Field
	}
	return strings.TrimPrefix(at, ":")
}

// names checks for the names of so many things of a kind.
func names(kind string, n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == n:
			return nil
		case n == 1:
			return fmt.Errorf("`%s` takes the name of one %s, and got %d", cmd.CommandPath(), kind, len(args))
		}
		return fmt.Errorf("`%s` takes two names, and got %d", cmd.CommandPath(), len(args))
	}
}

// completePolicy offers the names of the policies for the first n arguments.
func (c *command) completePolicy(n int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
		defer cancel()
		policies, err := c.service().Policies(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var offers []string
		for _, p := range policies {
			if !strings.HasPrefix(p.Name, "-") && clean(p.Name) == p.Name {
				offers = append(offers, p.Name+"\t"+clean(p.Description))
			}
		}
		return offers, cobra.ShellCompDirectiveNoFileComp
	}
}
