package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"sallyport/core/ike/auth"
)

func TestVerify(t *testing.T) {
	root := newCA(t, "Root", nil)
	sub := root.sub("Sub", nil)
	subsub := sub.sub("SubSub", nil)
	v := &Verifier{Roots: []*x509.Certificate{root.cert}}
	direct, below := root.leaf(nil), subsub.leaf(nil)
	for name, chain := range map[string][]*x509.Certificate{
		"direct":            {direct},
		"intermediates":     {below, subsub.cert, sub.cert},
		"any order":         {below, sub.cert, subsub.cert},
		"root sent along":   {below, subsub.cert, sub.cert, root.cert},
		"strangers between": {below, newCA(t, "Root", nil).cert, sub.cert, newCA(t, "X", nil).cert, subsub.cert},
		"doubled":           {below, sub.cert, sub.cert, subsub.cert, below},
	} {
		pub, err := v.Verify(chain, gw(t), now)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !chain[0].PublicKey.(*ecdsa.PublicKey).Equal(pub) {
			t.Errorf("%s: another key", name)
		}
	}
	known := &Verifier{Roots: v.Roots, Intermediates: []*x509.Certificate{sub.cert, subsub.cert}}
	if _, err := known.Verify([]*x509.Certificate{below}, gw(t), now); err != nil {
		t.Errorf("known intermediates: %v", err)
	}
	pinned := &Verifier{Roots: []*x509.Certificate{direct}}
	if _, err := pinned.Verify([]*x509.Certificate{direct}, gw(t), now); err != nil {
		t.Errorf("pinned: %v", err)
	}
}

func TestUnknownCA(t *testing.T) {
	root := newCA(t, "Root", nil)
	sub := root.sub("Sub", nil)
	v := &Verifier{Roots: []*x509.Certificate{root.cert}}
	other := newCA(t, "Other", nil)
	impostor := newCA(t, "Root", nil) // same name, another key
	selfKey := newKey(t)
	self := sign(t, leafTemplate(nil), leafTemplate(nil), selfKey.Public(), selfKey)
	leaf, key := root.leafKey(nil)
	notCA := sign(t, leafTemplate(func(c *x509.Certificate) { c.Subject.CommonName = "below a leaf" }), leaf, newKey(t).Public(), key)

	verify := func(v *Verifier, c ...*x509.Certificate) error {
		t.Helper()
		pub, err := v.Verify(c, gw(t), now)
		if pub != nil {
			t.Errorf("a key with the error %v", err)
		}
		return err
	}
	e := wantKind(t, verify(v, other.leaf(nil)), UnknownCA, "CN=Other")
	if e.Issuer != "C=CH, O=Lab, CN=Other" {
		t.Errorf("issuer %q", e.Issuer)
	}
	wantKind(t, verify(v, other.leaf(nil), other.cert), UnknownCA, "not trusted")
	wantKind(t, verify(v, impostor.leaf(nil)), UnknownCA, "not signed with that authority's key")
	wantKind(t, verify(v, impostor.leaf(nil), impostor.cert), UnknownCA, "")
	wantKind(t, verify(v, sub.leaf(nil)), UnknownCA, "CN=Sub")
	wantKind(t, verify(v, self), UnknownCA, "self-signed")
	wantKind(t, verify(&Verifier{}, leaf), UnknownCA, "no certificate authority is trusted")
	wantKind(t, verify(v, notCA, leaf), Usage, "no certificate authority")
	wantKind(t, verify(v), Malformed, "no certificate")

	// One bit of the signed part.
	der := append([]byte(nil), leaf.Raw...)
	der[len(der)-1] ^= 1
	broken, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, verify(v, broken), UnknownCA, "not signed with")
}

