package gcm

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

var keySizes = []int{16, 24, 32}

func standard(t testing.TB, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	std, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return std
}

func ours(t testing.TB, key []byte) cipher.AEAD {
	t.Helper()
	g, err := New(key)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// able are the ways there are on this machine, by how many blocks they take.
var able = func() (l []int) {
	for _, n := range []int{4, 2, 1} {
		if n <= lanes {
			l = append(l, n)
		}
	}
	return l
}()

// each runs f in each way: the last is that of the standard library.
func each(t *testing.T, f func(t *testing.T)) {
	defer func(was int) { lanes = was }(lanes)
	for _, lanes = range able {
		t.Run(fmt.Sprintf("lanes=%d", lanes), f)
	}
}

func random(n int, seed uint64) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	b := make([]byte, n)
	r.Read(b)
	return b
}

// TestVectors are those test cases of McGrew and Viega, "The Galois/Counter Mode
// of Operation", appendix B, whose nonce has 12 bytes.
func TestVectors(t *testing.T) {
	const (
		zero  = "00000000000000000000000000000000"
		key   = "feffe9928665731c6d6a8f9467308308"
		nonce = "cafebabefacedbaddecaf888"
		plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
		aad   = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
	)
	each(t, func(t *testing.T) {
		for i, v := range []struct{ key, nonce, plain, aad, sealed string }{
			{zero, zero[:24], "", "", "58e2fccefa7e3061367f1d57a4e7455a"},
			{zero, zero[:24], zero, "", "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"},
			{key, nonce, plain, aad, "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47"},
			{zero + zero[:16], zero[:24], "", "", "cd33b28ac773f74ba00ed1f312572435"},
			{zero + zero[:16], zero[:24], zero, "", "98e7247c07f0fe411c267e4384b0f6002ff58d80033927ab8ef4d4587514f0fb"},
			{key + key[:16], nonce, plain, aad, "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda27102519498e80f1478f37ba55bd6d27618c"},
			{zero + zero, zero[:24], "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
			{zero + zero, zero[:24], zero, "", "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
			{key + key, nonce, plain, aad, "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"},
		} {
			g := ours(t, unhex(t, v.key))
			sealed := g.Seal(nil, unhex(t, v.nonce), unhex(t, v.plain), unhex(t, v.aad))
			if got := hex.EncodeToString(sealed); got != v.sealed {
				t.Errorf("vector %d: sealed to %s, want %s", i, got, v.sealed)
			}
			got, err := g.Open(nil, unhex(t, v.nonce), unhex(t, v.sealed), unhex(t, v.aad))
			if err != nil || hex.EncodeToString(got) != v.plain {
				t.Errorf("vector %d: opened to %x, %v", i, got, err)
			}
		}
	})
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAgainstStandard seals and opens every length, with every length of
// additional data, at changing addresses, in place and not, and looks at what
// stands round the output.
func TestAgainstStandard(t *testing.T) { each(t, againstStandard) }

func againstStandard(t *testing.T) {
	if lanes == 1 {
		t.Skip("it is the standard library")
	}
	longest := 2100
	if testing.Short() {
		longest = 600
	}
	const room = 64
	text, data := random(longest, 1), random(64, 2)
	src, dst := make([]byte, longest+3*room), make([]byte, longest+3*room)
	marks := bytes.Repeat([]byte{0xa5}, len(dst))
	untouched := func(at, n int) bool {
		return bytes.Equal(dst[:at], marks[:at]) && bytes.Equal(dst[at+n:], marks[at+n:])
	}
	want := make([]byte, 0, longest+tagSize)
	for _, size := range keySizes {
		key := random(size, uint64(size))
		std, g := standard(t, key), ours(t, key)
		for n := range longest + 1 {
			for naad := range 33 {
				from, to := (n*7+naad*13)%room, room+(n*5+naad*11)%room
				nonce, aad := data[(n+naad)%32:][:nonceSize], data[n%31:][:naad]
				want = std.Seal(want[:0], nonce, text[:n], aad)
				copy(dst, marks)
				in, inPlace := src[from:from+n], (n+naad)%2 == 0
				if inPlace {
					in = dst[to : to+n]
				}
				copy(in, text)
				sealed := g.Seal(dst[to:to], nonce, in, aad)
				if !bytes.Equal(sealed, want) || &sealed[0] != &dst[to] {
					t.Fatalf("AES-%d: %d bytes, %d of additional data: sealed to\n%x, want\n%x", 8*size, n, naad, sealed, want)
				}
				if !untouched(to, len(sealed)) {
					t.Fatalf("AES-%d: %d bytes, %d of additional data: Seal wrote round its output", 8*size, n, naad)
				}

				copy(dst, marks)
				in = src[from : from+n+tagSize]
				if inPlace {
					in = dst[to : to+n+tagSize]
				}
				copy(in, want)
				plain, err := g.Open(dst[to:to], nonce, in, aad)
				if err != nil || !bytes.Equal(plain, text[:n]) {
					t.Fatalf("AES-%d: %d bytes, %d of additional data: opened to\n%x, %v, want\n%x", 8*size, n, naad, plain, err, text[:n])
				}
				written := n
				if inPlace {
					if written += tagSize; !bytes.Equal(dst[to+n:to+written], want[n:]) {
						t.Fatalf("AES-%d: %d bytes: Open wrote over the tag", 8*size, n)
					}
				}
				if !untouched(to, written) {
					t.Fatalf("AES-%d: %d bytes, %d of additional data: Open wrote round its output", 8*size, n, naad)
				}
			}
		}
	}
}

// The counter carries from byte to byte, and additional data may be long.
func TestLargeAgainstStandard(t *testing.T) { each(t, largeAgainstStandard) }

func largeAgainstStandard(t *testing.T) {
	for _, size := range keySizes {
		key := random(size, uint64(size))
		std, g := standard(t, key), ours(t, key)
		for _, n := range []int{4079, 4080, 4081, 8192, 65535, 65536, 65537, 1<<20 - 16, 1<<20 + 4097} {
			for _, naad := range []int{0, 12, 33, 255, 256, 4096, 70001} {
				text, aad, nonce := random(n, 3), random(naad, 4), random(nonceSize, uint64(n))
				want, sealed := std.Seal(nil, nonce, text, aad), g.Seal(nil, nonce, text, aad)
				if !bytes.Equal(sealed, want) {
					t.Fatalf("AES-%d: %d bytes, %d of additional data: sealed to something else", 8*size, n, naad)
				}
				if plain, err := g.Open(sealed[:0], nonce, sealed, aad); err != nil || !bytes.Equal(plain, text) {
					t.Fatalf("AES-%d: %d bytes, %d of additional data: opened to something else, %v", 8*size, n, naad, err)
				}
			}
		}
	}
}

// Keys and nonces of all kinds, and what stood in dst stays there.
func TestManyKeys(t *testing.T) {
	each(t, func(t *testing.T) {
		for i := range 2000 {
			key := random(keySizes[i%3], uint64(i))
			nonce, text, aad := random(nonceSize, uint64(i+1)), random(i%300, uint64(i+2)), random(i%20, uint64(i+3))
			want := standard(t, key).Seal([]byte("before"), nonce, text, aad)
			g := ours(t, key)
			if sealed := g.Seal([]byte("before"), nonce, text, aad); !bytes.Equal(sealed, want) {
				t.Fatalf("key %x: sealed to %x, want %x", key, sealed, want)
			}
			if plain, err := g.Open([]byte("it"), nonce, want[6:], aad); err != nil || !bytes.Equal(plain, append([]byte("it"), text...)) {
				t.Fatalf("key %x: opened to %x, %v", key, plain, err)
			}
		}
	})
}

// A packet of which one bit was changed, or the nonce, or the additional data, is
// refused, and nobody sees what it would have been.
func TestNoForgery(t *testing.T) {
	each(t, func(t *testing.T) {
		for _, size := range keySizes {
			g := ours(t, random(size, 5))
			for _, n := range []int{0, 1, 15, 16, 17, 60, 64, 65, 127, 129, 200, 255, 256, 300, 520, 700} {
				nonce, aad := random(nonceSize, 6), random(n%24, 7)
				sealed := g.Seal(nil, nonce, random(n, 8), aad)
				for part, b := range map[string][]byte{"packet": sealed, "nonce": nonce, "additional data": aad} {
					for bit := range 8 * len(b) {
						b[bit/8] ^= 1 << (bit % 8)
						out := random(n, 9)
						if plain, err := g.Open(out[:0], nonce, sealed, aad); !refused(plain, err, out) {
							t.Fatalf("AES-%d: %d bytes, bit %d of the %s changed: %x, %v; left %x", 8*size, n, bit, part, plain, err, out)
						}
						in := bytes.Clone(sealed)
						if plain, err := g.Open(in[:0], nonce, in, aad); !refused(plain, err, in[:n]) {
							t.Fatalf("AES-%d: %d bytes in place, bit %d of the %s changed: %x, %v; left %x", 8*size, n, bit, part, plain, err, in)
						}
						b[bit/8] ^= 1 << (bit % 8)
					}
				}
				for short := range len(sealed) {
					if plain, err := g.Open(nil, nonce, sealed[:short], aad); err == nil || plain != nil {
						t.Fatalf("AES-%d: %d of %d bytes accepted", 8*size, short, len(sealed))
					}
				}
				if _, err := g.Open(nil, nonce, sealed, append(aad, 0)); err == nil {
					t.Fatalf("AES-%d: %d bytes: accepted with more additional data", 8*size, n)
				}
				if _, err := g.Open(nil, nonce, sealed, aad); err != nil {
					t.Fatalf("AES-%d: %d bytes, unchanged again: %v", 8*size, n, err)
				}
			}
		}
	})
}

// refused reports whether Open said no, and wiped its output.
func refused(plain []byte, err error, out []byte) bool {
	return err != nil && plain == nil && len(out) == bytes.Count(out, []byte{0})
}

func TestMisuse(t *testing.T) {
	for n := range 65 {
		var size aes.KeySizeError
		if _, err := New(make([]byte, n)); slices.Contains(keySizes, n) != (err == nil) || err != nil && !errors.As(err, &size) {
			t.Errorf("key of %d bytes: %v", n, err)
		}
	}
	each(t, func(t *testing.T) {
		g := ours(t, make([]byte, 32))
		if g.NonceSize() != nonceSize || g.Overhead() != tagSize {
			t.Errorf("nonce of %d bytes, tag of %d", g.NonceSize(), g.Overhead())
		}
		nonce, b := make([]byte, nonceSize), make([]byte, 256)
		sealed := g.Seal(nil, nonce, b[:64], nil)
		inPlace := func(at int) []byte { copy(b[at:], sealed); return b[at : at+len(sealed)] }
		for name, c := range map[string]struct {
			call  func()
			panic bool
		}{
			"short nonce to Seal":         {func() { g.Seal(nil, nonce[:11], b, nil) }, true},
			"long nonce to Seal":          {func() { g.Seal(nil, append(nonce, 0), b, nil) }, true},
			"no nonce to Open":            {func() { g.Open(nil, nil, sealed, nil) }, true},
			"long nonce to Open":          {func() { g.Open(nil, append(nonce, 0), sealed, nil) }, true},
			"Seal to one before":          {func() { g.Seal(b[0:0], nonce, b[1:65], nil) }, true},
			"Seal to one behind":          {func() { g.Seal(b[1:1], nonce, b[0:64], nil) }, true},
			"Seal, the tag on the text":   {func() { g.Seal(b[0:0], nonce, b[36:57], nil) }, true},
			"Seal, text behind the tag":   {func() { g.Seal(b[0:0], nonce, b[37:58], nil) }, false},
			"Seal to the last byte":       {func() { g.Seal(b[99:99], nonce, b[0:100], nil) }, true},
			"Seal apart":                  {func() { g.Seal(b[100:100], nonce, b[0:100], nil) }, false},
			"Seal in place":               {func() { g.Seal(b[:0], nonce, b[:64], nil) }, false},
			"Seal over additional data":   {func() { g.Seal(b[:0], nonce, b[:64], b[79:90]) }, true},
			"Seal, additional data apart": {func() { g.Seal(b[:0], nonce, b[:64], b[80:90]) }, false},
			"Open to one before":          {func() { g.Open(b[0:0], nonce, inPlace(1), nil) }, true},
			"Open to one behind":          {func() { g.Open(b[1:1], nonce, inPlace(0), nil) }, true},
			"Open to the tag":             {func() { g.Open(b[79:79], nonce, inPlace(0), nil) }, true},
			"Open behind the tag":         {func() { g.Open(b[80:80], nonce, inPlace(0), nil) }, false},
			"Open in place":               {func() { g.Open(b[:0], nonce, inPlace(0), nil) }, false},
			"Open over additional data":   {func() { g.Open(b[:0], nonce, sealed, b[63:70]) }, true},
			"nothing at all":              {func() { g.Open(nil, nonce, g.Seal(nil, nonce, nil, nil), nil) }, false},
		} {
			if got := panics(c.call); got != c.panic {
				t.Errorf("%s: panics %v, want %v", name, got, c.panic)
			}
		}
	})
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// One key serves many goroutines.
func TestConcurrent(t *testing.T) {
	each(t, func(t *testing.T) {
		key := random(32, 10)
		std, g := standard(t, key), ours(t, key)
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				nonce, aad, text := random(nonceSize, uint64(worker)), random(12, uint64(worker)), random(1400+worker, uint64(worker))
				want := std.Seal(nil, nonce, text, aad)
				for range 500 {
					sealed := g.Seal(nil, nonce, text, aad)
					if !bytes.Equal(sealed, want) {
						t.Error("sealed to something else")
						return
					}
					if plain, err := g.Open(sealed[:0], nonce, sealed, aad); err != nil || !bytes.Equal(plain, text) {
						t.Errorf("opened to something else, %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestNoAllocation(t *testing.T) {
	each(t, func(t *testing.T) {
		g := ours(t, make([]byte, 32))
		nonce, aad, text, out := make([]byte, nonceSize), make([]byte, 12), make([]byte, 1400), make([]byte, 0, 1416)
		if n := testing.AllocsPerRun(100, func() {
			out = g.Seal(out[:0], nonce, text, aad)
			if _, err := g.Open(out[:0], nonce, out, aad); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// FuzzGCM holds Seal and Open against the standard library, and refuses what it
// refuses.
func FuzzGCM(f *testing.F) {
	for i, n := range []int{0, 1, 16, 52, 64, 65, 128, 200, 255, 256, 1404, 2049} {
		f.Add(uint8(i*5), random(32, uint64(i)), random(nonceSize, uint64(i)), random(i*3, uint64(i)), random(n, uint64(n)), uint16(i))
	}
	f.Fuzz(func(t *testing.T, kind uint8, key, nonce, aad, text []byte, flip uint16) {
		defer func(was int) { lanes = was }(lanes)
		lanes = able[int(kind)/3%len(able)]
		key = append(key, make([]byte, 32)...)[:keySizes[kind%3]]
		nonce = append(nonce, make([]byte, nonceSize)...)[:nonceSize]
		std, g := standard(t, key), ours(t, key)
		at := int(kind) % 64
		buf := make([]byte, at+len(text)+tagSize)
		copy(buf[at:], text)
		want := std.Seal(nil, nonce, text, aad)
		sealed := g.Seal(buf[at:at], nonce, buf[at:at+len(text)], aad)
		if !bytes.Equal(sealed, want) {
			t.Fatalf("sealed to\n%x, want\n%x", sealed, want)
		}
		if plain, err := g.Open(nil, nonce, sealed, aad); err != nil || !bytes.Equal(plain, text) {
			t.Fatalf("opened to\n%x, %v, want\n%x", plain, err, text)
		}
		sealed[int(flip)/8%len(sealed)] ^= 1 << (flip % 8)
		if plain, err := g.Open(sealed[:0], nonce, sealed, aad); !refused(plain, err, sealed[:len(text)]) {
			t.Fatalf("bit %d changed: %x, %v; left %x", flip, plain, err, sealed)
		}
		// What comes from the wire is no packet, or both take it for one.
		plain, err := g.Open(nil, nonce, text, aad)
		if wantPlain, wantErr := std.Open(nil, nonce, text, aad); (err == nil) != (wantErr == nil) || !bytes.Equal(plain, wantPlain) {
			t.Fatalf("opened to %x, %v, want %x, %v", plain, err, wantPlain, wantErr)
		}
	})
}

// BenchmarkGCM measures each way beside the standard library's (lanes=1), with the
// additional data of ESP with extended sequence numbers.
func BenchmarkGCM(b *testing.B) {
	defer func(was int) { lanes = was }(lanes)
	for _, size := range []int{16, 32} {
		for _, n := range []int{52, 64, 1400, 8192} {
			for _, lanes = range able {
				g := ours(b, make([]byte, size))
				nonce, aad, text, out := make([]byte, nonceSize), make([]byte, 12), make([]byte, n), make([]byte, 0, n+tagSize)
				b.Run(fmt.Sprintf("Seal/%d/%d/lanes=%d", 8*size, n, lanes), func(b *testing.B) {
					b.SetBytes(int64(n))
					for b.Loop() {
						g.Seal(out, nonce, text, aad)
					}
				})
				sealed := g.Seal(nil, nonce, text, aad)
				b.Run(fmt.Sprintf("Open/%d/%d/lanes=%d", 8*size, n, lanes), func(b *testing.B) {
					b.SetBytes(int64(n))
					for b.Loop() {
						if _, err := g.Open(out, nonce, sealed, aad); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}
