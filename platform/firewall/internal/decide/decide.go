// Package decide turns an ordered list of firewall rules, of which the first
// that matches decides, into decision diagrams: a packet looks up one field
// after the other, each time in a map of disjoint intervals, so that the cost
// does not grow with the number of rules.
//
// Equal parts of a diagram are shared. Where the diagram would still have too
// many nodes, the remote address leads to a short list of rules to be tried one
// after the other. Where that is too large too, the rules are cut in two parts,
// which are asked in their order. So the order of decision is kept exactly,
// whatever the rules.
package decide

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"slices"

	"sallyport/core/host"
	"sallyport/core/ts"
)

// A Field is what a Node looks at.
type Field uint8

// The fields. Ports come after the protocol; which they are depends on it.
const (
	Remote Field = iota
	Local
	Protocol
	RemotePort
	LocalPort
	fields       // how many there are in a box
	TypeCode     // type<<8|code of ICMP and ICMPv6
	MobilityType // type<<8 of the Mobility Header (RFC 6275, section 6.1.1)
)

// IP protocols whose packets carry ports or something in their place.
const (
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoDCCP     = 33
	protoICMPv6   = 58
	protoSCTP     = 132
	protoMobility = 135
	protoUDPLite  = 136
)

var portProtocols = [...]uint8{protoICMP, protoTCP, protoUDP, protoDCCP, protoICMPv6, protoSCTP, protoMobility, protoUDPLite}

// PortProtocols returns the IP protocols whose packets begin with ports, or
// with what is in their place.
func PortProtocols() []uint8 { return portProtocols[:] }

// A Value is one of a field: an address or a number.
type Value struct{ Hi, Lo uint64 }

// Bytes returns the last size bytes of v in network order.
func (v Value) Bytes(size int) []byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], v.Hi)
	binary.BigEndian.PutUint64(b[8:], v.Lo)
	return b[16-size:]
}

