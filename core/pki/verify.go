package pki

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"time"

	"sallyport/core/ike/auth"
)

// The bounds on what a peer may send us. No signature is checked beyond them.
const (
	MaxCertificates = 10
	maxChainBytes   = 64 << 10
)

// A Purpose is what a certificate is used for.
type Purpose uint8

// The purposes: the peer is the gateway that we connect to, or a client that
// connects to us.
const (
	Gateway Purpose = iota + 1
	Client
)

// String names the purpose.
func (p Purpose) String() string {
	if p == Client {
		return "client"
	}
	return "gateway"
}

// A Request asks whether a chain proves who the peer is.
type Request struct {
	Claimed auth.Identity // what the peer sent in IDi or IDr
	Wanted  auth.Identity // pattern of the profile; the zero value takes any that the certificate proves
	Purpose Purpose
}

// A Verifier believes certificates that lead to its roots. The system's roots
// are not among them unless the caller gives them. It is immutable.
type Verifier struct {
	Roots         []*x509.Certificate // trusted, as the profile names them
	System        *x509.CertPool      // trusted as well: the system's; nil: none
	Intermediates []*x509.Certificate // known, not trusted; beside those that the peer sends
	// Revocation says what must be known of a path beside: see NewCheck.
	Revocation Revocation
	// RevocationPrivate says that servers in private networks may be asked.
	RevocationPrivate bool
	// Weak allows RSA keys of 1024 to 2047 bits and signatures over SHA-1 on the
	// way to Roots, as a profile may for a gateway that has nothing better.
	Weak bool
}

// ParseChain parses the certificates that a peer sent, one CERT payload of
// encoding 4 each, its own first. Their number and size are bounded.
func ParseChain(ders [][]byte) ([]*x509.Certificate, error) {
	if len(ders) == 0 {
		return nil, &Error{Kind: Malformed, Detail: "the peer sent no certificate"}
	}
	if len(ders) > MaxCertificates {
		return nil, &Error{Kind: Malformed, Detail: fmt.Sprintf("the peer sent %d certificates (at most %d are read)", len(ders), MaxCertificates)}
	}
	size := 0
	chain := make([]*x509.Certificate, 0, len(ders))
	for i, der := range ders {
		if size += len(der); size > maxChainBytes {
			return nil, &Error{Kind: Malformed, Detail: fmt.Sprintf("the peer sent more than %d bytes of certificates", maxChainBytes)}
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, &Error{Kind: Malformed, Detail: fmt.Sprintf("certificate %d of the peer cannot be parsed", i+1), Err: err}
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// Verify checks that chain, whose first certificate is the peer's own, leads
// to a root at the time now; that the certificate serves the purpose; that it
// holds the identity which the peer claims; and that this is who is wanted. It
// returns the key that must verify the peer's AUTH payload. The error is an
// *Error.
//
// Every certificate but the root must be signed with more than SHA-1 and every
// key be strong (auth.CheckKey), unless v.Weak; every critical extension must be
// understood. A key that is weak is returned as an *auth.WeakPublicKey.
// Constraints on directory names are not understood: an authority that has
// them is refused.
func (v *Verifier) Verify(chain []*x509.Certificate, req Request, now time.Time) (crypto.PublicKey, error) {
	_, pub, err := v.VerifyPath(chain, req, now)
	return pub, err
}

// VerifyPath is Verify, and returns the path as well: the peer's certificate
// first, a root last. Whether certificates were revoked is left to a Check.
func (v *Verifier) VerifyPath(chain []*x509.Certificate, req Request, now time.Time) ([]*x509.Certificate, crypto.PublicKey, error) {
	if len(chain) == 0 {
		return nil, nil, &Error{Kind: Malformed, Detail: "the peer sent no certificate"}
	}
	size := 0
	for _, c := range chain {
		size += len(c.Raw)
	}
	if len(chain) > MaxCertificates || size > maxChainBytes {
		return nil, nil, &Error{Kind: Malformed, Detail: fmt.Sprintf("%d certificates of %d bytes are too many", len(chain), size)}
	}
	leaf := chain[0]
	pub, err := v.leafKey(leaf)
	if err != nil {
		return nil, nil, err
	}
	path, err := v.checkPath(chain, req.Purpose, now)
	if err != nil {
		return nil, nil, err
	}
	if err := checkPurpose(leaf, req.Purpose); err != nil {
		return nil, nil, err
	}
	if !req.Claimed.Matches(req.Wanted) {
		return nil, nil, &Error{Kind: Identity, Subject: name(leaf), Expected: said(req.Wanted), Found: said(req.Claimed),
			Detail: fmt.Sprintf("was shown by a peer that calls itself %q, not %q", said(req.Claimed), said(req.Wanted))}
	}
	if err := checkIdentity(leaf, req.Claimed); err != nil {
		return nil, nil, err
	}
	return path, pub, nil
}

// leafKey returns the key of the peer's certificate when it may authenticate.
func (v *Verifier) leafKey(leaf *x509.Certificate) (crypto.PublicKey, error) {
	pub, err := PublicKey(leaf)
	if err != nil {
		return nil, err
	}
	if v.Weak {
		pub = auth.Weaken(pub)
	}
	return pub, v.checkKey(leaf, "has a key that is not accepted")
}
