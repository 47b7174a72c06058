package policy

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/core/config"
	"sallyport/core/host"
	"sallyport/core/profile"
	"sallyport/core/ts"
)

var update = flag.Bool("update", false, "write golden files and the published schema")

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// laptop is a machine at home with a connection to the office.
func laptop(t *testing.T, remote ...string) Env {
	t.Helper()
	office := &profile.Connection{
		Version: 1, Name: "office", Gateways: []string{"203.0.113.1"}, VirtualIPs: []string{"0.0.0.0"},
		Children: []profile.Child{{Name: "net", RemoteTS: remote}},
	}
	c, err := FromProfile(office)
	if err != nil {
		t.Fatal(err)
	}
	return Env{
		Connections:  []Connection{c},
		Certificates: []string{"ca.crt", "me.crt"},
		Secrets:      []string{"lan.psk", "me.key"},
		Interfaces: []Interface{
			{Name: "lo", Kind: KindLoopback, Prefixes: []netip.Prefix{prefix("127.0.0.1/8")}},
			{Name: "eth0", Kind: KindLAN, Prefixes: []netip.Prefix{prefix("192.168.1.7/24"), prefix("fe80::7/64")}},
			{Name: "wwan0", Kind: KindRemote, Prefixes: []netip.Prefix{prefix("100.64.3.4/32")}},
		},
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\ngot\n%s\nwant\n%s", name, got, want)
	}
}

// dump writes what a policy becomes, for golden files.
func dump(c *Compiled) string {
	var b strings.Builder
	for i := range c.Entries {
		e := &c.Entries[i]
		fmt.Fprintf(&b, "%2d  %-9s  %-40s  %s", i, e.Action, e.selectors(), e.describe())
		if e.Action == Negotiate {
			fmt.Fprintf(&b, ", %s %s", e.Endpoint, e.Connection)
			if e.Gateway.IsValid() {
				fmt.Fprintf(&b, "%v", e.Gateway)
			}
			if e.MustProtect() {
				b.WriteString(", must")
			}
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "routes: %v\nshared: %v\n", c.Routes, c.Shared(nil))
	for _, p := range c.Peers {
		fmt.Fprintf(&b, "peer: rule %q connection %q at [%v] initiate %v methods %d allowed %d\n", p.Rule, p.Connection, p.Addresses, p.Initiate, len(p.Auth), len(p.Allowed))
	}
	f := c.Firewall(FirewallState{Device: "tun0", IKE: []uint16{500, 4500}})
	for _, r := range f.Rules {
		fmt.Fprintf(&b, "firewall: %v <> %v %v\n", r.Local, r.Remote, r.Action)
	}
	fmt.Fprintf(&b, "firewall: default %v, exempt LAN %v discovery %v\n", f.Default, f.Exempt.LAN, f.Exempt.LANDiscovery)
	return b.String()
}

func TestForConnection(t *testing.T) {
	for _, tt := range []struct {
		name    string
		profile api.Profile
		remote  []string
		lan     bool
	}{
		{"respond-split", api.Respond, []string{"10.0.0.0/8"}, false},
		{"request-split", api.Request, []string{"10.0.0.0/8"}, false},
		{"require-split", api.Require, []string{"10.0.0.0/8", "2001:db8::/32[tcp/443]"}, false},
		{"require-full", api.Require, nil, false},
		{"require-full-v4", api.Require, []string{"0.0.0.0/0"}, false},
		{"require-full-lan", api.Require, nil, true},
		{"require-gateway", api.Require, []string{"dynamic"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := laptop(t, tt.remote...)
			p, err := ForConnection(env.Connections[0], tt.profile)
			if err != nil {
				t.Fatal(err)
			}
			p.Exemptions = Exemptions{LAN: tt.lan, LANDiscovery: tt.lan}
			c, err := Compile(p, env)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name+".txt", dump(c))
			if err := c.Prove(); err != nil {
				t.Error(err)
			}
			intent := c.Firewall(FirewallState{Device: "tun0", IKE: []uint16{500}})
			if err := c.ProveFirewall(&intent); err != nil {
				t.Error(err)
			}
			if tt.profile != api.Require {
				return
			}
			// An open firewall does not stand up to a policy that requires.
			if err := c.ProveFirewall(&host.FirewallIntent{Device: "tun0", Default: host.FirewallClear}); err == nil {
				t.Error("an open firewall was proved")
			}
		})
	}
	if _, err := ForConnection(Connection{Name: "x"}, "bogus"); err == nil {
		t.Error("bogus profile")
	}
}

