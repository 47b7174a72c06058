package ike

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
	"sallyport/core/pki"
	"sallyport/core/transform"
)

// A user proves itself to the gateway with EAP (RFC 7296, section 2.16):
//
//	IDi, CERTREQ, SA, TSi, TSr, CP     →
//	                                   ←  IDr, CERT, AUTH, EAP
//	EAP (as often as it takes)         →
//	                                   ←  EAP
//	AUTH, with the key that EAP made   →
//	                                   ←  AUTH, SA, TSi, TSr, CP
//
// The gateway's AUTH is checked before the first EAP packet is looked at: no
// password goes to a gateway that has not proved itself (CVE-2015-4171).
type userAuth struct {
	peer   *eap.Peer
	offer  *offer
	mutual bool                // the gateway has proved itself in no other way (RFC 5998)
	path   []*x509.Certificate // of the server within EAP
	now    time.Time           // of the call under way, for the judge of certificates
}

// ErrUserCertificate says that what the server of EAP refused is a certificate.
var ErrUserCertificate = errors.New("the user's certificate is not accepted")

// SilentToUser is why nobody answers any more in the midst of a method of EAP. A
// refusal would be a word (RFC 3748, section 4.2); OpenIKED up to at least 7.2 says
// none, and drops the IKE SA of a user whose password is wrong.
type SilentToUser struct {
	Method eap.Type
}

// Error says where the peer fell silent.
func (e *SilentToUser) Error() string {
	return fmt.Sprintf("the peer fell silent amid EAP-%v, to which the user had begun to answer", e.Method)
}

// toldAnything reports whether the gateway has heard more of the user than a name.
func (u *userAuth) toldAnything() bool { return u != nil && u.peer.Method() != 0 }

// patience is how long a user may take for an answer, in all.
const patience = 5 * time.Minute

var (
	errOneAuth    = errors.New("the gateway does not take a certificate and EAP after each other (RFC 4739)")
	errUnproved   = errors.New("the gateway asks for the user's proof and has not proved itself")
	errNoEAP      = errors.New("the gateway asks with EAP, and this connection has nobody to answer")
	errNotAsked   = errors.New("the gateway does not ask for the user's proof")
	errPatience   = errors.New("nobody answered what the gateway asks for")
	errWrongProof = errors.New("the peer that EAP spoke with is not the one at the other end of the IKE SA")
)

// authChallenged is the gateway's first answer with EAP in it.
func (sa *SA) authChallenged(t task, in *inbox, _ []uint32, now time.Time) *notifyError {
	offer := t.(*authTask).offer
	cfg := sa.cfg.Local.EAP
	refuse := func(code FailureCode, err error) *notifyError {
		offer.free(sa)
		return &notifyError{notify: message.NotifyAuthenticationFailed, code: code, err: err}
	}
	switch {
	case cfg == nil:
		return refuse(FailLocalCredential, errNoEAP)
	case in.auth != nil:
		if err := sa.verify(in, in.idr, now); err != nil {
			offer.free(sa)
			return err
		}
		return sa.whenGood(offer, now, func(now time.Time) *notifyError {
			sa.beginEAP(offer, false)
			return sa.handleEAP(in, now)
		})
	case !cfg.Only:
		return refuse(FailPeerAuth, errUnproved)
	default: // RFC 5998: it proves itself within EAP
		if err := sa.claimed(in.idr); err != nil {
			offer.free(sa)
			return err
		}
	}
	sa.beginEAP(offer, true)
	return sa.handleEAP(in, now)
}

// claimed notes the identity that the gateway claims, and has yet to prove.
func (sa *SA) claimed(id *message.ID) *notifyError {
	peer := auth.Identity{Type: auth.IDType(id.Kind), Data: slices.Clone(id.Data)}
	err := peer.Check()
	if err == nil && !peer.Matches(sa.cfg.Peer.ID) {
		err = fmt.Errorf("the peer calls itself %q, not %q", peer, sa.cfg.Peer.ID)
	}
	if err != nil {
		return &notifyError{notify: message.NotifyAuthenticationFailed, code: FailPeerIdentity, err: err}
	}
	sa.peerID = peer
	return nil
}

