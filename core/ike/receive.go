package ike

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"sallyport/core/ike/message"
)

// receive takes a message that names this SA. The checks that cost nothing
// come first; nothing changes before the message has authenticated.
func (sa *SA) receive(h message.Header, d Datagram, now time.Time) {
	switch {
	case h.Exchange == message.IKESAInit:
		sa.receiveInit(h, d, now)
	case h.Exchange == message.IKESessionResume:
		sa.receiveResume(h, d, now)
	case sa.keys.open == nil:
		sa.e.drop("before the keys")
	case h.Response():
		sa.receiveResponse(h, d, now)
	default:
		sa.receiveRequest(h, d, now)
	}
}

// receiveResponse takes a response to the request in flight.
func (sa *SA) receiveResponse(h message.Header, d Datagram, now time.Time) {
	f := sa.flight
	if f == nil || f.id != h.MessageID || f.task.exchange() != h.Exchange {
		sa.e.drop("unexpected response")
		return
	}
	m, got, err := sa.open(d, now)
	if got != whole {
		return
	}
	sa.tellProved(&m)
	if sa.goesBack(d) {
		sa.lastHeard, sa.from = now, origin{d.path(), d.NATT}
	} else {
		sa.heard(d, now)
	}
	sa.answeredAt(d.path(), now)
	sa.timed(f, now)
	sa.flight, sa.hint = nil, nil
	if sa.state == StateAuthSent {
		sa.giveUpAt = time.Time{} // what a hint claimed was not so
	}
	var in *inbox
	if err == nil {
		in, err = sortPayloads(m.Payloads)
	}
	if err == nil {
		err = sa.dispatchResponse(f, in, now)
	}
	if err == nil {
		sa.answered()
	}
	if err != nil {
		sa.e.fault(err.Error())
		f.task.abandoned(sa, now)
		sa.giveUpOn(err, now)
	}
}

// goesBack reports whether a response says no more of where the peer is than that our
// request was there: it goes back the way on which that came (RFC 7296, section 2.11).
// So it is with one out of a TCP connection that the peer has left since, and with those
// to the end that began the line of IKE SAs. If they moved both ends, requests
// that cross would let each end take the path that the other leaves, again and again,
// and a copy of the last one before MOBIKE is agreed on would draw that end away for good.
func (sa *SA) goesBack(d Datagram) bool {
	return d.TCP && !sa.path.TCP || sa.line
}

func (sa *SA) dispatchResponse(f *flight, in *inbox, now time.Time) *notifyError {
	t := f.task
	for i := range responses {
		m := &responses[i]
		if m.task != t.kind() {
			continue
		}
		if !m.from.has(sa.state) {
			t.abandoned(sa, now)
			return nil
		}
		if in.has&m.need == m.need {
			return m.run(sa, t, in, f.deleted, now)
		}
		if i+1 < len(responses) && responses[i+1].task == m.task {
			continue
		}
		n := in.refusal()
		if n == nil {
			return syntaxError("response lacks payloads to %s", m.story)
		}
		t.refused(sa, n, now)
		if n.Kind == message.NotifyInvalidSyntax && sa.state == StateUp {
			// The peer has closed the SA with this (RFC 7296, section 2.21.3).
			sa.close(refusalOf(n, nil), now)
		}
		return nil
	}
	return nil
}

// receiveRequest takes a request with the next message ID, or repeats the
// response to the one before it (RFC 7296, sections 2.1 and 2.3).
func (sa *SA) receiveRequest(h message.Header, d Datagram, now time.Time) {
	switch {
	case h.MessageID == sa.expectID:
	case sa.expectID > 0 && h.MessageID == sa.expectID-1 && sa.lastResponse != nil:
		sa.repeat(h, d, now)
		return
	default:
		sa.e.drop("message ID out of window")
		return
	}
	if sa.state == StateAuthSent || sa.state == StateInitAnswered && h.Exchange != sa.expected() {
		sa.e.drop("request before authentication")
		return
	}
	if sa.state == StateInitAnswered && sa.hs.waits() {
		sa.e.drop("repeated request") // what its answer needs has not come yet
		return
	}
	m, got, err := sa.open(d, now)
	if got != dropped && isFirst(d.Data) {
		sa.lastRequest = sha256.Sum256(d.Data)
	}
	if got != whole {
		return
	}
	sa.tellProved(&m)
	sa.heard(d, now)

	var in *inbox
	var payloads []message.Payload
	if err == nil {
		in, err = sortPayloads(m.Payloads)
	}
	if err == nil {
		sa.claim(in, now)
		sa.resourcesShown()
		payloads, err = sa.dispatchRequest(h, in, now)
	}
	if err == errLater {
		if sa.hs.held != nil {
			sa.hs.held.asked = &h
		} else {
			sa.hs.guest.asked = &h
		}
		return
	}
	sa.reply(h, payloads, err, now)
}

