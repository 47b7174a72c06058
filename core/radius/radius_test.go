package radius

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"testing"
)

var secret = []byte("shared secret")

// answer is a server's: the response to a request, protected as the RFC says.
func answer(request Packet, code Code, with ...Attribute) []byte {
	p := Packet{Code: code, ID: request.ID, Authenticator: request.Authenticator}
	p.Attributes = append([]Attribute{{MessageAuthenticator, make([]byte, 16)}}, with...)
	b := p.AppendTo(nil)
	m := hmac.New(md5.New, secret)
	m.Write(b)
	copy(b[22:], m.Sum(nil))
	h := md5.New()
	h.Write(b)
	h.Write(secret)
	copy(b[4:], h.Sum(nil))
	return b
}

// sealKey is what openKey opens.
func sealKey(t byte, key, authenticator []byte) Attribute {
	plain := append([]byte{byte(len(key))}, key...)
	plain = append(plain, make([]byte, -len(plain)&15)...)
	salt := []byte{0x80 | t, 7}
	out := append([]byte(nil), salt...)
	before := append(append([]byte(nil), authenticator...), salt...)
	for ; len(plain) > 0; plain = plain[16:] {
		h := md5.New()
		h.Write(secret)
		h.Write(before)
		pad := h.Sum(nil)
		c := make([]byte, 16)
		for i := range c {
			c[i] = plain[i] ^ pad[i]
		}
		out, before = append(out, c...), c
	}
	v := binary.BigEndian.AppendUint32(nil, vendorMicrosoft)
	v = append(v, t, byte(2+len(out)))
	return Attribute{VendorSpecific, append(v, out...)}
}

func TestSession(t *testing.T) {
	s := &Session{Secret: secret, NAS: "gw", Caller: "192.0.2.7"}
	long := bytes.Repeat([]byte{7}, 700)
	b, err := s.Request(long, "alice")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(b)
	if err != nil || p.Attributes[0].Type != MessageAuthenticator || !bytes.Equal(p.Get(EAPMessage), long) || string(p.Get(UserName)) != "alice" {
		t.Fatalf("%+v, %v", p, err)
	}
	v, err := s.Response(answer(s.request, AccessChallenge, Attribute{State, []byte("st")}, Attribute{EAPMessage, []byte{1, 2, 0, 5, 1}}))
	if err != nil || v.Done || !bytes.Equal(v.EAP, []byte{1, 2, 0, 5, 1}) {
		t.Fatalf("%+v, %v", v, err)
	}
	if b, err = s.Request([]byte{2, 2, 0, 5, 1}, ""); err != nil {
		t.Fatal(err)
	}
	if p, _ = Parse(b); string(p.Get(State)) != "st" {
		t.Error("the state is not given back")
	}
	recv, send := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	v, err = s.Response(answer(s.request, AccessAccept, Attribute{EAPMessage, []byte{3, 2, 0, 4}}, Attribute{Class, []byte("staff")},
		sealKey(mppeRecvKey, recv, s.request.Authenticator[:]), sealKey(mppeSendKey, send, s.request.Authenticator[:])))
	if err != nil || !v.Done || !v.Accepted || v.User != "alice" || len(v.Groups) != 1 || !bytes.Equal(v.MSK, append(recv, send...)) {
		t.Fatalf("%+v, %v", v, err)
	}
	if _, err := s.Request([]byte{2}, ""); err != nil {
		t.Fatal(err)
	}
	if v, err = s.Response(answer(s.request, AccessReject)); err != nil || !v.Done || v.Accepted || !bytes.Equal(v.EAP, []byte{4, 0, 0, 4}) {
		t.Errorf("%+v, %v", v, err)
	}
}

// CVE-2024-3596: nothing is believed that is not whole.
func TestForgedAnswers(t *testing.T) {
	s := &Session{Secret: secret}
	if _, err := s.Request([]byte{2, 1, 0, 5, 1}, "alice"); err != nil {
		t.Fatal(err)
	}
	good := answer(s.request, AccessAccept, Attribute{EAPMessage, []byte{3, 1, 0, 4}})
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if v, err := s.Response(bad); err == nil {
			t.Errorf("byte %d changed: %+v", i, v)
		}
	}
	other := s.request
	other.Authenticator[0] ^= 1
	if _, err := s.Response(answer(other, AccessAccept, Attribute{EAPMessage, []byte{3, 1, 0, 4}})); !errors.Is(err, ErrForged) {
		t.Errorf("the answer to another request: %v", err)
	}
	bare := Packet{Code: AccessAccept, ID: s.request.ID, Authenticator: s.request.Authenticator, Attributes: []Attribute{{EAPMessage, []byte{3, 1, 0, 4}}}}
	b := bare.AppendTo(nil)
	h := md5.New()
	h.Write(b)
	h.Write(secret)
	copy(b[4:], h.Sum(nil))
	if _, err := s.Response(b); !errors.Is(err, ErrForged) {
		t.Errorf("without a Message-Authenticator: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	s := &Session{Secret: secret, NAS: "gw"}
	b, err := s.Request([]byte{2, 1, 0, 5, 1}, "alice")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		if got, n := p.AppendTo(nil), binary.BigEndian.Uint16(b[2:]); !bytes.Equal(got, b[:n]) {
			t.Errorf("%x became %x", b[:n], got)
		}
		_, _ = MSK(p, s.request, secret)
	})
}
