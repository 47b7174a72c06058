package ts

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func mustParse(t testing.TB, text string) Selector {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustList(t testing.TB, texts ...string) List {
	t.Helper()
	var l List
	for _, text := range texts {
		l = append(l, mustParse(t, text))
	}
	return l
}

func TestContains(t *testing.T) {
	addr := netip.MustParseAddr
	tests := []struct {
		selector string
		addr     string
		protocol uint8
		port     uint16
		want     bool
	}{
		{"10.0.0.0/8", "10.255.255.255", protoTCP, 80, true},
		{"10.0.0.0/8", "11.0.0.0", protoTCP, 80, false},
		{"10.0.0.0/8", "10.1.1.1", 47, 0, true},
		{"10.0.0.0/8[tcp]", "10.1.1.1", protoTCP, 80, true},
		{"10.0.0.0/8[tcp]", "10.1.1.1", protoUDP, 80, false},
		{"10.0.0.0/8[tcp/80]", "10.1.1.1", protoTCP, 80, true},
		{"10.0.0.0/8[tcp/80]", "10.1.1.1", protoTCP, 81, false},
		{"10.0.0.0/8[any/80]", "10.1.1.1", protoUDP, 80, true},
		{"10.0.0.0/8[any/80]", "10.1.1.1", 47, 80, false}, // GRE has no ports
		{"10.0.0.0/8[gre]", "10.1.1.1", 47, 0, true},
		{"10.0.0.0/8[gre/opaque]", "10.1.1.1", 47, 0, true},
		{"10.0.0.0/8[tcp/opaque]", "10.1.1.1", protoTCP, 0, false},
		{"10.0.0.0/8[tcp/opaque]", "10.1.1.1", protoTCP, 65535, false},
		{"10.0.0.0/8[icmp/8]", "10.1.1.1", protoICMP, 8<<8 | 3, true},
		{"10.0.0.0/8[icmp/8(0)]", "10.1.1.1", protoICMP, 8<<8 | 3, false},
		{"0.0.0.0/0", "::ffff:10.0.0.1", protoTCP, 80, false},
		{"::/0", "10.0.0.1", protoTCP, 80, false},
		{"2001:db8::/32", "2001:db8:ffff::1", protoTCP, 80, true},
		{"2001:db8::/32", "2001:db9::", protoTCP, 80, false},
	}
	for _, tt := range tests {
		s := mustParse(t, tt.selector)
		if got := s.Contains(addr(tt.addr), tt.protocol, tt.port); got != tt.want {
			t.Errorf("%v contains %v protocol %d port %d: got %v", s, tt.addr, tt.protocol, tt.port, got)
		}
		if got := (List{s}).Contains(addr(tt.addr), tt.protocol, tt.port); got != tt.want {
			t.Errorf("list of %v contains %v protocol %d port %d: got %v", s, tt.addr, tt.protocol, tt.port, got)
		}
	}
	if (Selector{}).Contains(addr("10.0.0.1"), 0, 0) {
		t.Error("the zero selector matches")
	}
	if l := mustList(t, "10.0.0.0/8[tcp/80]", "10.0.0.1[tcp/opaque]"); !l.ContainsOpaque(addr("10.0.0.1"), protoTCP) ||
		l.ContainsOpaque(addr("10.0.0.2"), protoTCP) {
		t.Error("a fragment matches OPAQUE and any, not ports")
	}
}

func TestNarrow(t *testing.T) {
	tests := []struct {
		name          string
		policy, offer []string
		want          string
	}{
		{"wide offer", []string{"10.0.0.0/8"}, []string{"0.0.0.0/0", "::/0"}, "10.0.0.0/8"},
		{"order of the offer", []string{"10.0.0.0/8", "192.168.0.0/16"}, []string{"192.168.1.1", "0.0.0.0/0"}, "192.168.1.1, 10.0.0.0/8, 192.168.0.0/16"},
		{"nothing twice", []string{"10.0.0.0/8", "10.1.0.0/16"}, []string{"10.1.0.0/16"}, "10.1.0.0/16"},
		{"protocol and ports", []string{"10.0.0.0/8[tcp/1-100]"}, []string{"10.0.0.0/24[any/80-200]"}, "10.0.0.0/24[tcp/80-100]"},
		{"any port and opaque", []string{"10.0.0.0/8"}, []string{"10.0.0.0/8[tcp/opaque]"}, "10.0.0.0/8[tcp/opaque]"},
		{"ports and opaque", []string{"10.0.0.0/8[tcp/0-65534]"}, []string{"10.0.0.0/8[tcp/opaque]"}, ""},
		{"families", []string{"::/0"}, []string{"0.0.0.0/0"}, ""},
		{"protocols", []string{"0.0.0.0/0[udp]"}, []string{"0.0.0.0/0[tcp]"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustList(t, tt.policy...).Narrow(mustList(t, tt.offer...)).String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestNarrowBounded(t *testing.T) {
	var policy, offer List
	for i := range 20 {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i), 0})
		policy = append(policy, Selector{From: a, To: netip.AddrFrom4([4]byte{10, 1, 0, 0}), ToPort: 65535})
		offer = append(offer, Selector{From: a, To: netip.AddrFrom4([4]byte{10, 0, 255, byte(i)}), Protocol: protoTCP, FromPort: uint16(i), ToPort: uint16(i)})
	}
	got := policy.Narrow(offer)
	if len(got) > MaxSelectors {
		t.Errorf("%d selectors", len(got))
	}
	if !policy.Covers(got) || !offer.Covers(got) {
		t.Error("narrowed to more than the offer or the policy")
	}
}

func TestCovers(t *testing.T) {
	tests := []struct {
		name string
		l, o []string
		want bool
	}{
		{"halves", []string{"0.0.0.0/1", "128.0.0.0/1"}, []string{"0.0.0.0/0"}, true},
		{"hole", []string{"0.0.0.0/1", "128.0.0.1-255.255.255.255"}, []string{"0.0.0.0/0"}, false},
		{"ports together lack opaque", []string{"10.0.0.1[tcp/0-99]", "10.0.0.1[tcp/100-65534]", "10.0.0.1[tcp/65535]"}, []string{"10.0.0.1[tcp]"}, false},
		{"ports and opaque", []string{"10.0.0.1[tcp/0-99]", "10.0.0.1[tcp/100-65534]", "10.0.0.1[tcp/65535]", "10.0.0.1[tcp/opaque]"}, []string{"10.0.0.1[tcp]"}, true},
		{"protocols one by one", []string{"10.0.0.1[tcp]", "10.0.0.1[udp]"}, []string{"10.0.0.1"}, false},
		{"any covers each", []string{"10.0.0.1"}, []string{"10.0.0.1[tcp]", "10.0.0.1[udp/opaque]"}, true},
		{"nothing", nil, nil, true},
		{"by nothing", nil, []string{"10.0.0.1"}, false},
		{"last address", []string{"255.255.255.0/24"}, []string{"255.255.255.255"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustList(t, tt.l...).Covers(mustList(t, tt.o...)); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestPrefixes(t *testing.T) {
	tests := []struct {
		name string
		l    []string
		want []string
	}{
		{"merged", []string{"10.0.1.0/24", "10.0.0.0/24[tcp]"}, []string{"10.0.0.0/23"}},
		{"range", []string{"10.0.0.1-10.0.0.6"}, []string{"10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6/32"}},
		{"everything", []string{"0.0.0.0/0", "10.0.0.0/8", "255.255.255.255", "::/0", "::1"}, []string{"0.0.0.0/0", "::/0"}},
		{"families never merge", []string{"255.255.255.255", "::"}, []string{"255.255.255.255/32", "::/128"}},
		{"all but one", []string{"0.0.0.1-255.255.255.255"}, func() (want []string) {
			for i := range 32 {
				want = append(want, netip.PrefixFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 1<<i))), 32-i).String())
			}
			return want
		}()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := mustList(t, tt.l...).Prefixes()
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i].String() != tt.want[i] {
					t.Errorf("got %v, want %v", got[i], tt.want[i])
				}
			}
		})
	}
}

