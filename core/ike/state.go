package ike

import "fmt"

// A State is where an IKE SA stands.
//
//	initiator: InitSent → AuthSent ─┐
//	                                ├→ Up ─→ Rekeyed ─┐
//	responder:         InitAnswered ┘   └──→ Deleting ─→ Closed
//
// An SA that a rekey makes starts Up. Each state but Closed may go to Closed
// at once: on failure, timeout, or the peer's Delete.
type State uint8

// The states.
const (
	StateInitSent     State = iota + 1 // IKE_SA_INIT is under way; we are the initiator
	StateInitAnswered                  // we answered IKE_SA_INIT; the peer has proved nothing yet
	StateAuthSent                      // IKE_AUTH, or IKE_INTERMEDIATE before it, is under way; we are the initiator
	StateUp                            // both ends have proved who they are
	StateRekeyed                       // a successor took over the Child SAs; only Delete is left
	StateDeleting                      // we are about to delete it, or have asked the peer to
	StateClosed                        // gone
)

func (s State) String() string {
	switch s {
	case StateInitSent:
		return "IKE_SA_INIT sent"
	case StateInitAnswered:
		return "half-open"
	case StateAuthSent:
		return "IKE_AUTH sent"
	case StateUp:
		return "established"
	case StateRekeyed:
		return "rekeyed"
	case StateDeleting:
		return "deleting"
	case StateClosed:
		return "closed"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// A states value is a set of states.
type states uint16

func in(list ...State) states {
	var s states
	for _, x := range list {
		s |= 1 << x
	}
	return s
}

func (s states) has(x State) bool { return s&(1<<x) != 0 }
