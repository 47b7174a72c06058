package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ocsp"
)

// A Revocation says how much must be known about whether certificates were
// revoked by those who issued them.
type Revocation uint8

// The policies.
const (
	RevocationOff    Revocation = iota // nothing is asked
	RevocationSoft                     // a certificate known to be revoked is refused, an unknown state is told
	RevocationStrict                   // every certificate must be known to be good
)

// The bounds on what revocation checks read and ask.
const (
	MaxCRL       = 8 << 20
	MaxOCSP      = 64 << 10
	maxSources   = 3   // that are asked about a certificate, of each kind
	maxURL       = 512 // bytes
	maxOCSPCerts = 8
)

// skew is how far other clocks may be ahead of ours.
const skew = 5 * time.Minute

// A Check finds out whether the certificates of a verified path were revoked.
// It does no I/O: what it wants to read it names with Next, and gets with Take.
// The URLs are those in the certificates, whose issuers are trusted already.
// It may be used from several goroutines: what comes too late changes nothing
// that was judged before.
type Check struct {
	policy  Revocation
	private bool
	mu      sync.Mutex // guards certs
	certs   []checked
}

// A checked is one certificate of the path and what is known of it.
type checked struct {
	cert, issuer *x509.Certificate
	weak         bool // the profile allows weak keys: of who signs the answer too
	state        state
	revoked      *Error
	// signer is who signed the OCSP response that state is from, when it is itself
	// to be asked about. Its own entry of the Check says whose it is with signs: the
	// number of that certificate, counted from 1.
	signer   *x509.Certificate
	signs    int
	sources  []Fetch
	problems []string
}

type state uint8

const (
	unknown state = iota
	good
	revoked
)

// A Fetch is something to read over HTTP: an OCSP response when Request is
// set, which is what to send, or else a CRL.
type Fetch struct {
	URL     string
	Request []byte
	// Last says that nothing else can be asked about the certificate.
	Last bool
	cert int
	from string // whose answer it is: an address may serve several authorities
}

// Max is how many bytes of an answer are read.
func (f *Fetch) Max() int {
	if f.Request != nil {
		return MaxOCSP
	}
	return MaxCRL
}

// NewCheck begins to check a path, the leaf first and the trusted root last, as
// VerifyPath returned it. The root is not checked: it is the admin's decision.
// responses are OCSP responses that the peer brought (RFC 4806).
func (v *Verifier) NewCheck(path []*x509.Certificate, responses [][]byte, now time.Time) *Check {
	c := &Check{policy: v.Revocation, private: v.RevocationPrivate}
	if c.policy == RevocationOff {
		return c
	}
	for i := range len(path) - 1 {
		x := checked{cert: path[i], issuer: path[i+1], weak: v.Weak}
		for _, r := range responses {
			if _, err := x.takeOCSP(r, now); err == nil && x.state == revoked {
				break
			}
		}
		x.problems = nil // of answers about the other certificates
		if x.state == unknown || x.signer != nil {
			x.findSources(i)
		}
		c.certs = append(c.certs, x)
	}
	for i := range c.certs {
		c.askAboutSigner(i)
	}
	return c
}

// askAboutSigner adds the certificate that signed what is known of certificate i.
func (c *Check) askAboutSigner(i int) {
	x := &c.certs[i]
	if x.signer == nil {
		return
	}
	s := checked{cert: x.signer, issuer: x.issuer, weak: x.weak, signs: i + 1}
	x.signer = nil
	s.findSources(len(c.certs))
	s.sources = slices.DeleteFunc(s.sources, func(f Fetch) bool { return f.Request != nil })
	c.certs = append(c.certs, s)
}

// forgetSigned takes back what a signer said who was revoked: other sources may know.
func (c *Check) forgetSigned(signer int) {
	s := &c.certs[signer]
	x := &c.certs[s.signs-1]
	x.state = unknown
	x.problem("the certificate %q, which signed the OCSP response, was revoked", name(s.cert))
	s.state, s.revoked, s.sources = good, nil, nil
}

// Private reports whether servers in private networks may be asked.
func (c *Check) Private() bool { return c.private }

// findSources lists where the certificate says that its state is told.
func (x *checked) findSources(n int) {
	add := func(list []string, request []byte) {
		count := 0
		for _, s := range list {
			switch err := CheckURL(s); {
			case err != nil:
				x.problem("%s: %v", shorten(s), err)
			case count < maxSources:
				count++
				x.sources = append(x.sources, Fetch{URL: s, Request: request, cert: n, from: string(x.issuer.RawSubject) + string(x.issuer.RawSubjectPublicKeyInfo)})
			}
		}
	}
	if len(x.cert.OCSPServer) > 0 {
		if request, err := ocsp.CreateRequest(x.cert, x.issuer, nil); err != nil {
			x.problem("cannot ask with OCSP: %v", err)
		} else {
			add(x.cert.OCSPServer, request)
		}
	}
	add(x.cert.CRLDistributionPoints, nil)
	if n := len(x.sources); n > 0 {
		x.sources[n-1].Last = true
	} else if len(x.problems) == 0 {
		x.problem("it does not say where its state is told")
	}
}

