package pki

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"

	"sallyport/core/ike/auth"
)

// A certificate of a stranger, full of names, makes no sentence that fills the
// log: errors stay short before anything is believed, and after.
func TestHugeNamesMakeShortErrors(t *testing.T) {
	long := strings.Repeat("long-", 2000)
	root := newCA(t, "Root", func(c *x509.Certificate) { c.Subject.Organization = []string{long} })
	huge := func(c *x509.Certificate) {
		c.Subject.CommonName = long
		c.DNSNames = nil
		for i := range 50 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("%d.%s.example.com", i, strings.Repeat("label.", 30)))
		}
	}
	leaf := root.leaf(huge)
	revoked := root.told(nil, []string{crlURL}, huge)
	_, byCRL := feed(t, check(RevocationStrict, revoked, root.cert), map[string][]byte{crlURL: root.crl(nil, revoked.SerialNumber)})
	_, unknown := feed(t, check(RevocationStrict, revoked, root.cert), nil)
	warnings, _ := feed(t, check(RevocationSoft, revoked, root.cert), nil)
	verify := func(roots ...*x509.Certificate) error {
		_, err := (&Verifier{Roots: roots}).Verify([]*x509.Certificate{leaf}, gw(t), now)
		return err
	}
	_, late := (&Verifier{Roots: []*x509.Certificate{root.cert}}).Verify([]*x509.Certificate{leaf}, gw(t), now.AddDate(5, 0, 0))
	claim := Request{Claimed: auth.Identity{Type: auth.IDFQDN, Data: []byte(strings.Repeat("a.", 20000) + "example.com")}, Purpose: Gateway}
	_, claimed := (&Verifier{Roots: []*x509.Certificate{root.cert}}).Verify([]*x509.Certificate{leaf}, claim, now)
	for name, err := range map[string]error{"an unknown authority": verify(newCA(t, "Other", nil).cert), "another name": verify(root.cert), "too late": late,
		"revoked": byCRL, "not known": unknown, "a huge identity": claimed} {
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v", name, err)
		}
		for part, s := range map[string]string{"text": e.Error(), "subject": e.Subject, "issuer": e.Issuer, "expected": e.Expected, "found": e.Found} {
			if len(s) > 6000 {
				t.Errorf("%s: the %s has %d bytes", name, part, len(s))
			}
		}
	}
	for _, w := range append(warnings, WeakIn([]*x509.Certificate{leaf, root.cert})...) {
		if len(w) > 6000 {
			t.Errorf("a warning of %d bytes", len(w))
		}
	}
}

// hugeCRL is a list of n entries, as somebody on the way to its server would make
// one: it names the authority, and is signed by nobody.
func hugeCRL(t *testing.T, issuer *x509.Certificate, n int) []byte {
	t.Helper()
	entry := must(t, struct {
		Serial *big.Int
		At     time.Time
	}{big.NewInt(1), now})
	algorithm := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
	tbs := must(t, struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Issuer    asn1.RawValue
		This      time.Time
		Next      time.Time
		Entries   asn1.RawValue
	}{1, algorithm, asn1.RawValue{FullBytes: issuer.RawSubject}, now.Add(-time.Hour), now.Add(time.Hour),
		asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: bytes.Repeat(entry, n)}})
	return must(t, struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: tbs}, algorithm, asn1.BitString{Bytes: []byte{0x30, 6, 2, 1, 1, 2, 1, 1}, BitLength: 64}})
}

// A list is verified before it is read, and read without unfolding it in memory:
// whoever sits on the way to its server could otherwise have us fill ours.
func TestHugeCRLTakesNoMemory(t *testing.T) {
	ca := newCA(t, "CA", nil)
	leaf := ca.told(nil, []string{crlURL}, nil)
	forged := hugeCRL(t, ca.cert, 350_000)
	var serials []*big.Int
	for range 20_000 {
		n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		if err != nil {
			t.Fatal(err)
		}
		serials = append(serials, n)
	}
	genuine := ca.crl(nil, append(serials, leaf.SerialNumber)...)
	if len(forged) > MaxCRL || len(forged) < MaxCRL/2 {
		t.Fatalf("%d bytes", len(forged))
	}
	for name, body := range map[string][]byte{"forged": forged, "genuine": genuine} {
		c := check(RevocationStrict, leaf, ca.cert)
		f, _ := c.Next()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c.Take(f, body, nil, now)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: a list of %d bytes took %d", name, len(body), n)
		}
		_, err := c.Result()
		if name == "genuine" {
			wantKind(t, err, Revoked, "")
		} else {
			wantKind(t, err, RevocationUnknown, "not signed by the authority")
		}
	}
}

// Two authorities whose certificates name one address do not get in each other's
// way: what one has said is not taken for what the other says.
func TestCacheKnowsAuthoritiesApart(t *testing.T) {
	var cache Cache
	for _, name := range []string{"One", "Two"} {
		ca := newCA(t, name, nil)
		c := check(RevocationStrict, ca.told(nil, []string{crlURL}, nil), ca.cert)
		f, _ := c.Next()
		if cache.Get(f, now) != nil {
			t.Errorf("%s gets what another authority has said", name)
		}
		body := ca.crl(nil)
		cache.Put(f, body, c.Take(f, body, nil, now), now)
		if cache.Get(f, now) == nil {
			t.Errorf("what %s has said is not kept", name)
		}
	}
}

