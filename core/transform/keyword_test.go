package transform

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseProposal(t *testing.T) {
	tests := []struct {
		proto    Protocol
		in       string
		want     string // String of the proposal
		keywords string // when they differ from in
	}{
		{ProtoIKE, "aes256gcm16-prfsha384-ecp384", "IKE:AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384", ""},
		{ProtoIKE, "aes128-sha256-modp2048", "IKE:AES_CBC_128/PRF_HMAC_SHA2_256/HMAC_SHA2_256_128/MODP_2048", ""},
		{ProtoIKE, "3des-sha1-modp1024", "IKE:3DES/PRF_HMAC_SHA1/HMAC_SHA1_96/MODP_1024", ""},
		{ProtoIKE, "aes256-aes192-sha2_512-sha384-x25519-ecp521", "IKE:AES_CBC_256/AES_CBC_192/PRF_HMAC_SHA2_512/PRF_HMAC_SHA2_384/HMAC_SHA2_512_256/HMAC_SHA2_384_192/CURVE_25519/ECP_521", "aes256-aes192-sha512-sha384-x25519-ecp521"},
		{ProtoIKE, "aes-sha-prfsha256-curve25519", "IKE:AES_CBC_128/PRF_HMAC_SHA2_256/HMAC_SHA1_96/CURVE_25519", "aes128-sha1-prfsha256-x25519"},
		{ProtoIKE, "aes128gcm128-sha256-modp3072", "IKE:AES_GCM_16_128/PRF_HMAC_SHA2_256/MODP_3072", "aes128gcm16-prfsha256-modp3072"},
		{ProtoIKE, "chacha20poly1305-prfsha512-x25519-modpnone", "IKE:CHACHA20_POLY1305/PRF_HMAC_SHA2_512/CURVE_25519", "chacha20poly1305-prfsha512-x25519"},
		{ProtoIKE, "aes256gcm16-prfsha256-ke2_mlkem1024-ke2_none-ke1_mlkem768-ke1_ecp384-x25519-ke3_none",
			"IKE:AES_GCM_16_256/PRF_HMAC_SHA2_256/CURVE_25519/KE1_ML_KEM_768/KE1_ECP_384/KE2_ML_KEM_1024/KE2_NONE",
			"aes256gcm16-prfsha256-x25519-ke1_mlkem768-ke1_ecp384-ke2_mlkem1024-ke2_none"},
		{ProtoIKE, "aes128gcm16-prfsha256-mlkem768", "IKE:AES_GCM_16_128/PRF_HMAC_SHA2_256/ML_KEM_768", ""},
		{ProtoESP, "aes128gcm16-x25519-ke1_mlkem768-esn", "ESP:AES_GCM_16_128/CURVE_25519/KE1_ML_KEM_768/ESN", ""},
		{ProtoESP, "aes128-sha256-modp2048-esn", "ESP:AES_CBC_128/HMAC_SHA2_256_128/MODP_2048/ESN", ""},
		{ProtoESP, "chacha20poly1305-x25519", "ESP:CHACHA20_POLY1305/CURVE_25519/NO_ESN", ""},
		{ProtoESP, "aes256gcm16-aes256gcm-esn-noesn", "ESP:AES_GCM_16_256/ESN/NO_ESN", "aes256gcm16-esn-noesn"},
		{ProtoESP, "aes192gcm16-x25519-none-noesn", "ESP:AES_GCM_16_192/CURVE_25519/KE_NONE/NO_ESN", "aes192gcm16-x25519-none"},
		{ProtoESP, " AES256GCM16 - None ", "ESP:AES_GCM_16_256/NO_ESN", "aes256gcm16"},
		{ProtoESP, "aes256gcm16-sha256-prfsha256-modp4096", "ESP:AES_GCM_16_256/MODP_4096/NO_ESN", "aes256gcm16-modp4096"},
	}
	for _, tt := range tests {
		p, err := ParseProposal(tt.proto, tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if got := p.String(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.in, got, tt.want)
		}
		keywords := tt.keywords
		if keywords == "" {
			keywords = tt.in
		}
		if got := p.Keywords(); got != keywords {
			t.Errorf("%s: keywords %s, want %s", tt.in, got, keywords)
		}
	}
}

