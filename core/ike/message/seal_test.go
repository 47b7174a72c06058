package message

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"sallyport/core/transform"
)

var _ Protection = (*transform.SK)(nil)

// An aead is a Protection with a stdlib cipher and padding to whole blocks, so
// that its overhead varies with the length as that of CBC does.
type aead struct {
	cipher.AEAD
	block   int
	counter byte
}

func newGCM(t testing.TB) *aead { return newAEAD(t, 1) }

func newAEAD(t testing.TB, block int) *aead {
	t.Helper()
	c, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(c)
	if err != nil {
		t.Fatal(err)
	}
	return &aead{AEAD: gcm, block: block}
}

func (a *aead) padding(n int) int { return (a.block - (n+1)%a.block) % a.block }

func (a *aead) Overhead(n int) int {
	return a.NonceSize() + a.padding(n) + 1 + a.AEAD.Overhead()
}

func (a *aead) Seal(dst, aad, plain []byte, _ io.Reader) []byte {
	a.counter++
	nonce := bytes.Repeat([]byte{a.counter}, a.NonceSize())
	n := a.padding(len(plain))
	padded := append(append(slices.Clone(plain), make([]byte, n)...), byte(n))
	return a.AEAD.Seal(append(dst, nonce...), nonce, padded, aad)
}

func (a *aead) Open(dst, aad, body []byte) ([]byte, error) {
	if len(body) < a.NonceSize() {
		return nil, errors.New("short")
	}
	plain, err := a.AEAD.Open(dst, body[:a.NonceSize()], body[a.NonceSize():], aad)
	if err != nil {
		return nil, err
	}
	n := int(plain[len(plain)-1]) + 1
	return plain[:len(plain)-n], nil
}

var header = Header{InitiatorSPI: 1, ResponderSPI: 2, Exchange: IKEAuth, Flags: FlagInitiator, MessageID: 1}

func authPayloads(certificate int) []Payload {
	return []Payload{
		&ID{Kind: IDFQDN, Data: []byte("client.example")},
		&Cert{CertX509Signature, bytes.Repeat([]byte{0x42}, certificate)},
		&Auth{AuthSignature, bytes.Repeat([]byte{7}, 64)},
		&Unknown{200, true, []byte("?")},
	}
}

