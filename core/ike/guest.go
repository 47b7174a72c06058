package ike

import (
	"bytes"
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
	server *eap.Server   // nil: another asks, see RelayEAP
	wants  *inbox        // the peer's first request
	id     auth.Identity // that its AUTH covers: of the round in which EAP is
	// asked is the peer's request whose answer another owes us; nil: none.
	asked  *message.Header
	passed bool // the user has proved itself
	user   string
	method string
	groups []string
	msk    []byte
	now    time.Time // of the call under way, for the judge of certificates
}

func (g *guestAuth) wipe() {
	if g.server != nil {
		g.server.Wipe()
	}
	transform.Wipe(g.msk)
	g.msk = nil
}

var errNameless = errors.New("the server lets a user in and does not say whom")

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
	if sa.hs.first != nil {
		return sa.askUser(in, now)
	}
	if err := sa.resolve(in); err != nil {
		return nil, err
	}
	if sa.cfg.asksTwice() {
		return refused(FailPeerAuth, errors.New("the peer leaves out its first proof, after which its user is asked (RFC 4739)"))
	}
	if sa.cfg.Peer.EAP == nil || sa.cfg.Local.EAP != nil {
		return refused(FailPeerAuth, errors.New("the peer wants to authenticate with EAP, which is not offered"))
	}
	if _, err := asksForChild(in); err != nil {
		return nil, err
	}
	peer, err := peerIdentity(in.idi)
	if err != nil {
		return refused(FailPeerIdentity, err)
	}
	if !peer.Matches(sa.cfg.Peer.ID) {
		return refused(FailPeerIdentity, fmt.Errorf("the peer calls itself %q, not %q", peer, sa.cfg.Peer.ID))
	}
	sa.chooseCredential(in, now)
	sa.peerID, sa.localID = peer, sa.ownID()
	idr := idPayload(sa.localID, true)
	payloads := []message.Payload{idr}
	if !sa.cfg.Peer.EAP.Alone || in.notify(message.NotifyEAPOnlyAuthentication) == nil {
		proof, err := sa.prove(idr)
		if err != nil {
			return refused(FailLocalCredential, err)
		}
		payloads = append(append(payloads, sa.certificates(now)...), proof)
	}
	packet, bad := sa.invite(&guestAuth{wants: in, id: peer}, now)
	if bad != nil {
		return nil, bad
	}
	return append(payloads, packet), nil
}

// errLater says that the answer to a request comes later.
var errLater = &notifyError{}

// answerEAP goes on with EAP. A failure is told within it, and ends the SA.
func (sa *SA) answerEAP(in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	g := sa.hs.guest
	if g == nil || g.passed {
		return nil, syntaxError("EAP that nobody asked for")
	}
	if g.server == nil {
		sa.pending = true
		sa.e.emit(RelayEAP{SA: sa, Packet: bytes.Clone(in.eap)})
		return nil, errLater
	}
	g.now = now
	next, err := g.server.Handle(in.eap)
	if next == nil && err == nil {
		return sa.answerWhenGood(now, func(now time.Time) ([]message.Payload, *notifyError) {
			g.now = now
			next, err := g.server.Resume()
			return sa.toldGuest(next, err)
		})
	}
	return sa.toldGuest(next, err)
}

// toldGuest answers with what the server of users says.
func (sa *SA) toldGuest(next []byte, err error) ([]message.Payload, *notifyError) {
	g := sa.hs.guest
	if next == nil {
		return nil, &notifyError{notify: message.NotifyAuthenticationFailed, code: FailPeerAuth, err: err}
	}
	if g.server.Succeeded() {
		g.passed, g.user, g.method, g.msk = true, g.server.User(), g.server.Method().String(), g.server.MSK()
	} else if p, bad := eap.Parse(next); bad != nil || p.Code == eap.CodeFailure {
		sa.turnAway(g.server.User(), err)
	}
	return []message.Payload{&message.EAP{Packet: next}}, nil
}

// turnAway ends the SA after the response that tells the peer of its failure.
func (sa *SA) turnAway(user string, err error) {
	if err == nil {
		err = eap.ErrRefused
	}
	sa.log(Info, "%s: user %q is refused: %v", sa.name(), eap.Clean([]byte(user)), err)
	sa.end = &ending{&Failure{Code: FailPeerAuth, Err: fmt.Errorf("user %q: %w", eap.Clean([]byte(user)), err)}}
}

