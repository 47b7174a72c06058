package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/core/ts"
)

// head begins a policy file; what a test adds starts in line 4.
const head = `version = 1
name = "t"

`

// lists are filter lists that the tests name.
const lists = `[[filter_lists]]
name = "net"
filters = [{source = "me", destination = "10.0.0.0/8"}]
[[filter_lists]]
name = "net again"
filters = [{source = "me", destination = "10.0.0.0/8"}]
[[filter_lists]]
name = "web"
filters = [{source = "me", destination = "any", protocol = "tcp", destination_port = "443"}]
[[filter_lists]]
name = "gateway"
filters = [{source = "me", destination = "203.0.113.0/24"}]
[[filter_lists]]
name = "halves"
filters = [
  {source = "me", destination = "10.0.0.0/9"},
  {source = "me", destination = "10.128.0.0/9"},
]
`

func rule(name, list, action string, more ...string) string {
	return fmt.Sprintf("[[rules]]\nname = %q\nfilter_list = %q\nfilter_action = %q\n%s\n", name, list, action, strings.Join(more, "\n"))
}

// user is an authentication method with EAP.
func user(more string) string {
	return `auth = [{method = "eap", user = "alice", cas = ["ca.crt"], remote_id = "gw.example.com"` + more + `}]`
}

const viaOffice = `tunnel = "office"`

