package datapath

import (
	"strconv"
	"sync/atomic"

	"sallyport/core/host"
)

// A Drop is a reason why a packet went no further.
type Drop uint8

// The reasons. Those of outbound packets begin with Out, those of inbound
// datagrams and packets with In.
const (
	OutOverflow    Drop = iota // came faster than the TUN was read (counted by the system)
	OutMalformed               // the TUN gave no valid IP packet
	OutNoPolicy                // no SPD entry matches
	OutDiscard                 // an SPD entry says DISCARD
	OutBypass                  // an SPD entry says BYPASS, but the packet was routed into the tunnel
	OutSelectors               // the group's SA was not negotiated for this packet
	OutStageFull               // an older packet made way while waiting for an SA
	OutStageStale              // waited too long for an SA
	OutTooBig                  // may not be fragmented; the sender is told
	OutHardLimit               // the SA is beyond its hard lifetime
	OutPathTooBig              // the system refused the datagram's size
	OutSend                    // the system refused to send
	OutCongested               // the TCP connection that carries it is congested
	OutNoPath                  // the TCP connection that carried it has ended
	OutICMPLimited             // a "too big" answer was not sent: too many (counts answers)
	InMalformed                // neither keepalive, IKE nor ESP
	InUnknownSPI               // no SA has this SPI
	InShort                    // ESP packet too short or misaligned
	InReplay                   // sequence number replayed or too old
	InICV                      // integrity check failed
	InPadding                  // bad padding in an authentic packet
	InDummy                    // traffic flow confidentiality dummy: normal
	InHardLimit                // the SA is beyond its hard lifetime
	InInner                    // not a valid IP packet inside
	InSelectors                // the inner packet does not match its SA (RFC 4301, section 5.2)
	InECN                      // congestion marked on a packet that cannot say so (RFC 6040, section 4.2)
	InNoTUN                    // there is no device to deliver to
	InTUNWrite                 // the device refused the packet
	InReceive                  // the system failed to receive (counts failures)
	InOverflow                 // came faster than it was received (counted by the system)
	numDrops
)

var dropNames = [numDrops]string{
	OutOverflow:  "out-tun-full",
	OutMalformed: "out-malformed", OutNoPolicy: "out-no-policy", OutDiscard: "out-discard",
	OutBypass: "out-bypass", OutSelectors: "out-selectors", OutStageFull: "out-stage-full",
	OutStageStale: "out-stage-stale", OutTooBig: "out-too-big", OutHardLimit: "out-hard-limit",
	OutPathTooBig: "out-path-too-big", OutSend: "out-send-failed", OutCongested: "out-tcp-congested", OutNoPath: "out-no-path", OutICMPLimited: "out-icmp-limited",
	InMalformed: "in-malformed", InUnknownSPI: "in-unknown-spi", InShort: "in-short",
	InReplay: "in-replay", InICV: "in-bad-icv", InPadding: "in-bad-padding", InDummy: "in-dummy",
	InHardLimit: "in-hard-limit", InInner: "in-bad-inner", InSelectors: "in-selectors", InECN: "in-ecn",
	InNoTUN: "in-no-tun", InTUNWrite: "in-tun-write-failed", InReceive: "in-receive-failed",
	InOverflow: "in-socket-full",
}

// String returns the reason's name.
func (r Drop) String() string {
	if r < numDrops {
		return dropNames[r]
	}
	return "Drop(" + strconv.Itoa(int(r)) + ")"
}

// drops are one goroutine's counters, so that no two write to a cache line.
type drops struct {
	n [numDrops]atomic.Uint64
	_ [64]byte
}

func (c *drops) add(r Drop, n int) { c.n[r].Add(uint64(n)) }

// take adds the counts of another.
func (c *drops) take(from *drops) {
	for r := range numDrops {
		c.n[r].Add(from.n[r].Load())
	}
}

// Stats are what a Datapath counted.
type Stats struct {
	Drops map[string]uint64 // by reason; without the zero ones
}

// Stats returns the counters so far.
func (d *Datapath) Stats() Stats {
	s := Stats{Drops: make(map[string]uint64)}
	sum := func(c *drops) {
		for r := range numDrops {
			if n := c.n[r].Load(); n != 0 {
				s.Drops[r.String()] += n
			}
		}
	}
	sum(&d.out.ctl.drops)
	for _, l := range d.out.lanes {
		sum(&l.drops)
	}
	var full drops
	for _, c := range d.cfg.Sockets {
		full.add(InOverflow, overflowed(c.Conn))
	}
	d.mu.Lock() // a stream or device that ends is counted once
	defer d.mu.Unlock()
	if t := d.tun.Load(); t != nil {
		full.add(OutOverflow, overflowed(t.TUN))
	}
	sum(&full)
	sum(&d.gone)
	for _, in := range d.streams.Load().byNumber {
		sum(&in.drops)
	}
	for _, in := range d.in {
		for _, l := range in.lanes {
			sum(&l.drops)
		}
	}
	return s
}

// overflowed is what a socket or device says of itself, if it can.
func overflowed(x any) int {
	if o, ok := x.(host.Overflower); ok {
		return int(o.Overflowed())
	}
	return 0
}
