package datapath

import (
	"time"

	"sallyport/core/esp"
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

// AcquireInterval is the least time between two Acquire events of a group.
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
	b  []byte
	at time.Time
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
	for id, g := range o.groups {
		if !keep[id] {
			o.drops.add(OutNoPolicy, len(g.waiting))
			o.staged -= g.bytes
			delete(o.groups, id)
		}
	}
}

// stage keeps a copy of b until g has an SA, and asks for one.
func (o *outbound) stage(g *group, p *ippkt.Packet, b []byte) {
	now := o.d.cfg.Now()
	for len(g.waiting) > 0 && (len(g.waiting) == stagePackets || g.bytes+len(b) > stageBytes) {
		o.drops.add(OutStageFull, 1)
		g.bytes -= len(g.waiting[0].b)
		o.staged -= len(g.waiting[0].b)
		g.waiting[0].b = nil
		g.waiting = g.waiting[1:]
	}
	if o.staged+len(b) > stageTotal {
		o.drops.add(OutStageFull, 1)
	} else {
		kept := make([]byte, len(b), len(b)+esp.MaxTrailer)
		copy(kept, b)
		g.waiting = append(g.waiting, staged{kept, now})
		g.bytes += len(b)
		o.staged += len(b)
	}
	if g.raised.IsZero() || now.Sub(g.raised) >= AcquireInterval {
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
			o.drops.add(OutStageStale, 1)
			continue
		}
		o.packet(t, w.b)
	}
	o.flush()
}
