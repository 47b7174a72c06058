package ike

import (
	"bytes"
	"crypto"
	"errors"
	"time"

	"sallyport/core/eap"
	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
)

// A SlowKey is a private key that takes its time, or may never answer: one on a
// token. It signs where nothing else waits for it, see Sign.
type SlowKey interface {
	crypto.Signer
	Slow()
}

// Sign says that the authentication waits for a signature of a SlowKey. The
// receiver has it made, and gives it to SA.Signed.
type Sign struct {
	SA     *SA
	Key    crypto.Signer
	Digest []byte // or, where Opts names no hash, the message itself
	Opts   crypto.SignerOpts
}

func (Sign) effect() {}

// signPatience is how long a signature may take: with a PIN that the user types
// at the reader.
const signPatience = 90 * time.Second

// A signing is a signature that is on its way.
type signing struct {
	octets   []byte         // that AUTH covers
	unsigned *auth.Unsigned // nil: the signature is TLS's, within EAP
	again    task           // goes on with it
}

// A signature is one that has been made for this handshake.
type signature struct {
	signing
	sig []byte
}

// maxSignatures bounds the signatures of one handshake.
const maxSignatures = 4

var (
	// errSigning says that the answer comes with SA.Signed.
	errSigning    = errors.New("the signature is on its way")
	errSignatures = errors.New("more signatures than a handshake needs")
	errNoSigner   = errors.New("the key did not sign in time")
)

// sign makes the data of our AUTH payload with a key. Of a slow one that needs a
// second call, after Signed.
func (sa *SA) sign(key crypto.Signer, octets []byte, schemes []auth.Scheme) (auth.Method, []byte, string, error) {
	if _, slow := key.(SlowKey); !slow || !sa.initiator {
		return auth.Sign(sa.e.opt.Rand, key, octets, sa.hashes, schemes)
	}
	for _, s := range sa.hs.signed {
		if s.unsigned != nil && bytes.Equal(s.octets, octets) {
			return s.unsigned.Finish(s.sig)
		}
	}
	if len(sa.hs.signed) == maxSignatures {
		return 0, nil, "", errSignatures
	}
	u, err := auth.Prepare(key.Public(), octets, sa.hashes, schemes)
	if err != nil {
		return 0, nil, "", err
	}
	sa.hs.signing = &signing{octets: octets, unsigned: u}
	sa.e.emit(Sign{SA: sa, Key: key, Digest: u.Digest, Opts: u.Opts})
	return 0, nil, "", errSigning
}

// waitForKey lets a task wait for the signature that it asked for.
func (sa *SA) waitForKey(t task, now time.Time) {
	sa.hs.signing.again = t
	sa.giveUpAt = now.Add(signPatience)
	sa.hint = &Failure{Code: FailLocalCredential, Err: errNoSigner}
}

// signWithinEAP has the signature made that TLS needs.
func (sa *SA) signWithinEAP(q *eap.Question, now time.Time) {
	sa.hs.signing = &signing{}
	sa.waitForKey(nil, now)
	sa.e.emit(Sign{SA: sa, Key: sa.cfg.Local.EAP.Certificate.PrivateKey.(crypto.Signer), Digest: q.Digest, Opts: q.Opts})
}

// Signed goes on with the signature that Sign asked for, or ends the SA with why
// there is none.
func (sa *SA) Signed(sig []byte, err error, now time.Time) []Effect {
	if sa.state != StateAuthSent || sa.hs == nil || sa.hs.signing == nil {
		return nil
	}
	w := sa.hs.signing
	sa.hs.signing = nil
	sa.giveUpAt, sa.hint = time.Time{}, nil
	switch {
	case err != nil && w.unsigned != nil: // the peer has heard nothing of us yet
		sa.close(&Failure{Code: FailLocalCredential, Err: err}, now)
	case err != nil:
		sa.giveUpOn(&notifyError{notify: message.NotifyAuthenticationFailed, code: FailLocalCredential, err: err}, now)
	case w.unsigned != nil:
		sa.hs.signed = append(sa.hs.signed, signature{*w, bytes.Clone(sig)})
		sa.enqueue(w.again, now)
	default:
		step, err := sa.hs.user.peer.Answer(sig)
		if bad := sa.stepEAP(step, err, now); bad != nil {
			sa.giveUp(bad.failure(), now)
		}
	}
	sa.e.settle(sa, now)
	return sa.e.take()
}
