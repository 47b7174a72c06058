package pki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

const (
	crlURL  = "http://crl.example.com/ca.crl"
	ocspURL = "http://ocsp.example.com/"
)

// told issues a certificate that says where its state is told.
func (a *authority) told(ocspURLs, crlURLs []string, change func(*x509.Certificate)) *x509.Certificate {
	return a.leaf(func(c *x509.Certificate) {
		c.OCSPServer, c.CRLDistributionPoints = ocspURLs, crlURLs
		if change != nil {
			change(c)
		}
	})
}

// crl is a list of the authority.
func (a *authority) crl(change func(*x509.RevocationList), serials ...*big.Int) []byte {
	a.t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}
	for _, s := range serials {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: now.AddDate(0, 0, -3), ReasonCode: ocsp.KeyCompromise})
	}
	if change != nil {
		change(l)
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// ocsp is an answer about c, signed by who and key.
func (a *authority) ocsp(c, who *x509.Certificate, key crypto.Signer, change func(*ocsp.Response)) []byte {
	a.t.Helper()
	r := ocsp.Response{Status: ocsp.Good, SerialNumber: c.SerialNumber, ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}
	if who != a.cert {
		r.Certificate = who
	}
	if change != nil {
		change(&r)
	}
	der, err := ocsp.CreateResponse(a.cert, who, r, key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

func isRevoked(r *ocsp.Response) {
	r.Status, r.RevokedAt, r.RevocationReason = ocsp.Revoked, now.AddDate(0, 0, -1), ocsp.Superseded
}

func check(policy Revocation, path ...*x509.Certificate) *Check {
	return (&Verifier{Revocation: policy}).NewCheck(path, nil, now)
}

// feed answers what a check asks for, by URL.
func feed(t *testing.T, c *Check, answers map[string][]byte) (warnings []string, err error) {
	t.Helper()
	for n := 0; ; n++ {
		f, more := c.Next()
		if !more {
			break
		}
		if n > 20 {
			t.Fatal("it asks without end")
		}
		body, ok := answers[f.URL]
		var bad error
		if !ok {
			bad = errors.New("connection refused")
		}
		c.Take(f, body, bad, now)
	}
	return c.Result()
}

// delegateOf issues a certificate for signing OCSP responses.
func (a *authority) delegateOf(change func(*x509.Certificate)) (*x509.Certificate, crypto.Signer) {
	return a.leafKey(func(c *x509.Certificate) {
		c.Subject.CommonName = "responder"
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
		if change != nil {
			change(c)
		}
	})
}

func raw(t *testing.T, oid string, critical bool, v any) pkix.Extension {
	t.Helper()
	var id asn1.ObjectIdentifier
	for _, s := range strings.Split(oid, ".") {
		n := 0
		fmt.Sscan(s, &n)
		id = append(id, n)
	}
	return pkix.Extension{Id: id, Critical: critical, Value: must(t, v)}
}

func TestRevocationByCRL(t *testing.T) {
	ca, other := newCA(t, "CA", nil), newCA(t, "CA", nil)
	leaf := ca.told(nil, []string{crlURL}, nil)
	stranger := big.NewInt(7)
	point := func(p issuingPoint) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{raw(t, "2.5.29.28", true, p)}
		}
	}
	named := func(u string) (p issuingPoint) {
		p.Point.FullName = []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(u)}}
		return p
	}
	for name, tt := range map[string]struct {
		crl  []byte
		want string // empty: good; "revoked"; or what is said of an unknown state
	}{
		"good":                 {ca.crl(nil, stranger), ""},
		"revoked":              {ca.crl(nil, stranger, leaf.SerialNumber), "revoked"},
		"on hold":              {ca.crl(func(l *x509.RevocationList) { l.RevokedCertificateEntries[0].ReasonCode = ocsp.CertificateHold }, leaf.SerialNumber), "revoked"},
		"expired":              {ca.crl(func(l *x509.RevocationList) { l.NextUpdate = now.Add(-time.Minute) }), "served until"},
		"of tomorrow":          {ca.crl(func(l *x509.RevocationList) { l.ThisUpdate = now.Add(20 * time.Minute) }), "yet to come"},
		"wrong signer":         {other.crl(nil, leaf.SerialNumber), "not signed by the authority"},
		"another authority":    {newCA(t, "Other", nil).crl(nil), "another authority's"},
		"delta":                {ca.crl(func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{raw(t, "2.5.29.27", true, 1)} }), "delta"},
		"unknown and critical": {ca.crl(func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{raw(t, "1.2.3.4", true, 1)} }), "critical extension"},
		"indirect":             {ca.crl(point(issuingPoint{Indirect: true})), "indirect"},
		"an indirect entry": {ca.crl(func(l *x509.RevocationList) {
			l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{raw(t, "2.5.29.29", true, []byte{})}
		}, stranger), "indirect"},
		"for authorities":    {ca.crl(point(issuingPoint{OnlyAuthorities: true})), "does not cover"},
		"for users":          {ca.crl(point(issuingPoint{OnlyUsers: true})), ""},
		"some reasons":       {ca.crl(point(issuingPoint{Reasons: asn1.BitString{Bytes: []byte{0x40}, BitLength: 2}})), "does not cover"},
		"its own list":       {ca.crl(point(named(crlURL))), ""},
		"another list of it": {ca.crl(point(named("http://crl.example.com/2.crl"))), "does not cover"},
		"huge":               {make([]byte, MaxCRL+1), "larger than"},
		"malformed":          {[]byte("nonsense"), "cannot be read"},
		"empty":              {nil, "cannot be read"},
		"cut":                {ca.crl(nil)[:50], "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			answers := map[string][]byte{crlURL: tt.crl}
			_, err := feed(t, check(RevocationStrict, leaf, ca.cert), answers)
			warnings, soft := feed(t, check(RevocationSoft, leaf, ca.cert), answers)
			switch tt.want {
			case "":
				if err != nil || soft != nil || len(warnings) > 0 {
					t.Errorf("%v, %v, %q", err, soft, warnings)
				}
			case "revoked":
				wantKind(t, err, Revoked, "was revoked by its authority")
				wantKind(t, soft, Revoked, "was revoked by its authority")
			default:
				wantKind(t, err, RevocationUnknown, tt.want)
				if soft != nil || len(warnings) != 1 || !strings.Contains(warnings[0], tt.want) {
					t.Errorf("soft: %v, %q", soft, warnings)
				}
			}
		})
	}
}

