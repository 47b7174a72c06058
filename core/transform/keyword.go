package transform

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A KeywordError names a word of a proposal that we cannot use.
type KeywordError struct {
	Keyword string
	Known   bool // an algorithm, but one that we do not implement
}

func (e *KeywordError) Error() string {
	if e.Known {
		return fmt.Sprintf("algorithm %q is not implemented", e.Keyword)
	}
	return fmt.Sprintf("unknown algorithm %q", e.Keyword)
}

// A keyword is a word of a proposal and the transform that it stands for.
type keyword struct {
	word string
	t    Transform
}

// keywords is in strongSwan's words. The first word of a transform is the one
// that Keywords writes.
var keywords = []keyword{
	{"aes128", Transform{TypeEncr, EncrAESCBC, 128}},
	{"aes", Transform{TypeEncr, EncrAESCBC, 128}},
	{"aes192", Transform{TypeEncr, EncrAESCBC, 192}},
	{"aes256", Transform{TypeEncr, EncrAESCBC, 256}},
	{"aes128gcm16", Transform{TypeEncr, EncrAESGCM16, 128}},
	{"aes128gcm128", Transform{TypeEncr, EncrAESGCM16, 128}},
	{"aes128gcm", Transform{TypeEncr, EncrAESGCM16, 128}},
	{"aes192gcm16", Transform{TypeEncr, EncrAESGCM16, 192}},
	{"aes192gcm128", Transform{TypeEncr, EncrAESGCM16, 192}},
	{"aes192gcm", Transform{TypeEncr, EncrAESGCM16, 192}},
	{"aes256gcm16", Transform{TypeEncr, EncrAESGCM16, 256}},
	{"aes256gcm128", Transform{TypeEncr, EncrAESGCM16, 256}},
	{"aes256gcm", Transform{TypeEncr, EncrAESGCM16, 256}},
	{"chacha20poly1305", Transform{TypeEncr, EncrChaCha20Poly, 0}},
	{"3des", Transform{TypeEncr, Encr3DES, 0}},

	{"sha256", Transform{TypeInteg, IntegHMACSHA256128, 0}},
	{"sha2_256", Transform{TypeInteg, IntegHMACSHA256128, 0}},
	{"sha384", Transform{TypeInteg, IntegHMACSHA384192, 0}},
	{"sha2_384", Transform{TypeInteg, IntegHMACSHA384192, 0}},
	{"sha512", Transform{TypeInteg, IntegHMACSHA512256, 0}},
	{"sha2_512", Transform{TypeInteg, IntegHMACSHA512256, 0}},
	{"sha1", Transform{TypeInteg, IntegHMACSHA1_96, 0}},
	{"sha", Transform{TypeInteg, IntegHMACSHA1_96, 0}},

	{"prfsha256", Transform{TypePRF, PRFHMACSHA256, 0}},
	{"prfsha384", Transform{TypePRF, PRFHMACSHA384, 0}},
	{"prfsha512", Transform{TypePRF, PRFHMACSHA512, 0}},
	{"prfsha1", Transform{TypePRF, PRFHMACSHA1, 0}},

	{"x25519", Transform{TypeKE, KEX25519, 0}},
	{"curve25519", Transform{TypeKE, KEX25519, 0}},
	{"ecp256", Transform{TypeKE, KEECP256, 0}},
	{"ecp384", Transform{TypeKE, KEECP384, 0}},
	{"ecp521", Transform{TypeKE, KEECP521, 0}},
	{"modp1024", Transform{TypeKE, KEMODP1024, 0}},
	{"modp2048", Transform{TypeKE, KEMODP2048, 0}},
	{"modp3072", Transform{TypeKE, KEMODP3072, 0}},
	{"modp4096", Transform{TypeKE, KEMODP4096, 0}},
	{"mlkem768", Transform{TypeKE, KEMLKEM768, 0}},
	{"mlkem1024", Transform{TypeKE, KEMLKEM1024, 0}},
	{"none", Transform{TypeKE, KENone, 0}},
	{"modpnone", Transform{TypeKE, KENone, 0}},

	{"esn", Transform{TypeESN, ESNYes, 0}},
	{"noesn", Transform{TypeESN, ESNNo, 0}},
}

