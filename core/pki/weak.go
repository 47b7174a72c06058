package pki

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"sallyport/core/ike/auth"
)

// checkKey refuses a certificate whose key is weak, or of an unknown kind.
func (v *Verifier) checkKey(c *x509.Certificate, refusal string) error {
	pub, err := PublicKey(c)
	if err != nil {
		return err
	}
	if err = auth.CheckKey(pub); err == nil {
		return nil
	}
	_, allowable := auth.Weaken(pub).(*auth.WeakPublicKey)
	if allowable && v.Weak {
		return nil
	}
	return &Error{Kind: Weak, Subject: name(c), Issuer: issuerName(c), Detail: refusal, Allowable: allowable, Err: err}
}

// checkStrength refuses signatures over MD5 and SHA-1; v.Weak allows the latter.
func (v *Verifier) checkStrength(c *x509.Certificate) error {
	if !weakSignature(c.SignatureAlgorithm) || v.Weak && overSHA1(c) {
		return nil
	}
	return &Error{Kind: Weak, Subject: name(c), Issuer: issuerName(c), Allowable: overSHA1(c),
		Detail: fmt.Sprintf("is signed with %v, which is broken", c.SignatureAlgorithm)}
}

// overSHA1 reports whether a certificate is signed over SHA-1 in a way that may
// be allowed.
func overSHA1(c *x509.Certificate) bool {
	return c.SignatureAlgorithm == x509.SHA1WithRSA || c.SignatureAlgorithm == x509.ECDSAWithSHA1
}

// WeakIn says what is weak in a path that was accepted, the root's own signature
// aside: for the log, and for people.
func WeakIn(path []*x509.Certificate) []string {
	var out []string
	for i, c := range path {
		if pub, err := PublicKey(c); err == nil && auth.CheckKey(pub) != nil {
			out = append(out, fmt.Sprintf("the certificate %q holds an %s key, which is weak", name(c), keyText(pub)))
		}
		if i < len(path)-1 && weakSignature(c.SignatureAlgorithm) {
			out = append(out, fmt.Sprintf("the certificate %q is signed with %v, which is broken", name(c), c.SignatureAlgorithm))
		}
	}
	return out
}

// maxWeakChecks bounds the signatures that are checked in search of a weak path.
const maxWeakChecks = 64

// weakPath looks for a path to one of v.Roots in which signatures over SHA-1
// count. Nothing but the signatures differs from crypto/x509's own search: the
// rest is its own to judge, see judgeAsStrong. It returns nil when there is none.
func (v *Verifier) weakPath(leaf *x509.Certificate, sent []*x509.Certificate, now time.Time) []*x509.Certificate {
	known := slices.Concat(v.Roots, sent, v.Intermediates)
	checks := 0
	var from func(path []*x509.Certificate) []*x509.Certificate
	from = func(path []*x509.Certificate) []*x509.Certificate {
		top := path[len(path)-1]
		if contains(v.Roots, top) {
			if judgeAsStrong(path, now) {
				return path
			}
			return nil
		}
		if len(path) > MaxCertificates {
			return nil
		}
		for _, c := range known {
			if !bytes.Equal(c.RawSubject, top.RawIssuer) || contains(path, c) {
				continue
			}
			if checks++; checks > maxWeakChecks {
				return nil
			}
			if !signedBy(top, c) {
				continue
			}
			if found := from(append(slices.Clip(path), c)); found != nil {
				return found
			}
		}
		return nil
	}
	return from([]*x509.Certificate{leaf})
}

// signedBy reports whether parent, an authority, has signed c: with what
// crypto/x509 accepts, or over SHA-1.
func signedBy(c, parent *x509.Certificate) bool {
	if !overSHA1(c) {
		return c.CheckSignatureFrom(parent) == nil
	}
	if !parent.BasicConstraintsValid || !parent.IsCA || parent.KeyUsage != 0 && parent.KeyUsage&x509.KeyUsageCertSign == 0 {
		return false
	}
	if k, ok := parent.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < auth.MinWeakRSABits {
		return false
	}
	return parent.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// judgeAsStrong reports whether crypto/x509 accepts a path, whose signatures hold,
// in every other respect: times, lengths, constraints on names. It is shown the
// same certificates, with keys and signatures made for the purpose in place of
// their own; as each has a key that nothing else is signed with, no other path
// can be made of them.
func judgeAsStrong(path []*x509.Certificate, now time.Time) bool {
	shown := make([]*x509.Certificate, len(path))
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	var above ed25519.PrivateKey // of the certificate before in the loop, the next above
	for i := len(path) - 1; i >= 0; i-- {
		pub, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return false
		}
		if above == nil {
			above = key // the root's own signature is not checked
		}
		c := *path[i]
		c.PublicKey, c.PublicKeyAlgorithm = crypto.PublicKey(pub), x509.Ed25519
		c.SignatureAlgorithm, c.Signature = x509.PureEd25519, ed25519.Sign(above, c.RawTBSCertificate)
		shown[i], above = &c, key
		switch {
		case i == len(path)-1:
			roots.AddCert(&c)
		case i > 0:
			between.AddCert(&c)
		}
	}
	_, err := shown[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}
