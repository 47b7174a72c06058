package ike

import (
	"bytes"
	"errors"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
)

// A PPK is a post-quantum pre-shared key (RFC 8784): a secret of at least 256 bits
// that both ends have beside their proofs of identity. Mixed into the keys it
// keeps what Child SAs carry from who breaks the key exchange, today or one day.
// The IKE SA itself, with the identities in it, has it only from its first rekey on.
type PPK struct {
	ID     []byte // says which one it is, in the open to the peer
	Secret []byte
}

// Types of PPK identities (RFC 8784, section 5.1).
const ppkFixed = 2

var (
	errNoPPK      = errors.New("the peer does not use a post-quantum pre-shared key (RFC 8784), which this connection requires")
	errUnknownPPK = errors.New("the peer names a post-quantum pre-shared key that is not here, and does without none")
)

// A mixture is what a PPK did to the keys of a handshake.
type mixture struct {
	agreed bool // both ends have said USE_PPK
	plain  *keys
	used   bool // both ends have it mixed in
}

// mixPPK mixes a PPK into the keys that are for Child SAs and AUTH (RFC 8784,
// section 3).
func (sa *SA) mixPPK(p *PPK) {
	if sa.hs.ppk.plain != nil {
		return
	}
	k := sa.keys
	sa.hs.ppk.plain = &k
	mix := func(b []byte) []byte { return k.prf.Plus(p.Secret, b, len(b)) }
	sa.keys.d, sa.keys.pLocal, sa.keys.pPeer = mix(k.d), mix(k.pLocal), mix(k.pPeer)
}

// unmixPPK takes the keys back that were before.
func (sa *SA) unmixPPK() {
	k := sa.hs.ppk.plain
	if k == nil {
		return
	}
	transform.Wipe(sa.keys.d, sa.keys.pLocal, sa.keys.pPeer)
	sa.keys.d, sa.keys.pLocal, sa.keys.pPeer = k.d, k.pLocal, k.pPeer
	sa.hs.ppk.plain = nil
}

// wipePPK forgets the keys that a PPK has replaced.
func (sa *SA) wipePPK() {
	if k := sa.hs.ppk.plain; k != nil {
		transform.Wipe(k.d, k.pLocal, k.pPeer)
		sa.hs.ppk.plain = nil
	}
}

// agreePPK notes whether both ends have said USE_PPK; ours says what we did.
func (sa *SA) agreePPK(in *inbox, ours bool) {
	sa.hs.ppk.agreed = ours && in.notify(message.NotifyUsePPK) != nil
}

// lastProof are the payloads of our last proof as the initiator, which auth makes
// under the keys of the moment: with the PPK, and where the peer may do without
// once more without.
func (sa *SA) lastProof(auth func() (*message.Auth, error)) ([]message.Payload, error) {
	if !sa.hs.ppk.agreed {
		proof, err := auth()
		if err != nil {
			return nil, err
		}
		return []message.Payload{proof}, nil
	}
	var without []message.Payload
	if !sa.cfg.PPKRequired {
		sa.unmixPPK() // asked again after a signature
		proof, err := auth()
		if err != nil {
			return nil, err
		}
		without = []message.Payload{&message.Notify{Kind: message.NotifyNoPPKAuth, Data: proof.Data}}
	}
	p := &sa.cfg.PPKs[0]
	sa.mixPPK(p)
	proof, err := auth()
	if err != nil {
		return nil, err
	}
	id := &message.Notify{Kind: message.NotifyPPKIdentity, Data: append([]byte{ppkFixed}, p.ID...)}
	return append([]message.Payload{proof, id}, without...), nil
}

// settlePPK reads in the responder's answer to our last proof whether the PPK is
// in use.
func (sa *SA) settlePPK(in *inbox) *notifyError {
	switch {
	case sa.hs.ppk.plain == nil:
	case in.notify(message.NotifyPPKIdentity) != nil:
		sa.hs.ppk.used, sa.quantum.safe = true, true
	case sa.cfg.PPKRequired:
		return &notifyError{notify: message.NotifyAuthenticationFailed, code: FailPeerAuth, err: errNoPPK}
	default:
		sa.unmixPPK()
	}
	return nil
}

// acceptPPK mixes in the PPK that the peer's last proof is made with. Where there
// is none, the proof that counts is the one without it.
func (sa *SA) acceptPPK(in *inbox) *notifyError {
	refuse := func(err error) *notifyError {
		return &notifyError{notify: message.NotifyAuthenticationFailed, code: FailPeerAuth, err: err}
	}
	id := in.notify(message.NotifyPPKIdentity)
	if !sa.hs.ppk.agreed || id == nil {
		if sa.cfg.PPKRequired {
			return refuse(errNoPPK)
		}
		return nil
	}
	for i := range sa.cfg.PPKs {
		if p := &sa.cfg.PPKs[i]; len(id.Data) > 1 && bytes.Equal(id.Data[1:], p.ID) {
			sa.mixPPK(p)
			sa.hs.ppk.used, sa.quantum.safe = true, true
			return nil
		}
	}
	without := in.notify(message.NotifyNoPPKAuth)
	if without == nil || sa.cfg.PPKRequired {
		return refuse(errUnknownPPK)
	}
	in.auth = &message.Auth{Method: in.auth.Method, Data: without.Data}
	return nil
}
