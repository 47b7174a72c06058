package ike

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
	"sallyport/core/transform"
)

// Session resumption (RFC 5723): the responder gives the initiator a ticket,
// with which an IKE SA that was lost comes back without a key exchange, a
// signature or a password:
//
//	Ni, N(TICKET_OPAQUE)               →
//	                                   ←  Nr
//	IDi, AUTH, SA, TSi, TSr, CP        →
//	                                   ←  IDr, AUTH, SA, TSi, TSr, CP
//
// What keeps it as safe as what it resumes: both ends prove that they know SK_d
// of the old SA; a ticket serves once; it is over when the authentication is;
// and it dies with the configuration that let the peer in. The new SA is rekeyed
// soon, which gives it forward secrecy of its own.

// A Ticket resumes an IKE SA that is lost. It holds secrets: Wipe it when it has
// served, which it does once, or when the peer is not wanted any more.
type Ticket struct {
	opaque        []byte
	until, reauth time.Time
	suite         transform.Suite
	d             []byte
	localID       auth.Identity
	peerID        auth.Identity
	local, peer   string
	quantum       quantum
}

// Until returns when the ticket is over.
func (t *Ticket) Until() time.Time { return t.until }

// clone returns a copy that is wiped apart from t.
func (t *Ticket) clone() *Ticket {
	c := *t
	c.opaque, c.d = bytes.Clone(t.opaque), bytes.Clone(t.d)
	return &c
}

// Wipe makes the ticket useless.
func (t *Ticket) Wipe() {
	if t != nil {
		transform.Wipe(t.d, t.opaque)
		t.until = time.Time{}
	}
}

const (
	defaultTicketLife = 12 * time.Hour
	resumedRekey      = 10 * time.Second // until a resumed SA gets keys of a fresh key exchange
	resumeTries       = 2                // retransmissions of the first request, before all begins anew
	minTicketLife     = time.Second
)

// A resumption is what both ends know of an SA that a ticket resumes.
type resumption struct {
	ticket   *Ticket   // ours, as the initiator
	passport *passport // the peer's, as the responder
	reauth   time.Time // when the authentication runs out; zero: never
}

// errNotResumed says why an SA that a ticket was to resume is not there. A
// handshake from the beginning may be.
var errNotResumed = errors.New("the peer did not take the ticket")

// TicketIssued brings a ticket with which the SA can be resumed when it is lost.
// It takes the place of those before it, also of the SA's elders. The receiver
// owns it.
type TicketIssued struct {
	SA     *SA
	Ticket *Ticket
}

func (TicketIssued) effect() {}

// Resume starts an IKE SA with a ticket, which stays the caller's. As with
// Initiate the SA is never nil. When it closes before it is established, Initiate
// is what is left; the ticket may yet serve when nobody answered (FailSilent).
func (e *Endpoint) Resume(cfg *Config, t *Ticket, path Path, now time.Time) (*SA, []Effect) {
	sa := e.newSA(cfg, path, true, now)
	sa.state = StateInitSent
	sa.hs.resumed = &resumption{ticket: t.clone(), reauth: t.reauth}
	err := cfg.check()
	if err == nil && (!now.Before(t.until) || !t.peerID.Matches(cfg.Peer.ID)) {
		err = errTicket
	}
	if err != nil {
		sa.close(&Failure{Code: FailInternal, Err: err}, now)
		return sa, e.take()
	}
	sa.natt = sa.path.TCP || sa.path.Remote.Port() != portIKE
	sa.quantum = t.quantum
	sa.hs.nonceI, sa.hs.natSource = e.random(nonceLen), e.random(20)
	sa.log(Info, "%s: resuming with %v", sa.name(), sa.path.Remote)
	sa.sendResume(now)
	e.settle(sa, now)
	return sa, e.take()
}

// resumeTask is the initiator's IKE_SESSION_RESUME, which travels unprotected
// like IKE_SA_INIT: see initTask.
type resumeTask struct{ initTask }

func (resumeTask) exchange() message.ExchangeType { return message.IKESessionResume }

