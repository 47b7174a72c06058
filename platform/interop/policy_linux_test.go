package interop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// mixed is a policy in which the most specific filter decides: a network to
// protect, a port of a host in it that is permitted and one that is blocked, a
// host in it that is blocked but for one port, and a router that may be pinged.
func mixed(s station) string {
	list := func(name, destination, rest string) string {
		return fmt.Sprintf("[[filter_lists]]\nname = %q\n[[filter_lists.filters]]\nsource = \"me\"\ndestination = %q\n%s\n", name, destination, rest)
	}
	rule := func(list, action, rest string) string {
		return fmt.Sprintf("[[rules]]\nname = %q\nfilter_list = %q\nfilter_action = %q\n%s\n", list, list, action, rest)
	}
	return "version = 1\nname = \"mixed\"\n" +
		list("the lan", "198.51.100.0/24", "") +
		list("open port", lab.GatewayV4.String(), "protocol = \"tcp\"\ndestination_port = \"8080\"") +
		list("telnet", lab.GatewayV4.String(), "protocol = \"tcp\"\ndestination_port = \"23\"") +
		list("bad host", bystander.String(), "") +
		list("its echo", bystander.String(), "protocol = \"udp\"\ndestination_port = \"7\"") +
		list("ping the router", "198.51.100.254", "protocol = \"icmp\"") +
		list("internet", "203.0.113.0/24", "") +
		list("not that page", lab.InternetV4.String(), "protocol = \"tcp\"\ndestination_port = \"8081\"") +
		rule("open port", "Permit", "") + rule("telnet", "Block", "") + rule("bad host", "Block", "") + rule("its echo", "Permit", "") +
		rule("ping the router", "Permit", "") + rule("internet", "Permit", "") + rule("not that page", "Block", "") +
		rule("the lan", actRequire, "[[rules.auth]]\n"+s.auth)
}

// A flow is what a test sends, and what must become of it.
type flow struct {
	dst     netip.Addr
	proto   string // "tcp", "udp" or "icmp"
	port    uint16
	rule    string
	verdict string // "clear", "protected" or "blocked"
}

func (f flow) String() string {
	if f.proto == "icmp" {
		return fmt.Sprintf("%v/icmp", f.dst)
	}
	return fmt.Sprintf("%v/%s", netip.AddrPortFrom(f.dst, f.port), f.proto)
}

var mixedFlows = []flow{
	{lab.GatewayV4, "tcp", 8000, "the lan", "protected"},
	{lab.GatewayV4, "udp", 7, "the lan", "protected"},
	{lab.GatewayV4, "icmp", 0, "the lan", "protected"},
	{lab.GatewayV4, "tcp", 8080, "open port", "clear"},
	{lab.GatewayV4, "tcp", 23, "telnet", "blocked"},
	{bystander, "tcp", 8000, "bad host", "blocked"},
	{bystander, "udp", 7, "its echo", "clear"},
	{bystander, "icmp", 0, "bad host", "blocked"},
	{netip.MustParseAddr("198.51.100.254"), "icmp", 0, "ping the router", "clear"},
	{lab.InternetV4, "tcp", 80, "internet", "clear"},
	{lab.InternetV4, "tcp", 8081, "not that page", "blocked"},
	{lab.InsideV4, "udp", 7, "", "clear"}, // no rule
}

// send sends the first packet of a flow and reports whether it was answered.
func (f flow) send(h *lab.Host, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	switch f.proto {
	case "tcp":
		c, err := h.Dial(ctx, "tcp", netip.AddrPortFrom(f.dst, f.port).String())
		if err != nil {
			return false
		}
		c.Close()
		return true
	case "udp":
		_, _, err := h.Ask(netip.AddrPortFrom(f.dst, f.port), lab.Marker, limit)
		return err == nil
	}
	c, err := h.Dial(ctx, "ip4:icmp", f.dst.String())
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(limit))
	echo := lab.IPPacket(f.dst, f.dst, 1, 1, append([]byte{8, 0, 0, 0, 0x5a, 0x11, 0, 1}, lab.Marker...))[20:]
	if _, err := c.Write(echo); err != nil {
		return false
	}
	b := make([]byte, 1500)
	for {
		n, err := c.Read(b)
		if err != nil {
			return false
		}
		if n > 20 && b[0]>>4 == 4 && b[20] == 0 || n > 0 && b[0] == 0 {
			return true
		}
	}
}

