package ike

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
	"sallyport/core/transform"
)

// authTask is the initiator's IKE_AUTH, with the first Child SA.
type authTask struct {
	offer *offer
}

func (*authTask) kind() kind                        { return kindAuth }
func (*authTask) exchange() message.ExchangeType    { return message.IKEAuth }
func (t *authTask) abandoned(sa *SA, now time.Time) { t.offer.free(sa) }

// request proves who we are, and asks for the first Child SA and for addresses.
func (t *authTask) request(sa *SA, now time.Time) ([]message.Payload, bool) {
	if u := sa.chooseCredential(nil, now); u != nil {
		sa.close(&Failure{Code: FailLocalCredential, Err: u}, now)
		return nil, false
	}
	sa.localID = sa.ownID()
	idi := idPayload(sa.localID, false)
	payloads := []message.Payload{idi}
	payloads = append(payloads, sa.certificates(now)...)
	if v := sa.cfg.Peer.Verifier; v != nil {
		payloads = append(payloads, certRequest(v.Roots...))
		if v.Revocation != pki.RevocationOff { // RFC 4806, section 3.1: of the responders that we know nothing of
			payloads = append(payloads, &message.CertReq{Encoding: message.CertOCSP})
		}
	}
	if want := sa.askedFor(); want.Type != 0 {
		payloads = append(payloads, idPayload(want, true))
	}
	local := &sa.cfg.Local
	switch {
	case local.EAP != nil && local.Key != nil && !sa.hs.multiple:
		sa.close(&Failure{Code: FailLocalCredential, Err: errOneAuth}, now)
		return nil, false
	case local.EAP != nil && local.Key == nil:
		if local.EAP.Only {
			payloads = append(payloads, status(message.NotifyEAPOnlyAuthentication))
		}
	default:
		prove := func() (*message.Auth, error) { return sa.prove(idi) }
		var proof []message.Payload
		var err error
		if local.EAP != nil { // the last proof is another
			var first *message.Auth
			first, err = prove()
			proof = []message.Payload{first}
		} else {
			proof, err = sa.lastProof(prove)
		}
		if err == errSigning {
			sa.waitForKey(t, now)
			return nil, false
		}
		if err != nil {
			sa.close(&Failure{Code: FailLocalCredential, Err: err}, now)
			return nil, false
		}
		payloads = append(payloads, proof...)
		if local.EAP != nil {
			payloads = append(payloads, status(message.NotifyMultipleAuthSupported), status(message.NotifyAnotherAuthFollows))
		}
	}
	offer, wishes := sa.wishes()
	t.offer = offer
	return append(payloads, wishes...), true
}

// wishes are what IKE_AUTH asks for beside the proof: addresses, a ticket, the
// first Child SA.
func (sa *SA) wishes() (*offer, []message.Payload) {
	var payloads []message.Payload
	if cp := sa.configRequest(); cp != nil {
		payloads = append(payloads, cp)
	}
	payloads = append(payloads, sa.offerMobike()...)
	if sa.isFirstContact() {
		payloads = append(payloads, status(message.NotifyInitialContact))
	}
	if sa.wantsTicket() {
		payloads = append(payloads, status(message.NotifyTicketRequest))
	}
	payloads = append(payloads, sa.tokenNotify()...)
	sa.wanted = len(sa.cfg.Children)
	if sa.hs.childless {
		return nil, payloads
	}
	o := sa.newOffer(&sa.cfg.Children[0], transform.WithoutKE(sa.cfg.Children[0].Proposals))
	payloads = append(payloads, o.sa(), o.tsi(), o.tsr())
	payloads = append(payloads, o.cfg.announcement()...)
	return o, append(payloads, status(message.NotifyESPTFCPaddingNotSupported))
}

// refused ends the SA: the peer authenticated neither us nor itself.
func (t *authTask) refused(sa *SA, n *message.Notify, now time.Time) {
	t.offer.free(sa)
	var why error
	if n.Kind == message.NotifyAuthenticationFailed {
		why = sa.refusedProof(now)
	}
	sa.close(refusalOf(n, why), now)
}

