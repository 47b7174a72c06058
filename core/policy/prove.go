package policy

import (
	"errors"
	"fmt"
	"slices"

	"sallyport/core/host"
	"sallyport/core/ippkt"
	"sallyport/core/ts"
)

// A LeakError is a flow that could pass in clear text although an entry wants
// it protected or blocked.
type LeakError struct {
	Flow      ippkt.Flow // as it leaves
	Direction Direction
	Required  *Entry // what wants it protected
	Passes    *Entry // what lets it pass; nil when it is the firewall
	Rule      int    // of the firewall intent; -1: its default, or an exemption
}

// Error names the flow.
func (e *LeakError) Error() string {
	by := "the firewall's default"
	switch {
	case e.Passes != nil:
		by = e.Passes.describe()
	case e.Rule >= 0:
		by = fmt.Sprintf("firewall rule %d", e.Rule)
	}
	way := ""
	if e.Direction == In {
		way = " (arriving)"
	}
	return fmt.Sprintf("%s%s passes by %s although %s wants it %s", describeFlow(e.Flow), way, by, e.Required.describe(), e.Required.wants())
}

// ErrEntangled means that the filters overlap in so many ways that the proof
// was given up.
var ErrEntangled = errors.New("the filters overlap in too many ways to prove that nothing leaks")

// Prove checks that no traffic that must be protected is reached by an entry
// that lets it pass in clear text. Such an entry may only win over one that
// must protect where its filter lies wholly within the other's: as an exception
// that somebody wrote, not as an accident of the order. The exemption of the
// local network may win over rules that reach beyond private addresses, but not
// for DNS. The error is a *LeakError, or ErrEntangled.
func (c *Compiled) Prove() error {
	var first error
	err := c.leaks(func(l *LeakError) bool {
		first = l
		return false
	})
	if first != nil {
		return first
	}
	return err
}

// Prove is (*Compiled).Prove.
func Prove(c *Compiled) error { return c.Prove() }

// leaks calls yield with a flow for each pair of entries between which traffic
// leaks.
func (c *Compiled) leaks(yield func(*LeakError) bool) error {
	var a algebra
	index := [2]*overlapIndex{newOverlapIndex(&a, c.boxes, false), newOverlapIndex(&a, c.boxes, true)}
	var over, earlier []int
	for k := range c.Entries {
		required := &c.Entries[k]
		if !required.MustProtect() {
			continue
		}
		x := index[0]
		if c.boxes[k].v6 {
			x = index[1]
		}
		over = x.meeting(&c.boxes[k], k, over[:0])
		for _, i := range over {
			e := &c.Entries[i]
			if e.MustProtect() || !mayLeak(e, required, &c.boxes[i], &c.boxes[k]) {
				continue
			}
			region, ok := c.boxes[i].meet(&c.boxes[k])
			if !ok {
				continue
			}
			earlier = x.meeting(&region, i, earlier[:0])
			for _, d := range c.directions(e, required) {
				cover := c.cover(earlier, d)
				for _, r := range excused(e, required, region) {
					if f, ok := a.witness(r, cover); ok {
						if !yield(&LeakError{Flow: f, Direction: d, Required: required, Passes: e, Rule: -1}) {
							return nil
						}
						break
					}
				}
				if a.exhausted() {
					return ErrEntangled
				}
			}
		}
	}
	return nil
}

// mayLeak reports whether e needs an excuse to win over required.
func mayLeak(e, required *Entry, eb, rb *box) bool {
	return e.Kind == FromLAN && required.Action == Negotiate || !rb.covers(eb)
}

// excused returns the parts of region where the exemption of the local network
// is no excuse.
func excused(e, required *Entry, region box) []box {
	if e.Kind != FromLAN || required.Action == Block || host.NamesPrivate(required.Remote[0]) {
		return []box{region}
	}
	if e.Remote[0].Protocol == 17 && e.Remote[0].From.IsMulticast() {
		return nil // discovery
	}
	var out []box
	for _, s := range nameServers(e.Remote[0]) {
		dns := boxOf(e.Local[0], s)
		if r, ok := dns.meet(&region); ok {
			out = append(out, r)
		}
	}
	return out
}

// directions returns the directions that concern both entries. Where neither
// is one-way nor is any other, one stands for both.
func (c *Compiled) directions(a, b *Entry) []Direction {
	switch {
	case a.Direction == Both && b.Direction == Both && !c.oneWay():
		return []Direction{Out}
	case a.Direction != In && b.Direction != In && a.Direction != Out && b.Direction != Out:
		return []Direction{Out, In}
	case a.Direction != In && b.Direction != In:
		return []Direction{Out}
	case a.Direction != Out && b.Direction != Out:
		return []Direction{In}
	}
	return nil
}

func (c *Compiled) oneWay() bool {
	return len(c.out.index) != len(c.Entries) || len(c.in.index) != len(c.Entries)
}

// cover returns the boxes of the entries of a direction.
func (c *Compiled) cover(entries []int, d Direction) []*box {
	out := make([]*box, 0, len(entries))
	for _, i := range entries {
		if e := &c.Entries[i]; e.Direction == Both || e.Direction == d {
			out = append(out, &c.boxes[i])
		}
	}
	return out
}

