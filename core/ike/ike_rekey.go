package ike

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// ikeRekeyTask replaces the IKE SA (RFC 7296, section 1.3.2).
type ikeRekeyTask struct {
	spi    uint64
	nonce  []byte
	ke     transform.KeyExchange
	groups []transform.ID // key exchange methods tried
	// peer is the outcome of the peer's own rekey, which we answered while
	// ours was in flight (section 2.8.2).
	peer *agreed
}

func (*ikeRekeyTask) kind() kind                     { return kindIKERekey }
func (*ikeRekeyTask) exchange() message.ExchangeType { return message.CreateChildSA }

func (t *ikeRekeyTask) abandoned(sa *SA, now time.Time) {
	if t.peer != nil && t.peer.sa.state == StateUp {
		t.peer.sa.startClose(nil, now)
		sa.e.touch(t.peer.sa)
	}
}

// expireSoon leaves it to the peer to delete an IKE SA that lost against
// another, but not for ever.
func (sa *SA) expireSoon(now time.Time) {
	sa.abandonQueue(now)
	sa.state = StateRekeyed
	sa.giveUpAt = now.Add(rekeyedPatience)
	sa.e.touch(sa)
}

// rekeyIKE replaces the SA, unless that is under way.
func (sa *SA) rekeyIKE(now time.Time) {
	if sa.state != StateUp || sa.elder != nil || sa.rekeyingIKE() {
		return
	}
	for _, q := range sa.queue {
		if q.task.kind() == kindIKERekey {
			return
		}
	}
	sa.rekeyAt = time.Time{}
	sa.enqueue(&ikeRekeyTask{}, now)
}

// rekeyingIKE reports whether our request to rekey the IKE SA is in flight.
func (sa *SA) rekeyingIKE() bool {
	_, ok := inFlight[*ikeRekeyTask](sa)
	return ok
}

func (t *ikeRekeyTask) request(sa *SA, now time.Time) ([]message.Payload, bool) {
	if sa.state != StateUp {
		return nil, false
	}
	if len(t.groups) == 0 {
		t.groups = []transform.ID{sa.likelyGroup(sa.rekeyProposals())}
	}
	ke, err := transform.NewKeyExchange(t.groups[len(t.groups)-1], sa.e.opt.Rand)
	if err != nil {
		sa.log(Warn, "%s: rekey: %v", sa.name(), err)
		return nil, false
	}
	t.ke, t.nonce, t.spi = ke, sa.e.random(nonceLen), sa.e.newSPI()
	sa.e.coming.add(t.spi, now)
	return []message.Payload{
		message.NewSA(numbered(sa.rekeyProposals(), ikeSPI(t.spi))...),
		&message.Nonce{Data: t.nonce},
		&message.KE{Method: ke.ID(), Data: ke.Public()},
	}, true
}

