package ts

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoDCCP     = 33
	protoICMPv6   = 58
	protoSCTP     = 132
	protoMobility = 135
	protoUDPLite  = 136
)

// protocols lists names that Parse takes. The first of a number is the one
// that String gives.
var protocols = []struct {
	name   string
	number uint8
}{
	{"any", 0}, {"%any", 0}, {"icmp", protoICMP}, {"igmp", 2}, {"ipencap", 4}, {"tcp", protoTCP}, {"udp", protoUDP},
	{"dccp", protoDCCP}, {"ipv6", 41}, {"gre", 47}, {"esp", 50}, {"ah", 51}, {"icmpv6", protoICMPv6}, {"ipv6-icmp", protoICMPv6},
	{"ospf", 89}, {"vrrp", 112}, {"l2tp", 115}, {"sctp", protoSCTP}, {"udplite", protoUDPLite},
}

// services are names of ports that Parse takes.
var services = map[string]uint16{
	"ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "bootps": 67, "bootpc": 68, "tftp": 69, "http": 80,
	"kerberos": 88, "ntp": 123, "snmp": 161, "ldap": 389, "https": 443, "microsoft-ds": 445, "isakmp": 500,
	"ldaps": 636, "l2f": 1701, "l2tp": 1701, "ms-wbt-server": 3389, "ipsec-nat-t": 4500,
}

// Parse parses a selector in the notation of String: an address, a prefix
// (whose host bits are cleared) or a range of addresses, as "10.0.0.0/8",
// "10.0.0.1-10.0.0.9" or "2001:db8::1", then optionally in brackets a protocol
// by name or number and its ports: "[tcp/443]", "[udp/1024-65535]",
// "[icmp/8]" for a type, "[icmp/3(1)]" for a type and code, "[tcp/opaque]".
// A few common services may be named: "[tcp/https]".
func Parse(text string) (Selector, error) {
	addresses, rest, found := strings.Cut(strings.TrimSpace(text), "[")
	s, err := parseAddresses(strings.TrimSpace(addresses))
	if err == nil && found {
		inner, closed := strings.CutSuffix(rest, "]")
		if !closed {
			err = fmt.Errorf("missing ]")
		} else {
			err = s.parseProtocol(inner)
		}
	}
	if err != nil {
		return Selector{}, fmt.Errorf("traffic selector %q: %w", text, err)
	}
	return s, nil
}

func parseAddresses(text string) (Selector, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return Selector{}, fmt.Errorf("%q is not a prefix", text)
		}
		return FromPrefix(p), nil
	}
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	from, err := parseAddr(first)
	if err != nil {
		return Selector{}, err
	}
	to, err := parseAddr(last)
	if err != nil {
		return Selector{}, err
	}
	s := Selector{From: from, To: to, ToPort: 65535}
	switch {
	case s.Valid():
		return s, nil
	case from.Is4() == to.Is4() && to.Less(from):
		return Selector{}, fmt.Errorf("%v-%v %w", from, to, ErrBackwards)
	}
	return Selector{}, fmt.Errorf("%v-%v is not a range", from, to)
}

// ErrBackwards says that the last address of a range comes before the first.
var ErrBackwards = errors.New("ends before it begins")

func parseAddr(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(text))
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is not an address", text)
	}
	return a, nil
}

// parseProtocol parses what is between the brackets.
func (s *Selector) parseProtocol(text string) error {
	name, ports, hasPorts := strings.Cut(text, "/")
	protocol, err := parseProtocolName(strings.ToLower(strings.TrimSpace(name)))
	if err != nil {
		return err
	}
	s.Protocol = protocol
	if !hasPorts {
		return nil
	}
	switch ports = strings.ToLower(strings.TrimSpace(ports)); ports {
	case "any", "%any":
		return nil
	case "opaque":
		s.FromPort, s.ToPort = 65535, 0
		return nil
	}
	from, to, err := parsePort(protocol, ports)
	if err != nil {
		// A service's name may have a dash in it, so a range comes second.
		first, last, isRange := strings.Cut(ports, "-")
		if !isRange {
			return err
		}
		if from, _, err = parsePort(protocol, strings.TrimSpace(first)); err != nil {
			return err
		}
		if _, to, err = parsePort(protocol, strings.TrimSpace(last)); err != nil {
			return err
		}
		if from > to {
			return fmt.Errorf("ports %q are not a range", ports)
		}
	}
	s.FromPort, s.ToPort = from, to
	return nil
}

