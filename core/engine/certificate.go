package engine

import (
	"crypto/x509"

	"sallyport/core/api"
	"sallyport/core/ike/auth"
	"sallyport/core/pki"
)

// The bounds on what is shown of a certificate.
const (
	maxCertText  = 256 // characters of a name
	maxCertNames = 16
)

// describe says what a person compares of a certificate. It is a stranger's:
// names are cut to a bearable length and rid of what would lie on a screen.
func describe(c *x509.Certificate) *api.Certificate {
	short := func(s string) string {
		r := []rune(plainText(s))
		if len(r) > maxCertText {
			return string(r[:maxCertText]) + "…"
		}
		return string(r)
	}
	out := &api.Certificate{
		Subject: short(pki.Subject(c).String()), Issuer: short(auth.FromDN(c.RawIssuer).String()),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Fingerprint: pki.Fingerprint(c),
	}
	for i, n := range pki.Names(c)[1:] {
		if i == maxCertNames {
			out.Names = append(out.Names, "…")
			break
		}
		out.Names = append(out.Names, short(n.String()))
	}
	return out
}