// rekeyProposals are the configured proposals with the PRF that the SA has,
// as far as the peer understands them.
// RFC 7296, section 2.18, derives the heir's keys from SKEYSEED with the new
// PRF; strongSwan (seen with 5.9.8) does it with the old one. As long as the
// PRF stays the same, both mean the same.
func (sa *SA) rekeyProposals() []transform.Proposal {
	var list []transform.Proposal
	for _, p := range sa.cfg.Proposals {
		kept := slices.DeleteFunc(slices.Clone(p.Transforms), func(t transform.Transform) bool {
			return t.Type == transform.TypePRF && t != sa.keys.suite.PRF
		})
		p.Transforms = kept
		if slices.Contains(kept, sa.keys.suite.PRF) {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		list = sa.cfg.Proposals
	}
	return sa.known(list)
}

func ikeSPI(spi uint64) []byte { return binary.BigEndian.AppendUint64(nil, spi) }

func parseIKESPI(b []byte) (uint64, bool) {
	if len(b) != 8 {
		return 0, false
	}
	spi := binary.BigEndian.Uint64(b)
	return spi, spi != 0
}

// ikeRekeyed hands over to the new SA. Where the peer rekeyed at the same
// time, of the two new SAs goes the one whose exchange had the lowest nonce of
// all, deleted by who asked for it; the winner deletes the old one.
func (sa *SA) ikeRekeyed(x task, in *inbox, deleted []uint32, now time.Time) *notifyError {
	t := x.(*ikeRekeyTask)
	offers := in.sa.Offers()
	if len(offers) != 1 {
		return syntaxError("%d proposals in the answer", len(offers))
	}
	suite, err := transform.Check(numbered(sa.rekeyProposals(), nil), offers[0])
	if err != nil {
		return syntaxError("answer: %w", err)
	}
	spi, ok := parseIKESPI(offers[0].SPI)
	if !ok || suite.KE.ID != t.ke.ID() || in.ke.Method != t.ke.ID() {
		return syntaxError("SPI %x, key exchange method %d in the answer", offers[0].SPI, in.ke.Method)
	}
	shared, err := t.ke.Shared(in.ke.Data)
	if err != nil {
		return syntaxError("answer: %w", err)
	}
	return sa.exchangeMore(&followTask{base: t, deleted: deleted,
		lost: func(now time.Time) bool { return sa.ikeRekeyLost(t, in.nonce, now) },
		done: func(more []byte, _ []uint32, now time.Time) *notifyError {
			return sa.bequeath(t, suite, shared, more, in.nonce, spi, now)
		}}, suite, in, now)
}

// ikeRekeyLost reports whether the peer's own rekey, as far as it may have come,
// has won over ours, whose further key exchanges then need not be.
func (sa *SA) ikeRekeyLost(t *ikeRekeyTask, nonce []byte, now time.Time) bool {
	var rival []byte
	if u := sa.unfinished; u != nil && u.ike {
		rival = u.lowest
	}
	if t.peer != nil && t.peer.sa.state == StateUp {
		rival = t.peer.lowest
	}
	if rival == nil || bytes.Compare(lowest(t.nonce, nonce), rival) > 0 {
		return false
	}
	if !t.takeOver(sa, now) {
		sa.rekeyAt = sa.later(now) // should the peer not come to the end
	}
	return true
}

// bequeath makes the heir that our rekey agreed on, and hands over to it, or to the
// one that the peer's rekey made. nonce and spi are the peer's.
func (sa *SA) bequeath(t *ikeRekeyTask, suite transform.Suite, shared, more, nonce []byte, spi uint64, now time.Time) *notifyError {
	next, err := sa.heir(suite, shared, more, t.nonce, nonce, t.spi, spi, true, now)
	if err != nil {
		return &notifyError{notify: message.NotifyInvalidSyntax, code: FailInternal, err: err}
	}
	if sa.state != StateUp { // it is too late for this one
		next.startClose(sa.reason, now)
		t.abandoned(sa, now)
		return nil
	}
	peer := t.peer
	if peer != nil && peer.sa.state != StateUp {
		peer = nil // the peer has deleted it already
	}
	if peer != nil && bytes.Compare(lowest(t.nonce, nonce), peer.lowest) < 0 {
		next.startClose(nil, now)
		sa.e.touch(next)
		sa.handOver(peer.sa, now)
		return nil
	}
	if peer != nil {
		peer.sa.expireSoon(now)
	}
	sa.handOver(next, now)
	sa.enqueue(ikeDeleteTask{}, now)
	return nil
}

func (t *ikeRekeyTask) refused(sa *SA, n *message.Notify, now time.Time) {
	if sa.state != StateUp {
		t.abandoned(sa, now)
		return
	}
	if t.takeOver(sa, now) {
		return
	}
	if n.Kind == message.NotifyInvalidKEPayload {
		if group, ok := wantedGroup(n, sa.rekeyProposals(), t.groups); ok {
			sa.enqueue(&ikeRekeyTask{groups: append(t.groups, group)}, now)
			return
		}
	}
	sa.log(Info, "%s: rekey refused with %v; trying again later", sa.name(), n.Kind)
	sa.rekeyAt = sa.later(now)
}

// takeOver lets the SA that the peer's rekey made be the heir, when there is one.
func (t *ikeRekeyTask) takeOver(sa *SA, now time.Time) bool {
	if t.peer == nil || t.peer.sa.state != StateUp {
		return false
	}
	next := t.peer.sa
	t.peer = nil
	sa.handOver(next, now)
	return true
}

// claim lets an SA that the peer made, and that waits for the outcome of our
// own rekey of its elder, take over at once: the peer uses it, and so has seen
// no rekey of ours or one that lost.
func (sa *SA) claim(in *inbox, now time.Time) {
	elder := sa.elder
	if elder == nil || elder.state != StateUp {
		return
	}
	for _, d := range in.deletes {
		if d.Protocol == transform.ProtoIKE {
			return
		}
	}
	if t, ok := inFlight[*ikeRekeyTask](elder); ok && t.peer != nil && t.peer.sa == sa {
		t.takeOver(elder, now)
		sa.e.touch(elder)
	}
}

// heir makes the SA that is to follow sa. It takes over nothing yet.
func (sa *SA) heir(suite transform.Suite, shared, more, ni, nr []byte, local, remote uint64, initiator bool, now time.Time) (*SA, error) {
	defer transform.Wipe(shared)
	spii, spir := local, remote
	if !initiator {
		spii, spir = remote, local
	}
	k, err := deriveKeys(suite, sa.keys.rekeySeed(ni, nr, shared, more), ni, nr, spii, spir, initiator)
	if err != nil {
		return nil, err
	}
	next := &SA{
		e: sa.e, cfg: sa.cfg, initiator: initiator, state: StateUp,
		spiLocal: local, spiRemote: remote, path: sa.path, natt: sa.natt,
		natLocal: sa.natLocal, natRemote: sa.natRemote,
		keys: k, frag: sa.frag, hashes: sa.hashes, noTFC: sa.noTFC, mob: sa.mob.heir(), sound: sa.sound,
		localID: sa.localID, peerID: sa.peerID, localAuth: sa.localAuth, peerAuth: sa.peerAuth,
		guestUser: sa.guestUser, guestGroups: sa.guestGroups, resumed: sa.resumed,
		created: now, up: now, lastHeard: now, lastSent: now,
		quantum: sa.heirQuantum(), rekeys: sa.rekeys + 1, line: sa.line, heapIndex: -1,
	}
	if d := sa.cfg.rekeyTime(); d > 0 {
		next.rekeyAt = now.Add(d - sa.e.jitter(d/10))
	}
	if d := sa.cfg.hardLifetime(); d > 0 {
		next.expireAt = now.Add(d)
	}
	delete(sa.e.coming, local)
	sa.e.add(next)
	sa.e.known.enter(next)
	sa.e.touch(next)
	return next, nil
}

// handOver gives everything that outlives sa to its heir. sa stays to be deleted.
func (sa *SA) handOver(next *SA, now time.Time) {
	next.children, sa.children = append(next.children, sa.children...), nil
	for _, c := range next.children {
		c.sa = next
	}
	next.inner, next.lease, sa.lease = sa.inner, sa.lease, nil
	if !sa.ticketAt.IsZero() {
		next.ticketAt = now // with the keys that count now
	}
	next.wanted, next.reopenings, next.fading = sa.wanted, sa.reopenings, sa.fading
	next.reauthAt, next.reauthBy = sa.reauthAt, sa.reauthBy
	if !sa.line && !sa.reauthBy.IsZero() && (next.expireAt.IsZero() || sa.reauthBy.Before(next.expireAt)) {
		next.expireAt = sa.reauthBy // the authentication ends when it ends, rekeyed or not
	}
	next.announced, next.elder = true, nil
	if sa.token != nil && next.initiator {
		next.enqueue(tokenTask{}, now)
	}
	for _, q := range sa.queue {
		if q.task.kind() != kindIKERekey {
			next.queue = append(next.queue, q)
		}
	}
	sa.queue = nil
	sa.handOverPath(next, now)
	sa.dropUnfinished()
	sa.state = StateRekeyed
	sa.giveUpAt = now.Add(rekeyedPatience)
	sa.e.emit(Replaced{Old: sa, New: next})
	sa.log(Info, "%s: rekeyed as %016x, %v", sa.name(), next.spiLocal, next.keys.suite)
	sa.e.touch(next)
}

// answerIKERekey answers the peer's rekey of the IKE SA.
func (sa *SA) answerIKERekey(in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	var ours *ikeRekeyTask
	switch t := sa.underway().(type) {
	case *ikeRekeyTask:
		ours = t
	case *createTask, *rekeyTask, *deleteTask:
		return nil, temporaryFailure() // RFC 7296, section 2.25.2
	}
	if ours != nil && ours.peer != nil {
		return nil, temporaryFailure()
	}
	suite, proposal, err := transform.SelectKE(sa.rekeyProposals(), in.sa.Offers(), in.ke.Method)
	if err != nil {
		suite, proposal, err = transform.SelectKE(sa.cfg.Proposals, in.sa.Offers(), in.ke.Method)
	}
	if err != nil {
		return nil, &notifyError{notify: message.NotifyNoProposalChosen, code: FailNoProposal, err: err}
	}
	if suite.KE.ID != in.ke.Method {
		return nil, &notifyError{notify: message.NotifyInvalidKEPayload, code: FailNoProposal,
			data: binary.BigEndian.AppendUint16(nil, uint16(suite.KE.ID))}
	}
	remote, ok := parseIKESPI(proposal.SPI)
	if !ok {
		return nil, syntaxError("SPI %x in the offer", proposal.SPI)
	}
	public, shared, err := transform.Respond(suite.KE.ID, in.ke.Data, sa.e.opt.Rand)
	if err != nil {
		return nil, syntaxError("key exchange: %w", err)
	}
	nonce, local := sa.e.random(nonceLen), sa.e.newSPI()
	finish := func(more []byte, now time.Time) *notifyError {
		ours, _ := inFlight[*ikeRekeyTask](sa)
		next, err := sa.heir(suite, shared, more, in.nonce, nonce, local, remote, false, now)
		if err != nil {
			return &notifyError{notify: message.NotifyNoProposalChosen, code: FailInternal, err: err}
		}
		if ours != nil {
			ours.peer = &agreed{sa: next, lowest: lowest(in.nonce, nonce)}
			next.elder = sa
		} else {
			sa.handOver(next, now)
		}
		return nil
	}
	proposal.SPI = ikeSPI(local)
	answer := []message.Payload{
		message.NewSA(proposal),
		&message.Nonce{Data: nonce},
		&message.KE{Method: suite.KE.ID, Data: public},
	}
	if len(suite.AdditionalKEs()) == 0 {
		return answer, finish(nil, now)
	}
	return append(answer, sa.begin(suite, &unfinished{
		ike: true, lowest: lowest(in.nonce, nonce), drop: func() { transform.Wipe(shared) },
		finish: func(more []byte, now time.Time) *notifyError {
			switch t := sa.underway().(type) {
			case *createTask, *rekeyTask, *deleteTask:
				return temporaryFailure()
			case *ikeRekeyTask:
				if t.peer != nil {
					return temporaryFailure()
				}
			}
			return finish(more, now)
		},
	}, now)), nil
}