// sendResume sends IKE_SESSION_RESUME, with the cookie that the peer asked for.
func (sa *SA) sendResume(now time.Time) {
	var payloads []message.Payload
	if sa.hs.cookie != nil {
		payloads = append(payloads, &message.Notify{Kind: message.NotifyCookie, Data: sa.hs.cookie})
	}
	payloads = append(payloads, &message.Nonce{Data: sa.hs.nonceI},
		&message.Notify{Kind: message.NotifyTicketOpaque, Data: sa.hs.resumed.ticket.opaque})
	payloads = append(payloads, sa.natNotifies(sa.spiLocal, 0)...)
	payloads = append(payloads, status(message.NotifyFragmentationSupported), &message.VendorID{Data: vendorID})
	m := message.Message{Header: sa.header(message.IKESessionResume, 0, false), Payloads: payloads}
	b, err := m.AppendTo(nil)
	if err != nil {
		sa.close(&Failure{Code: FailInternal, Err: err}, now)
		return
	}
	sa.hs.request = b
	sa.nextID = 0
	sa.tellSent(m.Header, [][]byte{b}, payloads, 0)
	sa.launch(resumeTask{}, [][]byte{b}, now)
}

// receiveResume takes the unprotected answer. A refusal may be forged, and costs
// a handshake from the beginning at most.
func (sa *SA) receiveResume(h message.Header, d Datagram, now time.Time) {
	if !sa.initiator || sa.state != StateInitSent || sa.hs.resumed == nil || h.MessageID != 0 || !h.Response() {
		sa.e.drop("unexpected response")
		return
	}
	m, err := message.Parse(d.Data)
	if err != nil {
		sa.e.drop("malformed or unprotected")
		return
	}
	sa.e.tellUnproved(m.Payloads, now)
	in, bad := sortPayloads(m.Payloads)
	if bad != nil {
		sa.e.drop("malformed or unprotected")
		return
	}
	switch n := in.notify(message.NotifyCookie); {
	case in.has&hasNonce != 0 && h.ResponderSPI != 0:
		if bad := sa.resumeAnswered(h, in, d, now); bad != nil {
			sa.e.drop("unacceptable IKE_SESSION_RESUME response")
			sa.log(Info, "%s: IKE_SESSION_RESUME response: %v", sa.name(), bad)
		}
	case n != nil && len(n.Data) > 0 && len(n.Data) <= 64 && sa.hs.cookies < maxCookieRounds:
		sa.hs.cookies++
		sa.hs.cookie = slices.Clone(n.Data)
		sa.sendResume(now)
	case in.notify(message.NotifyTicketNack) != nil, in.refusal() != nil:
		sa.log(Info, "%s: the ticket is not taken", sa.name())
		sa.close(&Failure{Code: FailPeerRefused, Notify: message.NotifyTicketNack, Unauthenticated: true, Err: errNotResumed}, now)
	default:
		sa.e.drop("malformed or unprotected")
	}
}

// resumeAnswered goes on to IKE_AUTH. On a failure nothing has changed.
func (sa *SA) resumeAnswered(h message.Header, in *inbox, d Datagram, now time.Time) *Failure {
	if !sa.detectNAT(in, h.InitiatorSPI, h.ResponderSPI, d) {
		return &Failure{Code: FailPeerRefused, Err: errNoNATT}
	}
	t := sa.hs.resumed.ticket
	k, err := resumedKeys(t.suite, t.d, sa.hs.nonceI, in.nonce, h.InitiatorSPI, h.ResponderSPI, true)
	if err != nil {
		return &Failure{Code: FailInternal, Err: err}
	}
	sa.keys = k
	sa.spiRemote = h.ResponderSPI
	sa.hs.nonceR = slices.Clone(in.nonce)
	sa.hs.response = slices.Clone(d.Data)
	sa.frag = in.notify(message.NotifyFragmentationSupported) != nil
	sa.lastHeard = now
	sa.timed(sa.flight, now)
	sa.flight, sa.hint, sa.giveUpAt = nil, nil, time.Time{}
	sa.state = StateAuthSent
	sa.e.emit(Answered{SA: sa})
	sa.float()
	sa.enqueue(&resumeAuthTask{}, now)
	return nil
}

// resumedKeys are the keys of a resumed IKE SA (RFC 5723, section 5.1).
func resumedKeys(suite transform.Suite, d, ni, nr []byte, spii, spir uint64, initiator bool) (keys, error) {
	prf, err := transform.NewPRF(suite.PRF.ID)
	if err != nil {
		return keys{}, err
	}
	suite.Additional = transform.Suite{}.Additional // what they gave is in SK_d
	return deriveKeys(suite, prf.Sum(d, []byte("Resumption"), ni, nr), ni, nr, spii, spir, initiator)
}

