package policy

import (
	"net/netip"
	"strings"
	"testing"

	"sallyport/core/ippkt"
)

func TestExplain(t *testing.T) {
	env := laptop(t, "10.0.0.0/8")
	p, err := Parse("t.toml", []byte(head+lists+`
[[filter_lists]]
name = "time"
filters = [{source = "me", destination = "10.0.0.9", protocol = "udp", destination_port = "123"}]
`+rule("Office", "net", StockRequest, viaOffice)+rule("Time", "time", StockPermit)+rule("Ping", ListAllICMP, StockPermit)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Compile(p, env)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, flow := range []string{"10.1.2.3:443/tcp", "10.0.0.9:123/udp", "192.168.1.7 -> 8.8.8.8/icmp", "[2001:db8::1]:443", "10.1.2.3", "100.64.3.4:99 → 10.0.0.1:22"} {
		x, err := c.Explain(flow, nil)
		if err != nil {
			t.Errorf("%s: %v", flow, err)
			continue
		}
		out.WriteString(x.Text())
	}
	fallen, err := c.Explain("10.1.2.3:443/tcp", func(*Entry) []netip.Prefix { return []netip.Prefix{prefix("10.1.0.0/16")} })
	if err != nil || fallen.Firewall != "clear" {
		t.Errorf("after falling back: %+v, %v", fallen, err)
	}
	out.WriteString(fallen.Text())
	golden(t, "explain.txt", out.String())
}

func TestParseFlow(t *testing.T) {
	c, _ := compile(New("x"), laptop(t))
	for _, tt := range []struct{ in, want string }{
		{"10.1.2.3:443/tcp", "192.168.1.7:49152 → 10.1.2.3:443/tcp"},
		{"192.168.1.9:53/udp", "192.168.1.7:49152 → 192.168.1.9:53/udp"},
		{" 1.2.3.4:5 -> 10.1.2.3:443 ", "1.2.3.4:5 → 10.1.2.3:443/tcp"},
		{"1.2.3.4/udp -> 10.1.2.3:53", "1.2.3.4:49152 → 10.1.2.3:53/udp"},
		{"10.1.2.3/gre", "192.168.1.7 → 10.1.2.3/gre"},
		{"10.1.2.3/50", "192.168.1.7 → 10.1.2.3/esp"},
		{"fe80::9", "fe80::7 → fe80::9/icmpv6"},
		{"2001:db8::1/icmp", ":: → 2001:db8::1/icmpv6"},
	} {
		f, err := c.ParseFlow(tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
		} else if got := describeFlow(f); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.in, got, tt.want)
		}
	}
	for _, in := range []string{
		"", "->", "10.1.2.3:443/tcpp", "10.1.2.3:99999", "10.1.2.3/tcp", "10.1.2.3:5/gre", "10.1.2.3:5/icmp", "1.2.3.4 -> ::1",
		"1.2.3.4:1/udp -> 1.2.3.5:1/tcp", "fe80::1%eth0", "example.com:443", strings.Repeat("1", 999), "10.1.2.3:443/any",
	} {
		if f, err := c.ParseFlow(in); err == nil {
			t.Errorf("%q: got %v", in, f)
		}
	}
}

func FuzzParseFlow(f *testing.F) {
	for _, s := range []string{"10.1.2.3:443/tcp", "1.2.3.4:5 -> 10.1.2.3:443", "[2001:db8::1]:53/udp", "10.1.2.3/icmp", "10.1.2.3/47"} {
		f.Add(s)
	}
	c, _ := compile(New("x"), Env{})
	f.Fuzz(func(t *testing.T, text string) {
		flow, err := c.ParseFlow(text)
		if err != nil {
			return
		}
		if flow.V6 != flow.Dst.IP(flow.V6).Is6() || ippktICMP(flow) {
			return
		}
		again, err := c.ParseFlow(describeFlow(flow))
		if err != nil || again != flow {
			t.Errorf("%q is %v, read back as %v, %v", text, flow, again, err)
		}
	})
}

func ippktICMP(f ippkt.Flow) bool {
	return f.Proto == 1 || f.Proto == 58 || f.Proto == 135 || f.Proto == 0
}
