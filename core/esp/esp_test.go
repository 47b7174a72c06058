package esp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"sallyport/core/transform"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

func encr(id transform.ID, bits uint16) transform.Transform {
	return transform.Transform{Type: transform.TypeEncr, ID: id, KeyBits: bits}
}

func integrity(id transform.ID) transform.Transform {
	return transform.Transform{Type: transform.TypeInteg, ID: id}
}

type testSuite struct {
	name string
	transform.Suite
	encr, integ int // key lengths
}

func testSuites() []testSuite {
	var out []testSuite
	for _, s := range []testSuite{
		{"AES-GCM-128", transform.Suite{Encr: encr(transform.EncrAESGCM16, 128)}, 20, 0},
		{"AES-GCM-192", transform.Suite{Encr: encr(transform.EncrAESGCM16, 192)}, 28, 0},
		{"AES-GCM-256", transform.Suite{Encr: encr(transform.EncrAESGCM16, 256)}, 36, 0},
		{"ChaCha20-Poly1305", transform.Suite{Encr: encr(transform.EncrChaCha20Poly, 0)}, 36, 0},
		{"AES-CBC-128-SHA256", transform.Suite{Encr: encr(transform.EncrAESCBC, 128), Integ: integrity(transform.IntegHMACSHA256128)}, 16, 32},
		{"AES-CBC-256-SHA384", transform.Suite{Encr: encr(transform.EncrAESCBC, 256), Integ: integrity(transform.IntegHMACSHA384192)}, 32, 48},
		{"AES-CBC-256-SHA512", transform.Suite{Encr: encr(transform.EncrAESCBC, 256), Integ: integrity(transform.IntegHMACSHA512256)}, 32, 64},
		{"3DES-SHA1", transform.Suite{Encr: encr(transform.Encr3DES, 0), Integ: integrity(transform.IntegHMACSHA1_96)}, 24, 20},
	} {
		out = append(out, s)
		s.name += "-ESN"
		s.ESN = true
		out = append(out, s)
	}
	return out
}

func (s testSuite) keys() Keys {
	k := Keys{Encr: make([]byte, s.encr)}
	for i := range k.Encr {
		k.Encr[i] = byte(i*7 + 1)
	}
	if s.integ > 0 {
		k.Integ = bytes.Repeat([]byte{0xa5}, s.integ)
	}
	return k
}

func (s testSuite) pair(t testing.TB) (*Sealer, *Opener) {
	t.Helper()
	e, err := NewSealer(0x01020304, s.Suite, s.keys())
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewOpener(s.Suite, s.keys())
	if err != nil {
		t.Fatal(err)
	}
	return e, o
}

// seal returns the packet that carries plain, checking that Seal leaves its
// input as it was.
func seal(t testing.TB, e *Sealer, plain []byte, next uint8) []byte {
	t.Helper()
	buf := append(append([]byte{1, 2, 3}, plain...), bytes.Repeat([]byte{0xee}, MaxTrailer)...)
	was := bytes.Clone(buf)
	dst := make([]byte, e.Len(len(plain)))
	n, err := e.Seal(dst, buf, 3, 3+len(plain), next)
	if err != nil {
		t.Fatal(err)
	}
	if n != len(dst) || !bytes.Equal(buf, was) {
		t.Fatalf("Seal wrote %d of %d bytes; input changed: %v", n, len(dst), !bytes.Equal(buf, was))
	}
	return dst
}

func TestRoundTrip(t *testing.T) {
	for _, s := range testSuites() {
		t.Run(s.name, func(t *testing.T) {
			e, o := s.pair(t)
			for n := range 200 {
				plain := bytes.Repeat([]byte{byte(n)}, n)
				pkt := seal(t, e, plain, 4)
				if len(pkt) != SealedLen(s.Suite, n) {
					t.Fatalf("%d bytes sealed to %d, want %d", n, len(pkt), SealedLen(s.Suite, n))
				}
				dst := make([]byte, o.PlainLen(len(pkt)))
				if n%2 == 0 {
					dst = o.InPlace(pkt)
				}
				got, next, err := o.Open(dst, pkt)
				if err != nil || next != 4 || !bytes.Equal(got, plain) {
					t.Fatalf("%d bytes: got %x, %d, %v", n, got, next, err)
				}
			}
			if e.Sequence() != 200 || o.Highest() != 200 {
				t.Errorf("sequence %d, highest %d", e.Sequence(), o.Highest())
			}
		})
	}
}

