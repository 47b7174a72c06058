package ike

import (
	"fmt"
	"net/netip"

	"sallyport/core/ts"
)

// A responder is to answer with a subset of the traffic selectors that it was
// offered (RFC 7296, section 2.9). OpenIKED up to at least 7.2 answers with all
// that its policy has, whatever was asked for. What both have in common serves:
// beyond it nothing is sent, and nothing that comes is let in.

// An OutsideAnswer is why a peer's answer to the offer of a Child SA does not
// serve: it has none of the traffic that was asked for.
type OutsideAnswer struct {
	Local, Remote ts.List // what the peer answers, seen from here
}

// Error says what the peer answers.
func (e *OutsideAnswer) Error() string {
	return fmt.Sprintf("the peer answers with %v and %v, which has nothing of what we asked for", e.Local, e.Remote)
}

// within is what the peer's answer has of what was asked for.
func within(asked, answer ts.List) ts.List {
	if asked.Covers(answer) {
		return answer
	}
	return asked.Narrow(answer)
}

// addressed puts the inner addresses that we gave the peer in place of the
// unspecified address behind it. OpenIKED up to at least 7.2 means "from dynamic" by
// that one address, which nobody has, in its offers, where others offer all (RFC 7296,
// section 2.19), and in its answers to rekeys.
func (sa *SA) addressed(behind ts.List) ts.List {
	if sa.lease == nil {
		return behind
	}
	var list ts.List
	for _, s := range behind {
		if s.From != s.To || !s.From.IsUnspecified() {
			list = append(list, s)
			continue
		}
		for _, a := range sa.lease.Addresses {
			if a.Is4() == s.Is4() {
				list = append(list, filled(ts.List{s}, hosts([]netip.Addr{a}))...)
			}
		}
	}
	return list
}
