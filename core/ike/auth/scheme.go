package auth

import (
	"crypto"
	"fmt"
	"strings"

	// Registered for crypto.Hash.New.
	_ "crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha512"
)

// A Method is the authentication method of an AUTH payload (RFC 7296, section 3.8).
type Method = uint8

// The methods that Sallyport speaks.
const (
	MethodRSA              Method = 1  // RSASSA-PKCS1-v1_5, SHA-1 by custom
	MethodPSK              Method = 2  // shared key message integrity code
	MethodECDSA256         Method = 9  // P-256 with SHA-256 (RFC 4754)
	MethodECDSA384         Method = 10 // P-384 with SHA-384
	MethodECDSA521         Method = 11 // P-521 with SHA-512
	MethodDigitalSignature Method = 14 // RFC 7427
)

// The hash algorithms of SIGNATURE_HASH_ALGORITHMS (RFC 7427, section 4; RFC 8420).
const (
	HashSHA1     uint16 = 1
	HashSHA256   uint16 = 2
	HashSHA384   uint16 = 3
	HashSHA512   uint16 = 4
	HashIdentity uint16 = 5
)

// A Scheme is a signature algorithm with its hash.
type Scheme uint8

// The schemes. RSASHA1 exists for peers from before RFC 7427 alone.
const (
	RSAPSSSHA256 Scheme = iota + 1
	RSAPSSSHA384
	RSAPSSSHA512
	RSASHA256
	RSASHA384
	RSASHA512
	ECDSASHA256
	ECDSASHA384
	ECDSASHA512
	Ed25519
	RSASHA1
)

type family uint8

const (
	familyRSA family = iota + 1
	familyPSS
	familyECDSA
	familyEd25519
)

// schemes describes each scheme. The algorithm identifiers are the DER of
// RFC 7427, appendix A, RFC 8017 and RFC 8410: the first is what we send, all
// are what we take.
var schemes = [...]struct {
	name   string
	family family
	hash   crypto.Hash
	wire   uint16 // in SIGNATURE_HASH_ALGORITHMS
	algIDs []string
}{
	RSAPSSSHA256: {"rsa-pss-sha256", familyPSS, crypto.SHA256, HashSHA256, pssAlgIDs(1, 32)},
	RSAPSSSHA384: {"rsa-pss-sha384", familyPSS, crypto.SHA384, HashSHA384, pssAlgIDs(2, 48)},
	RSAPSSSHA512: {"rsa-pss-sha512", familyPSS, crypto.SHA512, HashSHA512, pssAlgIDs(3, 64)},
	RSASHA256:    {"rsa-sha256", familyRSA, crypto.SHA256, HashSHA256, pkcs1AlgID(11)},
	RSASHA384:    {"rsa-sha384", familyRSA, crypto.SHA384, HashSHA384, pkcs1AlgID(12)},
	RSASHA512:    {"rsa-sha512", familyRSA, crypto.SHA512, HashSHA512, pkcs1AlgID(13)},
	ECDSASHA256:  {"ecdsa-sha256", familyECDSA, crypto.SHA256, HashSHA256, ecdsaAlgID(2)},
	ECDSASHA384:  {"ecdsa-sha384", familyECDSA, crypto.SHA384, HashSHA384, ecdsaAlgID(3)},
	ECDSASHA512:  {"ecdsa-sha512", familyECDSA, crypto.SHA512, HashSHA512, ecdsaAlgID(4)},
	Ed25519:      {"ed25519", familyEd25519, 0, HashIdentity, []string{"\x30\x05\x06\x03\x2b\x65\x70"}},
	RSASHA1:      {"rsa-sha1", familyRSA, crypto.SHA1, HashSHA1, pkcs1AlgID(5)},
}

// The object identifiers below, with their tag and length.
const (
	oidPKCS1      = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01" // { pkcs-1 }, one arc to follow
	oidECDSASHA2  = "\x06\x08\x2a\x86\x48\xce\x3d\x04\x03"     // { ecdsa-with-SHA2 }, one arc to follow
	oidHash       = "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02" // { nistAlgorithms 2 }, one arc to follow
	arcMGF1       = "\x08"                                     // of { pkcs-1 }
	arcRSASSAPSS  = "\x0a"
	null          = "\x05\x00"
	trailerField1 = "\xa3\x03\x02\x01\x01"
)

// tlv returns a DER value; the content is shorter than 128 bytes.
func tlv(tag byte, content string) string {
	return string([]byte{tag, byte(len(content))}) + content
}

// pkcs1AlgID returns the identifier of { pkcs-1 arc } with its NULL parameters.
func pkcs1AlgID(arc byte) []string {
	return []string{tlv(0x30, oidPKCS1+string([]byte{arc})+null)}
}

