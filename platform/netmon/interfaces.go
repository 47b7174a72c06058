package netmon

import (
	"net"
	"net/netip"

	"sallyport/core/host"
)

var _ host.InterfaceLister = (*Monitor)(nil)

// prefixOf returns an address of an interface with its prefix length, and
// whether it is one: link-local and multicast addresses are, IPv4 in IPv6 is
// told as IPv4.
func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if !ok || bits == 0 {
		return netip.Prefix{}, false
	}
	a = a.Unmap()
	if bits == 128 && a.Is4() {
		ones -= 96
	}
	if ones < 0 || ones > a.BitLen() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, ones), true
}
