package auth

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestParseIdentity(t *testing.T) {
	dn := mustDN(t, "C=CH, O=Lab, CN=x")
	for _, tt := range []struct {
		in   string
		want Identity
		str  string
	}{
		{"", Identity{}, "%any"},
		{"%any", Identity{}, "%any"},
		{"0.0.0.0", Identity{}, "%any"},
		{"::", Identity{}, "%any"},
		{"192.0.2.1", Identity{IDIPv4, []byte{192, 0, 2, 1}}, "192.0.2.1"},
		{"ipv4:0.0.0.0", Identity{IDIPv4, make([]byte, 4)}, "ipv4:0.0.0.0"},
		{"ipv4:#c0000201", Identity{IDIPv4, []byte{192, 0, 2, 1}}, "192.0.2.1"},
		{"2001:db8::1", FromAddr(netip.MustParseAddr("2001:db8::1")), "2001:db8::1"},
		{"ipv6:::ffff:192.0.2.1", Identity{IDIPv6, netip.MustParseAddr("::ffff:192.0.2.1").AsSlice()}, "ipv6:::ffff:192.0.2.1"},
		{"vpn.example.com", Identity{IDFQDN, []byte("vpn.example.com")}, "vpn.example.com"},
		{"@vpn.example.com", Identity{IDFQDN, []byte("vpn.example.com")}, "vpn.example.com"},
		{"@192.0.2.1", Identity{IDFQDN, []byte("192.0.2.1")}, "fqdn:192.0.2.1"},
		{"dns:a=b", Identity{IDFQDN, []byte("a=b")}, "fqdn:a=b"},
		{"*.example.com", Identity{IDFQDN, []byte("*.example.com")}, "*.example.com"},
		{"carol@example.com", Identity{IDRFC822, []byte("carol@example.com")}, "carol@example.com"},
		{"@@carol", Identity{IDRFC822, []byte("carol")}, "email:carol"},
		{"@#6b6579", Identity{IDKeyID, []byte("key")}, "keyid:key"},
		{"keyid:key", Identity{IDKeyID, []byte("key")}, "keyid:key"},
		{"@#00ff", Identity{IDKeyID, []byte{0, 0xff}}, "keyid:#00ff"},
		{"keyid:#23", Identity{IDKeyID, []byte("#")}, "keyid:#23"},
		{"fe:ed", Identity{IDKeyID, []byte("fe:ed")}, "keyid:fe:ed"},
		{"{11}:key", Identity{IDKeyID, []byte("key")}, "keyid:key"},
		{"{2}:#61", Identity{IDFQDN, []byte("a")}, "a"},
		{"asn1gn:#8203616263", Identity{IDGN, []byte("\x82\x03abc")}, "asn1gn:#8203616263"},
		{"C=CH, O=Lab, CN=x", dn, "C=CH, O=Lab, CN=x"},
		{"c=CH,o=Lab,cn=x", dn, "C=CH, O=Lab, CN=x"},
		{"/C=CH/O=Lab/CN=x", dn, "C=CH, O=Lab, CN=x"},
		{"asn1dn:C=CH, O=Lab, CN=x", dn, "C=CH, O=Lab, CN=x"},
		{"asn1dn:#" + hex.EncodeToString(dn.Data), dn, "C=CH, O=Lab, CN=x"},
		{`O="Lab, Inc.", CN=*`, mustDN(t, `O="Lab, Inc.", CN=*`), `O="Lab, Inc.", CN=*`},
		{`CN="a \"b\" \\ c"`, mustDN(t, `CN="a \"b\" \\ c"`), `CN="a \"b\" \\ c"`},
		{"1.2.3.4=x", mustDN(t, "1.2.3.4=x"), "1.2.3.4=x"},
		{"CN=Zoë, E=z@example.com", mustDN(t, "CN=Zoë, E=z@example.com"), "CN=Zoë, E=z@example.com"},
	} {
		got, err := ParseIdentity(tt.in)
		if err != nil {
			t.Errorf("ParseIdentity(%q): %v", tt.in, err)
			continue
		}
		if got.Type != tt.want.Type || !bytes.Equal(got.Data, tt.want.Data) {
			t.Errorf("ParseIdentity(%q) = %v %x, want %v %x", tt.in, got.Type, got.Data, tt.want.Type, tt.want.Data)
		}
		if got.String() != tt.str {
			t.Errorf("ParseIdentity(%q).String() = %q, want %q", tt.in, got, tt.str)
		}
	}
}

