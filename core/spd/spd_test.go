package spd

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"sallyport/core/ippkt"
	"sallyport/core/ts"
)

func sel(from, to string, proto uint8, fromPort, toPort uint16) ts.Selector {
	return ts.Selector{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to), Protocol: proto, FromPort: fromPort, ToPort: toPort}
}

func flow(src, dst string, proto uint8, sport, dport uint16) ippkt.Flow {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	return ippkt.Flow{Src: ippkt.AddrFrom(s), Dst: ippkt.AddrFrom(d), Proto: proto, SrcPort: sport, DstPort: dport, V6: s.Is6()}
}

func opaque(f ippkt.Flow) ippkt.Flow {
	f.SrcPort, f.DstPort, f.Opaque = 0, 0, true
	return f
}

func TestPair(t *testing.T) {
	anyLocal := ts.List{sel("0.0.0.0", "255.255.255.255", 0, 0, 65535)}
	for _, tt := range []struct {
		name          string
		local, remote ts.List
		f             ippkt.Flow
		want          bool
	}{
		{"any", anyLocal, anyLocal, flow("1.2.3.4", "5.6.7.8", 6, 1, 2), true},
		{"any is of one family", anyLocal, anyLocal, flow("::1", "::2", 6, 1, 2), false},
		{"mapped is not IPv4", anyLocal, anyLocal, flow("::ffff:1.2.3.4", "::ffff:5.6.7.8", 6, 1, 2), false},
		{"nothing", nil, anyLocal, flow("1.2.3.4", "5.6.7.8", 6, 1, 2), false},
		{"first of range", anyLocal, ts.List{sel("10.0.0.5", "10.0.0.9", 0, 0, 65535)}, flow("1.2.3.4", "10.0.0.5", 6, 1, 2), true},
		{"last of range", anyLocal, ts.List{sel("10.0.0.5", "10.0.0.9", 0, 0, 65535)}, flow("1.2.3.4", "10.0.0.9", 6, 1, 2), true},
		{"beyond range", anyLocal, ts.List{sel("10.0.0.5", "10.0.0.9", 0, 0, 65535)}, flow("1.2.3.4", "10.0.0.10", 6, 1, 2), false},
		{"second selector", anyLocal, ts.List{sel("10.0.0.5", "10.0.0.9", 0, 0, 65535), sel("10.1.0.0", "10.1.0.0", 0, 0, 65535)}, flow("1.2.3.4", "10.1.0.0", 6, 1, 2), true},
		{"protocol", anyLocal, ts.List{sel("0.0.0.0", "255.255.255.255", 17, 0, 65535)}, flow("1.2.3.4", "5.6.7.8", 6, 1, 2), false},
		{"remote port", anyLocal, ts.List{sel("0.0.0.0", "255.255.255.255", 6, 443, 443)}, flow("1.2.3.4", "5.6.7.8", 6, 1, 443), true},
		{"remote port is not the local one", anyLocal, ts.List{sel("0.0.0.0", "255.255.255.255", 6, 443, 443)}, flow("1.2.3.4", "5.6.7.8", 6, 443, 1), false},
		{"port unseen", anyLocal, ts.List{sel("0.0.0.0", "255.255.255.255", 6, 443, 443)}, opaque(flow("1.2.3.4", "5.6.7.8", 6, 0, 0)), false},
		{"any port, unseen", anyLocal, anyLocal, opaque(flow("1.2.3.4", "5.6.7.8", 6, 0, 0)), true},
		{"opaque", anyLocal, ts.List{sel("0.0.0.0", "255.255.255.255", 6, 65535, 0)}, opaque(flow("1.2.3.4", "5.6.7.8", 6, 0, 0)), true},
		{"opaque, but seen", anyLocal, ts.List{sel("0.0.0.0", "255.255.255.255", 6, 65535, 0)}, flow("1.2.3.4", "5.6.7.8", 6, 65535, 0), false},
		{"ICMP type and code", anyLocal, ts.List{sel("0.0.0.0", "255.255.255.255", 1, 8<<8, 8<<8|255)}, flow("1.2.3.4", "5.6.7.8", 1, 8<<8, 8<<8), true},
		{"ICMP other type", anyLocal, ts.List{sel("0.0.0.0", "255.255.255.255", 1, 8<<8, 8<<8|255)}, flow("1.2.3.4", "5.6.7.8", 1, 0, 0), false},
		{"IPv6", ts.List{sel("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0, 0, 65535)}, ts.List{sel("2001:db8::", "2001:db8::ffff", 0, 0, 65535)}, flow("fe80::1", "2001:db8::1", 6, 1, 2), true},
		{"invalid selector", ts.List{{}}, anyLocal, flow("1.2.3.4", "5.6.7.8", 6, 1, 2), false},
	} {
		if got := NewPair(tt.local, tt.remote).Match(&tt.f); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func TestLookupOrder(t *testing.T) {
	all := ts.List{sel("0.0.0.0", "255.255.255.255", 0, 0, 65535)}
	p := NewPolicy([]Entry{
		{Local: all, Remote: ts.List{sel("10.0.0.1", "10.0.0.1", 0, 0, 65535)}, Action: Bypass},
		{Local: all, Remote: ts.List{sel("10.0.0.0", "10.255.255.255", 0, 0, 65535)}, Action: Protect, Group: 7},
		{Local: all, Remote: ts.List{sel("10.0.0.0", "10.0.0.255", 0, 0, 65535)}, Action: Discard},
	})
	for _, tt := range []struct {
		dst    string
		action Action
		index  int
	}{
		{"10.0.0.1", Bypass, 0},
		{"10.0.0.2", Protect, 1},
		{"11.0.0.1", Discard, -1},
	} {
		f := flow("1.1.1.1", tt.dst, 6, 1, 2)
		if a, i := p.Lookup(&f); a != tt.action || i != tt.index {
			t.Errorf("%s: %v, entry %d", tt.dst, a, i)
		}
	}
}

// TestAgainstSelectors holds Match against ts.Selector.Contains on random
// packets.
func TestAgainstSelectors(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	addr := func() netip.Addr {
		if r.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(8))})
		}
		return netip.AddrFrom16([16]byte{0xfd, 15: byte(r.IntN(8))})
	}
	list := func() (l ts.List) {
		for range 1 + r.IntN(3) {
			a, b := addr(), addr()
			if a.Is4() != b.Is4() {
				continue
			}
			if b.Less(a) {
				a, b = b, a
			}
			s := ts.Selector{From: a, To: b, Protocol: uint8(r.IntN(3)) * 6, ToPort: 65535}
			if r.IntN(2) == 0 {
				s.FromPort = uint16(r.IntN(8))
				s.ToPort = s.FromPort + uint16(r.IntN(4))
			}
			l = append(l, s)
		}
		return l
	}
	contains := func(l ts.List, a netip.Addr, proto uint8, port uint16) bool {
		for _, s := range l {
			if s.Contains(a, proto, port) {
				return true
			}
		}
		return false
	}
	matches := 0
	for range 100000 {
		local, remote, src, dst := list(), list(), addr(), addr()
		if src.Is4() != dst.Is4() {
			continue
		}
		f := ippkt.Flow{Src: ippkt.AddrFrom(src), Dst: ippkt.AddrFrom(dst), V6: src.Is6(),
			Proto: uint8(r.IntN(3)) * 6, SrcPort: uint16(r.IntN(12)), DstPort: uint16(r.IntN(12))}
		f.Opaque = !ts.HasPorts(f.Proto)
		want := contains(local, src, f.Proto, f.SrcPort) && contains(remote, dst, f.Proto, f.DstPort)
		if got := NewPair(local, remote).Match(&f); got != want {
			t.Fatalf("%v from %v to %v: got %v", f, local, remote, got)
		}
		if want {
			matches++
		}
	}
	if matches < 100 {
		t.Errorf("only %d matches", matches)
	}
}
