package ike

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"slices"
	"time"

	"sallyport/core/ike/auth"
	"sallyport/core/ike/message"
)

// maxOCSP bounds the OCSP responses that we send along.
const maxOCSP = 4

// chooseCredential chooses what we prove ourselves with by the authorities that
// the peer names in CERTREQ (RFC 7296, section 3.7): the first that leads to one
// of them, and otherwise the first of all. An initiator heard them in
// IKE_SA_INIT, a responder hears them in the request.
func (sa *SA) chooseCredential(in *inbox) {
	if in != nil {
		for _, r := range in.certReqs {
			sa.hs.certReqs = append(sa.hs.certReqs, *r)
		}
	}
	local := &sa.cfg.Local
	first := &Credential{ID: local.ID, Key: local.Key, Chain: local.Chain, Authorities: local.Authorities, OCSP: local.OCSP}
	sa.hs.own = first
	if local.Key == nil || sa.asksFor(first) {
		return
	}
	for i := range local.More {
		if c := &local.More[i]; sa.asksFor(c) {
			sa.hs.own = c
			return
		}
	}
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

// credential is the one chosen.
func (sa *SA) credential() *Credential {
	if sa.hs.own == nil {
		sa.chooseCredential(nil)
	}
	return sa.hs.own
}

// ownID is our identity: the one configured, or our address.
func (sa *SA) ownID() auth.Identity {
	if id := sa.credential().ID; !id.IsAny() {
		return id
	}
	return auth.FromAddr(sa.path.Local.Addr().Unmap())
}

// certificates are the CERT payloads of our chain, when we have one, with its
// state when the peer wants to know it (RFC 4806).
func (sa *SA) certificates(now time.Time) []message.Payload {
	own := sa.credential()
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
		if i == maxOCSP {
			break
		}
		list = append(list, &message.Cert{Encoding: message.CertOCSP, Data: r})
	}
	return list
}
