package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"sallyport/core/encap"
	"sallyport/core/esp"
	"sallyport/core/host"
	"sallyport/core/ippkt"
	"sallyport/core/sad"
)

const (
	// recvLen is the longest read from a socket: a datagram, or several.
	recvLen = 65535
	// maxRecvErrors is how many failures in a row end the receiver.
	maxRecvErrors = 100
	// ikeHeader is the length of the IKE header (RFC 7296, section 3.1): no
	// message is shorter.
	ikeHeader = 28
	// moveInterval is the least time between two PeerMoved events of a pair.
	moveInterval = time.Second
)

// inbound is the way from one socket to the TUN. Its fields belong to the
// goroutine of run, but for drops.
type inbound struct {
	d     *Datapath
	index int
	Socket
	stream Stream // in place of Conn

	from arrival
	// sa is the pair of the current run of packets. Unless shared, its In lock is
	// held from enter to leave; the counts are those of the run.
	sa             *sad.SA
	packets, bytes uint64
	refused        uint64
	super          *super // that grows
	spare          *super
	cache          []inFlow
	events         []Event
	early          early

	place              // among the lanes
	lanes   []*inbound // of the socket, this one first; of the first lane only
	shared  bool
	scratch esp.Scratch
	buf     []byte // that the socket is read to

	failures *int // in a row; of the lane that leads
	drops    drops
}

// An inFlow remembers whether a flow matches the selectors of an SA.
type inFlow struct {
	flow    ippkt.Flow
	serial  uint64 // of the SA; 0: the slot is free
	allowed bool
}

// An arrival is where and how datagrams came.
type arrival struct {
	remote netip.AddrPort
	local  netip.Addr
	tos    uint8
}

// newInbound returns the first lane of a socket.
func newInbound(d *Datapath, index int, s Socket) *inbound {
	in := &inbound{d: d, index: index, Socket: s, failures: new(int)}
	in.lanes = []*inbound{in}
	if s.NATT {
		in.prepare()
		for len(in.lanes) < d.cfg.lanes() {
			in.lanes = append(in.lanes, &inbound{d: d, index: index, Socket: s, failures: in.failures})
		}
	}
	return in
}

// prepare makes the buffers that ESP needs. Streams, which strangers can open,
// have none before the first packet with the SPI of one of our SAs comes.
func (in *inbound) prepare() {
	if in.super == nil {
		in.super, in.spare = newSuper(), newSuper()
		in.cache = make([]inFlow, flowCacheLen)
	}
}

// run receives until the socket is closed or fails for good.
func (in *inbound) run() error {
	if len(in.lanes) > 1 {
		return in.runLanes()
	}
	return in.alone(in.burst)
}

// burst receives and handles what is there, or lets somebody else do so. It
// fails when the socket is closed or has failed often.
func (in *inbound) burst() error {
	if in.buf == nil {
		in.buf = make([]byte, recvLen)
	}
	try, _ := in.Conn.(host.TryReceiver)
	n, segment, remote, local, tos, err := in.Conn.Recv(in.buf)
	in.place.enter()
	for err == nil && n >= 0 {
		*in.failures = 0
		in.from = arrival{remote, local, tos}
		in.share(in.buf[:n], segment)
		in.datagrams(in.buf[:n], segment)
		in.leave() // others want the lock, and the events are due
		if try == nil || !in.leads || in.super == nil || in.super.count == 0 {
			break // or nothing is held back: Recv asks just the same
		}
		n, segment, remote, local, tos, err = try.TryRecv(in.buf)
	}
	in.flush()
	in.place.leave()
	if err != nil {
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		in.drops.add(InReceive, 1)
		if *in.failures++; *in.failures == maxRecvErrors {
			return fmt.Errorf("receive on port %d: %w", in.Conn.LocalPort(), err)
		}
	}
	return nil
}

// datagrams handles what one receive gave: datagrams of segment bytes back to
// back, or with segment 0 a single one.
func (in *inbound) datagrams(b []byte, segment int) {
	if segment <= 0 {
		segment = len(b)
	}
	for len(b) > segment {
		in.datagram(b[:segment:segment])
		b = b[segment:]
	}
	in.datagram(b)
}

func (in *inbound) datagram(b []byte) {
	if len(in.early.packets) > 0 {
		if come := in.d.come.Load(); come != in.early.seen {
			in.retry(come)
		}
	}
	kind, body := encap.IKE, b
	if in.NATT {
		kind, body = encap.Demux(b)
	}
	switch kind {
	case encap.ESP:
		in.esp(body)
	case encap.IKE:
		in.ike(body)
	case encap.Keepalive:
	default:
		in.drops.add(InMalformed, 1)
	}
}

