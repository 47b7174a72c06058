package demo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A capture reads every packet that crosses a device, and sorts it.
type capture struct {
	f      *os.File
	done   chan struct{}
	secret []byte

	mu   sync.Mutex // guards seen
	seen Wire
}

// startCapture listens on a device of the machine. Packets with secret in them
// are counted.
func (m *machine) startCapture(dev, secret string) (*capture, error) {
	c := &capture{done: make(chan struct{}), secret: []byte(secret), seen: Wire{Clear: map[string]int{}}}
	link, err := m.nl.LinkByName(dev)
	if err != nil {
		return nil, err
	}
	err = m.do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		c.f = os.NewFile(uintptr(fd), dev)
		// Without privilege over the machine the buffer is smaller, and a check
		// says so when packets are missed.
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 128<<20) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20)
		}
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // network byte order
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Attrs().Index})
	})
	if err != nil {
		return nil, fmt.Errorf("read the wire: %w", err)
	}
	go c.read()
	return c, nil
}

func (c *capture) read() {
	defer close(c.done)
	b := make([]byte, 128<<10)
	for {
		n, err := c.f.Read(b)
		if errors.Is(err, unix.ENETDOWN) {
			continue
		}
		if err != nil {
			return
		}
		c.mu.Lock()
		c.add(b[:n])
		c.mu.Unlock()
	}
}

// stop ends the capture and returns what it saw.
func (c *capture) stop() Wire {
	_ = c.f.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // what has arrived is read first
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	if raw, err := c.f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if stats, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
				c.seen.Missed = int(stats.Drops)
			}
		})
	}
	c.f.Close()
	return c.seen
}

// add sorts one Ethernet frame.
func (c *capture) add(frame []byte) {
	if bytes.Contains(frame, c.secret) {
		c.seen.Secret++
	}
	what := "malformed"
	if len(frame) >= 14 {
		what = c.sort(binary.BigEndian.Uint16(frame[12:]), frame[14:])
	}
	if what != "" {
		c.seen.Clear[what]++
	}
}

// sort counts what belongs on the wire, and names what does not.
func (c *capture) sort(kind uint16, b []byte) string {
	var proto uint8
	switch {
	case kind == unix.ETH_P_ARP:
		c.seen.Infra++
		return ""
	case kind == unix.ETH_P_IP && len(b) >= 20 && len(b) >= int(b[0]&15)*4:
		proto, b = b[9], b[int(b[0]&15)*4:]
	case kind == unix.ETH_P_IPV6 && len(b) >= 40:
		proto, b = b[6], b[40:]
		if proto == 0 && len(b) >= 8 { // hop-by-hop options, before multicast listener reports
			proto, b = b[0], b[min(len(b), 8+int(b[1])*8):]
		}
	default:
		return fmt.Sprintf("Ethernet type %#04x", kind)
	}
	const igmp = 2
	switch {
	case proto == igmp || proto == unix.IPPROTO_ICMPV6 && len(b) > 0 && (b[0] >= 130 && b[0] <= 137 || b[0] == 143):
		c.seen.Infra++
		return ""
	case proto == unix.IPPROTO_UDP && len(b) >= 8:
		return c.udp(binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), b[8:])
	case proto == unix.IPPROTO_TCP:
		return "TCP"
	case proto == unix.IPPROTO_ICMP:
		return "ICMP"
	}
	return fmt.Sprintf("IP protocol %d", proto)
}

func (c *capture) udp(from, to uint16, b []byte) string {
	isIKE := func(b []byte) bool {
		return len(b) >= 28 && b[17]>>4 == 2 && int(binary.BigEndian.Uint32(b[24:])) == len(b)
	}
	natt := from == 4500 || to == 4500
	switch {
	case (from == 500 || to == 500) && isIKE(b), natt && len(b) > 4 && binary.BigEndian.Uint32(b) == 0 && isIKE(b[4:]):
		c.seen.IKE++
	case natt && len(b) == 1 && b[0] == 0xff:
		c.seen.Infra++ // keeps a NAT's mapping
	case natt && len(b) > 8 && binary.BigEndian.Uint32(b) != 0:
		c.seen.ESP++
		c.seen.ESPBytes += len(b)
	default:
		return fmt.Sprintf("UDP port %d", to)
	}
	return ""
}