// Relayed goes on with what another server says of the peer's packet.
func (sa *SA) Relayed(r Relayed, now time.Time) []Effect {
	if sa.state != StateInitAnswered || sa.hs.guest == nil || sa.hs.guest.asked == nil {
		transform.Wipe(r.MSK)
		return nil
	}
	g := sa.hs.guest
	h := *g.asked
	g.asked = nil
	payloads := []message.Payload{&message.EAP{Packet: r.Packet}}
	p, err := eap.Parse(r.Packet)
	switch {
	case r.Err != nil || err != nil || p.Code == eap.CodeResponse || p.Code == eap.CodeSuccess && !r.Accepted:
		err = errors.Join(r.Err, err)
		payloads = []message.Payload{&message.Notify{Kind: message.NotifyAuthenticationFailed}}
		sa.turnAway(r.User, err)
	case p.Code == eap.CodeFailure:
		sa.turnAway(r.User, nil)
	case p.Code == eap.CodeSuccess && r.User == "":
		// It would be whoever it calls itself in IKE, which nothing has proved.
		payloads = []message.Payload{&message.Notify{Kind: message.NotifyAuthenticationFailed}}
		sa.turnAway("", errNameless)
	case p.Code == eap.CodeSuccess:
		g.passed, g.user, g.method, g.groups, g.msk = true, r.User, "RADIUS", r.Groups, r.MSK
	}
	if !g.passed {
		transform.Wipe(r.MSK)
	}
	sa.respond(h, payloads, now)
	if sa.end != nil {
		sa.close(sa.end.err, now)
	}
	sa.e.settle(sa, now)
	return sa.e.take()
}

// pool is where the peer's addresses come from.
func (sa *SA) pool() Pool {
	if e := sa.cfg.Peer.EAP; sa.guestUser != "" && e != nil && e.PoolOf != nil {
		if p := e.PoolOf(sa.guestUser, sa.guestGroups); p != nil {
			return p
		}
	}
	return sa.cfg.Pool
}

// lessee is who the addresses are leased to: the user where there is one, since
// many may come with the same identity of IKE.
func (sa *SA) lessee() auth.Identity {
	if sa.guestUser != "" {
		return auth.Identity{Type: auth.IDKeyID, Data: []byte(sa.guestUser)}
	}
	return sa.peerID
}

// admitEAP checks that the peer is the one that EAP spoke with, proves the same
// of us, and lets it in.
func (sa *SA) admitEAP(in *inbox, now time.Time) ([]message.Payload, *notifyError) {
	refused := func(err error) ([]message.Payload, *notifyError) {
		return nil, &notifyError{notify: message.NotifyAuthenticationFailed, code: FailPeerAuth, err: err}
	}
	g := sa.hs.guest
	if g == nil || !g.passed {
		return refused(errors.New("AUTH before the end of EAP"))
	}
	if in.notify(message.NotifyAnotherAuthFollows) != nil {
		return refused(errors.New("the peer wants to prove itself once more than is asked (RFC 4739)"))
	}
	if bad := sa.acceptPPK(in); bad != nil {
		return nil, bad
	}
	key := g.msk
	idi, idr := idPayload(g.id, false), idPayload(sa.localID, true)
	theirs, ours := key, key
	if key == nil {
		theirs, ours = sa.keys.pPeer, sa.keys.pLocal
	}
	octets := sa.octets(false, idi)
	if in.auth.Method != message.AuthPSK || !auth.VerifyPSK(sa.keys.prf, theirs, in.auth.Data, octets) {
		return refused(errWrongProof)
	}
	method := fmt.Sprintf("EAP-%s (%s)", g.method, eap.Clean([]byte(g.user)))
	if sa.hs.first != nil {
		method = sa.peerAuth + ThenEAP + method
	}
	sa.peerAuth = method
	sa.guestUser, sa.guestGroups = g.user, g.groups
	octets = sa.octets(true, idr)
	proof := &message.Auth{Method: message.AuthPSK, Data: auth.PSK(sa.keys.prf, ours, octets)}
	return sa.admit([]message.Payload{proof}, g.wants, now)
}
