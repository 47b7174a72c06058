package message

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"testing"

	"sallyport/core/transform"
	"sallyport/core/ts"
)

// parsers has the parser of each payload's body.
var parsers = map[string]func([]byte) (Payload, error){
	"SA":      func(b []byte) (Payload, error) { return pointer(ParseSA(b)) },
	"KE":      func(b []byte) (Payload, error) { return pointer(ParseKE(b)) },
	"IDi":     func(b []byte) (Payload, error) { return pointer(ParseID(PayloadIDi, b)) },
	"IDr":     func(b []byte) (Payload, error) { return pointer(ParseID(PayloadIDr, b)) },
	"CERT":    func(b []byte) (Payload, error) { return pointer(ParseCert(b)) },
	"CERTREQ": func(b []byte) (Payload, error) { return pointer(ParseCertReq(b)) },
	"AUTH":    func(b []byte) (Payload, error) { return pointer(ParseAuth(b)) },
	"Nonce":   func(b []byte) (Payload, error) { return pointer(ParseNonce(b)) },
	"N":       func(b []byte) (Payload, error) { return pointer(ParseNotify(b)) },
	"D":       func(b []byte) (Payload, error) { return pointer(ParseDelete(b)) },
	"V":       func(b []byte) (Payload, error) { return pointer(ParseVendorID(b)) },
	"TSi":     func(b []byte) (Payload, error) { return pointer(ParseTS(PayloadTSi, b)) },
	"TSr":     func(b []byte) (Payload, error) { return pointer(ParseTS(PayloadTSr, b)) },
	"SKF":     func(b []byte) (Payload, error) { return pointer(ParseFragment(PayloadSA, b)) },
	"CP":      func(b []byte) (Payload, error) { return pointer(ParseCP(b)) },
	"EAP":     func(b []byte) (Payload, error) { return pointer(ParseEAP(b)) },
}

func TestPayloads(t *testing.T) {
	tests := []struct {
		name, kind, in string
		want           Payload
	}{
		{"public value", "KE", "0013 0000 aabb", &KE{transform.KEECP256, []byte{0xaa, 0xbb}}},
		{"initiator", "IDi", "02 000000 61622e63", &ID{false, IDFQDN, [3]byte{}, []byte("ab.c")}},
		{"responder, reserved bytes kept", "IDr", "01 010203 c0000201", &ID{true, IDIPv4Addr, [3]byte{1, 2, 3}, []byte{192, 0, 2, 1}}},
		{"certificate", "CERT", "04 3082", &Cert{CertX509Signature, []byte{0x30, 0x82}}},
		{"any authority", "CERTREQ", "04", &CertReq{CertX509Signature, []byte{}}},
		{"signature", "AUTH", "0e 000000 0bcd", &Auth{AuthSignature, []byte{0x0b, 0xcd}}},
		{"nonce", "Nonce", "000102030405060708090a0b0c0d0e0f", &Nonce{[]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}},
		{"notify of the IKE SA", "N", "00 00 4006 aabb", &Notify{Kind: NotifyCookie, SPI: []byte{}, Data: []byte{0xaa, 0xbb}}},
		{"notify of a Child SA", "N", "03 04 4009 01020304", &Notify{transform.ProtoESP, NotifyRekeySA, []byte{1, 2, 3, 4}, []byte{}}},
		{"delete of the IKE SA", "D", "01 00 0000", &Delete{transform.ProtoIKE, nil}},
		{"delete of Child SAs", "D", "03 04 0002 01020304 05060708", &Delete{transform.ProtoESP, []uint32{0x01020304, 0x05060708}}},
		{"vendor", "V", "4578", &VendorID{[]byte("Ex")}},
		{"selectors", "TSi", "01 000000 07 06 0010 01bb 01bb 0a000000 0affffff",
			&TS{false, ts.List{{From: netip.MustParseAddr("10.0.0.0"), To: netip.MustParseAddr("10.255.255.255"), Protocol: 6, FromPort: 443, ToPort: 443}}}},
		{"no selectors", "TSr", "00 000000", &TS{true, nil}},
		{"fragment", "SKF", "0002 0003 aa", &Fragment{PayloadSA, 2, 3, []byte{0xaa}}},
		{"request", "CP", "01 000000 0001 0000 0003 0000", &CP{CFGRequest, []CPAttribute{{CPInternalIP4Address, []byte{}}, {CPInternalIP4DNS, []byte{}}}}},
		{"reply", "CP", "02 000000 0001 0004 0a000001 7000 0002 6869", &CP{CFGReply, []CPAttribute{{CPInternalIP4Address, []byte{10, 0, 0, 1}}, {0x7000, []byte("hi")}}}},
		{"EAP success", "EAP", "03 07 0004", &EAP{[]byte{3, 7, 0, 4}}},
		{"ESP proposal", "SA", "00 00 0020 01 03 04 02 c0ffee01  03 00 000c 01 00 0014 800e 0080  00 00 0008 05 00 0000",
			NewSA(transform.Proposal{Protocol: transform.ProtoESP, SPI: []byte{0xc0, 0xff, 0xee, 1}, Transforms: []transform.Transform{
				{Type: transform.TypeEncr, ID: transform.EncrAESGCM16, KeyBits: 128}, {Type: transform.TypeESN, ID: transform.ESNNo}}})},
		{"no transforms", "SA", "00 00 0008 01 01 00 00", &SA{[]Proposal{{Number: 1, Protocol: transform.ProtoIKE, SPI: []byte{}}}}},
	}
	for _, tt := range tests {
		t.Run(tt.kind+" "+tt.name, func(t *testing.T) {
			b := unhex(t, tt.in)
			got, err := parsers[tt.kind](b)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if name := got.Type().String(); name != tt.kind {
				t.Errorf("type: got %s", name)
			}
			for _, p := range []Payload{got, tt.want} {
				if again := p.AppendTo([]byte{0xee}); !bytes.Equal(again, append([]byte{0xee}, b...)) {
					t.Errorf("written as %x, want %x", again[1:], b)
				}
			}
		})
	}
}

