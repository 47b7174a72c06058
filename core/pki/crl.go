package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

var (
	errDelta              = errors.New("it is a delta CRL, which is not read")
	errIndirect           = errors.New("it is an indirect CRL, which is not read")
	errOtherCRL           = errors.New("the CRL is another authority's")
	errCRLSigner          = errors.New("the CRL is not signed by the authority")
	errCRLForm            = errors.New("the CRL cannot be read")
	errCRLSize            = fmt.Errorf("the CRL is larger than %d bytes", MaxCRL)
	errCRLScope           = errors.New("the CRL does not cover this certificate")
	errCRLWithoutEnd      = errors.New("the CRL does not say how long it serves")
	errCRLExtension       = errors.New("the CRL has a critical extension that is not understood")
	errWeakAnswer         = errors.New("the answer is signed with an algorithm that is broken")
	errWeakAnswerKey      = errors.New("the key that signed the answer is not accepted")
	errDistributionPoints = errors.New("the CRL's distribution point cannot be read")
)

// takeCRL judges the certificate by a CRL (RFC 5280, section 6.3), which must
// be its issuer's own, whole, and in its time. The list is walked through in
// place, and only when its signature holds: unfolded in memory it would be many
// times as large, and whoever sits on the way to its server can send one.
func (x *checked) takeCRL(der []byte, now time.Time) (time.Time, error) {
	if len(der) > MaxCRL {
		return time.Time{}, errCRLSize
	}
	list, err := parseCRL(der)
	if err != nil {
		return time.Time{}, err
	}
	if !bytes.Equal(list.issuer, x.cert.RawIssuer) {
		return time.Time{}, errOtherCRL
	}
	holds, err := signatureOf(list.algorithm, list.raw, list.signature)
	if err != nil {
		return time.Time{}, err
	}
	if x.issuer.KeyUsage != 0 && x.issuer.KeyUsage&x509.KeyUsageCRLSign == 0 || x.issuer.BasicConstraintsValid && !x.issuer.IsCA || !holds(x.issuer) {
		return time.Time{}, errCRLSigner
	}
	if err := list.parseBody(); err != nil {
		return time.Time{}, err
	}
	if list.next.IsZero() {
		return time.Time{}, errCRLWithoutEnd
	}
	if err := current(list.this, list.next, now); err != nil {
		return time.Time{}, err
	}
	for e := range list.extensions.all {
		switch {
		case e.id == idDeltaCRL:
			return time.Time{}, errDelta
		case e.id == idDistributionPoint:
			if err := x.inScope(e.value); err != nil {
				return time.Time{}, err
			}
		case e.critical && e.id != idAuthorityKeyID && e.id != idCRLNumber:
			return time.Time{}, errCRLExtension
		}
	}
	at, reason, err := list.find(x.cert.SerialNumber)
	if err != nil {
		return time.Time{}, err
	}
	x.settle(!at.IsZero(), at, reason)
	return list.next, nil
}

// An issuingPoint is the extension that limits what a CRL covers (RFC 5280,
// section 5.2.5).
type issuingPoint struct {
	Point struct {
		FullName []asn1.RawValue `asn1:"optional,tag:0"`
		Relative asn1.RawValue   `asn1:"optional,tag:1"`
	} `asn1:"optional,tag:0"`
	OnlyUsers       bool           `asn1:"optional,tag:1"`
	OnlyAuthorities bool           `asn1:"optional,tag:2"`
	Reasons         asn1.BitString `asn1:"optional,tag:3"`
	Indirect        bool           `asn1:"optional,tag:4"`
	OnlyAttributes  bool           `asn1:"optional,tag:5"`
}

// inScope checks that a CRL with an issuingPoint is about the certificate: one
// of several lists of an authority says nothing of what stands in the others.
func (x *checked) inScope(der []byte) error {
	var p issuingPoint
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 {
		return errDistributionPoints
	}
	switch {
	case p.Indirect:
		return errIndirect
	case p.OnlyAttributes, p.Reasons.BitLength > 0,
		p.OnlyUsers && x.cert.IsCA, p.OnlyAuthorities && !x.cert.IsCA,
		len(p.Point.Relative.FullBytes) > 0:
		return errCRLScope
	}
	if len(p.Point.FullName) == 0 {
		return nil
	}
	for _, n := range p.Point.FullName {
		const uri = 6
		if n.Class == asn1.ClassContextSpecific && n.Tag == uri && slices.Contains(x.cert.CRLDistributionPoints, string(n.Bytes)) {
			return nil
		}
	}
	return errCRLScope
}

// strongSigner checks the key of who signed an answer.
func strongSigner(c *x509.Certificate, weak bool) error {
	if err := (&Verifier{Weak: weak}).checkKey(c, "may not sign answers"); err != nil {
		return fmt.Errorf("%w: %w", errWeakAnswerKey, err)
	}
	return nil
}
