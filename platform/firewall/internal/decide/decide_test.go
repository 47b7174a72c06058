package decide

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"sallyport/core/host"
	"sallyport/core/ts"
)

// A packet as rules see it.
type packet struct {
	local, remote         netip.Addr
	protocol              uint8
	localPort, remotePort uint16
	unseen                bool
}

func (p packet) String() string {
	return fmt.Sprintf("local %v:%d remote %v:%d protocol %d unseen %v", p.local, p.localPort, p.remote, p.remotePort, p.protocol, p.unseen)
}

// judge is the model: what the documentation of host.FirewallIntent says, rule
// after rule.
func judge(rules []host.FirewallRule, p packet) host.FirewallAction {
	if !p.unseen || !ts.HasPorts(p.protocol) {
		for _, r := range rules {
			if r.Local.Contains(p.local, p.protocol, p.localPort) && r.Remote.Contains(p.remote, p.protocol, p.remotePort) {
				return r.Action
			}
		}
		return 0
	}
	strictness := map[host.FirewallAction]int{host.FirewallClear: 1, host.FirewallTunnelOnly: 2, host.FirewallDrop: 3}
	var worst host.FirewallAction
	for _, r := range rules {
		anyPort := func(s ts.Selector) ts.Selector { s.FromPort, s.ToPort = 0, 65535; return s }
		if !anyPort(r.Local).ContainsOpaque(p.local, p.protocol) || !anyPort(r.Remote).ContainsOpaque(p.remote, p.protocol) {
			continue
		}
		if strictness[r.Action] > strictness[worst] {
			worst = r.Action
		}
		if r.Local.ContainsOpaque(p.local, p.protocol) && r.Remote.ContainsOpaque(p.remote, p.protocol) {
			return worst
		}
	}
	return worst
}

// walk asks compiled diagrams.
func walk(targets []Target, p packet) host.FirewallAction {
	for _, t := range targets {
		for t.Node != nil {
			t = step(t.Node, p)
		}
		if t.Action != 0 {
			return t.Action
		}
	}
	return 0
}

func step(n *Node, p packet) Target {
	var v Value
	switch n.Field {
	case Remote:
		v = ValueOf(p.remote)
	case Local:
		v = ValueOf(p.local)
	case Protocol:
		v = Value{Lo: uint64(p.protocol)}
	case RemotePort, TypeCode, MobilityType:
		v = Value{Lo: uint64(p.remotePort)}
	case LocalPort:
		v = Value{Lo: uint64(p.localPort)}
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

// decide asks as the packet filter does.
func decision(rules []host.FirewallRule, v6 bool) func(packet) host.FirewallAction {
	whole := Compile(rules, v6)
	first, second := Opaque(rules)
	one, two := Compile(first, v6), Compile(second, v6)
	return func(p packet) host.FirewallAction {
		if !p.unseen {
			return walk(whole, p)
		}
		if a := walk(one, p); a != Stop && a != 0 {
			return a
		}
		return walk(two, p)
	}
}

// A world holds few values, so that random rules and packets meet.
type world struct {
	rand *rand.Rand
	v6   bool
}

func (w world) addr() netip.Addr {
	n := byte(w.rand.IntN(8))
	if w.v6 {
		return netip.AddrFrom16([16]byte{0xfd, 15: n})
	}
	return netip.AddrFrom4([4]byte{10, 0, 0, n})
}

func (w world) port() uint16 {
	return [...]uint16{0, 1, 22, 53, 443, 0x0800, 65534, 65535}[w.rand.IntN(8)]
}

func (w world) protocol() uint8 {
	return [...]uint8{protoICMP, protoTCP, protoUDP, protoICMPv6, protoMobility, 50, 0, 255}[w.rand.IntN(8)]
}

func (w world) selector() ts.Selector {
	s := ts.FromPrefix(everything(w.v6))
	if w.rand.IntN(4) > 0 {
		s.From, s.To = w.addr(), w.addr()
		if s.To.Less(s.From) {
			s.From, s.To = s.To, s.From
		}
	}
	if w.rand.IntN(2) == 0 {
		s.Protocol = w.protocol()
	}
	switch w.rand.IntN(6) {
	case 0, 1:
		s.FromPort, s.ToPort = w.port(), w.port()
		if s.ToPort < s.FromPort {
			s.FromPort, s.ToPort = s.ToPort, s.FromPort
		}
	case 2:
		s.FromPort, s.ToPort = 65535, 0
	}
	return s
}

func (w world) rules(n int) []host.FirewallRule {
	var rules []host.FirewallRule
	for len(rules) < n {
		r := host.FirewallRule{Local: w.selector(), Remote: w.selector(), Action: host.FirewallAction(1 + w.rand.IntN(3))}
		if r.Local.Protocol != 0 && r.Remote.Protocol != 0 {
			r.Local.Protocol = r.Remote.Protocol
		}
		rules = append(rules, r)
	}
	every := ts.FromPrefix(everything(w.v6))
	return append(rules, host.FirewallRule{Local: every, Remote: every, Action: host.FirewallAction(1 + w.rand.IntN(3))})
}

func (w world) packet() packet {
	p := packet{local: w.addr(), remote: w.addr(), protocol: w.protocol()}
	switch {
	case !ts.HasPorts(p.protocol):
		p.unseen = w.rand.IntN(2) == 0
		return p
	case w.rand.IntN(3) == 0:
		p.unseen = true
		return p
	}
	p.localPort, p.remotePort = w.port(), w.port()
	switch p.protocol {
	case protoICMP, protoICMPv6:
		p.localPort = p.remotePort
	case protoMobility:
		p.remotePort &= 0xff00
		p.localPort = p.remotePort
	}
	return p
}

func TestDiagramsDecideAsTheRulesDo(t *testing.T) {
	split := 0
	for seed := range uint64(400) {
		w := world{rand.New(rand.NewPCG(seed, 1)), seed%2 == 1}
		rules := w.rules(int(seed % 40))
		if seed%50 == 49 {
			rules = w.rules(600) // too many combinations for one diagram
		}
		if len(Compile(rules, w.v6)) > 1 {
			split++
		}
		decide := decision(rules, w.v6)
		for range 400 {
			p := w.packet()
			if got, want := decide(p), judge(rules, p); got != want {
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
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			rules := make([]host.FirewallRule, n)
			for i := range rules {
				rules[i] = shape(i)
			}
			start := time.Now()
			targets := Compile(rules, false)
			took := time.Since(start)
			nodes := map[*Node]bool{}
			arcs := 0
			var visit func(Target)
			visit = func(t Target) {
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
			t.Logf("%d diagrams, %d nodes, %d arcs, %v", len(targets), len(nodes), arcs, took)
			if len(targets) > 4 || arcs > 16*n {
				t.Errorf("%d diagrams with %d arcs for %d rules", len(targets), arcs, n)
			}
		})
	}
}
