package datapath

import (
	"runtime"
	"sync"

	"sallyport/core/ippkt"
)

// Where there are cores enough, several lanes read one TUN or socket, one at a
// time: the leader. When it has read a long super-packet it takes the sequence numbers,
// lets the next one lead, and seals while others read and seal. What each burst
// made leaves in the order of the tickets that the leaders drew, so that packets
// leave in the order of their sequence numbers. A leader that reads short
// packets only keeps the lead: nobody is woken for what is quickly done. The way
// in is the same (inbound_lanes.go), with the replay window in place of the
// sequence numbers.
const (
	maxLanes = 8
	// shareSegments is from how many segments on a super-packet is worth
	// another goroutine's waking.
	shareSegments = 8
)

// lanes returns how many lanes there are.
func (c *Config) lanes() int {
	if c.Lanes > 0 {
		return c.Lanes
	}
	return min(max(1, runtime.GOMAXPROCS(0)-1), maxLanes)
}

// A crew is the lanes that read one TUN.
type crew struct {
	lead  chan struct{} // holds a token while nobody leads
	drawn uint64        // tickets; of the leader
	over  bool          // a burst has failed; of the leader

	turn   sync.Mutex // guards served
	next   sync.Cond  // served has changed
	served uint64
}

// A place is a lane's part in a crew.
type place struct {
	crew   *crew // nil for the only lane of a TUN
	leads  bool
	ticket uint64
}

// enter draws a ticket. The lane leads.
func (p *place) enter() {
	if p.crew == nil {
		return
	}
	p.ticket = p.crew.drawn
	p.crew.drawn++
}

// yield lets another lane lead.
func (p *place) yield() {
	p.leads = false
	p.crew.lead <- struct{}{}
}

// await waits until the burst may send: all before it have.
func (p *place) await() {
	c := p.crew
	if c == nil {
		return
	}
	c.turn.Lock()
	for c.served != p.ticket {
		c.next.Wait()
	}
	c.turn.Unlock()
}

// leave ends the burst.
func (p *place) leave() {
	c := p.crew
	if c == nil {
		return
	}
	p.await()
	c.turn.Lock()
	c.served++
	c.turn.Unlock()
	c.next.Broadcast()
}

// first reports whether all bursts before this one have sent.
func (p *place) first() bool {
	c := p.crew
	c.turn.Lock()
	defer c.turn.Unlock()
	return c.served == p.ticket
}

func newCrew() *crew {
	c := &crew{lead: make(chan struct{}, 1)}
	c.lead <- struct{}{}
	c.next.L = &c.turn
	return c
}

// turns does bursts, whenever it is p's turn to lead, until one fails: its own or
// another's. A burst fails while it leads.
func (c *crew) turns(p *place, burst func() error) error {
	for {
		<-c.lead
		*p = place{crew: c, leads: true}
		for p.leads && !c.over {
			if err := burst(); err != nil {
				c.over = true
				p.yield()
				return err
			}
		}
		if p.leads {
			p.yield()
			return nil
		}
	}
}

// run does the bursts of all lanes, until one fails.
func (c *crew) run(lanes int, lane func(i int) (*place, func() error)) error {
	var wg sync.WaitGroup
	failed := make(chan error, lanes)
	for i := range lanes {
		wg.Go(func() {
			if err := c.turns(lane(i)); err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	return <-failed
}

// alone does bursts until one fails.
func (p *place) alone(burst func() error) error {
	*p = place{leads: true}
	for {
		if err := burst(); err != nil {
			return err
		}
	}
}

// run reads t until it fails.
func (o *outbound) run(t *device) error {
	if len(o.lanes) == 1 {
		l := o.lanes[0]
		return l.alone(func() error { return l.burst(t) })
	}
	return newCrew().run(len(o.lanes), func(i int) (*place, func() error) {
		l := o.lanes[i]
		return &l.place, func() error { return l.burst(t) }
	})
}

// share lets another lane lead while this one seals the segments of a long
// super-packet: it takes their sequence numbers, counts them and unlocks the SA,
// which it needs no more: a leader may hold it while it awaits this lane. A
// packet that is not cut into equal segments, or whose cipher has state, is not
// worth it.
func (o *lane) share(j *job, h vnet, p *ippkt.Packet, pkt []byte) {
	if o.crew == nil || !o.leads || p.Fragment || !j.sa.Out.Sealer.Concurrent() {
		return
	}
	hlen, size := 0, int(h.gsoSize)
	switch {
	case (h.gso == gsoTCPv4 || h.gso == gsoTCPv6) && p.Flow.Proto == ippkt.ProtoTCP:
		n := ippkt.TCPHeader(pkt[p.L4:])
		if n == 0 {
			return
		}
		hlen = p.L4 + n
		size = min(size, j.fit-hlen)
	case h.gso == gsoUDP && p.Flow.Proto == ippkt.ProtoUDP:
		hlen = p.L4 + ippkt.UDPLen
		if hlen+size > j.mtu {
			return
		}
	default:
		return
	}
	payload := len(pkt) - hlen
	if hlen > maxHeader || size < 8 || payload/size < shareSegments {
		return
	}
	n := (payload + size - 1) / size
	first, ok := j.sa.Out.Sealer.Reserve(n)
	if !ok {
		return
	}
	j.reserved, j.seq = true, first
	j.packets, j.bytes = uint64(n), uint64(payload+n*hlen)
	o.count(j)
	j.sa.Out.Unlock()
	o.yield()
}
