package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"sallyport/core/ippkt"
	"sallyport/core/ts"
)

// An Explanation says what happens to a flow, and why.
type Explanation struct {
	Flow       string      `json:"flow"` // "192.168.1.7 → 10.1.2.3:443/tcp"
	Direction  string      `json:"direction"`
	Action     string      `json:"action"` // permit, block or negotiate
	Rule       string      `json:"rule,omitempty"`
	FilterList string      `json:"filter_list,omitempty"`
	Filter     int         `json:"filter,omitempty"` // from 1
	Selectors  string      `json:"selectors,omitempty"`
	Entry      string      `json:"entry,omitempty"` // its ID
	Endpoint   string      `json:"endpoint,omitempty"`
	Connection string      `json:"connection,omitempty"`
	Firewall   string      `json:"firewall"` // "clear", "tunnel only", "drop"
	Why        string      `json:"why"`
	Candidates []Candidate `json:"candidates,omitempty"` // in the order of decision

	Packet  ippkt.Flow `json:"-"` // as it leaves
	Decider *Entry     `json:"-"` // nil: none, the packet passes
}

// A Candidate is an entry that matches a flow.
type Candidate struct {
	Entry     string `json:"entry"`
	Rule      string `json:"rule,omitempty"`
	Selectors string `json:"selectors"`
	Action    string `json:"action"`
	Why       string `json:"why"` // it decides, or why it does not
}

// maxCandidates bounds how many candidates are told.
const maxCandidates = 50

// Explain says what becomes of a flow, written as for ParseFlow. Without a
// source it comes from this machine.
func (c *Compiled) Explain(text string, clear Clear) (Explanation, error) {
	f, err := c.ParseFlow(text)
	if err != nil {
		return Explanation{}, err
	}
	return c.ExplainFlow(f, Out, clear), nil
}

// ExplainFlow says what becomes of a packet. f is as the packet leaves, or in
// direction In as the answer to it would leave.
func (c *Compiled) ExplainFlow(f ippkt.Flow, d Direction, clear Clear) Explanation {
	x := Explanation{Flow: describeFlow(f), Direction: d.String(), Packet: f, Action: ActionPermit, Firewall: "clear"}
	m := c.out
	if d == In {
		m = c.in
		x.Flow = describeFlow(f.Reverse())
	}
	winner := m.lookup(&f)
	p := pointOf(&f)
	for i := range c.Entries {
		e := &c.Entries[i]
		if e.Direction != Both && e.Direction != d || !c.boxes[i].contains(&p) || len(x.Candidates) == maxCandidates {
			continue
		}
		why := "decides: no other that matches is before it"
		if i != winner {
			why = "does not decide: " + c.Entries[winner].before(e)
		}
		x.Candidates = append(x.Candidates, Candidate{e.ID, e.Rule, e.selectors(), e.Action.String(), why})
	}
	if winner < 0 {
		x.Why = "no filter of the policy matches it, so it passes unsecured"
		return x
	}
	e := &c.Entries[winner]
	x.Decider, x.Action, x.Rule, x.FilterList, x.Filter = e, e.Action.String(), e.Rule, e.List, e.Filter+1
	x.Selectors, x.Entry, x.Connection = e.selectors(), e.ID, e.Connection
	if e.Action == Negotiate {
		x.Endpoint = e.Endpoint.String()
	}
	action := e.Action
	for _, l := range c.Lines(clear) {
		if l.Entry == e {
			if b := boxOf(l.Local, l.Remote); b.contains(&p) {
				action = l.Action
				break
			}
		}
	}
	x.Firewall = map[Action]string{Permit: "clear", Negotiate: "tunnel only", Block: "drop"}[action]
	x.Why = e.because(action)
	return x
}

// because says why an entry does what it does at the moment.
func (e *Entry) because(now Action) string {
	by := e.describe()
	switch {
	case e.Kind == FromLAN:
		return by + " lets it pass unsecured"
	case e.Action == Permit:
		return by + " permits it: it passes unsecured"
	case e.Action == Block:
		return by + " blocks it"
	case now == Permit:
		return by + " may do without security, and does at the moment: it passes unsecured"
	case e.Negotiation.Strict():
		return by + " requires security: it passes secured or not at all"
	case e.Negotiation.RespondOnly:
		return by + " secures it, as was asked"
	}
	return by + " requests security; where the peer cannot give it, it passes unsecured for a while"
}

// before says why e goes before o in the order of decision.
func (e *Entry) before(o *Entry) string {
	a, b := rankOf(e), rankOf(o)
	switch {
	case e.Kind == FromLAN:
		return "the exemption of the local network goes before rules that reach beyond private addresses"
	case a.remote != b.remote:
		return "the deciding filter names fewer remote addresses"
	case a.local != b.local:
		return "the deciding filter names fewer local addresses"
	case a.anyProtocol != b.anyProtocol:
		return "the deciding filter names the protocol"
	case a.remotePorts != b.remotePorts:
		return "the deciding filter names fewer remote ports"
	case a.localPorts != b.localPorts:
		return "the deciding filter names fewer local ports"
	case e.strictness() != o.strictness():
		return "both are as specific, and the deciding one is stricter"
	}
	return "both are as specific and as strict, and the deciding one is first in the policy"
}

func (b *box) contains(p *point) bool {
	if b.v6 != p.v6 {
		return false
	}
	for k := range b.d {
		if !b.d[k].Contains(p.d[k]) {
			return false
		}
	}
	return true
}

// A point is a flow as coordinates of boxes.
type point struct {
	v6 bool
	d  [boxDims]ippkt.Addr
}