// ValueOf returns an address as a Value.
func ValueOf(a netip.Addr) Value {
	if a.Is4() {
		b := a.As4()
		return Value{Lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return Value{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}
}

func (v Value) less(o Value) bool { return v.Hi < o.Hi || v.Hi == o.Hi && v.Lo < o.Lo }

func (v Value) compare(o Value) int {
	switch {
	case v.less(o):
		return -1
	case o.less(v):
		return 1
	}
	return 0
}

func (v Value) next() Value {
	v.Lo++
	if v.Lo == 0 {
		v.Hi++
	}
	return v
}

// An Outcome is what a rule does with the packets that it decides about, and on
// whose account.
type Outcome struct {
	Action host.FirewallAction
	Label  string
}

// A Target is where an arc leads: a node, a list, or an outcome. With none, no
// rule matches.
type Target struct {
	Node *Node
	List *List
	Outcome
}

// A List is rules to be tried in their order.
type List struct {
	Rules []Interval
}

// An Interval matches packets by the fields Remote to LocalPort, each of which
// lies between two values. Ports says what is in place of RemotePort: that,
// TypeCode or MobilityType; the field is any value for other protocols.
type Interval struct {
	From, To [fields]Value
	Ports    Field
	Outcome
}

// Any reports whether the interval holds every value of a field.
func (i *Interval) Any(f Field, v6 bool) bool { return i.From[f] == Value{} && i.To[f] == top(v6)[f] }

// A Node looks at one field. Its arcs ascend, and together hold every value of
// the field: each goes up to the next one's From.
type Node struct {
	Field Field
	Arcs  []Arc

	paths int // to actions, counted without sharing
}

// An Arc leads on from an interval of values.
type Arc struct {
	From Value
	Target
}

// A box is a rule as intervals of the five fields.
type box struct {
	from, to [fields]Value
	outcome  Outcome
	label    uint32 // number of the outcome's
	opaque   bool   // for packets without visible ports, if they have them at all
	ports    bool   // for some ports only
}

// Compile returns diagrams that are to be asked in their order; the first whose
// answer has an action decides. The fewer labels there are, the more is shared.
func Compile(rules []host.FirewallRule, v6 bool) []Target {
	boxes := make([]box, len(rules))
	labels := map[string]uint32{}
	for i := range rules {
		label := rules[i].Label
		if _, ok := labels[label]; !ok {
			labels[label] = uint32(len(labels))
		}
		boxes[i] = newBox(&rules[i])
		boxes[i].label = labels[label]
	}
	return compile(boxes, top(v6))
}

func compile(boxes []box, top [fields]Value) []Target {
	if len(boxes) == 0 {
		return nil
	}
	n := len(boxes)
	b := builder{top: top, work: 48*n + 4096, paths: 24*n + 1024, nodes: n/32 + 64, known: map[string]Target{}}
	if t, err := b.build(Remote, Remote, boxes); err == nil {
		return []Target{t}
	}
	if n <= listLen {
		return []Target{{List: newList(boxes)}}
	}
	b.work = 8*n + 4096
	if t, err := b.buckets(boxes); err == nil {
		return []Target{t}
	}
	return append(compile(boxes[:n/2], top), compile(boxes[n/2:], top)...)
}

// listLen is how many rules a packet may have to try one after the other.
const listLen = 16

// buckets makes a diagram of one node, whose arcs lead to short lists.
func (b *builder) buckets(boxes []box) (Target, error) {
	n := &Node{Field: Remote}
	var from Value
	var bucket []int // boxes that hold any of the addresses since from
	flush := func() {
		var t Target
		if len(bucket) > 0 {
			in := make([]box, len(bucket))
			for k, i := range bucket {
				in[k] = boxes[i]
			}
			t.List = newList(in)
		}
		n.Arcs = append(n.Arcs, Arc{from, t})
	}
	err := b.intervals(Remote, boxes, func(v Value, active []int) error {
		if b.work -= len(active); b.work < 0 || len(active) > listLen {
			return errTooLarge
		}
		union := slices.Clone(bucket)
		for _, i := range active {
			if at, ok := slices.BinarySearch(union, i); !ok {
				union = slices.Insert(union, at, i)
			}
		}
		if len(union) > listLen {
			flush()
			from, union = v, slices.Clone(active)
		}
		bucket = union
		return nil
	})
	if err != nil {
		return Target{}, err
	}
	flush()
	return Target{Node: n}, nil
}

// newList turns boxes into intervals, one for each protocol where ports depend
// on it.
func newList(boxes []box) *List {
	l := &List{}
	for i := range boxes {
		x := boxes[i]
		if !x.ports && !x.opaque {
			l.Rules = append(l.Rules, Interval{x.from, x.to, RemotePort, x.outcome})
			continue
		}
		for k, v := range protocolBounds {
			y := x
			_, show := afterProtocol(v)
			last := Value{Lo: 255}
			if k+1 < len(protocolBounds) {
				last.Lo = protocolBounds[k+1].Lo - 1
			}
			if !y.settle(show) || last.less(y.from[Protocol]) || y.to[Protocol].less(v) {
				continue
			}
			if y.from[Protocol].less(v) {
				y.from[Protocol] = v
			}
			if last.less(y.to[Protocol]) {
				y.to[Protocol] = last
			}
			l.Rules = append(l.Rules, Interval{y.from, y.to, show, y.outcome})
		}
	}
	return l
}

// protocolBounds is where protocols with ports and without begin.
var protocolBounds = func() []Value {
	bounds := []Value{{}}
	for _, p := range portProtocols {
		bounds = append(bounds, Value{Lo: uint64(p)}, Value{Lo: uint64(p) + 1})
	}
	slices.SortFunc(bounds, Value.compare)
	return slices.Compact(bounds)
}()

func newBox(r *host.FirewallRule) box {
	b := box{
		outcome: Outcome{r.Action, r.Label},
		from:    [fields]Value{ValueOf(r.Remote.From), ValueOf(r.Local.From)},
		to:      [fields]Value{ValueOf(r.Remote.To), ValueOf(r.Local.To), {Lo: 255}},
		opaque:  isOpaque(r.Local) || isOpaque(r.Remote),
		ports:   !seesNoPort(r.Local) || !seesNoPort(r.Remote),
	}
	if p := r.Local.Protocol | r.Remote.Protocol; p != 0 { // equal, or one of them 0
		b.from[Protocol], b.to[Protocol] = Value{Lo: uint64(p)}, Value{Lo: uint64(p)}
	}
	b.from[RemotePort], b.to[RemotePort] = portRange(r.Remote)
	b.from[LocalPort], b.to[LocalPort] = portRange(r.Local)
	return b
}

func portRange(s ts.Selector) (from, to Value) {
	if isOpaque(s) {
		return Value{}, Value{Lo: math.MaxUint16}
	}
	return Value{Lo: uint64(s.FromPort)}, Value{Lo: uint64(s.ToPort)}
}

// top returns the last value of each field.
func top(v6 bool) [fields]Value {
	addr := Value{Lo: math.MaxUint32}
	if v6 {
		addr = Value{math.MaxUint64, math.MaxUint64}
	}
	port := Value{Lo: math.MaxUint16}
	return [fields]Value{addr, addr, {Lo: 255}, port, port}
}

// full reports whether the box holds every value of the fields from f on.
func (b *builder) full(x *box, f Field) bool {
	if f <= Protocol && (x.opaque || x.ports) {
		return false // depends on the protocol
	}
	for ; f < fields; f++ {
		if x.from[f] != (Value{}) || x.to[f] != b.top[f] {
			return false
		}
	}
	return true
}

var errTooLarge = errors.New("diagram too large")

type builder struct {
	top   [fields]Value
	known map[string]Target // by the boxes that are left, and the fields to look at
	work  int               // boxes that may still be looked at
	paths int               // that the diagram may have
	nodes int               // that may still be made
	key   []byte
}

// build makes the diagram of boxes from field f on. show is f, or what is in
// its place in packets of the protocol at hand.
func (b *builder) build(f, show Field, boxes []box) (Target, error) {
	if len(boxes) == 0 {
		return Target{}, nil
	}
	if f == fields || b.full(&boxes[0], f) {
		return Target{Outcome: boxes[0].outcome}, nil
	}
	if b.trivial(f, boxes) {
		return b.build(f+1, f+1, boxes)
	}
	b.setKey(f, show, boxes)
	if t, ok := b.known[string(b.key)]; ok {
		return t, nil
	}
	key := string(b.key)
	if b.nodes--; b.nodes < 0 {
		return Target{}, errTooLarge
	}
	n := &Node{Field: show}
	if err := b.sweep(n, f, boxes); err != nil {
		return Target{}, err
	}
	t := Target{Node: n}
	if len(n.Arcs) == 1 {
		t = n.Arcs[0].Target
	}
	b.known[key] = t
	return t, nil
}

// trivial reports whether all boxes hold every value of f.
func (b *builder) trivial(f Field, boxes []box) bool {
	for i := range boxes {
		x := &boxes[i]
		if x.from[f] != (Value{}) || x.to[f] != b.top[f] || f == Protocol && (x.ports || x.opaque) {
			return false
		}
	}
	return true
}

func (b *builder) setKey(f, show Field, boxes []box) {
	k := append(b.key[:0], byte(f), byte(show))
	for i := range boxes {
		x := &boxes[i]
		k = append(binary.BigEndian.AppendUint32(k, x.label), byte(x.outcome.Action))
		if f <= Protocol {
			k = append(k, flag(x.opaque)|flag(x.ports)<<1)
		}
		for d := f; d < fields; d++ {
			size := 16
			if d >= Protocol {
				size = 2
			}
			k = append(k, x.from[d].Bytes(size)...)
			k = append(k, x.to[d].Bytes(size)...)
		}
	}
	b.key = k
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// sweep adds the arcs of a node.
func (b *builder) sweep(n *Node, f Field, boxes []box) error {
	var left []box
	return b.intervals(f, boxes, func(v Value, active []int) error {
		next, show := f+1, f+1
		if f == Protocol {
			next, show = afterProtocol(v)
		}
		left = left[:0]
		for _, i := range active {
			if b.work--; b.work < 0 {
				return errTooLarge
			}
			x, ok := boxes[i], true
			if f == Protocol {
				ok = x.settle(show)
			}
			if !ok {
				continue
			}
			left = append(left, x)
			if b.full(&x, next) {
				break // nothing after it is reached
			}
		}
		t, err := b.build(next, show, slices.Clone(left))
		if err != nil {
			return err
		}
		if last := len(n.Arcs) - 1; last >= 0 && n.Arcs[last].Target == t {
			return nil
		}
		n.Arcs = append(n.Arcs, Arc{v, t})
		n.paths++
		if t.Node != nil {
			n.paths += t.Node.paths
		}
		if n.paths > b.paths {
			return errTooLarge
		}
		return nil
	})
}

// intervals goes through the values of f upwards, and calls do at the first
// value of each interval in which the same boxes apply, in order of decision.
func (b *builder) intervals(f Field, boxes []box, do func(v Value, active []int) error) error {
	starts, ends := make([]int, len(boxes)), make([]int, len(boxes))
	bounds := make([]Value, 1, 2*len(boxes)+1)
	byPorts := false
	for i := range boxes {
		starts[i], ends[i] = i, i
		bounds = append(bounds, boxes[i].from[f])
		if boxes[i].to[f] != b.top[f] {
			bounds = append(bounds, boxes[i].to[f].next())
		}
		byPorts = byPorts || boxes[i].ports || boxes[i].opaque
	}
	if f == Protocol && byPorts {
		bounds = append(bounds, protocolBounds...)
	}
	slices.SortFunc(bounds, Value.compare)
	bounds = slices.Compact(bounds)
	slices.SortFunc(starts, func(i, j int) int { return boxes[i].from[f].compare(boxes[j].from[f]) })
	slices.SortFunc(ends, func(i, j int) int { return boxes[i].to[f].compare(boxes[j].to[f]) })
	var active []int
	for _, v := range bounds {
		for ; len(ends) > 0 && boxes[ends[0]].to[f].less(v); ends = ends[1:] {
			if at, ok := slices.BinarySearch(active, ends[0]); ok {
				active = slices.Delete(active, at, at+1)
			}
		}
		for ; len(starts) > 0 && !v.less(boxes[starts[0]].from[f]); starts = starts[1:] {
			at, _ := slices.BinarySearch(active, starts[0])
			active = slices.Insert(active, at, starts[0])
		}
		if err := do(v, active); err != nil {
			return err
		}
	}
	return nil
}

// afterProtocol says what packets of a protocol have in place of ports.
func afterProtocol(v Value) (next, show Field) {
	switch v.Lo {
	case protoICMP, protoICMPv6:
		return RemotePort, TypeCode
	case protoMobility:
		return RemotePort, MobilityType
	case protoTCP, protoUDP, protoDCCP, protoSCTP, protoUDPLite:
		return RemotePort, RemotePort
	}
	return fields, fields
}

// settle narrows the box to a protocol with what show says in place of ports.
// It reports whether the box holds any packets of that protocol.
func (x *box) settle(show Field) bool {
	switch {
	case show == fields:
		if x.ports {
			return false
		}
	case x.opaque:
		return false
	case show != RemotePort: // both ends see the same
		if x.from[RemotePort].less(x.from[LocalPort]) {
			x.from[RemotePort] = x.from[LocalPort]
		}
		if x.to[LocalPort].less(x.to[RemotePort]) {
			x.to[RemotePort] = x.to[LocalPort]
		}
		x.from[LocalPort], x.to[LocalPort] = Value{}, Value{Lo: math.MaxUint16}
		if x.to[RemotePort].less(x.from[RemotePort]) {
			return false
		}
	}
	x.ports, x.opaque = false, false
	return true
}