// unimplemented lists words for algorithms that exist and that we do not have;
// a "*" ends a prefix. keywords is asked first.
var unimplemented = []string{
	"null", "des", "blowfish*", "cast128", "serpent*", "twofish*", "camellia*", "chacha20poly1305compat",
	"aes128ctr", "aes192ctr", "aes256ctr", "aes128ccm*", "aes192ccm*", "aes256ccm*",
	"aes128gcm*", "aes192gcm*", "aes256gcm*", "aes128gmac", "aes192gmac", "aes256gmac",
	"sha1_160", "sha256_96", "sha2_256_96", "md5", "md5_128", "aesxcbc", "aescmac",
	"prfmd5", "prfaesxcbc", "prfaescmac", "prfcamelliaxcbc",
	"modpnull", "modp768", "modp1536", "modp6144", "modp8192", "modp1024s160", "modp2048s224", "modp2048s256",
	"ecp192", "ecp224", "ecp224bp", "ecp256bp", "ecp384bp", "ecp512bp", "x448", "curve448",
	"mlkem512", "ntru*", "newhope128", "kyber*", "bike*", "frodo*", "hqc*", "saber*", "sike*",
}

// lookup returns the transform that a word stands for.
func lookup(word string) (Transform, error) {
	for _, k := range keywords {
		if k.word == word {
			return k.t, nil
		}
	}
	if typ, method, ok := additionalWord(word); ok {
		t, err := lookup(method)
		var unknown *KeywordError
		if errors.As(err, &unknown) {
			return Transform{}, &KeywordError{Keyword: word, Known: unknown.Known}
		}
		if err != nil || t.Type != TypeKE {
			return Transform{}, &KeywordError{Keyword: word}
		}
		t.Type = typ
		return t, nil
	}
	known := slices.ContainsFunc(unimplemented, func(u string) bool {
		prefix, open := strings.CutSuffix(u, "*")
		return word == u || open && strings.HasPrefix(word, prefix)
	})
	return Transform{}, &KeywordError{Keyword: word, Known: known}
}

// additionalWord splits the word of an additional key exchange: "ke1_mlkem768".
func additionalWord(word string) (typ Type, method string, ok bool) {
	rest, ok := strings.CutPrefix(word, "ke")
	if !ok || len(rest) < 3 || rest[0] < '1' || rest[0] > '7' || rest[1] != '_' || strings.HasPrefix(rest[2:], "ke") {
		return 0, "", false
	}
	return TypeAddKE1 + Type(rest[0]-'1'), rest[2:], true
}

// ParseProposal parses a proposal in strongSwan's words, joined by hyphens:
// "aes256gcm16-prfsha384-ecp384". Several words of one type are alternatives in
// order of preference. As there, an IKE proposal that names no PRF takes the
// hash functions of its integrity algorithms, an AEAD drops these, ESP ignores
// PRFs and has no extended sequence numbers unless "esn" says so. The number is
// left 0. Errors that concern one word are of type *KeywordError.
func ParseProposal(p Protocol, s string) (Proposal, error) {
	if p != ProtoIKE && p != ProtoESP {
		return Proposal{}, fmt.Errorf("proposal %q: %v is not implemented", s, p)
	}
	named := make(map[Type][]Transform)
	for word := range strings.SplitSeq(s, "-") {
		t, err := lookup(strings.ToLower(strings.TrimSpace(word)))
		if err != nil {
			return Proposal{}, fmt.Errorf("proposal %q: %w", s, err)
		}
		if !slices.Contains(named[t.Type], t) {
			named[t.Type] = append(named[t.Type], t)
		}
	}
	var err error
	if p == ProtoIKE {
		err = completeIKE(named)
	} else {
		err = completeESP(named)
	}
	if err == nil {
		err = checkCiphers(named)
	}
	if err != nil {
		return Proposal{}, fmt.Errorf("proposal %q: %w", s, err)
	}
	if err := checkAdditional(named); err != nil {
		return Proposal{}, fmt.Errorf("proposal %q: %w", s, err)
	}
	out := Proposal{Protocol: p}
	for t := TypeEncr; t <= TypeKE; t++ {
		out.Transforms = append(out.Transforms, named[t]...)
	}
	for t := TypeAddKE1; t <= TypeAddKE7; t++ {
		out.Transforms = append(out.Transforms, named[t]...)
	}
	out.Transforms = append(out.Transforms, named[TypeESN]...)
	return out, nil
}

// completeIKE adds what an IKE proposal implies and drops what it cannot hold.
func completeIKE(named map[Type][]Transform) error {
	if len(named[TypePRF]) == 0 {
		named[TypePRF] = derivedPRFs(named[TypeInteg])
	}
	if len(named[TypePRF]) == 0 {
		return errors.New(`no PRF is named, such as "prfsha256"`)
	}
	isNone := func(t Transform) bool { return t.ID == KENone }
	named[TypeKE] = slices.DeleteFunc(named[TypeKE], isNone)
	if len(named[TypeKE]) == 0 {
		return errors.New(`no key exchange method is named, such as "x25519"`)
	}
	if len(named[TypeESN]) != 0 {
		return errors.New("extended sequence numbers are for ESP only")
	}
	return nil
}

