package auth

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// rawRSA signs an encoded message without any padding of its own: the private
// operation that a forger of lenient verifiers would like to need.
func rawRSA(k *rsa.PrivateKey, em []byte) []byte {
	m := new(big.Int).SetBytes(em)
	return m.Exp(m, k.D, k.N).FillBytes(make([]byte, k.Size()))
}

// encodings builds EMSA-PKCS1-v1_5 messages: the good one and the lenient
// readings that forgeries live on.
func encodings(k *rsa.PrivateKey) map[string][]byte {
	const info = "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
	const noNull = "\x30\x2f\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x04\x20"
	const fat = "\x30\x35\x30\x11\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x04\x04EVIL\x04\x20"
	hash := string(digest(crypto.SHA256, octets))
	em := func(head string, fill byte, t, tail string) []byte {
		n := k.Size() - len(head) - 1 - len(t) - len(tail)
		return []byte(head + strings.Repeat(string([]byte{fill}), n) + "\x00" + t + tail)
	}
	short := func(t string, ff int) []byte {
		s := "\x00\x01" + strings.Repeat("\xff", ff) + "\x00" + t
		return []byte(s + strings.Repeat("\x00", k.Size()-len(s)))
	}
	return map[string][]byte{
		"good":                            em("\x00\x01", 0xff, info+hash, ""),
		"garbage behind the hash":         em("\x00\x01", 0xff, info+hash, "garbage"),
		"short padding, garbage behind":   short(info+hash, 8),
		"one byte of padding":             short(info+hash, 1),
		"padding that is not ff":          em("\x00\x01", 0xfe, info+hash, ""),
		"block type 2":                    em("\x00\x02", 0xff, info+hash, ""),
		"block type 0":                    em("\x00\x00", 0xff, info+hash, ""),
		"DigestInfo without NULL":         em("\x00\x01", 0xff, noNull+hash, ""),
		"garbage in the hash's parameter": em("\x00\x01", 0xff, fat+hash, ""),
		"bare hash":                       em("\x00\x01", 0xff, hash, ""),
		"another hash's DigestInfo":       em("\x00\x01", 0xff, strings.Replace(info, "\x04\x02\x01", "\x04\x02\x02", 1)+hash, ""),
	}
}

func TestPKCS1Leniency(t *testing.T) {
	k := keys().rsa
	for name, em := range encodings(k) {
		sig := rawRSA(k, em)
		for method, data := range map[Method][]byte{MethodRSA: sig, MethodDigitalSignature: appendSignature(nil, RSASHA256, sig)} {
			_, err := Verify(&k.PublicKey, method, data, octets, nil)
			if (err == nil) != (name == "good") {
				t.Errorf("%s, method %d: %v", name, method, err)
			}
		}
	}
	sig := rawRSA(k, encodings(k)["good"])
	larger := new(big.Int).Add(new(big.Int).SetBytes(sig), k.N)
	for name, data := range map[string][]byte{
		"leading zero": append([]byte{0}, sig...), "signature plus modulus": larger.Bytes(),
		"zero": make([]byte, k.Size()), "one": append(make([]byte, k.Size()-1), 1), "modulus": k.N.Bytes(),
	} {
		if _, err := Verify(&k.PublicKey, MethodRSA, data, octets, nil); err == nil {
			t.Errorf("%s verifies", name)
		}
	}
}

// SHA-1 by method 1 counts only where it is allowed; the error says so.
func TestMethod1NeedsPermission(t *testing.T) {
	k := keys().rsa
	method, data, _, err := Sign(rand.Reader, k, octets, nil, nil)
	if err != nil || method != MethodRSA {
		t.Fatal(method, err)
	}
	if s, err := Verify(&k.PublicKey, method, data, octets, nil); !errors.Is(err, ErrScheme) || s != "rsa-sha1" || !strings.Contains(err.Error(), "rsa-sha1") {
		t.Errorf("by default: %q, %v", s, err)
	}
	if _, err := Verify(&k.PublicKey, method, data, octets, DefaultSchemes(false)); err != nil {
		t.Errorf("for a peer without RFC 7427: %v", err)
	}
}

