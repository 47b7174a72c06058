package datapath

import (
	"errors"

	"sallyport/core/encap"
	"sallyport/core/esp"
	"sallyport/core/sad"
)

// shareBytes is from which length on what one receive gave is worth another
// goroutine's waking.
const shareBytes = 16 << 10

// errSpent means that an SA is beyond its hard lifetime.
var errSpent = errors.New("datapath: SA is spent")

// runLanes receives with several lanes until the socket is closed or fails for
// good.
func (in *inbound) runLanes() error {
	return newCrew().run(len(in.lanes), func(i int) (*place, func() error) {
		l := in.lanes[i]
		return &l.place, l.burst
	})
}

// share lets another lane lead while this one opens what it has received, if
// that is much. A lane that does not hold its SA from enter to leave is shared: as
// is one that others are before, since it may wait for them, and they for the SA.
func (in *inbound) share(b []byte, segment int) {
	if in.crew == nil || !in.leads {
		return
	}
	in.shared = !in.first()
	if segment <= 0 || len(b) < shareBytes {
		return
	}
	kind, pkt := encap.Demux(b[:segment])
	if kind != encap.ESP {
		return
	}
	if sa := in.d.sas.Lookup(spiOf(pkt)); sa == nil || !sa.In.Opener.Concurrent() {
		return
	}
	in.shared = true
	in.yield()
}

// openShared opens a packet of an SA that is not locked.
func (in *inbound) openShared(sa *sad.SA, dst, pkt []byte) (payload []byte, next uint8, err error) {
	o := sa.In.Opener
	sa.In.Lock()
	defer sa.In.Unlock()
	if sa.In.Spent() {
		return nil, 0, errSpent
	}
	if !o.Concurrent() {
		before := o.Highest()
		payload, next, err = o.Open(dst, pkt)
		in.opened(sa, before, err)
		return payload, next, err
	}
	seq, err := o.Sequence(pkt)
	if err != nil {
		return nil, 0, err
	}
	sa.In.Unlock()
	payload, next, err = o.OpenAs(&in.scratch, seq, dst, pkt)
	sa.In.Lock()
	if err == esp.ErrICV {
		return nil, 0, err
	}
	before := o.Highest()
	if !o.Accept(seq) { // another lane had the same packet
		return nil, 0, esp.ErrReplay
	}
	in.opened(sa, before, err)
	return payload, next, err
}
