package datapath

import (
	"encoding/binary"
	"sync"
	"time"

	"sallyport/core/host"
	"sallyport/core/ippkt"
)

// At most icmpBurst "too big" answers at once, and icmpRate a second.
const (
	icmpRate  = 100
	icmpBurst = 50
)

// An icmpLimiter is shared by the lanes.
type icmpLimiter struct {
	mu sync.Mutex // guards limiter
	limiter
}

func (l *icmpLimiter) allow(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limiter.allow(now, icmpRate, icmpBurst)
}

// tooBig drops a packet that is longer than mtu and may not be fragmented, and
// answers its sender through the TUN: ICMP "fragmentation needed" (RFC 1191)
// or ICMPv6 "packet too big" (RFC 8201). The answer comes from the packet's
// destination: the one address of which the sender surely takes packets from
// the tunnel.
func (o *lane) tooBig(t *device, p *ippkt.Packet, pkt []byte, mtu int) {
	o.drops.add(OutTooBig, 1)
	if t == nil || !answerable(p, pkt) {
		return
	}
	if !o.icmp.allow(o.d.cfg.Now()) {
		o.drops.add(OutICMPLimited, 1)
		return
	}
	n := appendTooBig(o.icmpBuf[:], p.Flow.V6, pkt, mtu)
	if t.write(o.icmpBuf[:n]) != nil {
		o.drops.add(InTUNWrite, 1)
	}
}

// answerable follows RFC 1122, section 3.2.2, and RFC 4443, section 2.4: no
// errors about ICMP errors, later fragments, or addresses that name no host.
func answerable(p *ippkt.Packet, pkt []byte) bool {
	src, dst := p.Flow.Src.IP(p.Flow.V6), p.Flow.Dst.IP(p.Flow.V6)
	if !p.First || src.IsUnspecified() || src.IsMulticast() || dst.IsUnspecified() || dst.IsMulticast() ||
		!p.Flow.V6 && pkt[ippkt.IPv4Len-4] == 255 {
		return false
	}
	if p.L4 >= len(pkt) {
		return true
	}
	switch kind := pkt[p.L4]; p.Flow.Proto {
	case ippkt.ProtoICMP:
		return kind == 0 || kind == 8 // echo
	case ippkt.ProtoICMPv6:
		return kind >= 128
	}
	return true
}

// appendTooBig writes the answer about pkt to b, with a virtio-net header, and
// returns its length.
func appendTooBig(b []byte, v6 bool, pkt []byte, mtu int) int {
	clear(b[:host.VNetLen])
	b = b[host.VNetLen:]
	if v6 {
		quote := min(len(pkt), minMTU6-ippkt.IPv6Len-8)
		b = b[:ippkt.IPv6Len+8+quote]
		clear(b[:ippkt.IPv6Len+8])
		b[0] = 6 << 4
		binary.BigEndian.PutUint16(b[4:], uint16(8+quote))
		b[6], b[7] = ippkt.ProtoICMPv6, 64
		copy(b[8:24], pkt[24:40])
		copy(b[24:40], pkt[8:24])
		icmp := b[ippkt.IPv6Len:]
		icmp[0] = 2
		binary.BigEndian.PutUint32(icmp[4:], uint32(mtu))
		copy(icmp[8:], pkt)
		sum := ippkt.Add(ippkt.Pseudo(b, ippkt.ProtoICMPv6, len(icmp)), icmp)
		binary.BigEndian.PutUint16(icmp[2:], ^ippkt.Fold(sum))
		return host.VNetLen + len(b)
	}
	quote := min(len(pkt), MinMTU-ippkt.IPv4Len-8) // RFC 1812, section 4.3.2.3
	b = b[:ippkt.IPv4Len+8+quote]
	clear(b[:ippkt.IPv4Len+8])
	b[0] = 4<<4 | ippkt.IPv4Len/4
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[8], b[9] = 64, ippkt.ProtoICMP
	copy(b[12:16], pkt[16:20])
	copy(b[16:20], pkt[12:16])
	ippkt.SetIPv4Checksum(b[:ippkt.IPv4Len])
	icmp := b[ippkt.IPv4Len:]
	icmp[0], icmp[1] = 3, 4
	binary.BigEndian.PutUint16(icmp[6:], uint16(mtu))
	copy(icmp[8:], pkt)
	binary.BigEndian.PutUint16(icmp[2:], ippkt.Checksum(icmp))
	return host.VNetLen + len(b)
}
