package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// MaxStaple is the size of the OCSP responses about ourselves that are brought
// along: within IKE they travel in one message with all else.
const MaxStaple = 8 << 10

// How long to wait before asking again about our own certificate: after an
// answer at least minStaple, after n failures in a row minStaple × 2ⁿ.
const (
	minStaple = time.Minute
	maxStaple = time.Hour
)

var errStapleSize = fmt.Errorf("the OCSP response is larger than the %d bytes that are brought along", MaxStaple)

// A Staple is what an authority tells about one of our own certificates, for a
// peer that wants to know it of us (RFC 4806), or in TLS. It does no I/O: what
// Fetches names goes to Take. It is not for several goroutines.
type Staple struct {
	x        checked
	response []byte
	until    time.Time // it serves
	due      time.Time
	failures int
}

// NewStaple returns the Staple of a certificate that issuer has issued; nil when
// it names no server that could be asked.
func NewStaple(cert, issuer *x509.Certificate) *Staple {
	s := &Staple{x: checked{cert: cert, issuer: issuer}}
	s.x.findSources(0)
	s.x.sources = slices.DeleteFunc(s.x.sources, func(f Fetch) bool { return f.Request == nil })
	if len(s.x.sources) == 0 {
		return nil
	}
	s.x.sources[len(s.x.sources)-1].Last = true
	return s
}

// IssuerOf finds the certificate that has signed c; nil when it is not in pool.
func IssuerOf(c *x509.Certificate, pool []*x509.Certificate) *x509.Certificate {
	for _, p := range pool {
		if bytes.Equal(p.RawSubject, c.RawIssuer) && signedBy(c, p) {
			return p
		}
	}
	return nil
}

// Certificate is whom it is about.
func (s *Staple) Certificate() *x509.Certificate { return s.x.cert }

// Response returns what there is to bring, or nil.
func (s *Staple) Response(now time.Time) []byte {
	if !now.Before(s.until) {
		return nil
	}
	return s.response
}

// Due returns when to ask (again): halfway to the end of what there is.
func (s *Staple) Due() time.Time { return s.due }

// Fetches are the ways to ask, one after the other until Take is content.
func (s *Staple) Fetches() []Fetch { return s.x.sources }

// Take takes an answer, as strictly as a peer would. It reports whether the
// certificate was revoked: the response is brought all the same.
func (s *Staple) Take(body []byte, now time.Time) (isRevoked bool, err error) {
	if len(body) > MaxStaple {
		return false, errStapleSize
	}
	x := checked{cert: s.x.cert, issuer: s.x.issuer}
	until, err := x.takeOCSP(body, now)
	if err != nil {
		return false, err
	}
	s.response, s.until, s.failures = body, until, 0
	s.due = now.Add(max(minStaple, until.Sub(now)/2))
	return x.state == revoked, nil
}

// Failed notes that nobody answered; what there is serves on to its end.
func (s *Staple) Failed(now time.Time) {
	wait := maxStaple
	if s.failures < 6 {
		wait = minStaple << s.failures
	}
	s.failures++
	s.due = now.Add(wait)
}

// ErrNobodyTells says that no server gave an answer that serves.
var ErrNobodyTells = errors.New("pki: nobody tells the state of the certificate")
