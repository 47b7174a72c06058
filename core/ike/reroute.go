package ike

import "time"

// Reroute makes an IKE SA of a line that we began go on over another path: a TCP
// connection that took the place of a broken one, or UDP in place of TCP
// (RFC 9329, sections 6.1, 6.2 and 7.1). What is in flight goes out once more,
// or else a sign of life is asked for, so that the peer follows. Child SAs follow
// at once: the peer takes their packets from wherever they come. An IKE SA that
// AsksAgain asks over another TCP connection.
func (sa *SA) Reroute(p Path, now time.Time) []Effect {
	switch {
	case sa.line && (sa.state == StateUp || sa.state == StateRekeyed || sa.state == StateDeleting):
		sa.reroute(p.unmap(), now)
	case sa.AsksAgain() && sa.path.TCP && p.TCP:
		sa.path = p.unmap()
		sa.e.emit(PathChanged{SA: sa, Path: sa.path})
		if sa.hs.resumed != nil {
			sa.sendResume(now)
		} else {
			sa.sendInit(now)
		}
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
		sa.mob.moves++
		sa.e.emit(PathChanged{SA: sa, Path: p})
	}
	f := sa.flight
	if f == nil {
		sa.checkLiveness(now)
		return
	}
	sa.renew(f, f.ladder, now)
	sa.tellSent(sa.header(f.task.exchange(), f.id, false), f.datagrams, nil, 1)
	sa.send(f.datagrams, now)
}

// AsksAgain reports whether the peer of an IKE SA that we began has asked for the
// first request once more, with a cookie or another key exchange, and has not answered
// that. It keeps nothing of what was, and may close the TCP connection with it.
func (sa *SA) AsksAgain() bool {
	return sa.state == StateInitSent && sa.hint == nil && (sa.hs.cookies > 0 || len(sa.hs.groups) > 1)
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
