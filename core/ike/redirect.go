package ike

import (
	"crypto/subtle"
	"slices"
	"time"

	"sallyport/core/ike/message"
)

// A Redirect is why an IKE SA of ours ended with FailRedirected: the peer names
// another gateway (RFC 5685). Before IKE_AUTH anyone on the path may have said so;
// whoever is there has to prove the identity that the Config asks for.
type Redirect struct {
	Gateway string // an address, or a name
}

// Error says where the peer sends us.
func (r *Redirect) Error() string { return "the peer sends us to " + r.Gateway }

// offerRedirect is what an initiator's first message says of redirection.
func (sa *SA) offerRedirect() []message.Payload {
	if !sa.cfg.Redirects {
		return nil
	}
	from := sa.cfg.RedirectedFrom
	if from.Gateway() == "" {
		return []message.Payload{status(message.NotifyRedirectSupported)}
	}
	from.Nonce = nil
	return []message.Payload{status(message.NotifyRedirectSupported),
		&message.Notify{Kind: message.NotifyRedirectedFrom, Data: from.AppendTo(nil)}}
}

// redirect returns the gateway that a message of the peer names; nil: none, or we
// do not follow.
func (sa *SA) redirect(in *inbox) *message.Redirect {
	n := in.notify(message.NotifyRedirect)
	if n == nil || sa.cfg == nil || !sa.cfg.Redirects || !sa.line {
		return nil
	}
	r, err := message.ParseRedirect(n.Data)
	if err != nil {
		sa.e.fault(err.Error())
		return nil
	}
	return &r
}

// redirectedInit follows a REDIRECT in place of an answer to IKE_SA_INIT (RFC
// 5685, section 3). It must repeat our nonce, so that whoever sends it has seen
// our request.
func (sa *SA) redirectedInit(in *inbox, now time.Time) bool {
	r := sa.redirect(in)
	if r == nil {
		return false
	}
	if subtle.ConstantTimeCompare(r.Nonce, sa.hs.nonceI) != 1 {
		sa.e.drop("redirection without our nonce")
		return true
	}
	sa.close(&Failure{Code: FailRedirected, Unauthenticated: true, Err: &Redirect{Gateway: r.Gateway()}}, now)
	return true
}

// redirectedAuth follows a REDIRECT of a peer that has proved itself (RFC 5685,
// section 6): the IKE SA is of no use.
func (sa *SA) redirectedAuth(in *inbox, now time.Time) bool {
	r := sa.redirect(in)
	if r == nil {
		return false
	}
	sa.giveUp(&Failure{Code: FailRedirected, Err: &Redirect{Gateway: r.Gateway()}}, now)
	return true
}

// redirectedUp tells of a REDIRECT on an established IKE SA (RFC 5685, section 5).
func (sa *SA) redirectedUp(in *inbox) {
	if r := sa.redirect(in); r != nil && sa.state == StateUp {
		sa.e.emit(Redirected{SA: sa, Gateway: r.Gateway()})
	}
}

// turnElsewhere sends a peer that has proved itself to another gateway, when we
// are told to and it knows how.
func (sa *SA) turnElsewhere(payloads []message.Payload) ([]message.Payload, bool) {
	to := sa.cfg.RedirectTo
	if to.Gateway() == "" || !sa.hs.redirects {
		return nil, false
	}
	sa.log(Info, "%s: sending %v to %s", sa.name(), sa.peerID, to.Gateway())
	sa.end = &ending{&Failure{Code: FailRedirected, Err: &Redirect{Gateway: to.Gateway()}}}
	to.Nonce = nil
	return append(slices.Clip(payloads), &message.Notify{Kind: message.NotifyRedirect, Data: to.AppendTo(nil)}), true
}
