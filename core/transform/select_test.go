package transform

import (
	"errors"
	"slices"
	"testing"
)

// parse parses proposals of a test and gives them SPIs.
func parse(t testing.TB, p Protocol, list ...string) []Proposal {
	t.Helper()
	out, err := ParseProposals(p, list)
	if err != nil {
		t.Fatal(err)
	}
	for i := range out {
		out[i].SPI = []byte{0, 0, 0, out[i].Number}
	}
	return out
}

func TestSelect(t *testing.T) {
	type list = []string
	tests := []struct {
		name               string
		proto              Protocol
		preferred, offered list
		ke                 ID
		want               string // suite; empty: ErrNoProposal
		number             uint8
	}{
		{"same", ProtoIKE, list{"aes256gcm16-prfsha384-ecp384"}, list{"aes256gcm16-prfsha384-ecp384"}, 0, "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384", 1},
		{"our order of proposals", ProtoIKE, list{"aes256gcm16-prfsha256-x25519", "aes256-sha256-x25519"}, list{"aes256-sha256-x25519", "aes256gcm16-prfsha256-x25519"}, 0, "AES_GCM_16_256/PRF_HMAC_SHA2_256/CURVE_25519", 2},
		{"our order of transforms", ProtoIKE, list{"aes256-aes128-sha512-sha256-ecp521-x25519"}, list{"aes128-aes256-sha256-sha512-x25519-ecp521"}, 0, "AES_CBC_256/HMAC_SHA2_512_256/PRF_HMAC_SHA2_512/ECP_521", 1},
		{"the group of the KE payload", ProtoIKE, list{"default"}, list{"aes256gcm16-prfsha256-x25519-modp2048-ecp256"}, KEMODP2048, "AES_GCM_16_256/PRF_HMAC_SHA2_256/MODP_2048", 1},
		{"a KE payload we do not want", ProtoIKE, list{"aes256gcm16-prfsha256-x25519"}, list{"aes256gcm16-prfsha256-x25519-modp2048"}, KEMODP2048, "AES_GCM_16_256/PRF_HMAC_SHA2_256/CURVE_25519", 1},
		{"key length differs", ProtoIKE, list{"aes256-sha256-x25519"}, list{"aes128-sha256-x25519"}, 0, "", 0},
		{"group differs", ProtoIKE, list{"aes256-sha256-x25519"}, list{"aes256-sha256-ecp256"}, 0, "", 0},
		{"PRF differs", ProtoIKE, list{"aes256-sha256-prfsha256-x25519"}, list{"aes256-sha256-prfsha384-x25519"}, 0, "", 0},
		{"integrity differs", ProtoESP, list{"aes256-sha256"}, list{"aes256-sha384"}, 0, "", 0},
		{"AEAD against CBC", ProtoESP, list{"aes256gcm16"}, list{"aes256-sha256"}, 0, "", 0},
		{"second offer", ProtoESP, list{"aes256-sha256"}, list{"aes256gcm16", "aes256-sha256"}, 0, "AES_CBC_256/HMAC_SHA2_256_128", 2},
		{"ESN both, we prefer it", ProtoESP, list{"aes256gcm16-esn-noesn"}, list{"aes256gcm16-noesn-esn"}, 0, "AES_GCM_16_256/ESN", 1},
		{"ESN not offered", ProtoESP, list{"aes256gcm16-esn-noesn"}, list{"aes256gcm16"}, 0, "AES_GCM_16_256", 1},
		{"ESN required", ProtoESP, list{"aes256gcm16-esn"}, list{"aes256gcm16"}, 0, "", 0},
		{"ESN unwanted", ProtoESP, list{"aes256gcm16"}, list{"aes256gcm16-esn"}, 0, "", 0},
		{"PFS required", ProtoESP, list{"aes256gcm16-x25519"}, list{"aes256gcm16"}, 0, "", 0},
		{"PFS unwanted", ProtoESP, list{"aes256gcm16"}, list{"aes256gcm16-x25519"}, 0, "", 0},
		{"PFS optional for us", ProtoESP, list{"aes256gcm16-x25519-none"}, list{"aes256gcm16"}, 0, "AES_GCM_16_256", 1},
		{"PFS optional for them", ProtoESP, list{"aes256gcm16"}, list{"aes256gcm16-x25519-none"}, 0, "AES_GCM_16_256", 1},
		{"PFS optional for both", ProtoESP, list{"aes256gcm16-x25519-none"}, list{"aes256gcm16-none-x25519"}, 0, "AES_GCM_16_256/CURVE_25519", 1},
		{"default against one without PFS", ProtoESP, list{"default"}, list{"aes128gcm16"}, 0, "AES_GCM_16_128", 1},
		{"default against one with PFS", ProtoESP, list{"default"}, list{"aes128-sha256-ecp384"}, 0, "AES_CBC_128/HMAC_SHA2_256_128/ECP_384", 1},
		{"defaults", ProtoIKE, list{"default"}, list{"default"}, 0, "AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519/KE1_ML_KEM_768", 1},
		{"a peer without additional key exchanges", ProtoIKE, list{"default"}, list{"aes256gcm16-prfsha384-x25519"}, 0, "AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519", 1},
		{"only with additional key exchange", ProtoIKE, list{"aes256gcm16-prfsha384-x25519-ke1_mlkem768"}, list{"aes256gcm16-prfsha384-x25519"}, 0, "", 0},
		{"additional key exchange or none", ProtoIKE, list{"aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke1_none"}, list{"aes256gcm16-prfsha384-x25519"}, 0, "AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519", 1},
		{"a second exchange with what is left", ProtoIKE, list{"aes256gcm16-prfsha384-x25519-ecp256-ke1_mlkem768-ke2_mlkem1024"}, list{"aes256gcm16-prfsha384-ecp256-ke1_mlkem768-ke2_mlkem1024"}, 0, "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_256/KE1_ML_KEM_768/KE2_ML_KEM_1024", 1},
		{"ML-KEM alone", ProtoIKE, list{"aes256gcm16-prfsha384-mlkem768"}, list{"aes256gcm16-prfsha384-mlkem768"}, 0, "AES_GCM_16_256/PRF_HMAC_SHA2_384/ML_KEM_768", 1},
		{"nothing offered", ProtoESP, list{"default"}, nil, 0, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			preferred := parse(t, tt.proto, tt.preferred...)
			var offered []Proposal
			if tt.offered != nil {
				offered = parse(t, tt.proto, tt.offered...)
			}
			suite, answer, err := SelectKE(preferred, offered, tt.ke)
			if tt.want == "" {
				if !errors.Is(err, ErrNoProposal) {
					t.Fatalf("chose %v, %v", suite, err)
				}
				return
			}
			if err != nil || suite.String() != tt.want || suite.Protocol != tt.proto {
				t.Fatalf("chose %v, %v, want %s", suite, err, tt.want)
			}
			if answer.Number != tt.number || answer.SPI[3] != tt.number {
				t.Errorf("answer %v has number %d, SPI %x, want %d", answer, answer.Number, answer.SPI, tt.number)
			}
			if got, err := Check(offered, answer); err != nil || got != suite {
				t.Errorf("the initiator has %v, %v, the responder %v", got, err, suite)
			}
		})
	}
}

