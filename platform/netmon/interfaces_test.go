package netmon

import (
	"net"
	"testing"
)

func TestPrefixOf(t *testing.T) {
	mask := net.CIDRMask
	for _, tt := range []struct {
		name string
		in   *net.IPNet
		want string // "": none
	}{
		{"IPv4", &net.IPNet{IP: net.IP{192, 0, 2, 2}, Mask: mask(24, 32)}, "192.0.2.2/24"},
		{"IPv4 in 16 bytes", &net.IPNet{IP: net.ParseIP("192.0.2.2"), Mask: mask(24, 32)}, "192.0.2.2/24"},
		{"IPv4 mapped", &net.IPNet{IP: net.ParseIP("192.0.2.2"), Mask: mask(120, 128)}, "192.0.2.2/24"},
		{"IPv6", &net.IPNet{IP: net.ParseIP("fd00:1::2"), Mask: mask(64, 128)}, "fd00:1::2/64"},
		{"link-local", &net.IPNet{IP: net.ParseIP("fe80::1"), Mask: mask(64, 128)}, "fe80::1/64"},
		{"none", nil, ""},
		{"no address", &net.IPNet{Mask: mask(24, 32)}, ""},
		{"no mask", &net.IPNet{IP: net.IP{192, 0, 2, 2}}, ""},
		{"a mask with holes", &net.IPNet{IP: net.IP{192, 0, 2, 2}, Mask: net.IPMask{255, 0, 255, 0}}, ""},
		{"mapped with a mask that is too short", &net.IPNet{IP: net.ParseIP("192.0.2.2"), Mask: mask(64, 128)}, ""},
		{"a mask of the other kind", &net.IPNet{IP: net.ParseIP("fd00:1::2"), Mask: mask(24, 32)}, "fd00:1::2/24"},
	} {
		got, ok := prefixOf(tt.in)
		if ok != (tt.want != "") || ok && got.String() != tt.want {
			t.Errorf("%s: %v, %v, want %q", tt.name, got, ok, tt.want)
		}
	}
}
