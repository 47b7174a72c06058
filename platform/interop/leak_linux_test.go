package interop_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/core/api"
	"sallyport/platform/internal/lab"
)

// leakGateway is strongSwan as the gateway of the leak tests; LOCAL is what it
// protects, SECRET its pre-shared key.
const leakGateway = `
connections {
  office {
    version = 2
    local_addrs = 198.51.100.1, 2001:db8:1::1
    pools = v4, v6
    proposals = aes128gcm16-prfsha256-x25519
    local {
      auth = psk
      id = office.vpn.test
    }
    remote {
      auth = psk
    }
    children {
      net {
        local_ts = LOCAL
        esp_proposals = aes128gcm16
      }
    }
  }
}
pools {
  v4 {
    addrs = 10.20.0.0/24
    dns = 10.10.0.10
  }
  v6 {
    addrs = fd00:20::/120
    dns = fd00:10::10
  }
}
secrets {
  ike-office {
    secret = "SECRET"
  }
}
`

const leakSecret = "correct horse battery staple"

// leakClient is the client's profile. It notices a dead gateway within seconds.
const leakClient = `version = 1
name = "office"
gateways = ["GATEWAY"]
virtual_ips = ["0.0.0.0", "::"]

[local]
method = "psk"
id = "alice@vpn.test"
secret = "office.psk"

[remote]
method = "psk"
id = "office.vpn.test"

[ike]
proposals = ["aes128gcm16-prfsha256-x25519"]
liveness_delay = "1s"
retransmit_timeout = "300ms"
retransmit_tries = 3

[[children]]
name = "net"
remote_ts = [REMOTE]
proposals = ["aes128gcm16"]
`

// A leakScope is what a tunnel protects.
type leakScope struct {
	name   string
	local  string // of the gateway
	remote string // of the client
}

var leakScopes = []leakScope{
	{"everything", "0.0.0.0/0, ::/0", `"0.0.0.0/0", "::/0"`},
	{"two networks", "10.10.0.0/16, fd00:10::/64", `"10.10.0.0/16", "fd00:10::/64"`},
}

func (s leakScope) full() bool { return s.name == "everything" }

// targets are inside and in the internet. What everything covers has no elsewhere.
func (s leakScope) targets() lab.Targets {
	t := lab.Targets{
		LinkDNS: lab.Pair{V4: lab.RouterV4, V6: lab.RouterV6},
		Device:  "eth0",
	}
	internet := lab.Pair{V4: lab.InternetV4, V6: lab.InternetV6}
	if s.full() {
		t.Protected = internet
	} else {
		t.Protected, t.Elsewhere = lab.Pair{V4: lab.InsideV4, V6: lab.InsideV6}, internet
	}
	return t
}

// A leakBench is a client with its gateway, and the instruments.
type leakBench struct {
	t       *testing.T
	l       *lab.Lab
	gw      *lab.StrongSwan
	s       *lab.Service
	profile api.Profile
	scope   leakScope

	wire   *lab.Watch // the physical side of the client: its cable's other end
	beyond *lab.Watch // behind the gateway
	rounds int
	kept   []lab.Probe // what must never be on the wire
}

func newLeakBench(t *testing.T, profile api.Profile, scope leakScope) *leakBench {
	t.Helper()
	b := &leakBench{t: t, l: lab.New(t), profile: profile, scope: scope}
	b.gw = b.l.Gateway.StrongSwan(b.l.SwanDir("gateway", b.gatewayConf(leakSecret)))
	b.s = b.l.Client.Service("client")
	b.importClient(lab.GatewayV4.String())
	b.wire = b.l.Wan.Watch("client")
	if scope.full() {
		b.beyond = b.l.Wan.Watch("gw")
	} else {
		b.beyond = b.l.Inside.Watch("eth0")
	}
	return b
}

func (b *leakBench) gatewayConf(secret string) string {
	return strings.NewReplacer("LOCAL", b.scope.local, "SECRET", secret).Replace(leakGateway)
}

func (b *leakBench) importClient(gateway string) {
	b.t.Helper()
	dir := b.l.Dir("import")
	text := strings.NewReplacer("REMOTE", b.scope.remote, "GATEWAY", gateway).Replace(leakClient)
	for name, body := range map[string]string{"office.toml": text, "office.psk": leakSecret} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	b.s.Must("import", "--replace", filepath.Join(dir, "office.toml"))
}

