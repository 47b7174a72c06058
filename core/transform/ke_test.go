package transform

import (
	"bytes"
	"errors"
	"io"
	"math/big"
	"testing"
)

func TestKeyExchangeVectors(t *testing.T) {
	tests := []struct {
		name                                                 string
		id                                                   ID
		private, public, peerPrivate, peerPublic, wantShared string
	}{
		{
			"RFC 5903, section 8.1", KEECP256,
			"C88F01F5 10D9AC3F 70A292DA A2316DE5 44E9AAB8 AFE84049 C62A9C57 862D1433",
			`DAD0B653 94221CF9 B051E1FE CA5787D0 98DFE637 FC90B9EF 945D0C37 72581180
			 5271A046 1CDB8252 D61F1C45 6FA3E59A B1F45B33 ACCF5F58 389E0577 B8990BB3`,
			"C6EF9C5D 78AE012A 011164AC B397CE20 88685D8F 06BF9BE0 B283AB46 476BEE53",
			`D12DFB52 89C8D4F8 1208B702 70398C34 2296970A 0BCCB74C 736FC755 4494BF63
			 56FBF3CA 366CC23E 8157854C 13C58D6A AC23F046 ADA30F83 53E74F33 039872AB`,
			"D6840F6B 42F6EDAF D13116E0 E1256520 2FEF8E9E CE7DCE03 812464D0 4B9442DE",
		},
		{
			"RFC 5903, section 8.2", KEECP384,
			`099F3C70 34D4A2C6 99884D73 A375A67F 7624EF7C 6B3C0F16 0647B674
			 14DCE655 E35B5380 41E649EE 3FAEF896 783AB194`,
			`667842D7 D180AC2C DE6F74F3 7551F557 55C7645C 20EF73E3 1634FE72
			 B4C55EE6 DE3AC808 ACB4BDB4 C88732AE E95F41AA
			 9482ED1F C0EEB9CA FC498462 5CCFC23F 65032149 E0E144AD A0241815
			 35A0F38E EB9FCFF3 C2C947DA E69B4C63 4573A81C`,
			`41CB0779 B4BDB85D 47846725 FBEC3C94 30FAB46C C8DC5060 855CC9BD
			 A0AA2942 E0308312 916B8ED2 960E4BD5 5A7448FC`,
			`E558DBEF 53EECDE3 D3FCCFC1 AEA08A89 A987475D 12FD950D 83CFA417
			 32BC509D 0D1AC43A 0336DEF9 6FDA41D0 774A3571
			 DCFBEC7A ACF31964 72169E83 8430367F 66EEBE3C 6E70C416 DD5F0C68
			 759DD1FF F83FA401 42209DFF 5EAAD96D B9E6386C`,
			`11187331 C279962D 93D60424 3FD592CB 9D0A926F 422E4718 7521287E
			 7156C5C4 D6031355 69B9E9D0 9CF5D4A2 70F59746`,
		},
		{
			"RFC 5903, section 8.3", KEECP521,
			`0037ADE9 319A89F4 DABDB3EF 411AACCC A5123C61 ACAB57B5 393DCE47
			 608172A0 95AA85A3 0FE1C295 2C6771D9 37BA9777 F5957B26 39BAB072 462F68C2 7A57382D 4A52`,
			`0015417E 84DBF28C 0AD3C278 713349DC 7DF153C8 97A1891B D98BAB43
			 57C9ECBE E1E3BF42 E00B8E38 0AEAE57C 2D107564 94188594 2AF5A7F4 601723C4 195D176C ED3E
			 017CAE20 B6641D2E EB695786 D8C94614 6239D099 E18E1D5A 514C739D
			 7CB4A10A D8A78801 5AC405D7 799DC75E 7B7D5B6C F2261A6A 7F150743 8BF01BEB 6CA3926F 9582`,
			`0145BA99 A847AF43 793FDD0E 872E7CDF A16BE30F DC780F97 BCCC3F07
			 8380201E 9C677D60 0B343757 A3BDBF2A 3163E4C2 F869CCA7 458AA4A4 EFFC311F 5CB15168 5EB9`,
			`00D0B397 5AC4B799 F5BEA16D 5E13E9AF 971D5E9B 984C9F39 728B5E57
			 39735A21 9B97C356 436ADC6E 95BB0352 F6BE64A6 C2912D4E F2D0433C ED2B6171 640012D9 460F
			 015C6822 6383956E 3BD066E7 97B623C2 7CE0EAC2 F551A10C 2C724D98
			 52077B87 220B6536 C5C408A1 D2AEBB8E 86D678AE 49CB5709 1F473229 6579AB44 FCD17F0F C56A`,
			`01144C7D 79AE6956 BC8EDB8E 7C787C45 21CB086F A64407F9 7894E5E6
			 B2D79B04 D1427E73 CA4BAA24 0A347868 59810C06 B3C715A3 A8CC3151 F2BEE417 996D19F3 DDEA`,
		},
		{
			"RFC 7748, section 6.1", KEX25519,
			"77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
			"8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
			"5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
			"de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
			"4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			public, peerPublic, want := unhex(t, tt.public), unhex(t, tt.peerPublic), unhex(t, tt.wantShared)
			one, err := NewKeyExchange(tt.id, bytes.NewReader(unhex(t, tt.private)))
			if err != nil {
				t.Fatal(err)
			}
			other, err := NewKeyExchange(tt.id, bytes.NewReader(unhex(t, tt.peerPrivate)))
			if err != nil {
				t.Fatal(err)
			}
			if got := one.Public(); !bytes.Equal(got, public) {
				t.Errorf("public %x, want %x", got, public)
			}
			if got := other.Public(); !bytes.Equal(got, peerPublic) {
				t.Errorf("peer's public %x, want %x", got, peerPublic)
			}
			if got, err := one.Shared(peerPublic); err != nil || !bytes.Equal(got, want) {
				t.Errorf("shared %x, %v, want %x", got, err, want)
			}
			if got, err := other.Shared(public); err != nil || !bytes.Equal(got, want) {
				t.Errorf("peer's shared %x, %v, want %x", got, err, want)
			}
		})
	}
}