// followWithEAP goes on to EAP after our certificate (RFC 4739): we say who the
// user is, and the gateway asks.
func (sa *SA) followWithEAP(offer *offer, in *inbox, now time.Time) *notifyError {
	if n := in.refusal(); n != nil {
		offer.free(sa)
		sa.close(refusalOf(n, sa.unaskedUser(n)), now)
		return nil
	}
	if in.has&(hasSA|hasCP) != 0 || sa.cfg.Local.Key == nil {
		offer.free(sa)
		return &notifyError{notify: message.NotifyAuthenticationFailed, code: FailPeerAuth, err: errNotAsked}
	}
	sa.beginEAP(offer, false)
	sa.enqueue(&userTask{}, now)
	return nil
}

// unaskedUser is why a peer that has taken our certificate, or seems to, refuses
// instead of asking the user.
func (sa *SA) unaskedUser(n *message.Notify) error {
	if n.Kind != message.NotifyAuthenticationFailed {
		return nil
	}
	return &RefusedProof{ID: sa.localID, EAP: true}
}

func (sa *SA) beginEAP(offer *offer, mutual bool) {
	cfg := sa.cfg.Local.EAP
	u := &userAuth{offer: offer, mutual: mutual}
	pc := eap.PeerConfig{Identity: cfg.Identity, Anonymous: cfg.Anonymous, Methods: cfg.Methods, Inner: cfg.Inner,
		Password: cfg.Password, MutualOnly: mutual, Certificate: cfg.Certificate, Rand: sa.e.opt.Rand}
	if cfg.Verifier != nil {
		pc.VerifyServer = func(chain []*x509.Certificate) error { return sa.verifyEAPServer(chain, u.now) }
		pc.Revocation = func(stapled []byte) (bool, error) {
			var brought [][]byte
			if stapled != nil {
				brought = [][]byte{stapled}
			}
			return sa.judgeWithin(cfg.Verifier, u.path, brought, u.now)
		}
	}
	if cfg.Certificate != nil {
		_, pc.SlowKey = cfg.Certificate.PrivateKey.(SlowKey)
	}
	u.peer = eap.NewPeer(pc)
	sa.hs.user = u
}

// verifyEAPServer judges the server's certificate in TLS. Without a name of its
// own it must be the gateway's.
func (sa *SA) verifyEAPServer(chain []*x509.Certificate, now time.Time) error {
	want := sa.cfg.Local.EAP.Server
	claim := want
	if isPattern(want) {
		want, claim = sa.peerID, sa.peerID
	}
	path, _, err := sa.cfg.Local.EAP.Verifier.VerifyPath(chain, pki.Request{Claimed: claim, Wanted: want, Purpose: pki.Gateway}, now)
	sa.noteWeak(path)
	sa.hs.user.path = path
	return err
}

// handleEAP gives the gateway's packet to EAP.
func (sa *SA) handleEAP(in *inbox, now time.Time) *notifyError {
	u := sa.hs.user
	u.now = now
	step, err := u.peer.Handle(in.eap)
	return sa.stepEAP(step, err, now)
}

func (sa *SA) stepEAP(step eap.Step, err error, now time.Time) *notifyError {
	u := sa.hs.user
	switch {
	case err != nil:
		if errors.Is(err, eap.ErrRefused) && u.peer.Method() == eap.TypeTLS {
			err = fmt.Errorf("%w: %w", ErrUserCertificate, err)
		}
		return eapFailure(err)
	case step.Waits:
		return sa.whenGood(u.offer, now, func(now time.Time) *notifyError {
			u.now = now
			step, err := u.peer.Resume()
			return sa.stepEAP(step, err, now)
		})
	case step.Question != nil && step.Question.Kind == eap.AskSignature:
		sa.signWithinEAP(step.Question, now)
	case step.Question != nil:
		sa.giveUpAt = now.Add(patience)
		sa.hint = &Failure{Code: FailLocalCredential, Err: errPatience}
		sa.e.emit(Ask{SA: sa, Question: *step.Question})
	case step.Reply != nil:
		sa.enqueue(&eapTask{packet: step.Reply}, now)
	default:
		sa.localAuth = "EAP-" + u.peer.Method().String()
		sa.enqueue(&proofTask{}, now)
	}
	return nil
}