// No spelling of a name gets around what its authority may issue for.
func TestNameConstraintSpellings(t *testing.T) {
	root := newCA(t, "Root", nil)
	excluding := root.sub("Excluding", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.ExcludedDNSDomains = true, []string{"example.com"}
	})
	permitting := root.sub("Permitting", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"elsewhere.test"}
	})
	for _, san := range []string{"gw.example.com", "gw.example.com.", "GW.EXAMPLE.COM", "gw.EXAMPLE.com.", "*.example.com", "*.example.com.", "*.EXAMPLE.com", "*.com", "*.", ".example.com"} {
		for _, sub := range []*authority{excluding, permitting} {
			for _, other := range []string{"", "ok.elsewhere.test"} {
				der, err := tryLeaf(sub, san, other)
				if err != nil {
					continue // it cannot be made
				}
				leaf, err := x509.ParseCertificate(der)
				if err != nil {
					continue // nor read
				}
				for _, weak := range []bool{false, true} {
					v := &Verifier{Roots: []*x509.Certificate{root.cert}, Weak: weak}
					if _, err := v.Verify([]*x509.Certificate{leaf, sub.cert}, gw(t), now); err == nil {
						t.Errorf("%q by %s is believed (weak %v)", san, name(sub.cert), weak)
					}
				}
			}
		}
	}
}

func tryLeaf(ca *authority, sans ...string) ([]byte, error) {
	c := leafTemplate(func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses, c.EmailAddresses = nil, nil, nil
		for _, s := range sans {
			if s != "" {
				c.DNSNames = append(c.DNSNames, s)
			}
		}
	})
	return x509.CreateCertificate(rand.Reader, c, ca.cert, newKey(ca.t).Public(), ca.key)
}

// FuzzCRL holds our walk through a list against the library's, which unfolds it.
func FuzzCRL(f *testing.F) {
	t := &testing.T{}
	ca := newCA(t, "CA", nil)
	var serials []*big.Int
	for _, n := range []int64{1, 127, 128, 255, 256, 65535} {
		serials = append(serials, big.NewInt(n))
	}
	f.Add(ca.crl(nil))
	f.Add(ca.crl(nil, serials...))
	f.Add(ca.crl(func(l *x509.RevocationList) { l.RevokedCertificateEntries[0].ReasonCode = 0 }, serials...))
	f.Add(hugeCRL(t, ca.cert, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		theirs, bad := x509.ParseRevocationList(b)
		ours, err := parseCRL(b)
		if err == nil {
			err = ours.parseBody()
		}
		if err != nil {
			return // ours may be stricter
		}
		for _, serial := range serials {
			at, reason, err := ours.find(serial)
			if err != nil || bad != nil {
				continue
			}
			var want *x509.RevocationListEntry
			for i := range theirs.RevokedCertificateEntries {
				if e := &theirs.RevokedCertificateEntries[i]; e.SerialNumber.Cmp(serial) == 0 {
					want = e
					break
				}
			}
			if (want != nil) != !at.IsZero() || want != nil && (!want.RevocationTime.Equal(at) || want.ReasonCode != reason) {
				t.Errorf("serial %v: revoked at %v for %d, the library says %+v", serial, at, reason, want)
			}
		}
		if bad == nil && (!theirs.ThisUpdate.Equal(ours.this) || !theirs.NextUpdate.Equal(ours.next) || !bytes.Equal(theirs.RawIssuer, ours.issuer) ||
			!bytes.Equal(theirs.RawTBSRevocationList, ours.raw) || !bytes.Equal(theirs.Signature, ours.signature)) {
			t.Errorf("read otherwise than by the library: %x", b)
		}
	})
}

// A certificate without a subject is nobody's by its subject: any two of them
// would be the same.
func TestEmptySubjectIsNobody(t *testing.T) {
	root := newCA(t, "Root", nil)
	nameless := root.leaf(func(c *x509.Certificate) { c.Subject = pkix.Name{} })
	v := &Verifier{Roots: []*x509.Certificate{root.cert}}
	_, err := v.Verify([]*x509.Certificate{nameless}, Request{Claimed: Subject(nameless), Purpose: Gateway}, now)
	wantKind(t, err, Identity, "does not name")
	if _, err := v.Verify([]*x509.Certificate{nameless}, gw(t), now); err != nil {
		t.Errorf("by its other names: %v", err)
	}
	c := &Credential{Chain: []*x509.Certificate{nameless}}
	if got, err := c.Identity(auth.Identity{}); err != nil || got.String() != "gw.example.com" {
		t.Errorf("its own end calls itself %q, %v", got, err)
	}
	bare := root.leaf(func(c *x509.Certificate) {
		c.Subject, c.DNSNames, c.EmailAddresses, c.IPAddresses = pkix.Name{}, nil, nil, nil
	})
	if got, err := (&Credential{Chain: []*x509.Certificate{bare}}).Identity(auth.Identity{}); err == nil {
		t.Errorf("without any name it calls itself %q", got)
	}
}
