package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"sallyport/core/api"
)

func (c *command) trafficCmd() *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use:   "traffic [NAME]",
		Short: "Show each second what the tunnels carry",
		Long: `Show each second what the tunnels that are up carry, until interrupted. With
--json each line is one object.`,
		Args:              atMostOne,
		ValidArgsFunction: c.completeName,
		RunE: c.run(func(ctx context.Context, args []string) error {
			if count < 0 {
				return usagef("The number of seconds cannot be negative.")
			}
			name := ""
			if len(args) == 1 {
				name = args[0]
				if _, err := c.find(ctx, name); err != nil {
					return err
				}
			}
			return c.traffic(ctx, name, count)
		}),
	}
	cmd.Flags().IntVar(&count, "count", 0, "stop after so many seconds; 0: when interrupted")
	return cmd
}

// A rate is what a tunnel carried within the last second, and altogether.
type rate struct {
	Connection string       `json:"connection"`
	In         uint64       `json:"in_bytes_per_second"`
	Out        uint64       `json:"out_bytes_per_second"`
	Total      api.Counters `json:"total"`
}

// rates compares two readings. A tunnel that was connected anew in between
// begins at zero.
func rates(before, after map[string]api.Counters, name string, d time.Duration) []rate {
	out := []rate{}
	perSecond := func(a, b uint64) uint64 {
		if b < a || d <= 0 {
			return 0
		}
		return uint64(float64(b-a) / d.Seconds())
	}
	for _, n := range slices.Sorted(maps.Keys(after)) {
		if name != "" && n != name {
			continue
		}
		r := rate{Connection: n, Total: after[n]}
		if b, ok := before[n]; ok {
			r.In, r.Out = perSecond(b.InBytes, r.Total.InBytes), perSecond(b.OutBytes, r.Total.OutBytes)
		}
		out = append(out, r)
	}
	return out
}

func (c *command) traffic(ctx context.Context, name string, count int) error {
	before, err := c.service().Traffic(ctx)
	if err != nil {
		return err
	}
	last := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 0; count == 0 || i < count; i++ {
		select {
		case <-ctx.Done():
			return nil // interrupted, as it is meant to be
		case <-tick.C:
		}
		after, err := c.service().Traffic(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		now := time.Now()
		list := rates(before, after, name, now.Sub(last))
		before, last = after, now
		if c.json {
			c.printLine(struct {
				Time    time.Time `json:"time"`
				Traffic []rate    `json:"traffic"`
			}{c.Now(), list})
		} else {
			c.printRates(list)
		}
		if c.outErr != nil {
			return nil
		}
	}
	return nil
}

func (c *command) printRates(list []rate) {
	at := c.Now().Format(time.TimeOnly)
	if len(list) == 0 {
		c.printf("%s  no tunnel is up\n", at)
		return
	}
	t := &table{}
	for _, r := range list {
		t.add(at, r.Connection, "in "+bytesText(r.In)+"/s", "out "+bytesText(r.Out)+"/s", fmt.Sprintf("(%s)", trafficText(r.Total)))
	}
	c.printTable(t, "")
}