// CheckURL refuses what is not fetched: anything but plain HTTP (an answer is
// signed, and HTTPS would ask for the check of another certificate).
func CheckURL(s string) error {
	if len(s) > maxURL {
		return errors.New("the address is too long")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errors.New("the address cannot be read")
	case u.Scheme != "http":
		return fmt.Errorf("only http is fetched, not %q", shorten(u.Scheme))
	case u.Hostname() == "" || u.User != nil:
		return errors.New("the address is none of a server")
	}
	return nil
}

// shorten cuts and cleans what a certificate says, for a log.
func shorten(s string) string {
	if len(s) > 100 {
		s = s[:100] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

func (x *checked) problem(format string, args ...any) {
	if len(x.problems) < 8 {
		x.problems = append(x.problems, fmt.Sprintf(format, args...))
	}
}

// Next returns what to read next; false when nothing is left, or nothing more
// needs to be known.
func (c *Check) Next() (Fetch, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.certs, func(x checked) bool { return x.state == revoked }) {
		return Fetch{}, false
	}
	for i := range c.certs {
		if x := &c.certs[i]; x.state == unknown && len(x.sources) > 0 {
			return x.sources[0], true
		}
	}
	return Fetch{}, false
}

// Take takes what a Fetch brought, or why it brought nothing. It returns until
// when the body may serve again; the zero time: not at all.
func (c *Check) Take(f Fetch, body []byte, err error, now time.Time) time.Time {
	c.mu.Lock()
	x := c.certs[f.cert]
	c.mu.Unlock()
	x.problems = slices.Clone(x.problems)
	x.sources = slices.DeleteFunc(slices.Clone(x.sources), func(o Fetch) bool { return o.URL == f.URL && bytes.Equal(o.Request, f.Request) })
	defer func() { // what is large was read without the lock
		c.mu.Lock()
		defer c.mu.Unlock()
		c.certs[f.cert] = x
		c.askAboutSigner(f.cert)
		if x.signs > 0 && x.state == revoked {
			c.forgetSigned(f.cert)
		}
	}()
	var until time.Time
	if err == nil {
		if f.Request != nil {
			until, err = x.takeOCSP(body, now)
		} else {
			until, err = x.takeCRL(body, now)
		}
	}
	if err != nil {
		x.problem("%s: %s", shorten(f.URL), shorten(err.Error()))
		return time.Time{}
	}
	return until
}

// Result says what the check found, when Next has nothing more or the time for
// it is over: an *Error of kind Revoked or RevocationUnknown that refuses the
// path, or warnings about what is not known.
func (c *Check) Result() (warnings []string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.certs {
		if x.state == revoked {
			return nil, x.revoked
		}
	}
	for _, x := range c.certs {
		if x.state == good {
			continue
		}
		why := strings.Join(x.problems, "; ")
		if why == "" {
			why = "nobody answered in time"
		}
		if c.policy == RevocationSoft && len(x.cert.OCSPServer)+len(x.cert.CRLDistributionPoints) == 0 {
			continue // its authority does not tell anybody
		}
		if c.policy == RevocationStrict {
			return nil, &Error{Kind: RevocationUnknown, Subject: name(x.cert), Issuer: issuerName(x.cert),
				Detail: fmt.Sprintf("is not known to be good: %s", why)}
		}
		warnings = append(warnings, fmt.Sprintf("whether the certificate %q was revoked is not known: %s", name(x.cert), why))
	}
	return warnings, nil
}

// settle notes what an authority says.
func (x *checked) settle(isRevoked bool, at time.Time, reason int) {
	if !isRevoked {
		x.state = good
		return
	}
	x.state = revoked
	x.revoked = &Error{Kind: Revoked, Subject: name(x.cert), Issuer: issuerName(x.cert), Date: at,
		Detail: fmt.Sprintf("was revoked by its authority on %s%s", at.UTC().Format("2006-01-02 15:04 UTC"), reasonText(reason))}
}

// reasonText names a CRLReason (RFC 5280, section 5.3.1).
func reasonText(reason int) string {
	switch reason {
	case ocsp.KeyCompromise:
		return " because its key is in the wrong hands"
	case ocsp.CACompromise:
		return " because the authority's key is in the wrong hands"
	case ocsp.AffiliationChanged:
		return " because its owner has changed"
	case ocsp.Superseded:
		return " because it was replaced"
	case ocsp.CessationOfOperation:
		return " because it is out of use"
	case ocsp.CertificateHold:
		return " for the time being"
	}
	return ""
}

// current checks the time of an answer: from, and until it serves.
func current(this, next, now time.Time) error {
	const layout = "2006-01-02 15:04 UTC"
	switch {
	case this.After(now.Add(skew)):
		return fmt.Errorf("it is of %s, which is yet to come by this machine's clock", this.UTC().Format(layout))
	case !next.After(now):
		return fmt.Errorf("it served until %s", next.UTC().Format(layout))
	}
	return nil
}