func TestValidate(t *testing.T) {
	env := laptop(t, "10.0.0.0/8")
	env.Resolvers = []netip.Addr{netip.MustParseAddr("10.0.0.53")}
	for _, tt := range []struct {
		name, text string
		want       []string // each finding has its text, in order
	}{
		{"good", lists + rule("a", "net", StockRequire, viaOffice), nil},
		{"unknown connection", lists + rule("a", "net", StockRequire, `tunnel = "ofice"`), []string{
			`error: t.toml:26: rules[0].tunnel: there is no connection "ofice"; did you mean "office"?`,
		}},
		{"unknown secret", lists + rule("a", "net", StockRequire, `auth = [{method = "psk", secret = "lan.psc"}]`), []string{
			`error: t.toml:26: rules[0].auth[0].secret: there is no secret "lan.psc"; did you mean "lan.psk"?`,
		}},
		{"unknown certificates", lists + rule("a", "net", StockRequire, `auth = [{method = "certificate", cas = ["x"], certificates = ["y"], key = "z"}]`), []string{
			`rules[0].auth[0].cas[0]: there is no certificate "x"`, `certificates[0]: there is no certificate "y"`, `.key: there is no secret "z"; the store has "lan.psk"`,
		}},
		{"a user of a gateway", lists + rule("a", "net", StockRequire, `tunnel = "203.0.113.9"`, user("")), nil},
		{"a user host to host", lists + rule("a", "net", StockRequire, user(`, secret = "lan.psk"`)), []string{
			"warning: t.toml:26: rules[0].auth[0].method: \"eap\" is for what this machine begins",
		}},
		{"a user who never begins, beside a key", lists + rule("a", "net", "Respond only", strings.Replace(user(`, secret = "lan.psk"`), "}]", `}, {method = "psk", secret = "lan.psk"}]`, 1)), []string{
			"warning: t.toml:26: rules[0].auth[0].method: \"eap\" is not used",
		}},
		{"a user host to host beside a key", lists + rule("a", "net", StockRequire, strings.Replace(user(`, secret = "lan.psk"`), "}]", `}, {method = "psk", secret = "lan.psk"}]`, 1)), nil},
		{"auth without use", lists + rule("a", "net", StockRequire, viaOffice, `auth = [{method = "psk", secret = "lan.psk"}]`), []string{
			"warning: t.toml:27: rules[0].auth: is not used",
		}},
		{"contradiction", lists + rule("a", "net", StockRequire, viaOffice) + rule("b", "net again", StockPermit), []string{
			`error: t.toml:9: filter_lists[1].filters[0]: contradicts filter_lists[0].filters[0] in line 6 (rule "a"): both match me ↔ 10.0.0.0/8, one to permit it, the other to require security`,
		}},
		{"two endpoints", lists + rule("a", "net", StockRequire, viaOffice) + rule("b", "net again", StockRequire, `tunnel = "203.0.113.9"`, `auth = [{method = "psk", secret = "lan.psk"}]`), []string{
			"error: t.toml:9: filter_lists[1].filters[0]: contradicts filter_lists[0].filters[0] in line 6 (rule \"a\"): both match me ↔ 10.0.0.0/8, and negotiate with different endpoints",
		}},
		{"twice", lists + rule("a", "net", StockRequire, viaOffice) + rule("b", "net again", StockRequire, viaOffice), []string{
			"warning: t.toml:9: filter_lists[1].filters[0]: is the same as filter_lists[0].filters[0]",
		}},
		{"leak", lists + rule("a", "web", StockRequire, viaOffice) + rule("b", "net", StockPermit), []string{
			`error: t.toml:6: filter_lists[0].filters[0]: overlaps filter_lists[2].filters[0] in line 12 (rule "a"): 0.0.0.0:0 → 10.0.0.0:443/tcp would pass by the rule "b"`,
		}},
		{"unreachable", lists + rule("a", "net", StockRequire, viaOffice) + rule("b", "halves", StockBlock), []string{
			`warning: t.toml:6: filter_lists[0].filters[0]: is never reached in the rule "a": more specific filters match all that it matches, as filter_lists[4].filters[0] in line 19 (rule "b")`,
		}},
		{"gateway blocked", lists + rule("a", "net", StockRequire, viaOffice) + rule("b", "gateway", StockBlock), []string{
			`error: t.toml:15: filter_lists[3].filters[0]: locks the user out: it blocks the gateway 203.0.113.1 of "office", which the policy needs`,
		}},
		{"everything blocked is a kill switch", lists + rule("a", "net", StockRequire, viaOffice) + rule("b", ListAllIP, StockBlock), nil},
		{"gateway by address blocked", lists + rule("a", "net", StockRequire, `tunnel = "203.0.113.77"`, `auth = [{method = "psk", secret = "lan.psk"}]`) + rule("b", "gateway", StockBlock), []string{
			`locks the user out: it blocks the gateway 203.0.113.77 of "a"`,
		}},
		{"empty list", "[[filter_lists]]\nname = \"none\"\nfilters = []\n" + rule("a", "none", StockBlock), []string{
			"warning: t.toml:7: rules[0]: the rule \"a\" matches nothing on this machine at present: its filter list is empty",
		}},
		{"no rules", "", []string{"warning: t.toml:1: rules: there are none: the policy does nothing"}},
		{"response without auth", "[default_response]\nenabled = true\n", []string{"default_response.auth: is missing"}},
		{"weak", "[key_exchange]\nmethods = [\"3des-sha1-modp1024\"]\n" + lists + rule("a", "net", StockPermit), []string{
			"warning: t.toml:5: key_exchange.methods: allows ", "which is weak", "which is weak", "which is weak",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Parse("t.toml", []byte(head+tt.text))
			if err != nil {
				t.Fatal(err)
			}
			got := Validate(p, env)
			if len(got) != len(tt.want) && tt.name != "weak" {
				t.Fatalf("got %d findings, want %d:\n%v", len(got), len(tt.want), got)
			}
			for i, want := range tt.want {
				if i < len(got) && !strings.Contains(got[i].String(), want) {
					t.Errorf("got %s\nwant %s", got[i], want)
				}
			}
			if _, err := Compile(p, env); (err != nil) != (got.Err() != nil) {
				t.Errorf("Compile says %v, Validate %v", err, got)
			}
		})
	}
}

