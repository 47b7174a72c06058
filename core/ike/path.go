package ike

import (
	"bytes"
	"crypto/subtle"
	"net/netip"
	"slices"
	"time"

	"sallyport/core/ike/message"
)

// An origin is where a message came from: its answer goes there, even when the
// SA's own path is another one (RFC 4555, section 3.8).
type origin struct {
	Path
	NATT bool
}

// sendFlight sends the request in flight: over the path of its task, or the
// SA's; when it is repeated a second time, also over the other paths that Move
// named (RFC 4555, section 3.10).
func (sa *SA) sendFlight(f *flight, now time.Time) {
	own := sa.path
	if t, ok := f.task.(*checkTask); ok {
		if t.path != own && f.sends > 1 && !own.TCP { // it may have come back
			sa.sendOver(origin{own, sa.natt}, f.datagrams, f.rule())
		}
		own = t.path
	}
	sa.lastSent, f.over = now, sa.path
	update, _ := f.task.(*updateTask)
	if update != nil && own != update.path {
		update.scattered = true
	}
	t, sounds := f.task.(*soundTask)
	if sounds {
		t.send(sa, f)
	} else {
		sa.sendOver(origin{own, sa.natt}, f.datagrams, f.rule())
	}
	sa.sendAhead(f, own)
	if f.sends < 2 {
		return
	}
	silent := 2
	if sounds {
		silent = soundTries + 2 // a packet that is too large tells nothing of the path's being there
	}
	if f.sends == silent && sa.state == StateUp && sa.line && sa.mob.on {
		sa.e.emit(PathSilent{SA: sa})
		return
	}
	for _, p := range sa.mob.paths {
		if p != own {
			if update != nil {
				update.scattered = true
			}
			sa.sendOver(origin{p, sa.natt}, f.datagrams, f.rule())
		}
	}
}

// sendAhead sends the request in flight also to where the peer may be now: it may
// hear it nowhere else, and before it has answered it cannot be asked whether it is
// there.
func (sa *SA) sendAhead(f *flight, own Path) {
	for _, q := range sa.queue {
		if t, ok := q.task.(*checkTask); ok && t.path != own {
			sa.sendOver(origin{t.path, sa.natt}, f.datagrams, f.rule())
		}
	}
}

func (sa *SA) sendOver(o origin, datagrams [][]byte, rule SizeRule) {
	for _, b := range datagrams {
		sa.e.emit(Send{SA: sa, Path: o.Path, NATT: o.NATT, Size: rule, Data: b})
	}
}

// rule lets a request that was lost pass where it may have been too large, and
// nobody said so.
func (f *flight) rule() SizeRule {
	if f.sends > 1 {
		return CutAnywhere
	}
	return CutIfRefused
}

// answeredAt moves an SA that we began to the path over which an answer came,
// when it is one that Move named: the others are silent.
func (sa *SA) answeredAt(p Path, now time.Time) {
	if sa.state == StateUp && sa.line && sa.mob.on && slices.Contains(sa.mob.paths, p) {
		sa.moveTo(p, now)
	}
}

// peerMoved follows an authenticated packet of the data path that came from
// elsewhere. Without MOBIKE that is enough (RFC 7296, section 2.23). With it the
// peer says itself where it is; but when a NAT on its way has changed its mind,
// the peer does not know yet. Whoever can copy packets could send them from
// anywhere, so we ask there first.
func (sa *SA) peerMoved(p Path, now time.Time) {
	if !sa.mob.on || p.TCP {
		if at := sa.path.Local; !p.TCP && !sa.path.TCP && at.Addr().Is4() == p.Local.Addr().Is4() {
			p.Local = at // at which of our addresses the peer asks, IKE says
		}
		sa.follow(p, sa.natt || p.TCP)
		return
	}
	if !p.Local.IsValid() || p.Local.Addr().IsUnspecified() {
		p.Local = sa.path.Local
	}
	if !sa.line && sa.state == StateUp && p != sa.path && !sa.bound() {
		sa.checkPath(p, now)
	}
}

// handOverPath tells the heir where sa has moved to since the heir was made, and
// lets it ask or tell again what sa was about to: nobody listens to sa any more.
func (sa *SA) handOverPath(next *SA, now time.Time) {
	if sa.mob.moves > next.mob.moves {
		next.path, next.natt, next.natLocal, next.natRemote = sa.path, sa.natt, sa.natLocal, sa.natRemote
	}
	if next.mob.moves <= sa.mob.moves {
		next.mob = sa.mob.heir()
	}
	if _, ok := inFlight[*updateTask](sa); ok {
		next.oweUpdate(now)
	}
	if t, ok := inFlight[*checkTask](sa); ok && t.path != next.path {
		next.enqueueCheck(t.path, now)
	}
}