// observed says what was seen of a flow on the wire.
func (f flow) observed(frames []lab.Frame) string {
	esp := 0
	for _, x := range frames {
		_, dst, proto, ok := x.Ends()
		if !x.Sent || !ok || dst != f.dst {
			continue
		}
		s := lab.Sort([]lab.Frame{x})
		esp += s.ESP
		number := map[uint8]string{1: "icmp", 6: "tcp", 17: "udp"}[proto]
		if len(s.Other) > 0 && number == f.proto {
			return "clear"
		}
	}
	if esp > 0 {
		return "protected"
	}
	return "blocked"
}

// TestPolicyMix assigns a policy of every action and compares what simulate
// and explain say with what happens on the wire.
func TestPolicyMix(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	a := newStation(t, l, l.Client, lab.ClientV4, "psk")
	b := newStation(t, l, l.Gateway, lab.GatewayV4, "psk")
	l.Gateway.HTTP("more", "198.51.100.1:8080", "198.51.100.1:23")
	l.NAT.HTTP("bystander", netip.AddrPortFrom(bystander, 8000).String())
	l.NAT.UDPEcho(netip.AddrPortFrom(bystander, 7).String())
	l.Wan.HTTP("more", netip.AddrPortFrom(lab.InternetV4, 8081).String())
	before := l.Client.Snapshot()

	// Everything is clear, and captured for the simulation.
	tap := l.Client.Tap("eth0")
	for _, f := range mixedFlows {
		if !f.send(l.Client, 2*time.Second) && f.dst != lab.InsideV4 {
			t.Fatalf("%v goes nowhere without a policy", f)
		}
	}
	l.Client.Trouble("ip neigh flush all")
	frames := tap.Stop()
	for _, f := range mixedFlows {
		if got := f.observed(frames); got != "clear" {
			t.Fatalf("%v is %s without a policy", f, got)
		}
	}
	dir := l.Dir("simulation")
	capture, file := filepath.Join(dir, "capture.pcap"), filepath.Join(dir, "mixed.toml")
	for path, data := range map[string][]byte{capture: lab.Pcap(frames), file: []byte(mixed(a))} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var sim api.Simulation
	if err := json.Unmarshal([]byte(a.Must("--json", "policy", "simulate", file, "--against", capture)), &sim); err != nil {
		t.Fatal(err)
	}
	for _, f := range mixedFlows {
		want := fmt.Sprintf("%v/%s", netip.AddrPortFrom(f.dst, f.port), f.proto)
		if f.proto == "icmp" {
			want = f.dst.String() + "/icmp"
		}
		i := slices.IndexFunc(sim.Flows, func(s api.SimulatedFlow) bool { return strings.Contains(s.Flow, "→ "+want) })
		if i < 0 {
			t.Errorf("the simulation does not know %s: %+v", want, sim.Flows)
			continue
		}
		if s := sim.Flows[i]; s.Verdict != f.verdict || s.Rule != f.rule {
			t.Errorf("simulated %s is %s by %q, want %s by %q", s.Flow, s.Verdict, s.Rule, f.verdict, f.rule)
		}
	}

	// The other end secures what it is asked to, and knows the open port.
	peer := strings.Replace(b.lanPolicy(actRespond, "198.51.100.0/24"), "[[rules]]", "[[filter_lists]]\nname = \"open port\"\n[[filter_lists.filters]]\n"+
		"source = \"me\"\nsource_port = \"8080\"\nprotocol = \"tcp\"\ndestination = \"198.51.100.0/24\"\n\n[[rules]]\nname = \"open port\"\nfilter_list = \"open port\"\nfilter_action = \"Permit\"\n\n[[rules]]", 1)
	b.assign(t, l, "lan", peer)
	a.assign(t, l, "mixed", mixed(a))
	check := func(when string) {
		t.Helper()
		for _, f := range mixedFlows {
			limit := 2 * time.Second
			if f.verdict == "blocked" || f.dst == lab.InsideV4 {
				limit = 300 * time.Millisecond
			}
			var answer api.FlowAnswer
			if err := json.Unmarshal([]byte(a.Must("--json", "policy", "explain", f.String())), &answer); err != nil {
				t.Fatal(err)
			}
			action := map[string][]string{"clear": {"permit", "none"}, "blocked": {"block"}, "protected": {"negotiate"}}[f.verdict]
			if answer.Rule != f.rule || !slices.Contains(action, answer.Action) {
				t.Errorf("%s: explained %v: rule %q, action %s; want rule %q, action %v", when, f, answer.Rule, answer.Action, f.rule, action)
			}
			tap := l.Client.Tap("eth0")
			answered := f.send(l.Client, limit)
			got := f.observed(tap.Stop())
			if got != f.verdict {
				t.Errorf("%s: %v is %s on the wire, want %s", when, f, got, f.verdict)
			}
			if answered != (f.verdict != "blocked") && f.dst != lab.InsideV4 {
				t.Errorf("%s: %v answered: %v", when, f, answered)
			}
			// While it lasts, explain knows the state, too.
			if err := json.Unmarshal([]byte(a.Must("--json", "policy", "explain", f.String())), &answer); err != nil {
				t.Fatal(err)
			}
			want := map[string]api.Protection{"clear": api.Clear, "blocked": api.Stopped, "protected": api.Protected}[f.verdict]
			if answer.Protection != want {
				t.Errorf("%s: explained %v: %s, want %s: %+v", when, f, answer.Protection, want, answer)
			}
			if f.verdict == "protected" && (answer.SA == "" || answer.Since.IsZero() || answer.Assignment == nil || answer.Assignment.By == "") {
				t.Errorf("%s: explained %v without SA, time or who assigned it: %+v", when, f, answer)
			}
		}
	}
	check("assigned")
	a.Stop()
	tap = l.Client.Tap("eth0")
	for _, f := range mixedFlows {
		if f.verdict != "clear" {
			f.send(l.Client, 100*time.Millisecond)
		}
	}
	for _, f := range mixedFlows {
		if got := f.observed(tap.Frames()); f.verdict == "protected" && f.proto != "tcp" && got == "clear" {
			t.Errorf("the service is stopped, and %v is clear", f)
		}
	}
	tap.Stop()
	a.Start()
	check("after a restart")
	a.Proc.Kill()
	a.Start()
	check("after a crash")
	a.Must("policy", "unassign")
	for _, f := range mixedFlows {
		if !f.send(l.Client, 3*time.Second) && f.dst != lab.InsideV4 {
			t.Errorf("unassigned, and %v goes nowhere", f)
		}
	}
	a.Stop()
	l.Client.MustBeAsBefore(before)
}

