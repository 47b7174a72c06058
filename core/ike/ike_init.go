package ike

import (
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
	"sallyport/core/transform"
)

// Bounds of what unauthenticated answers can make an initiator do.
const (
	maxCookieRounds = 4
	maxKERounds     = 3
)

const (
	nonceLen = 32
	portIKE  = 500
	portNATT = 4500
)

var (
	errNoAuthAnswer = errors.New("the peer answered IKE_SA_INIT, but not IKE_AUTH; UDP port 4500 or fragments may be blocked on the way")
	errNoNATT       = errors.New("the peer does not offer NAT traversal, which ESP in user space needs")
)

// fragmentationSupported and the like are status notifies without data.
func status(kind message.NotifyType) *message.Notify { return &message.Notify{Kind: kind} }

// vendorID tells people who look at captures what they look at.
var vendorID = []byte("Sallyport")

// initTask is the initiator's IKE_SA_INIT. Its request travels unprotected, so
// startInit and sendInit do what pump does for the others.
type initTask struct{}

func (initTask) kind() kind                                       { return kindInit }
func (initTask) exchange() message.ExchangeType                   { return message.IKESAInit }
func (initTask) request(*SA, time.Time) ([]message.Payload, bool) { return nil, false }
func (initTask) refused(sa *SA, n *message.Notify, now time.Time) {}
func (initTask) abandoned(*SA, time.Time)                         {}

// certRequest asks for certificates that lead to one of the roots.
func certRequest(roots ...*x509.Certificate) *message.CertReq {
	return &message.CertReq{Encoding: message.CertX509Signature, Authorities: pki.CertReqHashes(roots)}
}

// startInit begins the handshake as the initiator.
func (sa *SA) startInit(now time.Time) {
	sa.state = StateInitSent
	if !sa.hs.knock {
		if err := sa.cfg.Local.check(); err != nil {
			sa.close(&Failure{Code: FailLocalCredential, Err: err}, now)
			return
		}
		if err := sa.cfg.check(); err != nil {
			sa.close(&Failure{Code: FailInternal, Err: err}, now)
			return
		}
	}
	sa.natt = sa.path.TCP || sa.path.Remote.Port() != portIKE
	sa.quantum.offered = offersQuantum(sa.cfg.Proposals) || len(sa.cfg.PPKs) > 0
	sa.hs.nonceI = sa.e.random(nonceLen)
	sa.hs.natSource = sa.e.random(20)
	if sa.mayFallBack() && sa.e.plain.knows(sa.path.Remote.Addr(), now) {
		sa.hs.fallback = offersClassical
	}
	groups := sa.offers()[0].KEs()
	if len(groups) == 0 {
		sa.close(&Failure{Code: FailInternal, Err: errors.New("the first IKE proposal has no key exchange method")}, now)
		return
	}
	sa.log(Info, "%s: asking %v for an IKE SA", sa.name(), sa.path.Remote)
	sa.tryInit(groups[0], now)
}

// tryInit sends IKE_SA_INIT with a fresh key of the method.
func (sa *SA) tryInit(group transform.ID, now time.Time) {
	ke, err := transform.NewKeyExchange(group, sa.e.opt.Rand)
	if err != nil {
		sa.close(&Failure{Code: FailInternal, Err: err}, now)
		return
	}
	sa.hs.ke = ke
	sa.hs.groups = append(sa.hs.groups, group)
	sa.sendInit(now)
}

