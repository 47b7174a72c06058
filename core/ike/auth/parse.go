package auth

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// prefixes name the type of an identity where guessing would go wrong.
var prefixes = []struct {
	name string
	typ  IDType
}{
	{"ipv4:", IDIPv4}, {"ipv6:", IDIPv6},
	{"fqdn:", IDFQDN}, {"dns:", IDFQDN},
	{"email:", IDRFC822}, {"rfc822:", IDRFC822}, {"userfqdn:", IDRFC822},
	{"asn1dn:", IDDN}, {"asn1gn:", IDGN}, {"keyid:", IDKeyID},
}

// ParseIdentity parses an identity, or a pattern (see Matches), as people
// write them. It guesses by strongSwan's rules:
//
//	"", "%any", "*", "0.0.0.0", "::"   everyone
//	"C=CH, O=Lab, CN=x", "/C=CH/CN=x"  DER_ASN1_DN: there is a "="
//	"@#6b6579"                         KEY_ID, in hexadecimal
//	"@@user"                           RFC822_ADDR
//	"@gateway"                         FQDN
//	"user@example.com"                 RFC822_ADDR
//	"192.0.2.1", "2001:db8::1"         IPV4_ADDR, IPV6_ADDR
//	"vpn.example.com"                  FQDN
//	"fe:ed"                            KEY_ID: a colon, but no address
//
// A type in front decides instead of the guess: "ipv4:", "ipv6:", "fqdn:" or
// "dns:", "email:", "rfc822:" or "userfqdn:", "asn1dn:", "asn1gn:", "keyid:",
// "{11}:". If "#" follows it, the rest is the data in hexadecimal.
//
// It differs where strongSwan would hide a mistake: a DN that does not parse is
// an error, not a KEY_ID; an address behind "ipv4:" is one, not text; ranges
// and subnets, which no peer can be, are errors.
func ParseIdentity(s string) (Identity, error) {
	s = strings.TrimSpace(s)
	if len(s) > 2*maxIdentity+16 {
		return Identity{}, fmt.Errorf("auth: identity of %d characters: %w", len(s), ErrIdentity)
	}
	id, err := guess(s)
	if err == nil && !id.IsAny() {
		err = id.Check()
	}
	if err != nil {
		return Identity{}, fmt.Errorf("auth: identity %q: %w", s, err)
	}
	return id, nil
}

func guess(s string) (Identity, error) {
	if typ, rest, ok, err := cutPrefix(s); ok || err != nil {
		if err != nil {
			return Identity{}, err
		}
		return typed(typ, rest)
	}
	switch s {
	case "", "%any", "%any4", "%any6", "*", "0.0.0.0", "::", "0::0":
		return Identity{}, nil
	}
	switch at := strings.IndexByte(s, '@'); {
	case strings.Contains(s, "="):
		der, err := encodeDN(s)
		if err != nil {
			return Identity{}, fmt.Errorf("distinguished name: %v (write \"keyid:\" in front if it is none): %w", err, ErrIdentity)
		}
		return Identity{Type: IDDN, Data: der}, nil
	case strings.HasPrefix(s, "@#"):
		return typed(IDKeyID, s[1:])
	case strings.HasPrefix(s, "@@"):
		return Identity{Type: IDRFC822, Data: []byte(s[2:])}, nil
	case at == 0:
		return Identity{Type: IDFQDN, Data: []byte(s[1:])}, nil
	case at > 0:
		return Identity{Type: IDRFC822, Data: []byte(s)}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
		return FromAddr(a), nil
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return Identity{}, fmt.Errorf("a subnet is no identity: %w", ErrIdentity)
	}
	if strings.Contains(s, ":") {
		return Identity{Type: IDKeyID, Data: []byte(s)}, nil
	}
	return Identity{Type: IDFQDN, Data: []byte(s)}, nil
}

// cutPrefix splits a leading type off.
func cutPrefix(s string) (IDType, string, bool, error) {
	for _, p := range prefixes {
		if len(s) >= len(p.name) && strings.EqualFold(s[:len(p.name)], p.name) {
			return p.typ, s[len(p.name):], true, nil
		}
	}
	if num, rest, ok := strings.Cut(s, "}:"); ok && strings.HasPrefix(num, "{") {
		n, err := strconv.ParseUint(num[1:], 10, 8)
		if err != nil || n == 0 {
			return 0, "", false, fmt.Errorf("type %q}: %w", num, ErrIdentity)
		}
		return IDType(n), rest, true, nil
	}
	return 0, "", false, nil
}

// typed parses the text of an identity whose type is known.
func typed(typ IDType, s string) (Identity, error) {
	if h, ok := strings.CutPrefix(s, "#"); ok {
		data, err := hex.DecodeString(strings.ReplaceAll(h, ":", ""))
		if err != nil {
			return Identity{}, fmt.Errorf("not hexadecimal: %w", ErrIdentity)
		}
		return Identity{Type: typ, Data: data}, nil
	}
	switch typ {
	case IDIPv4, IDIPv6:
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || a.Is4() != (typ == IDIPv4) {
			return Identity{}, fmt.Errorf("no address of type %v: %w", typ, ErrIdentity)
		}
		return Identity{Type: typ, Data: a.AsSlice()}, nil
	case IDDN:
		der, err := encodeDN(s)
		if err != nil {
			return Identity{}, fmt.Errorf("distinguished name: %v: %w", err, ErrIdentity)
		}
		return Identity{Type: IDDN, Data: der}, nil
	}
	return Identity{Type: typ, Data: []byte(s)}, nil
}

// printable reports whether s can stand in a line of text: UTF-8 without
// control or format characters, not bordered by spaces.
func printable(s string) bool {
	return utf8.ValidString(s) && s == strings.TrimSpace(s) &&
		strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