func TestLockedOutByName(t *testing.T) {
	env := laptop(t)
	env.Connections[0].Gateways, env.Connections[0].Endpoints = []string{"vpn.example.com"}, nil
	p, err := Parse("t.toml", []byte(head+rule("a", ListAllIP, StockRequire, viaOffice)))
	if err != nil {
		t.Fatal(err)
	}
	if got := Validate(p, env); len(got) > 0 {
		t.Errorf("no name server is known, yet %v", got)
	}
	env.Resolvers = []netip.Addr{netip.MustParseAddr("192.168.1.1")}
	got := Validate(p, env)
	if len(got) != 1 || got[0].Severity != SeverityWarning || !strings.Contains(got[0].Text, `looking up the gateway "vpn.example.com" of "office"`) {
		t.Errorf("got %v", got)
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"rulez = 1", `t.toml:4: rulez: unknown field; did you mean "rules"?`},
		{"[[rules]]\nnam = \"x\"", `t.toml:5: rules[0].nam: unknown field; did you mean "name"?`},
		{"description = 5", "t.toml:4: description: is a number, but a string in quotes is wanted"},
		{rule("a", "nothing", StockBlock), `t.toml:6: rules[0].filter_list: there is no filter list "nothing"`},
		{rule("a", "all ip traffic", StockBlock), `did you mean "All IP Traffic"?`},
		{rule("a", ListAllIP, "Request"), `t.toml:7: rules[0].filter_action: there is no filter action "Request"`},
		{rule("a", ListAllIP, StockRequire), "rules[0].auth: is missing"},
		{rule("a", ListAllIP, StockBlock, `tunnel = "0.0.0.0"`), "rules[0].tunnel: \"0.0.0.0\" cannot be the address of a gateway"},
		{rule("a", ListAllIP, StockBlock, `connection_type = "wifi"`), `rules[0].connection_type: "wifi" is not one of "all", "lan", "remote"`},
		{rule("a", ListAllIP, StockBlock, `auth = [{method = "psk", secret = "s"}]`), "rules[0].auth: has no meaning"},
		{rule("a", ListAllIP, StockRequire, `auth = [{method = "eap"}]`), "auth[0].user: is missing"},
		{rule("a", ListAllIP, StockRequire, `auth = [{method = "eap", user = "alice"}]`), "auth[0].cas: is missing"},
		{rule("a", ListAllIP, StockRequire, `tunnel = "203.0.113.9"`, strings.Replace(user(""), `remote_id = "gw.example.com"`, `remote_id = "%any"`, 1)), "auth[0].remote_id: is missing: who may ask"},
		{rule("a", ListAllIP, StockRequire, `tunnel = "203.0.113.9"`, strings.Replace(user(""), "gw.example.com", "*", 1)), "auth[0].remote_id: is missing: who may ask"},
		{rule("a", ListAllIP, StockRequire, user("")), "auth[0].secret: is missing: host to host there is one negotiation"},
		{rule("a", ListAllIP, "Respond only", user(`, secret = "s"`)), `auth[0].method: "eap" alone answers nobody, and the filter action "Respond only" starts nothing`},
		{"[default_response]\nenabled = true\n" + user(`, secret = "s"`), `default_response.auth[0].method: "eap" proves the user of the end that begins`},
		{rule("a", ListAllIP, StockRequire, `tunnel = "203.0.113.9"`, user(`, eap_methods = ["md5"]`)), `eap_methods[0]: "md5" is no method of EAP`},
		{rule("a", ListAllIP, StockRequire, `tunnel = "203.0.113.9"`, user(`, eap_methods = ["gtc", "gtc"]`)), `eap_methods[1]: "gtc" is there twice`},
		{rule("a", ListAllIP, StockRequire, `tunnel = "203.0.113.9"`, user(`, eap_methods = ["tls"]`)), "certificates: is missing: EAP-TLS"},
		{rule("a", ListAllIP, StockRequire, `tunnel = "203.0.113.9"`, user(`, key = "k"`)), "auth[0].key: goes with certificates"},
		{rule("a", ListAllIP, StockRequire, `auth = [{method = "psk", secret = "s", user = "alice"}]`), "auth[0].user: needs method"},
		{rule("a", ListAllIP, StockRequire, `auth = [{method = "psk", secret = "s", eap_methods = ["gtc"]}]`), "auth[0].eap_methods: needs method"},
		{rule("a", ListAllIP, StockBlock) + rule("a", ListAllIP, StockBlock), `rules[1].name: "a" is there twice`},
		{"[[filter_lists]]\nname = \"All IP Traffic\"\nfilters = []", "is the name of a stock filter list"},
		{"[[filter_actions]]\nname = \"Block\"\naction = \"block\"", "is the name of a stock filter action"},
		{"[[filter_actions]]\nname = \"x\"\naction = \"permitt\"", `t.toml:6: filter_actions[0].action: "permitt" is not one of "permit", "block", "negotiate"; did you mean "permit"?`},
		{"[[filter_actions]]\nname = \"x\"\naction = \"block\"\nsession_key_pfs = true", "only \"negotiate\" has security methods"},
		{"[[filter_actions]]\nname = \"x\"\naction = \"negotiate\"\nfallback_time = \"5m\"", "fallback_time: has no meaning without"},
		{"[[filter_actions]]\nname = \"x\"\naction = \"negotiate\"\nrespond_only = true", "respond_only: needs fallback_to_unsecured"},
		{"[[filter_actions]]\nname = \"x\"\naction = \"negotiate\"\nmethods = [\"rot13\"]", "t.toml:7: filter_actions[0].methods[0]: "},
		{"[[filter_actions]]\nname = \"x\"\naction = \"negotiate\"\nrekey_seconds = 5", "rekey_seconds: 5 is out of range"},
		{"[[filter_actions]]\nname = \"x\"\naction = \"negotiate\"\nrekey_kilobytes = 5", "rekey_kilobytes: 5 is out of range"},
		{"[downgrade]\npins = [\"nobody\"]", `t.toml:5: downgrade.pins[0]: "nobody" is not an address`},
		{"[downgrade]\nttl = \"1s\"", "downgrade.ttl: 1s is out of range"},
		{"[exemptions]\nlan_discovery = true", "has no meaning without lan"},
		{filter(`source = "me", destination = "me"`), "is this machine like the source"},
		{filter(`source = "me"`), "filter_lists[0].filters[0].destination: is missing"},
		{filter(`source = "me", destination = "10.0.0.0/33"`), `t.toml:6: filter_lists[0].filters[0].destination: "10.0.0.0/33" is not an address, prefix or range`},
		{filter(`source = "me", destination = "10.0.0.9-10.0.0.1"`), `destination: "10.0.0.9-10.0.0.1" ends before it begins: write the smaller address first`},
		{filter(`source = "me", destination = "10.0.0.1[tcp]"`), "the protocol has a field of its own"},
		{filter(`source = "10.0.0.1", destination = "2001:db8::1"`), "another address family"},
		{filter(`source = "me", destination = "::ffff:10.0.0.1"`), "write IPv4 addresses plainly"},
		{filter(`source = "me", destination = "any", protocol = "tcpp"`), `protocol: "tcpp" is not a protocol`},
		{filter(`source = "me", destination = "any", destination_port = "80"`), "destination_port: ports need a protocol"},
		{filter(`source = "me", destination = "any", protocol = "icmp", destination_port = "8"`), "ports need a protocol"},
		{filter(`source = "me", destination = "any", protocol = "tcp", source_port = "opaque"`), "source_port: \"opaque\" is not a port"},
		{filter(`source = "me", destination = "any", protocol = "tcp", source_port = "9-1"`), "is not a port"},
		{filter(`source = "me", destination = "any", mirrored = false`) + rule("a", "l", StockRequire), "filters[0].mirrored: must be true for the rule \"a\""},
		{filter(`source = "me", destination = "gateway"`) + rule("a", "l", StockPermit), "rules[0].tunnel: is missing: a filter of the list \"l\" names the gateway"},
		{rule("a", ListAllIP, StockRequire, `auth = [{method = "psk"}]`), "auth[0].secret: is missing"},
		{rule("a", ListAllIP, StockRequire, `auth = [{method = "certificate"}]`), "auth[0].cas: is missing"},
		{rule("a", ListAllIP, StockRequire, `auth = [{method = "psk", secret = "../x"}]`), "auth[0].secret: "},
		{rule("a", ListAllIP, StockRequire, `auth = [{method = "psk", secret = "s", local_id = "%any"}]`), "local_id: the own identity cannot be a pattern"},
	} {
		_, err := Parse("t.toml", []byte(head+tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s\ngot  %v\nwant %s", tt.text, err, tt.want)
		}
	}
	for _, name := range []string{"", "a/b", ".x", "x.", "x ", "COM1", "nul.x", strings.Repeat("x", 200), "a\nb", "a:b"} {
		if CheckName(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func filter(text string) string {
	return "[[filter_lists]]\nname = \"l\"\nfilters = [{" + text + "}]\n"
}

// TestTenThousandFilters is a policy of the size that must be assigned within
// a second.
func TestTenThousandFilters(t *testing.T) {
	data := Marshal(large(10000))
	env := laptop(t)
	start := time.Now()
	p, err := Parse("large.toml", data)
	if err != nil {
		t.Fatal(err)
	}
	parsed := time.Since(start)
	if f := Validate(p, env); len(f) > 0 {
		t.Fatal(f)
	}
	validated := time.Since(start)
	c, faults := compile(p, env)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if err := c.Prove(); err != nil {
		t.Fatal(err)
	}
	intent := c.Firewall(FirewallState{Device: "tun0"})
	compiled := time.Since(start)
	if err := c.ProveFirewall(&intent); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d entries, %d bytes: read in %v, validated after %v, compiled and proved after %v, firewall proved after %v",
		len(c.Entries), len(data), parsed, validated, compiled, time.Since(start))
	// Generous: the machine may be busy with other tests.
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("took %v", d)
	}
}

// large resembles a policy that was generated: hosts and services, then
// networks, then everything.
func large(n int) *Policy {
	p := New("large")
	protect, permit := FilterList{Name: "protect"}, FilterList{Name: "permit"}
	for i := range n - 1 {
		f := Filter{Source: "me", Destination: netip.AddrFrom4([4]byte{10, byte(i >> 12), byte(i >> 4), byte(i << 4)}).String(), Mirrored: true}
		switch i % 4 {
		case 0:
			f.Protocol, f.DestinationPort = "tcp", "443"
		case 1:
			f.Protocol, f.DestinationPort = "udp", "5000-5010"
		case 2:
			f.Destination += "/28"
		}
		if i%3 == 0 {
			permit.Filters = append(permit.Filters, f)
		} else {
			protect.Filters = append(protect.Filters, f)
		}
	}
	p.FilterLists = []FilterList{protect, permit}
	p.Rules = []Rule{
		{Name: "protect", FilterList: "protect", FilterAction: StockRequire, Tunnel: "office", Enabled: true},
		{Name: "permit", FilterList: "permit", FilterAction: StockPermit, Enabled: true},
		{Name: "rest", FilterList: ListAllIP, FilterAction: StockBlock, Enabled: true},
	}
	return p
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c, faults := compile(large(n), Env{Connections: []Connection{{Name: "office"}}})
			if len(faults) > 0 {
				b.Fatal(faults)
			}
			r := newRand(1)
			flows := smallFlows()[:1]
			for range 1023 {
				f := flows[0]
				k := r.IntN(n)
				f.Dst.Lo = 0xffff<<32 | 10<<24 | uint64(k)<<4
				f.Proto, f.Opaque, f.SrcPort, f.DstPort = 6, false, 40000, 443
				flows = append(flows, f)
			}
			for i := range b.N {
				c.Lookup(&flows[i%len(flows)])
			}
		})
	}
}