// reply answers a request with payloads, or with the error.
func (sa *SA) reply(h message.Header, payloads []message.Payload, err *notifyError, now time.Time) {
	if err != nil {
		sa.e.fault(err.Error())
		payloads = []message.Payload{&message.Notify{Kind: err.notify, Data: err.data}}
		if err.notify == message.NotifyInvalidSyntax || sa.state == StateInitAnswered {
			sa.end = &ending{err.failure()}
		}
		sa.log(Info, "%s: answering %v with %v", sa.name(), h.Exchange, err)
	}
	sa.respond(h, payloads, now)
	sa.turnKeys()
	if sa.end != nil {
		sa.close(sa.end.err, now)
	}
}

func (sa *SA) dispatchRequest(h message.Header, in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	for i := range requests {
		m := &requests[i]
		if m.exchange == h.Exchange && m.from.has(sa.state) && m.resumed == sa.resuming() &&
			in.has&m.need == m.need && in.has&m.without == 0 &&
			(m.notify == 0 || in.notify(m.notify) != nil) {
			return m.run(sa, in, now)
		}
	}
	return nil, syntaxError("%v request in state %q", h.Exchange, sa.state)
}

// An arrival is what became of a datagram.
type arrival int

const (
	dropped  arrival = iota
	fragment         // kept until the others are there
	whole            // a whole message authenticated
)

// open authenticates a datagram. A *notifyError comes with a whole message
// that is the peer's but malformed. What does not authenticate is counted; it
// can at most leave a hint.
func (sa *SA) open(d Datagram, now time.Time) (message.Message, arrival, *notifyError) {
	m, complete, err := sa.parts.Open(d.Data, sa.keys.open)
	var syntax *message.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return m, whole, &notifyError{notify: message.NotifyInvalidSyntax, code: FailProtocol, err: err}
	case errors.Is(err, message.ErrIntegrity):
		sa.e.drop("integrity check failed")
		return m, dropped, nil
	case err != nil:
		sa.e.drop("malformed or unprotected")
		sa.takeHint(d, now)
		return m, dropped, nil
	case !complete:
		sa.e.notTold()
		return m, fragment, nil
	}
	if m.Exchange == message.IKEIntermediate && sa.hs != nil {
		sa.coverReceived(m.Header)
	}
	return m, whole, nil
}

// repeat sends the last response again, for a request that came again. The
// request must authenticate, and of a fragmented one only the first fragment
// counts (RFC 7383, section 2.6.1).
func (sa *SA) repeat(h message.Header, d Datagram, now time.Time) {
	var again message.Reassembler
	_, _, err := again.Open(d.Data, sa.opener(h.Exchange))
	var syntax *message.SyntaxError
	switch {
	case err != nil && !errors.As(err, &syntax):
		sa.e.drop("integrity check failed")
	case isFirst(d.Data):
		sa.e.drop("repeated request")
		sa.e.tellUnproved(nil, now)
		sa.repeats++
		if sa.repeats <= maxUnproved {
			sa.tellSent(sa.header(h.Exchange, h.MessageID, true), sa.lastResponse, nil, sa.repeats)
		}
		sa.suspect(sa.lastResponse)
		to := origin{sa.path, sa.natt}
		if sa.repeats <= maxUnproved {
			// Whence it came (RFC 7296, section 2.11): the peer tries several paths, or
			// somebody's copy of the request came first.
			to = origin{d.path(), d.NATT}
		}
		sa.sendOver(to, sa.lastResponse, CutAnywhere)
	default:
		sa.e.notTold()
	}
}

// isFirst reports whether a datagram is a whole message or its first fragment.
func isFirst(datagram []byte) bool {
	m, err := message.Parse(datagram)
	if err != nil || len(m.Payloads) == 0 {
		return false
	}
	f, ok := m.Payloads[len(m.Payloads)-1].(*message.Fragment)
	return !ok || f.Number == 1
}

// heard notes that an authenticated message with a fresh ID came.
func (sa *SA) heard(d Datagram, now time.Time) {
	sa.lastHeard = now
	sa.from = origin{d.path(), d.NATT}
	sa.follow(d.path(), d.NATT)
}

// respond answers a request, and keeps the response for when it comes again.
func (sa *SA) respond(h message.Header, payloads []message.Payload, now time.Time) {
	if sa.keys.seal == nil {
		return
	}
	datagrams, err := sa.seal(h.Exchange, h.MessageID, true, payloads)
	if err != nil {
		sa.end = &ending{&Failure{Code: FailInternal, Err: err}}
		return
	}
	sa.expectID++
	sa.lastResponse, sa.repeats = datagrams, 0
	if sa.mob.on {
		sa.lastSent = now
		sa.sendOver(sa.from, datagrams, CutIfRefused)
	} else {
		sa.send(datagrams, now)
	}
}

