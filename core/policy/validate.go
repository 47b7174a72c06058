package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport/core/ippkt"
	"sallyport/core/ts"
)

// Validate judges a policy for a machine: what is missing, what contradicts
// itself, what leaks, what never applies, and what would lock the user out of
// the gateway. Nothing is changed. With an error among the findings Compile
// refuses the policy.
func Validate(p *Policy, env Env) Findings {
	_, found := Examine(p, env)
	return found
}

// Examine does what Validate does, and returns the compiled policy that it
// judged: nil when there was nothing to compile. It is fit for use without an
// error among the findings.
func Examine(p *Policy, env Env) (*Compiled, Findings) {
	c := checker{Policy: p, found: p.check()}
	if c.found.Err() != nil {
		return nil, c.found
	}
	c.references(env)
	if c.found.Err() != nil {
		return nil, c.found
	}
	compiled, faults := compile(p, env)
	if len(faults) > 0 {
		return nil, append(c.found, faults...)
	}
	c.empty(compiled)
	c.contradictions(compiled)
	c.leaks(compiled)
	c.lockOut(compiled, env)
	c.unreachable(compiled)
	return compiled, c.found
}

// references checks what the policy names outside itself.
func (c *checker) references(env Env) {
	var names []string
	for _, conn := range env.Connections {
		names = append(names, conn.Name)
	}
	for i := range c.Rules {
		r, field := &c.Rules[i], at("rules", i)
		if !r.Enabled {
			continue
		}
		if _, err := netip.ParseAddr(r.Tunnel); r.Tunnel != "" && err != nil {
			k := slices.IndexFunc(env.Connections, func(x Connection) bool { return x.Name == r.Tunnel })
			if k < 0 {
				c.missing(field+".tunnel", "connection", r.Tunnel, names)
			} else if len(r.Auth) > 0 {
				c.warn(field+".auth", "is not used: the connection %s has its own", shown(r.Tunnel))
			}
		}
		c.stores(field+".auth", r.Auth, env)
	}
	c.stores("default_response.auth", c.DefaultResponse.Auth, env)
	if c.DefaultResponse.Enabled && len(c.DefaultResponse.Auth) == 0 {
		c.warn("default_response.auth", "is missing: no peer can authenticate, so none is answered")
	}
	if len(c.Rules) == 0 && !c.DefaultResponse.Enabled {
		c.warn("rules", "there are none: the policy does nothing")
	}
}

// stores checks the names of certificates and secrets.
func (c *checker) stores(field string, methods []AuthMethod, env Env) {
	for i := range methods {
		m, path := &methods[i], at(field, i)
		for j, n := range m.CAs {
			c.known(at(path+".cas", j), "certificate", n, env.Certificates)
		}
		for j, n := range m.Certificates {
			c.known(at(path+".certificates", j), "certificate", n, env.Certificates)
		}
		if m.Key != "" {
			c.known(path+".key", "secret", m.Key, env.Secrets)
		}
		if m.Secret != "" {
			c.known(path+".secret", "secret", m.Secret, env.Secrets)
		}
	}
}

func (c *checker) known(field, what, name string, names []string) {
	if !slices.Contains(names, name) {
		c.missing(field, what, name, names)
	}
}

// empty warns of rules that stand for nothing on this machine.
func (c *checker) empty(x *Compiled) {
	seen := map[int]bool{}
	for i := range x.Entries {
		seen[x.Entries[i].RuleIndex] = true
	}
	for i := range c.Rules {
		if c.Rules[i].Enabled && !seen[i] {
			c.warn(at("rules", i), "the rule %s matches nothing on this machine at present: %s", shown(c.Rules[i].Name), c.whyEmpty(&c.Rules[i]))
		}
	}
}

func (c *checker) whyEmpty(r *Rule) string {
	if list, _ := c.List(r.FilterList); len(list.Filters) == 0 {
		return "its filter list is empty"
	}
	if r.ConnectionType == TypeLAN || r.ConnectionType == TypeRemote {
		return "no interface of its connection type has an address"
	}
	return "the addresses of its gateway are not known yet"
}