// sendInit sends IKE_SA_INIT, with the cookie that the peer asked for.
func (sa *SA) sendInit(now time.Time) {
	var payloads []message.Payload
	if sa.hs.cookie != nil {
		payloads = append(payloads, &message.Notify{Kind: message.NotifyCookie, Data: sa.hs.cookie})
	}
	payloads = append(payloads,
		message.NewSA(numbered(sa.offers(), nil)...),
		&message.KE{Method: sa.hs.ke.ID(), Data: sa.hs.ke.Public()},
		&message.Nonce{Data: sa.hs.nonceI})
	payloads = append(payloads, sa.natNotifies(sa.spiLocal, 0)...)
	if len(sa.cfg.PPKs) > 0 {
		payloads = append(payloads, status(message.NotifyUsePPK))
	}
	if slices.ContainsFunc(sa.offers(), transform.Proposal.HasAdditional) {
		payloads = append(payloads, status(message.NotifyIntermediateExchangeSupported))
	}
	payloads = append(payloads, sa.offerRedirect()...)
	payloads = append(payloads,
		status(message.NotifyFragmentationSupported),
		hashNotify(sa.cfg.Peer.Schemes),
		&message.VendorID{Data: vendorID})
	m := message.Message{Header: sa.header(message.IKESAInit, 0, false), Payloads: payloads}
	b, err := m.AppendTo(nil)
	if err != nil {
		sa.close(&Failure{Code: FailInternal, Err: err}, now)
		return
	}
	sa.hs.request = b
	sa.nextID = 0 // a retry with a cookie or another key is the same exchange
	sa.tellSent(m.Header, [][]byte{b}, payloads, 0)
	sa.launch(initTask{}, [][]byte{b}, now)
}

// numbered returns proposals numbered from 1 with our SPI in each.
func numbered(list []transform.Proposal, spi []byte) []transform.Proposal {
	out := slices.Clone(list)
	for i := range out {
		out[i].Number, out[i].SPI = uint8(i+1), spi
	}
	return out
}

func hashNotify(accepted []auth.Scheme) *message.Notify {
	return &message.Notify{
		Kind: message.NotifySignatureHashAlgorithms,
		Data: auth.AppendHashAlgorithms(nil, auth.HashAlgorithms(accepted)),
	}
}

// receiveInit takes the unprotected answer to IKE_SA_INIT. Only one that leads
// on changes anything; refusals and nonsense are remembered until the time is
// over, for anyone on the path could have sent them.
func (sa *SA) receiveInit(h message.Header, d Datagram, now time.Time) {
	if !sa.initiator || sa.state != StateInitSent || h.MessageID != 0 {
		sa.e.drop("unexpected response")
		return
	}
	m, err := message.Parse(d.Data)
	if err != nil {
		sa.e.drop("malformed or unprotected")
		return
	}
	sa.e.tellUnproved(m.Payloads, now)
	if sa.knocked(h, now) {
		return
	}
	in, bad := sortPayloads(m.Payloads)
	if bad != nil {
		sa.e.drop("malformed or unprotected")
		sa.hintAt(bad.failure(), now)
		return
	}
	const need = hasSA | hasKE | hasNonce
	if in.has&need == need && h.ResponderSPI != 0 {
		if bad := sa.initAnswered(h, in, d, now); bad != nil {
			sa.e.fault(bad.Error())
			sa.e.drop("unacceptable IKE_SA_INIT response")
			sa.log(Info, "%s: IKE_SA_INIT response: %v", sa.name(), bad)
			sa.hintAt(bad, now)
		}
		return
	}
	if n := in.notify(message.NotifyCookie); n != nil {
		sa.retryWithCookie(n, now)
		return
	}
	if n := in.notify(message.NotifyInvalidKEPayload); n != nil && sa.retryWithGroup(n, now) {
		return
	}
	if sa.redirectedInit(in, now) {
		return
	}
	if n := in.refusal(); n != nil {
		sa.e.drop("unauthenticated refusal")
		sa.log(Info, "%s: unauthenticated refusal %v; waiting for a better answer", sa.name(), n.Kind)
		sa.hintAt(refusalOf(n, nil), now)
		return
	}
	sa.e.drop("malformed or unprotected")
}