func TestSealOpen(t *testing.T) {
	for _, payloads := range [][]Payload{nil, {&Nonce{make([]byte, 16)}}, authPayloads(1000)} {
		p := newAEAD(t, 16)
		b, err := Seal(header, payloads, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		clear, err := Parse(b)
		if err != nil || len(clear.Payloads) != 1 {
			t.Fatalf("outside: %+v, %v", clear, err)
		}
		kept := slices.Clone(b)
		m, err := Open(b, p)
		if err != nil {
			t.Fatal(err)
		}
		if want := (Message{header, payloads}); !reflect.DeepEqual(m, want) {
			t.Errorf("got %+v, want %+v", m, want)
		}
		if !bytes.Equal(b, kept) {
			t.Error("Open changed the datagram")
		}
	}
}

func TestOpenTampered(t *testing.T) {
	p := newGCM(t)
	b, err := Seal(header, []Payload{&Nonce{make([]byte, 16)}}, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 * len(b) {
		bad := slices.Clone(b)
		bad[i/8] ^= 1 << (i % 8)
		if m, err := Open(bad, p); err == nil {
			t.Errorf("bit %d of %d flipped: got %+v", i, 8*len(b), m)
		}
		var r Reassembler
		if m, done, err := r.Open(bad, p); err == nil || done {
			t.Errorf("bit %d of %d flipped: reassembled %+v", i, 8*len(b), m)
		}
	}
	for i := range len(b) {
		if m, err := Open(b[:i], p); err == nil {
			t.Errorf("cut to %d bytes: got %+v", i, m)
		}
	}
	b[len(b)-1] ^= 1
	if _, err := Open(b, p); !errors.Is(err, ErrIntegrity) {
		t.Errorf("got %v", err)
	}
}

// raw is a payload that need not be well-formed.
type raw struct {
	kind PayloadType
	body []byte
}

func (r raw) Type() PayloadType        { return r.kind }
func (r raw) AppendTo(b []byte) []byte { return append(b, r.body...) }

func TestOpenSyntaxError(t *testing.T) {
	p := newGCM(t)
	b, err := Seal(header, []Payload{raw{PayloadNonce, []byte{1, 2, 3}}}, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	var syntax *SyntaxError
	m, err := Open(b, p)
	if !errors.As(err, &syntax) || !errors.Is(err, ErrMalformed) || m.Header != header {
		t.Errorf("got %+v, %v", m, err)
	}
	var r Reassembler
	if m, done, err := r.Open(b, p); !errors.As(err, &syntax) || done || m.Header != header {
		t.Errorf("reassembler: got %+v, %v, %v", m, done, err)
	}
}

func TestOpenUnprotected(t *testing.T) {
	p := newGCM(t)
	clear := Message{header, []Payload{&VendorID{[]byte("x")}}}
	inner, err := Seal(header, nil, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	sk, err := Parse(inner)
	if err != nil {
		t.Fatal(err)
	}
	mixed := Message{header, []Payload{&VendorID{[]byte("x")}, sk.Payloads[0]}}
	for _, m := range []Message{clear, mixed, {Header: header}} {
		b, err := m.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Open(b, p); !errors.Is(err, ErrMalformed) {
			t.Errorf("got %+v, %v", got, err)
		}
		var r Reassembler
		if got, done, err := r.Open(b, p); !errors.Is(err, ErrMalformed) || done {
			t.Errorf("reassembler: got %+v, %v", got, err)
		}
	}
}

// TestTransformSK seals with the real ciphers, whose overhead has to be exact.
func TestTransformSK(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	gcm := transform.Suite{Protocol: transform.ProtoIKE, Encr: transform.Transform{Type: transform.TypeEncr, ID: transform.EncrAESGCM16, KeyBits: 256}}
	cbc := transform.Suite{
		Protocol: transform.ProtoIKE,
		Encr:     transform.Transform{Type: transform.TypeEncr, ID: transform.EncrAESCBC, KeyBits: 128},
		Integ:    transform.Transform{Type: transform.TypeInteg, ID: transform.IntegHMACSHA256128},
	}
	for _, suite := range []transform.Suite{gcm, cbc} {
		p, err := transform.NewSK(suite, make([]byte, suite.EncrKeyLen()), make([]byte, suite.IntegKeyLen()))
		if err != nil {
			t.Fatal(err)
		}
		for n := range 40 {
			b, err := SealFragments(header, authPayloads(20*n), p, 300, r)
			if err != nil {
				t.Fatal(err)
			}
			var asm Reassembler
			for i, d := range b {
				if len(d) > 300 {
					t.Errorf("fragment of %d bytes", len(d))
				}
				m, done, err := asm.Open(d, p)
				if err != nil || done != (i == len(b)-1) {
					t.Fatalf("fragment %d of %d: %v, %v", i+1, len(b), done, err)
				}
				if done && !reflect.DeepEqual(m, Message{header, authPayloads(20 * n)}) {
					t.Errorf("got %+v", m)
				}
			}
		}
	}
}

// A plain Protection does nothing: it lets the fuzzer past the integrity check.
type plain struct{}

func (plain) Seal(dst, _, b []byte, _ io.Reader) []byte { return append(dst, b...) }
func (plain) Open(dst, _, body []byte) ([]byte, error)  { return append(dst, body...), nil }
func (plain) Overhead(int) int                          { return 0 }

// FuzzReassembler opens datagrams that a peer with the right keys made up.
func FuzzReassembler(f *testing.F) {
	whole, err := Seal(header, authPayloads(10), plain{}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, whole)
	fragments, err := SealFragments(header, authPayloads(10), plain{}, 140, nil)
	if err != nil || len(fragments) != 2 {
		f.Fatalf("%d fragments, %v", len(fragments), err)
	}
	f.Add(fragments[0], fragments[1])
	f.Add(fragments[1], fragments[0])
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var r Reassembler
		for _, datagram := range [][]byte{a, b} {
			m, done, err := r.Open(datagram, plain{})
			if !done || err != nil {
				continue
			}
			sealed, err := Seal(m.Header, m.Payloads, plain{}, nil)
			if errors.Is(err, ErrLimit) {
				continue // two large fragments make more than one datagram can carry
			}
			if err != nil {
				t.Fatal(err)
			}
			again, err := Open(sealed, plain{})
			if err != nil || !reflect.DeepEqual(again, m) {
				t.Errorf("%+v sealed again and opened: %+v, %v", m, again, err)
			}
		}
	})
}