// ProveFirewall checks that nothing that must be protected passes in clear text
// by a firewall intent, but for IKE, name lookups of the service, DHCP and
// neighbour discovery, and the local network where the policy exempts it.
func (c *Compiled) ProveFirewall(intent *host.FirewallIntent) error {
	if err := intent.Check(); err != nil {
		return fmt.Errorf("firewall intent: %w", err)
	}
	w := wall{Compiled: c}
	w.load(intent)
	return w.prove()
}

// A wall is a firewall intent as a list of which the first match decides.
type wall struct {
	*Compiled
	boxes []box
	lines []wallLine
}

type wallLine struct {
	rule      int // -1: default or exemption
	clear     bool
	lan       bool
	direction host.FirewallDirection
}

func (l *wallLine) concerns(d Direction) bool {
	return l.direction == host.FirewallBoth || l.direction == d.firewall()
}

func (w *wall) add(l wallLine, local, remote ts.Selector) {
	w.lines, w.boxes = append(w.lines, l), append(w.boxes, boxOf(local, remote))
}

// load puts the exemption of the local network before each rule that it
// exempts from, and before the default.
func (w *wall) load(intent *host.FirewallIntent) {
	var exempt ts.List
	for _, p := range intent.Exempt.LAN {
		exempt = append(exempt, ts.FromPrefix(p))
	}
	if intent.Exempt.LANDiscovery {
		exempt = append(exempt, discovered()...)
	}
	for i, r := range intent.Rules {
		if r.Action == host.FirewallTunnelOnly && !host.NamesPrivate(r.Remote) {
			w.exempt(exempt, r.Local, r.Remote, r.Direction)
		}
		w.add(wallLine{i, r.Action == host.FirewallClear, false, r.Direction}, r.Local, r.Remote)
	}
	for _, s := range ts.Any() {
		w.exempt(exempt, s, s, host.FirewallBoth)
		w.add(wallLine{-1, intent.Default == host.FirewallClear || intent.IsZero(), false, host.FirewallBoth}, s, s)
	}
}

func (w *wall) exempt(l ts.List, local, remote ts.Selector, d host.FirewallDirection) {
	e := Entry{Local: ts.List{local}, Remote: ts.List{remote}}
	for _, s := range l {
		part, ok := cut(e, s)
		if !ok {
			continue
		}
		if s.Protocol == 0 {
			for _, dns := range nameServers(s) {
				if part, ok := cut(e, dns); ok {
					w.add(wallLine{-1, false, false, d}, part.Local[0], part.Remote[0])
				}
			}
		}
		w.add(wallLine{-1, true, true, d}, part.Local[0], part.Remote[0])
	}
}

func (w *wall) prove() error {
	var a algebra
	index := [2]*overlapIndex{newOverlapIndex(&a, w.boxes, false), newOverlapIndex(&a, w.boxes, true)}
	entries := [2]*overlapIndex{newOverlapIndex(&a, w.Compiled.boxes, false), newOverlapIndex(&a, w.Compiled.boxes, true)}
	var over, earlier, before []int
	for k := range w.Entries {
		required := &w.Entries[k]
		if !required.MustProtect() {
			continue
		}
		family := 0
		if w.Compiled.boxes[k].v6 {
			family = 1
		}
		over = index[family].meeting(&w.Compiled.boxes[k], len(w.boxes), over[:0])
		for _, j := range over {
			l := &w.lines[j]
			if !l.clear || l.lan && required.Action == Negotiate && required.Kind != FromLANDNS && !host.NamesPrivate(required.Remote[0]) && w.exempts(&w.boxes[j]) {
				continue
			}
			region, ok := w.boxes[j].meet(&w.Compiled.boxes[k])
			if !ok {
				continue
			}
			earlier = index[family].meeting(&region, j, earlier[:0])
			before = entries[family].meeting(&region, k, before[:0])
			for _, d := range w.ways(required) {
				if !l.concerns(d) {
					continue
				}
				cover := w.cover(before, d)
				for _, i := range earlier {
					if w.lines[i].concerns(d) {
						cover = append(cover, &w.boxes[i])
					}
				}
				if f, ok := a.witness(region, cover); ok {
					return &LeakError{Flow: f, Direction: d, Required: required, Rule: l.rule}
				}
			}
			if a.exhausted() {
				return ErrEntangled
			}
		}
	}
	return nil
}

// ways returns the directions to look at for an entry: one stands for both where
// neither the entries nor the rules tell them apart.
func (w *wall) ways(required *Entry) []Direction {
	if required.Direction == Both && slices.ContainsFunc(w.lines, func(l wallLine) bool { return l.direction != host.FirewallBoth }) {
		return []Direction{Out, In}
	}
	return w.directions(required, required)
}

// exempts reports whether the policy exempts the networks of a box.
func (w *wall) exempts(b *box) bool {
	for _, p := range w.lan {
		s := ts.FromPrefix(p)
		if lan := boxOf(s, s); lan.v6 == b.v6 && lan.d[dimRemote].Covers(b.d[dimRemote]) {
			return true
		}
	}
	if !w.discovery {
		return false
	}
	for _, s := range discovered() {
		local := s
		local.From, local.To, local.FromPort, local.ToPort = ts.Any()[0].From, ts.Any()[0].To, 0, 65535
		if !s.Is4() {
			local.From, local.To = ts.Any()[1].From, ts.Any()[1].To
		}
		if box := boxOf(local, s); box.covers(b) {
			return true
		}
	}
	return false
}