// askedFor is the identity that the peer is asked to have; zero: any.
func (sa *SA) askedFor() auth.Identity {
	if want := sa.cfg.Peer.ID; !isPattern(want) {
		return want
	}
	return auth.Identity{}
}

// isPattern reports whether an identity cannot be anyone's own.
func isPattern(id auth.Identity) bool {
	switch id.Type {
	case auth.IDAny:
		return true
	case auth.IDFQDN, auth.IDRFC822, auth.IDDN:
		return bytes.IndexByte(id.Data, '*') >= 0
	}
	return false
}

// isFirstContact reports whether we hold no other IKE SA with this peer, so
// that whatever it still holds is left over from before (RFC 7296, section 2.4).
func (sa *SA) isFirstContact() bool {
	if sa.cfg.Beside {
		return false
	}
	for _, other := range sa.e.sas {
		if other != sa && other.line && (other.state == StateUp || other.state == StateDeleting) &&
			other.cfg.Name == sa.cfg.Name && other.path.Remote.Addr() == sa.path.Remote.Addr() {
			return false
		}
	}
	return true
}

func idPayload(id auth.Identity, responder bool) *message.ID {
	return &message.ID{Responder: responder, Kind: message.IDType(id.Type), Data: id.Data}
}

// prove makes our AUTH payload.
func (sa *SA) prove(id *message.ID) (*message.Auth, error) {
	octets := sa.octets(true, id)
	local := &sa.cfg.Local
	own := sa.hs.own
	if own.Key == nil {
		psk := local.PSK
		if sa.hs.psk != nil {
			psk = sa.hs.psk
		}
		if len(psk) == 0 {
			return nil, errors.New("there is no pre-shared key for this peer to prove ourselves with")
		}
		sa.localAuth = "PSK"
		return &message.Auth{Method: message.AuthPSK, Data: auth.PSK(sa.keys.prf, psk, octets)}, nil
	}
	method, data, scheme, err := sa.sign(own.Key, octets, local.Schemes)
	if err != nil {
		return nil, err
	}
	sa.localAuth = scheme
	return &message.Auth{Method: message.AuthMethod(method), Data: data}, nil
}

// verify checks the peer's identity and AUTH payload.
func (sa *SA) verify(in *inbox, id *message.ID, now time.Time) *notifyError {
	fail := func(code FailureCode, err error) *notifyError {
		return &notifyError{notify: message.NotifyAuthenticationFailed, code: code, err: err}
	}
	peer := auth.Identity{Type: auth.IDType(id.Kind), Data: slices.Clone(id.Data)}
	if err := peer.Check(); err != nil {
		return fail(FailPeerIdentity, err)
	}
	sa.peerID = peer
	want := &sa.cfg.Peer
	octets := sa.octets(false, id)

	if in.auth.Method == message.AuthPSK {
		psk, own := want.pskOf(peer)
		switch {
		case len(want.PSK) == 0 && len(want.PSKs) == 0:
			return fail(FailPeerAuth, errors.New("the peer authenticates with a pre-shared key where a certificate is asked for"))
		case !peer.Matches(want.ID):
			return fail(FailPeerIdentity, fmt.Errorf("the peer calls itself %q, not %q", peer, want.ID))
		case len(psk) == 0:
			return fail(FailPeerIdentity, fmt.Errorf("there is no pre-shared key for %q", peer))
		case !auth.VerifyPSK(sa.keys.prf, psk, in.auth.Data, octets):
			return fail(FailPSKMismatch, nil)
		}
		if own {
			sa.hs.psk = psk
		}
		sa.peerAuth = "PSK"
		return nil
	}

	if want.Verifier == nil {
		return fail(FailPeerAuth, errors.New("the peer authenticates with a signature where a pre-shared key is asked for"))
	}
	proof, err := sa.verifyChain(in.certs, peer, now)
	if err != nil {
		code := FailPeerCertificate
		var e *pki.Error
		if errors.As(err, &e) && e.Kind == pki.Identity {
			code = FailPeerIdentity
		}
		if want.TellUnknown && e != nil && e.Kind == pki.UnknownCA {
			err = sa.unknownPeer(in, peer, octets, err, now)
		}
		return fail(code, err)
	}
	scheme, err := sa.verifySignature(proof.key, in.auth, octets)
	if err != nil {
		return fail(FailPeerAuth, err)
	}
	sa.peerAuth = scheme
	return sa.beginRevocation(want.Verifier, proof, in, now)
}

