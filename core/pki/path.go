package pki

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/core/ike/auth"
)

// checkPath looks for a path from chain[0] to a root that holds in every
// respect but the identity. crypto/x509 finds the candidates and checks their
// signatures, times, lengths and name constraints; what it leaves out is
// checked on each of them.
func (v *Verifier) checkPath(chain []*x509.Certificate, purpose Purpose, now time.Time) ([]*x509.Certificate, error) {
	leaf := chain[0]
	if len(v.Roots) == 0 && v.System == nil {
		return nil, &Error{Kind: UnknownCA, Subject: name(leaf), Issuer: issuerName(leaf), Detail: "cannot be checked: no certificate authority is trusted for this connection"}
	}
	if err := extensions(leaf); err != nil {
		return nil, err
	}
	roots, known := x509.NewCertPool(), x509.NewCertPool()
	if v.System != nil {
		roots = v.System.Clone()
	}
	for _, c := range v.Roots {
		roots.AddCert(c)
	}
	sent := slices.DeleteFunc(slices.Clone(chain[1:]), tooCostly)
	for _, c := range slices.Concat(sent, v.Intermediates) {
		known.AddCert(c)
	}
	paths, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: known, CurrentTime: now,
		// The purposes of IKE are not among those that the library knows.
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil && v.Weak {
		// The library refuses signatures over SHA-1 whatever it is told.
		if weak := v.weakPath(leaf, sent, now); weak != nil {
			paths, err = [][]*x509.Certificate{weak}, nil
		}
	}
	if err != nil {
		return nil, v.explain(leaf, sent, err, now)
	}
	for _, path := range paths {
		if err = v.checkCandidate(path, purpose); err == nil {
			return path, nil
		}
	}
	return nil, err
}

// tooCostly reports whether a stranger's certificate holds an RSA key so large
// that checking a signature with it would be an attack.
func tooCostly(c *x509.Certificate) bool {
	k, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && k.N.BitLen() > auth.MaxRSABits
}

// checkCandidate checks a path, leaf first and root last, for what crypto/x509
// leaves to its caller.
func (v *Verifier) checkCandidate(path []*x509.Certificate, purpose Purpose) error {
	for i, c := range path {
		if i > 0 {
			if err := v.checkAuthority(c, path[0]); err != nil {
				return err
			}
		}
		root := i > 0 && i == len(path)-1
		if root {
			continue // a trust anchor's own signature and purposes are the admin's decision
		}
		if err := v.checkStrength(c); err != nil {
			return err
		}
		if i > 0 && !hasPurpose(c, purpose) {
			return &Error{Kind: Usage, Subject: name(c), Issuer: issuerName(c), Detail: fmt.Sprintf("is an intermediate authority that may not issue %s certificates (extended key usage)", purpose)}
		}
	}
	return nil
}

// checkAuthority checks the certificate of an authority on the path to leaf.
func (v *Verifier) checkAuthority(c, leaf *x509.Certificate) error {
	if _, err := PublicKey(c); err != nil {
		return err
	}
	if err := v.checkKey(c, "is an authority whose key is not accepted"); err != nil {
		return err
	}
	if err := extensions(c); err != nil {
		return err
	}
	return checkMailConstraint(c, leaf)
}

func weakSignature(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.DSAWithSHA256, x509.ECDSAWithSHA1:
		return true
	}
	return false
}

var oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}

// extensions refuses certificates with rules that nobody here understands:
// critical extensions, and constraints on kinds of names that crypto/x509 does
// not check. It would ignore the latter in an extension that is not marked
// critical; an authority that says so still means it.
func extensions(c *x509.Certificate) error {
	if form := unknownConstraint(c); form != "" {
		return &Error{Kind: NameConstraints, Subject: name(c), Issuer: issuerName(c), Detail: fmt.Sprintf("is limited to certain %s, a limit that cannot be checked here", form)}
	}
	if len(c.UnhandledCriticalExtensions) > 0 {
		var ids []string
		for i, id := range c.UnhandledCriticalExtensions {
			if i == maxNames {
				ids = append(ids, "...")
				break
			}
			ids = append(ids, shorten(id.String()))
		}
		return &Error{Kind: Usage, Subject: name(c), Issuer: issuerName(c), Detail: "has critical extensions that are not understood: " + strings.Join(ids, ", ")}
	}
	return nil
}

