package message

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"sallyport/core/transform"
	"sallyport/core/ts"
)

// unhex decodes hex digits with any white space.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	var b []byte
	for _, word := range strings.Fields(text) {
		part, err := hex.DecodeString(word)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, part...)
	}
	return b
}

// initRequest is a typical IKE_SA_INIT request: AES-GCM-16-256 or AES-CBC-256
// with HMAC-SHA2-256, key exchange X25519, the usual notifies, a vendor ID.
const initRequest = `
	0102030405060708 0000000000000000 21 20 22 08 00000000 00000109
	22 00 0058
	  02 00 0024 01 01 00 03
	    03 00 000c 01 00 0014 800e 0100
	    03 00 0008 02 00 0005
	    00 00 0008 04 00 001f
	  00 00 0030 02 01 00 04
	    03 00 000c 01 00 000c 800e 0100
	    03 00 0008 02 00 0005
	    03 00 0008 03 00 000c
	    00 00 000c 04 00 001f 800e 0000
	28 00 0028 001f 0000
	  a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf
	29 00 0014 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
	29 00 001c 00 00 4004 d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3
	2b 00 000e 00 00 402f 00020003 0004
	f9 00 0013 7661 6e64657220776173206865 7265
	00 80 001c 000102030405060708090a0b0c0d0e0f1011121314151617`

func TestParse(t *testing.T) {
	b := unhex(t, initRequest)
	m, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Header{InitiatorSPI: 0x0102030405060708, Exchange: IKESAInit, Flags: FlagInitiator}); m.Header != want {
		t.Errorf("header: got %+v, want %+v", m.Header, want)
	}
	if !m.Initiator() || m.Response() {
		t.Error("not a request of the initiator")
	}
	var types []string
	for _, p := range m.Payloads {
		types = append(types, p.Type().String())
	}
	if got := strings.Join(types, " "); got != "SA KE Nonce N N V payload(249)" {
		t.Errorf("payloads: got %s", got)
	}
	sa, _ := Find[*SA](m.Payloads)
	offers := sa.Offers()
	want := []transform.Proposal{{
		Number: 1, Protocol: transform.ProtoIKE, SPI: []byte{},
		Transforms: []transform.Transform{
			{Type: transform.TypeEncr, ID: transform.EncrAESGCM16, KeyBits: 256},
			{Type: transform.TypePRF, ID: transform.PRFHMACSHA256},
			{Type: transform.TypeKE, ID: transform.KEX25519},
		},
	}}
	// The second proposal's only key exchange has an attribute of no meaning.
	if !reflect.DeepEqual(offers, want) {
		t.Errorf("offers: got %+v, want %+v", offers, want)
	}
	if ke, ok := Find[*KE](m.Payloads); !ok || ke.Method != transform.KEX25519 || len(ke.Data) != 32 || ke.Data[0] != 0xa0 {
		t.Errorf("KE: got %+v", ke)
	}
	if n := FindNotify(m.Payloads, NotifyNATDetectionSourceIP); n == nil || len(n.Data) != 20 || len(n.SPI) != 0 {
		t.Errorf("NAT detection: got %+v", n)
	}
	if n := FindNotify(m.Payloads, NotifyCookie); n != nil {
		t.Errorf("cookie: got %+v", n)
	}
	if n := All[*Notify](m.Payloads); len(n) != 2 {
		t.Errorf("got %d notifies", len(n))
	}
	if _, ok := Find[*TS](m.Payloads); ok {
		t.Error("found traffic selectors")
	}
	var critical *UnsupportedCriticalError
	if err := CheckCritical(m.Payloads); !errors.As(err, &critical) || critical.PayloadType != 249 {
		t.Errorf("critical: got %v", err)
	}
	if err := CheckCritical(m.Payloads[:6]); err != nil {
		t.Errorf("critical: got %v", err)
	}
	again, err := m.AppendTo([]byte("before"))
	if err != nil || !bytes.Equal(again, append([]byte("before"), b...)) {
		t.Errorf("reencoded as %x, %v", again, err)
	}
}