// verifySignature checks the peer's signature, and returns its scheme.
func (sa *SA) verifySignature(key crypto.PublicKey, a *message.Auth, octets []byte) (string, error) {
	schemes := sa.cfg.Peer.Schemes
	if schemes == nil {
		schemes = auth.DefaultSchemes(sa.hashes != nil)
	}
	return auth.Verify(key, auth.Method(a.Method), a.Data, octets, schemes)
}

func (sa *SA) verifyChain(ders [][]byte, peer auth.Identity, now time.Time) (pathAndKey, error) {
	chain, err := pki.ParseChain(ders)
	if err != nil {
		return pathAndKey{}, err
	}
	path, key, err := sa.cfg.Peer.Verifier.VerifyPath(chain, sa.certificateFor(peer), now)
	sa.noteWeak(path)
	return pathAndKey{path, key}, err
}

// noteWeak keeps what is weak in certificates that were accepted.
func (sa *SA) noteWeak(path []*x509.Certificate) {
	for _, w := range pki.WeakIn(path) {
		sa.log(Warn, "%s: %s; the configuration allows it", sa.name(), w)
		sa.hs.weak = append(sa.hs.weak, w)
	}
}

// certificateFor says what a peer's certificate has to prove.
func (sa *SA) certificateFor(peer auth.Identity) pki.Request {
	purpose := pki.Client
	if sa.initiator {
		purpose = pki.Gateway
	}
	return pki.Request{Claimed: peer, Wanted: sa.cfg.Peer.ID, Purpose: purpose}
}

// unknownPeer returns the refusal err of a peer's certificate, as an
// *UnknownPeer when nothing else stands against it: were the certificate itself
// an anchor, it would prove the identity, and the signature holds.
func (sa *SA) unknownPeer(in *inbox, peer auth.Identity, octets []byte, err error, now time.Time) error {
	chain, bad := pki.ParseChain(in.certs)
	if bad != nil {
		return err
	}
	key, bad := (&pki.Verifier{Roots: chain[:1]}).Verify(chain[:1], sa.certificateFor(peer), now)
	if bad != nil {
		return err
	}
	if _, bad = sa.verifySignature(key, in.auth, octets); bad != nil {
		return err
	}
	return &UnknownPeer{Certificate: chain[0], Err: err}
}

// authAnswered checks who the responder is, and takes what it gives. A
// failure to create the Child SA leaves the IKE SA up, when there are other
// children to ask for (RFC 7296, section 1.2).
func (sa *SA) authAnswered(t task, in *inbox, _ []uint32, now time.Time) *notifyError {
	offer := t.(*authTask).offer
	err := sa.settlePPK(in)
	if err == nil {
		err = sa.verify(in, in.idr, now)
	}
	if err != nil {
		offer.free(sa)
		return err
	}
	return sa.whenGood(offer, now, func(now time.Time) *notifyError {
		if sa.redirectedAuth(in, now) {
			offer.free(sa)
			return nil
		}
		if sa.cfg.Local.EAP != nil {
			return sa.followWithEAP(offer, in, now)
		}
		return sa.admitted(offer, in, now)
	})
}

