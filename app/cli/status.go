package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/core/api"
)

func (c *command) listCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the connections",
		Args:  nothing,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			st, err := c.service().State(ctx)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(struct {
					Connections []api.Connection `json:"connections"`
				}{notNil(st.Connections)})
				return nil
			}
			if len(st.Connections) == 0 {
				c.noConnections()
				return nil
			}
			t := &table{}
			t.add("NAME", "STATE", "PROFILE", "ROLE", "GATEWAY")
			for _, conn := range st.Connections {
				profile := string(conn.Profile)
				if conn.Rule != "" {
					profile = "by rule " + conn.Rule
				}
				t.add(conn.Name, c.stateText(conn), orDash(profile), conn.Role, orDash(list(conn.Gateway)))
				t.style(1, connStyle(conn))
			}
			c.printTable(t, "")
			return nil
		}),
	}
}

func (c *command) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "status [NAME]",
		Short:             "Show how the service and its tunnels stand",
		Args:              atMostOne,
		ValidArgsFunction: c.completeName,
		RunE: c.run(func(ctx context.Context, args []string) error {
			if len(args) == 1 {
				conn, err := c.find(ctx, args[0])
				if err != nil {
					return err
				}
				if c.json {
					c.printJSON(conn)
					return nil
				}
				c.printConnection(conn)
				return nil
			}
			st, err := c.service().State(ctx)
			if err != nil {
				return err
			}
			if c.json {
				st.Connections = notNil(st.Connections)
				c.printJSON(st)
				return nil
			}
			c.printService(st)
			c.printf("\n")
			if len(st.Connections) == 0 {
				c.noConnections()
				return nil
			}
			t := &table{}
			t.add("NAME", "STATE", "FOR", "TRAFFIC")
			for _, conn := range st.Connections {
				t.add(conn.Name, c.stateText(conn), c.since(conn.Since), shortTraffic(conn.Counters))
				t.style(1, connStyle(conn))
			}
			c.printTable(t, "")
			for _, conn := range st.Connections {
				t := &table{}
				if conn.Problem != nil {
					t.addProblem(conn.Problem)
				}
				t.addQuestion(conn)
				if len(t.rows) > 0 {
					c.printf("\n%s\n", clean(conn.Name))
					c.printTable(t, "  ")
				}
			}
			return nil
		}),
	}
}

func (c *command) noConnections() {
	c.printf("There are no connections yet. `sallyport import FILE` adds one.\n")
}

func shortTraffic(n api.Counters) string {
	if n == (api.Counters{}) {
		return "-"
	}
	return fmt.Sprintf("in %s, out %s", bytesText(n.InBytes), bytesText(n.OutBytes))
}

func (c *command) printService(st api.State) {
	s := st.Service
	c.printf("The service, version %s, has been running for %s.\n", clean(orDash(s.Version)), c.since(s.Started))
	if len(s.Ports) > 0 {
		c.printf("IKE listens on %s.\n", clean(list(s.Ports)))
	}
	for _, w := range s.Warnings {
		c.printf("Warning: %s\n", clean(w))
	}
	c.printf("%s\n", clean(c.assignmentText(st.Assignment)))
}

// printConnection shows everything of one connection.
func (c *command) printConnection(conn api.Connection) {
	c.printf("%s\n", clean(conn.Name))
	t := &table{}
	t.add("State", fmt.Sprintf("%s for %s", conn.State, c.since(conn.Since)))
	t.style(1, stateStyle(conn.State))
	c.addProtection(t, conn)
	if conn.Rule != "" {
		t.add("Rule", conn.Rule)
	} else {
		t.add("Profile", profileText(conn.Profile))
	}
	t.add("Role", conn.Role)
	if len(conn.Gateway) > 0 {
		t.add("Gateway", list(conn.Gateway))
	}
	for _, w := range conn.Warnings {
		t.add("Warning", w)
	}
	t.addTunnel(conn)
	if conn.Problem != nil {
		t.addProblem(conn.Problem)
	}
	t.addQuestion(conn)
	c.printTable(t, "  ")
}

// addTunnel adds what is known while a tunnel is up.
func (t *table) addTunnel(conn api.Connection) {
	for _, row := range []struct{ label, text string }{
		{"Path", conn.Path},
		{"Transport", transportText(conn.Transport)},
		{"Peer", conn.PeerID},
		{"Address", list(conn.Addresses)},
		{"DNS", dnsText(conn)},
		{"Protected", list(conn.Routes)},
		{"Quantum-safe", quantumText(conn)},
		{"Path MTU", pathMTUText(conn.PathMTU)},
	} {
		if row.text != "" {
			t.add(row.label, row.text)
		}
	}
	if conn.Counters != (api.Counters{}) {
		t.add("Traffic", trafficText(conn.Counters))
	}
}

// quantumText says whether who records the traffic can read it one day.
func quantumText(conn api.Connection) string {
	if conn.QuantumSafe {
		return "yes"
	}
	switch conn.QuantumWhy {
	case "":
		return ""
	case api.QuantumNotOffered:
		return "no, the connection does not ask for it"
	case api.QuantumNotSupported:
		return "no, the gateway does not support it"
	case api.QuantumRefused:
		return "no, the gateway answered only when it was asked without"
	}
	return "no"
}

// pathMTUText says how large packets may be, and how that is known.
func pathMTUText(m *api.PathMTU) string {
	if m == nil {
		return ""
	}
	how := map[api.MTUKnown]string{
		api.MTUAssumed:  "assumed",
		api.MTUReported: "reported by the network",
		api.MTUProved:   "proved by an answer",
	}[m.Known]
	if how == "" {
		how = string(m.Known)
	}
	return fmt.Sprintf("%d bytes, %s", m.Bytes, how)
}

func (t *table) addProblem(e *api.Error) {
	t.add("Problem", e.What)
	t.style(0, red)
	if e.Why != "" {
		t.add("Why", e.Why)
	}
	if e.Next != "" {
		t.add("Next", e.Next)
	}
}

// profileText names a profile in the users' words.
func profileText(p api.Profile) string {
	switch p {
	case api.Respond:
		return "respond (secure when asked)"
	case api.Request:
		return "request (secure when possible)"
	case api.Require:
		return "require (secure or nothing)"
	}
	return string(p)
}

// notNil keeps an empty list an empty list in JSON.
func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// dnsText says which name servers are asked, and for what.
func dnsText(conn api.Connection) string {
	s := list(conn.DNS)
	if s != "" && len(conn.Domains) > 0 {
		s += " for " + clean(strings.Join(conn.Domains, ", "))
	}
	return s
}