func TestParseEncrypted(t *testing.T) {
	const head = "0102030405060708 1112131415161718"
	m, err := Parse(unhex(t, head+"2e 20 23 28 00000001 00000024 24 00 0008 aabbccdd"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (&Encrypted{First: PayloadIDr, Body: []byte{0xaa, 0xbb, 0xcc, 0xdd}}); !reflect.DeepEqual(m.Payloads, []Payload{want}) {
		t.Errorf("SK: got %+v", m.Payloads[0])
	}
	if !m.Response() {
		t.Error("not a response")
	}
	m, err = Parse(unhex(t, head+"35 20 23 28 00000001 00000028 24 00 000c 0001 0003 aabbccdd"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (&Fragment{PayloadIDr, 1, 3, []byte{0xaa, 0xbb, 0xcc, 0xdd}}); !reflect.DeepEqual(m.Payloads, []Payload{want}) {
		t.Errorf("SKF: got %+v", m.Payloads[0])
	}
}

func TestParseErrors(t *testing.T) {
	const spis = "0102030405060708 0000000000000000"
	many := func(n int) string {
		return spis + "2b 20 22 08 00000000" + hex.EncodeToString([]byte{0, 0, byte((28 + 4*n) >> 8), byte(28 + 4*n)}) +
			strings.Repeat("2b000004", n-1) + "00000004"
	}
	tests := []struct {
		name, in string
		want     error
	}{
		{"empty", "", ErrShort},
		{"header cut", spis + "21 20 22 08 00000000 000000", ErrShort},
		{"longer than the datagram", spis + "00 20 22 08 00000000 0000001d", ErrShort},
		{"shorter than the datagram", spis + "00 20 22 08 00000000 0000001c 00", ErrMalformed},
		{"huge length", spis + "00 20 22 08 00000000 ffffffff", ErrShort},
		{"no initiator SPI", "0000000000000000 0000000000000000 00 20 22 08 00000000 0000001c", ErrMalformed},
		{"generic header cut", spis + "2b 20 22 08 00000000 0000001f 00 00 00", ErrShort},
		{"payload length zero", spis + "2b 20 22 08 00000000 00000020 00 00 0000", ErrMalformed},
		{"payload too long", spis + "2b 20 22 08 00000000 00000020 00 00 0005", ErrShort},
		{"payload missing", spis + "2b 20 22 08 00000000 00000020 2b 00 0004", ErrShort},
		{"bytes after the last", spis + "2b 20 22 08 00000000 00000021 00 00 0004 00", ErrMalformed},
		{"bytes but no payload", spis + "00 20 22 08 00000000 0000001d 00", ErrMalformed},
		{"SK not last", spis + "2e 20 22 08 00000000 00000028 2b 00 0004 00 00 0008 00000000", ErrMalformed},
		{"fragment 0", spis + "35 20 22 08 00000000 00000024 2b 00 0008 00000001", ErrMalformed},
		{"fragment 3 of 2", spis + "35 20 22 08 00000000 00000024 2b 00 0008 00030002", ErrMalformed},
		{"fragment cut", spis + "35 20 22 08 00000000 00000023 2b 00 0007 000100", ErrShort},
		{"bad payload", spis + "28 20 22 08 00000000 00000024 00 00 0008 00000000", ErrMalformed},
		{"too many payloads", many(MaxPayloads + 1), ErrLimit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if m, err := Parse(unhex(t, tt.in)); !errors.Is(err, tt.want) {
				t.Errorf("got %+v, %v", m, err)
			}
		})
	}
	if m, err := Parse(unhex(t, many(MaxPayloads))); err != nil || len(m.Payloads) != MaxPayloads {
		t.Errorf("got %d payloads, %v", len(m.Payloads), err)
	}
	large := append(unhex(t, spis+"00 20 22 08 00000000 00010000"), make([]byte, MaxDatagram+1-HeaderLen)...)
	if _, err := Parse(large); !errors.Is(err, ErrLimit) {
		t.Errorf("datagram of %d bytes: got %v", len(large), err)
	}
	proposals := bytes.Repeat([]byte{2, 0, 0, 8, 1, 1, 0, 0}, 256)
	proposals[255*8] = 0
	if _, err := ParseSA(proposals); !errors.Is(err, ErrLimit) {
		t.Errorf("256 proposals: got %v", err)
	}
	if sa, err := ParseSA(proposals[8:]); err != nil || len(sa.Proposals) != 255 {
		t.Errorf("255 proposals: got %d, %v", len(sa.Proposals), err)
	}

	var version *InvalidMajorVersionError
	h, err := ParseHeader(unhex(t, "0102030405060708 0000000000000000 01 10 02 00 00000000 0000001c"))
	if !errors.As(err, &version) || version.Major != 1 || h.InitiatorSPI != 0x0102030405060708 {
		t.Errorf("IKEv1: got %v, %v", h, err)
	}
	if h, err = ParseHeader(unhex(t, spis+"00 2f 25 00 00000007 0000001c")); err != nil || h.Minor != 15 || h.MessageID != 7 {
		t.Errorf("minor version: got %v, %v", h, err)
	}
}

func TestParsePayloads(t *testing.T) {
	if p, err := ParsePayloads(PayloadNone, nil); err != nil || len(p) != 0 {
		t.Errorf("empty: got %v, %v", p, err)
	}
	if p, err := ParsePayloads(PayloadVendorID, unhex(t, "00000005 aa")); err != nil || len(p) != 1 {
		t.Errorf("vendor ID: got %v, %v", p, err)
	}
	for _, kind := range []PayloadType{PayloadSK, PayloadSKF} {
		if _, err := ParsePayloads(kind, unhex(t, "00000008 00010001")); !errors.Is(err, ErrMalformed) {
			t.Errorf("%v inside: got %v", kind, err)
		}
	}
}

func TestAppendErrors(t *testing.T) {
	many := make([]Payload, MaxPayloads+1)
	for i := range many {
		many[i] = &VendorID{}
	}
	tests := []struct {
		name     string
		payloads []Payload
	}{
		{"too many payloads", many},
		{"payload too long", []Payload{&VendorID{make([]byte, 65532)}}},
		{"message too long", []Payload{&VendorID{make([]byte, 65000)}, &VendorID{make([]byte, 1000)}}},
		{"notify SPI", []Payload{&Notify{SPI: make([]byte, 256)}}},
		{"SPIs to delete", []Payload{&Delete{transform.ProtoESP, make([]uint32, 65536)}}},
		{"selectors", []Payload{&TS{Selectors: make(ts.List, 256)}}},
		{"attribute type", []Payload{&CP{CFGRequest, []CPAttribute{{Type: 0x8001}}}}},
		{"proposals", []Payload{&SA{make([]Proposal, 256)}}},
		{"proposal SPI", []Payload{&SA{[]Proposal{{SPI: make([]byte, 256)}}}}},
		{"transforms", []Payload{&SA{[]Proposal{{Transforms: make([]Transform, 256)}}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := Message{Header{InitiatorSPI: 1}, tt.payloads}
			if _, err := m.AppendTo(nil); !errors.Is(err, ErrLimit) {
				t.Errorf("got %v", err)
			}
			if _, err := Seal(m.Header, m.Payloads, newGCM(t), nil); !errors.Is(err, ErrLimit) {
				t.Errorf("sealed: got %v", err)
			}
		})
	}
	m := Message{Header{InitiatorSPI: 1}, []Payload{&SA{[]Proposal{{Transforms: []Transform{{Attributes: []Attribute{{Type: 1, Short: true}}}}}}}}}
	if _, err := m.AppendTo(nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("short attribute without value: got %v", err)
	}
}

// TestParseChain passes every payload through a whole message.
func TestParseChain(t *testing.T) {
	m := Message{header, []Payload{
		&ID{Kind: IDKeyID, Data: []byte("k")}, &ID{Responder: true, Kind: IDKeyID, Data: []byte("k")},
		&Cert{CertX509Signature, []byte{1}}, &CertReq{CertX509Signature, []byte{2}}, &Auth{AuthPSK, []byte{3}},
		&Delete{transform.ProtoESP, []uint32{4}}, &CP{CFGSet, []CPAttribute{{CPApplicationVersion, []byte("v")}}},
		&EAP{[]byte{1, 1, 0, 4}}, &TS{false, ts.Any()}, &TS{true, ts.Any()}, &Unknown{250, false, []byte{}},
	}}
	b, err := m.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Parse(b); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestNames(t *testing.T) {
	tests := []struct{ got, want string }{
		{IKESAInit.String(), "IKE_SA_INIT"},
		{ExchangeType(250).String(), "exchange(250)"},
		{PayloadNotify.String(), "N"},
		{NotifyInvalidKEPayload.String(), "INVALID_KE_PAYLOAD"},
		{NotifyNATDetectionSourceIP.String(), "NAT_DETECTION_SOURCE_IP"},
		{NotifyType(40960).String(), "notify(40960)"},
		{IDRFC822Addr.String(), "ID_RFC822_ADDR"},
		{AuthSignature.String(), "digital signature"},
		{CPInternalDNSDomain.String(), "INTERNAL_DNS_DOMAIN"},
		{CFGReply.String(), "CFG_REPLY"},
		{CertX509Signature.String(), "X.509 certificate"},
		{Header{InitiatorSPI: 1, ResponderSPI: 2, Exchange: IKEAuth, Flags: FlagResponse, MessageID: 3}.String(),
			"IKE_AUTH response 3 (0000000000000001_i 0000000000000002_r)"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
	if !NotifyNoProposalChosen.IsError() || !NotifyType(16383).IsError() || NotifyInitialContact.IsError() {
		t.Error("errors are below 16384")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(unhex(f, initRequest))
	f.Add(unhex(f, "0102030405060708 1112131415161718 2e 20 23 28 00000001 00000024 24 00 0008 aabbccdd"))
	f.Add(unhex(f, "0102030405060708 1112131415161718 35 20 23 28 00000001 00000028 24 00 000c 0001 0003 aabbccdd"))
	f.Add(unhex(f, "0102030405060708 1112131415161718 00 20 25 20 00000002 0000001c"))
	f.Add(unhex(f, "0102030405060708 0000000000000000 29 20 22 20 00000000 00000026 00 00 000a 0000 0011 0013"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		encoded, err := m.AppendTo(nil)
		if err != nil {
			t.Fatalf("%x does not encode: %v", b, err)
		}
		again, err := Parse(encoded)
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%x reencoded as %x, parsed as %+v, %v", b, encoded, again, err)
		}
	})
}