func TestAlgorithmIdentifierAttacks(t *testing.T) {
	k := keys()
	_, data, _, err := Sign(rand.Reader, k.rsa, octets, []uint16{HashSHA256}, nil) // RSASSA-PSS
	if err != nil {
		t.Fatal(err)
	}
	n := int(data[0])
	id, sig := data[1:1+n], data[1+n:]
	with := func(id, sig []byte) []byte { return append(append([]byte{byte(len(id))}, id...), sig...) }
	replace := func(old, new string) []byte { return bytes.ReplaceAll(id, []byte(old), []byte(new)) }
	pkcs1, err := rsa.SignPKCS1v15(nil, k.rsa, crypto.SHA256, digest(crypto.SHA256, octets))
	if err != nil {
		t.Fatal(err)
	}
	salted := func(salt int, h crypto.Hash) []byte {
		s, err := rsa.SignPSS(rand.Reader, k.rsa, h, digest(h, octets), &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	longer := slices.Concat(id, []byte{0})
	longer[1]++ // still well-formed outside
	for name, bad := range map[string][]byte{
		"empty":                     {},
		"length only":               {0},
		"no identifier":             with(nil, sig),
		"identifier cut short":      append([]byte{byte(n + 1 + len(sig))}, data[1:]...),
		"no signature":              with(id, nil),
		"byte behind, outside":      with(slices.Concat(id, []byte{0}), sig),
		"byte behind, inside":       with(longer, sig),
		"length not minimal":        with(slices.Concat([]byte{0x30, 0x81}, id[1:]), sig),
		"MGF1 with another hash":    with([]byte(strings.Replace(string(id), "\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01", "\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02", 1)), sig),
		"salt of 20 announced":      with(replace("\x02\x01\x20", "\x02\x01\x14"), salted(20, crypto.SHA256)),
		"salt of 20 used":           with(id, salted(20, crypto.SHA256)),
		"no salt":                   with(id, salted(0, crypto.SHA256)),
		"trailer field 2":           with([]byte(strings.Replace(pssAlgIDs(1, 32)[1], "\xa3\x03\x02\x01\x01", "\xa3\x03\x02\x01\x02", 1)), sig),
		"defaults (SHA-1)":          with([]byte("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x00"), sig),
		"says SHA-384, is SHA-256":  with([]byte(pssAlgIDs(2, 48)[0]), sig),
		"says PKCS #1, is PSS":      with([]byte(pkcs1AlgID(11)[0]), sig),
		"says PSS, is PKCS #1":      with(id, pkcs1),
		"says ECDSA":                with([]byte(ecdsaAlgID(2)[0]), sig),
		"PKCS #1 without NULL":      with([]byte("\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"), pkcs1),
		"PKCS #1 with SHA-1":        with([]byte(pkcs1AlgID(5)[0]), pkcs1),
		"PKCS #1 with MD5":          with([]byte(pkcs1AlgID(4)[0]), pkcs1),
		"signature of 64 KiB":       with(id, make([]byte, 65000)),
		"two signatures in one":     with(id, slices.Concat(sig, sig)),
		"identifier twice":          with(id, slices.Concat(id, sig)),
		"PSS of SHA-512, same salt": with(id, salted(32, crypto.SHA512)),
	} {
		if s, err := Verify(&k.rsa.PublicKey, MethodDigitalSignature, bad, octets, nil); err == nil {
			t.Errorf("%s: verifies as %s", name, s)
		}
	}
	for i, form := range pssAlgIDs(1, 32) {
		if s, err := Verify(&k.rsa.PublicKey, MethodDigitalSignature, with([]byte(form), sig), octets, nil); err != nil || s != "rsa-pss-sha256" {
			t.Errorf("form %d: %q, %v", i, s, err)
		}
	}
}

// A key that is confined to RSASSA-PSS with one hash signs and verifies nothing else.
func TestPSSKeyConfinement(t *testing.T) {
	k := keys().rsa
	pub := &PSSPublicKey{Key: &k.PublicKey, Hash: crypto.SHA384}
	for s := range Scheme(len(schemes)) {
		if !s.fits(&k.PublicKey) {
			continue
		}
		sig, err := s.sign(rand.Reader, k, octets)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Verify(pub, MethodDigitalSignature, appendSignature(nil, s, sig), octets, []Scheme{s})
		if (err == nil) != (s == RSAPSSSHA384) {
			t.Errorf("%v: %v", s, err)
		}
	}
	sig, _ := RSASHA256.sign(rand.Reader, k, octets)
	if _, err := Verify(pub, MethodRSA, sig, octets, nil); !errors.Is(err, ErrScheme) {
		t.Errorf("method 1: %v", err)
	}
	priv := &PSSPrivateKey{Key: k, Hash: crypto.SHA384}
	if _, err := priv.Sign(rand.Reader, digest(crypto.SHA256, octets), crypto.SHA256); err == nil {
		t.Error("signs by PKCS #1")
	}
	if !priv.Public().(*PSSPublicKey).Equal(pub) || pub.Equal(&k.PublicKey) {
		t.Error("Equal")
	}
}

func TestECDSAAttacks(t *testing.T) {
	k := keys().p256
	n := k.Params().N
	_, good, _, err := Sign(rand.Reader, k, octets, nil, nil)
	if err != nil || len(good) != 64 {
		t.Fatal(len(good), err)
	}
	r, s := new(big.Int).SetBytes(good[:32]), new(big.Int).SetBytes(good[32:])
	raw := func(r, s *big.Int) []byte {
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	zero, one := new(big.Int), big.NewInt(1)
	for name, bad := range map[string][]byte{
		"zero": raw(zero, zero), "r zero": raw(zero, s), "s zero": raw(r, zero), "r = n": raw(n, s), "s = n": raw(r, n),
		"ones": raw(one, one), "swapped": raw(s, r), "66 bytes": slices.Concat([]byte{0}, good[:32], []byte{0}, good[32:]), "P-384 size": make([]byte, 96),
		"zeros before s": slices.Concat(good[:32], []byte{0, 0}, good[32:]), "zeros behind": slices.Concat(good, []byte{0, 0}),
	} {
		if _, err := Verify(&k.PublicKey, MethodECDSA256, bad, octets, nil); err == nil {
			t.Errorf("%s verifies", name)
		}
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(&k.PublicKey, MethodDigitalSignature, appendSignature(nil, ECDSASHA256, der), octets, nil); err != nil {
		t.Errorf("DER of the same signature: %v", err)
	}
	for name, bad := range map[string][]byte{
		"raw":           good,
		"trailing byte": append(slices.Clone(der), 0),
		"long form":     append([]byte{0x30, 0x81}, der[1:]...),
		"leading zero":  append([]byte{0x30, der[1] + 1, 2, der[3] + 1, 0}, der[4:]...),
	} {
		if _, err := Verify(&k.PublicKey, MethodDigitalSignature, appendSignature(nil, ECDSASHA256, bad), octets, nil); err == nil {
			t.Errorf("%s verifies", name)
		}
	}
	if _, err := Verify(&keys().p384.PublicKey, MethodECDSA256, good, octets, nil); !errors.Is(err, ErrScheme) {
		t.Errorf("P-384 key with method 9: %v", err)
	}
}

func TestEd25519Malleability(t *testing.T) {
	k := keys().ed
	sig := ed25519.Sign(k, octets)
	l, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	le := slices.Clone(sig[32:])
	slices.Reverse(le)
	s := new(big.Int).SetBytes(le)
	up := s.Add(s, l).FillBytes(make([]byte, 32))
	slices.Reverse(up)
	if _, err := Verify(k.Public(), MethodDigitalSignature, appendSignature(nil, Ed25519, slices.Concat(sig[:32], up)), octets, nil); err == nil {
		t.Error("S + L verifies")
	}
}

// A signature of one end says nothing with the key of another, nor over the
// identity of another.
func TestIdentityMixUp(t *testing.T) {
	a, b := keys().p256, keys().p384
	_, data, _, err := Sign(rand.Reader, a, octets, []uint16{2, 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(&b.PublicKey, MethodDigitalSignature, data, octets, nil); !errors.Is(err, ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	if _, err := Verify(&a.PublicKey, MethodDigitalSignature, data, append(slices.Clone(octets), 0), nil); !errors.Is(err, ErrSignature) {
		t.Errorf("other octets: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	k := keys()
	pubs := []crypto.PublicKey{&k.rsa.PublicKey, &k.p256.PublicKey, k.ed.Public()}
	for _, key := range []crypto.Signer{k.rsa, k.p256, k.ed} {
		m, data, _, err := Sign(rand.Reader, key, octets, []uint16{2, 5}, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m, data)
	}
	for i := range schemes {
		if i > 0 {
			for _, id := range schemes[i].algIDs {
				f.Add(MethodDigitalSignature, append(append([]byte{byte(len(id))}, id...), 1, 2, 3))
			}
		}
	}
	f.Add(MethodECDSA256, make([]byte, 64))
	other := []byte("octets that nobody signed")
	f.Fuzz(func(t *testing.T, method Method, data []byte) {
		for _, pub := range pubs {
			if s, err := Verify(pub, method, data, other, DefaultSchemes(false)); err == nil {
				t.Fatalf("%x verifies as %s over octets that nobody signed", data, s)
			}
		}
		if s, sig, err := parseSignature(data); err == nil {
			again, sig2, err := parseSignature(appendSignature(nil, s, sig))
			if err != nil || again != s || !bytes.Equal(sig, sig2) {
				t.Fatalf("%x does not survive a round trip", data)
			}
		}
	})
}
