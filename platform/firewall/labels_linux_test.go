package firewall

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/core/host"
	"sallyport/platform/internal/roottest"
)

func labeled(r host.FirewallRule, label string) host.FirewallRule {
	r.Label = label
	return r
}

// TestCounts follows the bytes of each label through replacements of the rules.
func TestCounts(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	s, w := newSender(t), tap(t)
	i := require(t)
	i.Exempt.IKE = []uint16{500}
	long := "name \"with\" anything, ü\n" + strings.Repeat("x", 300)
	i.Rules = []host.FirewallRule{
		labeled(rule(t, "203.0.113.0/24[tcp/80]", host.FirewallClear), "web"),
		labeled(rule(t, "2001:db8:99::/64[tcp/80]", host.FirewallClear), "web"),
		labeled(rule(t, "203.0.113.0/24[tcp/81]", host.FirewallDrop), "web"),
		labeled(rule(t, "203.0.113.0/24[udp]", host.FirewallDrop), long),
		labeled(rule(t, "203.0.113.0/24", host.FirewallTunnelOnly), "office"),
	}
	mustSet(t, f, i)
	size := func(d datagram) uint64 { return uint64(len(d.bytes())) }
	web4, web6, other := tcp4(our4, far4, 40000, 80), tcp4(our6, far6, 40000, 80), udp4(our4, far4, 40000, 81)
	want := map[string]host.FirewallCount{"web": {}, long: {}, "office": {}}
	check := func(when string) {
		t.Helper()
		deadline := time.Now().Add(2 * time.Second)
		for {
			got, err := f.Counts()
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got) == fmt.Sprint(want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v, want %v", when, got, want)
			}
			time.Sleep(time.Millisecond)
		}
	}
	send := func() {
		s.passes(web4)
		s.passes(web6)
		s.passes(tcp4(our4, far4, 40000, 81))
		s.passes(other)
		s.passes(tcp4(our4, far4, 40000, 443))
		s.passes(tcp4(our4, far4, 40000, 443).by("sp0")) // in the tunnel: on no account here
		s.passes(tcp4(our4, "198.51.100.1", 40000, 80))  // the default's
		w.inject(tcp4(far4, our4, 80, 40000))
		w.inject(tcp4(far4, our4, 443, 40000))
		n4 := size(web4)
		for label, c := range map[string]host.FirewallCount{
			"web":    {Clear: 2*n4 + size(web6), Dropped: n4},
			long:     {Dropped: size(other)},
			"office": {Dropped: 2 * n4},
		} {
			sum := want[label]
			sum.Clear, sum.Dropped = sum.Clear+c.Clear, sum.Dropped+c.Dropped
			want[label] = sum
		}
	}
	check("before anything was sent")
	send()
	check("at first")
	i.Rules = append([]host.FirewallRule{labeled(rule(t, "198.51.100.0/24[udp]", host.FirewallDrop), "more")}, i.Rules...)
	mustSet(t, f, i)
	want["more"] = host.FirewallCount{}
	check("after the rules were replaced")
	send()
	check("by new rules")
	i.Rules = i.Rules[1:]
	mustSet(t, f, i)
	delete(want, "more")
	check("without one of the labels")
	if err := f.Verify(); err != nil {
		t.Errorf("counters that count are taken for other rules: %v", err)
	}

	g := New(Config{Mark: mark}) // a new process
	defer g.Close()
	if got, err := g.Counts(); err != nil || len(got) > 0 {
		t.Errorf("a new process counts %v, %v", got, err)
	}
	mustSet(t, g, i)
	if got, err := g.Counts(); err != nil || len(got) != 3 || got["web"] != (host.FirewallCount{}) {
		t.Errorf("a new process goes on with %v, %v", got, err)
	}
	if err := f.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Counts(); err != nil || len(got) > 0 {
		t.Errorf("after Cleanup: %v, %v", got, err)
	}
}

// TestManyLabels counts the first labels by themselves, and the rest together.
func TestManyLabels(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	s := newSender(t)
	i := require(t)
	i.Rules = nil
	const n = 2 * maxLabels
	for k := range n {
		i.Rules = append(i.Rules, labeled(rule(t, fmt.Sprintf("203.0.%d.%d", 113+k/200, 1+k%200), host.FirewallClear), fmt.Sprint("rule ", k)))
	}
	mustSet(t, f, i)
	first, last := udp4(our4, "203.0.113.1", 1, 2), udp4(our4, fmt.Sprintf("203.0.%d.%d", 113+(n-1)/200, 1+(n-1)%200), 1, 2)
	if !s.passes(first) || !s.passes(last) {
		t.Fatal("does not pass")
	}
	got, err := f.Counts()
	size := uint64(len(first.bytes()))
	if err != nil || len(got) != maxLabels+1 || got["rule 0"].Clear != size || got[host.OtherRules].Clear != size {
		t.Errorf("%d labels: %v, %v", len(got), got, err)
	}
	if i.Rules[n-1].Label != fmt.Sprint("rule ", n-1) {
		t.Error("the caller's rules were changed")
	}
}
