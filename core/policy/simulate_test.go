package policy

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
)

// packet writes an IPv4 or IPv6 packet with ports, or a fragment of one.
func packet(src, dst string, proto uint8, sport, dport uint16, fragment bool) []byte {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	l4 := make([]byte, 20)
	binary.BigEndian.PutUint16(l4, sport)
	binary.BigEndian.PutUint16(l4[2:], dport)
	var h []byte
	if s.Is4() {
		h = make([]byte, 20)
		h[0], h[9] = 0x45, proto
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(l4)))
		if fragment {
			h[7] = 1
		}
		copy(h[12:], s.AsSlice())
		copy(h[16:], d.AsSlice())
	} else {
		h = make([]byte, 40)
		h[0], h[6] = 0x60, proto
		binary.BigEndian.PutUint16(h[4:], uint16(len(l4)))
		copy(h[8:], s.AsSlice())
		copy(h[24:], d.AsSlice())
	}
	return append(h, l4...)
}

func ethernet(ip []byte, vlan bool) []byte {
	b := make([]byte, 12)
	if vlan {
		b = append(b, 0x81, 0, 0, 5)
	}
	if ip[0]>>4 == 4 {
		b = append(b, 8, 0)
	} else {
		b = append(b, 0x86, 0xdd)
	}
	return append(b, ip...)
}