// contradictions finds filters that are the same and want different things,
// and those that are there twice.
func (c *checker) contradictions(x *Compiled) {
	type told struct{ a, b string }
	seen := map[told]bool{}
	first := map[box]int{}
	for i := range x.Entries {
		e := &x.Entries[i]
		if e.Kind != FromRule {
			continue
		}
		j, there := first[x.boxes[i]]
		if !there {
			first[x.boxes[i]] = i
			continue
		}
		o := &x.Entries[j]
		if o.Direction != e.Direction && o.Direction != Both && e.Direction != Both {
			continue
		}
		field, other := c.filterOf(e), c.filterOf(o)
		if e.place(o) < 0 {
			field, other = other, field
			o, e = e, o
		}
		if field == other || seen[told{field, other}] {
			continue
		}
		seen[told{field, other}] = true
		switch {
		case e.Action != o.Action || e.Action == Negotiate && e.strictness() != o.strictness():
			c.bad(field, "contradicts %s: both match %s, one to %s, the other to %s", c.place(other, o), e.selectors(), e.verb(), o.verb())
		case e.Action == Negotiate && (e.Endpoint != o.Endpoint || e.Connection != o.Connection || e.Gateway != o.Gateway):
			c.bad(field, "contradicts %s: both match %s, and negotiate with different endpoints", c.place(other, o), e.selectors())
		default:
			c.warn(field, "is the same as %s", c.place(other, o))
		}
	}
}

// place compares where two entries stand in the policy.
func (e *Entry) place(o *Entry) int {
	if e.RuleIndex != o.RuleIndex {
		return e.RuleIndex - o.RuleIndex
	}
	return e.Filter - o.Filter
}

// filterOf returns the path that a finding about an entry points at: its
// filter, or its rule when the list is a stock one.
func (c *checker) filterOf(e *Entry) string {
	if e.RuleIndex < 0 {
		return "exemptions.lan"
	}
	if f := c.filterField(e.List, e.Filter); f != "filter_lists" {
		return f
	}
	return at("rules", e.RuleIndex)
}

// place names where something stands, for a message.
func (c *checker) place(field string, e *Entry) string {
	f := c.finding(SeverityError, field, "")
	if f.Line > 0 {
		return fmt.Sprintf("%s in line %d (rule %s)", field, f.Line, shown(e.Rule))
	}
	return fmt.Sprintf("%s (rule %s)", field, shown(e.Rule))
}

// leaks reports what would pass by a rule although another wants it protected.
func (c *checker) leaks(x *Compiled) {
	type pair struct{ a, b string }
	seen := map[pair]bool{}
	err := x.leaks(func(l *LeakError) bool {
		field := c.filterOf(l.Passes)
		if p := (pair{field, l.Required.Rule}); !seen[p] {
			seen[p] = true
			c.bad(field, "overlaps %s: %s would pass by the rule %s, although %s wants it %s; say for the traffic of both what is meant, with a filter of its own",
				c.place(c.filterOf(l.Required), l.Required), describeFlow(l.Flow), shown(l.Passes.Rule), l.Required.describe(), l.Required.wants())
		}
		return len(c.found) < maxFindings
	})
	if errors.Is(err, ErrEntangled) {
		c.bad("rules", "%v", err)
	}
}

// lockOut finds what keeps the service from its gateways. IKE and ESP of the
// service itself are exempt from every rule, so it takes a rule aimed at the
// gateway, or one that keeps its name from being looked up.
func (c *checker) lockOut(x *Compiled, env Env) {
	used := map[string]bool{}
	for i := range x.Entries {
		used[x.Entries[i].Connection] = true
	}
	for _, conn := range env.Connections {
		if !used[conn.Name] || conn.Responder {
			continue
		}
		for _, e := range conn.Endpoints {
			c.blockedGateway(x, conn.Name, e.Addr().Unmap())
		}
		c.unresolved(x, &conn, env.Resolvers)
	}
	for i := range c.Rules {
		if a, err := netip.ParseAddr(c.Rules[i].Tunnel); err == nil && c.Rules[i].Enabled {
			c.blockedGateway(x, c.Rules[i].Name, a)
		}
	}
}

