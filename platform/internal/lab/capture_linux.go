package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/core/encap"
)

// A Capture reads every packet that passes a device, in both directions, and
// sorts it by what it is.
type Capture struct {
	fd     int
	f      *os.File
	done   chan struct{}
	where  string
	lab    *Lab
	report Seen // belongs to the reading goroutine until done
	once   sync.Once
}

// Messages returns the IKE messages that were seen, without the marker of port
// 4500, after Stop.
func (c *Capture) Messages() [][]byte { return c.report.messages }

// Seen is what a Capture saw.
type Seen struct {
	IKE        int // on port 500, or on 4500 behind four zero bytes
	Streams    int // segments of TCP 4500 without data, or with whole frames of RFC 9329
	ESP        int // in UDP 4500
	ESPBytes   int
	Keepalives int
	Infra      int            // ARP, neighbour discovery and the like
	Marked     int            // packets in which Marker could be read
	Other      map[string]int // anything else, by what it is
	Lost       int            // not seen for want of buffers

	messages [][]byte // the first IKE messages
}

// String sums up.
func (s Seen) String() string {
	out := fmt.Sprintf("%d IKE, %d ESP (%d bytes), %d keepalives, %d ARP/ND, %d with the marker", s.IKE, s.ESP, s.ESPBytes, s.Keepalives, s.Infra, s.Marked)
	if s.Streams > 0 {
		out += fmt.Sprintf("; %d segments of TCP encapsulation", s.Streams)
	}
	for what, n := range s.Other {
		out += fmt.Sprintf("; %d × %s", n, what)
	}
	if s.Lost > 0 {
		out += fmt.Sprintf("; %d lost by the capture", s.Lost)
	}
	return out
}

// Capture starts to capture on a device.
func (h *Host) Capture(dev string) *Capture {
	h.lab.t.Helper()
	c := &Capture{done: make(chan struct{}), where: h.Name + " " + dev, lab: h.lab, report: Seen{Other: map[string]int{}}}
	err := h.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		c.fd = fd
		// Room for what arrives while this goroutine waits for a processor.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 256<<20); err != nil {
			return err
		}
		l, err := h.nl.LinkByName(dev)
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: l.Attrs().Index})
	})
	if err != nil {
		h.lab.t.Fatalf("capture on %s: %v", c.where, err)
	}
	c.f = os.NewFile(uintptr(c.fd), c.where)
	go c.read()
	h.lab.t.Cleanup(func() { c.Stop() })
	return c
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func (c *Capture) read() {
	defer close(c.done)
	b := make([]byte, 128<<10)
	for {
		n, err := c.f.Read(b)
		if errors.Is(err, unix.ENETDOWN) {
			continue // the device went down and may come up again
		}
		if err != nil {
			return
		}
		c.report.add(b[:n])
	}
}

// Stop ends the capture and returns what was seen. It may be called again.
func (c *Capture) Stop() Seen {
	c.once.Do(func() {
		if stats, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			defer func() { c.report.Lost = int(stats.Drops) }()
		}
		_ = c.f.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) // what has arrived is read first
		<-c.done
		c.f.Close()
	})
	return c.report
}

// MustBeProtected ends the capture and fails the test unless all traffic was
// IKE and ESP, with at least atLeast ESP packets, so that seeing nothing is no
// proof.
func (c *Capture) MustBeProtected(atLeast int) Seen {
	c.lab.t.Helper()
	s := c.Stop()
	switch {
	case len(s.Other) > 0 || s.Marked > 0:
		c.lab.t.Errorf("clear text on the wire (%s): %v", c.where, s)
	case s.Lost > 0:
		c.lab.t.Errorf("the capture on %s missed packets: %v", c.where, s)
	case s.ESP < atLeast:
		c.lab.t.Errorf("only %d ESP packets on the wire (%s), want %d or more: %v", s.ESP, c.where, atLeast, s)
	}
	return s
}

func (s *Seen) add(frame []byte) {
	if bytes.Contains(frame, []byte(Marker)) {
		s.Marked++
	}
	if len(frame) < 14 {
		s.Other["short frame"]++
		return
	}
	b := frame[14:]
	switch kind := binary.BigEndian.Uint16(frame[12:]); kind {
	case unix.ETH_P_ARP:
		s.Infra++
	case unix.ETH_P_IP:
		s.ipv4(b)
	case unix.ETH_P_IPV6:
		s.ipv6(b)
	default:
		s.Other[fmt.Sprintf("ethertype %#04x", kind)]++
	}
}

