package firewall

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"sallyport/core/host"
	"sallyport/platform/firewall/internal/decide"
)

// The hooks of our table stay the same whatever the intent, and a transaction
// replaces the rules that they hold. The kernel reads once per packet and hook
// which generation of rules it runs, so each packet meets the old rules or the
// new ones. Would the chains be replaced too, a packet could pass the new one
// before and the old one after the transaction takes effect, and meet neither.
const (
	early = -450 // before connection tracking (-200), raw tables (-300) and reassembly (-400)
	late  = 1000 // after address translation (100) and everybody's filters
)

// Names of the hooks.
const (
	hookEarly      = "early"
	hookOutput     = "output"
	hookInput      = "input"
	hookForwardIn  = "forward_in"
	hookForwardOut = "forward_out"
	hookReroute    = "reroute"
	hookLeave      = "leave"
)

var hooks = [...]struct {
	name     string
	kind     nftables.ChainType
	hook     nftables.ChainHook
	priority nftables.ChainPriority
}{
	{hookEarly, nftables.ChainTypeFilter, *nftables.ChainHookPrerouting, early},
	{hookOutput, nftables.ChainTypeFilter, *nftables.ChainHookOutput, late},
	{hookInput, nftables.ChainTypeFilter, *nftables.ChainHookInput, late},
	{hookForwardIn, nftables.ChainTypeFilter, *nftables.ChainHookForward, late},
	{hookForwardOut, nftables.ChainTypeFilter, *nftables.ChainHookForward, late + 1},
	{hookReroute, nftables.ChainTypeRoute, *nftables.ChainHookOutput, late + 1},
	{hookLeave, nftables.ChainTypeFilter, *nftables.ChainHookPostrouting, late},
}

// A batch collects one transaction.
type batch struct {
	conn   *nftables.Conn
	table  *nftables.Table
	mark   uint32
	uid    uint32
	intent *host.FirewallIntent
	labels []string // of its rules

	chain *nftables.Chain // that rule adds to
	err   error
}

// replace makes the table hold the intent. old are the chains that it has, have
// its counters; fresh says that those of labels begin at 0.
func (b *batch) replace(old []*nftables.Chain, have map[string]uint64, fresh bool) error {
	b.conn.AddTable(b.table)
	b.conn.FlushTable(b.table)
	for _, c := range old {
		if !isHook(c) {
			b.conn.DelChain(&nftables.Chain{Name: c.Name, Table: b.table})
		}
	}
	b.addCounters(have, fresh)
	if len(old) == 0 {
		accept := nftables.ChainPolicyAccept
		b.addHooksWith(&accept)
	} else {
		b.addHooks()
	}
	if len(b.intent.Beside) > 0 {
		b.add(outbound.verdict(decide.Outcome{Action: host.FirewallDrop})) // where addBeside leads to
		b.addBeside()
	}
	for _, d := range directions {
		b.addVerdicts(d, "")
		for _, l := range b.labels {
			b.addVerdicts(d, l)
		}
		b.addDirection(d)
	}
	b.addEarly()
	b.addOutput()
	b.addInput()
	b.addForward()
	b.addReroute()
	b.addLeave()
	return b.err
}

func isHook(c *nftables.Chain) bool {
	for _, h := range hooks {
		if h.name == c.Name {
			return c.Type == h.kind && c.Hooknum != nil && *c.Hooknum == h.hook && c.Priority != nil && *c.Priority == h.priority
		}
	}
	return false
}

// addHooks adds the hooks, or sets what they do without rules: what another
// program has emptied lets nothing pass, unless all that no rule matches may.
func (b *batch) addHooks() {
	policy := nftables.ChainPolicyDrop
	if b.intent.Default == host.FirewallClear {
		policy = nftables.ChainPolicyAccept
	}
	b.addHooksWith(&policy)
}

func (b *batch) addHooksWith(policy *nftables.ChainPolicy) {
	for _, h := range hooks {
		b.conn.AddChain(&nftables.Chain{
			Name: h.name, Table: b.table, Type: h.kind,
			Hooknum: &h.hook, Priority: &h.priority, Policy: policy,
		})
	}
}

