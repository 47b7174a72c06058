package spd

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"sallyport/core/ippkt"
	"sallyport/core/ts"
)

// mostGrowth is how much more a lookup may cost with 10,000 entries than with
// 10. The goal is 1.5; the rest is for machines where other things run.
const mostGrowth = 2

// A shape makes policies of any size, and flows that its i-th entry decides.
type shape struct {
	entry func(i int) Entry
	flow  func(i int) ippkt.Flow
}

func addr4(base string, i int) netip.Addr {
	b := netip.MustParseAddr(base).As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += uint32(i)
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

func addr6(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 4: byte(i >> 16), 5: byte(i >> 8), 6: byte(i), 15: 1})
}

// scatter spreads numbers over 24 bits, each to another place.
func scatter(i int) int { return i * 0x5bd1e5 & 0xffffff }

func host(a netip.Addr) ts.Selector { return ts.Selector{From: a, To: a, ToPort: 65535} }

func protect(local, remote ts.Selector) Entry {
	return Entry{Local: ts.List{local}, Remote: ts.List{remote}, Action: Protect}
}

func web(src, dst netip.Addr) ippkt.Flow {
	return ippkt.Flow{Src: ippkt.AddrFrom(src), Dst: ippkt.AddrFrom(dst), V6: dst.Is6(), Proto: 6, SrcPort: 40000, DstPort: 443}
}

var shapes = map[string]shape{
	"networks in a row": {
		func(i int) Entry {
			return protect(ts.Any()[0], ts.FromPrefix(netip.PrefixFrom(addr4("20.0.0.0", i<<8), 24)))
		},
		func(i int) ippkt.Flow { return web(addr4("10.0.0.1", 0), addr4("20.0.0.9", i<<8)) },
	},
	"scattered hosts": {
		func(i int) Entry { return protect(ts.Any()[0], host(addr4("32.0.0.0", scatter(i)<<3))) },
		func(i int) ippkt.Flow { return web(addr4("10.0.0.1", 0), addr4("32.0.0.0", scatter(i)<<3)) },
	},
	"ranges": {
		func(i int) Entry {
			s := host(addr4("20.0.0.3", i*200))
			s.To = addr4("20.0.0.3", i*200+99)
			return protect(ts.Any()[0], s)
		},
		func(i int) ippkt.Flow { return web(addr4("10.0.0.1", 0), addr4("20.0.0.33", i*200)) },
	},
	"pairs": {
		func(i int) Entry { return protect(host(addr4("10.0.0.0", i%100)), host(addr4("20.0.0.0", i/100))) },
		func(i int) ippkt.Flow { return web(addr4("10.0.0.0", i%100), addr4("20.0.0.0", i/100)) },
	},
	"services": {
		func(i int) Entry {
			s := host(addr4("20.0.0.0", i/2))
			s.Protocol, s.FromPort, s.ToPort = 6, 443, 443
			if i%2 == 1 {
				s.FromPort, s.ToPort = 8000, 8999
			}
			return protect(ts.Any()[0], s)
		},
		func(i int) ippkt.Flow { return web(addr4("10.0.0.1", 0), addr4("20.0.0.0", i/2)) },
	},
	"IPv6 networks": {
		func(i int) Entry { return protect(ts.Any()[1], ts.FromPrefix(netip.PrefixFrom(addr6(i), 56))) },
		func(i int) ippkt.Flow { return web(netip.MustParseAddr("fd00::1"), addr6(i)) },
	},
	"IPv6 pairs": {
		func(i int) Entry { return protect(host(addr6(i%100)), host(addr6(i/100))) },
		func(i int) ippkt.Flow { return web(addr6(i%100), addr6(i/100)) },
	},
}

// BenchmarkFlat looks up flows of all entries at random, with few entries and
// with many in turns, and fails when many cost much more.
func BenchmarkFlat(b *testing.B) {
	for name, s := range shapes {
		b.Run(name, func(b *testing.B) {
			var times [2][]time.Duration
			var policies [2]*Policy
			var flows [2][]ippkt.Flow
			r := rand.New(rand.NewPCG(1, 2))
			for k, n := range []int{10, 10000} {
				entries := make([]Entry, n)
				for i := range entries {
					entries[i] = s.entry(i)
				}
				policies[k] = NewPolicy(entries)
				for range 1000 {
					flows[k] = append(flows[k], s.flow(r.IntN(n)))
				}
			}
			for range max(b.N, 300) {
				for k, p := range policies {
					start := time.Now()
					for i := range flows[k] {
						p.Lookup(&flows[k][i])
					}
					times[k] = append(times[k], time.Since(start))
				}
			}
			fast := func(l []time.Duration) float64 {
				slices.Sort(l)
				return float64(l[len(l)/20].Nanoseconds()) / float64(len(flows[0]))
			}
			few, many := fast(times[0]), fast(times[1])
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(few, "ns/10")
			b.ReportMetric(many, "ns/10000")
			b.ReportMetric(many/few, "ratio")
			if many > mostGrowth*few {
				b.Errorf("%.0f ns with 10,000 entries, %.0f ns with 10", many, few)
			}
		})
	}
}

// TestShapes: every flow of the benchmark meets its entry, and the index stays
// small.
func TestShapes(t *testing.T) {
	const n = 3000
	for name, s := range shapes {
		t.Run(name, func(t *testing.T) {
			entries := make([]Entry, n)
			for i := range entries {
				entries[i] = s.entry(i)
			}
			p := NewPolicy(entries)
			for i := 0; i < n; i += 11 {
				f := s.flow(i)
				if _, got := p.Lookup(&f); got != p.scan(&f) {
					t.Fatalf("%v: entry %d, scan finds %d", f, got, p.scan(&f))
				} else if got < 0 {
					t.Fatalf("%v: no entry", f)
				}
				for _, near := range []ippkt.Flow{
					{Src: f.Src.Prev(), Dst: f.Dst}, {Src: f.Src.Next(), Dst: f.Dst},
					{Src: f.Src, Dst: f.Dst.Prev()}, {Src: f.Src, Dst: f.Dst.Next()},
				} {
					near.V6, near.Proto, near.SrcPort, near.DstPort = f.V6, f.Proto, f.SrcPort, f.DstPort
					if _, got := p.Lookup(&near); got != p.scan(&near) {
						t.Fatalf("%v: entry %d, scan finds %d", near, got, p.scan(&near))
					}
				}
			}
			x := p.index
			if refs := len(x.refs4) + len(x.refs6); refs > 2*n || len(x.links) > 20*n {
				t.Errorf("%d entries take %d refs, %d nodes and %d links", n, refs, len(x.nodes), len(x.links))
			}
		})
	}
}
