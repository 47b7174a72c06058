// Package auth proves who a peer is: identities (RFC 7296, section 3.5), the
// octets that an AUTH payload covers (section 2.15), pre-shared keys, and
// signatures (sections 3.8; RFC 4754, RFC 7427, RFC 8420).
//
// Nothing here keeps state, reads a clock or trusts its input: everything that
// a peer sends is checked and bounded before use. Which certificates and names
// are believed is decided by package pki.
package auth

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// An IDType is the type of an identification (RFC 7296, section 3.5).
type IDType uint8

// The identification types. IDAny is not a type of the wire: it is the pattern
// that matches everyone, and the zero Identity.
const (
	IDAny    IDType = 0
	IDIPv4   IDType = 1
	IDFQDN   IDType = 2
	IDRFC822 IDType = 3
	IDIPv6   IDType = 5
	IDDN     IDType = 9
	IDGN     IDType = 10
	IDKeyID  IDType = 11
)

// String names the type as the RFC does, without the prefix "ID_".
func (t IDType) String() string {
	switch t {
	case IDAny:
		return "ANY"
	case IDIPv4:
		return "IPV4_ADDR"
	case IDFQDN:
		return "FQDN"
	case IDRFC822:
		return "RFC822_ADDR"
	case IDIPv6:
		return "IPV6_ADDR"
	case IDDN:
		return "DER_ASN1_DN"
	case IDGN:
		return "DER_ASN1_GN"
	case IDKeyID:
		return "KEY_ID"
	}
	return fmt.Sprintf("ID(%d)", uint8(t))
}

// An Identity is who an end of an IKE SA says it is, or a pattern for that.
// The zero value is "%any".
type Identity struct {
	Type IDType
	Data []byte // as on the wire: address bytes, text, or DER
}

// maxIdentity bounds the data of an identity: far above any real subject name.
const maxIdentity = 4096

// ErrIdentity is wrapped by every error about a malformed identity.
var ErrIdentity = errors.New("malformed identity")

// FromAddr returns the identity of an address.
func FromAddr(a netip.Addr) Identity {
	if a = a.Unmap().WithZone(""); a.Is4() {
		return Identity{Type: IDIPv4, Data: a.AsSlice()}
	}
	return Identity{Type: IDIPv6, Data: a.AsSlice()}
}

// FromDN returns the identity of a subject name in DER, as
// x509.Certificate.RawSubject holds it. The result aliases der.
func FromDN(der []byte) Identity { return Identity{Type: IDDN, Data: der} }

// IsAny reports whether the identity is the pattern "%any".
func (id Identity) IsAny() bool { return id.Type == IDAny }

// AppendTo appends the body of an IDi or IDr payload (RFC 7296, section 3.5):
// the octets that also enter the AUTH computation. "%any" has no such form; a
// caller sends no payload for it.
func (id Identity) AppendTo(b []byte) []byte {
	return append(append(b, byte(id.Type), 0, 0, 0), id.Data...)
}

// ParsePayload parses the body of an IDi or IDr payload and checks its data
// (see Check). The result aliases b.
func ParsePayload(b []byte) (Identity, error) {
	if len(b) < 4 {
		return Identity{}, fmt.Errorf("auth: identification payload of %d bytes: %w", len(b), ErrIdentity)
	}
	id := Identity{Type: IDType(b[0]), Data: b[4:]} // the reserved bytes are ignored on receipt
	return id, id.Check()
}

// Check reports whether the data is well formed for its type: an address of
// the right length, a name without control characters, a DN that is one.
// It accepts no "%any", which nobody can be.
func (id Identity) Check() error {
	bad := func(why string) error {
		return fmt.Errorf("auth: identity of type %v: %s: %w", id.Type, why, ErrIdentity)
	}
	if len(id.Data) > maxIdentity {
		return bad(fmt.Sprintf("%d bytes are too many", len(id.Data)))
	}
	switch id.Type {
	case IDIPv4:
		if len(id.Data) != 4 {
			return bad(fmt.Sprintf("%d bytes are no IPv4 address", len(id.Data)))
		}
	case IDIPv6:
		if len(id.Data) != 16 {
			return bad(fmt.Sprintf("%d bytes are no IPv6 address", len(id.Data)))
		}
	case IDFQDN:
		if len(id.Data) == 0 || len(id.Data) > 255 || !plainName(id.Data) {
			return bad("no host name")
		}
	case IDRFC822:
		if len(id.Data) == 0 || !plainName(id.Data) {
			return bad("no mail address")
		}
	case IDDN:
		if _, err := parseDN(id.Data); err != nil {
			return bad(err.Error())
		}
	case IDGN, IDKeyID:
		if len(id.Data) == 0 {
			return bad("empty")
		}
	default:
		return bad("unknown type")
	}
	return nil
}

