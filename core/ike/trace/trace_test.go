package trace

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"unicode"

	"sallyport/core/ike/message"
	"sallyport/core/transform"
	"sallyport/core/ts"
)

func TestPayloads(t *testing.T) {
	notify := func(k message.NotifyType, data ...byte) *message.Notify { return &message.Notify{Kind: k, Data: data} }
	for _, tt := range []struct {
		p    message.Payload
		want string // name (size): field=value; ...
	}{
		{message.NewSA(transform.WithoutKE(transform.DefaultESP())[1]), "SA (76): proposal 2=ESP; ENCR AES_CBC_256, AES_CBC_128; INTEG HMAC_SHA2_256_128, HMAC_SHA2_384_192, HMAC_SHA2_512_256; ESN ESN, NO_ESN"},
		{&message.KE{Method: transform.KEX25519, Data: make([]byte, 32)}, "KE (40): method=CURVE_25519; public value=32 bytes"},
		{&message.Nonce{Data: make([]byte, 16)}, "Nonce (20): nonce=16 bytes"},
		{&message.ID{Kind: message.IDFQDN, Data: []byte("gw.test")}, "IDi (15): type=ID_FQDN; identity=gw.test"},
		{&message.ID{Responder: true, Kind: message.IDKeyID, Data: []byte("a\x1b[31m\nb")}, "IDr (16): type=ID_KEY_ID; identity=keyid:#611b5b33316d0a62"},
		{&message.Auth{Method: message.AuthPSK, Data: make([]byte, 32)}, "AUTH (40): method=pre-shared key; proof=32 bytes"},
		{&message.Auth{Method: message.AuthSignature, Data: []byte{1, 2, 3}}, "AUTH (11): method=digital signature; scheme=unknown; proof=3 bytes"},
		{&message.Cert{Encoding: message.CertX509Signature, Data: []byte("junk")}, "CERT (9): encoding=X.509 certificate; problem=it is no certificate that can be read (4 bytes)"},
		{&message.Cert{Encoding: message.CertCRL, Data: []byte("junk")}, "CERT (9): encoding=certificate revocation list; content=4 bytes"},
		{notify(message.NotifyInvalidKEPayload, 0, 19), "N(INVALID_KE_PAYLOAD) (10): meaning=another key exchange method is wanted; wanted method=ECP_256"},
		{notify(message.NotifyInvalidKEPayload, 0), "N(INVALID_KE_PAYLOAD) (9): meaning=another key exchange method is wanted; data=1 byte"},
		{notify(message.NotifyAuthLifetime, 0, 0, 14, 16), "N(AUTH_LIFETIME) (12): meaning=the peer must authenticate anew within this time; lifetime=1h0m0s"},
		{notify(message.NotifySignatureHashAlgorithms, 0, 2, 0, 5, 1, 0), "N(SIGNATURE_HASH_ALGORITHMS) (14): meaning=the hashes that the sender verifies signatures with; hashes=SHA-256, identity, another"},
		{notify(message.NotifyAdditionalIP4Address, 192, 0, 2, 1), "N(ADDITIONAL_IP4_ADDRESS) (12): address=192.0.2.1"},
		{notify(message.NotifyCookie, 1, 2, 3), "N(COOKIE) (11): meaning=the sender of a request must return this before it is served; data=3 bytes"},
		{notify(message.NotifyRedirect, 3, 2, 'g', 'w', 9, 9, 9), "N(REDIRECT) (15): meaning=another gateway is to be used; gateway=gw"},
		{notify(42), "N(notify(42)) (8): meaning=an error that is not known here"},
		{&message.Notify{Protocol: transform.ProtoESP, Kind: message.NotifyRekeySA, SPI: []byte{0xc0, 0xff, 0xee, 1}}, "N(REKEY_SA) (12): protocol=ESP; SPI=c0ffee01; meaning=this Child SA is to be replaced"},
		{&message.Delete{Protocol: transform.ProtoESP, SPIs: []uint32{1, 0xdeadbeef}}, "D (16): protocol=ESP; SPI=00000001; SPI=deadbeef"},
		{&message.Delete{Protocol: transform.ProtoIKE}, "D (8): protocol=IKE; meaning=this IKE SA and all its Child SAs end"},
		{&message.VendorID{Data: []byte("Sallyport")}, "V (13): vendor=Sallyport"},
		{&message.VendorID{Data: []byte{0xff, 0}}, "V (6): vendor=ff00"},
		{&message.TS{Selectors: ts.List{ts.FromPrefix(netip.MustParsePrefix("10.0.0.0/8"))}}, "TSi (24): selector=10.0.0.0/8"},
		{&message.CP{Kind: message.CFGRequest, Attributes: []message.CPAttribute{{Type: message.CPInternalIP4Address}}}, "CP (12): kind=CFG_REQUEST; INTERNAL_IP4_ADDRESS=any"},
		{&message.CP{Kind: message.CFGReply, Attributes: []message.CPAttribute{{Type: message.CPInternalIP4DNS, Value: []byte{10, 0, 0, 1}}, {Type: 999, Value: []byte{1}}}},
			"CP (21): kind=CFG_REPLY; INTERNAL_IP4_DNS=10.0.0.1; attribute(999)=1 byte"},
		{&message.EAP{Packet: append([]byte{2, 7, 0, 19, 26}, "hunter2 secret"...)}, "EAP (23): code=response; identifier=7; type=MSCHAPv2; content=14 bytes"},
		{&message.EAP{Packet: []byte{3, 7, 0, 4}}, "EAP (8): code=success; identifier=7"},
		{&message.Unknown{PayloadType: 200, Critical: true, Body: []byte("hidden")}, "payload(200) (10): content=6 bytes; critical=yes: whoever does not know this payload must refuse the message"},
		{&message.Encrypted{Body: make([]byte, 60)}, "SK (64): content=encrypted, 60 bytes"},
		{&message.Fragment{Number: 2, Total: 5, Body: make([]byte, 60)}, "SKF (68): fragment=2 of 5; content=encrypted, 60 bytes"},
	} {
		got := Payloads([]message.Payload{tt.p})[0]
		var fields []string
		for _, f := range got.Fields {
			fields = append(fields, f.Name+"="+f.Value)
		}
		if s := got.Name + " (" + itoa(got.Size) + "): " + strings.Join(fields, "; "); s != tt.want {
			t.Errorf("got  %s\nwant %s", s, tt.want)
		}
	}
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// Whatever a peer sends, what is told of it is bounded lines.
func FuzzPayloads(f *testing.F) {
	for _, list := range [][]message.Payload{
		{message.NewSA(transform.DefaultIKE()...), &message.Nonce{Data: make([]byte, 32)}, &message.VendorID{Data: []byte("x\n")}},
		{&message.CP{Kind: message.CFGReply, Attributes: []message.CPAttribute{{Type: message.CPApplicationVersion, Value: []byte("strong\x1b[0m")}}}},
	} {
		m := message.Message{Header: message.Header{InitiatorSPI: 1, Exchange: message.IKESAInit}, Payloads: list}
		b, err := m.AppendTo(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := message.Parse(b)
		if err != nil {
			return
		}
		total := 0
		got := Payloads(m.Payloads)
		if len(got) > maxPayloads+1 {
			t.Fatalf("%d payloads", len(got))
		}
		for _, p := range got {
			if len(p.Fields) > maxFields {
				t.Fatalf("%d fields", len(p.Fields))
			}
			for _, x := range p.Fields {
				total += len(x.Value)
				if strings.ContainsFunc(x.Name+x.Value, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Fatalf("%q=%q", x.Name, x.Value)
				}
			}
		}
		if total > maxText+maxValue {
			t.Fatalf("%d bytes of text", total)
		}
	})
}
