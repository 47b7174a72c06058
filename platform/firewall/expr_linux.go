package firewall

import (
	"bytes"
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Numbers of IP protocols and ICMP types.
const (
	icmp   = unix.IPPROTO_ICMP
	tcp    = unix.IPPROTO_TCP
	udp    = unix.IPPROTO_UDP
	icmpv6 = unix.IPPROTO_ICMPV6

	icmpRedirect           = 5
	routerSolicitation     = 133
	neighbourAdvertisement = 136
	icmpv6Redirect         = 137
)

// loopbackIndex is the number of lo in every network namespace.
const loopbackIndex = 1

var (
	accept        = []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
	drop          = []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
	loadProtocol  = []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}}
	inByLoopback  = is(&expr.Meta{Key: expr.MetaKeyIIF, Register: 1}, binaryutil.NativeEndian.PutUint32(loopbackIndex))
	outByLoopback = is(&expr.Meta{Key: expr.MetaKeyOIF, Register: 1}, binaryutil.NativeEndian.PutUint32(loopbackIndex))
)

func join(parts ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// is compares what load puts into register 1.
func is(load expr.Any, value []byte) []expr.Any {
	return []expr.Any{load, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value}}
}

// not turns a single comparison round.
func not(match []expr.Any) []expr.Any {
	cmp := *match[1].(*expr.Cmp)
	cmp.Op = expr.CmpOpNeq
	return []expr.Any{match[0], &cmp}
}

// between compares register 1 with an interval.
func between(from, to []byte) []expr.Any {
	if bytes.Equal(from, to) {
		return []expr.Any{&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: from}}
	}
	return []expr.Any{&expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: from, ToData: to}}
}

func goTo(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}}
}

func jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

func count(counter string) []expr.Any {
	return []expr.Any{&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: counter}}
}

func family(v6 bool) []expr.Any {
	f := byte(unix.NFPROTO_IPV4)
	if v6 {
		f = unix.NFPROTO_IPV6
	}
	return is(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, []byte{f})
}

func protocol(p uint8) []expr.Any {
	return is(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, []byte{p})
}

func inBy(device string) []expr.Any {
	return is(&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, interfaceName(device))
}

func outBy(device string) []expr.Any {
	return is(&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, interfaceName(device))
}

func interfaceName(device string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, device)
	return b
}

// ownSocket matches what the service's own sockets send.
func (b *batch) ownSocket() []expr.Any {
	return join(
		marked(b.mark),
		is(&expr.Meta{Key: expr.MetaKeySKUID, Register: 1}, binaryutil.NativeEndian.PutUint32(b.uid)),
	)
}

// forOwnSocket matches what arrives for them.
func (b *batch) forOwnSocket() []expr.Any {
	return is(&expr.Socket{Key: expr.SocketKeyMark, Register: 1}, binaryutil.NativeEndian.PutUint32(b.mark))
}

func marked(mark uint32) []expr.Any {
	return is(&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, binaryutil.NativeEndian.PutUint32(mark))
}

func setMark(mark uint32) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: binaryutil.NativeEndian.PutUint32(mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	}
}

func loadTransport(offset, size uint32) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: size}}
}

func sourcePort(port uint16) []expr.Any {
	return is(loadTransport(0, 2)[0], binaryutil.BigEndian.PutUint16(port))
}

func destinationPort(port uint16) []expr.Any {
	return is(loadTransport(2, 2)[0], binaryutil.BigEndian.PutUint16(port))
}

func icmpType(t uint8) []expr.Any { return is(loadTransport(0, 1)[0], []byte{t}) }

// quoted matches a byte of the packet that an ICMP error quotes, and quotedPort
// two of them.
func quoted(offset uint32, value uint8) []expr.Any {
	return is(loadTransport(8+offset, 1)[0], []byte{value})
}

func quotedPort(offset uint32, port uint16) []expr.Any {
	return is(loadTransport(8+offset, 2)[0], binaryutil.BigEndian.PutUint16(port))
}

func loadAddress(v6, source bool) []expr.Any {
	offset, size := uint32(16), uint32(4)
	if v6 {
		offset, size = 24, 16
	}
	if source {
		offset -= size
	}
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size}}
}

func daddr(a netip.Addr) []expr.Any { return is(loadAddress(a.Is6(), false)[0], a.AsSlice()) }

func saddr(a netip.Addr) []expr.Any { return is(loadAddress(a.Is6(), true)[0], a.AsSlice()) }

// destination matches a prefix.
func destination(p netip.Prefix) []expr.Any {
	a := p.Masked().Addr()
	if p.IsSingleIP() {
		return daddr(a)
	}
	size := a.BitLen() / 8
	mask := make([]byte, size)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return join(loadAddress(a.Is6(), false), []expr.Any{
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(size), Mask: mask, Xor: make([]byte, size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: a.AsSlice()},
	})
}

func hopLimit(n uint8) []expr.Any {
	return is(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 7, Len: 1}, []byte{n})
}

// fragment matches fragments but the first, which hold no ports.
func fragment(v6 bool) []expr.Any {
	load := []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 6, Len: 2}}
	mask := []byte{0x1f, 0xff}
	if v6 {
		load = []expr.Any{&expr.Exthdr{DestRegister: 1, Type: unix.IPPROTO_FRAGMENT, Offset: 2, Len: 2, Op: expr.ExthdrOpIpv6}}
		mask = []byte{0xff, 0xf8}
	}
	return append(load,
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 2, Mask: mask, Xor: []byte{0, 0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0, 0}},
	)
}