// retryWithCookie repeats the request with the peer's cookie.
func (sa *SA) retryWithCookie(n *message.Notify, now time.Time) {
	if len(n.Data) == 0 || len(n.Data) > 64 || sa.hs.cookies == maxCookieRounds {
		sa.e.drop("unacceptable cookie")
		return
	}
	sa.hs.cookies++
	sa.hs.cookie = slices.Clone(n.Data)
	sa.sendInit(now)
}

// retryWithGroup repeats the request with the key exchange method that the
// peer prefers, if it is one that we offered and have not tried.
func (sa *SA) retryWithGroup(n *message.Notify, now time.Time) bool {
	group, ok := wantedGroup(n, sa.offers(), sa.hs.groups)
	if !ok {
		return false
	}
	sa.log(Debug, "%s: peer wants key exchange method %d", sa.name(), group)
	sa.tryInit(group, now)
	return true
}

// wantedGroup returns the method that an INVALID_KE_PAYLOAD asks for, when it
// is on offer and has not been tried.
func wantedGroup(n *message.Notify, offered []transform.Proposal, tried []transform.ID) (transform.ID, bool) {
	if len(n.Data) != 2 || len(tried) >= maxKERounds {
		return 0, false
	}
	group := transform.ID(binary.BigEndian.Uint16(n.Data))
	if slices.Contains(tried, group) {
		return 0, false
	}
	for _, p := range offered {
		if slices.Contains(p.KEs(), group) {
			return group, true
		}
	}
	return 0, false
}

// initAnswered goes on to IKE_AUTH. On a failure nothing has changed.
func (sa *SA) initAnswered(h message.Header, in *inbox, d Datagram, now time.Time) *Failure {
	offers := in.sa.Offers()
	if len(offers) != 1 {
		return &Failure{Code: FailProtocol, Err: fmt.Errorf("%d proposals in the answer", len(offers))}
	}
	suite, err := transform.Check(numbered(sa.offers(), nil), offers[0])
	if err != nil {
		return &Failure{Code: FailProtocol, Err: err}
	}
	if sa.hs.fallback == findsOut {
		sa.fallBack(asksAgain, "is there", now)
		return nil
	}
	if suite.KE.ID != sa.hs.ke.ID() || in.ke.Method != sa.hs.ke.ID() {
		return &Failure{Code: FailProtocol, Err: fmt.Errorf("key exchange method %d where we sent %d", in.ke.Method, sa.hs.ke.ID())}
	}
	if sa.cfg.PPKRequired && in.notify(message.NotifyUsePPK) == nil {
		return &Failure{Code: FailPeerAuth, Err: errNoPPK}
	}
	more, err := additional(suite, in)
	if err != nil {
		return &Failure{Code: FailProtocol, Err: err}
	}
	shared, err := sa.hs.ke.Shared(in.ke.Data)
	if err != nil {
		return &Failure{Code: FailProtocol, Err: err}
	}
	defer transform.Wipe(shared)
	if !sa.detectNAT(in, h.InitiatorSPI, h.ResponderSPI, d) && !sa.path.TCP {
		return &Failure{Code: FailPeerRefused, Err: errNoNATT}
	}
	prf, err := transform.NewPRF(suite.PRF.ID)
	if err != nil {
		return &Failure{Code: FailInternal, Err: err}
	}
	seed := firstSeed(prf, sa.hs.nonceI, in.nonce, shared)
	k, err := deriveKeys(suite, seed, sa.hs.nonceI, in.nonce, h.InitiatorSPI, h.ResponderSPI, true)
	if err != nil {
		return &Failure{Code: FailInternal, Err: err}
	}
	sa.keys = k
	sa.spiRemote = h.ResponderSPI
	sa.hs.nonceR = slices.Clone(in.nonce)
	sa.hs.response = slices.Clone(d.Data)
	sa.hs.ke = nil
	sa.hs.between.more = more
	sa.agreePPK(in, len(sa.cfg.PPKs) > 0)
	sa.hs.childless = sa.cfg.Childless && in.notify(message.NotifyChildlessIKEv2Supported) != nil
	sa.quantum.follows = len(more) > 0
	sa.quantum.refused = sa.hs.fallback == offersClassical
	sa.readInitNotifies(in)
	sa.lastHeard = now
	sa.timed(sa.flight, now)
	sa.flight, sa.hint, sa.giveUpAt = nil, nil, time.Time{}
	sa.state = StateAuthSent
	sa.e.emit(Answered{SA: sa})
	sa.log(Info, "%s: %v with %v", sa.name(), suite, sa.path.Remote)
	sa.float()
	sa.afterInit(now)
	return nil
}

