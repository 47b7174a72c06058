package decide

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"sallyport/core/host"
	"sallyport/core/ts"
	"sallyport/platform/firewall/internal/decidetest"
)

// walk asks compiled diagrams.
func walk(targets []Target, p decidetest.Packet) Outcome {
	for _, t := range targets {
		for t.Node != nil {
			t = step(t.Node, p)
		}
		if t.List != nil {
			t.Outcome = try(t.List, p)
		}
		if t.Action != 0 {
			return t.Outcome
		}
	}
	return Outcome{}
}

func try(l *List, p decidetest.Packet) Outcome {
	values := [fields]Value{ValueOf(p.Remote), ValueOf(p.Local), {Lo: uint64(p.Protocol)}, {Lo: uint64(p.RemotePort)}, {Lo: uint64(p.LocalPort)}}
	for _, r := range l.Rules {
		match := true
		for f := range fields {
			match = match && !values[f].less(r.From[f]) && !r.To[f].less(values[f])
		}
		if match {
			return r.Outcome
		}
	}
	return Outcome{}
}

func step(n *Node, p decidetest.Packet) Target {
	var v Value
	switch n.Field {
	case Remote:
		v = ValueOf(p.Remote)
	case Local:
		v = ValueOf(p.Local)
	case Protocol:
		v = Value{Lo: uint64(p.Protocol)}
	case RemotePort, TypeCode, MobilityType:
		v = Value{Lo: uint64(p.RemotePort)}
	case LocalPort:
		v = Value{Lo: uint64(p.LocalPort)}
	}
	t := n.Arcs[0].Target
	for _, a := range n.Arcs {
		if v.less(a.From) {
			break
		}
		t = a.Target
	}
	return t
}

// decision asks as the packet filter does.
func decision(rules []host.FirewallRule, v6 bool) func(decidetest.Packet) Outcome {
	whole := Compile(rules, v6)
	first, second := Opaque(rules)
	one, two := Compile(first, v6), Compile(second, v6)
	return func(p decidetest.Packet) Outcome {
		if !p.Unseen {
			return walk(whole, p)
		}
		if a := walk(one, p); a.Action != Stop && a.Action != 0 {
			return a
		}
		return walk(two, p)
	}
}

func TestDiagramsDecideAsTheRulesDo(t *testing.T) {
	split := 0
	for seed := range uint64(400) {
		w := decidetest.World{Rand: rand.New(rand.NewPCG(seed, 1)), V6: seed%2 == 1}
		rules := w.Rules(int(seed % 40))
		if seed%5 == 0 {
			rules = w.Rules(17 + int(seed%80)) // some fit no diagram
		}
		if seed%50 == 49 {
			rules = w.Rules(600) // too many combinations for one diagram
		}
		if len(Compile(rules, w.V6)) > 1 {
			split++
		}
		decide := decision(rules, w.V6)
		for range 400 {
			p := w.Packet()
			r := decidetest.Decider(rules, p)
			if got, want := decide(p), (Outcome{r.Action, r.Label}); got != want {
				t.Fatalf("seed %d: %v: %v, want %v, by\n%v", seed, p, got, want, rules)
			}
		}
	}
	if split == 0 {
		t.Error("no list was too large for one diagram, so that cutting was not tested")
	}
}

// TestSize holds lists of the size that an administrator may have to a bound
// on what the kernel is given.
func TestSize(t *testing.T) {
	const n = 10000
	host4 := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)}) }
	every := ts.FromPrefix(everything(false))
	shapes := map[string]func(i int) host.FirewallRule{
		"hosts": func(i int) host.FirewallRule {
			return host.FirewallRule{Local: every, Remote: ts.FromPrefix(netip.PrefixFrom(host4(2*i), 32)), Action: host.FirewallTunnelOnly}
		},
		"hosts and ports": func(i int) host.FirewallRule {
			s := ts.Selector{From: host4(2 * i), To: host4(2 * i), Protocol: protoTCP, FromPort: uint16(1 + i), ToPort: uint16(1 + i)}
			return host.FirewallRule{Local: every, Remote: s, Action: host.FirewallAction(1 + i%3)}
		},
		"ports": func(i int) host.FirewallRule {
			s := every
			s.Protocol, s.FromPort, s.ToPort = protoUDP, uint16(1+2*i), uint16(1+2*i)
			return host.FirewallRule{Local: every, Remote: s, Action: host.FirewallAction(1 + i%3)}
		},
		"nested": func(i int) host.FirewallRule {
			a := host4(i * 7919 % (1 << 24))
			return host.FirewallRule{Local: every, Remote: ts.FromPrefix(netip.PrefixFrom(a, 32-i*24/n)), Action: host.FirewallAction(1 + i%3)}
		},
		"pairs": func(i int) host.FirewallRule {
			return host.FirewallRule{Local: ts.FromPrefix(netip.PrefixFrom(host4(i%100), 32)), Remote: ts.FromPrefix(netip.PrefixFrom(host4(i/100*256), 24)), Action: host.FirewallAction(1 + i%3)}
		},
		"hosts, then ports": func(i int) host.FirewallRule {
			s := ts.Selector{From: host4(2 * i), To: host4(2 * i), Protocol: protoTCP, FromPort: uint16(1 + i), ToPort: uint16(1 + i)}
			if i > n/2 {
				s.From, s.To = every.From, every.To
			}
			return host.FirewallRule{Local: every, Remote: s, Action: host.FirewallAction(1 + i%3)}
		},
	}
	labels := map[string]func(i int) string{
		"":                         func(int) string { return "" },
		", labels of their own":    func(i int) string { return strconv.Itoa(i * 100 / n) },
		", labels that take turns": func(i int) string { return strconv.Itoa(i % 5) },
	}
	for name, shape := range shapes {
		for more, label := range labels {
			t.Run(name+more, func(t *testing.T) {
				rules := make([]host.FirewallRule, n)
				for i := range rules {
					rules[i] = shape(i)
					rules[i].Label = label(i)
				}
				start := time.Now()
				targets := Compile(rules, false)
				took := time.Since(start)
				nodes := map[*Node]bool{}
				arcs, lists := 0, 0
				var visit func(Target)
				visit = func(t Target) {
					if t.List != nil {
						lists += len(t.List.Rules)
					}
					if t.Node == nil || nodes[t.Node] {
						return
					}
					nodes[t.Node] = true
					arcs += len(t.Node.Arcs)
					for _, a := range t.Node.Arcs {
						visit(a.Target)
					}
				}
				for _, target := range targets {
					visit(target)
				}
				t.Logf("%d diagrams, %d nodes, %d arcs, %d rules in lists, %v", len(targets), len(nodes), arcs, lists, took)
				if len(targets) > 4 || arcs > 3*n || lists > 2*n || len(nodes) > n/8 {
					t.Errorf("%d diagrams with %d arcs for %d rules", len(targets), arcs, n)
				}
			})
		}
	}
}