// small returns a random selector of a space small enough to enumerate: 16
// addresses, three protocols and a few ports.
func small(r *rand.Rand) Selector {
	base := [16]byte{0x20, 1}
	addr := func(n int) netip.Addr {
		b := base
		b[15] = byte(n)
		return netip.AddrFrom16(b)
	}
	if r.IntN(4) == 0 {
		addr = func(n int) netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, byte(240 + n)}) }
	}
	from := r.IntN(16)
	s := Selector{
		From: addr(from), To: addr(from + r.IntN(16-from)),
		Protocol: []uint8{0, 0, protoTCP, protoUDP, 47}[r.IntN(5)],
	}
	edges := []uint16{0, 1, 2, 3, 65534, 65535}
	switch r.IntN(4) {
	case 0:
		s.FromPort, s.ToPort = 65535, 0
	case 1:
		s.ToPort = 65535
	default:
		i := r.IntN(len(edges))
		s.FromPort, s.ToPort = edges[i], edges[i+r.IntN(len(edges)-i)]
	}
	return s
}

// A packet is a point of the small space; port opaquePort means none.
type packet struct {
	addr     netip.Addr
	protocol uint8
	port     uint32
}

func packets() []packet {
	var all []packet
	for n := range 16 {
		b := [16]byte{0x20, 1}
		b[15] = byte(n)
		for _, a := range []netip.Addr{netip.AddrFrom16(b), netip.AddrFrom4([4]byte{255, 255, 255, byte(240 + n)})} {
			for _, protocol := range []uint8{0, protoTCP, protoUDP, 47} {
				for _, port := range []uint32{0, 1, 2, 3, 4, 65533, 65534, 65535, opaquePort} {
					all = append(all, packet{a, protocol, port})
				}
			}
		}
	}
	return all
}

