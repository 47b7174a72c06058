package auth

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Key returns what identities that are Equal have in common, and no others, for
// tables of them. It is not for people.
func (id Identity) Key() string {
	b := []byte{byte(id.Type)}
	switch id.Type {
	case IDFQDN:
		return string(appendLower(b, string(id.Data)))
	case IDRFC822:
		if i := bytes.LastIndexByte(id.Data, '@'); i >= 0 {
			return string(appendLower(append(b, id.Data[:i]...), string(id.Data[i:])))
		}
	case IDDN:
		if dn, err := parseDN(id.Data); err == nil {
			return string(appendDN(append(b, 1), dn))
		}
		b = append(b, 0) // it is like none but itself
	}
	return string(append(b, id.Data...))
}

// appendDN writes the attributes as ava.equal compares them, those of one set in
// an order of their own.
func appendDN(b []byte, dn [][]ava) []byte {
	for _, rdn := range dn {
		var set []string
		for _, a := range rdn {
			s := appendCounted(nil, a.oid)
			if text, ok := a.text(); ok {
				s = appendCounted(append(s, 1), string(appendLower(nil, squeeze(text))))
			} else {
				s = appendCounted(append(s, 0), string(a.value.FullBytes))
			}
			set = append(set, string(s))
		}
		slices.Sort(set)
		b = binary.AppendUvarint(b, uint64(len(set)))
		for _, s := range set {
			b = append(b, s...)
		}
	}
	return b
}

func appendCounted(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendLower(b []byte, s string) []byte {
	for i := range len(s) {
		b = append(b, lower(s[i]))
	}
	return b
}
