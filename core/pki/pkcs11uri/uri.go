// Package pkcs11uri reads and writes the URIs that name what lies on a smart
// card or token (RFC 7512), as far as they name tokens, certificates and keys.
// What would have a profile say how to get there, it refuses: which module is
// loaded is for the machine's administrator to say, and a PIN is a secret.
package pkcs11uri

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A URI names a token, an object on it, or both. What is empty matches all.
type URI struct {
	Token        string // label
	Manufacturer string
	Model        string
	Serial       string
	Slot         *uint64 // slot-id
	// SlotDescription and SlotManufacturer are of the reader.
	SlotDescription, SlotManufacturer string

	Object string // CKA_LABEL
	ID     []byte // CKA_ID
	Type   string // "cert", "private", "public" or "data"
}

// The bounds of a URI.
const (
	maxURI   = 1024
	maxValue = 255
)

// Scheme begins every URI.
const Scheme = "pkcs11:"

// Errors that callers test.
var (
	// ErrScheme says that a text is no PKCS #11 URI.
	ErrScheme = errors.New("it does not begin with \"pkcs11:\"")
	// ErrForbidden is wrapped by the refusal of attributes that a profile may not
	// have.
	ErrForbidden = errors.New("is not allowed here")
)

// forbidden are the attributes that are known and refused.
var forbidden = map[string]string{
	"pin-value":   "the PIN is a secret and not part of a name; it is asked for, or stored among the secrets",
	"pin-source":  "nothing is run or opened because a name says so; the PIN is asked for, or stored among the secrets",
	"module-name": "which modules are loaded is set for the service (sallyportd run --pkcs11-module)",
	"module-path": "which modules are loaded is set for the service (sallyportd run --pkcs11-module)",
}

// Is reports whether a text is meant as a URI of this kind.
func Is(s string) bool {
	return len(s) >= len(Scheme) && strings.EqualFold(s[:len(Scheme)], Scheme)
}

// Parse reads a URI (RFC 7512, section 2.3). Attributes that are not known are
// refused: they would have to match, and nobody here could say whether they do.
func Parse(s string) (URI, error) {
	var u URI
	fail := func(format string, args ...any) (URI, error) {
		return URI{}, fmt.Errorf("pkcs11uri: "+format, args...)
	}
	if !Is(s) {
		return fail("%w", ErrScheme)
	}
	if len(s) > maxURI {
		return fail("longer than %d bytes", maxURI)
	}
	path, query, hasQuery := strings.Cut(s[len(Scheme):], "?")
	seen := map[string]bool{}
	attribute := func(pair string) error {
		name, raw, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return fmt.Errorf("pkcs11uri: %q is no attribute; one is written as name=value", pair)
		}
		if why := forbidden[name]; why != "" {
			return fmt.Errorf("pkcs11uri: %s %w: %s", name, ErrForbidden, why)
		}
		if seen[name] {
			return fmt.Errorf("pkcs11uri: %s is there twice", name)
		}
		seen[name] = true
		value, err := decode(raw)
		if err != nil {
			return fmt.Errorf("pkcs11uri: %s: %w", name, err)
		}
		return u.set(name, value)
	}
	if path != "" {
		for pair := range strings.SplitSeq(path, ";") {
			if err := attribute(pair); err != nil {
				return URI{}, err
			}
		}
	}
	if hasQuery {
		for pair := range strings.SplitSeq(query, "&") {
			name, _, _ := strings.Cut(pair, "=")
			if why := forbidden[name]; why != "" {
				return fail("%s %w: %s", name, ErrForbidden, why)
			}
			return fail("%q is not known", name)
		}
	}
	return u, nil
}

// set notes the value of one attribute.
func (u *URI) set(name string, value []byte) error {
	text := map[string]*string{
		"token": &u.Token, "manufacturer": &u.Manufacturer, "model": &u.Model, "serial": &u.Serial,
		"slot-description": &u.SlotDescription, "slot-manufacturer": &u.SlotManufacturer, "object": &u.Object, "type": &u.Type,
	}[name]
	switch {
	case name == "id":
		u.ID = value
		if len(value) == 0 {
			return errors.New("pkcs11uri: id is empty")
		}
		return nil
	case name == "slot-id":
		s := string(value)
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil || s != strconv.FormatUint(n, 10) {
			return errors.New("pkcs11uri: slot-id is not a number")
		}
		u.Slot = &n
		return nil
	case text == nil:
		return fmt.Errorf("pkcs11uri: the attribute %q is not known", name)
	}
	if !utf8.Valid(value) || bytes.IndexFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		return fmt.Errorf("pkcs11uri: %s is not text", name)
	}
	*text = string(value) // an empty one is what some programs write for "any"
	if name == "type" {
		switch u.Type {
		case "cert", "private", "public", "data":
		default:
			return fmt.Errorf("pkcs11uri: there is no type %q; certificates are \"cert\", private keys \"private\"", u.Type)
		}
	}
	return nil
}

// String writes the URI, its attributes in the order of the struct.
func (u URI) String() string {
	b := []byte(Scheme)
	add := func(name string, value []byte, always bool) {
		if len(value) == 0 {
			return
		}
		if len(b) > len(Scheme) {
			b = append(b, ';')
		}
		b = append(append(b, name...), '=')
		b = encode(b, value, always)
	}
	add("token", []byte(u.Token), false)
	add("manufacturer", []byte(u.Manufacturer), false)
	add("model", []byte(u.Model), false)
	add("serial", []byte(u.Serial), false)
	if u.Slot != nil {
		add("slot-id", strconv.AppendUint(nil, *u.Slot, 10), false)
	}
	add("slot-description", []byte(u.SlotDescription), false)
	add("slot-manufacturer", []byte(u.SlotManufacturer), false)
	add("object", []byte(u.Object), false)
	add("id", u.ID, true)
	add("type", []byte(u.Type), false)
	return string(b)
}

// Equal reports whether two URIs say the same.
func (u URI) Equal(o URI) bool { return u.String() == o.String() }

// decode undoes percent-encoding, and refuses what has to be encoded.
func decode(s string) ([]byte, error) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) {
				return nil, errors.New("the percent sign is not followed by two hexadecimal digits")
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return nil, errors.New("the percent sign is not followed by two hexadecimal digits")
			}
			out = append(out, byte(n))
			i += 2
		case plain(c):
			out = append(out, c)
		default:
			return nil, fmt.Errorf("%q has to be written as %%%02X", c, c)
		}
	}
	if len(out) > maxValue {
		return nil, fmt.Errorf("longer than %d bytes", maxValue)
	}
	return out, nil
}

// plain reports whether a byte of a value stands for itself: pk11-pchar of RFC
// 7512, section 2.3, without the percent sign.
func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~:[]@!$'()*+,=&", c) >= 0
}

// encode appends a value; always encodes each byte, as is usual for binary ones.
func encode(b, value []byte, always bool) []byte {
	for _, c := range value {
		if plain(c) && !always {
			b = append(b, c)
			continue
		}
		b = fmt.Appendf(b, "%%%02X", c)
	}
	return b
}
