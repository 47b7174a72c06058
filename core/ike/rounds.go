package ike

import (
	"crypto/x509"
	"errors"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
)

// A peer may have to prove itself twice (RFC 4739): with a certificate or a
// pre-shared key, and its user with EAP after that. As the responder:
//
//	                                                ←  MULTIPLE_AUTH_SUPPORTED (IKE_SA_INIT)
//	IDi, CERT, AUTH, SA, TSi, TSr, CP,
//	MULTIPLE_AUTH_SUPPORTED, ANOTHER_AUTH_FOLLOWS   →
//	                                                ←  IDr, CERT, AUTH
//	IDi of the user                                 →
//	                                                ←  EAP
//	EAP (as often as it takes)                      →
//	                                                ←  EAP
//	AUTH, with the key that EAP made                →
//	                                                ←  AUTH, SA, TSi, TSr, CP
//
// Nothing that the first request asks for is given before the second proof. The
// identity of the first round, which a certificate or key has proved, is the
// peer's; that of the second is what its AUTH covers, and proves nothing: who
// the user is EAP says.
type firstRound struct {
	wants *inbox // the request of the first round
}

// ThenEAP stands between the methods of two proofs in Established.
const ThenEAP = ", then "

// asksTwice reports whether the peer has to prove itself, and its user after it.
func (c *Config) asksTwice() bool { return c.Peer.EAP != nil && c.Peer.EAP.After }

// checkRounds compares how often a peer wants to prove itself, as its first
// AUTH says, with how often it has to.
func (sa *SA) checkRounds(in *inbox) *notifyError {
	refused := func(code FailureCode, text string) *notifyError {
		return &notifyError{notify: message.NotifyAuthenticationFailed, code: code, err: errors.New(text)}
	}
	another := in.notify(message.NotifyAnotherAuthFollows) != nil
	switch {
	case another && (!sa.hs.multiple || in.notify(message.NotifyMultipleAuthSupported) == nil):
		return refused(FailProtocol, "the peer announces another authentication, and not both ends have said that they know them (RFC 4739)")
	case another && !sa.cfg.asksTwice():
		return refused(FailPeerAuth, "the peer wants to prove itself a second time, and nothing more is asked of it (RFC 4739)")
	case !another && sa.cfg.asksTwice():
		return refused(FailPeerAuth, "the peer proves itself once, and its user has to after that (RFC 4739)")
	}
	return nil
}

// awaitUser ends the first round: what the peer asks for waits for its user.
func (sa *SA) awaitUser(in *inbox, now time.Time) {
	sa.hs.first = &firstRound{wants: in}
	sa.giveUpAt = now.Add(guestPatience)
}

// askUser begins the second round.
func (sa *SA) askUser(in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	id, err := peerIdentity(in.idi)
	if err != nil {
		return nil, &notifyError{notify: message.NotifyAuthenticationFailed, code: FailPeerIdentity, err: err}
	}
	packet, bad := sa.invite(&guestAuth{wants: sa.hs.first.wants, id: id}, now)
	if bad != nil {
		return nil, bad
	}
	return []message.Payload{packet}, nil
}

// invite begins EAP with a guest.
func (sa *SA) invite(g *guestAuth, now time.Time) (*message.EAP, *notifyError) {
	first := (&eap.Packet{Code: eap.CodeRequest, ID: sa.e.random(1)[0], Type: eap.TypeIdentity}).AppendTo(nil)
	if sa.cfg.Peer.EAP.New != nil {
		var err error
		g.server = sa.cfg.Peer.EAP.New(func(v *pki.Verifier, path []*x509.Certificate) (bool, error) {
			return sa.judgeWithin(v, path, nil, sa.hs.guest.now)
		})
		if first, err = g.server.Start(); err != nil {
			return nil, &notifyError{notify: message.NotifyAuthenticationFailed, code: FailInternal, err: err}
		}
	}
	sa.hs.guest = g
	sa.giveUpAt = now.Add(guestPatience)
	return &message.EAP{Packet: first}, nil
}

// peerIdentity is the identity that a peer claims.
func peerIdentity(id *message.ID) (auth.Identity, error) {
	peer := auth.Identity{Type: auth.IDType(id.Kind), Data: append([]byte(nil), id.Data...)}
	return peer, peer.Check()
}
