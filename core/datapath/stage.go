package datapath

import (
	"slices"
	"time"

	"sallyport/core/esp"
	"sallyport/core/host"
	"sallyport/core/ippkt"
	"sallyport/core/sad"
)

// What waits for an SA is bounded: when full, the oldest packet makes way.
const (
	stagePackets = 16        // a group
	stageBytes   = 256 << 10 // a group
	stageTotal   = 1 << 20   // all groups; beyond, new packets are dropped
	stageTime    = 10 * time.Second
)

// AcquireInterval is the least time between two Acquire events of a group for
// one destination.
const AcquireInterval = 10 * time.Second

// A group is what outbound packets of one child need beside its SAs.
type group struct {
	sas     *sad.Group
	waiting []staged
	bytes   int // of waiting
	raised  time.Time
}

// A staged packet waits for an SA, with its virtio-net header and room for the
// ESP trailer.
type staged struct {
	b   []byte
	at  time.Time
	dst ippkt.Addr
}

// groupLocked returns the group called id.
func (o *outbound) groupLocked(id uint32) *group {
	g := o.groups[id]
	if g == nil {
		g = &group{sas: o.d.sas.Group(id)}
		o.groups[id] = g
	}
	return g
}

// forgetLocked drops the groups that keep does not name.
func (o *outbound) forgetLocked(keep map[uint32]bool) {
	for id := range o.groups {
		if !keep[id] {
			o.forgetGroupLocked(id)
		}
	}
}

// forgetGroupLocked drops a group, and what waits in it.
func (o *outbound) forgetGroupLocked(id uint32) {
	g := o.groups[id]
	if g == nil {
		return
	}
	o.ctl.drops.add(OutNoPolicy, len(g.waiting))
	o.staged -= g.bytes
	delete(o.groups, id)
}

// wait makes a packet wait for an SA of the group that f names, unless there is
// one now; then it returns that.
func (o *lane) wait(f *outFlow, p *ippkt.Packet, b []byte) (*outFlow, *sad.SA) {
	if o == &o.outbound.ctl { // which has the lock
		o.stage(f.group, p, b)
		return f, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	// The policy and the SA may have come just before the lock.
	if f = o.lookup(&p.Flow); f.group == nil {
		o.drops.add(f.drop, 1)
		return f, nil
	}
	if sa := f.group.sas.Active(f.hash); sa != nil {
		return f, sa
	}
	o.stage(f.group, p, b)
	return f, nil
}

// stage keeps a copy of b until g has an SA, and asks for one. The caller holds
// mu.
func (o *lane) stage(g *group, p *ippkt.Packet, b []byte) {
	now := o.d.cfg.Now()
	known := true
	for len(g.waiting) > 0 && (len(g.waiting) >= stagePackets || g.bytes+len(b) > stageBytes) {
		o.drops.add(OutStageFull, 1)
		g.bytes -= len(g.waiting[0].b)
		o.staged -= len(g.waiting[0].b)
		g.waiting[0].b = nil
		g.waiting = g.waiting[1:]
	}
	if o.staged+len(b) > stageTotal {
		o.drops.add(OutStageFull, 1)
	} else {
		// A group that stands for many hosts needs an SA for each of them.
		known = slices.ContainsFunc(g.waiting, func(w staged) bool { return w.dst == p.Flow.Dst })
		kept := make([]byte, len(b), len(b)+esp.MaxTrailer)
		copy(kept, b)
		g.waiting = append(g.waiting, staged{kept, now, p.Flow.Dst})
		g.bytes += len(b)
		o.staged += len(b)
	}
	if !known || g.raised.IsZero() || now.Sub(g.raised) >= AcquireInterval {
		g.raised = now
		o.event(Event{Kind: Acquire, Group: g.sas.ID, Flow: p.Flow})
	}
}

// release sends what waited for an SA of the group, which has one now.
func (o *outbound) release(sas *sad.Group) {
	o.mu.Lock()
	if g := o.groups[sas.ID]; g != nil {
		g.raised = time.Time{}
		if len(g.waiting) > 0 {
			o.sendStaged(g)
		}
	}
	o.unlock()
}

func (o *outbound) sendStaged(g *group) {
	waiting := g.waiting
	o.staged -= g.bytes
	g.waiting, g.bytes = nil, 0
	t := o.d.tun.Load()
	now := o.d.cfg.Now()
	for _, w := range waiting {
		if now.Sub(w.at) > stageTime {
			o.ctl.drops.add(OutStageStale, 1)
			continue
		}
		o.ctl.packet(t, w.b)
	}
	o.ctl.flush()
}

// restageLocked follows a new policy: what waits in a group that is no longer
// the one for it goes where the policy says, as when traffic of a rule for many
// hosts gets a group for one of them.
func (o *outbound) restageLocked() {
	t := o.d.tun.Load()
	for _, g := range o.groups {
		waiting := g.waiting
		if len(waiting) == 0 {
			continue
		}
		o.staged -= g.bytes
		g.waiting, g.bytes = nil, 0
		for _, w := range waiting {
			var p ippkt.Packet
			if p.Parse(w.b[host.VNetLen:]) != nil {
				continue // it parsed when it came
			}
			to := o.ctl.lookup(&p.Flow)
			switch {
			case to.group == nil:
				o.ctl.drops.add(to.drop, 1)
			case to.group.sas.Active(to.hash) != nil && to.group != g:
				o.ctl.packet(t, w.b)
			default:
				// Neither its age nor its place in the line changes.
				to.group.waiting = append(to.group.waiting, w)
				to.group.bytes += len(w.b)
				o.staged += len(w.b)
			}
		}
	}
	o.ctl.flush()
}
