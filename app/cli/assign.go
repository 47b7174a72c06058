package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"sallyport/app/gather"
	"sallyport/core/api"
)

func (c *command) policyAssignCmd() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "assign NAME",
		Short: "Put a policy in force, in the place of the one that is",
		Long: `Put a policy in force, in the place of the one that is. It is all or nothing: on
any failure the old policy stays in force. --dry-run only tells what would
change. The filters are shown as they decide, the most specific first.`,
		Args:              names("policy", 1),
		ValidArgsFunction: c.completePolicy(1),
		RunE: c.run(func(ctx context.Context, args []string) error {
			res, err := c.service().Assign(ctx, args[0], dry)
			if err != nil {
				return err
			}
			if c.json {
				res.Changes, res.Order = notNil(res.Changes), notNil(res.Order)
				c.printJSON(res)
				return nil
			}
			if dry {
				c.printf("Assigning %q would change this; nothing has been changed.\n", clean(args[0]))
			} else {
				c.printf("The policy %q is assigned.\n", clean(args[0]))
			}
			c.printAssign(res)
			return nil
		}),
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only tell what would change")
	return cmd
}

func (c *command) printAssign(res api.AssignResult) {
	for _, w := range res.Warnings {
		c.printf("%s %s\n", c.paint("Warning:", yellow), clean(w))
	}
	c.printf("\nChanges\n")
	if len(res.Changes) == 0 {
		c.printf("  none\n")
	}
	c.printLines("  ", res.Changes)
	c.printf("\nFilters, as they decide\n")
	if len(res.Order) == 0 {
		c.printf("  none\n")
	}
	t := &table{}
	for i, l := range res.Order {
		t.add(strconv.Itoa(i+1), l)
	}
	c.printTable(t, "  ")
}

func (c *command) policyUnassignCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "unassign",
		Short: "End the assigned policy, so that none is in force",
		Args:  nothing,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			if err := c.service().Unassign(ctx); err != nil {
				return err
			}
			if c.json {
				c.printJSON(struct {
					Assignment *api.Assignment `json:"assignment"`
				}{})
				return nil
			}
			c.printf("No policy is assigned any more.\n")
			return nil
		}),
	}
}

func (c *command) policyExplainCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "explain FLOW",
		Short: "Say what happens to a flow at this moment, and why",
		Long: `Say what happens to a flow at this moment, and why: which rule decides, which
security association carries it, since when, and who assigned the policy.
A flow is a destination, or a source and a destination in quotes.`,
		Example: `  sallyport policy explain 10.1.2.3:443/tcp
  sallyport policy explain "10.0.0.1 -> [fd00::1]:53/udp"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return fmt.Errorf("`%s` takes one flow, in quotes if it holds spaces, and got %d arguments", cmd.CommandPath(), len(args))
		},
		RunE: c.run(func(ctx context.Context, args []string) error {
			a, err := c.service().ExplainFlow(ctx, args[0])
			if err != nil {
				return err
			}
			if c.json {
				a.Why = notNil(a.Why)
				c.printJSON(a)
				return nil
			}
			c.printFlow(a)
			return nil
		}),
	}
}

func (c *command) printFlow(a api.FlowAnswer) {
	c.printf("%s\n", clean(a.Flow))
	t := &table{}
	t.add("Protection", orDash(protectionText(a.Protection)))
	t.style(1, protectionStyle(a.Protection))
	rule := a.Rule
	if rule == "" {
		rule = "none matches"
	}
	t.add("Rule", rule)
	for _, row := range []struct{ label, text string }{
		{"Filter", a.Filter}, {"Action", actionText(a.Action)}, {"Connection", a.Connection}, {"SA", a.SA},
	} {
		if row.text != "" {
			t.add(row.label, row.text)
		}
	}
	if !a.Since.IsZero() {
		t.add("Since", c.clock(a.Since)[:19])
	}
	t.add("Policy", c.assignmentText(a.Assignment))
	for i, w := range a.Why {
		label := "Why"
		if i > 0 {
			label = ""
		}
		t.add(label, w)
	}
	c.printTable(t, "  ")
}

func (c *command) policySimulateCmd() *cobra.Command {
	var capture string
	cmd := &cobra.Command{
		Use:   "simulate FILE --against CAPTURE",
		Short: "Say what a policy would do to captured traffic",
		Long: `Say what the policy in FILE would do to each flow of a capture (pcap or pcapng).
Nothing is stored and nothing changes.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("`%s` takes one file with a policy, and got %d", cmd.CommandPath(), len(args))
			}
			if capture == "" {
				return fmt.Errorf("`%s` needs --against CAPTURE", cmd.CommandPath())
			}
			return nil
		},
		RunE: c.run(func(ctx context.Context, args []string) error {
			text, err := gather.Named(args[0], maxPolicy)
			if err != nil {
				return err
			}
			packets, err := gather.Named(capture, maxCapture)
			if err != nil {
				return err
			}
			sim, err := c.service().Simulate(ctx, api.SimulateRequest{Policy: api.PolicyFile{Text: text}, Capture: packets})
			if err != nil {
				if api.AsError(err).Code == api.CodePolicyInvalid {
					err = inFile(args[0], err)
				}
				return err
			}
			if c.json {
				sim.Flows = notNil(sim.Flows)
				c.printJSON(sim)
				return nil
			}
			c.printSimulation(sim)
			return nil
		}),
	}
	cmd.Flags().StringVar(&capture, "against", "", "the capture, as tcpdump or Wireshark writes it")
	return cmd
}

// verdicts are those of a simulation, the worst first, with the words for them.
var verdicts = []struct{ name, style string }{
	{"clear", yellow}, {"protected or clear", yellow}, {"blocked", red}, {"protected", bold},
}

func (c *command) printSimulation(sim api.Simulation) {
	type sum struct{ flows, bytes uint64 }
	sums := map[string]sum{}
	t := &table{}
	t.add("FLOW", "PACKETS", "BYTES", "VERDICT", "RULE")
	for _, f := range sim.Flows {
		s := sums[f.Verdict]
		sums[f.Verdict] = sum{s.flows + 1, s.bytes + f.Bytes}
		t.add(f.Flow, strconv.FormatUint(f.Packets, 10), bytesText(f.Bytes), f.Verdict, orDash(f.Rule))
		for _, v := range verdicts {
			if v.name == f.Verdict {
				t.style(3, v.style)
			}
		}
	}
	if len(sim.Flows) > 0 {
		c.printTable(t, "")
		c.printf("\n")
	}
	for _, v := range verdicts {
		if s := sums[v.name]; s.flows > 0 {
			c.printf("%s: %s, %s\n", capital(v.name), flows(s.flows), bytesText(s.bytes))
		}
	}
	if len(sim.Flows) == 0 {
		c.printf("The capture holds no IP packets.\n")
	}
	if sim.Skipped > 0 {
		c.printf("Not IP, and left out: %s\n", packets(sim.Skipped))
	}
}

func flows(n uint64) string {
	if n == 1 {
		return "1 flow"
	}
	return fmt.Sprintf("%d flows", n)
}
