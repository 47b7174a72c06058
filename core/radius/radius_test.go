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
	// What the attack makes: the Response Authenticator fits, by a collision of
	// MD5, and the Message-Authenticator cannot.
	fits := func(b []byte) []byte {
		copy(b[4:], s.request.Authenticator[:])
		h := md5.New()
		h.Write(b)
		h.Write(secret)
		copy(b[4:], h.Sum(nil))
		return b
	}
	for i := range md5.Size {
		bad := bytes.Clone(good)
		bad[22+i] ^= 1
		if v, err := s.Response(fits(bad)); !errors.Is(err, ErrForged) {
			t.Errorf("a Message-Authenticator with byte %d changed: %+v, %v", i, v, err)
		}
	}
	rejected := answer(s.request, AccessReject, Attribute{EAPMessage, []byte{3, 1, 0, 4}})
	rejected[0] = byte(AccessAccept) // a refusal turned into leave
	if v, err := s.Response(fits(rejected)); !errors.Is(err, ErrForged) {
		t.Errorf("a refusal turned into leave: %+v, %v", v, err)
	}
	twice := append(bytes.Clone(good), good[20:38]...)
	binary.BigEndian.PutUint16(twice[2:], uint16(len(twice)))
	if v, err := s.Response(fits(twice)); !errors.Is(err, ErrForged) {
		t.Errorf("two Message-Authenticators: %+v, %v", v, err)
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

// The answer to an earlier question is none to a later one, in the same session
// and in another about the same user.
func TestReplayedAnswers(t *testing.T) {
	first, second := &Session{Secret: secret}, &Session{Secret: secret}
	if _, err := first.Request([]byte{2, 1, 0, 5, 1}, "alice"); err != nil {
		t.Fatal(err)
	}
	recorded := answer(first.request, AccessAccept, Attribute{EAPMessage, []byte{3, 1, 0, 4}})
	for name, s := range map[string]*Session{"another session": second, "the same session": first} {
		if _, err := s.Request([]byte{2, 1, 0, 5, 1}, "alice"); err != nil {
			t.Fatal(err)
		}
		recorded[1] = s.request.ID
		if v, err := s.Response(recorded); !errors.Is(err, ErrForged) {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

// FuzzResponse gives the answers of whoever has the secret to a session, which
// gets along with all of them.
func FuzzResponse(f *testing.F) {
	f.Add(byte(AccessChallenge), []byte{24, 4, 's', 't', 79, 7, 1, 2, 0, 5, 1})
	f.Add(byte(AccessAccept), []byte{79, 6, 3, 1, 0, 4, 25, 7, 's', 't', 'a', 'f', 'f'})
	f.Add(byte(AccessAccept), append([]byte{79, 6, 3, 1, 0, 4, 26, 58}, bytes.Repeat([]byte{0, 0, 1, 0x37, 17, 52, 0x80, 1}, 7)...))
	f.Add(byte(AccessReject), []byte{18, 4, 'n', 'o'})
	f.Fuzz(func(t *testing.T, code byte, attributes []byte) {
		s := &Session{Secret: secret, NAS: "gw", Caller: "192.0.2.7"}
		if _, err := s.Request([]byte{2, 1, 0, 5, 1}, "alice"); err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 20, 20+len(attributes))
		head[0] = code
		binary.BigEndian.PutUint16(head[2:], uint16(20+len(attributes)))
		p, err := Parse(append(head, attributes...))
		if err != nil {
			return
		}
		v, err := s.Response(answer(s.request, p.Code, p.Attributes...))
		if err != nil {
			return
		}
		if v.Accepted != (p.Code == AccessAccept) || v.Done != (p.Code != AccessChallenge) || len(v.EAP) == 0 || v.MSK != nil && len(v.MSK) != 64 || len(v.Groups) > 64 {
			t.Errorf("%+v", v)
		}
		if _, err := s.Request([]byte{2, 2, 0, 5, 1}, ""); err != nil && len(attributes) < 200 {
			t.Error(err)
		}
	})
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

// A peer that says another name in the midst of a conversation stays who it was.
func TestUserOfAConversationStays(t *testing.T) {
	s := &Session{Secret: secret}
	for _, says := range []string{"mallory", "", "alice"} {
		b, err := s.Request([]byte{2, 1, 0, 5, 1}, says)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(b)
		if err != nil || string(p.Get(UserName)) != "mallory" {
			t.Errorf("after %q the server hears of %q, %v", says, p.Get(UserName), err)
		}
	}
}
