package ike

import (
	"crypto"
	"crypto/x509"
	"time"

	"sallyport/core/ike/message"
	"sallyport/core/pki"
)

// revocationPatience is how long the fetches of a CheckRevocation may take. The
// caller ends them before; this is for one that forgets.
const revocationPatience = 6 * time.Second

// A heldAuth is a handshake that waits until it is known whether the peer's certificate was
// revoked. The peer has proved that it has the key; nothing it asks for or
// gives has been looked at yet.
type heldAuth struct {
	check *pki.Check
	offer *offer // the initiator's; freed when nothing comes of it
	// asked is the request whose answer the peer waits for.
	asked *message.Header
	// follow goes on as the initiator, answer as the responder.
	follow func(now time.Time) *notifyError
	answer func(now time.Time) ([]message.Payload, *notifyError)
}

// beginRevocation checks what is known of a path already, and notes what is not.
func (sa *SA) beginRevocation(v *pki.Verifier, path pathAndKey, in *inbox, now time.Time) *notifyError {
	if v.Revocation == pki.RevocationOff {
		return nil
	}
	c := v.NewCheck(path.path, in.ocsp, now)
	if _, more := c.Next(); more {
		sa.hs.held = &heldAuth{check: c}
		return nil
	}
	return sa.judge(c)
}

// judgeWithin is beginRevocation for certificates within EAP: of its server, or of
// a user. responses came in TLS. The key has signed the handshake there.
func (sa *SA) judgeWithin(v *pki.Verifier, path []*x509.Certificate, responses [][]byte, now time.Time) (later bool, err error) {
	if v.Revocation == pki.RevocationOff {
		return false, nil
	}
	c := v.NewCheck(path, responses, now)
	if _, more := c.Next(); more {
		sa.hs.held = &heldAuth{check: c}
		return true, nil
	}
	if bad := sa.judge(c); bad != nil {
		return false, bad.err
	}
	return false, nil
}

// A pathAndKey is what verifying a chain gives.
type pathAndKey struct {
	path []*x509.Certificate
	key  crypto.PublicKey
}

// judge says what a check found.
func (sa *SA) judge(c *pki.Check) *notifyError {
	warnings, err := c.Result()
	if err != nil {
		return &notifyError{notify: message.NotifyAuthenticationFailed, code: FailPeerCertificate, err: err}
	}
	for _, w := range warnings {
		sa.log(Warn, "%s: %s", sa.name(), w)
	}
	return nil
}

// whenGood goes on with follow, now or when it is known that the peer's
// certificate was not revoked.
func (sa *SA) whenGood(o *offer, now time.Time, follow func(now time.Time) *notifyError) *notifyError {
	h := sa.hs.held
	if h == nil {
		return follow(now)
	}
	h.offer, h.follow = o, follow
	sa.waitForRevocation(now)
	return nil
}

// answerWhenGood is whenGood of a responder.
func (sa *SA) answerWhenGood(now time.Time, answer func(now time.Time) ([]message.Payload, *notifyError)) ([]message.Payload, *notifyError) {
	h := sa.hs.held
	if h == nil {
		return answer(now)
	}
	h.answer = answer
	sa.waitForRevocation(now)
	return nil, errLater
}

func (sa *SA) waitForRevocation(now time.Time) {
	sa.giveUpAt, sa.hint = now.Add(revocationPatience), nil
	sa.pending = true
	sa.e.emit(CheckRevocation{SA: sa, Check: sa.hs.held.check})
}

// Checked goes on after a CheckRevocation: the Check has been given all that
// could be had in time.
func (sa *SA) Checked(c *pki.Check, now time.Time) []Effect {
	if sa.hs != nil && sa.hs.held != nil && sa.hs.held.check == c {
		sa.goOn(now)
		sa.e.settle(sa, now)
	}
	return sa.e.take()
}

// goOn ends the wait.
func (sa *SA) goOn(now time.Time) {
	h := sa.hs.held
	sa.hs.held = nil
	sa.giveUpAt = time.Time{}
	bad := sa.judge(h.check)
	if h.follow != nil {
		if bad == nil {
			bad = h.follow(now)
		} else {
			h.offer.free(sa)
		}
		if bad != nil {
			sa.e.fault(bad.Error())
			sa.giveUpOn(bad, now)
		}
		return
	}
	sa.giveUpAt = now.Add(sa.e.opt.HalfOpenTimeout)
	var payloads []message.Payload
	if bad == nil {
		payloads, bad = h.answer(now)
	}
	sa.reply(*h.asked, payloads, bad, now)
}

// giveUpOn ends an SA whose peer is at fault, and tells it so.
func (sa *SA) giveUpOn(err *notifyError, now time.Time) {
	sa.say(&message.Notify{Kind: err.notify, Data: err.data}, now)
	sa.close(err.failure(), now)
}

// waits reports whether the peer's last request waits for its answer.
func (hs *handshake) waits() bool {
	return hs != nil && (hs.guest != nil && hs.guest.asked != nil || hs.held != nil && hs.held.asked != nil)
}
