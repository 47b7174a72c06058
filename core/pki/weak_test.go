package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	"sallyport/core/ike/auth"
)

func newRSA(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// overSHA1Too makes an authority's or a leaf's template signed over SHA-1.
func overSHA1Too(change func(*x509.Certificate)) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.SignatureAlgorithm = x509.ECDSAWithSHA1
		if change != nil {
			change(c)
		}
	}
}

// What the profile allows is accepted, and without that refused with the reason.
func TestWeakIsAllowed(t *testing.T) {
	small := newRSA(t, 1024)
	root := newCA(t, "Root", nil)
	c := template("Small Root", asCA(nil))
	smallRoot := &authority{t, sign(t, c, c, small.Public(), small), small}
	smallSub := &authority{t, sign(t, template("Small Sub", asCA(nil)), root.cert, small.Public(), root.key), small}
	sub := root.sub("Sub", nil)
	oldSub := root.sub("Old Sub", overSHA1Too(nil))
	older := oldSub.sub("Older Sub", overSHA1Too(nil))
	sha1RSA := func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA }
	for name, tt := range map[string]struct {
		root  *authority
		chain []*x509.Certificate
		marks int
	}{
		"a small key":                 {root, []*x509.Certificate{sign(t, leafTemplate(nil), root.cert, small.Public(), root.key)}, 1},
		"a small root":                {smallRoot, []*x509.Certificate{smallRoot.leaf(nil)}, 1},
		"a small authority":           {root, []*x509.Certificate{smallSub.leaf(nil), smallSub.cert}, 1},
		"SHA-1 with a small key":      {smallRoot, []*x509.Certificate{smallRoot.leaf(sha1RSA)}, 2},
		"SHA-1":                       {root, []*x509.Certificate{root.leaf(overSHA1Too(nil))}, 1},
		"SHA-1 below an authority":    {root, []*x509.Certificate{sub.leaf(overSHA1Too(nil)), sub.cert}, 1},
		"SHA-1 of an authority":       {root, []*x509.Certificate{oldSub.leaf(nil), oldSub.cert}, 1},
		"SHA-1 all the way":           {root, []*x509.Certificate{older.leaf(overSHA1Too(nil)), older.cert, oldSub.cert}, 3},
		"SHA-1, authorities shuffled": {root, []*x509.Certificate{older.leaf(overSHA1Too(nil)), oldSub.cert, sub.cert, older.cert}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			roots := []*x509.Certificate{tt.root.cert}
			_, err := (&Verifier{Roots: roots}).Verify(tt.chain, gw(t), now)
			if e := wantKind(t, err, Weak, ""); !e.Allowable {
				t.Errorf("it does not say that it could be allowed: %v", e)
			}
			path, pub, err := (&Verifier{Roots: roots, Weak: true}).VerifyPath(tt.chain, gw(t), now)
			if err != nil {
				t.Fatal(err)
			}
			if got := WeakIn(path); len(got) != tt.marks {
				t.Errorf("%d marks: %q", len(got), got)
			}
			if _, isWeak := pub.(*auth.WeakPublicKey); isWeak != (auth.CheckKey(tt.chain[0].PublicKey) != nil) {
				t.Errorf("the key is a %T", pub)
			}
			if last := path[len(path)-1]; !last.Equal(tt.root.cert) || !path[0].Equal(tt.chain[0]) || path[0] != tt.chain[0] {
				t.Error("the path is not that of the certificates themselves")
			}
			_, err = (&Verifier{Roots: []*x509.Certificate{newCA(t, "Root", nil).cert}, Weak: true}).Verify(tt.chain, gw(t), now)
			wantKind(t, err, UnknownCA, "")
		})
	}
	strong := root.leaf(nil)
	if got := WeakIn([]*x509.Certificate{strong, root.cert}); len(got) != 0 {
		t.Errorf("marks of a strong path: %q", got)
	}
}