// add starts a chain that others lead to.
func (b *batch) add(name string) {
	b.chain = b.conn.AddChain(&nftables.Chain{Name: name, Table: b.table})
}

// at goes on with a hook.
func (b *batch) at(hook string) { b.chain = &nftables.Chain{Name: hook, Table: b.table} }

// rule adds a rule to the current chain.
func (b *batch) rule(parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	b.conn.AddRule(&nftables.Rule{Table: b.table, Chain: b.chain, Exprs: all})
}

// vmap adds a rule that looks up what load put into the register.
func (b *batch) vmap(load []expr.Any, key nftables.SetDatatype, elements []nftables.SetElement) {
	set := &nftables.Set{
		Table: b.table, Anonymous: true, Constant: true, Interval: true, IsMap: true,
		KeyType: key, DataType: nftables.TypeVerdict,
	}
	err := b.conn.AddSet(set, nil)
	open := *set
	open.Anonymous = false // the library would refuse elements; the kernel takes them until a rule uses the set
	for err == nil && len(elements) > 0 {
		n := min(len(elements), perMessage)
		err = b.conn.SetAddElements(&open, elements[:n])
		elements = elements[n:]
	}
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("map of chain %s: %w", b.chain.Name, err)
	}
	b.rule(load, []expr.Any{&expr.Lookup{
		SourceRegister: 1, DestRegister: 0, IsDestRegSet: true, SetID: set.ID, SetName: set.Name,
	}})
}

// perMessage bounds the elements of a message, whose attributes hold 64 KiB.
const perMessage = 400

// counters are stateful objects: they go on counting when rules are replaced.
var counters = [...]string{"out_cleared", "out_dropped", "out_tunneled", "in_cleared", "in_dropped", "in_tunneled"}

// addVerdicts adds the chains that end the way of a packet, for a label.
func (b *batch) addVerdicts(d direction, label string) {
	tunnel, inside := inBy(b.intent.Device), []expr.Any(nil)
	if d == outbound {
		tunnel, inside = outBy(b.intent.Device), setMark(b.inside())
	}
	cleared, dropped := count(d.String()+"_cleared"), count(d.String()+"_dropped")
	if label != "" {
		cleared = join(cleared, count(d.counter(clearedFor)+tally(label)))
		dropped = join(dropped, count(d.counter(droppedFor)+tally(label)))
	}
	to := func(a host.FirewallAction) string { return d.verdict(decide.Outcome{Action: a, Label: label}) }
	b.add(to(host.FirewallClear))
	if d == outbound && len(b.intent.Beside) > 0 {
		for _, v6 := range []bool{false, true} {
			b.rule(tunnel, family(v6), not(marked(b.inside())), jump(besideChain(v6)))
		}
	}
	b.rule(cleared, accept)
	b.add(to(host.FirewallDrop))
	b.rule(dropped, drop)
	b.add(to(host.FirewallTunnelOnly))
	b.rule(tunnel, inside, count(d.String()+"_tunneled"), accept)
	b.rule(dropped, drop)
}

// dropped leads to the end of what may not pass.
func dropped(d direction) []expr.Any {
	return goTo(d.verdict(decide.Outcome{Action: host.FirewallDrop}))
}

// addEarly keeps others on the link from finding and using the inner addresses
// (CVE-2019-14899).
func (b *batch) addEarly() {
	b.at(hookEarly)
	b.rule(inByLoopback, accept)
	b.rule(inBy(b.intent.Device), accept)
	for _, a := range b.intent.Inner {
		a = a.Unmap()
		b.rule(family(a.Is6()), daddr(a), dropped(inbound))
	}
	b.rule(accept)
}