func (s *Seen) ipv4(b []byte) {
	if len(b) < 20 || int(b[0]&15)*4 < 20 || len(b) < int(b[0]&15)*4 {
		s.Other["malformed IPv4"]++
		return
	}
	src, _ := netip.AddrFromSlice(b[12:16])
	dst, _ := netip.AddrFromSlice(b[16:20])
	if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		s.Other[fmt.Sprintf("IPv4 fragment %v > %v", src, dst)]++
		return
	}
	const igmp = 2
	if b[9] == igmp {
		s.Infra++
		return
	}
	s.transport(src, dst, b[9], b[int(b[0]&15)*4:])
}

func (s *Seen) ipv6(b []byte) {
	if len(b) < 40 {
		s.Other["malformed IPv6"]++
		return
	}
	src, _ := netip.AddrFromSlice(b[8:24])
	dst, _ := netip.AddrFromSlice(b[24:40])
	next, rest := b[6], b[40:]
	if next == 0 && len(rest) >= 8 { // hop-by-hop, before MLD
		next, rest = rest[0], rest[min(len(rest), 8+int(rest[1])*8):]
	}
	s.transport(src, dst, next, rest)
}

func (s *Seen) transport(src, dst netip.Addr, proto uint8, b []byte) {
	switch {
	case proto == unix.IPPROTO_ICMPV6 && len(b) > 0 && (b[0] >= 130 && b[0] <= 137 || b[0] == 143):
		s.Infra++ // neighbour and multicast listener discovery
		return
	case proto == unix.IPPROTO_UDP && len(b) >= 8:
		if s.udp(binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), b[8:]) {
			return
		}
		s.Other[fmt.Sprintf("UDP %v > %v port %d", src, dst, binary.BigEndian.Uint16(b[2:]))]++
	case proto == unix.IPPROTO_TCP && len(b) >= 4:
		if s.tcp(b) {
			return
		}
		s.Other[fmt.Sprintf("TCP %v > %v", src, dst)]++
	default:
		s.Other[fmt.Sprintf("protocol %d %v > %v", proto, src, dst)]++
	}
}

// udp counts IKE and ESP. One port is enough: a NAT may change the other.
func (s *Seen) udp(from, to uint16, b []byte) bool {
	switch {
	case from == 500 || to == 500:
		if !isIKE(b) {
			return false
		}
		s.ike(b)
	case from == 4500 || to == 4500:
		switch {
		case len(b) == 1 && b[0] == 0xff:
			s.Keepalives++
		case len(b) < 8:
			return false
		case binary.BigEndian.Uint32(b) == 0:
			if !isIKE(b[4:]) {
				return false
			}
			s.ike(b[4:])
		default:
			s.ESP++
			s.ESPBytes += len(b)
		}
	default:
		return false
	}
	return true
}

// tcp counts TCP encapsulation (RFC 9329), which a client tries beside UDP when
// the gateway is slow to answer. It reads no streams: a frame that begins in
// one segment and ends in another counts as clear text.
func (s *Seen) tcp(b []byte) bool {
	from, to := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if len(b) < 20 || from != 4500 && to != 4500 || int(b[12]>>4)*4 > len(b) {
		return false
	}
	data := bytes.TrimPrefix(b[int(b[12]>>4)*4:], []byte(encap.Prefix))
	for len(data) > 0 {
		if len(data) < encap.FrameHeader {
			return false
		}
		n := int(binary.BigEndian.Uint16(data))
		if n < encap.FrameHeader || n > len(data) || !s.udp(4500, 4500, data[encap.FrameHeader:n]) {
			return false
		}
		data = data[n:]
	}
	s.Streams++
	return true
}

func (s *Seen) ike(b []byte) {
	const keep = 64
	s.IKE++
	if len(s.messages) < keep {
		s.messages = append(s.messages, bytes.Clone(b))
	}
}

// isIKE checks version and length of an IKEv2 header.
func isIKE(b []byte) bool {
	return len(b) >= 28 && b[17]>>4 == 2 && int(binary.BigEndian.Uint32(b[24:])) == len(b)
}
