package ike

import (
	"time"

	"sallyport/core/ike/message"
)

// A Trace tells of a message that was sent or received, for people who look for
// the fault of a connection. It comes only with Options.Trace, and precedes the
// effects of the message.
//
// Of what strangers send only some is told: so much a second, and so much that
// names an IKE SA of ours without being proved to belong to it.
type Trace struct {
	// SA is whose message it is; nil for those of strangers, and of peers that
	// have not proved who they are.
	SA         *SA
	Path       Path
	Sent       bool
	Header     message.Header
	Size       int // bytes of IKE on the wire, of all fragments
	Fragments  int // 0: not fragmented
	Retransmit int // 1 for the first repetition, which has no payloads here
	Encrypted  bool
	// Payloads are borrowed from the datagram: read them before the next call
	// to the endpoint. Nil: the message could not be decoded.
	Payloads []message.Payload
	Problem  string // why it was dropped or refused
}

func (*Trace) effect() {}

// maxUnproved bounds the messages told of one IKE SA that did not prove to
// belong to it: anyone on the way may send them.
const maxUnproved = 16

// An incoming is the datagram that the current call is about.
type incoming struct {
	trace *Trace
	data  []byte
	near  *SA  // that it names
	told  bool // or not worth telling
}

// traceDatagram begins to follow a received datagram.
func (e *Endpoint) traceDatagram(h message.Header, d Datagram) {
	if e.opt.Trace {
		e.incoming = incoming{data: d.Data, trace: &Trace{Path: d.path(), Header: h, Size: len(d.Data)}}
	}
}

// endTrace tells of a datagram that nothing has told of yet.
func (e *Endpoint) endTrace(now time.Time) {
	if e.incoming.trace != nil && !e.incoming.told {
		e.tellUnproved(nil, now)
	}
	e.incoming = incoming{}
}

// fault notes what is wrong with the current datagram; the first to speak knows
// best.
func (e *Endpoint) fault(problem string) {
	if t := e.incoming.trace; t != nil && t.Problem == "" {
		t.Problem = problem
	}
}

// tellProved tells of a message that authenticated.
func (sa *SA) tellProved(m *message.Message) {
	in := &sa.e.incoming
	if in.trace == nil || in.told {
		return
	}
	in.told = true
	in.trace.SA, in.trace.Encrypted, in.trace.Payloads = sa, true, m.Payloads
	if size, n := sa.parts.Last(); n > 0 {
		in.trace.Size, in.trace.Fragments = size, n
	}
	sa.e.emit(in.trace)
}

// tellUnproved tells of a message that anyone may have sent.
func (e *Endpoint) tellUnproved(payloads []message.Payload, now time.Time) {
	in := &e.incoming
	if in.trace == nil || in.told {
		return
	}
	in.told = true
	switch sa := in.near; {
	case sa != nil && sa.announced && sa.unproved < maxUnproved:
		sa.unproved++
		in.trace.SA = sa
	case !e.strangers.take(now):
		return
	}
	if payloads == nil {
		if m, err := message.Parse(in.data); err == nil {
			payloads = m.Payloads
		}
	}
	in.trace.Payloads = payloads
	e.emit(in.trace)
}

// notTold keeps the current datagram out of the trace: a fragment is told with
// its message.
func (e *Endpoint) notTold() { e.incoming.told = true }

// tellSent tells of a message of ours. Without payloads it is a repetition.
func (sa *SA) tellSent(h message.Header, datagrams [][]byte, payloads []message.Payload, repeated int) {
	if !sa.e.opt.Trace {
		return
	}
	t := &Trace{SA: sa, Path: sa.path, Sent: true, Header: h, Retransmit: repeated, Encrypted: h.Exchange != message.IKESAInit && h.Exchange != message.IKESessionResume, Payloads: payloads}
	for _, b := range datagrams {
		t.Size += len(b)
	}
	if len(datagrams) > 1 {
		t.Fragments = len(datagrams)
	}
	sa.e.emit(t)
}

// tellAnswered tells of an answer that holds no state.
func (e *Endpoint) tellAnswered(h message.Header, d Datagram, size int, n *message.Notify, now time.Time) {
	if e.opt.Trace && e.strangers.take(now) {
		e.emit(&Trace{Path: d.path(), Sent: true, Header: h, Size: size, Payloads: []message.Payload{n}})
	}
}

// disown takes the SA off the traces of one whose peer has not proved itself by
// the end of the call.
func disown(effects []Effect) {
	for _, x := range effects {
		if t, ok := x.(*Trace); ok && t.SA != nil && !t.SA.announced {
			t.SA = nil
		}
	}
}
