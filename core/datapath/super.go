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
	// quickLen is how long headers mostly are at most; keepLen bounds the
	// headers that are decrypted over existing data.
	quickLen = 64
	keepLen  = 2 * quickLen
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

	serial uint64       // of the SA that the first packet came on
	next   uint8        // its next header
	p      ippkt.Packet // the first packet
	hlen   int          // of its IP and transport headers
	size   int          // payload of each packet
	seq    uint32       // TCP: of the next packet
	pseudo uint64       // checksum of the pseudo header without the length
	saved  [keepLen]byte
	kept   int // bytes at the end of saved that were overwritten
}

func newSuper() *super { return &super{buf: make([]byte, superLen)} }

func (s *super) reset() { s.n, s.count, s.kept, s.open, s.checked = 0, 0, 0, false, false }

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
		s.keep()
	}
	return s.buf[s.n-s.kept:]
}

// keep saves what the headers of the next packet overwrite. An open super-packet
// is longer than twice its headers, so that whole blocks can be taken: lengths
// that the compiler knows are copied without a call.
func (s *super) keep() {
	s.kept = s.hlen
	*(*[quickLen]byte)(s.saved[quickLen:]) = [quickLen]byte(s.buf[s.n-quickLen:])
	if s.kept > quickLen {
		*(*[quickLen]byte)(s.saved[:]) = [quickLen]byte(s.buf[s.n-2*quickLen:])
	}
}

// restore puts back what the headers of the packet after begin overwrote.
func (s *super) restore() {
	if s.kept == 0 {
		return
	}
	*(*[quickLen]byte)(s.buf[s.n-quickLen:]) = [quickLen]byte(s.saved[quickLen:])
	if s.kept > quickLen {
		*(*[quickLen]byte)(s.buf[s.n-2*quickLen:]) = [quickLen]byte(s.saved[:])
	}
	s.kept = 0
}

// start makes the packet b, which may lie in s.buf where begin said, the first.
// serial is of the SA that it came on.
func (s *super) start(t *device, serial uint64, p *ippkt.Packet, b []byte) {
	s.reset()
	if at := s.buf[host.VNetLen:]; &at[0] != &b[0] {
		copy(at, b)
	}
	s.n = host.VNetLen + len(b)
	s.count = 1
	s.p, s.serial, s.next = *p, serial, nextHeader(p.Flow.V6)
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
	s.open = s.size >= s.hlen && s.hlen <= keepLen
	s.pseudo = ippkt.Pseudo(b, p.Flow.Proto, 0)
}

// merge appends the decrypted bytes b, which lie where begin said, if they are a
// packet that continues the super-packet, and returns its length, else 0. It
// parses nothing: a header that is equal to the first's, but for what counts up,
// says the same. What follows the packet is padding (RFC 4303, section 2.7).
func (s *super) merge(b []byte) int {
	if !s.open || len(b) <= s.hlen {
		return 0
	}
	first := s.buf[host.VNetLen:][:s.hlen]
	n := 0
	if s.p.Flow.V6 {
		n = sameIPv6(first, b)
	} else {
		n = sameIPv4(first, b, s.count)
	}
	size := n - s.hlen
	if size <= 0 || size > s.size || n > len(b) || s.n-host.VNetLen+size > maxPacket {
		return 0
	}
	b = b[:n]
	head, seg := first[s.p.L4:], b[s.p.L4:]
	push := false
	if s.p.Flow.Proto == ippkt.ProtoTCP {
		if !sameTCP(head, seg, s.seq) {
			return 0
		}
		push = seg[13]&ippkt.PSH != 0
	} else if s.count == maxUDPSegments || !sameUDP(head, seg) {
		return 0
	}
	if ippkt.Fold(ippkt.Add(ippkt.AddUint16(s.pseudo, uint16(len(seg))), seg)) != 0xffff {
		return 0
	}
	if !s.checked {
		// The end of the first packet may lie in saved.
		if !s.firstChecksumOK() {
			s.open = false
			return 0
		}
		s.checked = true
	}
	s.restore()
	s.n += size
	s.count++
	s.seq += uint32(size)
	if push {
		head[13] |= ippkt.PSH
	}
	s.open = size == s.size && !push
	return n
}