func TestForResponder(t *testing.T) {
	c, err := FromProfile(&profile.Connection{
		Version: 1, Name: "gw", Role: profile.Responder,
		Children: []profile.Child{{Name: "net", LocalTS: []string{"10.10.0.0/16"}}},
		Pools:    []profile.Pool{{Name: "v4", Addresses: "10.20.0.0/24"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := ForConnection(c, api.Respond)
	if err != nil {
		t.Fatal(err)
	}
	want := []Filter{{Source: "10.10.0.0/16", Destination: "10.20.0.1-10.20.0.254", Mirrored: true}}
	if got := p.FilterLists[0].Filters; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestPresets(t *testing.T) {
	psk := AuthMethod{Method: MethodPSK, Secret: "lan.psk"}
	var names []string
	for _, p := range Presets(psk) {
		names = append(names, p.Name)
		again, err := Parse(p.Name+".toml", Marshal(p))
		if err != nil {
			t.Fatal(err)
		}
		again.source = nil
		if !reflect.DeepEqual(again, p) {
			t.Errorf("%s: read back as %+v", p.Name, again)
		}
		env := laptop(t)
		if f := Validate(p, env); len(f) > 0 {
			t.Errorf("%s: %v", p.Name, f)
		}
		c, err := Compile(p, env)
		if err != nil {
			t.Fatal(err)
		}
		if c.Response < 0 || c.Peers[c.Response].Initiate || len(c.Peers[c.Response].Auth) != 1 {
			t.Errorf("%s: no default response", p.Name)
		}
		golden(t, fmt.Sprintf("preset-%d.txt", len(names)), dump(c))
	}
	if got := strings.Join(names, ", "); got != "Client (respond only), Server (request security), Secure Server (require security)" {
		t.Errorf("got %s", got)
	}
	// Completed with authentication they can be assigned; without they say so.
	p, _ := Preset(api.Require)
	if err := Validate(p, Env{}).Err(); err == nil || !strings.Contains(err.Error(), "rules[0].auth: is missing") {
		t.Errorf("got %v", err)
	}
}

func TestDuplicateSharesNothing(t *testing.T) {
	p := full()
	want := Marshal(p)
	d := p.Duplicate("copy")
	if lines := Diff(p, d); len(lines) != 1 || !strings.HasPrefix(lines[0], `~ name: "full"`) {
		t.Errorf("got %q", lines)
	}
	d.Rules[0].Auth[0].CAs[0] = "changed"
	d.FilterLists[0].Filters[0].Source = "changed"
	d.FilterActions[0].Methods[0] = "changed"
	d.KeyExchange.Methods[0] = "changed"
	d.Downgrade.Pins[0] = "changed"
	d.DefaultResponse.Auth[0].Secret = "changed"
	if !bytes.Equal(Marshal(p), want) {
		t.Error("a change of the copy changed the original")
	}
}

// full uses every field of the format.
func full() *Policy {
	p := New("full")
	p.Description = "Everything \"at once\""
	p.KeyExchange = KeyExchange{Methods: []string{"aes256gcm16-prfsha384-ecp384"}, MasterKeyPFS: true, Lifetime: config.Duration{Duration: 4 * time.Hour}}
	p.DefaultResponse = DefaultResponse{Enabled: true, Methods: []string{"aes256gcm16"}, Auth: []AuthMethod{{Method: MethodPSK, Secret: "lan.psk"}}}
	p.Downgrade = Downgrade{TTL: config.Duration{Duration: 24 * time.Hour}, Pins: []string{"10.0.0.5"}}
	p.Exemptions = Exemptions{LAN: true, LANDiscovery: true}
	p.FilterLists = []FilterList{{Name: "Servers", Description: "those", Filters: []Filter{
		{Source: "me", Destination: "10.0.0.0/24", Protocol: "tcp", SourcePort: "1024-65535", DestinationPort: "443", Mirrored: true},
		{Source: "me", Destination: "10.0.1.1-10.0.1.9", Mirrored: true},
	}}, {Name: "Old", Filters: []Filter{{Source: "any", Destination: "me", Protocol: "tcp", DestinationPort: "telnet"}}}}
	p.FilterActions = []FilterAction{{
		Name: "Mine", Description: "what I want", Action: ActionNegotiate, Methods: []string{"aes128gcm16-x25519"}, AcceptUnsecured: true, FallbackToUnsecured: true,
		FallbackTime: config.Duration{Duration: time.Minute}, RespondOnly: true, SessionKeyPFS: true, RekeySeconds: 600, RekeyKilobytes: 100000,
	}}
	p.Rules = []Rule{
		{Name: "Servers", FilterList: "Servers", FilterAction: "Mine", ConnectionType: TypeLAN, Enabled: true, Auth: []AuthMethod{
			{Method: MethodCertificate, CAs: []string{"ca.crt"}, Certificates: []string{"me.crt"}, Key: "me.key", LocalID: "me@example.com", RemoteID: "*.example.com"},
			{Method: MethodPSK, Secret: "lan.psk"},
		}},
		{Name: "Old", FilterList: "Old", FilterAction: StockBlock, Enabled: false},
		{Name: "Office", FilterList: ListAllIP, FilterAction: StockRequire, Tunnel: "office", Enabled: true},
	}
	return p
}

func TestFullPolicy(t *testing.T) {
	p := full()
	again, err := Parse("full.toml", Marshal(p))
	if err != nil {
		t.Fatal(err)
	}
	if lines := Diff(p, again); len(lines) > 0 {
		t.Errorf("read back with changes: %q", lines)
	}
	c, err := Compile(again, laptop(t))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "full.txt", dump(c))
	n := c.Entries[0].Negotiation
	for i := range c.Entries {
		if c.Entries[i].Rule == "Servers" {
			n = c.Entries[i].Negotiation
		}
	}
	want := &Negotiation{Methods: []string{"aes128gcm16-x25519"}, AcceptUnsecured: true, FallbackToUnsecured: true, FallbackTime: time.Minute,
		RespondOnly: true, SessionKeyPFS: true, RekeyTime: 10 * time.Minute, RekeyBytes: 100000 * 1024}
	if !reflect.DeepEqual(n, want) {
		t.Errorf("got %+v", n)
	}
	if p := c.Peers[0]; p.IKE.Lifetime != 4*time.Hour || !p.IKE.MasterKeyPFS {
		t.Errorf("got %+v", p.IKE)
	}
}

func TestOrder(t *testing.T) {
	// Each filter is more specific than all that follow.
	filters := []Filter{
		{Source: "me", Destination: "10.0.0.1", Protocol: "tcp", SourcePort: "5", DestinationPort: "443"},
		{Source: "me", Destination: "10.0.0.1", Protocol: "tcp", DestinationPort: "443"},
		{Source: "me", Destination: "10.0.0.1", Protocol: "tcp", DestinationPort: "440-450"},
		{Source: "me", Destination: "10.0.0.1", Protocol: "tcp"},
		{Source: "192.168.1.0/24", Destination: "10.0.0.0/24"},
		{Source: "me", Destination: "10.0.0.0/24"},
		{Source: "me", Destination: "10.0.0.0/8"},
		{Source: "me", Destination: "any", Protocol: "icmp"},
		{Source: "me", Destination: "any"},
	}
	p := New("order")
	for i := range filters {
		f := filters[len(filters)-1-i]
		f.Mirrored = true
		name := fmt.Sprint(len(filters) - 1 - i)
		p.FilterLists = append(p.FilterLists, FilterList{Name: name, Filters: []Filter{f}})
		p.Rules = append(p.Rules, Rule{Name: name, FilterList: name, FilterAction: StockPermit, Enabled: true})
	}
	c, err := Compile(p, Env{})
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	for i := range c.Entries {
		e := &c.Entries[i]
		if !e.LocalMe && e.Local[0].From != netip.MustParseAddr("192.168.1.0") || !e.Remote[0].Is4() {
			continue
		}
		var n int
		fmt.Sscan(e.Rule, &n)
		if n < last {
			t.Errorf("%s after %d", e.describe(), last)
		}
		last = n
	}
}

// TestSubsetFirst holds the order to its promise on random selectors.
func TestSubsetFirst(t *testing.T) {
	env := smallEnv
	for seed := range 200 {
		c, faults := compile(randomPolicy(newRand(uint64(seed))), env)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		for i := range c.Entries {
			for j := range i {
				if k := max(c.Entries[i].Kind, c.Entries[j].Kind); k == FromLAN || k == FromLANDNS {
					continue // they stand before the one that they are of
				}
				if c.boxes[j].covers(&c.boxes[i]) && c.boxes[i] != c.boxes[j] {
					t.Fatalf("%s before %s", c.Entries[j].selectors(), c.Entries[i].selectors())
				}
			}
		}
	}
}

func TestStableIDs(t *testing.T) {
	env := laptop(t, "10.0.0.0/8")
	p, _ := ForConnection(env.Connections[0], api.Require)
	a, _ := Compile(p, env)
	p.FilterLists[0].Filters = append([]Filter{{Source: "me", Destination: "172.16.0.0/12", Mirrored: true}}, p.FilterLists[0].Filters...)
	b, _ := Compile(p, env)
	// 172.16.0.0/12 goes before 10.0.0.0/8.
	if a.Entries[0].ID != b.Entries[1].ID || a.Entries[0].Filter == b.Entries[1].Filter {
		t.Errorf("%v and %v", a.Entries[0], b.Entries[1])
	}
	seen := map[string]bool{}
	for _, e := range b.Entries {
		if seen[e.ID] {
			t.Errorf("%s twice", e.ID)
		}
		seen[e.ID] = true
	}
}

func TestConnectionTypes(t *testing.T) {
	env := laptop(t)
	for _, tt := range []struct {
		kind, action string
		want         string // local addresses of IPv4
	}{
		{TypeAll, StockBlock, "0.0.0.0/0"},
		{TypeLAN, StockPermit, "192.168.1.7"},
		{TypeRemote, StockPermit, "100.64.3.4"},
		// What must be protected is so from every address but those known to be
		// of the other kind.
		{TypeLAN, StockBlock, "0.0.0.0-100.64.3.3, 100.64.3.5-255.255.255.255"},
		{TypeRemote, StockBlock, "0.0.0.0-192.168.1.6, 192.168.1.8-255.255.255.255"},
	} {
		p := New("x")
		p.FilterLists = []FilterList{{Name: "l", Filters: []Filter{{Source: "me", Destination: "10.0.0.0/8", Mirrored: true}}}}
		p.Rules = []Rule{{Name: "r", FilterList: "l", FilterAction: tt.action, ConnectionType: tt.kind, Enabled: true}}
		c, err := Compile(p, env)
		if err != nil {
			t.Fatal(err)
		}
		var got ts.List
		for _, e := range c.Entries {
			got = append(got, e.Local...)
		}
		// The order of decision is not that of addresses.
		if len(got) == 2 && got[1].From.Less(got[0].From) {
			got[0], got[1] = got[1], got[0]
		}
		if got.String() != tt.want {
			t.Errorf("%s %s: got %v, want %s", tt.kind, tt.action, got, tt.want)
		}
	}
}

func TestLinesAndPins(t *testing.T) {
	p := New("x")
	p.Downgrade.Pins = []string{"10.0.0.5"}
	p.FilterLists = []FilterList{{Name: "l", Filters: []Filter{{Source: "me", Destination: "10.0.0.0/24", Mirrored: true}}}}
	p.Rules = []Rule{{Name: "r", FilterList: "l", FilterAction: StockRequest, Enabled: true, Auth: []AuthMethod{{Method: MethodPSK, Secret: "lan.psk"}}}}
	c, err := Compile(p, laptop(t))
	if err != nil {
		t.Fatal(err)
	}
	clear := func(*Entry) []netip.Prefix {
		return []netip.Prefix{{}, prefix("10.0.0.4/31"), prefix("10.9.0.0/16"), prefix("::/0")}
	}
	var got []string
	for _, l := range c.Lines(clear) {
		got = append(got, fmt.Sprintf("%v %v", l.Remote, l.Action))
	}
	if want := []string{"10.0.0.5 negotiate", "10.0.0.4/31 permit", "10.0.0.0/24 negotiate"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
	if got := fmt.Sprint(c.RoutesFor(clear)); got != "[10.0.0.0/30 10.0.0.5/32 10.0.0.6/31 10.0.0.8/29 10.0.0.16/28 10.0.0.32/27 10.0.0.64/26 10.0.0.128/25]" {
		t.Errorf("routes %s", got)
	}
	spd := SPD(c.Lines(clear), func(*Entry) uint32 { return 9 })
	var actions []string
	for _, e := range spd {
		actions = append(actions, fmt.Sprint(e.Remote, " ", e.Action, " ", e.Group))
	}
	want := []string{"10.0.0.5 PROTECT 9", "10.0.0.4/31 BYPASS 0", "10.0.0.0/24 PROTECT 9", "0.0.0.0/0 BYPASS 0", "::/0 BYPASS 0"}
	if !reflect.DeepEqual(actions, want) {
		t.Errorf("got %q", actions)
	}
	// Beside ports that are permitted, the way through the tunnel is shared.
	p.FilterLists = append(p.FilterLists, FilterList{Name: "ntp", Filters: []Filter{{Source: "me", Destination: "10.0.0.0/25", Protocol: "udp", DestinationPort: "123", Mirrored: true}}})
	p.Rules = append(p.Rules, Rule{Name: "ntp", FilterList: "ntp", FilterAction: StockPermit, Enabled: true})
	if c, err = Compile(p, laptop(t)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Shared(nil)); got != "[10.0.0.0/25]" {
		t.Errorf("shared %s", got)
	}
}

// TestFirewallNamesRules holds the intent of a policy that negotiates one port:
// whose rules they are, which way, and where the rest goes.
func TestFirewallNamesRules(t *testing.T) {
	p := New("x")
	p.FilterLists = []FilterList{
		{Name: "files", Filters: []Filter{{Source: WordMe, Destination: "192.0.2.0/24", Protocol: "tcp", DestinationPort: "445", Mirrored: true}}},
		{Name: "out", Filters: []Filter{{Source: WordMe, Destination: "198.51.100.0/24"}}},
	}
	p.Rules = []Rule{
		{Name: "secure", FilterList: "files", FilterAction: StockRequire, Enabled: true, Auth: []AuthMethod{{Method: MethodPSK, Secret: "s"}}},
		{Name: "send", FilterList: "out", FilterAction: StockPermit, Enabled: true},
	}
	c, err := Compile(p, smallEnv)
	if err != nil {
		t.Fatal(err)
	}
	i := c.Firewall(FirewallState{Device: "tun0"})
	if err := c.ProveFirewall(&i); err != nil {
		t.Error(err)
	}
	seen := map[string]bool{}
	for _, r := range i.Rules {
		seen[r.Label] = true
		want := host.FirewallBoth
		if r.Label == "send" {
			want = host.FirewallOut
		}
		if r.Direction != want {
			t.Errorf("%+v is for direction %d, want %d", r, r.Direction, want)
		}
	}
	if len(seen) != 2 || !seen["secure"] || !seen["send"] {
		t.Errorf("labels %v", seen)
	}
	if !slices.Contains(i.Beside, netip.MustParsePrefix("192.0.2.0/24")) {
		t.Errorf("what is not negotiated with 192.0.2.0/24 stays in the tunnel: %v", i.Beside)
	}
}