// unknownConstraint names a form of names that c constrains and crypto/x509
// does not check (RFC 5280, section 4.2.1.10), or returns nothing.
func unknownConstraint(c *x509.Certificate) string {
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidNameConstraints) {
			continue
		}
		var nc struct {
			Permitted []subtree `asn1:"optional,tag:0"`
			Excluded  []subtree `asn1:"optional,tag:1"`
		}
		if rest, err := asn1.Unmarshal(e.Value, &nc); err != nil || len(rest) > 0 {
			return "names (in a form that cannot be read)"
		}
		for _, s := range slices.Concat(nc.Permitted, nc.Excluded) {
			switch s.Base.Tag {
			case 1, 2, 6, 7: // rfc822Name, dNSName, URI, iPAddress
			case 4:
				return "directory names"
			default:
				return fmt.Sprintf("names of kind %d", s.Base.Tag)
			}
		}
	}
	return ""
}

type subtree struct {
	Base asn1.RawValue
	Min  int `asn1:"optional,tag:0,default:0"`
	Max  int `asn1:"optional,tag:1,default:-1"`
}

var oidEmailAddress = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}

// checkMailConstraint applies constraints on mail addresses to a leaf, as RFC
// 5280, section 4.2.1.10, wants it: crypto/x509 looks only at the subject
// alternative names, and takes a constraint to a host for one to all below it.
func checkMailConstraint(ca, leaf *x509.Certificate) error {
	if len(ca.PermittedEmailAddresses) == 0 && len(ca.ExcludedEmailAddresses) == 0 {
		return nil
	}
	mails := slices.Clone(leaf.EmailAddresses)
	for _, a := range leaf.Subject.Names {
		if mail, ok := a.Value.(string); ok && a.Type.Equal(oidEmailAddress) {
			mails = append(mails, mail)
		}
	}
	for _, mail := range mails {
		within := func(c string) bool { return mailWithin(mail, c) }
		if slices.ContainsFunc(ca.ExcludedEmailAddresses, within) ||
			len(ca.PermittedEmailAddresses) > 0 && !slices.ContainsFunc(ca.PermittedEmailAddresses, within) {
			return &Error{Kind: NameConstraints, Subject: name(leaf), Issuer: issuerName(leaf), Detail: fmt.Sprintf("holds the mail address %q, for which the authority %q may not issue certificates", shorten(mail), name(ca))}
		}
	}
	return nil
}

// mailWithin reports whether a mail address is within a constraint: a mailbox,
// a host, or with a leading dot everything below a domain.
func mailWithin(mail, constraint string) bool {
	i := strings.LastIndexByte(mail, '@')
	if j := strings.LastIndexByte(constraint, '@'); j >= 0 {
		return i == j && mail[:i] == constraint[:j] && strings.EqualFold(mail[i:], constraint[j:])
	}
	host := strings.ToLower(mail[i+1:])
	constraint = strings.ToLower(constraint)
	if strings.HasPrefix(constraint, ".") {
		return strings.HasSuffix(host, constraint)
	}
	return host == constraint
}

// explain turns the refusal of crypto/x509 into an *Error. The library names
// one cause among those of all the paths it tried; for the cause that matters
// to people, the path is walked once more without any trust.
func (v *Verifier) explain(leaf *x509.Certificate, sent []*x509.Certificate, err error, now time.Time) error {
	pool := slices.Concat(v.Roots, sent, v.Intermediates)
	walk := []*x509.Certificate{leaf}
	for len(walk) <= MaxCertificates {
		c := walk[len(walk)-1]
		if e := checkTime(c, now); e != nil {
			return v.blameClock(e, slices.Concat([]*x509.Certificate{leaf}, sent), pool, now)
		}
		if contains(v.Roots, c) {
			break
		}
		if e := v.checkStrength(c); e != nil {
			return e
		}
		next := issuer(c, pool, walk)
		if next == nil {
			if e := forbidden(leaf, err); e != nil && v.System != nil {
				return e // the authority is the system's, which cannot be walked to
			}
			return v.missing(leaf, c, pool)
		}
		if e := v.checkAuthority(next, leaf); e != nil {
			return e
		}
		walk = append(walk, next)
	}
	if e := forbidden(leaf, err); e != nil {
		return e
	}
	return &Error{Kind: UnknownCA, Subject: name(leaf), Issuer: issuerName(leaf), Detail: "does not lead to a trusted authority", Err: err}
}

