package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/core/api"
)

// maxExchanges is the most that the service gives at once.
const maxExchanges = 2000

func (c *command) exchangesCmd() *cobra.Command {
	var limit int
	var details bool
	cmd := &cobra.Command{
		Use:   "exchanges [NAME]",
		Short: "Show the newest IKE messages, decoded",
		Long: `Show the newest IKE messages of a connection, or of all, decoded. They stay after
the tunnel is down, so that a failure can be looked at. Keys, nonces, proofs and
passwords are never shown, only how long they are. Messages of strangers, whom no
connection is proved to be with, have no name.`,
		Args:              atMostOne,
		ValidArgsFunction: c.completeName,
		RunE: c.run(func(ctx context.Context, args []string) error {
			if limit < 0 || limit > maxExchanges {
				return usagef("The number of messages must be from 0 to %d.", maxExchanges)
			}
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			messages, err := c.service().Exchanges(ctx, name, limit)
			if err != nil {
				return err
			}
			if c.json {
				c.printJSON(struct {
					Messages []api.Message `json:"messages"`
				}{notNil(messages)})
				return nil
			}
			c.printExchanges(messages, details)
			return nil
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "how many messages to show")
	cmd.Flags().BoolVar(&details, "details", false, "show what is in each message")
	return cmd
}

func (c *command) printExchanges(messages []api.Message, details bool) {
	if len(messages) == 0 {
		c.printf("There are no IKE messages yet.\n")
		return
	}
	if details {
		for i, m := range messages {
			if i > 0 {
				c.printf("\n")
			}
			c.printMessage(m)
		}
		return
	}
	t := &table{}
	t.add("TIME", "CONNECTION", "", "EXCHANGE", "ID", "BYTES", "CONTENT")
	for _, m := range messages {
		t.add(c.clock(m.Time), orDash(m.Connection), direction(m), m.Exchange+" "+kindOf(m), strconv.FormatUint(uint64(m.MessageID), 10),
			strconv.Itoa(m.Size), content(m))
		if m.Problem != "" {
			t.style(6, yellow)
		}
	}
	c.printTable(t, "")
}

func direction(m api.Message) string {
	if m.Sent {
		return "sent"
	}
	return "received"
}

func kindOf(m api.Message) string {
	if m.Request {
		return "request"
	}
	return "response"
}

// content says in a line what is in a message.
func content(m api.Message) string {
	var parts []string
	for _, p := range m.Payloads {
		parts = append(parts, p.Name)
	}
	s := strings.Join(parts, " ")
	switch {
	case m.Retransmit > 0:
		s = strings.TrimSpace(s + fmt.Sprintf(" (repetition %d)", m.Retransmit))
	case s == "" && m.Problem == "":
		s = "(empty)"
	}
	if m.Problem != "" {
		s = strings.TrimSpace(s + " [" + m.Problem + "]")
	}
	return s
}

// printMessage shows everything of a message.
func (c *command) printMessage(m api.Message) {
	c.printf("%s  %s  %s\n", c.clock(m.Time), clean(orDash(m.Connection)), c.paint(clean(direction(m)+" "+m.Exchange+" "+kindOf(m)), bold))
	arrow := "<-"
	if m.Sent {
		arrow = "->"
	}
	t := &table{}
	t.add("Path", fmt.Sprintf("%s %s %s", m.Local, arrow, m.Remote))
	t.add("SPIs", fmt.Sprintf("%s_i %s_r, message ID %d", m.SPIi, m.SPIr, m.MessageID))
	size := fmt.Sprintf("%d bytes", m.Size)
	if m.Fragments > 0 {
		size += fmt.Sprintf(" in %d fragments", m.Fragments)
	}
	if m.Encrypted {
		size += ", encrypted"
	}
	if m.Retransmit > 0 {
		size += fmt.Sprintf(", repetition %d", m.Retransmit)
	}
	t.add("Size", size)
	if m.Problem != "" {
		t.add("Problem", m.Problem)
		t.style(0, red)
	}
	c.printTable(t, "  ")
	for _, p := range m.Payloads {
		c.printf("  %s (%d bytes)\n", clean(p.Name), p.Size)
		t := &table{}
		for _, f := range p.Fields {
			t.add(f.Name, f.Value)
		}
		c.printTable(t, "    ")
	}
}
