package datapath

import (
	"bytes"
	"encoding/binary"

	"sallyport/core/host"
	"sallyport/core/ippkt"
)

const (
	// maxPacket is the longest IP packet, and so the longest super-packet.
	maxPacket = 65535
	// maxUDPSegments is how many datagrams the kernel takes as one super-packet.
	maxUDPSegments = 64
	// superLen has room for a super-packet and for what is decrypted at its
	// end: a whole datagram.
	superLen = host.VNetLen + maxPacket + recvLen
	// keepLen bounds the headers that are decrypted over existing data.
	keepLen = ippkt.IPv6Len + 60
)

// A super is a super-packet that grows by the payloads of consecutive packets
// of one flow, as long as cutting it up again gives the same packets.
type super struct {
	buf   []byte
	n     int // bytes in buf, with the virtio-net header; 0 when empty
	count int // packets
	// open says that more may follow: the packet can be merged, none shorter
	// than the first came, and no PSH.
	open bool
	// checked says that the first packet's transport checksum was verified.
	checked bool

	p     ippkt.Packet // the first packet
	hlen  int          // of its IP and transport headers
	size  int          // payload of each packet
	seq   uint32       // TCP: of the next packet
	saved [keepLen]byte
	kept  int // bytes in saved
}

func newSuper() *super { return &super{buf: make([]byte, superLen)} }

func (s *super) reset() { s.n, s.count, s.open, s.checked = 0, 0, false, false }

// room reports whether n bytes can be decrypted behind what is there.
func (s *super) room(n int) bool { return s.count == 0 || s.n+n <= len(s.buf) }

// begin returns where to decrypt the next packet: its payload, if its headers
// are as long as those of the first, lands behind what is there. What the
// headers overwrite is kept for restore.
func (s *super) begin() []byte {
	s.kept = 0
	if s.count == 0 {
		return s.buf[host.VNetLen:]
	}
	if s.open {
		s.kept = s.hlen
		copy(s.saved[:], s.buf[s.n-s.kept:s.n])
	}
	return s.buf[s.n-s.kept:]
}

// restore puts back what the headers of the packet after begin overwrote.
func (s *super) restore() {
	copy(s.buf[s.n-min(s.kept, s.n):s.n], s.saved[:s.kept])
	s.kept = 0
}

// start makes the packet b, which may lie in s.buf where begin said, the first.
func (s *super) start(t *device, p *ippkt.Packet, b []byte) {
	s.reset()
	if at := s.buf[host.VNetLen:]; &at[0] != &b[0] {
		copy(at, b)
	}
	s.n = host.VNetLen + len(b)
	s.count = 1
	s.p = *p
	if !p.Plain {
		return
	}
	l4 := b[p.L4:]
	switch p.Flow.Proto {
	case ippkt.ProtoTCP:
		n := ippkt.TCPHeader(l4)
		if !t.tcp || n == 0 || l4[13] != ippkt.ACK {
			return // with PSH it would be the last at once
		}
		s.hlen = p.L4 + n
		s.size = len(b) - s.hlen
		s.seq = binary.BigEndian.Uint32(l4[4:]) + uint32(s.size)
	case ippkt.ProtoUDP:
		if !t.udp || len(l4) < ippkt.UDPLen || int(binary.BigEndian.Uint16(l4[4:])) != len(l4) || l4[6]|l4[7] == 0 {
			return
		}
		s.hlen = p.L4 + ippkt.UDPLen
		s.size = len(b) - s.hlen
	default:
		return
	}
	// A payload shorter than the headers is not worth the trouble that begin
	// would have with it.
	s.open = s.size >= s.hlen
}

