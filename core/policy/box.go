package policy

import (
	"sallyport/core/ippkt"
	"sallyport/core/ts"
)

// A box is a set of flows of one address family: an interval in each
// dimension. Ports are 0 to 65535, or 65536 for packets that show none; a flow
// shows both or neither.
type box struct {
	v6 bool
	d  [boxDims]ippkt.Range
}

// The dimensions of a box.
const (
	dimLocal = iota
	dimRemote
	dimProtocol
	dimLocalPort
	dimRemotePort
	boxDims
)

const opaquePort = 65536

func boxOf(local, remote ts.Selector) box {
	b := box{v6: !remote.Is4()}
	b.d[dimLocal] = ippkt.Range{From: ippkt.AddrFrom(local.From), To: ippkt.AddrFrom(local.To)}
	b.d[dimRemote] = ippkt.Range{From: ippkt.AddrFrom(remote.From), To: ippkt.AddrFrom(remote.To)}
	protocol := remote.Protocol
	if protocol == 0 {
		protocol = local.Protocol
	}
	b.d[dimProtocol] = number(uint64(protocol), uint64(protocol))
	if protocol == 0 {
		b.d[dimProtocol] = number(0, 255)
	}
	b.d[dimLocalPort], b.d[dimRemotePort] = portsOf(local), portsOf(remote)
	return b
}

func number(from, to uint64) ippkt.Range {
	return ippkt.Range{From: ippkt.Addr{Lo: from}, To: ippkt.Addr{Lo: to}}
}

func portsOf(s ts.Selector) ippkt.Range {
	switch {
	case s.AnyPort():
		return number(0, opaquePort)
	case s.FromPort > s.ToPort:
		return number(opaquePort, opaquePort)
	}
	return number(uint64(s.FromPort), uint64(s.ToPort))
}

// covers reports whether b holds every flow of o.
func (b *box) covers(o *box) bool {
	if b.v6 != o.v6 {
		return false
	}
	for k := range b.d {
		if !b.d[k].Covers(o.d[k]) {
			return false
		}
	}
	return true
}

// meet returns the flows of both.
func (b *box) meet(o *box) (box, bool) {
	r := box{v6: b.v6}
	if b.v6 != o.v6 {
		return r, false
	}
	for k := range b.d {
		var ok bool
		if r.d[k], ok = b.d[k].Meet(o.d[k]); !ok {
			return r, false
		}
	}
	return r, true
}

// views returns the parts of b that flows can lie in: one whose ports show, and
// one whose ports do not.
func (b *box) views() []box {
	var out []box
	shown, hidden := *b, *b
	show, hide := true, true
	for _, k := range []int{dimLocalPort, dimRemotePort} {
		var ok bool
		if shown.d[k], ok = b.d[k].Meet(number(0, 65535)); !ok {
			show = false
		}
		if hidden.d[k], ok = b.d[k].Meet(number(opaquePort, opaquePort)); !ok {
			hide = false
		}
	}
	if show {
		out = append(out, shown)
	}
	if hide {
		out = append(out, hidden)
	}
	return out
}

// minus calls yield with boxes that together hold the flows of b that are not
// in o, until it returns false.
func (b *box) minus(o *box, yield func(box) bool) {
	rest := *b
	if _, ok := b.meet(o); !ok {
		yield(rest)
		return
	}
	for k := range rest.d {
		if rest.d[k].From.Compare(o.d[k].From) < 0 {
			part := rest
			part.d[k].To = o.d[k].From.Prev()
			if !yield(part) {
				return
			}
			rest.d[k].From = o.d[k].From
		}
		if o.d[k].To.Compare(rest.d[k].To) < 0 {
			part := rest
			part.d[k].From = o.d[k].To.Next()
			if !yield(part) {
				return
			}
			rest.d[k].To = o.d[k].To
		}
	}
}

// flow returns a flow of a view of a box, preferably a common one; false when
// the protocols of the box cannot show what the view says.
func (b *box) flow() (ippkt.Flow, bool) {
	f := ippkt.Flow{Src: b.d[dimLocal].From, Dst: b.d[dimRemote].From, V6: b.v6}
	f.Opaque = b.d[dimRemotePort].From.Lo == opaquePort
	if !f.Opaque {
		f.SrcPort, f.DstPort = uint16(b.d[dimLocalPort].From.Lo), uint16(b.d[dimRemotePort].From.Lo)
	}
	from, to := b.d[dimProtocol].From.Lo, b.d[dimProtocol].To.Lo
	for _, p := range []uint64{6, 17, 1, 58, 132, 33, 136, 135} {
		if from <= p && p <= to {
			f.Proto = uint8(p)
			icmp := p == 1 || p == 58 || p == 135
			if !f.Opaque && icmp {
				// Both ports are the type and code.
				i, ok := b.d[dimLocalPort].Meet(b.d[dimRemotePort])
				if !ok {
					continue
				}
				f.SrcPort, f.DstPort = uint16(i.From.Lo), uint16(i.From.Lo)
			}
			return f, true
		}
	}
	f.Proto = uint8(from)
	return f, f.Opaque
}
