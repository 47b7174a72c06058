package ike

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"sallyport/core/ike/message"
)

// Quick crash detection (RFC 6290): a peer that lost its SAs, because it was
// started anew, proves it, instead of falling silent until a liveness check gives
// up. The proof is a token, which it has told under the SA when that was made, and
// can make again from a secret that outlives it. Whoever sees the token can end
// the SA; so it is told in clear only when there is no such SA here.
//
// What starts it all is a message of the other end to an SA that is gone. Traffic
// that comes in on a Child SA that is gone is answered with INVALID_SPI (RFC 7296,
// section 1.5), on which the other end asks for a sign of life.

const (
	tokenLen    = 16 // the least that RFC 6290 allows: the answer is as short as the request
	maxTokenLen = 256
	// crashDoubt is how long a peer has to be silent for an unprotected INVALID_SPI
	// to make us ask.
	crashDoubt = 300 * time.Millisecond
)

var errCrashed = errors.New("the peer has lost the IKE SA, as after a restart")

// A coming set holds our SPIs of IKE SAs that we have asked for in a rekey. The peer
// may use one before its answer, which a network may delay, has told us of it.
type coming map[uint64]time.Time

// Bounds of a coming set.
const (
	comingTime = 5 * time.Minute // more than any exchange takes
	maxComing  = 4096
)

func (c *coming) add(spi uint64, now time.Time) {
	if *c == nil {
		*c = make(coming)
	}
	if len(*c) >= maxComing {
		for x, since := range *c {
			if now.Sub(since) >= comingTime {
				delete(*c, x)
			}
		}
	}
	if len(*c) < maxComing {
		(*c)[spi] = now
	}
}

func (c coming) has(spi uint64, now time.Time) bool {
	since, ok := c[spi]
	return ok && now.Sub(since) < comingTime
}

// crashToken returns the token of an SA, as this end makes it; nil: it makes none.
func (e *Endpoint) crashToken(initiator bool, spii, spir uint64) []byte {
	if len(e.opt.CrashSecret) == 0 {
		return nil
	}
	m := hmac.New(sha256.New, e.opt.CrashSecret)
	b := []byte{flags(initiator)}
	b = binary.BigEndian.AppendUint64(b, spii)
	m.Write(binary.BigEndian.AppendUint64(b, spir))
	return m.Sum(nil)[:tokenLen]
}

// tokenNotify tells the peer our token of the SA.
func (sa *SA) tokenNotify() []message.Payload {
	h := sa.header(message.Informational, 0, false)
	token := sa.e.crashToken(sa.initiator, h.InitiatorSPI, h.ResponderSPI)
	if token == nil || sa.cfg.Beside {
		return nil
	}
	return []message.Payload{&message.Notify{Kind: message.NotifyQuickCrashDetection, Data: token}}
}

// takeToken keeps the token of the peer, out of an authenticated message.
func (sa *SA) takeToken(in *inbox) {
	if n := in.notify(message.NotifyQuickCrashDetection); n != nil && len(n.Data) >= tokenLen && len(n.Data) <= maxTokenLen {
		sa.token = append([]byte(nil), n.Data...)
	}
}

// tokenTask exchanges the tokens of an SA that a rekey of ours made: both its SPIs
// are known when it is there (RFC 6290, section 4.3).
type tokenTask struct{ livenessTask }

func (tokenTask) request(sa *SA, _ time.Time) ([]message.Payload, bool) {
	return sa.tokenNotify(), sa.state == StateUp
}

