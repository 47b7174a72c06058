package firewall

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"

	"sallyport/core/host"
	"sallyport/platform/firewall/internal/decide"
)

// maxLabels bounds the labels that are counted by themselves, so that rules
// keep sharing their way whatever they are called.
const maxLabels = 250

// fewLabels returns the rules with the labels that are counted, and these.
func fewLabels(rules []host.FirewallRule) ([]host.FirewallRule, []string) {
	var labels []string
	seen := map[string]bool{"": true}
	for i := range rules {
		if l := rules[i].Label; !seen[l] {
			seen[l] = true
			labels = append(labels, l)
		}
	}
	if len(labels) <= maxLabels {
		return rules, labels
	}
	keep := map[string]bool{"": true}
	for _, l := range labels[:maxLabels] {
		keep[l] = true
	}
	rules = slices.Clone(rules)
	for i := range rules {
		if r := &rules[i]; !keep[r.Label] {
			r.Label = host.OtherRules
		}
	}
	labels = labels[:maxLabels:maxLabels]
	if !keep[host.OtherRules] {
		labels = append(labels, host.OtherRules)
	}
	return rules, labels
}

// tally names what belongs to a label among our chains and counters. Labels may
// hold anything, and be long.
func tally(label string) string {
	sum := sha256.Sum256([]byte(label))
	return hex.EncodeToString(sum[:8])
}

// Names of the counters of a label, before its tally.
const (
	clearedFor = "cleared_for_"
	droppedFor = "dropped_for_"
)

// labelCounters are all that count for a label.
func labelCounters(label string) []string {
	var all []string
	for _, d := range directions {
		all = append(all, d.counter(clearedFor)+tally(label), d.counter(droppedFor)+tally(label))
	}
	return all
}

// isLabelCounter reports whether a counter is one of some label.
func isLabelCounter(name string) bool {
	for _, d := range directions {
		if strings.HasPrefix(name, d.counter(clearedFor)) || strings.HasPrefix(name, d.counter(droppedFor)) {
			return true
		}
	}
	return false
}

// counter names the counters of what is done for a label.
func (d direction) counter(kind string) string { return d.String() + "_" + kind }

// verdict names the chain that performs an outcome.
func (d direction) verdict(o decide.Outcome) string {
	name := d.String() + "_drop"
	switch o.Action {
	case host.FirewallClear:
		name = d.String() + "_clear"
	case host.FirewallTunnelOnly:
		name = d.String() + "_tunnel_only"
	}
	if o.Label != "" {
		name += "_for_" + tally(o.Label)
	}
	return name
}

// addCounters adds the counters that are missing, and removes those of labels
// that are no longer there. fresh says that those of labels count from 0.
func (b *batch) addCounters(have map[string]uint64, fresh bool) {
	for _, name := range counters {
		b.conn.AddObj(&nftables.CounterObj{Table: b.table, Name: name})
	}
	want := map[string]bool{}
	for _, l := range b.labels {
		for _, name := range labelCounters(l) {
			want[name] = true
		}
	}
	for name := range have {
		if isLabelCounter(name) && (fresh || !want[name]) {
			b.conn.DeleteObject(&nftables.CounterObj{Table: b.table, Name: name})
		}
	}
	for name := range want {
		b.conn.AddObj(&nftables.CounterObj{Table: b.table, Name: name})
	}
}

// Counts implements host.FirewallCounter.
func (f *Firewall) Counts() (map[string]host.FirewallCount, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := make(map[string]host.FirewallCount, len(f.labels))
	if len(f.labels) == 0 {
		return counts, nil
	}
	bytes, err := readCounters()
	if err != nil {
		return nil, fmt.Errorf("read counters of the firewall: %w", explain(err))
	}
	for _, l := range f.labels {
		var c host.FirewallCount
		for _, d := range directions {
			c.Clear += bytes[d.counter(clearedFor)+tally(l)]
			c.Dropped += bytes[d.counter(droppedFor)+tally(l)]
		}
		counts[l] = c
	}
	return counts, nil
}
