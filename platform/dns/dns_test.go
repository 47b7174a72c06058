package dns

import (
	"net/netip"
	"strings"
	"testing"

	"sallyport/core/host"
)

func TestCheck(t *testing.T) {
	server := []netip.Addr{netip.MustParseAddr("10.0.0.53")}
	long := strings.Repeat("a", 64)
	for _, tt := range []struct {
		name string
		c    host.DNSConfig
		ok   bool
	}{
		{"zero", host.DNSConfig{}, true},
		{"zero with a device", host.DNSConfig{Device: "t0"}, true},
		{"one server", host.DNSConfig{Device: "t0", Servers: server}, true},
		{"domains", host.DNSConfig{Device: "t0", Servers: server, Search: []string{"corp.example", "a_b.example."}, Only: []string{"x"}}, true},
		{"no device", host.DNSConfig{Servers: server}, false},
		{"domains alone", host.DNSConfig{Device: "t0", Only: []string{"x"}}, false},
		{"invalid server", host.DNSConfig{Device: "t0", Servers: []netip.Addr{{}}}, false},
		{"loopback", host.DNSConfig{Device: "t0", Servers: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, false},
		{"multicast", host.DNSConfig{Device: "t0", Servers: []netip.Addr{netip.MustParseAddr("ff02::fb")}}, false},
		{"zone", host.DNSConfig{Device: "t0", Servers: []netip.Addr{netip.MustParseAddr("fe80::1%e\nnameserver")}}, false},
		{"too many servers", host.DNSConfig{Device: "t0", Servers: make([]netip.Addr, 17)}, false},
		{"empty domain", host.DNSConfig{Device: "t0", Servers: server, Search: []string{""}}, false},
		{"line break", host.DNSConfig{Device: "t0", Servers: server, Search: []string{"a\nnameserver 192.0.2.66"}}, false},
		{"space", host.DNSConfig{Device: "t0", Servers: server, Only: []string{"a b"}}, false},
		{"empty label", host.DNSConfig{Device: "t0", Servers: server, Only: []string{"a..b"}}, false},
		{"root", host.DNSConfig{Device: "t0", Servers: server, Only: []string{"."}}, false},
		{"hyphen", host.DNSConfig{Device: "t0", Servers: server, Only: []string{"-a"}}, false},
		{"long label", host.DNSConfig{Device: "t0", Servers: server, Only: []string{long}}, false},
		{"long name", host.DNSConfig{Device: "t0", Servers: server, Only: []string{strings.Repeat("a.", 127) + "a"}}, false},
	} {
		if err := check(tt.c); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
