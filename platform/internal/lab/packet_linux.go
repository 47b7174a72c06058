package lab

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// MAC returns the Ethernet address of a device.
func (h *Host) MAC(dev string) net.HardwareAddr {
	h.lab.t.Helper()
	l, err := h.nl.LinkByName(dev)
	if err != nil {
		h.lab.t.Fatalf("%s: link %s: %v", h.Name, dev, err)
	}
	return l.Attrs().HardwareAddr
}

// Inject sends an IP packet on a device to an Ethernet address, whatever the
// machine's routes and filters say.
func (h *Host) Inject(dev string, to net.HardwareAddr, packet []byte) {
	h.lab.t.Helper()
	kind := uint16(unix.ETH_P_IP)
	if packet[0]>>4 == 6 {
		kind = unix.ETH_P_IPV6
	}
	frame := append(append([]byte(nil), to...), h.MAC(dev)...)
	frame = binary.BigEndian.AppendUint16(frame, kind)
	frame = append(frame, packet...)
	err := h.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		l, err := h.nl.LinkByName(dev)
		if err != nil {
			return err
		}
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index})
	})
	if err != nil {
		h.lab.t.Fatalf("%s: inject on %s: %v", h.Name, dev, err)
	}
}

// IPPacket returns an IP packet; its body is a whole message of proto, whose
// checksum is filled in for TCP, UDP, ICMP and ICMPv6.
func IPPacket(src, dst netip.Addr, proto uint8, hops byte, body []byte) []byte {
	body = append([]byte(nil), body...)
	at := map[uint8]int{unix.IPPROTO_TCP: 16, unix.IPPROTO_UDP: 6, unix.IPPROTO_ICMP: 2, unix.IPPROTO_ICMPV6: 2}
	if i, ok := at[proto]; ok && len(body) >= i+2 {
		body[i], body[i+1] = 0, 0
		sum := append([]byte(nil), body...)
		if proto != unix.IPPROTO_ICMP {
			if len(sum)%2 == 1 {
				sum = append(sum, 0)
			}
			sum = append(append(sum, src.AsSlice()...), dst.AsSlice()...)
			sum = binary.BigEndian.AppendUint32(sum, uint32(len(body)))
			sum = append(sum, 0, 0, 0, proto)
		}
		binary.BigEndian.PutUint16(body[i:], checksum(sum))
	}
	if src.Is4() {
		h := make([]byte, 20, 20+len(body))
		h[0], h[8], h[9] = 0x45, hops, proto
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(body)))
		copy(h[12:], src.AsSlice())
		copy(h[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(h[10:], checksum(h))
		return append(h, body...)
	}
	h := make([]byte, 40, 40+len(body))
	h[0], h[6], h[7] = 0x60, proto, hops
	binary.BigEndian.PutUint16(h[4:], uint16(len(body)))
	copy(h[8:], src.AsSlice())
	copy(h[24:], dst.AsSlice())
	return append(h, body...)
}

// UDPMessage returns a UDP header and data.
func UDPMessage(from, to uint16, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, from)
	b = binary.BigEndian.AppendUint16(b, to)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(data)))
	return append(append(b, 0, 0), data...)
}

// TCPMessage returns a TCP header without data.
func TCPMessage(from, to uint16, flags byte) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	binary.BigEndian.PutUint32(b[4:], 0x5a11)
	b[12], b[13] = 5<<4, flags
	binary.BigEndian.PutUint16(b[14:], 65535)
	return b
}

// Ends returns the addresses and the protocol of an IP packet in a frame.
func (f *Frame) Ends() (src, dst netip.Addr, proto uint8, ok bool) {
	if len(f.Data) < 14 {
		return src, dst, 0, false
	}
	b := f.Data[14:]
	switch binary.BigEndian.Uint16(f.Data[12:]) {
	case unix.ETH_P_IP:
		if len(b) < 20 {
			return src, dst, 0, false
		}
		src, _ = netip.AddrFromSlice(b[12:16])
		dst, _ = netip.AddrFromSlice(b[16:20])
		return src, dst, b[9], true
	case unix.ETH_P_IPV6:
		if len(b) < 40 {
			return src, dst, 0, false
		}
		src, _ = netip.AddrFromSlice(b[8:24])
		dst, _ = netip.AddrFromSlice(b[24:40])
		return src, dst, b[6], true
	}
	return src, dst, 0, false
}
