package ike

import "time"

// Reroute makes an IKE SA of a line that we began go on over another path: a TCP
// connection that took the place of a broken one, or UDP in place of TCP
// (RFC 9329, sections 6.1, 6.2 and 7.1). What is in flight goes out once more,
// or else a sign of life is asked for, so that the peer follows. Child SAs follow
// at once: the peer takes their packets from wherever they come.
func (sa *SA) Reroute(p Path, now time.Time) []Effect {
	if sa.line && (sa.state == StateUp || sa.state == StateRekeyed || sa.state == StateDeleting) {
		sa.reroute(p.unmap(), now)
	}
	sa.e.settle(sa, now)
	return sa.e.take()
}

func (sa *SA) reroute(p Path, now time.Time) {
	sa.mob.paths, sa.mob.stranded = nil, false
	if p != sa.path {
		if sa.mob.on && p.TCP != sa.path.TCP && sa.state == StateUp {
			sa.oweUpdate(now) // RFC 9329, section 7.6
		}
		sa.path, sa.natt = p, true
		sa.e.emit(PathChanged{SA: sa, Path: p})
	}
	f := sa.flight
	if f == nil {
		sa.checkLiveness(now)
		return
	}
	f.sends = 1
	f.deadline = now.Add(sa.cfg.Retransmit.wait(0))
	sa.tellSent(sa.header(f.task.exchange(), f.id, false), f.datagrams, nil, 1)
	sa.send(f.datagrams, now)
}

// Silent reports whether nothing at all has come from the peer of an IKE SA that
// we began: neither an answer to IKE_SA_INIT nor, after that, one to the first
// IKE_AUTH request, nor a hint of a reason.
func (sa *SA) Silent() bool {
	switch {
	case sa.hint != nil || sa.hs == nil:
		return false
	case sa.state == StateInitSent:
		return sa.hs.cookies == 0 && len(sa.hs.groups) <= 1
	case sa.state == StateAuthSent:
		return sa.flight != nil && sa.flight.id == 1
	}
	return false
}

// Asking reports whether a request of ours has no answer yet.
func (sa *SA) Asking() bool { return sa.flight != nil }