// addOutput judges what this machine sends.
func (b *batch) addOutput() {
	b.addOutputExempt()
	x := &b.intent.Exempt
	b.at(hookOutput)
	b.rule(outByLoopback, accept)
	b.keepInside(true)
	b.addFragments(outbound, not(outBy(b.intent.Device)))
	if x.Lookup {
		b.rule(b.ownSocket(), protocol(tcp), destinationPort(53), accept)
	}
	for _, port := range x.TCPPorts {
		b.rule(b.ownSocket(), protocol(tcp), sourcePort(port), accept)
	}
	for _, s := range slices.Concat(x.TCP, x.Fetch) {
		b.rule(b.ownSocket(), family(s.Addr().Is6()), protocol(tcp), daddr(s.Addr()), destinationPort(s.Port()), accept)
	}
	b.rule(not(protocol(tcp)), jump(exempt(hookOutput)))
	if b.intent.DNSInside {
		b.addDNS(outbound, not(outBy(b.intent.Device)), destinationPort)
	}
	b.keepInside(false)
	b.byFamily(outbound)
}

// exempt is the chain of what may always pass a hook and is not TCP, which most
// packets are: those pay for one rule in place of all of them.
func exempt(hook string) string { return hook + "_exempt" }

func (b *batch) addOutputExempt() {
	x := &b.intent.Exempt
	b.add(exempt(hookOutput))
	if len(x.IKE) > 0 {
		// Setting a mark takes CAP_NET_ADMIN or, since Linux 5.17, CAP_NET_RAW,
		// which programs like ping have for every user. Hence the rest.
		own := join(b.ownSocket(), protocol(udp))
		for _, port := range x.IKE {
			b.rule(own, sourcePort(port), accept)
		}
		for _, port := range peerPorts {
			b.rule(own, destinationPort(port), accept)
		}
	}
	if x.Lookup {
		b.rule(b.ownSocket(), protocol(udp), destinationPort(53), accept)
	}
	if x.DHCP {
		// Port 68 and 546 are for privileged processes. A DHCP server may be
		// anywhere (relays), a DHCPv6 one is on the link (RFC 8415, section 7.1).
		b.rule(family(false), protocol(udp), sourcePort(68), destinationPort(67), accept)
		for _, dst := range dhcp6Servers {
			b.rule(family(true), protocol(udp), destination(dst), sourcePort(546), destinationPort(547), accept)
		}
	}
	if x.NDP {
		b.addNDP()
	}
}

// peerPorts are where peers answer IKE and ESP.
var peerPorts = [...]uint16{500, 4500}

var dhcp6Servers = [...]netip.Prefix{netip.MustParsePrefix("ff02::1:2/128"), netip.MustParsePrefix("fe80::/10")}

// addInput judges what arrives for this machine. Packets of IPv4 are whole
// here; those of IPv6 may be fragments.
func (b *batch) addInput() {
	b.addInputExempt()
	x := &b.intent.Exempt
	b.at(hookInput)
	b.rule(inByLoopback, accept)
	b.addFragments(inbound, not(inBy(b.intent.Device)))
	if x.Lookup {
		b.rule(protocol(tcp), sourcePort(53), b.forOwnSocket(), accept)
	}
	for _, port := range x.TCPPorts {
		b.rule(protocol(tcp), destinationPort(port), accept)
	}
	for _, s := range slices.Concat(x.TCP, x.Fetch) {
		b.rule(family(s.Addr().Is6()), protocol(tcp), saddr(s.Addr()), sourcePort(s.Port()), b.forOwnSocket(), accept)
	}
	b.rule(not(protocol(tcp)), jump(exempt(hookInput)))
	if b.intent.DNSInside {
		b.addDNS(inbound, not(inBy(b.intent.Device)), sourcePort)
	}
	b.byFamily(inbound)
}

// addInputExempt has also what never passes: redirects, which move routes.
func (b *batch) addInputExempt() {
	x := &b.intent.Exempt
	b.add(exempt(hookInput))
	for _, port := range x.IKE {
		b.rule(protocol(udp), destinationPort(port), accept)
	}
	b.rule(family(false), protocol(icmp), icmpType(icmpRedirect), dropped(inbound))
	b.rule(family(true), protocol(icmpv6), icmpType(icmpv6Redirect), dropped(inbound))
	for _, port := range x.IKE {
		b.addErrors(port)
	}
	if x.Lookup {
		b.rule(protocol(udp), sourcePort(53), b.forOwnSocket(), accept)
	}
	if x.DHCP {
		b.rule(family(false), protocol(udp), sourcePort(67), destinationPort(68), accept)
		b.rule(family(true), protocol(udp), sourcePort(547), destinationPort(546), accept)
	}
	if x.NDP {
		b.addNDP()
	}
}

