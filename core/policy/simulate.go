package policy

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"sallyport/core/ippkt"
)

// A Verdict says how packets would travel under a policy.
type Verdict string

// The verdicts.
const (
	VerdictClear     Verdict = "clear"
	VerdictProtected Verdict = "protected"
	VerdictRequested Verdict = "requested" // protected, or clear where the peer cannot
	VerdictBlocked   Verdict = "blocked"
)

// A Simulation is what a policy would have done with a capture.
type Simulation struct {
	Flows []SimulatedFlow `json:"flows"` // the largest first
	// Totals count the packets and bytes of each verdict.
	Totals map[Verdict]Total `json:"totals"`
	// NotIP counts frames without an IP packet (ARP, say), Bad packets that
	// cannot be read.
	NotIP uint64 `json:"not_ip"`
	Bad   uint64 `json:"bad"`
	// Unlisted counts packets of flows beyond those that are listed; they are
	// in Totals.
	Unlisted uint64 `json:"unlisted"`
}

// A Total counts packets and bytes of IP.
type Total struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// A SimulatedFlow is the packets of one flow in one direction.
type SimulatedFlow struct {
	Flow      string  `json:"flow"` // as the packets travel
	Direction string  `json:"direction"`
	Verdict   Verdict `json:"verdict"`
	Rule      string  `json:"rule,omitempty"` // "": no rule, or an exemption
	Exemption string  `json:"exemption,omitempty"`
	Entry     string  `json:"entry,omitempty"`
	Total
}

// maxFlows bounds how many flows of a capture are listed.
const maxFlows = 100_000

// Simulate reads a packet capture (pcap or pcapng) and says what would have
// become of its packets. A packet leaves when its source is an address of this
// machine or of local; otherwise it arrives when its destination is, or when
// it is to many; a packet of others counts as leaving. An error tells where the
// capture is damaged; what was read before is in the result.
func (c *Compiled) Simulate(r io.Reader, local []netip.Prefix) (*Simulation, error) {
	s := simulator{Compiled: c, local: local, flows: map[simKey]*SimulatedFlow{}, sim: &Simulation{Totals: map[Verdict]Total{}}}
	err := readCapture(r, s.frame)
	for _, f := range s.flows {
		s.sim.Flows = append(s.sim.Flows, *f)
	}
	slices.SortFunc(s.sim.Flows, func(a, b SimulatedFlow) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Packets, a.Packets), strings.Compare(a.Flow, b.Flow), strings.Compare(a.Direction, b.Direction))
	})
	return s.sim, err
}

// Simulate compiles p and simulates it on a capture.
func Simulate(p *Policy, env Env, r io.Reader, local []netip.Prefix) (*Simulation, error) {
	c, err := Compile(p, env)
	if err != nil {
		return nil, err
	}
	return c.Simulate(r, local)
}

type simKey struct {
	flow      ippkt.Flow
	direction Direction
}

type simulator struct {
	*Compiled
	local []netip.Prefix
	flows map[simKey]*SimulatedFlow
	sim   *Simulation
}

func (s *simulator) frame(link uint32, data []byte, length int) {
	b := ipOf(link, data)
	if b == nil {
		s.sim.NotIP++
		return
	}
	p, size, err := parsePacket(b)
	if err != nil {
		s.sim.Bad++
		return
	}
	f := p.Flow
	key := simKey{f, s.direction(&f)}
	flow := s.flows[key]
	if flow == nil {
		flow = s.judge(key)
		if len(s.flows) < maxFlows {
			s.flows[key] = flow
		}
	}
	if len(s.flows) == maxFlows && s.flows[key] == nil {
		s.sim.Unlisted++
	}
	flow.Packets++
	flow.Bytes += uint64(size)
	t := s.sim.Totals[flow.Verdict]
	t.Packets++
	t.Bytes += uint64(size)
	s.sim.Totals[flow.Verdict] = t
}

// parsePacket parses a packet of which only the beginning may be captured. size
// is its whole length.
func parsePacket(b []byte) (p ippkt.Packet, size int, err error) {
	if err = p.Parse(b); !errors.Is(err, ippkt.ErrLength) {
		return p, p.Len, err
	}
	head := slices.Clone(b[:min(len(b), 2048)])
	if head[0]>>4 == 4 {
		size = int(binary.BigEndian.Uint16(head[2:]))
		binary.BigEndian.PutUint16(head[2:], uint16(len(head)))
	} else {
		size = ippkt.IPv6Len + int(binary.BigEndian.Uint16(head[4:]))
		binary.BigEndian.PutUint16(head[4:], uint16(len(head)-ippkt.IPv6Len))
	}
	return p, size, p.Parse(head)
}

func (s *simulator) direction(f *ippkt.Flow) Direction {
	src, dst := f.Src.IP(f.V6), f.Dst.IP(f.V6)
	switch {
	case s.isLocal(src):
		return Out
	case s.isLocal(dst), dst.IsMulticast(), dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return In
	}
	return Out
}

func (s *simulator) isLocal(a netip.Addr) bool {
	for _, p := range s.locals {
		if p.Addr() == a {
			return true
		}
	}
	return slices.ContainsFunc(s.local, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (s *simulator) judge(k simKey) *SimulatedFlow {
	out := &SimulatedFlow{Flow: describeFlow(k.flow), Direction: k.direction.String(), Verdict: VerdictClear}
	if out.Exemption = exemption(&k.flow); out.Exemption != "" {
		return out
	}
	e := s.Lookup(&k.flow)
	if k.direction == In {
		e = s.LookupIn(&k.flow)
	}
	if e == nil {
		return out
	}
	out.Rule, out.Entry = e.Rule, e.ID
	switch {
	case e.Kind == FromLAN:
		out.Exemption = "local network"
	case e.Action == Block:
		out.Verdict = VerdictBlocked
	case e.MustProtect():
		out.Verdict = VerdictProtected
	case e.Action == Negotiate:
		out.Verdict = VerdictRequested
	}
	return out
}

// exemption names the exemption that lets a flow pass under every policy. That
// of IKE and ESP is for the service's own sockets, which a capture does not
// show.
func exemption(f *ippkt.Flow) string {
	dst := f.Dst.IP(f.V6)
	ports := func(a, b uint16) bool {
		return !f.Opaque && (f.SrcPort == a && f.DstPort == b || f.SrcPort == b && f.DstPort == a)
	}
	switch {
	case dst.IsLoopback():
		return "loopback"
	case !f.V6 && f.Proto == ippkt.ProtoUDP && ports(67, 68), f.V6 && f.Proto == ippkt.ProtoUDP && ports(546, 547):
		return "DHCP"
	case f.V6 && f.Proto == ippkt.ProtoICMPv6 && !f.Opaque && f.SrcPort>>8 >= 133 && f.SrcPort>>8 <= 136:
		return "neighbour discovery"
	}
	return ""
}

// Text writes the simulation for people.
func (s *Simulation) Text() string {
	var b strings.Builder
	for _, v := range []Verdict{VerdictProtected, VerdictRequested, VerdictClear, VerdictBlocked} {
		fmt.Fprintf(&b, "%-10s %10d packets %14d bytes\n", v, s.Totals[v].Packets, s.Totals[v].Bytes)
	}
	for _, f := range s.Flows {
		by := f.Rule
		switch {
		case f.Exemption != "":
			by = "exempt: " + f.Exemption
		case f.Rule == "":
			by = "no filter matches"
		}
		fmt.Fprintf(&b, "%-10s %8d  %-3s  %s  (%s)\n", f.Verdict, f.Packets, f.Direction, f.Flow, by)
	}
	return b.String()
}
