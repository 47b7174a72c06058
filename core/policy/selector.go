package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport/core/ts"
)

// A pattern is a parsed filter, before the words in it have their meaning.
type pattern struct {
	source, destination side
	protocol            uint8
	familyICMP          bool // "icmp": the protocol depends on the address family
}

// A side is one end of a filter. Its selector holds the ports, and the
// addresses unless word is set.
type side struct {
	word string // WordAny, WordMe, WordGateway or ""
	sel  ts.Selector
}

// A fieldError is a fault of one field of a filter.
type fieldError struct {
	field string
	err   error
}

// parse reads a filter.
func (f *Filter) parse() (p pattern, faults []fieldError) {
	bad := func(field string, err error) {
		if err != nil {
			faults = append(faults, fieldError{field, err})
		}
	}
	var err error
	p.source.word, p.source.sel, err = parseAddress(f.Source)
	bad("source", err)
	p.destination.word, p.destination.sel, err = parseAddress(f.Destination)
	bad("destination", err)
	if p.source.word == "" && p.destination.word == "" && err == nil && len(faults) == 0 &&
		p.source.sel.Is4() != p.destination.sel.Is4() {
		bad("destination", errors.New("is of another address family than the source"))
	}
	if p.source.word == WordMe && p.destination.word == WordMe {
		bad("destination", errors.New("is this machine like the source: loopback is never filtered"))
	}
	name := strings.ToLower(strings.TrimSpace(f.Protocol))
	if name == "icmp" {
		p.familyICMP = true
	} else if p.protocol, err = parseProtocol(name); err != nil {
		bad("protocol", err)
		return p, faults
	}
	bad("source_port", p.source.port(p.protocol, f.SourcePort))
	bad("destination_port", p.destination.port(p.protocol, f.DestinationPort))
	return p, faults
}

func parseAddress(text string) (word string, s ts.Selector, err error) {
	s = ts.Selector{ToPort: 65535}
	switch w := strings.ToLower(strings.TrimSpace(text)); w {
	case "":
		return "", s, fmt.Errorf("is missing; write an address, a prefix, a range, %q or %q", WordMe, WordAny)
	case WordAny, WordMe, WordGateway:
		return w, s, nil
	}
	if strings.ContainsAny(text, "[]") {
		return "", s, fmt.Errorf("%s is not an address, prefix or range; the protocol has a field of its own", shown(text))
	}
	s, err = ts.Parse(text)
	if errors.Is(err, ts.ErrBackwards) {
		return "", s, fmt.Errorf("%s %w: write the smaller address first", shown(text), ts.ErrBackwards)
	}
	if err != nil {
		return "", s, fmt.Errorf("%s is not an address, prefix or range, nor one of %q, %q, %q", shown(text), WordMe, WordAny, WordGateway)
	}
	if s.From.Is4In6() || s.To.Is4In6() {
		return "", s, fmt.Errorf("%s: write IPv4 addresses plainly", shown(text))
	}
	return "", s, nil
}

func parseProtocol(name string) (uint8, error) {
	if name == "" || name == "any" {
		return 0, nil
	}
	if strings.ContainsAny(name, "[]/ ") {
		return 0, fmt.Errorf("%s is not a protocol", shown(name))
	}
	s, err := ts.Parse("0.0.0.0/0[" + name + "]")
	if err != nil {
		return 0, fmt.Errorf("%s is not a protocol; write \"tcp\", \"udp\", \"icmp\" or a number", shown(name))
	}
	return s.Protocol, nil
}

// port sets the ports of a side.
func (s *side) port(protocol uint8, text string) error {
	text = strings.ToLower(strings.TrimSpace(text))
	if text == "" || text == "any" {
		return nil
	}
	switch {
	case protocol == 1 || protocol == 58 || protocol == 135 || !ts.HasPorts(protocol):
		return errors.New("ports need a protocol that has them: \"tcp\" or \"udp\"")
	case strings.ContainsAny(text, "[]/%") || text == "opaque":
		return fmt.Errorf("%s is not a port or range of ports", shown(text))
	}
	t, err := ts.Parse(fmt.Sprintf("0.0.0.0/0[%d/%s]", protocol, text))
	if err != nil {
		return fmt.Errorf("%s is not a port or range of ports", shown(text))
	}
	s.sel.FromPort, s.sel.ToPort = t.FromPort, t.ToPort
	return nil
}

// A match is one pair of selectors that a filter stands for.
type match struct {
	local, remote ts.Selector
	direction     Direction
	localMe       bool
}

// expand gives the words their meaning. gateway are the addresses of the rule's
// tunnel endpoint.
func (p *pattern) expand(mirrored bool, gateway []netip.Addr) []match {
	var out []match
	add := func(local, remote *side, d Direction) {
		for _, l := range local.selectors(gateway) {
			for _, r := range remote.selectors(gateway) {
				if l.Is4() != r.Is4() {
					continue
				}
				l.Protocol = p.protocol
				if p.familyICMP {
					l.Protocol = 58
					if l.Is4() {
						l.Protocol = 1
					}
				}
				r.Protocol = l.Protocol
				if m := (match{l, r, d, local.word == WordMe}); !slices.Contains(out, m) {
					out = append(out, m)
				}
			}
		}
	}
	// A filter that names this machine says by that which end is the local
	// one. Else each end may be.
	src, dst := &p.source, &p.destination
	out1, in1 := Both, Both
	if !mirrored {
		out1, in1 = Out, In
	}
	if dst.word != WordMe {
		add(src, dst, out1)
	}
	if src.word != WordMe {
		add(dst, src, in1)
	}
	return out
}

// selectors returns what a side stands for. This machine is every address:
// whatever leaves it counts as its own, and no address is new for a moment.
func (s *side) selectors(gateway []netip.Addr) []ts.Selector {
	var out []ts.Selector
	switch s.word {
	case WordAny, WordMe:
		out = ts.Any()
	case WordGateway:
		for _, a := range gateway {
			out = append(out, ts.FromPrefix(netip.PrefixFrom(a, a.BitLen())))
		}
	default:
		return []ts.Selector{s.sel}
	}
	for i := range out {
		out[i].FromPort, out[i].ToPort = s.sel.FromPort, s.sel.ToPort
	}
	return out
}