var allKEs = []ID{KEX25519, KEECP256, KEECP384, KEECP521, KEMODP1024, KEMODP2048, KEMODP3072, KEMODP4096}

func TestKeyExchangeAgrees(t *testing.T) {
	for _, id := range allKEs {
		t.Run(ke(id).String(), func(t *testing.T) {
			seedA, seedB := counting(1), counting(101)
			a, err := NewKeyExchange(id, &seedA)
			if err != nil {
				t.Fatal(err)
			}
			b, err := NewKeyExchange(id, &seedB)
			if err != nil {
				t.Fatal(err)
			}
			if a.ID() != id || len(a.Public()) != PublicSize(id) {
				t.Errorf("method %d with a value of %d bytes, want %d of %d", a.ID(), len(a.Public()), id, PublicSize(id))
			}
			ab, err := a.Shared(b.Public())
			if err != nil {
				t.Fatal(err)
			}
			ba, err := b.Shared(a.Public())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(ab, ba) {
				t.Errorf("secrets %x and %x", ab, ba)
			}
			again := counting(1)
			if c, err := NewKeyExchange(id, &again); err != nil || !bytes.Equal(c.Public(), a.Public()) {
				t.Errorf("the same randomness gave another key (%v)", err)
			}
		})
	}
}

// TestMODPGroups computes the primes from their definition,
// 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) * pi) + c), and checks that
// they are safe primes.
func TestMODPGroups(t *testing.T) {
	constants := map[ID]int64{KEMODP1024: 129093, KEMODP2048: 124476, KEMODP3072: 1690314, KEMODP4096: 240904}
	if len(constants) != len(modpGroups) {
		t.Fatalf("%d groups, want %d", len(modpGroups), len(constants))
	}
	one := big.NewInt(1)
	pow2 := func(n int) *big.Int { return new(big.Int).Lsh(one, uint(n)) }
	for id, c := range constants {
		g := modpGroups[id]
		want := piTimesPow2(g.bits - 130)
		want.Add(want, big.NewInt(c))
		want.Lsh(want, 64)
		want.Add(want, pow2(g.bits)).Sub(want, pow2(g.bits-64)).Sub(want, one)
		p, err := g.modulus()
		if err != nil {
			t.Fatal(err)
		}
		if got := new(big.Int).SetBytes(p.Nat().Bytes(p)); got.Cmp(want) != 0 {
			t.Errorf("MODP_%d is %x, want %x", g.bits, got, want)
		}
		if q := new(big.Int).Rsh(want, 1); !want.ProbablyPrime(0) || !q.ProbablyPrime(0) {
			t.Errorf("MODP_%d is not a safe prime", g.bits)
		}
	}
}

// piTimesPow2 is floor(2^n * pi) by Machin's formula.
func piTimesPow2(n int) *big.Int {
	const guard = 64
	unity := new(big.Int).Lsh(big.NewInt(1), uint(n+guard))
	arccot := func(x int64) *big.Int {
		sum, square := new(big.Int), big.NewInt(x*x)
		term := new(big.Int).Quo(unity, big.NewInt(x))
		for k := int64(1); term.Sign() != 0; k += 2 {
			part := new(big.Int).Quo(term, big.NewInt(k))
			if k%4 == 1 {
				sum.Add(sum, part)
			} else {
				sum.Sub(sum, part)
			}
			term.Quo(term, square)
		}
		return sum
	}
	pi := new(big.Int).Mul(arccot(5), big.NewInt(16))
	pi.Sub(pi, new(big.Int).Mul(arccot(239), big.NewInt(4)))
	return pi.Rsh(pi, guard)
}

