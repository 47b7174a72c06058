// Package ippkt looks at IP packets in place: read-only views of IPv4, IPv6,
// TCP, UDP and ICMP headers, the flow that selectors match, and checksums.
// Nothing in it allocates or keeps a buffer.
package ippkt

import (
	"encoding/binary"
	"errors"
)

// Protocol numbers (IANA "Protocol Numbers").
const (
	ProtoHopByHop uint8 = 0
	ProtoICMP     uint8 = 1
	ProtoIPv4     uint8 = 4
	ProtoTCP      uint8 = 6
	ProtoUDP      uint8 = 17
	ProtoIPv6     uint8 = 41
	ProtoRouting  uint8 = 43
	ProtoFragment uint8 = 44
	ProtoAH       uint8 = 51
	ProtoICMPv6   uint8 = 58
	ProtoNone     uint8 = 59
	ProtoDestOpts uint8 = 60
	ProtoDCCP     uint8 = 33
	ProtoSCTP     uint8 = 132
	ProtoMobility uint8 = 135
	ProtoUDPLite  uint8 = 136
)

// Header lengths without options.
const (
	IPv4Len = 20
	IPv6Len = 40
	TCPLen  = 20
	UDPLen  = 8
)

// TCP flags (RFC 9293, section 3.1), in byte 13 of the header.
const (
	FIN uint8 = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Errors of Parse.
var (
	ErrShort     = errors.New("ippkt: packet too short")
	ErrVersion   = errors.New("ippkt: neither IPv4 nor IPv6")
	ErrLength    = errors.New("ippkt: length field does not fit the packet")
	ErrHeader    = errors.New("ippkt: bad header length")
	ErrExtension = errors.New("ippkt: too many extension headers")
)

// maxExtensions bounds the walk through IPv6 extension headers. Real packets
// have at most three or four.
const maxExtensions = 8

// A Packet says where things are in one IP packet.
type Packet struct {
	Flow Flow
	// Len is the packet's length as its header says, at most that of the bytes
	// that Parse was given.
	Len int
	// L4 is the offset of the transport header, or of the data of a fragment
	// other than the first.
	L4  int
	TOS uint8 // or traffic class
	TTL uint8 // or hop limit
	// DontFragment is set for IPv4 with DF, and for IPv6.
	DontFragment bool
	// Fragment is set when the packet is a fragment; First when it is not one
	// or the first of its fragments.
	Fragment, First bool
	// Plain is set when the IP header has neither options nor extensions, and
	// the packet is no fragment: what segmentation and coalescing handle.
	Plain bool
}

// Parse looks at the packet at the start of b. Bytes after the length that the
// header states are ignored. A transport header that is cut short makes the
// flow opaque, not an error: it is for the receiver to judge.
func (p *Packet) Parse(b []byte) error {
	if len(b) < IPv4Len {
		return ErrShort
	}
	switch b[0] >> 4 {
	case 4:
		return p.parse4(b)
	case 6:
		return p.parse6(b)
	}
	return ErrVersion
}

func (p *Packet) parse4(b []byte) error {
	ihl := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if ihl < IPv4Len || ihl > total {
		return ErrHeader
	}
	if total > len(b) {
		return ErrLength
	}
	frag := binary.BigEndian.Uint16(b[6:])
	*p = Packet{
		Flow:         Flow{Src: addr4(b[12:16]), Dst: addr4(b[16:20]), Proto: b[9]},
		Len:          total,
		L4:           ihl,
		TOS:          b[1],
		TTL:          b[8],
		DontFragment: frag&0x4000 != 0,
		Fragment:     frag&0x3fff != 0,
		First:        frag&0x1fff == 0,
		Plain:        ihl == IPv4Len && frag&0x3fff == 0,
	}
	p.ports(b[:total])
	return nil
}

func (p *Packet) parse6(b []byte) error {
	if len(b) < IPv6Len {
		return ErrShort
	}
	total := IPv6Len + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) {
		return ErrLength
	}
	*p = Packet{
		Flow:         Flow{Src: addr6(b[8:24]), Dst: addr6(b[24:40]), Proto: b[6], V6: true},
		Len:          total,
		L4:           IPv6Len,
		TOS:          b[0]<<4 | b[1]>>4,
		TTL:          b[7],
		DontFragment: true,
		First:        true,
		Plain:        true,
	}
	b = b[:total]
	for range maxExtensions {
		var size int
		rest := b[p.L4:]
		switch p.Flow.Proto {
		case ProtoHopByHop, ProtoRouting, ProtoDestOpts:
			if len(rest) < 8 {
				return ErrShort
			}
			size = 8 + int(rest[1])*8
		case ProtoAH:
			if len(rest) < 8 {
				return ErrShort
			}
			size = 8 + int(rest[1])*4
		case ProtoFragment:
			if len(rest) < 8 {
				return ErrShort
			}
			size = 8
			// An atomic fragment (RFC 6946) is a whole packet, yet not plain.
			off := binary.BigEndian.Uint16(rest[2:])
			p.Fragment = off&0xfff9 != 0
			p.First = off&0xfff8 == 0
		default:
			p.ports(b)
			return nil
		}
		if size > len(rest) {
			return ErrHeader
		}
		p.Plain = false
		p.Flow.Proto = rest[0]
		p.L4 += size
		if !p.First {
			p.Flow.Opaque = true
			return nil
		}
	}
	return ErrExtension
}

// ports fills in the ports of the flow from the transport header.
func (p *Packet) ports(b []byte) {
	h := b[p.L4:]
	f := &p.Flow
	f.Opaque = true
	if !p.First {
		return
	}
	switch f.Proto {
	case ProtoTCP, ProtoUDP, ProtoUDPLite, ProtoSCTP, ProtoDCCP:
		if len(h) >= 4 {
			f.SrcPort = binary.BigEndian.Uint16(h)
			f.DstPort = binary.BigEndian.Uint16(h[2:])
			f.Opaque = false
		}
	case ProtoICMP, ProtoICMPv6:
		if len(h) >= 2 {
			f.SrcPort = binary.BigEndian.Uint16(h)
			f.DstPort = f.SrcPort
			f.Opaque = false
		}
	case ProtoMobility: // RFC 6275, section 6.1.1: the type is the third byte
		if len(h) >= 3 {
			f.SrcPort = uint16(h[2]) << 8
			f.DstPort = f.SrcPort
			f.Opaque = false
		}
	}
}

// TCPHeader returns the length of the TCP header at the start of h, options
// included, or 0 when h does not hold one.
func TCPHeader(h []byte) int {
	if len(h) < TCPLen {
		return 0
	}
	n := int(h[12]>>4) * 4
	if n < TCPLen || n > len(h) {
		return 0
	}
	return n
}

// TransportChecksumOK reports whether the checksum that a TCP, UDP or ICMPv6
// header holds fits the packet b,
// which p describes. A UDP checksum of zero, which means none, does not fit.
func (p *Packet) TransportChecksumOK(b []byte) bool {
	seg := b[p.L4:p.Len]
	return Fold(Add(Pseudo(b, p.Flow.Proto, len(seg)), seg)) == 0xffff
}