func TestValidity(t *testing.T) {
	root := newCA(t, "Root", nil)
	v := &Verifier{Roots: []*x509.Certificate{root.cert}}
	leaf := root.leaf(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = now.Add(-time.Hour), now.Add(time.Hour)
	})
	chain := []*x509.Certificate{leaf}
	for _, at := range []time.Time{leaf.NotBefore, now, leaf.NotAfter} {
		if _, err := v.Verify(chain, gw(t), at); err != nil {
			t.Errorf("at %v: %v", at, err)
		}
	}
	_, err := v.Verify(chain, gw(t), leaf.NotAfter.Add(72*time.Hour))
	e := wantKind(t, err, Expired, "expired on 2026-07-01 13:00 UTC, 3 days ago")
	if !e.Date.Equal(leaf.NotAfter) || !e.Now.Equal(leaf.NotAfter.Add(72*time.Hour)) {
		t.Errorf("dates %v, %v", e.Date, e.Now)
	}
	_, err = v.Verify(chain, gw(t), leaf.NotBefore.Add(-90*time.Minute))
	e = wantKind(t, err, NotYetValid, "valid only from 2026-07-01 11:00 UTC on, in 90 minutes; this machine's clock says 2026-07-01 09:30 UTC")
	if !e.Date.Equal(leaf.NotBefore) {
		t.Errorf("date %v", e.Date)
	}

	// An authority's time counts as well.
	sub := root.sub("Old Sub", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })
	_, err = v.Verify([]*x509.Certificate{sub.leaf(nil), sub.cert}, gw(t), now)
	wantKind(t, err, Expired, "CN=Old Sub")
	old := newCA(t, "Old Root", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) })
	_, err = (&Verifier{Roots: []*x509.Certificate{old.cert}}).Verify([]*x509.Certificate{old.leaf(nil)}, gw(t), now)
	wantKind(t, err, Expired, "CN=Old Root")
	young := newCA(t, "Young Root", func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) })
	_, err = (&Verifier{Roots: []*x509.Certificate{young.cert}}).Verify([]*x509.Certificate{young.leaf(nil)}, gw(t), now)
	wantKind(t, err, NotYetValid, "CN=Young Root")
}

func TestUsage(t *testing.T) {
	root := newCA(t, "Root", nil)
	v := &Verifier{Roots: []*x509.Certificate{root.cert}}
	type eku = []x509.ExtKeyUsage
	type oids = []asn1.ObjectIdentifier
	for _, tt := range []struct {
		name            string
		ku              x509.KeyUsage
		eku             eku
		other           oids
		gateway, client bool
	}{
		{"nothing said", 0, nil, nil, true, true},
		{"digitalSignature", x509.KeyUsageDigitalSignature, nil, nil, true, true},
		{"nonRepudiation", x509.KeyUsageContentCommitment, nil, nil, true, true},
		{"keyEncipherment", x509.KeyUsageKeyEncipherment, nil, nil, false, false},
		{"certSign", x509.KeyUsageCertSign, nil, nil, false, false},
		{"serverAuth", x509.KeyUsageDigitalSignature, eku{x509.ExtKeyUsageServerAuth}, nil, true, false},
		{"clientAuth", x509.KeyUsageDigitalSignature, eku{x509.ExtKeyUsageClientAuth}, nil, false, true},
		{"both", x509.KeyUsageDigitalSignature, eku{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, nil, true, true},
		{"any", x509.KeyUsageDigitalSignature, eku{x509.ExtKeyUsageAny}, nil, true, true},
		{"ipsecIKE", x509.KeyUsageDigitalSignature, nil, oids{oidIPsecIKE}, true, true},
		{"iKEIntermediate", x509.KeyUsageDigitalSignature, nil, oids{oidIKEIntermediate}, true, true},
		{"clientAuth and iKEIntermediate", x509.KeyUsageDigitalSignature, eku{x509.ExtKeyUsageClientAuth}, oids{oidIKEIntermediate}, true, true},
		{"code signing", x509.KeyUsageDigitalSignature, eku{x509.ExtKeyUsageCodeSigning}, nil, false, false},
		{"mail", 0, eku{x509.ExtKeyUsageEmailProtection}, nil, false, false},
		{"unknown", 0, nil, oids{{1, 2, 3, 4}}, false, false},
		{"ipsecEndSystem", 0, eku{x509.ExtKeyUsageIPSECEndSystem}, nil, false, false}, // deprecated by RFC 4945
	} {
		change := func(c *x509.Certificate) { c.KeyUsage, c.ExtKeyUsage, c.UnknownExtKeyUsage = tt.ku, tt.eku, tt.other }
		chain := []*x509.Certificate{root.leaf(change)}
		req := gw(t)
		for p, want := range map[Purpose]bool{Gateway: tt.gateway, Client: tt.client} {
			req.Purpose = p
			_, err := v.Verify(chain, req, now)
			if want && err != nil {
				t.Errorf("%s, %v: %v", tt.name, p, err)
			} else if !want {
				wantKind(t, err, Usage, "")
			}
		}
	}

	// An intermediate may not hand out purposes that it does not have.
	mail := root.sub("Mail CA", func(c *x509.Certificate) { c.ExtKeyUsage = eku{x509.ExtKeyUsageEmailProtection} })
	_, err := v.Verify([]*x509.Certificate{mail.leaf(nil), mail.cert}, gw(t), now)
	wantKind(t, err, Usage, "CN=Mail CA")
	server := root.sub("Server CA", func(c *x509.Certificate) { c.ExtKeyUsage = eku{x509.ExtKeyUsageServerAuth} })
	if _, err := v.Verify([]*x509.Certificate{server.leaf(nil), server.cert}, gw(t), now); err != nil {
		t.Error(err)
	}

	// Path length, and an authority without keyCertSign.
	flat := root.sub("Flat CA", func(c *x509.Certificate) { c.MaxPathLenZero = true })
	deep := flat.sub("Deep CA", nil)
	_, err = v.Verify([]*x509.Certificate{deep.leaf(nil), deep.cert, flat.cert}, gw(t), now)
	wantKind(t, err, Usage, "more authorities")
	mute := root.sub("Mute CA", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	_, err = v.Verify([]*x509.Certificate{mute.leaf(nil), mute.cert}, gw(t), now)
	wantKind(t, err, Usage, "no certificate authority")
	leafCA := root.sub("Not CA", func(c *x509.Certificate) { c.IsCA = false; c.KeyUsage = x509.KeyUsageDigitalSignature })
	_, err = v.Verify([]*x509.Certificate{leafCA.leaf(nil), leafCA.cert}, gw(t), now)
	wantKind(t, err, Usage, "no certificate authority")
}

func TestCriticalExtensions(t *testing.T) {
	strange := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	add := func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, strange) }
	root := newCA(t, "Root", nil)
	v := &Verifier{Roots: []*x509.Certificate{root.cert}}
	_, err := v.Verify([]*x509.Certificate{root.leaf(add)}, gw(t), now)
	wantKind(t, err, Usage, "1.2.3.4")
	sub := root.sub("Sub", add)
	_, err = v.Verify([]*x509.Certificate{sub.leaf(nil), sub.cert}, gw(t), now)
	wantKind(t, err, Usage, "1.2.3.4")
	strange.Critical = false
	if _, err = v.Verify([]*x509.Certificate{root.leaf(add)}, gw(t), now); err != nil {
		t.Error(err)
	}
}