// proofOf is the AUTH data of one end of a resumed IKE SA: prf(SK_px, octets).
func (sa *SA) proofOf(skp []byte, id *message.ID, first, nonce []byte) []byte {
	return sa.keys.prf.Sum(skp, auth.SignedOctets(sa.keys.prf, first, nonce, skp, id.AppendTo(nil)))
}

// resumeAuthTask is the initiator's IKE_AUTH with what the ticket left us.
type resumeAuthTask struct{ authTask }

func (*resumeAuthTask) kind() kind { return kindResume }

func (t *resumeAuthTask) request(sa *SA, now time.Time) ([]message.Payload, bool) {
	sa.localID = sa.hs.resumed.ticket.localID
	idi := idPayload(sa.localID, false)
	proof := sa.proofOf(sa.keys.pLocal, idi, sa.hs.request, sa.hs.nonceR)
	payloads := []message.Payload{idi, &message.Auth{Method: message.AuthPSK, Data: proof}}
	offer, wishes := sa.wishes()
	t.offer = offer
	return append(payloads, wishes...), true
}

// resumedPeer checks that the peer is the one that the ticket is of.
func (sa *SA) resumedPeer(in *inbox, id *message.ID, want auth.Identity, first, nonce []byte) *notifyError {
	fail := func(code FailureCode, err error) *notifyError {
		return &notifyError{notify: message.NotifyAuthenticationFailed, code: code, err: err}
	}
	claimed := auth.Identity{Type: auth.IDType(id.Kind), Data: slices.Clone(id.Data)}
	switch {
	case !claimed.Equal(want):
		return fail(FailPeerIdentity, fmt.Errorf("the peer calls itself %q, and the ticket is of %q", claimed, want))
	case in.auth.Method != message.AuthPSK || !hmac.Equal(in.auth.Data, sa.proofOf(sa.keys.pPeer, id, first, nonce)):
		return fail(FailPeerAuth, errors.New("the peer does not know the keys that the ticket is of"))
	}
	sa.peerID = claimed
	return nil
}

// authResumed checks that the responder is the one that issued the ticket, and
// takes what it gives.
func (sa *SA) authResumed(x task, in *inbox, _ []uint32, now time.Time) *notifyError {
	offer := x.(*resumeAuthTask).offer
	t := sa.hs.resumed.ticket
	if err := sa.resumedPeer(in, in.idr, t.peerID, sa.hs.response, sa.hs.nonceI); err != nil {
		offer.free(sa)
		return err
	}
	sa.localAuth, sa.peerAuth = t.local, t.peer
	sa.resumed = true
	return sa.admitted(offer, in, now)
}

// handleResumeRequest answers a peer that comes with a ticket. The checks are
// those of handleInitRequest.
func (e *Endpoint) handleResumeRequest(h message.Header, d Datagram, now time.Time) {
	if e.opt.Resolver == nil || h.ResponderSPI != 0 || h.MessageID != 0 || !h.Initiator() {
		e.drop("unexpected IKE_SESSION_RESUME request")
		return
	}
	if own := e.sas[h.InitiatorSPI]; own != nil && own.initiator {
		e.drop("our own request")
		return
	}
	key := newInitKey(d)
	if sa := e.inits[key]; sa != nil {
		e.drop("repeated request")
		sa.suspect([][]byte{sa.initResponse})
		e.emit(Send{SA: sa, Path: d.path(), NATT: d.NATT, Size: CutAnywhere, Data: sa.initResponse})
		return
	}
	m, err := message.Parse(d.Data)
	if err != nil {
		e.drop("malformed or unprotected")
		return
	}
	e.tellUnproved(m.Payloads, now)
	in, bad := sortPayloads(m.Payloads)
	if bad != nil {
		e.fault(bad.Error())
		e.refuse(h, d, &message.Notify{Kind: bad.notify, Data: bad.data}, now)
		return
	}
	ticket := in.notify(message.NotifyTicketOpaque)
	if in.has&hasNonce == 0 || ticket == nil {
		e.drop("malformed or unprotected")
		return
	}
	from := d.Remote.Addr().Unmap()
	if e.halfOpen.n >= e.opt.CookieThreshold && !e.checkCookie(h, in, d, from, now) {
		return
	}
	if !e.halfOpen.room(from) {
		e.drop("too many half-open IKE SAs")
		return
	}
	p, cfg, err := e.tickets.open(ticket.Data, now)
	if err != nil {
		e.drop("no ticket of ours")
		e.refuse(h, d, status(message.NotifyTicketNack), now)
		return
	}
	e.answerResume(h, in, d, p, cfg, key, now)
}