func pcap(order binary.AppendByteOrder, link uint32, frames ...[]byte) []byte {
	b := order.AppendUint32(nil, 0xa1b2c3d4)
	b = order.AppendUint32(b, 2|4<<16)
	b = append(b, make([]byte, 8)...)
	b = order.AppendUint32(b, 65535)
	b = order.AppendUint32(b, link)
	for _, f := range frames {
		b = append(b, make([]byte, 8)...)
		b = order.AppendUint32(b, uint32(len(f)))
		b = order.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

func block(order binary.AppendByteOrder, kind uint32, body []byte) []byte {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	b := order.AppendUint32(nil, kind)
	b = order.AppendUint32(b, uint32(len(body)+12))
	b = append(b, body...)
	return order.AppendUint32(b, uint32(len(body)+12))
}

func pcapng(order binary.AppendByteOrder, link uint16, frames ...[]byte) []byte {
	section := order.AppendUint32(nil, 0x1a2b3c4d)
	section = order.AppendUint32(section, 1)
	section = append(section, bytes.Repeat([]byte{255}, 8)...)
	b := block(order, blockSection, section)
	iface := order.AppendUint16(nil, link)
	iface = order.AppendUint16(iface, 0)
	b = append(b, block(order, blockInterface, order.AppendUint32(iface, 65535))...)
	b = append(b, block(order, 0xbad, []byte("something unknown"))...)
	for i, f := range frames {
		if i == 0 {
			b = append(b, block(order, blockSimple, append(order.AppendUint32(nil, uint32(len(f))), f...))...)
			continue
		}
		body := make([]byte, 12)
		body = order.AppendUint32(body, uint32(len(f)))
		body = order.AppendUint32(body, uint32(len(f)))
		kind := uint32(blockEnhanced)
		if i == 1 {
			kind = blockPacket
		}
		b = append(b, block(order, kind, append(body, f...))...)
	}
	return b
}

// traffic is what a laptop sends and receives.
func traffic() [][]byte {
	me := "192.168.1.7"
	arp := append(make([]byte, 12), 8, 6, 0, 1)
	return [][]byte{
		ethernet(packet(me, "10.1.2.3", 6, 40000, 443, false), false),
		ethernet(packet(me, "10.1.2.3", 6, 40000, 443, false), true),
		ethernet(packet("10.1.2.3", me, 6, 443, 40000, false), false),
		ethernet(packet(me, "10.1.2.3", 17, 40000, 443, true), false),
		ethernet(packet(me, "8.8.8.8", 17, 40000, 53, false), false),
		ethernet(packet(me, "192.168.1.20", 6, 40000, 631, false), false),
		ethernet(packet(me, "255.255.255.255", 17, 68, 67, false), false),
		ethernet(packet("fe80::7", "ff02::1", 58, 136<<8, 0, false), false),
		ethernet(packet("192.168.1.20", "224.0.0.251", 17, 5353, 5353, false), false),
		arp,
		ethernet(packet(me, "10.1.2.3", 6, 1, 2, false), false)[:20],
	}
}

func TestSimulate(t *testing.T) {
	env := laptop(t, "10.0.0.0/8")
	p, err := Parse("t.toml", []byte(head+lists+rule("Office", "net", StockRequire, viaOffice)+rule("Rest", ListAllIP, StockBlock)+"[exemptions]\nlan = true\n"))
	if err != nil {
		t.Fatal(err)
	}
	var want string
	for name, file := range map[string][]byte{
		"pcap":                 pcap(binary.LittleEndian, linkEthernet, traffic()...),
		"pcap, big endian":     pcap(binary.BigEndian, linkEthernet, traffic()...),
		"pcapng":               pcapng(binary.LittleEndian, linkEthernet, traffic()...),
		"pcapng, big endian":   pcapng(binary.BigEndian, linkEthernet, traffic()...),
		"pcapng, two sections": append(pcapng(binary.LittleEndian, linkEthernet, traffic()[:4]...), pcapng(binary.BigEndian, linkEthernet, traffic()[4:]...)...),
	} {
		s, err := Simulate(p, env, bytes.NewReader(file), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if s.NotIP != 1 || s.Bad != 1 || s.Unlisted != 0 {
			t.Errorf("%s: %d not IP, %d bad, %d unlisted", name, s.NotIP, s.Bad, s.Unlisted)
		}
		if want == "" {
			want = s.Text()
			golden(t, "simulate.txt", want)
		}
		if got := s.Text(); got != want {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

func TestLinkTypes(t *testing.T) {
	ip := packet("192.0.2.1", "192.0.2.2", 6, 1, 2, false)
	for link, frame := range map[uint32][]byte{
		linkRaw:     ip,
		linkIPv4:    ip,
		linkNull:    append([]byte{2, 0, 0, 0}, ip...),
		linkLoop:    append([]byte{0, 0, 0, 2}, ip...),
		linkCooked:  append(append(make([]byte, 14), 8, 0), ip...),
		linkCooked2: append(append([]byte{8, 0}, make([]byte, 18)...), ip...),
	} {
		if got := ipOf(link, frame); !bytes.Equal(got, ip) {
			t.Errorf("%d: got %x", link, got)
		}
		if link != linkRaw && link != linkIPv4 && ipOf(link, frame[:3]) != nil {
			t.Errorf("%d: three bytes are a packet", link)
		}
	}
	if ipOf(105, ip) != nil {
		t.Error("802.11 cannot be looked into")
	}
}

func TestTruncatedPackets(t *testing.T) {
	ip := packet("192.168.1.7", "10.0.0.1", 6, 5, 443, false)
	binary.BigEndian.PutUint16(ip[2:], 1400) // of which 40 bytes were captured
	s, err := Simulate(New("x"), laptop(t), bytes.NewReader(pcap(binary.LittleEndian, linkRaw, ip)), nil)
	if err != nil || len(s.Flows) != 1 || s.Flows[0].Bytes != 1400 || s.Flows[0].Flow != "192.168.1.7:5 → 10.0.0.1:443/tcp" {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestDamagedCaptures(t *testing.T) {
	good := pcap(binary.LittleEndian, linkRaw, packet("192.0.2.1", "192.0.2.2", 6, 1, 2, false))
	huge := bytes.Clone(good)
	binary.LittleEndian.PutUint32(huge[32:], 1<<30)
	ng := pcapng(binary.LittleEndian, linkRaw, packet("192.0.2.1", "192.0.2.2", 6, 1, 2, false))
	odd := bytes.Clone(ng)
	odd[4] = 29
	lengths := bytes.Clone(ng)
	lengths[24] = 99
	order := bytes.Clone(ng)
	order[8] = 0
	for name, b := range map[string][]byte{
		"empty": nil, "short": good[:3], "short header": good[:20], "not a capture": []byte("GET / HTTP/1.1\r\n\r\n"),
		"cut in a record": good[:30], "cut in a packet": good[:len(good)-1], "huge packet": huge,
		"cut in a block": ng[:len(ng)-5], "odd length": odd, "two lengths": lengths, "byte order": order,
		"no interface": append(bytes.Clone(ng[:28]), ng[48:]...),
	} {
		if _, err := Simulate(New("x"), Env{}, bytes.NewReader(b), nil); err == nil || !strings.Contains(err.Error(), "capture") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzSimulate(f *testing.F) {
	f.Add(pcap(binary.LittleEndian, linkEthernet, traffic()...))
	f.Add(pcap(binary.BigEndian, linkRaw, packet("::1", "::2", 6, 1, 2, false)))
	f.Add(pcapng(binary.LittleEndian, linkEthernet, traffic()...))
	f.Add(pcapng(binary.BigEndian, linkCooked2, traffic()...))
	c, _ := compile(New("x"), smallEnv)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := c.Simulate(bytes.NewReader(b), nil)
		if s == nil {
			t.Fatal("no result")
		}
		var packets, listed uint64
		for _, n := range s.Totals {
			packets += n.Packets
		}
		for _, n := range s.Flows {
			listed += n.Packets
		}
		if packets != listed+s.Unlisted || err == nil && len(b) == 0 {
			t.Errorf("%d packets, %d listed, %d not", packets, listed, s.Unlisted)
		}
	})
}