// What is allowed is weak, and nothing beside: the rest of a path over SHA-1 is
// judged as that of any other.
func TestWeakAllowsNothingElse(t *testing.T) {
	root := newCA(t, "Root", nil)
	other := newCA(t, "Root", nil)
	limited := root.sub("Limited", overSHA1Too(func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"elsewhere.example"}
	}))
	flat := root.sub("Flat", func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	deep := flat.sub("Deep", overSHA1Too(nil))
	late := root.sub("Late", overSHA1Too(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }))
	notCA := &authority{t, nil, nil}
	notCA.cert, notCA.key = root.leafKey(nil)
	noSign := root.sub("No Sign", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	clients := root.sub("Clients", overSHA1Too(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }))
	forged := *root.leaf(overSHA1Too(nil))
	forged.Signature = append([]byte(nil), forged.Signature...)
	forged.Signature[len(forged.Signature)-1] ^= 1
	md5 := *root.leaf(overSHA1Too(nil))
	md5.SignatureAlgorithm = x509.MD5WithRSA
	tiny, err := x509.ParseCertificate(root.leaf(nil).Raw)
	if err != nil {
		t.Fatal(err)
	}
	short := newRSA(t, 1024).PublicKey
	short.N.Rsh(short.N, 1)
	tiny.PublicKey = &short
	// An authority of the same name as the one above it, whose limit must not be
	// stepped over.
	above := root.sub("Twin", nil)
	key := newKey(t)
	below := &authority{t, sign(t, template("Twin", asCA(overSHA1Too(func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"elsewhere.example"}
	}))), above.cert, key.Public(), above.key), key}
	for name, tt := range map[string]struct {
		chain []*x509.Certificate
		kind  Kind
	}{
		"names beyond a constraint":         {[]*x509.Certificate{limited.leaf(overSHA1Too(nil)), limited.cert}, 0},
		"a limit of the length":             {[]*x509.Certificate{deep.leaf(nil), deep.cert, flat.cert}, 0},
		"an authority out of its time":      {[]*x509.Certificate{late.leaf(nil), late.cert}, Expired},
		"a leaf out of its time":            {[]*x509.Certificate{root.leaf(overSHA1Too(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }))}, Expired},
		"issued by no authority":            {[]*x509.Certificate{notCA.leaf(overSHA1Too(nil)), notCA.cert}, 0},
		"issued by one that may not":        {[]*x509.Certificate{noSign.leaf(overSHA1Too(nil)), noSign.cert}, 0},
		"an authority for another purpose":  {[]*x509.Certificate{clients.leaf(nil), clients.cert}, Usage},
		"another authority of the name":     {[]*x509.Certificate{other.leaf(overSHA1Too(nil))}, UnknownCA},
		"a forged signature":                {[]*x509.Certificate{&forged}, 0},
		"MD5":                               {[]*x509.Certificate{&md5}, Weak},
		"an RSA key below 1024 bits":        {[]*x509.Certificate{tiny}, Weak},
		"the wrong name":                    {[]*x509.Certificate{root.leaf(overSHA1Too(func(c *x509.Certificate) { c.DNSNames = []string{"other.example.com"} }))}, Identity},
		"around an authority with a limit":  {[]*x509.Certificate{below.leaf(overSHA1Too(nil)), below.cert, above.cert}, 0},
		"an authority that signs itself up": {[]*x509.Certificate{below.leaf(overSHA1Too(nil)), below.cert}, UnknownCA},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&Verifier{Roots: []*x509.Certificate{root.cert}, Weak: true}).Verify(tt.chain, gw(t), now)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("accepted: %v", err)
			}
			if tt.kind != 0 && e.Kind != tt.kind {
				t.Errorf("kind %v: %v", e.Kind, e)
			}
			if e.Allowable {
				t.Errorf("it is said to be allowable: %v", e)
			}
		})
	}
}

// Authorities that sign each other, all of one name, over SHA-1: the search ends.
func TestWeakSearchIsBounded(t *testing.T) {
	root := newCA(t, "Root", nil)
	var chain []*x509.Certificate
	var keys []crypto.Signer
	for range MaxCertificates - 1 {
		keys = append(keys, newKey(t))
	}
	tmpl := template("Same", asCA(overSHA1Too(nil)))
	for i, k := range keys {
		up := keys[(i+1)%len(keys)]
		chain = append(chain, sign(t, tmpl, tmpl, k.Public(), up))
	}
	leaf := sign(t, leafTemplate(overSHA1Too(nil)), tmpl, newKey(t).Public(), keys[0])
	begun := time.Now()
	_, err := (&Verifier{Roots: []*x509.Certificate{root.cert}, Weak: true}).Verify(append([]*x509.Certificate{leaf}, chain...), gw(t), now)
	wantKind(t, err, UnknownCA, "")
	if d := time.Since(begun); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
}

// Revocation is told by weak authorities too, where they are allowed.
func TestWeakAuthorityTells(t *testing.T) {
	small := newRSA(t, 1024)
	c := template("Small Root", asCA(nil))
	ca := &authority{t, sign(t, c, c, small.Public(), small), small}
	leaf := ca.told([]string{ocspURL}, nil, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} })
	for weak, want := range map[bool]error{true: nil, false: errWeakAnswerKey} {
		c := (&Verifier{Revocation: RevocationStrict, Weak: weak}).NewCheck([]*x509.Certificate{leaf, ca.cert}, nil, now)
		_, err := feed(t, c, map[string][]byte{ocspURL: ca.ocsp(leaf, ca.cert, ca.key, nil)})
		if (err == nil) != (want == nil) {
			t.Errorf("weak %v: %v", weak, err)
		}
	}
}
