package ike

import (
	"time"

	"sallyport/core/ike/message"
)

// informing is what tasks have in common whose INFORMATIONAL request leaves nothing
// to undo, whether it is refused or given up.
type informing struct{}

func (informing) exchange() message.ExchangeType          { return message.Informational }
func (informing) refused(*SA, *message.Notify, time.Time) {}
func (informing) abandoned(*SA, time.Time)                {}

// livenessTask asks whether the peer is there: an empty INFORMATIONAL
// (RFC 7296, section 2.4). Whoever does not answer it is dead.
type livenessTask struct{ informing }

func (livenessTask) kind() kind { return kindLiveness }

// request asks, with MOBIKE, also how the peer sees us (RFC 4555, section 3.8).
func (livenessTask) request(sa *SA, _ time.Time) ([]message.Payload, bool) {
	if sa.mob.on && sa.line {
		return sa.natNotifiesFor(sa.path.Remote), sa.state == StateUp
	}
	return nil, sa.state == StateUp
}

// checkLiveness starts a liveness check, unless a request is on its way: the
// answer to that shows the same.
func (sa *SA) checkLiveness(now time.Time) {
	if sa.state != StateUp || sa.flight != nil {
		return
	}
	for _, q := range sa.queue {
		if q.task.kind() == kindLiveness {
			return
		}
	}
	sa.enqueue(livenessTask{}, now)
}

// alive takes what may come along with a sign of life: how the peer sees us, and a
// token.
func (sa *SA) alive(_ task, in *inbox, _ []uint32, now time.Time) *notifyError {
	sa.takeToken(in)
	sa.noteMapping(in, now)
	return nil
}