// seal protects a message, in fragments where it is long and the peer can. TCP
// needs none (RFC 9329, section 7.5).
func (sa *SA) seal(x message.ExchangeType, id uint32, response bool, payloads []message.Payload) ([][]byte, error) {
	h := sa.header(x, id, response)
	var datagrams [][]byte
	var err error
	if sa.frag && !sa.path.TCP {
		datagrams, err = message.SealFragments(h, payloads, sa.keys.seal, sa.maxDatagram(), sa.e.opt.Rand)
	} else {
		datagrams = make([][]byte, 1)
		datagrams[0], err = message.Seal(h, payloads, sa.keys.seal, sa.e.opt.Rand)
	}
	if err == nil {
		if x == message.IKEIntermediate && sa.hs != nil {
			sa.coverSent(h, payloads)
		}
		sa.tellSent(h, datagrams, payloads, 0)
	}
	return datagrams, err
}

// maxDatagram is the MTU less IP and UDP headers and the non-ESP marker.
func (sa *SA) maxDatagram() int {
	mtu := sa.e.opt.MTU
	if known := sa.here().mtu; known != 0 {
		mtu = min(mtu, known)
	}
	return mtu - sa.outerLen()
}

func (sa *SA) header(x message.ExchangeType, id uint32, response bool) message.Header {
	h := message.Header{InitiatorSPI: sa.spiLocal, ResponderSPI: sa.spiRemote, Exchange: x, MessageID: id}
	if !sa.initiator {
		h.InitiatorSPI, h.ResponderSPI = sa.spiRemote, sa.spiLocal
	} else {
		h.Flags |= message.FlagInitiator
	}
	if response {
		h.Flags |= message.FlagResponse
	}
	return h
}

func (sa *SA) send(datagrams [][]byte, now time.Time) {
	sa.sendOver(origin{sa.path, sa.natt}, datagrams, CutIfRefused)
	sa.lastSent = now
}

// say tells the peer something that ends the SA, once, without waiting for the
// answer (RFC 7296, section 2.21.2).
func (sa *SA) say(p message.Payload, now time.Time) {
	if sa.keys.seal == nil {
		return
	}
	datagrams, err := sa.seal(message.Informational, sa.nextID, false, []message.Payload{p})
	if err == nil {
		sa.nextID++
		sa.send(datagrams, now)
	}
}

// takeHint remembers what an unprotected answer claims. Anyone can have sent
// it, so it changes nothing yet: see Retransmit.Grace.
func (sa *SA) takeHint(d Datagram, now time.Time) {
	if sa.flight == nil {
		return
	}
	m, err := message.Parse(d.Data)
	if err != nil || !m.Response() || m.MessageID != sa.flight.id {
		return
	}
	if sa.crashed(m.Payloads, now) {
		return
	}
	for _, p := range m.Payloads {
		if n, ok := p.(*message.Notify); ok && n.Kind.IsError() {
			sa.hintAt(refusalOf(n, nil), now)
			return
		}
	}
}

// hintAt notes an unauthenticated reason to fail. The most telling one stays.
func (sa *SA) hintAt(f *Failure, now time.Time) {
	f.Unauthenticated = true
	if sa.hint == nil || tells(f) > tells(sa.hint) {
		sa.hint = f
	}
	if sa.state == StateInitSent || sa.state == StateAuthSent {
		grace := sa.cfg.Retransmit.grace()
		if sa.fallsBackFrom(f) {
			grace = min(grace, fallbackGrace)
		}
		if by := now.Add(grace); sa.giveUpAt.IsZero() || by.Before(sa.giveUpAt) {
			sa.giveUpAt = by
		}
	}
}

// tells ranks failures by how much they help.
func tells(f *Failure) int {
	switch f.Code {
	case FailProtocol:
		return 0
	case FailPeerRefused:
		return 1
	}
	return 2
}

// refusalOf returns the failure that an error notify of the peer means.
func refusalOf(n *message.Notify, err error) *Failure {
	f := &Failure{Code: FailPeerRefused, Notify: n.Kind, Err: err}
	switch n.Kind {
	case message.NotifyNoProposalChosen, message.NotifyInvalidKEPayload:
		f.Code = FailNoProposal
	case message.NotifyAuthenticationFailed:
		f.Code = FailAuthRefused
	case message.NotifyTSUnacceptable:
		f.Code = FailTSUnacceptable
	case message.NotifyInternalAddressFailure, message.NotifyFailedCPRequired:
		f.Code = FailNoAddress
	}
	return f
}

func syntaxError(format string, args ...any) *notifyError {
	return &notifyError{notify: message.NotifyInvalidSyntax, code: FailProtocol, err: fmt.Errorf(format, args...)}
}
