package ike

import (
	"errors"
	"fmt"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// guestAuth is a peer that proves itself to us with EAP: the other end of
// userAuth.
type guestAuth struct {
	server *eap.Server
	wants  *inbox // its first request
}

// guestPatience is how long a guest may take, with a user who types.
const guestPatience = 2 * time.Minute

// askEAP answers a peer that brings no AUTH: we prove ourselves, and ask who the
// user is.
func (sa *SA) askEAP(in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	refused := func(code FailureCode, err error) ([]message.Payload, *notifyError) {
		return nil, &notifyError{notify: message.NotifyAuthenticationFailed, code: code, err: err}
	}
	if sa.hs.guest != nil {
		return refused(FailProtocol, errors.New("a new authentication in the midst of EAP"))
	}
	if err := sa.resolve(in); err != nil {
		return nil, err
	}
	if sa.cfg.Peer.EAP == nil || sa.cfg.Local.EAP != nil {
		return refused(FailPeerAuth, errors.New("the peer wants to authenticate with EAP, which is not offered"))
	}
	const need = hasSA | hasTSi | hasTSr
	if in.has&need != need {
		return nil, syntaxError("a request without the Child SA that it is for")
	}
	peer := auth.Identity{Type: auth.IDType(in.idi.Kind), Data: append([]byte(nil), in.idi.Data...)}
	if err := peer.Check(); err != nil {
		return refused(FailPeerIdentity, err)
	}
	if !peer.Matches(sa.cfg.Peer.ID) {
		return refused(FailPeerIdentity, fmt.Errorf("the peer calls itself %q, not %q", peer, sa.cfg.Peer.ID))
	}
	sa.peerID, sa.localID = peer, sa.ownID()
	idr := idPayload(sa.localID, true)
	payloads := []message.Payload{idr}
	if !sa.cfg.Peer.EAP.Alone || in.notify(message.NotifyEAPOnlyAuthentication) == nil {
		proof, err := sa.prove(idr, sa.hs.response, sa.hs.nonceI)
		if err != nil {
			return refused(FailLocalCredential, err)
		}
		payloads = append(append(payloads, sa.certificates()...), proof)
	}
	g := &guestAuth{server: sa.cfg.Peer.EAP.New(), wants: in}
	first, err := g.server.Start()
	if err != nil {
		return refused(FailInternal, err)
	}
	sa.hs.guest = g
	sa.giveUpAt = now.Add(guestPatience)
	return append(payloads, &message.EAP{Packet: first}), nil
}

// answerEAP goes on with EAP. A failure is told within it, and ends the SA.
func (sa *SA) answerEAP(in *inbox, _ time.Time) ([]message.Payload, *notifyError) {
	g := sa.hs.guest
	if g == nil {
		return nil, syntaxError("EAP that nobody asked for")
	}
	next, err := g.server.Handle(in.eap)
	if next == nil {
		return nil, &notifyError{notify: message.NotifyAuthenticationFailed, code: FailPeerAuth, err: err}
	}
	if p, bad := eap.Parse(next); bad != nil || p.Code == eap.CodeFailure {
		if err == nil {
			err = eap.ErrRefused
		}
		sa.end = &ending{&Failure{Code: FailPeerAuth, Err: fmt.Errorf("user %q: %w", g.server.User(), err)}}
	}
	return []message.Payload{&message.EAP{Packet: next}}, nil
}

// admitEAP checks that the peer is the one that EAP spoke with, proves the same
// of us, and lets it in.
func (sa *SA) admitEAP(in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	refused := func(err error) ([]message.Payload, *notifyError) {
		return nil, &notifyError{notify: message.NotifyAuthenticationFailed, code: FailPeerAuth, err: err}
	}
	g := sa.hs.guest
	if g == nil || !g.server.Succeeded() {
		return refused(errors.New("AUTH before the end of EAP"))
	}
	key := g.server.MSK()
	defer transform.Wipe(key)
	idi, idr := idPayload(sa.peerID, false), idPayload(sa.localID, true)
	theirs, ours := key, key
	if key == nil {
		theirs, ours = sa.keys.pPeer, sa.keys.pLocal
	}
	octets := auth.SignedOctets(sa.keys.prf, sa.hs.request, sa.hs.nonceR, sa.keys.pPeer, idi.AppendTo(nil))
	if in.auth.Method != message.AuthPSK || !auth.VerifyPSK(sa.keys.prf, theirs, in.auth.Data, octets) {
		return refused(errWrongProof)
	}
	sa.peerAuth = fmt.Sprintf("EAP-%v (%s)", g.server.Method(), g.server.User())
	octets = auth.SignedOctets(sa.keys.prf, sa.hs.response, sa.hs.nonceI, sa.keys.pLocal, idr.AppendTo(nil))
	proof := &message.Auth{Method: message.AuthPSK, Data: auth.PSK(sa.keys.prf, ours, octets)}
	return sa.admit([]message.Payload{proof}, g.wants, now)
}
