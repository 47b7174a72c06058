package cli

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"sallyport/core/api"
)

func (c *command) showCmd() *cobra.Command {
	show := &cobra.Command{
		Use:   "show static|dynamic|security|all",
		Short: "Show the configuration, the security associations, what is protected, or all",
		Args:  nothing,
		RunE: c.run(func(context.Context, []string) error {
			return &api.Error{Code: api.CodeUsage, What: "Show what?", Next: "`sallyport show static`, `sallyport show dynamic`, `sallyport show security` or `sallyport show all`."}
		}),
	}
	show.AddCommand(&cobra.Command{
		Use:   "static",
		Short: "Show the service and its connections",
		Args:  nothing,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			st, err := c.state(ctx)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(st)
				return nil
			}
			c.printStatic(st)
			return nil
		}),
	}, &cobra.Command{
		Use:   "dynamic",
		Short: "Show the security associations and what was dropped",
		Args:  nothing,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			d, err := c.dynamic(ctx)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(d)
				return nil
			}
			c.printDynamic(d)
			return nil
		}),
	}, &cobra.Command{
		Use:   "security",
		Short: "Show the assigned policy and how much of the traffic was protected",
		Args:  nothing,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			s, err := c.security(ctx)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(s)
				return nil
			}
			c.printSecurity(s)
			return nil
		}),
	}, &cobra.Command{
		Use:   "all",
		Short: "Show all of it",
		Args:  nothing,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			st, err := c.state(ctx)
			if err != nil {
				return err
			}
			d, err := c.dynamic(ctx)
			if err != nil {
				return err
			}
			s, err := c.security(ctx)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(struct {
					Static   api.State    `json:"static"`
					Dynamic  api.Dynamic  `json:"dynamic"`
					Security api.Security `json:"security"`
				}{st, d, s})
				return nil
			}
			c.printStatic(st)
			c.printf("\n")
			c.printDynamic(d)
			c.printf("\n")
			c.printSecurity(s)
			return nil
		}),
	})
	return show
}

func (c *command) state(ctx context.Context) (api.State, error) {
	st, err := c.service().State(ctx)
	st.Connections = notNil(st.Connections)
	return st, err
}

func (c *command) dynamic(ctx context.Context) (api.Dynamic, error) {
	d, err := c.service().Dynamic(ctx)
	d.IKESAs, d.ChildSAs = notNil(d.IKESAs), notNil(d.ChildSAs)
	if d.Drops == nil {
		d.Drops = map[string]uint64{}
	}
	return d, err
}

func (c *command) printStatic(st api.State) {
	c.printService(st)
	if len(st.Connections) == 0 {
		c.printf("\n")
		c.noConnections()
	}
	for _, conn := range st.Connections {
		c.printf("\n")
		c.printConnection(conn)
	}
}

func (c *command) printDynamic(d api.Dynamic) {
	c.printf("IKE SAs (main mode): %d\n", len(d.IKESAs))
	for _, sa := range d.IKESAs {
		side := "responder"
		if sa.Initiator {
			side = "initiator"
		}
		c.printf("\n  %s, %s, %s for %s\n", clean(sa.Connection), side, clean(sa.State), c.since(sa.Established))
		t := &table{}
		t.add("Local", sa.Local+natText(sa.NATLocal), sa.LocalID, sa.LocalAuth)
		t.add("Remote", sa.Remote+natText(sa.NATRemote), sa.RemoteID, sa.RemoteAuth)
		c.printTable(t, "    ")
		t = &table{}
		t.add("SPIs", sa.LocalSPI+" (local), "+sa.RemoteSPI+" (remote)")
		t.add("Proposal", sa.Proposal)
		t.add("Rekey", c.until(sa.RekeyAt)+", "+strconv.Itoa(sa.Rekeys)+" so far")
		if !sa.ReauthAt.IsZero() {
			t.add("Reauthenticate", c.until(sa.ReauthAt))
		}
		if sa.Mobile {
			t.add("Roaming", "outlives changes of network (MOBIKE), "+strconv.Itoa(sa.Moves)+" so far")
		}
		if sa.Resumed {
			t.add("Resumed", "with a ticket: nobody was asked again")
		}
		c.printTable(t, "    ")
	}
	c.printf("\nChild SAs (quick mode): %d\n", len(d.ChildSAs))
	for _, sa := range d.ChildSAs {
		c.printf("\n  %s/%s, %s for %s\n", clean(sa.Connection), clean(sa.Child), clean(sa.State), c.since(sa.Established))
		t := &table{}
		if sa.Resource != 0 {
			t.add("Resource", strconv.Itoa(sa.Resource))
		}
		t.add("SPIs", sa.InSPI+" (in), "+sa.OutSPI+" (out)")
		t.add("Proposal", sa.Proposal)
		t.add("Local", list(sa.LocalTS))
		t.add("Remote", list(sa.RemoteTS))
		t.add("Rekey", c.until(sa.RekeyAt))
		t.add("Traffic", trafficText(sa.Counters))
		c.printTable(t, "    ")
	}
	reasons := slices.DeleteFunc(slices.Sorted(maps.Keys(d.Drops)), func(k string) bool { return d.Drops[k] == 0 })
	if len(reasons) == 0 {
		c.printf("\nNo packets were dropped.\n")
		return
	}
	c.printf("\nPackets dropped\n\n")
	t := &table{}
	for _, k := range reasons {
		t.add(k, strconv.FormatUint(d.Drops[k], 10))
	}
	c.printTable(t, "  ")
}

func natText(nat bool) string {
	if nat {
		return " (behind NAT)"
	}
	return ""
}
