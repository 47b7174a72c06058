package ike

import (
	"slices"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// createTask asks for a further Child SA (RFC 7296, section 1.3.1).
type createTask struct {
	cfg    *ChildConfig
	offer  *offer
	groups []transform.ID // key exchange methods tried
	tries  int            // ended by TEMPORARY_FAILURE

	resource int    // that it is for, beside the one that there is; 0: for none
	lost     *child // in whose place it is; nil: it is a further one
}

// maxTemporary bounds how often one task gives way to TEMPORARY_FAILURE.
const maxTemporary = 20

func (*createTask) kind() kind                        { return kindChildCreate }
func (*createTask) exchange() message.ExchangeType    { return message.CreateChildSA }
func (t *createTask) abandoned(sa *SA, now time.Time) { t.offer.free(sa) }

func (t *createTask) request(sa *SA, now time.Time) ([]message.Payload, bool) {
	if sa.state != StateUp {
		return nil, false
	}
	if t.lost != nil && sa.regained(t.lost) {
		return nil, false
	}
	first := sa.fallback(t.cfg)
	if t.resource != 0 && first == nil {
		return nil, false
	}
	if t.resource != 0 && sa.hasResource(t.cfg, t.resource) {
		if t.resource = sa.freeResource(t.cfg); t.resource == 0 {
			return nil, false // the peer has opened them all meanwhile
		}
	}
	var group transform.ID
	if len(t.groups) > 0 {
		group = t.groups[len(t.groups)-1]
	}
	o, err := sa.newExchange(t.cfg, group)
	if err != nil {
		t.failed(sa, &Failure{Code: FailInternal, Err: err}, now)
		return nil, false
	}
	if o.ke != nil && group == 0 {
		t.groups = append(t.groups, o.ke.ID())
	}
	t.offer = o
	more := t.cfg.announcement()
	if t.resource != 0 {
		o.local, o.remote = first.local, first.remote
		more = []message.Payload{resourceInfo(t.resource)}
	}
	more = append(more, status(message.NotifyESPTFCPaddingNotSupported))
	return append(o.payloads(), more...), true
}

// childCreated installs the Child SA.
func (sa *SA) childCreated(x task, in *inbox, deleted []uint32, now time.Time) *notifyError {
	t := x.(*createTask)
	sa.noteNotifies(in, now)
	n, shared, bad := sa.accept(t.offer, in)
	if bad != nil {
		// The peer believes in a Child SA that we do not want.
		sa.enqueue(&deleteTask{spi: t.offer.take(), reserved: true}, now)
		t.failed(sa, bad.failure(), now)
		return nil
	}
	return sa.exchangeMore(&followTask{base: t, deleted: deleted, done: func(more []byte, deleted []uint32, now time.Time) *notifyError {
		n.in = t.offer.take()
		n.keyIn, n.keyOut = sa.keys.childKeys(n.suite, shared, t.offer.nonce, in.nonce, more, true)
		transform.Wipe(shared)
		switch {
		case t.resource != 0:
			sa.resourceCreated(t, n, now)
			sa.catchUp(deleted, now)
			return nil
		case t.lost != nil:
			sa.reopened(n, now)
		default:
			sa.install(n, true, nil, now)
			if sa.wanted > 0 {
				sa.wanted--
			}
		}
		sa.catchUp(deleted, now)
		sa.openResources(now)
		return nil
	}}, n.suite, in, now)
}

// failed tells that the Child SA cannot be had. That of a resource is no loss.
func (t *createTask) failed(sa *SA, f *Failure, now time.Time) {
	if t.resource != 0 {
		sa.stopOpening(t.cfg, f.Error())
		return
	}
	if t.lost != nil {
		sa.e.emit(ChildFailed{SA: sa, Name: t.cfg.Name, Err: f, Lost: true})
		return
	}
	sa.childFailed(t.cfg.Name, f, now)
}

// creating reports whether our request for a Child SA is in flight. The peer
// may have answered already and use what it made, before we hear of it.
func (sa *SA) creating() bool {
	switch sa.underway().(type) {
	case *createTask, *rekeyTask:
		return true
	}
	return false
}

// catchUp ends the Child SAs that the peer deleted before we heard that it had
// made them.
func (sa *SA) catchUp(deleted []uint32, now time.Time) {
	for _, out := range deleted {
		sa.childDeletedByPeer(out, now)
	}
}

func (t *createTask) refused(sa *SA, n *message.Notify, now time.Time) {
	t.offer.free(sa)
	if sa.state != StateUp {
		return
	}
	if n.Kind == message.NotifyInvalidKEPayload {
		if group, ok := wantedGroup(n, t.cfg.Proposals, t.groups); ok {
			t.groups = append(t.groups, group)
			sa.enqueue(t, now)
			return
		}
	}
	if n.Kind == message.NotifyTemporaryFailure && t.tries < maxTemporary {
		t.tries++
		sa.enqueue(t, sa.later(now))
		return
	}
	t.failed(sa, refusalOf(n, nil), now)
}

// answerChildCreate answers a request for a new Child SA.
func (sa *SA) answerChildCreate(in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	if sa.rekeyingIKE() {
		return nil, temporaryFailure()
	}
	sa.noteNotifies(in, now)
	n, bad := sa.choose(in, childConfigs(sa.cfg), false)
	if bad == nil {
		bad = sa.assignResource(n, in)
	}
	if bad != nil {
		return nil, bad
	}
	return sa.complete(n, in, nil, func(*child, []byte) {}, now)
}

// complete installs what the peer asked for, at once or after the key exchanges
// that follow, tells made of the new Child SA and of the lowest nonce, and returns
// our answer. As the responder we send on it at once when it is new; when it
// replaces another, or another carries the same traffic, only once the peer has
// shown that it has it (RFC 7296, section 2.8).
func (sa *SA) complete(n *negotiated, in *inbox, replaces *child, made func(*child, []byte), now time.Time) ([]message.Payload, *notifyError) {
	nonce := sa.e.random(nonceLen)
	var public, shared []byte
	if n.suite.KE.ID != transform.KENone {
		var err error
		if public, shared, err = transform.Respond(n.suite.KE.ID, in.ke.Data, sa.e.opt.Rand); err != nil {
			return nil, syntaxError("key exchange: %w", err)
		}
	}
	n.in = sa.e.newChildSPI()
	finish := func(more []byte, now time.Time) {
		n.keyIn, n.keyOut = sa.keys.childKeys(n.suite, shared, in.nonce, nonce, more, false)
		transform.Wipe(shared)
		made(sa.install(n, replaces == nil && n.resource == 0, replaces, now), lowest(in.nonce, nonce))
	}
	answer := n.answer(nonce, public)
	if len(n.suite.AdditionalKEs()) == 0 {
		finish(nil, now)
		return answer, nil
	}
	return append(answer, sa.begin(n.suite, &unfinished{
		child: replaces, lowest: lowest(in.nonce, nonce),
		drop: func() {
			transform.Wipe(shared)
			sa.e.freeChildSPI(n.in)
		},
		finish: func(more []byte, now time.Time) *notifyError {
			gone := replaces != nil && (!slices.Contains(sa.children, replaces) || replaces.deletion != nil || replaces.successor != nil)
			taken := replaces == nil && n.resource != 0 && sa.hasResource(n.cfg, n.resource)
			if gone || taken || sa.rekeyingIKE() || len(sa.children) >= maxChildren {
				return temporaryFailure()
			}
			finish(more, now)
			return nil
		},
	}, now)), nil
}

func childConfigs(cfg *Config) []*ChildConfig {
	list := make([]*ChildConfig, len(cfg.Children))
	for i := range cfg.Children {
		list[i] = &cfg.Children[i]
	}
	return list
}

func temporaryFailure() *notifyError {
	return &notifyError{notify: message.NotifyTemporaryFailure, code: FailPeerRefused}
}

// refuseForNow refuses whatever the peer asks for.
func (sa *SA) refuseForNow(*inbox, time.Time) ([]message.Payload, *notifyError) {
	return nil, temporaryFailure()
}
