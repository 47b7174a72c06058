package datapath

import (
	"errors"

	"sallyport/core/esp"
	"sallyport/core/host"
	"sallyport/core/sad"
)

const (
	// maxDatagram is the longest payload of a UDP datagram over IPv4, and of a
	// group of datagrams that the system segments.
	maxDatagram = 65507
	// maxSegments is how many datagrams the system takes as one group (Linux:
	// UDP_MAX_SEGMENTS was 64 before it was 128).
	maxSegments = 64
)

// A job is the sealing of one packet or super-packet.
type job struct {
	sa   *sad.SA
	path *sad.Path
	tos  uint8 // of the outer header
	next uint8 // next header: the inner IP version
	fit  int   // longest inner packet that needs no outer fragments
	mtu  int   // longest inner packet that is sent

	// reserved says that the packets take the sequence numbers from seq on, and
	// that the SA is not locked.
	reserved bool
	seq      uint64

	packets, bytes uint64 // sealed so far
}

// A batch collects sealed packets that leave with one call: all to one place
// and equally long, but for the last.
type batch struct {
	buf   []byte
	n     int // bytes in buf
	size  int // of each packet
	count int
	short bool // the last packet is shorter: none may follow
	sa    *sad.SA
	path  *sad.Path
	tos   uint8
}

// seal adds the inner packet buf[start:end] to the batch. buf has
// esp.MaxTrailer bytes of capacity beyond end; Seal leaves them as they were.
func (o *lane) seal(j *job, buf []byte, start, end int) {
	g := &o.batch
	size := j.sa.Out.Sealer.Len(end - start)
	if size > maxDatagram {
		o.drops.add(OutTooBig, 1)
		return
	}
	if g.count != 0 && (g.short || size > g.size || g.count == maxSegments || g.n+size > maxDatagram ||
		g.path != j.path || g.sa != j.sa || g.tos != j.tos || !o.inGroups(j.path.Socket)) {
		o.flush()
	}
	if g.buf == nil {
		g.buf = make([]byte, maxDatagram)
	}
	n, err := o.sealOne(j, g.buf[g.n:], buf[:end+esp.MaxTrailer], start, end)
	if err != nil { // no sequence number left
		o.drops.add(OutHardLimit, 1)
		if j.sa.Exhaust() {
			o.event(Event{Kind: HardLifetime, Group: j.sa.Group.ID, InSPI: j.sa.InSPI, Outbound: true})
		}
		return
	}
	if g.count == 0 {
		g.size, g.sa, g.path, g.tos = n, j.sa, j.path, j.tos
	}
	g.short = n < g.size
	g.n += n
	g.count++
	j.packets++
	j.bytes += uint64(end - start)
}

func (o *lane) sealOne(j *job, dst, buf []byte, start, end int) (int, error) {
	if !j.reserved {
		return j.sa.Out.Sealer.Seal(dst, buf, start, end, j.next)
	}
	j.seq++
	return j.sa.Out.Sealer.SealAs(&o.scratch, j.seq-1, dst, buf, start, end, j.next), nil
}

// flush sends the batch.
func (o *lane) flush() {
	g := &o.batch
	if g.count == 0 {
		return
	}
	segment := g.size
	if g.count == 1 {
		segment = 0
	}
	o.await()
	defer o.empty()
	if g.path.Socket < 0 || g.path.Socket >= len(o.d.cfg.Sockets) {
		o.sendStream(o.d.streamOf(g.path.Socket))
		return
	}
	conn := o.d.cfg.Sockets[g.path.Socket].Conn
	if g.size+outerLen(g.path.V6()) > g.path.OuterMTU() {
		o.sendFragments(conn, false)
	} else if err := conn.Send(g.buf[:g.n], segment, g.path.Remote, g.path.Local, g.tos); err != nil {
		o.sendFailed(conn, err)
	}
}

// empty makes the batch ready for the next one.
func (o *lane) empty() {
	g := &o.batch
	g.n, g.count, g.short = 0, 0, false
	g.sa, g.path = nil, nil
}

// inGroups reports whether a socket takes several packets with one call.
func (o *lane) inGroups(socket int) bool {
	return socket < 0 || socket >= len(o.d.cfg.Sockets) || o.d.cfg.Sockets[socket].Conn.Offload()
}

// sendFailed deals with a batch that the system refused whole. When it was too
// big for the path, the packets go out one by one, in fragments if need be, so
// that nothing is lost while the inner senders learn the smaller MTU.
func (o *lane) sendFailed(conn host.UDPConn, err error) {
	g := &o.batch
	var big *host.TooBigError
	if !errors.As(err, &big) {
		o.drops.add(OutSend, g.count)
		return
	}
	if whole, ok := conn.(host.Sounder); ok && g.path.Firm &&
		whole.SendWhole(g.buf[:g.n], min(g.size, g.n), g.path.Remote, g.path.Local, g.tos) == nil {
		return
	}
	if big.MTU > 0 {
		mtu := max(big.MTU, MinMTU)
		if g.path.V6() {
			mtu = max(big.MTU, minMTU6)
		}
		if g.sa.LowerMTU(g.path, mtu) {
			o.event(Event{Kind: PathMTU, Group: g.sa.Group.ID, InSPI: g.sa.InSPI, MTU: mtu})
		}
	}
	o.sendFragments(conn, g.count > 1)
}

// sendFragments sends the batch's packets one by one in outer fragments; with
// try only those that the system refuses to send whole.
func (o *lane) sendFragments(conn host.UDPConn, try bool) {
	g := &o.batch
	fragmenter, _ := conn.(host.Fragmenter)
	for b := g.buf[:g.n]; len(b) > 0; {
		one := b[:min(g.size, len(b))]
		b = b[len(one):]
		if try || fragmenter == nil {
			err := conn.Send(one, 0, g.path.Remote, g.path.Local, g.tos)
			switch {
			case err == nil:
				continue
			case !errors.Is(err, host.ErrTooBig):
				o.drops.add(OutSend, 1)
				continue
			case fragmenter == nil:
				o.drops.add(OutPathTooBig, 1)
				continue
			}
		}
		if fragmenter.SendFragmented(one, g.path.Remote, g.path.Local) != nil {
			o.drops.add(OutSend, 1)
		}
	}
}
