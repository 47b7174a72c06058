package ike

import (
	"time"

	"sallyport/core/ike/message"
)

// A requestMove says what an SA does with a request of the peer.
type requestMove struct {
	from     states
	exchange message.ExchangeType
	need     set                // payloads that must be there
	without  set                // and must not; whatever else comes is passed over
	notify   message.NotifyType // a notify that must be there; 0: none
	resumed  bool               // of an IKE SA that a ticket is to resume, which knows no other moves before it is up
	// run returns the payloads of the response. A *notifyError becomes the
	// response's only payload. The SA closes after the response when run sets
	// sa.end.
	run   func(sa *SA, in *inbox, now time.Time) ([]message.Payload, *notifyError)
	story string
}

// requests are the legal requests. The first that fits is taken. One that fits
// none is answered with INVALID_SYNTAX, which ends the SA (RFC 7296, section 2.21.3).
var requests = []requestMove{
	{from: in(StateInitAnswered), exchange: message.IKEIntermediate, need: hasKE,
		run: (*SA).answerIntermediate, story: "exchange further keys"},
	{from: in(StateInitAnswered), exchange: message.IKEAuth, resumed: true,
		need: hasIDi | hasAuth | hasSA | hasTSi | hasTSr,
		run:  (*SA).answerResumed, story: "authenticate the peer by its ticket, and ourselves"},
	{from: in(StateInitAnswered), exchange: message.IKEAuth,
		need: hasIDi | hasAuth,
		run:  (*SA).answerAuth, story: "authenticate the peer, and ourselves"},
	{from: in(StateInitAnswered), exchange: message.IKEAuth,
		need: hasIDi, without: hasAuth | hasEAP,
		run: (*SA).askEAP, story: "prove ourselves, or have done so, and ask the peer with EAP"},
	{from: in(StateInitAnswered), exchange: message.IKEAuth, need: hasEAP, without: hasAuth | hasSA,
		run: (*SA).answerEAP, story: "hear the peer's proof in EAP"},
	{from: in(StateInitAnswered), exchange: message.IKEAuth, need: hasAuth, without: hasIDi | hasSA | hasEAP,
		run: (*SA).admitEAP, story: "let the peer in that proved itself in EAP"},

	{from: in(StateUp), exchange: message.CreateChildSA,
		need: hasSA | hasNonce | hasTSi | hasTSr, notify: message.NotifyRekeySA,
		run: (*SA).answerChildRekey, story: "rekey a Child SA"},
	{from: in(StateUp), exchange: message.CreateChildSA,
		need: hasSA | hasNonce | hasTSi | hasTSr,
		run:  (*SA).answerChildCreate, story: "create a Child SA"},
	{from: in(StateUp), exchange: message.CreateChildSA,
		need: hasSA | hasNonce | hasKE, without: hasTSi | hasTSr,
		run: (*SA).answerIKERekey, story: "rekey the IKE SA"},
	{from: in(StateRekeyed, StateDeleting), exchange: message.CreateChildSA,
		run: (*SA).refuseForNow, story: "create nothing on an SA that is about to go"},

	{from: in(StateUp), exchange: message.IKEFollowupKE, need: hasKE, notify: message.NotifyAdditionalKeyExchange,
		run: (*SA).answerFollowup, story: "go on with the key exchanges of a CREATE_CHILD_SA"},
	{from: in(StateRekeyed, StateDeleting), exchange: message.IKEFollowupKE,
		run: (*SA).refuseForNow, story: "create nothing on an SA that is about to go"},

	{from: in(StateUp, StateRekeyed, StateDeleting), exchange: message.Informational,
		run: (*SA).answerInformational, story: "delete SAs, note what the peer says, show that we are alive"},
}

// A kind names what a task is for.
type kind uint8

const (
	kindInit kind = iota + 1
	kindIntermediate
	kindAuth
	kindUser
	kindEAP
	kindProof
	kindChildCreate
	kindChildRekey
	kindIKERekey
	kindFollowup
	kindChildDelete
	kindIKEDelete
	kindLiveness
	kindResume
	kindTicket
	kindUpdate
	kindCheck
	kindAddresses
	kindSounding
)

// A responseMove says what an SA does with the response to a request of ours.
type responseMove struct {
	from states
	task kind
	need set
	// run may end the SA. A *notifyError means that the peer broke the
	// protocol; it is told so, and the SA ends. deleted is the flight's.
	run   func(sa *SA, t task, in *inbox, deleted []uint32, now time.Time) *notifyError
	story string
}

// responses are the legal responses. A response without the payloads needed
// but with an error notify goes to the task's refused method; any other that
// fits none is a protocol error. In states that are not listed the response
// only ends the exchange.
var responses = []responseMove{
	{from: in(StateAuthSent), task: kindIntermediate, need: hasKE,
		run: (*SA).keysExchanged, story: "take further keys"},
	{from: in(StateAuthSent), task: kindAuth, need: hasIDr | hasEAP,
		run: (*SA).authChallenged, story: "authenticate the peer, and begin EAP"},
	{from: in(StateAuthSent), task: kindAuth, need: hasIDr | hasAuth,
		run: (*SA).authAnswered, story: "authenticate the peer"},
	{from: in(StateAuthSent), task: kindResume, need: hasIDr | hasAuth,
		run: (*SA).authResumed, story: "see that the peer is the one that issued the ticket"},
	{from: in(StateAuthSent), task: kindUser, need: hasEAP,
		run: (*SA).eapAnswered, story: "begin EAP after our certificate"},
	{from: in(StateAuthSent), task: kindEAP, need: hasEAP,
		run: (*SA).eapAnswered, story: "go on with EAP"},
	{from: in(StateAuthSent), task: kindProof, need: hasAuth,
		run: (*SA).proofAnswered, story: "check that the peer is the one that EAP spoke with"},
	{from: in(StateUp), task: kindChildCreate, need: hasSA | hasNonce | hasTSi | hasTSr,
		run: (*SA).childCreated, story: "install the Child SA"},
	{from: in(StateUp), task: kindChildRekey, need: hasSA | hasNonce | hasTSi | hasTSr,
		run: (*SA).childRekeyed, story: "install the Child SA, and delete the one it replaces"},
	{from: in(StateUp, StateRekeyed, StateDeleting), task: kindIKERekey, need: hasSA | hasNonce | hasKE,
		run: (*SA).ikeRekeyed, story: "hand over to the new IKE SA, and delete this one"},
	{from: in(StateUp, StateRekeyed, StateDeleting), task: kindFollowup, need: hasKE,
		run: (*SA).followed, story: "go on with the key exchanges of a CREATE_CHILD_SA"},
	{from: in(StateUp), task: kindChildDelete,
		run: (*SA).childDeleted, story: "forget the Child SA"},
	{from: in(StateRekeyed, StateDeleting), task: kindIKEDelete,
		run: (*SA).ikeDeleted, story: "close"},
	{from: in(StateUp), task: kindLiveness,
		run: (*SA).alive, story: "note that the peer is alive"},
	{from: in(StateUp), task: kindTicket,
		run: (*SA).ticketAnswered, story: "keep the ticket"},
	{from: in(StateUp), task: kindUpdate,
		run: (*SA).updated, story: "go on from other addresses"},
	{from: in(StateUp), task: kindCheck,
		run: (*SA).checked, story: "follow the peer to where it has answered"},
	{from: in(StateUp), task: kindAddresses,
		run: (*SA).addressesTold, story: "note that the peer knows our addresses"},
	{from: in(StateUp), task: kindSounding,
		run: (*SA).sounded, story: "note that a packet of that size has passed"},
}
