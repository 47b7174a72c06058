package encap

import (
	"bytes"
	"testing"
)

func TestDemux(t *testing.T) {
	esp := []byte{0, 0, 1, 0, 0, 0, 0, 1, 9, 9, 9, 9}
	for _, tt := range []struct {
		name string
		in   []byte
		kind Kind
		body []byte
	}{
		{"empty", nil, Invalid, nil},
		{"keepalive", []byte{0xff}, Keepalive, nil},
		{"one other byte", []byte{0xfe}, Invalid, nil},
		{"two bytes of 0xff", []byte{0xff, 0xff}, Invalid, nil},
		{"marker alone", make([]byte, 4), Invalid, nil},
		{"IKE", []byte{0, 0, 0, 0, 7}, IKE, []byte{7}},
		{"short ESP", esp[:11], Invalid, nil},
		{"ESP", esp, ESP, esp},
	} {
		kind, body := Demux(tt.in)
		if kind != tt.kind || !bytes.Equal(body, tt.body) {
			t.Errorf("%s: got %v %x, want %v %x", tt.name, kind, body, tt.kind, tt.body)
		}
	}
}

func FuzzDemux(f *testing.F) {
	f.Add([]byte{0xff})
	f.Add([]byte{0, 0, 0, 0, 1, 2, 3})
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Fuzz(func(t *testing.T, b []byte) {
		var got []byte
		switch kind, body := Demux(b); kind {
		case Invalid:
			return
		case Keepalive:
			got = AppendKeepalive(nil)
		case IKE:
			got = AppendIKE(nil, body)
		case ESP:
			got = body
		}
		if !bytes.Equal(got, b) {
			t.Errorf("reencoded %x as %x", b, got)
		}
	})
}