func TestParseIdentityErrors(t *testing.T) {
	for _, in := range []string{
		"C=CH, XX=Lab", "CN=a, ", "CN=a,,O=b", "=", `CN="a`, `CN="a"b`, "CN=\xff", "1..2=x",
		"10.0.0.0/8", "2001:db8::/32", "ipv4:2001:db8::1", "ipv6:192.0.2.1", "ipv4:#c000", "ipv4:x",
		"keyid:", "@", "@@", "@#", "@#0", "@#zz", "fqdn:a b", "fqdn:a\x00b", "{0}:x", "{300}:x", "{77}:x",
		"asn1dn:#3003", "fqdn:fe80 1", strings.Repeat("a", 256), "keyid:" + strings.Repeat("a", 5000), strings.Repeat("CN=a,", 64) + "CN=a",
	} {
		if id, err := ParseIdentity(in); err == nil {
			t.Errorf("ParseIdentity(%q) = %v %q, want an error", in, id.Type, id)
		} else if err != nil && !errors.Is(err, ErrIdentity) {
			t.Errorf("ParseIdentity(%q): %v does not wrap ErrIdentity", in, err)
		}
	}
}

func TestPayload(t *testing.T) {
	id := Identity{IDFQDN, []byte("gw")}
	b := id.AppendTo([]byte{0xaa})
	if want := []byte{0xaa, 2, 0, 0, 0, 'g', 'w'}; !bytes.Equal(b, want) {
		t.Fatalf("AppendTo = %x, want %x", b, want)
	}
	b[2] = 7 // reserved: ignored
	got, err := ParsePayload(b[1:])
	if err != nil || !got.Equal(id) {
		t.Fatalf("ParsePayload = %v, %v", got, err)
	}
	for _, bad := range [][]byte{nil, {2, 0, 0}, {2, 0, 0, 0}, {0, 0, 0, 0, 'x'}, {1, 0, 0, 0, 1, 2, 3}, {5, 0, 0, 0, 1}, {9, 0, 0, 0, 0x30, 1},
		{2, 0, 0, 0, 'a', 0}, {3, 0, 0, 0, 'a', '\n'}, {4, 0, 0, 0, 1}, {255, 0, 0, 0, 1}, {11, 0, 0, 0}} {
		if id, err := ParsePayload(bad); err == nil {
			t.Errorf("ParsePayload(%x) = %v, want an error", bad, id)
		}
	}
}

func TestEqualAndMatches(t *testing.T) {
	for _, tt := range []struct {
		id, pattern    string
		equal, matches bool
	}{
		{"vpn.example.com", "VPN.example.COM", true, true},
		{"vpn.example.com", "%any", false, true},
		{"vpn.example.com", "*.example.com", false, true},
		{"a.b.example.com", "*.example.com", false, true},
		{"example.com", "*.example.com", false, false},
		{".example.com", "*.example.com", false, false},
		{"evilexample.com", "*.example.com", false, false},
		{"vpn.example.com.evil.net", "*.example.com", false, false},
		{"*.example.com", "vpn.example.com", false, false},
		{"carol@example.com", "carol@EXAMPLE.com", true, true},
		{"Carol@example.com", "carol@example.com", false, false},
		{"carol@example.com", "*@example.com", false, true},
		{"carol@evil.com", "*@example.com", false, false},
		{"carol@example.com", "*.com", false, false}, // another type
		{"192.0.2.1", "192.0.2.1", true, true},
		{"192.0.2.1", "@192.0.2.1", false, false},
		{"192.0.2.1", "ipv6:::ffff:192.0.2.1", false, false},
		{"C=CH, O=Lab, CN=x", "C=ch, O=LAB, CN=X", true, true},
		{"C=CH, O=Lab, CN=x", "C=CH, O=  Lab , CN=x", true, true},
		{"C=CH, O=Lab, CN=x", "C=CH, O=Lab, CN=*", false, true},
		{"C=CH, O=Lab, CN=x", "C=CH, O=*, CN=*", false, true},
		{"C=CH, O=Lab, CN=*", "C=CH, O=Lab, CN=x", false, false},
		{"C=CH, O=Lab, CN=x", "C=CH, CN=*", false, false},
		{"C=CH, O=Lab, CN=x", "O=Lab, C=CH, CN=*", false, false},
		{"C=CH, O=Lab, CN=x, CN=y", "C=CH, O=Lab, CN=*", false, false},
		{"CN=k", "CN=\u212a", false, false}, // the Kelvin sign is no k
		{"keyid:abc", "keyid:ABC", false, false},
		{"%any", "vpn.example.com", false, false},
	} {
		id, pattern := mustID(t, tt.id), mustID(t, tt.pattern)
		if id.Equal(pattern) != tt.equal || pattern.Equal(id) != tt.equal {
			t.Errorf("Equal(%q, %q) is not %v both ways", tt.id, tt.pattern, tt.equal)
		}
		if id.Matches(pattern) != tt.matches {
			t.Errorf("Matches(%q, %q) is not %v", tt.id, tt.pattern, tt.matches)
		}
	}
}