// completeESP adds what an ESP proposal implies and drops what it cannot hold.
func completeESP(named map[Type][]Transform) error {
	delete(named, TypePRF)
	if len(named[TypeKE]) == 1 && named[TypeKE][0].ID == KENone {
		delete(named, TypeKE)
	}
	if len(named[TypeESN]) == 0 {
		named[TypeESN] = []Transform{{Type: TypeESN, ID: ESNNo}}
	}
	return nil
}

// checkAdditional refuses key exchanges that follow none and methods that stand
// twice (RFC 9370, section 2.2.1), and drops a type that holds nothing but NONE.
func checkAdditional(named map[Type][]Transform) error {
	seen := make(map[ID]bool)
	for _, t := range named[TypeKE] {
		seen[t.ID] = true
	}
	for t := TypeAddKE1; t <= TypeAddKE7; t++ {
		if len(named[t]) == 1 && named[t][0].ID == KENone {
			delete(named, t)
		}
		if len(named[t]) > 0 && !slices.ContainsFunc(named[TypeKE], func(t Transform) bool { return t.ID != KENone }) {
			return fmt.Errorf(`%v follows a first key exchange, such as "x25519", and there is none`, named[t][0])
		}
		for _, x := range named[t] {
			if x.ID != KENone && seen[x.ID] {
				return fmt.Errorf("%v is a key exchange that stands there already", x)
			}
			seen[x.ID] = true
		}
	}
	return nil
}

// checkCiphers holds the ciphers against the integrity algorithms (RFC 7296, section 3.3).
func checkCiphers(named map[Type][]Transform) error {
	var aead, other int
	for _, t := range named[TypeEncr] {
		if encrSpecs[t.ID].aead {
			aead++
		} else {
			other++
		}
	}
	switch {
	case aead+other == 0:
		return errors.New(`no cipher is named, such as "aes256gcm16"`)
	case aead != 0 && other != 0:
		return errors.New("a cipher that authenticates by itself (GCM, ChaCha20-Poly1305) and one that does not cannot share a proposal: write two")
	case aead != 0:
		delete(named, TypeInteg)
	case len(named[TypeInteg]) == 0:
		return errors.New(`the cipher needs an integrity algorithm, such as "sha256"`)
	}
	return nil
}

// derivedPRFs lists the PRFs with the hash functions of the integrity algorithms.
func derivedPRFs(integ []Transform) []Transform {
	var list []Transform
	for _, t := range integ {
		if id, ok := prfOfInteg[t.ID]; ok {
			list = append(list, Transform{Type: TypePRF, ID: id})
		}
	}
	return list
}

var prfOfInteg = map[ID]ID{
	IntegHMACSHA1_96:   PRFHMACSHA1,
	IntegHMACSHA256128: PRFHMACSHA256,
	IntegHMACSHA384192: PRFHMACSHA384,
	IntegHMACSHA512256: PRFHMACSHA512,
}

// ParseProposals parses a list of proposals and numbers them from 1. "default"
// stands for our defaults, and so does an empty list.
func ParseProposals(p Protocol, list []string) ([]Proposal, error) {
	if len(list) == 0 {
		list = []string{"default"}
	}
	var out []Proposal
	for _, s := range list {
		if strings.TrimSpace(s) == "default" {
			switch p {
			case ProtoIKE:
				out = append(out, DefaultIKE()...)
				continue
			case ProtoESP:
				out = append(out, DefaultESP()...)
				continue
			}
		}
		one, err := ParseProposal(p, s)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	if len(out) > 255 {
		return nil, fmt.Errorf("%d proposals, at most 255 can be offered", len(out))
	}
	return number(out), nil
}

// Keywords writes p as ParseProposal reads it, leaving out what that implies.
// An algorithm without a word appears under its name.
func (p Proposal) Keywords() string {
	integ, prfs, esn := p.of(TypeInteg), p.of(TypePRF), p.of(TypeESN)
	if slices.Equal(prfs, derivedPRFs(integ)) {
		prfs = nil
	}
	if len(esn) == 1 && esn[0].ID == ESNNo {
		esn = nil
	}
	var words []string
	var additional []Transform
	for t := TypeAddKE1; t <= TypeAddKE7; t++ {
		additional = append(additional, p.of(t)...)
	}
	for _, t := range slices.Concat(p.of(TypeEncr), integ, prfs, p.of(TypeKE), additional, esn) {
		prefix := ""
		if t.Type.additional() {
			prefix = fmt.Sprintf("ke%d_", t.Type.nth())
			t.Type = TypeKE
		}
		i := slices.IndexFunc(keywords, func(k keyword) bool { return k.t == t })
		if i < 0 {
			words = append(words, prefix+t.String())
			continue
		}
		words = append(words, prefix+keywords[i].word)
	}
	return strings.Join(words, "-")
}
