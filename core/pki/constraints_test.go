package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"testing"

	"sallyport/core/ike/auth"
)

// CVE-2026-35331: an authority that may issue for some names only cannot get
// round that, by no spelling of a name and by no place to put it.
func TestCVE202635331NameConstraints(t *testing.T) {
	_, net4, _ := net.ParseCIDR("10.0.0.0/8")
	permit := func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical = true
		c.PermittedDNSDomains, c.PermittedIPRanges, c.PermittedEmailAddresses = []string{"example.com"}, []*net.IPNet{net4}, []string{"example.com"}
	}
	dotted := func(c *x509.Certificate) { c.PermittedDNSDomains = []string{".example.com"} }
	exclude := func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical = true
		c.ExcludedDNSDomains, c.ExcludedIPRanges = []string{"secret.example.com"}, []*net.IPNet{net4}
	}
	names := func(cn string, dns ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: cn}
			c.DNSNames, c.EmailAddresses, c.IPAddresses = dns, nil, nil
		}
	}
	address := func(ip string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			names("gw")(c)
			c.IPAddresses = []net.IP{net.ParseIP(ip)}
		}
	}
	mail := func(m string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			names("gw")(c)
			c.EmailAddresses = []string{m}
		}
	}
	for name, tt := range map[string]struct {
		ca, leaf func(*x509.Certificate)
		claim    string
		ok       bool
	}{
		"within":                   {permit, names("gw", "gw.example.com"), "gw.example.com", true},
		"beside":                   {permit, names("gw", "gw.example.org"), "gw.example.org", false},
		"ends alike":               {permit, names("gw", "evilexample.com"), "evilexample.com", false},
		"below another":            {permit, names("gw", "example.com.evil.org"), "example.com.evil.org", false},
		"one good, one bad":        {permit, names("gw", "gw.example.com", "gw.example.org"), "gw.example.com", false},
		"case":                     {permit, names("gw", "GW.EXAMPLE.ORG"), "gw.example.org", false},
		"wildcard beside":          {permit, names("gw", "*.example.org"), "gw.example.org", false},
		"common name alone":        {permit, names("gw.example.org"), "gw.example.org", false},
		"common name, other SAN":   {permit, names("gw.example.org", "gw.example.com"), "gw.example.org", false},
		"address within":           {permit, address("10.1.2.3"), "10.1.2.3", true},
		"address beside":           {permit, address("192.0.2.1"), "192.0.2.1", false},
		"address of another kind":  {permit, address("2001:db8::1"), "2001:db8::1", false},
		"address as a name":        {permit, names("gw", "192.0.2.1"), "192.0.2.1", false},
		"mail within":              {permit, mail("gw@example.com"), "gw@example.com", true},
		"mail beside":              {permit, mail("gw@example.org"), "gw@example.org", false},
		"mail below":               {permit, mail("gw@sub.example.com"), "gw@sub.example.com", false},
		"leading dot, below":       {dotted, names("gw", "gw.example.com"), "gw.example.com", true},
		"leading dot, ends alike":  {dotted, names("gw", "gw.evilexample.com"), "gw.evilexample.com", false},
		"leading dot, beside":      {dotted, names("gw", "gw.example.org"), "gw.example.org", false},
		"not excluded":             {exclude, names("gw", "gw.example.com"), "gw.example.com", true},
		"excluded":                 {exclude, names("gw", "secret.example.com"), "secret.example.com", false},
		"excluded, case":           {exclude, names("gw", "SECRET.example.com"), "secret.example.com", false},
		"excluded, below":          {exclude, names("gw", "a.secret.example.com"), "a.secret.example.com", false},
		"excluded by a wildcard":   {exclude, names("gw", "*.example.com"), "secret.example.com", false},
		"excluded address":         {exclude, address("10.1.2.3"), "10.1.2.3", false},
		"excluded address, mapped": {exclude, address("::ffff:10.1.2.3"), "10.1.2.3", false},
	} {
		t.Run(name, func(t *testing.T) {
			root := newCA(t, "Root", nil)
			sub := root.sub("Sub", tt.ca)
			below := sub.sub("Below", nil) // constraints hold for all that is below
			for _, ca := range []*authority{sub, below} {
				leaf := ca.leaf(tt.leaf)
				claim := id(t, tt.claim)
				_, err := (&Verifier{Roots: []*x509.Certificate{root.cert}}).Verify([]*x509.Certificate{leaf, below.cert, sub.cert},
					Request{Claimed: claim, Wanted: claim, Purpose: Gateway}, now)
				if (err == nil) != tt.ok {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

// The constraints of a trusted root hold as well.
func TestConstraintsOfRoot(t *testing.T) {
	root := newCA(t, "Root", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.org"}
	})
	_, err := (&Verifier{Roots: []*x509.Certificate{root.cert}}).Verify([]*x509.Certificate{root.leaf(func(c *x509.Certificate) { c.IPAddresses, c.EmailAddresses = nil, nil })}, gw(t), now)
	wantKind(t, err, NameConstraints, "")
}

// A wildcard never stands for an address, nor for an identity of another type.
func TestWildcardOfOtherTypes(t *testing.T) {
	root := newCA(t, "Root", nil)
	leaf := root.leaf(func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses, c.EmailAddresses = []string{"*.0.2.1", "*.example.com"}, nil, nil
	})
	for _, claim := range []auth.Identity{
		id(t, "192.0.2.1"), {Type: auth.IDFQDN, Data: []byte("192.0.2.1")}, id(t, "a@b.example.com"), {Type: auth.IDFQDN, Data: []byte("*.example.com")},
		{Type: auth.IDFQDN, Data: []byte("a.b.example.com")}, {Type: auth.IDFQDN, Data: []byte("example.com")}, {Type: auth.IDKeyID, Data: []byte("gw.example.com")},
	} {
		if _, err := (&Verifier{Roots: []*x509.Certificate{root.cert}}).Verify([]*x509.Certificate{leaf}, Request{Claimed: claim, Wanted: claim, Purpose: Gateway}, now); err == nil {
			t.Errorf("it proves %v", claim)
		}
	}
}

// When all certificates agree about another time, the clock is to blame.
func TestClock(t *testing.T) {
	root := newCA(t, "Root", nil)
	sub := root.sub("Sub", nil)
	chain := []*x509.Certificate{sub.leaf(nil), sub.cert}
	v := &Verifier{Roots: []*x509.Certificate{root.cert}}
	for _, tt := range []struct {
		years int
		kind  Kind
	}{{-5, NotYetValid}, {5, Expired}} {
		_, err := v.Verify(chain, gw(t), now.AddDate(tt.years, 0, 0))
		if e := wantKind(t, err, tt.kind, "clock"); !e.Clock {
			t.Errorf("%d years: the clock is not blamed", tt.years)
		}
	}
	late := sub.leaf(func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, 0, -1) })
	_, err := v.Verify([]*x509.Certificate{late, sub.cert}, gw(t), now)
	if e := wantKind(t, err, Expired, ""); e.Clock {
		t.Error("the clock is blamed for one expired certificate")
	}
	self := newCA(t, "Old", func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, 0, -1) })
	_, err = v.Verify([]*x509.Certificate{self.cert}, gw(t), now)
	if e := wantKind(t, err, Expired, ""); e.Clock {
		t.Error("the clock is blamed for one alone")
	}
}