func TestNameConstraints(t *testing.T) {
	network := func(s string) []*net.IPNet {
		_, n, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		return []*net.IPNet{n}
	}
	link, _ := url.Parse("https://gw.example.com/x")
	mail := func(s string) func(*x509.Certificate) { // only in the subject
		return func(c *x509.Certificate) {
			c.EmailAddresses = nil
			c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidEmailAddress, Value: s}}
		}
	}
	for _, tt := range []struct {
		name string
		ca   func(*x509.Certificate)
		leaf func(*x509.Certificate)
		ok   bool
	}{
		{"permitted name", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.com"} }, nil, true},
		{"another name", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.org"} }, nil, false},
		{"one of two", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.com"} },
			func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "gw.evil.net") }, false},
		{"excluded name", func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"gw.example.com"} }, nil, false},
		{"wildcard over the excluded", func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"x.example.com"} },
			func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "*.example.com") }, false},
		{"permitted addresses", func(c *x509.Certificate) {
			c.PermittedIPRanges = append(network("192.0.2.0/24"), network("2001:db8::/32")...)
		}, nil, true},
		{"another address", func(c *x509.Certificate) { c.PermittedIPRanges = network("192.0.2.0/24") }, nil, false},
		{"excluded address", func(c *x509.Certificate) { c.ExcludedIPRanges = network("192.0.2.1/32") }, nil, false},
		{"permitted mail", func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"example.com"} }, nil, true},
		{"another mail", func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"example.org"} }, nil, false},
		{"excluded mail", func(c *x509.Certificate) { c.ExcludedEmailAddresses = []string{"gw@example.com"} }, nil, false},
		{"mail of the subject", func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"example.com"} }, mail("x@EXAMPLE.com"), true},
		{"another mail of the subject", func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"example.com"} }, mail("x@evil.net"), false},
		{"excluded mail of the subject", func(c *x509.Certificate) { c.ExcludedEmailAddresses = []string{".example.com"} }, mail("x@a.example.com"), false},
		{"excluded mailbox of the subject", func(c *x509.Certificate) { c.ExcludedEmailAddresses = []string{"x@example.com"} }, mail("x@Example.com"), false},
		{"permitted link", func(c *x509.Certificate) { c.PermittedURIDomains = []string{".example.com"} },
			func(c *x509.Certificate) { c.URIs = []*url.URL{link} }, true},
		{"another link", func(c *x509.Certificate) { c.PermittedURIDomains = []string{"example.org"} },
			func(c *x509.Certificate) { c.URIs = []*url.URL{link} }, false},
		{"excluded link", func(c *x509.Certificate) { c.ExcludedURIDomains = []string{"gw.example.com"} },
			func(c *x509.Certificate) { c.URIs = []*url.URL{link} }, false},
		{"directory name, critical", directoryConstraint(t, true), nil, false},
		{"directory name, not critical", directoryConstraint(t, false), nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := newCA(t, "Root", nil)
			change := func(c *x509.Certificate) { c.PermittedDNSDomainsCritical = true; tt.ca(c) }
			top := newCA(t, "Top", change)
			sub := root.sub("Sub", change)
			for where, err := range map[string]error{
				"root": func() error {
					_, err := (&Verifier{Roots: []*x509.Certificate{top.cert}}).Verify([]*x509.Certificate{top.leaf(tt.leaf)}, gw(t), now)
					return err
				}(),
				"intermediate": func() error {
					_, err := (&Verifier{Roots: []*x509.Certificate{root.cert}}).Verify([]*x509.Certificate{sub.leaf(tt.leaf), sub.cert}, gw(t), now)
					return err
				}(),
			} {
				if tt.ok && err != nil {
					t.Errorf("%s: %v", where, err)
				} else if !tt.ok {
					wantKind(t, err, NameConstraints, "")
				}
			}
		})
	}
}