// answerResume makes a half-open IKE SA of a ticket.
func (e *Endpoint) answerResume(h message.Header, in *inbox, d Datagram, p *passport, cfg *Config, key initKey, now time.Time) {
	nonce := e.random(nonceLen)
	sa := e.newSA(cfg, d.path(), false, now)
	sa.state = StateInitAnswered
	sa.natt = d.NATT
	sa.spiRemote = h.InitiatorSPI
	sa.giveUpAt = now.Add(e.opt.HalfOpenTimeout)
	sa.hs.resumed = &resumption{passport: p, reauth: p.reauth}
	sa.quantum = p.quantum
	sa.hs.nonceI, sa.hs.nonceR = slices.Clone(in.nonce), nonce
	sa.hs.request = slices.Clone(d.Data)
	sa.hs.natSource = e.random(20)
	var err error
	sa.keys, err = resumedKeys(p.suite, p.d, sa.hs.nonceI, nonce, h.InitiatorSPI, sa.spiLocal, false)
	if err != nil {
		sa.close(&Failure{Code: FailInternal, Err: err}, now)
		return
	}
	if !sa.detectNAT(in, h.InitiatorSPI, 0, d) {
		sa.log(Warn, "%v does not offer NAT traversal; ESP to it will not work", d.Remote)
	}
	sa.frag = in.notify(message.NotifyFragmentationSupported) != nil
	payloads := append([]message.Payload{&message.Nonce{Data: nonce}}, sa.natNotifies(h.InitiatorSPI, sa.spiLocal)...)
	payloads = append(payloads, status(message.NotifyFragmentationSupported))
	m := message.Message{Header: sa.header(message.IKESessionResume, 0, true), Payloads: payloads}
	b, err := m.AppendTo(nil)
	if err != nil {
		sa.close(&Failure{Code: FailInternal, Err: err}, now)
		return
	}
	sa.hs.response, sa.initResponse = b, b
	sa.expectID = 1
	sa.initKey = key
	e.inits[key] = sa
	e.halfOpen.enter(sa, d.Remote.Addr().Unmap())
	sa.tellSent(m.Header, [][]byte{b}, payloads, 0)
	sa.send([][]byte{b}, now)
	e.settle(sa, now)
}

// answerResumed authenticates a peer by its ticket, and answers with our own
// proof and the first Child SA. The SA that the ticket was issued in is over: the
// peer has lost it.
func (sa *SA) answerResumed(in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	p, cfg := sa.hs.resumed.passport, sa.cfg
	if err := sa.resumedPeer(in, in.idi, p.peerID, sa.hs.request, sa.hs.nonceR); err != nil {
		return nil, err
	}
	first, _, twice := strings.Cut(p.peer, ThenEAP)
	claim := Claim{Path: sa.path, Peer: p.peerID, Wanted: p.localID, PSK: first == "PSK", EAP: p.user != "" && !twice, Another: twice}
	if sa.e.opt.Resolver.Resolve(claim) != cfg || !sa.e.tickets.spend(p, now) {
		return nil, &notifyError{notify: message.NotifyAuthenticationFailed, code: FailPeerAuth, err: errTicket}
	}
	sa.localID, sa.localAuth, sa.peerAuth = p.localID, p.local, p.peer
	sa.guestUser, sa.guestGroups = p.user, p.groups
	sa.resumed = true
	if elder := sa.e.sas[p.elder]; elder != nil && elder != sa && !elder.line && elder.peerID.Equal(sa.peerID) {
		elder.close(&Failure{Code: FailReplaced}, now)
	}
	idr := idPayload(sa.localID, true)
	proof := sa.proofOf(sa.keys.pLocal, idr, sa.hs.response, sa.hs.nonceI)
	return sa.admit([]message.Payload{idr, &message.Auth{Method: message.AuthPSK, Data: proof}}, in, now)
}

