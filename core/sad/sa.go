package sad

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/core/esp"
	"sallyport/core/spd"
)

// softSequences is how many sequence numbers are left when the soft lifetime
// of an SA without ESN ends of itself.
const softSequences = 1 << 28

// An SA is a pair of SAs. Its exported fields never change after Install.
type SA struct {
	Group         *Group
	InSPI, OutSPI uint32
	// Serial tells this pair from every other that the Table ever held, also
	// from a later one with the same SPI.
	Serial uint64
	// Resource is what the pair is for (RFC 9611), 0 for none.
	Resource   int
	Soft, Hard Limits
	// Inbound holds what a decrypted packet must match (RFC 4301, section 5.2,
	// step 4); Outbound what a packet must match to be sent.
	Inbound, Outbound *spd.Pair

	path atomic.Pointer[Path]
	// closed is set by Remove: a goroutine that still holds the SA drops
	// its packets.
	closed atomic.Bool
	// retired is set by Retire: the pair only receives.
	retired atomic.Bool

	In  In
	Out Out
}

// In is the inbound direction of a pair.
type In struct {
	sync.Mutex // guards all below; held for a run of packets
	Opener     *esp.Opener
	use
	Refused uint64
	// Peer is where authenticated packets came from last, as far as it was
	// reported; Moved is when it last changed.
	Peer  netip.AddrPort
	Moved time.Time
}

// Out is the outbound direction of a pair.
type Out struct {
	sync.Mutex // guards all below; held for a super-packet
	Sealer     *esp.Sealer
	use
}

// use counts what went through one direction.
type use struct {
	Packets, Bytes uint64
	soft, hard     bool // reported
}

// Path returns where packets are sent to.
func (s *SA) Path() *Path { return s.path.Load() }

// Closed reports whether the pair was removed.
func (s *SA) Closed() bool { return s.closed.Load() }

// A Limit tells which lifetime a direction has just reached.
type Limit uint8

// The values of Limit.
const (
	NoLimit Limit = iota
	SoftLimit
	HardLimit
)

// CountIn adds to what the inbound direction has carried and returns a limit that
// is reached for the first time. The caller holds In's lock.
func (s *SA) CountIn(packets, bytes uint64) Limit {
	return s.In.count(s, packets, bytes, false)
}

// CountOut does the same for the outbound direction under Out's lock.
func (s *SA) CountOut(packets, bytes uint64) Limit {
	return s.Out.count(s, packets, bytes, s.Out.Sealer.Remaining() < softSequences)
}

func (u *use) count(s *SA, packets, bytes uint64, soft bool) Limit {
	u.Packets += packets
	u.Bytes += bytes
	if !u.hard && s.Hard.reached(u.Packets, u.Bytes) {
		u.hard, u.soft = true, true
		return HardLimit
	}
	if !u.soft && (soft || s.Soft.reached(u.Packets, u.Bytes)) {
		u.soft = true
		return SoftLimit
	}
	return NoLimit
}

// Exhaust marks the outbound direction as beyond its hard lifetime, and reports
// whether it was not before. The caller holds Out's lock.
func (s *SA) Exhaust() bool {
	was := s.Out.hard
	s.Out.hard, s.Out.soft = true, true
	return !was
}

// Spent reports whether the direction is beyond its hard lifetime.
func (u *use) Spent() bool { return u.hard }

// Counters returns what the pair has carried.
func (s *SA) Counters() Counters {
	var c Counters
	s.In.Lock()
	c.InPackets, c.InBytes, c.InRefused = s.In.Packets, s.In.Bytes, s.In.Refused
	s.In.Unlock()
	s.Out.Lock()
	c.OutPackets, c.OutBytes = s.Out.Packets, s.Out.Bytes
	s.Out.Unlock()
	return c
}

// A Group is one child across rekeys.
type Group struct {
	ID uint32
	// only is the pair to send on, or one of those that spread spreads flows over.
	only   atomic.Pointer[SA]
	spread atomic.Pointer[spread] // nil: there is one pair at most
	// Under the Table's lock: the pairs to send on, how many pairs belong to the
	// group, and whether somebody asked for it by its name.
	fallback *SA
	lines    []line // by resource
	pairs    int
	named    bool
}

// Active returns the pair to send a flow on, or nil. hash is the flow's.
func (g *Group) Active(hash uint64) *SA {
	if s := g.spread.Load(); s != nil {
		return s.of(hash)
	}
	return g.only.Load()
}