// merge appends the packet b, which lies where begin said, if it continues the
// super-packet.
func (s *super) merge(p *ippkt.Packet, b []byte) bool {
	if !s.open || !p.Plain || p.Flow != s.p.Flow || len(b) <= s.hlen {
		return false
	}
	size := len(b) - s.hlen
	total := s.n - host.VNetLen + size
	if size > s.size || total > maxPacket {
		return false
	}
	first := s.buf[host.VNetLen:]
	push := false
	if p.Flow.Proto == ippkt.ProtoTCP {
		if !sameTCP(first[s.p.L4:], b[p.L4:], s.hlen-s.p.L4) || binary.BigEndian.Uint32(b[p.L4+4:]) != s.seq {
			return false
		}
		push = b[p.L4+13]&ippkt.PSH != 0
	} else {
		l4 := b[p.L4:]
		if s.count == maxUDPSegments || int(binary.BigEndian.Uint16(l4[4:])) != len(l4) || l4[6]|l4[7] == 0 {
			return false
		}
	}
	if !sameIP(first, b, p.Flow.V6, s.count) || !p.TransportChecksumOK(b) {
		return false
	}
	if !s.checked {
		// The end of the first packet may lie in saved.
		if !s.firstChecksumOK() {
			s.open = false
			return false
		}
		s.checked = true
	}
	s.restore()
	s.n += size
	s.count++
	s.seq += uint32(size)
	if push {
		first[s.p.L4+13] |= ippkt.PSH
	}
	s.open = size == s.size && !push
	return true
}

// firstChecksumOK verifies the first packet while the end of it is in saved.
func (s *super) firstChecksumOK() bool {
	b := s.buf[host.VNetLen : s.n-s.kept]
	seg := b[s.p.L4:]
	sum := ippkt.Pseudo(b, s.p.Flow.Proto, len(seg)+s.kept)
	if len(seg)%2 != 0 {
		// The split falls within a word: the rest counts with bytes swapped.
		rest := ippkt.Fold(ippkt.Add(0, s.saved[:s.kept]))
		sum = ippkt.AddUint16(ippkt.Add(sum, seg), rest<<8|rest>>8)
	} else {
		sum = ippkt.Add(ippkt.Add(sum, seg), s.saved[:s.kept])
	}
	return ippkt.Fold(sum) == 0xffff
}

// sameIP reports whether the i-th packet's IP header b continues the first's:
// equal but for length, checksum and, counting up unless it means nothing,
// identification.
func sameIP(first, b []byte, v6 bool, i int) bool {
	if v6 {
		return bytes.Equal(first[:4], b[:4]) && first[7] == b[7]
	}
	if first[1] != b[1] || first[8] != b[8] || first[6] != b[6] {
		return false
	}
	return b[6]&0x40 != 0 || binary.BigEndian.Uint16(first[4:])+uint16(i) == binary.BigEndian.Uint16(b[4:])
}

// sameTCP reports whether the TCP header b continues the first's, of hlen
// bytes: equal but for sequence number, checksum and PSH.
func sameTCP(first, b []byte, hlen int) bool {
	return first[12] == b[12] && b[13]&^ippkt.PSH == ippkt.ACK &&
		bytes.Equal(first[8:12], b[8:12]) && // acknowledgment
		bytes.Equal(first[14:16], b[14:16]) && // window
		bytes.Equal(first[ippkt.TCPLen:hlen], b[ippkt.TCPLen:hlen]) // options
}

// finish returns the super-packet with its virtio-net header.
func (s *super) finish() []byte {
	b := s.buf[:s.n]
	if s.count == 1 {
		clear(b[:host.VNetLen])
		return b
	}
	pkt := b[host.VNetLen:]
	h := vnet{
		flags: vnetNeedsChecksum, gso: gsoTCPv4,
		hdrLen: uint16(s.hlen), gsoSize: uint16(s.size),
		csumStart: uint16(s.p.L4), csumOffset: 16,
	}
	if s.p.Flow.V6 {
		h.gso = gsoTCPv6
		binary.BigEndian.PutUint16(pkt[4:], uint16(len(pkt)-ippkt.IPv6Len))
	} else {
		binary.BigEndian.PutUint16(pkt[2:], uint16(len(pkt)))
		ippkt.SetIPv4Checksum(pkt[:s.p.L4])
	}
	length := len(pkt) - s.p.L4
	if s.p.Flow.Proto == ippkt.ProtoUDP {
		h.gso, h.csumOffset = gsoUDP, 6
		binary.BigEndian.PutUint16(pkt[s.p.L4+4:], uint16(length))
	}
	// The kernel, or the network card, adds the rest.
	binary.BigEndian.PutUint16(pkt[s.p.L4+int(h.csumOffset):], ippkt.Fold(ippkt.Pseudo(pkt, s.p.Flow.Proto, length)))
	h.put(b)
	return b
}
