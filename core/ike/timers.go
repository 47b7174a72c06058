package ike

import (
	"slices"
	"time"
)

// handleTimeout does what is due on this SA.
func (sa *SA) handleTimeout(now time.Time) {
	if due(sa.giveUpAt, now) {
		sa.timeUp(now)
		return
	}
	if sa.initResponse != nil && due(sa.initUntil(), now) {
		delete(sa.e.inits, sa.initKey)
		sa.initResponse = nil
	}
	if sa.state == StateUp && sa.elder == nil && due(sa.expireAt, now) {
		sa.startClose(&Failure{Code: FailExpired}, now)
		return
	}
	if sa.unfinished != nil && due(sa.unfinished.until, now) {
		sa.dropUnfinished()
	}
	if sa.waits() {
		return
	}
	sa.retransmit(now)
	if sa.state != StateUp || sa.elder != nil {
		return
	}
	if due(sa.reauthAt, now) {
		sa.reauthAt = time.Time{}
		sa.e.emit(Reauthenticate{SA: sa, By: sa.reauthBy})
	}
	if due(sa.rekeyAt, now) {
		sa.rekeyIKE(now)
	}
	for _, c := range slices.Clone(sa.children) {
		if due(c.expireAt, now) {
			sa.expireChild(c, now)
		} else if due(c.rekeyAt, now) {
			sa.rekeyChild(c, now)
			c.rekeyAt = time.Time{}
		}
	}
	sa.renewTicket(now)
	if due(sa.livenessAt(), now) {
		sa.checkLiveness(now)
	}
	if due(sa.keepaliveAt(), now) {
		sa.lastSent = now
		sa.e.emit(Send{SA: sa, Path: sa.path, NATT: true, Keepalive: true, Data: []byte{0xff}})
	}
}

// expireChild ends a Child SA whose hard lifetime is over.
func (sa *SA) expireChild(c *child, now time.Time) {
	var err error
	if c.successor == nil && c.active {
		err = &Failure{Code: FailExpired}
	}
	c.expireAt = time.Time{}
	sa.closeChild(c, err, now)
}

// timeUp ends an SA whose handshake or deletion took too long.
func (sa *SA) timeUp(now time.Time) {
	if sa.hs != nil && sa.hs.held != nil {
		sa.goOn(now) // with what is known
		return
	}
	switch sa.state {
	case StateInitAnswered:
		sa.e.drop("half-open IKE SA timed out")
		sa.close(&Failure{Code: FailSilent}, now)
	case StateRekeyed, StateDeleting:
		sa.close(sa.reason, now)
	case StateInitSent:
		if sa.fallsBackFrom(sa.hint) {
			sa.fallBack(offersClassical, "refuses what it is offered", now)
			return
		}
		sa.close(sa.silence(), now)
	default:
		sa.close(sa.silence(), now)
	}
}

func due(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

// initUntil is when a repeated IKE_SA_INIT request is no longer recognized.
func (sa *SA) initUntil() time.Time { return sa.created.Add(sa.e.opt.HalfOpenTimeout) }

// maxSilence is after how long a peer is asked for a sign of life that is asked for
// none sooner: one that is gone, and whose Delete was lost, would else keep its SA,
// its addresses and its place for ever (RFC 7296, section 2.4).
const maxSilence = time.Hour

// livenessAt is when the peer has been silent for too long; zero: not while a request
// waits for its answer.
func (sa *SA) livenessAt() time.Time {
	if sa.flight != nil {
		return time.Time{}
	}
	d := sa.cfg.livenessDelay()
	if d <= 0 {
		d = maxSilence
	}
	return sa.lastHeard.Add(d)
}

// keepaliveAt is when a NAT or firewall on the way needs to hear from us. An end
// that was called, and is reachable as it is, sends none, whoever rekeyed since;
// and TCP has its own (RFC 9329, section 6.6).
func (sa *SA) keepaliveAt() time.Time {
	if d := sa.e.opt.Keepalive; d > 0 && sa.natt && !sa.path.TCP && (sa.line || sa.natLocal) {
		return sa.lastSent.Add(d)
	}
	return time.Time{}
}

// schedule finds the SA's next timer.
func (sa *SA) schedule(now time.Time) {
	var next time.Time
	at := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	at(sa.giveUpAt)
	if sa.initResponse != nil {
		at(sa.initUntil())
	}
	if sa.waits() {
		at(sa.expireAt)
		sa.wake = next
		sa.e.reschedule(sa)
		return
	}
	if sa.flight != nil {
		at(sa.flight.deadline)
	} else {
		for _, q := range sa.queue {
			at(q.notBefore)
		}
	}
	if sa.state == StateUp && sa.elder == nil {
		if sa.unfinished != nil {
			at(sa.unfinished.until)
		}
		at(sa.expireAt)
		at(sa.reauthAt)
		at(sa.rekeyAt)
		at(sa.ticketAt)
		at(sa.livenessAt())
		at(sa.keepaliveAt())
		for _, c := range sa.children {
			at(c.rekeyAt)
			at(c.expireAt)
		}
	}
	sa.wake = next
	sa.e.reschedule(sa)
}
