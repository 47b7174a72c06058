// Package encap tells apart what shares a UDP port with IKE: NAT keepalives,
// IKE messages behind the non-ESP marker, and ESP packets (RFC 3948).
package encap

// UDP ports of IKE (RFC 7296, section 2).
const (
	PortIKE  = 500  // IKE only, without marker
	PortNATT = 4500 // IKE behind a marker, ESP and keepalives
)

// Overhead is the length of the UDP header before each ESP packet.
const Overhead = 8

// MarkerLen is the length of the non-ESP marker.
const MarkerLen = 4

// keepalive is the only byte of a NAT keepalive (RFC 3948, section 2.3).
const keepalive = 0xff

// minESP is the length of the shortest ESP packet that any suite makes: SPI,
// sequence number and something to protect.
const minESP = 8 + 4

// A Kind is what a datagram of a NAT-T port carries.
type Kind uint8

// The kinds.
const (
	Invalid Kind = iota
	Keepalive
	IKE
	ESP
)

// Demux tells what the datagram b carries, and returns the IKE message without
// its marker or the ESP packet. The result aliases b.
func Demux(b []byte) (Kind, []byte) {
	switch {
	case len(b) == 1 && b[0] == keepalive:
		return Keepalive, nil
	case len(b) <= MarkerLen:
		return Invalid, nil
	case b[0]|b[1]|b[2]|b[3] == 0:
		return IKE, b[MarkerLen:]
	case len(b) < minESP:
		return Invalid, nil
	}
	return ESP, b
}

// AppendIKE appends to dst the marker and msg.
func AppendIKE(dst, msg []byte) []byte {
	return append(append(dst, 0, 0, 0, 0), msg...)
}

// AppendKeepalive appends a NAT keepalive to dst.
func AppendKeepalive(dst []byte) []byte { return append(dst, keepalive) }
