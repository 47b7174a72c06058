package datapath

import (
	"encoding/binary"

	"sallyport/core/ippkt"
)

// The ECN field: the low two bits of the TOS or traffic class byte (RFC 3168).
const (
	ecnMask = 3
	ect1    = 1
	ect0    = 2
	ce      = 3
)

// On the way out the ECN bits of the inner header are copied to the outer one:
// the normal mode of RFC 6040, section 4.1. IKEv2 implies that the peer
// understands it (RFC 4301, section 5.1.2.1).

// decapsulateECN combines the ECN bits of the outer header with those of the
// inner packet b (RFC 6040, section 4.2, figure 4). It reports false when the
// packet must be dropped: congestion was marked on a packet that cannot say so.
func decapsulateECN(p *ippkt.Packet, b []byte, outer uint8) bool {
	in, want := p.TOS&ecnMask, uint8(0)
	switch outer &= ecnMask; {
	case outer == ce && in == 0:
		return false
	case outer == ce:
		want = ce
	case outer == ect1 && in == ect0:
		want = ect1
	default:
		return true
	}
	if want == in {
		return true
	}
	p.TOS = p.TOS&^ecnMask | want
	if p.Flow.V6 {
		b[1] = b[1]&^(ecnMask<<4) | want<<4
		return true
	}
	old := binary.BigEndian.Uint16(b)
	b[1] = p.TOS
	sum := ippkt.Update(binary.BigEndian.Uint16(b[10:]), old, binary.BigEndian.Uint16(b))
	binary.BigEndian.PutUint16(b[10:], sum)
	return true
}
