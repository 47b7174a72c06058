package datapath

import "time"

// A responder may send on a Child SA as soon as it has answered for it, and its
// packets overtake the answer, or what we make of it. So the newest packets for
// SPIs that nobody has are kept for a moment: should their SA come, they belong
// to it. Who floods us with others makes us copy them, and keeps nothing.
const (
	maxEarly  = 64
	earlyTime = time.Second
)

// early are the packets that came before their SAs, oldest first.
type early struct {
	packets []earlyPacket
	seen    uint64 // how many SAs had come when they were looked through last
}

type earlyPacket struct {
	data []byte
	spi  uint32
	from arrival
	at   time.Time
}

// keep keeps a copy of a packet.
func (e *early) keep(pkt []byte, spi uint32, from arrival, at time.Time) {
	if len(e.packets) == maxEarly {
		first := e.packets[0].data
		copy(e.packets, e.packets[1:])
		e.packets[maxEarly-1] = earlyPacket{append(first[:0], pkt...), spi, from, at}
		return
	}
	e.packets = append(e.packets, earlyPacket{append([]byte(nil), pkt...), spi, from, at})
}

// retry takes the packets whose SAs have come.
func (in *inbound) retry(come uint64) {
	e := &in.early
	e.seen = come
	now, from := in.d.cfg.Now(), in.from
	packets := e.packets
	e.packets = nil
	for _, p := range packets {
		switch {
		case now.Sub(p.at) > earlyTime:
		case in.d.sas.Lookup(p.spi) == nil:
			e.packets = append(e.packets, p)
		default:
			in.from = p.from
			in.esp(p.data)
		}
	}
	in.from = from
}
