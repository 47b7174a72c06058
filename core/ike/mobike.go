package ike

import (
	"net/netip"
	"slices"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/ts"
)

// Bounds of what MOBIKE lets one peer make us keep or do.
const (
	maxPeerAddresses = 8 // further addresses of a peer
	maxPaths         = 8 // that an SA tries
)

// Hurried ladders replace Config.Retransmit when the network has just changed:
// an answer is due within one round trip, and somebody waits for it.
var (
	hurried = Retransmit{Timeout: 300 * time.Millisecond, Tries: 6} // 23 s
	curt    = Retransmit{Timeout: 300 * time.Millisecond, Tries: 3} // 4 s
)

// mobility is what MOBIKE (RFC 4555) adds to an IKE SA. The end that began the
// line of SAs decides which addresses are used (section 1.3); the other follows
// what an UPDATE_SA_ADDRESSES request says, and nothing else.
type mobility struct {
	on       bool         // both ends speak it
	peer     []netip.Addr // further addresses of the peer (section 3.4)
	paths    []Path       // that Move named, the best first
	stranded bool         // there is none: everything waits for the next Move
	asked    bool         // the caller waits for a sign of the peer
	moves    int          // of the line of SAs
	// seen is how the peer last saw our address: its NAT_DETECTION_DESTINATION_IP.
	seen []byte
	// unsure says that we have moved since that was last confirmed, see updated.
	unsure bool
	rooted bool // the peer's Child SAs stay where they are made
	behind bool // the peer has not followed, see forgotten
}

// heir is what an SA takes over from the one that it replaces. How the peer saw
// us is a hash over its SPIs.
func (m *mobility) heir() mobility {
	h := *m
	h.seen = nil
	return h
}

// waits reports whether the SA has no path, so that nothing but its end is due.
func (sa *SA) waits() bool { return sa.mob.stranded && sa.state == StateUp }

// Mobile reports whether both ends speak MOBIKE, so that the SA can be moved.
func (sa *SA) Mobile() bool { return sa.mob.on }

// PeerAddresses returns the further addresses that the peer says it has.
func (sa *SA) PeerAddresses() []netip.Addr { return slices.Clone(sa.mob.peer) }

// Move lets an established SA that we began go on over the best of paths, and
// try the others while nobody answers there; Moved follows when the peer has
// answered. With no path at all the SA waits, silently, for the next Move. Without
// MOBIKE the peer is told nothing: it may follow the packets, or not.
func (sa *SA) Move(paths []Path, now time.Time) []Effect {
	if sa.state == StateUp && sa.line {
		sa.move(paths, now)
		sa.e.settle(sa, now)
	}
	return sa.e.take()
}

func (sa *SA) move(paths []Path, now time.Time) {
	m := &sa.mob
	was := m.stranded
	m.paths = nil
	for _, p := range paths[:min(len(paths), maxPaths)] {
		m.paths = append(m.paths, p.unmap())
	}
	m.stranded = len(m.paths) == 0
	switch {
	case m.stranded:
	case m.paths[0] == sa.path:
		if was {
			sa.hurry(now)
		}
	default:
		sa.moveTo(m.paths[0], now)
		sa.hurry(now)
	}
}

// Hurry asks the peer of an established SA at once whether it is still there, and
// repeats what is in flight: Moved follows, or Closed with FailPeerDead in a few
// seconds.
func (sa *SA) Hurry(now time.Time) []Effect {
	if sa.state == StateUp && !sa.mob.stranded {
		sa.hurry(now)
		sa.e.settle(sa, now)
	}
	return sa.e.take()
}

func (sa *SA) hurry(now time.Time) {
	sa.mob.asked = true
	if f := sa.flight; f != nil {
		ladder := curt
		if sa.owesUpdate() {
			ladder = hurried
		}
		sa.renew(f, ladder, now)
		sa.sendFlight(f, now)
		return
	}
	if !sa.owesUpdate() {
		sa.enqueue(curtLivenessTask{}, now)
	}
}

// answered tells that the peer has answered since the last Move or Hurry.
func (sa *SA) answered() {
	if sa.mob.asked && (sa.state == StateUp || sa.state == StateRekeyed) && !sa.owesUpdate() {
		sa.mob.asked = false
		sa.e.emit(Moved{SA: sa, Path: sa.path, Behind: sa.mob.behind})
		sa.mob.behind = false
	}
}

// curtLivenessTask is a liveness check that does not wait long.
type curtLivenessTask struct{ livenessTask }

func (curtLivenessTask) ladder() Retransmit { return curt }

// moveTo takes another path, and owes the peer the news. Our own Child SAs move
// at once (RFC 4555, section 3.5): the old addresses are of no use any more.
func (sa *SA) moveTo(p Path, now time.Time) {
	if p == sa.path {
		return
	}
	sa.log(Info, "%s: moving from %v to %v", sa.name(), sa.path, p)
	sa.path = p
	sa.mob.moves++
	sa.e.emit(PathChanged{SA: sa, Path: p})
	if sa.mob.on {
		sa.mob.unsure = true
		sa.oweUpdate(now)
	}
}