// TestPolicyOneAssigned shows that the second policy takes the place of the
// first, that a change waits for Assign, and what the lists say.
func TestPolicyOneAssigned(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := l.Client.Service("one")
	a := station{Service: s, host: l.Client}
	block := func(name, dst string) string {
		return fmt.Sprintf("version = 1\nname = %q\n[[filter_lists]]\nname = \"x\"\n[[filter_lists.filters]]\nsource = \"me\"\ndestination = %q\n[[rules]]\nname = \"x\"\nfilter_list = \"x\"\nfilter_action = \"Block\"\n", name, dst)
	}
	state := func() (assigned []string, inForce string) {
		policies, err := s.Client.Policies(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range policies {
			if p.Assigned {
				assigned = append(assigned, p.Name)
			}
		}
		st, err := s.Client.State(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if st.Assignment != nil {
			inForce = st.Assignment.Policy
		}
		return assigned, inForce
	}
	reach := func(server netip.Addr, want bool) {
		t.Helper()
		c, err := l.Client.DialVia("", "tcp", net.JoinHostPort(server.String(), "80"), 300*time.Millisecond)
		if err == nil {
			c.Close()
		}
		if (err == nil) != want {
			t.Errorf("%v is reached: %v, want %v", server, err, want)
		}
	}
	before := l.Client.Snapshot()
	if list, inForce := state(); len(list) != 0 || inForce != "" {
		t.Errorf("assigned by default: %v, %q", list, inForce)
	}
	for _, name := range []string{"Client (respond only)", "Server (request security)", "Secure Server (require security)"} {
		if !strings.Contains(s.Must("policy", "list"), name) {
			t.Errorf("no predefined policy %q", name)
		}
		if out := s.Must("policy", "export", name); !strings.Contains(out, "version = 1") {
			t.Errorf("%q as text: %s", name, out)
		}
	}
	a.assign(t, l, "first", block("first", lab.InternetV4.String()))
	reach(lab.InternetV4, false)
	reach(lab.InternetV6, true)
	a.assign(t, l, "second", block("second", lab.InternetV6.String()))
	reach(lab.InternetV4, true)
	reach(lab.InternetV6, false)
	if list, inForce := state(); !slices.Equal(list, []string{"second"}) || inForce != "second" {
		t.Errorf("assigned: %v, in force %q", list, inForce)
	}
	if out := s.Must("policy", "diff", "first", "second"); !strings.Contains(out, lab.InternetV6.String()) {
		t.Errorf("difference: %s", out)
	}
	path := filepath.Join(l.Dir("edited"), "second.toml")
	if err := os.WriteFile(path, []byte(block("second", lab.InternetV4.String())), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Must("policy", "import", path, "--replace")
	reach(lab.InternetV4, true) // not yet
	reach(lab.InternetV6, false)
	s.Stop()
	s.Start()
	if _, inForce := state(); inForce != "second" {
		t.Errorf("after a restart %q is in force", inForce)
	}
	reach(lab.InternetV4, true) // nor by a restart
	reach(lab.InternetV6, false)
	s.Must("policy", "assign", "second")
	reach(lab.InternetV4, false)
	reach(lab.InternetV6, true)
	if e, exit := s.Error("policy", "remove", "second"); exit != 1 || e.Code != api.CodeBusy {
		t.Errorf("removing what is assigned: %v, exit code %d", e, exit)
	}
	s.Must("policy", "unassign")
	s.Must("policy", "remove", "second")
	if list, inForce := state(); len(list) != 0 || inForce != "" {
		t.Errorf("assigned in the end: %v, %q", list, inForce)
	}
	l.Client.MustBeAsBefore(before)
}

// counted matches what the packet filter counts meanwhile.
var counted = regexp.MustCompile(`packets \d+ bytes \d+`)

func uncounted(snapshot string) string { return counted.ReplaceAllString(snapshot, "") }

// TestBadPolicies has every kind of policy that must not come into force. Each
// is named with its line, and the one that is assigned stays untouched.
func TestBadPolicies(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := l.Client.Service("bad")
	s.Must("import", l.SwanDir("office", pskConf("198.51.100.1", "psk.vpn.test", "", split))+"/swanctl.conf")
	a := station{Service: s, host: l.Client}
	const head = "version = 1\nname = \"bad\"\n"
	list := func(name string, filters ...string) string {
		out := fmt.Sprintf("[[filter_lists]]\nname = %q\n", name)
		for _, f := range filters {
			src, dst, _ := strings.Cut(f, " > ")
			dst, rest, _ := strings.Cut(dst, " ")
			out += fmt.Sprintf("[[filter_lists.filters]]\nsource = %q\ndestination = %q\n", src, dst)
			if rest != "" {
				out += rest + "\n"
			}
		}
		return out
	}
	rule := func(list, action, rest string) string {
		return fmt.Sprintf("[[rules]]\nname = %q\nfilter_list = %q\nfilter_action = %q\n%s\n", list+action, list, action, rest)
	}
	tunnel := "tunnel = \"office\""
	a.assign(t, l, "good", "version = 1\nname = \"good\"\n"+list("x", "me > 203.0.113.10")+rule("x", "Block", ""))
	before := uncounted(l.Client.Snapshot())
	for _, tt := range []struct {
		name, text string
		line       string // what the line at fault holds; empty: a warning, not an error
		says       string
	}{
		{"unknown field", head + "strict = true\n", "strict", "strict"},
		{"unknown field of a filter", head + list("x", "me > 10.0.0.1 destinaton_port = \"80\"") + rule("x", "Block", ""), "destinaton_port", "destinaton_port"},
		{"no TOML", head + "[[rules\n", "[[rules", ""},
		{"unknown action", head + list("x", "me > 10.0.0.1") + rule("x", "Blokc", ""), "Blokc", "Blokc"},
		{"unknown list", head + rule("y", "Block", ""), "filter_list =", "y"},
		{"address that is none", head + list("x", "me > 10.0.0.300") + rule("x", "Block", ""), "10.0.0.300", "10.0.0.300"},
		{"families mixed", head + list("x", "10.0.0.1 > fd00::1") + rule("x", "Block", ""), "fd00::1", "family"},
		{"contradiction", head + list("x", "me > 10.0.0.1") + list("y", "me > 10.0.0.1") + rule("x", "Block", "") + rule("y", "Permit", ""), "[[filter_lists.filters]]", "contradicts"},
		{"unknown connection", head + list("x", "me > 10.10.0.0/16") + rule("x", actRequire, "tunnel = \"ofice\""), "ofice", "office"},
		{"locked out of the gateway", head + list("x", "me > 198.51.100.1") + list("net", "me > 10.10.0.0/16") + rule("x", "Block", "") + rule("net", actRequire, tunnel), "[[filter_lists.filters]]", "gateway"},
		{"unknown secret", head + list("x", "me > 10.0.0.1") + rule("x", actRequire, "[[rules.auth]]\nmethod = \"psk\"\nsecret = \"nobody's\""), "nobody's", "nobody's"},
		{"no authentication", head + list("x", "me > 10.0.0.1") + rule("x", actRequire, ""), "[[rules]]", "auth"},
		{"overlap that leaks", head + list("net", "me > 10.10.0.0/16") + list("x", "10.0.0.0/8 > 10.10.1.0/24") + rule("net", actRequire, tunnel) + rule("x", "Permit", ""), "", "10.10.1.0/24"},
		{"unreachable", head + list("x", "me > 10.0.0.0/31") + list("y", "me > 10.0.0.0", "me > 10.0.0.1") + rule("x", "Permit", "") + rule("y", "Block", ""), "", "never reached"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := l.For(t)
			s := s.For(l)
			path := filepath.Join(l.Dir("bad"), "bad.toml")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			r := s.CLI("--json", "policy", "import", path, "--replace")
			out := r.Out
			if r.Exit == 0 {
				r = s.CLI("--json", "policy", "assign", "bad", "--dry-run")
				out += r.Out
				if tt.line != "" {
					r = s.CLI("--json", "policy", "assign", "bad")
				}
			}
			if tt.line == "" {
				if r.Exit != 0 || !strings.Contains(out, tt.says) {
					t.Errorf("exit code %d, no warning of %q: %s%s", r.Exit, tt.says, out, r.Err)
				}
			} else {
				var body struct {
					Error *api.Error `json:"error"`
				}
				if err := json.Unmarshal([]byte(r.Out), &body); err != nil || body.Error == nil || r.Exit != 1 {
					t.Fatalf("exit code %d, %v: %s%s", r.Exit, err, r.Out, r.Err)
				}
				e := body.Error
				if e.Code != api.CodePolicyInvalid || e.Position == nil || !strings.Contains(fmt.Sprint(e.What, e.Why, e.Next, e.Position.Field), tt.says) {
					t.Errorf("%+v, position %+v", e, e.Position)
				} else if lines := strings.Split(tt.text, "\n"); e.Position.Line < 1 || e.Position.Line > len(lines) || !strings.Contains(lines[e.Position.Line-1], tt.line) {
					t.Errorf("line %d of\n%s\nwant one with %q: %v", e.Position.Line, tt.text, tt.line, e)
				}
			}
			st, err := s.Client.State(context.Background())
			if err != nil || st.Assignment == nil || st.Assignment.Policy != "good" {
				t.Errorf("in force is %+v, %v", st.Assignment, err)
			}
			if now := uncounted(l.Client.Snapshot()); now != before {
				t.Errorf("half applied: the machine was\n%s\nand is\n%s", before, now)
			}
			s.CLI("policy", "remove", "bad")
		})
	}
}

// TestTenThousandFilters assigns as many, for networks and hosts and a few
// ports as admins write them, and compares what a packet costs.
func TestTenThousandFilters(t *testing.T) {
	l := lab.New(t)
	newGateway(t, l, sharedPKI(t))
	s := l.Client.Service("many")
	a := station{Service: s, host: l.Client}
	s.Must("import", l.SwanDir("office", pskConf("198.51.100.1", "full.vpn.test", "", "remote_ts = 0.0.0.0/0, ::/0"))+"/swanctl.conf")
	text := func(name string, n int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "version = 1\nname = %q\n[[filter_lists]]\nname = \"net\"\n[[filter_lists.filters]]\nsource = \"me\"\ndestination = \"any\"\n", name)
		b.WriteString("[[rules]]\nname = \"net\"\nfilter_list = \"net\"\nfilter_action = \"Require security\"\ntunnel = \"office\"\n")
		for i, action := range []string{"Block", "Permit"} {
			fmt.Fprintf(&b, "[[filter_lists]]\nname = %q\n", action)
			for k := range n / 2 {
				fmt.Fprintf(&b, "[[filter_lists.filters]]\nsource = \"me\"\ndestination = \"172.%d.%d.%d/%d\"\nprotocol = \"tcp\"\ndestination_port = \"%d\"\n",
					16+i, k/32, k%32*8, 29+k%4, []int{22, 80, 443, 3389}[k%3])
			}
			fmt.Fprintf(&b, "[[rules]]\nname = %q\nfilter_list = %q\nfilter_action = %q\n", action, action, action)
		}
		return b.String()
	}
	counts := []int{10, 10_000}
	for _, n := range counts {
		path := filepath.Join(l.Dir("many"), fmt.Sprint(n, ".toml"))
		if err := os.WriteFile(path, []byte(text(fmt.Sprint("many ", n), n)), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Must("policy", "import", path)
	}
	fastest := map[int]time.Duration{}
	best := map[int][2]float64{} // packets and bytes: seconds
	// The best of some rounds: other programs want the processor, too.
	costly := func(i int) bool { return best[10_000][i] > 1.5*best[10][i] }
	for round := 0; round < 2 || round < 8 && (fastest[10_000] > time.Second || costly(0) || costly(1)); round++ {
		for _, n := range counts {
			begun := time.Now()
			if _, err := s.Client.Assign(context.Background(), fmt.Sprint("many ", n), false); err != nil {
				t.Fatal(err)
			}
			took := time.Since(begun)
			t.Logf("%d filters: assigned in %v", n, took.Round(time.Millisecond))
			if f, ok := fastest[n]; !ok || took < f {
				fastest[n] = took
			}
			waitFor(t, "the tunnel", func() bool { return s.Connection("office").State == api.Connected })
			small, err := asks(l, 3000)
			if err != nil {
				t.Fatal(err)
			}
			tr, err := l.Client.Download(lab.InsideV4, 50*megabytes, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			b, ok := best[n]
			if !ok {
				b = [2]float64{small.Seconds(), tr.Took.Seconds()}
			}
			best[n] = [2]float64{min(b[0], small.Seconds()), min(b[1], tr.Took.Seconds())}
		}
	}
	a.Must("policy", "unassign")
	if fastest[10_000] > time.Second {
		t.Errorf("assigning 10,000 filters takes %v", fastest[10_000])
	}
	for i, what := range []string{"3,000 small packets there and back", "50 MB"} {
		few, many := best[10][i], best[10_000][i]
		t.Logf("%s: %.3f s with 10 filters, %.3f s with 10,000: ratio %.2f", what, few, many, many/few)
		if many > 1.5*few {
			t.Errorf("%s: 10,000 filters make a packet %.2f times as expensive as 10", what, many/few)
		}
	}
}

// asks sends small datagrams through the tunnel, one after the other, each
// answered by the one that looks names up.
func asks(l *lab.Lab, n int) (time.Duration, error) {
	c, err := l.Client.Dial(context.Background(), "udp", netip.AddrPortFrom(lab.InsideV4, 53).String())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	query := []byte{0x5a, 0x11, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 8, 'i', 'n', 't', 'r', 'a', 'n', 'e', 't', 3, 'v', 'p', 'n', 4, 't', 'e', 's', 't', 0, 0, 1, 0, 1}
	begun := time.Now()
	_ = c.SetDeadline(begun.Add(time.Minute))
	b := make([]byte, 1500)
	for range n {
		if _, err := c.Write(query); err != nil {
			return 0, err
		}
		if _, err := c.Read(b); err != nil {
			return 0, err
		}
	}
	return time.Since(begun), nil
}