// plainName reports whether b is printable ASCII or UTF-8 bytes above it,
// without spaces. A name that carries a NUL or a line break is an attack.
func plainName(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// Equal reports whether two identities name the same end: host names and the
// domain of mail addresses without regard to case, DNs by attribute without
// regard to ASCII case, spacing and string type (RFC 5280, section 7.1), all
// else byte for byte. Identities of different types are different.
func (id Identity) Equal(o Identity) bool {
	if id.Type != o.Type {
		return false
	}
	switch id.Type {
	case IDFQDN:
		return equalFold(id.Data, o.Data)
	case IDRFC822:
		return equalMail(id.Data, o.Data)
	case IDDN:
		return bytes.Equal(id.Data, o.Data) || matchDN(id.Data, o.Data, false)
	}
	return bytes.Equal(id.Data, o.Data)
}

// Matches reports whether the identity fits a pattern, as strongSwan
// understands them: "%any" fits all; "*.example.com" every name below
// example.com at any depth; "*@example.com" every mailbox there; and in a DN
// the value "*" fits any value of that attribute, with the same attributes in
// the same order.
//
// A pattern says who is wanted. Whether a certificate proves the identity is
// another question, with stricter wildcards, that package pki answers.
func (id Identity) Matches(pattern Identity) bool {
	if pattern.IsAny() {
		return true
	}
	if id.Type != pattern.Type {
		return false
	}
	switch id.Type {
	case IDFQDN, IDRFC822:
		if suffix, ok := bytes.CutPrefix(pattern.Data, []byte("*")); ok {
			n := len(id.Data) - len(suffix)
			return n > 0 && equalFold(id.Data[n:], suffix)
		}
	case IDDN:
		return matchDN(id.Data, pattern.Data, true)
	}
	return id.Equal(pattern)
}

func equalMail(a, b []byte) bool {
	i, j := bytes.LastIndexByte(a, '@'), bytes.LastIndexByte(b, '@')
	if i != j {
		return false
	}
	if i < 0 {
		return bytes.Equal(a, b)
	}
	return bytes.Equal(a[:i], b[:j]) && equalFold(a[i:], b[j:])
}

// equalFold compares without regard to ASCII case only: Unicode folding would
// make names equal that a certificate authority considers different.
func equalFold[T ~string | ~[]byte](a, b T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Addr returns the address of an identity of type IDIPv4 or IDIPv6.
func (id Identity) Addr() (netip.Addr, bool) {
	if id.Type != IDIPv4 && id.Type != IDIPv6 {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(id.Data)
}

// String returns the identity as ParseIdentity reads it: as it is where that
// is unambiguous, with the type in front where it is not, and in hexadecimal
// where it holds more than text.
func (id Identity) String() string {
	var s, prefix string
	switch id.Type {
	case IDAny:
		return "%any"
	case IDIPv4, IDIPv6:
		a, ok := id.Addr()
		if ok {
			s = a.String()
		}
		prefix = map[IDType]string{IDIPv4: "ipv4:", IDIPv6: "ipv6:"}[id.Type]
	case IDFQDN:
		s, prefix = string(id.Data), "fqdn:"
	case IDRFC822:
		s, prefix = string(id.Data), "email:"
	case IDDN:
		s, prefix = formatDN(id.Data), "asn1dn:"
	case IDGN:
		prefix = "asn1gn:"
	case IDKeyID:
		s, prefix = "keyid:"+string(id.Data), "keyid:"
	default:
		prefix = fmt.Sprintf("{%d}:", uint8(id.Type))
	}
	if s != "" && printable(s) {
		for _, t := range []string{s, prefix + strings.TrimPrefix(s, prefix)} {
			if p, err := ParseIdentity(t); err == nil && p.Equal(id) {
				return t
			}
		}
	}
	return fmt.Sprintf("%s#%x", prefix, id.Data)
}
