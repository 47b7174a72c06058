package pki

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"

	"sallyport/core/ike/auth"
)

// checkIdentity checks that a certificate holds an identity (RFC 4945, section
// 3.1): addresses, host names and mail addresses in the subject alternative
// name, a DN as the subject, a KEY_ID as the subject key identifier. The
// common name is never taken for a host name or an address.
func checkIdentity(c *x509.Certificate, id auth.Identity) error {
	held := false
	switch id.Type {
	case auth.IDIPv4, auth.IDIPv6:
		for _, ip := range c.IPAddresses {
			if id.Type == auth.IDIPv4 {
				ip = ip.To4()
			}
			held = held || bytes.Equal(ip, id.Data)
		}
	case auth.IDFQDN:
		for _, n := range c.DNSNames {
			held = held || matchHost(n, string(id.Data))
		}
	case auth.IDRFC822:
		for _, m := range c.EmailAddresses {
			held = held || id.Equal(auth.Identity{Type: auth.IDRFC822, Data: []byte(m)})
		}
	case auth.IDDN:
		held = !nameless(c) && id.Equal(Subject(c))
	case auth.IDKeyID:
		held = len(c.SubjectKeyId) > 0 && bytes.Equal(id.Data, c.SubjectKeyId)
	}
	if held {
		return nil
	}
	return &Error{Kind: Identity, Subject: name(c), Issuer: issuerName(c), Expected: said(id), Found: names(c),
		Detail: fmt.Sprintf("does not name %q; it names %s", said(id), names(c))}
}

// nameless reports whether a certificate has an empty subject, as those may whose
// names are all alternative ones (RFC 5280, section 4.1.2.6).
func nameless(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, []byte{0x30, 0}) }

// matchHost reports whether a dNSName of a certificate covers a host name: the
// same name, or a wildcard that is the whole leftmost label and stands for one
// label, above at least two others (RFC 6125, section 6.4.3). The host itself
// is a name, never a pattern or an address.
func matchHost(pattern, host string) bool {
	pattern, host = strings.TrimSuffix(pattern, "."), strings.TrimSuffix(host, ".")
	if host == "" || strings.ContainsAny(host, "*:/@") || isIPv4(host) {
		return false
	}
	p, h := asciiLower(pattern), asciiLower(host)
	if p == h {
		return true
	}
	suffix, ok := strings.CutPrefix(p, "*.")
	if !ok || strings.Contains(suffix, "*") || !strings.Contains(suffix, ".") {
		return false
	}
	label, rest, ok := strings.Cut(h, ".")
	return ok && label != "" && rest == suffix
}

func isIPv4(s string) bool {
	return strings.Trim(s, "0123456789.") == ""
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// Names returns the identities that a certificate holds, the readable subject
// first: what a front end shows, and what a user may claim with it.
func Names(c *x509.Certificate) []auth.Identity {
	ids := []auth.Identity{Subject(c)}
	for _, n := range c.DNSNames {
		ids = append(ids, auth.Identity{Type: auth.IDFQDN, Data: []byte(n)})
	}
	for _, m := range c.EmailAddresses {
		ids = append(ids, auth.Identity{Type: auth.IDRFC822, Data: []byte(m)})
	}
	for _, ip := range c.IPAddresses {
		if v4 := ip.To4(); v4 != nil {
			ids = append(ids, auth.Identity{Type: auth.IDIPv4, Data: v4})
		} else {
			ids = append(ids, auth.Identity{Type: auth.IDIPv6, Data: ip})
		}
	}
	return ids
}

// maxNames bounds the names in a sentence.
const maxNames = 8

func names(c *x509.Certificate) string {
	var list []string
	for _, id := range Names(c) {
		if len(list) == maxNames {
			list = append(list, "...")
			break
		}
		list = append(list, fmt.Sprintf("%q", said(id)))
	}
	return strings.Join(list, ", ")
}

// name and issuerName are for sentences: a stranger's certificate may be full of
// names.
func name(c *x509.Certificate) string { return said(Subject(c)) }

func issuerName(c *x509.Certificate) string { return said(auth.FromDN(c.RawIssuer)) }

// maxSaid is how much of a name is said, in bytes.
const maxSaid = 300

// said is an identity as it stands in a sentence.
func said(id auth.Identity) string {
	s := id.String()
	if len(s) <= maxSaid {
		return s
	}
	return strings.ToValidUTF8(s[:maxSaid], "") + "…"
}

// Fingerprint is the SHA-256 hash of a certificate as people compare it:
// "AB:CD:…".
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return strings.ReplaceAll(strings.ToUpper(fmt.Sprintf("% x", sum)), " ", ":")
}