func TestPayloadErrors(t *testing.T) {
	tests := []struct {
		name, kind, in string
		want           error
	}{
		{"cut", "KE", "001f00", ErrShort},
		{"cut", "IDi", "020000", ErrShort},
		{"cut", "CERT", "", ErrShort},
		{"cut", "CERTREQ", "", ErrShort},
		{"cut", "AUTH", "0e0000", ErrShort},
		{"too small", "Nonce", "000102030405060708090a0b0c0d0e", ErrMalformed},
		{"too large", "Nonce", string(bytes.Repeat([]byte("ab"), MaxNonce+1)), ErrMalformed},
		{"cut", "N", "000040", ErrShort},
		{"SPI cut", "N", "03 04 4009 010203", ErrShort},
		{"cut", "D", "030400", ErrShort},
		{"IKE with SPI", "D", "01 08 0001 0102030405060708", ErrMalformed},
		{"SPI of 8 bytes", "D", "03 08 0001 0102030405060708", ErrMalformed},
		{"SPIs missing", "D", "03 04 ffff 01020304", ErrMalformed},
		{"SPIs left over", "D", "03 04 0000 01020304", ErrMalformed},
		{"cut", "TSi", "01 000000 07", ErrMalformed},
		{"zero of zero", "SKF", "0000 0000", ErrMalformed},
		{"cut", "CP", "010000", ErrShort},
		{"attribute header cut", "CP", "01 000000 000100", ErrShort},
		{"attribute cut", "CP", "02 000000 0001 0004 0a0000", ErrShort},
		{"cut", "EAP", "010100", ErrShort},
		{"length", "EAP", "01 01 0006 01", ErrMalformed},
		{"empty", "SA", "", ErrShort},
		{"header cut", "SA", "00 00 0008 01 01 00", ErrShort},
		{"proposal length", "SA", "00 00 0007 01 01 00 00", ErrMalformed},
		{"proposal cut", "SA", "00 00 0009 01 01 00 00", ErrShort},
		{"more announced", "SA", "02 00 0008 01 01 00 00", ErrMalformed},
		{"more than announced", "SA", "00 00 0008 01 01 00 00 00 00 0008 02 01 00 00", ErrMalformed},
		{"SPI cut", "SA", "00 00 000a 01 03 04 00 0102", ErrShort},
		{"transform missing", "SA", "00 00 0008 01 01 00 01", ErrMalformed},
		{"transform too many", "SA", "00 00 0010 01 01 00 00 00 00 0008 02 00 0005", ErrMalformed},
		{"transform header cut", "SA", "00 00 000f 01 01 00 01 00 00 0007 02 00 00", ErrShort},
		{"transform length", "SA", "00 00 0010 01 01 00 01 00 00 0004 02 00 0005", ErrMalformed},
		{"last transform announces more", "SA", "00 00 0010 01 01 00 01 03 00 0008 02 00 0005", ErrMalformed},
		{"attribute header cut", "SA", "00 00 0012 01 01 00 01 00 00 000a 01 00 0014 800e", ErrShort},
		{"attribute cut", "SA", "00 00 0014 01 01 00 01 00 00 000c 01 00 0014 0001 0001", ErrShort},
	}
	for _, tt := range tests {
		t.Run(tt.kind+" "+tt.name, func(t *testing.T) {
			if got, err := parsers[tt.kind](unhex(t, tt.in)); !errors.Is(err, tt.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// TestOffers checks RFC 7296, section 3.3.6: what is not understood costs a
// transform or a proposal, never the message.
func TestOffers(t *testing.T) {
	const aes = "03 00 000c 01 00 0014 800e 0100"
	tests := []struct {
		name, in string
		want     int // transforms left; -1: the proposal is not offered
	}{
		{"understood", "00 00 001c 01 01 00 02" + aes + "00 00 0008 02 00 0005", 2},
		{"unknown ID", "00 00 001c 01 01 00 02" + aes + "00 00 0008 02 00 ffff", 2}, // for the selection to judge
		{"unknown type", "00 00 001c 01 01 00 02" + aes + "00 00 0008 0d 00 0023", -1},
		{"additional key exchange", "00 00 001c 01 01 00 02" + aes + "00 00 0008 06 00 0024", 2},
		{"type zero", "00 00 001c 01 01 00 02" + aes + "00 00 0008 00 00 0023", -1},
		{"unknown attribute beside a good one", "00 00 0020 01 01 00 02" + aes + "00 00 000c 01 00 0014 8001 0001", 1},
		{"unknown attribute alone", "00 00 0020 01 01 00 02" + aes + "00 00 000c 02 00 0005 8001 0001", -1},
		{"long attribute", "00 00 0021 01 01 00 02" + aes + "00 00 000d 02 00 0005 0001 0001 aa", -1},
		{"key length twice", "00 00 0018 01 01 00 01 00 00 0010 01 00 0014 800e 0100 800e 0080", -1},
		{"key length zero", "00 00 0014 01 01 00 01 00 00 000c 01 00 0014 800e 0000", -1},
		{"key length as long attribute", "00 00 0016 01 01 00 01 00 00 000e 01 00 0014 000e 0002 0100", -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := unhex(t, tt.in)
			sa, err := ParseSA(b)
			if err != nil {
				t.Fatal(err)
			}
			got := -1
			if offers := sa.Offers(); len(offers) == 1 {
				got = len(offers[0].Transforms)
			}
			if got != tt.want {
				t.Errorf("got %d transforms, want %d", got, tt.want)
			}
			if again := sa.AppendTo(nil); !bytes.Equal(again, b) {
				t.Errorf("written as %x", again)
			}
		})
	}
}

func TestNewSA(t *testing.T) {
	sa := NewSA(transform.Proposal{Protocol: transform.ProtoIKE}, transform.Proposal{Protocol: transform.ProtoIKE}, transform.Proposal{Number: 7})
	for i, want := range []uint8{1, 2, 7} {
		if got := sa.Proposals[i].Number; got != want {
			t.Errorf("proposal %d: got number %d", i, got)
		}
	}
}

func TestHashes(t *testing.T) {
	c := CertReq{CertX509Signature, make([]byte, 45)}
	if got := c.Hashes(); len(got) != 2 || len(got[1]) != 20 {
		t.Errorf("got %x", got)
	}
	c.Encoding = CertRawPublicKey
	if got := c.Hashes(); got != nil {
		t.Errorf("raw public key: got %x", got)
	}
}

func TestConfigurationAttributes(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	tests := []struct {
		attribute CPAttribute
		bytes     string
		addr      netip.Addr
		prefix    netip.Prefix
	}{
		{AddrAttribute(CPInternalIP4Address, addr("10.0.0.1")), "0a000001", addr("10.0.0.1"), netip.Prefix{}},
		{AddrAttribute(CPInternalIP4Netmask, addr("255.255.255.0")), "ffffff00", addr("255.255.255.0"), netip.Prefix{}},
		{AddrAttribute(CPInternalIP4DNS, netip.Addr{}), "", netip.Addr{}, netip.Prefix{}},
		{AddrAttribute(CPInternalIP6Address, addr("2001:db8::1")), "20010db8000000000000000000000001 80", addr("2001:db8::1"), prefix("2001:db8::1/128")},
		{PrefixAttribute(CPInternalIP6Address, prefix("2001:db8::1/64")), "20010db8000000000000000000000001 40", addr("2001:db8::1"), prefix("2001:db8::1/64")},
		{CPAttribute{CPInternalIP6Address, unhex(t, "20010db8000000000000000000000001")}, "20010db8000000000000000000000001", addr("2001:db8::1"), netip.Prefix{}},
		{AddrAttribute(CPInternalIP6DNS, addr("2001:db8::53")), "20010db8000000000000000000000053", addr("2001:db8::53"), netip.Prefix{}},
		{PrefixAttribute(CPInternalIP4Subnet, prefix("10.1.0.0/16")), "0a010000 ffff0000", netip.Addr{}, prefix("10.1.0.0/16")},
		{PrefixAttribute(CPInternalIP4Subnet, prefix("0.0.0.0/0")), "00000000 00000000", netip.Addr{}, prefix("0.0.0.0/0")},
		{PrefixAttribute(CPInternalIP6Subnet, prefix("2001:db8::/32")), "20010db8000000000000000000000000 20", netip.Addr{}, prefix("2001:db8::/32")},
		{CPAttribute{CPInternalIP4Subnet, unhex(t, "0a010203 ffff0000")}, "0a010203 ffff0000", netip.Addr{}, prefix("10.1.0.0/16")},
		{CPAttribute{CPInternalIP4Subnet, unhex(t, "0a010203 ff00ff00")}, "0a010203 ff00ff00", netip.Addr{}, netip.Prefix{}},
		{CPAttribute{CPInternalIP4Subnet, unhex(t, "0a010203")}, "0a010203", netip.Addr{}, netip.Prefix{}},
		{CPAttribute{CPInternalIP6Subnet, unhex(t, "20010db8000000000000000000000000 81")}, "20010db8000000000000000000000000 81", netip.Addr{}, netip.Prefix{}},
		{CPAttribute{CPInternalIP4Address, []byte{10, 0}}, "0a00", netip.Addr{}, netip.Prefix{}},
		{CPAttribute{CPApplicationVersion, []byte{10, 0, 0, 1}}, "0a000001", netip.Addr{}, netip.Prefix{}},
	}
	for _, tt := range tests {
		if want := unhex(t, tt.bytes); !bytes.Equal(tt.attribute.Value, want) {
			t.Errorf("%v: got %x, want %x", tt.attribute.Type, tt.attribute.Value, want)
		}
		if got, ok := tt.attribute.Addr(); got != tt.addr || ok != tt.addr.IsValid() {
			t.Errorf("%v %s: address %v, %v", tt.attribute.Type, tt.bytes, got, ok)
		}
		if got, ok := tt.attribute.Prefix(); got != tt.prefix || ok != tt.prefix.IsValid() {
			t.Errorf("%v %s: prefix %v, %v", tt.attribute.Type, tt.bytes, got, ok)
		}
	}
	if bits, ok := MaskBits(addr("255.255.255.255")); bits != 32 || !ok {
		t.Errorf("full mask: %d, %v", bits, ok)
	}
	if _, ok := MaskBits(addr("::")); ok {
		t.Error("an IPv6 address is a netmask")
	}
}

// fuzzPayload checks that a body is read the same again from what it was
// written as. Reserved bits are all that may differ between the two bodies.
func fuzzPayload(f *testing.F, parse func([]byte) (Payload, error), seeds ...string) {
	for _, seed := range seeds {
		f.Add(unhex(f, seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parse(b)
		if err != nil {
			return
		}
		// An empty body is to be nil if b is, for reflect tells them apart.
		encoded := p.AppendTo(b[len(b):len(b):len(b)])
		if _, skips := p.(*TS); len(encoded) != len(b) && !skips {
			t.Fatalf("%x reencoded as %x", b, encoded)
		}
		again, err := parse(encoded)
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%x reencoded as %x, parsed as %+v, %v", b, encoded, again, err)
		}
		if c, ok := p.(checker); ok {
			if err := c.check(); err != nil && len(b) <= 0xffff {
				t.Errorf("%x parses but may not be sent: %v", b, err)
			}
		}
	})
}

func FuzzSA(f *testing.F) {
	fuzzPayload(f, parsers["SA"],
		"00 00 0020 01 03 04 02 c0ffee01  03 00 000c 01 00 0014 800e 0080  00 00 0008 05 00 0000",
		"02 00 0008 01 01 00 00 00 00 0016 02 01 00 01 00 00 000e 01 00 0014 000e 0002 0100",
		"00 00 0018 01 01 00 01 00 00 0010 01 00 0014 800e 0100 8001 0080")
}

func FuzzKE(f *testing.F)  { fuzzPayload(f, parsers["KE"], "001f 0000 aabb") }
func FuzzIDi(f *testing.F) { fuzzPayload(f, parsers["IDi"], "02 000000 61622e63") }
func FuzzIDr(f *testing.F) { fuzzPayload(f, parsers["IDr"], "01 010203 c0000201") }

func FuzzCert(f *testing.F)    { fuzzPayload(f, parsers["CERT"], "04 3082") }
func FuzzCertReq(f *testing.F) { fuzzPayload(f, parsers["CERTREQ"], "04", "04 0102") }
func FuzzAuth(f *testing.F)    { fuzzPayload(f, parsers["AUTH"], "0e 000000 0bcd") }

func FuzzNonce(f *testing.F) {
	fuzzPayload(f, parsers["Nonce"], "000102030405060708090a0b0c0d0e0f")
}

func FuzzNotify(f *testing.F) {
	fuzzPayload(f, parsers["N"], "00 00 4006 aabb", "03 04 4009 01020304")
}

func FuzzDelete(f *testing.F) {
	fuzzPayload(f, parsers["D"], "01 00 0001", "03 04 0002 01020304 05060708", "02 04 0000")
}

func FuzzVendorID(f *testing.F) { fuzzPayload(f, parsers["V"], "4578", "") }

func FuzzTS(f *testing.F) {
	fuzzPayload(f, parsers["TSi"], "01 000000 07 06 0010 01bb 01bb 0a000000 0affffff",
		"02 000000 0a 00 000c 0000ffff 01020304 07 00 0010 0000 ffff 0a000000 0affffff")
}

func FuzzFragment(f *testing.F) { fuzzPayload(f, parsers["SKF"], "0002 0003 aa") }

func FuzzCP(f *testing.F) {
	fuzzPayload(f, parsers["CP"], "01 000000 0001 0000 0003 0000", "02 000000 8001 0004 0a000001",
		"02 000000 0008 0011 20010db8000000000000000000000001 40 000d 0008 0a010000 ffff0000")
}

func FuzzEAP(f *testing.F) { fuzzPayload(f, parsers["EAP"], "03 07 0004", "01 01 0006 01aa") }