// float moves to the port that IKE shares with ESP (RFC 7296, section 2.23).
func (sa *SA) float() {
	if !sa.natt {
		sa.path.Remote = netip.AddrPortFrom(sa.path.Remote.Addr(), portNATT)
		sa.path.Local = netip.AddrPortFrom(sa.path.Local.Addr(), sa.e.opt.NATTPort)
		sa.natt = true
		sa.e.emit(PathChanged{SA: sa, Path: sa.path})
	}
}

// readInitNotifies notes what the peer can do.
func (sa *SA) readInitNotifies(in *inbox) {
	sa.frag = in.notify(message.NotifyFragmentationSupported) != nil
	sa.noteVendor(in)
	for _, r := range in.certReqs {
		sa.hs.certReqs = append(sa.hs.certReqs, message.CertReq{Encoding: r.Encoding, Authorities: slices.Clone(r.Authorities)})
	}
	sa.hs.redirects = in.notify(message.NotifyRedirectSupported) != nil
	sa.hs.multiple = in.notify(message.NotifyMultipleAuthSupported) != nil
	if n := in.notify(message.NotifySignatureHashAlgorithms); n != nil {
		if hashes, err := auth.ParseHashAlgorithms(n.Data); err == nil {
			sa.hashes = hashes
		}
	}
}