// directoryConstraint permits one directory name, which is not the leaf's.
func directoryConstraint(t *testing.T, critical bool) func(*x509.Certificate) {
	dn := id(t, "C=CH, O=Another").Data
	wrap := func(tag int, class int, b []byte) []byte {
		der, err := asn1.Marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: b})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	value := wrap(16, 0, wrap(0, 2, wrap(16, 0, wrap(4, 2, dn))))
	return func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: oidNameConstraints, Critical: critical, Value: value}}
	}
}

func TestWeak(t *testing.T) {
	root := newCA(t, "Root", nil)
	v := &Verifier{Roots: []*x509.Certificate{root.cert}}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	leaf := sign(t, leafTemplate(nil), root.cert, small.Public(), root.key)
	_, err = v.Verify([]*x509.Certificate{leaf}, gw(t), now)
	wantKind(t, err, Weak, "1024")

	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf = sign(t, leafTemplate(nil), root.cert, p224.Public(), root.key)
	_, err = v.Verify([]*x509.Certificate{leaf}, gw(t), now)
	wantKind(t, err, Weak, "P-224")

	// Weak authorities: in between and at the top.
	sub := &authority{t, sign(t, template("Weak Sub", asCA(nil)), root.cert, small.Public(), root.key), small}
	_, err = v.Verify([]*x509.Certificate{sub.leaf(nil), sub.cert}, gw(t), now)
	wantKind(t, err, Weak, "CN=Weak Sub")
	c := template("Weak Root", asCA(nil))
	top := &authority{t, sign(t, c, c, small.Public(), small), small}
	_, err = (&Verifier{Roots: []*x509.Certificate{top.cert}}).Verify([]*x509.Certificate{top.leaf(nil)}, gw(t), now)
	wantKind(t, err, Weak, "CN=Weak Root")

	// SHA-1, as OpenSSL signed it.
	v = &Verifier{Roots: []*x509.Certificate{certFile(t, "pss-ca.pem")}}
	sha1 := certFile(t, "sha1.pem")
	_, err = v.Verify([]*x509.Certificate{sha1}, gw(t), sha1.NotBefore.Add(time.Hour))
	wantKind(t, err, Weak, "SHA1-RSA")
	// ... also when it is the trusted certificate itself.
	_, err = (&Verifier{Roots: []*x509.Certificate{sha1}}).Verify([]*x509.Certificate{sha1}, gw(t), sha1.NotBefore.Add(time.Hour))
	wantKind(t, err, Weak, "SHA1-RSA")
}

