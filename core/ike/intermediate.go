package ike

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// An intermediate is the part of a handshake between IKE_SA_INIT and IKE_AUTH:
// the further key exchanges that both ends agreed on, each in an exchange
// IKE_INTERMEDIATE of its own (RFC 9242, RFC 9370):
//
//	KEi(n)  →
//	        ←  KEr(n)
//
// What is said under the keys of all before is authenticated by the AUTH
// payloads, as IKE_SA_INIT is.
type intermediate struct {
	more []transform.ID // methods of the exchanges that are still to come
	done int
	// ours and theirs are IntAuth of our messages and of the peer's so far.
	ours, theirs []byte
	next         *keys         // of the exchange being answered, for when the answer is sealed
	before       *transform.SK // opens the peer's last request, should it come again
}

var errNoIntermediate = errors.New("the peer chose several key exchanges, and does not have the exchange that they take (RFC 9242)")

// octets returns what an AUTH payload covers, ours or the peer's: id is the
// identity payload that it proves (RFC 7296, section 2.15; RFC 9242, section
// 3.3.2).
func (sa *SA) octets(ours bool, id *message.ID) []byte {
	first, nonce, key := sa.hs.request, sa.hs.nonceR, sa.keys.pLocal
	if ours != sa.initiator {
		first, nonce = sa.hs.response, sa.hs.nonceI
	}
	if !ours {
		key = sa.keys.pPeer
	}
	b := auth.SignedOctets(sa.keys.prf, first, nonce, key, id.AppendTo(nil))
	x := &sa.hs.between
	if x.done == 0 {
		return b
	}
	i, r := x.ours, x.theirs
	if !sa.initiator {
		i, r = r, i
	}
	b = append(append(b, i...), r...)
	return binary.BigEndian.AppendUint32(b, uint32(x.done+1)) // the message ID of the first IKE_AUTH request
}

// coverSent notes what of our message of IKE_INTERMEDIATE AUTH covers.
func (sa *SA) coverSent(h message.Header, payloads []message.Payload) {
	if first, plain, err := message.Chain(payloads); err == nil {
		x := &sa.hs.between
		x.ours = sa.keys.prf.Sum(sa.keys.pLocal, x.ours, message.IntermediateOctets(h, first, plain))
	}
}

// coverReceived notes what of the peer's message, which has just been opened,
// AUTH covers.
func (sa *SA) coverReceived(h message.Header) {
	first, plain := sa.parts.Plain()
	x := &sa.hs.between
	x.theirs = sa.keys.prf.Sum(sa.keys.pPeer, x.theirs, message.IntermediateOctets(h, first, plain))
}

// nextKeys are the keys after one more key exchange (RFC 9370, section 2.2.2).
func (sa *SA) nextKeys(shared []byte) (keys, error) {
	defer transform.Wipe(shared)
	spii, spir := sa.spiLocal, sa.spiRemote
	if !sa.initiator {
		spii, spir = spir, spii
	}
	ni, nr := sa.hs.nonceI, sa.hs.nonceR
	return deriveKeys(sa.keys.suite, sa.keys.rekeySeed(ni, nr, shared, nil), ni, nr, spii, spir, sa.initiator)
}

// afterInit goes on to the next key exchange, or when there is none to IKE_AUTH.
func (sa *SA) afterInit(now time.Time) {
	if x := &sa.hs.between; len(x.more) > 0 {
		sa.enqueue(&intermediateTask{method: x.more[0]}, now)
		return
	}
	sa.enqueue(&authTask{}, now)
}

// An intermediateTask is one further key exchange of the handshake.
type intermediateTask struct {
	method transform.ID
	ke     transform.KeyExchange
}

func (*intermediateTask) kind() kind                     { return kindIntermediate }
func (*intermediateTask) exchange() message.ExchangeType { return message.IKEIntermediate }
func (*intermediateTask) abandoned(*SA, time.Time)       {}