func TestSelectOddOffers(t *testing.T) {
	gcm, cbc := encr(EncrAESGCM16, 128), encr(EncrAESCBC, 128)
	sha, none := integ(IntegHMACSHA256128), integ(IntegNone)
	x, p256 := ke(KEX25519), prf(PRFHMACSHA256)
	no := esn(ESNNo)
	tests := []struct {
		name       string
		preferred  string
		proto      Protocol
		transforms []Transform
		want       []Transform // of the answer; nil: refused
	}{
		{"AEAD with NONE", "aes128gcm16", ProtoESP, []Transform{gcm, none, no}, []Transform{gcm, none, no}},
		{"AEAD with HMAC", "aes128gcm16", ProtoESP, []Transform{gcm, sha, no}, nil},
		{"AEAD with HMAC or NONE", "aes128gcm16", ProtoESP, []Transform{gcm, sha, none, no}, []Transform{gcm, none, no}},
		{"CBC with NONE", "aes128-sha256", ProtoESP, []Transform{cbc, none, no}, nil},
		{"CBC without integrity", "aes128-sha256", ProtoESP, []Transform{cbc, no}, nil},
		{"ESP without ESN", "aes128gcm16", ProtoESP, []Transform{gcm}, nil},
		{"ESP with PRF", "aes128gcm16", ProtoESP, []Transform{gcm, p256, no}, nil},
		{"ESP with KE NONE", "aes128gcm16", ProtoESP, []Transform{gcm, ke(KENone), no}, []Transform{gcm, ke(KENone), no}},
		{"ESP unknown type", "aes128gcm16", ProtoESP, []Transform{gcm, no, {6, 36, 0}}, nil},
		{"ESP type 0", "aes128gcm16", ProtoESP, []Transform{gcm, no, {0, 1, 0}}, nil},
		{"ESP unknown transforms", "aes128gcm16", ProtoESP, []Transform{encr(99, 128), gcm, no, esn(7)}, []Transform{gcm, no}},
		{"ESP cipher without key length", "aes128gcm16", ProtoESP, []Transform{encr(EncrAESGCM16, 0), no}, nil},
		{"ChaCha with key length", "chacha20poly1305", ProtoESP, []Transform{encr(EncrChaCha20Poly, 256), no}, nil},
		{"ESP empty", "aes128gcm16", ProtoESP, nil, nil},
		{"IKE with NONE", "aes128gcm16-prfsha256-x25519", ProtoIKE, []Transform{gcm, p256, none, x}, []Transform{gcm, p256, none, x}},
		{"IKE with ESN", "aes128gcm16-prfsha256-x25519", ProtoIKE, []Transform{gcm, p256, x, no}, nil},
		{"IKE without KE", "aes128gcm16-prfsha256-x25519", ProtoIKE, []Transform{gcm, p256}, nil},
		{"IKE with KE NONE", "aes128gcm16-prfsha256-x25519", ProtoIKE, []Transform{gcm, p256, ke(KENone)}, nil},
		{"IKE without PRF", "aes128gcm16-prfsha256-x25519", ProtoIKE, []Transform{gcm, x}, nil},
		{"IKE additional key exchange", "aes128gcm16-prfsha256-x25519", ProtoIKE, []Transform{gcm, p256, x, {6, 36, 0}}, nil},
		{"AH", "aes128gcm16", ProtoAH, []Transform{sha, no}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			proto := tt.proto
			if proto == ProtoAH {
				proto = ProtoESP
			}
			preferred := parse(t, proto, tt.preferred)
			preferred[0].Protocol = tt.proto
			_, answer, err := Select(preferred, []Proposal{{Number: 3, Protocol: tt.proto, Transforms: tt.transforms}})
			if tt.want == nil {
				if !errors.Is(err, ErrNoProposal) {
					t.Fatalf("answers %v, %v", answer, err)
				}
				return
			}
			if err != nil || !slices.Equal(answer.Transforms, tt.want) || answer.Number != 3 {
				t.Errorf("answers %d %v, %v, want %v", answer.Number, answer, err, tt.want)
			}
		})
	}
}