// handleInitRequest answers a peer that starts an IKE SA. State is made last;
// before it stand the checks, from the cheapest on.
func (e *Endpoint) handleInitRequest(h message.Header, d Datagram, now time.Time) {
	if e.opt.Resolver == nil || h.ResponderSPI != 0 || h.MessageID != 0 || !h.Initiator() {
		e.drop("unexpected IKE_SA_INIT request")
		return
	}
	if own := e.sas[h.InitiatorSPI]; own != nil && own.initiator {
		// Whoever takes us for our own peer would pass as one that any identity
		// fits, with no key at all. The SPI is in what AUTH covers.
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
	const need = hasSA | hasKE | hasNonce
	if in.has&need != need {
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

	terms := e.opt.Resolver.Terms(d.path())
	suite, answer, err := transform.SelectKE(terms.Proposals, offersFor(in), in.ke.Method)
	if err != nil {
		e.emit(Log{Level: Info, Text: fmt.Sprintf("no common IKE proposal with %v", d.Remote)})
		e.fault("no common proposal")
		e.refuse(h, d, &message.Notify{Kind: message.NotifyNoProposalChosen}, now)
		return
	}
	if suite.KE.ID != in.ke.Method {
		e.refuse(h, d, invalidKE(suite.KE.ID), now)
		return
	}
	e.answerInit(h, in, d, answer, suite, terms, key, now)
}

// checkCookie reports whether the request brings a cookie of ours; else it
// asks for one. That is not limited in rate: under a flood it is what lets
// honest peers through.
func (e *Endpoint) checkCookie(h message.Header, in *inbox, d Datagram, from netip.Addr, now time.Time) bool {
	e.cookies.rotate(e, now)
	spi := binary.BigEndian.AppendUint64(nil, h.InitiatorSPI)
	if n := in.notify(message.NotifyCookie); n != nil && e.cookies.accepts(n.Data, in.nonce, from, spi) {
		return true
	}
	e.drop("without cookie")
	e.answerOnce(h, d, &message.Notify{Kind: message.NotifyCookie, Data: e.cookies.bake(in.nonce, from, spi)}, now)
	return false
}

// answerInit makes a half-open IKE SA.
func (e *Endpoint) answerInit(h message.Header, in *inbox, d Datagram, answer transform.Proposal, suite transform.Suite, terms Terms, key initKey, now time.Time) {
	public, shared, err := transform.Respond(suite.KE.ID, in.ke.Data, e.opt.Rand)
	if err != nil {
		e.drop("invalid key exchange value")
		e.refuse(h, d, &message.Notify{Kind: message.NotifyInvalidSyntax}, now)
		return
	}
	defer transform.Wipe(shared)
	prf, err := transform.NewPRF(suite.PRF.ID)
	if err != nil {
		e.emit(Log{Level: Warn, Text: err.Error()})
		return
	}

	sa := e.newSA(nil, d.path(), false, now)
	sa.state = StateInitAnswered
	sa.natt = d.NATT
	sa.spiRemote = h.InitiatorSPI
	sa.giveUpAt = now.Add(e.opt.HalfOpenTimeout)
	sa.hs.chosen = answer
	sa.quantum.offered = offersQuantum(terms.Proposals) || terms.PPK
	sa.quantum.follows = len(suite.AdditionalKEs()) > 0
	sa.hs.between.more = suite.AdditionalKEs()
	sa.agreePPK(in, terms.PPK)
	sa.hs.nonceI, sa.hs.nonceR = slices.Clone(in.nonce), e.random(nonceLen)
	sa.hs.request = slices.Clone(d.Data)
	sa.hs.natSource = e.random(20)
	seed := firstSeed(prf, sa.hs.nonceI, sa.hs.nonceR, shared)
	sa.keys, err = deriveKeys(suite, seed, sa.hs.nonceI, sa.hs.nonceR, h.InitiatorSPI, sa.spiLocal, false)
	if err != nil {
		sa.close(&Failure{Code: FailInternal, Err: err}, now)
		return
	}
	if !sa.detectNAT(in, h.InitiatorSPI, 0, d) && !d.TCP {
		sa.log(Warn, "%v does not offer NAT traversal; ESP to it will not work", d.Remote)
	}
	sa.readInitNotifies(in)
	sa.hs.multiple = terms.Multiple

	payloads := []message.Payload{
		message.NewSA(answer),
		&message.KE{Method: suite.KE.ID, Data: public},
		&message.Nonce{Data: sa.hs.nonceR},
	}
	payloads = append(payloads, sa.natNotifies(h.InitiatorSPI, sa.spiLocal)...)
	if len(terms.Roots) > 0 {
		payloads = append(payloads, certRequest(terms.Roots...))
		if terms.OCSP {
			payloads = append(payloads, &message.CertReq{Encoding: message.CertOCSP})
		}
	}
	if sa.hs.ppk.agreed {
		payloads = append(payloads, status(message.NotifyUsePPK))
	}
	if len(sa.hs.between.more) > 0 {
		// Only where it is needed: libreswan (seen with 4.10, intermediate=yes) makes
		// an empty one with whoever says so, which no specification gives a meaning.
		payloads = append(payloads, status(message.NotifyIntermediateExchangeSupported))
	}
	payloads = append(payloads, status(message.NotifyFragmentationSupported), hashNotify(nil), status(message.NotifyChildlessIKEv2Supported))
	if terms.Multiple {
		payloads = append(payloads, status(message.NotifyMultipleAuthSupported))
	}
	m := message.Message{Header: sa.header(message.IKESAInit, 0, true), Payloads: payloads}
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

func invalidKE(group transform.ID) *message.Notify {
	return &message.Notify{Kind: message.NotifyInvalidKEPayload, Data: binary.BigEndian.AppendUint16(nil, uint16(group))}
}