func TestRevocationByOCSP(t *testing.T) {
	ca, other := newCA(t, "CA", nil), newCA(t, "CA", nil)
	leaf := ca.told([]string{ocspURL}, nil, nil)
	second := ca.told([]string{ocspURL}, nil, nil)
	delegate, delegateKey := ca.delegateOf(nil)
	expired, expiredKey := ca.delegateOf(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) })
	useless, uselessKey := ca.leafKey(nil)
	foreign, foreignKey := other.delegateOf(nil)
	sub := ca.sub("Sub", nil)
	far, farKey := sub.delegateOf(nil)
	refusal := must(t, struct{ Status asn1.Enumerated }{3})
	for name, tt := range map[string]struct {
		answer []byte
		want   string
	}{
		"good":                     {ca.ocsp(leaf, ca.cert, ca.key, nil), ""},
		"good, SHA-256 names":      {ca.ocsp(leaf, ca.cert, ca.key, func(r *ocsp.Response) { r.IssuerHash = crypto.SHA256 }), ""},
		"revoked":                  {ca.ocsp(leaf, ca.cert, ca.key, isRevoked), "revoked"},
		"delegated":                {ca.ocsp(leaf, delegate, delegateKey, nil), ""},
		"delegated, revoked":       {ca.ocsp(leaf, delegate, delegateKey, isRevoked), "revoked"},
		"unknown":                  {ca.ocsp(leaf, ca.cert, ca.key, func(r *ocsp.Response) { r.Status = ocsp.Unknown }), "does not know"},
		"another certificate":      {ca.ocsp(second, ca.cert, ca.key, nil), "not about this certificate"},
		"another issuer, same no.": {other.ocsp(leaf, ca.cert, ca.key, nil), "not about this certificate"},
		"wrong signer":             {ca.ocsp(leaf, ca.cert, other.key, nil), "not signed by the authority"},
		"not meant for it":         {ca.ocsp(leaf, useless, uselessKey, nil), "not meant for it"},
		"expired delegate":         {ca.ocsp(leaf, expired, expiredKey, nil), "out of its time"},
		"another's delegate":       {ca.ocsp(leaf, foreign, foreignKey, nil), "not signed by the authority"},
		"delegate of a sub":        {ca.ocsp(leaf, far, farKey, nil), "not signed by the authority"},
		"old":                      {ca.ocsp(leaf, ca.cert, ca.key, func(r *ocsp.Response) { r.NextUpdate = now.Add(-time.Second) }), "served until"},
		"of tomorrow":              {ca.ocsp(leaf, ca.cert, ca.key, func(r *ocsp.Response) { r.ThisUpdate = now.Add(20 * time.Minute) }), "yet to come"},
		"without end, fresh":       {ca.ocsp(leaf, ca.cert, ca.key, func(r *ocsp.Response) { r.ThisUpdate, r.NextUpdate = now, time.Time{} }), ""},
		"without end, old":         {ca.ocsp(leaf, ca.cert, ca.key, func(r *ocsp.Response) { r.NextUpdate = time.Time{} }), "served until"},
		"refusal":                  {refusal, "refuses to answer"},
		"huge":                     {make([]byte, MaxOCSP+1), "larger than"},
		"malformed":                {[]byte("nonsense"), "unknown form"},
		"empty":                    {nil, "unknown form"},
		"something behind":         {append(ca.ocsp(leaf, ca.cert, ca.key, nil), 0), "unknown form"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := feed(t, check(RevocationStrict, leaf, ca.cert), map[string][]byte{ocspURL: tt.answer})
			switch tt.want {
			case "":
				if err != nil {
					t.Error(err)
				}
			case "revoked":
				wantKind(t, err, Revoked, "was revoked")
			default:
				wantKind(t, err, RevocationUnknown, tt.want)
			}
		})
	}
}

