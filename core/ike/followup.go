package ike

import (
	"bytes"
	"slices"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// A CREATE_CHILD_SA exchange whose proposal has several key exchanges is followed
// by one exchange IKE_FOLLOWUP_KE for each after the first (RFC 9370, section
// 2.2.4). The responder's answers carry a link, which tells the next request
// where it belongs:
//
//	CREATE_CHILD_SA: SA, Ni, KEi, ...    →
//	                                     ←  SA, Nr, KEr, ..., N(ADDITIONAL_KEY_EXCHANGE)(link)
//	IKE_FOLLOWUP_KE: KEi(1), N(...)(link) →
//	                                     ←  KEr(1) [, N(...)(link) when there are more]

// Bounds of what the peer can make us keep.
const (
	followupPatience = 30 * time.Second // for the next request
	linkLen          = 8
	maxLink          = 256
)

// A followTask is our part of one IKE_FOLLOWUP_KE. It stands in for the task whose
// CREATE_CHILD_SA it follows.
type followTask struct {
	base    task
	more    []transform.ID // methods that are still to come
	link    []byte
	ke      transform.KeyExchange
	secret  []byte   // of the exchanges after the first, in their order
	deleted []uint32 // see flight.deleted
	// lost reports, and settles, that another exchange has won over this one.
	lost func(now time.Time) bool
	// done takes secret and deleted when all is exchanged.
	done func(secret []byte, deleted []uint32, now time.Time) *notifyError
}

func (*followTask) kind() kind                     { return kindFollowup }
func (*followTask) exchange() message.ExchangeType { return message.IKEFollowupKE }

func (t *followTask) abandoned(sa *SA, now time.Time) {
	transform.Wipe(t.secret)
	t.base.abandoned(sa, now)
}

// underway returns the task in flight, or the one that it stands in for.
func (sa *SA) underway() task {
	if sa.flight == nil {
		return nil
	}
	if f, ok := sa.flight.task.(*followTask); ok {
		return f.base
	}
	return sa.flight.task
}

// exchangeMore goes on with what done does once the key exchanges after the first
// are through, at once where there are none. in is the answer to base.
func (sa *SA) exchangeMore(t *followTask, suite transform.Suite, in *inbox, now time.Time) *notifyError {
	t.more = suite.AdditionalKEs()
	if len(t.more) == 0 {
		return t.done(nil, t.deleted, now)
	}
	if bad := t.follow(in); bad != nil {
		return bad
	}
	sa.queue = slices.Insert(sa.queue, 0, queued{task: t})
	return nil
}

// follow takes the link of an answer.
func (t *followTask) follow(in *inbox) *notifyError {
	n := in.notify(message.NotifyAdditionalKeyExchange)
	if n == nil || len(n.Data) == 0 || len(n.Data) > maxLink {
		return syntaxError("an answer without what leads on to key exchange method %d", t.more[0])
	}
	t.link = bytes.Clone(n.Data)
	return nil
}

func (t *followTask) request(sa *SA, now time.Time) ([]message.Payload, bool) {
	if t.lost != nil && t.lost(now) {
		transform.Wipe(t.secret)
		return nil, false
	}
	ke, err := transform.NewKeyExchange(t.more[0], sa.e.opt.Rand)
	if err != nil || sa.state != StateUp {
		t.abandoned(sa, now)
		return nil, false
	}
	t.ke = ke
	return []message.Payload{
		&message.KE{Method: ke.ID(), Data: ke.Public()},
		&message.Notify{Kind: message.NotifyAdditionalKeyExchange, Data: t.link},
	}, true
}

// refused gives up the task. A peer that has forgotten where we stood is asked
// anew later.
func (t *followTask) refused(sa *SA, n *message.Notify, now time.Time) {
	transform.Wipe(t.secret)
	if n.Kind == message.NotifyStateNotFound {
		n = &message.Notify{Kind: message.NotifyTemporaryFailure}
	}
	t.base.refused(sa, n, now)
}

// followed takes the peer's answer to one further key exchange.
func (sa *SA) followed(x task, in *inbox, deleted []uint32, now time.Time) *notifyError {
	t := x.(*followTask)
	t.deleted = append(t.deleted, deleted[:min(len(deleted), maxChildren-min(len(t.deleted), maxChildren))]...)
	if sa.state != StateUp && t.base.kind() != kindIKERekey {
		t.abandoned(sa, now)
		return nil
	}
	if in.ke.Method != t.more[0] {
		return syntaxError("key exchange method %d where we sent %d", in.ke.Method, t.more[0])
	}
	shared, err := t.ke.Shared(in.ke.Data)
	if err != nil {
		return syntaxError("key exchange: %w", err)
	}
	t.secret = append(t.secret, shared...)
	transform.Wipe(shared)
	t.more, t.ke = t.more[1:], nil
	if len(t.more) == 0 {
		defer transform.Wipe(t.secret)
		return t.done(t.secret, t.deleted, now)
	}
	if bad := t.follow(in); bad != nil {
		return bad
	}
	sa.queue = slices.Insert(sa.queue, 0, queued{task: t})
	return nil
}

// An unfinished exchange is a CREATE_CHILD_SA that we answered and whose further
// key exchanges are still to come. There is one at most.
type unfinished struct {
	link   []byte
	more   []transform.ID
	secret []byte
	until  time.Time
	child  *child // that it replaces; nil: none
	ike    bool   // it replaces the IKE SA
	lowest []byte // the lower of its nonces
	// finish makes what was asked for.
	finish func(secret []byte, now time.Time) *notifyError
	// drop gives back what was reserved for it.
	drop func()
}

// begin keeps an exchange until its further key exchanges are through, and
// returns the notify that leads to them.
func (sa *SA) begin(suite transform.Suite, u *unfinished, now time.Time) message.Payload {
	sa.dropUnfinished()
	u.more, u.until = suite.AdditionalKEs(), now.Add(followupPatience)
	sa.unfinished = u
	return sa.nextLink()
}

func (sa *SA) nextLink() message.Payload {
	sa.unfinished.link = sa.e.random(linkLen)
	return &message.Notify{Kind: message.NotifyAdditionalKeyExchange, Data: sa.unfinished.link}
}

func (sa *SA) dropUnfinished() {
	if u := sa.unfinished; u != nil {
		sa.unfinished = nil
		transform.Wipe(u.secret)
		u.drop()
	}
}

// answerFollowup answers the peer's next key exchange.
func (sa *SA) answerFollowup(in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	u := sa.unfinished
	link := in.notify(message.NotifyAdditionalKeyExchange)
	if u == nil || !bytes.Equal(link.Data, u.link) {
		return nil, &notifyError{notify: message.NotifyStateNotFound, code: FailPeerRefused}
	}
	if in.ke.Method != u.more[0] {
		return nil, syntaxError("key exchange method %d where %d was agreed on", in.ke.Method, u.more[0])
	}
	public, shared, err := transform.Respond(in.ke.Method, in.ke.Data, sa.e.opt.Rand)
	if err != nil {
		return nil, syntaxError("key exchange: %w", err)
	}
	u.secret = append(u.secret, shared...)
	transform.Wipe(shared)
	u.more, u.until = u.more[1:], now.Add(followupPatience)
	payloads := []message.Payload{&message.KE{Method: in.ke.Method, Data: public}}
	if len(u.more) > 0 {
		return append(payloads, sa.nextLink()), nil
	}
	sa.unfinished = nil
	defer transform.Wipe(u.secret)
	if bad := u.finish(u.secret, now); bad != nil {
		u.drop()
		return nil, bad
	}
	return payloads, nil
}