// admitted takes what the responder gives, once both ends have proved
// themselves.
func (sa *SA) admitted(offer *offer, in *inbox, now time.Time) *notifyError {
	defer offer.free(sa)
	if sa.redirectedAuth(in, now) {
		return nil
	}
	sa.noteNotifies(in, now)
	sa.agreeMobike(in)
	given := readConfig(in.cp)
	sa.inner = given.Addresses
	if len(sa.cfg.WantAddresses) > 0 && len(sa.inner) == 0 && in.refusal() == nil {
		sa.giveUp(&Failure{Code: FailNoAddress, Err: errors.New("the peer assigned no inner address")}, now)
		return nil
	}

	var first *negotiated
	var failed *Failure
	if offer != nil {
		failed = sa.childRefusal(in)
	} else if n := in.refusal(); n != nil {
		failed = refusalOf(n, nil)
	}
	if offer != nil && failed == nil {
		var bad *notifyError
		if first, _, bad = sa.accept(offer, in); bad != nil {
			failed = bad.failure()
		}
	}
	if failed != nil && len(sa.cfg.Children) == 1 {
		sa.giveUp(failed, now)
		return nil
	}
	sa.establish(now)
	sa.e.emit(Established{
		SA: sa, PeerID: sa.peerID, LocalAuth: sa.localAuth, PeerAuth: sa.peerAuth,
		Addresses: slices.Clone(sa.inner), DNS: given.DNS, Domains: given.Domains, Subnets: given.Subnets,
		Childless: first == nil, Resumed: sa.resumed, Weak: sa.hs.weak,
	})
	sa.takeTicket(in, now)
	rest := sa.cfg.Children[1:]
	switch {
	case failed != nil:
		sa.childFailed(sa.cfg.Children[0].Name, failed, now)
	case first == nil:
		rest = sa.cfg.Children
	default:
		first.in = offer.take()
		first.keyIn, first.keyOut = sa.keys.childKeys(first.suite, nil, sa.hs.nonceI, sa.hs.nonceR, nil, true)
		sa.install(first, true, nil, now)
		sa.wanted--
	}
	sa.endHandshake()
	for i := range rest {
		sa.enqueue(&createTask{cfg: &rest[i]}, now)
	}
	sa.openResources(now)
	return nil
}

// asksForChild reports whether a request of IKE_AUTH asks for a Child SA, which it
// may leave out (RFC 6023), but not in part.
func asksForChild(in *inbox) (bool, *notifyError) {
	const all = hasSA | hasTSi | hasTSr
	switch in.has & all {
	case all:
		return true, nil
	case 0:
		return false, nil
	}
	return false, syntaxError("a request with a part of the Child SA that it is for")
}

// childRefusal is the failure of the Child SA that an answer reports, or nil
// when the Child SA is there.
func (sa *SA) childRefusal(in *inbox) *Failure {
	const need = hasSA | hasTSi | hasTSr
	if in.has&need == need {
		return nil
	}
	if n := in.refusal(); n != nil {
		return refusalOf(n, nil)
	}
	return &Failure{Code: FailProtocol, Err: errors.New("the answer holds neither a Child SA nor the reason why not")}
}

// giveUp deletes an SA whose peer is authenticated but of no use, without
// waiting for the answer.
func (sa *SA) giveUp(f *Failure, now time.Time) {
	sa.say(&message.Delete{Protocol: transform.ProtoIKE}, now)
	sa.close(f, now)
}

// establish marks the SA up, and sets its timers.
func (sa *SA) establish(now time.Time) {
	sa.state, sa.up, sa.announced = StateUp, now, true
	sa.giveUpAt = time.Time{}
	sa.e.halfOpen.leave(sa)
	sa.e.known.enter(sa)
	sa.e.plain.note(sa, now)
	if d := sa.cfg.rekeyTime(); d > 0 {
		sa.rekeyAt = now.Add(d - sa.e.jitter(d/10))
	}
	if d := sa.cfg.hardLifetime(); d > 0 {
		sa.expireAt = now.Add(d)
	}
	d := sa.cfg.ReauthTime
	if sa.resuming() {
		// A ticket proves nothing anew: the authentication ends when it ends.
		sa.rekeyAt = now.Add(resumedRekey + sa.e.jitter(resumedRekey))
		if r := sa.hs.resumed.reauth; !r.IsZero() {
			d = max(r.Sub(now.Round(0)), time.Second)
		} else {
			d = 0
		}
	}
	if d > 0 {
		sa.authLifetime(d, now)
	}
}

