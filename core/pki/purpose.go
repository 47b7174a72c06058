package pki

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
)

// The extended key usages of IPsec: id-kp-ipsecIKE (RFC 4945, section 5.1.3.12)
// and the older iKEIntermediate.
var (
	oidIPsecIKE        = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 17}
	oidIKEIntermediate = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 8, 2, 2}
)

// checkPurpose checks that an end's certificate may sign in IKE (RFC 4945,
// section 5.1.3.2: digitalSignature or nonRepudiation, if it has a keyUsage)
// and serve the purpose (section 5.1.3.12).
func checkPurpose(c *x509.Certificate, p Purpose) error {
	const sign = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	if c.KeyUsage != 0 && c.KeyUsage&sign == 0 {
		return &Error{Kind: Usage, Subject: name(c), Issuer: issuerName(c), Detail: "may not be used for signatures (key usage lacks digitalSignature and nonRepudiation)"}
	}
	if !hasPurpose(c, p) {
		return &Error{Kind: Usage, Subject: name(c), Issuer: issuerName(c), Detail: fmt.Sprintf("is not meant for a VPN %s: its extended key usage is %s", p, usages(c))}
	}
	return nil
}

// hasPurpose reports whether the extended key usage of a certificate is absent
// or fits: any, ipsecIKE, iKEIntermediate; serverAuth for a gateway,
// clientAuth for a client.
func hasPurpose(c *x509.Certificate, p Purpose) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	want := x509.ExtKeyUsageServerAuth
	if p == Client {
		want = x509.ExtKeyUsageClientAuth
	}
	return slices.Contains(c.ExtKeyUsage, want) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) ||
		slices.ContainsFunc(c.UnknownExtKeyUsage, func(id asn1.ObjectIdentifier) bool {
			return IsIKEUsage(id)
		})
}

// IsIKEUsage reports whether an extended key usage is one of IKE.
func IsIKEUsage(id asn1.ObjectIdentifier) bool {
	return id.Equal(oidIPsecIKE) || id.Equal(oidIKEIntermediate)
}

func usages(c *x509.Certificate) string {
	var list []string
	for _, u := range c.ExtKeyUsage {
		list = append(list, u.String())
	}
	for _, id := range c.UnknownExtKeyUsage {
		list = append(list, id.String())
	}
	return strings.Join(list, ", ")
}
