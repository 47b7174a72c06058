package message

import (
	"bytes"
	"net/netip"
	"testing"
)

func TestRedirect(t *testing.T) {
	for _, tt := range []struct {
		r    Redirect
		wire string
	}{
		{Redirect{Addr: netip.MustParseAddr("192.0.2.1"), Nonce: []byte("nonce")}, "\x01\x04\xc0\x00\x02\x01nonce"},
		{Redirect{Addr: netip.MustParseAddr("2001:db8::1")}, "\x02\x10\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"},
		{Redirect{Name: "gw2.example.com"}, "\x03\x0fgw2.example.com"},
	} {
		if got := tt.r.AppendTo(nil); string(got) != tt.wire {
			t.Errorf("%s is written as %x", tt.r.Gateway(), got)
		}
		got, err := ParseRedirect([]byte(tt.wire))
		if err != nil || got.Gateway() != tt.r.Gateway() || !bytes.Equal(got.Nonce, tt.r.Nonce) {
			t.Errorf("%x is read as %+v, %v", tt.wire, got, err)
		}
	}
	for _, bad := range []string{"", "\x01", "\x01\x04\xc0\x00\x02", "\x01\x03\xc0\x00\x02", "\x02\x04\xc0\x00\x02\x01", "\x03\x00", "\x03\x03a b", "\x03\x02-a", "\x03\x02\x1b[", "\x04\x01a"} {
		if r, err := ParseRedirect([]byte(bad)); err == nil {
			t.Errorf("%x is read as %+v", bad, r)
		}
	}
}

func FuzzRedirect(f *testing.F) {
	f.Add([]byte("\x01\x04\xc0\x00\x02\x01nonce"))
	f.Add([]byte("\x03\x0fgw2.example.com"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRedirect(b)
		if err != nil {
			return
		}
		if got := r.AppendTo(nil); !bytes.Equal(got, b) {
			t.Errorf("reencoded %x as %x", b, got)
		}
	})
}