func parseProtocolName(name string) (uint8, error) {
	if name == "" {
		return 0, nil
	}
	for _, p := range protocols {
		if p.name == name {
			return p.number, nil
		}
	}
	n, err := strconv.ParseUint(name, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("unknown protocol %q", name)
	}
	return uint8(n), nil
}

func isICMP(protocol uint8) bool { return protocol == protoICMP || protocol == protoICMPv6 }

// parsePort parses one port, or for ICMP a type with or without code, and
// returns the range that it stands for.
func parsePort(protocol uint8, text string) (from, to uint16, err error) {
	if isICMP(protocol) {
		kind, code, hasCode := strings.Cut(text, "(")
		t, err := strconv.ParseUint(kind, 10, 8)
		if err != nil {
			return 0, 0, fmt.Errorf("%q is not an ICMP type", text)
		}
		if !hasCode {
			return uint16(t) << 8, uint16(t)<<8 | 0xff, nil
		}
		c, err := strconv.ParseUint(strings.TrimSuffix(code, ")"), 10, 8)
		if err != nil || !strings.HasSuffix(code, ")") {
			return 0, 0, fmt.Errorf("%q is not an ICMP type and code", text)
		}
		return uint16(t)<<8 | uint16(c), uint16(t)<<8 | uint16(c), nil
	}
	if port, ok := services[text]; ok {
		return port, port, nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, 0, fmt.Errorf("%q is not a port", text)
	}
	return uint16(port), uint16(port), nil
}

// String returns the selector in the notation of Parse.
func (s Selector) String() string {
	if !s.Valid() {
		return "invalid selector"
	}
	var b strings.Builder
	b.WriteString(s.addresses())
	if s.Protocol == 0 && s.AnyPort() {
		return b.String()
	}
	b.WriteString("[" + protocolName(s.Protocol))
	if ports := s.portText(); ports != "" {
		b.WriteString("/" + ports)
	}
	b.WriteString("]")
	return b.String()
}

func (s Selector) addresses() string {
	if s.From == s.To {
		return s.From.String()
	}
	if p := largestPrefix(s.From, s.To); lastOf(p) == s.To {
		return p.String()
	}
	return s.From.String() + "-" + s.To.String()
}

func protocolName(number uint8) string {
	for _, p := range protocols {
		if p.number == number {
			return p.name
		}
	}
	return strconv.Itoa(int(number))
}

// portText returns the ports, empty for any.
func (s Selector) portText() string {
	switch {
	case s.AnyPort():
		return ""
	case s.opaque():
		return "opaque"
	case isICMP(s.Protocol):
		return s.icmpText()
	case s.FromPort == s.ToPort:
		return strconv.Itoa(int(s.FromPort))
	}
	return fmt.Sprintf("%d-%d", s.FromPort, s.ToPort)
}

func (s Selector) icmpText() string {
	fromType, fromCode := s.FromPort>>8, s.FromPort&0xff
	toType, toCode := s.ToPort>>8, s.ToPort&0xff
	switch {
	case fromCode == 0 && toCode == 0xff && fromType == toType:
		return strconv.Itoa(int(fromType))
	case fromCode == 0 && toCode == 0xff:
		return fmt.Sprintf("%d-%d", fromType, toType)
	case s.FromPort == s.ToPort:
		return fmt.Sprintf("%d(%d)", fromType, fromCode)
	}
	return fmt.Sprintf("%d(%d)-%d(%d)", fromType, fromCode, toType, toCode)
}

// String returns the selectors, separated by commas.
func (l List) String() string {
	texts := make([]string, len(l))
	for i, s := range l {
		texts[i] = s.String()
	}
	return strings.Join(texts, ", ")
}
