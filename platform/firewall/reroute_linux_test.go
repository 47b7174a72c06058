package firewall

import (
	"net/netip"
	"testing"
	"time"

	"sallyport/core/host"
	"sallyport/platform/internal/roottest"
)

// TestReroutedByOthers has another program route packets anew after the kernel
// has chosen the tunnel for them: what it sees last counts.
func TestReroutedByOthers(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	roottest.Command(t, "nft")
	f := network(t)
	s, w := newSender(t), tap(t)
	for _, c := range []string{
		"ip route add default dev sp0 table 77", "ip -6 route add default dev sp0 table 77",
		"ip rule add not fwmark 7 table 77 priority 700", "ip -6 rule add not fwmark 7 table 77 priority 700",
		"nft add table inet other",
		"nft add chain inet other reroute { type route hook output priority mangle ; }",
		"nft add rule inet other reroute udp dport { 53, 443 } meta mark set 7",
	} {
		roottest.Run(t, c)
	}
	open := require(t)
	open.Rules, open.Default = nil, host.FirewallClear
	mustSet(t, f, open)
	for _, d := range []datagram{udp4(our4, far4, 40000, 443), udp4(our6, far6, 40000, 443)} {
		if !s.passes(d) || !w.arrives(d.dst) {
			t.Fatal("the other program routes nothing, so that the test proves nothing")
		}
	}
	mustSet(t, f, require(t))
	for _, d := range []datagram{udp4(our4, far4, 40000, 443), udp4(our6, far6, 40000, 443)} {
		if s.passes(d) {
			t.Errorf("%+v passes", d)
		}
	}
	w.nothing("routed anew by another program")
	open.DNSInside = true
	mustSet(t, f, open)
	for _, d := range []datagram{udp4(our4, far4, 40000, 53), udp4(our6, far6, 40000, 53)} {
		if s.passes(d) {
			t.Errorf("%+v passes", d)
		}
	}
	w.nothing("DNS routed anew by another program")
}

// arrives waits for a packet to an address.
func (w *wire) arrives(dst string) bool {
	a := netip.MustParseAddr(dst)
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		for _, p := range w.settle() {
			at := 16
			if a.Is6() {
				at = 24
			}
			if got, ok := netip.AddrFromSlice(p[at:][:a.BitLen()/8]); ok && got == a {
				return true
			}
		}
	}
	return false
}