// TestSelectNeverTakesWhatWeLack feeds Select a configuration with algorithms
// that are not implemented, which no parser makes.
func TestSelectNeverTakesWhatWeLack(t *testing.T) {
	for _, transforms := range [][]Transform{
		{encr(23, 128), integ(IntegHMACSHA256128), esn(ESNNo)},
		{encr(EncrAESCBC, 128), integ(5), esn(ESNNo)},
		{encr(EncrAESCBC, 128), integ(IntegNone), esn(ESNNo)},
		{encr(EncrAESGCM16, 129), esn(ESNNo)},
		{encr(EncrAESGCM16, 128), ke(35), esn(ESNNo)},
		{encr(EncrAESGCM16, 128), {Type: TypeAddKE1, ID: KEMLKEM768}, esn(ESNNo)},
		{encr(EncrAESGCM16, 128), ke(KEX25519), {Type: TypeAddKE1, ID: KEX25519}, esn(ESNNo)},
		{encr(EncrAESGCM16, 128), ke(KEX25519), {Type: TypeAddKE1, ID: KEMLKEM768}, {Type: TypeAddKE7, ID: KEMLKEM768}, esn(ESNNo)},
		{encr(EncrAESGCM16, 128), ke(KEX25519), {Type: TypeAddKE1, ID: 35}, esn(ESNNo)},
	} {
		p := []Proposal{{Number: 1, Protocol: ProtoESP, Transforms: transforms}}
		if s, _, err := Select(p, p); !errors.Is(err, ErrNoProposal) {
			t.Errorf("%v: %v", p, s)
		}
		if s, err := Check(p, p[0]); !errors.Is(err, ErrBadAnswer) {
			t.Errorf("%v answered: %v", p, s)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	gcm, cbc := encr(EncrAESGCM16, 128), encr(EncrAESCBC, 128)
	sha, none := integ(IntegHMACSHA256128), integ(IntegNone)
	x, p256, p384 := ke(KEX25519), prf(PRFHMACSHA256), ke(KEECP384)
	no, yes := esn(ESNNo), esn(ESNYes)
	ike := parse(t, ProtoIKE, "aes128gcm16-prfsha256-x25519-ecp384", "aes128-aes256-sha256-x25519")
	esp := parse(t, ProtoESP, "aes128gcm16-x25519-none-esn-noesn", "aes128-sha256-x25519")
	tests := []struct {
		name       string
		offered    []Proposal
		number     uint8
		proto      Protocol
		transforms []Transform
		ok         bool
	}{
		{"IKE", ike, 1, ProtoIKE, []Transform{gcm, p256, x}, true},
		{"IKE, any order", ike, 2, ProtoIKE, []Transform{x, sha, p256, cbc}, true},
		{"AEAD with NONE unasked", ike, 1, ProtoIKE, []Transform{gcm, p256, none, x}, true},
		{"ESP with PFS", esp, 1, ProtoESP, []Transform{gcm, x, yes}, true},
		{"ESP NONE left out", esp, 1, ProtoESP, []Transform{gcm, no}, true},
		{"ESP NONE", esp, 1, ProtoESP, []Transform{gcm, ke(KENone), no}, true},

		{"other number", ike, 3, ProtoIKE, []Transform{gcm, p256, x}, false},
		{"number of the other proposal", ike, 2, ProtoIKE, []Transform{gcm, p256, x}, false},
		{"other protocol", ike, 1, ProtoESP, []Transform{gcm, x, no}, false},
		{"nothing", ike, 1, ProtoIKE, nil, false},
		{"two ciphers", ike, 2, ProtoIKE, []Transform{cbc, encr(EncrAESCBC, 256), sha, p256, x}, false},
		{"two groups", ike, 1, ProtoIKE, []Transform{gcm, p256, x, p384}, false},
		{"same transform twice", ike, 1, ProtoIKE, []Transform{gcm, gcm, p256, x}, false},
		{"group not offered", ike, 2, ProtoIKE, []Transform{cbc, sha, p256, p384}, false},
		{"key length not offered", ike, 1, ProtoIKE, []Transform{encr(EncrAESGCM16, 256), p256, x}, false},
		{"key length left out", ike, 1, ProtoIKE, []Transform{encr(EncrAESGCM16, 0), p256, x}, false},
		{"AEAD with HMAC", ike, 1, ProtoIKE, []Transform{gcm, sha, p256, x}, false},
		{"integrity left out", ike, 2, ProtoIKE, []Transform{cbc, p256, x}, false},
		{"integrity NONE", ike, 2, ProtoIKE, []Transform{cbc, none, p256, x}, false},
		{"PRF left out", ike, 1, ProtoIKE, []Transform{gcm, x}, false},
		{"KE left out", ike, 1, ProtoIKE, []Transform{gcm, p256}, false},
		{"KE NONE", ike, 1, ProtoIKE, []Transform{gcm, p256, ke(KENone)}, false},
		{"ESP PFS dropped", esp, 2, ProtoESP, []Transform{cbc, sha, no}, false},
		{"ESP PFS dropped by NONE", esp, 2, ProtoESP, []Transform{cbc, sha, ke(KENone), no}, false},
		{"ESP ESN left out", esp, 1, ProtoESP, []Transform{gcm, x}, false},
		{"ESP ESN not offered", esp, 2, ProtoESP, []Transform{cbc, sha, x, yes}, false},
		{"additional key exchange", ike, 1, ProtoIKE, []Transform{gcm, p256, x, {6, 36, 0}}, false},
	}
	for _, tt := range tests {
		s, err := Check(tt.offered, Proposal{Number: tt.number, Protocol: tt.proto, Transforms: tt.transforms})
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, ErrBadAnswer) {
			t.Errorf("%s: %v, %v", tt.name, s, err)
		}
		if err == nil && (s.Integ.ID == IntegNone) != s.AEAD() {
			t.Errorf("%s: suite %+v", tt.name, s)
		}
	}
}

// FuzzSelect lets a peer offer anything: what we choose must be complete, and
// an initiator that made this offer must see the same.
func FuzzSelect(f *testing.F) {
	f.Add(uint8(ProtoESP), []byte{1, 20, 128, 1, 12, 255, 3, 12, 0, 4, 31, 0, 4, 0, 0, 5, 1, 0, 5, 0, 0})
	f.Add(uint8(ProtoIKE), []byte{1, 12, 128, 3, 12, 0, 2, 5, 0, 4, 19, 0})
	f.Add(uint8(ProtoIKE), []byte{1, 28, 0, 2, 5, 0, 3, 0, 0, 4, 14, 0})
	f.Add(uint8(ProtoIKE), []byte{1, 28, 0, 2, 5, 0, 4, 31, 0, 6, 36, 0, 7, 37, 0, 12, 0, 0})
	f.Fuzz(func(t *testing.T, proto uint8, b []byte) {
		offer := Proposal{Number: 1, Protocol: Protocol(proto)}
		for ; len(b) >= 3 && len(offer.Transforms) < 64; b = b[3:] {
			bits := uint16(b[2])
			if bits == 255 {
				bits = 256
			}
			offer.Transforms = append(offer.Transforms, Transform{Type(b[0]), ID(b[1]), bits})
		}
		for _, preferred := range [][]Proposal{DefaultIKE(), DefaultESP(), Hybrid(DefaultESP())} {
			s, answer, err := Select(preferred, []Proposal{offer})
			if err != nil {
				continue
			}
			if !s.complete() || s.ICVLen() == 0 {
				t.Fatalf("%v: chose %+v", offer, s)
			}
			if got, err := Check([]Proposal{offer}, answer); err != nil || got != s {
				t.Fatalf("%v: responder has %v, initiator %v, %v", offer, s, got, err)
			}
		}
	})
}
