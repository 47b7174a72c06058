package firewall

import (
	"net/netip"
	"testing"

	"sallyport/core/host"
	"sallyport/platform/internal/roottest"
)

func udp4(src, dst string, from, to uint16) datagram {
	return datagram{src: src, dst: dst, protocol: udp, l4: ports(from, to)}
}

func tcp4(src, dst string, from, to uint16) datagram {
	d := udp4(src, dst, from, to)
	d.protocol = tcp
	return d
}

func (d datagram) marked(mark int) datagram { d.mark = mark; return d }
func (d datagram) from(user int) datagram   { d.user = user; return d }
func (d datagram) by(device string) datagram {
	d.device = device
	return d
}

func neighbour(src, dst string, kind, hops uint8) datagram {
	return datagram{src: src, dst: dst, protocol: icmpv6, hops: hops, l4: append([]byte{kind, 0, 0, 0}, make([]byte, 20)...)}
}

// Each exemption lets pass what it is for, and not what is next to it.
var exemptions = []struct {
	name     string
	exempt   host.FirewallExempt
	pass     []datagram
	not      []datagram
	arrive   []datagram // let in
	noArrive []datagram
}{{
	name:   "loopback",
	pass:   []datagram{udp4("127.0.0.1", "127.0.0.1", 9999, 9998), udp4("::1", "::1", 9999, 9998), udp4(our4, our4, 9999, 9998)},
	not:    []datagram{udp4(our4, lan4, 9999, 9998), udp4("127.0.0.1", far4, 9999, 9998)},
	exempt: host.FirewallExempt{},
}, {
	name:   "IKE and ESP",
	exempt: host.FirewallExempt{IKE: []uint16{500, 4500}},
	pass: []datagram{
		udp4(our4, far4, 500, 500).marked(mark), udp4(our4, far4, 4500, 4500).marked(mark), udp4(our6, far6, 4500, 4500).marked(mark),
		udp4(our4, far4, 4500, 61234).marked(mark), udp4(our4, far4, 61234, 4500).marked(mark),
	},
	not: []datagram{
		udp4(our4, far4, 500, 500), udp4(our4, far4, 4500, 4500), udp4(our6, far6, 4500, 4500),
		udp4(our4, far4, 4500, 4500).marked(mark + 1), udp4(our4, far4, 4500, 4500).marked(mark).from(65534),
		udp4(our4, far4, 61234, 4501).marked(mark), tcp4(our4, far4, 500, 4500).marked(mark),
		{src: our4, dst: far4, protocol: icmp, l4: []byte{8, 0, 0, 0, 0, 1, 0, 1}, mark: mark},
		{src: our4, dst: far4, protocol: udp, l4: ports(4500, 4500), fragment: 1, mark: mark},
	},
	arrive: []datagram{
		udp4(far4, our4, 4500, 4500), udp4(far6, our6, 500, 500), udp4(far4, our4, 61234, 4500),
		{src: lan4, dst: our4, protocol: icmp, l4: append([]byte{3, 4, 0, 0, 0, 0, 5, 0}, (&datagram{src: our4, dst: far4, protocol: udp, l4: ports(4500, 4500)}).bytes()...)},
		{src: lan6, dst: our6, protocol: icmpv6, l4: append([]byte{2, 0, 0, 0, 0, 0, 5, 0}, (&datagram{src: our6, dst: far6, protocol: udp, l4: ports(4500, 4500)}).bytes()...)},
	},
	noArrive: []datagram{
		udp4(far4, our4, 4500, 4501), tcp4(far4, our4, 4500, 4500), udp4(far6, our6, 500, 501),
		{src: lan4, dst: our4, protocol: icmp, l4: append([]byte{3, 4, 0, 0, 0, 0, 5, 0}, (&datagram{src: our4, dst: far4, protocol: udp, l4: ports(4501, 4500)}).bytes()...)},
		{src: lan4, dst: our4, protocol: icmp, l4: append([]byte{5, 1, 0, 0, 192, 168, 1, 66}, (&datagram{src: our4, dst: far4, protocol: udp, l4: ports(4500, 4500)}).bytes()...)},
		{src: lan6, dst: our6, protocol: icmpv6, l4: append([]byte{1, 0, 0, 0, 0, 0, 0, 0}, (&datagram{src: our6, dst: far6, protocol: tcp, l4: ports(4500, 4500)}).bytes()...)},
	},
}, {
	name:   "the service's name lookups",
	exempt: host.FirewallExempt{Lookup: true},
	pass:   []datagram{udp4(our4, lan4, 40000, 53).marked(mark), tcp4(our4, lan4, 40000, 53).marked(mark), udp4(our6, lan6, 40000, 53).marked(mark)},
	not: []datagram{
		udp4(our4, lan4, 40000, 53), udp4(our4, lan4, 40000, 53).marked(mark).from(65534),
		udp4(our4, lan4, 40000, 54).marked(mark), udp4(our4, lan4, 40000, 853).marked(mark), udp4(our4, far4, 4500, 4500).marked(mark),
	},
	noArrive: []datagram{udp4(lan4, our4, 53, 40000), udp4(lan4, our4, 53, 500)}, // no socket of ours
}, {
	name:   "fetches",
	exempt: host.FirewallExempt{Fetch: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(far4), 80), netip.AddrPortFrom(netip.MustParseAddr(far6), 8080)}},
	pass: []datagram{
		tcp4(our4, far4, 40000, 80).marked(mark),
		{src: our6, dst: far6, protocol: tcp, l4: ports(40000, 8080), mark: mark},
	},
	not: []datagram{
		tcp4(our4, far4, 40000, 80), tcp4(our4, far4, 40000, 80).marked(mark).from(65534), tcp4(our4, far4, 40000, 8080).marked(mark),
		tcp4(our4, lan4, 40000, 80).marked(mark), udp4(our4, far4, 40000, 80).marked(mark), tcp4(our4, far4, 80, 40000).marked(mark),
	},
	noArrive: []datagram{tcp4(far4, our4, 80, 40000), tcp4(far4, our4, 40000, 80)},
}, {
	name:   "DHCP",
	exempt: host.FirewallExempt{DHCP: true},
	pass: []datagram{
		udp4("0.0.0.0", "255.255.255.255", 68, 67).by("q0"), udp4(our4, lan4, 68, 67), udp4(our4, far4, 68, 67),
		udp4("fe80::1", "ff02::1:2", 546, 547), udp4("fe80::1", "fe80::9", 546, 547),
	},
	not: []datagram{
		udp4(our4, lan4, 68, 68), udp4(our4, lan4, 1068, 67), tcp4(our4, lan4, 68, 67), udp4(our4, lan4, 67, 68), udp4(our6, lan6, 68, 67),
		udp4(our4, lan4, 546, 547), udp4("fe80::1", "ff02::1:2", 547, 546), udp4(our6, far6, 546, 547), udp4("fe80::1", "ff02::1", 546, 547),
	},
	arrive:   []datagram{udp4(lan4, our4, 67, 68), udp4("fe80::9", our6, 547, 546)},
	noArrive: []datagram{udp4(lan4, our4, 67, 69), udp4(lan4, our4, 66, 68), udp4("fe80::9", our6, 546, 547)},
}, {
	name:   "neighbour discovery",
	exempt: host.FirewallExempt{NDP: true},
	pass: []datagram{
		neighbour("fe80::1", "ff02::2", 133, 255), neighbour("fe80::1", "ff02::1", 134, 255),
		neighbour(our6, "ff02::1:ff00:1", 135, 255), neighbour(our6, lan6, 136, 255),
	},
	not: []datagram{
		neighbour("fe80::1", "ff02::2", 133, 64), neighbour(our6, lan6, 136, 254), neighbour(our6, lan6, 128, 255),
		neighbour(our6, lan6, 137, 255), neighbour(our6, "ff02::16", 143, 255), udp4(our6, lan6, 135, 135),
		{src: our6, dst: far6, protocol: icmpv6, hops: 255, l4: neighbour(our6, lan6, 136, 255).l4, ext: 44, next: []byte{icmpv6, 0, 0, 8, 0, 0, 0, 1}},
	},
	arrive:   []datagram{neighbour("fe80::9", "ff02::1", 134, 255), neighbour(lan6, our6, 136, 255)},
	noArrive: []datagram{neighbour("fe80::9", our6, 134, 64), neighbour("fe80::9", our6, 137, 255), neighbour("fe80::9", our6, 128, 255)},
}, {
	name:   "the local network",
	exempt: host.FirewallExempt{LAN: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fe80::/10")}},
	pass:   []datagram{udp4(our4, lan4, 40000, 631), tcp4(our4, "192.168.1.255", 40000, 9100), udp4("fe80::1", "fe80::9", 40000, 631), {src: our4, dst: lan4, protocol: icmp, l4: []byte{8, 0, 0, 0, 0, 1, 0, 1}}},
	not: []datagram{
		udp4(our4, far4, 40000, 631), udp4(our4, "192.168.2.1", 40000, 631), udp4(our6, lan6, 40000, 631),
		udp4(our4, lan4, 40000, 53), tcp4(our4, lan4, 40000, 53), tcp4(our4, lan4, 40000, 853), udp4(our4, lan4, 40000, 853), udp4("fe80::1", "fe80::9", 40000, 53),
		udp4(our4, "224.0.0.251", 5353, 5353), udp4(our4, "255.255.255.255", 40000, 631).by("q0"),
		{src: our4, dst: lan4, protocol: udp, l4: ports(40000, 631), fragment: 1}, // may be DNS
	},
	arrive:   []datagram{udp4(lan4, our4, 631, 40000), tcp4("192.168.1.77", our4, 40000, 22)},
	noArrive: []datagram{udp4("192.168.2.1", our4, 631, 40000), udp4(lan4, our4, 53, 40000), udp4(far4, our4, 631, 40000)},
}, {
	name:   "discovery on the local network",
	exempt: host.FirewallExempt{LANDiscovery: true},
	pass: []datagram{
		udp4(our4, "224.0.0.251", 5353, 5353), udp4(our4, "224.0.0.252", 40000, 5355), udp4(our4, "239.255.255.250", 40000, 1900),
		udp4("fe80::1", "ff02::fb", 5353, 5353), udp4("fe80::1", "ff02::1:3", 40000, 5355), udp4("fe80::1", "ff02::c", 40000, 1900),
	},
	not: []datagram{
		udp4(our4, "224.0.0.251", 5353, 5354), udp4(our4, "224.0.0.250", 5353, 5353), tcp4(our4, "224.0.0.251", 5353, 5353),
		udp4("fe80::1", "ff02::fb", 5353, 53), udp4("fe80::1", "ff05::fb", 5353, 5353), udp4(our4, lan4, 5353, 5353),
	},
}}

