package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"sallyport/core/transform"
)

// keys are made once: RSA keys cost time.
var keys = sync.OnceValue(func() (k struct {
	rsa, rsa1024           *rsa.PrivateKey
	p224, p256, p384, p521 *ecdsa.PrivateKey
	ed                     ed25519.PrivateKey
}) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var err error
	k.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.rsa1024, err = rsa.GenerateKey(rand.Reader, 1024)
	must(err)
	k.p224, err = ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	must(err)
	k.p256, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	k.p384, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	k.p521, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	must(err)
	_, k.ed, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	return k
})

var octets = []byte("the octets of an AUTH payload")

func TestPSK(t *testing.T) {
	prf, err := transform.NewPRF(transform.PRFHMACSHA256)
	if err != nil {
		t.Fatal(err)
	}
	mac := func(key, data []byte) []byte {
		m := hmac.New(sha256.New, key)
		m.Write(data)
		return m.Sum(nil)
	}
	id := Identity{IDFQDN, []byte("gw")}.AppendTo(nil)
	got := SignedOctets(prf, []byte("message"), []byte("nonce"), []byte("skp"), id)
	want := append([]byte("messagenonce"), mac([]byte("skp"), []byte("\x02\x00\x00\x00gw"))...)
	if !bytes.Equal(got, want) {
		t.Fatalf("SignedOctets = %x, want %x", got, want)
	}
	data := PSK(prf, []byte("secret"), want)
	if w := mac(mac([]byte("secret"), []byte("Key Pad for IKEv2")), want); !bytes.Equal(data, w) {
		t.Fatalf("PSK = %x, want %x", data, w)
	}
	if !VerifyPSK(prf, []byte("secret"), data, want) {
		t.Error("the right key does not verify")
	}
	for _, bad := range [][]byte{nil, data[:31], append(slices.Clone(data), 0), mac(nil, nil)} {
		if VerifyPSK(prf, []byte("secret"), bad, want) {
			t.Errorf("%x verifies", bad)
		}
	}
	if VerifyPSK(prf, []byte("Secret"), data, want) || VerifyPSK(prf, nil, PSK(prf, nil, want), want) {
		t.Error("a wrong or empty key verifies")
	}
}

// The identifiers of RFC 7427, appendix A, and RFC 8420, appendix A.
func TestAlgorithmIdentifiers(t *testing.T) {
	for s, want := range map[Scheme]string{
		RSASHA1:     "300d06092a864886f70d0101050500",
		RSASHA256:   "300d06092a864886f70d01010b0500",
		RSASHA384:   "300d06092a864886f70d01010c0500",
		RSASHA512:   "300d06092a864886f70d01010d0500",
		ECDSASHA256: "300a06082a8648ce3d040302",
		ECDSASHA384: "300a06082a8648ce3d040303",
		ECDSASHA512: "300a06082a8648ce3d040304",
		Ed25519:     "300506032b6570",
		RSAPSSSHA256: "304606092a864886f70d01010a3039a00f300d06096086480165030402010500" +
			"a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120a303020101",
	} {
		id, _ := hex.DecodeString(want)
		data := append([]byte{byte(len(id))}, id...)
		got, sig, err := parseSignature(append(data, 'x'))
		if err != nil || got != s || string(sig) != "x" {
			t.Errorf("%s parses to %v, %q, %v, want %v", want, got, sig, err, s)
		}
	}
	if got, want := hex.EncodeToString(appendSignature(nil, RSAPSSSHA256, nil)), "43304106092a864886f70d01010a3034"; !strings.HasPrefix(got, want) {
		t.Errorf("RSA-PSS goes out as %s, not %s...", got, want)
	}
}

