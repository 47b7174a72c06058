// Package spd is the security policy database (RFC 4301, section 4.4.1): an
// ordered list of entries, compiled into an immutable Policy that goroutines
// read without a lock.
package spd

import (
	"strconv"

	"sallyport/core/ippkt"
	"sallyport/core/ts"
)

// An Action is what happens to a packet that matches an entry.
type Action uint8

// The actions.
const (
	Discard Action = 0
	Bypass  Action = 1
	Protect Action = 2
)

// String returns RFC 4301's name of the action.
func (a Action) String() string {
	switch a {
	case Discard:
		return "DISCARD"
	case Bypass:
		return "BYPASS"
	case Protect:
		return "PROTECT"
	}
	return "Action(" + strconv.Itoa(int(a)) + ")"
}

// An Entry says what happens to outbound packets from Local to Remote.
type Entry struct {
	Local, Remote ts.List
	Action        Action
	Group         uint32 // whose SA protects the packet, for Protect
}

// A Policy is a compiled list of entries. It never changes.
type Policy struct {
	entries []Pair
	index   *index
}

// NewPolicy compiles entries. The first entry that matches a packet decides.
func NewPolicy(entries []Entry) *Policy {
	p := &Policy{entries: make([]Pair, len(entries))}
	actions := make([]Action, len(entries))
	for i, e := range entries {
		p.entries[i] = *NewPair(e.Local, e.Remote)
		actions[i] = e.Action
	}
	p.index = newIndex(p.entries, actions)
	return p
}

// Lookup finds the entry for an outbound flow. A flow that no entry matches is
// discarded (RFC 4301, section 4.4.1); index is then -1.
func (p *Policy) Lookup(f *ippkt.Flow) (action Action, index int) {
	x := p.index.lookup(p.entries, f)
	return x.action, int(x.entry)
}

// A Pair matches flows whose source lies in one list of selectors and whose
// destination lies in another.
type Pair struct {
	src, dst []selector
}

// NewPair compiles two lists of selectors.
func NewPair(src, dst ts.List) *Pair {
	return &Pair{compile(src), compile(dst)}
}

// Match reports whether f matches.
func (p *Pair) Match(f *ippkt.Flow) bool {
	return match(p.src, f, f.Src, f.SrcPort) && match(p.dst, f, f.Dst, f.DstPort)
}

// A selector is a ts.Selector in the form that compares fast.
type selector struct {
	from, to         ippkt.Addr
	fromPort, toPort uint16
	proto            uint8
	v6               bool
}

func compile(l ts.List) []selector {
	out := make([]selector, 0, len(l))
	for _, s := range l {
		if !s.From.IsValid() || !s.To.IsValid() {
			continue // an invalid selector matches nothing
		}
		out = append(out, selector{
			from: ippkt.AddrFrom(s.From), to: ippkt.AddrFrom(s.To),
			fromPort: s.FromPort, toPort: s.ToPort,
			proto: s.Protocol, v6: s.From.Is6(),
		})
	}
	return out
}

func match(l []selector, f *ippkt.Flow, a ippkt.Addr, port uint16) bool {
	for i := range l {
		if l[i].match(f, a, port) {
			return true
		}
	}
	return false
}

// match follows RFC 4301, section 4.4.1.1: without a view of the ports only ANY
// and OPAQUE match, and OPAQUE (From 65535, To 0) matches nothing else.
func (s *selector) match(f *ippkt.Flow, a ippkt.Addr, port uint16) bool {
	if s.v6 != f.V6 || s.proto != 0 && s.proto != f.Proto {
		return false
	}
	if a.Compare(s.from) < 0 || a.Compare(s.to) > 0 {
		return false
	}
	if s.fromPort == 0 && s.toPort == 65535 {
		return true
	}
	if f.Opaque {
		return s.fromPort == 65535 && s.toPort == 0
	}
	return s.fromPort <= port && port <= s.toPort
}