func TestMODPAgainstBig(t *testing.T) {
	for id, g := range modpGroups {
		seed, peerSeed := counting(7), counting(77)
		k, err := NewKeyExchange(id, &seed)
		if err != nil {
			t.Fatal(err)
		}
		peer, err := NewKeyExchange(id, &peerSeed)
		if err != nil {
			t.Fatal(err)
		}
		p := new(big.Int).SetBytes(unhex(t, g.prime))
		exp := new(big.Int).SetBytes(k.(*modpExchange).exp)
		want := new(big.Int).Exp(big.NewInt(2), exp, p).FillBytes(make([]byte, g.bits/8))
		if !bytes.Equal(k.Public(), want) {
			t.Errorf("MODP_%d: public %x, want %x", g.bits, k.Public(), want)
		}
		want = new(big.Int).Exp(new(big.Int).SetBytes(peer.Public()), exp, p).FillBytes(make([]byte, g.bits/8))
		if got, err := k.Shared(peer.Public()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("MODP_%d: shared %x, %v, want %x", g.bits, got, err, want)
		}
	}
}

// TestMODPSharedIsPadded looks for a secret with a leading zero byte, which
// must be as long as the others (RFC 7296, section 2.14).
func TestMODPSharedIsPadded(t *testing.T) {
	seed := counting(3)
	k, err := NewKeyExchange(KEMODP1024, &seed)
	if err != nil {
		t.Fatal(err)
	}
	for y := int64(2); y < 4096; y++ {
		secret, err := k.Shared(big.NewInt(y).FillBytes(make([]byte, 128)))
		if err != nil || len(secret) != 128 {
			t.Fatalf("y = %d: %d bytes, %v", y, len(secret), err)
		}
		if secret[0] == 0 {
			return
		}
	}
	t.Error("no secret began with a zero")
}

func TestSharedRefuses(t *testing.T) {
	modp := func(id ID, f func(p *big.Int) *big.Int) []byte {
		p := new(big.Int).SetBytes(unhex(t, modpGroups[id].prime))
		return f(p).FillBytes(make([]byte, modpGroups[id].bits/8))
	}
	offset := func(n int64) func(*big.Int) *big.Int {
		return func(p *big.Int) *big.Int { return new(big.Int).Add(p, big.NewInt(n)) }
	}
	constant := func(n int64) func(*big.Int) *big.Int {
		return func(*big.Int) *big.Int { return big.NewInt(n) }
	}
	order8 := unhex(t, "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
	tests := []struct {
		name string
		id   ID
		peer []byte
	}{
		{"x25519 zero", KEX25519, make([]byte, 32)},
		{"x25519 one", KEX25519, append([]byte{1}, make([]byte, 31)...)},
		{"x25519 point of order 8", KEX25519, order8},
		{"P-256 origin", KEECP256, make([]byte, 64)},
		{"P-256 off the curve", KEECP256, bytes.Repeat([]byte{1}, 64)},
		{"P-256 coordinate out of range", KEECP256, bytes.Repeat([]byte{0xff}, 64)},
		{"P-384 off the curve", KEECP384, bytes.Repeat([]byte{1}, 96)},
		{"P-521 off the curve", KEECP521, append([]byte{0}, bytes.Repeat([]byte{1}, 131)...)},
		{"MODP 0", KEMODP2048, modp(KEMODP2048, constant(0))},
		{"MODP 1", KEMODP2048, modp(KEMODP2048, constant(1))},
		{"MODP p-1", KEMODP2048, modp(KEMODP2048, offset(-1))},
		{"MODP p", KEMODP2048, modp(KEMODP2048, offset(0))},
		{"MODP p+1", KEMODP2048, modp(KEMODP2048, offset(1))},
		{"MODP p+2", KEMODP4096, modp(KEMODP4096, offset(2))},
	}
	for _, id := range allKEs {
		for name, n := range map[string]int{"empty": 0, "short": PublicSize(id) - 1, "long": PublicSize(id) + 1} {
			tests = append(tests, struct {
				name string
				id   ID
				peer []byte
			}{ke(id).String() + " " + name, id, bytes.Repeat([]byte{4}, n)})
		}
	}
	for _, tt := range tests {
		seed := counting(9)
		k, err := NewKeyExchange(tt.id, &seed)
		if err != nil {
			t.Fatal(err)
		}
		if secret, err := k.Shared(tt.peer); !errors.Is(err, ErrBadPublic) {
			t.Errorf("%s: %x, %v, want ErrBadPublic", tt.name, secret, err)
		}
	}
}

func TestNewKeyExchangeErrors(t *testing.T) {
	if _, err := NewKeyExchange(1, new(counting)); err == nil || PublicSize(1) != 0 {
		t.Errorf("MODP-768: %v, size %d", err, PublicSize(1))
	}
	for _, id := range allKEs {
		if _, err := NewKeyExchange(id, bytes.NewReader([]byte{1, 2, 3})); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v with 3 random bytes: %v", ke(id), err)
		}
	}
	// All ones are beyond the order of P-256: a source stuck there must not hang us.
	if _, err := NewKeyExchange(KEECP256, stuck{}); err == nil {
		t.Error("a key from a source of nothing but ones")
	}
}

type stuck struct{}

func (stuck) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 0xff
	}
	return len(b), nil
}

func BenchmarkKeyExchange(b *testing.B) {
	for _, id := range allKEs {
		b.Run(ke(id).String(), func(b *testing.B) {
			seed := counting(1)
			peer, err := NewKeyExchange(id, &seed)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				k, err := NewKeyExchange(id, &seed)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := k.Shared(peer.Public()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