// A flipped bit of an answer never makes a certificate good.
func TestOCSPFlippedBits(t *testing.T) {
	ca := newCA(t, "CA", nil)
	leaf := ca.told([]string{ocspURL}, nil, nil)
	answer := ca.ocsp(leaf, ca.cert, ca.key, isRevoked)
	for i := range answer {
		b := bytes.Clone(answer)
		b[i] ^= 1 << (i % 8)
		if _, err := feed(t, check(RevocationStrict, leaf, ca.cert), map[string][]byte{ocspURL: b}); err == nil {
			t.Errorf("byte %d flipped: it is good", i)
		}
	}
}

// The whole path is checked, but for the root.
func TestRevocationOfAuthority(t *testing.T) {
	root := newCA(t, "Root", nil)
	sub := root.sub("Sub", func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://root.example.com/root.crl"} })
	leaf := sub.told([]string{ocspURL}, []string{crlURL}, nil)
	answers := map[string][]byte{ocspURL: sub.ocsp(leaf, sub.cert, sub.key, nil), "http://root.example.com/root.crl": root.crl(nil)}
	if _, err := feed(t, check(RevocationStrict, leaf, sub.cert, root.cert), answers); err != nil {
		t.Error(err)
	}
	answers["http://root.example.com/root.crl"] = root.crl(nil, sub.cert.SerialNumber)
	_, err := feed(t, check(RevocationSoft, leaf, sub.cert, root.cert), answers)
	if e := wantKind(t, err, Revoked, "because its key is in the wrong hands"); !strings.Contains(e.Subject, "Sub") {
		t.Errorf("it names %s", e.Subject)
	}
	// OCSP fails: the list is asked.
	answers = map[string][]byte{crlURL: sub.crl(nil, leaf.SerialNumber), "http://root.example.com/root.crl": root.crl(nil)}
	_, err = feed(t, check(RevocationSoft, leaf, sub.cert, root.cert), answers)
	wantKind(t, err, Revoked, "")
	if c := check(RevocationStrict, root.cert); true {
		if _, more := c.Next(); more {
			t.Error("a root is asked about")
		}
		if _, err := c.Result(); err != nil {
			t.Error(err)
		}
	}
}

// What the peer brings needs no fetch, and proves nothing of others.
func TestRevocationInBand(t *testing.T) {
	ca := newCA(t, "CA", nil)
	leaf, other := ca.told([]string{ocspURL}, nil, nil), ca.told([]string{ocspURL}, nil, nil)
	v := &Verifier{Revocation: RevocationStrict}
	path := []*x509.Certificate{leaf, ca.cert}
	c := v.NewCheck(path, [][]byte{[]byte("junk"), ca.ocsp(other, ca.cert, ca.key, nil), ca.ocsp(leaf, ca.cert, ca.key, nil)}, now)
	if _, more := c.Next(); more {
		t.Error("it asks for more")
	}
	if _, err := c.Result(); err != nil {
		t.Error(err)
	}
	c = v.NewCheck(path, [][]byte{ca.ocsp(leaf, ca.cert, ca.key, nil), ca.ocsp(leaf, ca.cert, ca.key, isRevoked)}, now)
	_, err := c.Result()
	wantKind(t, err, Revoked, "because it was replaced")
	c = v.NewCheck(path, [][]byte{ca.ocsp(other, ca.cert, ca.key, nil)}, now)
	if _, more := c.Next(); !more {
		t.Error("an answer about another certificate is enough")
	}
}

// CVE-2022-40617: what is fetched is bounded in number and in kind, whatever a
// certificate names.
func TestCVE202240617Sources(t *testing.T) {
	ca := newCA(t, "CA", nil)
	bad := []string{"https://example.com/a.crl", "ldap://example.com/a", "file:///etc/passwd", "http://user:secret@example.com/", "http:///x", "ftp://example.com/", "http://" + strings.Repeat("a", maxURL), "%zz", ""}
	var many []string
	for i := range 50 {
		many = append(many, fmt.Sprintf("http://%d.example.com/", i))
	}
	leaf := ca.told(append(bad, many...), append(bad, many...), nil)
	c := check(RevocationStrict, leaf, ca.cert)
	n := 0
	for f, more := c.Next(); more; f, more = c.Next() {
		if !strings.HasPrefix(f.URL, "http://") || len(f.URL) > maxURL || n > 2*maxSources {
			t.Fatalf("it fetches %q", f.URL)
		}
		n++
		if f.Last != (n == 2*maxSources) {
			t.Errorf("fetch %d: last is %v", n, f.Last)
		}
		c.Take(f, nil, errors.New("x\x1b[1m"+strings.Repeat("y", 5000)), now)
	}
	if n != 2*maxSources {
		t.Errorf("%d fetches", n)
	}
	_, err := c.Result()
	e := wantKind(t, err, RevocationUnknown, "")
	if len(e.Detail) > 4000 || strings.Contains(e.Detail, "\x1b") {
		t.Errorf("it says %d bytes: %q", len(e.Detail), e.Detail)
	}
	// Nothing is asked about a certificate that no trusted authority issued.
	if _, _, err := (&Verifier{Roots: []*x509.Certificate{newCA(t, "Real", nil).cert}, Revocation: RevocationStrict}).VerifyPath([]*x509.Certificate{leaf, ca.cert}, gw(t), now); err == nil {
		t.Error("it is trusted")
	}
}

func TestRevocationWithoutSources(t *testing.T) {
	ca := newCA(t, "CA", nil)
	leaf := ca.leaf(nil)
	if w, err := feed(t, check(RevocationSoft, leaf, ca.cert), nil); err != nil || len(w) > 0 {
		t.Errorf("soft: %q, %v", w, err)
	}
	_, err := feed(t, check(RevocationStrict, leaf, ca.cert), nil)
	wantKind(t, err, RevocationUnknown, "does not say where")
	if w, err := feed(t, check(RevocationOff, leaf, ca.cert), nil); err != nil || len(w) > 0 {
		t.Errorf("off: %q, %v", w, err)
	}
}

func TestCache(t *testing.T) {
	var c Cache
	f := func(i int) Fetch { return Fetch{URL: fmt.Sprint(i)} }
	c.Put(f(1), []byte("a"), now.Add(time.Hour), now)
	c.Put(f(2), []byte("b"), now, now) // serves no longer
	if string(c.Get(f(1), now)) != "a" || c.Get(f(2), now) != nil || c.Get(f(1), now.Add(time.Hour)) != nil || c.Get(Fetch{URL: "1", Request: []byte("x")}, now) != nil {
		t.Error("it keeps something else")
	}
	for i := range 2 * maxCached {
		c.Put(f(i), make([]byte, maxCachedBytes/64), now.Add(time.Duration(i+1)*time.Minute), now)
		if len(c.entries) > maxCached || c.size > maxCachedBytes {
			t.Fatalf("%d entries, %d bytes", len(c.entries), c.size)
		}
	}
	if c.Get(f(2*maxCached-1), now) == nil || c.Get(f(0), now) != nil {
		t.Error("it keeps the wrong ones")
	}
	sum := 0
	for _, e := range c.entries {
		sum += len(e.body)
	}
	if sum != c.size {
		t.Errorf("it counts %d, and has %d", c.size, sum)
	}
}

func FuzzRevocation(f *testing.F) {
	t := &testing.T{}
	ca := newCA(t, "CA", nil)
	leaf := ca.told([]string{ocspURL}, []string{crlURL}, nil)
	delegate, key := ca.delegateOf(nil)
	list := ca.crl(nil, big.NewInt(7))
	for _, b := range [][]byte{list, ca.crl(nil, leaf.SerialNumber)} {
		f.Add(false, b)
	}
	for _, b := range [][]byte{ca.ocsp(leaf, ca.cert, ca.key, isRevoked), ca.ocsp(leaf, delegate, key, isRevoked), must(t, struct{ Status asn1.Enumerated }{3})} {
		f.Add(true, b)
	}
	f.Fuzz(func(t *testing.T, isOCSP bool, b []byte) {
		c := check(RevocationStrict, leaf, ca.cert)
		x, _ := c.Next()
		if !isOCSP {
			c.Take(x, nil, errors.New("no"), now)
			x, _ = c.Next()
		}
		c.Take(x, b, nil, now)
		// Only what the authority signed makes it good: here one list does.
		if c.certs[0].state == good && !bytes.Equal(b, list) {
			t.Errorf("good by %x", b)
		}
	})
}