// matches is the definition that the fast code is held against.
func matches(s Selector, p packet) bool {
	if s.From.BitLen() != p.addr.BitLen() || p.addr.Less(s.From) || s.To.Less(p.addr) {
		return false
	}
	if s.Protocol != 0 && s.Protocol != p.protocol {
		return false
	}
	switch {
	case s.FromPort == 0 && s.ToPort == 65535:
		return true
	case s.FromPort == 65535 && s.ToPort == 0:
		return p.port == opaquePort
	}
	return uint32(s.FromPort) <= p.port && p.port <= uint32(s.ToPort)
}

func anyMatches(l List, p packet) bool {
	for _, s := range l {
		if matches(s, p) {
			return true
		}
	}
	return false
}

func TestAgainstBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	space := packets()
	for range 3000 {
		var a, b List
		for range r.IntN(6) {
			a = append(a, small(r))
		}
		for range r.IntN(3) {
			b = append(b, small(r))
		}
		narrowed := a.Narrow(b)
		covers := true
		for _, p := range space {
			inA, inB := anyMatches(a, p), anyMatches(b, p)
			if got := anyMatches(narrowed, p); got != (inA && inB) {
				t.Fatalf("(%v).Narrow(%v) = %v: packet %v matches: %v", a, b, narrowed, p, got)
			}
			covers = covers && (inA || !inB)
			if p.port == opaquePort {
				if got := a.ContainsOpaque(p.addr, p.protocol); got != inA {
					t.Fatalf("(%v).ContainsOpaque(%v): got %v", a, p, got)
				}
			} else if HasPorts(p.protocol) {
				if got := a.Contains(p.addr, p.protocol, uint16(p.port)); got != inA {
					t.Fatalf("(%v).Contains(%v): got %v", a, p, got)
				}
			}
		}
		if got := a.Covers(b); got != covers {
			t.Fatalf("(%v).Covers(%v) = %v", a, b, got)
		}
		if !a.Covers(narrowed) || !b.Covers(narrowed) {
			t.Fatalf("(%v).Narrow(%v) = %v is more than one of them", a, b, narrowed)
		}
		for _, x := range a {
			for _, y := range b {
				checkIntersect(t, x, y, space)
			}
		}
		checkPrefixes(t, a)
	}
}

func checkIntersect(t *testing.T, x, y Selector, space []packet) {
	t.Helper()
	both, ok := x.Intersect(y)
	other, okOther := y.Intersect(x)
	if both != other || ok != okOther {
		t.Fatalf("%v and %v: %v one way, %v the other", x, y, both, other)
	}
	if ok && !both.Valid() {
		t.Fatalf("%v and %v: %v is invalid", x, y, both)
	}
	for _, p := range space {
		if got, want := ok && matches(both, p), matches(x, p) && matches(y, p); got != want {
			t.Fatalf("%v and %v: %v matches %v: %v", x, y, both, p, got)
		}
	}
}

// checkPrefixes checks that the prefixes hold the addresses and no others, and
// that no two of them could be one: with that they are the fewest.
func checkPrefixes(t *testing.T, l List) {
	t.Helper()
	prefixes := l.Prefixes()
	for _, p := range packets() {
		in, held := false, 0
		for _, s := range l {
			in = in || s.From.Compare(p.addr) <= 0 && p.addr.Compare(s.To) <= 0
		}
		for _, x := range prefixes {
			if x.Contains(p.addr) {
				held++
			}
		}
		if in != (held == 1) || held > 1 {
			t.Fatalf("(%v).Prefixes() = %v: %v is in %d", l, prefixes, p.addr, held)
		}
	}
	for _, x := range prefixes {
		for _, y := range prefixes {
			if x != y && x.Bits() == y.Bits() && x.Addr().BitLen() == y.Addr().BitLen() &&
				netip.PrefixFrom(x.Addr(), x.Bits()-1).Masked() == netip.PrefixFrom(y.Addr(), y.Bits()-1).Masked() {
				t.Fatalf("(%v).Prefixes() = %v: %v and %v are one", l, prefixes, x, y)
			}
		}
	}
}

func TestContainsDoesNotAllocate(t *testing.T) {
	l := mustList(t, "10.0.0.0/8[tcp/443]", "2001:db8::/32")
	addr := netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(100, func() { l.Contains(addr, protoTCP, 443) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
