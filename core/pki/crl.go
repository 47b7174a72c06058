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

// The extensions of CRLs that are understood (RFC 5280, section 5.2).
var (
	oidAuthorityKeyID     = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidCRLNumber          = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidDeltaCRL           = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidDistributionPoint  = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidReasonCode         = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidCertificateIssuer  = asn1.ObjectIdentifier{2, 5, 29, 29}
	oidInvalidityDate     = asn1.ObjectIdentifier{2, 5, 29, 24}
	errDelta              = errors.New("it is a delta CRL, which is not read")
	errIndirect           = errors.New("it is an indirect CRL, which is not read")
	errOtherCRL           = errors.New("the CRL is another authority's")
	errCRLSize            = fmt.Errorf("the CRL is larger than %d bytes", MaxCRL)
	errCRLScope           = errors.New("the CRL does not cover this certificate")
	errCRLWithoutEnd      = errors.New("the CRL does not say how long it serves")
	errCRLExtension       = errors.New("the CRL has a critical extension that is not understood")
	errWeakAnswer         = errors.New("the answer is signed with an algorithm that is broken")
	errWeakAnswerKey      = errors.New("the key that signed the answer is not accepted")
	errDistributionPoints = errors.New("the CRL's distribution point cannot be read")
)

// takeCRL judges the certificate by a CRL (RFC 5280, section 6.3), which must
// be its issuer's own, whole, and in its time.
func (x *checked) takeCRL(der []byte, now time.Time) (time.Time, error) {
	if len(der) > MaxCRL {
		return time.Time{}, errCRLSize
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return time.Time{}, fmt.Errorf("the CRL cannot be read: %w", err)
	}
	if !bytes.Equal(list.RawIssuer, x.cert.RawIssuer) {
		return time.Time{}, errOtherCRL
	}
	if weakSignature(list.SignatureAlgorithm) {
		return time.Time{}, errWeakAnswer
	}
	if err := list.CheckSignatureFrom(x.issuer); err != nil {
		return time.Time{}, fmt.Errorf("the CRL is not signed by the authority: %w", err)
	}
	if list.NextUpdate.IsZero() {
		return time.Time{}, errCRLWithoutEnd
	}
	if err := current(list.ThisUpdate, list.NextUpdate, now); err != nil {
		return time.Time{}, err
	}
	for _, e := range list.Extensions {
		switch {
		case e.Id.Equal(oidDeltaCRL):
			return time.Time{}, errDelta
		case e.Id.Equal(oidDistributionPoint):
			if err := x.inScope(e.Value); err != nil {
				return time.Time{}, err
			}
		case e.Critical && !e.Id.Equal(oidAuthorityKeyID) && !e.Id.Equal(oidCRLNumber):
			return time.Time{}, errCRLExtension
		}
	}
	for i := range list.RevokedCertificateEntries {
		entry := &list.RevokedCertificateEntries[i]
		for _, e := range entry.Extensions {
			switch {
			case e.Id.Equal(oidCertificateIssuer):
				return time.Time{}, errIndirect
			case e.Critical && !e.Id.Equal(oidReasonCode) && !e.Id.Equal(oidInvalidityDate):
				return time.Time{}, errCRLExtension
			}
		}
		if entry.SerialNumber != nil && entry.SerialNumber.Cmp(x.cert.SerialNumber) == 0 {
			x.settle(true, entry.RevocationTime, entry.ReasonCode)
			return list.NextUpdate, nil
		}
	}
	x.settle(false, time.Time{}, 0)
	return list.NextUpdate, nil
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