// firstChecksumOK verifies the first packet while the end of it is in saved.
func (s *super) firstChecksumOK() bool {
	b := s.buf[host.VNetLen : s.n-s.kept]
	if !s.p.Flow.V6 && !ippkt.IPv4ChecksumOK(b[:s.p.L4]) {
		return false
	}
	seg, rest := b[s.p.L4:], s.saved[keepLen-s.kept:]
	sum := ippkt.AddUint16(s.pseudo, uint16(len(seg)+s.kept))
	if len(seg)%2 != 0 {
		// The split falls within a word: the rest counts with bytes swapped.
		rest := ippkt.Fold(ippkt.Add(0, rest))
		sum = ippkt.AddUint16(ippkt.Add(sum, seg), rest<<8|rest>>8)
	} else {
		sum = ippkt.Add(ippkt.Add(sum, seg), rest)
	}
	return ippkt.Fold(sum) == 0xffff
}

// sameIPv4 returns the length of the packet that begins with the IPv4 header b,
// if that continues the first's as the i-th packet, else 0: both are without
// options and equal but for length, checksum and, counting up unless it means
// nothing, identification. Its checksum must fit if the first's does, since
// merging would mend it: where the rest is equal, the three fields have the same
// sum.
func sameIPv4(first, b []byte, i int) int {
	f, h := (*[ippkt.IPv4Len]byte)(first), (*[ippkt.IPv4Len]byte)(b)
	f0, h0 := binary.LittleEndian.Uint64(f[:]), binary.LittleEndian.Uint64(h[:])
	f8, h8 := binary.LittleEndian.Uint64(f[8:]), binary.LittleEndian.Uint64(h[8:])
	// Version, IHL and TOS; flags and offset. TTL, protocol and source.
	const mask0, mask8 = 0xffff_0000_0000_ffff, 0xffff_ffff_0000_ffff
	if (f0^h0)&mask0|(f8^h8)&mask8 != 0 || binary.LittleEndian.Uint32(f[16:]) != binary.LittleEndian.Uint32(h[16:]) {
		return 0
	}
	if h[6]&0x40 == 0 && binary.BigEndian.Uint16(f[4:])+uint16(i) != binary.BigEndian.Uint16(h[4:]) {
		return 0
	}
	const word = 0xffff
	if (h0>>16&word+h0>>32&word+h8>>16&word+3*word-f0>>16&word-f0>>32&word-f8>>16&word)%word != 0 {
		return 0
	}
	return int(binary.BigEndian.Uint16(h[2:]))
}

// sameIPv6 does the same for IPv6 headers: equal but for the length.
func sameIPv6(first, b []byte) int {
	f, h := (*[ippkt.IPv6Len]byte)(first), (*[ippkt.IPv6Len]byte)(b)
	const mask0 = 0xffff_0000_ffff_ffff
	if (binary.LittleEndian.Uint64(h[:])^binary.LittleEndian.Uint64(f[:]))&mask0 != 0 || [32]byte(h[8:]) != [32]byte(f[8:]) {
		return 0
	}
	return ippkt.IPv6Len + int(binary.BigEndian.Uint16(h[4:]))
}

// sameTCP reports whether the segment b, with the sequence number seq,
// continues the first, of which head is the header: equal but for checksum, PSH
// and the meaningless urgent pointer.
func sameTCP(head, b []byte, seq uint32) bool {
	// Acknowledgment, header length, flags and window.
	const mask8 = ^(uint64(ippkt.PSH) << 40)
	return binary.LittleEndian.Uint32(head) == binary.LittleEndian.Uint32(b) && // ports
		binary.BigEndian.Uint32(b[4:]) == seq &&
		(binary.LittleEndian.Uint64(head[8:])^binary.LittleEndian.Uint64(b[8:]))&mask8 == 0 &&
		(len(head) == ippkt.TCPLen || bytes.Equal(head[ippkt.TCPLen:], b[ippkt.TCPLen:len(head)])) // options
}

// sameUDP reports whether the datagram b continues the first, of which head is
// the header. Datagrams without a checksum stand alone.
func sameUDP(head, b []byte) bool {
	return binary.LittleEndian.Uint32(head) == binary.LittleEndian.Uint32(b) && // ports
		int(binary.BigEndian.Uint16(b[4:])) == len(b) && b[6]|b[7] != 0
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