// RFC 4754, section 8.1.
func TestECDSAVector(t *testing.T) {
	h := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), h("04"+
		"2442A5CC0ECD015FA3CA31DC8E2BBC70BF42D60CBCA20085E0822CB04235E970"+
		"6FC98BD7E50211A4A27102FA3549DF79EBCB4BF246B80945CDDFE7D509BBFD7D"))
	if err != nil {
		t.Fatal(err)
	}
	sig := h("CB28E0999B9C7715FD0A80D8E47A77079716CBBF917DD72E97566EA1C066957C" +
		"86FA3BB4E26CAD5BF90B7F81899256CE7594BB1EA0C89212748BFF3B3D5B0315")
	if s, err := Verify(pub, MethodECDSA256, sig, []byte("abc"), nil); err != nil || s != "ecdsa-sha256" {
		t.Fatalf("Verify = %q, %v", s, err)
	}
}

func TestSignAndVerify(t *testing.T) {
	k := keys()
	pss := &PSSPrivateKey{Key: k.rsa, Hash: crypto.SHA384}
	all := []uint16{HashSHA1, HashSHA256, HashSHA384, HashSHA512, HashIdentity}
	for _, tt := range []struct {
		name    string
		key     crypto.Signer
		peer    []uint16
		allowed []Scheme
		method  Method
		scheme  string
	}{
		{"rsa", k.rsa, all, nil, 14, "rsa-pss-sha256"},
		{"rsa, peer with SHA-384", k.rsa, []uint16{HashSHA384, 99}, nil, 14, "rsa-pss-sha384"},
		{"rsa, own order", k.rsa, all, []Scheme{RSASHA512, RSAPSSSHA256}, 14, "rsa-sha512"},
		{"rsa, SHA-1 by name", k.rsa, []uint16{HashSHA1}, []Scheme{RSASHA1}, 14, "rsa-sha1"},
		{"rsa, no RFC 7427", k.rsa, nil, nil, 1, "rsa-sha1"},
		{"rsa, no RFC 7427, no SHA-1", k.rsa, nil, []Scheme{RSAPSSSHA256, RSASHA384}, 1, "rsa-sha384"},
		{"pss key", pss, all, nil, 14, "rsa-pss-sha384"},
		{"P-256", k.p256, all, nil, 14, "ecdsa-sha256"},
		{"P-384", k.p384, all, nil, 14, "ecdsa-sha384"},
		{"P-521", k.p521, all, nil, 14, "ecdsa-sha512"},
		{"P-521, peer without SHA-512", k.p521, []uint16{HashSHA256}, nil, 14, "ecdsa-sha256"},
		{"P-256, no RFC 7427", k.p256, nil, nil, 9, "ecdsa-sha256"},
		{"P-384, no RFC 7427", k.p384, nil, nil, 10, "ecdsa-sha384"},
		{"P-521, no RFC 7427", k.p521, nil, nil, 11, "ecdsa-sha512"},
		{"Ed25519", k.ed, all, nil, 14, "ed25519"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method, data, scheme, err := Sign(rand.Reader, tt.key, octets, tt.peer, tt.allowed)
			if err != nil || method != tt.method || scheme != tt.scheme {
				t.Fatalf("Sign = %d, %q, %v, want %d, %q", method, scheme, err, tt.method, tt.scheme)
			}
			allowed := tt.allowed
			if allowed == nil {
				allowed = DefaultSchemes(tt.peer != nil)
			}
			got, err := Verify(tt.key.Public(), method, data, octets, allowed)
			if err != nil || got != tt.scheme {
				t.Fatalf("Verify = %q, %v, want %q", got, err, tt.scheme)
			}
			if _, err := Verify(tt.key.Public(), method, data, octets[1:], allowed); !errors.Is(err, ErrSignature) {
				t.Errorf("other octets: %v", err)
			}
			for _, bad := range [][]byte{nil, data[:len(data)-1], append(slices.Clone(data), 0), make([]byte, len(data)), flip(data, len(data)-1), flip(data, len(data)/2), flip(data, 0)} {
				if _, err := Verify(tt.key.Public(), method, bad, octets, allowed); err == nil {
					t.Errorf("%x verifies", bad)
				}
			}
			for _, other := range []Method{0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 255} {
				if _, err := Verify(tt.key.Public(), other, data, octets, allowed); other != method && err == nil {
					t.Errorf("verifies by method %d too", other)
				}
			}
			if _, err := Verify(tt.key.Public(), method, data, octets, []Scheme{}); !errors.Is(err, ErrScheme) {
				t.Errorf("nothing allowed: %v", err)
			}
		})
	}
}