// ike hands an IKE message over.
func (in *inbound) ike(msg []byte) {
	if len(msg) < ikeHeader {
		in.drops.add(InMalformed, 1)
		return
	}
	in.leave()
	port := uint16(0)
	if in.stream != nil {
		port = in.stream.Local().Port()
	} else {
		port = in.Conn.LocalPort()
	}
	in.d.cfg.IKE(Datagram{
		Data:   append([]byte(nil), msg...),
		Local:  netip.AddrPortFrom(in.from.local, port),
		Remote: in.from.remote,
		NATT:   in.NATT,
		TCP:    in.stream != nil,
		Socket: in.index,
	})
}

// enter makes sa the pair of the current run.
func (in *inbound) enter(sa *sad.SA) {
	if in.sa == sa {
		return
	}
	in.leave()
	if !in.shared {
		sa.In.Lock()
	}
	in.sa = sa
}

// leave ends the current run: it counts, unlocks, and then tells what happened.
func (in *inbound) leave() {
	if sa := in.sa; sa != nil {
		if in.shared {
			sa.In.Lock()
		}
		in.count()
		in.sa = nil
		sa.In.Unlock()
	}
	if len(in.events) > 0 {
		for _, e := range in.events {
			in.d.cfg.Notify(e)
		}
		clear(in.events)
		in.events = in.events[:0]
	}
}

// count adds the run's counts to the pair's.
func (in *inbound) count() {
	switch in.sa.CountIn(in.packets, in.bytes) {
	case sad.SoftLimit:
		in.event(SoftLifetime)
	case sad.HardLimit:
		in.event(HardLifetime)
	}
	in.sa.In.Refused += in.refused
	in.packets, in.bytes, in.refused = 0, 0, 0
}

func (in *inbound) event(kind EventKind) {
	in.events = append(in.events, Event{
		Kind: kind, Group: in.sa.Group.ID, InSPI: in.sa.InSPI,
		Remote: in.from.remote, Local: in.from.local, Socket: in.index, TCP: in.stream != nil,
	})
}

// LostInterval is the least time between two events of kind Lost.
const LostInterval = 100 * time.Millisecond

// A lostLimiter is shared by all that receive.
type lostLimiter struct {
	mu   sync.Mutex // guards told
	told time.Time
}

func (l *lostLimiter) allow(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.told) < LostInterval {
		return false
	}
	l.told = now
	return true
}

// lost tells of a packet for an SPI that nobody has, now and then.
func (in *inbound) lost(spi uint32) {
	if !in.d.lost.allow(in.d.cfg.Now()) {
		return
	}
	in.leave()
	in.d.cfg.Notify(Event{Kind: Lost, InSPI: spi, Remote: in.from.remote, Local: in.from.local, Socket: in.index, TCP: in.stream != nil})
}

// esp opens an ESP packet straight into the super-packet that grows. There the
// inner header overwrites the end of the data so far, which is put back once it
// has been looked at: so the payload of the next segment lands where it
// belongs, uncopied.
func (in *inbound) esp(pkt []byte) {
	spi := spiOf(pkt)
	if in.sa == nil || in.sa.InSPI != spi || in.sa.Closed() {
		if !in.find(pkt, spi) {
			return
		}
	}
	sa := in.sa
	if !in.shared && sa.In.Spent() {
		in.drops.add(InHardLimit, 1)
		return
	}
	size := sa.In.Opener.PlainLen(len(pkt))
	if size <= 0 {
		in.drops.add(InShort, 1)
		return
	}
	s := in.super
	if !s.room(size) {
		in.flush()
	}
	dst := s.begin()
	var inner []byte
	var next uint8
	var err error
	if in.shared {
		inner, next, err = in.openShared(sa, dst, pkt)
	} else {
		before := sa.In.Opener.Highest()
		inner, next, err = sa.In.Opener.Open(dst, pkt)
		in.opened(sa, before, err)
	}
	if err != nil {
		s.restore()
		in.refuse(err)
		return
	}
	if next == ippkt.ProtoNone { // RFC 4303, section 2.6
		s.restore()
		in.drops.add(InDummy, 1)
		return
	}
	// A packet that continues the super-packet of its SA is of a flow that was
	// found to be allowed; and not-ECT or ECT(0) outside changes nothing inside.
	tried := s.serial == sa.Serial && s.next == next && in.from.tos&ect1 == 0
	if tried && in.merged(s.merge(inner)) {
		return
	}
	in.inner(inner, next, tried)
}

// opened looks at where an authentic packet came from, with the SA locked: before
// was the highest sequence number until then.
func (in *inbound) opened(sa *sad.SA, before uint64, err error) {
	if (before == 0 || sa.In.Peer != in.from.remote) && (err == nil || err == esp.ErrPadding) {
		in.authentic(before)
	}
}

