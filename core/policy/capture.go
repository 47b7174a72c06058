package policy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Limits of a capture.
const (
	maxPacket     = 256 << 10
	maxBlock      = 1 << 20
	maxInterfaces = 1024
	maxPackets    = 50_000_000
)

// errCapture is what errors of captures wrap.
var errCapture = errors.New("capture")

// readCapture reads a packet capture, classic pcap or pcapng, and calls yield
// with each packet: its link type, the captured bytes, which are borrowed, and
// its length on the wire.
func readCapture(r io.Reader, yield func(link uint32, data []byte, length int)) error {
	c := capture{r: bufio.NewReaderSize(r, 64<<10), yield: yield}
	magic, err := c.r.Peek(4)
	if err != nil {
		return fmt.Errorf("%w: shorter than its header", errCapture)
	}
	switch binary.LittleEndian.Uint32(magic) {
	case 0xa1b2c3d4, 0xa1b23c4d: // microseconds, nanoseconds
		return c.classic(binary.LittleEndian)
	case 0xd4c3b2a1, 0x4d3cb2a1:
		return c.classic(binary.BigEndian)
	case blockSection:
		return c.blocks()
	}
	return fmt.Errorf("%w: neither pcap nor pcapng", errCapture)
}

// A capture is a reader of one file.
type capture struct {
	r       *bufio.Reader
	yield   func(link uint32, data []byte, length int)
	buf     []byte
	packets int
}

func (c *capture) read(n int) ([]byte, error) {
	if cap(c.buf) < n {
		c.buf = make([]byte, n)
	}
	b := c.buf[:n]
	_, err := io.ReadFull(c.r, b)
	return b, err
}

func (c *capture) packet(link uint32, data []byte, length uint32) error {
	if c.packets++; c.packets > maxPackets {
		return fmt.Errorf("%w: more than %d packets", errCapture, maxPackets)
	}
	c.yield(link, data, int(max(length, uint32(len(data)))))
	return nil
}

// classic reads the format of libpcap: a header of 24 bytes, then records of a
// header of 16 bytes and a packet.
func (c *capture) classic(order binary.ByteOrder) error {
	h, err := c.read(24)
	if err != nil {
		return fmt.Errorf("%w: shorter than its header", errCapture)
	}
	link := order.Uint32(h[20:]) & 0x0fffffff // above are flags of the frame check sequence
	for {
		h, err := c.read(16)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: cut short after packet %d", errCapture, c.packets)
		}
		size, length := order.Uint32(h[8:]), order.Uint32(h[12:])
		if size > maxPacket || length > maxPacket {
			return fmt.Errorf("%w: packet %d of %d bytes", errCapture, c.packets+1, max(size, length))
		}
		data, err := c.read(int(size))
		if err != nil {
			return fmt.Errorf("%w: cut short in packet %d", errCapture, c.packets+1)
		}
		if err := c.packet(link, data, length); err != nil {
			return err
		}
	}
}

// The blocks of pcapng that matter.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 2 // obsolete, still written by some
	blockSimple    = 3
	blockEnhanced  = 6
)

// An iface is what a pcapng interface block says.
type iface struct {
	link    uint32
	snapLen uint32
}

