package ike

import (
	"fmt"

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
