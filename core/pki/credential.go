package pki

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/x509"
	"fmt"

	"sallyport/core/ike/auth"
)

// A Credential is what an end proves itself with: its certificate first, then
// the intermediates to send along, and the private key.
type Credential struct {
	Chain []*x509.Certificate
	Key   crypto.Signer
}

// NewCredential returns the credential of a leaf certificate and its key, with
// the intermediates that Chain picks from pool. It checks that they belong
// together and that the key is strong enough to be believed.
func NewCredential(leaf *x509.Certificate, pool []*x509.Certificate, key crypto.Signer) (*Credential, error) {
	c := &Credential{Chain: Chain(leaf, pool), Key: key}
	return c, c.Check()
}

// Check reports whether key and certificate belong together and can
// authenticate an end. Validity in time is the peer's to judge, and for a
// warning: see Verifier.
func (c *Credential) Check() error {
	if len(c.Chain) == 0 || c.Chain[0] == nil || c.Key == nil {
		return &Error{Kind: Malformed, Detail: "the credential lacks its certificate or private key"}
	}
	leaf := c.Chain[0]
	pub, err := PublicKey(leaf)
	if err != nil {
		return err
	}
	if !sameKey(pub, c.Key.Public()) {
		return &Error{Kind: Mismatch, Subject: name(leaf), Detail: fmt.Sprintf(
			"and the private key do not belong together (the certificate holds an %s key, the private key is %s)",
			keyText(pub), keyText(c.Key.Public()))}
	}
	if err := auth.CheckKey(pub); err != nil {
		return &Error{Kind: Weak, Subject: name(leaf), Detail: "has a key that is not accepted", Err: err}
	}
	return nil
}

// sameKey compares public keys. A key file may hold an RSA key without the
// confinement to RSASSA-PSS that its certificate states.
func sameKey(cert, key crypto.PublicKey) bool {
	if c, ok := cert.(*auth.PSSPublicKey); ok {
		if k, ok := key.(*auth.PSSPublicKey); ok {
			return c.Key.Equal(k.Key)
		}
		return c.Key.Equal(key)
	}
	k, ok := cert.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(key)
}

// Signer returns the key to sign with: confined to RSASSA-PSS when the
// certificate says so.
func (c *Credential) Signer() crypto.Signer { return confine(c.Chain[0], c.Key) }

// Subject returns the subject name of a certificate as an identity: what an
// end claims when its profile names no identity.
func Subject(cert *x509.Certificate) auth.Identity { return auth.FromDN(cert.RawSubject) }

// Identity returns the identity to claim for the one that the profile names:
// "%any" stands for the certificate's subject, or for the first of its other names
// when that is empty, and a DN is sent in the certificate's own encoding. An identity that the certificate does not hold
// is an *Error of kind Identity, for no peer would believe it.
func (c *Credential) Identity(id auth.Identity) (auth.Identity, error) {
	leaf := c.Chain[0]
	if id.IsAny() && nameless(leaf) {
		others := Names(leaf)[1:]
		if len(others) == 0 {
			return id, &Error{Kind: Identity, Issuer: issuerName(leaf), Detail: "names nobody"}
		}
		return others[0], nil
	}
	if id.IsAny() || !nameless(leaf) && id.Equal(Subject(leaf)) {
		return Subject(leaf), nil
	}
	return id, checkIdentity(leaf, id)
}

// Chain orders the certificates that lead from leaf upward, picking issuers
// from pool by name and signature: the leaf, then intermediates. A self-signed
// root is left out, for the peer has it or will not believe it.
func Chain(leaf *x509.Certificate, pool []*x509.Certificate) []*x509.Certificate {
	chain := []*x509.Certificate{leaf}
	for len(chain) < MaxCertificates {
		next := issuer(chain[len(chain)-1], pool, chain)
		if next == nil || selfIssued(next) {
			break
		}
		chain = append(chain, next)
	}
	return chain
}

// issuer finds a certificate in pool that signed c and is not in chain yet.
func issuer(c *x509.Certificate, pool, chain []*x509.Certificate) *x509.Certificate {
	if selfIssued(c) {
		return nil
	}
	for _, p := range pool {
		if bytes.Equal(p.RawSubject, c.RawIssuer) && !contains(chain, p) && signedBy(c, p) {
			return p
		}
	}
	return nil
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

func contains(list []*x509.Certificate, c *x509.Certificate) bool {
	for _, o := range list {
		if o.Equal(c) {
			return true
		}
	}
	return false
}

// CertReqHashes returns the Certification Authority field of a CERTREQ payload
// of encoding 4: the SHA-1 hashes of the authorities' SubjectPublicKeyInfo,
// one behind the other (RFC 7296, section 3.7). It is a hint, not a proof,
// which is why SHA-1 does no harm.
func CertReqHashes(roots []*x509.Certificate) []byte {
	var out []byte
	for _, r := range roots {
		h := sha1.Sum(r.RawSubjectPublicKeyInfo)
		if !containsHash(out, h[:]) {
			out = append(out, h[:]...)
		}
	}
	return out
}

func containsHash(list, h []byte) bool {
	for ; len(list) >= len(h); list = list[len(h):] {
		if bytes.Equal(list[:len(h)], h) {
			return true
		}
	}
	return false
}
