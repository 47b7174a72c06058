package firewall

import (
	"net/netip"
	"testing"
	"time"

	"sallyport/core/host"
	"sallyport/core/ts"
	"sallyport/platform/internal/roottest"
)

// many makes n rules of different shapes, none of which concerns the address
// that the test sends to.
var many = map[string]func(i int) (remote ts.Selector, a host.FirewallAction){
	"networks": func(i int) (ts.Selector, host.FirewallAction) {
		return ts.FromPrefix(netip.PrefixFrom(address(16*i), 28+i%5)), host.FirewallAction(1 + i%3)
	},
	"hosts and ports": func(i int) (ts.Selector, host.FirewallAction) {
		return ts.Selector{From: address(2 * i), To: address(2 * i), Protocol: tcp, FromPort: uint16(1 + i), ToPort: uint16(1 + i)}, host.FirewallAction(1 + i%3)
	},
	"ports": func(i int) (ts.Selector, host.FirewallAction) {
		s := ts.FromPrefix(netip.PrefixFrom(netip.IPv4Unspecified(), 0))
		s.Protocol, s.FromPort, s.ToPort = tcp, uint16(1+2*i), uint16(1+2*i)
		return s, host.FirewallAction(1 + i%3)
	},
}

func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)})
}

// TestManyRules sets ten thousand rules in less than a second, after which a
// packet costs about what it did with two. Rules of which each names another
// host and another port, which share nothing, may take longer.
func TestManyRules(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	s := newSender(t)
	every := sel(t, "0.0.0.0/0")
	perPacket := func() time.Duration {
		best := time.Hour
		for range 5 {
			const n = 20000
			start := time.Now()
			for range n {
				if s.passes(udp4(our4, far4, 40000, 443)) {
					t.Fatal("packets pass")
				}
			}
			best = min(best, time.Since(start)/n)
		}
		return best
	}
	mustSet(t, f, require(t))
	few := perPacket()
	for name, shape := range many {
		i := require(t)
		i.Rules = make([]host.FirewallRule, 0, 10001)
		for k := range 10000 {
			remote, action := shape(k)
			i.Rules = append(i.Rules, host.FirewallRule{Local: every, Remote: remote, Action: action})
		}
		mustSet(t, f, require(t))
		start := time.Now()
		mustSet(t, f, i)
		first := time.Since(start)
		i.Rules[0].Action = host.FirewallDrop
		start = time.Now()
		mustSet(t, f, i)
		again := time.Since(start)
		cost := perPacket()
		t.Logf("%s: set in %v, replaced in %v; %v a packet, %v with few rules", name, first, again, cost, few)
		limit := time.Second
		if name == "hosts and ports" {
			limit *= 3
		}
		if min(first, again) > limit {
			t.Errorf("%s: setting 10,000 rules took %v and %v", name, first, again)
		}
		if cost > 4*few {
			t.Errorf("%s: a packet costs %v, with few rules %v", name, cost, few)
		}
	}
}
