package policy

import (
	"cmp"
	"encoding/binary"

	"sallyport/core/ts"
)

// The order of decision. The most specific filter comes first, as in Windows.
// Of two entries the one with the first difference below goes first:
//
//  1. fewer remote addresses;
//  2. fewer local addresses ("me" counts as every address);
//  3. one protocol before any;
//  4. fewer remote ports;
//  5. fewer local ports;
//  6. the stricter action: block, negotiate, negotiate with fallback, permit;
//  7. the order of the policy.
//
// An entry that matches a subset of what another matches is therefore always
// before it. The exemption of the local network goes just before each entry
// that it exempts from.

// rank is the place of an entry in that order, but for the last two steps.
type rank struct {
	remote, local           [2]uint64 // how many addresses, less one
	anyProtocol             bool
	remotePorts, localPorts uint32
}

func rankOf(e *Entry) rank {
	l, r := e.Local[0], e.Remote[0]
	return rank{
		remote:      span(r),
		local:       span(l),
		anyProtocol: r.Protocol == 0,
		remotePorts: portCount(r),
		localPorts:  portCount(l),
	}
}

// span returns the number of addresses of s, less one.
func span(s ts.Selector) [2]uint64 {
	from, to := s.From.As16(), s.To.As16()
	lo := binary.BigEndian.Uint64(to[8:]) - binary.BigEndian.Uint64(from[8:])
	hi := binary.BigEndian.Uint64(to[:]) - binary.BigEndian.Uint64(from[:])
	if binary.BigEndian.Uint64(to[8:]) < binary.BigEndian.Uint64(from[8:]) {
		hi--
	}
	return [2]uint64{hi, lo}
}

func portCount(s ts.Selector) uint32 {
	switch {
	case s.AnyPort():
		return 65537 // with packets that show none
	case s.FromPort > s.ToPort:
		return 1 // these alone
	}
	return uint32(s.ToPort-s.FromPort) + 1
}

func (a rank) compare(b rank) int {
	return cmp.Or(
		cmp.Compare(a.remote[0], b.remote[0]), cmp.Compare(a.remote[1], b.remote[1]),
		cmp.Compare(a.local[0], b.local[0]), cmp.Compare(a.local[1], b.local[1]),
		compareBool(a.anyProtocol, b.anyProtocol),
		cmp.Compare(a.remotePorts, b.remotePorts),
		cmp.Compare(a.localPorts, b.localPorts),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// strictness orders actions of entries that match the same.
func (e *Entry) strictness() int {
	switch {
	case e.Action == Block:
		return 0
	case e.Action == Permit:
		return 4
	case e.Negotiation.Strict():
		return 1
	case !e.Negotiation.RespondOnly:
		return 2
	}
	return 3
}