func TestExemptions(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	s, w := newSender(t), tap(t)
	// The peer's kernel keeps silent, so that what is counted is what was sent.
	roottest.Run(t, "ip netns exec qpeer sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
	roottest.Run(t, "ip -n qpeer addr flush dev q1")
	roottest.Run(t, "ip route add broadcast 255.255.255.255 dev q0")
	roottest.Run(t, "ip -6 addr add fe80::1/64 dev q0 nodad")
	for _, tt := range exemptions {
		i := require(t)
		mustSet(t, f, i) // without the exemption
		for _, d := range tt.pass {
			if tt.name != "loopback" && s.passes(d) {
				t.Errorf("%s: %+v passes without the exemption", tt.name, d)
			}
		}
		i.Exempt = tt.exempt
		mustSet(t, f, i)
		for _, d := range tt.pass {
			if !s.passes(d) {
				t.Errorf("%s: %+v does not pass", tt.name, d)
			}
		}
		w.settle()
		for _, d := range tt.not {
			if s.passes(d) {
				t.Errorf("%s: %+v passes", tt.name, d)
			}
		}
		w.nothing(tt.name)
		for _, d := range tt.arrive {
			before := counter(t, "in_dropped")
			w.inject(d)
			w.settle()
			if counter(t, "in_dropped") != before {
				t.Errorf("%s: %+v may not arrive", tt.name, d)
			}
		}
		for _, d := range tt.noArrive {
			before := counter(t, "in_dropped")
			w.inject(d)
			w.settle()
			if counter(t, "in_dropped") == before {
				t.Errorf("%s: %+v arrives", tt.name, d)
			}
		}
	}
}

// TestStrongerThanLAN are rules that the exemption of the LAN does not touch.
func TestStrongerThanLAN(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	s := newSender(t)
	i := require(t)
	i.Rules = append([]host.FirewallRule{rule(t, "10.10.0.0/16", host.FirewallTunnelOnly), rule(t, "0.0.0.0/0[tcp/25]", host.FirewallDrop)}, i.Rules...)
	// A network may well say that it is all of 10.0.0.0/8, or a part of the company's.
	i.Exempt.LAN = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.10.1.0/24")}
	mustSet(t, f, i)
	for dst, want := range map[string]bool{"10.10.1.1": false, "10.10.2.1": false, "10.11.0.1": true} {
		if got := s.passes(tcp4(our4, dst, 40000, 443)); got != want {
			t.Errorf("to %s: passes %v, want %v", dst, got, want)
		}
	}
	if s.passes(tcp4(our4, "10.11.0.1", 40000, 25)) {
		t.Error("what is blocked passes to the LAN")
	}
}
