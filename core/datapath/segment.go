package datapath

import (
	"encoding/binary"

	"sallyport/core/ippkt"
)

// A super-packet is cut in place: the header of each segment is written into
// the bytes just before its payload, which belonged to the segment before and
// are sealed already. The data is read once for the checksum and once by the
// cipher, and never copied.

// An ipHeader patches the IP header that segments share.
type ipHeader struct {
	v6   bool
	l4   int    // its length
	id   uint16 // IPv4 identification of the first segment
	base uint64 // checksum accumulator of the IPv4 header without length and ID
}

// newIPHeader prepares frame, the copy of a super-packet's headers.
func newIPHeader(frame []byte, p *ippkt.Packet) ipHeader {
	h := ipHeader{v6: p.Flow.V6, l4: p.L4}
	if !h.v6 {
		h.id = binary.BigEndian.Uint16(frame[4:])
		clear(frame[2:6])
		clear(frame[10:12])
		h.base = ippkt.Add(0, frame[:p.L4])
	}
	return h
}

// put fills in the i-th segment's IP header at the start of pkt, which is the
// whole segment.
func (h *ipHeader) put(pkt []byte, i int) {
	if h.v6 {
		binary.BigEndian.PutUint16(pkt[4:], uint16(len(pkt)-ippkt.IPv6Len))
		return
	}
	length, id := uint16(len(pkt)), h.id+uint16(i)
	binary.BigEndian.PutUint16(pkt[2:], length)
	binary.BigEndian.PutUint16(pkt[4:], id)
	sum := ippkt.AddUint16(ippkt.AddUint16(h.base, length), id)
	binary.BigEndian.PutUint16(pkt[10:], ^ippkt.Fold(sum))
}

// segmentTCP cuts a TCP super-packet into segments of size bytes of payload, or
// fewer when the path has become smaller than the sender knows.
func (o *lane) segmentTCP(t *device, j *job, size int, p *ippkt.Packet, pkt []byte) {
	n := ippkt.TCPHeader(pkt[p.L4:])
	hlen := p.L4 + n
	if p.Flow.Proto != ippkt.ProtoTCP || n == 0 || size == 0 || hlen > maxHeader {
		o.drops.add(OutMalformed, 1)
		return
	}
	if hlen+size > j.fit {
		if size = j.fit - hlen; size < 8 {
			o.tooBig(t, p, pkt, j.mtu)
			return
		}
	}
	frame := o.frame[:hlen]
	copy(frame, pkt)
	ip := newIPHeader(frame, p)
	tcp := frame[p.L4:]
	seq := binary.BigEndian.Uint32(tcp[4:])
	flags := tcp[13]
	clear(tcp[4:8])
	clear(tcp[16:18])
	// FIN and PSH belong to the last segment, CWR to the first (RFC 3168,
	// section 6.1.2).
	tcp[13] &^= ippkt.FIN | ippkt.PSH | ippkt.CWR
	base := ippkt.Add(ippkt.Pseudo(frame, ippkt.ProtoTCP, 0), tcp)

	for i, at := 0, hlen; i == 0 || at < len(pkt); i, at = i+1, at+size {
		end := min(at+size, len(pkt))
		seg := pkt[at-hlen : end]
		copy(seg, frame)
		ip.put(seg, i)
		var set uint8
		if i == 0 {
			set |= flags & ippkt.CWR
		}
		if end == len(pkt) {
			set |= flags & (ippkt.FIN | ippkt.PSH)
		}
		at4 := seg[p.L4:]
		s := seq + uint32(at-hlen)
		binary.BigEndian.PutUint32(at4[4:], s)
		at4[13] |= set
		sum := ippkt.AddUint16(base, uint16(set))
		sum = ippkt.AddUint16(ippkt.AddUint16(sum, uint16(s>>16)), uint16(s))
		sum = ippkt.AddUint16(sum, uint16(len(at4)))
		sum = ippkt.Add(sum, seg[hlen:])
		binary.BigEndian.PutUint16(at4[16:], ^ippkt.Fold(sum))
		o.seal(j, pkt, at-hlen, end)
	}
}

