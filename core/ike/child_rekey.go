package ike

import (
	"bytes"
	"slices"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// rekeyTask replaces a Child SA (RFC 7296, section 1.3.3).
type rekeyTask struct {
	old    *child
	offer  *offer
	groups []transform.ID // key exchange methods tried
	// peer is the outcome of the peer's own rekey of the same Child SA, which
	// we answered while ours was in flight (section 2.8.1).
	peer *agreed
}

// agreed is what came out of an exchange that the peer began.
type agreed struct {
	child  *child // of a Child SA rekey
	sa     *SA    // of an IKE SA rekey
	lowest []byte // the lower of the exchange's nonces
}

// lowest returns the lower of two nonces.
func lowest(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return slices.Clone(a)
	}
	return slices.Clone(b)
}

func (*rekeyTask) kind() kind                     { return kindChildRekey }
func (*rekeyTask) exchange() message.ExchangeType { return message.CreateChildSA }

func (t *rekeyTask) abandoned(sa *SA, now time.Time) {
	t.offer.free(sa)
	t.old.rekey = nil
}

// rekeyChild rekeys c, unless that is under way or c is about to go.
func (sa *SA) rekeyChild(c *child, now time.Time) {
	if sa.state != StateUp || c.rekey != nil || c.successor != nil || c.deletion != nil {
		return
	}
	c.rekey = &rekeyTask{old: c}
	c.rekeyAt = time.Time{}
	sa.enqueue(c.rekey, now)
}

// alive reports whether the Child SA to replace is still in use as it was.
func (t *rekeyTask) alive(sa *SA) bool {
	return slices.Contains(sa.children, t.old) && t.old.deletion == nil
}

func (t *rekeyTask) request(sa *SA, now time.Time) ([]message.Payload, bool) {
	if sa.state != StateUp || !t.alive(sa) || t.old.successor != nil {
		t.old.rekey = nil
		return nil, false
	}
	var group transform.ID
	if len(t.groups) > 0 {
		group = t.groups[len(t.groups)-1]
	} else if g := t.old.suite.KE.ID; g != 0 && slices.Contains(groupsOf(t.old.cfg.Proposals), g) {
		group = g
	}
	o, err := sa.newExchange(t.old.cfg, group)
	if err != nil {
		t.old.rekey = nil
		sa.log(Warn, "%s: rekey of child %q: %v", sa.name(), t.old.cfg.Name, err)
		return nil, false
	}
	if o.ke != nil && !slices.Contains(t.groups, o.ke.ID()) {
		t.groups = append(t.groups, o.ke.ID())
	}
	o.local, o.remote = t.old.local, t.old.remote
	t.offer = o
	rekey := &message.Notify{Protocol: transform.ProtoESP, Kind: message.NotifyRekeySA, SPI: childSPI(t.old.in)}
	payloads := append([]message.Payload{rekey}, o.payloads()...)
	if t.old.grouped {
		payloads = append(payloads, resourceInfo(t.old.resource))
	}
	return append(payloads, status(message.NotifyESPTFCPaddingNotSupported)), true
}

func groupsOf(list []transform.Proposal) []transform.ID {
	var ids []transform.ID
	for _, p := range list {
		ids = append(ids, p.KEs()...)
	}
	return ids
}

// childRekeyed takes the new Child SA into use and deletes the old one. Where
// the peer rekeyed the same one at the same time, of the two new ones goes the
// one whose exchange had the lowest nonce of all, deleted by who asked for it;
// the winner deletes the old one (RFC 7296, section 2.8.1).
func (sa *SA) childRekeyed(x task, in *inbox, deleted []uint32, now time.Time) *notifyError {
	t := x.(*rekeyTask)
	n, shared, bad := sa.accept(t.offer, in)
	if bad != nil {
		t.old.rekey = nil
		sa.log(Warn, "%s: rekey of child %q: %v", sa.name(), t.old.cfg.Name, bad)
		sa.enqueue(&deleteTask{spi: t.offer.take(), reserved: true}, now)
		t.old.rekeyAt = sa.later(now)
		return nil
	}
	return sa.exchangeMore(&followTask{base: t, deleted: deleted,
		lost: func(now time.Time) bool { return sa.childRekeyLost(t, in.nonce, now) },
		done: func(more []byte, deleted []uint32, now time.Time) *notifyError {
			t.old.rekey = nil
			n.in = t.offer.take()
			n.keyIn, n.keyOut = sa.keys.childKeys(n.suite, shared, t.offer.nonce, in.nonce, more, true)
			transform.Wipe(shared)
			sa.succeed(t, n, in.nonce, deleted, now)
			return nil
		}}, n.suite, in, now)
}