// String types do not count, and neither does the order within a set.
func TestDNEncodings(t *testing.T) {
	mk := func(tags ...int) Identity {
		var seq pkix.RDNSequence
		for i, tag := range tags {
			b := []byte("Lab")
			if tag == asn1.TagBMPString {
				b = []byte("\x00L\x00a\x00b")
			}
			seq = append(seq, pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 5, 4, 10 + i}, Value: asn1.RawValue{Tag: tag, Bytes: b}}})
		}
		der, err := asn1.Marshal(seq)
		if err != nil {
			t.Fatal(err)
		}
		return FromDN(der)
	}
	want := mk(asn1.TagPrintableString, asn1.TagUTF8String)
	for _, tag := range []int{asn1.TagUTF8String, asn1.TagT61String, asn1.TagBMPString, asn1.TagIA5String} {
		if got := mk(tag, tag); !got.Equal(want) {
			t.Errorf("string type %d: %v is not %v", tag, got, want)
		}
	}
	if mk(asn1.TagBitString, asn1.TagUTF8String).Equal(want) {
		t.Error("a BIT STRING equals text")
	}

	set := func(order ...int) Identity {
		atvs := []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "a"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: "b"}}
		b := []byte{}
		for _, i := range order {
			der, _ := asn1.Marshal(atvs[i])
			b = append(b, der...)
		}
		der, _ := asn1.Marshal(asn1.RawValue{Tag: 16, IsCompound: true, Bytes: append([]byte{0x31, byte(len(b))}, b...)})
		return FromDN(der)
	}
	if !set(0, 1).Equal(set(1, 0)) || set(0, 1).Equal(set(0, 0)) {
		t.Error("multi-valued relative names are not compared as sets")
	}
	if s := set(0, 1).String(); !strings.HasPrefix(s, "asn1dn:#") {
		t.Errorf("multi-valued relative name is written %q, which would read back differently", s)
	}
}

func FuzzParseIdentity(f *testing.F) {
	for _, s := range []string{"", "%any", "192.0.2.1", "::1", "vpn.example.com", "*.example.com", "a@b.c", "@@x", "@x", "@#00ff",
		"C=CH, O=Lab, CN=x", "/C=CH/CN=x y", `CN="a, b", O=x`, "keyid:#23", "{9}:#3000", "asn1gn:#00", "1.2.840.113549=x", "CN=a=b", "ipv6:::ffff:1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseIdentity(s)
		if err != nil {
			return
		}
		back, err := ParseIdentity(id.String())
		if err != nil || !back.Equal(id) && !(back.IsAny() && id.IsAny()) {
			t.Fatalf("%q parses to %v %x, written %q, which parses to %v %x, %v", s, id.Type, id.Data, id, back.Type, back.Data, err)
		}
		if !id.IsAny() && !id.Matches(id) {
			t.Fatalf("%q does not match itself", id)
		}
	})
}

func FuzzParsePayload(f *testing.F) {
	for _, s := range []string{"vpn.example.com", "192.0.2.1", "::1", "a@b.c", "@#00ff", "C=CH, O=Lab, CN=x", `CN="a, b", O=x`} {
		id, err := ParseIdentity(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(id.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := ParsePayload(b)
		if err != nil {
			return
		}
		if again, err := ParsePayload(id.AppendTo(nil)); err != nil || !again.Equal(id) || !id.Matches(id) {
			t.Fatalf("%x does not survive a round trip: %v", b, err)
		}
		back, err := ParseIdentity(id.String())
		if err != nil || !back.Equal(id) {
			t.Fatalf("%v %x is written %q, which parses to %v %x, %v", id.Type, id.Data, id, back.Type, back.Data, err)
		}
	})
}

func mustID(t *testing.T, s string) Identity {
	t.Helper()
	id, err := ParseIdentity(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func mustDN(t *testing.T, s string) Identity {
	t.Helper()
	der, err := encodeDN(s)
	if err != nil {
		t.Fatal(err)
	}
	return FromDN(der)
}
