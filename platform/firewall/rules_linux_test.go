package firewall

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"sallyport/core/host"
	"sallyport/core/ts"
	"sallyport/platform/firewall/internal/decidetest"
	"sallyport/platform/internal/roottest"
)

// frame makes a packet of the model real: seen from this machine, and without
// visible ports as a fragment or with a header cut short.
func frame(p decidetest.Packet, v6, cut bool) datagram {
	d := datagram{src: p.Local.String(), dst: p.Remote.String(), protocol: p.Protocol}
	if !ts.HasPorts(p.Protocol) || !p.Unseen {
		d.l4 = ports(p.LocalPort, p.RemotePort)
		switch p.Protocol {
		case 135: // the type is the third byte
			binary.BigEndian.PutUint16(d.l4[2:], p.RemotePort)
		case 1, 58:
			binary.BigEndian.PutUint16(d.l4, p.RemotePort)
		}
		return d
	}
	if cut {
		d.l4 = []byte{0, 80}
		return d
	}
	d.l4 = ports(80, 80)
	if v6 {
		d.ext, d.next = 44, []byte{p.Protocol, 0, 0, 8, 0, 0, 0, 1}
	} else {
		d.fragment = 1
	}
	return d
}

// TestKernelDecidesAsTheRulesDo sends packets against random rules, through the
// physical device and through the tunnel's.
func TestKernelDecidesAsTheRulesDo(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	s := newSender(t)
	for seed := range uint64(60) {
		w := decidetest.World{Rand: rand.New(rand.NewPCG(seed, 2)), V6: seed%2 == 1}
		n := int(seed)
		if seed%20 > 17 {
			n = 300
		}
		rules := w.Rules(n)
		in := host.FirewallRule{Local: decidetest.Every(w.V6), Remote: decidetest.Every(w.V6), Action: host.FirewallAction(1 + seed%3), Direction: host.FirewallIn}
		mustSet(t, f, host.FirewallIntent{Device: "sp0", Rules: append([]host.FirewallRule{in}, rules[:n]...), Default: rules[n].Action})
		for k := range 150 {
			p := w.Packet()
			if w.V6 && p.Protocol == 0 {
				continue // the number of an extension header
			}
			d := frame(p, w.V6, k%2 == 0)
			want := decidetest.Judge(rules, p)
			if got := s.passes(d); got != (want == host.FirewallClear) {
				t.Fatalf("seed %d: %v: passes %v, want %v, by\n%v", seed, p, got, want, rules)
			}
			d.device = "sp0"
			if got := s.passes(d); got != (want != host.FirewallDrop) {
				t.Fatalf("seed %d: %v: passes %v through the tunnel, want %v, by\n%v", seed, p, got, want, rules)
			}
		}
	}
}

// TestKernelDecidesInboundAsTheRulesDo is the same for what arrives.
func TestKernelDecidesInboundAsTheRulesDo(t *testing.T) {
	if !roottest.Namespace(t) {
		return
	}
	f := network(t)
	wire := tap(t)
	for i := range byte(8) {
		roottest.Run(t, "ip addr add "+netip.AddrFrom4([4]byte{10, 0, 0, i}).String()+"/32 dev q0")
		roottest.Run(t, "ip addr add "+netip.AddrFrom16([16]byte{0xfd, 15: i}).String()+"/128 dev q0 nodad")
	}
	roottest.Run(t, "ip route add 10.1.0.0/24 via 192.168.1.1")
	roottest.Run(t, "ip -6 route add fd00:1::/64 via 2001:db8:1::1")
	away := func(a netip.Addr) netip.Addr { // where remote addresses are, so that they are not local too
		if a.Is4() {
			b := a.As4()
			if b[0] == 10 {
				b[1] = 1
			}
			return netip.AddrFrom4(b)
		}
		b := a.As16()
		if b[0] == 0xfd {
			b[3] = 1
		}
		return netip.AddrFrom16(b)
	}
	for seed := range uint64(24) {
		w := decidetest.World{Rand: rand.New(rand.NewPCG(seed, 3)), V6: seed%2 == 1}
		rules := w.Rules(int(seed) * 2)
		for i := range rules {
			r := &rules[i].Remote
			r.From, r.To = away(r.From), away(r.To)
		}
		last := len(rules) - 1
		out := host.FirewallRule{Local: decidetest.Every(w.V6), Remote: decidetest.Every(w.V6), Action: host.FirewallAction(1 + seed%3), Direction: host.FirewallOut}
		mustSet(t, f, host.FirewallIntent{Device: "sp0", Rules: append([]host.FirewallRule{out}, rules[:last]...), Default: rules[last].Action})
		for range 40 {
			p := w.Packet()
			p.Remote = away(p.Remote)
			if w.V6 && p.Protocol == 0 || p.Protocol == 58 && p.RemotePort == 0x0800 || p.Protocol == 1 && p.RemotePort == 0x0800 {
				continue
			}
			d := frame(p, w.V6, !w.V6) // fragments of IPv4 are put together before they are judged
			d.src, d.dst = d.dst, d.src
			if !p.Unseen && p.Protocol != 1 && p.Protocol != 58 && p.Protocol != 135 {
				l4 := ports(p.RemotePort, p.LocalPort)
				copy(d.l4, l4)
			}
			want := "in_cleared"
			if decidetest.Judge(rules, p) != host.FirewallClear {
				want = "in_dropped"
			}
			before := counter(t, want)
			wire.inject(d)
			deadline := time.Now().Add(2 * time.Second)
			for counter(t, want) == before && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond)
			}
			if counter(t, want) != before+1 {
				t.Fatalf("seed %d: %v: %s went from %d to %d, by\n%v", seed, p, want, before, counter(t, want), rules)
			}
		}
	}
}