// connect begins to connect; up waits for the tunnel.
func (b *leakBench) connect() {
	b.t.Helper()
	if err := b.s.Client.Connect(context.Background(), api.ConnectRequest{Name: "office", Profile: b.profile}); err != nil {
		b.t.Fatalf("connect: %v", err)
	}
}

func (b *leakBench) up() {
	b.t.Helper()
	b.until("the tunnel is up", func(c api.Connection) bool { return c.State == api.Connected })
}

func (b *leakBench) disconnect() {
	b.t.Helper()
	b.s.Must("disconnect", "office")
	b.until("it is disconnected", func(c api.Connection) bool { return c.State == api.Disconnected })
}

// until waits up to 20 s for a state.
func (b *leakBench) until(what string, done func(api.Connection) bool) {
	b.t.Helper()
	var c api.Connection
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c = b.s.Connection("office"); done(c) {
			return
		}
	}
	b.t.Fatalf("waited in vain until %s: it is %s, %s: %v", what, c.State, c.Protection, c.Problem)
}

// cut makes the gateway deaf and dumb on the ports of IKE and ESP, or heals it.
func (b *leakBench) cut(dead bool) {
	b.t.Helper()
	if dead {
		b.l.Gateway.Script("add table inet cut\n"+
			"add chain inet cut in { type filter hook prerouting priority -500; }\nadd rule inet cut in udp dport { 500, 4500 } drop\n"+
			"add chain inet cut out { type filter hook output priority 0; }\nadd rule inet cut out udp sport { 500, 4500 } drop\n", "nft", "-f", "-")
		return
	}
	b.l.Gateway.Run("nft delete table inet cut")
}

// refuse gives the gateway another secret, or the right one again.
func (b *leakBench) refuse(refuse bool) {
	secret := leakSecret
	if refuse {
		secret = "another one"
	}
	b.gw.Reload(b.gatewayConf(secret))
}

// A fate is what became of a probe.
type fate string

const (
	fateClear   fate = "clear"   // it was on the wire, and could be read
	fateTunnel  fate = "tunnel"  // it came out behind the gateway
	fateNothing fate = "nothing" // it went nowhere
)

// A leakRow is what became of the probes in one state.
type leakRow struct {
	state string
	cells []string // as leakColumns
}

var leakColumns = []string{"TCP", "UDP", "ICMP", "DNS", "fragments", "multicast", "DNS on the link", "elsewhere", "bound to the interface"}

var leakKinds = []lab.ProbeKind{lab.ProbeTCP, lab.ProbeUDP, lab.ProbeICMP, lab.ProbeDNS, lab.ProbeFragments, lab.ProbeMulticast, lab.ProbeLinkDNS, lab.ProbeElsewhere}

// protectedKinds are the kinds that go to protected networks whatever the scope.
var protectedKinds = leakKinds[:5]

// once fires one round and says what became of it. want is what must become of
// packets to protected networks that the routes lead.
func (b *leakBench) once(state string, want fate) leakRow {
	b.t.Helper()
	round := b.rounds
	b.rounds++
	counted, esp := b.filtered(), b.wire.ESP()
	sent := b.l.Client.Fire(round, b.scope.targets())
	fates := b.settled(sent, func(fates map[lab.Probe]fate) bool { return len(b.missing(fates, want)) == 0 })
	if missing := b.missing(fates, want); len(missing) > 0 {
		var out strings.Builder
		for _, p := range missing {
			fmt.Fprintf(&out, "\n%v: %s (sending: %v)", p, fates[p], strings.ReplaceAll(fmt.Sprint(sent[p]), "\n", ", "))
		}
		b.t.Errorf("%s, %s: %d of %d probes are not %s:%s", b.name(), state, len(missing), len(sent), want, out.String())
	}
	// What was not seen must have met the packet filter, or it was never sent.
	// What it refused, it has counted too.
	hidden := 0
	for p, f := range fates {
		if f == fateTunnel || f == fateNothing && sent[p] == nil {
			hidden++
		}
		if f != fateClear && b.protects(p) {
			b.kept = append(b.kept, p)
		}
	}
	if grew := b.filtered() - counted; grew < hidden {
		b.t.Errorf("%s, %s: %d probes were kept off the wire, of which the packet filter has met %d only: the test is blind", b.name(), state, hidden, grew)
	}
	if want == fateTunnel && b.wire.ESP()-esp < 2*len(protectedKinds) {
		b.t.Errorf("%s, %s: only %d ESP packets on the wire", b.name(), state, b.wire.ESP()-esp)
	}
	return b.row(state, func(p lab.Probe) string { return string(fates[p]) }, sent)
}

