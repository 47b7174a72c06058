package transform

import (
	"slices"
	"strings"
)

// String lists the algorithms on offer: "ESP:AES_GCM_16_256/AES_GCM_16_128/ECP_256/NO_ESN".
func (p Proposal) String() string {
	names := make([]string, len(p.Transforms))
	for i, t := range p.Transforms {
		names[i] = t.String()
	}
	return p.Protocol.String() + ":" + strings.Join(names, "/")
}

// Weak names the algorithms on offer that no longer protect, in words for
// people; nil if there is none. One strong alternative beside them does not
// help: whoever chooses may choose the weak one.
func (p Proposal) Weak() []string { return weak(p.Transforms) }

func weak(transforms []Transform) []string {
	var words []string
	for _, t := range transforms {
		w := weakness[Transform{Type: t.Type, ID: t.ID}]
		if w != "" && !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return words
}

var weakness = map[Transform]string{
	{Type: TypeEncr, ID: Encr3DES}:          "3DES encryption: its 64-bit blocks repeat within some gigabytes and then betray what was sent",
	{Type: TypePRF, ID: PRFHMACSHA1}:        "key derivation with SHA-1, a broken hash function that is being withdrawn",
	{Type: TypeInteg, ID: IntegHMACSHA1_96}: "integrity protection with SHA-1, a broken hash function that is being withdrawn",
	{Type: TypeKE, ID: KEMODP1024}:          "key exchange with a 1024-bit group (MODP-1024), which a well-funded listener can break",
}

// of lists the transforms of one type in order of preference.
func (p Proposal) of(t Type) []Transform {
	var list []Transform
	for _, x := range p.Transforms {
		if x.Type == t {
			list = append(list, x)
		}
	}
	return list
}

// KEs lists the key exchange methods on offer in order of preference, without NONE.
func (p Proposal) KEs() []ID {
	var ids []ID
	for _, t := range p.Transforms {
		if t.Type == TypeKE && t.ID != KENone {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// WithKE returns those of the proposals that bring a key exchange, which then
// cannot be done without; where none does, all of them with the built-in
// methods (perfect forward secrecy of Child SAs).
func WithKE(list []Proposal) []Proposal {
	var out []Proposal
	for _, p := range list {
		if len(p.KEs()) > 0 {
			p.Transforms = slices.DeleteFunc(slices.Clone(p.Transforms), func(t Transform) bool { return t.Type == TypeKE && t.ID == KENone })
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		for _, p := range list {
			p.Transforms = slices.Clone(p.Transforms)
			for _, id := range DefaultESP()[0].KEs() {
				p.Transforms = append(p.Transforms, Transform{Type: TypeKE, ID: id})
			}
			out = append(out, p)
		}
	}
	for i := range out {
		out[i].Number = uint8(i + 1)
	}
	return out
}

// WithoutKE returns p without its key exchange methods: the first Child SA,
// which IKE_AUTH makes, has none of its own (RFC 7296, section 1.2).
func (p Proposal) WithoutKE() Proposal {
	p.Transforms = slices.DeleteFunc(slices.Clone(p.Transforms), func(t Transform) bool { return t.Type == TypeKE || t.Type.additional() })
	return p
}

// WithoutKE returns the proposals without key exchange methods, each once, and
// numbered anew from 1.
func WithoutKE(list []Proposal) []Proposal {
	var out []Proposal
	for _, p := range list {
		p = p.WithoutKE()
		if !slices.ContainsFunc(out, func(q Proposal) bool {
			return p.Protocol == q.Protocol && slices.Equal(p.Transforms, q.Transforms)
		}) {
			out = append(out, p)
		}
	}
	return number(out)
}

// number numbers proposals from 1, as RFC 7296, section 3.3.1 wants them.
func number(list []Proposal) []Proposal {
	for i := range list {
		list[i].Number = uint8(i + 1)
	}
	return list
}

// The defaults, in two proposals each because an AEAD cannot share one with
// other ciphers (RFC 7296, section 3.3).
const (
	defaultGroups = "-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048"
	defaultAEAD   = "aes256gcm16-aes128gcm16-chacha20poly1305"
	defaultCBC    = "aes256-aes128-sha256-sha384-sha512"
)

// DefaultIKE returns what we offer and accept for an IKE SA when the profile
// says nothing: ML-KEM after the first key exchange (RFC 9370), or for a peer
// that does not know it that alone. The first key exchange method is the one to guess.
func DefaultIKE() []Proposal {
	return Hybrid(classicalIKE())
}

func classicalIKE() []Proposal {
	return mustParse(ProtoIKE, defaultAEAD+"-prfsha384-prfsha256-prfsha512"+defaultGroups, defaultCBC+defaultGroups)
}

// DefaultESP returns what we offer and accept for a Child SA when the profile
// says nothing: extended sequence numbers where the peer has them, and a fresh
// key exchange at each rekey, or several as in DefaultIKE, unless the peer does
// without. IKE_AUTH offers WithoutKE of it.
func DefaultESP() []Proposal {
	return Hybrid(classicalESP())
}

func classicalESP() []Proposal {
	aead, cbc := defaultAEAD+"-esn-noesn", defaultCBC+"-esn-noesn"
	return mustParse(ProtoESP, aead+defaultGroups, cbc+defaultGroups, aead, cbc)
}

// mustParse parses our own constants.
func mustParse(p Protocol, keywords ...string) []Proposal {
	list, err := ParseProposals(p, keywords)
	if err != nil {
		panic(err)
	}
	return list
}
