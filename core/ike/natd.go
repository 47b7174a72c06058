package ike

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"net/netip"

	"sallyport/core/ike/message"
)

// natHash is the data of the NAT_DETECTION notifies (RFC 7296, section 2.23).
func natHash(spii, spir uint64, a netip.AddrPort) []byte {
	b := binary.BigEndian.AppendUint64(nil, spii)
	b = binary.BigEndian.AppendUint64(b, spir)
	b = append(b, a.Addr().Unmap().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, a.Port())
	h := sha1.Sum(b)
	return h[:]
}

// natNotifies are the NAT_DETECTION notifies of an IKE_SA_INIT message. The
// source hash is a random one: user-space ESP always travels in UDP, and a
// peer does that when it believes that a NAT is between us.
func (sa *SA) natNotifies(spii, spir uint64) []message.Payload {
	return []message.Payload{
		&message.Notify{Kind: message.NotifyNATDetectionSourceIP, Data: sa.hs.natSource},
		&message.Notify{Kind: message.NotifyNATDetectionDestinationIP, Data: natHash(spii, spir, sa.path.Remote)},
	}
}

// natNotifiesFor are those of an established SA, for a message to a.
func (sa *SA) natNotifiesFor(a netip.AddrPort) []message.Payload {
	spii, spir := sa.spis()
	return []message.Payload{
		&message.Notify{Kind: message.NotifyNATDetectionSourceIP, Data: sa.e.random(sha1.Size)},
		&message.Notify{Kind: message.NotifyNATDetectionDestinationIP, Data: natHash(spii, spir, a)},
	}
}

// detectNAT compares the peer's hashes with the addresses that we see. It
// reports whether the peer knows NAT traversal at all.
func (sa *SA) detectNAT(in *inbox, spii, spir uint64, d Datagram) bool {
	source, dest := natHash(spii, spir, d.Remote), natHash(spii, spir, d.Local)
	sa.natRemote, sa.natLocal = true, true
	var sources, dests int
	for _, n := range in.notifies {
		switch n.Kind {
		case message.NotifyNATDetectionSourceIP:
			sources++
			if bytes.Equal(n.Data, source) {
				sa.natRemote = false
			}
		case message.NotifyNATDetectionDestinationIP:
			dests++
			if bytes.Equal(n.Data, dest) {
				sa.natLocal = false
			}
		}
	}
	return sources > 0 && dests > 0
}

// follow adopts the path of the newest authenticated message or ESP packet
// (RFC 7296, section 2.23): the float to the NAT-T port, and a NAT that
// rebinds. Who began the line of IKE SAs goes on from the address that it chose
// itself, and does not follow at all behind a NAT: its peer is the one that does not
// move. Nor does one on TCP, or one whose peer's words come out of a TCP connection:
// it is the initiator who opens those, and leaves them. With MOBIKE
// the peer says itself where it is (RFC 9329, section 7.6), but for a TCP connection
// in place of another: what is still on its way through one moves nobody back who
// has gone on to UDP.
func (sa *SA) follow(p Path, natt bool) {
	if sa.mob.on && (!p.TCP || !sa.path.TCP) {
		return
	}
	if sa.line && (sa.natLocal || sa.path.TCP || p.TCP) {
		return
	}
	if sa.line {
		p.Local, natt = sa.path.Local, sa.natt
	}
	if !p.Local.IsValid() || p.Local.Addr().IsUnspecified() {
		p.Local = sa.path.Local
	}
	if p == sa.path && natt == sa.natt {
		return
	}
	sa.path, sa.natt = p, natt
	if sa.state == StateUp || sa.state == StateRekeyed {
		sa.e.emit(PathChanged{SA: sa, Path: p})
	}
}
