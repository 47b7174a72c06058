package auth

import (
	"encoding/asn1"
	"testing"
)

// TestKey: two identities have the same key exactly when they are equal.
func TestKey(t *testing.T) {
	var ids []Identity
	for _, s := range []string{"%any", "192.0.2.1", "192.0.2.2", "::1", "vpn.example.com", "VPN.example.com", "*.example.com",
		"a@b.c", "a@B.c", "A@b.c", "a@x@b.c", "keyid:#23", "C=CH, O=Lab, CN=x", "C=CH, O=LAB, CN=X", "C=CH, O=Lab,  CN=x y", "CN=x, O=Lab, C=CH",
		"C=CH, CN=x", "1.2.840.113549=x"} {
		ids = append(ids, mustID(t, s))
	}
	name := func(tag int, values ...string) Identity {
		var set []byte
		for _, v := range values {
			oid, _ := asn1.Marshal(asn1.ObjectIdentifier{2, 5, 4, 3})
			ava, _ := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: append(oid, append([]byte{byte(tag), byte(len(v))}, v...)...)})
			set = append(set, ava...)
		}
		rdn, _ := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: set})
		dn, _ := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: rdn})
		return FromDN(dn)
	}
	ids = append(ids, name(asn1.TagUTF8String, "x"), name(asn1.TagPrintableString, " X "), name(asn1.TagOctetString, "x"), name(asn1.TagOctetString, "X"),
		name(asn1.TagUTF8String, "x", "y"), name(asn1.TagUTF8String, "y", "x"), name(asn1.TagUTF8String, "x", "x"), name(asn1.TagBMPString, "\x00x"),
		FromDN([]byte("not DER")), FromDN([]byte("not der")))
	for _, a := range ids {
		for _, b := range ids {
			if got, want := a.Key() == b.Key(), a.Equal(b); got != want {
				t.Errorf("%v and %v: keys %q and %q, Equal %v", a, b, a.Key(), b.Key(), want)
			}
		}
	}
}

// FuzzKey holds Key against Equal.
func FuzzKey(f *testing.F) {
	f.Add("C=CH, CN=x", "c=ch, cn=X")
	f.Add("a@b.c", "a@B.c")
	f.Fuzz(func(t *testing.T, s, u string) {
		a, err := ParseIdentity(s)
		if err != nil {
			return
		}
		b, err := ParseIdentity(u)
		if err != nil {
			return
		}
		if got, want := a.Key() == b.Key(), a.Equal(b); got != want {
			t.Fatalf("%v and %v: keys %q and %q, Equal %v", a, b, a.Key(), b.Key(), want)
		}
	})
}