func TestBounds(t *testing.T) {
	root := newCA(t, "Root", nil)
	v := &Verifier{Roots: []*x509.Certificate{root.cert}}
	leaf := root.leaf(nil)
	many := []*x509.Certificate{leaf}
	ders := [][]byte{leaf.Raw}
	for len(many) <= MaxCertificates {
		many, ders = append(many, root.cert), append(ders, root.cert.Raw)
	}
	_, err := v.Verify(many, gw(t), now)
	wantKind(t, err, Malformed, "too many")
	if _, err := v.Verify(many[:MaxCertificates], gw(t), now); err != nil {
		t.Error(err)
	}
	_, err = ParseChain(ders)
	wantKind(t, err, Malformed, "11 certificates")
	if c, err := ParseChain(ders[:MaxCertificates]); err != nil || len(c) != MaxCertificates {
		t.Error(len(c), err)
	}
	_, err = ParseChain(nil)
	wantKind(t, err, Malformed, "no certificate")
	_, err = ParseChain([][]byte{leaf.Raw, append(append([]byte(nil), leaf.Raw...), 0)})
	wantKind(t, err, Malformed, "certificate 2")
	big1 := root.leaf(func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: make([]byte, 40<<10)}}
	})
	_, err = ParseChain([][]byte{big1.Raw, big1.Raw})
	wantKind(t, err, Malformed, "more than 65536 bytes")
	_, err = v.Verify([]*x509.Certificate{big1, big1}, gw(t), now)
	wantKind(t, err, Malformed, "too many")

	// A stranger's RSA key of 32768 bits is not used to check signatures.
	n := new(big.Int).Lsh(big.NewInt(1), 32767)
	huge := template("Huge", asCA(nil))
	hugeCert := sign(t, huge, root.cert, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}, root.key)
	sub := root.sub("Huge", nil) // the same name, so that both are candidates
	if _, err := v.Verify([]*x509.Certificate{sub.leaf(nil), hugeCert, sub.cert}, gw(t), now); err != nil {
		t.Error(err)
	}
	start := time.Now()
	_, err = v.Verify([]*x509.Certificate{sub.leaf(nil), hugeCert}, gw(t), now)
	wantKind(t, err, UnknownCA, "CN=Huge")
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	hugeLeaf := sign(t, leafTemplate(nil), root.cert, &rsa.PublicKey{N: n, E: 65537}, root.key)
	_, err = v.Verify([]*x509.Certificate{hugeLeaf}, gw(t), now)
	wantKind(t, err, Weak, "32768")
}

// Whatever the peer claims, the certificate must hold it and the profile want it.
func TestIdentityMixUp(t *testing.T) {
	root := newCA(t, "Root", nil)
	v := &Verifier{Roots: []*x509.Certificate{root.cert}}
	chain := []*x509.Certificate{root.leaf(nil)}
	for _, tt := range []struct {
		claimed, wanted string
		ok              bool
	}{
		{"gw.example.com", "gw.example.com", true},
		{"gw.example.com", "%any", true},
		{"gw.example.com", "*.example.com", true},
		{"192.0.2.1", "192.0.2.1", true},
		{"C=CH, O=Lab, CN=cn.example.com", "C=CH, O=Lab, CN=*", true},
		{"C=CH, O=Lab, CN=cn.example.com", "gw.example.com", false}, // another identity than wanted, though the certificate holds both
		{"gw.example.com", "C=CH, O=Lab, CN=cn.example.com", false},
		{"gw.example.com", "other.example.com", false},
		{"other.example.com", "other.example.com", false}, // claimed and wanted, but not proven
		{"other.example.com", "%any", false},
		{"cn.example.com", "cn.example.com", false}, // the common name is no host name
		{"%any", "%any", false},
	} {
		req := Request{Claimed: id(t, tt.claimed), Wanted: id(t, tt.wanted), Purpose: Gateway}
		_, err := v.Verify(chain, req, now)
		if tt.ok && err != nil {
			t.Errorf("claimed %s, wanted %s: %v", tt.claimed, tt.wanted, err)
		} else if !tt.ok {
			if e := wantKind(t, err, Identity, ""); e.Expected == "" || e.Found == "" {
				t.Errorf("no names in %+v", e)
			}
		}
	}
	req := gw(t)
	req.Claimed = auth.Identity{}
	_, err := v.Verify(chain, req, now)
	wantKind(t, err, Identity, `calls itself "%any", not "gw.example.com"`)
}

// The system's authorities count where they are given, and what they may not
// vouch for stays refused rather than unknown.
func TestSystemRoots(t *testing.T) {
	root := newCA(t, "Root", nil)
	sub := root.sub("Sub", nil)
	pool := x509.NewCertPool()
	pool.AddCert(root.cert)
	v := &Verifier{System: pool}
	if _, err := v.Verify([]*x509.Certificate{sub.leaf(nil), sub.cert}, gw(t), now); err != nil {
		t.Error(err)
	}
	_, err := v.Verify([]*x509.Certificate{newCA(t, "Other", nil).leaf(nil)}, gw(t), now)
	wantKind(t, err, UnknownCA, "not a trusted authority")
	_, err = (&Verifier{}).Verify([]*x509.Certificate{sub.leaf(nil), sub.cert}, gw(t), now)
	wantKind(t, err, UnknownCA, "no certificate authority is trusted")
	narrow := newCA(t, "Narrow", func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"elsewhere.example"}, true
	})
	pool.AddCert(narrow.cert)
	_, err = v.Verify([]*x509.Certificate{narrow.leaf(nil)}, gw(t), now)
	wantKind(t, err, NameConstraints, "")
}