// owesUpdate reports whether an UPDATE_SA_ADDRESSES waits or is in flight.
func (sa *SA) owesUpdate() bool {
	if _, ok := inFlight[*updateTask](sa); ok {
		return true
	}
	return slices.ContainsFunc(sa.queue, func(q queued) bool { return q.task.kind() == kindUpdate })
}

// oweUpdate lets an UPDATE_SA_ADDRESSES be the next request. One that is in
// flight finds out itself that it has become old.
func (sa *SA) oweUpdate(now time.Time) {
	if !sa.owesUpdate() {
		sa.queue = slices.Insert(sa.queue, 0, queued{&updateTask{}, now})
	}
}

// updateTask tells the peer our addresses (RFC 4555, section 3.5): those that
// the request comes from. Sent over several paths, it tells one of them, whichever
// the peer heard it over first.
type updateTask struct {
	informing
	path      Path
	scattered bool
}

func (*updateTask) kind() kind         { return kindUpdate }
func (*updateTask) ladder() Retransmit { return hurried }

func (t *updateTask) request(sa *SA, _ time.Time) ([]message.Payload, bool) {
	t.path = sa.path
	return append([]message.Payload{status(message.NotifyUpdateSAAddresses)}, sa.natNotifiesFor(t.path.Remote)...), sa.state == StateUp
}

// updated follows the answer to an UPDATE_SA_ADDRESSES. One that tells of a NAT may
// tell of somebody who sent a copy of the request from elsewhere, sooner than the
// request itself came: nothing in it says where it is from (RFC 4555, section 5.1). The
// answer to another request shows whether the peer still sees us there (section 3.8), at
// once and not after a silence. It is asked for once for each move, lest a NAT that
// changes its mind with each packet be asked for ever.
func (sa *SA) updated(x task, in *inbox, _ []uint32, now time.Time) *notifyError {
	t := x.(*updateTask)
	if n := in.refusal(); n != nil {
		sa.notMoved(t, n, now)
		return nil
	}
	sa.noteNAT(in)
	if t.path != sa.path || t.scattered { // it went on while this was on its way
		sa.oweUpdate(now)
		return nil
	}
	if in.notify(message.NotifyNATDetectionDestinationIP) == nil {
		sa.forgotten()
		return nil
	}
	sa.log(Info, "%s: the peer has followed to %v", sa.name(), sa.path)
	if sa.mob.unsure && sa.natLocal {
		sa.checkLiveness(now)
	}
	sa.mob.unsure = false
	sa.replant(now)
	return nil
}

// forgotten notes that the peer no longer knows that it speaks MOBIKE. It has
// answered without the NAT_DETECTION notifies that it would have to repeat (RFC 4555,
// section 3.8), so that it has taken the request for a sign of life: its Child SAs
// still send to where we were. libreswan (seen with 4.10) forgets when the IKE SA is
// rekeyed.
func (sa *SA) forgotten() {
	sa.log(Warn, "%s: the peer answers from %v, and does not follow: it no longer speaks MOBIKE", sa.name(), sa.path.Remote)
	sa.mob.on, sa.mob.unsure, sa.mob.behind = false, false, true
}

// notMoved tries the next path when the peer does not accept the addresses of
// one (RFC 4555, section 3.5), and gives up when there is none.
func (sa *SA) notMoved(t *updateTask, n *message.Notify, now time.Time) {
	m := &sa.mob
	m.paths = slices.DeleteFunc(m.paths, func(p Path) bool { return p == t.path })
	sa.log(Warn, "%s: the peer answers %v to %v", sa.name(), n.Kind, t.path)
	switch {
	case t.path != sa.path:
		sa.oweUpdate(now)
	case len(m.paths) > 0:
		sa.moveTo(m.paths[0], now)
	default:
		sa.startClose(refusalOf(n, nil), now)
	}
}

// noteNAT takes what the peer's NAT_DETECTION notifies, if there are any, say of
// the path that they came over.
func (sa *SA) noteNAT(in *inbox) {
	n := in.notify(message.NotifyNATDetectionDestinationIP)
	if n == nil {
		return
	}
	spii, spir := sa.spis()
	sa.mob.seen = slices.Clone(n.Data)
	sa.detectNAT(in, spii, spir, Datagram{Local: sa.from.Local, Remote: sa.from.Remote})
}

// spis are the SPIs of the IKE SA, the initiator's first.
func (sa *SA) spis() (spii, spir uint64) {
	if sa.initiator {
		return sa.spiLocal, sa.spiRemote
	}
	return sa.spiRemote, sa.spiLocal
}

