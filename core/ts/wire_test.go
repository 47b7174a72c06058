package ts

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPayload(t *testing.T) {
	b := unhex(t, `
		02 000000
		07 06 0010 01bb 01bb 0a000000 0affffff
		08 00 0028 0000 ffff 20010db8000000000000000000000000 20010db8ffffffffffffffffffffffff`)
	want := mustList(t, "10.0.0.0/8[tcp/443]", "2001:db8::/32")
	got, err := ParsePayload(b)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if again := got.AppendTo(nil); !bytes.Equal(again, b) {
		t.Errorf("reencoded as %x", again)
	}
}

func TestPayloadSkipsOtherTypes(t *testing.T) {
	got, err := ParsePayload(unhex(t, "02 000000 0a 00 000c 0000ffff 01020304 07 00 0010 0000 ffff 0a000000 0affffff"))
	if err != nil || got.String() != "10.0.0.0/8" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestPayloadErrors(t *testing.T) {
	tests := []struct{ name, in string }{
		{"empty", ""},
		{"header cut", "010000"},
		{"no selector", "01000000"},
		{"selector cut", "01000000 07 00 0010 0000 ffff 0a000000 0affff"},
		{"count too small", "00000000 07 00 0010 0000 ffff 0a000000 0affffff"},
		{"IPv4 with the length of IPv6", "01000000 07 00 0028 0000 ffff 20010db8000000000000000000000000 20010db8ffffffffffffffffffffffff"},
		{"IPv6 with the length of IPv4", "01000000 08 00 0010 0000 ffff 0a000000 0affffff"},
		{"length below the header", "01000000 0a 00 0007 0000 ffff"},
		{"addresses reversed", "01000000 07 00 0010 0000 ffff 0affffff 0a000000"},
		{"ports reversed", "01000000 07 06 0010 0002 0001 0a000000 0affffff"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := ParsePayload(unhex(t, tt.in)); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestMaxSelectors(t *testing.T) {
	var l List
	for i := range MaxSelectors + 1 {
		l = append(l, FromPrefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)))
	}
	got, err := ParsePayload(l.AppendTo(nil))
	if err != nil || !slices.Equal(got, l[:MaxSelectors]) {
		t.Errorf("got %d selectors, %v", len(got), err)
	}
}

func FuzzParsePayload(f *testing.F) {
	f.Add(unhex(f, "01 000000 07 06 0010 01bb 01bb 0a000000 0affffff"))
	f.Add(unhex(f, "01 000000 07 06 0010 ffff 0000 0a000000 0affffff"))
	f.Add(unhex(f, "01 000000 08 3a 0028 8000 80ff 20010db8000000000000000000000000 20010db8ffffffffffffffffffffffff"))
	f.Add(unhex(f, "02 000000 0a 00 000c 0000ffff 01020304 07 00 0010 0000 ffff 0a000000 0affffff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParsePayload(b)
		if err != nil {
			return
		}
		again, err := ParsePayload(l.AppendTo(nil))
		if err != nil || !slices.Equal(again, l) {
			t.Fatalf("%x: %v reencoded as %v, %v", b, l, again, err)
		}
		for _, s := range l {
			if back, err := Parse(s.String()); err != nil || back != s {
				t.Errorf("%v: read back as %v, %v", s, back, err)
			}
		}
		if len(l) <= 8 && !l.Covers(l.Narrow(l)) {
			t.Errorf("%v does not cover itself narrowed", l)
		}
	})
}