// ecdsaAlgID returns the identifier of { ecdsa-with-SHA2 arc }, without parameters.
func ecdsaAlgID(arc byte) []string {
	return []string{tlv(0x30, oidECDSASHA2+string([]byte{arc}))}
}

// pssAlgIDs returns the identifiers of RSASSA-PSS with the hash
// { nistAlgorithms 2 arc }, MGF1 with the same hash and the given salt length.
// There are several: parameters of a hash may be NULL or absent (RFC 4055,
// section 2.1), and while DER leaves the default trailer field out, the
// examples of RFC 7427, appendix A.4, spell it out.
func pssAlgIDs(arc, salt byte) []string {
	oid := oidHash + string([]byte{arc})
	var ids []string
	for _, hash := range []string{tlv(0x30, oid+null), tlv(0x30, oid)} {
		for _, mgfHash := range []string{tlv(0x30, oid+null), tlv(0x30, oid)} {
			for _, trailer := range []string{"", trailerField1} {
				ids = append(ids, tlv(0x30, oidPKCS1+arcRSASSAPSS+tlv(0x30,
					tlv(0xa0, hash)+
						tlv(0xa1, tlv(0x30, oidPKCS1+arcMGF1+mgfHash))+
						tlv(0xa2, "\x02\x01"+string([]byte{salt}))+
						trailer)))
			}
		}
	}
	return ids
}

// ParseScheme parses a name as profiles write it: "rsa-pss-sha256",
// "ecdsa-sha384", "ed25519", "rsa-sha256", "rsa-sha1".
func ParseScheme(s string) (Scheme, error) {
	for i := range schemes {
		if i > 0 && strings.EqualFold(schemes[i].name, s) {
			return Scheme(i), nil
		}
	}
	return 0, fmt.Errorf("auth: unknown signature scheme %q (one of %s)", s, strings.Join(schemeNames(), ", "))
}

// ParseSchemes parses a list of names. No names mean nil: the defaults.
func ParseSchemes(names []string) ([]Scheme, error) {
	var list []Scheme
	for _, n := range names {
		s, err := ParseScheme(n)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func schemeNames() []string {
	var names []string
	for _, d := range schemes[1:] {
		names = append(names, d.name)
	}
	return names
}

// String returns the name that ParseScheme reads.
func (s Scheme) String() string {
	if s.valid() {
		return schemes[s].name
	}
	return fmt.Sprintf("Scheme(%d)", uint8(s))
}

// Weak reports whether the scheme deserves a warning: it signs a SHA-1 hash.
func (s Scheme) Weak() bool { return s == RSASHA1 }

func (s Scheme) valid() bool { return s > 0 && int(s) < len(schemes) }

// DefaultSchemes returns the schemes allowed where a profile names none, in
// order of preference. Without RFC 7427 an RSA key can only sign by method 1,
// which in the field means SHA-1 (Windows Server, older strongSwan): RSASHA1
// is therefore in the list for such a peer, last, and for no other. A caller
// warns when a scheme is Weak.
func DefaultSchemes(rfc7427 bool) []Scheme {
	list := []Scheme{
		RSAPSSSHA256, RSAPSSSHA384, RSAPSSSHA512, RSASHA256, RSASHA384, RSASHA512,
		ECDSASHA256, ECDSASHA384, ECDSASHA512, Ed25519,
	}
	if !rfc7427 {
		list = append(list, RSASHA1)
	}
	return list
}

// HashAlgorithms returns what to announce in SIGNATURE_HASH_ALGORITHMS for the
// schemes that we accept (nil: the defaults), strongest use first. SHA-1 is
// announced only when the list names it.
func HashAlgorithms(allowed []Scheme) []uint16 {
	if allowed == nil {
		allowed = DefaultSchemes(true)
	}
	var list []uint16
	seen := map[uint16]bool{}
	for _, s := range allowed {
		if s.valid() && !seen[schemes[s].wire] {
			seen[schemes[s].wire] = true
			list = append(list, schemes[s].wire)
		}
	}
	return list
}

// ParseHashAlgorithms parses the data of a SIGNATURE_HASH_ALGORITHMS notify.
// Unknown algorithms are kept; the result is never nil, for its presence says
// that the peer speaks RFC 7427.
func ParseHashAlgorithms(data []byte) ([]uint16, error) {
	if len(data)%2 != 0 {
		return nil, fmt.Errorf("auth: SIGNATURE_HASH_ALGORITHMS of %d bytes", len(data))
	}
	list := []uint16{}
	for ; len(data) > 0; data = data[2:] {
		list = append(list, uint16(data[0])<<8|uint16(data[1]))
	}
	return list, nil
}

// AppendHashAlgorithms appends the data of a SIGNATURE_HASH_ALGORITHMS notify.
func AppendHashAlgorithms(b []byte, list []uint16) []byte {
	for _, h := range list {
		b = append(b, byte(h>>8), byte(h))
	}
	return b
}