func TestEveryBitMatters(t *testing.T) {
	for _, s := range testSuites() {
		t.Run(s.name, func(t *testing.T) {
			e, o := s.pair(t)
			pkt := seal(t, e, []byte("some payload"), 4)
			for i := 4 * 8; i < len(pkt)*8; i++ { // the SPI of a CBC suite too is covered, below
				bad := bytes.Clone(pkt)
				bad[i/8] ^= 1 << (i % 8)
				if _, _, err := o.Open(make([]byte, 100), bad); err == nil {
					t.Fatalf("bit %d does not matter", i)
				}
			}
			bad := bytes.Clone(pkt)
			bad[0] ^= 1
			if _, _, err := o.Open(make([]byte, 100), bad); !errors.Is(err, ErrICV) {
				t.Errorf("changed SPI: %v", err)
			}
			for n := range len(pkt) {
				if _, _, err := o.Open(make([]byte, 100), pkt[:n:n]); err == nil {
					t.Errorf("%d of %d bytes were accepted", n, len(pkt))
				}
			}
			if o.Highest() != 0 {
				t.Error("a forgery moved the window")
			}
			if _, _, err := o.Open(make([]byte, 100), pkt); err != nil {
				t.Errorf("the true packet: %v", err)
			}
			if _, _, err := o.Open(make([]byte, 100), pkt); !errors.Is(err, ErrReplay) {
				t.Errorf("replayed: %v", err)
			}
		})
	}
}

// TestRFC7634 opens the example packet of RFC 7634, appendix A.
func TestRFC7634(t *testing.T) {
	key := unhex(`808182838485868788898a8b8c8d8e8f 909192939495969798999a9b9c9d9e9f a0a1a2a3`)
	pkt := unhex(`01020304 00000005 1011121314151617
		24039428b97f417e 3c13753a4f05087b 67c352e6a7fab1b9 82d466ef407ae5c6
		14ee8099d52844eb 61aa95dfab4c02f7 2aa71e7c4c4f64c9 befe2facc638e8f3
		cbec163fac469b50 2773f6fb94e664da 9165b82829f641e0
		76aaa8266b7fb0f7 b11b369907e1ad43`)
	want := unhex(`45000054a6f20000 4001e778c6336405 c000020508005b7a 3a080000553bec10
		0007362708090a0b 0c0d0e0f10111213 1415161718191a1b 1c1d1e1f20212223
		2425262728292a2b 2c2d2e2f30313233 34353637`)
	o, err := NewOpener(transform.Suite{Encr: encr(transform.EncrChaCha20Poly, 0)}, Keys{Encr: key})
	if err != nil {
		t.Fatal(err)
	}
	got, next, err := o.Open(make([]byte, 200), pkt)
	if err != nil || next != 4 || !bytes.Equal(got, want) {
		t.Errorf("got %x, %d, %v", got, next, err)
	}
}

