package firewall

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"sallyport/core/ts"
)

// Routes and rules do not always agree about a packet that this machine sends.
//
// What the rules let pass in clear may be routed into the tunnel device, since
// routes know addresses alone. After the rules have decided, it gets the mark of
// the service's own sockets, and is routed once more, as these are. The mark
// comes too late to open anything: whoever sets it himself has still to pass the
// rules, and the exemptions ask for more than the mark. It replaces a mark that
// the packet may have had for somebody else's routes.
//
// What the rules let pass through the tunnel device alone, because it was routed
// there, may by now be routed elsewhere: programs that come before us may have
// changed its mark or its destination, and the output hook is told the first
// route's interface (Linux 6.18). Such a packet gets the mark inside, and is
// dropped if it is about to leave by another interface.

// inside is the mark of packets that may leave through the tunnel device alone.
// Who sets it himself closes other ways for his packets, and opens none.
func (b *batch) inside() uint32 { return ^b.mark }

// beside is the mark, between two hooks, of what shall be routed once more.
func (b *batch) beside() uint32 { return ^b.mark - 1 }

// aside is the chain that sends packets on their way beside the tunnel.
const aside = "out_aside"

func besideChain(v6 bool) string { return outbound.entry(v6) + "_beside" }

// addBeside adds the chains that find what passes in clear beside the tunnel
// device among what is routed there, and come back.
func (b *batch) addBeside() {
	b.add(aside)
	b.rule(setMark(b.beside()))
	for _, v6 := range []bool{false, true} {
		any, multicast, key := ts.Any()[0], netip.MustParsePrefix("224.0.0.0/4"), nftables.TypeIPAddr
		if v6 {
			any, multicast, key = ts.Any()[1], netip.MustParsePrefix("ff00::/8"), nftables.TypeIP6Addr
		}
		back := &expr.Verdict{Kind: expr.VerdictReturn}
		var networks ts.List
		for _, p := range b.intent.Beside {
			if p.Addr().Is6() == v6 {
				networks = append(networks, ts.FromPrefix(p))
			}
		}
		slices.SortFunc(networks, func(x, y ts.Selector) int { return x.From.Compare(y.From) })
		// The map holds every value: each element lasts until the next.
		elements := []nftables.SetElement{{Key: any.From.AsSlice(), VerdictData: back}}
		var end netip.Addr // of the network before, the last address
		for _, n := range networks {
			if end.IsValid() && n.To.Compare(end) <= 0 {
				continue // prefixes nest or are apart
			}
			at := nftables.SetElement{Key: n.From.AsSlice(), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: aside}}
			if last := &elements[len(elements)-1]; bytes.Equal(last.Key, at.Key) {
				*last = at
			} else {
				elements = append(elements, at)
			}
			end = n.To
			if next := end.Next(); next.IsValid() {
				elements = append(elements, nftables.SetElement{Key: next.AsSlice(), VerdictData: back})
			}
		}
		b.add(besideChain(v6))
		for _, a := range b.intent.Inner {
			if a = a.Unmap(); a.Is6() == v6 {
				b.rule(saddr(a), []expr.Any{back}) // no answer would find it elsewhere
			}
		}
		b.rule(destination(multicast), []expr.Any{back}) // sent to an interface, not by routes
		b.vmap(loadAddress(v6, false), key, elements)
		b.rule(dropped(outbound))
	}
}

// keepInside holds DNS to the tunnel device that it is routed to, as the rules
// hold what is theirs. It may be in any fragment: fragments says which the
// rules are for.
func (b *batch) keepInside(fragments bool) {
	if !b.intent.DNSInside {
		return
	}
	tunnel, inside := outBy(b.intent.Device), setMark(b.inside())
	for _, p := range [...]uint8{udp, tcp} {
		if fragments {
			for _, v6 := range []bool{false, true} {
				b.rule(family(v6), fragment(v6), protocol(p), tunnel, inside)
			}
			continue
		}
		for _, port := range dnsPorts {
			b.rule(protocol(p), destinationPort(port), tunnel, inside)
		}
	}
}

// addReroute has the kernel route once more what passes beside the tunnel. It
// does so at the end of a hook of type route that has changed the mark.
func (b *batch) addReroute() {
	b.at(hookReroute)
	b.rule(outBy(b.intent.Device), marked(b.beside()), setMark(b.mark), accept)
	b.rule(accept)
}

// addLeave drops what is to leave through the tunnel device alone, and does not.
func (b *batch) addLeave() {
	b.at(hookLeave)
	b.rule(not(marked(b.inside())), accept)
	b.rule(outBy(b.intent.Device), accept)
	b.rule(dropped(outbound))
}