func TestParseProposalErrors(t *testing.T) {
	tests := []struct {
		proto Protocol
		in    string
		want  string
	}{
		{ProtoIKE, "", `unknown algorithm ""`},
		{ProtoIKE, "aes256--sha256", `unknown algorithm ""`},
		{ProtoIKE, "aes256-sha257-x25519", `unknown algorithm "sha257"`},
		{ProtoIKE, "default", `unknown algorithm "default"`},
		{ProtoIKE, "aes256-aesxcbc-x25519", `algorithm "aesxcbc" is not implemented`},
		{ProtoIKE, "aes256-sha256-modp1536", `algorithm "modp1536" is not implemented`},
		{ProtoIKE, "aes256-sha256-ecp224", `algorithm "ecp224" is not implemented`},
		{ProtoIKE, "aes256gcm16-prfsha256-mlkem512", `algorithm "mlkem512" is not implemented`},
		{ProtoIKE, "aes256gcm16-prfsha256-x25519-ke1_mlkem512", `algorithm "ke1_mlkem512" is not implemented`},
		{ProtoIKE, "aes256gcm16-prfsha256-x25519-ke1_sha256", `unknown algorithm "ke1_sha256"`},
		{ProtoIKE, "aes256gcm16-prfsha256-x25519-ke1_ke2_mlkem768", `unknown algorithm "ke1_ke2_mlkem768"`},
		{ProtoIKE, "aes256gcm16-prfsha256-x25519-ke8_mlkem768", `unknown algorithm "ke8_mlkem768"`},
		{ProtoIKE, "aes256gcm16-prfsha256-x25519-ke2_x25519", "stands there already"},
		{ProtoESP, "aes256gcm16-ke1_mlkem768", "and there is none"},
		{ProtoESP, "aes128gcm8", `algorithm "aes128gcm8" is not implemented`},
		{ProtoESP, "camellia256-sha256", `algorithm "camellia256" is not implemented`},
		{ProtoIKE, "aes256gcm16-x25519", "no PRF is named"},
		{ProtoIKE, "aes256-sha256", "no key exchange method is named"},
		{ProtoIKE, "aes256-sha256-none", "no key exchange method is named"},
		{ProtoIKE, "aes256-sha256-x25519-esn", "for ESP only"},
		{ProtoIKE, "sha256-x25519", "no cipher is named"},
		{ProtoIKE, "aes256-prfsha256-x25519", "needs an integrity algorithm"},
		{ProtoESP, "aes256", "needs an integrity algorithm"},
		{ProtoESP, "aes256-aes256gcm16-sha256", "cannot share a proposal"},
		{ProtoAH, "sha256", "AH is not implemented"},
	}
	for _, tt := range tests {
		_, err := ParseProposal(tt.proto, tt.in)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.in, err, tt.want)
			continue
		}
		var keyword *KeywordError
		if named := errors.As(err, &keyword); named != strings.Contains(tt.want, "algorithm \"") {
			t.Errorf("%q: KeywordError is %v", tt.in, named)
		}
	}
}

func TestParseProposals(t *testing.T) {
	def, err := ParseProposals(ProtoIKE, nil)
	if err != nil || !reflect.DeepEqual(def, DefaultIKE()) {
		t.Errorf("no proposals: %v, %v", def, err)
	}
	list, err := ParseProposals(ProtoESP, []string{"aes128-sha1", "default"})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range list {
		if int(p.Number) != i+1 {
			t.Errorf("proposal %d has number %d", i+1, p.Number)
		}
	}
	if len(list) != 1+len(DefaultESP()) || list[0].Keywords() != "aes128-sha1" || list[1].Keywords() != DefaultESP()[0].Keywords() {
		t.Errorf("got %v", list)
	}
	if _, err := ParseProposals(ProtoESP, slices.Repeat([]string{"default"}, 64)); err == nil {
		t.Error("256 proposals")
	}
	if _, err := ParseProposals(ProtoAH, []string{"default"}); err == nil {
		t.Error("AH")
	}
	if _, err := ParseProposals(ProtoESP, []string{"default", "rot13"}); err == nil {
		t.Error("rot13")
	}
}

func TestDefaults(t *testing.T) {
	want := []string{
		"aes256gcm16-aes128gcm16-chacha20poly1305-prfsha384-prfsha256-prfsha512-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048-ke1_mlkem768-ke1_mlkem1024",
		"aes256-aes128-sha256-sha384-sha512-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048-ke1_mlkem768-ke1_mlkem1024",
		"aes256gcm16-aes128gcm16-chacha20poly1305-prfsha384-prfsha256-prfsha512-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048",
		"aes256-aes128-sha256-sha384-sha512-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048",
	}
	if got := keywordsOf(DefaultIKE()); !slices.Equal(got, want) {
		t.Errorf("IKE: %q", got)
	}
	want = []string{
		"aes256gcm16-aes128gcm16-chacha20poly1305-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048-ke1_mlkem768-ke1_mlkem1024-esn-noesn",
		"aes256-aes128-sha256-sha384-sha512-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048-ke1_mlkem768-ke1_mlkem1024-esn-noesn",
		"aes256gcm16-aes128gcm16-chacha20poly1305-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048-esn-noesn",
		"aes256-aes128-sha256-sha384-sha512-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048-esn-noesn",
		"aes256gcm16-aes128gcm16-chacha20poly1305-esn-noesn",
		"aes256-aes128-sha256-sha384-sha512-esn-noesn",
	}
	if got := keywordsOf(DefaultESP()); !slices.Equal(got, want) {
		t.Errorf("ESP: %q", got)
	}
	first := WithoutKE(DefaultESP())
	if got := keywordsOf(first); !slices.Equal(got, want[4:]) || first[0].Number != 1 || first[1].Number != 2 {
		t.Errorf("ESP without KE: %q", got)
	}
	for _, p := range append(DefaultIKE(), DefaultESP()...) {
		if w := p.Weak(); w != nil {
			t.Errorf("%v is weak: %q", p, w)
		}
	}
	if got, want := DefaultIKE()[0].KEs(), []ID{KEX25519, KEECP256, KEECP384, KEECP521, KEMODP3072, KEMODP4096, KEMODP2048}; !slices.Equal(got, want) {
		t.Errorf("key exchange methods %v, want %v", got, want)
	}
}

