package pki

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	"sallyport/core/ike/auth"
)

func TestCheckIdentity(t *testing.T) {
	root := newCA(t, "Root", nil)
	cert := root.leaf(func(c *x509.Certificate) {
		c.DNSNames = []string{"gw.example.com", "*.wild.example.com", "*.com", "w*.example.com", "*", "a.*.example.com", "192.0.2.9", "under_score.example.com"}
		c.EmailAddresses = []string{"gw@example.com"}
		c.SubjectKeyId = []byte{1, 2, 3}
	})
	for claimed, want := range map[string]bool{
		"gw.example.com":                 true,
		"GW.Example.COM":                 true,
		"gw.example.com.":                true,
		"example.com":                    false,
		"x.gw.example.com":               false,
		"a.wild.example.com":             true,
		"wild.example.com":               false,
		"a.b.wild.example.com":           false, // a wildcard is one label
		".wild.example.com":              false,
		"evil.com":                       false, // too broad a wildcard
		"com":                            false,
		"www.example.com":                false, // a partial label
		"a.b.example.com":                false,
		"under_score.example.com":        true,
		"@*.wild.example.com":            false, // nobody is a pattern
		"@192.0.2.9":                     false, // an address is no host name
		"@192.0.2.1":                     false,
		"cn.example.com":                 false, // common name only
		"fqdn:gw@example.com":            false,
		"gw@example.com":                 true,
		"gw@EXAMPLE.com":                 true,
		"GW@example.com":                 false,
		"*@example.com":                  false,
		"email:gw.example.com":           false,
		"192.0.2.1":                      true,
		"192.0.2.2":                      false,
		"2001:db8::1":                    true,
		"2001:db8::2":                    false,
		"ipv6:::ffff:192.0.2.1":          false, // an IPv4 address is one
		"C=CH, O=Lab, CN=cn.example.com": true,
		"C=ch, O=lab, CN=CN.example.com": true,
		"C=CH, O=Lab, CN=*":              false,
		"C=CH, O=Lab":                    false,
		"CN=cn.example.com":              false,
		"keyid:#010203":                  true,
		"keyid:#010204":                  false,
		"keyid:gw.example.com":           false,
		"asn1gn:#820e67772e6578616d706c652e636f6d": false, // not a kind of claim that we take
	} {
		err := checkIdentity(cert, id(t, claimed))
		if (err == nil) != want {
			t.Errorf("%s: %v", claimed, err)
		}
		if err != nil {
			wantKind(t, err, Identity, "gw.example.com")
		}
	}
	bare := root.leaf(func(c *x509.Certificate) {
		c.DNSNames, c.EmailAddresses, c.IPAddresses = nil, nil, nil
	})
	for _, s := range []string{"cn.example.com", "192.0.2.1", "keyid:#00"} {
		wantKind(t, checkIdentity(bare, id(t, s)), Identity, "it names \"C=CH, O=Lab, CN=cn.example.com\"")
	}
	wantKind(t, checkIdentity(bare, auth.Identity{Type: auth.IDKeyID}), Identity, "")
	wantKind(t, checkIdentity(bare, auth.Identity{Type: auth.IDFQDN}), Identity, "")
}

func TestNames(t *testing.T) {
	cert := newCA(t, "Root", nil).leaf(func(c *x509.Certificate) {
		c.Subject.CommonName = "Zoë"
	})
	var got []string
	for _, n := range Names(cert) {
		got = append(got, n.String())
		if err := checkIdentity(cert, n); err != nil {
			t.Error(err)
		}
	}
	want := []string{"C=CH, O=Lab, CN=Zoë", "gw.example.com", "gw@example.com", "192.0.2.1", "2001:db8::1"}
	if !slices.Equal(got, want) {
		t.Errorf("Names = %q, want %q", got, want)
	}
	many := newCA(t, "Root", nil).leaf(func(c *x509.Certificate) {
		for range 100 {
			c.DNSNames = append(c.DNSNames, "a.example.com")
		}
	})
	if s := names(many); !strings.HasSuffix(s, ", ...") || len(s) > 300 {
		t.Errorf("names is %q", s)
	}
}
