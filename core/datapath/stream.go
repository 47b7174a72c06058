package datapath

import (
	"errors"
	"maps"
	"net/netip"

	"sallyport/core/encap"
)

// A Stream is a connection that carries what a NAT-T socket does, in frames: TCP,
// in TLS or bare (RFC 9329). A datapath takes any number of them, for as long as
// each lasts. On a stream the outer headers belong to the connection: nothing of
// the inner DSCP and ECN bits is copied to them, nor taken from them (RFC 9329,
// sections 9.3 and 9.5), and no packet is too long for the path.
type Stream interface {
	// Send queues ESP packets like host.UDPConn. It does not wait; it returns how
	// many were dropped because the connection is congested. An error means that
	// the connection has ended.
	Send(b []byte, segment int) (dropped int, err error)
	// Next returns the next message, borrowed until the next call; more says that
	// another one is there without waiting. An error means that the connection has
	// ended. It is for one goroutine.
	Next() (msg []byte, more bool, err error)
	Local() netip.AddrPort
	Remote() netip.AddrPort
	Close() error // unblocks Next, sooner or later
}

// Nowhere is the Socket of a Path that leads nowhere at the moment: its packets
// are dropped.
const Nowhere = -1

// streams are those of a datapath. A number is given once, so that no path leads
// to another peer's stream.
type streams struct {
	byNumber map[int]*inbound
	next     int
}

// Attach makes the datapath receive from s and returns the number that Paths name
// it by. It owns s from now on. StreamEnded tells when s is over, by itself or by
// Detach. It fails, and closes s, when Run has ended.
func (d *Datapath) Attach(s Stream) (socket int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx != nil && !d.running {
		s.Close()
		return Nowhere, errors.New("datapath: has ended")
	}
	old := d.streams.Load()
	all := &streams{byNumber: maps.Clone(old.byNumber), next: old.next + 1}
	if all.byNumber == nil {
		all.byNumber = make(map[int]*inbound)
	}
	in := &inbound{d: d, index: old.next, Socket: Socket{NATT: true}, stream: s}
	all.byNumber[in.index] = in
	d.streams.Store(all)
	if d.running {
		d.wg.Go(in.runStream)
	}
	return in.index, nil
}

// Detach ends a stream; what waits to be sent on it leaves first.
func (d *Datapath) Detach(socket int) {
	if in := d.streams.Load().byNumber[socket]; in != nil {
		in.stream.Close()
	}
}

// streamOf returns the stream with a number; nil when it has ended.
func (d *Datapath) streamOf(socket int) Stream {
	if in := d.streams.Load().byNumber[socket]; in != nil {
		return in.stream
	}
	return nil
}

// isStream reports whether a number is, or was, that of a stream.
func (d *Datapath) isStream(socket int) bool {
	return socket >= len(d.cfg.Sockets) && socket < d.streams.Load().next
}

// closeStreamsLocked closes all streams.
func (d *Datapath) closeStreamsLocked() {
	for _, in := range d.streams.Load().byNumber {
		in.stream.Close()
	}
}

// runStream receives until the stream ends.
func (in *inbound) runStream() {
	in.from = arrival{remote: in.stream.Remote(), local: in.stream.Local().Addr()}
	for {
		msg, more, err := in.stream.Next()
		if err != nil {
			break
		}
		switch kind, body := encap.Demux(msg); kind {
		case encap.ESP:
			in.esp(body)
		case encap.IKE:
			in.ike(body)
		case encap.Keepalive: // it has no use here (RFC 9329, section 6.6)
		default:
			in.drops.add(InMalformed, 1)
		}
		if !more {
			in.leave()
			in.flush()
		}
	}
	in.leave()
	in.flush()
	in.stream.Close()

	d := in.d
	d.mu.Lock()
	old := d.streams.Load()
	all := &streams{byNumber: maps.Clone(old.byNumber), next: old.next}
	delete(all.byNumber, in.index)
	d.streams.Store(all)
	d.gone.take(&in.drops)
	d.mu.Unlock()
	d.cfg.Notify(Event{Kind: StreamEnded, Socket: in.index, Remote: in.from.remote, Local: in.from.local})
}

// sendStream sends the batch on a stream.
func (o *lane) sendStream(s Stream) {
	g := &o.batch
	if s == nil {
		o.drops.add(OutNoPath, g.count)
		return
	}
	segment := g.size
	if g.count == 1 {
		segment = 0
	}
	dropped, err := s.Send(g.buf[:g.n], segment)
	switch {
	case err != nil:
		o.drops.add(OutNoPath, g.count)
	case dropped > 0:
		o.drops.add(OutCongested, dropped)
	}
}

// Streams reports whether a stream lasts.
func (d *Datapath) Streams(socket int) bool { return d.streamOf(socket) != nil }
