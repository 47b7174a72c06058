package auth

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxRDNs bounds the relative names of a DN.
const maxRDNs = 64

// An ava is an attribute of a DN: a type and its value.
type ava struct {
	oid   string // encoded, as it is in the DER
	value asn1.RawValue
}

// parseDN parses a Name (RFC 5280, section 4.1.2.4), strictly: nothing behind
// it, no empty relative name. The result aliases der.
func parseDN(der []byte) ([][]ava, error) {
	if len(der) > maxIdentity {
		return nil, errors.New("distinguished name is too long")
	}
	var seq asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &seq); err != nil || len(rest) > 0 || !isUniversal(seq, asn1.TagSequence, true) {
		return nil, errors.New("not a distinguished name in DER")
	}
	var dn [][]ava
	for rdns := seq.Bytes; len(rdns) > 0; {
		var set asn1.RawValue
		var err error
		if rdns, err = asn1.Unmarshal(rdns, &set); err != nil || !isUniversal(set, asn1.TagSet, true) || len(set.Bytes) == 0 {
			return nil, errors.New("malformed relative distinguished name")
		}
		var rdn []ava
		for avas := set.Bytes; len(avas) > 0; {
			var v struct {
				Type  asn1.RawValue
				Value asn1.RawValue
			}
			if avas, err = asn1.Unmarshal(avas, &v); err != nil || !isUniversal(v.Type, asn1.TagOID, false) || len(v.Type.Bytes) == 0 {
				return nil, errors.New("malformed attribute of a distinguished name")
			}
			rdn = append(rdn, ava{oid: string(v.Type.Bytes), value: v.Value})
		}
		if dn = append(dn, rdn); len(dn) > maxRDNs || len(rdn) > maxRDNs {
			return nil, errors.New("distinguished name has too many parts")
		}
	}
	return dn, nil
}

func isUniversal(v asn1.RawValue, tag int, compound bool) bool {
	return v.Class == asn1.ClassUniversal && v.Tag == tag && v.IsCompound == compound
}

// text returns the value as text when it is of a string type.
func (a ava) text() (string, bool) {
	if a.value.Class != asn1.ClassUniversal || a.value.IsCompound {
		return "", false
	}
	b := a.value.Bytes
	switch a.value.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagNumericString:
		return string(b), utf8.Valid(b)
	case asn1.TagT61String: // in the field it holds Latin-1
		r := make([]rune, len(b))
		for i, c := range b {
			r[i] = rune(c)
		}
		return string(r), true
	case asn1.TagBMPString:
		if len(b)%2 != 0 {
			return "", false
		}
		u := make([]uint16, len(b)/2)
		for i := range u {
			u[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
		}
		return string(utf16.Decode(u)), true
	}
	return "", false
}

// equal compares two attributes: text of any string type without regard to
// ASCII case and to the amount of white space, other values byte for byte.
func (a ava) equal(b ava) bool {
	if a.oid != b.oid {
		return false
	}
	s, ok := a.text()
	t, ok2 := b.text()
	if ok && ok2 {
		return equalFold(squeeze(s), squeeze(t))
	}
	return ok == ok2 && bytes.Equal(a.value.FullBytes, b.value.FullBytes)
}

// squeeze trims spaces and joins runs of them (RFC 4518, section 2.6.1).
func squeeze(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }), " ")
}

// matchDN compares two Names part by part. With wild, the value "*" in b fits
// any value. Neither compares equal when it does not parse.
func matchDN(a, b []byte, wild bool) bool {
	x, err := parseDN(a)
	if err != nil {
		return false
	}
	y, err := parseDN(b)
	if err != nil || len(x) != len(y) {
		return false
	}
	for i := range x {
		if !matchRDN(x[i], y[i], wild) {
			return false
		}
	}
	return true
}

// matchRDN compares two sets of attributes, whose order does not count.
func matchRDN(a, b []ava, wild bool) bool {
	if len(a) != len(b) {
		return false
	}
	used := make([]bool, len(a))
next:
	for _, p := range b {
		for i, v := range a {
			if t, ok := p.text(); !used[i] && (v.equal(p) || wild && ok && t == "*" && v.oid == p.oid) {
				used[i] = true
				continue next
			}
		}
		return false
	}
	return true
}

// An attribute is one that has a name; the first name of an OID is written,
// all are read.
type attribute struct {
	name string
	oid  asn1.ObjectIdentifier
	ia5  bool // its syntax is IA5String
}

// attributes are the names that strongSwan and OpenSSL write.
var attributes = []attribute{
	{"C", asn1.ObjectIdentifier{2, 5, 4, 6}, false},
	{"ST", asn1.ObjectIdentifier{2, 5, 4, 8}, false},
	{"L", asn1.ObjectIdentifier{2, 5, 4, 7}, false},
	{"O", asn1.ObjectIdentifier{2, 5, 4, 10}, false},
	{"OU", asn1.ObjectIdentifier{2, 5, 4, 11}, false},
	{"CN", asn1.ObjectIdentifier{2, 5, 4, 3}, false},
	{"E", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, true},
	{"Email", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, true},
	{"emailAddress", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, true},
	{"DC", asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, true},
	{"UID", asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, false},
	{"S", asn1.ObjectIdentifier{2, 5, 4, 4}, false},
	{"surname", asn1.ObjectIdentifier{2, 5, 4, 4}, false},
	{"SN", asn1.ObjectIdentifier{2, 5, 4, 5}, false},
	{"serialNumber", asn1.ObjectIdentifier{2, 5, 4, 5}, false},
	{"T", asn1.ObjectIdentifier{2, 5, 4, 12}, false},
	{"title", asn1.ObjectIdentifier{2, 5, 4, 12}, false},
	{"D", asn1.ObjectIdentifier{2, 5, 4, 13}, false},
	{"STREET", asn1.ObjectIdentifier{2, 5, 4, 9}, false},
	{"postalCode", asn1.ObjectIdentifier{2, 5, 4, 17}, false},
	{"N", asn1.ObjectIdentifier{2, 5, 4, 41}, false},
	{"G", asn1.ObjectIdentifier{2, 5, 4, 42}, false},
	{"GN", asn1.ObjectIdentifier{2, 5, 4, 42}, false},
	{"I", asn1.ObjectIdentifier{2, 5, 4, 43}, false},
	{"dnQualifier", asn1.ObjectIdentifier{2, 5, 4, 46}, false},
	{"ID", asn1.ObjectIdentifier{2, 5, 4, 45}, false},
	{"EN", asn1.ObjectIdentifier{2, 16, 840, 1, 113730, 3, 1, 3}, false},
	{"employeeNumber", asn1.ObjectIdentifier{2, 16, 840, 1, 113730, 3, 1, 3}, false},
	{"UN", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 2}, true},
	{"unstructuredName", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 2}, true},
}