// authLifetime notes that the authentication runs out (RFC 4478): the
// initiator is to authenticate anew before, the responder lets the SA end.
func (sa *SA) authLifetime(d time.Duration, now time.Time) {
	by := now.Add(d)
	if !sa.line {
		if sa.expireAt.IsZero() || by.Before(sa.expireAt) {
			sa.expireAt = by
		}
		sa.reauthBy = by
		return
	}
	if !sa.reauthBy.IsZero() && sa.reauthBy.Before(by) {
		return
	}
	sa.reauthBy = by
	sa.reauthAt = by.Add(-d/10 - sa.e.jitter(d/20))
}

// noteNotifies takes the notifies of authenticated messages that concern the
// SA as a whole.
func (sa *SA) noteNotifies(in *inbox, now time.Time) {
	sa.takeToken(in)
	for _, n := range in.notifies {
		switch n.Kind {
		case message.NotifyAuthLifetime:
			if len(n.Data) == 4 && sa.line {
				if s := binary.BigEndian.Uint32(n.Data); s > 0 {
					sa.authLifetime(time.Duration(s)*time.Second, now)
				}
			}
		case message.NotifyESPTFCPaddingNotSupported:
			sa.noTFC = true
		}
	}
}

// answerAuth authenticates the peer, and answers with our own proof and the
// first Child SA.
func (sa *SA) answerAuth(in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	refused := func(code FailureCode, format string, args ...any) *notifyError {
		return &notifyError{notify: message.NotifyAuthenticationFailed, code: code, err: fmt.Errorf(format, args...)}
	}
	if sa.hs.guest != nil || sa.hs.first != nil {
		return nil, refused(FailProtocol, "a new authentication in the midst of another")
	}
	if _, err := asksForChild(in); err != nil {
		return nil, err
	}
	if err := sa.resolve(in); err != nil {
		return nil, err
	}
	if err := sa.checkRounds(in); err != nil {
		return nil, err
	}
	if !sa.cfg.asksTwice() {
		if err := sa.acceptPPK(in); err != nil {
			return nil, err
		}
	}
	if err := sa.verify(in, in.idi, now); err != nil {
		return nil, err
	}
	return sa.answerWhenGood(now, func(now time.Time) ([]message.Payload, *notifyError) {
		sa.chooseCredential(in, now)
		sa.localID = sa.ownID()
		idr := idPayload(sa.localID, true)
		payloads := append([]message.Payload{idr}, sa.certificates(now)...)
		proof, err := sa.prove(idr)
		if err != nil {
			return nil, refused(FailLocalCredential, "%w", err)
		}
		if payloads = append(payloads, proof); sa.cfg.asksTwice() {
			sa.awaitUser(in, now)
			return payloads, nil
		}
		return sa.admit(payloads, in, now)
	})
}

// resolve finds the configuration for a peer that has named itself.
func (sa *SA) resolve(in *inbox) *notifyError {
	refused := func(code FailureCode, format string, args ...any) *notifyError {
		return &notifyError{notify: message.NotifyAuthenticationFailed, code: code, err: fmt.Errorf(format, args...)}
	}
	claim := Claim{Path: sa.path, PSK: in.auth != nil && in.auth.Method == message.AuthPSK, EAP: in.auth == nil,
		Another: in.notify(message.NotifyAnotherAuthFollows) != nil}
	claim.Peer = auth.Identity{Type: auth.IDType(in.idi.Kind), Data: slices.Clone(in.idi.Data)}
	if in.idr != nil {
		claim.Wanted = auth.Identity{Type: auth.IDType(in.idr.Kind), Data: slices.Clone(in.idr.Data)}
	}
	if sa.cfg = sa.e.opt.Resolver.Resolve(claim); sa.cfg == nil {
		return refused(FailPeerIdentity, "nobody here for %q, who asks for %q", claim.Peer, claim.Wanted)
	}
	if err := sa.cfg.Local.check(); err != nil {
		return refused(FailLocalCredential, "%w", err)
	}
	// The algorithms were chosen before we knew the peer; hold them against
	// what its own configuration allows.
	if _, _, err := transform.Select(sa.cfg.Proposals, []transform.Proposal{sa.hs.chosen}); err != nil {
		return &notifyError{notify: message.NotifyNoProposalChosen, code: FailNoProposal,
			err: fmt.Errorf("%v is not for %q: %w", sa.keys.suite, claim.Peer, err)}
	}
	return nil
}