// TestLayout builds packets by hand, as the RFCs draw them.
func TestLayout(t *testing.T) {
	plain := []byte("an inner packet, or so")
	for _, esn := range []bool{false, true} {
		// RFC 4106: salt | IV is the nonce; SPI | [high] | low is the AAD.
		s := testSuite{"", transform.Suite{Encr: encr(transform.EncrAESGCM16, 128), ESN: esn}, 20, 0}
		e, o := s.pair(t)
		e.seq = 1<<33 + 4
		o.window.top = 1<<33 + 1
		high := uint32(2)
		if !esn {
			e.seq, o.window.top = 4, 0
			high = 0
		}
		k := s.keys().Encr
		block, _ := aes.NewCipher(k[:16])
		g, _ := cipher.NewGCM(block)
		iv := binary.BigEndian.AppendUint64(nil, uint64(high)<<32|5)
		aad := unhex("01020304 00000005")
		if esn {
			aad = unhex("01020304 00000002 00000005")
		}
		body := append(bytes.Clone(plain), 0, 4) // 22 + 2 bytes: no padding
		want := append(append(unhex("01020304 00000005"), iv...), g.Seal(nil, append(bytes.Clone(k[16:]), iv...), body, aad)...)
		if got := seal(t, e, plain, 4); !bytes.Equal(got, want) {
			t.Errorf("ESN %v: got %x, want %x", esn, got, want)
		}
		if got, _, err := o.Open(make([]byte, 100), want); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("ESN %v: opened %x, %v", esn, got, err)
		}

		// RFC 3602 and 4868: IV | ciphertext, and an HMAC over all and [high].
		s = testSuite{"", transform.Suite{Encr: encr(transform.EncrAESCBC, 128), Integ: integrity(transform.IntegHMACSHA256128), ESN: esn}, 16, 32}
		e, o = s.pair(t)
		e.seq, o.window.top = 1<<33+4, 1<<33+1
		if !esn {
			e.seq, o.window.top = 4, 0
		}
		pkt := seal(t, e, plain, 4)
		block, _ = aes.NewCipher(s.keys().Encr)
		m := hmac.New(sha256.New, s.keys().Integ)
		m.Write(pkt[:len(pkt)-16])
		if esn {
			m.Write([]byte{0, 0, 0, 2})
		}
		if !bytes.Equal(pkt[len(pkt)-16:], m.Sum(nil)[:16]) {
			t.Errorf("CBC, ESN %v: ICV", esn)
		}
		got := make([]byte, len(pkt)-16-24)
		cipher.NewCBCDecrypter(block, pkt[8:24]).CryptBlocks(got, pkt[24:len(pkt)-16])
		if want := append(bytes.Clone(plain), 1, 2, 3, 4, 5, 6, 7, 8, 8, 4); !bytes.Equal(got, want) {
			t.Errorf("CBC, ESN %v: got %x, want %x", esn, got, want)
		}
		if got, _, err := o.Open(make([]byte, 100), pkt); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("CBC, ESN %v: opened %x, %v", esn, got, err)
		}
	}
}

func TestExhausted(t *testing.T) {
	for _, s := range testSuites() {
		e, _ := s.pair(t)
		e.seq = e.max - 1
		seal(t, e, []byte("last"), 4)
		if _, err := e.Seal(make([]byte, 100), make([]byte, 100), 0, 4, 4); !errors.Is(err, ErrExhausted) {
			t.Errorf("%s: %v", s.name, err)
		}
		if want := uint64(math.MaxUint32); !s.ESN && e.Sequence() != want {
			t.Errorf("%s: ended at %d", s.name, e.Sequence())
		}
	}
}

// TestESNAcrossBoundary lets sequence numbers pass 2³² with loss and reordering.
func TestESNAcrossBoundary(t *testing.T) {
	for _, s := range testSuites() {
		if !s.ESN {
			continue
		}
		e, o := s.pair(t)
		e.seq, o.window.top = 1<<32-20, 1<<32-21
		var held []byte
		for i := range 40 {
			plain := fmt.Appendf(nil, "packet %d", i)
			pkt := seal(t, e, plain, 4)
			if i == 15 { // sent before the boundary, arrives after it
				held = bytes.Clone(pkt)
				continue
			}
			if _, _, err := o.Open(make([]byte, 100), pkt); err != nil {
				t.Fatalf("%s: packet %d: %v", s.name, i, err)
			}
		}
		if _, _, err := o.Open(make([]byte, 100), held); err != nil {
			t.Errorf("%s: late packet: %v", s.name, err)
		}
		if want := uint64(1<<32 + 20); o.Highest() != want {
			t.Errorf("%s: highest %d, want %d", s.name, o.Highest(), want)
		}
	}
}

func TestBadPadding(t *testing.T) {
	key := make([]byte, 20)
	block, _ := aes.NewCipher(key[:16])
	g, _ := cipher.NewGCM(block)
	for i, tt := range []struct {
		plain string
		want  error
	}{
		{"0102 0000 01020204", nil},
		{"0102 0000 01020304", ErrPadding}, // pad length goes beyond the pattern
		{"0102 0000 02010204", ErrPadding},
		{"0102 0000 0000ff04", ErrPadding}, // longer than the packet
		{"00000004", nil},
	} {
		o, err := NewOpener(transform.Suite{Encr: encr(transform.EncrAESGCM16, 128)}, Keys{Encr: key})
		if err != nil {
			t.Fatal(err)
		}
		head := unhex("00000100 00000001")
		iv := unhex("0000000000000001")
		pkt := append(append(bytes.Clone(head), iv...), g.Seal(nil, append(make([]byte, 4), iv...), unhex(tt.plain), head)...)
		if _, _, err := o.Open(make([]byte, 100), pkt); err != tt.want {
			t.Errorf("case %d: %v, want %v", i, err, tt.want)
		}
	}
}