// TestEntangledPolicies bounds the time for policies whose filters all overlap.
func TestEntangledPolicies(t *testing.T) {
	for name, make := range map[string]func(i int) Filter{
		"ports against networks": func(i int) Filter {
			f := Filter{Source: "me", Destination: "any", Protocol: "tcp", DestinationPort: fmt.Sprint(1 + i), Mirrored: true}
			if i%2 == 0 {
				f = Filter{Source: "me", Destination: netip.AddrFrom4([4]byte{20, byte(i >> 12), byte(i >> 4), byte(i << 4)}).String(), Mirrored: true}
			}
			return f
		},
		"ranges of ranges": func(i int) Filter {
			return Filter{Source: "me", Destination: fmt.Sprintf("20.0.%d.%d-20.1.%d.%d", i>>8, i&255, i>>8, i&255), Protocol: "tcp",
				SourcePort: fmt.Sprintf("%d-%d", 1+i, 20000+i), DestinationPort: fmt.Sprintf("%d-%d", 20000-i, 50000-2*i), Mirrored: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := New("x")
			p.FilterLists = []FilterList{{Name: "a"}, {Name: "b"}}
			for i := range 1200 {
				l := &p.FilterLists[i%2]
				l.Filters = append(l.Filters, make(i))
			}
			p.Rules = []Rule{
				{Name: "a", FilterList: "a", FilterAction: StockPermit, Enabled: true},
				{Name: "b", FilterList: "b", FilterAction: StockBlock, Enabled: true},
			}
			start := time.Now()
			found := Validate(p, Env{})
			t.Logf("%d findings in %v", len(found), time.Since(start))
			if found.Err() == nil {
				t.Error("no error was found")
			}
			if d := time.Since(start); d > time.Minute {
				t.Errorf("took %v", d)
			}
			if len(found) > maxFindings+len(p.Rules) {
				t.Errorf("%d findings", len(found))
			}
		})
	}
}

func TestAlgebraGivesUp(t *testing.T) {
	all := boxOf(ts.Any()[0], ts.Any()[0])
	a := algebra{steps: maxSteps}
	if f, ok := a.witness(all, nil); ok || !a.exhausted() {
		t.Errorf("got %v", f)
	}
}
