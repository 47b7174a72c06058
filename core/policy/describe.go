package policy

import (
	"fmt"
	"strconv"
	"strings"

	"sallyport/core/ippkt"
	"sallyport/core/ts"
)

// describe names an entry for a sentence: `the rule "Web" (filter 2 of "Servers")`.
func (e *Entry) describe() string {
	switch e.Kind {
	case FromLAN:
		return "the exemption of the local network"
	case FromLANDNS:
		return fmt.Sprintf("the rule %s (for name servers on the local network)", shown(e.Rule))
	case FromFragments:
		return fmt.Sprintf("the rule %s (fragments of filter %d of %s)", shown(e.Rule), e.Filter+1, shown(e.List))
	}
	return fmt.Sprintf("the rule %s (filter %d of %s)", shown(e.Rule), e.Filter+1, shown(e.List))
}

// wants says what must become of the packets of e: "blocked".
func (e *Entry) wants() string {
	if e.Action == Block {
		return "blocked"
	}
	return "protected"
}

// verb says what e does with packets.
func (e *Entry) verb() string {
	switch {
	case e.Action == Permit:
		return "permit it"
	case e.Action == Block:
		return "block it"
	case e.Negotiation.Strict():
		return "require security"
	case e.Negotiation.RespondOnly:
		return "secure it when asked"
	}
	return "request security"
}

// describeFlow writes a flow as "192.0.2.1:5000 → 10.0.0.2:80/tcp".
func describeFlow(f ippkt.Flow) string {
	src, dst := f.Src.IP(f.V6).String(), f.Dst.IP(f.V6).String()
	if !f.Opaque && f.Proto != ippkt.ProtoICMP && f.Proto != ippkt.ProtoICMPv6 {
		if f.V6 {
			src, dst = "["+src+"]", "["+dst+"]"
		}
		src += ":" + strconv.Itoa(int(f.SrcPort))
		dst += ":" + strconv.Itoa(int(f.DstPort))
	}
	text := src + " → " + dst + "/" + protocolWord(f.Proto)
	if f.Opaque && ts.HasPorts(f.Proto) {
		text += " (a fragment)"
	}
	return text
}

// protocolWord returns the name of a protocol, or its number.
func protocolWord(p uint8) string {
	if p == 0 {
		return "0"
	}
	s := ts.Any()[0]
	s.Protocol = p
	_, word, _ := strings.Cut(s.String(), "[")
	return strings.TrimSuffix(word, "]")
}