// addErrors lets routers report what became of packets from a port: without
// that, IKE and ESP would not learn the MTU of their path (RFC 1191, RFC 8201).
// An error quotes the packet from its IP header on.
func (b *batch) addErrors(port uint16) {
	for _, t := range icmpErrors {
		b.rule(family(false), protocol(icmp), icmpType(t), quoted(0, 0x45), quoted(9, udp), quotedPort(20, port), accept)
	}
	for _, t := range icmpv6Errors {
		b.rule(family(true), protocol(icmpv6), icmpType(t), quoted(6, udp), quotedPort(40, port), accept)
	}
}

// Errors of ICMP (unreachable, time exceeded, parameter problem) and ICMPv6
// (unreachable, too big, time exceeded, parameter problem).
var (
	icmpErrors   = [...]uint8{3, 11, 12}
	icmpv6Errors = [...]uint8{1, 2, 3, 4}
)

// addForward judges what passes through this machine from one interface to
// another, in both directions one after the other.
func (b *batch) addForward() {
	for _, h := range []struct {
		hook string
		d    direction
	}{{hookForwardIn, inbound}, {hookForwardOut, outbound}} {
		b.at(h.hook)
		b.rule(inBy(b.intent.Device), accept)
		b.rule(outBy(b.intent.Device), accept)
		b.addFragments(h.d, nil)
		if b.intent.DNSInside && h.d == outbound {
			b.addDNS(outbound, nil, destinationPort)
			b.addDNS(outbound, nil, sourcePort)
		}
		b.byFamily(h.d)
	}
}

// addFragments leads fragments but the first past whatever looks at ports, to
// the rules. They have none, but the kernel (6.18) only says so for loads of
// other sizes than 1, 2 and 4 bytes: the fast path of nft_payload takes the
// first bytes of the fragment for ports. DNS may be in any of them.
func (b *batch) addFragments(d direction, where []expr.Any) {
	for _, v6 := range []bool{false, true} {
		if b.intent.DNSInside {
			for _, p := range [...]uint8{udp, tcp} {
				b.rule(family(v6), fragment(v6), protocol(p), where, dropped(d))
			}
		}
		b.rule(family(v6), fragment(v6), goTo(d.entry(v6)))
	}
}

// addNDP lets neighbour and router discovery pass (RFC 4861). No router
// forwards a hop limit of 255 unchanged.
func (b *batch) addNDP() {
	for t := uint8(routerSolicitation); t <= neighbourAdvertisement; t++ {
		b.rule(family(true), protocol(icmpv6), hopLimit(255), icmpType(t), accept)
	}
}

// dnsPorts are those of DNS, and of DNS over TLS and over QUIC.
var dnsPorts = [...]uint16{53, 853}

// addDNS drops DNS, where it goes.
func (b *batch) addDNS(d direction, where []expr.Any, port func(uint16) []expr.Any) {
	for _, p := range [...]uint8{udp, tcp} {
		for _, n := range dnsPorts {
			b.rule(protocol(p), port(n), where, dropped(d))
		}
	}
}

// byFamily leads to the rules.
func (b *batch) byFamily(d direction) {
	for _, v6 := range []bool{false, true} {
		b.rule(family(v6), goTo(d.entry(v6)))
	}
	b.rule(dropped(d)) // not reached: there are two families
}

// addDirection adds the chains that judge by the intent's rules.
func (b *batch) addDirection(d direction) {
	for _, v6 := range []bool{false, true} {
		rules, opaque := decide.Lists(b.intent, v6, d.host())
		main := &diagram{batch: b, dir: d, v6: v6, name: d.entry(v6)}
		if opaque {
			main.unseen = main.name + "_opaque"
			first, second := decide.Opaque(rules)
			two := &diagram{batch: b, dir: d, v6: v6, name: main.name + "_strictest"}
			two.add(decide.Compile(second, v6))
			one := &diagram{batch: b, dir: d, v6: v6, name: main.unseen, stop: two.name}
			one.add(decide.Compile(first, v6))
		}
		main.add(decide.Compile(rules, v6))
	}
}
