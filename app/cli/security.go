package cli

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"sallyport/core/api"
)

func (c *command) security(ctx context.Context) (api.Security, error) {
	s, err := c.service().Security(ctx)
	s.Coverage, s.Exempt = notNil(s.Coverage), notNil(s.Exempt)
	if s.Failures == nil {
		s.Failures = map[string]uint64{}
	}
	return s, err
}

// actionText writes a filter action as the Windows policies call it.
func actionText(action string) string {
	switch action {
	case "permit":
		return "Permit"
	case "block":
		return "Block"
	case "negotiate":
		return "Negotiate security"
	}
	return action
}

func (c *command) printSecurity(s api.Security) {
	if s.Warning != "" {
		c.printf("%s\n\n", c.paint(capital(strings.TrimSuffix(clean(s.Warning), "."))+".", red))
	}
	c.printf("%s\n", clean(c.assignmentText(s.Assignment)))
	t := &table{}
	t.add("Firewall", orDash(s.Firewall))
	t.add("Fallbacks", fallbacks(s.Fallbacks))
	if s.Fallbacks > 0 {
		t.style(1, yellow)
	}
	c.printTable(t, "  ")

	c.printf("\nCoverage of the rules\n")
	if len(s.Coverage) == 0 {
		c.printf("  there are no rules\n")
	} else {
		t := &table{}
		t.add("RULE", "ACTION", "NOW", "PROTECTED", "CLEAR", "BLOCKED", "COVERAGE")
		for _, r := range s.Coverage {
			t.add(r.Rule, actionText(r.Action), orDash(protectionText(r.Protection)), bytesText(r.Protected), bytesText(r.Clear), bytesText(r.Blocked), percentText(r))
			if r.Action == "negotiate" { // what a permit or a block does is what it says
				t.style(2, protectionStyle(r.Protection))
			}
		}
		c.printTable(t, "  ")
	}

	c.printf("\nNegotiations that failed\n")
	t = &table{}
	for _, k := range slices.Sorted(maps.Keys(s.Failures)) {
		if n := s.Failures[k]; n > 0 {
			t.add(k, strconv.FormatUint(n, 10))
		}
	}
	if len(t.rows) == 0 {
		c.printf("  none\n")
	}
	c.printTable(t, "  ")

	c.printf("\nWhat passes whatever the rules say\n")
	if len(s.Exempt) == 0 {
		c.printf("  nothing\n")
	}
	c.printLines("  ", s.Exempt)
}

func fallbacks(n uint64) string {
	switch n {
	case 0:
		return "traffic was never let out in clear"
	case 1:
		return "traffic was let out in clear once"
	}
	return fmt.Sprintf("traffic was let out in clear %d times", n)
}

// percentText rounds down: only all of it is 100 %.
func percentText(r api.Coverage) string {
	if r.Protected == 0 && r.Clear == 0 {
		return "no traffic"
	}
	return fmt.Sprintf("%.1f %%", math.Floor(r.Percent*10)/10)
}