// childRekeyLost reports whether the peer's own rekey of the Child SA, as far as it
// may have come, has won over ours, whose further key exchanges then need not be.
func (sa *SA) childRekeyLost(t *rekeyTask, nonce []byte, now time.Time) bool {
	var rival []byte
	if u := sa.unfinished; u != nil && u.child == t.old {
		rival = u.lowest
	}
	if t.peer != nil && slices.Contains(sa.children, t.peer.child) {
		rival = t.peer.lowest
	}
	if rival == nil || bytes.Compare(lowest(t.offer.nonce, nonce), rival) > 0 {
		return false
	}
	t.abandoned(sa, now)
	if t.old.successor == nil {
		t.old.rekeyAt = sa.later(now) // should the peer not come to the end
	}
	return true
}

// succeed puts the new Child SA of our rekey in the place of the old one. nonce is
// the peer's.
func (sa *SA) succeed(t *rekeyTask, n *negotiated, nonce []byte, deleted []uint32, now time.Time) {
	replaces := t.old
	// The resource is that of the old one, whatever the peer says (RFC 9611, section 4).
	n.resource, n.grouped = replaces.resource, replaces.grouped
	if !slices.Contains(sa.children, replaces) {
		replaces = nil
	}
	collision := t.peer != nil && slices.Contains(sa.children, t.peer.child)
	if collision && bytes.Compare(lowest(t.offer.nonce, nonce), t.peer.lowest) < 0 {
		c := sa.install(n, false, replaces, now)
		if replaces != nil {
			replaces.successor = t.peer.child
		}
		sa.deleteChild(c, now)
		sa.catchUp(deleted, now)
		return
	}
	sa.install(n, true, replaces, now)
	sa.catchUp(deleted, now)
	if collision {
		sa.awaitDelete(t.peer.child, now)
	}
	if replaces != nil && replaces.deletion == nil {
		sa.deleteChild(replaces, now)
	}
}

// awaitDelete leaves it to the peer to delete a Child SA that lost against
// another, but not for ever.
func (sa *SA) awaitDelete(c *child, now time.Time) {
	c.rekeyAt = time.Time{}
	c.expireAt = now.Add(rekeyedPatience)
}

func (t *rekeyTask) refused(sa *SA, n *message.Notify, now time.Time) {
	t.offer.free(sa)
	t.old.rekey = nil
	if sa.state != StateUp || !t.alive(sa) || t.old.successor != nil {
		return // the peer's rekey or deletion has settled it
	}
	switch n.Kind {
	case message.NotifyInvalidKEPayload:
		if group, ok := wantedGroup(n, t.old.cfg.Proposals, t.groups); ok {
			t.old.rekey = &rekeyTask{old: t.old, groups: append(t.groups, group)}
			sa.enqueue(t.old.rekey, now)
			return
		}
	case message.NotifyChildSANotFound:
		// The peer has lost it; what was configured is asked for anew
		// (RFC 7296, section 2.25.1).
		again := &createTask{cfg: t.old.cfg, resource: t.old.resource, lost: t.old}
		sa.forgetChild(t.old, RemoveChild{Reopens: true})
		sa.enqueue(again, now)
		return
	}
	sa.log(Info, "%s: rekey of child %q refused with %v; trying again later", sa.name(), t.old.cfg.Name, n.Kind)
	t.old.rekeyAt = sa.later(now)
}

// answerChildRekey answers the peer's rekey of a Child SA.
func (sa *SA) answerChildRekey(in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	rekey := in.notify(message.NotifyRekeySA)
	spi, ok := parseChildSPI(rekey.SPI)
	if !ok || rekey.Protocol != transform.ProtoESP {
		return nil, syntaxError("REKEY_SA of protocol %d with SPI %x", rekey.Protocol, rekey.SPI)
	}
	c := sa.childByOut(spi)
	if c == nil && sa.creating() {
		return nil, temporaryFailure() // perhaps the very one whose creation has not been answered yet
	}
	if c == nil {
		return []message.Payload{&message.Notify{
			Protocol: transform.ProtoESP, Kind: message.NotifyChildSANotFound, SPI: childSPI(spi)}}, nil
	}
	if sa.rekeyingIKE() || c.deletion != nil || c.successor != nil {
		return nil, temporaryFailure()
	}
	sa.noteNotifies(in, now)
	n, bad := sa.choose(in, []*ChildConfig{c.cfg}, false)
	if bad != nil {
		return nil, bad
	}
	n.resource, n.grouped = c.resource, c.grouped
	return sa.complete(n, in, c, func(made *child, lowest []byte) {
		if c.rekey != nil && sa.underway() == task(c.rekey) {
			c.rekey.peer = &agreed{child: made, lowest: lowest}
		}
	}, now)
}
