package firewall

import (
	"strconv"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"sallyport/core/host"
	"sallyport/platform/firewall/internal/decide"
)

// A direction says where in a packet the local and the remote end are.
type direction uint8

const (
	outbound direction = iota
	inbound
)

var directions = [...]direction{outbound, inbound}

// entry names the chain with which the rules begin.
func (d direction) entry(v6 bool) string {
	name := "out"
	if d == inbound {
		name = "in"
	}
	if v6 {
		return name + "6"
	}
	return name + "4"
}

// verdict names the chain that performs an action.
func (d direction) verdict(a host.FirewallAction) string {
	switch {
	case a == host.FirewallClear:
		return verdictClear
	case a == host.FirewallTunnelOnly && d == outbound:
		return verdictOut
	case a == host.FirewallTunnelOnly:
		return verdictIn
	}
	return verdictDrop
}

// A diagram writes decision diagrams as chains: one for each node, with a map
// from the values of its field to the next chain.
type diagram struct {
	*batch
	dir    direction
	v6     bool
	name   string // of the chain to begin with
	stop   string // chain for decide.Stop
	unseen string // chain for packets without visible ports; empty: none of them is special

	nodes map[*decide.Node]string
}

func (g *diagram) add(targets []decide.Target) {
	g.nodes = map[*decide.Node]string{}
	entries := make([]*expr.Verdict, 0, len(targets))
	for _, t := range targets {
		v := g.target(t)
		if v.Kind == expr.VerdictReturn {
			continue // no rule of this part matches anything
		}
		if t.Node != nil {
			v.Kind = expr.VerdictJump // and come back when no rule matches
		}
		entries = append(entries, v)
	}
	g.batch.add(g.name)
	if g.unseen != "" {
		g.rule(fragment(g.v6), goTo(g.unseen))
	}
	for _, v := range entries {
		g.rule([]expr.Any{v})
	}
	g.rule(goTo(verdictDrop)) // not reached: the last rule is for every packet
}

// target returns what leads to t, after adding the chains that it needs.
func (g *diagram) target(t decide.Target) *expr.Verdict {
	switch {
	case t.Node != nil:
		return &expr.Verdict{Kind: expr.VerdictGoto, Chain: g.node(t.Node)}
	case t.Action == decide.Stop:
		return &expr.Verdict{Kind: expr.VerdictGoto, Chain: g.stop}
	case t.Action != 0:
		return &expr.Verdict{Kind: expr.VerdictGoto, Chain: g.dir.verdict(t.Action)}
	}
	return &expr.Verdict{Kind: expr.VerdictReturn}
}

// node adds the chain of a node. A map holds every value, so that a packet that
// finds none ran into the replacement of the rules, or into a header that
// cannot be read.
func (g *diagram) node(n *decide.Node) string {
	if name, ok := g.nodes[n]; ok {
		return name
	}
	name := g.name + "_" + strconv.Itoa(len(g.nodes))
	g.nodes[n] = name
	load, key := g.load(n.Field)
	elements := make([]nftables.SetElement, len(n.Arcs))
	for i, arc := range n.Arcs {
		elements[i] = nftables.SetElement{Key: arc.From.Bytes(int(key.Bytes)), VerdictData: g.target(arc.Target)}
	}
	g.batch.add(name)
	g.vmap(load, key, elements)
	if n.Field > decide.Protocol && g.unseen != "" {
		g.rule(goTo(g.unseen))
	} else {
		g.rule(goTo(verdictDrop))
	}
	return name
}

// load returns what brings a field into register 1, and its type.
func (g *diagram) load(f decide.Field) ([]expr.Any, nftables.SetDatatype) {
	atSource := (f == decide.Local || f == decide.LocalPort) == (g.dir == outbound)
	switch f {
	case decide.Remote, decide.Local:
		key := nftables.TypeIPAddr
		if g.v6 {
			key = nftables.TypeIP6Addr
		}
		return loadAddress(g.v6, atSource), key
	case decide.Protocol:
		return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}}, nftables.TypeInetProto
	case decide.TypeCode:
		return loadTransport(0, 2), nftables.TypeInetService
	case decide.MobilityType:
		return append(loadTransport(2, 2), &expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 2, Mask: []byte{0xff, 0}, Xor: []byte{0, 0},
		}), nftables.TypeInetService
	}
	if atSource {
		return loadTransport(0, 2), nftables.TypeInetService
	}
	return loadTransport(2, 2), nftables.TypeInetService
}