func keywordsOf(list []Proposal) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.Keywords())
	}
	return out
}

func TestWithoutKELeavesItsReceiver(t *testing.T) {
	p, err := ParseProposal(ProtoESP, "aes256gcm16-x25519-esn")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.WithoutKE().Keywords(); got != "aes256gcm16-esn" {
		t.Errorf("without: %s", got)
	}
	if got := p.Keywords(); got != "aes256gcm16-x25519-esn" {
		t.Errorf("the original became %s", got)
	}
}

func TestWeak(t *testing.T) {
	p, err := ParseProposal(ProtoIKE, "aes256-3des-sha256-sha1-x25519-modp1024")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Join(p.Weak(), "\n")
	for _, want := range []string{"3DES", "key derivation with SHA-1", "integrity protection with SHA-1", "MODP-1024"} {
		if !strings.Contains(words, want) {
			t.Errorf("no %q in:\n%s", want, words)
		}
	}
	if n := len(p.Weak()); n != 4 {
		t.Errorf("%d weaknesses, want 4:\n%s", n, words)
	}
	s := Suite{Protocol: ProtoESP, Encr: encr(Encr3DES, 0), Integ: integ(IntegHMACSHA256128)}
	if w := s.Weak(); len(w) != 1 || !strings.Contains(w[0], "3DES") {
		t.Errorf("suite: %q", w)
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{encr(EncrAESGCM16, 256).String(), "AES_GCM_16_256"},
		{encr(999, 64).String(), "ENCR_999_64"},
		{ke(36).String(), "ML_KEM_768"},
		{Transform{6, 35, 0}.String(), "KE1_ML_KEM_512"},
		{Transform{13, 35, 0}.String(), "TYPE_13_35"},
		{Protocol(9).String(), "PROTO_9"},
		{Suite{Protocol: ProtoIKE, Encr: encr(EncrAESGCM16, 256), PRF: prf(PRFHMACSHA384), KE: ke(KEECP384)}.String(), "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384"},
		{Suite{Protocol: ProtoIKE, Encr: encr(EncrAESCBC, 128), PRF: prf(PRFHMACSHA256), Integ: integ(IntegHMACSHA256128), KE: ke(KEX25519)}.String(), "AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/CURVE_25519"},
		{Suite{Protocol: ProtoESP, Encr: encr(EncrChaCha20Poly, 0), ESN: true}.String(), "CHACHA20_POLY1305/ESN"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s, want %s", tt.got, tt.want)
		}
	}
	for _, k := range keywords {
		if names[k.t.Type][k.t.ID] == "" {
			t.Errorf("%s has no name: %v", k.word, k.t)
		}
	}
}

func FuzzParseProposal(f *testing.F) {
	for _, s := range []string{
		"aes256gcm16-prfsha384-ecp384", "aes128-sha256-modp2048-esn", "chacha20poly1305-x25519-none-noesn-esn",
		"3des-sha1-modp1024", "aes256-sha256-sha512-prfsha512-prfsha256-ecp521", "AES-SHA-curve25519", "aes128gcm8", "aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke2_none-ke2_ecp256", "-", "aes256gcm16-sha256-sha1-modp4096",
	} {
		f.Add(uint8(ProtoIKE), s)
		f.Add(uint8(ProtoESP), s)
	}
	f.Fuzz(func(t *testing.T, proto uint8, s string) {
		p, err := ParseProposal(Protocol(proto), s)
		if err != nil {
			return
		}
		again, err := ParseProposal(p.Protocol, p.Keywords())
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%q became %q: %v, %v, want %v", s, p.Keywords(), again, err, p)
		}
		suite, answer, err := Select([]Proposal{p}, []Proposal{p})
		if err != nil {
			t.Fatalf("%q does not agree with itself: %v", s, err)
		}
		if checked, err := Check([]Proposal{p}, answer); err != nil || checked != suite {
			t.Fatalf("%q: responder has %v, initiator %v, %v", s, suite, checked, err)
		}
	})
}