// eapFailure says what an error of EAP means.
func eapFailure(err error) *notifyError {
	e := &notifyError{notify: message.NotifyAuthenticationFailed, code: FailProtocol, err: err}
	switch {
	case errors.Is(err, eap.ErrRefused):
		e.code = FailAuthRefused
	case errors.Is(err, eap.ErrNoMethod):
		e.code = FailEAPMethod
	case errors.Is(err, eap.ErrCredential):
		e.code = FailLocalCredential
	case errors.Is(err, eap.ErrServer), errors.Is(err, eap.ErrEarlySuccess):
		e.code = FailPeerAuth
		var p *pki.Error
		if errors.As(err, &p) {
			e.code = FailPeerCertificate
			if p.Kind == pki.Identity {
				e.code = FailPeerIdentity
			}
		}
	}
	return e
}

// Answer goes on with what the user answered to the last Ask. The caller wipes
// the secret. To give up, Close the SA.
func (sa *SA) Answer(secret []byte, now time.Time) []Effect {
	if sa.state == StateAuthSent && sa.hs.user != nil && sa.flight == nil && sa.hs.signing == nil {
		sa.giveUpAt, sa.hint = time.Time{}, nil
		step, err := sa.hs.user.peer.Answer(secret)
		if bad := sa.stepEAP(step, err, now); bad != nil {
			sa.giveUp(bad.failure(), now)
		}
		sa.e.settle(sa, now)
	}
	return sa.e.take()
}

// eapAnswered is the gateway's next packet of EAP.
func (sa *SA) eapAnswered(_ task, in *inbox, _ []uint32, now time.Time) *notifyError {
	return sa.handleEAP(in, now)
}

// proofAnswered is the end: the gateway too knows the key that EAP made, and
// gives what we asked for in the beginning.
func (sa *SA) proofAnswered(_ task, in *inbox, _ []uint32, now time.Time) *notifyError {
	u := sa.hs.user
	if bad := sa.settlePPK(in); bad != nil {
		return bad
	}
	key := u.peer.MSK()
	defer transform.Wipe(key)
	switch {
	case key == nil && u.mutual: // anyone at the other end knows SK_pr
		return &notifyError{notify: message.NotifyAuthenticationFailed, code: FailPeerAuth, err: errUnproved}
	case key == nil:
		key = slices.Clone(sa.keys.pPeer)
	}
	id := idPayload(sa.peerID, true)
	octets := sa.octets(false, id)
	if in.auth.Method != message.AuthPSK || !auth.VerifyPSK(sa.keys.prf, key, in.auth.Data, octets) {
		return &notifyError{notify: message.NotifyAuthenticationFailed, code: FailPeerAuth, err: errWrongProof}
	}
	if sa.peerAuth == "" {
		sa.peerAuth = sa.localAuth
	}
	return sa.admitted(u.offer, in, now)
}

// A userTask says who the user is, after the certificate (RFC 4739).
type userTask struct{ authStep }

func (*userTask) kind() kind { return kindUser }
func (*userTask) refused(sa *SA, n *message.Notify, now time.Time) {
	sa.close(refusalOf(n, sa.unaskedUser(n)), now)
}
func (*userTask) request(sa *SA, _ time.Time) ([]message.Payload, bool) {
	return []message.Payload{idPayload(sa.localID, false)}, true
}

// An eapTask carries one packet of EAP.
type eapTask struct {
	authStep
	packet []byte
}

func (*eapTask) kind() kind { return kindEAP }
func (t *eapTask) request(*SA, time.Time) ([]message.Payload, bool) {
	return []message.Payload{&message.EAP{Packet: t.packet}}, true
}

// A proofTask proves that we are the one that EAP spoke with: without a key of
// EAP's own, with SK_pi (RFC 7296, section 2.16).
type proofTask struct{ authStep }

func (*proofTask) kind() kind { return kindProof }
func (*proofTask) request(sa *SA, _ time.Time) ([]message.Payload, bool) {
	idi := idPayload(sa.localID, false)
	payloads, err := sa.lastProof(func() (*message.Auth, error) {
		key := sa.hs.user.peer.MSK()
		defer transform.Wipe(key)
		if key == nil {
			key = slices.Clone(sa.keys.pLocal)
		}
		return &message.Auth{Method: message.AuthPSK, Data: auth.PSK(sa.keys.prf, key, sa.octets(true, idi))}, nil
	})
	return payloads, err == nil
}

// authStep is what the later exchanges of IKE_AUTH have in common: a refusal
// ends the SA.
type authStep struct{}

func (authStep) exchange() message.ExchangeType { return message.IKEAuth }
func (authStep) abandoned(*SA, time.Time)       {}
func (authStep) refused(sa *SA, n *message.Notify, now time.Time) {
	sa.close(refusalOf(n, nil), now)
}
