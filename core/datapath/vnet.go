package datapath

import (
	"encoding/binary"

	"sallyport/core/host"
	"sallyport/core/ippkt"
)

// Values of the virtio-net header (OASIS virtio 1.2, section 5.1.6).
const (
	vnetNeedsChecksum = 1

	gsoNone  = 0
	gsoTCPv4 = 1
	gsoTCPv6 = 4
	gsoUDP   = 5
	gsoECN   = 0x80
)

// A vnet is the virtio-net header before each packet of a TUN.
type vnet struct {
	flags, gso            uint8
	hdrLen, gsoSize       uint16
	csumStart, csumOffset uint16
}

func parseVNet(b []byte) vnet {
	_ = b[host.VNetLen-1]
	return vnet{
		flags: b[0], gso: b[1] &^ gsoECN,
		hdrLen: binary.NativeEndian.Uint16(b[2:]), gsoSize: binary.NativeEndian.Uint16(b[4:]),
		csumStart: binary.NativeEndian.Uint16(b[6:]), csumOffset: binary.NativeEndian.Uint16(b[8:]),
	}
}

func (h vnet) put(b []byte) {
	_ = b[host.VNetLen-1]
	b[0], b[1] = h.flags, h.gso
	binary.NativeEndian.PutUint16(b[2:], h.hdrLen)
	binary.NativeEndian.PutUint16(b[4:], h.gsoSize)
	binary.NativeEndian.PutUint16(b[6:], h.csumStart)
	binary.NativeEndian.PutUint16(b[8:], h.csumOffset)
}

// complete computes the checksum that the kernel left to us: the field holds
// the sum of the pseudo header. It reports whether the header made sense.
func (h vnet) complete(pkt []byte) bool {
	start, at := int(h.csumStart), int(h.csumStart)+int(h.csumOffset)
	if at+2 > len(pkt) {
		return false
	}
	sum := ippkt.Checksum(pkt[start:])
	if sum == 0 { // both zeros are equal, and UDP reads 0 as "none"
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(pkt[at:], sum)
	return true
}
