package engine

import (
	"cmp"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"slices"
	"strconv"

	"sallyport/core/api"
	"sallyport/core/ike"
	"sallyport/core/pki"
)

// askCertificate asks which of the user's certificates is meant where the
// gateway takes several. It reports whether it did; the attempt waits, without
// an IKE SA: a gateway forgets one that is half open long before people have
// decided. The answer serves while the connection is wanted.
func (e *Engine) askCertificate(c *conn, a *attempt, err error) bool {
	u, ok := errors.AsType[*ike.Undecided](err)
	if !ok {
		return false
	}
	q := api.Prompt{Kind: api.PromptCertificate, Attempt: c.wrong + 1, Rememberable: true}
	for _, x := range u.Choices {
		shown := describe(x.Certificate)
		shown.Uses = uses(x.Certificate)
		q.Choices = append(q.Choices, api.Choice{ID: strconv.Itoa(x.Number), Text: x.ID.String(), Certificate: shown})
	}
	e.changed(c)
	e.ask(c, a, q, func(ans answer, none error) {
		if none != nil {
			e.attemptFailed(c, none)
			return
		}
		i := slices.IndexFunc(q.Choices, func(x api.Choice) bool { return x.ID == ans.choice })
		if c.held == nil {
			c.held = &held{}
		}
		c.held.choice, c.held.remember = u.Choices[i].Number, ans.remember
		e.logf(api.LogInfo, "config", c.name, "%s shows the certificate of %s, SHA-256 %s", cmp.Or(ans.by, "the user"), q.Choices[i].Text, q.Choices[i].Certificate.Fingerprint)
		e.negotiate(c, a)
	})
	return true
}

// rememberChoice writes the certificate that the user chose into the profile,
// if that was wished, now that it has proved right.
func (e *Engine) rememberChoice(c *conn) {
	if c.held == nil || !c.held.remember {
		return
	}
	c.held.remember = false
	p, text, err := e.store.Prefer(c.profile, c.text, c.held.choice)
	if err != nil {
		e.logf(api.LogWarn, "config", c.name, "%v", notStored(c, "The choice of the certificate", err))
		return
	}
	c.profile, c.text = p, text
	e.logf(api.LogInfo, "config", c.name, "the profile prefers this certificate from now on")
}

// extUses are the extended key usages that Go knows and people are told of.
var extUses = map[x509.ExtKeyUsage]api.CertificateUse{
	x509.ExtKeyUsageAny:             api.UseAny,
	x509.ExtKeyUsageClientAuth:      api.UseClient,
	x509.ExtKeyUsageServerAuth:      api.UseServer,
	x509.ExtKeyUsageEmailProtection: api.UseEmail,
	x509.ExtKeyUsageCodeSigning:     api.UseCode,
	x509.ExtKeyUsageIPSECEndSystem:  api.UseIPsec,
	x509.ExtKeyUsageIPSECTunnel:     api.UseIPsec,
	x509.ExtKeyUsageIPSECUser:       api.UseIPsec,
}

// smartCardLogon is Microsoft's usage of certificates that sign users in.
var smartCardLogon = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 2}

// uses says what a certificate of our own may be used for.
func uses(c *x509.Certificate) []api.CertificateUse {
	var out []api.CertificateUse
	add := func(u api.CertificateUse) {
		if !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	for _, x := range c.ExtKeyUsage {
		add(cmp.Or(extUses[x], api.UseOther))
	}
	for _, oid := range c.UnknownExtKeyUsage {
		switch {
		case oid.Equal(smartCardLogon):
			add(api.UseSmartCard)
		case pki.IsIKEUsage(oid):
			add(api.UseIPsec)
		default:
			add(api.UseOther)
		}
	}
	return out
}
