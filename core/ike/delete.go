package ike

import (
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// deleteTask deletes a Child SA (RFC 7296, section 1.4.1).
type deleteTask struct {
	child    *child // nil when it has left our tables already
	spi      uint32 // ours
	reserved bool   // spi is ours to give back
}

func (*deleteTask) kind() kind                     { return kindChildDelete }
func (*deleteTask) exchange() message.ExchangeType { return message.Informational }

func (t *deleteTask) request(sa *SA, now time.Time) ([]message.Payload, bool) {
	if sa.state != StateUp || t.child != nil && t.child.sa.e.children[t.spi] != t.child {
		t.abandoned(sa, now)
		return nil, false
	}
	return []message.Payload{&message.Delete{Protocol: transform.ProtoESP, SPIs: []uint32{t.spi}}}, true
}

func (t *deleteTask) refused(sa *SA, _ *message.Notify, now time.Time) {
	sa.childDeleted(t, nil, nil, now)
}

func (t *deleteTask) abandoned(sa *SA, now time.Time) {
	if t.reserved {
		t.reserved = false
		sa.e.freeChildSPI(t.spi)
	}
}

// deleteChild tells the peer that c is over. Until it has answered, its
// packets on c are welcome.
func (sa *SA) deleteChild(c *child, now time.Time) {
	c.deletion = &deleteTask{child: c, spi: c.in}
	c.rekeyAt = time.Time{}
	sa.enqueue(c.deletion, now)
}

// closeChild ends c at once, and tells the peer.
func (sa *SA) closeChild(c *child, err error, now time.Time) {
	if sa.state != StateUp {
		return
	}
	if c.successor != nil {
		sa.activate(c.successor)
	}
	t := c.deletion
	if t == nil {
		t = &deleteTask{spi: c.in}
		sa.enqueue(t, now)
	}
	if err != nil {
		sa.loseChild(c, err, now)
	} else {
		sa.dropChild(c, 0, nil)
	}
	t.child, t.reserved = nil, true
	sa.e.reserved[c.in] = struct{}{}
}

// childDeleted forgets a Child SA that the peer has deleted too.
func (sa *SA) childDeleted(x task, _ *inbox, _ []uint32, now time.Time) *notifyError {
	t := x.(*deleteTask)
	if t.child != nil {
		sa.dropChild(t.child, keepOldChild, nil)
	}
	t.abandoned(sa, now)
	return nil
}

// ikeDeleteTask deletes the IKE SA.
type ikeDeleteTask struct{}

func (ikeDeleteTask) kind() kind                     { return kindIKEDelete }
func (ikeDeleteTask) exchange() message.ExchangeType { return message.Informational }
func (ikeDeleteTask) abandoned(*SA, time.Time)       {}

func (ikeDeleteTask) request(*SA, time.Time) ([]message.Payload, bool) {
	return []message.Payload{&message.Delete{Protocol: transform.ProtoIKE}}, true
}

func (ikeDeleteTask) refused(sa *SA, _ *message.Notify, now time.Time) {
	sa.ikeDeleted(nil, nil, nil, now)
}

// startClose deletes the SA. What it carried ends at once.
func (sa *SA) startClose(reason error, now time.Time) {
	for len(sa.children) > 0 {
		sa.dropChild(sa.children[0], 0, reason)
	}
	sa.dropUnfinished()
	sa.state, sa.reason = StateDeleting, reason
	sa.giveUpAt = now.Add(closePatience)
	sa.abandonQueue(now)
	if t, ok := inFlight[*ikeRekeyTask](sa); ok {
		t.abandoned(sa, now) // with it goes an heir that the peer made
	}
	sa.enqueue(ikeDeleteTask{}, now)
}

// ikeDeleted ends an SA that the peer has deleted too.
func (sa *SA) ikeDeleted(_ task, _ *inbox, _ []uint32, now time.Time) *notifyError {
	sa.close(sa.reason, now)
	return nil
}

// answerInformational takes deletions and notifies. Without any it is a
// liveness check, and the answer is empty as well.
func (sa *SA) answerInformational(in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	sa.noteNotifies(in, now)
	sa.redirectedUp(in)
	var answer []message.Payload
	if sa.mob.on {
		var bad *notifyError
		if answer, bad = sa.answerMobike(in, now); bad != nil {
			return nil, bad
		}
	}
	var deleted []uint32
	for _, d := range in.deletes {
		switch d.Protocol {
		case transform.ProtoIKE:
			sa.deletedByPeer(now)
			return nil, nil
		case transform.ProtoESP:
			for _, spi := range d.SPIs {
				if in, ok := sa.childDeletedByPeer(spi, now); ok {
					deleted = append(deleted, in)
				}
			}
		}
	}
	for _, n := range in.notifies {
		switch n.Kind {
		case message.NotifyAuthenticationFailed, message.NotifyInvalidSyntax, message.NotifyUnsupportedCriticalPayload:
			// The peer, still an initiator to us, does not accept what we
			// answered (RFC 7296, section 2.21.2).
			sa.end = &ending{refusalOf(n, nil)}
			return nil, nil
		}
	}
	if sa.state == StateUp {
		sa.takeTicket(in, now) // one that was announced with TICKET_ACK
		answer = append(answer, sa.ticketFor(in, now)...)
		if in.notify(message.NotifyQuickCrashDetection) != nil {
			answer = append(answer, sa.tokenNotify()...)
		}
	}
	if len(deleted) > 0 {
		answer = append(answer, &message.Delete{Protocol: transform.ProtoESP, SPIs: deleted})
	}
	return answer, nil
}

// childDeletedByPeer ends the Child SA that the peer deletes. It returns our
// SPI for the answer, unless our own Delete for it is on the way or the SPI is
// not known (RFC 7296, sections 1.4.1 and 2.25.1).
func (sa *SA) childDeletedByPeer(out uint32, now time.Time) (uint32, bool) {
	c := sa.childByOut(out)
	if c == nil {
		if sa.creating() && len(sa.flight.deleted) < maxChildren {
			sa.flight.deleted = append(sa.flight.deleted, out)
		}
		return 0, false
	}
	if c.successor != nil {
		sa.activate(c.successor)
		sa.dropChild(c, keepOldChild, nil)
	} else if c.outdone() || c.deletion != nil {
		sa.dropChild(c, keepOldChild, nil) // lost against another rekey
	} else {
		sa.loseChild(c, &Failure{Code: FailPeerClosed}, now)
	}
	return c.in, c.deletion == nil
}

// deletedByPeer ends the SA after the answer. If we are rekeying it, the
// peer's own rekey has come through, and ours is void (RFC 7296, section 2.25.2).
func (sa *SA) deletedByPeer(now time.Time) {
	switch sa.state {
	case StateUp:
		if t, ok := inFlight[*ikeRekeyTask](sa); ok && t.takeOver(sa, now) {
			sa.end = &ending{}
			return
		}
		sa.end = &ending{&Failure{Code: FailPeerClosed}}
	default:
		sa.end = &ending{sa.reason}
	}
}
