package transform

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// skSuites are all kinds of protection of an IKE SA.
var skSuites = []Suite{
	{Protocol: ProtoIKE, Encr: encr(EncrAESGCM16, 128)},
	{Protocol: ProtoIKE, Encr: encr(EncrAESGCM16, 256)},
	{Protocol: ProtoIKE, Encr: encr(EncrChaCha20Poly, 0)},
	{Protocol: ProtoIKE, Encr: encr(EncrAESCBC, 128), Integ: integ(IntegHMACSHA256128)},
	{Protocol: ProtoIKE, Encr: encr(EncrAESCBC, 256), Integ: integ(IntegHMACSHA384192)},
	{Protocol: ProtoIKE, Encr: encr(EncrAESCBC, 192), Integ: integ(IntegHMACSHA512256)},
	{Protocol: ProtoIKE, Encr: encr(Encr3DES, 0), Integ: integ(IntegHMACSHA1_96)},
}

func newSK(t testing.TB, s Suite) *SK {
	t.Helper()
	seed := counting(17)
	encrKey, integKey := make([]byte, s.EncrKeyLen()), make([]byte, s.IntegKeyLen())
	seed.Read(encrKey)
	seed.Read(integKey)
	k, err := NewSK(s, encrKey, integKey)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSKRoundTrip(t *testing.T) {
	for _, s := range skSuites {
		t.Run(s.Encr.String()+"/"+s.Integ.String(), func(t *testing.T) {
			sealer, opener := newSK(t, s), newSK(t, s)
			random := rand.NewChaCha8([32]byte{5})
			ivs := make(map[string]bool)
			for n := range 70 {
				plain := bytes.Repeat([]byte{byte(n)}, n)
				message := append(make([]byte, 0, 300), "header and SK payload header"...)
				aad := message[:len(message):len(message)]
				sealed := sealer.Seal(message, aad, plain, random)
				body := sealed[len(message):]
				if got := len(body) - n; got != sealer.Overhead(n) {
					t.Fatalf("%d bytes: grew by %d, Overhead is %d", n, got, sealer.Overhead(n))
				}
				if !bytes.Equal(sealed[:len(message)], aad) {
					t.Fatal("Seal changed what precedes the body")
				}
				iv := string(body[:s.IVLen()])
				if ivs[iv] {
					t.Fatalf("%d bytes: IV %x for the second time", n, iv)
				}
				ivs[iv] = true
				before := bytes.Clone(body)
				got, err := opener.Open([]byte("dst"), aad, body)
				if err != nil || !bytes.Equal(got[3:], plain) || string(got[:3]) != "dst" {
					t.Fatalf("%d bytes: opened %x, %v", n, got, err)
				}
				if !bytes.Equal(before, body) {
					t.Fatal("Open changed the body")
				}
			}
		})
	}
}

func TestSKRefuses(t *testing.T) {
	for _, s := range skSuites {
		t.Run(s.Encr.String()+"/"+s.Integ.String(), func(t *testing.T) {
			k, random := newSK(t, s), counting(5)
			aad := []byte("header")
			body := k.Seal(nil, aad, []byte("payloads of the message"), &random)
			refuse := func(what string, aad, body []byte) {
				t.Helper()
				if got, err := k.Open(nil, aad, body); !errors.Is(err, ErrIntegrity) || got != nil {
					t.Errorf("%s: %x, %v", what, got, err)
				}
			}
			for bit := range 8 * len(body) {
				bad := bytes.Clone(body)
				bad[bit/8] ^= 1 << (bit % 8)
				refuse("flipped bit", aad, bad)
			}
			for n := range body {
				refuse("truncated", aad, body[:n])
				refuse("cut at the front", aad, body[n+1:])
			}
			refuse("longer", aad, append(bytes.Clone(body), 0))
			refuse("other header", []byte("Header"), body)
			refuse("no header", nil, body)
			refuse("zeros", aad, make([]byte, len(body)))
		})
	}
}

// TestSKPadding seals by hand what another implementation may send: more
// padding than needed, of any content, and pad lengths that lie.
func TestSKPadding(t *testing.T) {
	for _, s := range skSuites {
		k := newSK(t, s)
		block := max(s.BlockLen(), 1)
		aad := []byte("header")
		seal := func(padded []byte) []byte {
			iv := bytes.Repeat([]byte{9}, s.IVLen())
			if k.aead != nil {
				nonce := append(bytes.Clone(k.nonce[:saltLen]), iv...)
				return k.aead.Seal(iv, nonce, padded, aad)
			}
			text := make([]byte, len(padded))
			k.cbc.Encrypt(text, iv, padded)
			b := append(iv, text...)
			return k.mac.AppendTag(b, aad, b)
		}
		padded := bytes.Repeat([]byte{0xee}, 8*block+240)
		padded = padded[:len(padded)/block*block]
		for _, tt := range []struct {
			padLen byte
			want   int // bytes left; -1: refused
		}{
			{0, len(padded) - 1},
			{1, len(padded) - 2},
			{239, len(padded) - 240},
			{255, max(len(padded)-256, -1)},
		} {
			padded[len(padded)-1] = tt.padLen
			got, err := k.Open(nil, aad, seal(padded))
			if tt.want < 0 {
				if !errors.Is(err, ErrIntegrity) || got != nil {
					t.Errorf("%v: pad length %d of %d bytes: %d bytes, %v", s.Encr, tt.padLen, len(padded), len(got), err)
				}
				continue
			}
			if err != nil || len(got) != tt.want {
				t.Errorf("%v: pad length %d: %d bytes, %v, want %d", s.Encr, tt.padLen, len(got), err, tt.want)
			}
		}
		short := bytes.Repeat([]byte{0xee}, block)
		short[block-1] = byte(block) // one more than there is
		if got, err := k.Open(nil, aad, seal(short)); !errors.Is(err, ErrIntegrity) {
			t.Errorf("%v: %x, %v", s.Encr, got, err)
		}
		short[block-1] = byte(block - 1) // all of it: an empty payload
		if got, err := k.Open(nil, aad, seal(short)); err != nil || len(got) != 0 {
			t.Errorf("%v, all padding: %x, %v", s.Encr, got, err)
		}
	}
}

// TestSKVector is the IKE message of RFC 7634, appendix B.
func TestSKVector(t *testing.T) {
	key := unhex(t, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f a0a1a2a3")
	k, err := NewSK(Suite{Protocol: ProtoIKE, Encr: encr(EncrChaCha20Poly, 0)}, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	k.counter = 0x1011121314151617
	aad := unhex(t, "c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029")
	plain := unhex(t, "0000000c000040010000000a")
	want := unhex(t, "1011121314151617 610394701f8d017f7c12924889 6b71bfe25236efd7cdc67066906315b2")
	if got := k.Seal(nil, aad, plain, nil); !bytes.Equal(got, want) {
		t.Errorf("sealed %x, want %x", got, want)
	}
	if got, err := k.Open(nil, aad, want); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("opened %x, %v, want %x", got, err, plain)
	}
}

func TestSealWithoutRandomness(t *testing.T) {
	k := newSK(t, skSuites[3])
	defer func() {
		if recover() == nil {
			t.Error("sealed with an IV that is not random")
		}
	}()
	k.Seal(nil, nil, nil, io.LimitReader(stuck{}, 3))
}

func FuzzSKOpen(f *testing.F) {
	for i, s := range skSuites {
		random := counting(5)
		f.Add(uint8(i), []byte("header"), newSK(f, s).Seal(nil, []byte("header"), []byte("payloads"), &random))
		f.Add(uint8(i), []byte{}, make([]byte, 48))
	}
	f.Fuzz(func(t *testing.T, kind uint8, aad, b []byte) {
		k := newSK(t, skSuites[int(kind)%len(skSuites)])
		if plain, err := k.Open(nil, aad, b); err == nil {
			// Only the seeds authenticate: 2⁻⁹⁶ is not found by luck.
			if string(plain) != "payloads" || string(aad) != "header" {
				t.Fatalf("opened %x under %x to %x", b, aad, plain)
			}
		}
		random := counting(5)
		sealed := k.Seal(nil, aad, b, &random)
		if len(sealed) != len(b)+k.Overhead(len(b)) {
			t.Fatalf("%d bytes became %d, Overhead is %d", len(b), len(sealed), k.Overhead(len(b)))
		}
		if got, err := k.Open(nil, aad, sealed); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("opened %x, %v, want %x", got, err, b)
		}
	})
}

func BenchmarkSK(b *testing.B) {
	plain, aad := make([]byte, 1200), make([]byte, 32)
	random := counting(5)
	for _, s := range skSuites {
		k := newSK(b, s)
		name := s.Encr.String() + "/" + s.Integ.String()
		dst := make([]byte, 0, len(plain)+k.Overhead(len(plain)))
		b.Run("Seal/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				k.Seal(dst, aad, plain, &random)
			}
		})
		sealed := k.Seal(nil, aad, plain, &random)
		b.Run("Open/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Open(dst, aad, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
