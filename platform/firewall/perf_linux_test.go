package firewall

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"sallyport/core/host"
	"sallyport/core/ts"
	"sallyport/platform/internal/roottest"
)

func TestTenThousand(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	const n = 10000
	host4 := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)}) }
	every := sel(t, "0.0.0.0/0")
	for name, shape := range map[string]func(i int) host.FirewallRule{
		"hosts": func(i int) host.FirewallRule {
			return host.FirewallRule{Local: every, Remote: ts.FromPrefix(netip.PrefixFrom(host4(2*i), 32)), Action: host.FirewallAction(1 + i%3)}
		},
		"hosts, one port": func(i int) host.FirewallRule {
			s := ts.Selector{From: host4(2 * i), To: host4(2 * i), Protocol: 6, FromPort: 443, ToPort: 443}
			return host.FirewallRule{Local: every, Remote: s, Action: host.FirewallAction(1 + i%3)}
		},
		"hosts and ports": func(i int) host.FirewallRule {
			s := ts.Selector{From: host4(2 * i), To: host4(2 * i), Protocol: 6, FromPort: uint16(1 + i), ToPort: uint16(1 + i)}
			return host.FirewallRule{Local: every, Remote: s, Action: host.FirewallAction(1 + i%3)}
		},
		"ports": func(i int) host.FirewallRule {
			s := every
			s.Protocol, s.FromPort, s.ToPort = 17, uint16(1+2*i), uint16(1+2*i)
			return host.FirewallRule{Local: every, Remote: s, Action: host.FirewallAction(1 + i%3)}
		},
	} {
		if x := os.Getenv("SHAPE"); x != "" && x != name {
			continue
		}
		rules := make([]host.FirewallRule, n)
		for i := range rules {
			rules[i] = shape(i)
		}
		f := New(Config{Mark: 1})
		for range 2 {
			start := time.Now()
			err := f.Set(host.FirewallIntent{Device: "sp0", Rules: rules, Default: host.FirewallTunnelOnly})
			t.Log(name, time.Since(start), err)
			rules[0].Action = host.FirewallDrop
		}
		start := time.Now()
		t.Log(f.Cleanup(), time.Since(start))
		f.Close()
	}
}