// lost fires one round into a tunnel whose other end is gone: what leaves must
// leave as ESP.
func (b *leakBench) lost(state string) leakRow {
	b.t.Helper()
	round := b.rounds
	b.rounds++
	esp := b.wire.ESP()
	sent := b.l.Client.Fire(round, b.scope.targets())
	want := 2 * len(protectedKinds)
	fates := b.settled(sent, func(map[lab.Probe]fate) bool { return b.wire.ESP()-esp >= want })
	if n := b.wire.ESP() - esp; n < want {
		b.t.Errorf("%s, %s: only %d ESP packets on the wire, want %d or more", b.name(), state, n, want)
	}
	for p, f := range fates {
		if f == fateClear && b.protects(p) {
			b.t.Errorf("%s, %s: %v in clear text", b.name(), state, p)
		}
		if f == fateNothing && !p.Bound && slices.Contains(protectedKinds, p.Kind) {
			fates[p] = fateTunnel
		}
	}
	return b.row(state, func(p lab.Probe) string { return string(fates[p]) }, sent)
}

// during fires rounds while f runs, one before it and one after it at least, and
// says what was seen at any time of it. end is what must become of the last round.
func (b *leakBench) during(state string, clear bool, end fate, f func()) leakRow {
	b.t.Helper()
	first := b.rounds
	flood := b.l.Client.Flood(first, 15*time.Millisecond, b.scope.targets())
	flood.Round()
	f()
	flood.Round()
	n, sent, err := flood.Stop()
	if err != nil {
		b.t.Fatalf("%s, %s: %v", b.name(), state, err)
	}
	if n < 3 {
		b.t.Errorf("%s, %s: only %d rounds", b.name(), state, n)
	}
	b.rounds += n
	last := b.settled(sent, func(fates map[lab.Probe]fate) bool { return len(b.missing(fates, end)) == 0 })
	if missing := b.missing(last, end); len(missing) > 0 {
		b.t.Errorf("%s, %s: at its end, %d of %d probes are not %s: %v", b.name(), state, len(missing), len(sent), end, missing)
	}
	seen := map[lab.Probe]map[fate]bool{} // by the probe without its round
	for watch, what := range map[*lab.Watch]fate{b.wire: fateClear, b.beyond: fateTunnel} {
		for p := range watch.Probes() {
			if p.Round < first || p.Round >= b.rounds || what == fateTunnel && b.wire.Saw(p) {
				continue // of another state, or a copy: the bridge floods multicast
			}
			if what == fateClear && b.protects(p) && !clear {
				b.t.Errorf("%s, %s: %v in clear text", b.name(), state, p)
			}
			p.Round = 0
			if seen[p] == nil {
				seen[p] = map[fate]bool{}
			}
			seen[p][what] = true
		}
	}
	return b.row(state, func(p lab.Probe) string {
		p.Round = 0
		switch {
		case seen[p][fateClear] && seen[p][fateTunnel]:
			return "clear or tunnel"
		case seen[p][fateClear]:
			return "clear"
		case seen[p][fateTunnel]:
			return "tunnel"
		}
		return "nothing"
	}, sent)
}

func (b *leakBench) name() string { return fmt.Sprintf("%s, %s", b.profile, b.scope.name) }

// protects reports whether the rules of the connection are about a probe.
func (b *leakBench) protects(p lab.Probe) bool {
	return b.scope.full() || slices.Contains(protectedKinds, p.Kind)
}

// settled waits until the captures have shown what done wants to see, two
// seconds at most, and nothing more for a while.
func (b *leakBench) settled(sent lab.Sent, done func(map[lab.Probe]fate) bool) map[lab.Probe]fate {
	const quiet, limit = 100 * time.Millisecond, 2 * time.Second
	begun := time.Now()
	last, changed := b.fates(sent), begun
	for time.Since(begun) < limit {
		time.Sleep(10 * time.Millisecond)
		if now := b.fates(sent); !maps.Equal(now, last) {
			last, changed = now, time.Now()
		}
		if time.Since(changed) >= quiet && done(last) {
			break
		}
	}
	return last
}