func TestBadKeys(t *testing.T) {
	gcm := encr(transform.EncrAESGCM16, 128)
	cbc := encr(transform.EncrAESCBC, 128)
	sha := integrity(transform.IntegHMACSHA256128)
	for name, tt := range map[string]struct {
		s transform.Suite
		k Keys
	}{
		"no salt":          {transform.Suite{Encr: gcm}, Keys{Encr: make([]byte, 16)}},
		"empty":            {transform.Suite{Encr: gcm}, Keys{}},
		"other length":     {transform.Suite{Encr: gcm}, Keys{Encr: make([]byte, 36)}},
		"CBC alone":        {transform.Suite{Encr: cbc}, Keys{Encr: make([]byte, 16)}},
		"short MAC key":    {transform.Suite{Encr: cbc, Integ: sha}, Keys{Encr: make([]byte, 16), Integ: make([]byte, 20)}},
		"short CBC key":    {transform.Suite{Encr: cbc, Integ: sha}, Keys{Encr: make([]byte, 15), Integ: make([]byte, 32)}},
		"unknown cipher":   {transform.Suite{Encr: encr(99, 0)}, Keys{Encr: make([]byte, 36)}},
		"ChaCha too short": {transform.Suite{Encr: encr(transform.EncrChaCha20Poly, 0)}, Keys{Encr: make([]byte, 20)}},
	} {
		if _, err := NewSealer(1000, tt.s, tt.k); err == nil {
			t.Errorf("%s: NewSealer took it", name)
		}
		if _, err := NewOpener(tt.s, tt.k); err == nil {
			t.Errorf("%s: NewOpener took it", name)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	for _, s := range testSuites() {
		e, o := s.pair(t)
		buf, dst, out := make([]byte, 1500), make([]byte, 1600), make([]byte, 1600)
		run := func() {
			n, err := e.Seal(dst, buf, 0, 1400, 4)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := o.Open(out, dst[:n]); err != nil {
				t.Fatal(err)
			}
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", s.name, n)
		}
	}
}

func FuzzOpen(f *testing.F) {
	suites := testSuites()
	for i, s := range suites {
		e, _ := s.pair(f)
		f.Add(uint8(i), seal(f, e, []byte("hello"), 4))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		s := suites[int(which)%len(suites)]
		e, o := s.pair(t)
		n := o.PlainLen(len(b))
		got, next, err := o.Open(make([]byte, max(n, 0)), b)
		if err != nil {
			return
		}
		// Only what a holder of the keys made is accepted, so it is a seed or
		// was made with the same sequence number and length.
		if s.mustEqual() {
			e.seq = o.Highest() - 1
			if again := seal(t, e, got, next); !bytes.Equal(again[4:], b[4:]) {
				t.Errorf("reencoded %x as %x", b, again)
			}
		}
	})
}

// mustEqual reports whether sealing is deterministic.
func (s testSuite) mustEqual() bool { return s.integ == 0 }

func BenchmarkSeal(b *testing.B) {
	for _, s := range testSuites() {
		b.Run(s.name, func(b *testing.B) {
			e, _ := s.pair(b)
			e.max = math.MaxUint64
			buf, dst := make([]byte, 1500), make([]byte, 1600)
			b.SetBytes(1400)
			b.ReportAllocs()
			for b.Loop() {
				e.Seal(dst, buf, 0, 1400, 4)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, s := range testSuites() {
		b.Run(s.name, func(b *testing.B) {
			e, o := s.pair(b)
			pkt := seal(b, e, make([]byte, 1400), 4)
			dst := make([]byte, 1600)
			b.SetBytes(1400)
			b.ReportAllocs()
			for b.Loop() {
				o.window = window{}
				if _, _, err := o.Open(dst, pkt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
