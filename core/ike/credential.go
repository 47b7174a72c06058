package ike

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
)

// maxOCSP bounds the OCSP responses that we send along.
const maxOCSP = 4

// chooseCredential chooses what we prove ourselves with by the authorities that
// the peer names in CERTREQ (RFC 7296, section 3.7): of those that lead to one of
// them the one preferred, or the first, and otherwise the preferred or the first
// of all. An initiator heard them in IKE_SA_INIT, a responder hears them in the
// request. One that is not valid now is chosen only where no other serves.
//
// CERTREQ is not authenticated at that time. Whoever forges it learns which of
// our certificates leads to an authority, which an active attacker that answers
// in the gateway's place learns anyway; it never makes us show one that the
// configuration does not hold.
func (sa *SA) chooseCredential(in *inbox, now time.Time) *Undecided {
	if in != nil {
		for _, r := range in.certReqs {
			sa.hs.certReqs = append(sa.hs.certReqs, *r)
		}
	}
	local := &sa.cfg.Local
	sa.hs.own = local.credential(1)
	if local.Key == nil || len(local.More) == 0 {
		return nil
	}
	var all, fit []int
	for n := 1; n <= 1+len(local.More); n++ {
		all = append(all, n)
		if sa.asksFor(local.credential(n)) {
			fit = append(fit, n)
		}
	}
	fit = local.valid(fit, now)
	serve := fit
	if len(serve) == 0 {
		serve = local.valid(all, now)
	}
	if slices.Contains(serve, local.Prefer) {
		sa.hs.own = local.credential(local.Prefer)
		return nil
	}
	sa.hs.own = local.credential(serve[0])
	if !local.AskWhich || len(fit) < 2 {
		return nil
	}
	u := &Undecided{}
	for _, n := range fit {
		c := local.credential(n)
		u.Choices = append(u.Choices, CredentialChoice{Number: n, ID: c.ID, Certificate: c.Chain[0]})
	}
	return u
}

// An Undecided is why an initiator with LocalAuth.AskWhich ends before it has
// shown a certificate: the gateway takes each of these, and which is meant only
// the user knows. A gateway does not wait for as long as people take: the next
// attempt has LocalAuth.Prefer.
type Undecided struct {
	Choices []CredentialChoice
}

// A CredentialChoice is one that an Undecided leaves open.
type CredentialChoice struct {
	Number      int // for LocalAuth.Prefer
	ID          auth.Identity
	Certificate *x509.Certificate
}

func (u *Undecided) Error() string {
	return fmt.Sprintf("the gateway takes %d of our certificates, and none is preferred", len(u.Choices))
}

// A RefusedProof is what a peer does not accept of us without saying why, and
// what we know ourselves that may stand against it.
type RefusedProof struct {
	ID          auth.Identity
	Asked       auth.Identity     // the peer's identity that we asked for; zero: any
	Certificate *x509.Certificate // nil: a pre-shared key, or EAP
	// EAP says that the peer, which was to ask the user, refused before it did.
	EAP bool
	// Expired says that the certificate is not valid at this time; Unasked that
	// the peer names authorities (CERTREQ), and none of its.
	Expired, Unasked bool
}

func (r *RefusedProof) Error() string {
	switch {
	case r.EAP:
		return fmt.Sprintf("it did not ask for the proof of %q", r.ID)
	case r.Certificate == nil:
		return fmt.Sprintf("it was shown the pre-shared key of %q", r.ID)
	case r.Expired:
		return fmt.Sprintf("it was shown a certificate of %q that is not valid at this time", r.ID)
	case r.Unasked:
		return fmt.Sprintf("it was shown a certificate of %q, and asks for those of other authorities", r.ID)
	}
	return fmt.Sprintf("it was shown a certificate of %q", r.ID)
}

// refusedProof says what the peer was shown; nil without a proof.
func (sa *SA) refusedProof(now time.Time) error {
	own := sa.hs.own
	if own == nil {
		return nil
	}
	r := &RefusedProof{ID: sa.localID, Asked: sa.askedFor(), EAP: own.Key == nil && sa.cfg.Local.EAP != nil}
	if own.Key == nil {
		return r
	}
	r.Certificate = own.Chain[0]
	r.Expired = now.Before(r.Certificate.NotBefore) || now.After(r.Certificate.NotAfter)
	names := slices.ContainsFunc(sa.hs.certReqs, func(q message.CertReq) bool { return len(q.Hashes()) > 0 })
	known := len(own.Authorities) > 0 || len(own.Chain) > 1
	r.Unasked = names && known && !sa.asksFor(own)
	return r
}

// credential returns the n-th of the certificates that an end has, from 1 on.
func (l *LocalAuth) credential(n int) *Credential {
	if n > 1 {
		return &l.More[n-2]
	}
	return &Credential{ID: l.ID, Key: l.Key, Chain: l.Chain, Authorities: l.Authorities, OCSP: l.OCSP}
}

// valid returns those of the numbered certificates that are valid now; all of
// them where none is.
func (l *LocalAuth) valid(numbers []int, now time.Time) []int {
	var out []int
	for _, n := range numbers {
		if leaf := l.credential(n).Chain[0]; !now.Before(leaf.NotBefore) && !now.After(leaf.NotAfter) {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return numbers
	}
	return out
}

// asksFor reports whether the peer names an authority of c.
func (sa *SA) asksFor(c *Credential) bool {
	var sums [][]byte
	for _, x := range [][]*x509.Certificate{c.Chain[1:], c.Authorities} {
		for _, a := range x {
			sum := sha1.Sum(a.RawSubjectPublicKeyInfo)
			sums = append(sums, sum[:])
		}
	}
	for i := range sa.hs.certReqs {
		for _, h := range sa.hs.certReqs[i].Hashes() {
			if slices.ContainsFunc(sums, func(s []byte) bool { return bytes.Equal(s, h) }) {
				return true
			}
		}
	}
	return false
}

// ownID is our identity: the one configured, or our address.
func (sa *SA) ownID() auth.Identity {
	if id := sa.hs.own.ID; !id.IsAny() {
		return id
	}
	return auth.FromAddr(sa.path.Local.Addr().Unmap())
}

// certificates are the CERT payloads of our chain, when we have one, with its
// state when the peer wants to know it (RFC 4806).
func (sa *SA) certificates(now time.Time) []message.Payload {
	own := sa.hs.own
	if own.Key == nil {
		return nil
	}
	var list []message.Payload
	for _, c := range own.Chain {
		list = append(list, &message.Cert{Encoding: message.CertX509Signature, Data: c.Raw})
	}
	wants := slices.ContainsFunc(sa.hs.certReqs, func(r message.CertReq) bool { return r.Encoding == message.CertOCSP })
	if own.OCSP == nil || !wants {
		return list
	}
	for i, r := range own.OCSP(now) {
		if i < maxOCSP && r != nil {
			list = append(list, &message.Cert{Encoding: message.CertOCSP, Data: r})
		}
	}
	return list
}