func (c *checker) blockedGateway(x *Compiled, name string, gateway netip.Addr) {
	for _, port := range []uint16{500, 4500} {
		e := x.Lookup(&ippkt.Flow{Src: anyOf(gateway), Dst: ippkt.AddrFrom(gateway), SrcPort: port, DstPort: port, Proto: 17, V6: gateway.Is6()})
		if e != nil && e.Action == Block && !whole(e.Remote[0]) {
			c.bad(c.filterOf(e), "locks the user out: it blocks the gateway %v of %s, which the policy needs", gateway, shown(name))
			return
		}
	}
}

// anyOf returns some local address to speak to gateway from.
func anyOf(gateway netip.Addr) ippkt.Addr {
	if gateway.Is6() {
		return ippkt.AddrFrom(netip.MustParseAddr("2001:db8::1"))
	}
	return ippkt.AddrFrom(netip.MustParseAddr("192.0.2.1"))
}

// unresolved warns when only names are known of the gateways, and no name
// server may be asked.
func (c *checker) unresolved(x *Compiled, conn *Connection, resolvers []netip.Addr) {
	if len(conn.Endpoints) > 0 || len(conn.Gateways) == 0 || len(resolvers) == 0 {
		return
	}
	var last *Entry
	for _, r := range resolvers {
		e := x.Lookup(&ippkt.Flow{Src: anyOf(r), Dst: ippkt.AddrFrom(r.Unmap()), SrcPort: 50000, DstPort: 53, Proto: 17, V6: r.Unmap().Is6()})
		if e == nil || !e.MustProtect() {
			return
		}
		last = e
	}
	c.warn(c.filterOf(last), "keeps every program but the service itself from looking up the gateway %s of %s before the tunnel is up; its address in place of its name needs no lookup",
		shown(conn.Gateways[0]), shown(conn.Name))
}

// unreachable warns of filters that decide nothing: others that go before match
// all that they match.
func (c *checker) unreachable(x *Compiled) {
	var a algebra
	index := [2]*overlapIndex{newOverlapIndex(&a, x.boxes, false), newOverlapIndex(&a, x.boxes, true)}
	type filter struct {
		rule, filter int
	}
	alive, by := map[filter]bool{}, map[filter]*Entry{}
	var order []filter
	var over []int
	for k := range x.Entries {
		e := &x.Entries[k]
		key := filter{e.RuleIndex, e.Filter}
		if e.Kind != FromRule || alive[key] {
			continue
		}
		family := 0
		if x.boxes[k].v6 {
			family = 1
		}
		over = index[family].meeting(&x.boxes[k], k, over[:0])
		d := e.Direction
		if d == Both {
			d = Out
		}
		cover := x.cover(over, d)
		_, ok := a.witness(x.boxes[k], cover)
		switch {
		case a.exhausted():
			return // a warning is not worth more time
		case ok || len(over) == 0:
			alive[key] = true
		case by[key] == nil:
			order, by[key] = append(order, key), &x.Entries[over[0]]
		}
	}
	for _, key := range order {
		if alive[key] {
			continue // by another entry of the same filter
		}
		e := &Entry{Rule: c.Rules[key.rule].Name, RuleIndex: key.rule, List: c.Rules[key.rule].FilterList, Filter: key.filter}
		field, winner := c.filterOf(e), by[key]
		if slices.ContainsFunc(c.found, func(f Finding) bool { return f.Field == field }) {
			continue // it has been told why
		}
		c.warn(field, "is never reached in the rule %s: more specific filters match all that it matches, as %s", shown(e.Rule), c.place(c.filterOf(winner), winner))
	}
}

// selectors writes what an entry matches.
func (e *Entry) selectors() string {
	local := e.Local[0].String()
	if e.LocalMe && whole(ts.Selector{From: e.Local[0].From, To: e.Local[0].To}) {
		local = WordMe
		if s := e.Local[0].String(); len(s) > 0 && s[len(s)-1] == ']' {
			local = WordMe + s[strings.IndexByte(s, '['):]
		}
	}
	arrow := " ↔ "
	switch e.Direction {
	case Out:
		arrow = " → "
	case In:
		arrow = " ← "
	}
	return local + arrow + e.Remote[0].String()
}