// blocks reads pcapng: blocks of type, length, body and length again.
func (c *capture) blocks() error {
	var order binary.ByteOrder = binary.LittleEndian
	var ifaces []iface
	for {
		h, err := c.r.Peek(12)
		if errors.Is(err, io.EOF) && len(h) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: cut short after packet %d", errCapture, c.packets)
		}
		if binary.LittleEndian.Uint32(h) == blockSection {
			switch binary.LittleEndian.Uint32(h[8:]) {
			case 0x1a2b3c4d:
				order = binary.LittleEndian
			case 0x4d3c2b1a:
				order = binary.BigEndian
			default:
				return fmt.Errorf("%w: bad byte order of a section", errCapture)
			}
			ifaces = nil
		}
		kind, size := order.Uint32(h), order.Uint32(h[4:])
		if size < 12 || size%4 != 0 || size > maxBlock {
			return fmt.Errorf("%w: block of %d bytes", errCapture, size)
		}
		b, err := c.read(int(size))
		if err != nil {
			return fmt.Errorf("%w: cut short after packet %d", errCapture, c.packets)
		}
		if order.Uint32(b[size-4:]) != size {
			return fmt.Errorf("%w: the two lengths of a block differ", errCapture)
		}
		body := b[8 : size-4]
		if kind == blockInterface {
			if len(body) < 8 || len(ifaces) == maxInterfaces {
				return fmt.Errorf("%w: bad or too many interfaces", errCapture)
			}
			ifaces = append(ifaces, iface{uint32(order.Uint16(body)), order.Uint32(body[4:])})
			continue
		}
		if err := c.block(order, kind, body, ifaces); err != nil {
			return err
		}
	}
}

// block reads a block that may hold a packet.
func (c *capture) block(order binary.ByteOrder, kind uint32, body []byte, ifaces []iface) error {
	var index, size, length uint32
	var data []byte
	switch kind {
	case blockEnhanced, blockPacket:
		if len(body) < 20 {
			return fmt.Errorf("%w: packet %d has a short header", errCapture, c.packets+1)
		}
		index = order.Uint32(body)
		if kind == blockPacket {
			index = uint32(order.Uint16(body)) // beside a count of drops
		}
		size, length, data = order.Uint32(body[12:]), order.Uint32(body[16:]), body[20:]
	case blockSimple:
		if len(body) < 4 {
			return fmt.Errorf("%w: packet %d has a short header", errCapture, c.packets+1)
		}
		length, data = order.Uint32(body), body[4:]
		size = length
		if len(ifaces) > 0 && ifaces[0].snapLen != 0 {
			size = min(size, ifaces[0].snapLen)
		}
		size = min(size, uint32(len(data))) // the snapshot length may be wrong
	default:
		return nil
	}
	switch {
	case int64(index) >= int64(len(ifaces)):
		return fmt.Errorf("%w: packet %d is of no interface", errCapture, c.packets+1)
	case int64(size) > int64(len(data)) || size > maxPacket || length > maxPacket:
		return fmt.Errorf("%w: packet %d of %d bytes", errCapture, c.packets+1, max(size, length))
	}
	return c.packet(ifaces[index].link, data[:size], length)
}

// The link types that can be looked into (tcpdump.org, LINKTYPE_ values).
const (
	linkNull     = 0
	linkEthernet = 1
	linkRawOld   = 12
	linkRaw      = 101
	linkLoop     = 108
	linkCooked   = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkCooked2  = 276
)

// ipOf returns the IP packet in a captured frame; nil when it holds none.
func ipOf(link uint32, frame []byte) []byte {
	skip := 0
	etherType := -1 // offset of it
	switch link {
	case linkEthernet:
		etherType, skip = 12, 14
	case linkNull, linkLoop:
		skip = 4
	case linkRaw, linkRawOld, linkIPv4, linkIPv6:
	case linkCooked:
		etherType, skip = 14, 16
	case linkCooked2:
		etherType, skip = 0, 20
	default:
		return nil
	}
	if len(frame) < skip {
		return nil
	}
	rest := frame[skip:]
	if etherType < 0 {
		return rest
	}
	kind := binary.BigEndian.Uint16(frame[etherType:])
	for range 4 { // VLAN tags
		if kind != 0x8100 && kind != 0x88a8 && kind != 0x9100 {
			break
		}
		if len(rest) < 4 {
			return nil
		}
		kind, rest = binary.BigEndian.Uint16(rest[2:]), rest[4:]
	}
	if kind != 0x0800 && kind != 0x86dd {
		return nil
	}
	return rest
}