// formatDN returns the readable form of a Name: "C=CH, O=Lab, CN=x". A value
// with separators in it is quoted. It is empty when the Name has no such form.
func formatDN(der []byte) string {
	dn, err := parseDN(der)
	if err != nil {
		return ""
	}
	var parts []string
	for _, rdn := range dn {
		if len(rdn) != 1 { // several attributes in one part: no notation that all would read alike
			return ""
		}
		v, ok := rdn[0].text()
		if !ok {
			return ""
		}
		parts = append(parts, attributeName(rdn[0].oid)+"="+quote(v))
	}
	return strings.Join(parts, ", ")
}

func attributeName(oid string) string {
	der := append([]byte{asn1.TagOID, byte(len(oid))}, oid...)
	var id asn1.ObjectIdentifier
	if len(oid) > 127 {
		return "?"
	}
	if _, err := asn1.Unmarshal(der, &id); err != nil {
		return "?" // reads back as nothing: the caller falls back to hexadecimal
	}
	for _, a := range attributes {
		if a.oid.Equal(id) {
			return a.name
		}
	}
	return id.String()
}

func quote(v string) string {
	if v != "" && v == strings.TrimSpace(v) && !strings.ContainsAny(v, `,/\"`) {
		return v
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
}

// encodeDN parses the readable form of a Name and returns its DER. Parts are
// separated by commas, or by slashes when the text begins with one. A value in
// double quotes may hold separators; in it, a backslash takes the next
// character as it is.
func encodeDN(s string) ([]byte, error) {
	sep := byte(',')
	if strings.HasPrefix(s, "/") {
		sep, s = '/', s[1:]
	}
	var seq []byte
	for n := 0; ; n++ {
		if n == maxRDNs {
			return nil, errors.New("too many parts")
		}
		typ, rest, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("no \"=\" in %q", s)
		}
		value, rest, more, err := cutValue(strings.TrimLeft(rest, " "), sep)
		if err != nil {
			return nil, err
		}
		rdn, err := encodeRDN(strings.TrimSpace(typ), value)
		if err != nil {
			return nil, err
		}
		if seq = append(seq, rdn...); len(seq) > maxIdentity-8 {
			return nil, errors.New("too long")
		}
		if s = rest; !more {
			break
		}
	}
	return asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: seq})
}

// cutValue splits the value of an attribute off, and reports whether a
// separator follows.
func cutValue(s string, sep byte) (value, rest string, more bool, err error) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, more = strings.Cut(s, string(sep))
		return strings.TrimRight(value, " "), rest, more, nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			rest = strings.TrimLeft(s[i+1:], " ")
			if rest != "" && rest[0] != sep {
				return "", "", false, fmt.Errorf("text behind the closing quote: %q", rest)
			}
			if rest == "" {
				return b.String(), "", false, nil
			}
			return b.String(), rest[1:], true, nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false, errors.New("a quote is not closed")
}

func encodeRDN(typ, value string) ([]byte, error) {
	oid, ia5, err := attributeOID(typ)
	if err != nil {
		return nil, err
	}
	if !utf8.ValidString(value) {
		return nil, fmt.Errorf("value of %s is not UTF-8", typ)
	}
	tag := asn1.TagUTF8String
	switch {
	case ia5 && isASCII(value):
		tag = asn1.TagIA5String
	case isPrintableString(value):
		tag = asn1.TagPrintableString
	}
	v, err := asn1.Marshal(struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}{oid, asn1.RawValue{Tag: tag, Bytes: []byte(value)}})
	if err != nil {
		return nil, fmt.Errorf("attribute %s: %w", typ, err)
	}
	return asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: v})
}

func attributeOID(typ string) (asn1.ObjectIdentifier, bool, error) {
	for _, a := range attributes {
		if strings.EqualFold(a.name, typ) {
			return a.oid, a.ia5, nil
		}
	}
	var oid asn1.ObjectIdentifier
	for arc := range strings.SplitSeq(typ, ".") {
		n := 0
		for _, c := range arc {
			if c < '0' || c > '9' || n > 1<<26 {
				return nil, false, fmt.Errorf("unknown attribute %q", typ)
			}
			n = 10*n + int(c-'0')
		}
		if arc == "" {
			return nil, false, fmt.Errorf("unknown attribute %q", typ)
		}
		oid = append(oid, n)
	}
	return oid, false, nil
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0
}

// isPrintableString reports whether a PrintableString can hold s (X.680, section 41).
func isPrintableString(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return false
		}
		return !strings.ContainsRune(" '()+,-./:=?", r)
	}) < 0
}
