package netmon

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"sallyport/core/host"
)

// Interfaces implements host.InterfaceLister. An interface without an address
// is listed too: a filter by kind of connection may name it before DHCP is done.
func (m *Monitor) Interfaces() ([]host.Interface, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	// One dump for all: asking link by link would fail for one that goes
	// away in between.
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	prefixes := make(map[int][]netip.Prefix, len(links))
	for _, a := range addresses {
		if p, ok := prefixOf(a.IPNet); ok {
			prefixes[a.LinkIndex] = append(prefixes[a.LinkIndex], p)
		}
	}
	list := make([]host.Interface, 0, len(links))
	for _, link := range links {
		at := link.Attrs()
		if at.Flags&net.FlagUp == 0 {
			continue
		}
		list = append(list, host.Interface{
			Name:         at.Name,
			Loopback:     at.Flags&net.FlagLoopback != 0,
			PointToPoint: at.Flags&net.FlagPointToPoint != 0,
			Prefixes:     prefixes[at.Index],
		})
	}
	return list, nil
}