// spiOf returns the SPI of an ESP packet.
func spiOf(pkt []byte) uint32 { return binary.BigEndian.Uint32(pkt) }

// find makes the pair with the SPI of pkt that of the current run, if there is
// one.
func (in *inbound) find(pkt []byte, spi uint32) bool {
	sa := in.d.sas.Lookup(spi)
	if sa == nil {
		in.drops.add(InUnknownSPI, 1)
		in.early.keep(pkt, spi, in.from, in.d.cfg.Now())
		in.lost(spi)
		return false
	}
	in.prepare()
	in.enter(sa)
	return true
}

// refuse counts a packet that Open refused.
func (in *inbound) refuse(err error) {
	if err == errSpent {
		in.drops.add(InHardLimit, 1)
		return
	}
	in.refused++
	switch err {
	case esp.ErrReplay:
		in.drops.add(InReplay, 1)
	case esp.ErrICV:
		in.drops.add(InICV, 1)
	case esp.ErrPadding:
		in.drops.add(InPadding, 1)
	default:
		in.drops.add(InShort, 1)
	}
}

// authentic notes that an authenticated packet came, which is the first or from
// elsewhere than the one before; before was the highest sequence number until
// then.
func (in *inbound) authentic(before uint64) {
	peer := &in.sa.In
	if before == 0 {
		in.event(FirstInbound)
		if peer.Peer != in.from.remote { // it has moved since the SA was made
			peer.Peer, peer.Moved = in.from.remote, in.d.cfg.Now()
			in.event(PeerMoved)
		}
		return
	}
	// A late packet may come from where the peer no longer is.
	if peer.Opener.Highest() == before {
		return
	}
	if now := in.d.cfg.Now(); now.Sub(peer.Moved) >= moveInterval {
		peer.Peer, peer.Moved = in.from.remote, now
		in.event(PeerMoved)
	}
}

// inner checks the decrypted packet b and passes it on. b lies at the end of
// the super-packet's buffer, after begin; tried says that it could not be merged.
func (in *inbound) inner(b []byte, next uint8, tried bool) {
	s, sa := in.super, in.sa
	var p ippkt.Packet
	if err := p.Parse(b); err != nil || next != nextHeader(p.Flow.V6) {
		s.restore()
		in.refused++
		in.drops.add(InInner, 1)
		return
	}
	b = b[:p.Len] // what follows is TFC padding (RFC 4303, section 2.7)
	f := &in.cache[p.Flow.Hash()%flowCacheLen]
	if f.serial != sa.Serial || f.flow != p.Flow {
		*f = inFlow{p.Flow, sa.Serial, sa.Inbound.Match(&p.Flow)}
	}
	if !f.allowed {
		s.restore()
		in.refused++
		in.drops.add(InSelectors, 1)
		return
	}
	if in.from.tos&ecnMask != 0 && !decapsulateECN(&p, b, in.from.tos) {
		s.restore()
		in.drops.add(InECN, 1)
		return
	}
	if !tried && in.merged(s.merge(b)) {
		return
	}
	in.packets++
	in.bytes += uint64(p.Len)
	if p.Flow.Proto == ippkt.ProtoTCP && p.First && isSYN(b[p.L4:]) {
		// What we send back must fit in the outbound SA.
		path := sa.Path()
		clampMSS(b[p.L4:], segmentFit(sa, path), ipLen(p.Flow.V6))
	}
	t := in.d.tun.Load()
	if t == nil {
		s.restore()
		in.drops.add(InNoTUN, 1)
		return
	}
	// b begins a new super-packet, and the old one goes.
	if s.count > 0 {
		in.spare.start(t, sa.Serial, &p, b)
		s.restore()
		in.flush()
		in.super, in.spare = in.spare, in.super
	} else {
		s.start(t, sa.Serial, &p, b)
	}
	if !in.super.open {
		in.flush()
	}
}

// merged counts a packet of n bytes that the super-packet has taken; it reports
// false for none.
func (in *inbound) merged(n int) bool {
	if n == 0 {
		return false
	}
	in.packets++
	in.bytes += uint64(n)
	if !in.super.open {
		in.flush()
	}
	return true
}

// flush writes the super-packet to the TUN.
func (in *inbound) flush() {
	s := in.super
	if s == nil || s.count == 0 {
		return
	}
	in.await()
	b := s.finish()
	n := s.count
	s.reset()
	t := in.d.tun.Load()
	if t == nil {
		in.drops.add(InNoTUN, n)
		return
	}
	if t.write(b) != nil {
		in.drops.add(InTUNWrite, n)
	}
}