func (t *intermediateTask) request(sa *SA, now time.Time) ([]message.Payload, bool) {
	ke, err := transform.NewKeyExchange(t.method, sa.e.opt.Rand)
	if err != nil {
		sa.close(&Failure{Code: FailInternal, Err: err}, now)
		return nil, false
	}
	t.ke = ke
	return []message.Payload{&message.KE{Method: t.method, Data: ke.Public()}}, true
}

func (*intermediateTask) refused(sa *SA, n *message.Notify, now time.Time) {
	sa.close(refusalOf(n, nil), now)
}

// keysExchanged takes the peer's answer, and with it the next keys.
func (sa *SA) keysExchanged(x task, in *inbox, _ []uint32, now time.Time) *notifyError {
	t := x.(*intermediateTask)
	if in.ke.Method != t.method {
		return syntaxError("key exchange method %d where we sent %d", in.ke.Method, t.method)
	}
	shared, err := t.ke.Shared(in.ke.Data)
	if err != nil {
		return syntaxError("key exchange: %w", err)
	}
	k, err := sa.nextKeys(shared)
	if err != nil {
		return &notifyError{notify: message.NotifyInvalidSyntax, code: FailInternal, err: err}
	}
	sa.hs.between.take(sa, k)
	sa.afterInit(now)
	return nil
}

// take puts new keys in place of those so far.
func (x *intermediate) take(sa *SA, k keys) {
	sa.keys.wipe()
	sa.keys = k
	x.more = x.more[1:]
	x.done++
}

// answerIntermediate answers the peer's next key exchange. The answer travels
// under the keys so far, whatever comes after it under the new ones.
func (sa *SA) answerIntermediate(in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	x := &sa.hs.between
	if in.ke.Method != x.more[0] {
		return nil, syntaxError("key exchange method %d where %d was agreed on", in.ke.Method, x.more[0])
	}
	public, shared, err := transform.Respond(in.ke.Method, in.ke.Data, sa.e.opt.Rand)
	if err != nil {
		return nil, syntaxError("key exchange: %w", err)
	}
	k, err := sa.nextKeys(shared)
	if err != nil {
		return nil, &notifyError{notify: message.NotifyInvalidSyntax, code: FailInternal, err: err}
	}
	x.next = &k
	return []message.Payload{&message.KE{Method: in.ke.Method, Data: public}}, nil
}

// turnKeys puts the keys of the exchange that was just answered in place.
func (sa *SA) turnKeys() {
	if sa.hs == nil || sa.hs.between.next == nil || sa.end != nil {
		return
	}
	x := &sa.hs.between
	k := *x.next
	x.next, x.before = nil, sa.keys.open
	x.take(sa, k)
}

// expected is the exchange that a peer which has not proved itself yet may start.
func (sa *SA) expected() message.ExchangeType {
	if len(sa.hs.between.more) > 0 {
		return message.IKEIntermediate
	}
	return message.IKEAuth
}

// opener opens a request that comes again.
func (sa *SA) opener(x message.ExchangeType) *transform.SK {
	if x == message.IKEIntermediate && sa.hs != nil && sa.hs.between.before != nil {
		return sa.hs.between.before
	}
	return sa.keys.open
}

// additional returns the key exchanges after the first that an answer to
// IKE_SA_INIT holds.
func additional(suite transform.Suite, in *inbox) ([]transform.ID, error) {
	list := suite.AdditionalKEs()
	if len(list) > 0 && in.notify(message.NotifyIntermediateExchangeSupported) == nil {
		return nil, fmt.Errorf("%v: %w", suite, errNoIntermediate)
	}
	return list, nil
}

// offersFor are the proposals of a request that can be agreed on: several key
// exchanges only with a peer that has the exchange that they take.
func offersFor(in *inbox) []transform.Proposal {
	offers := in.sa.Offers()
	if in.notify(message.NotifyIntermediateExchangeSupported) != nil {
		return offers
	}
	var list []transform.Proposal
	for _, p := range offers {
		if !p.HasAdditional() {
			list = append(list, p)
		}
	}
	return list
}