// resuming reports whether a ticket is to bring the SA up.
func (sa *SA) resuming() bool { return sa.hs != nil && sa.hs.resumed != nil }

// wantsTicket reports whether we ask the peer for tickets.
func (sa *SA) wantsTicket() bool { return sa.line && sa.cfg.ticketLife() > 0 && !sa.cfg.Beside }

// ticketFor is the answer to a request for a ticket; nil when nobody asked.
func (sa *SA) ticketFor(in *inbox, now time.Time) []message.Payload {
	if in.notify(message.NotifyTicketRequest) == nil {
		return nil
	}
	until := now.Round(0).Add(sa.cfg.ticketLife())
	reauth := sa.reauthBy.Round(0)
	if !sa.reauthBy.IsZero() && reauth.Before(until) {
		until = reauth
	}
	life := until.Sub(now.Round(0)).Truncate(time.Second)
	v := sa.cfg.Peer.Verifier
	strict := v != nil && v.Revocation == pki.RevocationStrict // whether it was revoked counts each time
	if sa.line || strict || sa.cfg.ticketLife() == 0 || life < minTicketLife {
		return []message.Payload{status(message.NotifyTicketNack)}
	}
	p := &passport{until: until, elder: sa.spiLocal, suite: sa.keys.suite, d: sa.keys.d, localID: sa.localID, peerID: sa.peerID,
		local: sa.localAuth, peer: sa.peerAuth, user: sa.guestUser, groups: sa.guestGroups, quantum: sa.heirQuantum()}
	if !sa.reauthBy.IsZero() {
		p.reauth = reauth
	}
	data := binary.BigEndian.AppendUint32(nil, uint32(life/time.Second))
	data = append(data, sa.e.tickets.issue(sa.e, sa.cfg, p, now)...)
	if len(data) > maxTicket {
		return []message.Payload{status(message.NotifyTicketNack)}
	}
	return []message.Payload{&message.Notify{Kind: message.NotifyTicketLTOpaque, Data: data}}
}

// takeTicket keeps a ticket that the peer gives us, and asks for the next one in
// good time. Only an authenticated message can bring one.
func (sa *SA) takeTicket(in *inbox, now time.Time) {
	n := in.notify(message.NotifyTicketLTOpaque)
	if n == nil || len(n.Data) <= 4 || len(n.Data) > maxTicket || !sa.wantsTicket() {
		return
	}
	life := time.Duration(binary.BigEndian.Uint32(n.Data)) * time.Second
	life = min(life, sa.cfg.ticketLife())
	if life < minTicketLife {
		return
	}
	t := &Ticket{opaque: bytes.Clone(n.Data[4:]), until: now.Round(0).Add(life), suite: sa.keys.suite, d: bytes.Clone(sa.keys.d),
		localID: sa.localID, peerID: sa.peerID, local: sa.localAuth, peer: sa.peerAuth, quantum: sa.heirQuantum()}
	if !sa.reauthBy.IsZero() {
		if t.reauth = sa.reauthBy.Round(0); t.reauth.Before(t.until) {
			t.until = t.reauth
		}
	}
	sa.ticketAt = now.Add(life / 2)
	sa.e.emit(TicketIssued{SA: sa, Ticket: t})
}

// ticketTask asks for a ticket: for the keys of a rekeyed SA, or because half of
// the last one's time is over (RFC 5723, section 4.1).
type ticketTask struct{ livenessTask }

func (ticketTask) kind() kind { return kindTicket }

func (ticketTask) request(sa *SA, _ time.Time) ([]message.Payload, bool) {
	return []message.Payload{status(message.NotifyTicketRequest)}, sa.state == StateUp
}

// ticketAnswered takes the ticket, if one came.
func (sa *SA) ticketAnswered(_ task, in *inbox, _ []uint32, now time.Time) *notifyError {
	sa.takeTicket(in, now)
	return nil
}

// renewTicket asks for a ticket when it is time.
func (sa *SA) renewTicket(now time.Time) {
	if due(sa.ticketAt, now) {
		sa.ticketAt = time.Time{}
		sa.enqueue(ticketTask{}, now)
	}
}