func pointOf(f *ippkt.Flow) point {
	p := point{f.V6, [boxDims]ippkt.Addr{f.Src, f.Dst, {Lo: uint64(f.Proto)}, {Lo: uint64(f.SrcPort)}, {Lo: uint64(f.DstPort)}}}
	if f.Opaque {
		p.d[dimLocalPort].Lo, p.d[dimRemotePort].Lo = opaquePort, opaquePort
	}
	return p
}

// ParseFlow parses "10.1.2.3:443/tcp", "[2001:db8::1]:53/udp", "10.1.2.3" (a
// ping), or with a source "192.168.1.7:5000 -> 10.1.2.3:443/tcp". With a port
// and no protocol it is TCP. A source that is left out is an address of this
// machine, its port one that programs get.
func (c *Compiled) ParseFlow(text string) (ippkt.Flow, error) {
	fail := func(err error) (ippkt.Flow, error) {
		return ippkt.Flow{}, fmt.Errorf("flow %s: %w; write it as \"10.1.2.3:443/tcp\" or \"192.168.1.7 -> 10.1.2.3:443/tcp\"", shown(text), err)
	}
	if len(text) > 256 {
		return fail(errors.New("is too long"))
	}
	source, destination, both := strings.Cut(strings.ReplaceAll(text, "→", "->"), "->")
	if !both {
		source, destination = "", source
	}
	dst, dstPort, protocol, err := parseEnd(destination)
	if err != nil {
		return fail(err)
	}
	src, srcPort := c.source(dst), -1
	if both {
		var p int
		if src, srcPort, p, err = parseEnd(source); err != nil {
			return fail(err)
		}
		if protocol < 0 {
			protocol = p
		} else if p >= 0 && p != protocol {
			return fail(errors.New("both ends name a protocol, and they differ"))
		}
	}
	if src.Is4() != dst.Is4() {
		return fail(errors.New("the ends are of two address families"))
	}
	hasPort := dstPort >= 0 || srcPort >= 0
	if protocol < 0 {
		switch {
		case hasPort:
			protocol = 6
		case dst.Is4():
			protocol = 1
		default:
			protocol = 58
		}
	}
	f := ippkt.Flow{Src: ippkt.AddrFrom(src), Dst: ippkt.AddrFrom(dst), Proto: uint8(protocol), V6: dst.Is6()}
	switch {
	case !ts.HasPorts(f.Proto):
		f.Opaque = true
	case f.Proto == ippkt.ProtoICMP:
		f.SrcPort, f.DstPort = 8<<8, 8<<8 // echo request
	case f.Proto == ippkt.ProtoICMPv6:
		f.SrcPort, f.DstPort = 128<<8, 128<<8
	case f.Proto == ippkt.ProtoMobility:
	default:
		if dstPort < 0 {
			return fail(errors.New("the port is missing"))
		}
		if srcPort < 0 {
			srcPort = 49152 // the first of the dynamic ports (RFC 6335)
		}
		f.SrcPort, f.DstPort = uint16(srcPort), uint16(dstPort)
		return f, nil
	}
	if hasPort {
		return fail(errors.New("the protocol has no ports"))
	}
	return f, nil
}

// parseEnd parses one end; port and protocol are -1 when they are not given.
func parseEnd(text string) (addr netip.Addr, port, protocol int, err error) {
	text, word, hasProtocol := strings.Cut(strings.TrimSpace(text), "/")
	port, protocol = -1, -1
	if addr, err = netip.ParseAddr(strings.Trim(text, "[]")); err != nil {
		ap, err := netip.ParseAddrPort(text)
		if err != nil {
			return addr, 0, 0, fmt.Errorf("%s is not an address, alone or with a port", shown(text))
		}
		addr, port = ap.Addr(), int(ap.Port())
	}
	if addr.Zone() != "" {
		return addr, 0, 0, errors.New("an address with a zone is of one link alone")
	}
	addr = addr.Unmap()
	if !hasProtocol {
		return addr, port, protocol, nil
	}
	word = strings.ToLower(strings.TrimSpace(word))
	if word == "icmp" {
		if protocol = 1; addr.Is6() {
			protocol = 58
		}
		return addr, port, protocol, nil
	}
	if n, err := strconv.ParseUint(word, 10, 8); err == nil {
		return addr, port, int(n), nil
	}
	p, err := parseProtocol(word)
	if err != nil || p == 0 {
		return addr, 0, 0, fmt.Errorf("%s is not a protocol", shown(word))
	}
	return addr, port, int(p), nil
}

// source returns an address of this machine for a packet to dst: preferably
// one on the same network.
func (c *Compiled) source(dst netip.Addr) netip.Addr {
	best := netip.IPv4Unspecified()
	if dst.Is6() {
		best = netip.IPv6Unspecified()
	}
	for _, p := range c.locals {
		if p.Addr().Is4() != dst.Is4() {
			continue
		}
		if p.Contains(dst) {
			return p.Addr()
		}
		if best.IsUnspecified() && !p.Addr().IsLinkLocalUnicast() && !p.Addr().IsLoopback() {
			best = p.Addr()
		}
	}
	return best
}

// Text writes the explanation for people.
func (x *Explanation) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", x.Flow, x.Why)
	if x.Decider != nil {
		fmt.Fprintf(&b, "  matched    %s\n  action     %s\n", x.Selectors, x.Action)
	}
	if x.Endpoint != "" {
		fmt.Fprintf(&b, "  secured    %s\n", strings.TrimSpace(x.Endpoint+" "+x.Connection))
	}
	fmt.Fprintf(&b, "  firewall   %s\n", x.Firewall)
	for i, c := range x.Candidates {
		rule := c.Rule
		if rule == "" {
			rule = "(exemption)"
		}
		fmt.Fprintf(&b, "  %d. %-9s  %s, %s: %s\n", i+1, c.Action, rule, c.Selectors, c.Why)
	}
	return b.String()
}