// answerLost answers a request to an SA that is not here with the token of it.
func (e *Endpoint) answerLost(h message.Header, d Datagram, now time.Time) {
	e.drop("unknown SPI")
	switch {
	case h.Response(), h.InitiatorSPI == 0, h.ResponderSPI == 0, h.Exchange == message.IKEAuth, h.Exchange == message.IKEIntermediate:
		return // of no SA that was up
	case e.sas[h.InitiatorSPI] != nil, e.sas[h.ResponderSPI] != nil:
		return // a lie about who is who
	case e.coming.has(h.InitiatorSPI, now), e.coming.has(h.ResponderSPI, now):
		return // it is early: we have yet to hear that it is there
	}
	token := e.crashToken(!h.Initiator(), h.InitiatorSPI, h.ResponderSPI)
	if token == nil {
		return
	}
	if !e.replies.take(now) {
		e.drop("too many unprotected answers")
		return
	}
	lost := status(message.NotifyInvalidIKESPI)
	m := message.Message{Header: h, Payloads: []message.Payload{lost,
		&message.Notify{Kind: message.NotifyQuickCrashDetection, Data: token}}}
	m.Flags = message.FlagResponse
	if !h.Initiator() {
		m.Flags |= message.FlagInitiator
	}
	if b, err := m.AppendTo(nil); err == nil {
		e.tellAnswered(m.Header, d, len(b), lost, now)
		e.emit(Send{Path: d.path(), NATT: d.NATT, Data: b})
	}
}

// crashed ends the SA when an unprotected answer to its request brings the peer's
// token.
func (sa *SA) crashed(payloads []message.Payload, now time.Time) bool {
	if sa.token == nil || sa.state == StateClosed {
		return false
	}
	for _, p := range payloads {
		if n, ok := p.(*message.Notify); ok && n.Kind == message.NotifyQuickCrashDetection && hmac.Equal(n.Data, sa.token) {
			sa.log(Info, "%s: %v", sa.name(), errCrashed)
			sa.close(&Failure{Code: FailPeerDead, Notify: message.NotifyInvalidIKESPI, Err: errCrashed}, now)
			return true
		}
	}
	return false
}

// NoteLost tells that an ESP packet came for an SPI that is not here: whoever
// sends it may not know that its SA is gone.
func (e *Endpoint) NoteLost(spi uint32, p Path, now time.Time) []Effect {
	if e.opt.Resolver == nil || !e.replies.take(now) {
		return nil
	}
	m := message.Message{Header: message.Header{Exchange: message.Informational, Flags: message.FlagInitiator},
		Payloads: []message.Payload{&message.Notify{Kind: message.NotifyInvalidSPI, Data: childSPI(spi)}}}
	if b, err := m.AppendTo(nil); err == nil {
		e.emit(Send{Path: p, NATT: true, Data: b})
	}
	return e.take()
}

// askAgain repeats a request that was lost while the peer was away, rather than wait
// for its time: the answer tells as much as that to a liveness check. It does not
// count as a try, so that nobody can make us give up with forged doubts.
func (sa *SA) askAgain(now time.Time) {
	if f := sa.flight; f != nil && !sa.path.TCP && now.Sub(f.last) >= crashDoubt {
		f.last = now
		sa.sendFlight(f, now)
	}
}

// doubt takes an unprotected INVALID_SPI. Anyone can send it: it makes us ask a
// peer that is silent whether it is there, no more.
func (e *Endpoint) doubt(d Datagram, now time.Time) {
	m, err := message.Parse(d.Data)
	if err != nil || len(m.Payloads) != 1 {
		e.drop("malformed or unprotected")
		return
	}
	n, ok := m.Payloads[0].(*message.Notify)
	if !ok || n.Kind != message.NotifyInvalidSPI {
		e.drop("unknown SPI")
		return
	}
	e.drop("unprotected INVALID_SPI")
	spi, ok := parseChildSPI(n.Data)
	if !ok || !e.doubts.take(now) {
		return
	}
	for _, sa := range e.sas {
		if sa.path.Remote == d.Remote && sa.state == StateUp && sa.childByOut(spi) != nil && now.Sub(sa.lastHeard) >= crashDoubt {
			sa.checkLiveness(now)
			sa.askAgain(now)
			e.settle(sa, now)
			return
		}
	}
}