func flip(b []byte, i int) []byte {
	b = slices.Clone(b)
	b[i] ^= 1
	return b
}

func TestChooseErrors(t *testing.T) {
	k := keys()
	for _, tt := range []struct {
		name    string
		key     crypto.PublicKey
		peer    []uint16
		allowed []Scheme
		common  bool // the key is good, a scheme is lacking
	}{
		{"Ed25519 without RFC 7427", k.ed.Public(), nil, nil, true},
		{"Ed25519 and a peer without Identity", k.ed.Public(), []uint16{2, 3, 4}, nil, true},
		{"peer with SHA-1 only", &k.rsa.PublicKey, []uint16{1}, nil, true},
		{"peer with nothing", &k.rsa.PublicKey, []uint16{}, nil, true},
		{"profile for another key", &k.rsa.PublicKey, []uint16{2}, []Scheme{ECDSASHA256}, true},
		{"PSS only without RFC 7427", &k.rsa.PublicKey, nil, []Scheme{RSAPSSSHA256}, true},
		{"PSS key without RFC 7427", &PSSPublicKey{Key: &k.rsa.PublicKey}, nil, nil, true},
		{"P-256 with SHA-512 only, without RFC 7427", &k.p256.PublicKey, nil, []Scheme{ECDSASHA512}, true},
		{"no scheme at all", &k.p256.PublicKey, []uint16{2}, []Scheme{0, 200}, true},
		{"RSA-1024", &k.rsa1024.PublicKey, []uint16{2}, nil, false},
		{"P-224", &k.p224.PublicKey, []uint16{2}, nil, false},
		{"no key", nil, []uint16{2}, nil, false},
	} {
		if m, s, err := Choose(tt.key, tt.peer, tt.allowed); err == nil || errors.Is(err, ErrNoScheme) != tt.common {
			t.Errorf("%s: Choose = %d, %v, %v", tt.name, m, s, err)
		}
	}
}

func TestSchemes(t *testing.T) {
	for _, n := range schemeNames() {
		if s, err := ParseScheme(strings.ToUpper(n)); err != nil || s.String() != n {
			t.Errorf("ParseScheme(%q) = %v, %v", n, s, err)
		}
	}
	for _, n := range []string{"", "rsa", "rsa-md5", "Scheme(1)"} {
		if s, err := ParseScheme(n); err == nil {
			t.Errorf("ParseScheme(%q) = %v", n, s)
		}
	}
	if l, err := ParseSchemes(nil); l != nil || err != nil {
		t.Errorf("no names: %v, %v", l, err)
	}
	if l, err := ParseSchemes([]string{"ed25519", "rsa-sha1"}); err != nil || !slices.Equal(l, []Scheme{Ed25519, RSASHA1}) {
		t.Errorf("ParseSchemes = %v, %v", l, err)
	}
	if got := HashAlgorithms(nil); !slices.Equal(got, []uint16{2, 3, 4, 5}) {
		t.Errorf("default hashes %v", got)
	}
	if got := HashAlgorithms([]Scheme{RSASHA1, Ed25519, RSASHA1}); !slices.Equal(got, []uint16{1, 5}) {
		t.Errorf("hashes %v", got)
	}
	for _, s := range DefaultSchemes(true) {
		if s.Weak() {
			t.Errorf("%v is a default for modern peers", s)
		}
	}
	list, err := ParseHashAlgorithms(AppendHashAlgorithms(nil, []uint16{2, 0x1234}))
	if err != nil || !slices.Equal(list, []uint16{2, 0x1234}) {
		t.Errorf("ParseHashAlgorithms = %v, %v", list, err)
	}
	if list, err := ParseHashAlgorithms(nil); list == nil || err != nil {
		t.Errorf("an empty notify: %v, %v", list, err)
	}
	if _, err := ParseHashAlgorithms([]byte{0}); err == nil {
		t.Error("an odd length parses")
	}
}