// admit answers a peer that has proved itself: in holds what it asked for.
func (sa *SA) admit(payloads []message.Payload, in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	if elsewhere, ok := sa.turnElsewhere(payloads); ok {
		return elsewhere, nil
	}
	sa.noteNotifies(in, now)
	if sa.agreeMobike(in); sa.mob.on {
		payloads = append(payloads, sa.offerMobike()...)
	}
	sa.establish(now)
	if sa.cfg.ReauthTime > 0 {
		payloads = append(payloads, &message.Notify{Kind: message.NotifyAuthLifetime,
			Data: binary.BigEndian.AppendUint32(nil, uint32(sa.reauthBy.Sub(now)/time.Second))})
	}
	payloads = append(payloads, sa.ticketFor(in, now)...)
	payloads = append(payloads, sa.tokenNotify()...)
	sa.e.closeOthers(sa, in.notify(message.NotifyInitialContact) != nil, now)

	hs := sa.hs
	if hs.ppk.used {
		payloads = append(payloads, status(message.NotifyPPKIdentity))
	}
	sa.endHandshake()
	reply, bad := sa.assign(in.cp)
	var child *negotiated
	wanted, _ := asksForChild(in)
	if bad == nil && wanted {
		child, bad = sa.choose(in, childConfigs(sa.cfg), true)
	}
	sa.e.emit(Established{SA: sa, PeerID: sa.peerID, LocalAuth: sa.localAuth, PeerAuth: sa.peerAuth, Childless: child == nil, Resumed: sa.resumed, Weak: hs.weak})
	if bad != nil {
		sa.childFailed("", bad.failure(), now)
		return append(payloads, &message.Notify{Kind: bad.notify, Data: bad.data}), nil
	}
	if reply != nil {
		payloads = append(payloads, reply)
	}
	if !wanted {
		return payloads, nil
	}
	child.keyIn, child.keyOut = sa.keys.childKeys(child.suite, nil, hs.nonceI, hs.nonceR, nil, false)
	child.in = sa.e.newChildSPI()
	sa.install(child, true, nil, now)
	return append(payloads, child.answer(nil, nil)...), nil
}

// closeOthers ends older SAs with the same peer: silently when the peer says
// that it knows of none, with a Delete when our configuration wants one alone.
// Of a user whom EAP has proved that is the same user: its identity of IKE
// proves nothing, and tells only which of its devices it is.
func (e *Endpoint) closeOthers(sa *SA, initialContact bool, now time.Time) {
	if !initialContact && !sa.cfg.Unique {
		return
	}
	for _, other := range e.known.others(sa) {
		if other.state != StateUp || !other.localID.Equal(sa.localID) {
			continue
		}
		forgotten := initialContact && other.peerID.Equal(sa.peerID)
		if !forgotten && !sa.cfg.Unique {
			continue
		}
		if forgotten && other.line && now.Sub(other.up) < e.opt.HalfOpenTimeout {
			continue // both ends started at once: the peer said so before it knew of this one
		}
		f := &Failure{Code: FailReplaced}
		if forgotten {
			other.close(f, now)
		} else {
			other.startClose(f, now)
			e.touch(other)
		}
	}
}