// offerMobike is what IKE_AUTH says of MOBIKE beside the Child SA (RFC 4555,
// section 3.1). An initiator's further addresses are nobody's business.
func (sa *SA) offerMobike() []message.Payload {
	if !sa.cfg.MOBIKE {
		return nil
	}
	list := []message.Payload{status(message.NotifyMOBIKESupported)}
	if !sa.initiator {
		list = append(list, addressNotifies(sa.e.addressesBeside(sa.path.Local.Addr()))...)
	}
	return list
}

// agreeMobike notes what the peer's IKE_AUTH message says of MOBIKE.
func (sa *SA) agreeMobike(in *inbox) {
	sa.mob.on = sa.cfg.MOBIKE && in.notify(message.NotifyMOBIKESupported) != nil
	if sa.mob.on {
		sa.readAddresses(in)
	}
}

// readAddresses takes a list of the peer's further addresses, which replaces the
// one before (RFC 4555, section 3.6). A message without one changes nothing.
func (sa *SA) readAddresses(in *inbox) {
	var list []netip.Addr
	found := in.notify(message.NotifyNoAdditionalAddresses) != nil
	for _, n := range in.notifies {
		if n.Kind != message.NotifyAdditionalIP4Address && n.Kind != message.NotifyAdditionalIP6Address {
			continue
		}
		a, ok := netip.AddrFromSlice(n.Data)
		if !ok || a.Is4() != (n.Kind == message.NotifyAdditionalIP4Address) || !a.Unmap().IsGlobalUnicast() {
			continue
		}
		found = true
		if a = a.Unmap(); len(list) < maxPeerAddresses && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	if found {
		sa.mob.peer = list
	}
}

// answerMobike does what an INFORMATIONAL request asks for, and returns what its
// answer holds beside the rest.
func (sa *SA) answerMobike(in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	sa.readAddresses(in)
	var payloads []message.Payload
	if n := in.notify(message.NotifyCookie2); n != nil && len(n.Data) >= 8 && len(n.Data) <= 64 { // section 4.2.5
		payloads = append(payloads, n)
	}
	if in.notify(message.NotifyUpdateSAAddresses) != nil && !sa.line {
		if bad := sa.followUpdate(in, now); bad != nil {
			return nil, bad
		}
	}
	if in.notify(message.NotifyNATDetectionDestinationIP) != nil {
		payloads = append(payloads, sa.natNotifiesFor(sa.from.Remote)...)
	}
	return payloads, nil
}

// followUpdate moves the SA to where the peer's UPDATE_SA_ADDRESSES came from
// (RFC 4555, section 3.5); with Config.CheckPath not before an answer from there
// shows that the peer is there (section 3.7).
func (sa *SA) followUpdate(in *inbox, now time.Time) *notifyError {
	if n := in.notify(message.NotifyNoNATsAllowed); n != nil && !sameAddresses(n.Data, sa.from.Path) {
		return &notifyError{notify: message.NotifyUnexpectedNATDetected, code: FailPeerRefused}
	}
	if !sa.from.Remote.Addr().IsGlobalUnicast() && !sa.from.Remote.Addr().IsLoopback() || sa.bound() {
		return &notifyError{notify: message.NotifyUnacceptableAddresses, code: FailPeerRefused}
	}
	sa.noteNAT(in)
	if sa.cfg.CheckPath && sa.from.Path != sa.path {
		sa.enqueueCheck(sa.from.Path, now)
		return nil
	}
	sa.adopt(sa.from.Path, sa.from.NATT)
	sa.dropChecks()
	return nil
}

// bound reports whether a Child SA protects traffic of the peer's outer address
// itself: it means nothing at another one.
func (sa *SA) bound() bool {
	at := sa.path.Remote.Addr()
	return slices.ContainsFunc(sa.children, func(c *child) bool {
		return slices.ContainsFunc(c.remote, func(s ts.Selector) bool { return s.From == at && s.To == at })
	})
}

// sameAddresses holds the data of NO_NATS_ALLOWED against the addresses that we
// see (RFC 4555, sections 3.9 and 4.2.6).
func sameAddresses(data []byte, p Path) bool {
	want := slices.Concat(p.Remote.Addr().AsSlice(), p.Local.Addr().AsSlice(),
		[]byte{byte(p.Remote.Port() >> 8), byte(p.Remote.Port()), byte(p.Local.Port() >> 8), byte(p.Local.Port())})
	return slices.Equal(data, want)
}

// adopt goes on over another path that the peer has proved to be at.
func (sa *SA) adopt(p Path, natt bool) {
	if p == sa.path && natt == sa.natt {
		return
	}
	sa.log(Info, "%s: the peer has moved from %v to %v", sa.name(), sa.path, p)
	sa.path, sa.natt = p, natt
	sa.mob.moves++
	sa.e.emit(PathChanged{SA: sa, Path: p})
}
