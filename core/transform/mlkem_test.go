package transform

import (
	"bytes"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"errors"
	"slices"
	"testing"
)

var allKEMs = []ID{KEMLKEM768, KEMLKEM1024}

func TestKEMAgrees(t *testing.T) {
	for _, id := range allKEMs {
		t.Run(ke(id).String(), func(t *testing.T) {
			seed, again := counting(1), counting(1)
			a, err := NewKeyExchange(id, &seed)
			if err != nil {
				t.Fatal(err)
			}
			if a.ID() != id || len(a.Public()) != PublicSize(id) {
				t.Errorf("method %d with a value of %d bytes, want %d of %d", a.ID(), len(a.Public()), id, PublicSize(id))
			}
			public, ba, err := Respond(id, a.Public(), &seed)
			if err != nil {
				t.Fatal(err)
			}
			ab, err := a.Shared(public)
			if err != nil || len(ab) != 32 || !bytes.Equal(ab, ba) {
				t.Errorf("secrets %x, %v and %x", ab, err, ba)
			}
			if c, err := NewKeyExchange(id, &again); err != nil || !bytes.Equal(c.Public(), a.Public()) {
				t.Errorf("the same randomness gave another key (%v)", err)
			}
			// A changed ciphertext gives a secret that nobody shares.
			public[7] ^= 1
			if got, err := a.Shared(public); err != nil || bytes.Equal(got, ba) {
				t.Errorf("changed ciphertext: %x, %v", got, err)
			}
		})
	}
}

// TestKEMFixed holds the values on the wire against the encapsulation of the
// standard library with fixed randomness.
func TestKEMFixed(t *testing.T) {
	seed := counting(3)
	a, err := NewKeyExchange(KEMLKEM768, &seed)
	if err != nil {
		t.Fatal(err)
	}
	key, err := mlkem.NewEncapsulationKey768(a.Public())
	if err != nil {
		t.Fatal(err)
	}
	want, ciphertext, err := mlkemtest.Encapsulate768(key, bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.Shared(ciphertext); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x, %v, want %x", got, err, want)
	}
}

func TestRespondAgrees(t *testing.T) {
	for _, id := range allKEs {
		seed := counting(1)
		a, err := NewKeyExchange(id, &seed)
		if err != nil {
			t.Fatal(err)
		}
		public, ba, err := Respond(id, a.Public(), &seed)
		if err != nil {
			t.Fatal(err)
		}
		if ab, err := a.Shared(public); err != nil || !bytes.Equal(ab, ba) {
			t.Errorf("%v: secrets %x, %v and %x", ke(id), ab, err, ba)
		}
	}
}

// TestRespondRefuses gives the responder encapsulation keys that are none: of
// another length, and with coefficients that are out of range, which a peer
// could use to learn of implementations that reduce them.
func TestRespondRefuses(t *testing.T) {
	for _, id := range allKEMs {
		n := PublicSize(id)
		for name, peer := range map[string][]byte{
			"empty": {}, "short": make([]byte, n-1), "long": make([]byte, n+1), "out of range": bytes.Repeat([]byte{0xff}, n),
		} {
			seed := counting(1)
			if public, shared, err := Respond(id, peer, &seed); !errors.Is(err, ErrBadPublic) || public != nil || shared != nil {
				t.Errorf("%v, %s: %v", ke(id), name, err)
			}
		}
		seed := counting(1)
		a, err := NewKeyExchange(id, &seed)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, n, kems[id].ciphertextSize - 1, kems[id].ciphertextSize + 1} {
			if n == kems[id].ciphertextSize {
				continue // in ML-KEM-1024 both are of the same length
			}
			if _, err := a.Shared(make([]byte, n)); !errors.Is(err, ErrBadPublic) {
				t.Errorf("%v: ciphertext of %d bytes: %v", ke(id), n, err)
			}
		}
	}
	seed := counting(1)
	if _, _, err := Respond(KEX25519, make([]byte, 32), &seed); !errors.Is(err, ErrBadPublic) {
		t.Errorf("low order point: %v", err)
	}
	if _, _, err := Respond(35, make([]byte, 800), &seed); err == nil {
		t.Error("ML-KEM-512, which we do not have")
	}
}

func TestHybrid(t *testing.T) {
	list := parse(t, ProtoESP, "aes128gcm16-x25519-none-esn", "aes128gcm16", "aes256gcm16-ecp384-ke1_mlkem768")
	got := Hybrid(list)
	want := []string{"aes128gcm16-x25519-ke1_mlkem768-ke1_mlkem1024-esn", "aes128gcm16-x25519-none-esn", "aes128gcm16", "aes256gcm16-ecp384-ke1_mlkem768"}
	if names := keywordsOf(got); !slices.Equal(names, want) {
		t.Errorf("got %q", names)
	}
	if names := keywordsOf(Classical(got)); !slices.Equal(names, want[1:3]) {
		t.Errorf("classical: %q", names)
	}
	if names := keywordsOf(QuantumSafe(got)); !slices.Equal(names, []string{want[0], want[3]}) {
		t.Errorf("quantum-safe: %q", names)
	}
	for i, p := range got {
		if int(p.Number) != i+1 {
			t.Errorf("proposal %d has number %d", i+1, p.Number)
		}
	}
	for in, safe := range map[string]bool{
		"aes128gcm16-prfsha256-x25519": false, "aes128gcm16-prfsha256-x25519-mlkem768": false, "aes128gcm16-prfsha256-mlkem768": true,
		"aes128gcm16-prfsha256-x25519-ke1_mlkem768": true, "aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke1_none": false,
		"aes128gcm16-prfsha256-x25519-ke1_ecp256-ke7_mlkem1024": true,
	} {
		p := parse(t, ProtoIKE, in)[0]
		if p.QuantumSafe() != safe {
			t.Errorf("%s: %v", in, !safe)
		}
		if s, _, err := Select([]Proposal{p}, []Proposal{p}); err != nil || safe && !s.QuantumSafe() {
			t.Errorf("%s: agreed on %v, %v", in, s, err)
		}
	}
}