// segmentUDP cuts a UDP super-packet into datagrams of size bytes of payload.
// Their bounds mean something to the application, so they are kept: a datagram
// that is too long is fragmented where that is allowed.
func (o *lane) segmentUDP(t *device, j *job, size int, p *ippkt.Packet, pkt []byte) {
	hlen := p.L4 + ippkt.UDPLen
	if p.Flow.Proto != ippkt.ProtoUDP || hlen > len(pkt) || size == 0 || hlen > maxHeader {
		o.drops.add(OutMalformed, 1)
		return
	}
	long := min(hlen+size, len(pkt)) > j.mtu
	if long && p.DontFragment {
		o.tooBig(t, p, pkt, j.mtu)
		return
	}
	frame := o.frame[:hlen]
	copy(frame, pkt)
	ip := newIPHeader(frame, p)
	clear(frame[p.L4+4 : hlen])
	base := ippkt.Add(ippkt.Pseudo(frame, ippkt.ProtoUDP, 0), frame[p.L4:])

	for i, at := 0, hlen; i == 0 || at < len(pkt); i, at = i+1, at+size {
		end := min(at+size, len(pkt))
		seg := pkt[at-hlen : end]
		copy(seg, frame)
		ip.put(seg, i)
		at4 := seg[p.L4:]
		length := uint16(len(at4))
		binary.BigEndian.PutUint16(at4[4:], length)
		// The length is in the header and in the pseudo header.
		sum := ippkt.AddUint16(ippkt.AddUint16(base, length), length)
		check := ^ippkt.Fold(ippkt.Add(sum, seg[hlen:]))
		if check == 0 {
			check = 0xffff // 0 means "no checksum" (RFC 768)
		}
		binary.BigEndian.PutUint16(at4[6:], check)
		if long && len(seg) > j.mtu {
			o.fragments(j, pkt, at-hlen, end)
		} else {
			o.seal(j, pkt, at-hlen, end)
		}
	}
}

// fragments cuts the IPv4 packet pkt[start:end], which may be fragmented, into
// fragments before it is sealed (RFC 4301, section 8.2: so the peer need not
// reassemble what we send). The packet may be a fragment itself.
func (o *lane) fragments(j *job, pkt []byte, start, end int) {
	hlen := int(pkt[start]&15) * 4
	head := o.fragment[:hlen]
	copy(head, pkt[start:])
	word := binary.BigEndian.Uint16(head[6:])
	more, offset := word&0x2000, int(word&0x1fff)
	step := (j.mtu - hlen) &^ 7
	for at := start + hlen; at < end; at += step {
		stop := min(at+step, end)
		frag := pkt[at-hlen : stop]
		copy(frag, head)
		word := uint16(offset + (at-start-hlen)/8)
		if stop < end || more != 0 {
			word |= 0x2000
		}
		binary.BigEndian.PutUint16(frag[2:], uint16(len(frag)))
		binary.BigEndian.PutUint16(frag[6:], word)
		ippkt.SetIPv4Checksum(frag[:hlen])
		o.seal(j, pkt, at-hlen, stop)
		if at == start+hlen {
			blankOptions(head[ippkt.IPv4Len:])
		}
	}
}

// blankOptions replaces the IPv4 options that only the first fragment carries
// (RFC 791, section 3.1: copied flag 0) by no-operations.
func blankOptions(opts []byte) {
	for i := 0; i < len(opts); {
		kind, n := opts[i], 1
		if kind == 0 {
			return
		}
		if kind != 1 {
			if i+1 >= len(opts) || opts[i+1] < 2 || i+int(opts[i+1]) > len(opts) {
				return // malformed: left to the receiver
			}
			n = int(opts[i+1])
			if kind&0x80 == 0 {
				for k := range n {
					opts[i+k] = 1
				}
			}
		}
		i += n
	}
}
