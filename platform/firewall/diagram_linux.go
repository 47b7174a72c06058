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

// String names the direction as the chains do.
func (d direction) String() string {
	if d == inbound {
		return "in"
	}
	return "out"
}

// host names the direction as rules do.
func (d direction) host() host.FirewallDirection {
	if d == inbound {
		return host.FirewallIn
	}
	return host.FirewallOut
}

// entry names the chain with which the rules begin.
func (d direction) entry(v6 bool) string {
	if v6 {
		return d.String() + "6"
	}
	return d.String() + "4"
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

	nodes  map[*decide.Node]string
	chains int
}

func (g *diagram) add(targets []decide.Target) {
	g.nodes = map[*decide.Node]string{}
	entries := make([]*expr.Verdict, 0, len(targets))
	for _, t := range targets {
		v := g.target(t)
		if v.Kind == expr.VerdictReturn {
			continue // no rule of this part matches anything
		}
		if t.Node != nil || t.List != nil {
			v.Kind = expr.VerdictJump // and come back when no rule matches
		}
		entries = append(entries, v)
	}
	if g.unseen == "" {
		g.batch.add(g.name)
	} else {
		seen := g.name + "_seen"
		g.batch.add(seen) // filled below
		g.batch.add(g.name)
		g.rule(fragment(g.v6), goTo(g.unseen))
		for _, p := range decide.PortProtocols() {
			g.rule(protocol(p), loadTransport(0, 4), goTo(seen)) // unless the header is cut short
			g.rule(protocol(p), goTo(g.unseen))
		}
		g.rule(loadProtocol, goTo(seen))
		g.rule(dropped(g.dir)) // not even a protocol can be seen
		g.at(seen)
	}
	for _, v := range entries {
		g.rule([]expr.Any{v})
	}
	g.rule(dropped(g.dir)) // not reached: the last rule is for every packet
}

// target returns what leads to t, after adding the chains that it needs.
func (g *diagram) target(t decide.Target) *expr.Verdict {
	switch {
	case t.Node != nil:
		return &expr.Verdict{Kind: expr.VerdictGoto, Chain: g.node(t.Node)}
	case t.List != nil:
		return &expr.Verdict{Kind: expr.VerdictGoto, Chain: g.list(t.List)}
	case t.Action == decide.Stop:
		return &expr.Verdict{Kind: expr.VerdictGoto, Chain: g.stop}
	case t.Action != 0:
		return &expr.Verdict{Kind: expr.VerdictGoto, Chain: g.dir.verdict(t.Outcome)}
	}
	return &expr.Verdict{Kind: expr.VerdictReturn}
}

// node adds the chain of a node. A map holds every value, so that a packet that
// finds none ran into the replacement of the rules: the elements of the old map
// end a moment before the rules that look them up.
func (g *diagram) node(n *decide.Node) string {
	if name, ok := g.nodes[n]; ok {
		return name
	}
	name := g.newName()
	g.nodes[n] = name
	load, key := g.load(n.Field)
	elements := make([]nftables.SetElement, len(n.Arcs))
	for i, arc := range n.Arcs {
		elements[i] = nftables.SetElement{Key: arc.From.Bytes(int(key.Bytes)), VerdictData: g.target(arc.Target)}
	}
	g.batch.add(name)
	g.vmap(load, key, elements)
	g.rule(dropped(g.dir))
	return name
}

func (g *diagram) newName() string {
	g.chains++
	return g.name + "_" + strconv.Itoa(g.chains)
}

// list adds the chain of a list. At its end a packet goes back to where the
// diagram began.
func (g *diagram) list(l *decide.List) string {
	name := g.newName()
	g.batch.add(name)
	for i := range l.Rules {
		r := &l.Rules[i]
		var match []expr.Any
		for _, f := range [...]decide.Field{decide.Remote, decide.Local, decide.Protocol, decide.RemotePort, decide.LocalPort} {
			if r.Any(f, g.v6) {
				continue
			}
			show := f
			if f == decide.RemotePort {
				show = r.Ports
			}
			load, key := g.load(show)
			match = join(match, load, between(r.From[f].Bytes(int(key.Bytes)), r.To[f].Bytes(int(key.Bytes))))
		}
		g.rule(match, []expr.Any{g.target(decide.Target{Outcome: r.Outcome})})
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
		return loadProtocol, nftables.TypeInetProto
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
