package policy

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"sallyport/core/host"
	"sallyport/core/ippkt"
	"sallyport/core/ts"
)

// The small universe: every filter of randomPolicy is made of these, and flows
// has a flow of each kind that they can tell apart.
var (
	smallSources = []string{"me", "any", "192.0.2.1", "192.0.2.0/31", "10.0.0.1"}
	smallRemotes = []string{"any", "10.0.0.0/30", "10.0.0.1", "10.0.0.0/31", "10.0.0.1-10.0.0.2", "8.8.8.8", "8.8.8.8/31", "0.0.0.0/1"}
	smallActions = []string{StockPermit, StockBlock, StockRequire, StockRequest, StockRespond}
)

func smallFlows() []ippkt.Flow {
	var out []ippkt.Flow
	addrs := []string{"192.0.2.0", "192.0.2.1", "192.0.2.2", "10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "8.8.8.8", "8.8.8.9", "200.0.0.1", "::", "2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
	for _, s := range addrs {
		for _, d := range addrs {
			src, dst := netip.MustParseAddr(s), netip.MustParseAddr(d)
			if src.Is4() != dst.Is4() {
				continue
			}
			f := ippkt.Flow{Src: ippkt.AddrFrom(src), Dst: ippkt.AddrFrom(dst), V6: src.Is6()}
			for _, proto := range []uint8{6, 17, 47} {
				f.Proto = proto
				f.Opaque, f.SrcPort, f.DstPort = true, 0, 0
				out = append(out, f)
				if proto == 47 {
					continue
				}
				f.Opaque = false
				for sp := range uint16(4) {
					for _, dp := range []uint16{0, 1, 2, 3, 53} {
						f.SrcPort, f.DstPort = sp, dp
						out = append(out, f)
					}
				}
			}
		}
	}
	return out
}

func randomPolicy(r *rand.Rand) *Policy {
	pick := func(l []string) string { return l[r.IntN(len(l))] }
	ports := []string{"", "", "1", "1-2", "2-3"}
	p := New("random")
	for i := range 1 + r.IntN(4) {
		name := string(rune('A' + i))
		action := pick(smallActions)
		l := FilterList{Name: name}
		for range 1 + r.IntN(3) {
			f := Filter{Source: pick(smallSources), Destination: pick(smallRemotes), Protocol: pick([]string{"", "", "tcp", "udp", "gre"}), Mirrored: true}
			if f.Protocol == "tcp" || f.Protocol == "udp" {
				f.SourcePort, f.DestinationPort = pick(ports), pick(ports)
			}
			if (action == StockBlock || action == StockPermit) && r.IntN(3) == 0 {
				f.Mirrored = false
			}
			l.Filters = append(l.Filters, f)
		}
		p.FilterLists = append(p.FilterLists, l)
		p.Rules = append(p.Rules, Rule{Name: name, FilterList: name, FilterAction: action, Enabled: true, Auth: []AuthMethod{{Method: MethodPSK, Secret: "s"}}})
	}
	p.Exemptions.LAN = r.IntN(3) == 0
	return p
}

var smallEnv = Env{
	Secrets:    []string{"s"},
	Interfaces: []Interface{{Name: "eth0", Kind: KindLAN, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/31")}}},
}

// matches is the plain meaning of an entry.
func (e *Entry) matches(f *ippkt.Flow, d Direction) bool {
	if e.Direction != Both && e.Direction != d {
		return false
	}
	return selectorMatches(e.Local[0], f.Src.IP(f.V6), f, f.SrcPort) && selectorMatches(e.Remote[0], f.Dst.IP(f.V6), f, f.DstPort)
}

func selectorMatches(s ts.Selector, a netip.Addr, f *ippkt.Flow, port uint16) bool {
	if f.Opaque {
		return s.ContainsOpaque(a, f.Proto)
	}
	return s.Contains(a, f.Proto, port)
}

// brute is a policy looked at flow by flow.
type brute struct {
	*Compiled
	flows  []ippkt.Flow
	match  [2][][]bool // by direction, entry, flow
	winner [2][]int
}

func newBrute(c *Compiled, flows []ippkt.Flow) *brute {
	b := &brute{Compiled: c, flows: flows}
	for k, d := range []Direction{Out, In} {
		b.winner[k] = make([]int, len(flows))
		for i := range flows {
			b.winner[k][i] = -1
		}
		for n := range c.Entries {
			row := make([]bool, len(flows))
			for i := range flows {
				row[i] = c.Entries[n].matches(&flows[i], d)
				if row[i] && b.winner[k][i] < 0 {
					b.winner[k][i] = n
				}
			}
			b.match[k] = append(b.match[k], row)
		}
	}
	return b
}

// within reports whether entry a, regardless of direction, lies in entry b.
func (b *brute) within(x, y int) bool {
	for i := range b.flows {
		in := func(e *Entry) bool {
			c := *e
			c.Direction = Both
			return c.matches(&b.flows[i], Out)
		}
		if in(&b.Entries[x]) && !in(&b.Entries[y]) {
			return false
		}
	}
	return true
}

// leak finds a flow that Prove must find.
func (b *brute) leak() bool {
	memo := map[[2]int]bool{}
	for k := range b.winner {
		for i, w := range b.winner[k] {
			if w < 0 || b.Entries[w].MustProtect() {
				continue
			}
			for n := range b.Entries {
				if !b.Entries[n].MustProtect() || !b.match[k][n][i] {
					continue
				}
				if b.Entries[w].Kind == FromLAN && b.Entries[n].Action == Negotiate {
					f := &b.flows[i]
					dns := (f.Proto == 6 || f.Proto == 17) && (f.Opaque || f.DstPort == 53 || f.DstPort == 853)
					if host.NamesPrivate(b.Entries[n].Remote[0]) || dns {
						return true
					}
					continue
				}
				in, ok := memo[[2]int{w, n}]
				if !ok {
					in = b.within(w, n)
					memo[[2]int{w, n}] = in
				}
				if !in {
					return true
				}
			}
		}
	}
	return false
}

func TestProveEqualsBruteForce(t *testing.T) {
	flows := smallFlows()
	r := rand.New(rand.NewPCG(7, 8))
	leaks, oneWay := 0, 0
	for range 150 {
		p := randomPolicy(r)
		c, faults := compile(p, smallEnv)
		if len(faults) > 0 {
			t.Fatalf("%v\n%s", faults, Marshal(p))
		}
		b := newBrute(c, flows)
		for i := range flows {
			f := flows[i]
			if got := c.Lookup(&f); index(c, got) != b.winner[0][i] {
				t.Fatalf("Lookup(%v) is %d, want %d", f, index(c, got), b.winner[0][i])
			}
			in := f.Reverse()
			if got := c.LookupIn(&in); index(c, got) != b.winner[1][i] {
				t.Fatalf("LookupIn(%v) is %d, want %d", f, index(c, got), b.winner[1][i])
			}
		}
		err, want := c.Prove(), b.leak()
		if (err != nil) != want {
			t.Fatalf("Prove says %v, brute force %v\n%s", err, want, Marshal(p))
		}
		if c.oneWay() {
			oneWay++
		}
		if err == nil {
			continue
		}
		leaks++
		var l *LeakError
		if !errors.As(err, &l) {
			t.Fatal(err)
		}
		// The flow it names really is one.
		e := c.Lookup(&l.Flow)
		if l.Direction == In {
			in := l.Flow.Reverse()
			e = c.LookupIn(&in)
		}
		if e != l.Passes || !l.Required.matches(&l.Flow, l.Direction) || e.MustProtect() {
			t.Fatalf("%v: decided by %v", err, e)
		}
	}
	if leaks < 15 || leaks > 135 || oneWay < 8 {
		t.Errorf("%d leaks and %d one-way policies of 150 prove little", leaks, oneWay)
	}
}

func index(c *Compiled, e *Entry) int {
	for i := range c.Entries {
		if &c.Entries[i] == e {
			return i
		}
	}
	return -1
}

// judge is the plain meaning of a firewall intent for a flow that concerns a
// physical interface.
func judge(i *host.FirewallIntent, f *ippkt.Flow, d Direction) host.FirewallAction {
	lan := false
	dns := (f.Proto == 6 || f.Proto == 17) && (f.Opaque || f.DstPort == 53 || f.DstPort == 853)
	for _, p := range i.Exempt.LAN {
		lan = lan || p.Contains(f.Dst.IP(f.V6)) && !dns
	}
	for _, r := range i.Rules {
		e := Entry{Local: ts.List{r.Local}, Remote: ts.List{r.Remote}}
		if (r.Direction == host.FirewallBoth || r.Direction == d.firewall()) && e.matches(f, Out) {
			if lan && !host.NamesPrivate(r.Remote) && r.Action == host.FirewallTunnelOnly {
				return host.FirewallClear
			}
			return r.Action
		}
	}
	if lan {
		return host.FirewallClear
	}
	return i.Default
}

func TestProveFirewallEqualsBruteForce(t *testing.T) {
	flows := smallFlows()
	r := rand.New(rand.NewPCG(9, 10))
	leaks, tampered := 0, 0
	for round := range 200 {
		c, faults := compile(randomPolicy(r), smallEnv)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		b := newBrute(c, flows)
		everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		intent := c.Firewall(FirewallState{Device: "tun0", IKE: []uint16{500}, Clear: func(e *Entry) []netip.Prefix {
			if e.MustProtect() {
				t.Fatal("asked about an entry that must protect")
			}
			return everything
		}})
		if err := c.ProveFirewall(&intent); err != nil {
			t.Fatalf("the compiled intent: %v", err)
		}
		if round%2 == 1 && len(intent.Rules) > 0 {
			tampered++
			n := r.IntN(len(intent.Rules))
			switch r.IntN(4) {
			case 0:
				intent.Rules[n].Action = host.FirewallClear
			case 1:
				intent.Rules = append(intent.Rules[:n:n], intent.Rules[n+1:]...)
			case 2:
				intent.Rules[n].Remote.From = intent.Rules[n].Remote.To
			case 3:
				intent.Rules[n].Direction = host.FirewallDirection(1 + r.IntN(2))
			}
		}
		want := false
		for k := range b.winner {
			for i, w := range b.winner[k] {
				if w >= 0 && b.Entries[w].MustProtect() && judge(&intent, &flows[i], [...]Direction{Out, In}[k]) == host.FirewallClear {
					want = true
				}
			}
		}
		err := c.ProveFirewall(&intent)
		if (err != nil) != want {
			t.Fatalf("ProveFirewall says %v, brute force %v\n%v\n%v", err, want, c.Entries, intent.Rules)
		}
		if want {
			leaks++
		}
	}
	if leaks < 15 || tampered < 50 {
		t.Errorf("%d leaks in %d tampered intents prove little", leaks, tampered)
	}
}

// TestRoutesEqualBruteForce holds the routes against what is negotiated.
func TestRoutesEqualBruteForce(t *testing.T) {
	flows := smallFlows()
	r := rand.New(rand.NewPCG(11, 12))
	for range 60 {
		c, _ := compile(randomPolicy(r), smallEnv)
		clear := Clear(nil)
		if r.IntN(2) == 0 {
			clear = func(e *Entry) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/31")} }
		}
		routes := c.RoutesFor(clear)
		routed := func(a netip.Addr) bool {
			for _, p := range routes {
				if p.Contains(a) {
					return true
				}
			}
			return false
		}
		for i := range flows {
			f := &flows[i]
			for _, l := range c.Lines(clear) {
				e := Entry{Local: ts.List{l.Local}, Remote: ts.List{l.Remote}, Direction: l.Entry.Direction}
				if !e.matches(f, Out) {
					continue
				}
				if l.Action == Negotiate && l.Entry.Kind != FromLANDNS && !routed(f.Dst.IP(f.V6)) {
					t.Fatalf("%v is negotiated, and not in %v", f, routes)
				}
				break
			}
		}
	}
}

func TestProveNamesTheFlow(t *testing.T) {
	p := New("x")
	p.FilterLists = []FilterList{
		{Name: "web", Filters: []Filter{{Source: "me", Destination: "any", Protocol: "tcp", DestinationPort: "443", Mirrored: true}}},
		{Name: "printers", Filters: []Filter{{Source: "me", Destination: "10.9.0.0/16", Mirrored: true}}},
	}
	p.Rules = []Rule{
		{Name: "Web", FilterList: "web", FilterAction: StockRequire, Enabled: true, Auth: []AuthMethod{{Method: MethodPSK, Secret: "s"}}},
		{Name: "Printers", FilterList: "printers", FilterAction: StockPermit, Enabled: true},
	}
	c, faults := compile(p, Env{})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	err := c.Prove()
	const want = `0.0.0.0:0 → 10.9.0.0:443/tcp passes by the rule "Printers" (filter 1 of "printers") although the rule "Web" (filter 1 of "web") wants it protected`
	if err == nil || err.Error() != want {
		t.Fatalf("got %v\nwant %s", err, want)
	}

	// An exception that says what it means is none.
	p.FilterLists[1].Filters = append(p.FilterLists[1].Filters,
		Filter{Source: "me", Destination: "10.9.0.0/16", Protocol: "tcp", DestinationPort: "443", Mirrored: true})
	c, _ = compile(p, Env{})
	if err := c.Prove(); err == nil || !strings.Contains(err.Error(), "a fragment") {
		t.Errorf("fragments: %v", err)
	}
	p.FilterLists[1].Filters[0].Protocol = "icmp"
	c, _ = compile(p, Env{})
	if err := c.Prove(); err != nil {
		t.Errorf("got %v", err)
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