func (b *leakBench) fates(sent lab.Sent) map[lab.Probe]fate {
	out := make(map[lab.Probe]fate, len(sent))
	for p := range sent {
		switch {
		case b.wire.Saw(p):
			out[p] = fateClear
		case b.beyond.Saw(p):
			out[p] = fateTunnel
		default:
			out[p] = fateNothing
		}
	}
	return out
}

// missing lists the probes to protected networks whose fate is another. Those
// of bound sockets go where the interface leads, or nowhere.
func (b *leakBench) missing(fates map[lab.Probe]fate, want fate) []lab.Probe {
	var out []lab.Probe
	for p, f := range fates {
		w := want
		if !slices.Contains(protectedKinds, p.Kind) {
			if !b.protects(p) || f != fateClear || want == fateClear {
				continue
			}
			w = fateNothing
		}
		if p.Bound && want == fateTunnel {
			w = fateNothing
		}
		if f != w {
			out = append(out, p)
		}
	}
	return out
}

// filtered returns how many packets the packet filter dropped or sent into the
// tunnel device.
func (b *leakBench) filtered() int {
	out, _, err := b.l.Client.Output(10*time.Second, lab.Command("nft", "list", "counters", "table", "inet", "sallyport"))
	if err != nil {
		return 0 // no table
	}
	sum, name := 0, ""
	for _, line := range strings.Split(out, "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) >= 2 && f[0] == "counter":
			name = f[1]
		case len(f) >= 2 && f[0] == "packets" && (name == "out_dropped" || name == "out_tunneled"):
			var n int
			fmt.Sscan(f[1], &n)
			sum += n
		}
	}
	return sum
}

// row sums up the fates by column: the same for both families, or each.
func (b *leakBench) row(state string, fate func(lab.Probe) string, sent lab.Sent) leakRow {
	r := leakRow{state: state}
	at := map[lab.Probe]string{}
	for p := range sent {
		f := fate(p)
		p.Round = 0
		at[p] = f
	}
	cell := func(kinds []lab.ProbeKind, bound bool) string {
		by := [2][]string{}
		for i, v6 := range []bool{false, true} {
			for _, k := range kinds {
				if f, ok := at[lab.Probe{Kind: k, V6: v6, Bound: bound}]; ok && !slices.Contains(by[i], f) {
					by[i] = append(by[i], f)
				}
			}
		}
		v4, v6 := strings.Join(by[0], " or "), strings.Join(by[1], " or ")
		switch {
		case v4 == "" && v6 == "":
			return "–"
		case v4 == v6:
			return v4
		}
		return fmt.Sprintf("IPv4 %s, IPv6 %s", v4, v6)
	}
	for _, k := range leakKinds {
		r.cells = append(r.cells, cell([]lab.ProbeKind{k}, false))
	}
	r.cells = append(r.cells, cell(protectedKinds, true))
	for p, f := range at {
		// What the routes keep out of the clear, a bound socket must not bring in.
		routed := p
		routed.Bound = false
		if p.Bound && strings.Contains(f, string(fateClear)) && !strings.Contains(at[routed], string(fateClear)) {
			b.t.Errorf("%s, %s: %v is clear, while otherwise it is %s", b.name(), state, p, at[routed])
		}
	}
	return r
}

// TestLeakMatrix leads a client of each profile through every state of its
// tunnel and sends packets of all kinds in each, captured at the other end of
// the client's cable. What passes must be what docs/security.md says.
func TestLeakMatrix(t *testing.T) {
	tables := make([][]leakRow, len(leakProfiles)*len(leakScopes))
	t.Run("walk", func(t *testing.T) {
		for i, profile := range leakProfiles {
			for j, scope := range leakScopes {
				t.Run(string(profile)+" "+scope.name, func(t *testing.T) {
					t.Parallel()
					b := newLeakBench(t, profile, scope)
					tables[i*len(leakScopes)+j] = b.walk()
				})
			}
		}
	})
	if t.Failed() || slices.ContainsFunc(tables, func(rows []leakRow) bool { return rows == nil }) {
		return // they are not all there
	}
	checkLeakTables(t, tables)
}

var leakProfiles = []api.Profile{api.Respond, api.Request, api.Require}