// forbidden explains a path that leads to a trusted authority and is not
// permitted; it returns nil for other errors of crypto/x509.
func forbidden(leaf *x509.Certificate, err error) error {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) {
		return nil
	}
	e := &Error{Kind: Usage, Subject: name(leaf), Issuer: issuerName(leaf), Detail: "does not lead to a trusted authority in a permitted way", Err: err}
	switch invalid.Reason {
	case x509.CANotAuthorizedForThisName, x509.UnconstrainedName, x509.TooManyConstraints:
		e.Kind, e.Detail = NameConstraints, "is for names for which its authority may not issue certificates"
	case x509.TooManyIntermediates:
		e.Detail = "has more authorities above it than one of them permits"
	case x509.NotAuthorizedToSign:
		e.Detail = "was issued by a certificate that is no authority"
	}
	return e
}

// missing explains why the path of leaf ends at c: the authority is not there,
// or there is one of its name that did not sign, or may not.
func (v *Verifier) missing(leaf, c *x509.Certificate, pool []*x509.Certificate) error {
	e := &Error{Kind: UnknownCA, Subject: name(leaf), Issuer: issuerName(c), Detail: fmt.Sprintf("was issued by %q, which is not a trusted authority", issuerName(c))}
	switch {
	case selfIssued(c) && c == leaf:
		e.Detail = "is self-signed and not trusted itself"
	case selfIssued(c):
		e.Detail = fmt.Sprintf("leads to the authority %q, which is not trusted", name(c))
	default:
		for _, p := range pool {
			if !bytes.Equal(p.RawSubject, c.RawIssuer) {
				continue
			}
			var constraint x509.ConstraintViolationError
			if err := c.CheckSignatureFrom(p); errors.As(err, &constraint) {
				return &Error{Kind: Usage, Subject: name(leaf), Issuer: issuerName(c), Detail: fmt.Sprintf("was issued by %q, which is no certificate authority", name(p))}
			} else if errors.Is(err, x509.ErrUnsupportedAlgorithm) {
				return &Error{Kind: Usage, Subject: name(leaf), Issuer: issuerName(c), Detail: fmt.Sprintf("was issued by %q with a signature algorithm that is not supported", name(p)), Err: err}
			}
			e.Detail = fmt.Sprintf("names the authority %q as its issuer but is not signed with that authority's key (another authority of the same name?)", name(p))
		}
	}
	return e
}

// checkTime checks the validity of a certificate (RFC 5280, section 4.1.2.5).
func checkTime(c *x509.Certificate, now time.Time) error {
	const layout = "2006-01-02 15:04 UTC"
	e := &Error{Subject: name(c), Issuer: issuerName(c), Now: now}
	switch {
	case now.Before(c.NotBefore):
		e.Kind, e.Date = NotYetValid, c.NotBefore
		e.Detail = fmt.Sprintf("is valid only from %s on, in %s; this machine's clock says %s: is it behind?",
			c.NotBefore.UTC().Format(layout), span(c.NotBefore.Sub(now)), now.UTC().Format(layout))
	case now.After(c.NotAfter):
		e.Kind, e.Date = Expired, c.NotAfter
		e.Detail = fmt.Sprintf("expired on %s, %s ago; this machine's clock says %s",
			c.NotAfter.UTC().Format(layout), span(now.Sub(c.NotAfter)), now.UTC().Format(layout))
	default:
		return nil
	}
	return e
}

// blameClock says of a certificate out of its time when it is likely that the
// clock is wrong: all that the peer sent, and the trusted authorities above it,
// are not valid yet, or have all expired. Of one alone it is the certificate.
func (v *Verifier) blameClock(err error, sent, pool []*x509.Certificate, now time.Time) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	all := slices.Clone(sent)
	for _, c := range sent {
		if i := issuer(c, pool, all); i != nil {
			all = append(all, i)
		}
	}
	if len(all) < 2 {
		return err
	}
	for _, c := range all {
		var other *Error
		if !errors.As(checkTime(c, now), &other) || other.Kind != e.Kind {
			return err
		}
	}
	e.Clock = true
	return e
}

// span rounds a duration for people.
func span(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "days"}, {time.Hour, "hours"}, {time.Minute, "minutes"}} {
		if d >= 2*u.unit {
			return fmt.Sprintf("%d %s", d/u.unit, u.name)
		}
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}
