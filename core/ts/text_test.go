package ts

import (
	"net/netip"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct{ in, want string }{
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"10.1.2.3/8", "10.0.0.0/8"},
		{" 10.0.0.1 ", "10.0.0.1"},
		{"10.0.0.1/32", "10.0.0.1"},
		{"10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9"},
		{"10.0.0.0 - 10.0.0.255", "10.0.0.0/24"},
		{"0.0.0.0/0[tcp]", "0.0.0.0/0[tcp]"},
		{"10.0.0.0/8[tcp/443]", "10.0.0.0/8[tcp/443]"},
		{"10.0.0.0/8[6/443]", "10.0.0.0/8[tcp/443]"},
		{"10.0.0.0/8[TCP/https]", "10.0.0.0/8[tcp/443]"},
		{"10.0.0.0/8[tcp/microsoft-ds]", "10.0.0.0/8[tcp/445]"},
		{"10.0.0.0/8[udp/1024-65535]", "10.0.0.0/8[udp/1024-65535]"},
		{"10.0.0.0/8[udp/0-65535]", "10.0.0.0/8[udp]"},
		{"10.0.0.0/8[udp/any]", "10.0.0.0/8[udp]"},
		{"10.0.0.0/8[/53]", "10.0.0.0/8[any/53]"},
		{"10.0.0.0/8[any]", "10.0.0.0/8"},
		{"10.0.0.0/8[tcp/opaque]", "10.0.0.0/8[tcp/opaque]"},
		{"10.0.0.0/8[icmp/8]", "10.0.0.0/8[icmp/8]"},
		{"10.0.0.0/8[icmp/3(1)]", "10.0.0.0/8[icmp/3(1)]"},
		{"10.0.0.0/8[icmp/3(1)-3(4)]", "10.0.0.0/8[icmp/3(1)-3(4)]"},
		{"10.0.0.0/8[icmp/3-5]", "10.0.0.0/8[icmp/3-5]"},
		{"10.0.0.0/8[253]", "10.0.0.0/8[253]"},
		{"2001:db8::/32[ipv6-icmp/128]", "2001:db8::/32[icmpv6/128]"},
		{"2001:db8::1", "2001:db8::1"},
		{"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"},
	}
	for _, tt := range tests {
		s, err := Parse(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if got := s.String(); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.in, got, tt.want)
		}
	}

	// A type without code at the end of a range stands for all its codes.
	if s := mustParse(t, "10.0.0.0/8[icmp/3(1)-5]"); s.FromPort != 3<<8|1 || s.ToPort != 5<<8|0xff {
		t.Errorf("got %#x-%#x", s.FromPort, s.ToPort)
	}
}

func TestParseErrors(t *testing.T) {
	for _, in := range []string{
		"", "10.0.0", "10.0.0.0/33", "2001:db8::/129", "10.0.0.9-10.0.0.1", "10.0.0.1-::1", "fe80::1%eth0", "fe80::%eth0/64",
		"10.0.0.1[tcp", "10.0.0.1[tcp]x", "10.0.0.1[bogus]", "10.0.0.1[256]", "10.0.0.1[tcp/65536]", "10.0.0.1[tcp/2-1]",
		"10.0.0.1[tcp/]", "10.0.0.1[tcp/1-]", "10.0.0.1[icmp/256]", "10.0.0.1[icmp/1(2]", "10.0.0.1[icmp/1(256)]", "[tcp/80]", "10.0.0.1-",
	} {
		if s, err := Parse(in); err == nil {
			t.Errorf("%q: got %v", in, s)
		}
	}
}

func TestFromPrefix(t *testing.T) {
	s := FromPrefix(netip.MustParsePrefix("192.0.2.77/25"))
	want := Selector{From: netip.MustParseAddr("192.0.2.0"), To: netip.MustParseAddr("192.0.2.127"), ToPort: 65535}
	if s != want {
		t.Errorf("got %v", s)
	}
	if got := Any().String(); got != "0.0.0.0/0, ::/0" {
		t.Errorf("Any: %s", got)
	}
	if got := (Selector{}).String(); got != "invalid selector" {
		t.Errorf("zero selector: %s", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"10.0.0.0/8[tcp/443]", "10.0.0.1-10.0.0.9[udp/1-2]", "2001:db8::/32[58/128]", "::ffff:1.2.3.0/120", "10.0.0.1[icmp/3(1)-3(4)]",
		"10.0.0.1[tcp/opaque]", "10.0.0.1[/microsoft-ds]", "0.0.0.0/0[any/7]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		if !s.Valid() {
			t.Fatalf("%q: invalid %#v", text, s)
		}
		again, err := Parse(s.String())
		if err != nil || again != s {
			t.Errorf("%q is written %q, read as %v, %v", text, s.String(), again, err)
		}
	})
}