// walk goes through the states.
func (b *leakBench) walk() []leakRow {
	var rows []leakRow
	add := func(r leakRow) { rows = append(rows, r) }
	// by returns what must become of packets to protected networks.
	by := func(respond, request, require fate) fate {
		return map[api.Profile]fate{api.Respond: respond, api.Request: request, api.Require: require}[b.profile]
	}
	begun := time.Now()
	stage := func(name string) { b.t.Logf("%6.2fs %s", time.Since(begun).Seconds(), name) }

	stage("never connected")
	add(b.once("never connected", fateClear))

	stage("connecting")
	b.cut(true)
	b.connect()
	if b.profile == api.Request {
		add(b.once("connecting, for the first 0.9 seconds", fateNothing))
		b.until("it falls back", func(c api.Connection) bool { return c.Protection == api.Clear })
		add(b.once("connecting, after that", fateClear))
	} else {
		add(b.once("connecting", by(fateClear, "", fateNothing)))
	}
	b.until("the attempt fails", func(c api.Connection) bool { return c.State != api.Connecting })
	add(b.once("the gateway is silent", by(fateClear, fateClear, fateNothing)))
	b.disconnect()
	b.cut(false)

	stage("refused")
	b.refuse(true)
	b.connect()
	b.until("the gateway refuses", func(c api.Connection) bool { return c.State != api.Connecting && c.Problem != nil })
	add(b.once("refused by the gateway", by(fateClear, fateClear, fateNothing)))
	b.disconnect()
	b.refuse(false)

	stage("connected")
	b.connect()
	b.up()
	add(b.once("connected", fateTunnel))

	stage("rekeying")
	add(b.during("rekeying", false, fateTunnel, func() {
		for _, what := range [][]string{{"--child", "net"}, {"--ike", "office"}, {"--child", "net"}} {
			if out, err := b.gw.Ctl(5*time.Second, append([]string{"--rekey"}, what...)...); err != nil {
				b.t.Errorf("swanctl --rekey %v: %v\n%s", what, err, out)
			}
			time.Sleep(150 * time.Millisecond)
		}
	}))

	stage("gateway lost")
	b.cut(true)
	add(b.lost("gateway lost, not noticed yet"))
	b.until("the loss is noticed", func(c api.Connection) bool { return c.State != api.Connected })
	stage("reconnecting")
	add(b.once("reconnecting", by(fateClear, fateNothing, fateNothing)))
	b.cut(false)
	b.up()
	stage("gateway back")
	add(b.once("gateway back", fateTunnel))

	b.refuse(true)
	if err := b.gw.Terminate("office"); err != nil {
		b.t.Fatal(err)
	}
	b.until("the gateway refuses", func(c api.Connection) bool {
		return (c.State == api.Disconnected || c.State == api.Blocked) && c.Problem != nil
	})
	stage("refused after it worked")
	add(b.once("refused, after protection has worked here", by(fateClear, fateNothing, fateNothing)))
	b.refuse(false)
	b.disconnect()
	b.connect()
	b.up()

	stage("stopped")
	// Without require the moment decides what is seen, so it is no row.
	b.during("service stopping", b.profile != api.Require, by(fateClear, fateClear, fateNothing), b.s.Stop)
	add(b.once("service stopped", by(fateClear, fateClear, fateNothing)))
	add(b.restart("service starting again"))

	stage("killed")
	b.s.Proc.Kill()
	add(b.once("service killed", fateNothing))
	add(b.restart("service starting after the kill"))
	if b.profile == api.Respond {
		b.disconnect()
	}

	stage("disconnected")
	b.disconnect()
	add(b.once("disconnected by the user", fateClear))
	stage("done")
	b.settle()
	return rows
}

// restart starts the service while probes are sent, and waits until it has
// come back to the tunnel by itself, which respond does not.
func (b *leakBench) restart(state string) leakRow {
	b.t.Helper()
	end := fateTunnel
	if b.profile == api.Respond {
		end = fateClear
	}
	row := b.during(state, b.profile != api.Require, end, func() {
		b.s.Start()
		if b.profile == api.Respond {
			b.until("it is at rest", func(c api.Connection) bool { return c.State == api.Disconnected })
			return
		}
		b.up()
	})
	if b.profile == api.Respond {
		b.connect()
		b.up()
	}
	b.once("connected again", fateTunnel)
	return row
}

// settle makes sure that nothing came late: what was held or lost must not
// have left in clear text after its moment.
func (b *leakBench) settle() {
	for _, p := range b.kept {
		if b.wire.Saw(p) {
			b.t.Errorf("%s: %v left in clear text after all", b.name(), p)
		}
	}
	if n := b.wire.Lost() + b.beyond.Lost(); n > 0 {
		b.t.Errorf("%s: %d packets escaped the capture", b.name(), n)
	}
}