// checkPath asks whether the peer is at a path (RFC 4555, section 3.7), unless it
// is about to ask that of another one.
func (sa *SA) checkPath(p Path, now time.Time) {
	if t, ok := inFlight[*checkTask](sa); ok && t.path == p {
		return
	}
	if !slices.ContainsFunc(sa.queue, func(q queued) bool { return q.task.kind() == kindCheck }) {
		sa.enqueueCheck(p, now)
	}
}

// enqueueCheck asks as soon as it can, and no longer for other paths.
func (sa *SA) enqueueCheck(p Path, now time.Time) {
	sa.dropChecks()
	sa.enqueue(&checkTask{path: p, cookie: sa.e.random(16)}, now)
	if f := sa.flight; f != nil && sa.state == StateUp {
		sa.sendAhead(f, sa.path)
	}
}

// dropChecks forgets where the peer was thought to be: it has said itself where it
// is. A check in flight cannot be taken back, and moves nothing any more.
func (sa *SA) dropChecks() {
	sa.queue = slices.DeleteFunc(sa.queue, func(q queued) bool { return q.task.kind() == kindCheck })
	if t, ok := inFlight[*checkTask](sa); ok {
		t.path = sa.path
	}
}

// checkTask is a return routability check: whoever answers it at a path holds
// the keys of the SA and hears what is sent there. The answer must repeat a
// cookie, so that it cannot have been sent without having read the request.
type checkTask struct {
	informing
	path   Path
	cookie []byte
}

func (*checkTask) kind() kind { return kindCheck }

func (t *checkTask) request(sa *SA, _ time.Time) ([]message.Payload, bool) {
	return []message.Payload{&message.Notify{Kind: message.NotifyCookie2, Data: t.cookie}}, sa.state == StateUp
}

// checked moves the SA when the answer came from where it was asked for. One
// from the old path shows that the peer is still there.
func (sa *SA) checked(x task, in *inbox, _ []uint32, _ time.Time) *notifyError {
	t := x.(*checkTask)
	n := in.notify(message.NotifyCookie2)
	if n == nil || subtle.ConstantTimeCompare(n.Data, t.cookie) != 1 { // RFC 4555, section 3.7: close
		return syntaxError("the answer to a return routability check lacks its cookie")
	}
	if sa.from.Remote == t.path.Remote {
		sa.adopt(t.path, sa.natt)
	}
	return nil
}

// noteMapping looks at what the answer to a liveness check says of a NAT on our
// side: when it has given us another address, the peer has to be told (RFC 4555,
// section 3.8).
func (sa *SA) noteMapping(in *inbox, now time.Time) {
	n := in.notify(message.NotifyNATDetectionDestinationIP)
	if n == nil || !sa.mob.on || !sa.line || bytes.Equal(n.Data, sa.mob.seen) {
		return
	}
	known := sa.mob.seen != nil
	sa.noteNAT(in)
	if known || sa.natLocal {
		sa.oweUpdate(now)
	}
}

// addressesTask tells the peer our further addresses after they have changed
// (RFC 4555, section 3.6).
type addressesTask struct{ informing }

func (addressesTask) kind() kind { return kindAddresses }

func (addressesTask) request(sa *SA, _ time.Time) ([]message.Payload, bool) {
	list := addressNotifies(sa.e.addressesBeside(sa.path.Local.Addr()))
	if len(list) == 0 {
		list = []message.Payload{status(message.NotifyNoAdditionalAddresses)}
	}
	return list, sa.state == StateUp
}

func (sa *SA) addressesTold(task, *inbox, []uint32, time.Time) *notifyError { return nil }

// addressNotifies are the notifies that name further addresses.
func addressNotifies(list []netip.Addr) []message.Payload {
	var out []message.Payload
	for _, a := range list {
		kind := message.NotifyAdditionalIP6Address
		if a.Is4() {
			kind = message.NotifyAdditionalIP4Address
		}
		out = append(out, &message.Notify{Kind: kind, Data: a.AsSlice()})
	}
	return out
}

// SetAddresses says at which addresses this machine can be reached. Peers that
// began an IKE SA with us and speak MOBIKE are told.
func (e *Endpoint) SetAddresses(list []netip.Addr, now time.Time) []Effect {
	list = slices.Clone(list)
	slices.SortFunc(list, netip.Addr.Compare)
	if slices.Equal(list, e.addresses) {
		return nil
	}
	e.addresses = list
	for _, sa := range e.SAs() {
		if sa.state == StateUp && sa.mob.on && !sa.line {
			if !slices.ContainsFunc(sa.queue, func(q queued) bool { return q.task.kind() == kindAddresses }) {
				sa.enqueue(addressesTask{}, now)
			}
			e.settle(sa, now)
		}
	}
	return e.take()
}

// addressesBeside returns the addresses at which a peer that came to local may
// reach us as well. Those of private networks are told only to a peer in one.
func (e *Endpoint) addressesBeside(local netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range e.addresses {
		if a != local && (local.IsPrivate() || !a.IsPrivate()) && len(out) < maxPeerAddresses {
			out = append(out, a)
		}
	}
	return out
}
